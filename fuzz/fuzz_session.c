/*
 * A whole peer session. Input: three bytes that choose the session (see struct choice), then what
 * the other side sends. It is delivered twice, in one piece and in random chunks, and must give the
 * same events. The session's keys are fixed, so that the corpus can hold whole MSE handshakes.
 */
#include "proto/peer/session.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/prng.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER_SIZE 3
#define PIECES 60

/* The first bytes, as bits. */
struct choice {
    bool outgoing, required, knows_pieces, has_v2, greeted, asks;
    unsigned mse;
    bool fast, extended, closes, learns;
    uint64_t chunk_seed;
};

struct run {
    const struct choice *choice;
    struct sk_peer_config config;
    struct sk_peer *peer;
    uint64_t digest; /* of all events */
    size_t events, asked, answered;
    int message; /* kind of the last MESSAGE, -1 before the first */
    bool closed;
};

static struct choice read_choice(const uint8_t *p)
{
    return (struct choice){
        .outgoing = p[0] & 1,
        .mse = p[0] >> 1 & 3,
        .required = p[0] & 8,
        .knows_pieces = p[0] & 16,
        .has_v2 = p[0] & 32,
        .greeted = p[0] & 64, /* a plain handshake comes first, of itself */
        .asks = p[0] & 128,
        .fast = p[1] & 1,
        .extended = p[1] & 2,
        .closes = p[1] & 4,
        .learns = p[1] & 8,
        .chunk_seed = p[2],
    };
}

static void mix(struct run *run, uint64_t value)
{
    run->digest = sk_hash_mix(run->digest ^ value);
}

/* Reads every byte, so that the sanitizer sees a view that is not there. */
static void mix_bytes(struct run *run, struct sk_bytes bytes)
{
    mix(run, bytes.n);
    mix(run, bytes.n ? sk_hash_bytes(bytes.p, bytes.n, 1) : 0);
}

static void mix_event(struct run *run, const struct sk_peer_event *event)
{
    const struct sk_msg *msg = &event->msg;
    mix(run, event->kind);
    mix(run, msg->kind);
    mix(run, (uint64_t)msg->index << 32 | msg->begin);
    mix(run, (uint64_t)msg->length << 32 | (uint64_t)msg->port << 16 | msg->extended_id);
    mix(run, (uint64_t)event->reason << 32 | event->violation);
    mix_bytes(run, msg->data);
    mix_bytes(run, msg->hashes);
    mix_bytes(run, event->extended.client);
    mix_bytes(run, event->metadata.data);
    mix_bytes(run, sk_bytes(event->pex, event->pex_count * sizeof *event->pex));
}

static void check_view(const struct run *run)
{
    const struct sk_peer_view *view = sk_peer_view(run->peer);
    uint32_t set = 0;
    for (uint32_t i = 0; i < view->have.count; i++)
        set += sk_bitfield_has(&view->have, i);
    SK_ASSERT(set == view->have.set);
    SK_ASSERT(view->payload_in <= view->bytes_in);
    SK_ASSERT(run->answered + view->requests_pending <= run->asked);
    SK_ASSERT(sk_peer_output(run->peer).n <= SK_PEER_OUTPUT_MAX);
    SK_ASSERT((view->state == SK_PEER_CLOSED) == (sk_peer_deadline(run->peer) == SK_TIME_NEVER));
    SK_ASSERT(memchr(view->client_v, 0, sizeof view->client_v));
}

static void ask(struct run *run)
{
    static const uint8_t root[32] = {1};
    struct sk_hash_range range = {.root = root, .length = 2};
    for (uint32_t i = 0; i < 8; i++)
        run->asked += sk_peer_send_request(run->peer, i / 2, i % 2 * 4, 4, 0) == 0;
    sk_peer_send_cancel(run->peer, 1, 0, 4);
    sk_peer_send_hash_request(run->peer, &range);
    sk_peer_send_interest(run->peer, true);
}

static void react(struct run *run, const struct sk_peer_event *event)
{
    const struct sk_msg *msg = &event->msg;
    struct sk_bitfield none = {0};
    if (event->kind == SK_PEER_EVENT_HELLO)
        SK_ASSERT(sk_peer_accept(run->peer, &run->config) == 0);
    if (event->kind == SK_PEER_EVENT_OPEN)
        sk_peer_send_bitfield(run->peer, &none);
    if (event->kind == SK_PEER_EVENT_OPEN && run->choice->asks)
        ask(run);
    if (event->kind == SK_PEER_EVENT_MESSAGE && msg->kind == SK_MSG_REQUEST)
        sk_peer_send_reject(run->peer, msg->index, msg->begin, msg->length);
    if (event->kind == SK_PEER_EVENT_EXTENDED)
        sk_peer_send_metadata(run->peer,
                              &(struct sk_metadata_message){.kind = SK_METADATA_REQUEST});
    if (run->choice->learns && run->events == 4)
        sk_peer_set_pieces(run->peer, PIECES, SK_BLOCK_SIZE, 0, false);
    if (run->choice->closes && run->events == 8)
        sk_peer_close(run->peer);
}

