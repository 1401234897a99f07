/* A web seed's machine (swarm/webseed.h) against scripted answers: every byte that comes ends in
 * its block, and what is wrong has the consequence that the header says. */
#include "swarm/webseed.h"

#include "base/assert.h"
#include "wire/metainfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK SK_BLOCK_SIZE
#define PIECE (2 * BLOCK)
#define SECOND UINT64_C(1000000000)
#define FILES_MAX 8

static struct {
    struct sk_file files[FILES_MAX];
    struct sk_metainfo metainfo;
    struct sk_webseed seed;
    struct sk_webseed_out out;
    uint64_t now_ns;
} w;

/* What byte `at` of the space of the pieces is; 0 in padding. */
static uint8_t byte_at(uint64_t at)
{
    for (uint32_t i = 0; i < w.metainfo.files_count; i++) {
        const struct sk_file *file = &w.files[i];
        if (at >= file->offset && at < file->offset + file->length)
            return file->flags & SK_FILE_PADDING ? 0 : (uint8_t)(at * 7 + at / 251 + 1);
    }
    return 0;
}

static void begin(const struct sk_file *files, uint32_t count, bool v1)
{
    memset(&w, 0, sizeof w);
    memcpy(w.files, files, count * sizeof *files);
    for (uint32_t i = 0; i < count; i++)
        w.files[i].first_piece = (uint32_t)(files[i].offset / PIECE);
    uint64_t span = files[count - 1].offset + files[count - 1].length;
    w.metainfo = (struct sk_metainfo){.name = "a name",
                                      .files = w.files,
                                      .files_count = count,
                                      .single_file = count == 1,
                                      .has_v1 = v1,
                                      .has_v2 = !v1,
                                      .size = span,
                                      .span = span,
                                      .piece_size = PIECE,
                                      .pieces = (uint32_t)((span + PIECE - 1) / PIECE)};
    w.now_ns = 1000 * SECOND;
    assert_int_equal(sk_webseed_init(&w.seed, "http://host/dir/", SK_SCOPE_PUBLIC), 0);
    assert_false(sk_webseed_ready(&w.seed, w.now_ns));
    assert_int_equal(sk_webseed_open(&w.seed, &w.metainfo), 0);
    assert_true(sk_webseed_ready(&w.seed, w.now_ns));
}

static void begin_single(uint64_t size)
{
    begin(&(struct sk_file){.path = "a name", .length = size}, 1, true);
}

static int tear_down(void **state)
{
    sk_webseed_deinit(&w.seed);
    memset(&w, 0, sizeof w);
    return 0;
}

static enum sk_webseed_want next(struct sk_bytes *input)
{
    struct sk_bytes none = {0};
    return sk_webseed_next(&w.seed, input ? input : &none, w.now_ns, &w.out);
}

/* The next thing is this request. */
static void expect_get(const char *url, uint64_t from, uint64_t length)
{
    assert_int_equal(next(NULL), SK_WEBSEED_GET);
    assert_string_equal(w.out.url, url);
    assert_int_equal(w.out.from, from);
    assert_int_equal(w.out.length, length);
    assert_int_equal(next(NULL), SK_WEBSEED_NOTHING);
}

static void expect_block(uint32_t piece, uint32_t block, uint32_t length)
{
    assert_int_equal(w.out.block.piece, piece);
    assert_int_equal(w.out.block.begin, block * BLOCK);
    assert_int_equal(w.out.block.length, length);
    uint64_t at = (uint64_t)piece * PIECE + block * BLOCK;
    for (uint32_t i = 0; i < length; i++)
        if (w.out.data[i] != byte_at(at + i))
            fail_msg("byte %u of block %u of piece %u is wrong", i, block, piece);
}

static bool answer(struct sk_webseed_head head)
{
    if (!head.length)
        head.length = SK_WEBSEED_UNKNOWN;
    if (!head.total)
        head.total = SK_WEBSEED_UNKNOWN;
    return sk_webseed_head(&w.seed, &head, w.now_ns);
}

