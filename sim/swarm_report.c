/* What clients say to the tracker, and how some of them lie. */
#include "sim/swarm_internal.h"

#define START_WITHIN_S 3.0
#define INTERVAL_JITTER 0.05
#define FAKE_MOST 0.02 /* share of the pieces that a fake seed has */

const char *sk_swarm_cheat_name(enum sk_swarm_cheat cheat)
{
    static const char *const names[SK_SWARM_CHEAT_COUNT] = {
        [SK_SWARM_HONEST] = "honest",
        [SK_SWARM_UPLOAD_FACTOR] = "upload-factor",
        [SK_SWARM_GHOST_UPLOAD] = "ghost-upload",
        [SK_SWARM_LESS_DOWNLOAD] = "less-download",
        [SK_SWARM_FAKE_SEED] = "fake-seed",
        [SK_SWARM_PARTIAL_SEED] = "partial-seed",
        [SK_SWARM_COLLUDES] = "colludes",
        [SK_SWARM_ROTATES] = "rotates",
    };
    SK_ASSERT((unsigned)cheat < SK_SWARM_CHEAT_COUNT);
    return names[cheat];
}

/* ---- who lies ---- */

static void take_role(struct sk_swarm *swarm, struct sk_swarm_node *node,
                      const struct sk_swarm_cheats *lie)
{
    node->lie = lie;
    node->truth.cheat = lie->kind;
    if (lie->kind != SK_SWARM_FAKE_SEED)
        return;
    node->passive = true;
    sk_swarm_begin_with(swarm, node, FAKE_MOST * sk_prng_unit(&swarm->prng_lie), &swarm->prng_lie);
}

/* Fake seeds and colluders are leechers where there are enough. */
static bool fits(const struct sk_swarm_node *node, enum sk_swarm_cheat kind)
{
    bool leecher =
        kind == SK_SWARM_FAKE_SEED || kind == SK_SWARM_COLLUDES || kind == SK_SWARM_LESS_DOWNLOAD;
    return !node->lie && !(leecher && node->truth.seed);
}

/* A client drawn among those that fit; NULL: there is none. */
static struct sk_swarm_node *draw_cheat(struct sk_swarm *swarm, enum sk_swarm_cheat kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < swarm->count; i++)
        count += fits(swarm->nodes[i], kind);
    if (count == 0)
        return NULL;
    uint32_t n = (uint32_t)sk_prng_below(&swarm->prng_lie, count), i = 0;
    while (!fits(swarm->nodes[i], kind) || n-- > 0)
        i++;
    return swarm->nodes[i];
}

int sk_swarm_assign_cheats(struct sk_swarm *swarm)
{
    for (size_t i = 0; i < swarm->config.cheats_count; i++) {
        const struct sk_swarm_cheats *lie = &swarm->cheats[i];
        struct sk_swarm_node *before = NULL;
        for (uint32_t n = 0; n < lie->count; n++) {
            struct sk_swarm_node *node = draw_cheat(swarm, lie->kind);
            if (!node)
                return SKEP_ERR_INVALID;
            take_role(swarm, node, lie);
            if (lie->kind == SK_SWARM_COLLUDES && n % 2) {
                node->truth.partner = before->number;
                before->truth.partner = node->number;
            }
            before = node;
        }
    }
    return 0;
}

/* ---- pairs ---- */

static bool colludes(const struct sk_swarm_node *node)
{
    return node->lie && node->lie->kind == SK_SWARM_COLLUDES;
}

/* Of a pair the one of the lower number claims uploads, the other downloads. */
static struct sk_swarm_node *claimer(const struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    return node->truth.partner < node->number ? swarm->nodes[node->truth.partner] : node;
}

/* What the pair made up so far: grows while both are there, by their rate, or with what the one
 * that claims uploads really gave. */
static double made_up(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    struct sk_swarm_node *first = claimer(swarm, node);
    const struct sk_swarm_node *second = swarm->nodes[first->truth.partner];
    double seconds = (double)(swarm->now_ns - first->pair_ns) / 1e9;
    double gave = (double)(first->truth.uploaded - first->pair_uploaded);
    if (first->in_session && second->in_session)
        first->pair_bytes += first->lie->ghost_bytes_s > 0
                                 ? first->lie->ghost_bytes_s * seconds
                                 : SK_MAX(first->lie->factor - 1, 0.0) * gave;
    first->pair_ns = swarm->now_ns;
    first->pair_uploaded = first->truth.uploaded;
    return first->pair_bytes;
}

/* ---- announces ---- */

/* What was given since the last announce, as the cheat counts it. */
static void count_upload(struct sk_swarm_node *node)
{
    double up = (double)(node->truth.uploaded - node->session_up);
    double factor = 1;
    if (node->lie && (node->lie->kind == SK_SWARM_UPLOAD_FACTOR ||
                      (node->lie->kind == SK_SWARM_ROTATES && node->periods % 2)))
        factor = node->lie->factor;
    node->claimed_up += (up - node->counted_up) * factor;
    node->counted_up = up;
    node->periods++;
}

