/* An audit comes out of its file as it went in: report and observations. */
#include "store/replay.h"

#include <skep/err.h>

#include "base/mem.h"
#include "report_sample.h"
#include "store/report_json.h"
#include "store/report_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define BEGIN_NS UINT64_C(5000000000)

static const struct sk_report_style open_style;
static char path[] = "/tmp/skep-replay-XXXXXX";
static char reason[SK_DATABASE_REASON_MAX];
static struct sk_report sample;

static int set_up(void **state)
{
    int fd = mkstemp(path);
    sample_report(&sample);
    return fd < 0 || close(fd) || unlink(path) ? -1 : 0;
}

static int tear_down(void **state)
{
    sk_report_deinit(&sample);
    unlink(path);
    strcpy(path + sizeof path - 7, "XXXXXX");
    return 0;
}

/* One observation of each kind, with everything in it that a kind can say. */
static unsigned make_observations(struct sk_observation observations[SK_OBS_KIND_COUNT])
{
    static const struct sk_endpoint nobody = {.family = SK_FAMILY_NONE};
    static const char *const texts[SK_OBS_KIND_COUNT] = {
        [SK_OBS_TRACKER_CLAIM] = "udp://tracker.example:1",
        [SK_OBS_TRACKER_FAILED] = "udp://tracker.example:1\tbusy",
        [SK_OBS_FAILED] = "refused",
        [SK_OBS_OPEN] = "-qB5000-012345678901",
        [SK_OBS_CLIENT] = "qBittorrent 5.0",
        [SK_OBS_CLOSED] = "reset",
        [SK_OBS_BITFIELD] = "\xff\x80",
        [SK_OBS_SHORT_PIECES] = "\x01\x01\x01\x01\x02\x02\x02\x02",
        [SK_OBS_SELF] = "-SK0000-012345678901",
        [SK_OBS_ANNOUNCED] = "udp://tracker.example:1",
    };
    for (int i = 0; i < SK_OBS_KIND_COUNT; i++)
        observations[i] = (struct sk_observation){
            .at_ns = BEGIN_NS + (uint64_t)i * 1000,
            .kind = (enum sk_observation_kind)i,
            .peer = sample.peers[i % 5].endpoint,
            .by = i == SK_OBS_DROPPED ? sample.peers[6].endpoint : nobody,
            .source = i == SK_OBS_HEARD ? SK_SOURCE_PEX : 0,
            .a = i == SK_OBS_TRACKER_CLAIM ? -1 : 0,
            .bytes = texts[i] ? sk_bytes_text(texts[i]) : sk_bytes(NULL, 0),
        };
    observations[SK_OBS_HEARD].a = 3;
    observations[SK_OBS_HEARD].b = 1;
    observations[SK_OBS_TRACKER_CLAIM].b = 7;
    observations[SK_OBS_TRACKER_CLAIM].c = -1;
    observations[SK_OBS_BLOCK].a = 5;
    observations[SK_OBS_BLOCK].b = 16384;
    observations[SK_OBS_BLOCK].c = 1234567;
    observations[SK_OBS_ARRIVAL].a = INT64_C(1) << 40;
    observations[SK_OBS_HAVE].a = 6;
    observations[SK_OBS_HAVE].b = 1;
    observations[SK_OBS_OFFERED].a = 7;
    observations[SK_OBS_GIVEN].a = 7;
    observations[SK_OBS_GIVEN].b = 16384;
    observations[SK_OBS_GIVEN].c = 16383;
    observations[SK_OBS_ANNOUNCED].a = 81234;
    observations[SK_OBS_ANNOUNCED].b = 1;
    observations[SK_OBS_ANNOUNCED].c = INT64_C(1) << 33;
    return SK_OBS_KIND_COUNT;
}

static void write_audit(const struct sk_report_style *style, bool finished)
{
    struct sk_report_store *store;
    struct sk_observation observations[SK_OBS_KIND_COUNT];
    unsigned count = make_observations(observations);
    assert_int_equal(0, sk_report_store_open(path, style, &store, reason));
    assert_int_equal(
        0, sk_report_store_begin(store, sample.started_unix_s, BEGIN_NS, sample.info_hash));
    for (unsigned i = 0; i < count; i++)
        sk_report_store_observe(&observations[i], store);
    if (finished)
        assert_int_equal(0, sk_report_store_finish(store, &sample));
    sk_report_store_close(store);
}

static void assert_same_json(const struct sk_report *report, const struct sk_report_style *style,
                             const struct sk_report_style *style_before)
{
    struct sk_buf before, after;
    sk_buf_init(&before, 16u << 20);
    sk_buf_init(&after, 16u << 20);
    assert_int_equal(0, sk_report_write_json(&sample, style_before, &before));
    assert_int_equal(0, sk_report_write_json(report, style, &after));
    sk_buf_append(&before, "", 1);
    sk_buf_append(&after, "", 1);
    assert_string_equal((char *)before.p, (char *)after.p);
    sk_buf_deinit(&before);
    sk_buf_deinit(&after);
}

