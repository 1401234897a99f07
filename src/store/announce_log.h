/*
 * Announces in an SQLite file, as skep tracker records them. Layer: store.
 *
 *   open -> put ... (flush) -> close, or sk_announce_log_read()
 *
 * One table, announces, with the columns of store/announce_column.h; what is not known is NULL.
 * Announces are queued (SK_ANNOUNCE_LOG_QUEUE of them) and written in bursts of one transaction
 * each, when the queue is full or a second old. One file takes any number of runs, also of programs
 * that run at the same time, and can be read meanwhile.
 */
#ifndef SK_STORE_ANNOUNCE_LOG_H
#define SK_STORE_ANNOUNCE_LOG_H

#include "store/announce_column.h"
#include "store/database.h"

#define SK_ANNOUNCE_LOG_APPLICATION 0x736b616e /* "skan": PRAGMA application_id */
#define SK_ANNOUNCE_LOG_QUEUE 2048

struct sk_announce_log;

/* Opens or makes the file. On SKEP_ERR_STORE `ret_reason` has a sentence with SQLite's words; also
 * SKEP_ERR_NOMEM. */
int sk_announce_log_open(const char *path, struct sk_announce_log **ret_log,
                         char ret_reason[SK_DATABASE_REASON_MAX]);
/* Writes what is queued and closes; SKEP_ERR_STORE where that, or something before, failed. Takes
 * NULL. */
int sk_announce_log_close(struct sk_announce_log *log);
/* Records one; `now_ns` is monotonic. The first error is kept for sk_announce_log_take_error() and
 * what comes later is dropped. Bytes that no signed 64-bit number holds are recorded as not known.
 */
void sk_announce_log_put(struct sk_announce_log *log, const struct sk_announce *announce,
                         uint64_t now_ns);
/* Writes what has been queued for a second. */
void sk_announce_log_flush(struct sk_announce_log *log, uint64_t now_ns);
/* SKEP_ERR_STORE the first time it is called after a failure, 0 otherwise. */
int sk_announce_log_take_error(struct sk_announce_log *log);
/* What failed, in SQLite's words; "" when nothing did. */
const char *sk_announce_log_reason(const struct sk_announce_log *log);

/* Whether the file is one, by what it says of itself. SKEP_ERR_STORE, SKEP_ERR_NOMEM, with
 * `ret_reason`. */
int sk_announce_log_check(const char *path, char ret_reason[SK_DATABASE_REASON_MAX]);
/*
 * Hands on what the file holds, in the order in which it was recorded; rows are numbered as lines
 * are. What the sink returned; SKEP_ERR_STORE, SKEP_ERR_NOMEM, with `ret_reason`.
 */
int sk_announce_log_read(const char *path, const struct sk_announce_sink *sink,
                         struct sk_announces_tally *ret_tally,
                         char ret_reason[SK_DATABASE_REASON_MAX]);

#endif
