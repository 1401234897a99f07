/*
 * Who can have given what: for every gain that is looked at and every source that the receiver may
 * have been connected to, whether it held the piece, and of what rank the piece was among those
 * that the receiver could have taken from it instead.
 *
 * In the order of time, with what everybody held and how many of those that each receiver was
 * connected to held each piece. Pieces that the receiver gained within the next seconds are passed
 * over: it had begun them.
 */
#include "audit/flow_internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BIN_LEAST_MS 100
#define BINS_MAX (1u << 20)
#define BEGUN_MS 15000 /* a piece is begun so long before it is whole */
/* So long before it is whole most of a piece was asked for: for so many gains, as so many pieces
 * are under way at a time; and 5 s at most. */
#define UNDER_WAY_GAINS 6
#define UNDER_WAY_MS 5000
#define FRESH_MS 30000 /* how much a source has to offer is counted so often */
#define NEIGHBOURS_MAX                                                                             \
    128 /* on average: with more, a piece's rarity is that in the whole swarm                      \
         */

/* ---- choices: rank, how many are as rare, how many it could have taken; in classes ---- */

static const uint32_t rank_from[8] = {0, 1, 2, 4, 8, 16, 32, 128};
static const uint32_t ties_from[8] = {0, 2, 4, 8, 16, 32, 64, 256};
static const uint32_t offer_from[4] = {0, 8, 64, 512};
static const double rank_mean[8] = {0, 1, 2.5, 5.5, 11.5, 23.5, 64, 256};
static const double ties_mean[8] = {1, 2.4, 5.5, 11.5, 23.5, 47, 128, 400};
static const double offer_mean[4] = {4, 24, 180, 1500};

static uint32_t class_of(uint32_t value, const uint32_t *from, uint32_t count)
{
    uint32_t i = count - 1;
    while (value < from[i])
        i--;
    return i;
}

static uint8_t make_choice(uint32_t rank, uint32_t ties, uint32_t offer)
{
    uint32_t choice = class_of(rank, rank_from, 8) | class_of(ties, ties_from, 8) << 3 |
                      class_of(offer, offer_from, 4) << 6;
    return (uint8_t)SK_MIN(choice + 1, UINT8_MAX);
}

struct sk_flow_choice sk_flow_choice(uint8_t choice)
{
    uint32_t index = choice - 1u;
    struct sk_flow_choice it = {rank_mean[index & 7], ties_mean[index >> 3 & 7],
                                offer_mean[index >> 6 & 3]};
    if (it.offer < it.rank + it.ties)
        it.offer = it.rank + it.ties;
    return it;
}

/* ---- when a peer's gains were ---- */

/* Those that a bitfield told were gained at some time since it was last known; evenly, we say. */
struct walker {
    uint32_t next, group, group_end; /* of its gains: which were told together */
    uint32_t begin_ms, end_ms;       /* of the group's time */
    uint32_t at_ms;                  /* of the latest */
};

static uint32_t walk(struct walker *walker, const struct sk_timeline_peer *peer)
{
    const struct sk_gain *gain = &peer->gains[walker->next];
    if (walker->next == walker->group_end) {
        uint32_t end = walker->next + 1;
        while (gain->since_ms < gain->at_ms && end < peer->gains_count &&
               peer->gains[end].at_ms == gain->at_ms && peer->gains[end].since_ms == gain->since_ms)
            end++;
        walker->group = walker->next;
        walker->group_end = end;
        walker->end_ms = SK_MAX(gain->at_ms, walker->at_ms);
        walker->begin_ms = SK_MIN(SK_MAX(gain->since_ms, walker->at_ms), walker->end_ms);
    }
    uint64_t length = walker->end_ms - walker->begin_ms;
    uint64_t part = walker->next - walker->group + 1, whole = walker->group_end - walker->group;
    walker->next++;
    return walker->at_ms = walker->begin_ms + (uint32_t)(length * part / whole);
}

/* ---- the course of time ---- */

struct holding {
    uint32_t peer, piece;
};

struct course {
    uint32_t bin_ms, bins;
    uint32_t *gains_to, *holdings_to; /* where each bin's begin; and the end */
    uint32_t *gains;                  /* who gained its next one */
    struct holding *holdings;         /* who may have it from then on */
};

static uint32_t bin_of(const struct course *course, uint32_t at_ms)
{
    return SK_MIN(at_ms / course->bin_ms, course->bins - 1);
}