/* n bytes of a file from `from` on come, in pieces of `step`; how many blocks became whole. */
static unsigned feed(uint32_t file, uint64_t from, uint64_t n, size_t step)
{
    uint8_t bytes[4096];
    unsigned blocks = 0;
    assert_true(step <= sizeof bytes);
    for (uint64_t done = 0; done < n;) {
        size_t size = (size_t)SK_MIN((uint64_t)step, n - done);
        for (size_t i = 0; i < size; i++)
            bytes[i] = byte_at(w.files[file].offset + from + done + i);
        struct sk_bytes input = sk_bytes(bytes, size);
        while (next(&input) == SK_WEBSEED_BLOCK) {
            expect_block(w.out.block.piece, w.out.block.begin / BLOCK, w.out.block.length);
            assert_false(w.out.padding);
            blocks++;
        }
        if (w.seed.state != SK_WEBSEED_RUNNING)
            return blocks;
        assert_int_equal(input.n, 0);
        done += size;
    }
    return blocks;
}

static void expect_waits(uint64_t seconds)
{
    assert_int_equal(w.seed.state, SK_WEBSEED_IDLE);
    assert_true(w.seed.reason[0]);
    assert_int_equal(w.seed.lost_end, 0);
    assert_int_equal(w.seed.until_ns, w.now_ns + seconds * SECOND);
    assert_int_equal(sk_webseed_ready(&w.seed, w.now_ns), seconds == 0);
    w.now_ns += seconds * SECOND;
    assert_true(sk_webseed_ready(&w.seed, w.now_ns));
}

static void expect_lost(uint32_t first, uint32_t end)
{
    assert_int_equal(w.seed.state, SK_WEBSEED_IDLE);
    assert_int_equal(w.seed.lost_first, first);
    assert_int_equal(w.seed.lost_end, end);
    assert_true(w.seed.reason[0]);
}

#define URL "http://host/dir/a%20name"

static void test_addresses(void **state)
{
    static const struct {
        const char *url, *path;
        bool single;
        const char *address;
    } rows[] = {
        {"http://h/f.iso", "x", true, "http://h/f.iso"},
        {"http://h/", "x", true, "http://h/a%20name"},
        {"http://h/f.iso#part", "x", true, "http://h/f.iso"},
        {"http://h/a b%20c.iso", "x", true, "http://h/a%20b%20c.iso"},
        {"http://h/p b/", "c", false, "http://h/p%20b/a%20name/c"},
        {"http://h/pub/", "Readme.txt", false, "http://h/pub/a%20name/Readme.txt"},
        {"http://h/pub", "d e/f", false, "http://h/pub/a%20name/d%20e/f"},
        {"http://h", "?#%&+", false, "http://h/a%20name/%3F%23%25%26%2B"},
        {"http://h/", "\xc3\xa9~-._", false, "http://h/a%20name/%C3%A9~-._"},
    };
    struct sk_file file = {.length = 1};
    struct sk_metainfo metainfo = {.name = "a name", .files = &file, .files_count = 1};
    char address[SK_WEBSEED_URL_MAX];
    for (size_t i = 0; i < SK_ARRAY_LEN(rows); i++) {
        file.path = rows[i].path;
        metainfo.single_file = rows[i].single;
        assert_true(sk_webseed_address(rows[i].url, &metainfo, 0, address));
        assert_string_equal(address, rows[i].address);
    }
    char longest[3000];
    memset(longest, ' ', sizeof longest);
    longest[sizeof longest - 1] = 0;
    file.path = longest;
    assert_false(sk_webseed_address("http://h/", &metainfo, 0, address));
}

static void test_range(void **state)
{
    begin_single(4 * PIECE + 100);
    sk_webseed_begin(&w.seed, PIECE, 3 * PIECE);
    expect_get(URL, PIECE, 2 * PIECE);
    assert_true(answer((struct sk_webseed_head){
        .status = 206, .first = PIECE, .total = 4 * PIECE + 100, .length = 2 * PIECE}));
    assert_int_equal(feed(0, PIECE, 2 * PIECE, 1000), 4);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    assert_int_equal(next(NULL), SK_WEBSEED_OVER);
    assert_true(sk_webseed_ready(&w.seed, w.now_ns));
    assert_string_equal(w.seed.reason, "");
    sk_webseed_begin(&w.seed, 4 * PIECE, 4 * PIECE + 100); /* the last piece, cut */
    expect_get(URL, 4 * PIECE, 100);
    assert_true(answer((struct sk_webseed_head){.status = 206, .first = 4 * PIECE}));
    assert_int_equal(feed(0, 4 * PIECE, 100, 7), 1);
}

