/* Hashing of files: against hashes of the same bytes held in memory, for v1, v2 and hybrid; what is
 * missing, short, long or in the way (threats: symlinks, files that change meanwhile). */
#include "driver/hashing.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wire/merkle.h"
#include "wire/metainfo_write.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KIB 1024u
#define WAIT_S 30.0

enum { FILES_MAX = 10 };

struct fixture {
    char base[64];
    int base_fd, root; /* root is "top" in it */
    struct sk_metainfo m;
    struct sk_file *files;
    uint8_t *hashes, *piece_roots, *roots;
    uint8_t *space; /* the space of the pieces, padding and gaps as zeros */
};

/* Sizes that meet pieces of 64 KiB in every way, several files to a v1 piece, some empty. */
static const struct sk_file plan[] = {{.path = "a/first", .length = 64 * KIB},
                                      {.path = "a/none", .length = 0},
                                      {.path = "a/odd", .length = 64 * KIB + 1},
                                      {.path = "b", .length = 1},
                                      {.path = "c/d/e", .length = 16 * KIB},
                                      {.path = "c/d/f", .length = 16 * KIB - 1},
                                      {.path = "g", .length = 3 * 64 * KIB + 77},
                                      {.path = "h", .length = 128 * KIB},
                                      {.path = "i", .length = 5},
                                      {.path = "z", .length = 0}};

static uint8_t byte_of(uint32_t file, uint64_t at)
{
    return (uint8_t)(file * 31 + at * 7 + at / 251);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->base, "/tmp/skep-test-hashing-XXXXXX");
    if (!mkdtemp(f->base))
        return -1;
    f->base_fd = open(f->base, O_RDONLY | O_DIRECTORY);
    mkdirat(f->base_fd, "top", 0700);
    f->root = openat(f->base_fd, "top", O_RDONLY | O_DIRECTORY);
    *state = f;
    return f->root < 0 ? -1 : 0;
}

static void drop(struct fixture *f)
{
    sk_mem_free(f->files);
    sk_mem_free(f->hashes);
    sk_mem_free(f->piece_roots);
    sk_mem_free(f->roots);
    free(f->space);
    f->files = NULL;
    f->hashes = f->piece_roots = f->roots = f->space = NULL;
    f->m = (struct sk_metainfo){0};
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    drop(f);
    close(f->root);
    close(f->base_fd);
    snprintf(command, sizeof command, "rm -rf %s", f->base);
    int left = system(command);
    free(f);
    return left;
}

static const char *in(const struct fixture *f, const char *path)
{
    static char buffer[512];
    snprintf(buffer, sizeof buffer, "%s/top/%s", f->base, path);
    return buffer;
}

static void write_files(const struct fixture *f)
{
    char command[256];
    snprintf(command, sizeof command, "mkdir -p %s/top/a %s/top/c/d", f->base, f->base);
    assert_int_equal(0, system(command));
    for (uint32_t i = 0; i < SK_ARRAY_LEN(plan); i++) {
        FILE *file = fopen(in(f, plan[i].path), "wb");
        for (uint64_t at = 0; at < plan[i].length; at++)
            fputc(byte_of(i, at), file);
        assert_int_equal(0, fclose(file));
    }
}

/* Lays out the plan and keeps what its pieces are. */
static void prepare(struct fixture *f, bool v1, bool v2, uint32_t piece_size)
{
    drop(f);
    f->m =
        (struct sk_metainfo){.has_v1 = v1, .has_v2 = v2, .name = "top", .piece_size = piece_size};
    assert_int_equal(0, sk_metainfo_lay_out(&f->m, plan, SK_ARRAY_LEN(plan), &f->files));
    f->hashes = sk_mem_calloc(f->m.pieces, SK_SHA1_SIZE);
    f->piece_roots = sk_mem_calloc(f->m.pieces, SK_SHA256_SIZE);
    f->space = calloc(f->m.span + 1, 1);
    uint32_t number = 0;
    for (uint32_t i = 0; i < f->m.files_count; i++) {
        if (f->files[i].flags & SK_FILE_PADDING)
            continue;
        for (uint64_t at = 0; at < f->files[i].length; at++)
            f->space[f->files[i].offset + at] = byte_of(number, at);
        number++;
    }
}