static void course_deinit(struct course *course)
{
    sk_mem_free(course->gains_to);
    sk_mem_free(course->holdings_to);
    sk_mem_free(course->gains);
    sk_mem_free(course->holdings);
}

/* Counts each bin's events at [bin + 2] of both lists, so that filling leaves them in place. */
static void course_count(struct course *course, const struct sk_timeline *timeline)
{
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        struct walker walker = {0};
        while (walker.next < peer->gains_count) {
            uint32_t since_ms = peer->gains[walker.next].since_ms;
            course->gains_to[bin_of(course, walk(&walker, peer)) + 2]++;
            course->holdings_to[bin_of(course, since_ms) + 2]++;
        }
    }
    for (uint32_t b = 0; b <= course->bins; b++) {
        course->gains_to[b + 1] += course->gains_to[b];
        course->holdings_to[b + 1] += course->holdings_to[b];
    }
}

static void course_fill(struct course *course, const struct sk_timeline *timeline)
{
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        struct walker walker = {0};
        while (walker.next < peer->gains_count) {
            const struct sk_gain *gain = &peer->gains[walker.next];
            course->gains[course->gains_to[bin_of(course, walk(&walker, peer)) + 1]++] = i;
            uint32_t bin = bin_of(course, gain->since_ms);
            course->holdings[course->holdings_to[bin + 1]++] = (struct holding){i, gain->piece};
        }
    }
}

static int course_init(struct course *course, const struct sk_timeline *timeline)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++)
        total += timeline->peers[i].gains_count;
    *course = (struct course){.bin_ms = SK_MAX(BIN_LEAST_MS, timeline->end_ms / BINS_MAX + 1)};
    course->bins = timeline->end_ms / course->bin_ms + 1;
    course->gains_to = sk_mem_calloc(course->bins + 2, sizeof *course->gains_to);
    course->holdings_to = sk_mem_calloc(course->bins + 2, sizeof *course->holdings_to);
    course->gains = sk_mem_calloc(total + 1, sizeof *course->gains);
    course->holdings = sk_mem_calloc(total + 1, sizeof *course->holdings);
    if (!course->gains_to || !course->holdings_to || !course->gains || !course->holdings)
        return SKEP_ERR_NOMEM;
    course_count(course, timeline);
    course_fill(course, timeline);
    return 0;
}

/* ---- when links begin and end ---- */

struct link_change {
    uint32_t at_ms, pair;
    bool begins;
};

static int compare_links(const void *a, const void *b)
{
    const struct link_change *x = a, *y = b;
    if (x->at_ms != y->at_ms)
        return x->at_ms < y->at_ms ? -1 : 1;
    if (x->pair != y->pair)
        return x->pair < y->pair ? -1 : 1;
    return x->begins - y->begins;
}

/* Of links to those that tell what they hold, in the order of time. NULL: no memory. */
static struct link_change *list_links(const struct sk_flow_world *world, uint32_t *ret_count)
{
    uint32_t spans = world->pairs[world->pairs_count].spans, count = 0;
    struct link_change *links = sk_mem_calloc(2 * (size_t)spans + 1, sizeof *links);
    for (uint32_t e = 0; links && e < world->pairs_count; e++) {
        if (!world->timeline->peers[world->pairs[e].from].has_first)
            continue;
        for (uint32_t s = world->pairs[e].spans; s < world->pairs[e + 1].spans; s++) {
            const struct sk_span *span = &world->spans[s];
            links[count++] = (struct link_change){span->from_ms, e, true};
            if (span->until_ms < world->timeline->end_ms)
                links[count++] = (struct link_change){span->until_ms + 1, e, false};
        }
    }
    if (links)
        qsort(links, count, sizeof *links, compare_links);
    *ret_count = count;
    return links;
}

/* ---- who holds what ---- */

#define SPEEDS 6               /* of sources: a piece takes 1, 2, 4, ... seconds */
#define LOOKS (2 * SPEEDS + 1) /* the last one is at what the receiver could take */
#define LOOKS_WIDTH 64.0       /* sources that cost three times what a gain does by itself */
#define LATE_BACK 0.4          /* of the time that a piece takes: then the second look is taken */

