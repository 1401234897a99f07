/* Downloaded, against the pieces that the peer told to have gained. */
#include "audit/evidence.h"
#include "audit/verdict_internal.h"

#include "base/assert.h"

#include <math.h>

#define WASTED_LEAST 10  /* pieces: waste is expected as if so many more were gained */
#define POISONED 10.0    /* pieces that come wrong before the one who sends them is banned */
#define COMPARED_LEAST 2 /* announces that show how much a client has under way, */
#define BEGUN_TIMES 2.0  /* and so many times as much it may have had when it stopped */
#define MOMENT_S 1e-3    /* of the timeline */
#define BEHIND_S 4.0     /* by which one counter of an announce may be older than another */
#define STARTED_S 60.0   /* who started so long before we connected has not restarted in between */
#define AWAY_S 3600.0    /* a log that goes back so far has who only restarts */

/* From where a counter is held against gains. */
struct base {
    double at_s; /* INFINITY: none */
    uint64_t downloaded;
    double begun;                       /* bytes that may have been there of pieces under way */
    const struct sk_reports_line *line; /* whose `left` counts; NULL: none */
    double found;                       /* bytes that it said to lack there, and may have had */
};

/*
 * A client where it did not restart, within one connection of ours or several: its counter,
 * whenever that began, has all that it gained since we connected, and what it grew by has what it
 * gained since its first announce.
 */
enum { CONNECTED, FIRST, BASES };

struct run {
    const struct sk_judge *judge;
    const struct sk_tally *tally;
    const struct sk_reports_line *lines, *end; /* of the peer */
    const struct sk_watch *watched;            /* our connections, */
    uint32_t watched_count;
    double from_s, until_s; /* from the begin of the first to the end of the last */
    struct base bases[BASES];
    bool began, seed; /* it has announced; it lacked nothing then */
    /* By how much left may fall more than is downloaded: as much as in the one step where that was
     * most (some of its files were unwanted, or found on its disk, or an announce is damaged); or
     * where that cannot be, by what it downloads while one counter is older than the other. */
    double jump;
    double fastest; /* bytes that it told to have gained in so short a time, at most */
    /* What may have been under way at its announces so far, by what it said itself. */
    double most;
    uint32_t compared;
    const struct sk_reports_line *stopped; /* its latest announce that it stops */
    double stopped_begun;                  /* under way then, at most */
};

/* Bytes of the gains from one index to another. */
static double between(const struct sk_tally *tally, uint32_t from, uint32_t to)
{
    return from < to ? (double)(sk_tally_bytes(tally, to) - sk_tally_bytes(tally, from)) : 0;
}

/*
 * Bytes of the gains that certainly fall into the time. What the bitfield shows that begins the
 * next connection may have been gained at any time of the one before: who tells of gains may yet
 * drop some of his HAVEs.
 */
static double gained_least(const struct run *run, double from_s, double until_s)
{
    const struct sk_tally *tally = run->tally;
    uint32_t from = sk_tally_possible(tally, from_s), to = sk_tally_told(tally, until_s);
    double bytes = between(tally, from, to);
    for (uint32_t i = 0; i + 1 < run->watched_count; i++) {
        double closed_s = run->watched[i].until_ms / 1e3;
        if (from_s <= run->watched[i].from_ms / 1e3 || from_s >= closed_s)
            continue;
        uint32_t told = sk_tally_told(tally, closed_s),
                 shown = sk_tally_possible(tally, closed_s + MOMENT_S);
        bytes -= between(tally, SK_MAX(told, from), SK_MIN(shown, to));
    }
    return bytes;
}

/* And of those that may. */
static double gained_most(const struct sk_tally *tally, double from_s, double until_s)
{
    return between(tally, sk_tally_told(tally, from_s), sk_tally_possible(tally, until_s));
}

/* Of a piece that was told by itself: when many come at once is not when they were gained. */
static double told_bytes(const struct sk_tally *tally, const struct sk_gain *gain)
{
    return gain->since_ms == gain->at_ms ? sk_timeline_piece_bytes(tally->timeline, gain->piece)
                                         : 0;
}