static void check_report(const struct sk_report_style *style)
{
    struct sk_report report;
    struct sk_replay *replay;
    write_audit(style, true);
    assert_int_equal(0, sk_replay_open(path, 0, &replay, reason));
    assert_int_equal(style->anonymizer != NULL, sk_replay_anonymizer(replay) != NULL);
    const struct sk_report_style again = {sk_replay_anonymizer(replay)};
    assert_int_equal(0, sk_replay_report(replay, &report));
    assert_same_json(&report, &again, style);
    sk_report_deinit(&report);
    sk_replay_close(replay);
}

static void test_the_report_comes_back(void **state)
{
    check_report(&open_style);
}

/* Pseudonyms stay what they are, in addresses and in texts. */
static void test_the_anonymized_report_comes_back(void **state)
{
    static const uint8_t key[SK_ANONYMIZER_KEY_SIZE] = "a key that tests know of";
    struct sk_anonymizer anonymizer;
    sk_anonymizer_init(&anonymizer, key);
    const struct sk_report_style style = {&anonymizer};
    check_report(&style);
}

static const struct sk_report_peer *first_served(const struct sk_report *report)
{
    for (size_t i = 0; i < report->peers_count; i++)
        if (sk_endpoint_equal(&report->peers[i].endpoint, &sample.peers[0].endpoint))
            return &report->peers[i];
    fail_msg("the peer is gone");
    return NULL;
}

/* Flows are computed anew, from rates that no reader is shown in full. */
static void test_numbers_come_back_as_they_were(void **state)
{
    struct sk_report report;
    struct sk_replay *replay;
    const struct sk_rate odd = {8.4e6 / 7, 7.9e6 / 7, 9.1e6 / 3};
    sample.peers[0].capacity = odd;
    write_audit(&open_style, true);
    assert_int_equal(0, sk_replay_open(path, 0, &replay, reason));
    assert_int_equal(0, sk_replay_report(replay, &report));
    const struct sk_rate *again = &first_served(&report)->capacity;
    assert_true(again->rate == odd.rate && again->low == odd.low && again->high == odd.high);
    assert_same_json(&report, &open_style, &open_style);
    sk_report_deinit(&report);
    sk_replay_close(replay);
}

static void test_a_report_with_nothing_in_it(void **state)
{
    sk_report_deinit(&sample);
    sample = (struct sk_report){.copies = NAN, .pieces_missing = -1, .unseen_share_max = NAN};
    struct sk_report_store *store;
    assert_int_equal(0, sk_report_store_open(path, &open_style, &store, reason));
    assert_int_equal(0, sk_report_store_begin(store, 0, 0, sample.info_hash));
    assert_int_equal(0, sk_report_store_finish(store, &sample));
    sk_report_store_close(store);
    struct sk_report report;
    struct sk_replay *replay;
    assert_int_equal(0, sk_replay_open(path, 0, &replay, reason));
    assert_int_equal(0, sk_replay_report(replay, &report));
    assert_same_json(&report, &open_style, &open_style);
    sk_report_deinit(&report);
    sk_replay_close(replay);
}

static struct sk_observation expected[SK_OBS_KIND_COUNT];
static unsigned seen;

static void on_observation(const struct sk_observation *observation, void *ctx)
{
    const struct sk_observation *before = &expected[seen++];
    assert_int_equal(before->kind, observation->kind);
    assert_int_equal(before->at_ns - BEGIN_NS + SK_REPLAY_BEGIN_NS, observation->at_ns);
    assert_true(sk_endpoint_equal(&before->peer, &observation->peer));
    assert_true(sk_endpoint_equal(&before->by, &observation->by));
    assert_int_equal(before->source, observation->source);
    assert_true(before->a == observation->a);
    assert_true(before->b == observation->b);
    assert_true(before->c == observation->c);
    assert_true(sk_bytes_equal(before->bytes, observation->bytes));
}

static void test_observations_come_back(void **state)
{
    struct sk_replay *replay;
    make_observations(expected);
    write_audit(&open_style, true);
    assert_int_equal(0, sk_replay_open(path, 1, &replay, reason));
    seen = 0;
    assert_int_equal(0, sk_replay_observe(replay, on_observation, NULL));
    assert_int_equal(SK_OBS_KIND_COUNT, seen);
    sk_replay_close(replay);
}

static void execute(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, sql, NULL, NULL, NULL));
    sqlite3_close(db);
}

static void count_times(const struct sk_observation *observation, void *ctx)
{
    uint64_t *latest_ns = ctx;
    assert_true(observation->at_ns >= *latest_ns);
    *latest_ns = observation->at_ns;
    seen++;
}

