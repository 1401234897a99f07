/* wire/magnet: what links say, and what broken ones cannot do. */
#include "wire/magnet.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define V1 "c3088c236ba01f5f9760bee91b53082e184db542"
#define V2 "eef36a9531c695b412bb52fe8b3732f5f1268ff430a772cb6e6f137265071cca"
#define LINK "magnet:?xt=urn:btih:" V1

static struct sk_magnet *parse(const char *uri)
{
    struct sk_magnet *magnet = NULL;
    const char *reason = "";
    if (sk_magnet_parse(uri, &magnet, &reason) != 0)
        fail_msg("%s: %s", uri, reason);
    return magnet;
}

static void expect_hash(const uint8_t *hash, size_t n, const char *hex)
{
    char text[2 * SK_SHA256_SIZE + 1];
    sk_hex_encode(hash, n, text);
    assert_string_equal(text, hex);
}

static void reads_hashes_in_every_form(void **state)
{
    static const char *const v1_links[] = {
        LINK,
        "MAGNET:?XT=URN:BTIH:C3088C236BA01F5F9760BEE91B53082E184DB542",
        "magnet:?dn=x&xt.1=urn:btih:" V1,
        "magnet:?xt=urn%3Abtih%3a" V1,
        "magnet:?xt=urn:sha1:whatever&xt=urn:btih:" V1 "&xt=urn:btih:junk",
        "magnet:?xt=urn:btih:YMEIYI3LUAPV7F3AX3URWUYIFYME3NKC",
        "magnet:?xt=urn:btih:ymeiyi3luapv7f3ax3urwuyifyme3nkc",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(v1_links); i++) {
        struct sk_magnet *magnet = parse(v1_links[i]);
        assert_true(magnet->has_v1);
        assert_false(magnet->has_v2);
        expect_hash(magnet->hash_v1, SK_SHA1_SIZE, V1);
        expect_hash(magnet->info_hash, SK_SHA1_SIZE, V1);
        sk_magnet_free(magnet);
    }
    struct sk_magnet *magnet = parse("magnet:?xt=urn:btmh:1220" V2);
    assert_false(magnet->has_v1);
    expect_hash(magnet->hash_v2, SK_SHA256_SIZE, V2);
    assert_memory_equal(magnet->info_hash, magnet->hash_v2, SK_SHA1_SIZE);
    sk_magnet_free(magnet);
    magnet = parse("magnet:?xt=urn:btmh:1220" V2 "&xt=urn:btih:" V1);
    assert_true(magnet->has_v1 && magnet->has_v2);
    expect_hash(magnet->info_hash, SK_SHA1_SIZE, V1);
    sk_magnet_free(magnet);
}

static void refuses_links_without_a_hash(void **state)
{
    static const char *const bad[] = {
        "",
        "magnet",
        "magnet:",
        "magnet:?",
        "magnet:?dn=x",
        "http://example/?xt=urn:btih:" V1,
        "magnet:?xt=urn:btih:",
        "magnet:?xt=urn:btih:c3088c236ba01f5f9760bee91b53082e184db54",
        "magnet:?xt=urn:btih:c3088c236ba01f5f9760bee91b53082e184db5422",
        "magnet:?xt=urn:btih:g3088c236ba01f5f9760bee91b53082e184db542",
        "magnet:?xt=urn:btih:YMEIYI3LUAPV7F3AX3URWUYIFYME3NK1",
        "magnet:?xt=urn:btih:%63%3",
        "magnet:?xt=urn:btih:" V1 "%00",
        "magnet:?xt=urn:btih:" V1 "%",
        "magnet:?xt=urn:btmh:" V2,
        "magnet:?xt=urn:btmh:1120" V2,
        "magnet:?xt=urn:btmh:1220" V1,
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        struct sk_magnet *magnet = NULL;
        const char *reason = NULL;
        if (sk_magnet_parse(bad[i], &magnet, &reason) != SKEP_ERR_MALFORMED)
            fail_msg("%s", bad[i]);
        assert_null(magnet);
        assert_non_null(reason);
    }
}

static void reads_parameters(void **state)
{
    struct sk_magnet *m =
        parse(LINK "&dn=A+name%20%E2%98%83&xl=123456789012&tr=http%3A%2F%2Ft%2Fannounce"
                   "&tr.1=udp://t:80&tr=http://t/announce&ws=http://s/a+b&xs=http://x/1.torrent"
                   "&as=https://y/&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:1&x.pe=host.example:80"
                   "&so=0,2,4,6-8&kt=unknown&empty&=&");
    assert_string_equal(m->name, "A name \xe2\x98\x83");
    assert_true(m->size == 123456789012);
    assert_int_equal(m->trackers_count, 2);
    assert_string_equal(m->trackers[0], "http://t/announce");
    assert_string_equal(m->trackers[1], "udp://t:80");
    assert_int_equal(m->web_seeds_count, 1);
    assert_string_equal(m->web_seeds[0], "http://s/a+b");
    assert_int_equal(m->sources_count, 2);
    assert_string_equal(m->sources[1], "https://y/");
    assert_int_equal(m->peers_count, 3);
    assert_string_equal(m->peers[1], "[2001:db8::1]:1");
    assert_int_equal(m->select_count, 4);
    assert_false(m->select_broken);
    assert_int_equal(m->select[3].first, 6);
    assert_int_equal(m->select[3].last, 8);
    sk_magnet_free(m);
}