static uint64_t true_left(const struct sk_swarm *swarm, const struct sk_swarm_node *node)
{
    uint64_t left = (uint64_t)(swarm->config.pieces - node->truth.held) * swarm->config.piece_size;
    return node->style->blocks_left ? left - sk_swarm_partial_bytes(swarm, node) : left;
}

static void lie(struct sk_swarm *swarm, struct sk_swarm_node *node, struct sk_announce *announce)
{
    const struct sk_swarm_cheats *lie = node->lie;
    double seconds = (double)(swarm->now_ns - node->session_ns) / 1e9;
    uint64_t held = (uint64_t)node->truth.held * swarm->config.piece_size;
    switch (lie->kind) {
    case SK_SWARM_FAKE_SEED:
        announce->left = announce->downloaded = 0;
        announce->uploaded += (uint64_t)(lie->ghost_bytes_s * seconds);
        break;
    case SK_SWARM_GHOST_UPLOAD:
        announce->uploaded += (uint64_t)(lie->ghost_bytes_s * seconds);
        break;
    case SK_SWARM_LESS_DOWNLOAD:
        announce->downloaded = (uint64_t)((double)announce->downloaded * lie->factor);
        break;
    case SK_SWARM_PARTIAL_SEED:
        announce->left += (uint64_t)((double)held * lie->factor);
        announce->downloaded = (uint64_t)((double)announce->downloaded * (1 - lie->factor));
        break;
    case SK_SWARM_COLLUDES: {
        uint64_t bytes = (uint64_t)(made_up(swarm, node) - node->pair_before);
        *(claimer(swarm, node) == node ? &announce->uploaded : &announce->downloaded) += bytes;
        break;
    }
    default: /* count_upload() has done it */
        break;
    }
}

static void announce(struct sk_swarm *swarm, struct sk_swarm_node *node,
                     enum sk_announce_event event)
{
    count_upload(node);
    const struct sk_swarm_config *config = &swarm->config;
    bool lost = sk_prng_unit(&swarm->prng_tell) < config->announce_loss;
    bool late =
        config->announce_late > 0 && sk_prng_unit(&swarm->prng_tell) < config->announce_late;
    struct sk_announce said = {
        .at_unix_s = SK_SWARM_UNIX_S + swarm->skew_s + node->half_rtt_s +
                     (late ? SK_SWARM_LATE_S : 0) +
                     (double)(swarm->now_ns - SK_SWARM_START_NS) / 1e9,
        .has_peer_id = true,
        .endpoint = node->truth.endpoint,
        .uploaded = (uint64_t)node->claimed_up,
        .downloaded = node->truth.downloaded - node->session_down,
        .left = true_left(swarm, node),
        .event = event,
        .has_key = true,
        .key = node->key,
    };
    memcpy(said.info_hash, swarm->info_hash, sizeof said.info_hash);
    memcpy(said.peer_id, node->truth.peer_id, sizeof said.peer_id);
    if (node->lie)
        lie(swarm, node, &said);
    /* Who hides that it is complete does not say so. */
    if (event == SK_ANNOUNCE_COMPLETED && said.left)
        return;
    if (swarm->announce && !lost) {
        int err = swarm->announce(&said, swarm->announce_ctx);
        if (err)
            sk_swarm_fail(swarm, err);
    }
}

static void on_announce(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    double jitter = 1 + INTERVAL_JITTER * (2 * sk_prng_unit(&swarm->prng_tell) - 1);
    announce(swarm, node, node->said_started ? SK_ANNOUNCE_NONE : SK_ANNOUNCE_STARTED);
    node->said_started = true;
    sk_swarm_set_alarm(swarm, &node->announce,
                       sk_swarm_in(swarm, swarm->config.announce_interval_s * jitter));
}

void sk_swarm_report_init(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    sk_swarm_init_alarm(&node->announce, on_announce, node);
}

void sk_swarm_report_start(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (colludes(node))
        node->pair_before = made_up(swarm, node);
    node->in_session = true;
    node->said_started = false;
    node->session_ns = swarm->now_ns;
    node->session_up = node->truth.uploaded;
    node->session_down = node->truth.downloaded;
    node->claimed_up = node->counted_up = 0;
    node->periods = 0;
    sk_swarm_set_alarm(swarm, &node->announce,
                       sk_swarm_in(swarm, sk_prng_unit(&swarm->prng_tell) * START_WITHIN_S));
}

void sk_swarm_report_done(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (node->said_started)
        announce(swarm, node, SK_ANNOUNCE_COMPLETED);
}

void sk_swarm_report_stop(struct sk_swarm *swarm, struct sk_swarm_node *node, bool told)
{
    if (node->said_started && told)
        announce(swarm, node, SK_ANNOUNCE_STOPPED);
    if (colludes(node))
        (void)made_up(swarm, node);
    node->in_session = false;
    sk_heap_remove(&swarm->heap, &node->announce.timer);
}
