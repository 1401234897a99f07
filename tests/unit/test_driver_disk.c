/* The driver's disk: spans over files, and nothing outside the root (threats: path traversal,
 * symlinks in the way, device names, disk full, file shorter than expected). */
#include "driver/disk.h"

#include <skep/err.h>

#include "base/assert.h"
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct layout {
    const char *path;
    uint64_t offset, length;
};

/* Torrent 0: three files, an empty one, and padding from 70 to 100 and after 130. */
static const struct layout plain[] = {
    {"top/a", 0, 10}, {"top/empty", 10, 0}, {"top/deep/er/b", 10, 60}, {"top/c", 100, 30}};
#define N32 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define LONG_NAME N32 N32 N32 N32 N32 N32 N32 N32 /* 256 bytes */

/* Torrent 1: what no engine should ever hand over. */
static const struct layout hostile[] = {
    {"../outside", 0, 10}, {"/etc/outside", 10, 10}, {"a/../../outside", 20, 10},
    {"./x", 30, 10},       {"a//b", 40, 10},         {"a/", 50, 10},
    {"", 60, 10},          {LONG_NAME, 70, 10}};
/* Torrent 2: many files, to see that the right one is found and descriptors stay bounded. */
enum { MANY = 1000, MANY_LENGTH = 7 };

/* Stands in for the engine's layouts. */
bool sk_engine_file(const struct skep_engine *engine, uint32_t torrent, uint32_t i,
                    const char **ret_path, uint64_t *ret_offset, uint64_t *ret_length)
{
    static char name[32];
    const struct layout *files = torrent == 0 ? plain : hostile;
    size_t count = torrent == 0 ? SK_ARRAY_LEN(plain) : SK_ARRAY_LEN(hostile);
    if (torrent == 2) {
        snprintf(name, sizeof name, "many/%u", i);
        *ret_path = name;
        *ret_offset = (uint64_t)i * MANY_LENGTH;
        *ret_length = MANY_LENGTH;
        return i < MANY;
    }
    if (torrent == 3) { /* one large file */
        *ret_path = "big";
        *ret_offset = 0;
        *ret_length = 1 << 20;
        return i == 0;
    }
    if (torrent > 2 || i >= count)
        return false;
    *ret_path = files[i].path;
    *ret_offset = files[i].offset;
    *ret_length = files[i].length;
    return true;
}

struct fixture {
    char base[64], root[80];
    uv_loop_t loop;
    struct sk_disk disk;
    unsigned answers;
    uint64_t id;
    int err;
    uint8_t data[8192];
    size_t n;
};

static void on_disk(void *ctx, uint64_t id, bool write, int err, struct sk_bytes data)
{
    struct fixture *f = ctx;
    f->answers++;
    f->id = id;
    f->err = err;
    f->n = SK_MIN(data.n, sizeof f->data);
    if (f->n)
        memcpy(f->data, data.p, f->n);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->base, "/tmp/skep-test-disk-XXXXXX");
    if (!mkdtemp(f->base))
        return -1;
    snprintf(f->root, sizeof f->root, "%s/root", f->base);
    uv_loop_init(&f->loop);
    *state = f;
    return sk_disk_init(&f->disk, &f->loop, NULL, f->root, on_disk, f);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    sk_disk_deinit(&f->disk);
    int busy = uv_loop_close(&f->loop);
    snprintf(command, sizeof command, "rm -rf %s", f->base);
    int left = system(command);
    free(f);
    return busy || left;
}