/* Bytes of the pieces that it told one by one within BEHIND_S, where these were most, after the
 * first of them: from that one on they came. */
static double fastest(const struct sk_tally *tally)
{
    const struct sk_gain *gains = tally->peer->gains;
    double bytes = 0, most = 0;
    for (uint32_t from = 0, to = 0; to < tally->peer->gains_count; to++) {
        bytes += told_bytes(tally, &gains[to]);
        for (; gains[to].at_ms - gains[from].at_ms > BEHIND_S * 1e3; from++)
            bytes -= told_bytes(tally, &gains[from]);
        most = SK_MAX(most, bytes - tally->timeline->piece_size);
    }
    return most;
}

static bool counts_blocks(const struct run *run)
{
    return run->judge->counting[run->tally->peer - run->judge->timeline->peers] ==
           SK_COUNTING_BLOCKS;
}

/* Bytes of the pieces that it told to hold by this time. */
static double held(const struct run *run, double at_s)
{
    uint32_t told = sk_tally_told(run->tally, at_s);
    return (double)(run->tally->first + sk_tally_bytes(run->tally, told));
}

/* Whether it may lack what it says, for all that it told to hold by this time. */
static bool may_lack(const struct run *run, const struct sk_reports_line *line, double at_s)
{
    const struct sk_timeline *timeline = run->judge->timeline;
    return (double)line->left < (double)timeline->size - held(run, at_s) + timeline->piece_size;
}

/* Bytes of pieces under way that were there at the line already: where it counts blocks, those that
 * it counts itself. */
static double begun(const struct run *run, const struct sk_reports_line *line)
{
    const struct sk_judge *judge = run->judge;
    uint64_t size = judge->timeline->size;
    double most = SK_MIN(sk_judge_under_way(judge, run->tally, line), judge->partial);
    if (line->left > size || !counts_blocks(run))
        return most;
    return SK_MIN(
        most, SK_MAX((double)(size - line->left) - held(run, line->at_s - judge->slack_s), 0.0));
}

/*
 * The same where a client starts. Who has no more than it downloaded since then began with nothing,
 * unless it was here before: with nothing whole it may yet have blocks, which only a log that has
 * no earlier announce of it rules out. Who was: no more than when it said that it stops, if it
 * lacks as much as then; else not many times what it had before.
 */
static double begun_anew(const struct run *run, const struct sk_reports_line *line)
{
    double most = begun(run, line), piece = run->judge->timeline->piece_size;
    uint64_t size = run->judge->timeline->size;
    if (line->event != SK_ANNOUNCE_STARTED || line->left > size || counts_blocks(run))
        return most;
    double has = (double)(size - line->left), came = (double)line->downloaded;
    bool new = line->at_s - run->judge->reports->from_s >= AWAY_S;
    if (line == run->lines)
        return new &&has <= came ? SK_MIN(most, came - has) : most;
    if (run->stopped == line - 1 && run->stopped->left == line->left)
        most = SK_MIN(most, run->stopped_begun);
    if (run->compared >= COMPARED_LEAST)
        most = SK_MIN(most, BEGUN_TIMES * run->most + piece);
    return most;
}

/* The least that can have been downloaded from the base until the line: what it told to have
 * gained by `until_s`, or what it says itself that it lacks no longer, but for what had begun at
 * the base. */
static double least(const struct run *run, const struct base *base,
                    const struct sk_reports_line *line, double until_s)
{
    double floor = gained_least(run, base->at_s, until_s) - base->begun - run->judge->padding;
    if (!base->line || line->left > base->line->left) /* unknown: the largest */
        return floor;
    /* Where left counts blocks, it fell by what came and by nothing else but padding. */
    double fell = (double)(base->line->left - line->left) - base->found -
                  (counts_blocks(run) ? 0 : base->begun);
    return SK_MAX(floor, fell - run->jump - run->judge->padding);
}

