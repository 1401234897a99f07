#include "store/dht_crawl.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "store/database.h"

#include <stdio.h>

#define APPLICATION 0x736b6463 /* "skdc": PRAGMA application_id */
#define VERSION 1              /* PRAGMA user_version */
#define BATCH 500              /* rows of one transaction */

static const char schema[] =
    "PRAGMA application_id = 1936417891; PRAGMA user_version = 1;" /* APPLICATION, VERSION */
    "CREATE TABLE crawls (id INTEGER PRIMARY KEY, started REAL NOT NULL, seconds REAL,"
    " family INTEGER NOT NULL, known INTEGER, alive INTEGER, silent INTEGER,"
    " ids_changed INTEGER, id_fits INTEGER, queries INTEGER, complete INTEGER);"
    "CREATE TABLE nodes (crawl INTEGER NOT NULL REFERENCES crawls(id), at REAL NOT NULL,"
    " address TEXT NOT NULL, id TEXT, state TEXT NOT NULL, id_fits INTEGER, rtt_s REAL,"
    " version TEXT, client TEXT, told_by INTEGER NOT NULL);"
    "CREATE INDEX nodes_of_crawl ON nodes (crawl);";

struct sk_crawl_store {
    struct sk_database file;
    sqlite3_stmt *insert;
    sqlite3_int64 crawl;
    unsigned pending; /* rows of the open transaction */
};

int sk_crawl_store_open(const char *path, struct sk_crawl_store **ret_store,
                        char ret_reason[SK_CRAWL_REASON_MAX])
{
    struct sk_crawl_store *store = sk_mem_calloc(1, sizeof *store);
    if (!store)
        return SKEP_ERR_NOMEM;
    int err = sk_database_open(&store->file, path);
    if (!err)
        err = sk_database_claim(&store->file, APPLICATION, VERSION, schema, NULL);
    if (!err)
        err =
            sk_database_prepare(&store->file,
                                "INSERT INTO nodes (crawl, at, address, id, state, id_fits, rtt_s,"
                                " version, client, told_by) VALUES (?,?,?,?,?,?,?,?,?,?)",
                                &store->insert);
    if (err) {
        snprintf(ret_reason, SK_CRAWL_REASON_MAX, "%s",
                 store->file.failed ? store->file.reason : skep_err_text(err));
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
    return sk_database_execute(&store->file, "COMMIT");
}

void sk_crawl_store_close(struct sk_crawl_store *store)
{
    if (!store)
        return;
    if (!store->file.failed)
        commit(store);
    sqlite3_finalize(store->insert);
    sk_database_close(&store->file);
    sk_mem_free(store);
}

int sk_crawl_store_begin(struct sk_crawl_store *store, double started_unix_s, unsigned family)
{
    sqlite3_stmt *insert;
    int err = sk_database_prepare(&store->file,
                                  "INSERT INTO crawls (started, family) VALUES (?, ?)", &insert);
    if (err)
        return err;
    sqlite3_bind_double(insert, 1, started_unix_s);
    sqlite3_bind_int(insert, 2, (int)family);
    err = sqlite3_step(insert) == SQLITE_DONE ? 0 : sk_database_fail(&store->file);
    sqlite3_finalize(insert);
    if (!err)
        store->crawl = sqlite3_last_insert_rowid(store->file.db);
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
    if (store->file.failed || (!store->pending && sk_database_execute(&store->file, "BEGIN")))
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
        sk_database_fail(&store->file);
    else if (store->pending >= BATCH)
        commit(store);
}

int sk_crawl_store_finish(struct sk_crawl_store *store, double seconds,
                          const struct skep_dht_crawl_result *result)
{
    sqlite3_stmt *update;
    if (store->file.failed || commit(store) || !result)
        return store->file.failed ? SKEP_ERR_STORE : 0;
    int err = sk_database_prepare(
        &store->file,
        "UPDATE crawls SET seconds=?, known=?, alive=?, silent=?, ids_changed=?,"
        " id_fits=?, queries=?, complete=? WHERE id=?",
        &update);
    if (err)
        return err;
    const uint64_t numbers[] = {result->known,       result->alive,   result->silent,
                                result->ids_changed, result->id_fits, result->queries,
                                result->complete};
    sqlite3_bind_double(update, 1, seconds);
    for (int i = 0; i < 7; i++)
        sqlite3_bind_int64(update, 2 + i, (sqlite3_int64)numbers[i]);
    sqlite3_bind_int64(update, 9, store->crawl);
    err = sqlite3_step(update) == SQLITE_DONE ? 0 : sk_database_fail(&store->file);
    sqlite3_finalize(update);
    return err;
}

const char *sk_crawl_store_reason(const struct sk_crawl_store *store)
{
    return store->file.reason;
}
