/*
 * Each allocation of an operation fails in turn: the operation says so, changes nothing and leaks
 * nothing (LeakSanitizer looks), and works again afterwards. A new operation is a new line in
 * `operations`.
 */
#include <skep/err.h>

#include "base/assert.h"
#include "base/bitfield.h"
#include "base/crypt.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/tracker/responder.h"
#include "proto/tracker/tracker.h"
#include "wire/extension.h"
#include "wire/lsd.h"
#include "wire/magnet.h"
#include "wire/merkle.h"
#include "wire/metainfo.h"
#include "wire/peer_message.h"
#include "wire/tracker_http.h"
#include "wire/tracker_udp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define ALLOCATIONS_MAX 10000

static struct sk_bytes load(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("SKEP_TEST_DATA"), name);
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(65536);
    SK_ASSERT(file && bytes);
    size_t n = fread(bytes, 1, 65536, file);
    fclose(file);
    return sk_bytes(bytes, n);
}

/* What the operations work on, made before allocations begin to fail. */
static struct {
    struct sk_bytes hybrid, v2, v1;
    struct sk_metainfo *v2_full;
} given;

static int set_up(void **state)
{
    given.hybrid = load("hybrid-multi.torrent");
    given.v2 = load("v2-multi.torrent");
    given.v1 = load("v1-multi.torrent");
    return sk_metainfo_parse(given.v2, &given.v2_full, NULL);
}

static int tear_down(void **state)
{
    free((void *)given.hybrid.p);
    free((void *)given.v2.p);
    free((void *)given.v1.p);
    sk_metainfo_free(given.v2_full);
    return 0;
}

/*
 * An operation returns SKEP_ERR_NOMEM where an allocation failed, else 0. It checks by itself that
 * what it was working on is as before when it failed.
 */

static int parse_torrent(struct sk_bytes bytes)
{
    struct sk_metainfo *m = NULL;
    const char *reason = NULL;
    int err = sk_metainfo_parse(bytes, &m, &reason);
    SK_ASSERT((m == NULL) == (err != 0));
    SK_ASSERT(err == 0 || strcmp(reason, "out of memory") == 0);
    sk_metainfo_free(m);
    return err;
}

static int parse_v1(void)
{
    return parse_torrent(given.v1);
}

static int parse_v2(void)
{
    return parse_torrent(given.v2);
}

static int parse_hybrid(void)
{
    return parse_torrent(given.hybrid);
}

/* Names that must be told apart, and enough of them for every table to grow. */
static int parse_equal_names(void)
{
    static struct sk_buf buf;
    struct sk_metainfo *m = NULL;
    if (!buf.n) {
        uint8_t *memory = malloc(1 << 16);
        SK_ASSERT(memory);
        static const char end[] =
            "e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        buf = (struct sk_buf){.p = memory, .cap = 1 << 16, .max = 1 << 16};
        sk_buf_text(&buf, "d5:filesl");
        for (int i = 0; i < 300; i++)
            sk_buf_printf(&buf, "d6:lengthi1e4:pathl3:%03d1:%cee", i / 9, i % 2 ? 'n' : 'N');
        sk_buf_text(&buf, end);
    }
    int err = sk_metainfo_parse_info(sk_buf_bytes(&buf), &m, NULL);
    SK_ASSERT((m == NULL) == (err != 0));
    sk_metainfo_free(m);
    return err;
}

static int set_layer(void)
{
    struct sk_metainfo *m = NULL;
    int err = sk_metainfo_parse_info(given.v2_full->info, &m, NULL);
    if (err)
        return err;
    err = sk_metainfo_set_layer(m, 0, given.v2_full->files[0].layer);
    SK_ASSERT((m->files[0].layer.n == 0) == (err != 0));
    sk_metainfo_free(m);
    return err;
}

static int verify_v2_piece(void)
{
    static const uint8_t zeros[16384];
    int result = sk_metainfo_verify_piece(given.v2_full, 0, sk_bytes(zeros, sizeof zeros));
    return result == 1 ? SKEP_ERR_MISMATCH : result;
}

static int parse_magnet(void)
{
    static const char uri[] =
        "magnet:?xt=urn:btih:c3088c236ba01f5f9760bee91b53082e184db542&dn=a+b&tr=http://a/&tr=http:/"
        "/"
        "b/&tr=http://c/&ws=http://d/&xs=http://e/&x.pe=1.2.3.4:5&x.pe=h:6&so=1,5-6&so=9";
    struct sk_magnet *magnet = NULL;
    int err = sk_magnet_parse(uri, &magnet, NULL);
    SK_ASSERT((magnet == NULL) == (err != 0));
    sk_magnet_free(magnet);
    return err;
}

static int magnet_from_hash(void)
{
    struct sk_magnet *magnet = NULL;
    int err = sk_magnet_from_hash("c3088c236ba01f5f9760bee91b53082e184db542", &magnet);
    SK_ASSERT((magnet == NULL) == (err != 0));
    sk_magnet_free(magnet);
    return err;
}

