/* Downloaded, against the pieces that the peer told to have gained. */
#include "audit/evidence.h"
#include "audit/verdict_internal.h"

#include "base/assert.h"

#include <math.h>

#define WASTED_LEAST 10 /* pieces: waste is expected as if so many more were gained */

/* From where a counter is held against gains. */
struct base {
    double at_s;
    uint64_t downloaded;
    double begun;                       /* bytes that may have been there of pieces under way */
    const struct sk_reports_line *line; /* NULL: none, all that it says counts */
};

/* Bytes of the gains from one index to another. */
static double between(const struct sk_tally *tally, uint32_t from, uint32_t to)
{
    return from < to ? (double)(sk_tally_bytes(tally, to) - sk_tally_bytes(tally, from)) : 0;
}

/* Bytes of the gains that certainly fall into the time; and of those that may. */
static double gained_least(const struct sk_tally *tally, double from_s, double until_s)
{
    return between(tally, sk_tally_possible(tally, from_s), sk_tally_told(tally, until_s));
}

static double gained_most(const struct sk_tally *tally, double from_s, double until_s)
{
    return between(tally, sk_tally_told(tally, from_s), sk_tally_possible(tally, until_s));
}

/* Bytes of pieces under way that were there at the line already: none where it lacks all, and what
 * it counts itself, if it counts blocks. */
static double begun(const struct sk_judge *judge, const struct sk_tally *tally,
                    const struct sk_reports_line *line)
{
    uint64_t size = judge->timeline->size;
    if (line->event == SK_ANNOUNCE_STARTED && line->left == size)
        return 0;
    double most = SK_MIN(sk_judge_under_way(judge, tally, line), judge->partial);
    if (line->left > size || judge->counting[line->peer] != SK_COUNTING_BLOCKS)
        return most;
    uint32_t told = sk_tally_told(tally, line->at_s - judge->slack_s);
    double held = (double)(tally->first + sk_tally_bytes(tally, told));
    return SK_MIN(most, SK_MAX((double)(size - line->left) - held, 0.0));
}

/* The least that can have been downloaded from the base until the line: what it told to have
 * gained, or what it says itself that it lacks no longer, but for what had begun at the base. */
static double least(const struct sk_judge *judge, const struct sk_tally *tally,
                    const struct base *base, const struct sk_reports_line *line)
{
    double floor = gained_least(tally, base->at_s, line->at_s - judge->slack_s) - base->begun;
    if (!base->line || base->line->left == SK_ANNOUNCE_UNKNOWN || line->left > base->line->left)
        return floor;
    /* Where left counts blocks, it fell by what came and by nothing else. */
    bool blocks = judge->counting[line->peer] == SK_COUNTING_BLOCKS;
    double fell = (double)(base->line->left - line->left) - (blocks ? 0 : base->begun);
    return SK_MAX(floor, fell);
}

/*
 * Within one connection of ours the client did not restart: its counter, whenever that began, has
 * all that it gained since then (the first base), and what it grew by has what it gained since the
 * first announce (the second). HAVEs of who says that it lacks nothing are no gains: super-seeding.
 */
static void judge_less(struct sk_judge *judge, const struct sk_tally *tally,
                       const struct sk_reports_line *lines, uint32_t count,
                       const struct sk_span *span, struct sk_finding *finding)
{
    double from_s = span->from_ms / 1e3,
           until_s = SK_MIN(span->until_ms, judge->timeline->end_ms) / 1e3;
    struct base bases[2] = {{.at_s = from_s, .begun = judge->partial}, {.at_s = INFINITY}};
    for (uint32_t i = 0; i < count; i++) {
        const struct sk_reports_line *line = &lines[i];
        double at_s = line->at_s - judge->slack_s;
        if (at_s < from_s || line->at_s > until_s || line->downloaded == SK_ANNOUNCE_UNKNOWN)
            continue;
        bool anew = i && sk_judge_anew(&lines[i - 1], line);
        if (anew || bases[1].at_s == INFINITY) {
            bases[1] = (struct base){line->at_s + judge->slack_s, line->downloaded,
                                     begun(judge, tally, line), line};
            if (anew)
                bases[0] = bases[1];
        }
        bool seed = line->left == 0 && (!bases[1].line || bases[1].line->left == 0);
        if (seed || anew)
            continue;
        double short_by = -INFINITY, claimed = 0, allowed = 0, since_s = 0;
        for (size_t k = 0; k < 2; k++) {
            double floor = least(judge, tally, &bases[k], line);
            double grown = (double)line->downloaded - (double)bases[k].downloaded;
            if (floor - grown <= short_by)
                continue;
            short_by = floor - grown;
            claimed = grown;
            allowed = floor;
            since_s = bases[k].at_s;
        }
        if (allowed > 0)
            sk_judge_note(finding, short_by >= judge->timeline->piece_size, claimed, allowed,
                          since_s, line->at_s);
    }
}