static int write_at(struct fixture *f, uint32_t torrent, uint64_t offset, const void *p, size_t n)
{
    unsigned before = f->answers;
    sk_disk_write(&f->disk, 1, torrent, offset, sk_bytes(p, n), NULL, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(before + 1, f->answers);
    return f->err;
}

static int read_at(struct fixture *f, uint32_t torrent, uint64_t offset, uint32_t n)
{
    unsigned before = f->answers;
    sk_disk_read(&f->disk, 2, torrent, offset, n);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(before + 1, f->answers);
    return f->err;
}

static const char *in(const struct fixture *f, const char *path)
{
    static char buffer[512];
    snprintf(buffer, sizeof buffer, "%s/%s", f->base, path);
    return buffer;
}

static void put_file(const struct fixture *f, const char *path, const char *text)
{
    int fd = open(in(f, path), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(strlen(text), write(fd, text, strlen(text)));
    close(fd);
}

static void assert_file(const struct fixture *f, const char *path, const char *text)
{
    char buffer[256] = {0};
    int fd = open(in(f, path), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(strlen(text), read(fd, buffer, sizeof buffer - 1));
    assert_string_equal(text, buffer);
    close(fd);
}

static void test_spans_files_and_padding(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[150];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i + 1);
    assert_int_equal(0, write_at(f, 0, 0, bytes, 64));
    assert_int_equal(0, write_at(f, 0, 64, bytes + 64, 86));
    assert_int_equal(0, read_at(f, 0, 0, 150));
    memset(bytes + 70, 0, 30);
    memset(bytes + 130, 0, 20);
    assert_int_equal(150, f->n);
    assert_memory_equal(bytes, f->data, 150);
    assert_int_equal(0, read_at(f, 0, 65, 40));
    assert_memory_equal(bytes + 65, f->data, 40);
    struct stat about;
    assert_int_equal(0, stat(in(f, "root/top/deep/er/b"), &about));
    assert_int_equal(60, about.st_size);
    assert_int_not_equal(0, stat(in(f, "root/top/empty"), &about));
}

static void test_beyond_the_torrent(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(SKEP_ERR_INVALID, write_at(f, 0, 130, "x", 1));
    assert_int_equal(SKEP_ERR_INVALID, write_at(f, 0, UINT64_MAX, "x", 1));
    assert_int_equal(SKEP_ERR_INVALID, read_at(f, 0, INT64_MAX, 2));
    assert_int_equal(SKEP_ERR_INVALID, write_at(f, 9, 0, "x", 1));
}

static void test_missing_and_short_files(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(SKEP_ERR_NOT_FOUND, read_at(f, 0, 0, 10));
    assert_int_equal(0, write_at(f, 0, 0, "01234", 5));
    assert_int_equal(SKEP_ERR_TRUNCATED, read_at(f, 0, 0, 10));
    assert_int_equal(0, f->n);
    assert_int_equal(0, read_at(f, 0, 0, 5));
    assert_memory_equal("01234", f->data, 5);
}

static void test_never_cuts_a_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(0, mkdir(in(f, "root/top"), 0700));
    put_file(f, "root/top/a", "what was here before");
    assert_int_equal(0, write_at(f, 0, 0, "WHAT", 4));
    assert_file(f, "root/top/a", "WHAT was here before");
}

static void test_symlink_as_file(void **state)
{
    struct fixture *f = *state;
    put_file(f, "victim", "precious");
    assert_int_equal(0, mkdir(in(f, "root/top"), 0700));
    assert_int_equal(0, symlink("../../victim", in(f, "root/top/a")));
    assert_int_equal(SKEP_ERR_IO, write_at(f, 0, 0, "x", 1));
    assert_int_equal(SKEP_ERR_IO, read_at(f, 0, 0, 1));
    assert_file(f, "victim", "precious");
}

static void test_symlink_as_directory(void **state)
{
    struct fixture *f = *state;
    struct stat about;
    assert_int_equal(0, mkdir(in(f, "elsewhere"), 0700));
    assert_int_equal(0, mkdir(in(f, "root/top"), 0700));
    assert_int_equal(0, symlink("../../elsewhere", in(f, "root/top/deep")));
    assert_int_equal(SKEP_ERR_IO, write_at(f, 0, 10, "x", 1));
    assert_int_not_equal(0, stat(in(f, "elsewhere/er"), &about));
}

static void test_dangling_symlink(void **state)
{
    struct fixture *f = *state;
    struct stat about;
    assert_int_equal(0, mkdir(in(f, "root/top"), 0700));
    assert_int_equal(0, symlink("../../born", in(f, "root/top/a")));
    assert_int_equal(SKEP_ERR_IO, write_at(f, 0, 0, "x", 1));
    assert_int_not_equal(0, stat(in(f, "born"), &about));
}

static void test_special_files(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(0, mkdir(in(f, "root/top"), 0700));
    assert_int_equal(0, mkfifo(in(f, "root/top/a"), 0600));
    assert_int_equal(SKEP_ERR_IO, write_at(f, 0, 0, "x", 1));
    assert_int_equal(SKEP_ERR_IO, read_at(f, 0, 0, 1));
    assert_int_equal(0, mkdir(in(f, "root/top/c"), 0700));
    assert_int_equal(SKEP_ERR_IO, write_at(f, 0, 100, "x", 1));
}

static void test_traversal_is_impossible(void **state)
{
    struct fixture *f = *state;
    struct stat about;
    for (uint64_t offset = 0; offset < 80; offset += 10)
        assert_int_equal(SKEP_ERR_IO, write_at(f, 1, offset, "x", 1));
    assert_int_not_equal(0, stat(in(f, "outside"), &about));
    assert_int_not_equal(0, stat("/etc/outside", &about));
}

static void test_many_files(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[MANY * MANY_LENGTH];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    for (unsigned i = 0; i < MANY / 100; i++) /* several jobs at once */
        sk_disk_write(&f->disk, i, 2, i * 700, sk_bytes(bytes + i * 700, 700), NULL, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(MANY / 100, f->answers);
    unsigned open_files = 0;
    for (int i = 0; i < SK_DISK_FILES_MAX; i++)
        open_files += f->disk.files[i].fd >= 0 && f->disk.files[i].users == 0;
    assert_int_equal(SK_DISK_FILES_MAX, open_files);
    assert_int_equal(0, read_at(f, 2, 0, sizeof bytes));
    assert_memory_equal(bytes, f->data, sizeof bytes);
    assert_int_equal(0, read_at(f, 2, 6993, 7));
    assert_memory_equal(bytes + 6993, f->data, 7);
}

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, tight = {.rlim_cur = 4, .rlim_max = RLIM_INFINITY};
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &before));
    tight.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &tight));
    int err = write_at(f, 0, 0, "0123456789", 10);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    assert_int_equal(SKEP_ERR_STORE, err);
}

