/* Names of clients, from peer ids and from the v key. */
#include "wire/client_name.h"

#include "base/assert.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct example {
    const char *id; /* padded with 0xff to 20 bytes: what is random in real ids */
    const char *name;
};

static void check_id(const char *id, size_t n, const char *name)
{
    uint8_t peer_id[20];
    char got[SK_CLIENT_NAME_MAX];
    memset(peer_id, 0xff, sizeof peer_id);
    memcpy(peer_id, id, n);
    assert_string_equal(sk_client_name(peer_id, sk_bytes(NULL, 0), got), name);
}

static void check_v(struct sk_bytes v, const char *name)
{
    char got[SK_CLIENT_NAME_MAX];
    assert_string_equal(sk_client_name((const uint8_t *)"-TR3000-abcdefghijkl", v, got), name);
}

static void test_azureus(void **state)
{
    static const struct example examples[] = {
        {"-TR3000-", "Transmission 3.00"},
        {"-TR2940-", "Transmission 2.94"},
        {"-TR111Z-", "Transmission 1.11+"},
        {"-TR0072-", "Transmission 0.72"},
        {"-TR0006-", "Transmission 0.6"},
        {"-TR4050-", "Transmission 4.0.5"},
        {"-TR400B-", "Transmission 4.0.0 beta"},
        {"-TR410Z-", "Transmission 4.1.0+"},
        {"-LT2080-", "libtorrent 2.0.8"},
        {"-LT20B0-", "libtorrent 2.0.11"},
        {"-LT0G12-", "libtorrent 0.16.1.2"},
        {"-lt0D80-", "rTorrent (libTorrent) 0.13.8"},
        {"-qB4520-", "qBittorrent 4.5.2"},
        {"-qB4431-", "qBittorrent 4.4.3.1"},
        {"-qB33G0-", "qBittorrent 3.3.16"},
        {"-DE13F0-", "Deluge 1.3.15"},
        {"-DE211s-", "Deluge 2.1.1"},
        {"-UT3550-", "µTorrent 3.5.5"},
        {"-UT355S-", "µTorrent 3.5.5"},
        {"-UT360B-", "µTorrent 3.6.0 beta"},
        {"-UM187A-", "µTorrent Mac 1.8.7 alpha"},
        {"-BT7a5S-", "BitTorrent 7.10.5"},
        {"-UT3a11S", "µTorrent 3.10.11"},
        {"-AZ5760-", "Vuze 5.7.6"},
        {"-AZ5761-", "Vuze 5.7.6.1"},
        {"-BI3500-", "BiglyBT 3.5.0"},
        {"-BC0187-", "BitComet 1.87"},
        {"-WW0109-", "WebTorrent 1.9"},
        {"-WD0024-", "WebTorrent Desktop 0.24"},
        {"-KT5110-", "KTorrent 5.1.1"},
        {"-KT33D1-", "KTorrent 3.3 dev 1"},
        {"-KT33R2-", "KTorrent 3.3 RC 2"},
        {"-FG0180", "FlashGet 1.80"},
        {"-FD51\x80\x80-", "Free Download Manager 5.1"},
        {"-XL0012-", "Xunlei 0.0.1.2"},
        {"-PI0251-", "PicoTorrent 0.25.1"},
        {"-ML2.7.2-", "MLDonkey 2.7.2"},
        {"-ML3.1-", "MLDonkey 3.1"},
        {"-S~2000-", "Shareaza 2.0.0"},
        {"-GT0003-", "anacrolix/torrent 0.0.0.3"},
        {"-SK0010-", "skep 0.0.1"},
        {"-TR", "Transmission"},      /* no version to be read */
        {"-TR30", "Transmission"},    /* not ended */
        {"-LT2.80-", "libtorrent"},   /* not of digits */
        {"-ZZ1234-", "\"-ZZ1234-\""}, /* a form that we know, of a client that we do not */
        {"-tr3000-", "\"-tr3000-\""}, /* case counts */
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++)
        check_id(examples[i].id, strlen(examples[i].id), examples[i].name);
}

