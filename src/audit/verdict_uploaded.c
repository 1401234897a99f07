/* Uploaded, against what the line carries and what all others gained meanwhile. */
#include "audit/verdict_internal.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/order.h"

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
#define STRAY 262144      /* bytes that somebody may have had whom we never heard of */
#define TAKEN_MORE 262144 /* bytes on their way to us, counted there already */
/* What others gain so soon after a step may have been given in it. Pieces that take longer make up
 * for those that had begun before. */
#define BEGUN_S 120.0
#define INTERVAL_S 1800.0  /* from one announce to the next, with most trackers */
#define LOOKS_A_WINDOW 16  /* that two searches among gains take as long as */
#define ANNOUNCES_LEAST 16 /* of each peer that are looked at, however many peers, */
#define LOOKS_TIMES 8      /* as long as that takes no more than so many times as long */
#define BUSY_SHARE 0.9     /* of those that gain, the quantile that stands for one nobody saw */

/* Two peers that may have been connected, and when. */
struct near {
    uint32_t peer;
    float from_s, until_s;
};

/* What an announce of a peer is compared with: the one before, the one before that, the first and
 * the second of the run that were made during the audit. */
enum base { BASE_BEFORE, BASE_EARLIER, BASE_FIRST, BASE_SECOND, BASE_COUNT };

/* Between two announces of a peer. */
struct window {
    double from_s, until_s; /* NAN: there is none */
    double late_s;          /* by which the first announce may be late, and its counters older */
    double claimed;         /* bytes uploaded, as it says */
    bool anew;              /* the counter began again in between */
    bool seen;              /* others' gains were looked at: */
    double told, dark;      /* bytes, as in struct sk_judge_upload */
    double taken;
    double gains;  /* and what all these allow; of that, */
    double beside; /* only by those behind its own address of whom the log alone knows */
};

/* What a peer's announces say until one of them, from its first on. */
struct said {
    double bytes;   /* downloaded, */
    double seconds; /* in that time; */
    double surplus; /* bytes that it did not gain meanwhile, of these: wasted, or under way */
    double fell;    /* by which left fell */
    double most;    /* of surplus, or of bytes beyond fell, that is believed */
};

struct swarm {
    struct sk_judge *judge;
    struct sk_tally *tallies;
    struct said *said; /* by line */
    bool *speaks;      /* of each peer: it tells whom it is connected to, as we know them */
    uint32_t *begins;  /* of each peer's links in `near`, and the end */
    struct near *near;
    struct near *row; /* of the peer at hand: to whom it may have been connected */
    uint32_t row_count;
    uint32_t *since;     /* from when on the peer at hand may have held each piece */
    double busy_bytes_s; /* INFINITY: nobody was seen to gain */
    double taken_bytes;  /* by us, of all peers together */
    bool by_piece;       /* the peer at hand: gains of what it held count alone */
    uint64_t *counted;   /* bytes of those among the first n gains of one it is near */
    struct window (*windows)[BASE_COUNT]; /* of the peer at hand, by announce */
    uint64_t looks;                       /* that may still be taken, */
    uint32_t waiting, reporters;          /* at so many peers; of all these */
    bool by_gains;                        /* there is time to look at others' gains at all */
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

/* Whether we were never connected to it: it may be another address of one that we know, to which
 * others are connected by that one, and of which we took something there. */
static bool is_stranger(const struct swarm *swarm, uint32_t peer)
{
    return !swarm->judge->timeline->peers[peer].watched_count;
}

/* Whether somebody whom we know by IPv4 tells that he is connected to a stranger by IPv6, or the
 * other way round: most that have both are known to us by one of them. */
static bool may_be_another(const struct swarm *swarm, const struct sk_timeline_link *link)
{
    const struct sk_timeline_peer *peers = swarm->judge->timeline->peers;
    return is_stranger(swarm, link->b) &&
           peers[link->a].endpoint.family != peers[link->b].endpoint.family;
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
        if (may_be_another(swarm, link))
            swarm->speaks[link->a] = false;
    }
    sk_mem_free(next);
    return err;
}

/* The times in which `peer` may have been connected to others: as told by either of them, always
 * where neither tells, or of a stranger only the others may. */
