/* Runtimes as guests in one loop: they see to what comes in, to their timers, and to what is asked
 * of them from outside; a store of a program's own takes the disk's place. */
#include "base/assert.h"
#include "base/bucket.h"
#include "base/mem.h"
#include "driver/guest.h"
#include "engine/downloader.h"
#include "swarm/lab_content.h"
#include "wire/metainfo.h"

#include <skep/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECONDS_MAX 20

static const struct sk_lab_torrent small = {
    .name = "a.bin", .size = 1000000, .piece_size = 65536, .has_v1 = true, .seed = 5};

struct inn;

struct lodger {
    struct inn *inn;
    struct sk_guest guest;
    struct skep_runtime *runtime;
    struct skep_torrent *torrent;
    struct sk_downloads *downloads;
    struct sk_downloader *downloader;
    unsigned turns, ticks, reads, writes;
    int read_error; /* what its store says */
};

struct inn {
    uv_loop_t loop;
    uv_timer_t limit;
    struct sk_lab_content content;
    struct lodger seed, leech;
    bool late;
};

static int store_write(void *ctx, const struct sk_out *out)
{
    struct lodger *lodger = ctx;
    lodger->writes++;
    assert_non_null(out->verify);
    return sk_metainfo_verify_piece(out->verify, out->piece, out->bytes) == 1 ? 0
                                                                              : SKEP_ERR_MISMATCH;
}

static int store_read(void *ctx, const struct sk_out *out, uint8_t *ret_bytes)
{
    struct lodger *lodger = ctx;
    lodger->reads++;
    sk_lab_content_read(&lodger->inn->content, out->offset, ret_bytes, out->length);
    return lodger->read_error;
}

static void on_turned(void *ctx)
{
    struct lodger *lodger = ctx;
    lodger->turns++;
}

static void on_tick(struct skep_runtime *runtime, void *ctx)
{
    struct lodger *lodger = ctx;
    struct sk_downloader_status status;
    lodger->ticks++;
    if (!lodger->downloader)
        return;
    sk_downloader_tick(lodger->downloader, skep_runtime_now(runtime));
    sk_downloader_status(lodger->downloader, &status);
    if (status.state == SK_DOWNLOADER_DONE)
        uv_stop(&lodger->inn->loop);
}

static void on_late(uv_timer_t *timer)
{
    struct inn *inn = timer->data;
    inn->late = true;
    uv_stop(&inn->loop);
}

static void lodge(struct inn *inn, struct lodger *lodger, const char *address, uint64_t limit,
                  const struct sk_buf *torrent)
{
    const struct sk_runtime_store store = {store_write, store_read, lodger};
    const struct skep_config config = {.bind = address,
                                       .no_trackers = true,
                                       .no_pex = true,
                                       .no_lsd = true,
                                       .no_dht = true,
                                       .encryption = SKEP_ENCRYPTION_OFF,
                                       .give = true,
                                       .rate_limit_bytes_s = limit,
                                       .seed = lodger == &inn->seed ? 7 : 8};
    const char *reason = "";
    lodger->inn = inn;
    if (sk_runtime_new(&config, &store, &lodger->runtime, &reason))
        fail_msg("%s", reason);
    struct skep_engine *engine = skep_runtime_engine(lodger->runtime);
    assert_int_equal(skep_engine_add_file(engine, torrent->p, torrent->n, &lodger->torrent, NULL),
                     0);
    assert_int_equal(skep_runtime_every(lodger->runtime, 0.02, on_tick, lodger), 0);
    assert_int_equal(sk_guest_init(&lodger->guest, &inn->loop, lodger->runtime, on_turned, lodger),
                     0);
}

/* One that has everything and one that has nothing and knows where the other is. */
static struct inn *open_limited(uint64_t limit)
{
    struct inn *inn = calloc(1, sizeof *inn);
    const struct sk_downloader_config config = {.seed = 3};
    struct sk_buf torrent;
    char address[64];
    assert_int_equal(uv_loop_init(&inn->loop), 0);
    assert_int_equal(sk_lab_content_init(&inn->content, &small), 0);
    sk_buf_init(&torrent, 1 << 20);
    assert_int_equal(sk_lab_content_write(&inn->content, NULL, 0, &torrent), 0);
    lodge(inn, &inn->seed, "127.74.9.1", 0, &torrent);
    lodge(inn, &inn->leech, "127.74.9.2", limit, &torrent);
    sk_buf_deinit(&torrent);
    struct lodger *leech = &inn->leech;
    assert_int_equal(sk_downloads_new(skep_runtime_engine(leech->runtime), &leech->downloads), 0);
    assert_int_equal(
        sk_downloader_new(leech->downloads, leech->torrent, &config, &leech->downloader), 0);
    for (uint32_t piece = 0; piece < inn->content.pieces; piece++)
        assert_int_equal(skep_torrent_has_stored(inn->seed.torrent, piece), 0);
    snprintf(address, sizeof address, "127.74.9.1:%u", skep_runtime_port(inn->seed.runtime));
    assert_int_equal(skep_torrent_add_peer(leech->torrent, address), 0);
    uv_timer_init(&inn->loop, &inn->limit);
    inn->limit.data = inn;
    return inn;
}

