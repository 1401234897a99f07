/*
 * What the analysis of a watched swarm costs: flows between its peers, and verdicts over their
 * announces, from a made-up log of an hour. Prints one line of JSON: CPU seconds of each, and the
 * largest resident size, MiB, of all and before. Usage: analysis_cost [PEERS [PIECES [SEED]]].
 *
 * Eight seeds; the others begin with nothing and gain every piece, each at a pace of its own; each
 * is connected to about forty, of which a third come or go within the hour, and tells of them.
 */
#include "audit/flow.h"
#include "audit/verdict.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "swarm/source.h"

#include <skep/err.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define PIECE 262144u
#define SEEDS 8
#define DIALS 20 /* connections that each made */
#define HOUR_MS 3600000u
#define ANNOUNCE_MS 300000u
#define UNIX_S 1.7e9

enum kind { BITFIELD, ADDED, HAVE, DROPPED };

struct event {
    uint32_t at_ms;
    enum kind kind;
    uint32_t peer, of; /* of: the other peer, or the piece */
};

struct log {
    struct sk_prng prng;
    uint32_t peers, pieces;
    struct event *events;
    size_t count;
    struct sk_announce *announces;
    size_t announces_count;
};

static struct sk_endpoint address(uint32_t peer)
{
    return sk_endpoint_v4((const uint8_t[]){10, 0, (uint8_t)(peer >> 8), (uint8_t)peer}, 6881);
}

static void add(struct log *log, uint32_t at_ms, enum kind kind, uint32_t peer, uint32_t of)
{
    log->events[log->count++] = (struct event){at_ms, kind, peer, of};
}

static uint32_t below(struct log *log, uint32_t n)
{
    return (uint32_t)sk_prng_below(&log->prng, n);
}

/* In the order of a shuffled list, evenly until the peer is done: after 36 to 60 minutes. */
static void add_gains(struct log *log, uint32_t peer, uint32_t *order)
{
    double until_ms = (0.6 + 0.4 * sk_prng_unit(&log->prng)) * (HOUR_MS - 10000);
    for (uint32_t i = log->pieces; i-- > 1;) {
        uint32_t k = below(log, i + 1), piece = order[i];
        order[i] = order[k];
        order[k] = piece;
    }
    for (uint32_t i = 0; i < log->pieces; i++)
        add(log, 5000 + (uint32_t)(until_ms * i / log->pieces) + below(log, 800), HAVE, peer,
            order[i]);
}

/* Both tell of each other. */
static void add_links(struct log *log, uint32_t peer)
{
    for (int i = 0; i < DIALS; i++) {
        uint32_t other = below(log, log->peers),
                 from_ms = below(log, 4) ? 2000 : below(log, 3000000);
        if (other == peer)
            continue;
        uint32_t until_ms = below(log, 3) ? HOUR_MS : from_ms + 60000 + below(log, 600000);
        add(log, from_ms, ADDED, peer, other);
        add(log, from_ms + 100, ADDED, other, peer);
        if (until_ms >= HOUR_MS)
            continue;
        add(log, until_ms, DROPPED, peer, other);
        add(log, until_ms + 50, DROPPED, other, peer);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->at_ms != y->at_ms)
        return x->at_ms < y->at_ms ? -1 : 1;
    return (x->kind > y->kind) - (x->kind < y->kind);
}

static void make_events(struct log *log)
{
    size_t most = (size_t)log->peers * (1 + log->pieces + 4 * DIALS);
    uint32_t *order = sk_mem_alloc(log->pieces * sizeof *order);
    log->events = sk_mem_alloc(most * sizeof *log->events);
    SK_ASSERT(order && log->events);
    for (uint32_t i = 0; i < log->pieces; i++)
        order[i] = i;
    for (uint32_t peer = 0; peer < log->peers; peer++) {
        add(log, 1000 + below(log, 500), BITFIELD, peer, 0);
        if (peer >= SEEDS)
            add_gains(log, peer, order);
        add_links(log, peer);
    }
    SK_ASSERT(log->count <= most);
    sk_mem_free(order);
    qsort(log->events, log->count, sizeof *log->events, by_time);
}