static void fill_row(struct swarm *swarm, uint32_t peer)
{
    uint32_t peers = swarm->judge->timeline->peers_count;
    bool stranger = is_stranger(swarm, peer);
    for (uint32_t j = 0; j < peers; j++) {
        bool told = swarm->speaks[peer] || (swarm->speaks[j] && !stranger) || j == peer ||
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
    uint32_t slack_ms = (uint32_t)((judge->config->delay_s + judge->config->have_delay_s) * 1e3);
    for (uint32_t piece = 0; piece < judge->timeline->pieces; piece++)
        swarm->since[piece] = sk_bitfield_has(&peer->first, piece) ? 0 : never;
    for (uint32_t i = 0; i < peer->gains_count && never; i++)
        swarm->since[peer->gains[i].piece] =
            peer->gains[i].since_ms - SK_MIN(peer->gains[i].since_ms, slack_ms);
}

/* Sums up what `tally`'s peer gained of what the peer at hand held. */
static void count_gains(struct swarm *swarm, const struct sk_tally *tally)
{
    const struct sk_gain *gains = tally->peer->gains;
    swarm->counted[0] = 0;
    for (uint32_t i = 0; i < tally->peer->gains_count; i++) {
        bool held = swarm->since[gains[i].piece] <= gains[i].at_ms;
        swarm->counted[i + 1] =
            swarm->counted[i] +
            (held ? sk_timeline_piece_bytes(swarm->judge->timeline, gains[i].piece) : 0);
    }
}

/* Bytes that `tally`'s peer may have gained within the time, of those that count; and how many may
 * have been sent for them, where there is padding. */
static double gained(const struct swarm *swarm, const struct sk_tally *tally, double from_s,
                     double until_s, double *ret_sent)
{
    uint32_t from = sk_tally_told(tally, from_s), to = sk_tally_possible(tally, until_s);
    double bytes = 0;
    if (from < to)
        bytes = swarm->by_piece ? (double)(swarm->counted[to] - swarm->counted[from])
                                : (double)(sk_tally_bytes(tally, to) - sk_tally_bytes(tally, from));
    double whole = bytes > 0 ? (double)(to - from) * tally->timeline->piece_size : 0;
    *ret_sent = bytes + SK_MIN(swarm->judge->padded, SK_MAX(whole - bytes, 0.0));
    return bytes;
}

/* Sums up what the peer's announces say to have downloaded, and the time in which they say so. */
static void sum_up_said(struct swarm *swarm, uint32_t peer)
{
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(swarm->judge, peer, &lines);
    struct said *said = swarm->said + (lines - swarm->judge->reports->lines);
    const struct sk_tally *tally = &swarm->tallies[peer];
    for (uint32_t i = 1; i < count; i++) {
        bool anew = sk_judge_anew(&lines[i - 1], &lines[i]);
        double grown = sk_judge_difference(lines[i - 1].downloaded, lines[i].downloaded, anew);
        said[i] = said[i - 1];
        if (lines[i - 1].left != SK_ANNOUNCE_UNKNOWN && lines[i].left < lines[i - 1].left)
            said[i].fell += (double)(lines[i - 1].left - lines[i].left);
        /* Who says much more than that is false himself. */
        said[i].most = sk_judge_surplus_most(swarm->judge, tally, lines, &lines[i], said[i].fell);
        if (isnan(grown))
            continue;
        uint32_t from = sk_tally_told(tally, lines[i - 1].at_s);
        uint32_t to = sk_tally_told(tally, lines[i].at_s);
        said[i].bytes += grown;
        said[i].seconds += lines[i].at_s - lines[i - 1].at_s;
        double more = grown - (double)(sk_tally_bytes(tally, to) - sk_tally_bytes(tally, from));
        said[i].surplus += anew ? SK_MAX(more, 0.0) : more; /* some is in no announce */
    }
}

/* How many of the lines are not later than that. */
static uint32_t lines_until(const struct sk_reports_line *lines, uint32_t count, double until_s)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (lines[middle].at_s <= until_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The announces around a time, by their numbers among the peer's. */
struct around {
    const struct sk_reports_line *lines;
    const struct said *said;
    uint32_t count; /* of all that it made */
    uint32_t from, to;
};

/* False where there are none. */
static bool find_around(const struct swarm *swarm, uint32_t peer, double from_s, double until_s,
                        struct around *ret_around)
{
    struct around around;
    around.count = sk_judge_lines(swarm->judge, peer, &around.lines);
    around.said = swarm->said + (around.lines - swarm->judge->reports->lines);
    if (around.count < 2 || from_s >= until_s)
        return false;
    around.from = lines_until(around.lines, around.count, from_s);
    around.to = lines_until(around.lines, around.count, until_s);
    around.from -= around.from > 0;
    around.to -= around.to == around.count;
    *ret_around = around;
    return around.from < around.to;
}

/* What the peer itself says to have downloaded in the announces around the time: with how much of
 * the time they cover. */
static double said(const struct swarm *swarm, uint32_t peer, double from_s, double until_s,
                   double *ret_covered_s)
{
    struct around around;
    *ret_covered_s = 0;
    if (!find_around(swarm, peer, from_s, until_s, &around))
        return 0;
    const struct sk_reports_line *lines = around.lines;
    const struct said *sums = around.said;
    uint32_t from = around.from, to = around.to;
    double covered_s = sums[to].seconds - sums[from].seconds;
    if (sums[from + 1].seconds > sums[from].seconds)
        covered_s -= SK_MAX(from_s - lines[from].at_s, 0.0);
    if (sums[to].seconds > sums[to - 1].seconds)
        covered_s -= SK_MAX(lines[to].at_s - until_s, 0.0);
    *ret_covered_s = SK_MAX(covered_s, 0.0);
    double bytes = sums[to].bytes - sums[from].bytes, fell = sums[to].fell - sums[from].fell;
    return SK_MIN(bytes, fell + sums[to].most);
}

/* Of one that tells what it gains: what else it says to have downloaded, as far as that is
 * believed.
 */
static double surplus(const struct swarm *swarm, uint32_t peer, double from_s, double until_s)
{
    struct around around;
    if (!find_around(swarm, peer, from_s, until_s, &around))
        return 0;
    const struct said *sums = around.said;
    return SK_MIN(sums[around.to].surplus - sums[around.from].surplus, sums[around.to].most);
}

/* What one that nobody saw may have gained in that time. */
static double in_the_dark(const struct swarm *swarm, double seconds)
{
    return seconds > 0 ? seconds * swarm->busy_bytes_s : 0;
}

/* Of one that had all when we saw it first: what it says to have taken before, all of it once at
 * most. Where its first announce got lost, what the next one counts was taken since then. */
static double said_before(const struct swarm *swarm, uint32_t peer, double from_s, double until_s)
{
    const struct sk_reports_line *line;
    bool lost = sk_judge_lines(swarm->judge, peer, &line) && line->event != SK_ANNOUNCE_STARTED &&
                line->at_s > from_s && line->at_s < until_s + INTERVAL_S && from_s < until_s;
    double covered_s, bytes = said(swarm, peer, from_s, until_s, &covered_s);
    bytes += lost && line->downloaded != SK_ANNOUNCE_UNKNOWN ? (double)line->downloaded : 0;
    return SK_MIN(bytes, (double)swarm->judge->timeline->size);
}

/* What the peer may have gained without our knowing: before we knew it, after we lost sight of it;
 * all the time if it does not tell. */
static double unseen(const struct swarm *swarm, uint32_t index, double from_s, double until_s)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    const struct sk_timeline_peer *peer = &timeline->peers[index];
    double covered_s, first_s = SK_MIN(peer->first_ms / 1e3, until_s);
    if (peer->has_first && sk_bitfield_full(&peer->first) && !peer->shrank)
        return said_before(swarm, index, from_s, first_s);
    if (swarm->judge->tells[index]) {
        uint32_t end_ms = peer->watched[peer->watched_count - 1].until_ms;
        double end_s = SK_MAX(SK_MIN(end_ms, timeline->end_ms) / 1e3, from_s);
        double after_s = sk_bitfield_full(&peer->held) ? 0 : SK_MAX(until_s - end_s, 0.0);
        return in_the_dark(swarm, SK_MAX(first_s - from_s, 0.0) + after_s);
    }
    double bytes = said(swarm, index, from_s, until_s, &covered_s);
    return bytes + in_the_dark(swarm, until_s - from_s - covered_s);
}

/* What we took of it ourselves. */
static double taken(const struct swarm *swarm, uint32_t index, double from_s, double until_s)
{
    const struct sk_timeline_peer *peer = &swarm->judge->timeline->peers[index];
    double bytes = is_stranger(swarm, index) ? swarm->taken_bytes : 0;
    for (uint32_t i = 0; i < peer->taken_count; i++)
        if (peer->taken[i].from_ms <= until_s * 1e3 && peer->taken[i].until_ms >= from_s * 1e3)
            bytes += (double)peer->taken[i].bytes;
    return bytes > 0 ? bytes + TAKEN_MORE : 0;
}

/* What those may have taken of it that no source told us of: of whom the tracker's log knows (of
 * these, those behind its own address: `ret_beside`), and all others. */
static double hidden(const struct swarm *swarm, uint32_t index, double from_s, double until_s,
                     double *ret_beside)
{
    const struct sk_judge *judge = swarm->judge;
    return in_the_dark(swarm, judge->config->hidden_peers * (until_s - from_s)) +
           sk_visits_taken(&judge->reports->visits, &judge->timeline->peers[index].endpoint, from_s,
                           until_s, swarm->busy_bytes_s, ret_beside);
}

/* From when until when others' gains may belong to the window. */
static double gains_from(const struct swarm *swarm, const struct window *window)
{
    /* A HAVE may come late, and never comes early. */
    return window->from_s - window->late_s - swarm->judge->slack_s +
           swarm->judge->config->have_delay_s;
}

static double gains_until(const struct swarm *swarm, const struct window *window)
{
    const struct sk_judge *judge = swarm->judge;
    return window->until_s + judge->slack_s + SK_MIN(judge->config->partial_s, BEGUN_S);
}

/* Whether the peer told that it had all by then. Who lacks something may take a piece, also one
 * that it never completes. */
static bool is_done(const struct sk_tally *tally, double at_s)
{
    const struct sk_timeline_peer *peer = tally->peer;
    return sk_bitfield_full(&peer->held) && sk_tally_told(tally, at_s) == peer->gains_count;
}

/* What it may have taken of pieces that we never see it gain: of one; of all that were under way
 * when it left, or the other one; and where it gains nothing at all, and tells no tracker what it
 * takes, as much as who keeps nothing does. */
static double unfinished(const struct swarm *swarm, const struct near *near, double until_s)
{
    const struct sk_judge *judge = swarm->judge;
    const struct sk_timeline_peer *peer = &judge->timeline->peers[near->peer];
    const struct sk_reports_line *lines;
    double piece = judge->timeline->piece_size;
    if (!peer->gains_count && sk_judge_lines(judge, near->peer, &lines) < 2)
        return sk_judge_thrown(judge);
    double whole_s = until_s + judge->config->partial_s; /* until then they would have been whole */
    bool gone = near->until_s <= whole_s;
    if (peer->watched_count) {
        uint32_t end_ms = peer->watched[peer->watched_count - 1].until_ms;
        gone |= end_ms < judge->timeline->end_ms && end_ms <= whole_s * 1e3;
    }
    return gone && !sk_bitfield_full(&peer->held) ? SK_MAX(piece, judge->partial) : piece;
}

static void add_gains(struct swarm *swarm, const struct near *near, struct window *window)
{
    const struct sk_tally *tally = &swarm->tallies[near->peer];
    double from_s = SK_MAX(gains_from(swarm, window), near->from_s);
    double until_s = SK_MIN(gains_until(swarm, window), near->until_s);
    if (!window->seen || from_s >= until_s)
        return;
    double sent, dark = unseen(swarm, near->peer, from_s, until_s);
    gained(swarm, tally, from_s, until_s, &sent);
    if (sent + dark > 0 || !is_done(tally, from_s))
        window->gains += sent + dark + unfinished(swarm, near, until_s);
    /* All of its waste may be of what came from this one peer. */
    double share = swarm->judge->config->waste_share;
    if (swarm->judge->tells[near->peer])
        window->gains +=
            SK_MAX(surplus(swarm, near->peer, from_s, until_s) - share * sent, 0.0) / (1 + share);
    /* What flows are held against is what was gained in just that time. */
    from_s = SK_MAX(from_s, window->from_s);
    until_s = SK_MIN(until_s, window->until_s);
    if (from_s >= until_s)
        return;
    window->told += gained(swarm, tally, from_s, until_s, &sent);
    window->dark += unseen(swarm, near->peer, from_s, until_s);
}

/* What others can have taken from the peer in each of its windows: all that they gained of what it
 * held, in that time or, in pieces that were begun then, soon after. */
static void bound_by_gains(struct swarm *swarm, uint32_t index, uint32_t announces)
{
    const struct sk_judge *judge = swarm->judge;
    const struct sk_verdict_config *config = judge->config;
    struct window *windows = swarm->windows[0];
    for (uint32_t k = 0; k < swarm->row_count; k++) {
        if (swarm->by_piece)
            count_gains(swarm, &swarm->tallies[swarm->row[k].peer]);
        for (uint32_t i = 0; i < announces * BASE_COUNT; i++)
            add_gains(swarm, &swarm->row[k], &windows[i]);
    }
    for (uint32_t i = 0; i < announces * BASE_COUNT; i++) {
        struct window *window = &windows[i];
        if (!window->seen)
            continue;
        double from_s = gains_from(swarm, window), until_s = gains_until(swarm, window);
        double beside, most = 1 + config->waste_share;
        window->taken = taken(swarm, index, from_s, until_s);
        window->dark += hidden(swarm, index, window->from_s, window->until_s, &beside);
        window->gains += hidden(swarm, index, from_s, until_s, &beside) + window->taken;
        window->gains *= most;
        window->beside = beside * most;
    }
}

/* ---- the windows ---- */

/* The first and the second announce of a run have to agree: of these, one may be late. */
static struct window window_between(const struct swarm *swarm, const struct sk_reports_line *from,
                                    const struct sk_reports_line *until, enum base base, bool anew)
{
    double end_s = swarm->judge->timeline->end_ms / 1e3;
    return (struct window){
        .from_s = from->at_s,
        .until_s = until->at_s,
        .late_s = base == BASE_BEFORE || base == BASE_EARLIER ? SK_VERDICT_LATE_S : 0,
        .claimed = sk_judge_difference(from->uploaded, until->uploaded, true),
        .anew = anew,
        .seen = from->at_s >= -swarm->judge->slack_s && from->at_s < end_s && swarm->by_gains,
    };
}

/* The latest announce of the same client before the line: several may be behind one address, and a
 * client that is new may have a counter that is old. NULL: none. */
static const struct sk_reports_line *of_client(const struct sk_reports_line *lines, uint32_t i)
{
    for (uint32_t k = i; k-- > 0;)
        if (lines[k].client == lines[i].client && lines[k].uploaded != SK_ANNOUNCE_UNKNOWN)
            return &lines[k];
    return NULL;
}

/* A row of windows for each announce but the first that tells uploads; how many. Constant
 * allowances (clocks, pieces that had begun) weigh least over the longest time, so announces are
 * compared with the first ones of the run as well; with two of them, as one may be damaged. */
static uint32_t make_windows(struct swarm *swarm, const struct sk_reports_line *lines,
                             uint32_t count, uint32_t stride)
{
    const struct sk_reports_line *bases[BASE_COUNT] = {0}, *line;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        line = &lines[i];
        if (line->uploaded == SK_ANNOUNCE_UNKNOWN || (i % stride && i + 1 < count))
            continue;
        const struct sk_reports_line *before = bases[BASE_BEFORE];
        bool anew = before && sk_judge_anew(before, line);
        if (anew)
            bases[BASE_FIRST] = bases[BASE_SECOND] = NULL;
        const struct sk_reports_line *own =
            before && line->client != before->client ? of_client(lines, i) : NULL;
        if (own) {
            bases[BASE_BEFORE] = before = own;
            bases[BASE_EARLIER] = NULL;
        }
        for (enum base base = 0; base < BASE_COUNT && before; base++) {
            bool other = bases[base] && (base == BASE_BEFORE || bases[base] != before);
            swarm->windows[rows][base] = other
                                             ? window_between(swarm, bases[base], line, base, anew)
                                             : (struct window){.from_s = NAN};
        }
        rows += before != NULL;
        bases[BASE_EARLIER] = before;
        bases[BASE_BEFORE] = line;
        enum base free = bases[BASE_FIRST] ? BASE_SECOND : BASE_FIRST;
        if (!bases[free] && line->at_s >= -swarm->judge->slack_s)
            bases[free] = line;
    }
    return rows;
}

