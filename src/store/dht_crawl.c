#include "store/dht_crawl.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <sqlite3.h>
#include <stdio.h>

#define APPLICATION 0x736b6463 /* "skdc": PRAGMA application_id */
#define BUSY_MS 5000
#define BATCH 500 /* rows of one transaction */

static const char schema[] =
    "PRAGMA application_id = 1936417891;" /* APPLICATION */
    "CREATE TABLE crawls (id INTEGER PRIMARY KEY, started REAL NOT NULL, seconds REAL,"
    " family INTEGER NOT NULL, known INTEGER, alive INTEGER, silent INTEGER,"
    " ids_changed INTEGER, id_fits INTEGER, queries INTEGER, complete INTEGER);"
    "CREATE TABLE nodes (crawl INTEGER NOT NULL REFERENCES crawls(id), at REAL NOT NULL,"
    " address TEXT NOT NULL, id TEXT, state TEXT NOT NULL, id_fits INTEGER, rtt_s REAL,"
    " version TEXT, client TEXT, told_by INTEGER NOT NULL);"
    "CREATE INDEX nodes_of_crawl ON nodes (crawl);";

struct sk_crawl_store {
    sqlite3 *db;
    sqlite3_stmt *insert;
    char *path;
    sqlite3_int64 crawl;
    unsigned pending; /* rows of the open transaction */
    char reason[SK_CRAWL_REASON_MAX];
    bool failed;
};

/* Keeps the first failure: what follows from it would hide it. */
static int refuse(struct sk_crawl_store *store, const char *why)
{
    if (!store->failed)
        snprintf(store->reason, sizeof store->reason, "%s: %s", store->path, why);
    store->failed = true;
    return SKEP_ERR_STORE;
}

static int fail(struct sk_crawl_store *store)
{
    return refuse(store, sqlite3_errmsg(store->db));
}

static int execute(struct sk_crawl_store *store, const char *sql)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(store);
}

static int read_int(struct sk_crawl_store *store, const char *sql, sqlite3_int64 *ret_value)
{
    sqlite3_stmt *query;
    if (sqlite3_prepare_v2(store->db, sql, -1, &query, NULL) != SQLITE_OK)
        return fail(store);
    int err = sqlite3_step(query) == SQLITE_ROW ? 0 : fail(store);
    if (!err)
        *ret_value = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return err;
}

/* Inside a transaction: two programs may come upon a new file together. */
static int check_or_create(struct sk_crawl_store *store)
{
    sqlite3_int64 application = 0, things = 0;
    int err = read_int(store, "PRAGMA application_id", &application);
    if (!err)
        err = read_int(store, "SELECT count(*) FROM sqlite_master", &things);
    if (err || application == APPLICATION)
        return err;
    if (things || application)
        return refuse(store, "a database of another kind; nothing was written to it");
    return execute(store, schema);
}

static int set_up(struct sk_crawl_store *store)
{
    sqlite3_busy_timeout(store->db, BUSY_MS);
    int err = execute(store, "BEGIN IMMEDIATE");
    if (!err)
        err = check_or_create(store);
    if (!err)
        err = execute(store, "COMMIT");
    else if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    if (!err &&
        sqlite3_prepare_v2(store->db,
                           "INSERT INTO nodes (crawl, at, address, id, state, id_fits, rtt_s,"
                           " version, client, told_by) VALUES (?,?,?,?,?,?,?,?,?,?)",
                           -1, &store->insert, NULL) != SQLITE_OK)
        err = fail(store);
    return err;
}

int sk_crawl_store_open(const char *path, struct sk_crawl_store **ret_store,
                        char ret_reason[SK_CRAWL_REASON_MAX])
{
    struct sk_crawl_store *store = sk_mem_calloc(1, sizeof *store);
    if (!store)
        return SKEP_ERR_NOMEM;
    store->path = sk_mem_strdup(path);
    int err = store->path ? 0 : SKEP_ERR_NOMEM;
    if (!err && sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                NULL) != SQLITE_OK)
        err = fail(store);
    if (!err)
        err = set_up(store);
    if (err) {
        snprintf(ret_reason, SK_CRAWL_REASON_MAX, "%s",
                 store->failed ? store->reason : skep_err_text(err));
        sk_crawl_store_close(store);
        return err;
    }
    *ret_store = store;
    return 0;
}

