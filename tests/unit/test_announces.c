/* Recorded announces: what each form says, what is wrong with a line, and that one is the other. */
#include "store/announces.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/announce_file.h"
#include "store/announce_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "61616161616161616161616161616161616161ff"
#define OTHER "6262626262626262626262626262626262626262"
#define PEER "2d7142353030302d303132333435363738396162"
#define KEPT 16

static struct {
    struct sk_announce list[KEPT];
    unsigned count;
    uint64_t bad_line[KEPT];
    char why[KEPT][256];
    unsigned bad;
    int result; /* of the sink */
} told;
static struct sk_announces_tally tally;
static char reason[SK_DATABASE_REASON_MAX];

static int on_announce(const struct sk_announce *announce, void *ctx)
{
    if (told.count < KEPT)
        told.list[told.count] = *announce;
    told.count++;
    return told.result;
}

static void on_bad(uint64_t line, const char *why, void *ctx)
{
    if (told.bad < KEPT) {
        told.bad_line[told.bad] = line;
        snprintf(told.why[told.bad], sizeof told.why[0], "%s", why);
    }
    told.bad++;
}

static const struct sk_announce_sink sink = {.announce = on_announce, .bad = on_bad};

/* Feeds the text in portions of that size. */
static int read_in(const char *text, size_t portion, const struct sk_announce_sink *to)
{
    struct sk_announce_file *file;
    size_t n = strlen(text);
    int err = 0;
    memset(&told, 0, offsetof(typeof(told), result));
    assert_int_equal(0, sk_announce_file_new(to, &file));
    for (size_t at = 0; at < n && !err; at += portion)
        err = sk_announce_file_input(file, sk_bytes(text + at, SK_MIN(portion, n - at)));
    if (!err)
        err = sk_announce_file_end(file);
    tally = *sk_announce_file_tally(file);
    snprintf(reason, sizeof reason, "%s", sk_announce_file_reason(file));
    sk_announce_file_free(file);
    assert_int_equal(told.bad, tally.bad);
    assert_int_equal(told.count, tally.announces);
    return err;
}

static int read_all(const char *text)
{
    return read_in(text, strlen(text) + 1, &sink);
}

static void assert_example(const struct sk_announce *announce)
{
    char address[SK_ENDPOINT_TEXT_MAX];
    assert_true(announce->at_unix_s == 1790000000.25);
    assert_int_equal(0xff, announce->info_hash[19]);
    assert_true(announce->has_peer_id && announce->peer_id[1] == 'q');
    assert_string_equal("192.0.2.1:6881", sk_endpoint_text(&announce->endpoint, address));
    assert_true(announce->uploaded == 1234 && announce->downloaded == INT64_MAX);
    assert_true(announce->left == 0);
    assert_int_equal(SK_ANNOUNCE_STARTED, announce->event);
    assert_true(announce->has_key && announce->key == UINT32_MAX);
}

#define JSON_EXAMPLE                                                                               \
    "{\"at\": 1790000000.25, \"info_hash\": \"" HASH "\", \"peer_id\": \"" PEER                    \
    "\", \"address\": \"192.0.2.1:6881\", \"uploaded\": 1234, \"downloaded\": "                    \
    "9223372036854775807, \"left\": 0, \"event\": \"started\", \"key\": 4294967295, "              \
    "\"agent\": [1, {}]}"
#define CSV_HEADER "at,info_hash,peer_id,address,uploaded,downloaded,left,event,key"
#define CSV_ROW                                                                                    \
    "1790000000.25," HASH "," PEER ",192.0.2.1:6881,1234,9223372036854775807,0,started,4294967295"

static void test_json_lines(void **state)
{
    for (size_t portion = 1; portion < 400; portion += 37) {
        assert_int_equal(
            0, read_in("\xef\xbb\xbf\n" JSON_EXAMPLE "\r\n\n \t\n" JSON_EXAMPLE, portion, &sink));
        assert_int_equal(2, told.count);
        assert_int_equal(0, told.bad);
        assert_example(&told.list[0]);
        assert_example(&told.list[1]);
    }
}

