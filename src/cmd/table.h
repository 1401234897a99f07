/*
 * A table of text on a terminal: aligned columns without rules, as wide as the screen allows.
 * Layer: cmd.
 *
 * Where there is too little room, columns leave in the order of their rank, and those that may be
 * cut give way down to their least width. A column with nothing in it is left out.
 */
#ifndef SK_CMD_TABLE_H
#define SK_CMD_TABLE_H

#include "cmd/ink.h"

#define SK_TABLE_CELL_MAX 200 /* bytes of a cell */
#define SK_TABLE_COLUMNS_MAX 16

struct sk_table_column {
    const char *title; /* "" for none */
    unsigned rank;     /* the highest leaves first; 0 never leaves */
    unsigned least;    /* columns that it can be cut down to; 0: it is not cut */
    bool right;        /* numbers */
    enum sk_ink_cut cut;
};

struct sk_table_cell {
    char text[SK_TABLE_CELL_MAX];
    enum sk_ink ink;
};

/* cells[row * columns_count + column], SK_TABLE_COLUMNS_MAX columns at most. Errors show in
 * out->failed. Returns the set of columns that were written, column i as bit i. */
unsigned sk_table_write(const struct sk_screen *screen, const struct sk_table_column *columns,
                        size_t columns_count, const struct sk_table_cell *cells, size_t rows,
                        struct sk_buf *out);

#endif
