/* What the auditor sees of the swarm: it hears of clients, connects to those that it can reach,
 * takes a little of each, and gives nothing. */
#include "sim/swarm_internal.h"

#include "swarm/source.h"
#include "wire/extension.h"

#define HEARS_WITHIN_S 5.0 /* of those that are there from the start */
#define HEARS_LATER_S 30.0 /* of others */
#define PEX_S 60.0
#define PEX_FIRST_S 10.0
#define PEX_PEERS 50  /* in one message, each way */
#define LAZY_PIECES 5 /* that a lazy bitfield leaves out */
#define GATHERS 0.1   /* of a gain: that HAVEs wait from then on */
#define GATHERS_LEAST_S 5.0
#define GATHERS_MOST_S 30.0

static void see(struct sk_swarm *swarm, const struct sk_swarm_node *node,
                struct sk_observation observation)
{
    if (!swarm->observe)
        return;
    observation.at_ns = swarm->now_ns - SK_SWARM_START_NS;
    observation.peer = node->truth.endpoint;
    swarm->observe(&observation, swarm->observe_ctx);
}

/* ---- what it holds ---- */

static void see_have(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece)
{
    sk_renewal_told(&node->renewal, node->renewal.shown + 1, swarm->now_ns);
    see(swarm, node, (struct sk_observation){.kind = SK_OBS_HAVE, .a = piece});
}

static void see_bitfield(struct sk_swarm *swarm, struct sk_swarm_node *node, const uint64_t *set)
{
    uint32_t pieces = swarm->config.pieces;
    uint8_t *bits = sk_mem_calloc(1, (pieces + 7) / 8);
    if (!bits) {
        sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
        return;
    }
    uint32_t count = 0;
    for (uint32_t p = 0; p < pieces; p++) {
        if (!sk_swarm_bit(set, p))
            continue;
        bits[p / 8] |= (uint8_t)(0x80 >> p % 8);
        count++;
    }
    sk_renewal_told(&node->renewal, count, swarm->now_ns);
    see(swarm, node,
        (struct sk_observation){.kind = SK_OBS_BITFIELD,
                                .bytes = sk_bytes(bits, (pieces + 7) / 8)});
    sk_mem_free(bits);
}

/* All but a few, and these at once after it. */
static void see_lazy(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    uint32_t left[LAZY_PIECES], count = 0, seen = 0;
    for (uint32_t p = 0; p < swarm->config.pieces; p++) {
        if (!sk_swarm_bit(node->told, p))
            continue;
        uint64_t i = count < LAZY_PIECES ? count++ : sk_prng_below(&swarm->prng_tell, seen + 1);
        if (i < LAZY_PIECES)
            left[i] = p;
        seen++;
    }
    for (uint32_t i = 0; i < count; i++)
        sk_swarm_bit_clear(node->told, left[i]);
    see_bitfield(swarm, node, node->told);
    for (uint32_t i = 0; i < count; i++) {
        sk_swarm_bit_set(node->told, left[i]);
        see_have(swarm, node, left[i]);
    }
}

void sk_swarm_saw_have(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece)
{
    const struct sk_swarm_config *config = &swarm->config;
    sk_swarm_probe_wish(swarm, node);
    if (node->truth.habit == SK_SWARM_SUPPRESSES_HAVES || node->gathers)
        return;
    if (node->truth.habit == SK_SWARM_SUPPRESSES_SOME &&
        sk_prng_unit(&swarm->prng_tell) < config->have_drop)
        return;
    if (node->truth.habit == SK_SWARM_BITFIELDS && sk_prng_unit(&swarm->prng_tell) < GATHERS) {
        double wait_s =
            GATHERS_LEAST_S + (GATHERS_MOST_S - GATHERS_LEAST_S) * sk_prng_unit(&swarm->prng_tell);
        node->gathers = true;
        sk_swarm_set_alarm(swarm, &node->gather, sk_swarm_in(swarm, wait_s));
        return;
    }
    see_have(swarm, node, piece);
}

static void on_gather(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    node->gathers = false;
    see_bitfield(swarm, node, node->told);
}

void sk_swarm_saw_done(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (node->seen && node->style->says_upload_only)
        see(swarm, node, (struct sk_observation){.kind = SK_OBS_UPLOAD_ONLY, .a = 1});
}

