/* How deep a pipeline gets: a path of a given rate and delay behind it, in virtual time. */
#include "swarm/pipeline.h"

#include "base/assert.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define BLOCK ((double)SK_BLOCK_SIZE)
#define NO_LIMIT SK_PEER_REQUESTS_MAX

/* A path: blocks come `delay_ns` after they were asked for, at least `block_ns` apart. */
struct path {
    struct sk_pipeline pipeline;
    uint64_t now_ns, delay_ns, block_ns;
    uint64_t asked_ns[NO_LIMIT]; /* ring of what is on the way */
    uint32_t first, count;
    uint64_t last_ns; /* when the last block came */
    uint64_t idle_ns; /* that the path was empty */
    uint32_t deepest;
    uint32_t batches; /* of requests */
};

static void path_init(struct path *path, uint64_t delay_ns, uint64_t block_ns)
{
    *path = (struct path){.now_ns = 1000 * SECOND,
                          .last_ns = 1000 * SECOND,
                          .delay_ns = delay_ns,
                          .block_ns = block_ns};
    sk_pipeline_init(&path->pipeline, path->now_ns);
}

static void path_fill(struct path *path, uint32_t max)
{
    uint32_t room = sk_pipeline_room(&path->pipeline, path->count, max);
    path->deepest = SK_MAX(path->deepest, path->count + room);
    path->batches += room != 0;
    for (; room; room--)
        path->asked_ns[(path->first + path->count++) % NO_LIMIT] = path->now_ns;
}

/* Blocks that came. */
static uint64_t path_run(struct path *path, double seconds, uint32_t max)
{
    uint64_t end_ns = path->now_ns + (uint64_t)(seconds * 1e9), came = 0;
    for (;; came++) {
        path_fill(path, max);
        uint64_t asked_ns = path->asked_ns[path->first];
        uint64_t soonest_ns = path->last_ns + path->block_ns;
        uint64_t at_ns = SK_MAX(asked_ns + path->delay_ns, soonest_ns);
        if (at_ns > end_ns)
            break;
        path->idle_ns += at_ns - soonest_ns;
        path->first = (path->first + 1) % NO_LIMIT;
        path->count--;
        path->now_ns = path->last_ns = at_ns;
        sk_pipeline_came(&path->pipeline, SK_BLOCK_SIZE, at_ns - asked_ns, at_ns);
    }
    path->now_ns = end_ns;
    return came;
}

/* From a slow modem to a fast line, near and far: after some seconds the path is never empty, and
 * what waits in it is what a second brings, or two round trips, and some. */
