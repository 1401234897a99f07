#include "audit/verdict.h"

#include "audit/evidence.h"
#include "audit/verdict_internal.h"
#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#include <math.h>

#define TIGHT 2.0 /* a claim that could be this many times larger is not confirmed */
/* So many pieces may be under way for longer than is usual: of a slow client, or one that has to
 * wait. */
#define NEXT_PIECES 20

struct sk_verdict_config sk_verdict_config_default(void)
{
    return (struct sk_verdict_config){
        .false_discovery = 0.01,
        .skew_max_s = 120,
        .delay_s = 2,
        .have_delay_s = 10,
        .partial_s = 900,
        .partial_pieces = 200,
        .waste_share = 0.05,
        .capacity_doubt = SK_VERDICT_WEAK_DOUBT,
    };
}

/* ---- what the checks share ---- */

void sk_judge_note(struct sk_finding *finding, bool against, double claimed, double allowed,
                   double from_s, double until_s)
{
    finding->said++;
    finding->against += against;
    bool worse = fabs(claimed - allowed) > fabs(finding->claimed - finding->allowed);
    if (finding->said == 1 || (against && finding->against == 1) ||
        (worse && against == (finding->against > 0))) {
        finding->claimed = claimed;
        finding->allowed = allowed;
        finding->from_s = from_s;
        finding->until_s = until_s;
    }
}

/* In which checks an announce that came late may contradict. */
static const bool dated[SK_CHECK_COUNT] = {
    [SK_CHECK_DOWNLOADED_LESS] = true,
    [SK_CHECK_LEFT_MORE] = true,
    [SK_CHECK_UPLOADED_CAPACITY] = true,
};

double sk_judge_counts(const struct sk_finding *finding, enum sk_verdict_check check)
{
    if (!dated[check])
        return sk_evidence_counts(finding->said, finding->against, SK_VERDICT_FAULT);
    uint32_t sure = finding->against - finding->late;
    double faults = sk_evidence_counts(finding->said, sure, SK_VERDICT_FAULT);
    double late = sk_evidence_counts(finding->said - sure, finding->late, SK_VERDICT_LATE);
    double all = sk_evidence_counts(finding->said, finding->against, SK_VERDICT_LATE);
    return (faults * (1 + late) / 2 + all) / 2;
}

uint32_t sk_judge_lines(const struct sk_judge *judge, uint32_t peer,
                        const struct sk_reports_line **ret_lines)
{
    const struct sk_reports *reports = judge->reports;
    *ret_lines = reports->lines + reports->begins[peer];
    return reports->begins[peer + 1] - reports->begins[peer];
}

double sk_judge_difference(uint64_t from, uint64_t to, bool anew)
{
    if (from == SK_ANNOUNCE_UNKNOWN || to == SK_ANNOUNCE_UNKNOWN)
        return NAN;
    if (to >= from)
        return (double)(to - from);
    return anew ? (double)to : NAN;
}

bool sk_judge_anew(const struct sk_reports_line *from, const struct sk_reports_line *to)
{
    return to->event == SK_ANNOUNCE_STARTED || to->client != from->client ||
           to->uploaded < from->uploaded || to->downloaded < from->downloaded;
}

/* Whether all of a peer's announces have a peer id. */
static bool are_named(const struct sk_reports_line *lines, uint32_t count)
{
    while (count && lines[count - 1].named)
        count--;
    return !count;
}

/* Whether an announce about the time between two connections, or the next one after it, tells of
 * the end or the begin of a run. */
static bool tells_restart(const struct sk_judge *judge, const struct sk_reports_line *lines,
                          uint32_t count, const struct sk_watch *watch)
{
    double from_s = watch[-1].until_ms / 1e3 - judge->slack_s;
    double until_s = watch->from_ms / 1e3 + judge->slack_s;
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].at_s < from_s)
            continue;
        if (lines[i].event == SK_ANNOUNCE_STOPPED || lines[i].event == SK_ANNOUNCE_STARTED ||
            (i && sk_judge_anew(&lines[i - 1], &lines[i])))
            return true;
        if (lines[i].at_s > until_s)
            break;
    }
    return false;
}

_Static_assert(SK_TIMELINE_SPANS_MAX <= 64, "a bit each");

static uint64_t find_runs(const struct sk_judge *judge, uint32_t peer)
{
    const struct sk_timeline_peer *it = &judge->timeline->peers[peer];
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(judge, peer, &lines);
    bool named = count && are_named(lines, count);
    uint64_t runs = 0;
    for (uint32_t i = 1; i < it->watched_count; i++) {
        const struct sk_watch *watch = &it->watched[i];
        /* An announce before shows which peer id a run has. */
        bool known = named && lines[0].at_s < watch[-1].until_ms / 1e3 - judge->slack_s;
        if (watch->renewed && (watch->same_id || known) &&
            !tells_restart(judge, lines, count, watch))
            runs |= UINT64_C(1) << i;
    }
    return runs;
}

uint32_t sk_judge_run_end(const struct sk_judge *judge, uint32_t peer, uint32_t first)
{
    uint32_t end = first + 1, count = judge->timeline->peers[peer].watched_count;
    while (end < count && judge->same_run[peer] >> end & 1)
        end++;
    return end;
}

