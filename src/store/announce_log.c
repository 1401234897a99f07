#include "store/announce_log.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>

#define VERSION 1
#define FLUSH_NS UINT64_C(1000000000)

static const char schema[] = "PRAGMA application_id = 1936417134;"
                             "PRAGMA user_version = 1;"
                             "CREATE TABLE announces ("
                             " at REAL NOT NULL,"
                             " info_hash TEXT NOT NULL,"
                             " peer_id TEXT,"
                             " address TEXT,"
                             " uploaded INTEGER,"
                             " downloaded INTEGER,"
                             " \"left\" INTEGER,"
                             " event TEXT NOT NULL,"
                             " key INTEGER);";
_Static_assert(SK_ANNOUNCE_LOG_APPLICATION == 1936417134 && VERSION == 1, "as the schema says");

#define COLUMNS "at, info_hash, peer_id, address, uploaded, downloaded, \"left\", event, key"

struct sk_announce_log {
    struct sk_database file;
    sqlite3_stmt *insert;
    uint64_t first_ns; /* of the queue */
    bool told;         /* that it failed */
    uint32_t count;
    struct sk_announce queue[SK_ANNOUNCE_LOG_QUEUE];
};

static int set_up(struct sk_announce_log *log)
{
    int err = sk_database_claim(&log->file, SK_ANNOUNCE_LOG_APPLICATION, VERSION, schema, NULL);
    if (!err)
        err = sk_database_execute(&log->file, "PRAGMA journal_mode=WAL");
    if (!err)
        err = sk_database_execute(&log->file, "PRAGMA synchronous=NORMAL");
    if (!err)
        err = sk_database_prepare(&log->file,
                                  "INSERT INTO announces (" COLUMNS ")"
                                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                                  &log->insert);
    return err;
}

int sk_announce_log_open(const char *path, struct sk_announce_log **ret_log,
                         char ret_reason[SK_DATABASE_REASON_MAX])
{
    struct sk_announce_log *log = sk_mem_calloc(1, sizeof *log);
    if (!log)
        return SKEP_ERR_NOMEM;
    int err = sk_database_open(&log->file, path);
    if (!err)
        err = set_up(log);
    if (err) {
        snprintf(ret_reason, SK_DATABASE_REASON_MAX, "%s", log->file.reason);
        sk_announce_log_close(log);
        return err;
    }
    *ret_log = log;
    return 0;
}

static void bind_hex(sqlite3_stmt *insert, enum sk_announce_column column, const uint8_t bytes[20])
{
    char hex[41];
    sk_hex_encode(bytes, 20, hex);
    sqlite3_bind_text(insert, column + 1, hex, -1, SQLITE_TRANSIENT);
}

static void bind_bytes(sqlite3_stmt *insert, enum sk_announce_column column, uint64_t bytes)
{
    if (bytes <= INT64_MAX)
        sqlite3_bind_int64(insert, column + 1, (sqlite3_int64)bytes);
}

static int insert(struct sk_announce_log *log, const struct sk_announce *announce)
{
    char address[SK_ENDPOINT_TEXT_MAX];
    sqlite3_stmt *row = log->insert;
    sqlite3_clear_bindings(row);
    sqlite3_bind_double(row, SK_ANNOUNCE_AT + 1, announce->at_unix_s);
    bind_hex(row, SK_ANNOUNCE_INFO_HASH, announce->info_hash);
    if (announce->has_peer_id)
        bind_hex(row, SK_ANNOUNCE_PEER_ID, announce->peer_id);
    if (announce->endpoint.family != SK_FAMILY_NONE)
        sqlite3_bind_text(row, SK_ANNOUNCE_ADDRESS + 1,
                          sk_endpoint_text(&announce->endpoint, address), -1, SQLITE_TRANSIENT);
    bind_bytes(row, SK_ANNOUNCE_UPLOADED, announce->uploaded);
    bind_bytes(row, SK_ANNOUNCE_DOWNLOADED, announce->downloaded);
    bind_bytes(row, SK_ANNOUNCE_LEFT, announce->left);
    sqlite3_bind_text(row, SK_ANNOUNCE_EVENT + 1, sk_announce_event_name(announce->event), -1,
                      SQLITE_STATIC);
    if (announce->has_key)
        sqlite3_bind_int64(row, SK_ANNOUNCE_KEY + 1, announce->key);
    int err = sqlite3_step(row) == SQLITE_DONE ? 0 : sk_database_fail(&log->file);
    sqlite3_reset(row);
    return err;
}