static void test_paths(void **state)
{
    static const struct {
        double rate, rtt_s; /* bytes/s */
    } paths[] = {
        {20e3, 0.05}, {100e3, 0.3}, {1e6, 0.02}, {1e6, 0.6}, {10e6, 0.001}, {10e6, 0.2}, {5e6, 1.0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(paths); i++) {
        static struct path path;
        path_init(&path, (uint64_t)(paths[i].rtt_s * 1e9), (uint64_t)(BLOCK / paths[i].rate * 1e9));
        path_run(&path, 20, NO_LIMIT);
        uint64_t idle_ns = path.idle_ns;
        path_run(&path, 10, NO_LIMIT);
        assert_true(path.idle_ns - idle_ns < SECOND / 100);
        double ahead_s = SK_MAX(SK_PIPELINE_AHEAD_S, 2 * (paths[i].rtt_s + BLOCK / paths[i].rate));
        uint32_t depth = sk_pipeline_depth(&path.pipeline, NO_LIMIT);
        double most = paths[i].rate * ahead_s / BLOCK * 1.2 + SK_PIPELINE_SPARE + 1;
        assert_true(depth <= most);
        assert_true(depth >= paths[i].rate * paths[i].rtt_s / BLOCK);
    }
}

/* It doubles each round trip, from the first blocks on. */
static void test_begins(void **state)
{
    static struct path path;
    path_init(&path, SECOND / 10, 1000);
    path_fill(&path, NO_LIMIT);
    assert_int_equal(path.count, SK_PIPELINE_FIRST);
    path_run(&path, 0.15, NO_LIMIT);
    assert_int_equal(sk_pipeline_depth(&path.pipeline, NO_LIMIT), 2 * SK_PIPELINE_FIRST);
    path_run(&path, 0.1, NO_LIMIT);
    assert_int_equal(sk_pipeline_depth(&path.pipeline, NO_LIMIT), 4 * SK_PIPELINE_FIRST);
}

static void test_bounds(void **state)
{
    static struct path path;
    /* What the peer takes. */
    path_init(&path, SECOND / 10, 1000);
    path_run(&path, 5, 20);
    assert_int_equal(path.deepest, 20);
    /* A near one is never asked for more than SK_PIPELINE_LONG, however fast. */
    path_init(&path, 1000, 1000);
    path_run(&path, 0.5, NO_LIMIT);
    assert_in_range(path.deepest, SK_PIPELINE_LONG - 1, SK_PIPELINE_LONG);
    /* A far one may be, up to what a session takes. */
    path_init(&path, SECOND, 10000);
    path_run(&path, 30, NO_LIMIT);
    assert_in_range(path.deepest, SK_PIPELINE_LONG + 1, SK_PEER_REQUESTS_MAX);
}

/* It slows down: what waits in the path follows. It gets fast again: so does the depth. */
static void test_follows(void **state)
{
    static struct path path;
    path_init(&path, SECOND / 50, SECOND / 200);
    path_run(&path, 5, NO_LIMIT);
    uint32_t fast = sk_pipeline_depth(&path.pipeline, NO_LIMIT);
    assert_true(fast > 150);
    path.block_ns = SECOND / 10;
    path_run(&path, 40, NO_LIMIT);
    assert_in_range(sk_pipeline_depth(&path.pipeline, NO_LIMIT), 10, 10 + SK_PIPELINE_SPARE + 2);
    path.block_ns = SECOND / 200;
    path_run(&path, 10, NO_LIMIT);
    assert_in_range(sk_pipeline_depth(&path.pipeline, NO_LIMIT), fast * 9 / 10, fast * 11 / 10);
}

/* Choked: it begins anew, yet knows how long the path is. */
static void test_reset(void **state)
{
    static struct path path;
    path_init(&path, SECOND / 10, SECOND / 1000);
    path_run(&path, 5, NO_LIMIT);
    uint64_t rtt_ns = path.pipeline.rtt_min_ns;
    assert_true(rtt_ns >= SECOND / 10);
    sk_pipeline_reset(&path.pipeline, path.now_ns);
    assert_int_equal(sk_pipeline_depth(&path.pipeline, NO_LIMIT), SK_PIPELINE_FIRST);
    assert_int_equal(path.pipeline.rtt_min_ns, rtt_ns);
    assert_true(path.pipeline.rate_bytes_s == 0);
}

/* Nonsense of a clock or a peer does no harm: no time passes, or hours. */
static void test_extremes(void **state)
{
    struct sk_pipeline pipeline;
    sk_pipeline_init(&pipeline, 5);
    for (int i = 0; i < 10000; i++)
        sk_pipeline_came(&pipeline, SK_BLOCK_SIZE, 0, 5);
    assert_int_equal(sk_pipeline_depth(&pipeline, NO_LIMIT), SK_PIPELINE_LONG);
    sk_pipeline_came(&pipeline, 1, UINT64_MAX / 2, UINT64_MAX - 1);
    assert_in_range(sk_pipeline_depth(&pipeline, NO_LIMIT), 1, NO_LIMIT);
    sk_pipeline_init(&pipeline, 0);
    sk_pipeline_came(&pipeline, SK_BLOCK_SIZE, UINT64_MAX, 3600 * SECOND);
    assert_in_range(sk_pipeline_depth(&pipeline, NO_LIMIT), 1, SK_PEER_REQUESTS_MAX);
    assert_int_equal(sk_pipeline_depth(&pipeline, 0), 0);
}

/* A fast peer's requests go in batches, a slow one's each alone. */
static void test_batches(void **state)
{
    static struct path path;
    path_init(&path, SECOND / 100, BLOCK / 100);
    uint64_t came = path_run(&path, 2, NO_LIMIT);
    assert_true(path.batches < came / 20);
    path_init(&path, SECOND / 100, SECOND / 10);
    path_run(&path, 10, NO_LIMIT);
    uint32_t before = path.batches;
    came = path_run(&path, 10, NO_LIMIT);
    assert_in_range(path.batches - before, came - 2, came + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),    cmocka_unit_test(test_batches),
        cmocka_unit_test(test_begins),   cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_follows),  cmocka_unit_test(test_reset),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