double sk_judge_under_way(const struct sk_judge *judge, const struct sk_tally *tally,
                          const struct sk_reports_line *line)
{
    const struct sk_verdict_config *config = judge->config;
    if (line->left == 0)
        return 0;
    double most = (double)config->partial_pieces * judge->timeline->piece_size;
    double until_s = line->at_s + config->partial_s;
    bool known = until_s * 1e3 < judge->timeline->end_ms && judge->tells[line->peer];
    if (!known)
        return most;
    uint32_t from = sk_tally_told(tally, line->at_s - judge->slack_s);
    uint32_t to = sk_tally_possible(tally, until_s);
    to = SK_MIN(SK_MAX(to, from + NEXT_PIECES), tally->peer->gains_count);
    double soon = (double)(sk_tally_bytes(tally, SK_MAX(from, to)) - sk_tally_bytes(tally, from));
    return SK_MIN(soon, most);
}

/* ---- all checks of a peer ---- */

/* How likely what a check rests on does not hold for a peer. */
static double doubt(const struct sk_verdict_config *config, enum sk_verdict_check check)
{
    switch (check) {
    case SK_CHECK_UPLOADED_CAPACITY:
        return config->capacity_doubt;
    case SK_CHECK_UPLOADED_FLOW:
        return SK_VERDICT_WEAK_DOUBT;
    default:
        return SK_VERDICT_DOUBT;
    }
}

/* Evidence of checks that depend on each other: their mean. */
static double mean_value(const struct sk_verdict_config *config, const struct sk_verdict_peer *peer)
{
    double sum = 0;
    for (enum sk_verdict_check check = 0; check < SK_CHECK_COUNT; check++)
        sum += sk_evidence_doubted(peer->findings[check].value, doubt(config, check));
    return sum / SK_CHECK_COUNT;
}

static enum sk_verdict_check strongest(const struct sk_verdict_peer *peer)
{
    size_t best = 0;
    for (size_t i = 1; i < SK_CHECK_COUNT; i++)
        if (peer->findings[i].value > peer->findings[best].value)
            best = i;
    return (enum sk_verdict_check)best;
}

/* Why an honest peer cannot be told from one that lies; NONE where it can. */
static enum sk_verdict_why why_not(const struct sk_judge *judge, uint32_t index)
{
    const struct sk_verdict_peer *peer = &judge->peers[index];
    bool against = false;
    for (size_t i = 0; i < SK_CHECK_COUNT; i++) {
        const struct sk_finding *finding = &peer->findings[i];
        against |= finding->against > finding->late || (finding->late && finding->value > 1);
    }
    if (!judge->timeline->pieces)
        return SK_WHY_NO_METADATA;
    if (peer->announces < 2)
        return SK_WHY_FEW;
    if (peer->neighbour)
        return SK_WHY_NEIGHBOUR;
    if (against)
        return SK_WHY_WEAK;
    if (!peer->findings[SK_CHECK_LEFT_MORE].said && !peer->findings[SK_CHECK_LEFT_LESS].said &&
        !peer->findings[SK_CHECK_DOWNLOADED_LESS].said)
        return SK_WHY_UNWATCHED;
    if (!judge->tells[index])
        return SK_WHY_SILENT;
    double piece = judge->timeline->piece_size;
    return peer->allowed_up > TIGHT * SK_MAX(peer->claimed_up, piece) ? SK_WHY_LOOSE : SK_WHY_NONE;
}

static void conclude(struct sk_judge *judge, uint32_t index)
{
    struct sk_verdict_peer *peer = &judge->peers[index];
    if (!peer->announces)
        return;
    if (peer->rate <= judge->config->false_discovery) {
        peer->result = SK_VERDICT_FALSE_REPORT;
        peer->check = strongest(peer);
        return;
    }
    peer->why = why_not(judge, index);
    peer->result = peer->why ? SK_VERDICT_CANNOT_TELL : SK_VERDICT_CONSISTENT;
}

/* e-BH over the peers that reported. */
static int discover(struct sk_judge *judge)
{
    uint32_t peers = judge->timeline->peers_count, count = 0;
    double *values = sk_mem_alloc(2 * ((size_t)peers + 1) * sizeof *values);
    uint32_t *order = sk_mem_alloc(((size_t)peers + 1) * sizeof *order);
    int err = values && order ? 0 : SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < peers && !err; i++)
        if (judge->peers[i].announces)
            values[count++] = judge->peers[i].value;
    if (!err)
        sk_evidence_discover(values, count, order, values + count);
    for (uint32_t i = 0, k = 0; i < peers && !err; i++)
        judge->peers[i].rate = judge->peers[i].announces ? values[count + k++] : 1;
    sk_mem_free(values);
    sk_mem_free(order);
    return err;
}

/* ---- all peers ---- */