/* What may be under way at a line by what was said since the bases: negative where its counter has
 * less than it gained until `until_s`. */
struct room {
    double bytes, claimed, allowed, since_s;
};

static struct room find_room(const struct run *run, const struct sk_reports_line *line,
                             double until_s)
{
    struct room room = {.bytes = INFINITY};
    for (size_t k = 0; k < BASES; k++) {
        const struct base *base = &run->bases[k];
        if (base->at_s == INFINITY)
            continue;
        double floor = least(run, base, line, until_s);
        double grown = (double)line->downloaded - (double)base->downloaded;
        if (grown - floor < room.bytes)
            room = (struct room){grown - floor, grown, floor, base->at_s};
    }
    return room;
}

static void begin_run(struct run *run)
{
    run->bases[CONNECTED] = (struct base){.at_s = run->from_s, .begun = run->judge->partial};
    run->bases[FIRST] = (struct base){.at_s = INFINITY};
    run->began = run->seed = false;
    run->jump = 0;
}

/*
 * It announced before we connected. Where it has just started it is the same run still: what it had
 * begun is known better, and what left has fallen by counts, as long as it held no more than that
 * when we connected: pieces may have been on its disk all the time, and be found after it started.
 * So may have been what it told soon after.
 */
static void see_before(struct run *run, const struct sk_reports_line *line)
{
    const struct sk_judge *judge = run->judge;
    if (line == run->lines || sk_judge_anew(line - 1, line))
        begin_run(run);
    if (line->event != SK_ANNOUNCE_STARTED || line->at_s < run->from_s - STARTED_S ||
        line->left > judge->timeline->size)
        return;
    double more =
        held(run, run->from_s + judge->slack_s) - (double)(judge->timeline->size - line->left);
    bool counts = may_lack(run, line, run->from_s + judge->config->delay_s);
    /* As far as clocks tell it may have come after we connected; where one was set, later ones not
     * so much. */
    double at_s = SK_MAX(run->from_s, line->at_s + judge->slack_s);
    run->bases[CONNECTED] = (struct base){.at_s = at_s,
                                          .downloaded = line->downloaded,
                                          .begun = begun_anew(run, line),
                                          .line = counts ? line : NULL,
                                          .found = more < judge->timeline->piece_size ? 0 : more};
    run->began = true;
    run->seed = line->left == 0;
}

/* The step from the announce before, of the same run. Of one file there is no choice, as long as
 * what it tells to hold shows that its left is what it lacks: it downloads at times as it does in
 * the mean from one announce to the next, or as its HAVEs come. */
static void note_step(struct run *run, const struct sk_reports_line *line)
{
    const struct sk_judge *judge = run->judge;
    double grown = sk_judge_difference(line[-1].downloaded, line->downloaded, false);
    if (line->left >= line[-1].left || line[-1].left == SK_ANNOUNCE_UNKNOWN || isnan(grown))
        return;
    double fell = (double)(line[-1].left - line->left), seconds = line->at_s - line[-1].at_s;
    bool sure = judge->config->files == 1 && judge->tells[line->peer];
    double behind = SK_MAX(fell / SK_MAX(seconds, 1.0) * BEHIND_S, run->fastest);
    run->jump = SK_MAX(run->jump, sure ? behind : fell - grown);
}

static void note_room(struct run *run, const struct sk_reports_line *line, const struct room *room)
{
    double piece = run->judge->timeline->piece_size;
    bool known = isfinite(room->bytes) && line->left != 0 && !counts_blocks(run);
    if (known && line->event != SK_ANNOUNCE_STARTED) {
        run->most = SK_MAX(run->most, room->bytes);
        run->compared++;
    }
    if (line->event != SK_ANNOUNCE_STOPPED)
        return;
    /* A piece of blocks may come while it says so. */
    run->stopped = line;
    run->stopped_begun = known ? SK_MAX(room->bytes, 0.0) + piece : INFINITY;
}

