/*
 * One DHT node on a desk: everything that it sends lies there to be looked at, and actors answer
 * it as a test has them. It is driven as its header says, in virtual time; after each step it must
 * find no fault in itself, and no deadline may stay in the past.
 */
#ifndef DHT_DESK_H
#define DHT_DESK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "proto/dht/dht.h"

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)
#define DESK_ACTORS 256
#define DESK_OPS 64

struct desk;

/* Somebody at an address. `reply` fills in the answer, which is made as by an honest node before;
 * false: none. NULL: silent. */
struct actor {
    struct sk_endpoint at;
    uint8_t id[SK_DHT_ID_SIZE];
    bool (*reply)(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                  struct sk_krpc *answer);
    uint64_t delay_ns;
    bool hidden;     /* honest nodes do not tell of it */
    unsigned copies; /* of its answer, beyond the first */
    unsigned asked, stored;
};

/* What the node sent, oldest first; views are into `bytes`. */
struct mail {
    struct sk_endpoint to;
    uint64_t at_ns;
    struct sk_krpc message;
    size_t size;
    uint8_t bytes[];
};

/* On its way to the node. */
struct letter {
    struct letter *next;
    uint64_t at_ns;
    struct sk_endpoint from;
    size_t size;
    uint8_t bytes[];
};

/* What an operation told. */
struct story {
    uint64_t op;
    unsigned kinds[SK_DHT_EVENT_DONE + 1];
    int64_t code;
    struct sk_dht_result result;
    struct sk_dht_closest closest[2 * SK_DHT_SEARCH_K_MAX];
};

struct desk {
    struct sk_dht *dht;
    uint64_t now_ns;
    struct sk_prng prng;
    struct mail **mails;
    size_t mails_count, mails_capacity;
    bool thrifty; /* mails are not kept */
    struct letter *letters;
    struct sk_buf made; /* reserved: what fails is the node's */
    struct actor actors[DESK_ACTORS];
    size_t actors_count;
    struct story stories[DESK_OPS];
    size_t stories_count;
    size_t done; /* events DONE, of all operations */
    void (*event)(struct desk *desk, const struct sk_dht_event *event);
    void *context;
};

static inline struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_parse(text, 6881, &endpoint), 0);
    return endpoint;
}

static inline void desk_begin(struct desk *desk, const struct sk_dht_config *config)
{
    memset(desk, 0, sizeof *desk);
    desk->now_ns = 1000 * SECOND_NS;
    sk_prng_init(&desk->prng, 11);
    sk_buf_init(&desk->made, SK_KRPC_DATAGRAM_MAX);
    assert_non_null(sk_buf_reserve(&desk->made, SK_KRPC_DATAGRAM_MAX));
    assert_int_equal(sk_dht_new(config, desk->now_ns, &desk->dht), 0);
}

/* Takes away what lies there. */
static inline void desk_clear(struct desk *desk)
{
    for (size_t i = 0; i < desk->mails_count; i++)
        free(desk->mails[i]);
    desk->mails_count = 0;
}

static inline void desk_end(struct desk *desk)
{
    sk_dht_free(desk->dht);
    desk_clear(desk);
    free(desk->mails);
    sk_buf_deinit(&desk->made);
    while (desk->letters) {
        struct letter *next = desk->letters->next;
        free(desk->letters);
        desk->letters = next;
    }
}

/* Ends one that lies on the heap. */
static inline void desk_discard(struct desk *desk)
{
    desk_end(desk);
    free(desk);
}

static inline struct actor *desk_actor(struct desk *desk, const struct sk_endpoint *endpoint)
{
    for (size_t i = 0; i < desk->actors_count; i++)
        if (sk_endpoint_equal(&desk->actors[i].at, endpoint))
            return &desk->actors[i];
    return NULL;
}

static inline void desk_letter(struct desk *desk, const struct sk_endpoint *from,
                               struct sk_bytes bytes, uint64_t delay_ns)
{
    struct letter *letter = malloc(sizeof *letter + bytes.n);
    assert_non_null(letter);
    *letter = (struct letter){.at_ns = desk->now_ns + delay_ns, .from = *from, .size = bytes.n};
    memcpy(letter->bytes, bytes.p, bytes.n);
    struct letter **place = &desk->letters;
    while (*place && (*place)->at_ns <= letter->at_ns)
        place = &(*place)->next;
    letter->next = *place;
    *place = letter;
}