/* ---- the checks ---- */

static double capacity_most(const struct sk_rate *capacity)
{
    double sd = log(capacity->high / capacity->rate) / HALF_Z;
    return capacity->rate * exp(DOUBT_Z * (sd > CAPACITY_SD_LEAST ? sd : CAPACITY_SD_LEAST));
}

/* Its line carries at least so much: nothing is known of what it can do at most. */
static bool is_open(const struct sk_rate *capacity)
{
    return !(capacity->rate > 0 && capacity->high > 0);
}

/* INFINITY where nothing is known. */
static double allowed(const struct swarm *swarm, uint32_t index, enum sk_verdict_check check,
                      const struct window *window)
{
    const struct sk_rate *capacity = &swarm->judge->timeline->peers[index].capacity;
    if (check == SK_CHECK_UPLOADED_GAINS)
        return window->seen ? window->gains + STRAY : INFINITY;
    if (is_open(capacity))
        return INFINITY;
    /* Both times are the tracker's: how far its clock is off does not matter. */
    double seconds = window->until_s - window->from_s + 2 * swarm->judge->config->delay_s;
    return capacity_most(capacity) * seconds + swarm->judge->timeline->piece_size;
}

/* What it can have uploaded besides, if the announce before came late: what others gained after an
 * announce counts anyway. */
