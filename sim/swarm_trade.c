/* Blocks on their way: requests, the receiver's grants, one block after the other. */
#include "sim/swarm_internal.h"

#define PIPELINE_S 3.0 /* what the requests that wait should last for */

/* ---- the way of a block ---- */

static uint32_t front(const struct sk_swarm_conn *conn)
{
    return conn->asked[conn->asked_first];
}

static void pop_front(struct sk_swarm_conn *conn)
{
    conn->asked_first = (conn->asked_first + 1) % SK_SWARM_PIPELINE;
    conn->asked_count--;
}

static uint32_t pop_back(struct sk_swarm_conn *conn)
{
    return conn->asked[(conn->asked_first + --conn->asked_count) % SK_SWARM_PIPELINE];
}

static void send_next(struct sk_swarm *swarm, struct sk_swarm_node *node);

/* One block more may come to conn->to. */
static void grant(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *to = conn->to;
    double block_ns = swarm->config.block_size * to->down_ns_byte;
    to->down_free_ns = SK_MAX(to->down_free_ns, swarm->now_ns) + (uint64_t)block_ns;
    conn->granted = true;
    sk_list_append(&conn->from->ring, &conn->turn);
    send_next(swarm, conn->from);
}

/* From when on the down-link of `to` takes another block: one may wait before it. */
static uint64_t grant_ns(const struct sk_swarm *swarm, const struct sk_swarm_node *to)
{
    uint64_t slack_ns = (uint64_t)(swarm->config.block_size * to->down_ns_byte);
    return to->down_free_ns > slack_ns ? to->down_free_ns - slack_ns : 0;
}

static void on_grant(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *to = owner;
    struct sk_link *link;
    while ((link = sk_list_first(&to->queue)) && grant_ns(swarm, to) <= swarm->now_ns) {
        struct sk_swarm_conn *conn = SK_CONTAINER_OF(link, struct sk_swarm_conn, turn);
        sk_list_remove(link);
        conn->waits = false;
        if (conn->asked_count)
            grant(swarm, conn);
    }
    if (sk_list_first(&to->queue))
        sk_swarm_set_alarm(swarm, &to->grant, grant_ns(swarm, to));
}

static void ask_grant(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *to = conn->to;
    if (conn->granted || conn->waits || conn->asked_count == 0 || conn->from->sending == conn)
        return;
    if (!sk_list_first(&to->queue) && grant_ns(swarm, to) <= swarm->now_ns) {
        grant(swarm, conn);
        return;
    }
    conn->waits = true;
    sk_list_append(&to->queue, &conn->turn);
    if (to->grant.timer.slot == 0)
        sk_swarm_set_alarm(swarm, &to->grant, grant_ns(swarm, to));
}

/* ---- requests ---- */

static void fill(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    uint32_t block;
    while (conn->asked_count < conn->depth) {
        bool found = sk_swarm_is_auditor(swarm, conn->to)
                         ? sk_swarm_probe_pick(swarm, conn->from, &block)
                         : sk_swarm_pick(swarm, conn, &block);
        if (!found)
            return;
        uint32_t i = (conn->asked_first + conn->asked_count++) % SK_SWARM_PIPELINE;
        conn->asked[i] = block;
        if (sk_swarm_is_auditor(swarm, conn->to))
            conn->from->probe_asked_ns[i] = swarm->now_ns;
    }
}

void sk_swarm_pump(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *node = conn->to;
    if (!conn->ready || swarm->err)
        return;
    fill(swarm, conn);
    ask_grant(swarm, conn);
    bool end_game = !node->complete && node->missing_count == 0 && node->free_blocks == 0;
    bool begins = end_game && !node->end_game && !sk_swarm_is_auditor(swarm, node);
    node->end_game = end_game;
    if (begins)
        sk_swarm_feed(swarm, node);
}

void sk_swarm_feed(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    for (uint32_t i = 0; i < node->open_count; i++) {
        struct sk_swarm_conn *conn = node->open[i]->back;
        if (conn && conn->ready && conn->asked_count < conn->depth)
            sk_swarm_pump(swarm, conn);
    }
}

/* The next request that is still wanted. False: none. */
static bool next_request(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    bool auditor = sk_swarm_is_auditor(swarm, conn->to);
    for (int pass = 0; pass < 2; pass++) {
        while (conn->asked_count) {
            if (auditor || sk_swarm_wanted(swarm, conn->to, front(conn)))
                return true;
            pop_front(conn);
        }
        if (conn->ready)
            fill(swarm, conn);
    }
    return conn->asked_count > 0;
}

