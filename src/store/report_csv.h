/*
 * A report's peers as CSV (RFC 4180): a header line, one line a peer, CRLF at their ends. Unknown
 * is an empty cell. Layer: store.
 *
 * Spreadsheets run cells that begin with = + - @ tab or CR as formulas, and a stranger names his
 * client: such text gets an apostrophe in front.
 */
#ifndef SK_STORE_REPORT_CSV_H
#define SK_STORE_REPORT_CSV_H

#include "store/report_field.h"

/* Appends to out. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT (out->max). */
int sk_report_write_csv(const struct sk_report *report, const struct sk_report_style *style,
                        struct sk_buf *out);

#endif