static void add_sums(const struct sk_judge *judge, uint32_t index, struct sk_verdict_sums *sums)
{
    struct sk_tally tally = sk_tally(judge->timeline, &judge->timeline->peers[index]);
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(judge, index, &lines);
    for (uint32_t i = 1; i < count; i++) {
        double up = sk_judge_difference(lines[i - 1].uploaded, lines[i].uploaded, true);
        double down = sk_judge_difference(lines[i - 1].downloaded, lines[i].downloaded, true);
        sums->uploaded += isnan(up) ? 0 : up;
        sums->downloaded += isnan(down) ? 0 : down;
    }
    if (count)
        sums->gained +=
            (double)(sk_tally_bytes(&tally, sk_tally_told(&tally, lines[count - 1].at_s)) -
                     sk_tally_bytes(&tally, sk_tally_told(&tally, lines[0].at_s)));
}

static int check_all(struct sk_judge *judge, struct sk_verdict_sums *sums)
{
    uint32_t peers = judge->timeline->peers_count;
    for (uint32_t i = 0; i < peers; i++) {
        judge->same_run[i] = find_runs(judge, i);
        sk_judge_tells(judge, i);
    }
    int err = sk_judge_partial(judge);
    for (uint32_t i = 0; i < peers && !err; i++) {
        sk_judge_downloaded(judge, i);
        sk_judge_left(judge, i);
        add_sums(judge, i, sums);
    }
    if (!err)
        err = sk_judge_uploaded(judge);
    if (!err && judge->config->uploads)
        err = sk_judge_flows(judge);
    return err;
}

static int judge_all(struct sk_judge *judge, struct sk_verdict_sums *sums)
{
    uint32_t peers = judge->timeline->peers_count;
    for (uint32_t i = 0; i < peers; i++) {
        struct sk_verdict_peer *peer = &judge->peers[i];
        const struct sk_reports_line *lines;
        peer->announces = sk_judge_lines(judge, i, &lines);
        for (size_t k = 0; k < SK_CHECK_COUNT; k++)
            peer->findings[k] = (struct sk_finding){.value = 1, .claimed = NAN, .allowed = NAN};
    }
    /* Where nobody gave the metadata, no piece was seen: that is no evidence against anybody. */
    int err = judge->timeline->pieces ? check_all(judge, sums) : 0;
    for (uint32_t i = 0; i < peers; i++)
        judge->peers[i].value = mean_value(judge->config, &judge->peers[i]);
    if (!err)
        err = discover(judge);
    for (uint32_t i = 0; i < peers && !err; i++)
        conclude(judge, i);
    return err;
}

static bool makes_sense(const struct sk_verdict_config *config)
{
    return config->false_discovery > 0 && config->false_discovery < 1 && config->delay_s >= 0 &&
           config->have_delay_s >= 0 && config->partial_s >= 0 && config->waste_share > 0 &&
           config->capacity_doubt > 0 && config->capacity_doubt < 1 && config->hidden_peers >= 0;
}

int sk_verdicts_init(struct sk_verdicts *verdicts, const struct sk_timeline *timeline,
                     const struct sk_announce *announces, size_t count,
                     const struct sk_verdict_config *config)
{
    *verdicts = (struct sk_verdicts){.count = timeline->peers_count};
    if (!makes_sense(config))
        return SKEP_ERR_INVALID;
    int err = sk_reports_init(&verdicts->reports, timeline, announces, count, config->info_hash,
                              config->began_unix_s, config->skew_max_s);
    if (err)
        return err;
    size_t peers = (size_t)timeline->peers_count + 1;
    verdicts->peers = sk_mem_calloc(peers, sizeof *verdicts->peers);
    struct sk_judge judge = {
        .timeline = timeline,
        .reports = &verdicts->reports,
        .config = config,
        .slack_s = verdicts->reports.accuracy_s + config->delay_s + config->have_delay_s,
        .partial = (double)config->partial_pieces * timeline->piece_size,
        .padding = (timeline->bytes ? 1 : 2) * (double)sk_timeline_padding(timeline),
        .padded = timeline->bytes ? (double)sk_timeline_padding(timeline) : 0,
        .peers = verdicts->peers,
        .same_run = sk_mem_calloc(peers, sizeof *judge.same_run),
        .tells = sk_mem_calloc(peers, sizeof *judge.tells),
        .keeps = sk_mem_calloc(peers, sizeof *judge.keeps),
        .counting = sk_mem_calloc(peers, sizeof *judge.counting),
        .uploads = sk_mem_calloc(peers, sizeof *judge.uploads),
    };
    err = judge.peers && judge.same_run && judge.tells && judge.keeps && judge.counting &&
                  judge.uploads
              ? judge_all(&judge, &verdicts->sums)
              : SKEP_ERR_NOMEM;
    sk_mem_free(judge.same_run);
    sk_mem_free(judge.tells);
    sk_mem_free(judge.keeps);
    sk_mem_free(judge.counting);
    sk_mem_free(judge.uploads);
    if (err)
        sk_verdicts_deinit(verdicts);
    return err;
}

void sk_verdicts_deinit(struct sk_verdicts *verdicts)
{
    sk_mem_free(verdicts->peers);
    sk_reports_deinit(&verdicts->reports);
    *verdicts = (struct sk_verdicts){0};
}
