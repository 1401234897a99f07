/* Uploaded, against what the line carries and what all others gained meanwhile. */
#include "audit/evidence.h"
#include "audit/verdict_internal.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

/* Peer exchange tells once a minute, and not all at once. */
#define LINK_BEFORE_S 120
#define LINK_AFTER_S 60
/* Standard deviations of a normal error that SK_VERDICT_DOUBT leaves above, and 2.5 %. */
#define DOUBT_Z 4.75
#define HALF_Z 1.96
#define CAPACITY_SD_LEAST 0.02
#define TAKEN_MORE 262144 /* bytes on their way to us, counted there already */
/* What others gain so soon after a step may have been given in it. Pieces that take longer make up
 * for those that had begun before. */
#define BEGUN_S 120.0
#define BUSY_SHARE 0.9 /* of those that gain, the quantile that stands for one nobody saw */

/* Two peers that may have been connected, and when. */
struct near {
    uint32_t peer;
    float from_s, until_s;
};

/* Between two announces of a peer. */
struct step {
    double from_s, until_s, uploaded;
    double allowed; /* by others' gains */
};

struct swarm {
    struct sk_judge *judge;
    struct sk_tally *tallies;
    bool *speaks;     /* of each peer: it tells whom it is connected to */
    uint32_t *begins; /* of each peer's links in `near`, and the end */
    struct near *near;
    struct near *row; /* of the peer at hand: to whom it may have been connected */
    uint32_t row_count;
    uint32_t *since; /* from when on the peer at hand may have held each piece */
    double busy_bytes_s;
    bool by_piece;
    uint64_t looks; /* that may still be taken at pairs of peers */
};

/* ---- who was connected to whom ---- */

static double span_end_s(const struct sk_timeline *timeline, const struct sk_timeline_link *link)
{
    const struct sk_timeline_peer *peer = &timeline->peers[link->a];
    if (link->until_ms == SK_TIME_OPEN)
        return INFINITY;
    for (uint32_t i = 0; i < peer->watched_count; i++)
        if (peer->watched[i].until_ms == link->until_ms)
            return INFINITY; /* it was not taken back: we left */
    return link->until_ms / 1e3 + LINK_AFTER_S;
}

static double span_begin_s(const struct sk_timeline *timeline, const struct sk_timeline_link *link)
{
    const struct sk_timeline_peer *peer = &timeline->peers[link->a];
    double at_s = link->from_ms / 1e3;
    for (uint32_t i = 0; i < peer->watched_count; i++)
        if (link->from_ms >= peer->watched[i].from_ms &&
            at_s - peer->watched[i].from_ms / 1e3 < LINK_BEFORE_S)
            return -INFINITY; /* it may have been there when we came */
    return at_s - LINK_BEFORE_S;
}

static void place(struct swarm *swarm, uint32_t *next, uint32_t a, uint32_t b,
                  const struct sk_timeline_link *link)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    swarm->near[next[a]++] =
        (struct near){b, (float)span_begin_s(timeline, link), (float)span_end_s(timeline, link)};
}

static int find_links(struct swarm *swarm)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    uint32_t peers = timeline->peers_count;
    uint32_t *next = sk_mem_calloc((size_t)peers + 1, sizeof *next);
    swarm->begins = sk_mem_calloc((size_t)peers + 1, sizeof *swarm->begins);
    swarm->near = sk_mem_calloc(2 * (size_t)timeline->links_count + 1, sizeof *swarm->near);
    int err = next && swarm->begins && swarm->near ? 0 : SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < timeline->links_count && !err; i++) {
        swarm->begins[timeline->links[i].a + 1]++;
        swarm->begins[timeline->links[i].b + 1]++;
        swarm->speaks[timeline->links[i].a] = true;
    }
    for (uint32_t i = 0; i < peers && !err; i++) {
        swarm->begins[i + 1] += swarm->begins[i];
        next[i] = swarm->begins[i];
    }
    for (uint32_t i = 0; i < timeline->links_count && !err; i++) {
        const struct sk_timeline_link *link = &timeline->links[i];
        place(swarm, next, link->a, link->b, link);
        place(swarm, next, link->b, link->a, link);
    }
    sk_mem_free(next);
    return err;
}