static void send_next(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    struct sk_link *link;
    while (!node->sending && (link = sk_list_first(&node->ring))) {
        struct sk_swarm_conn *conn = SK_CONTAINER_OF(link, struct sk_swarm_conn, turn);
        conn->credit += conn->weight;
        if (conn->credit < 1 && sk_list_next(&node->ring, link)) {
            sk_list_move_last(&node->ring, link);
            continue;
        }
        conn->credit = SK_MIN(conn->credit - 1, 1.0);
        sk_list_remove(link);
        conn->granted = false;
        if (!next_request(swarm, conn))
            continue;
        node->sending = conn;
        node->sending_block = front(conn);
        node->probe_sending_ns = node->probe_asked_ns[conn->asked_first];
        double send_ns = sk_swarm_block_bytes(swarm, node->sending_block) * node->up_ns_byte;
        sk_swarm_set_alarm(swarm, &node->send, swarm->now_ns + (uint64_t)send_ns + 1);
    }
}

/* As many requests as last for a while at the pace at which blocks come. */
static void adapt_depth(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    if (conn->last_ns) {
        double gap_ns = (double)(swarm->now_ns - conn->last_ns);
        conn->gap_ns = conn->gap_ns > 0 ? 0.8 * conn->gap_ns + 0.2 * gap_ns : gap_ns;
        double depth = PIPELINE_S * 1e9 / conn->gap_ns;
        conn->depth = depth < SK_SWARM_PIPELINE_LEAST ? SK_SWARM_PIPELINE_LEAST
                      : depth > SK_SWARM_PIPELINE     ? SK_SWARM_PIPELINE
                                                      : (uint16_t)depth;
    }
    conn->last_ns = swarm->now_ns;
}

/* ---- a block is here ---- */

/* As many fail in all as if each did by chance; a poisoner's come in a row. */
static bool comes_wrong(const struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    uint32_t mean = SK_MAX(swarm->config.hash_fail_run, 1u);
    if (node->poisoned) {
        node->poisoned--;
        return true;
    }
    if (sk_prng_unit(node->prng) >= swarm->config.hash_fail / mean)
        return false;
    if (mean > 1)
        node->poisoned = (uint32_t)sk_prng_below(node->prng, 2 * mean - 1);
    return true;
}

static void complete_piece(struct sk_swarm *swarm, struct sk_swarm_node *node,
                           const struct sk_swarm_partial *partial)
{
    uint32_t piece = partial->piece;
    if (comes_wrong(swarm, node)) {
        sk_swarm_forget(swarm, node, piece);
        node->truth.wasted += swarm->config.piece_size;
        sk_swarm_feed(swarm, node);
        return;
    }
    swarm->gains++;
    swarm->givers += partial->givers_count;
    sk_swarm_gain(swarm, node, piece);
}

static void deliver(struct sk_swarm *swarm, struct sk_swarm_conn *conn, uint32_t block, bool twice)
{
    struct sk_swarm_node *node = conn->to;
    uint32_t bytes = sk_swarm_block_bytes(swarm, block);
    uint32_t piece = block / swarm->blocks;
    conn->bytes += bytes;
    if (swarm->traced && sk_swarm_bit(swarm->traced, piece))
        conn->traced += bytes;
    conn->took += bytes;
    conn->gave += bytes;
    conn->from->truth.uploaded += bytes;
    adapt_depth(swarm, conn);
    if (sk_swarm_is_auditor(swarm, node)) {
        sk_swarm_probe_took(swarm, conn->from, block);
        return;
    }
    node->truth.downloaded += bytes;
    if (twice || !sk_swarm_take(swarm, conn, block)) {
        node->truth.wasted += bytes;
        return;
    }
    const struct sk_swarm_partial *partial = &node->partials[node->partial_of[piece] - 1];
    if (partial->held == swarm->blocks)
        complete_piece(swarm, node, partial);
}