/* Files meet within blocks, some are empty, padding is not fetched, and a run goes through. */
static void test_files(void **state)
{
    static const struct sk_file files[] = {
        {.path = "a", .length = 100},
        {.path = "empty", .offset = 100},
        {.path = "b", .offset = 100, .length = BLOCK},
        {.path = ".pad/1",
         .offset = BLOCK + 100,
         .length = 2 * PIECE - BLOCK - 100,
         .flags = SK_FILE_PADDING},
        {.path = "c", .offset = 2 * PIECE, .length = BLOCK},
    };
    begin(files, SK_ARRAY_LEN(files), true);
    sk_webseed_begin(&w.seed, 0, 2 * PIECE + BLOCK);
    expect_get(URL "/a", 0, 100);
    assert_true(answer((struct sk_webseed_head){.status = 206, .total = 100}));
    assert_int_equal(feed(0, 0, 100, 99), 0);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    expect_get(URL "/b", 0, BLOCK);
    assert_true(answer((struct sk_webseed_head){.status = 206}));
    assert_int_equal(feed(2, 0, BLOCK, 4096), 1);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    for (uint32_t block = 1; block < 4; block++) { /* the first of them has bytes of b */
        assert_int_equal(next(NULL), SK_WEBSEED_BLOCK);
        expect_block(block / 2, block % 2, BLOCK);
        assert_int_equal(w.out.padding, block > 1);
    }
    expect_get(URL "/c", 0, BLOCK);
    assert_true(answer((struct sk_webseed_head){.status = 206}));
    assert_int_equal(feed(4, 0, BLOCK, 4096), 1);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    assert_int_equal(next(NULL), SK_WEBSEED_OVER);
}

/* v2: files begin with a piece, and nothing lies between. */
static void test_gap(void **state)
{
    static const struct sk_file files[] = {
        {.path = "a", .length = 100},
        {.path = "b", .offset = PIECE, .length = BLOCK + 5},
    };
    begin(files, 2, false);
    sk_webseed_begin(&w.seed, 0, PIECE + BLOCK + 5);
    expect_get(URL "/a", 0, 100);
    assert_true(answer((struct sk_webseed_head){.status = 206}));
    assert_int_equal(feed(0, 0, 100, 100), 1);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    expect_get(URL "/b", 0, BLOCK + 5);
    assert_true(answer((struct sk_webseed_head){.status = 206}));
    assert_int_equal(feed(1, 0, BLOCK + 5, 4096), 2);
}

/* 200: the whole file comes, from its beginning to its end. */
static void test_whole(void **state)
{
    begin_single(4 * PIECE);
    sk_webseed_begin(&w.seed, PIECE, 2 * PIECE);
    expect_get(URL, PIECE, PIECE);
    assert_true(answer((struct sk_webseed_head){.status = 200, .length = 4 * PIECE}));
    assert_int_equal(feed(0, 0, 4 * PIECE, 1001), 8);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    assert_int_equal(next(NULL), SK_WEBSEED_OVER);
    assert_string_equal(w.seed.reason, "");
}

/* 200 of a file that begins within a block: that block is left out where its beginning is. */
static void test_whole_unaligned(void **state)
{
    static const struct sk_file files[] = {
        {.path = "a", .length = 100},
        {.path = "b", .offset = 100, .length = 2 * PIECE},
    };
    begin(files, 2, true);
    sk_webseed_begin(&w.seed, PIECE, 2 * PIECE);
    expect_get(URL "/b", PIECE - 100, PIECE);
    assert_true(answer((struct sk_webseed_head){.status = 200}));
    assert_int_equal(feed(1, 0, 2 * PIECE, 4000), 4); /* blocks 1 to 3, and the last, of 100 */
}

static void test_status(void **state)
{
    static const struct {
        int status;
        bool lost;
    } rows[] = {{404, true},  {403, true},  {410, true},  {416, true},  {204, true},
                {500, false}, {503, false}, {429, false}, {408, false}, {304, false}};
    for (size_t i = 0; i < SK_ARRAY_LEN(rows); i++) {
        begin_single(4 * PIECE);
        sk_webseed_begin(&w.seed, 0, PIECE);
        expect_get(URL, 0, PIECE);
        assert_false(answer((struct sk_webseed_head){.status = rows[i].status}));
        if (rows[i].lost)
            expect_lost(0, 4);
        else
            expect_waits(5);
        tear_down(NULL);
    }
}

