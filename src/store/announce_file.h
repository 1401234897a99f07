/*
 * Announces out of text: JSON Lines, or CSV with a header row, told apart by the first character.
 * Layer: store; pure: it is fed bytes in any portions, as a stream of any length.
 *
 *   new -> input ... -> end -> free
 *
 * Columns are those of store/announce_column.h in any order; others are passed over. CSV is that of
 * RFC 4180 with CR LF or LF, separated by commas, semicolons or tabs (which is what database shells
 * write), as the header row has more of. A byte order mark is skipped. A JSON array, text that is
 * not UTF-8, and lines that end in CR alone are refused, each with what to do.
 *
 * A line that cannot be read is told to the sink and passed over. It ends where lines give no hope:
 * SK_ANNOUNCE_BAD_MAX of them, and more than good ones.
 *
 * Memory: SK_ANNOUNCE_RECORD_MAX bytes of a line, and what jansson makes of that.
 */
#ifndef SK_STORE_ANNOUNCE_FILE_H
#define SK_STORE_ANNOUNCE_FILE_H

#include "store/announce_column.h"

struct sk_announce_file;

/* The sink is copied, what it points to is borrowed. SKEP_ERR_NOMEM. */
int sk_announce_file_new(const struct sk_announce_sink *sink, struct sk_announce_file **ret_file);
void sk_announce_file_free(struct sk_announce_file *file);
/* Whatever but 0 is the end of it: what the sink returned; SKEP_ERR_MALFORMED, see
 * sk_announce_file_reason(); SKEP_ERR_NOMEM. */
int sk_announce_file_input(struct sk_announce_file *file, struct sk_bytes bytes);
/* Nothing more comes: a last line may lack its end. As input(); also SKEP_ERR_MALFORMED where there
 * were lines and all of them were bad. */
int sk_announce_file_end(struct sk_announce_file *file);
/* Why it is SKEP_ERR_MALFORMED, with what to do. */
const char *sk_announce_file_reason(const struct sk_announce_file *file);
const struct sk_announces_tally *sk_announce_file_tally(const struct sk_announce_file *file);

#endif