static void on_sent(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_node *node = owner;
    struct sk_swarm_conn *conn = node->sending;
    uint32_t block = node->sending_block;
    /* Twice: it stays in front, and comes again. A choke may have emptied the queue meanwhile. */
    bool asked = conn->asked_count && front(conn) == block;
    bool twice = asked && !sk_swarm_is_auditor(swarm, conn->to) &&
                 sk_prng_unit(&swarm->prng) < conn->to->waste;
    node->sending = NULL;
    if (asked && !twice)
        pop_front(conn);
    deliver(swarm, conn, block, twice);
    sk_swarm_pump(swarm, conn);
    ask_grant(swarm, conn);
    send_next(swarm, node);
}

/* ---- connections ---- */

static void on_begin(struct sk_swarm *swarm, void *owner)
{
    struct sk_swarm_conn *conn = owner;
    conn->ready = true;
    if (sk_swarm_is_auditor(swarm, conn->to))
        sk_swarm_saw_choke(swarm, conn->from, true);
    sk_swarm_pump(swarm, conn);
}

static void begin_span(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    if (swarm->spans_count == swarm->spans_capacity) {
        uint32_t capacity = swarm->spans_capacity ? 2 * swarm->spans_capacity : 1024;
        struct sk_swarm_span *spans = sk_mem_realloc(swarm->spans, capacity, sizeof *spans);
        if (!spans) {
            sk_swarm_fail(swarm, SKEP_ERR_NOMEM);
            return;
        }
        swarm->spans = spans;
        swarm->spans_capacity = capacity;
    }
    swarm->spans[swarm->spans_count++] =
        (struct sk_swarm_span){swarm->now_ns, UINT64_MAX, conn->span};
    conn->span = swarm->spans_count;
}

void sk_swarm_unchoke(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    conn->unchoked = true;
    conn->depth = SK_SWARM_PIPELINE_LEAST;
    conn->last_ns = 0;
    conn->gap_ns = 0;
    if (!sk_swarm_is_auditor(swarm, conn->to))
        begin_span(swarm, conn);
    conn->begin.ring = on_begin;
    sk_swarm_set_alarm(swarm, &conn->begin,
                       sk_swarm_in(swarm, conn->from->half_rtt_s + conn->to->half_rtt_s));
}

static void leave_queues(struct sk_swarm_conn *conn)
{
    if (conn->granted || conn->waits)
        sk_list_remove(&conn->turn);
    conn->granted = conn->waits = false;
}

void sk_swarm_choke(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *node = conn->to;
    bool auditor = sk_swarm_is_auditor(swarm, node), freed = false;
    if (!conn->unchoked)
        return;
    if (auditor && conn->ready)
        sk_swarm_saw_choke(swarm, conn->from, false);
    conn->unchoked = conn->ready = false;
    sk_heap_remove(&swarm->heap, &conn->begin.timer);
    leave_queues(conn);
    if (!auditor && conn->span && !swarm->err)
        swarm->spans[conn->span - 1].until_ns = swarm->now_ns;
    /* What is being sent still comes. */
    if (conn->asked_count && conn->from->sending == conn &&
        front(conn) == conn->from->sending_block)
        pop_front(conn);
    while (conn->asked_count) {
        uint32_t block = pop_back(conn);
        if (auditor)
            sk_swarm_probe_drop(swarm, conn->from, block);
        else
            freed |= sk_swarm_release(swarm, node, block);
    }
    if (auditor)
        return;
    sk_swarm_disown(conn);
    if (freed)
        sk_swarm_feed(swarm, node);
}

void sk_swarm_drop(struct sk_swarm *swarm, struct sk_swarm_conn *conn)
{
    struct sk_swarm_node *from = conn->from;
    bool sends = from->sending == conn;
    uint32_t block = from->sending_block;
    sk_swarm_choke(swarm, conn);
    leave_queues(conn);
    if (!sends)
        return;
    from->sending = NULL;
    sk_heap_remove(&swarm->heap, &from->send.timer);
    if (sk_swarm_is_auditor(swarm, conn->to))
        sk_swarm_probe_drop(swarm, from, block);
    else if (sk_swarm_release(swarm, conn->to, block))
        sk_swarm_feed(swarm, conn->to);
    if (from->online)
        send_next(swarm, from);
}

void sk_swarm_trade_init(struct sk_swarm *swarm, struct sk_swarm_node *node)
{
    sk_list_init(&node->ring);
    sk_list_init(&node->queue);
    sk_swarm_init_alarm(&node->send, on_sent, node);
    sk_swarm_init_alarm(&node->grant, on_grant, node);
}