/* One of the looks that are taken at each gain, `back_ms` before it was whole: at who held it, for
 * sources of one speed, when they were asked for it; at how rare it was, for all sources at the
 * same time. Were that too at a time of each source's own, what is gained in between would make the
 * piece seem a better choice of some than of others. */
struct look {
    uint32_t speed, back_ms; /* speed SPEEDS: of all */
    bool used;               /* there are sources of that speed */
    uint32_t next;           /* in the order of gains */
    struct walker *walkers;  /* of each peer */
};

struct scene {
    struct sk_flow_world *world;
    uint32_t words, pieces;
    uint32_t *row_of;       /* of each peer, of the next two; 0: it told nothing, as most may */
    uint64_t *held, *begun; /* `words` a row */
    uint64_t holdings;      /* pieces held by all that say so */
    uint32_t holders;
    /* Rarity among those that the receiver is connected to, which is what it goes by itself; else
     * one row for all. */
    bool local;
    uint16_t *rarity;          /* how many hold each piece */
    struct link_change *links; /* where local */
    uint32_t links_count, links_next;
    /* Whom each source is connected to now: as many of the places in `outgoing`. */
    uint32_t *receivers, *receivers_count;
    uint64_t *rare, *tied, *wanted;
    uint32_t *busy, busy_count; /* words in which anything is rare or tied */
    uint8_t *equal;             /* scratch: a byte a piece */
    uint8_t *holds;             /* a bit for each of the world's choices: it can have given it */
    struct {
        uint32_t at_ms, count;
    } * offers;           /* by pair: when counted + 1 */
    struct walker *ahead; /* of each peer */
    uint8_t *speed;
    struct look looks[LOOKS];
};

static void scene_deinit(struct scene *scene)
{
    sk_mem_free(scene->row_of);
    sk_mem_free(scene->held);
    sk_mem_free(scene->begun);
    sk_mem_free(scene->rarity);
    sk_mem_free(scene->links);
    sk_mem_free(scene->receivers);
    sk_mem_free(scene->receivers_count);
    sk_mem_free(scene->rare);
    sk_mem_free(scene->tied);
    sk_mem_free(scene->wanted);
    sk_mem_free(scene->busy);
    sk_mem_free(scene->equal);
    sk_mem_free(scene->holds);
    sk_mem_free(scene->offers);
    sk_mem_free(scene->ahead);
    sk_mem_free(scene->speed);
    for (uint32_t i = 0; i < LOOKS; i++)
        sk_mem_free(scene->looks[i].walkers);
}

/* The words of one peer in `table`. */
static uint64_t *words_of(const struct scene *scene, uint64_t *table, uint32_t peer)
{
    return table + (size_t)scene->row_of[peer] * scene->words;
}

static void hold(struct scene *scene, uint32_t peer, uint32_t piece)
{
    struct sk_flow_world *world = scene->world;
    uint64_t *word = &words_of(scene, scene->held, peer)[piece / 64];
    uint64_t bit = UINT64_C(1) << (piece % 64);
    if (*word & bit)
        return;
    *word |= bit;
    scene->holdings += !world->blind[peer];
    if (!scene->local) {
        scene->rarity[piece] += scene->rarity[piece] < UINT16_MAX;
        return;
    }
    const uint32_t *receivers = scene->receivers + world->outgoing[peer];
    for (uint32_t k = 0; k < scene->receivers_count[peer]; k++)
        scene->rarity[(size_t)receivers[k] * scene->pieces + piece]++;
}

static void change_receivers(struct scene *scene, const struct sk_flow_pair *pair, bool begins)
{
    uint32_t *receivers = scene->receivers + scene->world->outgoing[pair->from], k = 0;
    uint32_t *count = &scene->receivers_count[pair->from];
    while (k < *count && receivers[k] != pair->to)
        k++;
    if (begins && k == *count)
        receivers[(*count)++] = pair->to;
    else if (!begins && k < *count)
        receivers[k] = receivers[--*count];
}

static void change_link(struct scene *scene, const struct link_change *link)
{
    const struct sk_flow_pair *pair = &scene->world->pairs[link->pair];
    const uint64_t *held = words_of(scene, scene->held, pair->from);
    uint16_t *rarity = scene->rarity + (size_t)pair->to * scene->pieces;
    uint16_t one = link->begins ? 1 : UINT16_MAX; /* which takes one off */
    change_receivers(scene, pair, link->begins);
    for (uint32_t p = 0; p < scene->pieces; p++)
        rarity[p] = (uint16_t)(rarity[p] + (held[p / 64] >> (p % 64) & 1) * one);
}

