/*
 * A stand-in for the engine, to test the driver by itself: it keeps count of what the driver tells
 * it, and its connections do simple things. Each test program that includes it has one engine.
 *
 * A connection sends `to_send` bytes of a pattern and checks that what comes in is the pattern; one
 * that echoes sends back what came in, and pauses reading while much of it waits.
 */
#ifndef SKEP_TEST_FAKE_ENGINE_H
#define SKEP_TEST_FAKE_ENGINE_H

#include "base/assert.h"
#include "base/bytes.h"
#include "base/heap.h"
#include "base/mem.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>

#define FAKE_OUTS_MAX 32768u
#define FAKE_ECHO_HIGH (64u << 10)
#define FAKE_PATTERN ((size_t)65536 + 7)

struct fake_conn {
    struct sk_conn conn;
    bool echo, connected, failed, closing, paused, ended, reset, wrong;
    bool close_at_once, close_when_echoed;
    size_t to_send, sent, received;
    struct sk_buf waiting; /* to be echoed */
    unsigned inputs;
};

static struct skep_engine {
    struct sk_out outs[FAKE_OUTS_MAX];
    size_t head, count;
    uint64_t deadline_ns, last_now_ns;
    unsigned ticks, early_ticks, backward;
    unsigned connected, failed, accepted, eofs, gone, conns, pauses;
    bool refuse, accept_echoes, accept_closes;
    size_t accept_sends;
    struct fake_conn *last_accepted;
    struct fake_conn last_gone; /* its counters; nothing that it points to */
    struct sk_endpoint last_from;
    unsigned datagrams, announces;
    char datagram[64];
    uint64_t id;
    unsigned resolved, http, written, read;
    size_t found;
    int status, err;
    char data[256];
    struct skep_config config;
    unsigned families; /* of the sockets that it was told of */
    bool freed;
} fake;

/* What it is told last before it is freed, kept for the test to see. */
static inline void fake_reset(void)
{
    memset(&fake, 0, sizeof fake);
    fake.deadline_ns = SK_TIME_NEVER;
}

static inline void fake_now(uint64_t now_ns)
{
    fake.backward += now_ns < fake.last_now_ns;
    fake.last_now_ns = now_ns;
}

/* Two periods of it, so that a view of one may begin anywhere in the first. */
static inline const uint8_t *fake_pattern_bytes(void)
{
    static uint8_t bytes[2 * FAKE_PATTERN];
    static bool made;
    for (size_t i = 0; i < sizeof bytes && !made; i++)
        bytes[i] = (uint8_t)((i % FAKE_PATTERN) * 131 >> 3);
    made = true;
    return bytes;
}

static inline void fake_push(struct sk_out out)
{
    SK_ASSERT(fake.count < FAKE_OUTS_MAX);
    fake.outs[(fake.head + fake.count++) % FAKE_OUTS_MAX] = out;
}

static inline struct fake_conn *fake_new(const struct sk_endpoint *endpoint, bool outgoing)
{
    struct fake_conn *conn = calloc(1, sizeof *conn);
    conn->conn.endpoint = *endpoint;
    conn->conn.outgoing = outgoing;
    sk_buf_init(&conn->waiting, 64u << 20);
    fake.conns++;
    return conn;
}

static inline struct fake_conn *fake_dial(const char *address, size_t to_send)
{
    struct sk_endpoint endpoint;
    SK_ASSERT(sk_endpoint_parse(address, 0, &endpoint) == 0);
    struct fake_conn *conn = fake_new(&endpoint, true);
    conn->to_send = to_send;
    fake_push((struct sk_out){.kind = SK_OUT_CONNECT, .conn = &conn->conn, .endpoint = endpoint});
    return conn;
}

static inline void fake_close(struct fake_conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    fake_push((struct sk_out){.kind = SK_OUT_CLOSE, .conn = &conn->conn});
}

static inline void fake_send(struct fake_conn *conn)
{
    fake_push((struct sk_out){.kind = SK_OUT_SEND, .conn = &conn->conn});
}

/* ---- the functions that the driver calls ---- */

