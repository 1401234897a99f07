#include "store/report_sqlite.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/database.h"
#include "store/report_schema.h"
#include "swarm/source.h"

#include <stdio.h>

#define FLUSH_NS UINT64_C(1000000000)
#define OBSERVATION_BIG 65536u /* bytes of one above which it is not queued */

struct sk_report_store {
    struct sk_database file;
    struct sk_report_style style;
    sqlite3_stmt *insert; /* of an observation */
    sqlite3_int64 audit;  /* 0 = none begun */
    uint64_t begin_ns, flushed_ns;
    struct sk_buf queue; /* struct sk_observation, each with its bytes behind it */
    bool told;           /* that it failed */
};

static int create_or_claim(struct sk_report_store *store)
{
    struct sk_buf sql;
    sk_buf_init(&sql, SK_STORE_SQL_MAX);
    int err = sk_report_schema_create(&sql);
    if (!err)
        err = sk_database_claim(&store->file, SK_STORE_APPLICATION, SK_STORE_VERSION,
                                (const char *)sql.p, sk_report_schema_upgrade);
    sk_buf_deinit(&sql);
    return err;
}

static int set_up(struct sk_report_store *store)
{
    int err = create_or_claim(store);
    if (!err)
        err = sk_database_execute(&store->file, "PRAGMA journal_mode=WAL");
    if (!err)
        err = sk_database_execute(&store->file, "PRAGMA synchronous=NORMAL");
    if (!err && sqlite3_wal_autocheckpoint(store->file.db, 0) != SQLITE_OK)
        err = sk_database_fail(&store->file);
    if (!err && sqlite3_prepare_v3(store->file.db, SK_STORE_INSERT_OBSERVATION, -1,
                                   SQLITE_PREPARE_PERSISTENT, &store->insert, NULL) != SQLITE_OK)
        err = sk_database_fail(&store->file);
    return err;
}

int sk_report_store_open(const char *path, const struct sk_report_style *style,
                         struct sk_report_store **ret_store, char ret_reason[SK_STORE_REASON_MAX])
{
    struct sk_report_store *store = sk_mem_calloc(1, sizeof *store);
    if (!store)
        return SKEP_ERR_NOMEM;
    store->style = *style;
    sk_buf_init(&store->queue, SK_STORE_QUEUE_MAX);
    int err = sk_database_open(&store->file, path);
    if (!err)
        err = set_up(store);
    if (err) {
        snprintf(ret_reason, SK_STORE_REASON_MAX, "%s", store->file.reason);
        sk_report_store_close(store);
        return err;
    }
    *ret_store = store;
    return 0;
}

int sk_report_store_begin(struct sk_report_store *store, double started_unix_s, uint64_t begin_ns,
                          const uint8_t info_hash[20])
{
    sqlite3_stmt *insert;
    char hex[41];
    sk_hex_encode(info_hash, 20, hex);
    if (store->file.failed)
        return SKEP_ERR_STORE;
    int err = sk_database_prepare(
        &store->file, "INSERT INTO audit (started, info_hash, anonymized) VALUES (?, ?, ?)",
        &insert);
    if (err)
        return err;
    sqlite3_bind_double(insert, 1, started_unix_s);
    sqlite3_bind_text(insert, 2, hex, -1, SQLITE_STATIC);
    sqlite3_bind_int(insert, 3, store->style.anonymizer != NULL);
    err = sqlite3_step(insert) == SQLITE_DONE ? 0 : sk_database_fail(&store->file);
    sqlite3_finalize(insert);
    if (err)
        return err;
    store->audit = sqlite3_last_insert_rowid(store->file.db);
    store->begin_ns = store->flushed_ns = begin_ns;
    return 0;
}