static void write_queue(struct sk_announce_log *log)
{
    if (log->file.failed || !log->count)
        return;
    int err = sk_database_execute(&log->file, "BEGIN IMMEDIATE");
    for (uint32_t i = 0; i < log->count && !err; i++)
        err = insert(log, &log->queue[i]);
    sk_database_end(&log->file, err);
    log->count = 0;
}

void sk_announce_log_put(struct sk_announce_log *log, const struct sk_announce *announce,
                         uint64_t now_ns)
{
    if (log->file.failed)
        return;
    if (!log->count)
        log->first_ns = now_ns;
    log->queue[log->count++] = *announce;
    if (log->count == SK_ANNOUNCE_LOG_QUEUE)
        write_queue(log);
}

void sk_announce_log_flush(struct sk_announce_log *log, uint64_t now_ns)
{
    if (log->count && now_ns - log->first_ns >= FLUSH_NS)
        write_queue(log);
}

int sk_announce_log_take_error(struct sk_announce_log *log)
{
    bool is_news = log->file.failed && !log->told;
    log->told = log->file.failed;
    return is_news ? SKEP_ERR_STORE : 0;
}

const char *sk_announce_log_reason(const struct sk_announce_log *log)
{
    return log->file.reason;
}

int sk_announce_log_close(struct sk_announce_log *log)
{
    if (!log)
        return 0;
    write_queue(log);
    int err = log->file.failed ? SKEP_ERR_STORE : 0;
    sqlite3_finalize(log->insert);
    /* One file without companions, to be copied; refused, and no harm, while others use it. */
    if (log->insert)
        sqlite3_exec(log->file.db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    sk_database_close(&log->file);
    sk_mem_free(log);
    return err;
}

/* ---- reading ---- */

static int give_row(sqlite3_stmt *query, uint64_t number, const struct sk_announce_sink *sink,
                    struct sk_announces_tally *tally)
{
    struct sk_announce_row row;
    sk_announce_row_init(&row);
    for (int i = 0; i < SK_ANNOUNCE_COLUMN_COUNT; i++) {
        enum sk_announce_column column = (enum sk_announce_column)i;
        const unsigned char *text = sqlite3_column_text(query, i);
        struct sk_bytes bytes = sk_bytes(text, text ? (size_t)sqlite3_column_bytes(query, i) : 0);
        const char *expected = sk_announce_row_set(&row, column, bytes);
        if (!expected)
            continue;
        sk_announce_bad(sink, tally, number, "%s: expected %s", sk_announce_column_name(column),
                        expected);
        return 0;
    }
    row.announce.at_unix_s = sqlite3_column_double(query, SK_ANNOUNCE_AT); /* to the last digit */
    return sk_announce_row_give(&row, number, sink, tally);
}

static int read_rows(struct sk_database *file, const struct sk_announce_sink *sink,
                     struct sk_announces_tally *tally)
{
    sqlite3_stmt *query;
    uint64_t number = 0;
    int step = SQLITE_ROW;
    int err = sk_database_prepare(file, "SELECT " COLUMNS " FROM announces ORDER BY rowid", &query);
    if (err)
        return err;
    while (!err && (step = sqlite3_step(query)) == SQLITE_ROW)
        err = give_row(query, ++number, sink, tally);
    if (!err && step != SQLITE_DONE)
        err = sk_database_fail(file);
    sqlite3_finalize(query);
    return err;
}

static int open_to_read(struct sk_database *file, const char *path)
{
    int err = sk_database_open_to_read(file, path);
    return err ? err
               : sk_database_recognize(file, SK_ANNOUNCE_LOG_APPLICATION, VERSION,
                                       "records no announces (skep tracker --db makes such files; "
                                       "others give CSV or JSON Lines)");
}

int sk_announce_log_check(const char *path, char ret_reason[SK_DATABASE_REASON_MAX])
{
    struct sk_database file;
    int err = open_to_read(&file, path);
    snprintf(ret_reason, SK_DATABASE_REASON_MAX, "%s", file.reason);
    sk_database_close(&file);
    return err;
}

int sk_announce_log_read(const char *path, const struct sk_announce_sink *sink,
                         struct sk_announces_tally *ret_tally,
                         char ret_reason[SK_DATABASE_REASON_MAX])
{
    struct sk_database file;
    *ret_tally = (struct sk_announces_tally){0};
    int err = open_to_read(&file, path);
    if (!err)
        err = read_rows(&file, sink, ret_tally);
    snprintf(ret_reason, SK_DATABASE_REASON_MAX, "%s", file.reason);
    sk_database_close(&file);
    return err;
}
