/*
 * Lines on a terminal that are drawn anew in their place. Layer: cmd. Pure: it writes into a
 * buffer. No line may be wider than the screen; the cursor rests below them.
 */
#ifndef SK_CMD_FRAME_H
#define SK_CMD_FRAME_H

#include "cmd/ink.h"

#define SK_FRAME_LINES_MAX 64

/* What is on the screen; zero: nothing. */
struct sk_frame {
    unsigned lines, columns;
    unsigned widths[SK_FRAME_LINES_MAX];
};

/* Replaces what is on the screen by the text, lines that each end with a newline; what is more than
 * SK_FRAME_LINES_MAX of them is left out. `columns`: of the screen now. */
void sk_frame_draw(struct sk_frame *frame, struct sk_bytes text, unsigned columns,
                   struct sk_buf *out);
/* Takes it off the screen, as if it had never been there. */
void sk_frame_clear(struct sk_frame *frame, struct sk_buf *out);

#endif