/* What the bytes of an observation are, and how many of its numbers mean something. */
enum payload { PAYLOAD_NONE, PAYLOAD_TEXT, PAYLOAD_REMARK, PAYLOAD_DATA, PAYLOAD_PEER_ID };
static const struct {
    enum payload payload;
    int numbers;
} kinds[SK_OBS_KIND_COUNT] = {
    [SK_OBS_HEARD] = {PAYLOAD_NONE, 2},         [SK_OBS_DROPPED] = {PAYLOAD_NONE, 0},
    [SK_OBS_TRACKER_CLAIM] = {PAYLOAD_TEXT, 3}, [SK_OBS_TRACKER_FAILED] = {PAYLOAD_REMARK, 0},
    [SK_OBS_DIALED] = {PAYLOAD_NONE, 1},        [SK_OBS_FAILED] = {PAYLOAD_TEXT, 0},
    [SK_OBS_OPEN] = {PAYLOAD_PEER_ID, 2},       [SK_OBS_CLIENT] = {PAYLOAD_TEXT, 0},
    [SK_OBS_CLOSED] = {PAYLOAD_TEXT, 0},        [SK_OBS_BITFIELD] = {PAYLOAD_DATA, 0},
    [SK_OBS_HAVE] = {PAYLOAD_NONE, 2},          [SK_OBS_DONT_HAVE] = {PAYLOAD_NONE, 1},
    [SK_OBS_CHOKE] = {PAYLOAD_NONE, 0},         [SK_OBS_UNCHOKE] = {PAYLOAD_NONE, 0},
    [SK_OBS_INTERESTED] = {PAYLOAD_NONE, 1},    [SK_OBS_UPLOAD_ONLY] = {PAYLOAD_NONE, 1},
    [SK_OBS_REQUESTED] = {PAYLOAD_NONE, 3},     [SK_OBS_ARRIVAL] = {PAYLOAD_NONE, 1},
    [SK_OBS_BLOCK] = {PAYLOAD_NONE, 3},         [SK_OBS_VERIFIED] = {PAYLOAD_NONE, 2},
    [SK_OBS_CORRUPT] = {PAYLOAD_NONE, 2},       [SK_OBS_OFFERED] = {PAYLOAD_NONE, 1},
    [SK_OBS_GIVEN] = {PAYLOAD_NONE, 3},         [SK_OBS_SELF] = {PAYLOAD_PEER_ID, 0},
    [SK_OBS_ANNOUNCED] = {PAYLOAD_TEXT, 3},     [SK_OBS_SHORT_PIECES] = {PAYLOAD_DATA, 0},
};

static void bind_address(struct sk_report_store *store, int column,
                         const struct sk_endpoint *endpoint)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    if (endpoint->family == SK_FAMILY_NONE)
        return;
    sk_anonymizer_endpoint(store->style.anonymizer, endpoint, text);
    sqlite3_bind_text(store->insert, column, text, -1, SQLITE_TRANSIENT);
}

/* "tracker address\ttheir words": the tracker is no peer, only the words may name one. */
static int bind_remark(struct sk_report_store *store, struct sk_bytes text)
{
    struct sk_value value = {0};
    struct sk_buf hidden;
    const uint8_t *tab = text.n ? memchr(text.p, '\t', text.n) : NULL;
    size_t ours = tab ? (size_t)(tab - text.p) : 0;
    sk_buf_init(&hidden, text.n * SK_ANONYMIZER_GROWTH);
    int err = ours ? sk_buf_append(&hidden, text.p, ours) : 0;
    if (!err)
        err = sk_anonymizer_text(store->style.anonymizer, sk_bytes(text.p + ours, text.n - ours),
                                 &hidden);
    if (!err)
        err = sk_value_set_text(&value, sk_buf_bytes(&hidden));
    if (!err)
        sqlite3_bind_text(store->insert, SK_STORE_OBSERVATION_TEXT, (const char *)value.text.p,
                          (int)value.text.n, SQLITE_TRANSIENT);
    sk_value_deinit(&value);
    sk_buf_deinit(&hidden);
    return err;
}

static int bind_payload(struct sk_report_store *store, const struct sk_observation *observation)
{
    struct sk_bytes bytes = observation->bytes;
    struct sk_value value = {0};
    int err = 0;
    if (!bytes.n)
        return 0;
    switch (kinds[observation->kind].payload) {
    case PAYLOAD_NONE:
        break;
    case PAYLOAD_TEXT:
        err = sk_value_set_text(&value, bytes);
        if (!err)
            sqlite3_bind_text(store->insert, SK_STORE_OBSERVATION_TEXT, (const char *)value.text.p,
                              (int)value.text.n, SQLITE_TRANSIENT);
        sk_value_deinit(&value);
        break;
    case PAYLOAD_REMARK:
        err = bind_remark(store, bytes);
        break;
    case PAYLOAD_PEER_ID:
        if (store->style.anonymizer)
            break;
        /* fall through */
    case PAYLOAD_DATA:
        sqlite3_bind_blob(store->insert, SK_STORE_OBSERVATION_DATA, bytes.p, (int)bytes.n,
                          SQLITE_TRANSIENT);
        break;
    }
    return err;
}

