/*
 * Audits in an SQLite file: the observation log while it grows, the report at the end. One file
 * takes any number of audits, also of programs that run at the same time. Layer: store.
 *
 *   open -> begin -> observe ... -> finish -> (begin ...) -> close
 *
 * Tables: audit (one row an audit: what the JSON document says of audit and swarm), claims, peers,
 * flows (columns are the fields of store/report_field.h, dots as '_') and observations (at_ns since
 * the audit began, kind, peer, told_by, source, a, b, c, text, data; audit/observation.h says what
 * a kind's numbers are; what a kind does not use is NULL). An audit whose `seconds` is NULL was
 * never finished. Numbers are in full, not rounded as in other formats: what a replay infers from
 * them is what the audit inferred.
 *
 * Observations are queued (SK_STORE_QUEUE_MAX bytes) and written in bursts of one transaction each,
 * when the queue is full or a second old, so that the file is never locked between bursts. The file
 * is in WAL mode while we have it, and the log is moved into the file only when an audit is
 * finished: a burst waits for no disk, which would stall a measurement. On close it goes back to a
 * single file.
 *
 * The file is ours when its application_id and user_version say so; another database is refused
 * before anything is written to it.
 */
#ifndef SK_STORE_REPORT_SQLITE_H
#define SK_STORE_REPORT_SQLITE_H

#include "audit/observation.h"
#include "store/report_field.h"

#define SK_STORE_REASON_MAX 512
#define SK_STORE_QUEUE_MAX (256u << 10)

struct sk_report_store;

/*
 * Opens or makes the file. The style is copied, its anonymizer borrowed until close. On
 * SKEP_ERR_STORE `ret_reason` has a sentence with SQLite's words; also SKEP_ERR_NOMEM.
 */
int sk_report_store_open(const char *path, const struct sk_report_style *style,
                         struct sk_report_store **ret_store, char ret_reason[SK_STORE_REASON_MAX]);
/* Writes what is queued and closes; takes NULL. */
void sk_report_store_close(struct sk_report_store *store);
/* Makes the row of a new audit, to which all that follows belongs. `begin_ns` is the monotonic time
 * that observations are counted from. SKEP_ERR_STORE. */
int sk_report_store_begin(struct sk_report_store *store, double started_unix_s, uint64_t begin_ns,
                          const uint8_t info_hash[20]);
/*
 * An sk_observe_fn; ctx is the store, between begin and finish. It cannot fail: the first error is
 * kept for sk_report_store_take_error() and what comes later is dropped.
 */
void sk_report_store_observe(const struct sk_observation *observation, void *ctx);
/* Writes what is queued and the report. SKEP_ERR_STORE, also when an observation was lost before;
 * SKEP_ERR_NOMEM. */
int sk_report_store_finish(struct sk_report_store *store, const struct sk_report *report);
/* SKEP_ERR_STORE the first time it is called after a failure, 0 otherwise. */
int sk_report_store_take_error(struct sk_report_store *store);
/* What failed, in SQLite's words; "" when nothing did. */
const char *sk_report_store_reason(const struct sk_report_store *store);

#endif
