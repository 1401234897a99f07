#include "sim/swarm_internal.h"

#include <math.h>

/* ---- time and chance ---- */

void sk_swarm_fail(struct sk_swarm *swarm, int err)
{
    swarm->err = swarm->err ? swarm->err : err;
}

void sk_swarm_init_alarm(struct sk_swarm_alarm *alarm,
                         void (*ring)(struct sk_swarm *swarm, void *owner), void *owner)
{
    *alarm = (struct sk_swarm_alarm){.ring = ring, .owner = owner};
}

void sk_swarm_set_alarm(struct sk_swarm *swarm, struct sk_swarm_alarm *alarm, uint64_t at_ns)
{
    if (!swarm->err && sk_heap_set(&swarm->heap, &alarm->timer, at_ns))
        sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
}

uint64_t sk_swarm_in(const struct sk_swarm *swarm, double seconds)
{
    return swarm->now_ns + (uint64_t)(seconds * 1e9);
}

double sk_swarm_normal(struct sk_prng *prng)
{
    double u = 1 - sk_prng_unit(prng), v = sk_prng_unit(prng);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

double sk_swarm_exponential(struct sk_prng *prng, double mean)
{
    return -mean * log(1 - sk_prng_unit(prng));
}

/* ---- what is asked for ---- */

static bool is_share(double x)
{
    return x >= 0 && x <= 1;
}

static bool cheats_fit(const struct sk_swarm_config *config)
{
    uint64_t count = 0;
    for (size_t i = 0; i < config->cheats_count; i++) {
        const struct sk_swarm_cheats *cheats = &config->cheats[i];
        bool pairs = cheats->kind == SK_SWARM_COLLUDES;
        if (cheats->kind <= SK_SWARM_HONEST || cheats->kind >= SK_SWARM_CHEAT_COUNT ||
            (pairs && cheats->count % 2) || !(cheats->factor >= 0) ||
            !(cheats->ghost_bytes_s >= 0) ||
            (cheats->kind == SK_SWARM_PARTIAL_SEED && cheats->factor > 1))
            return false;
        count += cheats->count;
    }
    return count <= config->peers;
}

static bool is_valid(const struct sk_swarm_config *c)
{
    double habits = 0;
    for (size_t i = 0; i < SK_SWARM_HABIT_COUNT; i++) {
        if (!is_share(c->habits[i]))
            return false;
        habits += i == SK_SWARM_SUPER_SEEDS ? 0 : c->habits[i];
    }
    uint64_t blocks =
        c->block_size ? ((uint64_t)c->piece_size + c->block_size - 1) / c->block_size : 0;
    return c->peers && c->peers <= SK_SWARM_CLIENTS_MAX && c->seeds <= c->peers && c->pieces &&
           blocks && blocks * c->pieces < UINT32_MAX && c->block_size <= c->piece_size &&
           c->seconds > 0 && c->seconds <= SK_SWARM_SECONDS_MAX &&
           c->degree <= SK_SWARM_DEGREE_MAX && is_share(c->begun_share) &&
           is_share(c->watched_share) && is_share(c->leave_done) && is_share(c->hash_fail) &&
           c->hash_fail < 1 && c->hash_fail_run <= c->pieces && is_share(c->waste) &&
           c->waste < 1 && c->waste_spread >= 0 && is_share(c->other_clients) &&
           is_share(c->announce_loss) && is_share(c->announce_late) && is_share(c->have_drop) &&
           habits <= 1 && c->capacity_error >= 0 && c->rtt_s >= 0 && c->rtt_s <= 60 &&
           c->join_per_s >= 0 && c->restart_per_hour >= 0 && c->announce_interval_s > 0 &&
           c->clock_skew_s >= 0 && c->demand >= 0 && cheats_fit(c);
}

/* ---- who is there ---- */

static int add_node(struct sk_swarm *swarm, bool seed, bool begun)
{
    if (swarm->count == swarm->capacity) {
        uint32_t capacity = swarm->capacity ? 2 * swarm->capacity : 64;
        struct sk_swarm_node **nodes = sk_mem_realloc(swarm->nodes, capacity, sizeof *nodes);
        if (!nodes)
            return SKEP_ERR_NOMEM;
        swarm->nodes = nodes;
        swarm->capacity = capacity;
    }
    int err = sk_swarm_node_new(swarm, seed, begun, &swarm->nodes[swarm->count]);
    swarm->count += err == 0;
    return err;
}

static void plan_join(struct sk_swarm *swarm)
{
    if (swarm->config.join_per_s > 0)
        sk_swarm_set_alarm(
            swarm, &swarm->join,
            sk_swarm_in(swarm, sk_swarm_exponential(&swarm->prng, 1 / swarm->config.join_per_s)));
}

static void on_join(struct sk_swarm *swarm, void *owner)
{
    if (swarm->count >= SK_SWARM_CLIENTS_MAX)
        return;
    int err = add_node(swarm, false, false);
    if (err) {
        sk_swarm_fail(swarm, err);
        return;
    }
    sk_swarm_join(swarm, swarm->nodes[swarm->count - 1]);
    plan_join(swarm);
}

/* All down limits together, so that they are to all up limits what `demand` says. */
static void scale_down(struct sk_swarm *swarm)
{
    double up = 0, down = 0;
    for (uint32_t i = 0; i < swarm->count; i++) {
        const struct sk_swarm_client *client = &swarm->nodes[i]->truth;
        up += client->up_bytes_s;
        down += client->seed ? 0 : client->down_bytes_s;
    }
    if (swarm->config.demand <= 0 || down <= 0)
        return;
    double scale = swarm->config.demand * up / down;
    swarm->down_mean_bytes_s = scale;
    for (uint32_t i = 0; i < swarm->count; i++)
        sk_swarm_set_down(swarm->nodes[i], swarm->nodes[i]->truth.down_bytes_s * scale);
}

static int add_first(struct sk_swarm *swarm)
{
    const struct sk_swarm_config *config = &swarm->config;
    for (uint32_t i = 0; i < config->peers; i++) {
        bool begun = sk_prng_unit(&swarm->prng) < config->begun_share;
        int err = add_node(swarm, i < config->seeds, begun);
        if (err)
            return err;
    }
    scale_down(swarm);
    return sk_swarm_assign_cheats(swarm);
}

static int init_auditor(struct sk_swarm *swarm)
{
    struct sk_swarm_node *auditor = &swarm->auditor;
    auditor->number = SK_SWARM_CLIENTS_MAX;
    auditor->half_rtt_s = swarm->config.rtt_s / 2;
    auditor->online = true;
    sk_swarm_trade_init(swarm, auditor);
    return sk_swarm_make_sets(swarm, auditor);
}

static int set_up(struct sk_swarm *swarm)
{
    const struct sk_swarm_config *config = &swarm->config;
    if (config->cheats_count) {
        swarm->cheats = sk_mem_dup(config->cheats, config->cheats_count * sizeof *swarm->cheats);
        if (!swarm->cheats)
            return SKEP_ERR_NOMEM;
    }
    swarm->config.cheats = swarm->cheats;
    swarm->now_ns = SK_SWARM_START_NS;
    swarm->words = (config->pieces + 63) / 64;
    swarm->blocks = (config->piece_size + config->block_size - 1) / config->block_size;
    swarm->down_mean_bytes_s = 1;
    sk_prng_init(&swarm->prng, config->seed);
    sk_prng_init(&swarm->prng_tell, sk_prng_u64(&swarm->prng));
    sk_prng_init(&swarm->prng_lie, sk_prng_u64(&swarm->prng));
    swarm->skew_s = config->clock_skew_s * sk_swarm_normal(&swarm->prng_tell);
    sk_prng_bytes(&swarm->prng_tell, swarm->info_hash, sizeof swarm->info_hash);
    sk_swarm_init_alarm(&swarm->join, on_join, NULL);
    int err = init_auditor(swarm);
    if (!err)
        err = add_first(swarm);
    for (uint32_t i = 0; i < swarm->count && !err && !swarm->err; i++)
        swarm->nodes[i]->online = true;
    for (uint32_t i = 0; i < swarm->count && !err && !swarm->err; i++)
        sk_swarm_join(swarm, swarm->nodes[i]);
    plan_join(swarm);
    sk_swarm_own_start(swarm);
    sk_swarm_renew_start(swarm);
    return err ? err : swarm->err;
}

int sk_swarm_new(const struct sk_swarm_config *config, sk_observe_fn observe, void *observe_ctx,
                 sk_announce_fn announce, void *announce_ctx, struct sk_swarm **ret_swarm)
{
    if (!is_valid(config))
        return SKEP_ERR_INVALID;
    struct sk_swarm *swarm = sk_mem_calloc(1, sizeof *swarm);
    if (!swarm)
        return SKEP_ERR_NOMEM;
    swarm->config = *config;
    swarm->observe = observe;
    swarm->observe_ctx = observe_ctx;
    swarm->announce = announce;
    swarm->announce_ctx = announce_ctx;
    int err = set_up(swarm);
    if (err) {
        sk_swarm_free(swarm);
        return err;
    }
    *ret_swarm = swarm;
    return 0;
}

void sk_swarm_free(struct sk_swarm *swarm)
{
    if (!swarm)
        return;
    sk_heap_deinit(&swarm->heap); /* the alarms lie in what is freed next */
    for (uint32_t i = 0; i < swarm->count; i++)
        sk_swarm_node_free(swarm, swarm->nodes[i]);
    sk_mem_free(swarm->nodes);
    sk_mem_free(swarm->auditor.have);
    sk_mem_free(swarm->auditor.rarity);
    sk_mem_free(swarm->cheats);
    sk_mem_free(swarm->spans);
    sk_mem_free(swarm->scratch);
    sk_mem_free(swarm->traced);
    sk_mem_free(swarm);
}

int sk_swarm_run(struct sk_swarm *swarm, double until_s)
{
    until_s = SK_MIN(until_s, swarm->config.seconds);
    uint64_t until_ns = SK_SWARM_START_NS + (uint64_t)(SK_MAX(until_s, 0.0) * 1e9);
    struct sk_timer *timer;
    while (!swarm->err && (timer = sk_heap_first(&swarm->heap)) && timer->at_ns <= until_ns) {
        struct sk_swarm_alarm *alarm = SK_CONTAINER_OF(timer, struct sk_swarm_alarm, timer);
        swarm->now_ns = SK_MAX(swarm->now_ns, timer->at_ns);
        sk_heap_remove(&swarm->heap, timer);
        alarm->ring(swarm, alarm->owner);
    }
    if (!swarm->err)
        swarm->now_ns = SK_MAX(swarm->now_ns, until_ns);
    return swarm->err;
}

/* ---- the truth ---- */

size_t sk_swarm_clients(const struct sk_swarm *swarm)
{
    return swarm->count;
}

const struct sk_swarm_client *sk_swarm_client(const struct sk_swarm *swarm, size_t i)
{
    SK_ASSERT(i < swarm->count);
    return &swarm->nodes[i]->truth;
}

uint64_t sk_swarm_under_way(const struct sk_swarm *swarm, size_t client)
{
    SK_ASSERT(client < swarm->count);
    return sk_swarm_partial_bytes(swarm, swarm->nodes[client]);
}

double sk_swarm_measured(const struct sk_swarm *swarm, size_t client)
{
    SK_ASSERT(client < swarm->count);
    return swarm->nodes[client]->measured_bytes_s;
}

static const struct sk_swarm_conn *find(const struct sk_swarm *swarm, uint32_t from, uint32_t to)
{
    SK_ASSERT(from < swarm->count && to < swarm->count);
    return sk_swarm_find(swarm->nodes[from], swarm->nodes[to]);
}

uint64_t sk_swarm_flow(const struct sk_swarm *swarm, uint32_t from, uint32_t to)
{
    const struct sk_swarm_conn *conn = find(swarm, from, to);
    return conn ? conn->bytes : 0;
}

uint64_t sk_swarm_traced(const struct sk_swarm *swarm, uint32_t from, uint32_t to)
{
    const struct sk_swarm_conn *conn = find(swarm, from, to);
    return conn ? conn->traced : 0;
}

bool sk_swarm_unchoked(const struct sk_swarm *swarm, uint32_t from, uint32_t to, double a_s,
                       double b_s)
{
    const struct sk_swarm_conn *conn = find(swarm, from, to);
    uint64_t a_ns = SK_SWARM_START_NS + (uint64_t)(SK_MAX(a_s, 0.0) * 1e9);
    uint64_t b_ns = SK_SWARM_START_NS + (uint64_t)(SK_MAX(b_s, 0.0) * 1e9);
    for (uint32_t i = conn ? conn->span : 0; i; i = swarm->spans[i - 1].before) {
        const struct sk_swarm_span *span = &swarm->spans[i - 1];
        if (span->from_ns <= b_ns && span->until_ns >= a_ns)
            return true;
        if (span->until_ns < a_ns)
            return false;
    }
    return false;
}

double sk_swarm_givers(const struct sk_swarm *swarm)
{
    return swarm->gains ? (double)swarm->givers / (double)swarm->gains : NAN;
}

uint32_t sk_swarm_availability(const struct sk_swarm *swarm, uint32_t piece)
{
    uint32_t count = 0;
    SK_ASSERT(piece < swarm->config.pieces);
    for (uint32_t i = 0; i < swarm->count; i++)
        count += swarm->nodes[i]->online && sk_swarm_bit(swarm->nodes[i]->have, piece);
    return count;
}