static struct inn *open_inn(void)
{
    return open_limited(0);
}

static void start(struct lodger *lodger)
{
    assert_int_equal(skep_torrent_start(lodger->torrent, uv_hrtime()), 0);
    sk_guest_wake(&lodger->guest);
}

static void run(struct inn *inn, unsigned ms)
{
    uv_update_time(&inn->loop);
    inn->late = false;
    uv_timer_start(&inn->limit, on_late, ms, 0);
    uv_run(&inn->loop, UV_RUN_DEFAULT);
}

static void move_out(struct lodger *lodger)
{
    sk_guest_deinit(&lodger->guest);
    skep_runtime_free(lodger->runtime);
    sk_downloads_free(lodger->downloads);
    lodger->runtime = NULL;
    lodger->downloads = NULL;
}

static void close_inn(struct inn *inn)
{
    move_out(&inn->seed);
    move_out(&inn->leech);
    uv_close((uv_handle_t *)&inn->limit, NULL);
    uv_run(&inn->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&inn->loop), 0);
    sk_lab_content_deinit(&inn->content);
    free(inn);
}

static void test_guests_trade(void **state)
{
    struct inn *inn = open_inn();
    start(&inn->seed);
    start(&inn->leech);
    run(inn, SECONDS_MAX * 1000);
    assert_false(inn->late);
    assert_int_equal(inn->leech.writes, inn->content.pieces);
    assert_true(inn->seed.reads > 0 && inn->seed.writes == 0 && inn->leech.reads == 0);
    close_inn(inn);
}

static void test_timers_of_guests_are_kept(void **state)
{
    struct inn *inn = open_inn();
    run(inn, 500);
    assert_true(inn->late);
    assert_in_range(inn->seed.ticks, 12, 25); /* of 20 ms */
    assert_in_range(inn->leech.ticks, 12, 25);
    assert_in_range(inn->seed.turns, 12, 80); /* and nothing is turned for nothing */
    close_inn(inn);
}

static void test_a_guest_may_go_first(void **state)
{
    struct inn *inn = open_inn();
    start(&inn->seed);
    start(&inn->leech);
    run(inn, 30);
    move_out(&inn->seed);
    run(inn, 200);
    unsigned turns = inn->seed.turns, ticks = inn->leech.ticks;
    run(inn, 200);
    assert_int_equal(inn->seed.turns, turns);
    assert_true(inn->leech.ticks > ticks);
    move_out(&inn->seed); /* once more is nothing */
    close_inn(inn);
}

static void test_a_store_that_fails_gives_nothing(void **state)
{
    struct inn *inn = open_inn();
    inn->seed.read_error = SKEP_ERR_IO;
    start(&inn->seed);
    start(&inn->leech);
    run(inn, 500);
    assert_true(inn->late && inn->seed.reads > 0);
    assert_int_equal(inn->leech.writes, 0);
    close_inn(inn);
}

/* Not only in the long run: no read takes far more than there is room for. */
static void test_a_rate_limit_holds_from_the_beginning(void **state)
{
    const double limit = 200000, ms = 700;
    struct inn *inn = open_limited((uint64_t)limit);
    struct sk_downloader_status status;
    /* With no other timers than the engines' own. */
    skep_runtime_every(inn->seed.runtime, 0, NULL, NULL);
    skep_runtime_every(inn->leech.runtime, 0, NULL, NULL);
    start(&inn->seed);
    start(&inn->leech);
    uint64_t began_ns = uv_hrtime();
    run(inn, (unsigned)ms);
    double most = limit * (double)(uv_hrtime() - began_ns) / 1e9;
    assert_true(inn->late);
    sk_downloader_status(inn->leech.downloader, &status);
    assert_true((double)status.received_bytes <= most + limit * 2 * SK_BUCKET_BURST_S);
    assert_true((double)status.received_bytes >= limit * ms / 1000 * 0.6);
    close_inn(inn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guests_trade),
        cmocka_unit_test(test_timers_of_guests_are_kept),
        cmocka_unit_test(test_a_guest_may_go_first),
        cmocka_unit_test(test_a_rate_limit_holds_from_the_beginning),
        cmocka_unit_test(test_a_store_that_fails_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
