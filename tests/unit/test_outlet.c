/* What goes to a reader: parts of a file and bytes, in order; readers that are slow, or go. */
#include "driver/outlet.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define FILE_SIZE (1u << 20) /* more than a pipe holds */

static struct {
    char directory[64];
    int root, pipe[2];
    uint8_t file[FILE_SIZE];
    struct sk_outlet *outlet;
} world;

static int set_up(void **state)
{
    snprintf(world.directory, sizeof world.directory, "/tmp/skep-outlet-XXXXXX");
    if (!mkdtemp(world.directory) || pipe2(world.pipe, O_CLOEXEC))
        return -1;
    signal(SIGPIPE, SIG_IGN);
    world.root = open(world.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < FILE_SIZE; i++)
        world.file[i] = (uint8_t)(i * 2654435761u >> 24);
    int file = openat(world.root, "film", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ssize_t n = write(file, world.file, FILE_SIZE);
    close(file);
    return n == FILE_SIZE ? sk_outlet_new(world.root, "film", world.pipe[1], &world.outlet) : -1;
}

static int tear_down(void **state)
{
    sk_outlet_free(world.outlet);
    unlinkat(world.root, "film", 0);
    close(world.root);
    close(world.pipe[0]);
    close(world.pipe[1]);
    return rmdir(world.directory);
}

static void assert_reads(const void *expected, size_t n)
{
    static uint8_t got[FILE_SIZE];
    size_t done = 0;
    while (done < n) {
        ssize_t some = read(world.pipe[0], got + done, n - done);
        assert_true(some > 0);
        done += (size_t)some;
    }
    assert_memory_equal(expected, got, n);
}

/* Waits until it has ended. */
static enum sk_outlet_state end(uint64_t *ret_bytes, int *ret_error)
{
    enum sk_outlet_state state = SK_OUTLET_RUNNING;
    for (unsigned i = 0; i < 5000 && state == SK_OUTLET_RUNNING; i++) {
        usleep(1000);
        state = sk_outlet_look(world.outlet, ret_bytes, ret_error);
    }
    return state;
}

static void test_parts_in_order(void **state)
{
    uint64_t bytes;
    int error;
    sk_outlet_copy(world.outlet, 900000, 100);
    assert_int_equal(0, sk_outlet_write(world.outlet, sk_bytes_text("a head")));
    sk_outlet_copy(world.outlet, 1000, 500);
    assert_reads(world.file + 900000, 100);
    assert_reads("a head", 6);
    sk_outlet_copy(world.outlet, 1500, FILE_SIZE - 1500);
    sk_outlet_finish(world.outlet);
    assert_reads(world.file + 1000, FILE_SIZE - 1000);
    assert_int_equal(SK_OUTLET_DONE, end(&bytes, &error));
    assert_int_equal(106 + FILE_SIZE - 1000, bytes);
}

static void test_nothing_at_all(void **state)
{
    uint64_t bytes;
    int error;
    assert_int_equal(SK_OUTLET_RUNNING, sk_outlet_look(world.outlet, &bytes, &error));
    sk_outlet_finish(world.outlet);
    assert_int_equal(SK_OUTLET_DONE, end(&bytes, &error));
    assert_int_equal(0, bytes);
}

/* Nobody reads: what waits is bounded, parts that follow each other are one, and it ends at once.
 */
static void test_reader_that_does_nothing(void **state)
{
    unsigned parts = 0;
    sk_outlet_copy(world.outlet, 0, FILE_SIZE / 2);
    sk_outlet_copy(world.outlet, FILE_SIZE / 2, FILE_SIZE / 2);
    for (; sk_outlet_has_room(world.outlet); parts++)
        assert_int_equal(0, sk_outlet_write(world.outlet, sk_bytes_text("x")));
    assert_int_equal(SK_OUTLET_PARTS_MAX - 1, parts);
}

static void test_reader_that_goes(void **state)
{
    uint64_t bytes;
    int error;
    close(world.pipe[0]);
    sk_outlet_copy(world.outlet, 0, FILE_SIZE);
    assert_int_equal(SK_OUTLET_CLOSED, end(&bytes, &error));
    world.pipe[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* A file that is shorter than was said. */
static void test_file_that_fails(void **state)
{
    uint64_t bytes;
    int error;
    sk_outlet_copy(world.outlet, FILE_SIZE - 10, 20);
    assert_int_equal(SK_OUTLET_FAILED, end(&bytes, &error));
    assert_int_equal(EIO, error);
    assert_int_equal(0, bytes);
}

#define OUTLET_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OUTLET_TEST(test_parts_in_order),           OUTLET_TEST(test_nothing_at_all),
        OUTLET_TEST(test_reader_that_does_nothing), OUTLET_TEST(test_reader_that_goes),
        OUTLET_TEST(test_file_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
