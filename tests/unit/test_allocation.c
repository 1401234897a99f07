/* Room reserved on the disk: all of it, what is there stays, and what has no room (threats: links
 * in the way, disk full). */
#include "driver/allocation.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KIB 1024u

static char root_path[64];
static int root;

static int set_up(void **state)
{
    snprintf(root_path, sizeof root_path, "/tmp/skep-allocation-XXXXXX");
    assert_non_null(mkdtemp(root_path));
    root = open(root_path, O_RDONLY | O_DIRECTORY);
    assert_true(root >= 0);
    return 0;
}

static int tear_down(void **state)
{
    char command[100];
    close(root);
    snprintf(command, sizeof command, "rm -rf %s", root_path);
    assert_int_equal(system(command), 0);
    return 0;
}

static enum sk_allocation_state allocate(const char *const *paths, const uint64_t *lengths,
                                         size_t count, uint64_t *ret_bytes, int *ret_error)
{
    struct sk_allocation_file *files = sk_mem_calloc(count, sizeof *files);
    struct sk_allocation *allocation;
    enum sk_allocation_state state;
    const char *path;
    for (size_t i = 0; i < count; i++)
        files[i] = (struct sk_allocation_file){sk_mem_strdup(paths[i]), lengths[i]};
    assert_int_equal(sk_allocation_new(root, files, count, &allocation), 0);
    do {
        usleep(1000);
        state = sk_allocation_look(allocation, ret_bytes, ret_error, &path);
    } while (state == SK_ALLOCATION_RUNNING);
    assert_int_equal(state == SK_ALLOCATION_FAILED, path != NULL);
    sk_allocation_free(allocation);
    return state;
}

static void test_all(void **state)
{
    static const char *const paths[] = {"a", "deep/er/b"};
    static const uint64_t lengths[] = {300 * KIB, 70u << 20}; /* the second in two steps */
    struct stat about;
    char held[4] = {0};
    uint64_t bytes;
    int error, file = openat(root, "a", O_RDWR | O_CREAT, 0600);
    assert_int_equal(pwrite(file, "held", 4, 100), 4);
    assert_int_equal(allocate(paths, lengths, 2, &bytes, &error), SK_ALLOCATION_DONE);
    assert_int_equal(bytes, lengths[0] + lengths[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fstatat(root, paths[i], &about, 0), 0);
        assert_int_equal(about.st_size, lengths[i]);
        assert_true((uint64_t)about.st_blocks * 512 >= lengths[i]);
    }
    assert_int_equal(pread(file, held, 4, 100), 4);
    assert_memory_equal(held, "held", 4);
    close(file);
}

static void test_no_room(void **state)
{
    static const char *const paths[] = {"small", "large"};
    static const uint64_t lengths[] = {10 * KIB, 200u << 20};
    const struct rlimit limit = {100u << 20, RLIM_INFINITY};
    struct rlimit before;
    struct stat about;
    uint64_t bytes;
    int error, file = openat(root, "large", O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(file, "held", 4), 4);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(allocate(paths, lengths, 2, &bytes, &error), SK_ALLOCATION_FAILED);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(error, EFBIG);
    assert_int_equal(fstat(file, &about), 0);
    assert_int_equal(about.st_size, 4); /* the first step is given back */
    assert_int_equal(fstatat(root, "small", &about, 0), 0);
    assert_int_equal(about.st_size, 10 * KIB);
    close(file);
}

static void test_link_in_the_way(void **state)
{
    static const char *const paths[] = {"link"};
    static const uint64_t lengths[] = {KIB};
    uint64_t bytes;
    int error;
    assert_int_equal(symlinkat("elsewhere", root, "link"), 0);
    assert_int_equal(allocate(paths, lengths, 1, &bytes, &error), SK_ALLOCATION_FAILED);
    assert_int_equal(error, ELOOP);
    assert_int_not_equal(faccessat(root, "elsewhere", F_OK, 0), 0);
}

/* Ended in the middle of it. */
static void test_free_early(void **state)
{
    struct sk_allocation_file *files = sk_mem_calloc(1, sizeof *files);
    struct sk_allocation *allocation;
    files[0] = (struct sk_allocation_file){sk_mem_strdup("a"), 200u << 20};
    assert_int_equal(sk_allocation_new(root, files, 1, &allocation), 0);
    sk_allocation_free(allocation);
    sk_allocation_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_in_the_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_early, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