/* Pieces that the counter has too many from `base` until `line`, beyond those under way. */
static double surplus(const struct sk_judge *judge, const struct sk_tally *tally,
                      const struct sk_reports_line *base, const struct sk_reports_line *line,
                      double *ret_gained)
{
    double piece = judge->timeline->piece_size, slack_s = judge->slack_s;
    double claimed = sk_judge_difference(base->downloaded, line->downloaded, false);
    double gained = gained_most(tally, base->at_s - slack_s, line->at_s + slack_s);
    if (base->left != SK_ANNOUNCE_UNKNOWN && line->left < base->left)
        gained = SK_MAX(gained, (double)(base->left - line->left));
    *ret_gained = gained;
    double begun = 0; /* where left counts blocks, it has fallen by those of pieces under way */
    if (judge->counting[line->peer] != SK_COUNTING_BLOCKS || line->left == SK_ANNOUNCE_UNKNOWN)
        begun = SK_MIN(sk_judge_under_way(judge, tally, line), judge->partial);
    return (claimed - gained - begun) / piece;
}

/* Of one run of a client, what it says to have downloaded too much: as events (pieces), with how
 * many waste may explain. The counter of its first announce may be older than it says, so the
 * second one is tried as well, and what speaks for the client counts. */
static void judge_run(struct sk_judge *judge, const struct sk_tally *tally,
                      const struct sk_reports_line *lines, uint32_t count,
                      struct sk_finding *finding, double *events, double *mean)
{
    const struct sk_verdict_config *config = judge->config;
    double piece = judge->timeline->piece_size, extra = 0, expected = 0;
    for (uint32_t i = 1; i < count; i++) {
        double gained[2], over[2];
        over[0] = over[1] = surplus(judge, tally, &lines[0], &lines[i], &gained[0]);
        gained[1] = gained[0];
        if (i > 1) /* k = 1 only then */
            over[1] = surplus(judge, tally, &lines[1], &lines[i], &gained[1]);
        unsigned k = over[1] < over[0];
        if (isnan(over[k]))
            continue;
        expected = config->waste_share * (gained[k] / piece + WASTED_LEAST);
        extra = SK_MAX(over[k], 0.0);
        double claimed = (double)(lines[i].downloaded - lines[k].downloaded);
        double allowed = claimed - (over[k] - expected) * piece;
        sk_judge_note(finding, sk_evidence_events(extra, expected) > 1 / SK_VERDICT_FAULT, claimed,
                      allowed, lines[k].at_s, lines[i].at_s);
    }
    *events += extra;
    *mean += expected;
}

/* Whether the counter can be held against anything: what it lacks is said, or what it gains. */
static bool comparable(const struct sk_judge *judge, uint32_t peer,
                       const struct sk_reports_line *line)
{
    return line->downloaded != SK_ANNOUNCE_UNKNOWN &&
           (line->left != SK_ANNOUNCE_UNKNOWN || judge->tells[peer]);
}

static void judge_more(struct sk_judge *judge, uint32_t peer, const struct sk_tally *tally,
                       const struct sk_reports_line *lines, uint32_t count)
{
    struct sk_finding *finding = &judge->peers[peer].findings[SK_CHECK_DOWNLOADED_MORE];
    double events = 0, mean = 0;
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        end = begin + 1;
        if (!comparable(judge, peer, &lines[begin]))
            continue;
        /* Who lacks more than before has lost something, and fetches it again. */
        while (end < count && comparable(judge, peer, &lines[end]) &&
               !sk_judge_anew(&lines[end - 1], &lines[end]) &&
               lines[end].left <= lines[end - 1].left)
            end++;
        judge_run(judge, tally, lines + begin, end - begin, finding, &events, &mean);
    }
    finding->value = finding->said ? sk_evidence_events(events, mean) : 1;
}

void sk_judge_downloaded(struct sk_judge *judge, uint32_t index)
{
    const struct sk_timeline_peer *peer = &judge->timeline->peers[index];
    struct sk_finding *less = &judge->peers[index].findings[SK_CHECK_DOWNLOADED_LESS];
    struct sk_tally tally = sk_tally(judge->timeline, peer);
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(judge, index, &lines);
    for (uint32_t i = 0; i < peer->watched_count && !peer->shrank; i++)
        judge_less(judge, &tally, lines, count, &peer->watched[i], less);
    less->value = sk_evidence_counts(less->said, less->against, SK_VERDICT_FAULT);
    judge_more(judge, index, &tally, lines, count);
}
