/* Films that start in their middle: those of tests/data/films, and what a hostile one may hold. */
#include "wire/film.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)
#define FILM_MAX (64u << 10)
#define STEPS_MAX (2 * SK_FILM_READS_MAX)

static const char *const names[] = {"whole.mp4",   "fragments.mp4", "absolute.mp4",
                                    "indexed.mp4", "bare.mp4",      "mixed.mp4",
                                    "cues.mkv",    "live.mkv",      "groups.mkv"};

static struct sk_bytes load(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/films/%s", getenv("SKEP_TEST_DATA"), name);
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(FILM_MAX);
    assert_true(file && bytes);
    size_t n = fread(bytes, 1, FILM_MAX, file);
    fclose(file);
    return sk_bytes(bytes, n);
}

static void unload(struct sk_bytes film)
{
    free((void *)film.p);
}

/* The stream that comes of it; the error. It ends within bounds, and only asks for what is there.
 */
static int cut(struct sk_bytes file, uint64_t from_ns, struct sk_buf *ret_stream)
{
    struct sk_film *film;
    struct sk_film_out out;
    uint64_t rest = 0;
    unsigned steps = 0;
    int err = sk_film_new(file.n, from_ns, &film);
    if (err)
        return err;
    for (enum sk_film_want want; (want = sk_film_next(film, &out)) != SK_FILM_END; steps++) {
        const char *reason;
        assert_true(steps < STEPS_MAX);
        if (want == SK_FILM_FAILED) {
            err = sk_film_error(film, &reason);
            assert_true(err < 0 && *reason);
            break;
        }
        if (want == SK_FILM_WRITE) {
            assert_int_equal(out.length, out.bytes.n);
            (void)sk_buf_append(ret_stream, out.bytes.p, out.bytes.n);
            continue;
        }
        assert_true(out.length > 0 && out.offset < file.n && out.length <= file.n - out.offset);
        if (want == SK_FILM_READ) {
            uint8_t *exact = malloc(out.length); /* so that reading past its end is seen */
            memcpy(exact, file.p + out.offset, out.length);
            sk_film_input(film, sk_bytes(exact, out.length));
            free(exact);
            continue;
        }
        assert_true(out.offset >= rest);
        rest = out.rest ? out.offset : 0;
        (void)sk_buf_append(ret_stream, file.p + out.offset, out.length);
    }
    sk_film_free(film);
    return err;
}

static int cut_and_drop(struct sk_bytes file, uint64_t from_ns)
{
    struct sk_buf stream;
    sk_buf_init(&stream, 4 * FILM_MAX);
    int err = cut(file, from_ns, &stream);
    sk_buf_deinit(&stream);
    return err;
}

static bool is_ending(struct sk_bytes file, const struct sk_buf *stream, size_t n)
{
    return stream->n >= n && memcmp(file.p + file.n - n, stream->p + stream->n - n, n) == 0;
}

/* The later the shorter; and a stream that is cut where it was cut is what it was. */
static void test_times(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(names); i++) {
        struct sk_bytes film = load(names[i]);
        bool rebased = strcmp(names[i], "whole.mp4") == 0; /* its times begin at 0 */
        bool indexed =
            strcmp(names[i], "indexed.mp4") == 0; /* what is behind it is not looked at */
        size_t before = SIZE_MAX;
        unsigned lengths = 0;
        for (uint64_t at = 0; at < 8; at++) {
            uint64_t ns = at * SECOND_NS + SECOND_NS / 2;
            struct sk_buf once, twice;
            sk_buf_init(&once, FILM_MAX);
            sk_buf_init(&twice, FILM_MAX);
            assert_int_equal(0, cut(film, ns, &once));
            assert_true(once.n <= before && once.n > 1000);
            lengths += once.n < before;
            before = once.n;
            assert_int_equal(0, cut(sk_buf_bytes(&once), rebased ? 0 : ns, &twice));
            assert_true(indexed ? twice.n <= once.n : twice.n == once.n);
            /* Sound that begins between ticks may move by one. */
            if (!indexed)
                assert_true(is_ending(sk_buf_bytes(&once), &twice, rebased ? 1000 : once.n));
            sk_buf_deinit(&once);
            sk_buf_deinit(&twice);
        }
        assert_int_equal(8, lengths);
        unload(film);
    }
}

static void test_end(void **state)
{
    static const char *const ending[] = {"whole.mp4", "cues.mkv", "groups.mkv"};
    for (size_t i = 0; i < SK_ARRAY_LEN(ending); i++) {
        struct sk_bytes film = load(ending[i]);
        assert_int_equal(0, cut_and_drop(film, 7 * SECOND_NS));
        assert_int_equal(SKEP_ERR_INVALID, cut_and_drop(film, 9 * SECOND_NS));
        assert_int_equal(SKEP_ERR_INVALID, cut_and_drop(film, UINT64_MAX / 2));
        unload(film);
    }
}