static double allowed_late(const struct swarm *swarm, uint32_t index, enum sk_verdict_check check)
{
    const struct sk_rate *capacity = &swarm->judge->timeline->peers[index].capacity;
    return check == SK_CHECK_UPLOADED_CAPACITY && !is_open(capacity)
               ? capacity_most(capacity) * SK_VERDICT_LATE_S
               : 0;
}

/*
 * An announce contradicts if the one before it shows so, or the first and the second of the run
 * both. One that is damaged contradicts the one before it and the one after: where the last
 * contradicted, the one before that has to show it, too.
 */
static bool judge_row(const struct swarm *swarm, uint32_t index, enum sk_verdict_check check,
                      const struct window row[BASE_COUNT], bool last_did,
                      struct sk_finding *finding)
{
    double over[BASE_COUNT], late = allowed_late(swarm, index, check);
    for (enum base base = 0; base < BASE_COUNT; base++)
        over[base] = isnan(row[base].from_s)
                         ? -INFINITY
                         : row[base].claimed - allowed(swarm, index, check, &row[base]);
    enum base longest = over[BASE_FIRST] < over[BASE_SECOND] ? BASE_FIRST : BASE_SECOND;
    double near = last_did ? SK_MIN(over[BASE_BEFORE], over[BASE_EARLIER]) : over[BASE_BEFORE];
    double most_over = SK_MAX(near, over[longest]);
    enum base shown = near > 0 || over[longest] <= 0 ? BASE_BEFORE : longest;
    double most = allowed(swarm, index, check, &row[shown]);
    if (isfinite(most)) {
        sk_judge_note(finding, most_over > 0, row[shown].claimed, most, row[shown].from_s,
                      row[shown].until_s);
        finding->late += most_over > 0 && most_over <= late;
    }
    return over[BASE_BEFORE] > 0;
}

