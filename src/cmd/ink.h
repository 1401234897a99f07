/*
 * Text on a terminal: how wide it is, how to cut it, and colours. Layer: cmd.
 *
 * Pure: what the terminal is like is told by a `struct sk_screen`, everything goes into a buffer.
 * Widths are columns of a terminal, as wcwidth() has them for UTF-8 whatever the locale of the
 * program: 2 for CJK, 0 for combining characters. Text must have been made safe by
 * sk_text_escape() before.
 */
#ifndef SK_CMD_INK_H
#define SK_CMD_INK_H

#include "base/bytes.h"

struct sk_screen {
    unsigned columns;
    unsigned rows; /* live display only */
    bool colour;   /* ANSI colours may be used */
    bool utf8;     /* else plain ASCII: '?' for other characters */
};

enum sk_ink {
    SK_INK_PLAIN,
    SK_INK_BOLD,
    SK_INK_DIM,
    SK_INK_GOOD, /* green */
    SK_INK_WARN, /* yellow */
    SK_INK_BAD,  /* red */
    SK_INK_BAR,  /* cyan */
};

/* Columns of the text. */
unsigned sk_ink_width(const char *text);
/* Appends text in colour, or as it is. A failed append shows in out->failed. */
void sk_ink_put(const struct sk_screen *screen, enum sk_ink ink, const char *text,
                struct sk_buf *out);
void sk_ink_spaces(unsigned count, struct sk_buf *out);
enum sk_ink_cut {
    SK_INK_CUT_END,    /* "qBittorr..." */
    SK_INK_CUT_MIDDLE, /* "[2001:d...]:6881": addresses, where the end matters too */
};
/* Writes at most `columns` columns of the text, an ellipsis where something was cut. Never more
 * than size - 1 bytes. Returns ret_text. */
char *sk_ink_fit(const struct sk_screen *screen, const char *text, unsigned columns,
                 enum sk_ink_cut cut, char *ret_text, size_t size);
/* Writes a bar of that many columns for a share of 0 to 1, the rest is left blank. It is full only
 * for 1 and empty only for 0. Returns ret_text. */
char *sk_ink_bar(const struct sk_screen *screen, double share, unsigned columns, char *ret_text,
                 size_t size);
/*
 * Appends text in lines no wider than the screen, broken at spaces; all lines but the first begin
 * with `indent` spaces. The first starts at column `indent` already. Ends with a newline.
 */
void sk_ink_wrap(const struct sk_screen *screen, enum sk_ink ink, const char *text, unsigned indent,
                 struct sk_buf *out);

#endif
