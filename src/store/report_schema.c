#include "store/report_schema.h"

#include <skep/err.h>

static const char *column_type(enum sk_field_kind kind)
{
    switch (kind) {
    case SK_FIELD_U32:
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
        sk_buf_printf(sql, ",\n  %s %s", sk_field_flat_name(&fields[i], name),
                      column_type(fields[i].kind));
}

/* A buffer remembers that an append failed. */
static int end(struct sk_buf *sql)
{
    return sk_buf_append(sql, "", 1) ? SKEP_ERR_NOMEM : 0;
}

int sk_report_schema_create(struct sk_buf *sql)
{
    static const char reference[] =
        "(\n  audit INTEGER NOT NULL REFERENCES audit ON DELETE CASCADE";
    sk_buf_printf(sql, "PRAGMA application_id = %d;\nPRAGMA user_version = %d;\n",
                  SK_STORE_APPLICATION, SK_STORE_VERSION);
    sk_buf_text(sql, "CREATE TABLE audit (\n  id INTEGER PRIMARY KEY,\n  anonymized INTEGER");
    add_columns(sql, sk_fields_audit, sk_fields_audit_count);
    add_columns(sql, sk_fields_swarm, sk_fields_swarm_count);
    sk_buf_printf(sql, ");\nCREATE TABLE claims %s", reference);
    add_columns(sql, sk_fields_claim, sk_fields_claim_count);
    sk_buf_printf(sql, ");\nCREATE TABLE peers %s", reference);
    add_columns(sql, sk_fields_peer, sk_fields_peer_count);
    sk_buf_printf(sql,
                  ");\nCREATE TABLE observations %s,\n  at_ns INTEGER NOT NULL,\n"
                  "  kind TEXT NOT NULL,\n  peer TEXT,\n  told_by TEXT,\n  source TEXT,\n"
                  "  a INTEGER,\n  b INTEGER,\n  c INTEGER,\n  text TEXT,\n  data BLOB);\n",
                  reference);
    return end(sql);
}

int sk_report_schema_insert(const char *table, const struct sk_field *fields, size_t count,
                            struct sk_buf *sql)
{
    char name[SK_FIELD_NAME_MAX];
    sk_buf_printf(sql, "INSERT INTO %s (audit", table);
    for (size_t i = 0; i < count; i++)
        sk_buf_printf(sql, ", %s", sk_field_flat_name(&fields[i], name));
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
        sk_buf_printf(sql, "%s%s = ?%d", *column > 2 ? ", " : "",
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