static void judge_rows(const struct swarm *swarm, uint32_t index, enum sk_verdict_check check,
                       uint32_t rows, struct sk_finding *finding)
{
    bool last_did = false;
    for (uint32_t i = 0; i < rows; i++)
        last_did = judge_row(swarm, index, check, swarm->windows[i], last_did, finding);
}

/* Whether more contradicts if nobody behind its own address took anything of it, of those of whom
 * the log alone knows. Who lies could have made them up. */
static bool needs_neighbours(struct swarm *swarm, uint32_t index, uint32_t rows)
{
    struct window *windows = swarm->windows[0];
    struct sk_finding alone = {0};
    for (uint32_t i = 0; i < rows * BASE_COUNT; i++)
        windows[i].gains -= windows[i].beside;
    judge_rows(swarm, index, SK_CHECK_UPLOADED_GAINS, rows, &alone);
    return alone.against > swarm->judge->peers[index].findings[SK_CHECK_UPLOADED_GAINS].against;
}

static double tightest(const struct swarm *swarm, uint32_t index, const struct window *window)
{
    return SK_MIN(allowed(swarm, index, SK_CHECK_UPLOADED_CAPACITY, window),
                  window->seen ? window->gains : INFINITY);
}

/* What it can have uploaded from the first row to the last, of one run, beside what it says: the
 * least of the bounds over all of the time and over the announces one by one. */
