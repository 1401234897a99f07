#include "audit/clock.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

/* Logs may have whole seconds, rounded either way; and in hours clocks drift. */
#define GRAIN_S 1.0
#define SPARE 1       /* announces by which a difference may be worse than the best */
#define LEAST 2       /* announces that have to agree: one line may be forged */
#define SETTINGS 4    /* times that a clock was set; of more it is not told which they were */
#define COPIES 4      /* lines of an announce that was sent anew, of two trackers */
#define FAR_S 86400.0 /* by so much a log in another time zone is off, at most */

/* A line of the log under our peer id. What the log does not tell is the same in all. */
struct own_line {
    bool started;
    bool taken; /* it is of an announce that fits */
    uint64_t downloaded;
    double at_s; /* by the tracker's clock, since the audit began by ours */
};

/* From here on the difference is allowed by one announce more, or less. */
struct edge {
    double at_s;
    int step;
};

struct search {
    const struct sk_timeline *timeline;
    double skew_max_s;
    bool has_events, has_downloaded; /* the log tells them */
    bool far;                        /* beyond what the clock may differ by */
    uint64_t tracker;                /* whose log it seems to be */
    struct own_line *lines;
    uint32_t lines_count;
    struct edge *edges;
    uint32_t edges_count, edges_capacity;
    uint32_t looks; /* at lines: of a flood all is not looked at */
};

bool sk_clock_is_own(const struct sk_timeline *timeline, const struct sk_announce *announce)
{
    if (!timeline->has_self || !announce->has_peer_id ||
        memcmp(announce->peer_id, timeline->self, sizeof timeline->self) != 0)
        return false;
    uint32_t at =
        announce->endpoint.family ? sk_timeline_find(timeline, &announce->endpoint) : UINT32_MAX;
    return at == UINT32_MAX || !timeline->peers[at].has_peer_id ||
           memcmp(timeline->peers[at].peer_id, timeline->self, sizeof timeline->self) == 0;
}

/* ---- the log ---- */

static int compare_lines(const void *a, const void *b)
{
    const struct own_line *x = a, *y = b;
    if (x->started != y->started)
        return x->started ? 1 : -1;
    if (x->downloaded != y->downloaded)
        return x->downloaded < y->downloaded ? -1 : 1;
    return (x->at_s > y->at_s) - (x->at_s < y->at_s);
}

static bool says_the_same(const struct own_line *a, const struct own_line *b)
{
    return a->started == b->started && a->downloaded == b->downloaded;
}

/* A line between two that are so close allows nothing that these do not: of a flood few stay. */
static void thin(struct search *search)
{
    struct own_line *lines = search->lines;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < search->lines_count; i++) {
        if (kept > 1 && says_the_same(&lines[kept - 2], &lines[i]) &&
            lines[i].at_s - lines[kept - 2].at_s <= 2 * GRAIN_S)
            kept--;
        lines[kept++] = lines[i];
    }
    search->lines_count = kept;
}

static int take_lines(struct search *search, const struct sk_announce *announces, size_t count,
                      const uint8_t *info_hash, double began_unix_s)
{
    uint32_t capacity = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sk_announce *announce = &announces[i];
        double at_s = announce->at_unix_s - began_unix_s;
        if (info_hash && memcmp(info_hash, announce->info_hash, 20) != 0)
            continue;
        search->has_events |= announce->event != SK_ANNOUNCE_NONE;
        search->has_downloaded |= announce->downloaded != SK_ANNOUNCE_UNKNOWN;
        if (!isfinite(at_s) || announce->event == SK_ANNOUNCE_STOPPED ||
            !sk_clock_is_own(search->timeline, announce))
            continue; /* our good-bye comes when nothing is observed any more */
        if (search->lines_count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            void *grown = sk_mem_realloc(search->lines, capacity, sizeof *search->lines);
            if (!grown)
                return SKEP_ERR_NOMEM;
            search->lines = grown;
        }
        search->lines[search->lines_count++] = (struct own_line){
            announce->event == SK_ANNOUNCE_STARTED, false, announce->downloaded, at_s};
    }
    if (search->lines_count)
        qsort(search->lines, search->lines_count, sizeof *search->lines, compare_lines);
    thin(search);
    return 0;
}

