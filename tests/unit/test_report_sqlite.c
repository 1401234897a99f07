/* Audits in an SQLite file: what is written, what is refused, and what failure looks like. */
#include "store/report_sqlite.h"

#include <skep/err.h>

#include "report_sample.h"

#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define BEGIN (5 * SECOND)

static const struct sk_report_style open_style;
static const uint8_t key[SK_ANONYMIZER_KEY_SIZE] = "a key that tests know of";
static char directory[] = "/tmp/skep-sqlite-XXXXXX";
static char path[sizeof directory + 16];

static void remove_file(void)
{
    char name[sizeof path + 16];
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < SK_ARRAY_LEN(ends); i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static int set_up(void **state)
{
    snprintf(path, sizeof path, "%s/audit.db", directory);
    remove_file();
    return 0;
}

static struct sk_report_store *open_store(const struct sk_report_style *style)
{
    struct sk_report_store *store = NULL;
    char reason[SK_STORE_REASON_MAX] = "";
    int err = sk_report_store_open(path, style, &store, reason);
    if (err)
        fail_msg("%s", reason);
    return store;
}

/* Opening must fail; ret_reason tells why. */
static void refuse_store(const char *file, char ret_reason[SK_STORE_REASON_MAX])
{
    struct sk_report_store *store = NULL;
    assert_int_equal(SKEP_ERR_STORE, sk_report_store_open(file, &open_style, &store, ret_reason));
    assert_null(store);
    assert_non_null(strstr(ret_reason, file));
}

static struct sk_report_store *begin(const struct sk_report_style *style,
                                     const struct sk_report *report)
{
    struct sk_report_store *store = open_store(style);
    assert_int_equal(
        0, sk_report_store_begin(store, report->started_unix_s, BEGIN, report->info_hash));
    return store;
}

/* The first column of the first row, as text; "NULL", or "-" where there is no row. */
static const char *ask(const char *sql)
{
    static char answer[512];
    sqlite3 *db;
    sqlite3_stmt *query;
    assert_int_equal(SQLITE_OK, sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL));
    if (sqlite3_prepare_v2(db, sql, -1, &query, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    snprintf(answer, sizeof answer, "-");
    if (sqlite3_step(query) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(query, 0);
        snprintf(answer, sizeof answer, "%s", text ? text : "NULL");
    }
    sqlite3_finalize(query);
    sqlite3_close(db);
    return answer;
}

static struct sk_endpoint endpoint(const char *text)
{
    struct sk_endpoint parsed;
    assert_int_equal(0, sk_endpoint_parse(text, 0, &parsed));
    return parsed;
}

static void observe(struct sk_report_store *store, enum sk_observation_kind kind, uint64_t at_ns,
                    const char *peer, struct sk_bytes bytes)
{
    struct sk_observation observation = {
        .at_ns = BEGIN + at_ns, .kind = kind, .bytes = bytes, .a = 7, .b = 8, .c = -1};
    if (peer)
        observation.peer = endpoint(peer);
    sk_report_store_observe(&observation, store);
}

static void test_report(void **state)
{
    struct sk_report report;
    sample_report(&report);
    struct sk_report_store *store = begin(&open_style, &report);
    assert_string_equal("NULL", ask("SELECT seconds FROM audit")); /* not finished yet */
    assert_int_equal(0, sk_report_store_finish(store, &report));
    sk_report_store_close(store);

    assert_string_equal("41.7", ask("SELECT seconds FROM audit"));
    assert_string_equal("1", ask("SELECT count(*) FROM audit"));
    assert_string_equal("debian-12.5.0-amd64-netinst.iso", ask("SELECT name FROM audit"));
    assert_string_equal("9", ask("SELECT encryption_rc4 FROM audit"));
    assert_string_equal("2.25", ask("SELECT hidden_estimate FROM audit"));
    assert_string_equal("8.42", ask("SELECT round(copies, 2) FROM audit"));
    assert_string_equal("30", ask("SELECT count(*) FROM peers"));
    assert_string_equal("7", ask("SELECT count(*) FROM peers WHERE share = 1"));
    assert_string_equal("NULL", ask("SELECT share FROM peers WHERE state = 'refused'"));
    assert_string_equal("4200000.0", ask("SELECT delivered_rate_bytes_s FROM peers"
                                         " WHERE address = '192.0.2.7:51413'"));
    assert_string_equal("tracker pex", ask("SELECT sources FROM peers"));
    assert_string_equal("192.0.2.7:51413",
                        ask("SELECT same_as FROM peers WHERE state = 'duplicate'"));
    assert_string_equal("41", ask("SELECT seeds FROM claims"));
    assert_string_equal("NULL", ask("SELECT downloads FROM claims WHERE source LIKE 'udp:%'"));
    assert_string_equal("ok", ask("PRAGMA integrity_check"));
    assert_string_equal("-", ask("PRAGMA foreign_key_check"));
    sk_report_deinit(&report);
}

static void test_observations(void **state)
{
    struct sk_report report;
    sample_report(&report);
    struct sk_report_store *store = begin(&open_style, &report);
    struct sk_observation heard = {.at_ns = BEGIN + 3,
                                   .kind = SK_OBS_HEARD,
                                   .source = 2,
                                   .a = 16,
                                   .b = 1,
                                   .c = 99,
                                   .peer = endpoint("192.0.2.1:1"),
                                   .by = endpoint("[2001:db8::1]:2")};
    sk_report_store_observe(&heard, store);
    observe(store, SK_OBS_TRACKER_CLAIM, 4, NULL, sk_bytes_text("http://t\xff/"));
    observe(store, SK_OBS_TRACKER_FAILED, 5, NULL, sk_bytes_text("http://t/\tgone"));
    observe(store, SK_OBS_OPEN, 6, "192.0.2.1:1", sk_bytes_text("01234567890123456789"));
    observe(store, SK_OBS_CHOKE, 7, "192.0.2.1:1", sk_bytes(NULL, 0));
    assert_string_equal("0", ask("SELECT count(*) FROM observations")); /* queued */
    assert_int_equal(0, sk_report_store_finish(store, &report));
    sk_report_store_close(store);

    assert_string_equal("5", ask("SELECT count(*) FROM observations"));
    assert_string_equal("3|pex|192.0.2.1:1|[2001:db8::1]:2|16|1|1",
                        ask("SELECT at_ns||'|'||source||'|'||peer||'|'||told_by||'|'||a||'|'||b||"
                            "'|'||(c IS NULL) FROM observations WHERE kind = 'heard'"));
    /* a claim's -1 is unknown */
    assert_string_equal("7|8|1|http://t\xef\xbf\xbd/",
                        ask("SELECT a||'|'||b||'|'||(c IS NULL)||'|'||text FROM observations"
                            " WHERE kind = 'tracker-claim'"));
    assert_string_equal("http://t/\tgone",
                        ask("SELECT text FROM observations WHERE kind = 'tracker-failed'"));
    assert_string_equal("01234567890123456789",
                        ask("SELECT CAST(data AS TEXT) FROM observations WHERE kind = 'open'"));
    assert_string_equal("1", ask("SELECT a IS NULL AND data IS NULL AND text IS NULL"
                                 " FROM observations WHERE kind = 'choke'"));
    sk_report_deinit(&report);
}

/* More than the queue holds, single observations larger than it, and a burst for every second. */
static void test_queue(void **state)
{
    enum { MANY = 20000 };
    struct sk_report report;
    sample_report(&report);
    struct sk_report_store *store = begin(&open_style, &report);
    for (int64_t i = 0; i < MANY; i++) {
        struct sk_observation have = {
            .at_ns = BEGIN, .kind = SK_OBS_HAVE, .a = i, .peer = endpoint("192.0.2.1:1")};
        sk_report_store_observe(&have, store);
    }
    size_t written = strtoul(ask("SELECT count(*) FROM observations"), NULL, 10);
    assert_true(written > MANY / 2 && written < MANY);
    uint8_t *bitfield = calloc(SK_STORE_QUEUE_MAX, 2);
    observe(store, SK_OBS_BITFIELD, 0, "192.0.2.1:1", sk_bytes(bitfield, 2 * SK_STORE_QUEUE_MAX));
    free(bitfield);
    assert_string_equal("20001", ask("SELECT count(*) FROM observations"));
    observe(store, SK_OBS_CHOKE, SECOND / 2, "192.0.2.1:1", sk_bytes(NULL, 0));
    assert_string_equal("20001", ask("SELECT count(*) FROM observations"));
    observe(store, SK_OBS_UNCHOKE, 2 * SECOND, "192.0.2.1:1", sk_bytes(NULL, 0));
    assert_string_equal("20002", ask("SELECT count(*) FROM observations"));
    sk_report_store_close(store); /* an audit that ends early keeps what it saw */
    assert_string_equal("20003", ask("SELECT count(*) FROM observations"));
    assert_string_equal("524288", ask("SELECT max(length(data)) FROM observations"));
    /* they stand in the order in which they came */
    assert_string_equal("1",
                        ask("SELECT min(rowid = a + 1) FROM observations WHERE kind = 'have'"));
    sk_report_deinit(&report);
}

static void test_several_audits(void **state)
{
    struct sk_report report;
    sample_report(&report);
    for (int i = 0; i < 2; i++) {
        struct sk_report_store *store = begin(&open_style, &report);
        observe(store, SK_OBS_CHOKE, 0, "192.0.2.1:1", sk_bytes(NULL, 0));
        assert_int_equal(0, sk_report_store_finish(store, &report));
        assert_int_equal(0, sk_report_store_begin(store, 1, BEGIN, report.info_hash));
        assert_int_equal(0, sk_report_store_finish(store, &report));
        sk_report_store_close(store);
    }
    /* and two programs at once */
    struct sk_report_store *a = begin(&open_style, &report), *b = begin(&open_style, &report);
    for (unsigned i = 0; i < 3; i++) {
        observe(a, SK_OBS_HAVE, i * 2 * SECOND, "192.0.2.1:1", sk_bytes(NULL, 0));
        observe(b, SK_OBS_HAVE, i * 2 * SECOND, "192.0.2.2:2", sk_bytes(NULL, 0));
    }
    assert_int_equal(0, sk_report_store_finish(a, &report));
    assert_int_equal(0, sk_report_store_finish(b, &report));
    sk_report_store_close(a);
    sk_report_store_close(b);
    assert_string_equal("6", ask("SELECT count(*) FROM audit WHERE seconds IS NOT NULL"));
    assert_string_equal("180", ask("SELECT count(*) FROM peers"));
    assert_string_equal("1,3,5,6", ask("SELECT group_concat(id) FROM (SELECT DISTINCT audit AS id"
                                       " FROM observations ORDER BY 1)"));
    assert_string_equal("delete", ask("PRAGMA journal_mode")); /* one file, without companions */
    sk_report_deinit(&report);
}

static void make_database(const char *sql)
{
    sqlite3 *db;
    remove_file();
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, sql, NULL, NULL, NULL));
    sqlite3_close(db);
}

