#include "audit/report.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <stdlib.h>

static const char *const outcome_names[] = {
    [SK_OUTCOME_UNTRIED] = "untried",
    [SK_OUTCOME_SERVED] = "served",
    [SK_OUTCOME_CHOKED] = "choked",
    [SK_OUTCOME_IDLE] = "idle",
    [SK_OUTCOME_OBSERVED] = "observed",
    [SK_OUTCOME_REFUSED] = "refused",
    [SK_OUTCOME_UNREACHABLE] = "unreachable",
    [SK_OUTCOME_TIMEOUT] = "timeout",
    [SK_OUTCOME_CLOSED] = "closed",
    [SK_OUTCOME_WRONG_INFO_HASH] = "wrong-info-hash",
    [SK_OUTCOME_SELF] = "self",
    [SK_OUTCOME_ENCRYPTED_ONLY] = "encrypted-only",
    [SK_OUTCOME_PROTOCOL_ERROR] = "protocol-error",
    [SK_OUTCOME_DUPLICATE] = "duplicate",
    [SK_OUTCOME_SKIPPED] = "skipped",
};
_Static_assert(SK_ARRAY_LEN(outcome_names) == SK_OUTCOME_COUNT, "every outcome has a name");

const char *sk_peer_outcome_name(enum sk_peer_outcome outcome)
{
    SK_ASSERT((unsigned)outcome < SK_OUTCOME_COUNT);
    return outcome_names[outcome];
}

/* A duplicate said hello as well, but its handshake counts for the peer that it is the same as. */
bool sk_peer_outcome_connected(enum sk_peer_outcome outcome)
{
    return outcome == SK_OUTCOME_SERVED || outcome == SK_OUTCOME_CHOKED ||
           outcome == SK_OUTCOME_IDLE || outcome == SK_OUTCOME_OBSERVED;
}

const char *sk_stopped_name(enum sk_stopped stopped)
{
    static const char *const names[] = {
        [SK_STOPPED_CONVERGED] = "converged",
        [SK_STOPPED_TIME] = "time",
        [SK_STOPPED_INTERRUPTED] = "interrupted",
    };
    SK_ASSERT((unsigned)stopped < SK_ARRAY_LEN(names));
    return names[stopped];
}

const char *sk_verdict_result_name(enum sk_verdict_result result)
{
    static const char *const names[] = {
        [SK_VERDICT_CONSISTENT] = "consistent",
        [SK_VERDICT_FALSE_REPORT] = "false-report",
        [SK_VERDICT_CANNOT_TELL] = "cannot-tell",
    };
    SK_ASSERT((unsigned)result < SK_ARRAY_LEN(names));
    return names[result];
}

void sk_report_deinit(struct sk_report *report)
{
    if (!report)
        return;
    for (size_t i = 0; i < report->claims_count; i++) {
        sk_mem_free(report->claims[i].source);
        sk_mem_free(report->claims[i].error);
    }
    for (size_t i = 0; i < report->clients_count; i++)
        sk_mem_free((char *)report->clients[i].name);
    sk_mem_free(report->name);
    sk_mem_free(report->claims);
    sk_mem_free(report->peers);
    sk_mem_free(report->failed);
    sk_mem_free(report->clients);
    sk_mem_free(report->flows);
    sk_mem_free(report->tracers);
    *report = (struct sk_report){0};
}

/* Untried peers only exist in partial results and stand last there. */
static int outcome_rank(enum sk_peer_outcome outcome)
{
    return outcome == SK_OUTCOME_UNTRIED ? SK_OUTCOME_COUNT : (int)outcome;
}

static int compare_peers(const void *a, const void *b)
{
    const struct sk_report_peer *left = a, *right = b;
    int by_outcome = outcome_rank(left->outcome) - outcome_rank(right->outcome);
    if (by_outcome)
        return by_outcome;
    double left_share = left->has_share && !isnan(left->share) ? left->share : -1;
    double right_share = right->has_share && !isnan(right->share) ? right->share : -1;
    if (left_share != right_share)
        return left_share > right_share ? -1 : 1;
    return sk_endpoint_compare(&left->endpoint, &right->endpoint);
}

static int compare_counts(const void *a, const void *b)
{
    const struct sk_report_count *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return strcmp(left->name, right->name);
}

/*
 * A tally of names. Room for every peer is made first, so that counting cannot fail half-way; there
 * are few different names, so each is looked for in turn.
 */
static void tally(struct sk_report_count *counts, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(counts[i].name, name) == 0) {
            counts[i].count++;
            return;
        }
    }
    counts[(*count)++] = (struct sk_report_count){name, 1};
}

/*
 * "Transmission" of "Transmission 3.00", "aria2" of "aria2/1.36.0": what stands before the first
 * separator that a version follows.
 */