static int grow_map(void)
{
    struct sk_map map;
    int err = 0;
    sk_map_init(&map, sizeof(uint32_t), 1000, 1);
    for (uint32_t key = 0; !err && key < 500; key++) {
        size_t before = map.count;
        err = sk_map_put(&map, &key, &map);
        SK_ASSERT(map.count == before + (err == 0));
        SK_ASSERT((sk_map_get(&map, &key) != NULL) == (err == 0));
    }
    for (uint32_t key = 0; key < map.count; key++)
        SK_ASSERT(sk_map_get(&map, &key) == &map);
    sk_map_deinit(&map);
    return err;
}

static int grow_heap(void)
{
    struct sk_heap heap = {0};
    struct sk_timer timers[100] = {0};
    int err = 0;
    for (size_t i = 0; !err && i < SK_ARRAY_LEN(timers); i++) {
        err = sk_heap_set(&heap, &timers[i], 1000 - i);
        SK_ASSERT(heap.count == i + (err == 0));
        SK_ASSERT((timers[i].slot != 0) == (err == 0));
    }
    sk_heap_deinit(&heap);
    return err;
}

static int grow_buffer(void)
{
    struct sk_buf buf;
    int err = 0;
    sk_buf_init(&buf, 10000);
    for (int i = 0; !err && i < 200; i++) {
        size_t before = buf.n;
        err = i % 2 ? sk_buf_append(&buf, "0123456789", 10) : sk_buf_printf(&buf, "%d", 12345);
        SK_ASSERT(buf.failed == (err != 0));
        SK_ASSERT(!err || buf.n == before);
    }
    sk_buf_deinit(&buf);
    return err;
}

static int make_bitfield(void)
{
    struct sk_bitfield field = {0};
    int err = sk_bitfield_init(&field, 100);
    SK_ASSERT((field.bits == NULL) == (err != 0));
    sk_bitfield_deinit(&field);
    return err;
}

static int make_hasher(void)
{
    struct sk_hasher *hasher = sk_hasher_new(SK_HASH_SHA256);
    sk_hasher_free(hasher);
    return hasher ? 0 : SKEP_ERR_NOMEM;
}

static int make_rc4(void)
{
    static const uint8_t key[20] = {1};
    struct sk_rc4 *rc4 = NULL;
    int err = sk_rc4_new(key, &rc4);
    SK_ASSERT((rc4 == NULL) == (err != 0));
    sk_rc4_free(rc4);
    return err;
}

/* A message that was not written whole has left nothing behind. */
static int check_written(struct sk_buf *buf, int err)
{
    SK_ASSERT((buf->n == 0) == (err != 0));
    SK_ASSERT(buf->failed == (err != 0));
    sk_buf_deinit(buf);
    return err;
}

static int write_peer_message(void)
{
    const struct sk_msg piece = {.kind = SK_MSG_PIECE, .data = given.v1};
    struct sk_buf buf;
    sk_buf_init(&buf, 1u << 20);
    return check_written(&buf, sk_msg_write(&buf, &piece));
}

static int write_extension_handshake(void)
{
    const struct sk_extension_handshake handshake = {.client = sk_bytes_text("skep")};
    struct sk_buf buf;
    sk_buf_init(&buf, 1u << 20);
    return check_written(&buf, sk_extension_handshake_write(&buf, &handshake));
}

static int write_metadata(void)
{
    const struct sk_metadata_message message = {.kind = SK_METADATA_DATA, .data = given.v1};
    struct sk_buf buf;
    sk_buf_init(&buf, 1u << 20);
    return check_written(&buf, sk_metadata_message_write(&buf, &message));
}

static int write_pex(void)
{
    static const struct sk_pex_peer peers[50] = {{.endpoint = {.family = SK_FAMILY_V4}}};
    struct sk_buf buf;
    sk_buf_init(&buf, 1u << 20);
    return check_written(&buf, sk_pex_write(&buf, peers, SK_ARRAY_LEN(peers)));
}

#define TRACKER_ANSWER                                                                             \
    "d8:intervali9e5:peersld2:ip9:127.0.0.14:porti1eee6:peers618:aaaaaaaaaaaaaaaaaae"

/* Trackers' messages are not withdrawn when they fail: the buffer says that they are not whole. */
static int write_lsd(void)
{
    const struct sk_lsd lsd = {.port = 1, .hashes_count = SK_LSD_HASHES_MAX, .cookie = "c"};
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    int err = sk_lsd_write(&buf, SK_FAMILY_V4, &lsd);
    SK_ASSERT(buf.failed == (err != 0));
    sk_buf_deinit(&buf);
    return err;
}

static int write_tracker_urls(void)
{
    const struct sk_tracker_announce announce = {.port = 1};
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    int err = sk_tracker_http_announce_url(&buf, "http://t/announce", &announce);
    if (!err)
        err = sk_tracker_http_scrape_url(&buf, "http://t/announce?a", announce.info_hash);
    sk_buf_deinit(&buf);
    return err;
}

