/*
 * wire/krpc: what is written is read again as it was; what deployed nodes send is understood; what
 * is wrong with a query is told by the code that BEP 5 and 44 want.
 */
#include "wire/krpc.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define ID "abcdefghij0123456789"
#define TARGET "mnopqrstuvwxyz123456"
#define Q(method, arguments) "d1:ad" arguments "e1:q" method "1:t2:aa1:y1:qe"
#define R(values) "d1:rd" values "e1:t2:aa1:y1:re"
#define ID_ARGUMENT "2:id20:" ID
#define TARGET_ARGUMENT "6:target20:" TARGET
#define HASH_ARGUMENT "9:info_hash20:" TARGET

static struct sk_krpc read_text(const char *text)
{
    struct sk_krpc message;
    if (sk_krpc_read(sk_bytes_text(text), &message) != 0)
        fail_msg("%s", text);
    return message;
}

static void expect(struct sk_bytes bytes, const char *text)
{
    assert_int_equal(bytes.n, strlen(text));
    assert_memory_equal(bytes.p, text, bytes.n);
}

static void write_to(struct sk_buf *buf, const struct sk_krpc *message)
{
    sk_buf_init(buf, SK_KRPC_DATAGRAM_MAX);
    assert_int_equal(sk_krpc_write(buf, message), 0);
}