/* What is flat is read here, what is not by jansson: both say the same. */
static void test_both_ways_of_json(void **state)
{
#define WHO "\"info_hash\":\"" HASH "\",\"peer_id\":\"" PEER "\""
    static const char *const members[] = {
        "\"at\":1790000000.123456," WHO ",\"left\":0",
        "\"at\":1790000000.1234567," WHO,
        " \"at\" :\t5 ,\r " WHO " ",
        "\"at\":\"1.5\"," WHO ",\"uploaded\":\"12\",\"key\":null,\"left\":\"NULL\"",
        "\"at\":1," WHO ",\"address\":\"\",\"downloaded\":999999999999999999",
        "\"at\":1," WHO ",\"uploaded\":9223372036854775807,\"agent\":\"a, b}\",\"n\":-1.5e3",
        "\"at\":1," WHO ",\"uploaded\":9223372036854775808",
        "\"at\":1," WHO ",\"uploaded\":5.0,\"left\":1e3",
        "\"at\":01," WHO,
        "\"at\":1.," WHO,
        "\"at\":1e," WHO,
        "\"at\":-1," WHO,
        "\"at\":1," WHO ",\"left\":+5",
        "\"at\":1," WHO ",\"left\":5 5",
        "\"at\":1," WHO ",\"left\":nul",
        "\"at\":1," WHO ",\"event\":\"star\tted\"",
        "\"at\":1," WHO ",\"event\":\"sta\\u0072ted\"",
        "\"at\":1," WHO ",\"agent\":\"\xff\"",
        "\"at\":1," WHO ",\"at\":1",
        "\"at\":1," WHO ",\"ip\":1,\"ip\":2",
        "\"at\":1," WHO
        ",\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"i\":2",
        "\"at\":1," WHO ",,\"left\":1",
        "\"at\":1," WHO ",\"left\"",
        "\"at\":1," WHO ",\"left\":\"1",
    };
    char text[1024];
    for (size_t i = 0; i < SK_ARRAY_LEN(members); i++) {
        struct sk_announce announces[2];
        unsigned counts[2];
        for (int deep = 0; deep < 2; deep++) {
            snprintf(text, sizeof text, JSON_EXAMPLE "\n{%s%s}\n", members[i],
                     deep ? ",\"x\":[]" : "");
            assert_int_equal(0, read_all(text));
            announces[deep] = told.list[1];
            counts[deep] = told.count;
            assert_int_equal(2, told.count + told.bad);
        }
        if (counts[0] != counts[1] || memcmp(&announces[0], &announces[1], sizeof announces[0]))
            fail_msg("{%s} is read differently", members[i]);
    }
}

static void test_csv(void **state)
{
    static const char *const texts[] = {
        CSV_HEADER "\n" CSV_ROW,
        CSV_HEADER "\r\n" CSV_ROW "\r\n",
        "\xef\xbb\xbf" CSV_HEADER "\n\n" CSV_ROW "\n\n",
        "\"at\",agent,\"info_hash\",\"a,b\",peer_id,address,uploaded,downloaded,left,event,key\n"
        "1790000000.25,\"x, \"\"y\"\"\r\nz\"," HASH ",," PEER
        ",\"192.0.2.1:6881\",1234,\"9223372036854775807\",0,2,4294967295\n",
        "at;info_hash;peer_id;address;uploaded;downloaded;left;event;key\n1790000000.25;" HASH
        ";" PEER ";192.0.2.1:6881;1234;9223372036854775807;0;2;4294967295\n",
        "at\tinfo_hash\tpeer_id\taddress\tuploaded\tdownloaded\tleft\tevent\tkey\tuid\n"
        "1790000000.25\t" HASH "\t" PEER
        "\t192.0.2.1:6881\t1234\t9223372036854775807\t0\tstarted\t4294967295\tNULL\n",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(texts); i++) {
        for (size_t portion = 1; portion < 300; portion += 41) {
            assert_int_equal(0, read_in(texts[i], portion, &sink));
            assert_int_equal(1, told.count);
            assert_int_equal(0, told.bad);
            assert_example(&told.list[0]);
        }
    }
}

