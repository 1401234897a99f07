#include "store/report_schema.h"

#include <skep/err.h>

#include <stdio.h>

static const char *column_type(enum sk_field_kind kind)
{
    switch (kind) {
    case SK_FIELD_U32:
    case SK_FIELD_SOME:
    case SK_FIELD_ROUND:
    case SK_FIELD_U64:
    case SK_FIELD_COUNT:
    case SK_FIELD_FLAG:
    case SK_FIELD_BOOL:
        return "INTEGER";
    case SK_FIELD_REAL:
        return "REAL";
    default:
        return "TEXT";
    }
}

static void add_columns(struct sk_buf *sql, const struct sk_field *fields, size_t count)
{
    char name[SK_FIELD_NAME_MAX];
    for (size_t i = 0; i < count; i++)
        sk_buf_printf(sql, ",\n  \"%s\" %s", sk_field_flat_name(&fields[i], name),
                      column_type(fields[i].kind));
}

/* A buffer remembers that an append failed. */
static int end(struct sk_buf *sql)
{
    return sk_buf_append(sql, "", 1) ? SKEP_ERR_NOMEM : 0;
}

static const char reference[] = "(\n  audit INTEGER NOT NULL REFERENCES audit ON DELETE CASCADE";

static void add_table(struct sk_buf *sql, const char *name, const struct sk_field *fields,
                      size_t count)
{
    sk_buf_printf(sql, "CREATE TABLE %s %s", name, reference);
    add_columns(sql, fields, count);
    sk_buf_text(sql, ");\n");
}

int sk_report_schema_create(struct sk_buf *sql)
{
    sk_buf_printf(sql, "PRAGMA application_id = %d;\nPRAGMA user_version = %d;\n",
                  SK_STORE_APPLICATION, SK_STORE_VERSION);
    sk_buf_text(sql, "CREATE TABLE audit (\n  id INTEGER PRIMARY KEY,\n  anonymized INTEGER");
    add_columns(sql, sk_fields_audit, sk_fields_audit_count);
    add_columns(sql, sk_fields_swarm, sk_fields_swarm_count);
    sk_buf_text(sql, ");\n");
    add_table(sql, "claims", sk_fields_claim, sk_fields_claim_count);
    add_table(sql, "peers", sk_fields_peer, sk_fields_peer_count);
    add_table(sql, "flows", sk_fields_flow, sk_fields_flow_count);
    add_table(sql, "tracers", sk_fields_tracer, sk_fields_tracer_count);
    sk_buf_printf(sql,
                  "CREATE TABLE observations %s,\n  at_ns INTEGER NOT NULL,\n"
                  "  kind TEXT NOT NULL,\n  peer TEXT,\n  told_by TEXT,\n  source TEXT,\n"
                  "  a INTEGER,\n  b INTEGER,\n  c INTEGER,\n  text TEXT,\n  data BLOB);\n",
                  reference);
    return end(sql);
}

/* ---- files of older versions ---- */

static int has(struct sk_database *database, const char *sql, const char *table, const char *column,
               bool *ret_has)
{
    sqlite3_stmt *query;
    int err = sk_database_prepare(database, sql, &query);
    if (err)
        return err;
    sqlite3_bind_text(query, 1, table, -1, SQLITE_STATIC);
    if (column)
        sqlite3_bind_text(query, 2, column, -1, SQLITE_STATIC);
    int step = sqlite3_step(query);
    *ret_has = step == SQLITE_ROW;
    sqlite3_finalize(query);
    return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : sk_database_fail(database);
}

/* Adds the columns that a table lacks; what its rows say of them is then unknown, as it is. */
static int complete(struct sk_database *database, const char *table, const struct sk_field *fields,
                    size_t count)
{
    char name[SK_FIELD_NAME_MAX], sql[160];
    bool there = false;
    int err = 0;
    for (size_t i = 0; i < count && !err; i++) {
        sk_field_flat_name(&fields[i], name);
        err =
            has(database, "SELECT 1 FROM pragma_table_info(?) WHERE name = ?", table, name, &there);
        if (err || there)
            continue;
        snprintf(sql, sizeof sql, "ALTER TABLE %s ADD COLUMN \"%s\" %s", table, name,
                 column_type(fields[i].kind));
        err = sk_database_execute(database, sql);
    }
    return err;
}

int sk_report_schema_upgrade(struct sk_database *database)
{
    struct sk_buf sql;
    bool has_flows = false, has_tracers = false;
    int err = complete(database, "audit", sk_fields_audit, sk_fields_audit_count);
    if (!err)
        err = complete(database, "audit", sk_fields_swarm, sk_fields_swarm_count);
    if (!err)
        err = complete(database, "claims", sk_fields_claim, sk_fields_claim_count);
    if (!err)
        err = complete(database, "peers", sk_fields_peer, sk_fields_peer_count);
    if (!err)
        err = has(database, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
                  "flows", NULL, &has_flows);
    if (!err)
        err = has(database, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
                  "tracers", NULL, &has_tracers);
    if (err)
        return err;
    sk_buf_init(&sql, SK_STORE_SQL_MAX);
    if (!has_flows)
        add_table(&sql, "flows", sk_fields_flow, sk_fields_flow_count);
    if (!has_tracers)
        add_table(&sql, "tracers", sk_fields_tracer, sk_fields_tracer_count);
    sk_buf_printf(&sql, "PRAGMA user_version = %d;", SK_STORE_VERSION);
    err = end(&sql);
    if (!err)
        err = sk_database_execute(database, (const char *)sql.p);
    sk_buf_deinit(&sql);
    return err;
}

/* ---- statements ---- */

int sk_report_schema_insert(const char *table, const struct sk_field *fields, size_t count,
                            struct sk_buf *sql)
{
    char name[SK_FIELD_NAME_MAX];
    sk_buf_printf(sql, "INSERT INTO %s (audit", table);
    for (size_t i = 0; i < count; i++)
        sk_buf_printf(sql, ", \"%s\"", sk_field_flat_name(&fields[i], name));
    sk_buf_text(sql, ") VALUES (?");
    for (size_t i = 0; i < count; i++)
        sk_buf_text(sql, ", ?");
    sk_buf_text(sql, ")");
    return end(sql);
}

static void add_assignments(struct sk_buf *sql, const struct sk_field *fields, size_t count,
                            int *column)
{
    char name[SK_FIELD_NAME_MAX];
    for (size_t i = 0; i < count; i++, ++*column)
        sk_buf_printf(sql, "%s\"%s\" = ?%d", *column > 2 ? ", " : "",
                      sk_field_flat_name(&fields[i], name), *column);
}

int sk_report_schema_update_audit(struct sk_buf *sql)
{
    int column = 2;
    sk_buf_text(sql, "UPDATE audit SET ");
    add_assignments(sql, sk_fields_audit, sk_fields_audit_count, &column);
    add_assignments(sql, sk_fields_swarm, sk_fields_swarm_count, &column);
    sk_buf_text(sql, " WHERE id = ?1");
    return end(sql);
}