static inline void desk_post(struct desk *desk, const struct sk_endpoint *from,
                             const struct sk_krpc *message, uint64_t delay_ns)
{
    desk->made.n = 0;
    desk->made.failed = false;
    assert_int_equal(sk_krpc_write(&desk->made, message), 0);
    desk_letter(desk, from, sk_buf_bytes(&desk->made), delay_ns);
}

/* The nearest 8 of a family, as honest nodes tell of them. */
static inline struct sk_bytes desk_nearest(const struct desk *desk, const uint8_t *target,
                                           enum sk_family family, uint8_t bytes[8 * 38])
{
    const struct actor *nearest[9];
    size_t count = 0, n = 0;
    for (size_t i = 0; i < desk->actors_count; i++) {
        const struct actor *actor = &desk->actors[i];
        if (actor->hidden || actor->at.family != family)
            continue;
        size_t place = count < 8 ? count++ : 8;
        for (; place && sk_dht_compare(target, actor->id, nearest[place - 1]->id) < 0; place--)
            nearest[place] = nearest[place - 1];
        nearest[place] = actor;
    }
    for (size_t i = 0; i < count; i++) {
        struct sk_dht_contact contact = {.endpoint = nearest[i]->at};
        memcpy(contact.id, nearest[i]->id, SK_DHT_ID_SIZE);
        n += sk_krpc_write_node(&contact, bytes + n);
    }
    return sk_bytes(bytes, n);
}

static inline void desk_reply(struct desk *desk, struct actor *actor, const struct sk_krpc *query)
{
    uint8_t nodes[2][8 * 38];
    struct sk_krpc answer = {
        .kind = SK_KRPC_RESPONSE,
        .transaction = query->transaction,
        .id = actor->id,
        .interval = -1,
        .num = -1,
    };
    if (query->target && query->method != SK_KRPC_ANNOUNCE_PEER) {
        answer.nodes = desk_nearest(desk, query->target, SK_FAMILY_V4, nodes[0]);
        answer.nodes6 = desk_nearest(desk, query->target, SK_FAMILY_V6, nodes[1]);
    }
    if (query->method == SK_KRPC_GET || query->method == SK_KRPC_GET_PEERS)
        answer.token = sk_bytes(actor->id, 6);
    actor->asked++;
    if (query->method == SK_KRPC_PUT || query->method == SK_KRPC_ANNOUNCE_PEER) {
        assert_true(sk_bytes_equal(query->token, sk_bytes(actor->id, 6)));
        actor->stored++;
    }
    if (actor->reply && actor->reply(desk, actor, query, &answer))
        for (unsigned i = 0; i <= actor->copies; i++)
            desk_post(desk, &actor->at, &answer, actor->delay_ns);
}

/* What an honest node says. */
static inline bool reply_honest(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                                struct sk_krpc *answer)
{
    return true;
}

static inline bool reply_error(struct desk *desk, struct actor *actor, const struct sk_krpc *query,
                               struct sk_krpc *answer)
{
    answer->kind = SK_KRPC_ERROR;
    answer->code = SK_KRPC_SERVER;
    answer->text = sk_bytes_text("no");
    return true;
}

static inline struct story *desk_story(struct desk *desk, uint64_t op)
{
    for (size_t i = 0; i < desk->stories_count; i++)
        if (desk->stories[i].op == op)
            return &desk->stories[i];
    return NULL;
}

static inline void desk_event(struct desk *desk, const struct sk_dht_event *event)
{
    struct story *story = desk_story(desk, event->op);
    desk->done += event->kind == SK_DHT_EVENT_DONE;
    if (story) {
        assert_int_equal(story->kinds[SK_DHT_EVENT_DONE], 0);
        story->kinds[event->kind]++;
        if (event->kind == SK_DHT_EVENT_REFUSED)
            story->code = event->message->code;
        if (event->kind == SK_DHT_EVENT_DONE && event->search) {
            story->result = *event->result;
            memcpy(story->closest, event->result->closest,
                   event->result->closest_count * sizeof *story->closest);
        }
    }
    if (desk->event)
        desk->event(desk, event);
}