static void test_what_is_not_said_is_unknown(void **state)
{
    static const char *const texts[] = {
        "at,info_hash,address\n1," HASH ",2001:db8::1\n",
        "at,info_hash,peer_id,address,uploaded,downloaded,left,event,key\n1," HASH
        ",NULL,[2001:db8::1]:0,\\N,,NULL,,\n",
        "{\"at\":1,\"info_hash\":\"" HASH "\",\"peer_id\":null,\"address\":\"[2001:db8::1]\","
        "\"left\":null,\"event\":\"\"}",
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(texts); i++) {
        assert_int_equal(0, read_all(texts[i]));
        assert_int_equal(1, told.count);
        const struct sk_announce *announce = &told.list[0];
        assert_false(announce->has_peer_id || announce->has_key);
        assert_int_equal(SK_FAMILY_V6, announce->endpoint.family);
        assert_int_equal(0, announce->endpoint.port);
        assert_true(announce->uploaded == SK_ANNOUNCE_UNKNOWN);
        assert_true(announce->downloaded == SK_ANNOUNCE_UNKNOWN);
        assert_true(announce->left == SK_ANNOUNCE_UNKNOWN);
        assert_int_equal(SK_ANNOUNCE_NONE, announce->event);
    }
}

/* Whatever is behind microseconds no double holds: it is passed over. */
static void test_times_of_many_digits(void **state)
{
    static const char *const times[] = {"1790000000.250000123",
                                        "1790000000.25000000000000000000000"};
    char text[256];
    for (size_t i = 0; i < SK_ARRAY_LEN(times); i++) {
        snprintf(text, sizeof text, "at,info_hash,address\n%s," HASH ",1.2.3.4:5\n", times[i]);
        assert_int_equal(0, read_all(text));
        assert_int_equal(1, told.count);
        assert_true(told.list[0].at_unix_s == 1790000000.25);
    }
}

static void test_bad_lines_are_told_and_passed_over(void **state)
{
    static const struct {
        const char *fields, *why;
    } bad[] = {
        {"x," HASH ",1.2.3.4:5,,", "at: expected seconds"},
        {"1790000000000," HASH ",1.2.3.4:5,,", "milliseconds"},
        {"1.2.3," HASH ",1.2.3.4:5,,", "at: expected"},
        {"1," HASH "00,1.2.3.4:5,,", "info_hash: expected 40 hex digits"},
        {"1,zz,1.2.3.4:5,,", "HEX(info_hash)"},
        {"1," HASH ",example.org:5,,", "address: expected"},
        {"1," HASH ",1.2.3.4:65536,,", "address: expected"},
        {"1," HASH ",1.2.3.4:5,9223372036854775808,", "uploaded: expected bytes"},
        {"1," HASH ",1.2.3.4:5,-1,", "found '-1'"},
        {"1," HASH ",1.2.3.4:5,1.5,", "uploaded: expected bytes"},
        {"1," HASH ",1.2.3.4:5,,begun", "event: expected none, started"},
        {"1," HASH ",1.2.3.4:5,,4", "event: expected"},
        {"1," HASH ",,1,1", "peer_id or address is missing"},
        {"," HASH ",1.2.3.4:5,,", "at is missing"},
        {"1," HASH ",1.2.3.4:5", "3 fields where the header row has 5"},
        {"1," HASH ",1.2.3.4:5,,,", "6 fields"},
        {"1," HASH ",\"1.2.3.4:5\"x,,", "a quote inside"},
        {"1," HASH ",1.2.3.4\":5\",,", "a quote inside"},
        {"1," HASH ",\x1b[31m,,", "found '\\x1b[31m'"},
    };
    char text[1024];
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text,
                 "at,info_hash,address,uploaded,event\n1," HASH ",1.2.3.4:5,,\n%s\n1," HASH
                 ",1.2.3.4:6,,\n",
                 bad[i].fields);
        assert_int_equal(0, read_all(text));
        assert_int_equal(2, told.count);
        assert_int_equal(6, told.list[1].endpoint.port);
        assert_int_equal(1, told.bad);
        assert_int_equal(3, told.bad_line[0]);
        if (!strstr(told.why[0], bad[i].why))
            fail_msg("'%s' does not say '%s'", told.why[0], bad[i].why);
    }
}

