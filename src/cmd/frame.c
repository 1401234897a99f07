#include "cmd/frame.h"

/* Moves to the first line. Terminals that became narrower have broken the lines into more. */
static void move_to_top(const struct sk_frame *frame, struct sk_buf *out)
{
    unsigned up = 0;
    for (unsigned i = 0; i < frame->lines; i++)
        up += frame->widths[i] > frame->columns
                  ? (frame->widths[i] + frame->columns - 1) / frame->columns
                  : 1;
    if (up)
        sk_buf_printf(out, "\r\x1b[%uA", up);
}

/* The columns of a line in which colours may stand. */
static unsigned drawn_width(const uint8_t *line, size_t n)
{
    char plain[2048];
    size_t to = 0;
    for (size_t i = 0; i < n && to < sizeof plain - 1; i++) {
        if (line[i] == 0x1b)
            while (i < n && line[i] != 'm')
                i++;
        else
            plain[to++] = (char)line[i];
    }
    plain[to] = 0;
    return sk_ink_width(plain);
}

void sk_frame_draw(struct sk_frame *frame, struct sk_bytes text, unsigned columns,
                   struct sk_buf *out)
{
    frame->columns = columns;
    move_to_top(frame, out);
    frame->lines = 0;
    while (text.n && frame->lines < SK_FRAME_LINES_MAX) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        sk_buf_append(out, text.p, n);
        sk_buf_text(out, "\x1b[K\n");
        frame->widths[frame->lines++] = drawn_width(text.p, n);
        n += end != NULL;
        text = sk_bytes(text.p + n, text.n - n);
    }
    sk_buf_text(out, "\x1b[J");
}

void sk_frame_clear(struct sk_frame *frame, struct sk_buf *out)
{
    if (!frame->lines)
        return;
    move_to_top(frame, out);
    sk_buf_text(out, "\x1b[J");
    frame->lines = 0;
}