/* The first line that is not before this one. */
static uint32_t first_line(const struct search *search, const struct own_line *least)
{
    uint32_t low = 0, high = search->lines_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_lines(&search->lines[middle], least) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- which differences an announce allows ---- */

static int add_span(struct search *search, double low_s, double high_s)
{
    if (search->edges_count >= 2 * SK_CLOCK_SPANS_MAX)
        return SKEP_ERR_LIMIT;
    if (search->edges_count + 2 > search->edges_capacity) {
        uint32_t capacity = search->edges_capacity ? search->edges_capacity * 2 : 64;
        void *grown = sk_mem_realloc(search->edges, capacity, sizeof *search->edges);
        if (!grown)
            return SKEP_ERR_NOMEM;
        search->edges = grown;
        search->edges_capacity = capacity;
    }
    search->edges[search->edges_count++] = (struct edge){low_s, 1};
    search->edges[search->edges_count++] = (struct edge){high_s, -1};
    return 0;
}

/* What an announce would be in the log at this time of the tracker's. */
static struct own_line line_of(const struct search *search,
                               const struct sk_timeline_announce *announce, double at_s)
{
    return (struct own_line){.started = search->has_events && announce->started,
                             .downloaded = search->has_downloaded ? announce->downloaded
                                                                  : SK_ANNOUNCE_UNKNOWN,
                             .at_s = at_s};
}

/* Spans of an announce that touch are one: it counts once, however many lines there are. */
static int allow(struct search *search, const struct sk_timeline_announce *announce)
{
    double from_s = announce->asked_s - GRAIN_S, until_s = announce->answered_s + GRAIN_S;
    double skew_s = search->skew_max_s, low_s = 0, high_s = -INFINITY;
    const struct own_line least = line_of(search, announce, from_s - skew_s);
    int err = 0;
    for (uint32_t i = first_line(search, &least); i < search->lines_count && !err; i++) {
        const struct own_line *line = &search->lines[i];
        if (search->looks++ >= SK_CLOCK_LOOKS_MAX)
            return SKEP_ERR_LIMIT;
        if (!says_the_same(line, &least) || line->at_s - until_s > skew_s)
            break;
        if (line->taken)
            continue;
        if (line->at_s - until_s > high_s) {
            if (high_s > -INFINITY)
                err = add_span(search, low_s, high_s);
            low_s = SK_MAX(line->at_s - until_s, -skew_s);
        }
        high_s = SK_MIN(line->at_s - from_s, skew_s);
    }
    return err || high_s == -INFINITY ? err : add_span(search, low_s, high_s);
}

/* ---- which most of them allow ---- */

/* Where two meet, both hold. */
static int by_edge_time(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    if (x->at_s != y->at_s)
        return x->at_s < y->at_s ? -1 : 1;
    return y->step - x->step;
}

static uint32_t most_at_once(const struct search *search)
{
    int depth = 0, most = 0;
    for (uint32_t i = 0; i < search->edges_count; i++) {
        depth += search->edges[i].step;
        most = SK_MAX(most, depth);
    }
    return (uint32_t)most;
}

/* Whether as many allow differences that lie apart. */
static bool are_apart(const struct search *search, uint32_t wanted)
{
    int depth = 0;
    uint32_t times = 0;
    for (uint32_t i = 0; i < search->edges_count; i++) {
        depth += search->edges[i].step;
        times += search->edges[i].step > 0 && depth == (int)wanted;
    }
    return times > 1;
}

/* From the first difference that so many allow to the last. */
static struct sk_clock hull(const struct search *search, uint32_t wanted)
{
    struct sk_clock clock = {.low_s = NAN};
    int depth = 0;
    for (uint32_t i = 0; i < search->edges_count; i++) {
        int before = depth;
        depth += search->edges[i].step;
        if (depth >= (int)wanted && isnan(clock.low_s))
            clock.low_s = search->edges[i].at_s;
        if (before >= (int)wanted && depth < before)
            clock.high_s = search->edges[i].at_s;
    }
    return clock;
}

/* Widens the clock to the nearest differences that so many allow. */
static void widen(const struct search *search, uint32_t wanted, struct sk_clock *clock)
{
    double low_s = 0, nearest_s = INFINITY;
    struct sk_clock wider = *clock;
    int depth = 0;
    for (uint32_t i = 0; i < search->edges_count; i++) {
        const struct edge *edge = &search->edges[i];
        int before = depth;
        depth += edge->step;
        if (before < (int)wanted && depth >= (int)wanted)
            low_s = edge->at_s;
        double far_s = SK_MAX(low_s - clock->high_s, clock->low_s - edge->at_s);
        if (before < (int)wanted || depth >= before || far_s >= nearest_s)
            continue;
        nearest_s = far_s;
        wider.low_s = SK_MIN(clock->low_s, low_s);
        wider.high_s = SK_MAX(clock->high_s, edge->at_s);
    }
    *clock = wider;
}

/* Whether it has lines at these differences: they are taken for it. Where no more lines may be
 * looked at, none; then it is allow() that says so. */
static bool fits(struct search *search, const struct sk_timeline_announce *announce,
                 const struct sk_clock *clock)
{
    const struct own_line least =
        line_of(search, announce, announce->asked_s - GRAIN_S + clock->low_s);
    bool any = false;
    for (uint32_t i = first_line(search, &least); i < search->lines_count; i++) {
        struct own_line *line = &search->lines[i];
        if (search->looks >= SK_CLOCK_LOOKS_MAX || !says_the_same(line, &least) ||
            line->at_s > announce->answered_s + GRAIN_S + clock->high_s)
            break;
        line->taken = any = true;
        search->looks++;
    }
    return any;
}

/* What the announces to a tracker allow that have no line at these differences, by the lines that
 * no other announce has. */
static int collect_others(struct search *search, uint64_t tracker, const struct sk_clock *clock)
{
    const struct sk_timeline *timeline = search->timeline;
    int err = 0;
    for (uint32_t i = 0; i < timeline->announces_count; i++)
        if (timeline->announces[i].tracker == tracker)
            fits(search, &timeline->announces[i], clock);
    search->edges_count = 0;
    for (uint32_t i = 0; i < timeline->announces_count && !err; i++)
        if (timeline->announces[i].tracker == tracker &&
            !fits(search, &timeline->announces[i], clock))
            err = allow(search, &timeline->announces[i]);
    return err;
}

/* A clock that was set while we announced had two differences, one after the other: what the lines
 * say that do not fit the first one is allowed too. */
static int take_others(struct search *search, uint64_t tracker, struct sk_clock *clock)
{
    int err = collect_others(search, tracker, clock);
    for (int times = 0; search->edges_count && !err; times++) {
        qsort(search->edges, search->edges_count, sizeof *search->edges, by_edge_time);
        if (times == SETTINGS)
            *clock = (struct sk_clock){.low_s = -search->skew_max_s, .high_s = search->skew_max_s};
        else
            widen(search, most_at_once(search), clock);
        clock->set = true;
        err = collect_others(search, tracker, clock);
    }
    for (uint32_t i = 0; i < search->lines_count; i++)
        search->lines[i].taken = false;
    return err;
}

/* By the announces to the tracker of the one at `first`. */
static int search_tracker(struct search *search, uint32_t first, struct sk_clock *clock)
{
    const struct sk_timeline *timeline = search->timeline;
    uint32_t count = 0;
    int err = 0;
    search->edges_count = 0;
    for (uint32_t i = first; i < timeline->announces_count; i++) {
        if (timeline->announces[i].tracker != timeline->announces[first].tracker)
            continue;
        err = err ? err : allow(search, &timeline->announces[i]);
        count++;
    }
    /* What a flood hides beyond what was said: half of them may agree on anything there. */
    if (err == SKEP_ERR_LIMIT && search->far && count / 2 > clock->announces)
        *clock = (struct sk_clock){-search->skew_max_s, search->skew_max_s, count / 2, false};
    if (err || !search->edges_count)
        return err == SKEP_ERR_LIMIT ? 0 : err; /* of a flood, over days, nothing can be said */
    qsort(search->edges, search->edges_count, sizeof *search->edges, by_edge_time);
    uint32_t most = most_at_once(search);
    if (most < LEAST || most < clock->announces)
        return 0;
    bool apart = are_apart(search, most); /* logs of two clocks, joined; or it cannot be told */
    struct sk_clock found = hull(search, most - SPARE);
    if (!search->far)
        err = take_others(search, timeline->announces[first].tracker, &found);
    if (err)
        return err == SKEP_ERR_LIMIT ? 0 : err;
    found.set |= apart;
    if (most == clock->announces) { /* it may be the log of either */
        found.low_s = SK_MIN(found.low_s, clock->low_s);
        found.high_s = SK_MAX(found.high_s, clock->high_s);
        found.set |= clock->set;
    }
    *clock = found;
    clock->announces = most;
    search->tracker = timeline->announces[first].tracker;
    return 0;
}

static bool is_first(const struct sk_timeline *timeline, uint32_t index)
{
    uint32_t i = 0;
    while (timeline->announces[i].tracker != timeline->announces[index].tracker)
        i++;
    return i == index;
}

static int search_all(struct search *search, struct sk_clock *clock)
{
    const struct sk_timeline *timeline = search->timeline;
    int err = 0;
    for (uint32_t i = 0; i < timeline->announces_count && search->lines_count && !err; i++)
        if (is_first(timeline, i))
            err = search_tracker(search, i, clock);
    return err;
}

/* What the announces to a tracker allow that have no line at these differences, or only lines of
 * another tracker's: where most of them agree, and two at least, that is allowed too. */
static int take_far(struct search *search, uint64_t tracker, struct sk_clock *clock)
{
    const struct sk_timeline *timeline = search->timeline;
    uint32_t count = 0;
    int err = 0;
    search->edges_count = 0;
    for (uint32_t i = 0; i < timeline->announces_count && !err; i++) {
        if (timeline->announces[i].tracker != tracker ||
            (tracker == search->tracker && fits(search, &timeline->announces[i], clock)))
            continue;
        err = allow(search, &timeline->announces[i]);
        count++;
    }
    if (err || !search->edges_count)
        return err == SKEP_ERR_LIMIT ? 0 : err;
    qsort(search->edges, search->edges_count, sizeof *search->edges, by_edge_time);
    uint32_t most = most_at_once(search);
    struct sk_clock wider = *clock;
    if (most >= LEAST && 2 * most >= count)
        widen(search, most, &wider);
    wider.set |= wider.low_s < clock->low_s || wider.high_s > clock->high_s;
    *clock = wider;
    return 0;
}

/* A clock that was set by more than it may be off, or two trackers of different clocks in a log. Of
 * a flood of lines any difference follows: who makes one is not believed. */
static int take_all_far(struct search *search, struct sk_clock *clock)
{
    const struct sk_timeline *timeline = search->timeline;
    int err = 0;
    if (search->lines_count / COPIES > timeline->announces_count)
        return 0;
    search->skew_max_s = FAR_S;
    for (uint32_t i = 0; i < timeline->announces_count; i++)
        if (timeline->announces[i].tracker == search->tracker)
            fits(search, &timeline->announces[i], clock);
    for (uint32_t i = 0; i < timeline->announces_count && !err; i++)
        if (is_first(timeline, i))
            err = take_far(search, timeline->announces[i].tracker, clock);
    for (uint32_t i = 0; i < search->lines_count; i++)
        search->lines[i].taken = false;
    return err;
}

int sk_clock_find(const struct sk_timeline *timeline, const struct sk_announce *announces,
                  size_t count, const uint8_t *info_hash, double began_unix_s, double skew_max_s,
                  struct sk_clock *ret_clock)
{
    struct search search = {.timeline = timeline, .skew_max_s = skew_max_s};
    struct sk_clock clock = {.low_s = -skew_max_s, .high_s = skew_max_s};
    int err = take_lines(&search, announces, count, info_hash, began_unix_s);
    if (!err)
        err = search_all(&search, &clock);
    if (!err && clock.announces)
        err = take_all_far(&search, &clock);
    struct sk_clock far = {0};
    search.far = true;
    search.skew_max_s = FAR_S;
    search.looks = 0;
    if (!err && skew_max_s < FAR_S)
        err = search_all(&search, &far);
    if (far.announces > clock.announces) /* neither that nor what was said is relied on */
        clock = (struct sk_clock){SK_MIN(far.low_s, -skew_max_s), SK_MAX(far.high_s, skew_max_s),
                                  far.announces, false};
    sk_mem_free(search.lines);
    sk_mem_free(search.edges);
    if (!err)
        *ret_clock = clock;
    return err;
}