int sk_engine_new(const struct skep_config *config, uint64_t now_ns, struct skep_engine **ret)
{
    fake.config = *config;
    fake.last_now_ns = now_ns;
    *ret = &fake;
    return 0;
}

int sk_engine_join_dht(struct skep_engine *engine, unsigned families, uint64_t now_ns)
{
    fake.families = families;
    return 0;
}

void sk_engine_free(struct skep_engine *engine)
{
    fake.freed = engine != NULL;
}

bool sk_engine_file(const struct skep_engine *engine, uint32_t torrent, uint32_t i,
                    const char **ret_path, uint64_t *ret_offset, uint64_t *ret_length)
{
    *ret_path = "dir/file";
    *ret_offset = 0;
    *ret_length = 100;
    return i == 0;
}

int sk_engine_next_packet(struct skep_engine *engine, struct sk_out *ret_out)
{
    return 0;
}

int sk_engine_next_output(struct skep_engine *engine, struct sk_out *ret_out)
{
    if (!fake.count)
        return 0;
    *ret_out = fake.outs[fake.head];
    fake.head = (fake.head + 1) % FAKE_OUTS_MAX;
    fake.count--;
    return 1;
}

size_t sk_engine_read_max(const struct skep_engine *engine)
{
    return SIZE_MAX;
}

uint64_t sk_engine_deadline(const struct skep_engine *engine)
{
    return fake.deadline_ns;
}

void sk_engine_tick(struct skep_engine *engine, uint64_t now_ns)
{
    fake_now(now_ns);
    fake.ticks++;
    fake.early_ticks += now_ns < fake.deadline_ns;
    fake.deadline_ns = SK_TIME_NEVER;
}

void sk_engine_conn_connected(struct skep_engine *engine, struct sk_conn *head, uint64_t now_ns)
{
    struct fake_conn *conn = (struct fake_conn *)head;
    fake_now(now_ns);
    fake.connected++;
    conn->connected = true;
    fake_send(conn);
    if (conn->close_at_once)
        fake_close(conn);
}

void sk_engine_conn_failed(struct skep_engine *engine, struct sk_conn *head,
                           enum sk_conn_failure failure, uint64_t now_ns)
{
    struct fake_conn *conn = (struct fake_conn *)head;
    fake_now(now_ns);
    fake.failed++;
    conn->failed = true;
    fake.status = (int)failure;
    fake_close(conn);
}

struct sk_conn *sk_engine_conn_accepted(struct skep_engine *engine,
                                        const struct sk_endpoint *endpoint, uint64_t now_ns)
{
    fake_now(now_ns);
    fake.last_from = *endpoint;
    if (fake.refuse)
        return NULL;
    fake.accepted++;
    struct fake_conn *conn = fake_new(endpoint, false);
    conn->echo = fake.accept_echoes;
    conn->to_send = fake.accept_sends;
    conn->close_when_echoed = fake.accept_closes;
    fake.last_accepted = conn;
    fake_send(conn);
    return &conn->conn;
}

void sk_engine_conn_input(struct skep_engine *engine, struct sk_conn *head, uint8_t *bytes,
                          size_t n, uint64_t now_ns)
{
    struct fake_conn *conn = (struct fake_conn *)head;
    fake_now(now_ns);
    conn->inputs++;
    if (conn->closing)
        return;
    SK_ASSERT(!conn->ended);
    for (size_t done = 0; done < n;) {
        size_t at = (conn->received + done) % FAKE_PATTERN;
        size_t part = SK_MIN(n - done, FAKE_PATTERN - at);
        conn->wrong |= memcmp(bytes + done, fake_pattern_bytes() + at, part) != 0;
        done += part;
    }
    conn->received += n;
    if (conn->echo) {
        SK_ASSERT(sk_buf_append(&conn->waiting, bytes, n) == 0);
        fake_send(conn);
        if (conn->waiting.n > FAKE_ECHO_HIGH && !conn->paused) {
            conn->paused = true;
            fake.pauses++;
            fake_push((struct sk_out){.kind = SK_OUT_READ_PAUSE, .conn = head});
        }
    }
    memset(bytes, 0, n); /* it may be written to */
}