/* HAVEs of who says that it lacks nothing are no gains: super-seeding. */
static void see_within(struct run *run, const struct sk_reports_line *line,
                       struct sk_finding *finding)
{
    bool anew = line > run->lines && sk_judge_anew(line - 1, line);
    if (anew) {
        begin_run(run);
        run->bases[CONNECTED].at_s = INFINITY;
    } else if (line > run->lines) {
        note_step(run, line);
    }
    if (!run->began)
        run->seed = line->left == 0;
    run->began = true;
    if (run->bases[FIRST].at_s == INFINITY)
        run->bases[FIRST] = (struct base){
            .at_s = line->at_s + run->judge->slack_s,
            .downloaded = line->downloaded,
            .begun = begun_anew(run, line),
            .line = may_lack(run, line, line->at_s - run->judge->slack_s) ? line : NULL};
    if (anew || (run->seed && line->left == 0))
        return;
    double piece = run->judge->timeline->piece_size, until_s = line->at_s - run->judge->slack_s;
    struct room room = find_room(run, line, until_s);
    bool against = room.bytes <= -piece;
    if (room.allowed > 0) {
        sk_judge_note(finding, against, room.claimed, room.allowed, room.since_s, line->at_s);
        finding->late +=
            against && find_room(run, line, until_s - SK_VERDICT_LATE_S).bytes > -piece;
    }
    note_room(run, line, &room);
}

static void judge_less(struct run *run, struct sk_finding *finding)
{
    uint32_t end_ms = run->watched[run->watched_count - 1].until_ms;
    run->from_s = run->watched->from_ms / 1e3;
    run->until_s = SK_MIN(end_ms, run->judge->timeline->end_ms) / 1e3;
    begin_run(run);
    for (const struct sk_reports_line *line = run->lines; line < run->end; line++) {
        /* Who stops closes the connection, too. */
        double late_s = line->event == SK_ANNOUNCE_STOPPED ? run->judge->slack_s : 0;
        if (line->downloaded == SK_ANNOUNCE_UNKNOWN || line->at_s > run->until_s + late_s)
            continue;
        if (line->at_s - run->judge->slack_s < run->from_s)
            see_before(run, line);
        else
            see_within(run, line, finding);
    }
}

/* What a client says to have downloaded too much, in pieces, and how much of it waste explains. */
struct excess {
    double events, mean; /* of the runs so far */
    /* From one announce to the next, where it was most, and second most. */
    double rise, second;
};

/*
 * But for one accident: either one of two announces is damaged, or the first of a run is older than
 * it says, so that the largest step counts as the second largest; or somebody sent wrong pieces
 * until he was banned.
 */
static double usual(const struct excess *excess, double events)
{
    return excess->events + events - SK_MAX(excess->rise - excess->second, POISONED);
}

static void note_rise(struct excess *excess, double rise)
{
    excess->second = SK_MAX(excess->second, SK_MIN(rise, excess->rise));
    excess->rise = SK_MAX(excess->rise, rise);
}

/* How `left` went since the first line of a run, where it was told. */
struct course {
    uint64_t left;
    double fell;   /* bytes, all falls: what was lost is fetched again */
    double raised; /* bytes, in the one step where that was most: of what was lost then some may
                      have been fetched already */
};

static void follow(struct course *course, uint64_t left)
{
    if (left == SK_ANNOUNCE_UNKNOWN)
        return;
    if (course->left != SK_ANNOUNCE_UNKNOWN && left < course->left)
        course->fell += (double)(course->left - left);
    if (course->left != SK_ANNOUNCE_UNKNOWN && left > course->left)
        course->raised = SK_MAX(course->raised, (double)(left - course->left));
    course->left = left;
}

/* Bytes of pieces under way that may be in the counter at the line, and in no gain. */
static double unfinished(const struct sk_judge *judge, const struct sk_tally *tally,
                         const struct sk_reports_line *line)
{
    /* Where left counts blocks, it has fallen by those of pieces under way. */
    if (judge->counting[line->peer] == SK_COUNTING_BLOCKS && line->left != SK_ANNOUNCE_UNKNOWN)
        return 0;
    return SK_MIN(sk_judge_under_way(judge, tally, line), judge->partial);
}