static void test_bad_lines_of_json(void **state)
{
    static const struct {
        const char *line, *why;
    } bad[] = {
        {"{\"at\": 1", "JSON object"},
        {"[]", "JSON object"},
        {"{\"at\":1,\"at\":2}", "duplicate"},
        {"{\"at\":true,\"info_hash\":\"" HASH "\"}", "at: expected a text or a number"},
        {"{\"at\":1,\"info_hash\":\"" HASH "\"}", "peer_id or address is missing"},
        {"{\"at\":1,\"info_hash\":\"" HASH "\",\"left\":1.5}", "left: expected bytes"},
        {"{\"at\":1,\"info_hash\":\"" HASH "\",\"left\":99999999999999999999}", "too big"},
        {"{\"at\":1,\"info_hash\":\"\\u0000\"}", "JSON object"},
    };
    char text[2048];
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, JSON_EXAMPLE "\n%s\n" JSON_EXAMPLE, bad[i].line);
        assert_int_equal(0, read_all(text));
        assert_int_equal(2, told.count);
        assert_int_equal(1, told.bad);
        assert_int_equal(2, told.bad_line[0]);
        if (!strstr(told.why[0], bad[i].why))
            fail_msg("'%s' does not say '%s'", told.why[0], bad[i].why);
    }
    assert_int_equal(
        0, read_all("{\"at\":1,\"info_hash\":\"" HASH "\",\"peer_id\":\"" PEER "\",\"left\":5e3}"));
    assert_true(told.list[0].left == 5000);
}

static void test_headers_that_do_not_do(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {CSV_ROW "\n" CSV_ROW "\n", "does not have at"},
        {"at,peer_id\n1," PEER "\n", "does not have info_hash"},
        {"at,info_hash\n1," HASH "\n", "peer_id or address"},
        {"at,info_hash,peer_id,at\n", "at twice"},
        {"\xff\xfe"
         "a",
         "UTF-8"},
        {" [\n" JSON_EXAMPLE "\n]", "JSON Lines are wanted, an object a line (jq -c '.[]'"},
        {CSV_HEADER "\r" CSV_ROW "\r" CSV_ROW "\r", "end in CR alone"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(bad); i++) {
        assert_int_equal(SKEP_ERR_MALFORMED, read_all(bad[i].text));
        if (!strstr(reason, bad[i].why))
            fail_msg("'%s' does not say '%s'", reason, bad[i].why);
    }
    assert_int_equal(SKEP_ERR_MALFORMED, read_all(JSON_EXAMPLE "\r" JSON_EXAMPLE));
    assert_non_null(strstr(told.why[0], "(do lines end in CR alone?)"));
    assert_int_equal(0, read_all(CSV_HEADER "\r")); /* half of CR LF, so far */
    assert_int_equal(0, read_all(""));              /* nobody announced */
    assert_int_equal(0, read_all(CSV_HEADER "\n"));
    assert_int_equal(0, told.count);
}

static void test_no_hope(void **state)
{
    struct sk_buf text;
    assert_int_equal(SKEP_ERR_MALFORMED, read_all(CSV_HEADER "\nx\n"));
    assert_non_null(strstr(reason, "none of its 1 line can"));
    sk_buf_init(&text, 1 << 20);
    sk_buf_text(&text, CSV_HEADER "\n" CSV_ROW "\n");
    for (int i = 0; i < 2 * SK_ANNOUNCE_BAD_MAX; i++)
        sk_buf_text(&text, "x\n");
    sk_buf_append(&text, "", 1);
    assert_int_equal(SKEP_ERR_MALFORMED, read_all((const char *)text.p));
    assert_int_equal(SK_ANNOUNCE_BAD_MAX, told.bad);
    text.n = 0;
    sk_buf_text(&text, CSV_HEADER "\n");
    for (int i = 0; i < 2 * SK_ANNOUNCE_BAD_MAX; i++) /* half of them are good */
        sk_buf_text(&text, CSV_ROW "\nx\n");
    sk_buf_append(&text, "", 1);
    assert_int_equal(0, read_all((const char *)text.p));
    assert_int_equal(2 * SK_ANNOUNCE_BAD_MAX, told.bad);
    sk_buf_deinit(&text);
}