void sk_engine_conn_eof(struct skep_engine *engine, struct sk_conn *head, bool reset,
                        uint64_t now_ns)
{
    struct fake_conn *conn = (struct fake_conn *)head;
    fake_now(now_ns);
    SK_ASSERT(!conn->ended);
    fake.eofs++;
    conn->ended = true;
    conn->reset = reset;
    fake_close(conn);
}

struct sk_bytes sk_engine_conn_output(const struct sk_conn *head)
{
    const struct fake_conn *conn = (const struct fake_conn *)head;
    if (conn->echo)
        return sk_buf_bytes(&conn->waiting);
    return sk_bytes(fake_pattern_bytes() + conn->sent % FAKE_PATTERN,
                    SK_MIN(conn->to_send, FAKE_PATTERN));
}

void sk_engine_conn_sent(struct skep_engine *engine, struct sk_conn *head, size_t n,
                         uint64_t now_ns)
{
    struct fake_conn *conn = (struct fake_conn *)head;
    fake_now(now_ns);
    conn->sent += n;
    if (conn->echo)
        sk_buf_consume(&conn->waiting, n);
    else
        conn->to_send -= n;
    if (conn->paused && conn->waiting.n == 0) {
        conn->paused = false;
        fake_push((struct sk_out){.kind = SK_OUT_READ_RESUME, .conn = head});
    }
    if (conn->close_when_echoed && conn->to_send == 0 && conn->waiting.n == 0)
        fake_close(conn);
}

void sk_engine_conn_gone(struct skep_engine *engine, struct sk_conn *head)
{
    struct fake_conn *conn = (struct fake_conn *)head;
    if (fake.last_accepted == conn)
        fake.last_accepted = NULL;
    SK_ASSERT(fake.conns > 0);
    fake.conns--;
    fake.gone++;
    fake.last_gone = *conn;
    sk_buf_deinit(&conn->waiting);
    free(conn);
}

static inline void fake_datagram(const struct sk_endpoint *from, struct sk_bytes datagram)
{
    fake.last_from = *from;
    snprintf(fake.datagram, sizeof fake.datagram, "%.*s", (int)datagram.n, (char *)datagram.p);
}

void sk_engine_udp_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram, uint64_t now_ns)
{
    fake_now(now_ns);
    fake.datagrams++;
    fake_datagram(from, datagram);
}

void sk_engine_lsd_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram, uint64_t now_ns)
{
    fake_now(now_ns);
    fake.announces++;
    fake_datagram(from, datagram);
}

void sk_engine_resolved(struct skep_engine *engine, uint64_t id, const struct sk_endpoint *found,
                        size_t count, const char *error, uint64_t now_ns)
{
    fake_now(now_ns);
    fake.resolved++;
    fake.id = id;
    fake.found = count;
}

void sk_engine_http_done(struct skep_engine *engine, uint64_t id, int status, struct sk_bytes body,
                         const char *error, uint64_t now_ns)
{
    fake_now(now_ns);
    fake.http++;
    fake.id = id;
    fake.status = status;
    snprintf(fake.data, sizeof fake.data, "%s", error ? error : "");
}

void sk_engine_web_head(struct skep_engine *engine, uint64_t id, const struct sk_webseed_head *head,
                        uint64_t now_ns)
{
    SK_ASSERT(!"the head of a range that nobody asked for");
}

bool sk_engine_web_data(struct skep_engine *engine, uint64_t id, struct sk_bytes bytes,
                        uint64_t now_ns)
{
    SK_ASSERT(!"bytes of a range that nobody asked for");
    return false;
}

void sk_engine_disk_written(struct skep_engine *engine, uint64_t id, int err, uint64_t now_ns)
{
    fake_now(now_ns);
    fake.written++;
    fake.id = id;
    fake.err = err;
}

void sk_engine_disk_read(struct skep_engine *engine, uint64_t id, int err, struct sk_bytes data,
                         uint64_t now_ns)
{
    fake_now(now_ns);
    fake.read++;
    fake.id = id;
    fake.err = err;
    snprintf(fake.data, sizeof fake.data, "%.*s", (int)data.n, (char *)data.p);
}

#endif
