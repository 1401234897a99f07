/*
 * Peer sessions under test: one fed by hand, or two wired to each other. Every chunk is delivered
 * in a heap block of its own size, so that the sanitizer sees a read past its end or after it.
 */
#ifndef SESSION_PAIR_H
#define SESSION_PAIR_H

#include "proto/peer/session.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define EVENT_KINDS (SK_PEER_EVENT_CLOSED + 1)
#define BLOCK SK_BLOCK_SIZE

static const uint8_t test_hash[20] = "the hash of it all..";

struct side {
    struct sk_peer *peer;
    struct sk_peer_config accept; /* incoming: what HELLO is answered with */
    bool refuse, wait;            /* HELLO: close, or leave it unanswered */
    bool accept_failed;           /* for want of memory, at first */
    size_t counts[EVENT_KINDS];
    struct sk_peer_event last[EVENT_KINDS]; /* views in them are gone */
    void (*on_event)(struct side *side, const struct sk_peer_event *event);
    void *context;
};

enum chunking { CHUNK_WHOLE, CHUNK_BYTES, CHUNK_RANDOM, CHUNKINGS };

struct pair {
    struct side a, b; /* a dials */
    uint64_t now_ns;
    enum chunking chunking;
    struct sk_prng prng;
};

static inline struct sk_peer_config test_config(const char *id)
{
    struct sk_peer_config config = {
        .pieces = 100,
        .piece_size = 4 * BLOCK,
        .span = 99 * 4 * BLOCK + 1000,
        .client = "skep test",
        .seed = 7,
    };
    memcpy(config.info_hash, test_hash, 20);
    memset(config.peer_id, 'x', 20);
    memcpy(config.peer_id, id, strlen(id));
    return config;
}

/* Allocations fail once (test_session_oom.c), so the second time it works, or it had closed. */
static inline void accept_again(struct side *side)
{
    int err = sk_peer_accept(side->peer, &side->accept);
    assert_true(err == 0 ||
                (err == SKEP_ERR_STATE && sk_peer_view(side->peer)->state == SK_PEER_CLOSED));
    side->accept_failed = true;
}

static inline void drain(struct side *side)
{
    struct sk_peer_event event;
    while (sk_peer_next(side->peer, &event)) {
        side->counts[event.kind]++;
        side->last[event.kind] = event;
        if (event.kind == SK_PEER_EVENT_HELLO && side->refuse)
            sk_peer_close(side->peer);
        else if (event.kind == SK_PEER_EVENT_HELLO && !side->wait &&
                 sk_peer_accept(side->peer, &side->accept) == SKEP_ERR_NOMEM)
            accept_again(side);
        if (side->on_event)
            side->on_event(side, &event);
    }
}

/* Delivers bytes in one piece. */
static inline void feed(struct side *side, const void *bytes, size_t n, uint64_t now_ns)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    sk_peer_input(side->peer, copy, n, now_ns);
    drain(side);
    free(copy);
}

/* 1 to max, small ones as often as large ones. */
static inline size_t random_size(struct sk_prng *prng, size_t max)
{
    size_t n = (size_t)1 << sk_prng_below(prng, 16);
    return SK_MIN(n, max);
}

/* Takes what `from` has to send and delivers it as the chunking says; whether there was any. */
static inline bool deliver(struct pair *pair, struct side *from, struct side *to)
{
    struct sk_bytes out = sk_peer_output(from->peer);
    if (out.n == 0)
        return false;
    uint8_t *copy = malloc(out.n);
    memcpy(copy, out.p, out.n);
    size_t size = out.n;
    sk_peer_sent(from->peer, size, pair->now_ns);
    for (size_t at = 0, n; at < size; at += n) {
        n = size - at;
        if (pair->chunking == CHUNK_BYTES)
            n = 1;
        else if (pair->chunking == CHUNK_RANDOM)
            n = random_size(&pair->prng, n);
        feed(to, copy + at, n, pair->now_ns);
    }
    free(copy);
    return true;
}

static inline void run(struct pair *pair)
{
    drain(&pair->a);
    drain(&pair->b);
    bool again = true;
    while (again) {
        again = deliver(pair, &pair->a, &pair->b);
        again |= deliver(pair, &pair->b, &pair->a);
    }
}

static inline void pair_init(struct pair *pair, const struct sk_peer_config *a,
                             const struct sk_peer_config *b, enum chunking chunking)
{
    *pair = (struct pair){.now_ns = 1000 * SK_SECOND_NS, .chunking = chunking};
    sk_prng_init(&pair->prng, a->seed + (uint64_t)chunking);
    struct sk_peer_config dialling = *a;
    dialling.outgoing = true;
    pair->b.accept = *b;
    assert_int_equal(sk_peer_new(&dialling, pair->now_ns, &pair->a.peer), 0);
    assert_int_equal(sk_peer_new(b, pair->now_ns, &pair->b.peer), 0);
}

static inline void pair_deinit(struct pair *pair)
{
    sk_peer_free(pair->a.peer);
    sk_peer_free(pair->b.peer);
}

/* Forgets the counts of both sides. */
static inline void pair_reset(struct pair *pair)
{
    memset(pair->a.counts, 0, sizeof pair->a.counts);
    memset(pair->b.counts, 0, sizeof pair->b.counts);
}

static inline void assert_closed(const struct side *side, enum sk_peer_reason reason,
                                 enum sk_peer_violation violation)
{
    const struct sk_peer_event *closed = &side->last[SK_PEER_EVENT_CLOSED];
    if (side->counts[SK_PEER_EVENT_CLOSED] != 1)
        fail_msg("closed %zu times", side->counts[SK_PEER_EVENT_CLOSED]);
    assert_string_equal(sk_peer_reason_name(closed->reason), sk_peer_reason_name(reason));
    assert_string_equal(sk_peer_violation_text(closed->violation),
                        sk_peer_violation_text(violation));
    assert_int_equal(sk_peer_view(side->peer)->state, SK_PEER_CLOSED);
}

static const enum chunking all_chunkings[] = {CHUNK_WHOLE, CHUNK_BYTES, CHUNK_RANDOM};

static inline void open_pair(struct pair *pair, enum chunking chunking)
{
    struct sk_peer_config a = test_config("a"), b = test_config("b");
    pair_init(pair, &a, &b, chunking);
    run(pair);
    assert_int_equal(pair->a.counts[SK_PEER_EVENT_OPEN], 1);
    assert_int_equal(pair->b.counts[SK_PEER_EVENT_OPEN], 1);
}

/* A session that dialled and was answered by hand, with these reserved bits. */
static inline void open_by_hand(struct side *side, struct sk_peer_config *config, uint64_t reserved)
{
    *side = (struct side){0};
    config->outgoing = true;
    struct sk_handshake handshake = {.reserved = reserved, .peer_id = "by hand"};
    memcpy(handshake.info_hash, test_hash, 20);
    uint8_t bytes[SK_HANDSHAKE_SIZE];
    sk_handshake_write(&handshake, bytes);
    assert_int_equal(sk_peer_new(config, SK_SECOND_NS, &side->peer), 0);
    feed(side, bytes, sizeof bytes, SK_SECOND_NS);
    assert_int_equal(side->counts[SK_PEER_EVENT_OPEN], 1);
}

static inline void feed_message(struct side *side, const struct sk_msg *msg, uint64_t now_ns)
{
    struct sk_buf buf = {.max = SIZE_MAX};
    assert_int_equal(sk_msg_write(&buf, msg), 0);
    feed(side, buf.p, buf.n, now_ns);
    sk_buf_deinit(&buf);
}

#endif