static void sum_up_run(struct swarm *swarm, uint32_t index, struct window (*rows)[BASE_COUNT],
                       uint32_t count)
{
    struct sk_verdict_peer *result = &swarm->judge->peers[index];
    struct sk_judge_upload *upload = &swarm->judge->uploads[index];
    const struct window *last = rows[count - 1];
    const struct window *whole =
        isnan(last[BASE_FIRST].from_s) ? &last[BASE_BEFORE] : &last[BASE_FIRST];
    double steps = 0;
    for (uint32_t i = 0; i < count; i++)
        steps += tightest(swarm, index, &rows[i][BASE_BEFORE]);
    result->claimed_up += whole->claimed;
    result->allowed_up += SK_MIN(steps, tightest(swarm, index, whole));
    if (!whole->seen)
        return;
    if (!upload->claimed)
        upload->from_s = whole->from_s;
    upload->until_s = whole->until_s;
    upload->claimed += whole->claimed;
    upload->told += whole->told;
    upload->dark += whole->dark;
    upload->taken += whole->taken;
}

/* During the audit. */
static void sum_up(struct swarm *swarm, uint32_t index, uint32_t rows)
{
    struct sk_verdict_peer *result = &swarm->judge->peers[index];
    uint32_t begin = 0;
    while (begin < rows && swarm->windows[begin][BASE_BEFORE].from_s < -swarm->judge->slack_s)
        begin++;
    if (begin == rows) { /* nothing was said; or nothing during the audit */
        result->claimed_up = NAN;
        result->allowed_up = rows ? INFINITY : NAN;
    }
    for (uint32_t end; begin < rows; begin = end) {
        for (end = begin + 1; end < rows; end++)
            if (swarm->windows[end][BASE_BEFORE].anew || swarm->windows[begin][BASE_BEFORE].anew)
                break;
        sum_up_run(swarm, index, &swarm->windows[begin], end - begin);
    }
}