static void drain(struct run *run)
{
    struct sk_peer_event event;
    while (sk_peer_next(run->peer, &event)) {
        SK_ASSERT(!run->closed);
        run->events++;
        run->closed = event.kind == SK_PEER_EVENT_CLOSED;
        run->answered += event.kind == SK_PEER_EVENT_BLOCK || event.kind == SK_PEER_EVENT_REJECTED;
        if (event.kind == SK_PEER_EVENT_MESSAGE)
            run->message = event.msg.kind;
        SK_ASSERT(event.kind != SK_PEER_EVENT_BLOCK || run->message == SK_MSG_PIECE);
        react(run, &event);
        mix_event(run, &event); /* after the sending, which must not disturb it */
        sk_peer_sent(run->peer, sk_peer_output(run->peer).n, 1);
        check_view(run);
    }
    SK_ASSERT(run->closed == (sk_peer_view(run->peer)->state == SK_PEER_CLOSED));
    sk_peer_sent(run->peer, sk_peer_output(run->peer).n, 1);
}

static void deliver(struct run *run, const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n);
    SK_ASSERT(copy);
    memcpy(copy, p, n);
    sk_peer_input(run->peer, copy, n, 1);
    drain(run);
    free(copy);
}

static struct run start(const struct choice *choice)
{
    static struct sk_peer_skey skey;
    struct run run = {.choice = choice, .message = -1};
    run.config = (struct sk_peer_config){
        .info_hash = "the torrent",
        .peer_id = "ourselves",
        .pieces = choice->knows_pieces ? PIECES : 0,
        .piece_size = choice->knows_pieces ? SK_BLOCK_SIZE : 0,
        .span = choice->knows_pieces ? PIECES * SK_BLOCK_SIZE - 1000 : 0,
        .has_v2 = choice->has_v2,
        .outgoing = choice->outgoing,
        .mse = choice->mse,
        .mse_required = choice->required,
        .client = "fuzz",
        .seed = 1,
    };
    memcpy(skey.info_hash, run.config.info_hash, sizeof skey.info_hash);
    sk_mse_hash_req2(skey.info_hash, skey.req2);
    SK_ASSERT(sk_peer_new(&run.config, 1, &run.peer) == 0);
    sk_peer_set_skeys(run.peer, &skey, 1);
    sk_peer_sent(run.peer, sk_peer_output(run.peer).n, 1);
    return run;
}

static void greet(struct run *run)
{
    struct sk_handshake handshake = {
        .reserved = (run->choice->fast ? SK_RESERVED_FAST : 0) |
                    (run->choice->extended ? SK_RESERVED_EXTENSION : 0),
        .peer_id = "another",
    };
    memcpy(handshake.info_hash, run->config.info_hash, sizeof handshake.info_hash);
    uint8_t bytes[SK_HANDSHAKE_SIZE];
    sk_handshake_write(&handshake, bytes);
    deliver(run, bytes, sizeof bytes);
}

static uint64_t play(const struct choice *choice, struct sk_bytes input, bool in_chunks)
{
    struct run run = start(choice);
    struct sk_prng prng;
    sk_prng_init(&prng, choice->chunk_seed);
    if (choice->greeted)
        greet(&run);
    for (size_t at = 0, n; at < input.n; at += n) {
        n = in_chunks ? (size_t)sk_prng_below(&prng, choice->chunk_seed + 1) + 1 : input.n;
        n = SK_MIN(n, input.n - at);
        deliver(&run, input.p + at, n);
    }
    mix(&run, sk_peer_view(run.peer)->payload_in);
    sk_peer_input_eof(run.peer, 1);
    drain(&run);
    SK_ASSERT(run.closed);
    sk_peer_free(run.peer);
    return run.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= HEADER_SIZE)
        return 0;
    struct choice choice = read_choice(data);
    struct sk_bytes input = sk_bytes(data + HEADER_SIZE, size - HEADER_SIZE);
    SK_ASSERT(play(&choice, input, false) == play(&choice, input, true));
    return 0;
}