static void test_no_film(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int err;
    } files[] = {
        {"", 0, SKEP_ERR_MALFORMED},
        {"a", 1, SKEP_ERR_UNSUPPORTED},
        {"RIFF....AVI LIST", 16, SKEP_ERR_UNSUPPORTED},
        {"\x1a\x45\xdf\xa3", 4, SKEP_ERR_UNSUPPORTED},
        {"\x1a\x45\xdf\xa3\xff", 5, SKEP_ERR_MALFORMED},
        {"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff", 10, SKEP_ERR_MALFORMED},
        {"\0\0\0\x10"
         "ftypisom\0\0\0\0",
         16, SKEP_ERR_MALFORMED},
        {"\0\0\0\0"
         "moov",
         8, SKEP_ERR_MALFORMED},
        {"\0\0\0\1"
         "ftyp\0\0\0\0\0\0\0\0",
         16, SKEP_ERR_MALFORMED},
        {"\0\0\0\1"
         "ftyp\xff\xff\xff\xff\xff\xff\xff\xff",
         16, SKEP_ERR_MALFORMED},
        {"\0\0\0\x08"
         "free\0\0\0\x07"
         "free",
         16, SKEP_ERR_MALFORMED},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(files); i++)
        assert_int_equal(files[i].err,
                         cut_and_drop(sk_bytes(files[i].bytes, files[i].n), SECOND_NS));
}

/* Two lists of places that lead to each other, and no Cues. */
static void test_seek_heads_in_a_loop(void **state)
{
    static const uint8_t film[] = {
        0x1A, 0x45, 0xDF, 0xA3, 0x80,                   /* EBML */
        0x18, 0x53, 0x80, 0x67, 0xFF,                   /* Segment, of unknown size */
        0x11, 0x4D, 0x9B, 0x74, 0x8E, 0x4D, 0xBB, 0x8B, /* at 0: to the one at 47 */
        0x53, 0xAB, 0x84, 0x11, 0x4D, 0x9B, 0x74,       /* */
        0x53, 0xAC, 0x81, 47,                           /* */
        0x16, 0x54, 0xAE, 0x6B, 0x88, 0xAE, 0x86,       /* Tracks: number 1, video */
        0xD7, 0x81, 1,    0x83, 0x81, 1,                /* */
        0x1F, 0x43, 0xB6, 0x75, 0x8A, 0xE7, 0x81, 0,    /* Cluster, time 0 */
        0xA3, 0x85, 0x81, 0,    0,    0x80, 'x',        /* a key frame */
        0x11, 0x4D, 0x9B, 0x74, 0x8E, 0x4D, 0xBB, 0x8B, /* at 47: to itself */
        0x53, 0xAB, 0x84, 0x11, 0x4D, 0x9B, 0x74,       /* */
        0x53, 0xAC, 0x81, 47,                           /* */
    };
    assert_int_equal(0x11, film[10 + 47]);
    struct sk_buf stream;
    sk_buf_init(&stream, FILM_MAX);
    assert_int_equal(0, cut(sk_bytes(film, sizeof film), SECOND_NS, &stream));
    assert_int_equal('x', stream.p[stream.n - 1]);
    sk_buf_deinit(&stream);
}

/* Cues that miss their clusters by a byte: it is found all the same. */
static void test_cues_that_lie(void **state)
{
    static const uint8_t id[] = {0x1C, 0x53, 0xBB, 0x6B};
    struct sk_bytes film = load("cues.mkv");
    struct sk_buf right, found;
    unsigned changed = 0;
    sk_buf_init(&right, FILM_MAX);
    sk_buf_init(&found, FILM_MAX);
    assert_int_equal(0, cut(film, 4 * SECOND_NS, &right));
    uint8_t *p = memmem(film.p + 1000, film.n - 1000, id, sizeof id);
    for (assert_non_null(p); p + 4 <= film.p + film.n; p++)
        if (p[0] == 0xF1 && p[1] == 0x82) { /* CueClusterPosition, of two bytes */
            sk_put_u16(p + 2, (uint16_t)(sk_get_u16(p + 2) - 1));
            changed++;
        }
    assert_true(changed >= 8);
    assert_int_equal(0, cut(film, 4 * SECOND_NS, &found));
    assert_true(sk_bytes_equal(sk_buf_bytes(&right), sk_buf_bytes(&found)));
    sk_buf_deinit(&right);
    sk_buf_deinit(&found);
    unload(film);
}

/* The last box of this type is longer by so much. */
static uint8_t *lengthen(struct sk_bytes film, const char *type, uint32_t more)
{
    uint8_t *box = NULL;
    for (size_t at = 4; at + 4 <= film.n; at++)
        if (memcmp(film.p + at, type, 4) == 0)
            box = (uint8_t *)film.p + at - 4;
    assert_non_null(box);
    sk_put_u32(box, sk_get_u32(box) + more);
    return box;
}

/* Boxes that should be there once, many times: the stream is that of the first. Each would have
 * all of a track's tables gone through. */