static int insert(struct sk_report_store *store, const struct sk_observation *observation)
{
    const int64_t numbers[] = {observation->a, observation->b, observation->c};
    bool is_claim = observation->kind == SK_OBS_TRACKER_CLAIM;
    sqlite3_clear_bindings(store->insert);
    sqlite3_bind_int64(store->insert, 1, store->audit);
    sqlite3_bind_int64(store->insert, 2, (int64_t)(observation->at_ns - store->begin_ns));
    sqlite3_bind_text(store->insert, 3, sk_observation_kind_name(observation->kind), -1,
                      SQLITE_STATIC);
    bind_address(store, 4, &observation->peer);
    bind_address(store, 5, &observation->by);
    for (unsigned i = 0; i < SK_SOURCE_COUNT; i++)
        if (observation->source == 1u << i)
            sqlite3_bind_text(store->insert, 6, sk_source_name(i), -1, SQLITE_STATIC);
    for (int i = 0; i < kinds[observation->kind].numbers; i++)
        if (!is_claim || numbers[i] >= 0)
            sqlite3_bind_int64(store->insert, SK_STORE_OBSERVATION_NUMBERS + i, numbers[i]);
    if (bind_payload(store, observation)) {
        sk_database_refuse(&store->file, "out of memory");
        return SKEP_ERR_NOMEM;
    }
    int err = sqlite3_step(store->insert) == SQLITE_DONE ? 0 : sk_database_fail(&store->file);
    sqlite3_reset(store->insert);
    return err;
}

/* Writes the queue and, in the same burst, `last` (NULL: none), which is too big for it. */
static int flush(struct sk_report_store *store, const struct sk_observation *last)
{
    struct sk_observation observation;
    if (store->file.failed)
        return SKEP_ERR_STORE;
    if (!store->queue.n && !last)
        return 0;
    int err = sk_database_execute(&store->file, "BEGIN IMMEDIATE");
    for (size_t at = 0; at < store->queue.n && !err; at += observation.bytes.n) {
        memcpy(&observation, store->queue.p + at, sizeof observation);
        at += sizeof observation;
        observation.bytes.p = store->queue.p + at;
        err = insert(store, &observation);
    }
    if (!err && last)
        err = insert(store, last);
    err = sk_database_end(&store->file, err);
    store->queue.n = 0;
    return err;
}

void sk_report_store_observe(const struct sk_observation *observation, void *ctx)
{
    struct sk_report_store *store = ctx;
    size_t n = sizeof *observation + observation->bytes.n;
    SK_ASSERT(store->audit);
    if (store->file.failed)
        return;
    if (n > OBSERVATION_BIG) {
        flush(store, observation);
        return;
    }
    bool is_due = observation->at_ns >= store->flushed_ns + FLUSH_NS;
    if (is_due || n > store->queue.max - store->queue.n) {
        flush(store, NULL);
        store->flushed_ns = observation->at_ns;
    }
    if (sk_buf_append(&store->queue, observation, sizeof *observation) ||
        sk_buf_append(&store->queue, observation->bytes.p, observation->bytes.n))
        sk_database_refuse(&store->file, "out of memory");
}

static void bind_value(sqlite3_stmt *statement, int column, const struct sk_value *value)
{
    switch (value->kind) {
    case SK_VALUE_NONE:
        sqlite3_bind_null(statement, column);
        break;
    case SK_VALUE_INT:
    case SK_VALUE_BOOL:
        sqlite3_bind_int64(statement, column, value->i);
        break;
    case SK_VALUE_REAL:
        sqlite3_bind_double(statement, column, value->exact);
        break;
    case SK_VALUE_TEXT:
    case SK_VALUE_SET:
        sqlite3_bind_text(statement, column, value->text.n ? (const char *)value->text.p : "",
                          (int)value->text.n, SQLITE_TRANSIENT);
        break;
    }
}

static int bind_fields(struct sk_report_store *store, sqlite3_stmt *statement, int column,
                       const struct sk_field *fields, size_t count, const void *base)
{
    struct sk_value value = {0};
    int err = 0;
    for (size_t i = 0; i < count && !err; i++) {
        err = sk_field_read(&fields[i], base, &store->style, &value);
        if (!err)
            bind_value(statement, column + (int)i, &value);
    }
    sk_value_deinit(&value);
    return err;
}

/* Runs a statement whose ?1 is the audit's number. */
static int run(struct sk_report_store *store, sqlite3_stmt *statement)
{
    sqlite3_bind_int64(statement, 1, store->audit);
    int err = sqlite3_step(statement) == SQLITE_DONE ? 0 : sk_database_fail(&store->file);
    sqlite3_reset(statement);
    return err;
}

static int prepare(struct sk_report_store *store, struct sk_buf *sql, sqlite3_stmt **ret)
{
    int err = sql->failed ? SKEP_ERR_NOMEM : 0;
    if (!err && sqlite3_prepare_v2(store->file.db, (const char *)sql->p, (int)sql->n, ret, NULL))
        err = sk_database_fail(&store->file);
    sk_buf_deinit(sql);
    return err;
}