static void test_other_forms(void **state)
{
    static const struct example examples[] = {
        {"A2-1-36-0-", "aria2 1.36.0"},
        {"A2-1-9-5-", "aria2 1.9.5"},
        {"M7-1-0--", "BitTorrent 7.1.0"},
        {"M4-20-8-", "BitTorrent 4.20.8"},
        {"Q1-10-0-", "Queen Bee 1.10.0"},
        {"T03I------", "BitTornado 0.3.18"},
        {"S58B-----", "Shad0w 5.8.11"},
        {"A310--00-", "\"A310--00\""}, /* no padding where there must be */
        {"R34------", "\"R34-----\""}, /* two digits are too few to tell */
        {"T03.a-----", "BitTornado 0.3.62.36"},
        {"TIX0314-", "Tixati 3.14"},
        {"XBT054d-", "XBT Client 0.5.4"},
        {"OP7685", "Opera build 7685"},
        {"MG-3.01.4276BOS", "MediaGet 3.01.4276"},
        {"exbc\x01\x02", "BitComet 1.02"},
        {"exbc\x01\x02LORD", "BitLord 1.02"},
        {"-BOWA0C-", "Bits on Wheels"},
        {"AZ2500BT", "BitTyrant 1.1"},
        {"-WT-", "BitLet"},
        {"Mbrst1-1-5", "Burst!"},
        {"M1-2", "\"M1-2\""},
        {"A2-1-36-0000-", "\"A2-1-36-\""},
        {"abc", "unknown"},
        {"abcd", "\"abcd\""},
        {"ab\"cdefgh", "unknown"},
        {"\x1b[31mred", "unknown"}, /* terminal escapes never come through */
        {"abcd\x1b[0m", "\"abcd\""},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++)
        check_id(examples[i].id, strlen(examples[i].id), examples[i].name);
    check_id("\0\003BS", 4, "BitSpirit 3");
    check_id("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, "unknown");
}

/* A number of a version may end where the id does: nothing is read past it. */
static void test_ends_with_the_id(void **state)
{
    check_id("A2-111-222-333333333", 20, "\"A2-111-2\"");
    check_id("-ML11111111111111111", 20, "MLDonkey 11111111111111111");
    check_id("MG-9999999999999.999", 20, "MediaGet 9999999999999.999");
}

static void test_v_wins(void **state)
{
    static const struct {
        const char *v, *name;
    } examples[] = {
        {"Transmission 3.00", "Transmission 3.00"},
        {"libtorrent/2.0.8.0", "libtorrent 2.0.8"},
        {"libtorrent/2.0.8.1", "libtorrent 2.0.8.1"},
        {"libtorrent/2.0.10", "libtorrent 2.0.10"},
        {"libtorrent/1.2.3.10", "libtorrent 1.2.3.10"},
        {"aria2/1.36.0", "aria2 1.36.0"},
        {"qBittorrent/4.5.2", "qBittorrent 4.5.2"},
        {"qBittorrent v4.2.5", "qBittorrent v4.2.5"},
        {"Deluge/2.1.1 libtorrent/2.0.8.0", "Deluge 2.1.1 libtorrent 2.0.8"},
        {"BiglyBT 3.5.0.0", "BiglyBT 3.5.0"},
        {"µTorrent 3.5.5", "µTorrent 3.5.5"},
        {"uTorrent 3.5.5", "µTorrent 3.5.5"},
        {"\xb5Torrent 2.2.1", "µTorrent 2.2.1"},
        {"libTorrent 0.13.8", "rTorrent (libTorrent) 0.13.8"},
        {"  BitComet 1.87\r\n", "BitComet 1.87"},
        {"迅雷 X", "迅雷 X"},
        {"", "Transmission 3.00"},
        {"   \t", "Transmission 3.00"},
        {"1.2.3.0", "Transmission 3.00"}, /* no name in it */
        {"\x1b\x07\x01", "Transmission 3.00"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(examples); i++)
        check_v(sk_bytes_text(examples[i].v), examples[i].name);
}

/* threats.md: terminal escape sequences and bidi controls in client strings. */
static void test_v_hostile(void **state)
{
    check_v(sk_bytes_text("\x1b[2Jgone"), "\\x1b[2Jgone");
    check_v(sk_bytes_text("a\xe2\x80\xaetxt"), "a\\u{202e}txt");
    check_v(sk_bytes("a\0b", 3), "a\\x00b");
    check_v(sk_bytes_text("bad\xff"), "bad\\xff");
    check_v(sk_bytes_text("x1...0/0.0.0.0"), "x1...0 0.0.0");
}

static void test_v_long(void **state)
{
    uint8_t v[4096];
    char got[SK_CLIENT_NAME_MAX];
    for (size_t n = 1; n < sizeof v; n += n < 300 ? 1 : 97) {
        memset(v, 'a', n);
        check_v(sk_bytes(v, n), sk_text_escape(sk_bytes(v, n), got, sizeof got));
        memset(v, 0x1b, n);
        v[0] = 'z';
        check_v(sk_bytes(v, n), sk_text_escape(sk_bytes(v, SK_MIN(n, 100u)), got, sizeof got));
        memset(v, 0xb5, n);
        v[0] = 'T';
        sk_client_name(v, sk_bytes(v, n), got);
        assert_true(sk_text_is_utf8(sk_bytes_text(got)));
        assert_true(strlen(got) < SK_CLIENT_NAME_MAX);
    }
    memcpy(v, "uTorrent ", 9); /* an alias that grows the name to past its room */
    memset(v + 9, '1', 200);
    sk_client_name(v, sk_bytes(v, 200), got);
    assert_int_equal(strlen(got), SK_CLIENT_NAME_MAX - 1);
    assert_memory_equal(got + SK_CLIENT_NAME_MAX - 4, "...", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_azureus),          cmocka_unit_test(test_other_forms),
        cmocka_unit_test(test_ends_with_the_id), cmocka_unit_test(test_v_wins),
        cmocka_unit_test(test_v_hostile),        cmocka_unit_test(test_v_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
