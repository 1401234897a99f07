#include "swarm/choker.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/prng.h"

#include <stdlib.h>

struct peer {
    uint32_t number;
    uint32_t index; /* among the choker's peers */
    bool interested, unchoked;
    bool optimistic;     /* unchoked, in an optimistic slot */
    bool newcomer;       /* never unchoked so far */
    bool lost;           /* its optimistic slot, in this round */
    bool waits;          /* we wait for blocks of it */
    bool told;           /* what the caller believes of `unchoked` */
    uint64_t since_ns;   /* unchoked: since when; else interested, or choked, since when */
    uint64_t heard_ns;   /* waits: since when it owes us a block */
    uint64_t gave, took; /* bytes, in this round */
    uint64_t gave_last, took_last; /* in the last one */
    uint64_t turn_bytes;           /* took since it was unchoked */
    struct sk_link change;         /* in `changes` while told differs from unchoked */
    /* Who goes first: the lowest class, in it the highest key, then who is unchoked, then a draw.
     */
    unsigned rank_class;
    uint64_t rank_key, rank_draw;
};

/* The classes: of those that are interested, as a leecher and as a seed; and of the others. */
enum { LEECHER_GIVES, LEECHER_SNUBS };
enum { SEED_TAKES_TURN, SEED_WAITS, SEED_HAD_TURN };
enum { NOT_INTERESTED = 3 };

struct sk_choker {
    struct sk_choker_config config;
    struct sk_prng prng;
    bool seeding, seeding_next; /* in this round, from the next one on */
    uint32_t slots;
    struct sk_map by_number;
    struct peer **peers; /* in no order */
    uint32_t count, capacity;
    uint32_t unchoked, optimistic, waiting; /* waiting: interested and choked */
    struct sk_link changes;
    uint64_t rounds, round_ns; /* since when the round is */
    uint64_t took;             /* by all, in this round */
};

int sk_choker_new(const struct sk_choker_config *config, uint64_t now_ns,
                  struct sk_choker **ret_choker)
{
    struct sk_choker *choker = sk_mem_calloc(1, sizeof *choker);
    if (!choker)
        return SKEP_ERR_NOMEM;
    choker->config = *config;
    choker->slots = config->slots_max ? config->slots_max : SK_CHOKER_SLOTS_MIN;
    choker->round_ns = now_ns;
    sk_prng_init(&choker->prng, config->seed);
    sk_map_init(&choker->by_number, sizeof(uint32_t), SK_CHOKER_PEERS_MAX, config->seed);
    sk_list_init(&choker->changes);
    *ret_choker = choker;
    return 0;
}

void sk_choker_free(struct sk_choker *choker)
{
    if (!choker)
        return;
    for (uint32_t i = 0; i < choker->count; i++)
        sk_mem_free(choker->peers[i]);
    sk_mem_free(choker->peers);
    sk_map_deinit(&choker->by_number);
    sk_mem_free(choker);
}

void sk_choker_set_seeding(struct sk_choker *choker, bool seeding)
{
    choker->seeding_next = seeding;
}

static struct peer *find(const struct sk_choker *choker, uint32_t number)
{
    struct peer *peer = sk_map_get(&choker->by_number, &number);
    SK_ASSERT(peer);
    return peer;
}

/* ---- slots ---- */

static uint32_t optimistic_slots(const struct sk_choker *choker)
{
    return choker->seeding ? 0 : SK_MAX(choker->slots / SK_CHOKER_OPTIMISTIC_SHARE, 1u);
}

/* What was decided of a peer changed: it is to be told, or need not be any more. */
static void note(struct sk_choker *choker, struct peer *peer)
{
    sk_list_remove(&peer->change);
    sk_list_init(&peer->change);
    if (peer->unchoked != peer->told)
        sk_list_append(&choker->changes, &peer->change);
}

static void unchoke(struct sk_choker *choker, struct peer *peer, bool optimistic, uint64_t now_ns)
{
    peer->unchoked = true;
    peer->optimistic = optimistic;
    peer->newcomer = false;
    peer->since_ns = now_ns;
    peer->turn_bytes = 0;
    choker->unchoked++;
    choker->optimistic += optimistic;
    choker->waiting--;
    note(choker, peer);
}

static void choke(struct sk_choker *choker, struct peer *peer, uint64_t now_ns)
{
    choker->optimistic -= peer->optimistic;
    choker->unchoked--;
    choker->waiting += peer->interested;
    peer->unchoked = peer->optimistic = false;
    peer->since_ns = now_ns;
    note(choker, peer);
}