static void test_foreign_files(void **state)
{
    static const struct {
        const char *sql, *why;
    } cases[] = {
        {"CREATE TABLE precious (x); INSERT INTO precious VALUES (1)", "another program"},
        {"PRAGMA application_id = 7", "another program"},
        {"PRAGMA journal_mode = WAL; CREATE TABLE precious (x)", "another program"},
        {"PRAGMA application_id = 1936418160; PRAGMA user_version = 99; CREATE TABLE audit (x)",
         "newer skep"},
        {"PRAGMA application_id = 1936418160; PRAGMA user_version = 0; CREATE TABLE audit (x)",
         "older skep"},
    };
    char reason[SK_STORE_REASON_MAX];
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        make_database(cases[i].sql);
        char before[64];
        snprintf(before, sizeof before, "%s", ask("SELECT count(*) FROM sqlite_master"));
        refuse_store(path, reason);
        if (!strstr(reason, cases[i].why))
            fail_msg("\"%s\" does not say \"%s\"", reason, cases[i].why);
        assert_string_equal(before, ask("SELECT count(*) FROM sqlite_master"));
    }
}

/* A file of the first version takes audits of this one; what it had stays, and what it lacks is
 * unknown. */
static void test_older_files_are_completed(void **state)
{
    static const char *const joined[] = {
        "capacity_rate_bytes_s", "capacity_low",     "capacity_high",     "capacity_how",
        "download_rate_bytes_s", "download_low",     "download_high",     "download_how",
        "upload_rate_bytes_s",   "upload_low",       "upload_high",       "verdict_result",
        "verdict_claim",         "verdict_evidence", "verdict_ruled_out", "verdict_error_rate",
        "verdict_why",           "verdict_announces"};
    struct sk_report report;
    char sql[160];
    sqlite3 *db;
    remove_file();
    sample_report(&report);
    struct sk_report_store *store = begin(&open_style, &report);
    assert_int_equal(0, sk_report_store_finish(store, &report));
    sk_report_store_close(store);
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    for (size_t i = 0; i < SK_ARRAY_LEN(joined); i++) {
        snprintf(sql, sizeof sql, "ALTER TABLE peers DROP COLUMN %s", joined[i]);
        assert_int_equal(SQLITE_OK, sqlite3_exec(db, sql, NULL, NULL, NULL));
    }
    assert_int_equal(
        SQLITE_OK,
        sqlite3_exec(db,
                     "DROP TABLE flows; DROP TABLE tracers; ALTER TABLE audit DROP COLUMN files;"
                     "PRAGMA user_version = 1",
                     NULL, NULL, NULL));
    sqlite3_close(db);

    store = begin(&open_style, &report);
    assert_int_equal(0, sk_report_store_finish(store, &report));
    sk_report_store_close(store);
    assert_string_equal("6", ask("PRAGMA user_version"));
    assert_string_equal("1", ask("SELECT count(files) FROM audit"));
    assert_string_equal("60", ask("SELECT count(*) FROM peers"));
    assert_string_equal("0", ask("SELECT count(verdict_result) FROM peers WHERE audit = 1"));
    assert_string_equal("3", ask("SELECT count(verdict_result) FROM peers WHERE audit = 2"));
    assert_string_equal("2", ask("SELECT count(*) FROM flows WHERE audit = 2"));
    assert_string_equal("17", ask("SELECT piece FROM tracers WHERE audit = 2 AND spread_to = 3"));
    assert_string_equal("1", ask("SELECT count(*) FROM tracers WHERE given_s IS NULL"));
    sk_report_deinit(&report);
}