static void passes_over_broken_parameters(void **state)
{
    struct sk_magnet *m =
        parse(LINK "&dn=%zz&xl=-5&xl=99999999999999999999&tr=no-address&tr=http://a%0ab/&tr="
                   "&ws=%&xs=file:///etc/passwd&xs=ftp://x/&x.pe=1.2.3.4&x.pe=1.2.3.4:0&x.pe=:1"
                   "&x.pe=1.2.3.4:65536&x.pe=::1:5&x.pe=[]:5&x.pe=a%20b:5&tr=http://a%00b/");
    assert_null(m->name);
    assert_true(m->size == 0);
    assert_int_equal(m->trackers_count, 0);
    assert_int_equal(m->web_seeds_count, 0);
    assert_int_equal(m->sources_count, 0);
    assert_int_equal(m->peers_count, 0);
    sk_magnet_free(m);
}

static void selections_are_merged(void **state)
{
    static const struct {
        const char *so;
        size_t count;
        struct sk_magnet_range first;
    } cases[] = {
        {"&so=5", 1, {5, 5}},
        {"&so=3,2,1", 1, {1, 3}},
        {"&so=0-9,5-7,10", 1, {0, 10}},
        {"&so=4-6&so=1", 2, {1, 1}},
        {"&so=999999", 1, {999999, 999999}},
        {"&so=", 0, {0, 0}},
        {"&so=1,,2", 0, {0, 0}},
        {"&so=7-3", 0, {0, 0}},
        {"&so=-1", 0, {0, 0}},
        {"&so=1-", 0, {0, 0}},
        {"&so=1000000", 0, {0, 0}},
        {"&so=4294967295", 0, {0, 0}},
        {"&so=18446744073709551617", 0, {0, 0}},
        {"&so=3&so=1,x", 1, {3, 3}},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        char uri[200];
        snprintf(uri, sizeof uri, "%s%s", LINK, cases[i].so);
        struct sk_magnet *m = parse(uri);
        assert_int_equal(m->select_count, cases[i].count);
        assert_int_equal(m->select_broken, !cases[i].count || strchr(cases[i].so, 'x') != NULL);
        if (m->select_count)
            assert_memory_equal(&m->select[0], &cases[i].first, sizeof cases[i].first);
        sk_magnet_free(m);
    }
}

static void selects_by_index(void **state)
{
    static const struct {
        const char *so, *wanted; /* of files 0 to 9 */
    } cases[] = {
        {"", "1111111111"},        {"&so=0", "1000000000"},     {"&so=0,2,4,6-8", "1010101110"},
        {"&so=9,5", "0000010001"}, {"&so=20-30", "0000000000"}, {"&so=3-99", "0001111111"},
        {"&so=bad", "1111111111"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        char uri[200];
        snprintf(uri, sizeof uri, "%s%s", LINK, cases[i].so);
        struct sk_magnet *m = parse(uri);
        for (uint32_t file = 0; file < 10; file++)
            assert_int_equal(sk_magnet_selects(m, file), cases[i].wanted[file] == '1');
        sk_magnet_free(m);
    }
}

static void more_than_the_limits(void **state)
{
    char *uri = malloc(SK_MAGNET_BYTES_MAX + 2), *at = uri;
    assert_non_null(uri);
    at += sprintf(at, "%s", LINK);
    for (int i = 0; i < 2 * SK_METAINFO_TRACKERS_MAX; i++)
        at += sprintf(at, "&tr=http://t/%d&x.pe=h%d:1", i, i);
    at += sprintf(at, "&ws=http://%0*d/", SK_METAINFO_URL_MAX, 1);
    struct sk_magnet *m = parse(uri);
    assert_int_equal(m->trackers_count, SK_METAINFO_TRACKERS_MAX);
    assert_int_equal(m->peers_count, SK_MAGNET_PEERS_MAX);
    assert_int_equal(m->web_seeds_count, 0);
    sk_magnet_free(m);
    memset(at, 'a', (size_t)(uri + SK_MAGNET_BYTES_MAX - at));
    uri[SK_MAGNET_BYTES_MAX] = 0;
    sk_magnet_free(parse(uri));
    strcpy(uri + SK_MAGNET_BYTES_MAX, "a");
    assert_int_equal(sk_magnet_parse(uri, &m, NULL), SKEP_ERR_LIMIT);
    free(uri);
}

static void from_hashes(void **state)
{
    struct sk_magnet *m = NULL;
    assert_int_equal(sk_magnet_from_hash(V1, &m), 0);
    expect_hash(m->info_hash, SK_SHA1_SIZE, V1);
    sk_magnet_free(m);
    assert_int_equal(sk_magnet_from_hash(V2, &m), 0);
    assert_true(m->has_v2 && !m->has_v1);
    expect_hash(m->info_hash, SK_SHA1_SIZE, "eef36a9531c695b412bb52fe8b3732f5f1268ff4");
    sk_magnet_free(m);
    assert_int_equal(sk_magnet_from_hash("YMEIYI3LUAPV7F3AX3URWUYIFYME3NKC", &m), 0);
    expect_hash(m->info_hash, SK_SHA1_SIZE, V1);
    sk_magnet_free(m);
    m = NULL;
    static const char *const bad[] = {"", "x", V1 "0", V2 "0", "file.torrent", " " V1};
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++)
        assert_int_equal(sk_magnet_from_hash(bad[i], &m), SKEP_ERR_INVALID);
    assert_null(m);
}