static bool snubs(const struct peer *peer, uint64_t now_ns)
{
    return peer->waits && now_ns - peer->heard_ns >= SK_CHOKER_SNUBBED_NS;
}

static bool had_turn(const struct peer *peer, uint64_t now_ns)
{
    uint64_t turn_ns = now_ns - peer->since_ns;
    return peer->turn_bytes >= SK_CHOKER_TURN_BYTES || turn_ns >= SK_CHOKER_TURN_NS ||
           (turn_ns >= 2 * SK_CHOKER_ROUND_NS && peer->took + peer->took_last == 0);
}

static void rank_peer(const struct sk_choker *choker, struct peer *peer, uint64_t now_ns)
{
    if (!peer->interested) {
        peer->rank_class = NOT_INTERESTED;
        peer->rank_key = 0;
    } else if (!choker->seeding) {
        peer->rank_class = snubs(peer, now_ns) ? LEECHER_SNUBS : LEECHER_GIVES;
        peer->rank_key = peer->gave + peer->gave_last;
    } else if (peer->unchoked) {
        peer->rank_class = had_turn(peer, now_ns) ? SEED_HAD_TURN : SEED_TAKES_TURN;
        peer->rank_key = peer->took + peer->took_last;
    } else {
        peer->rank_class = SEED_WAITS;
        peer->rank_key = now_ns - peer->since_ns;
    }
}

static int compare(const struct peer *a, const struct peer *b)
{
    if (a->rank_class != b->rank_class)
        return a->rank_class < b->rank_class ? -1 : 1;
    if (a->rank_key != b->rank_key)
        return a->rank_key > b->rank_key ? -1 : 1;
    if (a->unchoked != b->unchoked)
        return a->unchoked ? -1 : 1;
    return a->rank_draw < b->rank_draw ? -1 : a->rank_draw > b->rank_draw;
}

static int compare_at(const void *a, const void *b)
{
    return compare(*(struct peer *const *)a, *(struct peer *const *)b);
}

static void sort(struct sk_choker *choker)
{
    if (choker->count)
        qsort(choker->peers, choker->count, sizeof(struct peer *), compare_at);
    for (uint32_t i = 0; i < choker->count; i++)
        choker->peers[i]->index = i;
}

/* Whether one of this rank may have a regular slot. */
static bool may_be_regular(const struct sk_choker *choker, const struct peer *peer)
{
    return peer->interested && (choker->seeding || peer->rank_class == LEECHER_GIVES);
}

/* Who is waiting and goes first to a regular slot, or NULL. */
static struct peer *best_waiting(struct sk_choker *choker, uint64_t now_ns)
{
    struct peer *best = NULL;
    for (uint32_t i = 0; i < choker->count; i++) {
        struct peer *peer = choker->peers[i];
        if (peer->unchoked || !peer->interested)
            continue;
        rank_peer(choker, peer, now_ns);
        peer->rank_draw = sk_prng_u64(&choker->prng);
        if (may_be_regular(choker, peer) && (!best || compare(peer, best) < 0))
            best = peer;
    }
    return best;
}

static unsigned weight(const struct peer *peer, bool lost_too)
{
    if (peer->unchoked || !peer->interested || (peer->lost && !lost_too))
        return 0;
    return peer->newcomer ? 3 : 1;
}

/* Draws one of those that wait; who had an optimistic slot until now only where no other waits. */
static struct peer *draw(struct sk_choker *choker)
{
    uint64_t sum = 0;
    bool lost_too = false;
    for (int pass = 0; pass < 2 && sum == 0; pass++) {
        lost_too = pass == 1;
        for (uint32_t i = 0; i < choker->count; i++)
            sum += weight(choker->peers[i], lost_too);
    }
    if (sum == 0)
        return NULL;
    uint64_t drawn = sk_prng_below(&choker->prng, sum);
    uint32_t i = 0;
    while (drawn >= weight(choker->peers[i], lost_too))
        drawn -= weight(choker->peers[i++], lost_too);
    return choker->peers[i];
}

/* Gives free slots to those that wait. */
static void fill(struct sk_choker *choker, uint64_t now_ns)
{
    while (choker->waiting && choker->unchoked < choker->slots) {
        uint32_t optimistic = optimistic_slots(choker);
        bool regular = choker->unchoked - choker->optimistic < choker->slots - optimistic;
        struct peer *peer = regular ? best_waiting(choker, now_ns) : NULL;
        regular = peer != NULL;
        if (!peer && choker->optimistic < optimistic)
            peer = draw(choker);
        if (!peer)
            return;
        unchoke(choker, peer, !regular, now_ns);
    }
}