/* The examples of BEP 5: read, and written again byte for byte. */
static void examples_of_the_specification(void **state)
{
    static const struct {
        const char *text;
        enum sk_krpc_kind kind;
        enum sk_krpc_method method;
    } examples[] = {
        {Q("4:ping", ID_ARGUMENT), SK_KRPC_QUERY, SK_KRPC_PING},
        {R("2:id20:" TARGET), SK_KRPC_RESPONSE, 0},
        {Q("9:find_node", ID_ARGUMENT TARGET_ARGUMENT), SK_KRPC_QUERY, SK_KRPC_FIND_NODE},
        {Q("9:get_peers", ID_ARGUMENT HASH_ARGUMENT), SK_KRPC_QUERY, SK_KRPC_GET_PEERS},
        {R(ID_ARGUMENT "5:token8:aoeusnth"), SK_KRPC_RESPONSE, 0},
        {Q("13:announce_peer",
           ID_ARGUMENT "12:implied_porti1e" HASH_ARGUMENT "4:porti6881e5:token8:aoeusnth"),
         SK_KRPC_QUERY, SK_KRPC_ANNOUNCE_PEER},
        {"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee", SK_KRPC_ERROR, 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++) {
        struct sk_krpc message = read_text(examples[i].text);
        struct sk_buf buf;
        assert_int_equal(message.kind, examples[i].kind);
        expect(message.transaction, "aa");
        assert_int_equal(message.fault, 0);
        if (message.kind == SK_KRPC_QUERY) {
            assert_int_equal(message.method, examples[i].method);
            assert_memory_equal(message.id, ID, 20);
        }
        write_to(&buf, &message);
        expect(sk_buf_bytes(&buf), examples[i].text);
        sk_buf_deinit(&buf);
    }
    struct sk_krpc message = read_text(examples[5].text);
    assert_true(message.implied_port);
    assert_int_equal(message.port, 6881);
    expect(message.token, "aoeusnth");
    message = read_text(examples[6].text);
    assert_true(message.code == 201);
    expect(message.text, "A Generic Error Ocurred");
}

/* Every kind, method and field, at random; then read again. */

struct world {
    struct sk_prng prng;
    uint8_t bytes[4][2048];
    struct sk_endpoint peers[20];
};

static bool coin(struct world *world)
{
    return sk_prng_below(&world->prng, 2);
}

static struct sk_bytes some(struct world *world, size_t max)
{
    return sk_bytes(world->bytes[sk_prng_below(&world->prng, 4)],
                    sk_prng_below(&world->prng, max + 1));
}

static const uint8_t *maybe(struct world *world)
{
    return coin(world) ? world->bytes[sk_prng_below(&world->prng, 4)] : NULL;
}

static struct sk_bytes maybe_some(struct world *world, size_t max)
{
    return coin(world) ? some(world, max) : sk_bytes(NULL, 0);
}

static int64_t number(struct world *world)
{
    static const int64_t edges[] = {0, 1, -1, 9, 10, 4711, INT64_MAX, INT64_MIN};
    return edges[sk_prng_below(&world->prng, SK_ARRAY_LEN(edges))];
}

static struct sk_bytes a_value(struct world *world)
{
    static const char *const values[] = {
        "i-7e", "0:", "12:Hello World!", "le", "d1:ai1e1:ble3:ihv0:e", "ld1:xd1:yleeee"};
    return sk_bytes_text(values[sk_prng_below(&world->prng, SK_ARRAY_LEN(values))]);
}

static void make_query(struct world *world, struct sk_krpc *m)
{
    m->kind = SK_KRPC_QUERY;
    m->method = sk_prng_below(&world->prng, SK_KRPC_METHOD_COUNT);
    m->id = world->bytes[0];
    m->want = (unsigned)sk_prng_below(&world->prng, 4);
    m->no_seed = coin(world);
    m->scrape = coin(world);
    m->seed = coin(world);
    m->has_seq = coin(world);
    m->seq = m->has_seq ? number(world) : 0;
    if (m->method != SK_KRPC_PING && m->method != SK_KRPC_PUT)
        m->target = world->bytes[2];
    if (m->method == SK_KRPC_ANNOUNCE_PEER) {
        m->token = some(world, SK_KRPC_TOKEN_MAX);
        m->implied_port = coin(world);
        m->port = (uint16_t)(1 + sk_prng_below(&world->prng, UINT16_MAX));
    } else if (m->method == SK_KRPC_PUT) {
        m->token = some(world, SK_KRPC_TOKEN_MAX);
        m->value = a_value(world);
        m->salt = maybe_some(world, SK_KRPC_SALT_MAX);
        m->has_cas = coin(world);
        m->cas = m->has_cas ? number(world) : 0;
        if (m->has_seq) {
            m->key = maybe(world);
            m->signature = m->key ? world->bytes[3] : NULL;
        }
    } else if (m->method == SK_KRPC_UNKNOWN) {
        m->fault = SK_KRPC_METHOD;
    }
}

static void make_response(struct world *world, struct sk_krpc *m)
{
    m->kind = SK_KRPC_RESPONSE;
    m->id = world->bytes[1];
    m->token = maybe_some(world, SK_KRPC_TOKEN_MAX);
    m->value = coin(world) ? a_value(world) : sk_bytes(NULL, 0);
    m->key = maybe(world);
    m->signature = maybe(world);
    m->has_seq = coin(world);
    m->seq = m->has_seq ? number(world) : 0;
    m->nodes = coin(world) ? sk_bytes(world->bytes[2], 26 * sk_prng_below(&world->prng, 9))
                           : sk_bytes(NULL, 0);
    m->nodes6 = coin(world) ? sk_bytes(world->bytes[3], 38 * sk_prng_below(&world->prng, 3))
                            : sk_bytes(NULL, 0);
    m->has_values = coin(world);
    m->peers = world->peers;
    m->peers_count = m->has_values ? sk_prng_below(&world->prng, 11) : 0;
    m->filter_seeds = sk_prng_below(&world->prng, 4) ? NULL : world->bytes[0];
    m->filter_peers = sk_prng_below(&world->prng, 4) ? NULL : world->bytes[1];
    m->has_samples = sk_prng_below(&world->prng, 4) == 0;
    if (m->has_samples) {
        m->samples = sk_bytes(world->bytes[1], 20 * sk_prng_below(&world->prng, 5));
        m->interval = (int64_t)sk_prng_below(&world->prng, 21601);
        m->num = coin(world) ? -1 : (int64_t)sk_prng_below(&world->prng, 10000);
    }
}

static void expect_view(struct sk_bytes got, struct sk_bytes wanted)
{
    assert_int_equal(got.n, wanted.n);
    if (got.n)
        assert_memory_equal(got.p, wanted.p, got.n);
    assert_int_equal(!got.p, !wanted.p);
}

static void expect_fixed(const uint8_t *got, const uint8_t *wanted, size_t n)
{
    assert_int_equal(!got, !wanted);
    if (got)
        assert_memory_equal(got, wanted, n);
}

static void expect_peers(const struct sk_krpc *got, const struct sk_krpc *wanted)
{
    struct sk_endpoint peer;
    struct sk_bencode_iter iter = sk_bencode_iter(&got->values);
    assert_int_equal(got->has_values, wanted->has_values);
    for (size_t i = 0; i < wanted->peers_count; i++) {
        if (!wanted->peers[i].port)
            continue; /* passed over */
        assert_true(sk_krpc_next_peer(&iter, &peer));
        assert_true(sk_endpoint_equal(&peer, &wanted->peers[i]));
    }
    assert_false(sk_krpc_next_peer(&iter, &peer));
}

static void expect_same(const struct sk_krpc *got, const struct sk_krpc *wanted)
{
    assert_int_equal(got->kind, wanted->kind);
    expect_view(got->transaction, wanted->transaction);
    expect_view(got->version, wanted->version);
    expect_view(got->ip, wanted->ip);
    assert_int_equal(got->read_only, wanted->read_only);
    expect_fixed(got->id, wanted->id, 20);
    assert_int_equal(got->method, wanted->method);
    expect_fixed(got->target, wanted->target, 20);
    assert_int_equal(got->want, wanted->want);
    assert_true(got->no_seed == wanted->no_seed && got->scrape == wanted->scrape);
    assert_true(got->seed == wanted->seed && got->implied_port == wanted->implied_port);
    assert_int_equal(got->port, wanted->port);
    assert_true(got->has_cas == wanted->has_cas && got->cas == wanted->cas);
    assert_int_equal(got->fault, wanted->fault);
    assert_int_equal(!got->fault_text, !wanted->fault);
    expect_view(got->token, wanted->token);
    expect_view(got->value, wanted->value);
    expect_fixed(got->key, wanted->key, 32);
    expect_fixed(got->signature, wanted->signature, 64);
    expect_view(got->salt, wanted->salt);
    assert_true(got->has_seq == wanted->has_seq && got->seq == wanted->seq);
    expect_view(got->nodes, wanted->nodes);
    expect_view(got->nodes6, wanted->nodes6);
    expect_peers(got, wanted);
    expect_fixed(got->filter_seeds, wanted->filter_seeds, SK_KRPC_FILTER_SIZE);
    expect_fixed(got->filter_peers, wanted->filter_peers, SK_KRPC_FILTER_SIZE);
    assert_int_equal(got->has_samples, wanted->has_samples);
    expect_view(got->samples, wanted->samples);
    assert_true(got->interval == wanted->interval && got->num == wanted->num);
    assert_true(got->code == wanted->code);
    expect_view(got->text, wanted->text);
}

static void fill_world(struct world *world, uint64_t seed)
{
    sk_prng_init(&world->prng, seed);
    sk_prng_bytes(&world->prng, world->bytes, sizeof world->bytes);
    for (size_t i = 0; i < SK_ARRAY_LEN(world->peers); i++) {
        uint16_t port = (uint16_t)(i % 7 ? sk_prng_u64(&world->prng) : 0);
        world->peers[i] = i % 3 ? sk_endpoint_v4(world->bytes[0] + i, port)
                                : sk_endpoint_v6(world->bytes[1] + i, port);
    }
}

static void what_is_written_is_read_again(void **state)
{
    static struct world world;
    fill_world(&world, 1);
    for (int round = 0; round < 20000; round++) {
        struct sk_krpc message = {.interval = -1, .num = -1}, again;
        struct sk_buf buf;
        uint64_t kind = sk_prng_below(&world.prng, 5);
        if (kind < 2)
            make_query(&world, &message);
        else if (kind < 4)
            make_response(&world, &message);
        else
            message = (struct sk_krpc){.kind = SK_KRPC_ERROR,
                                       .code = 1 + (int64_t)sk_prng_below(&world.prng, 400),
                                       .text = some(&world, 40),
                                       .interval = -1,
                                       .num = -1};
        message.transaction = some(&world, SK_KRPC_TRANSACTION_MAX);
        message.version = maybe_some(&world, 4);
        message.ip =
            coin(&world) ? sk_bytes(world.bytes[3], coin(&world) ? 6 : 18) : sk_bytes(NULL, 0);
        message.read_only = coin(&world);
        write_to(&buf, &message);
        assert_int_equal(sk_krpc_read(sk_buf_bytes(&buf), &again), 0);
        expect_same(&again, &message);
        sk_buf_deinit(&buf);
    }
}

#define PUT(arguments) Q("3:put", "2:id20:" ID arguments)
#define K "1:k32:aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb"
#define SIG "3:sig64:aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb"

/* What is wrong with a query does not lose its transaction. */
static void faults_of_queries(void **state)
{
    static const struct {
        const char *text;
        int fault;
    } cases[] = {
        {"d1:q4:ping1:t2:aa1:y1:qe", SK_KRPC_PROTOCOL},
        {"d1:a0:1:q4:ping1:t2:aa1:y1:qe", SK_KRPC_PROTOCOL},
        {"d1:al2:id20:" ID "e1:q4:ping1:t2:aa1:y1:qe", SK_KRPC_PROTOCOL},
        {Q("4:ping", ""), SK_KRPC_PROTOCOL},
        {Q("4:ping", "2:idi20e"), SK_KRPC_PROTOCOL},
        {Q("4:ping", "2:id19:abcdefghij012345678"), SK_KRPC_PROTOCOL},
        {Q("4:ping", "2:id21:abcdefghij0123456789x"), SK_KRPC_PROTOCOL},
        {Q("4:ping", "2:id0:2:id20:" ID), SK_KRPC_PROTOCOL}, /* the first counts */
        {"d1:ad2:id20:" ID "e1:t2:aa1:y1:qe", SK_KRPC_PROTOCOL},
        {"d1:ad2:id20:" ID "e1:qi4e1:t2:aa1:y1:qe", SK_KRPC_PROTOCOL},
        {Q("0:", ID_ARGUMENT), SK_KRPC_METHOD},
        {Q("4:pong", ID_ARGUMENT), SK_KRPC_METHOD},
        {Q("4:PING", ID_ARGUMENT), SK_KRPC_METHOD},
        {Q("4:vote", ""), SK_KRPC_PROTOCOL},
        {Q("9:find_node", ID_ARGUMENT), SK_KRPC_PROTOCOL},
        {Q("9:find_node", ID_ARGUMENT HASH_ARGUMENT), SK_KRPC_PROTOCOL},
        {Q("9:find_node", ID_ARGUMENT "6:target19:mnopqrstuvwxyz12345"), SK_KRPC_PROTOCOL},
        {Q("9:get_peers", ID_ARGUMENT TARGET_ARGUMENT), SK_KRPC_PROTOCOL},
        {Q("9:get_peers", ID_ARGUMENT "9:info_hash32:mnopqrstuvwxyz123456mnopqrstuvwx"),
         SK_KRPC_PROTOCOL},
        {Q("3:get", ID_ARGUMENT), SK_KRPC_PROTOCOL},
        {Q("17:sample_infohashes", ID_ARGUMENT), SK_KRPC_PROTOCOL},
        {Q("13:announce_peer", ID_ARGUMENT HASH_ARGUMENT "4:porti1e"), SK_KRPC_PROTOCOL},
        {Q("13:announce_peer", ID_ARGUMENT HASH_ARGUMENT "4:porti1e5:tokeni7e"), SK_KRPC_PROTOCOL},
        {Q("13:announce_peer", ID_ARGUMENT HASH_ARGUMENT
           "4:porti1e5:token65:"
           "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbc"),
         SK_KRPC_PROTOCOL},
        {Q("13:announce_peer", ID_ARGUMENT HASH_ARGUMENT "5:token1:x"), SK_KRPC_PROTOCOL},
        {Q("13:announce_peer", ID_ARGUMENT HASH_ARGUMENT "4:porti0e5:token1:x"), SK_KRPC_PROTOCOL},
        {Q("13:announce_peer", ID_ARGUMENT HASH_ARGUMENT "4:porti-1e5:token1:x"), SK_KRPC_PROTOCOL},
        {Q("13:announce_peer", ID_ARGUMENT HASH_ARGUMENT "4:porti65536e5:token1:x"),
         SK_KRPC_PROTOCOL},
        {Q("13:announce_peer",
           ID_ARGUMENT "12:implied_porti0e" HASH_ARGUMENT "4:porti0e5:token1:x"),
         SK_KRPC_PROTOCOL},
        {Q("13:announce_peer",
           ID_ARGUMENT "12:implied_porti1e" HASH_ARGUMENT "4:porti0e5:token1:x"),
         0},
        {Q("13:announce_peer", ID_ARGUMENT "12:implied_porti1e" HASH_ARGUMENT "5:token1:x"), 0},
        {PUT("1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT("5:token1:t"), SK_KRPC_PROTOCOL},
        {PUT("5:token1:t1:vd1:bi1e1:ai2ee"), SK_KRPC_PROTOCOL}, /* unsorted: cannot be signed */
        {PUT("5:token1:t1:vld1:ai1e1:ai2eee"), SK_KRPC_PROTOCOL},
        {PUT(K "5:token1:t1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT(K SIG "5:token1:t1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT(K "3:seqi1e5:token1:t1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT(K "3:seq1:1" SIG "5:token1:t1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT("3:seqi1e" SIG "5:token1:t1:v1:x"), SK_KRPC_PROTOCOL}, /* lost its key */
        {PUT("1:k31:aaaaaaaaaaaaaaaabbbbbbbbbbbbbbb3:seqi1e" SIG "5:token1:t1:v1:x"),
         SK_KRPC_PROTOCOL},
        {PUT("1:ki1e5:token1:t1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT(K "4:salti1e3:seqi1e" SIG "5:token1:t1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT("3:cas1:1" K "3:seqi1e" SIG "5:token1:t1:v1:x"), SK_KRPC_PROTOCOL},
        {PUT(K "4:salt65:aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbc"
               "3:seqi1e" SIG "5:token1:t1:v1:x"),
         SK_KRPC_SALT},
        {PUT(K "4:salt64:aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb"
               "3:seqi1e" SIG "5:token1:t1:v1:x"),
         0},
        {PUT(K "3:seqi-1e" SIG "5:token1:t1:v1:x"), 0}, /* the store's business */
        {PUT("5:token1:t1:vd1:ai2e1:bi1ee"), 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_krpc message = read_text(cases[i].text);
        if ((int)message.fault != cases[i].fault || !message.fault != !message.fault_text)
            fail_msg("%s: %d", cases[i].text, message.fault);
        assert_int_equal(message.kind, SK_KRPC_QUERY);
        expect(message.transaction, "aa");
    }
}

/* Values at their bound, in puts and in answers. */
static void values_too_large(void **state)
{
    for (int over = 0; over < 2; over++) {
        char text[2000], value[1100];
        int n = snprintf(value, sizeof value, "%d:%0*d", 996 + over, 996 + over, 0);
        assert_int_equal(n, SK_KRPC_ITEM_MAX + over);
        snprintf(text, sizeof text, "d1:ad2:id20:" ID "5:token1:t1:v%se1:q3:put1:t2:aa1:y1:qe",
                 value);
        struct sk_krpc message = read_text(text);
        assert_int_equal(message.fault, over ? SK_KRPC_TOO_BIG : 0);
        assert_int_equal(message.value.n, over ? 0 : SK_KRPC_ITEM_MAX);
        snprintf(text, sizeof text, "d1:rd2:id20:" ID "1:v%se1:t2:aa1:y1:re", value);
        message = read_text(text);
        assert_int_equal(message.value.n, over ? 0 : SK_KRPC_ITEM_MAX);
    }
}

/* Unsorted, with keys that nobody knows, and with what others put at the top. */
static void what_deployed_nodes_send(void **state)
{
    struct sk_krpc m = read_text("d1:y1:q1:t0:1:q9:get_peers2:roi1e1:v4:LT\x01\x02"
                                 "2:ip6:abcdef"
                                 "1:x1:y1:ad4:wantl2:n62:n82:n4i4ele1:xe6:scrapei2e6:noseedi0e"
                                 "4:seedl1:xe" HASH_ARGUMENT "2:id20:" ID "0:0:3:bar0:ee");
    assert_int_equal(m.fault, 0);
    assert_true(m.transaction.p && m.transaction.n == 0);
    expect(m.version, "LT\x01\x02");
    expect(m.ip, "abcdef");
    assert_true(m.read_only && m.scrape && !m.no_seed && !m.seed);
    assert_int_equal(m.want, SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6);
    assert_memory_equal(m.target, TARGET, 20);

    m = read_text("d1:q4:ping2:ip4:abcd2:ro1:x1:vi4e1:t2:aa1:y1:q1:ad" ID_ARGUMENT "4:want2:n4ee");
    assert_int_equal(m.fault, 0);
    assert_true(!m.ip.p && !m.version.p && !m.read_only && !m.want);

    /* Of equal keys the first counts. */
    m = read_text("d1:ad" ID_ARGUMENT "2:id20:" TARGET
                  "e1:q4:ping1:q3:put1:t2:aa1:t2:bb1:y1:q1:y1:re");
    assert_true(m.kind == SK_KRPC_QUERY && m.method == SK_KRPC_PING && !m.fault);
    assert_memory_equal(m.id, ID, 20);
    expect(m.transaction, "aa");

    /* Unknown methods with a target are answered as find_node by some. */
    m = read_text(Q("4:find", ID_ARGUMENT TARGET_ARGUMENT));
    assert_int_equal(m.fault, SK_KRPC_METHOD);
    assert_memory_equal(m.target, TARGET, 20);
    m = read_text(Q("4:find", ID_ARGUMENT "9:info_hash20:" ID TARGET_ARGUMENT));
    assert_memory_equal(m.target, TARGET, 20);
    m = read_text(Q("4:find", ID_ARGUMENT HASH_ARGUMENT));
    assert_memory_equal(m.target, TARGET, 20);
    m = read_text(Q("9:get_peers", ID_ARGUMENT "9:info_hash20:" ID TARGET_ARGUMENT));
    assert_memory_equal(m.target, ID, 20);
}

/* A field of a wrong type or size in an answer is a field less. */
static void answers_with_wrong_fields(void **state)
{
    struct sk_krpc m =
        read_text(R("4:BFpe255:" /* 255 bytes follow */
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    "4:BFsdi1e" ID_ARGUMENT "8:intervali-1e1:k1:x5:nodesi7e6:nodes6l2:abe3:num1:x"
                    "7:samplesde3:seq1:x3:sigle5:tokende1:vd1:b0:1:a0:e6:values6:abcdef"));
    assert_true(!m.filter_peers && !m.filter_seeds && !m.key && !m.signature);
    assert_true(!m.nodes.p && !m.nodes6.p && !m.samples.p && !m.token.p && !m.value.p);
    assert_true(!m.has_seq && !m.has_values && !m.has_samples);
    assert_true(m.interval == -1 && m.num == -1);
    assert_memory_equal(m.id, ID, 20);

    /* Entries that are not whole, and query fields that have no business here. */
    m = read_text(R(ID_ARGUMENT "5:nodes27:" ID "abcdefg6:nodes637:" ID "abcdefghijklmnopq"
                                "4:porti1e7:samples21:" ID "x6:target20:" TARGET));
    assert_int_equal(m.nodes.n, 26);
    assert_int_equal(m.nodes6.n, 0);
    assert_true(m.has_samples && m.samples.n == 20 && m.num == -1);
    assert_true(!m.target && !m.port);
}

static void errors_in_every_form(void **state)
{
    static const struct {
        const char *e;
        int64_t code;
        const char *text;
    } cases[] = {
        {"1:eli203e3:bade", 203, "bad"},
        {"1:el3:badi203ee", 203, "bad"},
        {"1:eli203ee", 203, NULL},
        {"1:el3:bade", 201, "bad"},
        {"1:ele", 201, NULL},
        {"1:eli0e3:bade", 201, "bad"},
        {"1:eli-5e0:e", -5, ""},
        {"1:eli203e1:a1:bi7ee", 203, "a"},
        {"1:ed4:codei203e3:msg3:bade", 203, "bad"},
        {"1:ed3:msg3:bade", 201, "bad"},
        {"1:e3:bad", 201, "bad"},
        {"1:ei204e", 204, NULL},
        {"", 201, NULL},
        {"1:el0:li7ee1:xe", 201, ""},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "d%s1:rd2:id20:%se1:t2:aa1:y1:ee", cases[i].e, ID);
        struct sk_krpc m = read_text(text);
        assert_int_equal(m.kind, SK_KRPC_ERROR);
        expect(m.transaction, "aa");
        assert_null(m.id);
        if (m.code != cases[i].code || !m.text.p != !cases[i].text)
            fail_msg("%s", text);
        if (cases[i].text)
            expect(m.text, cases[i].text);
    }
}

static void what_is_no_message(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "i1e",
        "le",
        "de",
        "l1:t2:aae",
        "d1:t2:aa1:y1:qe1:y1:qe", /* bytes that follow */
        "d1:t2:aae",
        "d1:y1:qe",
        "d1:ti5e1:y1:qe",
        "d1:t2:aa1:y2:qqe",
        "d1:t2:aa1:y1:xe",
        "d1:t2:aa1:yi1ee",
        "d1:t2:aa1:y0:e",
        "d1:rde1:t2:aa1:y1:re",
        "d1:rd2:id19:abcdefghij012345678e1:t2:aa1:y1:re",
        "d1:r0:1:t2:aa1:y1:re",
        "d1:t2:aa1:y1:re",
        "d1:t02:aa1:y1:ee",
        "d1:t-2:aa1:y1:ee",
        "d1:t99999999999999999999:aa1:y1:ee",
        "d1:t18446744073709551615:aa1:y1:ee",
        "d1:t2:aa1:vi01e1:y1:ee",
        "d1:t2:aa1:vi9223372036854775808e1:y1:ee",
    };
    struct sk_krpc message;
    memset(&message, 7, sizeof message);
    struct sk_krpc before = message;
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++)
        if (sk_krpc_read(sk_bytes_text(bad[i]), &message) != SKEP_ERR_MALFORMED)
            fail_msg("%s", bad[i]);
    assert_int_equal(sk_krpc_read(sk_bytes(NULL, 0), &message), SKEP_ERR_MALFORMED);
    char text[200];
    snprintf(text, sizeof text, "d1:t33:%033d1:y1:ee", 1);
    assert_int_equal(sk_krpc_read(sk_bytes_text(text), &message), SKEP_ERR_LIMIT);
    assert_memory_equal(&message, &before, sizeof before);
    snprintf(text, sizeof text, "d1:t32:%032d1:y1:ee", 1);
    assert_int_equal(read_text(text).transaction.n, SK_KRPC_TRANSACTION_MAX);
}

/* Deep nesting, anywhere: within the bound it is passed over, beyond it is no message. */
static void nesting(void **state)
{
    static const struct {
        int depth;
        int err;
    } cases[] = {{SK_BENCODE_DEPTH_MAX - 2, 0},
                 {SK_BENCODE_DEPTH_MAX - 1, SKEP_ERR_MALFORMED},
                 {20000, SKEP_ERR_MALFORMED}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_krpc message;
        struct sk_buf buf;
        sk_buf_init(&buf, 65536);
        sk_buf_text(&buf, "d1:ad2:id20:" ID "1:x");
        for (int d = 0; d < cases[i].depth; d++)
            sk_buf_text(&buf, "l");
        for (int d = 0; d < cases[i].depth; d++)
            sk_buf_text(&buf, "e");
        sk_buf_text(&buf, "e1:q4:ping1:t2:aa1:y1:qe");
        assert_int_equal(sk_krpc_read(sk_buf_bytes(&buf), &message), cases[i].err);
        sk_buf_deinit(&buf);
    }
}

/* Each beginning of a message, and each message with a byte changed, in memory of just its size. */
static void read_copy(struct sk_bytes bytes, bool whole)
{
    struct sk_krpc message;
    uint8_t *copy = malloc(bytes.n ? bytes.n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.p, bytes.n);
    int err = sk_krpc_read(sk_bytes(copy, bytes.n), &message);
    if (whole && err == 0) {
        struct sk_endpoint peer;
        struct sk_dht_contact contacts[8];
        struct sk_bencode_iter iter = sk_bencode_iter(&message.values);
        while (sk_krpc_next_peer(&iter, &peer))
            assert_true(peer.port);
        assert_true(sk_krpc_read_nodes(message.nodes, SK_FAMILY_V4, contacts, 8) <= 8);
    }
    if (!whole)
        assert_int_equal(err, SKEP_ERR_MALFORMED);
    free(copy);
}

static void damaged_messages(void **state)
{
    static const char *const texts[] = {
        Q("13:announce_peer",
          ID_ARGUMENT "12:implied_porti1e" HASH_ARGUMENT "4:porti6881e5:token8:aoeusnth"),
        PUT("3:casi1e" K "4:salt1:s3:seqi1e" SIG "5:token1:t1:vd1:ai1ee"),
        R(ID_ARGUMENT "5:nodes26:" ID "abcdef5:token1:t1:v3:abc6:valuesl6:axje.u6:idhtnme"),
        "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(texts); i++) {
        size_t n = strlen(texts[i]);
        char text[600];
        read_text(texts[i]);
        for (size_t cut = 0; cut < n; cut++)
            read_copy(sk_bytes(texts[i], cut), false);
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                memcpy(text, texts[i], n);
                text[at] = (char)c;
                read_copy(sk_bytes(text, n), true);
            }
    }
}

static void peers_of_answers(void **state)
{
    struct sk_endpoint peer;
    char text[SK_ENDPOINT_TEXT_MAX];
    static const char mapped[] = R(ID_ARGUMENT "6:valuesl6:axje.u0:5:axje.i5ele6:\0\0\0\0\0\0"
                                               "18:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x1a\xe1"
                                               "18:\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4\0\1"
                                               "12:axje.uidhtnm6:idhtnme");
    struct sk_krpc m;
    assert_int_equal(sk_krpc_read(sk_bytes(mapped, sizeof mapped - 1), &m), 0);
    struct sk_bencode_iter iter = sk_bencode_iter(&m.values);
    static const char *const wanted[] = {"97.120.106.101:11893", "[2001:db8::1]:6881", "1.2.3.4:1",
                                         "105.100.104.116:28269"};
    for (size_t i = 0; i < SK_ARRAY_LEN(wanted); i++) {
        assert_true(sk_krpc_next_peer(&iter, &peer));
        assert_string_equal(sk_endpoint_text(&peer, text), wanted[i]);
    }
    assert_false(sk_krpc_next_peer(&iter, &peer));
    m = read_text(R(ID_ARGUMENT "6:valuesle"));
    assert_true(m.has_values);
    iter = sk_bencode_iter(&m.values);
    assert_false(sk_krpc_next_peer(&iter, &peer));
    m = read_text(R(ID_ARGUMENT)); /* none said: nothing to walk */
    iter = sk_bencode_iter(&m.values);
    assert_false(m.has_values || sk_krpc_next_peer(&iter, &peer));
}

static void nodes_are_compact(void **state)
{
    static struct world world;
    struct sk_dht_contact in[10], out[10];
    uint8_t bytes[10 * 38];
    fill_world(&world, 2);
    for (int v6 = 0; v6 < 2; v6++) {
        size_t n = 0;
        for (size_t i = 0; i < 10; i++) {
            memcpy(in[i].id, world.bytes[2] + 20 * i, 20);
            in[i].endpoint = v6 ? sk_endpoint_v6(world.bytes[0] + i, (uint16_t)(i + 1))
                                : sk_endpoint_v4(world.bytes[0] + i, (uint16_t)(i + 1));
            size_t size = sk_krpc_write_node(&in[i], bytes + n);
            assert_int_equal(size, v6 ? 38 : 26);
            n += size;
        }
        enum sk_family family = v6 ? SK_FAMILY_V6 : SK_FAMILY_V4;
        assert_int_equal(sk_krpc_read_nodes(sk_bytes(bytes, n), family, out, 10), 10);
        assert_memory_equal(in, out, sizeof in);
        assert_int_equal(sk_krpc_read_nodes(sk_bytes(bytes, n), family, out, 3), 3);
        assert_int_equal(sk_krpc_read_nodes(sk_bytes(bytes, n - 1), family, out, 10), 9);
        sk_put_u16(bytes + (v6 ? 36 : 24), 0); /* no port */
        assert_int_equal(sk_krpc_read_nodes(sk_bytes(bytes, n), family, out, 10), 9);
        assert_memory_equal(out[0].id, in[1].id, 20);
    }
    memset(bytes + 20, 0, 10); /* an IPv4 address dressed up as IPv6 */
    memset(bytes + 30, 0xff, 2);
    sk_put_u16(bytes + 36, 1);
    assert_int_equal(sk_krpc_read_nodes(sk_bytes(bytes, 38), SK_FAMILY_V6, out, 10), 0);
    assert_int_equal(sk_krpc_read_nodes(sk_bytes(NULL, 0), SK_FAMILY_V6, out, 10), 0);
}

static void writing_has_bounds(void **state)
{
    struct sk_krpc message = {.kind = SK_KRPC_RESPONSE,
                              .transaction = sk_bytes_text("aa"),
                              .id = (const uint8_t *)ID,
                              .interval = -1,
                              .num = -1};
    static const uint8_t nodes[SK_KRPC_DATAGRAM_MAX];
    struct sk_buf buf;
    write_to(&buf, &message);
    size_t n = buf.n;
    sk_buf_deinit(&buf);

    sk_buf_init(&buf, n); /* just enough */
    assert_int_equal(sk_krpc_write(&buf, &message), 0);
    assert_int_equal(sk_krpc_write(&buf, &message), SKEP_ERR_LIMIT); /* full */
    assert_int_equal(buf.n, n);
    sk_buf_deinit(&buf);
    sk_buf_init(&buf, n - 1);
    assert_int_equal(sk_krpc_write(&buf, &message), SKEP_ERR_LIMIT);
    assert_true(buf.n == 0 && buf.max == n - 1);
    sk_buf_deinit(&buf);

    /* A datagram is never larger than one can be. "5:nodes" and "1430:" are 12 bytes. */
    sk_buf_init(&buf, 1 << 20);
    message.nodes = sk_bytes(nodes, SK_KRPC_DATAGRAM_MAX - n - 12);
    assert_int_equal(sk_krpc_write(&buf, &message), 0);
    assert_int_equal(buf.n, SK_KRPC_DATAGRAM_MAX);
    message.nodes.n++;
    buf.n = 0;
    assert_int_equal(sk_krpc_write(&buf, &message), SKEP_ERR_LIMIT);
    message.nodes.p = NULL;
    buf.failed = false;
    sk_mem_fail_nth(1); /* there is room: no allocation that could fail */
    assert_int_equal(sk_krpc_write(&buf, &message), 0);
    assert_int_equal(sk_mem_fail_nth(0), 0);
    sk_buf_deinit(&buf);
    sk_mem_fail_nth(1);
    assert_int_equal(sk_krpc_write(&buf, &message), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(0);
    assert_int_equal(buf.n, 0);
    sk_buf_deinit(&buf);
}

static void methods_have_names(void **state)
{
    static const char *const names[SK_KRPC_METHOD_COUNT] = {
        "ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes", "?"};
    for (int i = 0; i < SK_KRPC_METHOD_COUNT; i++)
        assert_string_equal(sk_krpc_method_name((enum sk_krpc_method)i), names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_specification),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(faults_of_queries),
        cmocka_unit_test(values_too_large),
        cmocka_unit_test(what_deployed_nodes_send),
        cmocka_unit_test(answers_with_wrong_fields),
        cmocka_unit_test(errors_in_every_form),
        cmocka_unit_test(what_is_no_message),
        cmocka_unit_test(nesting),
        cmocka_unit_test(damaged_messages),
        cmocka_unit_test(peers_of_answers),
        cmocka_unit_test(nodes_are_compact),
        cmocka_unit_test(writing_has_bounds),
        cmocka_unit_test(methods_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
