#include "cmd/ink.h"

#include "base/assert.h"
#include "base/text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* wcwidth() knows only what the thread's locale knows, and that may be plain "C". */
static unsigned char_width(uint32_t c)
{
    static locale_t utf8;
    if (c < 0x80)
        return 1;
    if (!utf8)
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
    int width = wcwidth((wchar_t)c);
    if (before)
        uselocale(before);
    return width < 0 ? 1 : (unsigned)width;
}

/* The next character's bytes and columns; what is no UTF-8 counts as a character a byte. */
static size_t next_char(const char *text, unsigned *ret_width)
{
    uint32_t c;
    size_t n = sk_text_decode(sk_bytes(text, strnlen(text, 4)), &c);
    *ret_width = n ? char_width(c) : 1;
    return n ? n : 1;
}

unsigned sk_ink_width(const char *text)
{
    unsigned width, sum = 0;
    for (size_t n; *text; text += n, sum += width)
        n = next_char(text, &width);
    return sum;
}

/* In ASCII a wide character becomes two question marks, so that widths stay what they are. */
static void put_text(const struct sk_screen *screen, const char *text, size_t length,
                     struct sk_buf *out)
{
    if (screen->utf8) {
        sk_buf_append(out, text, length);
        return;
    }
    unsigned width;
    for (size_t i = 0, n; i < length; i += n) {
        n = next_char(text + i, &width);
        if (n == 1)
            sk_buf_append(out, text + i, 1);
        else
            sk_buf_append(out, "??", SK_MIN(width, 2u));
    }
}

static void put(const struct sk_screen *screen, enum sk_ink ink, const char *text, size_t length,
                struct sk_buf *out)
{
    static const char *const codes[] = {
        [SK_INK_PLAIN] = "",        [SK_INK_BOLD] = "\x1b[1m",  [SK_INK_DIM] = "\x1b[2m",
        [SK_INK_GOOD] = "\x1b[32m", [SK_INK_WARN] = "\x1b[33m", [SK_INK_BAD] = "\x1b[31m",
        [SK_INK_BAR] = "\x1b[36m",
    };
    bool coloured = screen->colour && ink != SK_INK_PLAIN && length;
    if (coloured)
        sk_buf_text(out, codes[ink]);
    if (length)
        put_text(screen, text, length, out);
    if (coloured)
        sk_buf_text(out, "\x1b[0m");
}

void sk_ink_put(const struct sk_screen *screen, enum sk_ink ink, const char *text,
                struct sk_buf *out)
{
    put(screen, ink, text, strlen(text), out);
}

void sk_ink_spaces(unsigned count, struct sk_buf *out)
{
    while (count--)
        sk_buf_text(out, " ");
}

/* The bytes of the longest beginning of `columns` columns. */
static size_t head_bytes(const char *text, unsigned columns)
{
    size_t n, at = 0;
    unsigned width, sum = 0;
    for (; text[at]; at += n, sum += width) {
        n = next_char(text + at, &width);
        if (sum + width > columns)
            break;
    }
    return at;
}

/* Where the shortest end begins that is no wider than `columns` columns. */
static size_t tail_start(const char *text, unsigned columns)
{
    unsigned width, whole = sk_ink_width(text);
    size_t at = 0;
    while (text[at] && whole > columns) {
        at += next_char(text + at, &width);
        whole -= width;
    }
    return at;
}

char *sk_ink_fit(const struct sk_screen *screen, const char *text, unsigned columns,
                 enum sk_ink_cut cut, char *ret_text, size_t size)
{
    const char *ellipsis = screen->utf8 ? "\xe2\x80\xa6" : "~";
    size_t length = strlen(text);
    if (sk_ink_width(text) <= columns && length < size) {
        memcpy(ret_text, text, length + 1);
        return ret_text;
    }
    unsigned room = columns > 1 ? columns - 1 : 0;
    unsigned after = cut == SK_INK_CUT_MIDDLE ? room / 2 : 0;
    size_t head = head_bytes(text, room - after), tail = tail_start(text, after);
    while (head + strlen(ellipsis) + (length - tail) >= size && room > after)
        head = head_bytes(text, --room - after);
    if (head + strlen(ellipsis) + (length - tail) >= size)
        head = 0, tail = length; /* nothing but combining characters */
    snprintf(ret_text, size, "%.*s%s%s", (int)head, text, columns ? ellipsis : "", text + tail);
    return ret_text;
}

char *sk_ink_bar(const struct sk_screen *screen, double share, unsigned columns, char *ret_text,
                 size_t size)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double least = 1.0 / 8 / columns;
    size_t at = 0;
    SK_ASSERT(size > 3 * (size_t)columns);
    ret_text[0] = 0;
    if (!(share > 0))
        return ret_text;
    share = share >= 1 ? 1 : fmin(fmax(share, least), 1 - least);
    unsigned parts = (unsigned)(share * columns * 8 + 1e-9);
    for (unsigned i = 0; i < parts / 8; i++)
        at += (size_t)snprintf(ret_text + at, size - at, "%s", screen->utf8 ? "█" : "#");
    if (screen->utf8)
        snprintf(ret_text + at, size - at, "%s", eighths[parts % 8]);
    else if (!at)
        snprintf(ret_text, size, "-");
    return ret_text;
}

void sk_ink_wrap(const struct sk_screen *screen, enum sk_ink ink, const char *text, unsigned indent,
                 struct sk_buf *out)
{
    unsigned room = screen->columns > indent + 10 ? screen->columns - indent : 10;
    for (;;) {
        size_t n = head_bytes(text, room);
        if (text[n] && text[n] != ' ') {
            size_t space = n;
            while (space && text[space] != ' ')
                space--;
            n = space ? space : n;
        }
        n = n ? n : strnlen(text, 1); /* a character wider than the room */
        put(screen, ink, text, n, out);
        sk_buf_text(out, "\n");
        text += n;
        while (*text == ' ')
            text++;
        if (!*text)
            return;
        sk_ink_spaces(indent, out);
    }
}