/* ---- rounds ---- */

/* Takes optimistic slots back until so many are left. Who had one stays unchoked until it is seen
 * who gets a regular slot. */
static void end_optimistic(struct sk_choker *choker, uint32_t left)
{
    for (uint32_t i = 0; i < choker->count && choker->optimistic > left; i++) {
        struct peer *peer = choker->peers[i];
        choker->optimistic -= peer->optimistic;
        peer->lost = peer->optimistic;
        peer->optimistic = false;
    }
}

/* How many of the unchoked, the fastest first, took as much as their place asks for. */
static uint32_t count_fed(struct sk_choker *choker, double seconds)
{
    for (uint32_t i = 0; i < choker->count; i++) {
        struct peer *peer = choker->peers[i];
        peer->rank_class = !peer->unchoked;
        peer->rank_key = peer->took;
        peer->rank_draw = peer->number;
    }
    sort(choker);
    uint32_t n = 0;
    while (n < choker->unchoked &&
           (double)choker->peers[n]->took >= seconds * SK_CHOKER_STEP_BYTES_S * (n + 1))
        n++;
    return n;
}

static void adapt_slots(struct sk_choker *choker, uint64_t now_ns)
{
    if (choker->config.slots_max || choker->unchoked < choker->slots)
        return;
    double seconds = (double)(now_ns - choker->round_ns) / 1e9;
    double limit = (double)choker->config.upload_limit_bytes_s * seconds;
    uint32_t fed = count_fed(choker, seconds);
    if (fed == choker->slots || (double)choker->took < limit * 7 / 8)
        choker->slots = SK_MIN(choker->slots + 1, (uint32_t)SK_CHOKER_PEERS_MAX);
    else if (fed + 1 < choker->slots && choker->slots > SK_CHOKER_SLOTS_MIN)
        choker->slots--;
}

/* Regular slots go to the first in rank. */
static void give_slots(struct sk_choker *choker, uint64_t now_ns)
{
    for (uint32_t i = 0; i < choker->count; i++) {
        rank_peer(choker, choker->peers[i], now_ns);
        choker->peers[i]->rank_draw = sk_prng_u64(&choker->prng);
    }
    sort(choker);
    uint32_t regular = choker->slots - optimistic_slots(choker);
    for (uint32_t i = 0; i < choker->count; i++) {
        struct peer *peer = choker->peers[i];
        if (peer->unchoked && !peer->optimistic && (i >= regular || !may_be_regular(choker, peer)))
            choke(choker, peer, now_ns);
    }
    for (uint32_t i = 0; i < SK_MIN(regular, choker->count); i++) {
        struct peer *peer = choker->peers[i];
        if (!may_be_regular(choker, peer))
            break;
        choker->optimistic -= peer->optimistic;
        peer->optimistic = false;
        if (!peer->unchoked)
            unchoke(choker, peer, false, now_ns);
    }
}

static void begin_round(struct sk_choker *choker, uint64_t now_ns)
{
    for (uint32_t i = 0; i < choker->count; i++) {
        struct peer *peer = choker->peers[i];
        peer->gave_last = peer->gave;
        peer->took_last = peer->took;
        peer->gave = peer->took = 0;
        peer->lost = false;
    }
    choker->took = 0;
    choker->round_ns = now_ns;
}

uint64_t sk_choker_deadline(const struct sk_choker *choker)
{
    return choker->count ? choker->round_ns + SK_CHOKER_ROUND_NS : SK_TIME_NEVER;
}

void sk_choker_tick(struct sk_choker *choker, uint64_t now_ns)
{
    if (now_ns < sk_choker_deadline(choker))
        return;
    choker->rounds++;
    choker->seeding = choker->seeding_next;
    adapt_slots(choker, now_ns);
    bool turn = choker->rounds % (SK_CHOKER_OPTIMISTIC_NS / SK_CHOKER_ROUND_NS) == 0;
    end_optimistic(choker, turn ? 0 : optimistic_slots(choker));
    give_slots(choker, now_ns);
    fill(choker, now_ns);
    begin_round(choker, now_ns);
}

/* ---- peers ---- */

static int make_room(struct sk_choker *choker)
{
    if (choker->count < choker->capacity)
        return 0;
    uint32_t capacity = choker->capacity ? choker->capacity * 2 : 16;
    struct peer **peers = sk_mem_realloc(choker->peers, capacity, sizeof(struct peer *));
    if (!peers)
        return SKEP_ERR_NOMEM;
    choker->peers = peers;
    choker->capacity = capacity;
    return 0;
}