static void change_links(struct scene *scene, uint32_t until_ms)
{
    for (; scene->links_next < scene->links_count &&
           scene->links[scene->links_next].at_ms <= until_ms;
         scene->links_next++)
        change_link(scene, &scene->links[scene->links_next]);
}

/* How long before its gains the median receiver asked for them. `scratch` is room for all peers. */
static uint32_t under_way_ms(const struct sk_timeline *timeline, uint32_t *scratch)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < timeline->peers_count; i++) {
        const struct sk_timeline_peer *peer = &timeline->peers[i];
        uint32_t n = peer->gains_count;
        if (n > UNDER_WAY_GAINS)
            scratch[count++] = (peer->gains[n - 1].at_ms - peer->gains[0].at_ms) / (n - 1);
    }
    if (!count)
        return UNDER_WAY_MS;
    qsort(scratch, count, sizeof *scratch, sk_order_u32);
    uint64_t ms = (uint64_t)UNDER_WAY_GAINS * scratch[count / 2];
    return (uint32_t)SK_MIN(SK_MAX(ms, (uint64_t)BIN_LEAST_MS), (uint64_t)UNDER_WAY_MS);
}

/* When a source was asked for a piece depends on how long it takes it to give one. Who got the
 * piece itself in between may have been asked a bit later. */
static int set_looks(struct scene *scene)
{
    struct sk_flow_world *world = scene->world;
    uint32_t *gaps_ms = sk_mem_alloc((world->peers + 1) * sizeof *gaps_ms);
    if (!gaps_ms)
        return SKEP_ERR_NOMEM;
    uint32_t choice_ms = under_way_ms(world->timeline, gaps_ms);
    sk_mem_free(gaps_ms);
    for (uint32_t i = 0; i < LOOKS; i++) {
        double back = i % 2 ? LATE_BACK : 1;
        scene->looks[i].speed = i / 2;
        scene->looks[i].back_ms =
            i / 2 < SPEEDS ? (uint32_t)(1000 * back * (1u << i / 2)) : choice_ms;
        scene->looks[i].used = i / 2 == SPEEDS;
        scene->looks[i].walkers = sk_mem_calloc(world->peers + 1, sizeof(struct walker));
        if (!scene->looks[i].walkers)
            return SKEP_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < world->peers; i++) {
        double seconds =
            world->timeline->piece_size * world->fanout[i] / world->capacity_bytes_s[i];
        int speed = (int)lround(log2(fmax(1, seconds)));
        scene->speed[i] = (uint8_t)SK_MIN(speed, SPEEDS - 1);
        scene->looks[2 * scene->speed[i]].used = scene->looks[2 * scene->speed[i] + 1].used = true;
    }
    return 0;
}

static int scene_init(struct scene *scene, struct sk_flow_world *world)
{
    uint32_t n = world->peers, pieces = world->timeline->pieces;
    uint64_t rows = (uint64_t)n * pieces * sizeof(uint16_t);
    *scene = (struct scene){.world = world, .words = (pieces + 63) / 64, .pieces = pieces};
    scene->local = world->pairs_count / NEIGHBOURS_MAX < n && rows <= SK_FLOW_CELLS_MAX;
    scene->row_of = sk_mem_calloc(n + 1, sizeof *scene->row_of);
    if (!scene->row_of)
        return SKEP_ERR_NOMEM;
    size_t told = 1;
    for (uint32_t i = 0; i < n; i++)
        scene->row_of[i] = world->timeline->peers[i].has_first ? (uint32_t)told++ : 0;
    scene->held = sk_mem_calloc(told * scene->words, sizeof *scene->held);
    scene->begun = sk_mem_calloc(told * scene->words, sizeof *scene->begun);
    scene->rarity = sk_mem_calloc((scene->local ? n : 1) * (size_t)pieces, sizeof *scene->rarity);
    if (scene->local) {
        scene->links = list_links(world, &scene->links_count);
        scene->receivers = sk_mem_calloc(world->pairs_count + 1, sizeof *scene->receivers);
        scene->receivers_count = sk_mem_calloc(n + 1, sizeof *scene->receivers_count);
        if (!scene->links || !scene->receivers || !scene->receivers_count)
            return SKEP_ERR_NOMEM;
    }
    scene->rare = sk_mem_calloc(scene->words, sizeof *scene->rare);
    scene->tied = sk_mem_calloc(scene->words, sizeof *scene->tied);
    scene->wanted = sk_mem_calloc(scene->words, sizeof *scene->wanted);
    scene->busy = sk_mem_calloc(scene->words, sizeof *scene->busy);
    scene->equal = sk_mem_calloc(scene->words, 2 * 64);
    scene->holds = sk_mem_calloc(world->row_of[n] / 8 + 1, 1);
    scene->offers = sk_mem_calloc(world->pairs_count + 1, sizeof *scene->offers);
    scene->ahead = sk_mem_calloc(n, sizeof *scene->ahead);
    scene->speed = sk_mem_calloc(n + 1, sizeof *scene->speed);
    if (!scene->held || !scene->begun || !scene->rarity || !scene->rare || !scene->tied ||
        !scene->wanted || !scene->busy || !scene->equal || !scene->holds || !scene->offers ||
        !scene->ahead || !scene->speed || set_looks(scene))
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        const struct sk_timeline_peer *peer = &world->timeline->peers[i];
        scene->holders += !world->blind[i];
        for (uint32_t p = 0; peer->has_first && p < pieces; p++) {
            if (sk_bitfield_has(&peer->first, p))
                hold(scene, i, p);
        }
    }
    memcpy(scene->begun, scene->held, told * scene->words * sizeof *scene->held);
    return 0;
}