static int read_tracker_answers(void)
{
    struct sk_announce_answer answer = {.interval_s = 77};
    int err = sk_tracker_http_read_announce(sk_bytes_text(TRACKER_ANSWER), &answer);
    if (!err) {
        sk_announce_answer_deinit(&answer);
        answer.interval_s = 77;
        err = sk_tracker_udp_read_announce(sk_bytes_text(TRACKER_ANSWER), SK_FAMILY_V4, &answer);
    }
    SK_ASSERT((answer.interval_s == 77) == (err != 0));
    if (!err)
        sk_announce_answer_deinit(&answer);
    return err;
}

/* A whole conversation; what fails on the way comes out as a result. */
static int ask_tracker(const char *url)
{
    struct sk_prng prng = {{1}};
    struct sk_tracker_config config = {.url = url, .prng = &prng};
    struct sk_tracker *tracker = NULL;
    struct sk_tracker_out out;
    int err = sk_tracker_new(&config, &tracker);
    SK_ASSERT((tracker == NULL) == (err != 0));
    if (err)
        return err;
    sk_tracker_tick(tracker, 1);
    while (sk_tracker_next_output(tracker, &out)) {
        if (out.kind == SK_TRACKER_OUT_RESULT)
            err = out.result->failure == SK_TRACKER_NOMEM ? SKEP_ERR_NOMEM : 0;
        else if (out.kind == SK_TRACKER_OUT_HTTP_GET)
            sk_tracker_input_http(tracker, out.request, 200, sk_bytes_text(TRACKER_ANSWER), 2);
    }
    sk_tracker_free(tracker);
    return err;
}

static int ask_http_tracker(void)
{
    return ask_tracker("http://t/announce");
}

static int ask_udp_tracker(void)
{
    return ask_tracker("udp://127.0.0.1:1/announce");
}

static int serve_as_tracker(void)
{
    struct sk_responder_config config = {0};
    struct sk_responder *responder = NULL;
    struct sk_endpoint from = {.addr = {127, 0, 0, 1}, .family = SK_FAMILY_V4};
    struct sk_heard heard;
    struct sk_buf buf;
    int err = sk_responder_new(&config, &responder);
    SK_ASSERT((responder == NULL) == (err != 0));
    if (err)
        return err;
    sk_buf_init(&buf, SK_RESPONDER_HTTP_MAX);
    for (int i = 0; i < 40 && !err; i++) { /* so that the tables grow */
        static const char format[] = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id="
                                     "aaaaaaaaaaaaaaaaaaaa&port=%d";
        char target[128];
        snprintf(target, sizeof target, format, i + 1);
        buf.n = 0;
        unsigned status =
            sk_responder_http(responder, sk_bytes_text(target), &from, 1, &buf, &heard);
        err = status == 500 || !heard.announced ? SKEP_ERR_NOMEM : 0;
    }
    sk_buf_deinit(&buf);
    sk_responder_free(responder);
    return err;
}

static const struct {
    const char *name;
    int (*run)(void);
} operations[] = {
    {"parse a v1 torrent", parse_v1},
    {"parse a v2 torrent", parse_v2},
    {"parse a hybrid torrent", parse_hybrid},
    {"parse equal names", parse_equal_names},
    {"set a piece layer", set_layer},
    {"verify a v2 piece", verify_v2_piece},
    {"parse a magnet", parse_magnet},
    {"make a magnet of a hash", magnet_from_hash},
    {"grow a map", grow_map},
    {"grow a heap", grow_heap},
    {"grow a buffer", grow_buffer},
    {"make a bitfield", make_bitfield},
    {"make a hasher", make_hasher},
    {"make an rc4 stream", make_rc4},
    {"write a peer message", write_peer_message},
    {"write an extension handshake", write_extension_handshake},
    {"write a metadata message", write_metadata},
    {"write a PEX message", write_pex},
    {"write local service discovery", write_lsd},
    {"write a tracker's addresses", write_tracker_urls},
    {"read a tracker's answers", read_tracker_answers},
    {"ask an HTTP tracker", ask_http_tracker},
    {"ask a UDP tracker", ask_udp_tracker},
    {"serve as a tracker", serve_as_tracker},
};

static void every_allocation_fails_in_turn(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(operations); i++) {
        size_t nth = 1;
        assert_int_equal(operations[i].run(), 0); /* whatever is made once in a process */
        for (;; nth++) {
            sk_mem_fail_nth(nth);
            int err = operations[i].run();
            size_t made = sk_mem_fail_nth(0);
            if (made < nth) { /* it was over before the turn came */
                assert_int_equal(err, 0);
                break;
            }
            if (err != SKEP_ERR_NOMEM)
                fail_msg("%s: allocation %zu failed, result %d", operations[i].name, nth, err);
            assert_int_equal(operations[i].run(), 0);
            assert_in_range(nth, 1, ALLOCATIONS_MAX);
        }
        print_message("%s: %zu allocations\n", operations[i].name, nth - 1);
        assert_in_range(nth, 2, ALLOCATIONS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation_fails_in_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