int sk_choker_add(struct sk_choker *choker, uint32_t number, uint64_t now_ns)
{
    SK_ASSERT(!sk_map_get(&choker->by_number, &number));
    int err = make_room(choker);
    if (err)
        return err;
    struct peer *peer = sk_mem_calloc(1, sizeof *peer);
    if (!peer)
        return SKEP_ERR_NOMEM;
    err = sk_map_put(&choker->by_number, &number, peer);
    if (err) {
        sk_mem_free(peer);
        return err;
    }
    peer->number = number;
    peer->newcomer = true;
    sk_list_init(&peer->change);
    if (choker->count == 0)
        begin_round(choker, now_ns);
    peer->index = choker->count;
    choker->peers[choker->count++] = peer;
    return 0;
}

void sk_choker_remove(struct sk_choker *choker, uint32_t number, uint64_t now_ns)
{
    struct peer *peer = find(choker, number), *last = choker->peers[choker->count - 1];
    sk_choker_interested(choker, number, false, now_ns);
    sk_list_remove(&peer->change);
    sk_map_remove(&choker->by_number, &number);
    choker->peers[peer->index] = last;
    last->index = peer->index;
    choker->count--;
    sk_mem_free(peer);
}

void sk_choker_interested(struct sk_choker *choker, uint32_t number, bool interested,
                          uint64_t now_ns)
{
    struct peer *peer = find(choker, number);
    if (peer->interested == interested)
        return;
    peer->interested = interested;
    if (peer->unchoked) {
        choke(choker, peer, now_ns);
    } else {
        choker->waiting += interested ? 1u : UINT32_MAX;
        peer->since_ns = now_ns;
    }
    fill(choker, now_ns);
}

void sk_choker_gave(struct sk_choker *choker, uint32_t number, uint64_t bytes, uint64_t now_ns)
{
    struct peer *peer = find(choker, number);
    peer->gave += bytes;
    peer->heard_ns = now_ns;
}

void sk_choker_took(struct sk_choker *choker, uint32_t number, uint64_t bytes, uint64_t now_ns)
{
    struct peer *peer = find(choker, number);
    peer->took += bytes;
    peer->turn_bytes += bytes;
    choker->took += bytes;
}

void sk_choker_waits(struct sk_choker *choker, uint32_t number, bool waits, uint64_t now_ns)
{
    struct peer *peer = find(choker, number);
    if (waits && !peer->waits)
        peer->heard_ns = now_ns;
    peer->waits = waits;
}

/* ---- how it stands ---- */

bool sk_choker_next(struct sk_choker *choker, uint32_t *ret_peer, bool *ret_unchoked)
{
    struct sk_link *link = sk_list_first(&choker->changes);
    if (!link)
        return false;
    struct peer *peer = SK_CONTAINER_OF(link, struct peer, change);
    sk_list_remove(link);
    sk_list_init(link);
    peer->told = peer->unchoked;
    *ret_peer = peer->number;
    *ret_unchoked = peer->unchoked;
    return true;
}

uint32_t sk_choker_unchoked(const struct sk_choker *choker)
{
    return choker->unchoked;
}

const char *sk_choker_fault(const struct sk_choker *choker)
{
    uint32_t unchoked = 0, optimistic = 0, waiting = 0, changes = 0;
    for (uint32_t i = 0; i < choker->count; i++) {
        const struct peer *peer = choker->peers[i];
        if (peer->index != i || sk_map_get(&choker->by_number, &peer->number) != peer)
            return "a peer is not where it should be";
        if (peer->unchoked && !peer->interested)
            return "one is unchoked that is not interested";
        if (peer->optimistic && !peer->unchoked)
            return "one is choked in an optimistic slot";
        unchoked += peer->unchoked;
        optimistic += peer->optimistic;
        waiting += peer->interested && !peer->unchoked;
        changes += peer->unchoked != peer->told;
    }
    if (unchoked != choker->unchoked || optimistic != choker->optimistic ||
        waiting != choker->waiting)
        return "peers are miscounted";
    if (unchoked > choker->slots || optimistic > optimistic_slots(choker))
        return "more are unchoked than there are slots";
    for (const struct sk_link *at = sk_list_first(&choker->changes); at;
         at = sk_list_next(&choker->changes, at))
        changes--;
    return changes ? "changes are not told, or none are" : NULL;
}