static void test_bad_paths(void **state)
{
    char reason[SK_STORE_REASON_MAX];
    struct stat status;
    refuse_store(directory, reason);
    refuse_store("/nonexistent/directory/audit.db", reason);
    assert_non_null(strstr(reason, "unable to open"));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 100; i++)
        fputs("these are a user's notes\n", file);
    fclose(file);
    refuse_store(path, reason);
    assert_non_null(strstr(reason, "not a database"));
    assert_int_equal(0, stat(path, &status));
    assert_int_equal(2500, status.st_size);
}

/* Threat: disk full. The first failure is told once, in words; what comes later is dropped. */
static void test_disk_full(void **state)
{
    struct sk_report report;
    struct rlimit limit, small;
    sample_report(&report);
    struct sk_report_store *store = begin(&open_style, &report);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &limit));
    small = limit;
    small.rlim_cur = 512 * 1024;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &small));
    assert_int_equal(0, sk_report_store_take_error(store));
    for (unsigned i = 0; i < 30000; i++)
        observe(store, SK_OBS_HAVE, i, "192.0.2.1:1", sk_bytes(NULL, 0));
    assert_int_equal(SKEP_ERR_STORE, sk_report_store_take_error(store));
    assert_int_equal(0, sk_report_store_take_error(store));
    assert_non_null(strstr(sk_report_store_reason(store), path));
    assert_true(strlen(sk_report_store_reason(store)) > strlen(path) + 4);
    assert_int_equal(SKEP_ERR_STORE, sk_report_store_finish(store, &report));
    assert_int_equal(SKEP_ERR_STORE, sk_report_store_begin(store, 0, 0, report.info_hash));
    sk_report_store_close(store);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
    signal(SIGXFSZ, SIG_DFL);
    assert_string_equal("ok", ask("PRAGMA integrity_check"));
    assert_string_equal("NULL", ask("SELECT seconds FROM audit"));
    sk_report_deinit(&report);
}