/* How many of `count` announces to step over for each that is looked at, and whether to look at
 * single pieces, so that the others' share of the time is left. */
static uint32_t afford(struct swarm *swarm, uint32_t count)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    uint64_t share = swarm->looks / SK_MAX(swarm->waiting, 1u), pieces = timeline->pieces;
    uint64_t announce = (uint64_t)swarm->row_count * BASE_COUNT * LOOKS_A_WINDOW;
    for (uint32_t k = 0; k < swarm->row_count; k++)
        pieces += timeline->peers[swarm->row[k].peer].gains_count;
    uint64_t all = LOOKS_TIMES * (uint64_t)SK_VERDICT_LOOKS_MAX / SK_MAX(swarm->reporters, 1u);
    announce = SK_MAX(announce, (uint64_t)1);
    uint64_t least = SK_MIN(all / announce, (uint64_t)ANNOUNCES_LEAST);
    swarm->by_gains = least >= 2;
    uint64_t most = SK_MAX(share / 2 / announce, SK_MAX(least, (uint64_t)2));
    uint32_t stride = (uint32_t)((count + most - 1) / most);
    uint64_t used = count / stride * announce;
    swarm->by_piece = used + pieces <= share;
    used += swarm->by_piece ? pieces : 0;
    swarm->looks -= SK_MIN(used, swarm->looks);
    swarm->waiting -= swarm->waiting > 0;
    return stride;
}