/* The times in which `peer` may have been connected to others: as told by either of them, always
 * where neither tells. */
static void fill_row(struct swarm *swarm, uint32_t peer)
{
    uint32_t peers = swarm->judge->timeline->peers_count;
    for (uint32_t j = 0; j < peers; j++) {
        bool told = swarm->speaks[peer] || swarm->speaks[j] || j == peer ||
                    swarm->judge->timeline->peers[j].alias;
        swarm->row[j] = (struct near){j, told ? INFINITY : -INFINITY, told ? -INFINITY : INFINITY};
    }
    for (uint32_t i = swarm->begins[peer]; i < swarm->begins[peer + 1]; i++) {
        struct near *near = &swarm->row[swarm->near[i].peer];
        near->from_s = SK_MIN(near->from_s, swarm->near[i].from_s);
        near->until_s = SK_MAX(near->until_s, swarm->near[i].until_s);
    }
    swarm->row_count = 0;
    for (uint32_t j = 0; j < peers; j++)
        if (swarm->row[j].from_s < swarm->row[j].until_s)
            swarm->row[swarm->row_count++] = swarm->row[j];
}

/* ---- what others gained ---- */

/* Since when the peer may have held each piece; where it does not tell, always. */
static void fill_since(struct swarm *swarm, uint32_t index)
{
    const struct sk_judge *judge = swarm->judge;
    const struct sk_timeline_peer *peer = &judge->timeline->peers[index];
    uint32_t never = judge->tells[index] ? SK_TIME_OPEN : 0;
    uint32_t slack_ms = (uint32_t)(judge->config->delay_s * 1e3);
    for (uint32_t piece = 0; piece < judge->timeline->pieces; piece++)
        swarm->since[piece] = sk_bitfield_has(&peer->first, piece) ? 0 : never;
    for (uint32_t i = 0; i < peer->gains_count && never; i++)
        swarm->since[peer->gains[i].piece] =
            peer->gains[i].since_ms - SK_MIN(peer->gains[i].since_ms, slack_ms);
}

/* Bytes that `tally`'s peer may have gained within the time of what the peer at hand held. */
static double gained(const struct swarm *swarm, const struct sk_tally *tally, double from_s,
                     double until_s)
{
    uint32_t from = sk_tally_told(tally, from_s), to = sk_tally_possible(tally, until_s);
    if (from >= to)
        return 0;
    if (!swarm->by_piece)
        return (double)(sk_tally_bytes(tally, to) - sk_tally_bytes(tally, from));
    uint64_t bytes = 0;
    for (uint32_t i = from; i < to; i++) {
        const struct sk_gain *gain = &tally->peer->gains[i];
        if (swarm->since[gain->piece] <= gain->at_ms)
            bytes += sk_timeline_piece_bytes(swarm->judge->timeline, gain->piece);
    }
    return (double)bytes;
}

/* What the peer itself says to have downloaded in the announces around the time: with how much of
 * the time they cover. */
static double said(const struct swarm *swarm, uint32_t peer, double from_s, double until_s,
                   double *ret_covered_s)
{
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(swarm->judge, peer, &lines);
    double bytes = 0;
    *ret_covered_s = 0;
    for (uint32_t i = 1; i < count; i++) {
        double a = SK_MAX(lines[i - 1].at_s, from_s), b = SK_MIN(lines[i].at_s, until_s);
        double grown = sk_judge_difference(lines[i - 1].downloaded, lines[i].downloaded,
                                           sk_judge_anew(&lines[i - 1], &lines[i]));
        if (a >= b || isnan(grown))
            continue;
        bytes += grown;
        *ret_covered_s += b - a;
    }
    return bytes;
}

/* What the peer may have gained without our knowing: before we knew it, after we lost sight of it;
 * all the time if it does not tell. */