/* Of several files only the pieces of this one are lost. */
static void test_lost_file(void **state)
{
    static const struct sk_file files[] = {
        {.path = "a", .length = PIECE + 1},
        {.path = "b", .offset = PIECE + 1, .length = PIECE - 1},
        {.path = "c", .offset = 2 * PIECE, .length = PIECE},
    };
    begin(files, 3, true);
    sk_webseed_begin(&w.seed, PIECE, 2 * PIECE);
    expect_get(URL "/a", PIECE, 1);
    assert_true(answer((struct sk_webseed_head){.status = 206, .first = PIECE}));
    feed(0, PIECE, 1, 1);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    expect_get(URL "/b", 0, PIECE - 1);
    assert_false(answer((struct sk_webseed_head){.status = 404}));
    expect_lost(1, 2);
}

/* A server that knows nothing of a torrent of many files is not hammered. */
static void test_many_lost(void **state)
{
    struct sk_file files[FILES_MAX];
    for (uint32_t i = 0; i < FILES_MAX; i++)
        files[i] = (struct sk_file){
            .path = "a", .offset = i * (uint64_t)PIECE, .length = i + 1 < FILES_MAX ? PIECE : 1};
    begin(files, FILES_MAX, true);
    for (uint32_t i = 0; i < SK_WEBSEED_LOSSES_MAX + 3; i++) {
        uint32_t piece = i % FILES_MAX;
        sk_webseed_begin(&w.seed, piece * (uint64_t)PIECE, piece * (uint64_t)PIECE + 1);
        assert_int_equal(next(NULL), SK_WEBSEED_GET);
        assert_false(answer((struct sk_webseed_head){.status = 404}));
        expect_lost(piece, piece + 1);
        w.seed.lost_first = w.seed.lost_end = 0; /* as the owner does */
        if (i >= SK_WEBSEED_LOSSES_MAX)
            expect_waits(5u << (i - SK_WEBSEED_LOSSES_MAX));
        assert_true(sk_webseed_ready(&w.seed, w.now_ns));
    }
}

static void test_other_file(void **state)
{
    static const struct sk_webseed_head heads[] = {
        {.status = 206, .total = 4 * PIECE + 1},
        {.status = 206, .total = 3 * PIECE},
        {.status = 200, .length = 4 * PIECE - 1},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(heads); i++) {
        begin_single(4 * PIECE);
        sk_webseed_begin(&w.seed, 0, PIECE);
        expect_get(URL, 0, PIECE);
        assert_false(answer(heads[i]));
        expect_lost(0, 4);
        tear_down(NULL);
    }
}

static void test_other_range(void **state)
{
    static const uint64_t firsts[] = {0, PIECE + 1, SK_WEBSEED_UNKNOWN};
    for (size_t i = 0; i < SK_ARRAY_LEN(firsts); i++) {
        begin_single(4 * PIECE);
        sk_webseed_begin(&w.seed, PIECE, 2 * PIECE);
        expect_get(URL, PIECE, PIECE);
        assert_false(answer((struct sk_webseed_head){.status = 206, .first = firsts[i]}));
        expect_waits(5);
        tear_down(NULL);
    }
}

static void fail_once(struct sk_webseed_head head)
{
    sk_webseed_begin(&w.seed, 0, PIECE);
    assert_int_equal(next(NULL), SK_WEBSEED_GET);
    assert_false(answer(head));
}

/* Longer each time, as long as the server wants, and short again once something came. */
static void test_back_off(void **state)
{
    begin_single(4 * PIECE);
    for (unsigned i = 0; i < 12; i++) {
        fail_once((struct sk_webseed_head){.status = 503});
        expect_waits(i < 7 ? 5u << i : 600);
    }
    fail_once((struct sk_webseed_head){.status = 503, .retry_after_s = 1000});
    expect_waits(1000);
    fail_once((struct sk_webseed_head){.status = 503, .retry_after_s = UINT32_MAX});
    expect_waits(3600);
    sk_webseed_begin(&w.seed, 0, PIECE);
    expect_get(URL, 0, PIECE);
    assert_true(answer((struct sk_webseed_head){.status = 206}));
    feed(0, 0, PIECE, 4096);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    assert_int_equal(next(NULL), SK_WEBSEED_OVER);
    fail_once((struct sk_webseed_head){.status = 503});
    expect_waits(5);
    fail_once((struct sk_webseed_head){.status = 429, .retry_after_s = 20});
    expect_waits(20);
}