/* Threat: kill -9 at any moment. What was committed stays; the rest of a burst is not there. */
static void test_killed(void **state)
{
    struct sk_report report;
    sample_report(&report);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sk_report_store *store = begin(&open_style, &report);
        for (unsigned i = 0; i < 10; i++)
            observe(store, SK_OBS_HAVE, i * SECOND, "192.0.2.1:1", sk_bytes(NULL, 0));
        kill(getpid(), SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    sk_report_store_close(open_store(&open_style)); /* takes up the log that was left */
    assert_string_equal("ok", ask("PRAGMA integrity_check"));
    assert_string_equal("9", ask("SELECT count(*) FROM observations"));
    sk_report_deinit(&report);
}

static void test_anonymous(void **state)
{
    struct sk_anonymizer anonymizer;
    struct sk_report report;
    sk_anonymizer_init(&anonymizer, key);
    const struct sk_report_style style = {&anonymizer};
    sample_report(&report);
    struct sk_report_store *store = begin(&style, &report);
    observe(store, SK_OBS_OPEN, 0, "192.0.2.7:51413", sk_bytes_text("01234567890123456789"));
    observe(store, SK_OBS_TRACKER_FAILED, 0, NULL,
            sk_bytes_text("http://10.9.8.7/\tnot for 192.0.2.7:51413"));
    observe(store, SK_OBS_TRACKER_FAILED, 1, NULL, sk_bytes_text("192.0.2.7 and no tab"));
    assert_int_equal(0, sk_report_store_finish(store, &report));
    sk_report_store_close(store);
    assert_string_equal("1", ask("SELECT anonymized FROM audit"));
    assert_string_equal("1", ask("SELECT count(*) FROM observations o JOIN peers p"
                                 " ON o.peer = p.address WHERE o.data IS NULL"));
    assert_string_equal("0", ask("SELECT count(*) FROM peers WHERE peer_id IS NOT NULL"
                                 " OR address NOT GLOB 'peer-*' OR same_as NOT GLOB 'peer-*'"));
    assert_string_equal("1", ask("SELECT text GLOB 'http://10.9.8.7/*not for peer-*'"
                                 " FROM observations WHERE kind = 'tracker-failed'"));
    assert_string_equal("0", ask("SELECT count(*) FROM observations WHERE text GLOB '*192.0*'"));
    sk_report_deinit(&report);
}

static int make_directory(void **state)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    remove_file();
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_report, set_up),
        cmocka_unit_test_setup(test_observations, set_up),
        cmocka_unit_test_setup(test_queue, set_up),
        cmocka_unit_test_setup(test_several_audits, set_up),
        cmocka_unit_test_setup(test_foreign_files, set_up),
        cmocka_unit_test_setup(test_older_files_are_completed, set_up),
        cmocka_unit_test_setup(test_bad_paths, set_up),
        cmocka_unit_test_setup(test_disk_full, set_up),
        cmocka_unit_test_setup(test_killed, set_up),
        cmocka_unit_test_setup(test_anonymous, set_up),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