static double unseen(const struct swarm *swarm, uint32_t index, double from_s, double until_s)
{
    const struct sk_judge *judge = swarm->judge;
    const struct sk_timeline_peer *peer = &judge->timeline->peers[index];
    if (peer->has_first && sk_bitfield_full(&peer->first))
        return 0;
    double blind_s = until_s - from_s;
    if (judge->tells[index]) {
        const struct sk_span *last = &peer->watched[peer->watched_count - 1];
        double end_s = SK_MIN(last->until_ms, judge->timeline->end_ms) / 1e3;
        double full = peer->held.set == peer->held.count;
        blind_s = SK_MAX(SK_MIN(peer->first_ms / 1e3, until_s) - from_s, 0.0);
        blind_s += full ? 0 : SK_MAX(until_s - SK_MAX(end_s, from_s), 0.0);
        return blind_s * swarm->busy_bytes_s;
    }
    double covered_s, bytes = said(swarm, index, from_s, until_s, &covered_s);
    return bytes + SK_MAX(blind_s - covered_s, 0.0) * swarm->busy_bytes_s;
}

/* What we took of it ourselves. */
static double taken(const struct sk_timeline_peer *peer, double from_s, double until_s)
{
    double bytes = 0;
    for (uint32_t i = 0; i < peer->taken_count; i++)
        if (peer->taken[i].from_ms <= until_s * 1e3 && peer->taken[i].until_ms >= from_s * 1e3)
            bytes += (double)peer->taken[i].bytes;
    return bytes > 0 ? bytes + TAKEN_MORE : 0;
}

/* What others can have taken from the peer in the step: all that they gained of what it held, in
 * the step or, in pieces that were begun then, soon after. */
static void bound_by_gains(struct swarm *swarm, uint32_t index, struct step *step)
{
    const struct sk_judge *judge = swarm->judge;
    const struct sk_verdict_config *config = judge->config;
    double from_s = step->from_s - judge->slack_s;
    double until_s = step->until_s + judge->slack_s + SK_MIN(config->partial_s, BEGUN_S);
    struct sk_judge_upload *sum = &judge->uploads[index];
    double own = taken(&judge->timeline->peers[index], from_s, until_s);
    double hidden = config->hidden_peers * swarm->busy_bytes_s * (until_s - from_s);
    double bytes = own + hidden;
    for (uint32_t k = 0; k < swarm->row_count; k++) {
        const struct near *near = &swarm->row[k];
        double a = SK_MAX(from_s, near->from_s), b = SK_MIN(until_s, near->until_s);
        if (a >= b)
            continue;
        double told = gained(swarm, &swarm->tallies[near->peer], a, b);
        double dark = unseen(swarm, near->peer, a, b);
        if (told + dark > 0)
            bytes += told + dark + judge->timeline->piece_size;
        sum->told += told;
        sum->dark += dark;
    }
    if (!sum->claimed)
        sum->from_s = step->from_s;
    sum->until_s = step->until_s;
    sum->claimed += step->uploaded;
    sum->dark += hidden;
    sum->taken += own;
    step->allowed = bytes * (1 + config->waste_share);
}

/* ---- the checks ---- */

static double capacity_most(const struct sk_rate *capacity)
{
    double sd = log(capacity->high / capacity->rate) / HALF_Z;
    return capacity->rate * exp(DOUBT_Z * (sd > CAPACITY_SD_LEAST ? sd : CAPACITY_SD_LEAST));
}

static void judge_step(struct swarm *swarm, uint32_t index, struct step *step)
{
    struct sk_judge *judge = swarm->judge;
    struct sk_verdict_peer *result = &judge->peers[index];
    const struct sk_rate *capacity = &judge->timeline->peers[index].capacity;
    double piece = judge->timeline->piece_size, allowed = INFINITY;
    if (capacity->rate > 0 && capacity->high > 0) { /* else its line carries at least so much */
        double seconds = step->until_s - step->from_s + 2 * judge->slack_s;
        allowed = capacity_most(capacity) * seconds + piece;
        sk_judge_note(&result->findings[SK_CHECK_UPLOADED_CAPACITY], step->uploaded > allowed,
                      step->uploaded, allowed, step->from_s, step->until_s);
    }
    double end_s = judge->timeline->end_ms / 1e3;
    bool seen = step->from_s >= -judge->slack_s && step->from_s < end_s;
    if (seen && swarm->looks >= swarm->row_count) {
        swarm->looks -= swarm->row_count;
        bound_by_gains(swarm, index, step);
        sk_judge_note(&result->findings[SK_CHECK_UPLOADED_GAINS], step->uploaded > step->allowed,
                      step->uploaded, step->allowed, step->from_s, step->until_s);
        allowed = SK_MIN(allowed, step->allowed);
    }
    result->claimed_up += step->uploaded;
    result->allowed_up += allowed;
}