/* A line without end costs no more than its limit, and what follows it is read. */
static void test_lines_without_end(void **state)
{
    static const char *const begin[] = {CSV_HEADER "\n1,\"", "{\"at\":\""};
    static const char *const after[] = {CSV_ROW, JSON_EXAMPLE};
    struct sk_buf text;
    for (int i = 0; i < 2; i++) {
        sk_buf_init(&text, 1 << 20);
        sk_buf_text(&text, begin[i]);
        for (int n = 0; n < 3 * SK_ANNOUNCE_RECORD_MAX; n++)
            sk_buf_append(&text, "x", 1);
        sk_buf_printf(&text, "\n%s\n", after[i]);
        sk_buf_append(&text, "", 1);
        assert_int_equal(0, read_in((const char *)text.p, 1000, &sink));
        assert_int_equal(1, told.bad);
        assert_non_null(strstr(told.why[0], "longer than 65536 bytes"));
        assert_int_equal(1, told.count);
        assert_example(&told.list[0]);
        sk_buf_deinit(&text);
    }
    assert_int_equal(SKEP_ERR_MALFORMED, read_all(CSV_HEADER "\n1,\"never closed"));
    assert_non_null(strstr(told.why[0], "not closed"));
}

static void test_one_torrent_of_many(void **state)
{
    struct sk_announce_sink one = sink;
    uint8_t hash[20];
    assert_true(sk_hex_decode(OTHER, 40, hash, 20));
    one.only = hash;
    assert_int_equal(
        0, read_in(CSV_HEADER "\n" CSV_ROW "\n1," OTHER "," PEER ",,,,,,\n" CSV_ROW, 10, &one));
    assert_int_equal(1, told.count);
    assert_int_equal(0x62, told.list[0].info_hash[0]);
    assert_int_equal(2, tally.others);
}

static void test_the_sink_ends_it(void **state)
{
    told.result = 42;
    assert_int_equal(42, read_all(CSV_HEADER "\n" CSV_ROW "\n" CSV_ROW "\n"));
    assert_int_equal(1, told.count);
    told.result = 0;
}

/* ---- files ---- */

static char path[] = "/tmp/skep-announces-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 || close(fd) ? -1 : 0;
}

static int remove_file(void **state)
{
    unlink(path);
    strcpy(path + sizeof path - 7, "XXXXXX");
    return 0;
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(strlen(text), fwrite(text, 1, strlen(text), file));
    assert_int_equal(0, fclose(file));
}

static size_t read_bytes(uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(bytes, 1, size, file);
    assert_true(n && n < size);
    fclose(file);
    return n;
}

static int read_file(const struct sk_announce_sink *to)
{
    memset(&told, 0, sizeof told);
    return sk_announces_read(path, to, &tally, reason);
}

static void test_files_of_text(void **state)
{
    write_file(CSV_HEADER "\n" CSV_ROW "\n");
    assert_int_equal(0, read_file(&sink));
    assert_int_equal(1, told.count);
    assert_example(&told.list[0]);
    write_file("hello\n");
    assert_int_equal(SKEP_ERR_MALFORMED, read_file(&sink));
    assert_ptr_equal(reason, strstr(reason, path));
    unlink(path);
    assert_int_equal(SKEP_ERR_IO, read_file(&sink));
    assert_non_null(strstr(reason, "No such file"));
}

/* More than a queue of them, and each kind of absence. */
static void test_log_says_what_was_put(void **state)
{
    struct sk_announce_log *log;
    struct sk_announce announce;
    read_all(JSON_EXAMPLE);
    announce = told.list[0];
    unlink(path);
    assert_int_equal(0, sk_announce_log_open(path, &log, reason));
    for (int i = 0; i < SK_ANNOUNCE_LOG_QUEUE + 10; i++)
        sk_announce_log_put(log, &announce, 1);
    announce.has_peer_id = announce.has_key = false;
    announce.uploaded = UINT64_MAX - 7; /* what nobody can have uploaded is not a number of bytes */
    announce.downloaded = announce.left = SK_ANNOUNCE_UNKNOWN;
    announce.event = SK_ANNOUNCE_PAUSED;
    announce.info_hash[0] = 'b';
    sk_announce_log_put(log, &announce, 2);
    assert_int_equal(0, sk_announce_log_take_error(log));

    assert_int_equal(0, read_file(&sink)); /* while it is open: what was written before */
    assert_int_equal(SK_ANNOUNCE_LOG_QUEUE, told.count);
    sk_announce_log_flush(log, 1);
    assert_int_equal(0, read_file(&sink));
    assert_int_equal(SK_ANNOUNCE_LOG_QUEUE, told.count);
    sk_announce_log_flush(log, UINT64_C(1000000001));
    assert_int_equal(0, read_file(&sink));
    assert_int_equal(SK_ANNOUNCE_LOG_QUEUE + 11, told.count);
    assert_int_equal(0, told.bad);
    assert_example(&told.list[0]);
    assert_int_equal(0, sk_announce_log_close(log));

    struct sk_announce_sink one = sink;
    one.only = announce.info_hash;
    assert_int_equal(0, read_file(&one));
    assert_int_equal(1, told.count);
    assert_int_equal(SK_ANNOUNCE_LOG_QUEUE + 10, tally.others);
    assert_false(told.list[0].has_peer_id || told.list[0].has_key);
    assert_true(told.list[0].uploaded == SK_ANNOUNCE_UNKNOWN);
    assert_true(told.list[0].left == SK_ANNOUNCE_UNKNOWN);
    assert_int_equal(SK_ANNOUNCE_PAUSED, told.list[0].event);
}