static void expect_hashes(const struct fixture *f)
{
    const struct sk_metainfo *m = &f->m;
    for (uint32_t i = 0; i < m->pieces; i++) {
        uint64_t begin = (uint64_t)i * m->piece_size;
        uint8_t hash[SK_SHA256_SIZE];
        if (m->has_v1) {
            sk_sha1(f->space + begin, SK_MIN(m->span - begin, m->piece_size), hash);
            assert_memory_equal(hash, f->hashes + i * SK_SHA1_SIZE, SK_SHA1_SIZE);
        }
        if (m->has_v2) {
            const struct sk_file *file = &m->files[sk_metainfo_piece_file(m, i)];
            uint64_t end = SK_MIN(file->offset + file->length, begin + m->piece_size);
            uint64_t reach = SK_MIN(file->length, m->piece_size);
            size_t leaves = sk_merkle_width((reach + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE);
            assert_int_equal(
                0, sk_merkle_root_of_data(sk_bytes(f->space + begin, end - begin), leaves, hash));
            assert_memory_equal(hash, f->piece_roots + i * SK_SHA256_SIZE, SK_SHA256_SIZE);
        }
    }
}

static void run(struct sk_hashing *hashing, struct sk_hashing_progress *ret_progress)
{
    sk_hashing_wait(hashing, WAIT_S, ret_progress);
    assert_int_not_equal(SK_HASHING_RUNNING, ret_progress->state);
    sk_hashing_free(hashing);
}

static struct sk_hashing_progress make(struct fixture *f, unsigned threads)
{
    struct sk_hashing_progress progress;
    struct sk_hashing *hashing;
    assert_int_equal(0,
                     sk_hashing_make(&f->m, f->root, threads, f->hashes, f->piece_roots, &hashing));
    run(hashing, &progress);
    return progress;
}

static const struct {
    bool v1, v2;
} kinds[] = {{true, false}, {false, true}, {true, true}};

static void hashes_what_is_there(void **state)
{
    struct fixture *f = *state;
    write_files(f);
    for (size_t kind = 0; kind < SK_ARRAY_LEN(kinds); kind++)
        for (uint32_t piece = 16 * KIB; piece <= 8192 * KIB; piece *= 2) {
            prepare(f, kinds[kind].v1, kinds[kind].v2, piece);
            struct sk_hashing_progress progress = make(f, piece % 3 + 1);
            assert_int_equal(SK_HASHING_DONE, progress.state);
            assert_int_equal(progress.bytes_total, progress.bytes);
            expect_hashes(f);
        }
}

/* ---- what goes wrong ---- */

static void expect_failure(struct fixture *f, const char *path, int err, int error)
{
    prepare(f, true, true, 64 * KIB);
    struct sk_hashing_progress progress = make(f, 2);
    assert_int_equal(SK_HASHING_FAILED, progress.state);
    assert_string_equal(path, f->files[progress.file].path);
    assert_int_equal(err, progress.err);
    assert_int_equal(error, progress.error);
}

static void names_the_file_that_fails(void **state)
{
    struct fixture *f = *state;
    write_files(f);
    assert_int_equal(0, truncate(in(f, "g"), 100 * KIB));
    expect_failure(f, "g", SKEP_ERR_TRUNCATED, 0);
    write_files(f);
    assert_int_equal(0, truncate(in(f, "c/d/e"), 17 * KIB));
    expect_failure(f, "c/d/e", SKEP_ERR_MISMATCH, 0);
    write_files(f);
    assert_int_equal(0, unlink(in(f, "b")));
    expect_failure(f, "b", SKEP_ERR_IO, ENOENT);
    write_files(f);
    assert_int_equal(0, renameat(f->root, "b", f->base_fd, "outside"));
    assert_int_equal(0, symlink("../outside", in(f, "b")));
    expect_failure(f, "b", SKEP_ERR_IO, ELOOP);
    assert_int_equal(0, unlink(in(f, "b")));
    assert_int_equal(0, mkfifo(in(f, "b"), 0600)); /* does not hang */
    expect_failure(f, "b", SKEP_ERR_IO, EINVAL);
    assert_int_equal(0, unlink(in(f, "b")));
}

static void ends_when_cancelled(void **state)
{
    struct fixture *f = *state;
    struct sk_file sparse = {.path = "huge", .length = UINT64_C(64) << 30};
    struct sk_hashing_progress progress;
    struct sk_hashing *hashing;
    int fd = open(in(f, "huge"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(0, ftruncate(fd, (off_t)sparse.length));
    close(fd);
    f->m = (struct sk_metainfo){.has_v1 = true, .name = "top", .piece_size = 512u << 20};
    assert_int_equal(0, sk_metainfo_lay_out(&f->m, &sparse, 1, &f->files));
    f->hashes = sk_mem_calloc(f->m.pieces, SK_SHA1_SIZE);
    assert_int_equal(0, sk_hashing_make(&f->m, f->root, 2, f->hashes, NULL, &hashing));
    sk_hashing_wait(hashing, 0.05, &progress);
    assert_int_equal(SK_HASHING_RUNNING, progress.state);
    assert_true(progress.bytes < progress.bytes_total);
    sk_hashing_cancel(hashing);
    sk_hashing_wait(hashing, WAIT_S, &progress);
    assert_int_equal(SK_HASHING_CANCELLED, progress.state);
    sk_hashing_free(hashing);
    assert_int_equal(0, sk_hashing_make(&f->m, f->root, 2, f->hashes, NULL, &hashing));
    sk_hashing_free(hashing); /* while it runs */
    assert_int_equal(0, unlink(in(f, "huge")));
}

static void no_memory(void **state)
{
    struct fixture *f = *state;
    struct sk_hashing *hashing = NULL;
    write_files(f);
    prepare(f, true, true, 64 * KIB);
    int failed = 0;
    for (size_t i = 1; i < 100 && !hashing; i++) {
        sk_mem_fail_nth(i);
        int err = sk_hashing_make(&f->m, f->root, 3, f->hashes, f->piece_roots, &hashing);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
        failed += err != 0;
    }
    sk_mem_fail_nth(0);
    assert_true(failed > 3 && hashing);
    sk_hashing_free(hashing);
}

/* ---- checking ---- */

/* The torrent of the plan, as a description that has its hashes. */
static void make_torrent(struct fixture *f, bool v1, bool v2, uint32_t piece_size)
{
    write_files(f);
    prepare(f, v1, v2, piece_size);
    assert_int_equal(SK_HASHING_DONE, make(f, 2).state);
    f->m.hashes = v1 ? f->hashes : NULL;
    if (v2)
        assert_int_equal(0, sk_metainfo_root_files(&f->m, f->files, f->piece_roots, &f->roots));
}

static void check(const struct fixture *f, uint8_t *ret_pieces)
{
    struct sk_hashing_progress progress;
    struct sk_hashing *hashing;
    assert_int_equal(0, sk_hashing_check(&f->m, f->base_fd, 2, ret_pieces, &hashing));
    run(hashing, &progress);
    assert_int_equal(SK_HASHING_DONE, progress.state);
    assert_int_equal(progress.bytes_total, progress.bytes);
}

/* Whether a piece has a byte of a file whose path begins so, from `at` of it on. */
static bool touches(const struct fixture *f, uint32_t piece, const char *path, uint64_t at)
{
    uint64_t begin = (uint64_t)piece * f->m.piece_size, end = begin + f->m.piece_size;
    for (uint32_t i = 0; i < f->m.files_count; i++) {
        const struct sk_file *file = &f->files[i];
        if (strncmp(file->path, path, strlen(path)) == 0 && file->offset + at < end &&
            file->offset + file->length > begin && file->length > at)
            return true;
    }
    return false;
}

/* Pieces that touch it are in this state, all others are right. */
static void expect_pieces(const struct fixture *f, const char *path, uint64_t at,
                          enum sk_hashing_piece expected, const uint8_t *pieces)
{
    for (uint32_t i = 0; i < f->m.pieces; i++)
        assert_int_equal(touches(f, i, path, at) ? expected : SK_HASHING_RIGHT, pieces[i]);
}

static void flip_byte(const struct fixture *f, const char *path, off_t at)
{
    int fd = open(in(f, path), O_RDWR);
    uint8_t byte;
    assert_int_equal(1, pread(fd, &byte, 1, at));
    byte ^= 1;
    assert_int_equal(1, pwrite(fd, &byte, 1, at));
    close(fd);
}

static void checks_what_is_there(void **state)
{
    struct fixture *f = *state;
    uint8_t pieces[64];
    for (size_t kind = 0; kind < SK_ARRAY_LEN(kinds); kind++) {
        make_torrent(f, kinds[kind].v1, kinds[kind].v2, 32 * KIB);
        assert_true(f->m.pieces <= sizeof pieces);
        check(f, pieces);
        expect_pieces(f, "none", 0, SK_HASHING_RIGHT, pieces);
        unlink(in(f, "a/none")); /* an empty file has no piece */
        unlink(in(f, "h"));
        check(f, pieces);
        expect_pieces(f, "h", 0, SK_HASHING_MISSING, pieces);
        write_files(f);
        assert_int_equal(0, truncate(in(f, "g"), 100 * KIB));
        check(f, pieces);
        expect_pieces(f, "g", 100 * KIB, SK_HASHING_MISSING, pieces);
        write_files(f);
        assert_int_equal(0, truncate(in(f, "g"), 1000 * KIB)); /* longer is no harm */
        check(f, pieces);
        expect_pieces(f, "none", 0, SK_HASHING_RIGHT, pieces);
        write_files(f);
        flip_byte(f, "i", 4);
        check(f, pieces);
        expect_pieces(f, "i", 0, SK_HASHING_WRONG, pieces);
        write_files(f);
        assert_int_equal(0, renameat(f->root, "c", f->root, "elsewhere"));
        assert_int_equal(0, symlink("elsewhere", in(f, "c"))); /* followed by nobody */
        check(f, pieces);
        expect_pieces(f, "c/", 0, SK_HASHING_MISSING, pieces);
        assert_int_equal(0, unlink(in(f, "c")));
        assert_int_equal(0, renameat(f->root, "elsewhere", f->root, "c"));
    }
}

static void unknown_layers_are_no_verdict(void **state)
{
    struct fixture *f = *state;
    uint8_t pieces[64];
    make_torrent(f, false, true, 32 * KIB);
    for (uint32_t i = 0; i < f->m.files_count; i++)
        if (strcmp(f->files[i].path, "g") == 0)
            f->files[i].layer = sk_bytes(NULL, 0);
    check(f, pieces);
    expect_pieces(f, "g", 0, SK_HASHING_UNKNOWN, pieces);
}

static void checks_a_single_file(void **state)
{
    struct fixture *f = *state;
    const struct sk_file one = {.path = "b", .length = 1};
    uint8_t piece = 0, byte = byte_of(3, 0), hash[SK_SHA1_SIZE];
    struct sk_hashing_progress progress;
    struct sk_hashing *hashing;
    write_files(f);
    drop(f);
    f->m = (struct sk_metainfo){
        .has_v1 = true, .name = "b", .piece_size = 64 * KIB, .single_file = true};
    assert_int_equal(0, sk_metainfo_lay_out(&f->m, &one, 1, &f->files));
    sk_sha1(&byte, 1, hash);
    f->m.hashes = hash;
    assert_int_equal(0, sk_hashing_check(&f->m, f->root, 1, &piece, &hashing));
    run(hashing, &progress);
    assert_int_equal(SK_HASHING_RIGHT, piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hashes_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(names_the_file_that_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_when_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_layers_are_no_verdict, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_a_single_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
