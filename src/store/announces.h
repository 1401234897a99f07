/*
 * Recorded announces, in whatever form: one front for store/announce_log.h (SQLite, as skep tracker
 * writes it) and store/announce_file.h (JSON Lines, CSV). The kind is told by content, not by name.
 * Layer: store. Memory: see those; files are read as streams.
 */
#ifndef SK_STORE_ANNOUNCES_H
#define SK_STORE_ANNOUNCES_H

#include "store/announce_column.h"
#include "store/database.h"

/*
 * Reads a file, or standard input where the path is "-" (text only: SQLite needs a file). Announces
 * are handed to the sink in the file's order. Returns what the sink returned, or: SKEP_ERR_IO,
 * SKEP_ERR_STORE (cannot be read), SKEP_ERR_MALFORMED (no announces, or hardly any), each with
 * `ret_reason` ("PATH: why"); SKEP_ERR_NOMEM. The tally is valid in every case.
 */
int sk_announces_read(const char *path, const struct sk_announce_sink *sink,
                      struct sk_announces_tally *ret_tally,
                      char ret_reason[SK_DATABASE_REASON_MAX]);

/*
 * Whether the file may be read so, by its first 64 KiB: it can be opened, and is of one of these
 * kinds; it may be empty yet, or have half of a line. What is no regular file (a pipe, "-") is
 * taken as it is. Errors and `ret_reason` as those of sk_announces_read().
 */
int sk_announces_check(const char *path, char ret_reason[SK_DATABASE_REASON_MAX]);

#endif