static void test_short_and_long(void **state)
{
    begin_single(4 * PIECE);
    sk_webseed_begin(&w.seed, 0, PIECE);
    expect_get(URL, 0, PIECE);
    sk_webseed_ended(&w.seed, "timed out", w.now_ns);
    assert_string_equal(w.seed.reason, "timed out");
    expect_waits(5);
    sk_webseed_begin(&w.seed, 0, PIECE);
    expect_get(URL, 0, PIECE);
    assert_true(answer((struct sk_webseed_head){.status = 206}));
    assert_int_equal(feed(0, 0, PIECE - 1, 4096), 1);
    sk_webseed_ended(&w.seed, NULL, w.now_ns);
    expect_waits(10);
    sk_webseed_begin(&w.seed, 0, PIECE);
    expect_get(URL, 0, PIECE);
    assert_true(answer((struct sk_webseed_head){.status = 206}));
    assert_int_equal(feed(0, 0, PIECE + 1, 4096), 2);
    expect_waits(20);
}

#define MOVED "https://mirror/there"

/* Where a redirect led is asked directly, within the scope of who led there, until that fails. */
static void test_moved(void **state)
{
    struct sk_webseed_head head = {
        .status = 206, .moved = true, .url = MOVED, .scope = SK_SCOPE_PRIVATE};
    begin_single(4 * PIECE);
    for (int i = 0; i < 2; i++) {
        sk_webseed_begin(&w.seed, 0, PIECE);
        expect_get(i ? MOVED : URL, 0, PIECE);
        assert_int_equal(w.out.scope, i ? SK_SCOPE_PRIVATE : SK_SCOPE_PUBLIC);
        assert_true(answer(head));
        feed(0, 0, PIECE, 4096);
        sk_webseed_ended(&w.seed, NULL, w.now_ns);
        assert_int_equal(next(NULL), SK_WEBSEED_OVER);
    }
    sk_webseed_begin(&w.seed, 0, PIECE);
    expect_get(MOVED, 0, PIECE);
    assert_false(answer((struct sk_webseed_head){.status = 404}));
    expect_waits(0);
    sk_webseed_begin(&w.seed, 0, PIECE);
    expect_get(URL, 0, PIECE);
    assert_true(answer(head));
    feed(0, 0, 100, 100);
    sk_webseed_ended(&w.seed, "reset", w.now_ns); /* in its midst: no reason to hurry */
    expect_waits(5);
}

static void test_many_moved(void **state)
{
    begin_single(4 * PIECE);
    for (uint32_t i = 0; i < 3 * SK_WEBSEED_MOVED_MAX; i++) {
        sk_webseed_begin(&w.seed, 0, PIECE);
        assert_int_equal(next(NULL), SK_WEBSEED_GET);
        w.seed.file = 0;
        assert_true(answer((struct sk_webseed_head){.status = 206, .moved = true, .url = MOVED}));
        w.seed.moved[w.seed.moved_next % SK_WEBSEED_MOVED_MAX].file = i + 1;
        sk_webseed_stop(&w.seed);
    }
}

/* Answers that nobody waits for change nothing. */
static void test_stopped(void **state)
{
    begin_single(4 * PIECE);
    sk_webseed_begin(&w.seed, 0, PIECE);
    expect_get(URL, 0, PIECE);
    sk_webseed_stop(&w.seed);
    assert_false(answer((struct sk_webseed_head){.status = 206}));
    sk_webseed_ended(&w.seed, "late", w.now_ns);
    assert_int_equal(next(NULL), SK_WEBSEED_OVER);
    assert_true(sk_webseed_ready(&w.seed, w.now_ns));
    sk_webseed_drop(&w.seed, "because of %d", 7);
    assert_string_equal(w.seed.reason, "because of 7");
    sk_webseed_stop(&w.seed);
    assert_int_equal(w.seed.state, SK_WEBSEED_DROPPED);
    assert_false(sk_webseed_ready(&w.seed, w.now_ns + 1000 * SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test_teardown(test_range, tear_down),
        cmocka_unit_test_teardown(test_files, tear_down),
        cmocka_unit_test_teardown(test_gap, tear_down),
        cmocka_unit_test_teardown(test_whole, tear_down),
        cmocka_unit_test_teardown(test_whole_unaligned, tear_down),
        cmocka_unit_test(test_status),
        cmocka_unit_test_teardown(test_lost_file, tear_down),
        cmocka_unit_test_teardown(test_many_lost, tear_down),
        cmocka_unit_test(test_other_file),
        cmocka_unit_test(test_other_range),
        cmocka_unit_test_teardown(test_back_off, tear_down),
        cmocka_unit_test_teardown(test_short_and_long, tear_down),
        cmocka_unit_test_teardown(test_moved, tear_down),
        cmocka_unit_test_teardown(test_many_moved, tear_down),
        cmocka_unit_test_teardown(test_stopped, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