static void judge_peer(struct swarm *swarm, uint32_t index)
{
    struct sk_verdict_peer *result = &swarm->judge->peers[index];
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(swarm->judge, index, &lines), steps = 0;
    if (count > 1)
        fill_row(swarm, index);
    if (count > 1 && swarm->by_piece)
        fill_since(swarm, index);
    for (uint32_t i = 1; i < count; i++) {
        struct step step = {.from_s = lines[i - 1].at_s, .until_s = lines[i].at_s};
        step.uploaded = sk_judge_difference(lines[i - 1].uploaded, lines[i].uploaded, true);
        if (isnan(step.uploaded))
            continue;
        steps++;
        judge_step(swarm, index, &step);
    }
    if (!steps)
        result->claimed_up = result->allowed_up = NAN;
    for (enum sk_verdict_check check = SK_CHECK_UPLOADED_CAPACITY; check <= SK_CHECK_UPLOADED_GAINS;
         check++) {
        struct sk_finding *finding = &result->findings[check];
        finding->value = sk_evidence_counts(finding->said, finding->against, SK_VERDICT_FAULT);
    }
}

/* ---- all peers ---- */

static int by_rate(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What one of those that gain much gains a second. */
static int find_busy(struct swarm *swarm)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    double *rates = sk_mem_alloc(((size_t)timeline->peers_count + 1) * sizeof *rates);
    uint32_t count = 0;
    if (!rates)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        if (peer->gains_count < 2)
            continue;
        double seconds = (peer->gains[peer->gains_count - 1].at_ms - peer->first_ms) / 1e3;
        if (seconds > 0)
            rates[count++] =
                (double)sk_tally_bytes(&swarm->tallies[i], peer->gains_count) / seconds;
    }
    qsort(rates, count, sizeof *rates, by_rate);
    swarm->busy_bytes_s = count ? rates[(uint32_t)(BUSY_SHARE * (count - 1))] : 0;
    sk_mem_free(rates);
    return 0;
}

/* Whether there is time to look at each piece. */
static bool can_look(const struct swarm *swarm)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    uint64_t mute = 0, looks = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++)
        mute += swarm->speaks[i] ? 0 : timeline->peers[i].gains_count;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_reports_line *lines;
        if (sk_judge_lines(swarm->judge, i, &lines) < 2)
            continue;
        looks += timeline->pieces + (swarm->speaks[i] ? 0 : mute);
        for (uint32_t k = swarm->begins[i]; k < swarm->begins[i + 1]; k++)
            looks += timeline->peers[swarm->near[k].peer].gains_count;
    }
    return looks <= SK_VERDICT_LOOKS_MAX;
}

static int prepare(struct swarm *swarm)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    size_t peers = (size_t)timeline->peers_count + 1;
    swarm->tallies = sk_mem_calloc(peers, sizeof *swarm->tallies);
    swarm->speaks = sk_mem_calloc(peers, sizeof *swarm->speaks);
    swarm->row = sk_mem_calloc(peers, sizeof *swarm->row);
    swarm->since = sk_mem_calloc(timeline->pieces, sizeof *swarm->since);
    if (!swarm->tallies || !swarm->speaks || !swarm->row || !swarm->since)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < timeline->peers_count; i++)
        swarm->tallies[i] = sk_tally(timeline, &timeline->peers[i]);
    int err = find_links(swarm);
    if (!err)
        err = find_busy(swarm);
    swarm->by_piece = !err && can_look(swarm);
    return err;
}

int sk_judge_uploaded(struct sk_judge *judge)
{
    struct swarm swarm = {.judge = judge, .looks = SK_VERDICT_LOOKS_MAX};
    int err = prepare(&swarm);
    for (uint32_t i = 0; i < judge->timeline->peers_count && !err; i++)
        judge_peer(&swarm, i);
    sk_mem_free(swarm.tallies);
    sk_mem_free(swarm.speaks);
    sk_mem_free(swarm.begins);
    sk_mem_free(swarm.near);
    sk_mem_free(swarm.row);
    sk_mem_free(swarm.since);
    return err;
}