static int write_audit(struct sk_report_store *store, const struct sk_report *report)
{
    sqlite3_stmt *update = NULL;
    struct sk_buf sql;
    sk_buf_init(&sql, SK_STORE_SQL_MAX);
    sk_report_schema_update_audit(&sql);
    int err = prepare(store, &sql, &update);
    if (!err)
        err = bind_fields(store, update, 2, sk_fields_audit, sk_fields_audit_count, report);
    if (!err)
        err = bind_fields(store, update, 2 + (int)sk_fields_audit_count, sk_fields_swarm,
                          sk_fields_swarm_count, report);
    if (!err)
        err = run(store, update);
    sqlite3_finalize(update);
    return err;
}

static int write_claims(struct sk_report_store *store, const struct sk_report *report)
{
    sqlite3_stmt *statement = NULL;
    struct sk_buf sql;
    sk_buf_init(&sql, SK_STORE_SQL_MAX);
    sk_report_schema_insert("claims", sk_fields_claim, sk_fields_claim_count, &sql);
    int err = prepare(store, &sql, &statement);
    for (size_t i = 0; i < report->claims_count && !err; i++) {
        err = bind_fields(store, statement, 2, sk_fields_claim, sk_fields_claim_count,
                          &report->claims[i]);
        if (!err)
            err = run(store, statement);
    }
    sqlite3_finalize(statement);
    return err;
}

static int write_peers(struct sk_report_store *store, const struct sk_report *report)
{
    const struct sk_report_peer **peers = NULL;
    sqlite3_stmt *statement = NULL;
    struct sk_buf sql;
    sk_buf_init(&sql, SK_STORE_SQL_MAX);
    sk_report_schema_insert("peers", sk_fields_peer, sk_fields_peer_count, &sql);
    int err = prepare(store, &sql, &statement);
    if (!err)
        err = sk_report_order(report, &store->style, &peers);
    for (size_t i = 0; i < report->peers_count && !err; i++) {
        err = bind_fields(store, statement, 2, sk_fields_peer, sk_fields_peer_count, peers[i]);
        if (!err)
            err = run(store, statement);
    }
    sk_mem_free(peers);
    sqlite3_finalize(statement);
    return err;
}

/* `rows` of `size` bytes each, in their order. */
static int write_rows(struct sk_report_store *store, const char *table,
                      const struct sk_field *fields, size_t fields_count, const void *rows,
                      size_t size, size_t count)
{
    sqlite3_stmt *statement = NULL;
    struct sk_buf sql;
    sk_buf_init(&sql, SK_STORE_SQL_MAX);
    sk_report_schema_insert(table, fields, fields_count, &sql);
    int err = prepare(store, &sql, &statement);
    for (size_t i = 0; i < count && !err; i++) {
        err = bind_fields(store, statement, 2, fields, fields_count, (const char *)rows + i * size);
        if (!err)
            err = run(store, statement);
    }
    sqlite3_finalize(statement);
    return err;
}

int sk_report_store_finish(struct sk_report_store *store, const struct sk_report *report)
{
    SK_ASSERT(store->audit);
    int err = flush(store, NULL);
    if (!err)
        err = sk_database_execute(&store->file, "BEGIN IMMEDIATE");
    if (err)
        return err;
    err = write_audit(store, report);
    if (!err)
        err = write_claims(store, report);
    if (!err)
        err = write_peers(store, report);
    if (!err)
        err = write_rows(store, "flows", sk_fields_flow, sk_fields_flow_count, report->flows,
                         sizeof *report->flows, report->flows_count);
    if (!err)
        err = write_rows(store, "tracers", sk_fields_tracer, sk_fields_tracer_count,
                         report->tracers, sizeof *report->tracers, report->tracers_count);
    err = sk_database_end(&store->file, err);
    store->audit = 0;
    if (!err)
        sqlite3_wal_checkpoint_v2(store->file.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return err;
}

int sk_report_store_take_error(struct sk_report_store *store)
{
    bool is_news = store->file.failed && !store->told;
    store->told = store->file.failed;
    return is_news ? SKEP_ERR_STORE : 0;
}

const char *sk_report_store_reason(const struct sk_report_store *store)
{
    return store->file.reason;
}

void sk_report_store_close(struct sk_report_store *store)
{
    if (!store)
        return;
    flush(store, NULL);
    sqlite3_finalize(store->insert);
    /* One file without companions, to be copied; refused, and no harm, while others use it. */
    if (store->insert)
        sqlite3_exec(store->file.db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    sk_database_close(&store->file);
    sk_buf_deinit(&store->queue);
    sk_mem_free(store);
}
