/*
 * Numbers for people. Layer: cmd. Only text output uses them: JSON, CSV and SQLite carry raw bytes
 * and seconds. Each writes at most three significant digits and returns ret_text; NAN is "?".
 */
#ifndef SK_CMD_UNITS_H
#define SK_CMD_UNITS_H

#include <stdint.h>

#define SK_UNITS_MAX 32

/* Binary, as sizes of files and pieces are: "0 B", "1.2 MiB", "629 MiB". */
char *sk_units_bytes(double bytes, char ret_text[SK_UNITS_MAX]);
/* Decimal, as rates of networks are: "874 kB/s", "4.2 MB/s". At most 8 characters. */
char *sk_units_rate(double bytes_s, char ret_text[SK_UNITS_MAX]);
/* How far a rate may be off, as a number in the unit in which sk_units_rate() writes it: "0.3". */
char *sk_units_rate_error(double bytes_s, double error_bytes_s, char ret_text[SK_UNITS_MAX]);
/* "0.4 ms", "23 ms", "1.1 s", "42 s", "1 min", "2 min 5 s", "3 h 20 min", "5 d 1 h". */
char *sk_units_duration(double seconds, char ret_text[SK_UNITS_MAX]);
/* "52.1%", "100%". Rounds down: only all of it is 100%; and what is there is never 0%: "<0.1%". */
char *sk_units_share(double share, char ret_text[SK_UNITS_MAX]);
/* "10,342" */
char *sk_units_count(uint64_t count, char ret_text[SK_UNITS_MAX]);

#endif