static void test_full_device(void **state)
{
    struct fixture *f = *state;
    /* A file system of 64 KiB, where we may make one: in a mount namespace, so none is left. */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", f->root, "tmpfs", 0, "size=64k") != 0)
        skip();
    struct sk_disk disk;
    assert_int_equal(0, sk_disk_init(&disk, &f->loop, NULL, f->root, on_disk, f));
    static uint8_t big[128 << 10];
    sk_disk_write(&disk, 5, 3, 0, sk_bytes(big, sizeof big), NULL, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    int err = f->err;
    sk_disk_deinit(&disk);
    assert_int_equal(0, umount(f->root));
    assert_int_equal(SKEP_ERR_STORE, err);
}

static void test_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    f->disk.bytes = SK_DISK_QUEUE_BYTES_MAX - 4;
    assert_int_equal(SKEP_ERR_LIMIT, write_at(f, 0, 0, "01234", 5));
    assert_int_equal(0, write_at(f, 0, 0, "0123", 4));
    f->disk.bytes = 0;
}

static void test_unusable_root(void **state)
{
    struct fixture *f = *state;
    struct sk_disk disk;
    put_file(f, "file", "");
    assert_int_equal(SKEP_ERR_IO, sk_disk_init(&disk, &f->loop, NULL, in(f, "file"), on_disk, f));
    assert_int_equal(ENOTDIR, errno);
    assert_int_equal(SKEP_ERR_IO,
                     sk_disk_init(&disk, &f->loop, NULL, in(f, "file/way"), on_disk, f));
    assert_int_equal(ENOTDIR, errno);
    sk_disk_deinit(&disk);
}

static void test_makes_directories(void **state)
{
    struct fixture *f = *state;
    struct sk_disk disk;
    assert_int_equal(0, sk_disk_init(&disk, &f->loop, NULL, in(f, "these//are/made/"), on_disk, f));
    sk_disk_deinit(&disk);
    assert_int_equal(0, access(in(f, "these/are/made"), W_OK));
}

static void test_without_a_directory(void **state)
{
    struct fixture *f = *state;
    struct sk_disk disk = {.fn = on_disk, .ctx = f};
    sk_disk_write(&disk, 3, 0, 0, sk_bytes("x", 1), NULL, 0);
    assert_int_equal(SKEP_ERR_STATE, f->err);
    sk_disk_read(&disk, 4, 0, 0, 1);
    assert_int_equal(SKEP_ERR_STATE, f->err);
    sk_disk_deinit(&disk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_spans_files_and_padding),
        TEST(test_beyond_the_torrent),
        TEST(test_missing_and_short_files),
        TEST(test_never_cuts_a_file),
        TEST(test_symlink_as_file),
        TEST(test_symlink_as_directory),
        TEST(test_dangling_symlink),
        TEST(test_special_files),
        TEST(test_traversal_is_impossible),
        TEST(test_many_files),
        TEST(test_full_disk),
        TEST(test_full_device),
        TEST(test_queue_is_bounded),
        TEST(test_unusable_root),
        TEST(test_makes_directories),
        TEST(test_without_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