static void test_log_refuses_what_is_not_its_own(void **state)
{
    struct sk_database other;
    struct sk_announce_log *log;
    unlink(path);
    assert_int_equal(0, sk_database_open(&other, path));
    assert_int_equal(0, sk_database_execute(&other, "CREATE TABLE announces (at INTEGER)"));
    sk_database_close(&other);
    assert_int_equal(SKEP_ERR_STORE, sk_announce_log_open(path, &log, reason));
    assert_int_equal(SKEP_ERR_STORE, read_file(&sink));
    assert_non_null(strstr(reason, "records no announces"));
    write_file("SQLite format 3");
    assert_int_equal(SKEP_ERR_MALFORMED, read_file(&sink)); /* without the NUL it is text */
}

static void test_log_of_a_newer_program(void **state)
{
    static uint8_t before[1 << 16], after[1 << 16];
    struct sk_database file;
    struct sk_announce_log *log;
    unlink(path);
    assert_int_equal(0, sk_announce_log_open(path, &log, reason));
    assert_int_equal(0, sk_announce_log_close(log));
    assert_int_equal(0, sk_database_open(&file, path));
    assert_int_equal(0, sk_database_execute(&file, "PRAGMA user_version = 99"));
    sk_database_close(&file);
    size_t n = read_bytes(before, sizeof before);
    assert_int_equal(SKEP_ERR_STORE, sk_announce_log_open(path, &log, reason));
    assert_non_null(strstr(reason, "made by a newer skep (its format is 99"));
    assert_int_equal(SKEP_ERR_STORE, read_file(&sink));
    assert_non_null(strstr(reason, "made by a newer skep (its format is 99"));
    assert_int_equal(n, read_bytes(after, sizeof after));
    assert_memory_equal(before, after, n);
}

static void test_each_allocation_may_fail(void **state)
{
    struct sk_announce_log *log;
    struct sk_announce announce;
    size_t nth = 0;
    int err;
    read_all(JSON_EXAMPLE);
    announce = told.list[0];
    unlink(path);
    do {
        sk_mem_fail_nth(++nth);
        err = sk_announce_log_open(path, &log, reason);
        if (!err) {
            sk_announce_log_put(log, &announce, 1);
            err = sk_announce_log_close(log);
        }
        sk_mem_fail_nth(0);
    } while (err == SKEP_ERR_NOMEM);
    assert_int_equal(0, err);
    nth = 0;
    do {
        sk_mem_fail_nth(++nth);
        err = read_file(&sink);
        sk_mem_fail_nth(0);
    } while (err == SKEP_ERR_NOMEM);
    assert_int_equal(0, err);
    assert_true(nth > 1 && told.count);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, make_file, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_both_ways_of_json),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_what_is_not_said_is_unknown),
        cmocka_unit_test(test_times_of_many_digits),
        cmocka_unit_test(test_bad_lines_are_told_and_passed_over),
        cmocka_unit_test(test_bad_lines_of_json),
        cmocka_unit_test(test_headers_that_do_not_do),
        cmocka_unit_test(test_no_hope),
        cmocka_unit_test(test_lines_without_end),
        cmocka_unit_test(test_one_torrent_of_many),
        cmocka_unit_test(test_the_sink_ends_it),
        FILE_TEST(test_files_of_text),
        FILE_TEST(test_log_says_what_was_put),
        FILE_TEST(test_log_refuses_what_is_not_its_own),
        FILE_TEST(test_log_of_a_newer_program),
        FILE_TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