/* ---- one gain ---- */

static uint32_t popcount(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)((x * UINT64_C(0x0101010101010101)) >> 56);
}

/* Eight bytes of 0 or 1 as eight bits, the first the lowest. */
static uint64_t pack(const uint8_t *bytes)
{
    uint64_t x = 0;
    for (uint32_t i = 0; i < 8; i++) /* one load where bytes lie that way round */
        x |= (uint64_t)bytes[i] << (8 * i);
    return (x * UINT64_C(0x0102040810204080)) >> 56;
}

static uint64_t pack_word(const uint8_t *bytes)
{
    uint64_t word = 0;
    for (uint32_t i = 0; i < 8; i++)
        word |= pack(bytes + 8 * i) << (8 * i);
    return word;
}

/* Which pieces the receiver would rather take than this one, and which as soon. */
static void rank_pieces(struct scene *scene, uint32_t to, uint32_t piece)
{
    const uint16_t *rarity = scene->rarity + (scene->local ? (size_t)to * scene->pieces : 0);
    const uint64_t *begun = words_of(scene, scene->begun, to);
    uint16_t level = rarity[piece];
    uint8_t *less = scene->equal, *same = scene->equal + (size_t)scene->words * 64;
    for (uint32_t p = 0; p < scene->pieces; p++) {
        less[p] = rarity[p] < level;
        same[p] = rarity[p] == level;
    }
    scene->busy_count = 0;
    for (uint32_t w = 0; w < scene->words; w++) {
        uint64_t wanted = ~begun[w];
        scene->wanted[w] = wanted;
        scene->rare[w] = pack_word(less + 64 * (size_t)w) & wanted;
        scene->tied[w] = pack_word(same + 64 * (size_t)w) & wanted;
        if (scene->rare[w] | scene->tied[w])
            scene->busy[scene->busy_count++] = w;
    }
}

static uint32_t count_offer(struct scene *scene, uint32_t pair, uint32_t at_ms)
{
    if (!scene->offers[pair].at_ms || at_ms - (scene->offers[pair].at_ms - 1) > FRESH_MS) {
        const uint64_t *held = words_of(scene, scene->held, scene->world->pairs[pair].from);
        uint32_t count = 1;
        for (uint32_t w = 0; w < scene->words; w++)
            count += popcount(held[w] & scene->wanted[w]);
        scene->offers[pair].at_ms = at_ms + 1;
        scene->offers[pair].count = count;
    }
    return scene->offers[pair].count;
}

static uint8_t choose(struct scene *scene, uint32_t pair, uint32_t at_ms)
{
    uint32_t from = scene->world->pairs[pair].from, rank = 0, ties = 1;
    const uint64_t *held = words_of(scene, scene->held, from);
    for (uint32_t k = 0; k < scene->busy_count && rank < rank_from[7]; k++) {
        uint32_t w = scene->busy[k];
        uint64_t rare = held[w] & scene->rare[w], tied = held[w] & scene->tied[w];
        rank += rare ? popcount(rare) : 0;
        ties += tied ? popcount(tied) : 0;
    }
    return make_choice(rank, ties, count_offer(scene, pair, at_ms));
}