static void test_boxes_again(void **state)
{
    enum { MORE = 8 * 500 };
    struct sk_bytes film = load("whole.mp4");
    struct sk_buf right, found;
    sk_buf_init(&right, FILM_MAX);
    sk_buf_init(&found, 4 * FILM_MAX);
    assert_int_equal(0, cut(film, 4 * SECOND_NS, &right));
    static const char *const around[] = {"moov", "trak", "mdia", "minf"};
    uint8_t *minf = NULL;
    for (size_t i = 0; i < SK_ARRAY_LEN(around); i++)
        minf = lengthen(film, around[i], MORE);
    uint8_t *end = minf + sk_get_u32(minf) - MORE;
    memmove(end + MORE, end, film.n - (size_t)(end - film.p));
    for (size_t at = 0; at < MORE; at += 8)
        memcpy(end + at, "\0\0\0\10stbl", 8);
    film.n += MORE;
    assert_int_equal(0, cut(film, 4 * SECOND_NS, &found));
    assert_true(sk_bytes_equal(sk_buf_bytes(&right), sk_buf_bytes(&found)));
    sk_buf_deinit(&right);
    sk_buf_deinit(&found);
    unload(film);
}

/* Where a chunk lies, at the end of all numbers: what is kept of it is not in the file, though its
 * sum with what is left out would be a place in it again. */
static void test_offsets_that_wrap(void **state)
{
    struct sk_bytes film = load("whole.mp4");
    struct sk_buf wide, right, found; /* what is written anew has 8 bytes an offset */
    sk_buf_init(&wide, FILM_MAX);
    sk_buf_init(&right, FILM_MAX);
    sk_buf_init(&found, FILM_MAX);
    assert_int_equal(0, cut(film, 0, &wide));
    unsigned tables = 0, refused = 0;
    for (size_t at = 0; at + 8 < wide.n; at++) {
        if (memcmp(wide.p + at, "co64", 4) != 0)
            continue;
        uint32_t chunks = sk_get_u32(wide.p + at + 8);
        tables++;
        for (uint32_t chunk = 0; chunk < chunks; chunk++) {
            uint8_t *offset = wide.p + at + 12 + 8 * chunk;
            uint64_t kept = sk_get_u64(offset);
            for (uint64_t ns = 0; ns < 8 * SECOND_NS; ns += SECOND_NS / 4) {
                right.n = found.n = 0;
                assert_int_equal(0, cut(sk_buf_bytes(&wide), ns, &right));
                sk_put_u64(offset, UINT64_MAX - 1);
                int err = cut(sk_buf_bytes(&wide), ns, &found);
                refused += err != 0;
                /* it is not looked at, or its track is left out, or it is an error */
                assert_true(err || found.n < right.n ||
                            sk_bytes_equal(sk_buf_bytes(&right), sk_buf_bytes(&found)));
                sk_put_u64(offset, kept);
            }
        }
    }
    assert_int_equal(2, tables);
    assert_true(refused > 0);
    sk_buf_deinit(&wide);
    sk_buf_deinit(&right);
    sk_buf_deinit(&found);
    unload(film);
}

/* Cut anywhere it may still have a beginning, but no more than there is. */
static void test_truncated(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(names); i++) {
        struct sk_bytes film = load(names[i]);
        for (size_t n = 0; n < film.n; n += n < 3000 ? 1 : 97)
            (void)cut_and_drop(sk_bytes(film.p, n), 3 * SECOND_NS);
        unload(film);
    }
}

/* A few bytes of the head or the end are others: whatever it is then, it ends. */
static void test_changed(void **state)
{
    uint64_t random = 88172645463325252u;
    for (unsigned round = 0; round < 6000; round++) {
        struct sk_bytes film = load(names[round % SK_ARRAY_LEN(names)]);
        for (unsigned i = 0; i < 1 + round % 7; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            size_t at = (size_t)(random >> 16) % film.n;
            if (random & 1) /* most of what leads somewhere */
                at = random & 2 ? at % 3000 : film.n - 1 - at % 3000;
            ((uint8_t *)film.p)[at] = (uint8_t)(random & 4 ? random >> 8 : random & 8 ? 0xff : 0);
        }
        (void)cut_and_drop(film, round % 9 * SECOND_NS);
        unload(film);
    }
}

static void test_no_memory(void **state)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(names); i++) {
        struct sk_bytes film = load(names[i]);
        bool failed = true;
        for (size_t nth = 1; failed; nth++) {
            uint8_t stream[64 << 10]; /* no allocations but the film's */
            struct sk_buf buf = {.p = stream, .cap = sizeof stream, .max = sizeof stream};
            sk_mem_fail_nth(nth);
            int err = cut(film, 2 * SECOND_NS, &buf);
            failed = sk_mem_fail_nth(0) >= nth;
            assert_int_equal(failed ? SKEP_ERR_NOMEM : 0, err);
            assert_true(nth < 1000);
        }
        unload(film);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),       cmocka_unit_test(test_end),
        cmocka_unit_test(test_no_film),     cmocka_unit_test(test_seek_heads_in_a_loop),
        cmocka_unit_test(test_truncated),   cmocka_unit_test(test_changed),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_cues_that_lie),
        cmocka_unit_test(test_boxes_again), cmocka_unit_test(test_offsets_that_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