/* Everybody says the truth about its pieces, and to have uploaded as much as it downloaded. */
static void make_announces(struct log *log)
{
    uint32_t *gained = sk_mem_calloc(log->peers, sizeof *gained), each = HOUR_MS / ANNOUNCE_MS;
    log->announces = sk_mem_calloc((size_t)log->peers * each, sizeof *log->announces);
    SK_ASSERT(gained && log->announces);
    size_t next = 0;
    for (uint32_t round = 0; round < each; round++)
        for (uint32_t peer = 0; peer < log->peers; peer++) {
            uint32_t at_ms = round * ANNOUNCE_MS + (uint32_t)((uint64_t)peer * 250000 / log->peers);
            for (; next < log->count && log->events[next].at_ms <= at_ms; next++)
                gained[log->events[next].peer] += log->events[next].kind == HAVE;
            uint64_t bytes = (uint64_t)gained[peer] * PIECE;
            struct sk_announce *said = &log->announces[log->announces_count++];
            *said = (struct sk_announce){
                .at_unix_s = UNIX_S + at_ms / 1e3,
                .endpoint = address(peer),
                .uploaded = bytes,
                .downloaded = bytes,
                .left = peer < SEEDS ? 0 : (uint64_t)log->pieces * PIECE - bytes,
            };
        }
    sk_mem_free(gained);
}

static void observe(struct sk_timeline *timeline, const struct event *event, const uint8_t *none,
                    const uint8_t *all)
{
    struct sk_observation seen = {.at_ns = (uint64_t)event->at_ms * 1000000,
                                  .peer = address(event->peer)};
    size_t bytes = (timeline->pieces + 7) / 8;
    switch (event->kind) {
    case BITFIELD:
        seen.kind = SK_OBS_BITFIELD;
        seen.bytes = sk_bytes(event->peer < SEEDS ? all : none, bytes);
        break;
    case HAVE:
        seen.kind = SK_OBS_HAVE;
        seen.a = event->of;
        break;
    case ADDED:
    case DROPPED:
        seen.kind = event->kind == ADDED ? SK_OBS_HEARD : SK_OBS_DROPPED;
        seen.source = SK_SOURCE_PEX;
        seen.peer = address(event->of);
        seen.by = address(event->peer);
        break;
    }
    SK_ASSERT(!sk_timeline_observe(timeline, &seen));
}

static void fill(struct log *log, struct sk_timeline *timeline)
{
    size_t bytes = (log->pieces + 7) / 8;
    uint8_t *none = sk_mem_calloc(1, bytes), *all = sk_mem_alloc(bytes);
    SK_ASSERT(none && all);
    memset(all, 0xff, bytes);
    if (log->pieces % 8)
        all[bytes - 1] = (uint8_t)(0xff << (8 - log->pieces % 8));
    SK_ASSERT(!sk_timeline_init(timeline, 0, log->pieces, PIECE, (uint64_t)log->pieces * PIECE));
    for (size_t i = 0; i < log->count; i++)
        observe(timeline, &log->events[i], none, all);
    sk_timeline_close(timeline, (uint64_t)HOUR_MS * 1000000);
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        double rate = (60 + below(log, 2000)) * 1e3;
        timeline->peers[i].capacity = (struct sk_rate){rate, rate * 0.99, rate * 1.01};
    }
    sk_mem_free(none);
    sk_mem_free(all);
}

static struct rusage used(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage;
}

static double seconds(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static uint32_t number(int argc, char **argv, int i, uint32_t usual)
{
    return argc > i ? (uint32_t)strtoul(argv[i], NULL, 10) : usual;
}

int main(int argc, char **argv)
{
    struct log log = {.peers = number(argc, argv, 1, 1000), .pieces = number(argc, argv, 2, 4000)};
    struct sk_timeline timeline;
    struct sk_flows flows;
    struct sk_verdicts verdicts;
    struct sk_verdict_config config = sk_verdict_config_default();
    config.began_unix_s = UNIX_S;
    config.files = 1;
    if (log.peers <= SEEDS || log.peers > 65536 || !log.pieces)
        return fputs("analysis_cost: 9 to 65536 peers, and a piece at least\n", stderr), 2;
    sk_prng_init(&log.prng, number(argc, argv, 3, 1));
    make_events(&log);
    make_announces(&log);
    fill(&log, &timeline);
    sk_mem_free(log.events);
    struct rusage before = used();
    int err = sk_flow_estimate(&timeline, &(struct sk_flow_config){0}, &flows);
    struct rusage between = used();
    if (!err)
        err = sk_verdicts_init(&verdicts, &timeline, log.announces, log.announces_count, &config);
    struct rusage after = used();
    if (err)
        return fprintf(stderr, "analysis_cost: %s\n", skep_err_text(err)), 1;
    printf("{\"peers\": %u, \"pieces\": %u, \"gains\": %llu, \"links\": %u, \"announces\": %zu, "
           "\"flows_s\": %.2f, \"verdicts_s\": %.2f, \"mib\": %.0f, \"mib_before\": %.0f}\n",
           log.peers, log.pieces, (unsigned long long)timeline.gains_total, timeline.links_count,
           log.announces_count, seconds(&between) - seconds(&before),
           seconds(&after) - seconds(&between), (double)after.ru_maxrss / 1024,
           (double)before.ru_maxrss / 1024);
    return 0;
}