/* ---- the auditor's own download ---- */

static uint64_t budget(const struct sk_swarm *swarm, const struct sk_swarm_node *node)
{
    return SK_MIN((uint64_t)SK_SWARM_PROBE_BYTES,
                  (uint64_t)node->truth.held * swarm->config.piece_size);
}

/* Interested until it has had its part of what the client holds. */
void sk_swarm_probe_wish(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (!node->seen)
        return;
    bool wants = node->probe_got < SK_SWARM_PROBE_BYTES && node->probe_got < budget(swarm, node);
    sk_swarm_interest(swarm, node->probe, wants);
    if (wants)
        sk_swarm_pump(swarm, node->probe);
}

/* A piece that is offered, drawn. */
static uint32_t draw_piece(struct sk_swarm *swarm, const struct sk_swarm_conn *probe)
{
    const uint64_t *offered = sk_swarm_offered(probe);
    uint32_t start = (uint32_t)sk_prng_below(&swarm->prng_tell, swarm->config.pieces);
    for (uint32_t i = 0; i < swarm->config.pieces; i++) {
        uint32_t piece = (start + i) % swarm->config.pieces;
        if (sk_swarm_bit(offered, piece) && !sk_swarm_bit(probe->from->probed, piece))
            return piece;
    }
    return SK_SWARM_NO_PIECE;
}

bool sk_swarm_probe_pick(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t *ret_block)
{
    struct sk_swarm_conn *probe = node->probe;
    if (node->probe_asked >= budget(swarm, node))
        return false;
    if (probe->piece == SK_SWARM_NO_PIECE || node->probe_next == swarm->blocks) {
        probe->piece = draw_piece(swarm, probe);
        node->probe_next = 0;
    }
    if (probe->piece == SK_SWARM_NO_PIECE)
        return false;
    sk_swarm_bit_set(node->probed, probe->piece);
    *ret_block = probe->piece * swarm->blocks + node->probe_next++;
    node->probe_asked += sk_swarm_block_bytes(swarm, *ret_block);
    return true;
}

/* A super-seeder shows another piece once one was taken. */
static void show_next(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    if (!node->probe->shown)
        return;
    sk_swarm_show(swarm, node->probe);
    if (node->probe->shown_piece != SK_SWARM_NO_PIECE)
        see_have(swarm, node, node->probe->shown_piece);
}

void sk_swarm_probe_drop(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t block)
{
    struct sk_swarm_conn *probe = node->probe;
    uint32_t piece = block / swarm->blocks;
    /* The piece after it was not begun then. */
    if (probe->piece != piece && probe->piece != SK_SWARM_NO_PIECE)
        sk_swarm_bit_clear(node->probed, probe->piece);
    probe->piece = piece;
    node->probe_next = block % swarm->blocks;
    node->probe_asked -= sk_swarm_block_bytes(swarm, block);
}

void sk_swarm_probe_took(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t block)
{
    uint32_t bytes = sk_swarm_block_bytes(swarm, block), piece = block / swarm->blocks;
    uint32_t begin = block % swarm->blocks * swarm->config.block_size;
    uint64_t took_ns = swarm->now_ns - node->probe_sending_ns;
    node->truth.probed += bytes;
    node->probe_got += bytes;
    node->probe_session += bytes;
    see(swarm, node,
        (struct sk_observation){.kind = SK_OBS_ARRIVAL, .a = (int64_t)node->probe_session});
    see(swarm, node,
        (struct sk_observation){
            .kind = SK_OBS_BLOCK, .a = piece, .b = begin, .c = (int64_t)(took_ns / 1000)});
    node->probe_blocks = begin ? node->probe_blocks + 1 : 1;
    if (node->probe_blocks == swarm->blocks) {
        see(swarm, node,
            (struct sk_observation){
                .kind = SK_OBS_VERIFIED, .a = piece, .b = (int64_t)swarm->blocks});
        show_next(swarm, node);
    }
    if (node->probe_got >= budget(swarm, node))
        sk_swarm_interest(swarm, node->probe, false);
}

void sk_swarm_saw_choke(struct sk_swarm *swarm, struct sk_swarm_node *node, bool unchoked)
{
    see(swarm, node, (struct sk_observation){.kind = unchoked ? SK_OBS_UNCHOKE : SK_OBS_CHOKE});
}