static int commit(struct sk_crawl_store *store)
{
    if (!store->pending)
        return 0;
    store->pending = 0;
    return execute(store, "COMMIT");
}

void sk_crawl_store_close(struct sk_crawl_store *store)
{
    if (!store)
        return;
    if (!store->failed)
        commit(store);
    sqlite3_finalize(store->insert);
    sqlite3_close(store->db);
    sk_mem_free(store->path);
    sk_mem_free(store);
}

int sk_crawl_store_begin(struct sk_crawl_store *store, double started_unix_s, unsigned family)
{
    sqlite3_stmt *insert;
    if (sqlite3_prepare_v2(store->db, "INSERT INTO crawls (started, family) VALUES (?, ?)", -1,
                           &insert, NULL) != SQLITE_OK)
        return fail(store);
    sqlite3_bind_double(insert, 1, started_unix_s);
    sqlite3_bind_int(insert, 2, (int)family);
    int err = sqlite3_step(insert) == SQLITE_DONE ? 0 : fail(store);
    sqlite3_finalize(insert);
    if (!err)
        store->crawl = sqlite3_last_insert_rowid(store->db);
    return err;
}

const char *sk_crawl_state_name(enum skep_dht_found_state state)
{
    static const char *const names[] = {
        [SKEP_DHT_FOUND_ALIVE] = "alive",
        [SKEP_DHT_FOUND_SILENT] = "silent",
        [SKEP_DHT_FOUND_ID_CHANGED] = "id-changed",
    };
    return names[state];
}

static void bind_text(sqlite3_stmt *insert, int column, const char *text)
{
    if (text && *text)
        sqlite3_bind_text(insert, column, text, -1, SQLITE_TRANSIENT);
}

void sk_crawl_store_add(struct sk_crawl_store *store, double at_s, const char *address,
                        const char *id, const char *client, const struct skep_dht_found *found)
{
    char version[9] = "";
    sqlite3_stmt *insert = store->insert;
    if (store->failed || (!store->pending && execute(store, "BEGIN")))
        return;
    store->pending++;
    if (memcmp(found->version, "\0\0\0", 4))
        sk_hex_encode((const uint8_t *)found->version, 4, version);
    sqlite3_reset(insert);
    sqlite3_clear_bindings(insert);
    sqlite3_bind_int64(insert, 1, store->crawl);
    sqlite3_bind_double(insert, 2, at_s);
    bind_text(insert, 3, address);
    bind_text(insert, 4, id);
    bind_text(insert, 5, sk_crawl_state_name(found->state));
    if (found->state != SKEP_DHT_FOUND_SILENT)
        sqlite3_bind_int(insert, 6, found->id_fits);
    if (found->rtt_s >= 0)
        sqlite3_bind_double(insert, 7, found->rtt_s);
    bind_text(insert, 8, version);
    bind_text(insert, 9, client);
    sqlite3_bind_int64(insert, 10, found->told_by);
    if (sqlite3_step(insert) != SQLITE_DONE)
        fail(store);
    else if (store->pending >= BATCH)
        commit(store);
}

int sk_crawl_store_finish(struct sk_crawl_store *store, double seconds,
                          const struct skep_dht_crawl_result *result)
{
    sqlite3_stmt *update;
    if (store->failed || commit(store) || !result)
        return store->failed ? SKEP_ERR_STORE : 0;
    if (sqlite3_prepare_v2(store->db,
                           "UPDATE crawls SET seconds=?, known=?, alive=?, silent=?, ids_changed=?,"
                           " id_fits=?, queries=?, complete=? WHERE id=?",
                           -1, &update, NULL) != SQLITE_OK)
        return fail(store);
    const uint64_t numbers[] = {result->known,       result->alive,   result->silent,
                                result->ids_changed, result->id_fits, result->queries,
                                result->complete};
    sqlite3_bind_double(update, 1, seconds);
    for (int i = 0; i < 7; i++)
        sqlite3_bind_int64(update, 2 + i, (sqlite3_int64)numbers[i]);
    sqlite3_bind_int64(update, 9, store->crawl);
    int err = sqlite3_step(update) == SQLITE_DONE ? 0 : fail(store);
    sqlite3_finalize(update);
    return err;
}

const char *sk_crawl_store_reason(const struct sk_crawl_store *store)
{
    return store->reason;
}