static inline void desk_sent(struct desk *desk, const struct sk_dht_out *out)
{
    struct mail *mail = malloc(sizeof *mail + out->bytes.n);
    assert_non_null(mail);
    mail->to = out->to;
    mail->at_ns = desk->now_ns;
    mail->size = out->bytes.n;
    memcpy(mail->bytes, out->bytes.p, out->bytes.n);
    assert_int_equal(sk_krpc_read(sk_bytes(mail->bytes, mail->size), &mail->message), 0);
    struct actor *actor = desk_actor(desk, &mail->to);
    if (actor && mail->message.kind == SK_KRPC_QUERY)
        desk_reply(desk, actor, &mail->message);
    if (desk->thrifty) {
        free(mail);
        return;
    }
    if (desk->mails_count == desk->mails_capacity) {
        desk->mails_capacity = desk->mails_capacity * 2 + 64;
        desk->mails = realloc(desk->mails, desk->mails_capacity * sizeof(struct mail *));
        assert_non_null(desk->mails);
    }
    desk->mails[desk->mails_count++] = mail;
}

static inline void desk_drain(struct desk *desk)
{
    struct sk_dht_event event;
    struct sk_dht_out out;
    while (sk_dht_next_event(desk->dht, &event))
        desk_event(desk, &event);
    while (sk_dht_next_output(desk->dht, desk->now_ns, &out))
        desk_sent(desk, &out);
    const char *fault = sk_dht_fault(desk->dht);
    if (fault)
        fail_msg("%s", fault);
}

static inline void desk_settle(struct desk *desk)
{
    desk_drain(desk);
    for (int i = 0; sk_dht_deadline(desk->dht) <= desk->now_ns; i++) {
        assert_true(i < 8);
        sk_dht_tick(desk->dht, desk->now_ns);
        desk_drain(desk);
    }
}

/* What comes next, a letter or a deadline, if it is before `end_ns`. */
static inline bool desk_step(struct desk *desk, uint64_t end_ns)
{
    uint64_t deadline_ns = sk_dht_deadline(desk->dht);
    struct letter *letter = desk->letters;
    uint64_t at_ns = letter ? SK_MIN(letter->at_ns, deadline_ns) : deadline_ns;
    if (at_ns > end_ns)
        return false;
    desk->now_ns = SK_MAX(desk->now_ns, at_ns);
    if (letter && letter->at_ns <= desk->now_ns) {
        desk->letters = letter->next;
        sk_dht_input(desk->dht, &letter->from, sk_bytes(letter->bytes, letter->size), desk->now_ns);
        desk_drain(desk);
        free(letter);
    } else {
        sk_dht_tick(desk->dht, desk->now_ns);
    }
    desk_settle(desk);
    return true;
}

static inline void desk_wait(struct desk *desk, uint64_t wait_ns)
{
    uint64_t end_ns = desk->now_ns + wait_ns;
    desk_settle(desk);
    while (desk_step(desk, end_ns))
        ;
    desk->now_ns = end_ns;
}

static inline void desk_input(struct desk *desk, const struct sk_endpoint *from,
                              const struct sk_krpc *message)
{
    desk_post(desk, from, message, 0);
    desk_wait(desk, 0);
}

static inline struct actor *desk_add_actor(struct desk *desk, const struct sk_endpoint *endpoint,
                                           const uint8_t *id)
{
    assert_true(desk->actors_count < DESK_ACTORS);
    struct actor *actor = &desk->actors[desk->actors_count++];
    *actor = (struct actor){.at = *endpoint, .reply = reply_honest, .delay_ns = 20 * MS_NS};
    if (id)
        memcpy(actor->id, id, SK_DHT_ID_SIZE);
    else
        sk_dht_id_for_address(endpoint, &desk->prng, actor->id);
    return actor;
}

static inline struct sk_endpoint desk_public(size_t n, bool v6)
{
    uint8_t v4[4] = {(uint8_t)(40 + n % 50), (uint8_t)n, (uint8_t)(n >> 8), 1};
    uint8_t addr[16] = {0x2a, 0, (uint8_t)(n >> 8), (uint8_t)n, [15] = 1};
    return v6 ? sk_endpoint_v6(addr, (uint16_t)(6881 + n % 50000))
              : sk_endpoint_v4(v4, (uint16_t)(6881 + n % 50000));
}

