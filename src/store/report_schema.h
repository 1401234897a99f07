/*
 * The SQL of an audit file: made from the field tables, so that columns and fields cannot part.
 * Layer: store. All functions append to a buffer, NUL-terminated; SKEP_ERR_NOMEM.
 */
#ifndef SK_STORE_REPORT_SCHEMA_H
#define SK_STORE_REPORT_SCHEMA_H

#include "store/database.h"
#include "store/report_field.h"

#define SK_STORE_APPLICATION 0x736b6570 /* "skep": PRAGMA application_id */
#define SK_STORE_VERSION 6              /* PRAGMA user_version; goes up with every new column */
#define SK_STORE_SQL_MAX 16384

/* Parameters: 1 audit, 2 at_ns, 3 kind, 4 peer, 5 told_by, 6 source, 7-9 a b c, 10 text, 11 data */
#define SK_STORE_INSERT_OBSERVATION                                                                \
    "INSERT INTO observations (audit, at_ns, kind, peer, told_by, source, a, b, c, text, data) "   \
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define SK_STORE_OBSERVATION_NUMBERS 7
#define SK_STORE_OBSERVATION_TEXT 10
#define SK_STORE_OBSERVATION_DATA 11

/* The tables and the marks by which the file is known as ours. */
int sk_report_schema_create(struct sk_buf *sql);
/* Adds to a file of an older version what it lacks. Columns only ever join, so that nothing in it
 * changes, and a program that still writes in the old way can go on. As sk_database_claim() wants
 * it. */
int sk_report_schema_upgrade(struct sk_database *database);
/* Parameters: 1 audit, then the fields. */
int sk_report_schema_insert(const char *table, const struct sk_field *fields, size_t count,
                            struct sk_buf *sql);
/* Parameters: 1 audit, then sk_fields_audit, then sk_fields_swarm. */
int sk_report_schema_update_audit(struct sk_buf *sql);

#endif