/* Of one that does not say what it holds: as if it held any piece as likely as the others do. */
static uint8_t choose_blindly(const struct scene *scene, double share)
{
    uint32_t rank = 0, ties = 1, offer = 1;
    for (uint32_t w = 0; w < scene->words; w++) {
        rank += popcount(scene->rare[w]);
        ties += popcount(scene->tied[w]);
        offer += popcount(scene->wanted[w]);
    }
    return make_choice((uint32_t)(rank * share), SK_MAX(1, (uint32_t)(ties * share)),
                       SK_MAX(1, (uint32_t)(offer * share)));
}

/* Who held it when it will have been asked for it; `cell` is the row's first. */
static void look_at_holders(struct scene *scene, uint32_t speed, uint32_t to, uint32_t gain,
                            uint64_t cell)
{
    struct sk_flow_world *world = scene->world;
    const struct sk_flow_config *config = world->config;
    uint32_t piece = world->gains[gain].piece, at_ms = world->gains[gain].at_ms;
    for (uint32_t e = world->incoming[to]; e < world->incoming[to + 1]; e++, cell++) {
        uint32_t from = world->pairs[e].from;
        bool held = words_of(scene, scene->held, from)[piece / 64] >> (piece % 64) & 1;
        if (scene->speed[from] != speed || (!held && !world->blind[from]) ||
            !sk_flow_connected(world, e, at_ms))
            continue;
        if (!config->may_give ||
            config->may_give(from, to, at_ms - SK_MIN(at_ms, UNDER_WAY_MS), at_ms, config->ctx))
            scene->holds[cell / 8] |= (uint8_t)(1u << (cell % 8));
    }
}

/* What else the receiver could have taken of each, whether it is found to have held it or not. */
static void look_at_choices(struct scene *scene, uint32_t to, uint32_t gain, uint64_t cell)
{
    struct sk_flow_world *world = scene->world;
    uint32_t at_ms = world->gains[gain].at_ms;
    double all = (double)scene->holders * scene->pieces;
    uint8_t blindly = 0;
    rank_pieces(scene, to, world->gains[gain].piece);
    for (uint32_t e = world->incoming[to]; e < world->incoming[to + 1]; e++, cell++) {
        bool blind = world->blind[world->pairs[e].from];
        if (!sk_flow_connected(world, e, at_ms))
            continue;
        if (blind && !blindly)
            blindly = choose_blindly(scene, all > 0 ? (double)scene->holdings / all : 0.5);
        world->choices[cell] = blind ? blindly : choose(scene, e, at_ms);
    }
}

/* ---- all of them ---- */

static int compare_gifts(const void *a, const void *b)
{
    const struct sk_flow_gift *x = a, *y = b;
    if (x->peer != y->peer)
        return x->peer < y->peer ? -1 : 1;
    return (x->piece > y->piece) - (x->piece < y->piece);
}

/* How many of a peer's first `count` gains are looked at. */
static uint32_t looked_at(const struct sk_flow_world *world, uint32_t count)
{
    return (uint32_t)(count / world->stride);
}

/* One gain in so many, so that neither table nor time grow beyond what is allowed. */
static int make_room(struct sk_flow_world *world)
{
    const struct sk_timeline *timeline = world->timeline;
    double cells = 1, gains = 1;
    for (uint32_t i = 0; i < world->peers; i++) {
        uint32_t width = world->incoming[i + 1] - world->incoming[i];
        cells += (double)width * timeline->peers[i].gains_count;
        gains += (width / LOOKS_WIDTH + 0.25) * timeline->peers[i].gains_count;
    }
    double words = (timeline->pieces + 63) / 64;
    world->stride = fmax(1, fmax(cells / SK_FLOW_CELLS_MAX, gains * words / SK_FLOW_WORDS_MAX));
    world->gains_of = sk_mem_calloc(world->peers + 1, sizeof *world->gains_of);
    world->row_of = sk_mem_calloc(world->peers + 1, sizeof *world->row_of);
    if (!world->gains_of || !world->row_of)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < world->peers; i++) {
        uint32_t width = world->incoming[i + 1] - world->incoming[i];
        uint32_t count = width ? looked_at(world, timeline->peers[i].gains_count) : 0;
        world->gains_of[i + 1] = world->gains_of[i] + count;
        world->row_of[i + 1] = world->row_of[i] + (uint64_t)count * width;
    }
    world->gains = sk_mem_calloc(world->gains_of[world->peers] + 1, sizeof *world->gains);
    world->choices = sk_mem_calloc(world->row_of[world->peers] + 1, 1);
    return world->gains && world->choices ? 0 : SKEP_ERR_NOMEM;
}

