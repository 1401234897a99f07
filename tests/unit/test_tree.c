/* What is found below a directory: order, what is passed over, bounds (threats: symlinks). */
#include "driver/tree.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char base[64];
    int root;
    struct sk_tree tree;
    unsigned skipped[3];
};

static void on_skipped(void *ctx, const char *path, enum sk_tree_skip why)
{
    struct fixture *f = ctx;
    f->skipped[why]++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->base, "/tmp/skep-test-tree-XXXXXX");
    if (!mkdtemp(f->base))
        return -1;
    f->root = open(f->base, O_RDONLY | O_DIRECTORY);
    f->tree.skipped = on_skipped;
    f->tree.ctx = f;
    *state = f;
    return f->root < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    sk_tree_deinit(&f->tree);
    close(f->root);
    snprintf(command, sizeof command, "rm -rf %s", f->base);
    int left = system(command);
    free(f);
    return left;
}

static void put(const struct fixture *f, const char *path, size_t length, mode_t mode)
{
    int fd = openat(f->root, path, O_WRONLY | O_CREAT | O_EXCL, mode);
    assert_true(fd >= 0);
    assert_int_equal(0, ftruncate(fd, (off_t)length));
    close(fd);
}

static void lists_in_the_order_of_a_file_tree(void **state)
{
    static const char *const expected[] = {".hidden", "B", "a/b", "a/c", "a.txt", "\xff"};
    struct fixture *f = *state;
    mkdirat(f->root, "a", 0700);
    mkdirat(f->root, "empty", 0700);
    for (size_t i = 0; i < SK_ARRAY_LEN(expected); i++)
        put(f, expected[SK_ARRAY_LEN(expected) - 1 - i], i, i == 5 ? 0700 : 0600);
    assert_int_equal(0, sk_tree_read(&f->tree, f->root));
    assert_int_equal(SK_ARRAY_LEN(expected), f->tree.count);
    for (size_t i = 0; i < SK_ARRAY_LEN(expected); i++) {
        assert_string_equal(expected[i], f->tree.files[i].path);
        assert_int_equal(5 - i, f->tree.files[i].length);
        assert_int_equal(i == 0 ? SK_FILE_EXECUTABLE : 0, f->tree.files[i].flags);
    }
}

static void passes_over_what_is_no_file(void **state)
{
    struct fixture *f = *state;
    struct stat about;
    put(f, "real", 3, 0600);
    put(f, "old.torrent", 3, 0600);
    symlinkat("/etc", f->root, "folder");
    symlinkat("real", f->root, "link");
    symlinkat("nowhere", f->root, "dangling");
    mkfifoat(f->root, "pipe", 0600);
    assert_int_equal(0, fstatat(f->root, "old.torrent", &about, 0));
    f->tree.exclude = &about;
    assert_int_equal(0, sk_tree_read(&f->tree, f->root));
    assert_int_equal(1, f->tree.count);
    assert_string_equal("real", f->tree.files[0].path);
    assert_int_equal(3, f->skipped[SK_TREE_LINK]);
    assert_int_equal(1, f->skipped[SK_TREE_SPECIAL]);
    assert_int_equal(1, f->skipped[SK_TREE_EXCLUDED]);
}

static void is_not_led_too_deep(void **state)
{
    struct fixture *f = *state;
    int dir = dup(f->root);
    for (int i = 0; i <= SK_TREE_DEPTH_MAX; i++) {
        assert_int_equal(0, mkdirat(dir, "d", 0700));
        int below = openat(dir, "d", O_RDONLY | O_DIRECTORY);
        close(dir);
        dir = below;
    }
    close(dir);
    assert_int_equal(SKEP_ERR_LIMIT, sk_tree_read(&f->tree, f->root));
    assert_true(strlen(f->tree.path) > SK_TREE_DEPTH_MAX);
}

static void says_where_it_failed(void **state)
{
    struct fixture *f = *state;
    if (geteuid() == 0)
        skip(); /* to root everything is readable */
    mkdirat(f->root, "a", 0700);
    put(f, "a/closed", 3, 0);
    assert_int_equal(SKEP_ERR_IO, sk_tree_read(&f->tree, f->root));
    assert_int_equal(EACCES, errno);
    assert_string_equal("a/closed", f->tree.path);
}

static void no_memory(void **state)
{
    struct fixture *f = *state;
    mkdirat(f->root, "a", 0700);
    put(f, "a/b", 3, 0600);
    put(f, "c", 3, 0600);
    int err = SKEP_ERR_NOMEM;
    size_t i = 1;
    for (; err; i++) {
        sk_tree_deinit(&f->tree);
        sk_mem_fail_nth(i);
        err = sk_tree_read(&f->tree, f->root);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
    }
    sk_mem_fail_nth(0);
    assert_true(i > 5);
    assert_int_equal(2, f->tree.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lists_in_the_order_of_a_file_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(passes_over_what_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(is_not_led_too_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(says_where_it_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
