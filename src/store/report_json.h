/*
 * A report as JSON and as JSON Lines (RFC 8259, "skep.audit/1", docs/schema/skep.audit.1.json).
 * Layer: store.
 *
 * Unknown is null. Pure ASCII: whatever else is in a name goes as \uXXXX, so that the text is valid
 * whatever a stranger called himself and does nothing to a terminal. One peer a line, in memory for
 * one peer at a time besides `out`.
 */
#ifndef SK_STORE_REPORT_JSON_H
#define SK_STORE_REPORT_JSON_H

#include "store/report_field.h"

#define SK_REPORT_SCHEMA "skep.audit/1"

/* Appends the document and a newline. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT (out->max). */
int sk_report_write_json(const struct sk_report *report, const struct sk_report_style *style,
                         struct sk_buf *out);
/*
 * Appends one object a line, each with "type": first "swarm" (the audit's and the swarm's fields),
 * then each "claim", then each "peer". Errors as above.
 */
int sk_report_write_jsonl(const struct sk_report *report, const struct sk_report_style *style,
                          struct sk_buf *out);

#endif