/* What may be thrown away in so many seconds by who keeps nothing. */
static double thrown_in(const struct sk_judge *judge, double seconds)
{
    double peers = judge->timeline->peers_count + judge->config->hidden_peers;
    return peers * sk_judge_thrown(judge) +
           seconds / SK_VERDICT_THROWN_AGAIN_S * SK_VERDICT_THROWN_BYTES;
}

static void judge_run(struct sk_judge *judge, const struct sk_tally *tally,
                      const struct sk_reports_line *lines, uint32_t count, struct excess *excess)
{
    struct sk_finding *finding = &judge->peers[lines[0].peer].findings[SK_CHECK_DOWNLOADED_MORE];
    struct course course = {.left = lines[0].left};
    double piece = judge->timeline->piece_size, waste = judge->config->waste_share;
    double events = 0, mean = 0, before = 0, slack_s = judge->slack_s;
    for (uint32_t i = 1; i < count; i++) {
        double claimed = (double)(lines[i].downloaded - lines[0].downloaded);
        double gained = gained_most(tally, lines[0].at_s - slack_s, lines[i].at_s + slack_s);
        follow(&course, lines[i].left);
        gained = SK_MAX(gained + judge->padded, course.fell) + course.raised;
        if (!judge->keeps[lines[0].peer])
            gained += thrown_in(judge, lines[i].at_s - lines[0].at_s);
        double over = claimed - gained, begun = unfinished(judge, tally, &lines[i]);
        note_rise(excess, (over - before) / piece);
        before = over;
        mean = waste * (gained / piece + WASTED_LEAST);
        events = SK_MAX((over - begun) / piece, 0.0);
        sk_judge_note(finding,
                      sk_evidence_events(usual(excess, events), excess->mean + mean) >
                          1 / SK_VERDICT_FAULT,
                      claimed, gained + begun + mean * piece, lines[0].at_s, lines[i].at_s);
    }
    excess->events += events;
    excess->mean += mean;
}

/* Whether all that it gained until then is known by what it told: from when it first did until we
 * lost sight of it, or it had all. */
static bool is_seen(const struct sk_judge *judge, uint32_t peer, const struct sk_reports_line *line)
{
    const struct sk_timeline_peer *it = &judge->timeline->peers[peer];
    if (!judge->tells[peer] || !it->watched_count)
        return false;
    const struct sk_watch *last = &it->watched[it->watched_count - 1];
    uint32_t until_ms = SK_MIN(last->until_ms, judge->timeline->end_ms);
    until_ms = last->tells ? SK_MAX(it->told_ms, until_ms) : it->told_ms;
    return line->at_s - judge->slack_s >= it->first_ms / 1e3 &&
           (line->at_s + judge->slack_s <= until_ms / 1e3 || sk_bitfield_full(&it->held));
}

/* Whether the counter can be held against anything: what it lacks is said, or what it gains. Who
 * lacks nothing of the files that he chose may choose another, and have it by the next announce. */
static bool comparable(const struct sk_judge *judge, uint32_t peer,
                       const struct sk_reports_line *line)
{
    return line->downloaded != SK_ANNOUNCE_UNKNOWN &&
           (line->left == SK_ANNOUNCE_UNKNOWN
                ? is_seen(judge, peer, line)
                : judge->tells[peer] || line->left != 0 || judge->config->files == 1);
}

/* From one line to the next it lacked nothing. */
static bool is_seed(const struct sk_reports_line *line)
{
    return line[0].left == 0 && line[1].left == 0;
}

/* Whether the next line may be held against this one. Who lacks more than before may want more
 * files; how much he took of them is known if he tells his gains. */