/* Whatever stands in the file is read without harm. */
static void test_damaged_rows(void **state)
{
    struct sk_report report;
    struct sk_replay *replay;
    uint64_t latest_ns = 0;
    write_audit(&open_style, true);
    execute("UPDATE observations SET at_ns = -5 WHERE kind = 'have';"
            "UPDATE observations SET kind = 'dream' WHERE kind = 'choke';"
            "UPDATE observations SET peer = 'nobody', source = 7, a = 'x', text = x'ff00'"
            " WHERE kind = 'heard';"
            "UPDATE peers SET address = x'00', state = 'asleep', sources = 'rumour', share = 'x',"
            " peer_id = 'zz', verdict_result = 1 WHERE rowid = 1;"
            "UPDATE audit SET stopped = NULL, pieces = 'many', info_hash = 'short'");
    assert_int_equal(0, sk_replay_open(path, 0, &replay, reason));
    seen = 0;
    assert_int_equal(0, sk_replay_observe(replay, count_times, &latest_ns));
    assert_int_equal(SK_OBS_KIND_COUNT - 1, seen);
    assert_int_equal(0, sk_replay_report(replay, &report));
    assert_int_equal(sample.peers_count, report.peers_count);
    sk_report_deinit(&report);
    sk_replay_close(replay);
}

static void test_files_of_the_first_version(void **state)
{
    struct sk_report report;
    struct sk_replay *replay;
    write_audit(&open_style, true);
    execute("ALTER TABLE peers DROP COLUMN verdict_result;"
            "ALTER TABLE peers DROP COLUMN capacity_rate_bytes_s;"
            "DROP TABLE flows; DROP TABLE tracers; PRAGMA user_version = 1;"
            "ALTER TABLE peers ADD COLUMN of_the_future TEXT");
    assert_int_equal(0, sk_replay_open(path, 0, &replay, reason));
    assert_int_equal(0, sk_replay_report(replay, &report));
    assert_int_equal(0, report.flows_count);
    for (size_t i = 0; i < report.peers_count; i++) {
        assert_int_equal(SK_VERDICT_NONE, report.peers[i].verdict.result);
        assert_true(isnan(report.peers[i].capacity.rate));
    }
    sk_report_deinit(&report);
    sk_replay_close(replay);
}

/* What a newer program meant by a column nobody here can know. */
static void test_files_of_the_future(void **state)
{
    struct sk_replay *replay;
    write_audit(&open_style, true);
    execute("PRAGMA user_version = 99");
    assert_int_equal(SKEP_ERR_STORE, sk_replay_open(path, 0, &replay, reason));
    assert_non_null(strstr(reason, "made by a newer skep (its format is 99"));
}

static void test_which_audit(void **state)
{
    struct sk_replay *replay;
    write_audit(&open_style, false);
    assert_int_equal(SKEP_ERR_NOT_FOUND, sk_replay_open(path, 0, &replay, reason));
    assert_non_null(strstr(reason, "no audit in it was finished"));
    write_audit(&open_style, true);
    write_audit(&open_style, true);
    write_audit(&open_style, false);
    assert_int_equal(0, sk_replay_open(path, 0, &replay, reason));
    assert_int_equal(3, sk_replay_audit(replay));
    sk_replay_close(replay);
    assert_int_equal(0, sk_replay_open(path, 2, &replay, reason));
    assert_int_equal(2, sk_replay_audit(replay));
    sk_replay_close(replay);
    for (int64_t wrong = 1; wrong <= 5; wrong += 3) {
        assert_int_equal(SKEP_ERR_NOT_FOUND, sk_replay_open(path, wrong, &replay, reason));
        assert_non_null(strstr(reason, "finished: 2 to 3"));
    }
    unlink(path);
    assert_int_equal(SKEP_ERR_STORE, sk_replay_open(path, 0, &replay, reason));
    assert_int_equal(-1, access(path, F_OK)); /* none was made */
    execute("CREATE TABLE audit (id)");
    assert_int_equal(SKEP_ERR_STORE, sk_replay_open(path, 0, &replay, reason));
    assert_non_null(strstr(reason, "holds no audits"));
}

static void test_each_allocation_may_fail(void **state)
{
    struct sk_report report;
    struct sk_replay *replay;
    size_t nth = 0;
    int err;
    write_audit(&open_style, true);
    do {
        sk_mem_fail_nth(++nth);
        err = sk_replay_open(path, 0, &replay, reason);
        if (!err) {
            err = sk_replay_report(replay, &report);
            if (!err)
                sk_report_deinit(&report);
            sk_replay_close(replay);
        }
        sk_mem_fail_nth(0);
    } while (err == SKEP_ERR_NOMEM);
    assert_int_equal(0, err);
    assert_true(nth > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_report_comes_back),
        TEST(test_the_anonymized_report_comes_back),
        TEST(test_numbers_come_back_as_they_were),
        TEST(test_a_report_with_nothing_in_it),
        TEST(test_observations_come_back),
        TEST(test_damaged_rows),
        TEST(test_files_of_the_first_version),
        TEST(test_files_of_the_future),
        TEST(test_which_audit),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