/* ---- peer exchange ---- */

static void see_added(struct sk_swarm *swarm, struct sk_swarm_node *node,
                      struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *peer = conn->to;
    int64_t flags =
        SK_PEX_UTP | (peer->complete ? SK_PEX_SEED : 0) | (conn->made ? SK_PEX_REACHABLE : 0);
    see(swarm, peer,
        (struct sk_observation){.kind = SK_OBS_HEARD,
                                .source = SK_SOURCE_PEX,
                                .by = node->truth.endpoint,
                                .a = flags,
                                .b = !peer->heard});
    peer->heard = true;
    conn->pex_told = true;
}

static void on_pex(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    uint32_t added = 0, dropped = 0;
    for (uint32_t i = 0; i < node->conns_count; i++) {
        struct sk_swarm_conn *conn = node->conns[i];
        if (sk_swarm_is_auditor(swarm, conn->to) || conn->open == conn->pex_told)
            continue;
        if (conn->open && added++ < PEX_PEERS) {
            see_added(swarm, node, conn);
        } else if (!conn->open && dropped++ < PEX_PEERS) {
            conn->pex_told = false;
            see(swarm, conn->to,
                (struct sk_observation){.kind = SK_OBS_DROPPED, .by = node->truth.endpoint});
        }
    }
    sk_swarm_set_alarm(swarm, &node->pex, sk_swarm_in(swarm, PEX_S));
}

/* ---- connections ---- */

static void see_open(struct sk_swarm *swarm, const struct sk_swarm_node *node)
{
    uint8_t id[20];
    memcpy(id, node->truth.peer_id, sizeof id);
    if (node->style->id_each)
        sk_prng_bytes(&swarm->prng_tell, id + 8, sizeof id - 8);
    see(swarm, node,
        (struct sk_observation){.kind = SK_OBS_OPEN, .a = 1, .bytes = sk_bytes(id, sizeof id)});
}

static void open_to(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    bool super = node->truth.habit == SK_SWARM_SUPER_SEEDS;
    node->seen = true;
    node->gathers = node->renews = false;
    node->probe_session = 0;
    sk_renewal_opened(&node->renewal, swarm->now_ns);
    see_open(swarm, node);
    see(swarm, node,
        (struct sk_observation){.kind = SK_OBS_CLIENT,
                                .bytes = sk_bytes_text(node->style->version)});
    sk_swarm_open_probe(swarm, node);
    if (swarm->err)
        return;
    if (super) {
        see_bitfield(swarm, node, swarm->auditor.have);
        see_have(swarm, node, node->probe->shown_piece);
    } else if (node->truth.habit == SK_SWARM_LAZY_BITFIELD) {
        see_lazy(swarm, node);
    } else {
        see_bitfield(swarm, node, node->told);
    }
    if (node->complete)
        sk_swarm_saw_done(swarm, node);
    sk_swarm_probe_wish(swarm, node);
    for (uint32_t i = 0; i < node->conns_count; i++)
        node->conns[i]->pex_told = false;
    if (swarm->config.links_told)
        sk_swarm_set_alarm(swarm, &node->pex,
                           sk_swarm_in(swarm, PEX_FIRST_S * sk_prng_unit(&swarm->prng_tell)));
}

static void on_watch(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    if (!node->dialed) {
        if (!node->renews)
            see(swarm, node,
                (struct sk_observation){
                    .kind = SK_OBS_HEARD, .source = SK_SOURCE_TRACKER, .b = !node->heard});
        see(swarm, node, (struct sk_observation){.kind = SK_OBS_DIALED});
        node->heard = node->dialed = true;
        double rtt_s = node->half_rtt_s + swarm->auditor.half_rtt_s;
        sk_swarm_set_alarm(swarm, &node->watch, sk_swarm_in(swarm, 2 * rtt_s));
    } else if (node->truth.watched) {
        open_to(swarm, node);
    } else {
        see(swarm, node,
            (struct sk_observation){.kind = SK_OBS_FAILED, .bytes = sk_bytes_text("timeout")});
    }
}

void sk_swarm_watch_init(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    sk_swarm_init_alarm(&node->watch, on_watch, node);
    sk_swarm_init_alarm(&node->pex, on_pex, node);
    sk_swarm_init_alarm(&node->gather, on_gather, node);
}