static bool goes_on(const struct sk_judge *judge, uint32_t peer, const struct sk_reports_line *line)
{
    bool more = line[0].left != SK_ANNOUNCE_UNKNOWN && line[1].left > line[0].left;
    return comparable(judge, peer, &line[1]) && !sk_judge_anew(&line[0], &line[1]) &&
           (!more || judge->tells[peer] || judge->config->files == 1);
}

/* The end of the run that begins at a line: what is counted on, either while nothing is lacked, or
 * until then. */
static uint32_t end_of_run(const struct sk_judge *judge, uint32_t peer,
                           const struct sk_reports_line *lines, uint32_t begin, uint32_t count)
{
    uint32_t end = begin + 1;
    while (end < count && goes_on(judge, peer, &lines[end - 1]) &&
           is_seed(&lines[end - 1]) == is_seed(&lines[begin]))
        end++;
    return end;
}

static void judge_more(struct sk_judge *judge, uint32_t peer, const struct sk_tally *tally,
                       const struct sk_reports_line *lines, uint32_t count)
{
    struct sk_finding *finding = &judge->peers[peer].findings[SK_CHECK_DOWNLOADED_MORE];
    struct excess excess[2] = {0}; /* while it lacked pieces, and while it lacked none */
    for (uint32_t begin = 0, end; begin + 1 < count; begin = end) {
        end = begin + 1;
        if (!comparable(judge, peer, &lines[begin]))
            continue;
        end = end_of_run(judge, peer, lines, begin, count);
        judge_run(judge, tally, lines + begin, end - begin, &excess[is_seed(&lines[begin])]);
        if (end < count && goes_on(judge, peer, &lines[end - 1]))
            end--; /* where it is complete, or no longer, the next one begins */
    }
    finding->value = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(excess); i++)
        finding->value +=
            sk_evidence_events(usual(&excess[i], 0), excess[i].mean) / SK_ARRAY_LEN(excess);
}

double sk_judge_thrown(const struct sk_judge *judge)
{
    double pieces = SK_VERDICT_THROWN_PIECES * judge->timeline->piece_size;
    return SK_MAX(pieces, SK_VERDICT_THROWN_BYTES);
}

double sk_judge_surplus_most(const struct sk_judge *judge, const struct sk_tally *tally,
                             const struct sk_reports_line *first,
                             const struct sk_reports_line *last, double fell)
{
    uint32_t peer = first->peer;
    /* Who tells nothing may choose file after file, and lack as much as before each time. */
    if (!comparable(judge, peer, last) ||
        (!judge->tells[peer] && judge->config->files != 1 && judge->keeps[peer]))
        return INFINITY;
    double piece = judge->timeline->piece_size;
    double told = (double)sk_tally_bytes(tally, sk_tally_told(tally, last->at_s));
    double mean = judge->config->waste_share * (SK_MAX(told, fell) / piece + WASTED_LEAST);
    double events = sk_evidence_events_most(1 / SK_VERDICT_DOUBT, mean) + POISONED;
    double most = events * piece + unfinished(judge, tally, last);
    return judge->keeps[peer] ? most : most + thrown_in(judge, last->at_s - first->at_s);
}

void sk_judge_downloaded(struct sk_judge *judge, uint32_t index)
{
    const struct sk_timeline_peer *peer = &judge->timeline->peers[index];
    struct sk_finding *less = &judge->peers[index].findings[SK_CHECK_DOWNLOADED_LESS];
    struct sk_tally tally = sk_tally(judge->timeline, peer);
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(judge, index, &lines);
    struct run run = {.judge = judge,
                      .tally = &tally,
                      .lines = lines,
                      .end = lines + count,
                      .fastest = fastest(&tally)};
    for (uint32_t i = 0, end; i < peer->watched_count && !peer->shrank; i = end) {
        end = sk_judge_run_end(judge, index, i);
        run.watched = &peer->watched[i];
        run.watched_count = end - i;
        judge_less(&run, less);
    }
    less->value = sk_judge_counts(less, SK_CHECK_DOWNLOADED_LESS);
    judge_more(judge, index, &tally, lines, count);
}