static size_t client_family_length(const char *client)
{
    for (size_t i = 1; client[0] && client[i]; i++) {
        if (client[i] != ' ' && client[i] != '/' && client[i] != '-')
            continue;
        const char *next = client + i + 1;
        if (*next == 'v')
            next++;
        if (*next >= '0' && *next <= '9')
            return i;
    }
    return strlen(client);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted first: thousands of made-up client names must not cost their square. */
static int count_clients(const struct sk_report *report, struct sk_report_count **ret_counts,
                         size_t *ret_count)
{
    size_t n = 0, kinds = 0;
    char **names = sk_mem_calloc(report->peers_count + 1, sizeof *names);
    struct sk_report_count *counts = sk_mem_calloc(report->peers_count + 1, sizeof *counts);
    bool failed = !names || !counts;
    for (size_t i = 0; i < report->peers_count && !failed; i++) {
        const struct sk_report_peer *peer = &report->peers[i];
        if (!sk_peer_outcome_connected(peer->outcome))
            continue;
        const char *client = peer->client[0] ? peer->client : "unknown";
        names[n] = sk_mem_strndup(client, client_family_length(client));
        failed = !names[n];
        n += !failed;
    }
    if (!failed) {
        qsort(names, n, sizeof *names, compare_names);
        for (size_t i = 0; i < n; i++) {
            if (kinds && strcmp(counts[kinds - 1].name, names[i]) == 0) {
                counts[kinds - 1].count++;
                sk_mem_free(names[i]);
            } else {
                counts[kinds++] = (struct sk_report_count){names[i], 1};
            }
        }
        qsort(counts, kinds, sizeof *counts, compare_counts);
        *ret_counts = counts;
        *ret_count = kinds;
    } else {
        for (size_t i = 0; i < n; i++)
            sk_mem_free(names[i]);
        sk_mem_free(counts);
    }
    sk_mem_free(names);
    return failed ? SKEP_ERR_NOMEM : 0;
}

/* Reasons are static texts of ours, a few dozen at most. */
static int count_failures(const struct sk_report *report, struct sk_report_count **ret_counts,
                          size_t *ret_count)
{
    size_t n = 0;
    struct sk_report_count *counts = sk_mem_calloc(report->peers_count + 1, sizeof *counts);
    if (!counts)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < report->peers_count; i++) {
        const struct sk_report_peer *peer = &report->peers[i];
        if (!sk_peer_outcome_connected(peer->outcome) && peer->outcome != SK_OUTCOME_UNTRIED &&
            peer->outcome != SK_OUTCOME_SELF && peer->outcome != SK_OUTCOME_DUPLICATE)
            tally(counts, &n, peer->reason ? peer->reason : sk_peer_outcome_name(peer->outcome));
    }
    qsort(counts, n, sizeof *counts, compare_counts);
    *ret_counts = counts;
    *ret_count = n;
    return 0;
}

static void count_connected(struct sk_report *report, const struct sk_report_peer *peer)
{
    report->connected++;
    if (!peer->has_share || isnan(peer->share))
        report->share_unknown++;
    else if (peer->share >= 1)
        report->seeds++;
    else
        report->leechers++;
    if (peer->encryption && strcmp(peer->encryption, "rc4") == 0)
        report->encrypted++;
    else if (peer->encryption)
        report->plain++;
}

static void count_peers(struct sk_report *report)
{
    report->known = report->connected = report->seeds = report->leechers = 0;
    report->share_unknown = report->encrypted = report->plain = report->corrupt_peers = 0;
    report->delivered_bytes = report->given_bytes = 0;
    for (size_t i = 0; i < report->peers_count; i++) {
        const struct sk_report_peer *peer = &report->peers[i];
        report->known += peer->outcome != SK_OUTCOME_SELF && peer->outcome != SK_OUTCOME_DUPLICATE;
        report->corrupt_peers += peer->blocks_corrupt > 0;
        report->delivered_bytes += peer->delivered_bytes;
        report->given_bytes += peer->given_bytes;
        if (sk_peer_outcome_connected(peer->outcome))
            count_connected(report, peer);
    }
}

/*
 * Distributed copies: how often the rarest piece is there, and as a fraction the share of pieces
 * that are there more often. Where nobody told what he holds there is nothing to say.
 */
static void count_copies(struct sk_report *report, const uint32_t *availability)
{
    report->copies = NAN;
    report->pieces_missing = -1;
    if (!availability || !report->pieces || report->seeds + report->leechers == 0)
        return;
    uint32_t least = UINT32_MAX, above = 0, missing = 0;
    for (uint32_t i = 0; i < report->pieces; i++)
        least = SK_MIN(least, availability[i]);
    for (uint32_t i = 0; i < report->pieces; i++) {
        above += availability[i] > least;
        missing += availability[i] == 0;
    }
    report->copies = least + (double)above / report->pieces;
    report->pieces_missing = missing;
}

int sk_report_summarize(struct sk_report *report, const uint32_t *availability)
{
    struct sk_report_count *failed = NULL, *clients = NULL;
    size_t failed_count = 0, clients_count = 0;
    int err = count_failures(report, &failed, &failed_count);
    if (err)
        return err;
    err = count_clients(report, &clients, &clients_count);
    if (err) {
        sk_mem_free(failed);
        return err;
    }
    for (size_t i = 0; i < report->clients_count; i++)
        sk_mem_free((char *)report->clients[i].name);
    sk_mem_free(report->clients);
    sk_mem_free(report->failed);
    report->failed = failed;
    report->failed_count = failed_count;
    report->clients = clients;
    report->clients_count = clients_count;
    if (report->peers_count)
        qsort(report->peers, report->peers_count, sizeof *report->peers, compare_peers);
    count_peers(report);
    count_copies(report, availability);
    return 0;
}
