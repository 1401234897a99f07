/* Numbers as a person writes them, in options and scenario files. False: the text has no such
 * meaning. Layer: cmd. */
#ifndef SK_CMD_PARSE_H
#define SK_CMD_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* "1048576", "1M", "64k", "1.5GiB". Bytes without a unit are whole ones. */
bool sk_parse_size(const char *text, uint64_t *ret_bytes);
bool sk_parse_seconds(const char *text, double *ret_seconds); /* "10", "2.5", "3m", "1h" */
/* A time in a film: "90s", "1:30", "1:02:03.5". A number by itself is none. */
bool sk_parse_time(const char *text, double *ret_seconds);
bool sk_parse_count(const char *text, uint32_t max, uint32_t *ret_count);

#endif