/* So many honest nodes at public addresses, and the node joins them. */
static inline void desk_crowd(struct desk *desk, size_t count, bool v6)
{
    struct actor *first = &desk->actors[desk->actors_count];
    for (size_t i = 0; i < count; i++) {
        struct sk_endpoint endpoint = desk_public(desk->actors_count, v6);
        desk_add_actor(desk, &endpoint, NULL);
    }
    for (size_t i = 0; i < SK_MIN(count, 3); i++)
        sk_dht_add_address(desk->dht, &first[i].at, false, desk->now_ns);
    desk_wait(desk, 20 * SECOND_NS);
    desk_clear(desk);
}

static inline uint64_t desk_note(struct desk *desk, int err, uint64_t op)
{
    assert_int_equal(err, 0);
    assert_true(desk->stories_count < DESK_OPS);
    desk->stories[desk->stories_count++] = (struct story){.op = op};
    return op;
}

static inline uint64_t desk_search(struct desk *desk, const struct sk_dht_search *search)
{
    uint64_t op = 0;
    int err = sk_dht_start_search(desk->dht, search, desk->now_ns, &op);
    return desk_note(desk, err, op);
}

static inline uint64_t desk_ask(struct desk *desk, const struct sk_dht_ask *ask)
{
    uint64_t op = 0;
    int err = sk_dht_start_ask(desk->dht, ask, desk->now_ns, &op);
    return desk_note(desk, err, op);
}

/* An announce at this target: a lookup, and then storing. */
static inline struct sk_dht_search desk_announce(const uint8_t *target)
{
    struct sk_dht_search search = {
        .method = SK_KRPC_GET_PEERS, .k = 4, .store = SK_DHT_STORE_PEER, .port = 7000};
    memcpy(search.target, target, SK_DHT_ID_SIZE);
    return search;
}

/* The node announces there, in a network that is well, and has nothing else to do. */
static inline void desk_check_works(struct desk *desk, const uint8_t *target)
{
    struct sk_dht_search search = desk_announce(target);
    uint64_t op = desk_search(desk, &search);
    desk_wait(desk, 30 * SECOND_NS);
    assert_int_equal(desk_story(desk, op)->kinds[SK_DHT_EVENT_DONE], 1);
    assert_true(desk_story(desk, op)->result.stored >= 3);
    assert_int_equal(sk_dht_operations(desk->dht), 0);
}

/* How much was sent to an IP address (or to anybody) since desk_clear(). */
static inline size_t desk_count(const struct desk *desk, const struct sk_endpoint *to,
                                enum sk_krpc_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < desk->mails_count; i++)
        count += (!to || sk_endpoint_same_ip(&desk->mails[i]->to, to)) &&
                 desk->mails[i]->message.kind == kind;
    return count;
}

/* The last query to this endpoint; NULL. */
static inline const struct mail *desk_query(const struct desk *desk, const struct sk_endpoint *to)
{
    for (size_t i = desk->mails_count; i-- > 0;)
        if (sk_endpoint_equal(&desk->mails[i]->to, to) &&
            desk->mails[i]->message.kind == SK_KRPC_QUERY)
            return desk->mails[i];
    return NULL;
}

/* The last thing that was sent. */
static inline const struct mail *desk_last(const struct desk *desk)
{
    assert_true(desk->mails_count > 0);
    return desk->mails[desk->mails_count - 1];
}

static inline struct sk_krpc desk_answer(const struct mail *query, const uint8_t *id)
{
    return (struct sk_krpc){
        .kind = SK_KRPC_RESPONSE,
        .transaction = query->message.transaction,
        .id = id,
        .interval = -1,
        .num = -1,
    };
}

/* A ping of one of 500 strangers, who wants no ping himself. */
static inline void desk_ping(struct desk *desk, unsigned number)
{
    struct sk_endpoint from = desk_public(2000 + number % 500, false);
    static const uint8_t id[SK_DHT_ID_SIZE] = {9};
    struct sk_krpc query = {.kind = SK_KRPC_QUERY,
                            .transaction = sk_bytes_text("q"),
                            .id = id,
                            .method = SK_KRPC_PING,
                            .read_only = true};
    desk_input(desk, &from, &query);
}

#endif