static void gain(struct scene *scene, struct look *look, uint32_t to,
                 const struct sk_flow_gift *gifts)
{
    struct sk_flow_world *world = scene->world;
    const struct sk_timeline_peer *peer = &world->timeline->peers[to];
    uint32_t number = look->walkers[to].next, place = looked_at(world, number);
    uint32_t width = world->incoming[to + 1] - world->incoming[to];
    uint32_t at_ms = walk(&look->walkers[to], peer), it = world->gains_of[to] + place;
    if (!width || place == looked_at(world, number + 1))
        return;
    struct sk_flow_gift key = {.peer = to, .piece = peer->gains[number].piece};
    world->gains[it] = (struct sk_flow_gain){.at_ms = at_ms, .piece = key.piece};
    if (gifts && bsearch(&key, gifts, world->config->gifts_count, sizeof *gifts, compare_gifts))
        return;
    world->gains[it].bytes = (float)sk_timeline_piece_bytes(world->timeline, key.piece);
    uint64_t cell = world->row_of[to] + (uint64_t)place * width;
    if (look->speed < SPEEDS)
        look_at_holders(scene, look->speed, to, it, cell);
    else
        look_at_choices(scene, to, it, cell);
}

static void drop_others(struct scene *scene)
{
    struct sk_flow_world *world = scene->world;
    for (uint64_t cell = 0; cell < world->row_of[world->peers]; cell++)
        if (!(scene->holds[cell / 8] >> (cell % 8) & 1))
            world->choices[cell] = 0;
}

static void run_course(struct scene *scene, const struct course *course,
                       const struct sk_flow_gift *gifts)
{
    const struct sk_timeline *timeline = scene->world->timeline;
    uint32_t begun = 0;
    for (uint32_t b = 0; b < course->bins; b++) {
        change_links(scene, b * course->bin_ms);
        uint32_t until = SK_MIN(b + BEGUN_MS / course->bin_ms, course->bins - 1);
        for (; begun < course->gains_to[until + 1]; begun++) {
            uint32_t i = course->gains[begun];
            uint32_t piece = timeline->peers[i].gains[scene->ahead[i].next++].piece;
            words_of(scene, scene->begun, i)[piece / 64] |= UINT64_C(1) << (piece % 64);
        }
        for (struct look *look = scene->looks; look < scene->looks + LOOKS; look++) {
            until = SK_MIN(b + look->back_ms / course->bin_ms, course->bins - 1);
            for (; look->used && look->next < course->gains_to[until + 1]; look->next++)
                gain(scene, look, course->gains[look->next], gifts);
        }
        for (uint32_t k = course->holdings_to[b]; k < course->holdings_to[b + 1]; k++)
            hold(scene, course->holdings[k].peer, course->holdings[k].piece);
    }
}

int sk_flow_find_candidates(struct sk_flow_world *world)
{
    const struct sk_flow_config *config = world->config;
    struct course course = {0};
    struct scene scene = {0};
    struct sk_flow_gift *gifts = NULL;
    int err = make_room(world);
    if (!err)
        err = course_init(&course, world->timeline);
    if (!err)
        err = scene_init(&scene, world);
    if (!err && config->gifts_count) {
        gifts = sk_mem_dup(config->gifts, config->gifts_count * sizeof *gifts);
        err = gifts ? 0 : SKEP_ERR_NOMEM;
    }
    if (!err) {
        if (gifts)
            qsort(gifts, config->gifts_count, sizeof *gifts, compare_gifts);
        run_course(&scene, &course, gifts);
        drop_others(&scene);
        double all = (double)scene.holders * scene.pieces;
        world->blind_share = all > 0 ? (double)scene.holdings / all : 0.5;
    }
    sk_mem_free(gifts);
    scene_deinit(&scene);
    course_deinit(&course);
    return err;
}
