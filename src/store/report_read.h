/*
 * Rows of an audit file back into a report: the other direction of store/report_field.h. Layer:
 * store. For store/replay.c.
 *
 * Columns are found by name. One that a file does not have (an older skep made it) is unknown, as
 * NULL is; one that we do not know (a newer one did) is passed over.
 */
#ifndef SK_STORE_REPORT_READ_H
#define SK_STORE_REPORT_READ_H

#include "store/database.h"
#include "store/report_field.h"

/* Texts that a report borrows; they live until it is deinit. Zero: empty. */
struct sk_report_texts {
    char **list;
    size_t count, capacity;
};
void sk_report_texts_deinit(struct sk_report_texts *texts);

/* A kind of row: where its columns go. */
struct sk_report_rows {
    const struct sk_field *fields;
    size_t count;
    bool owned; /* texts are the struct's own (claims); else of `texts` */
};
/* An address of a file: "ip:port" or a pseudonym, for which an endpoint stands then. NULL and
 * damage are family NONE. */
struct sk_endpoint sk_report_read_address(const char *text);
/* Reads the row that the statement stands on into the struct at `base`, whose fields are all set;
 * owned texts that were there are freed. SKEP_ERR_NOMEM. */
int sk_report_read_row(sqlite3_stmt *row, const struct sk_report_rows *rows,
                       struct sk_report_texts *texts, void *base);

#endif