#define KEY "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e"
#define POINTER "magnet:?xs=urn:btpk:" KEY

static void expect_pointer(const char *uri, const char *salt, const char *target)
{
    struct sk_magnet *m = NULL;
    const char *reason = "";
    uint8_t digest[SK_SHA1_SIZE];
    if (sk_magnet_parse_pointer(uri, &m, &reason) != 0)
        fail_msg("%s: %s", uri, reason);
    assert_true(m->has_key && !m->has_v1 && !m->has_v2);
    expect_hash(m->key, sizeof m->key, KEY);
    assert_int_equal(m->salt_size, strlen(salt));
    assert_memory_equal(m->salt, salt, m->salt_size);
    struct sk_bytes parts[] = {sk_bytes(m->key, sizeof m->key), sk_bytes(m->salt, m->salt_size)};
    sk_sha1_parts(parts, 2, digest);
    expect_hash(digest, sizeof digest, target);
    sk_magnet_free(m);
}

/* The test vectors of BEP 46, in every form. */
static void points_to_an_item_of_the_dht(void **state)
{
    static const char plain[] = "cc3f9d90b572172053626f9980ce261a850d050b";
    static const char salted[] = "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f";
    expect_pointer(POINTER, "", plain);
    expect_pointer(POINTER "&s=", "", plain);
    expect_pointer(POINTER "&s=6e", "n", salted);
    expect_pointer(POINTER "&S=6E&so=1&sx=7", "n", salted);
    expect_pointer("magnet:?s=%36e&dn=a&xs=http://x/&xs=urn%3ABTPK:" KEY, "n", salted);
    /* With an info-hash it is a link as any other. */
    struct sk_magnet *m = parse(POINTER "&s=6e&xt=urn:btih:" V1);
    assert_true(m->has_key && m->has_v1 && m->salt_size == 1);
    expect_hash(m->info_hash, SK_SHA1_SIZE, V1);
    assert_int_equal(m->sources_count, 0);
    sk_magnet_free(m);
}

static void refuses_broken_pointers(void **state)
{
#define SALT_64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    static const char *const bad[] = {
        "magnet:?xs=urn:btpk:",
        "magnet:?xs=urn:btpk:8543",
        POINTER "00",
        "magnet:?xs=urn:btpk:" V1,
        "magnet:?xt=urn:btpk:" KEY,
        "magnet:?s=6e",
        POINTER "&s=6",
        POINTER "&s=xy",
        POINTER "&s=6e%zz",
        POINTER "&s=%zz",
        POINTER "&s=" SALT_64 SALT_64 "00",
    };
    struct sk_magnet *m = NULL;
    const char *reason;
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        reason = NULL;
        if (sk_magnet_parse_pointer(bad[i], &m, &reason) != SKEP_ERR_MALFORMED)
            fail_msg("%s", bad[i]);
        assert_true(!m && reason);
    }
    /* A broken salt of a link that has an info-hash: then it has no pointer. */
    m = parse(POINTER "&s=xy&xt=urn:btih:" V1);
    assert_true(!m->has_key && m->salt_size == 0);
    sk_magnet_free(m);
    m = NULL;
    /* Who cannot look it up is told so. */
    assert_int_equal(sk_magnet_parse(POINTER, &m, &reason), SKEP_ERR_UNSUPPORTED);
    assert_non_null(strstr(reason, "public key"));
    assert_null(m);
    assert_int_equal(sk_magnet_parse_pointer(POINTER "&s=" SALT_64 SALT_64, &m, &reason), 0);
    assert_int_equal(m->salt_size, SK_MAGNET_SALT_MAX);
    sk_magnet_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_hashes_in_every_form),
        cmocka_unit_test(refuses_links_without_a_hash),
        cmocka_unit_test(reads_parameters),
        cmocka_unit_test(passes_over_broken_parameters),
        cmocka_unit_test(selections_are_merged),
        cmocka_unit_test(selects_by_index),
        cmocka_unit_test(more_than_the_limits),
        cmocka_unit_test(from_hashes),
        cmocka_unit_test(points_to_an_item_of_the_dht),
        cmocka_unit_test(refuses_broken_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