static void judge_peer(struct swarm *swarm, uint32_t index)
{
    struct sk_verdict_peer *result = &swarm->judge->peers[index];
    const struct sk_reports_line *lines;
    uint32_t count = sk_judge_lines(swarm->judge, index, &lines), rows = 0;
    if (count > 1) {
        fill_row(swarm, index);
        rows = make_windows(swarm, lines, count, afford(swarm, count));
    }
    if (rows) {
        if (swarm->by_piece)
            fill_since(swarm, index);
        if (swarm->by_gains)
            bound_by_gains(swarm, index, rows);
    }
    for (enum sk_verdict_check check = SK_CHECK_UPLOADED_CAPACITY; check <= SK_CHECK_UPLOADED_GAINS;
         check++) {
        struct sk_finding *finding = &result->findings[check];
        judge_rows(swarm, index, check, rows, finding);
        finding->value = sk_judge_counts(finding, check);
    }
    sum_up(swarm, index, rows);
    result->neighbour = needs_neighbours(swarm, index, rows);
}

/* ---- all peers ---- */

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
        double bytes = (double)sk_tally_bytes(&swarm->tallies[i], peer->gains_count);
        if (seconds > 0)
            rates[count++] = (bytes + swarm->judge->padded) / seconds;
    }
    qsort(rates, count, sizeof *rates, sk_order_doubles);
    swarm->busy_bytes_s = count ? rates[(uint32_t)ceil(BUSY_SHARE * (count - 1))] : INFINITY;
    sk_mem_free(rates);
    return 0;
}

static int prepare(struct swarm *swarm)
{
    const struct sk_timeline *timeline = swarm->judge->timeline;
    size_t peers = (size_t)timeline->peers_count + 1;
    swarm->tallies = sk_mem_calloc(peers, sizeof *swarm->tallies);
    swarm->said = sk_mem_calloc((size_t)swarm->judge->reports->count + 1, sizeof *swarm->said);
    swarm->speaks = sk_mem_calloc(peers, sizeof *swarm->speaks);
    swarm->row = sk_mem_calloc(peers, sizeof *swarm->row);
    swarm->since = sk_mem_calloc(timeline->pieces, sizeof *swarm->since);
    swarm->windows = sk_mem_alloc(SK_REPORTS_PEER_MAX * sizeof *swarm->windows);
    uint32_t gains = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++)
        gains = SK_MAX(gains, timeline->peers[i].gains_count);
    swarm->counted = sk_mem_alloc(((size_t)gains + 1) * sizeof *swarm->counted);
    if (!swarm->tallies || !swarm->said || !swarm->speaks || !swarm->row || !swarm->since ||
        !swarm->windows || !swarm->counted)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_reports_line *lines;
        swarm->tallies[i] = sk_tally(timeline, &timeline->peers[i]);
        swarm->waiting += sk_judge_lines(swarm->judge, i, &lines) > 1;
        for (uint32_t k = 0; k < timeline->peers[i].taken_count; k++)
            swarm->taken_bytes += (double)timeline->peers[i].taken[k].bytes;
        sum_up_said(swarm, i);
    }
    swarm->reporters = swarm->waiting;
    int err = find_links(swarm);
    if (!err)
        err = find_busy(swarm);
    return err;
}

int sk_judge_uploaded(struct sk_judge *judge)
{
    struct swarm swarm = {.judge = judge, .looks = SK_VERDICT_LOOKS_MAX};
    int err = prepare(&swarm);
    for (uint32_t i = 0; i < judge->timeline->peers_count && !err; i++)
        judge_peer(&swarm, i);
    sk_mem_free(swarm.tallies);
    sk_mem_free(swarm.said);
    sk_mem_free(swarm.speaks);
    sk_mem_free(swarm.begins);
    sk_mem_free(swarm.near);
    sk_mem_free(swarm.row);
    sk_mem_free(swarm.since);
    sk_mem_free(swarm.windows);
    sk_mem_free(swarm.counted);
    return err;
}