void sk_swarm_watch(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    double within_s = swarm->now_ns == SK_SWARM_START_NS ? HEARS_WITHIN_S : HEARS_LATER_S;
    node->dialed = node->renews = false;
    sk_swarm_set_alarm(swarm, &node->watch,
                       sk_swarm_in(swarm, within_s * sk_prng_unit(&swarm->prng_tell)));
}

static void end_connection(struct sk_swarm *swarm, struct sk_swarm_node *node, const char *reason)
{
    sk_heap_remove(&swarm->heap, &node->watch.timer);
    sk_heap_remove(&swarm->heap, &node->pex.timer);
    sk_heap_remove(&swarm->heap, &node->gather.timer);
    if (!node->seen)
        return;
    sk_swarm_close(swarm, node->probe);
    node->seen = false;
    see(swarm, node,
        (struct sk_observation){.kind = SK_OBS_CLOSED, .bytes = sk_bytes_text(reason)});
}

void sk_swarm_unwatch(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    end_connection(swarm, node, "closed");
}

/* ---- connections to silent clients are renewed ---- */

/* When the client is to be called once more; UINT64_MAX: not at all. */
static uint64_t renewal_due(const struct sk_swarm *swarm, const struct sk_swarm_node *node)
{
    bool probed = node->seen && node->probe->interested && node->probe->unchoked;
    if (!node->seen || probed || node->renewal.shown == swarm->config.pieces)
        return UINT64_MAX;
    return sk_renewal_due(&node->renewal);
}

static void on_renew(struct sk_swarm *swarm, void *owner)
{
    (void)owner;
    struct sk_swarm_node *first = NULL;
    uint64_t due_ns = swarm->now_ns + 1;
    for (uint32_t i = 0; i < swarm->count; i++) {
        uint64_t at_ns = renewal_due(swarm, swarm->nodes[i]);
        if (at_ns >= due_ns)
            continue;
        first = swarm->nodes[i];
        due_ns = at_ns;
    }
    if (first) {
        sk_renewal_begun(&first->renewal);
        end_connection(swarm, first, "local");
        first->renews = true;
        first->dialed = false;
        sk_swarm_set_alarm(swarm, &first->watch, swarm->now_ns + SK_RENEWAL_AWAY_NS);
    }
    sk_swarm_renew_start(swarm);
}

void sk_swarm_renew_start(struct sk_swarm *swarm)
{
    uint64_t end_ns = SK_SWARM_START_NS + (uint64_t)(swarm->config.seconds * 1e9);
    uint64_t next_ns = swarm->now_ns + SK_RENEWAL_PAUSE_NS;
    sk_swarm_init_alarm(&swarm->renew, on_renew, NULL);
    if (next_ns + SK_RENEWAL_END_NS <= end_ns)
        sk_swarm_set_alarm(swarm, &swarm->renew, next_ns);
}

bool sk_swarm_give(struct sk_swarm *swarm, uint32_t client, uint32_t piece)
{
    SK_ASSERT(client < swarm->count && piece < swarm->config.pieces);
    struct sk_swarm_node *node = swarm->nodes[client];
    if (swarm->err || !node->seen || node->passive || sk_swarm_bit(node->have, piece))
        return false;
    if (!swarm->traced)
        swarm->traced = sk_mem_calloc(swarm->words, sizeof *swarm->traced);
    if (!swarm->traced) {
        sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
        return false;
    }
    sk_swarm_bit_set(swarm->traced, piece);
    see(swarm, node, (struct sk_observation){.kind = SK_OBS_OFFERED, .a = piece});
    for (uint32_t i = 0; i < swarm->blocks; i++) {
        uint32_t block = piece * swarm->blocks + i, bytes = sk_swarm_block_bytes(swarm, block);
        if (!sk_swarm_lacks(swarm, node, block))
            continue;
        struct sk_observation asked = {.kind = SK_OBS_REQUESTED,
                                       .a = piece,
                                       .b = i * (int64_t)swarm->config.block_size,
                                       .c = bytes};
        see(swarm, node, asked);
        asked.kind = SK_OBS_GIVEN;
        see(swarm, node, asked);
        node->truth.downloaded += bytes;
    }
    sk_swarm_gain(swarm, node, piece);
    return true;
}
