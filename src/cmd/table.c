#include "cmd/table.h"

#include "base/assert.h"

#define GAP 2 /* columns between columns */

struct layout {
    unsigned natural[SK_TABLE_COLUMNS_MAX]; /* widths that show all; 0: left out */
    unsigned width[SK_TABLE_COLUMNS_MAX];
};

static unsigned least_width(const struct sk_table_column *column, unsigned natural)
{
    return column->least ? SK_MIN(column->least, natural) : natural;
}

static void measure(const struct sk_table_column *columns, size_t count,
                    const struct sk_table_cell *cells, size_t rows, struct layout *layout)
{
    for (size_t i = 0; i < count; i++) {
        layout->natural[i] = 0;
        for (size_t row = 0; row < rows; row++)
            layout->natural[i] =
                SK_MAX(layout->natural[i], sk_ink_width(cells[row * count + i].text));
        if (layout->natural[i])
            layout->natural[i] = SK_MAX(layout->natural[i], sk_ink_width(columns[i].title));
    }
}

/* The width of all columns at their least. */
static unsigned least_sum(const struct sk_table_column *columns, size_t count,
                          const struct layout *layout)
{
    unsigned sum = 0;
    for (size_t i = 0; i < count; i++)
        if (layout->natural[i])
            sum += (sum ? GAP : 0) + least_width(&columns[i], layout->natural[i]);
    return sum;
}

static bool drop_column(const struct sk_table_column *columns, size_t count, struct layout *layout)
{
    size_t victim = count;
    for (size_t i = 0; i < count; i++)
        if (layout->natural[i] && columns[i].rank &&
            (victim == count || columns[i].rank >= columns[victim].rank))
            victim = i;
    if (victim == count)
        return false;
    layout->natural[victim] = 0;
    return true;
}

/* What room is left goes to those that were cut, one column to each in turn. */
static void lay_out(const struct sk_screen *screen, const struct sk_table_column *columns,
                    size_t count, struct layout *layout)
{
    while (least_sum(columns, count, layout) > screen->columns)
        if (!drop_column(columns, count, layout))
            break;
    unsigned sum = least_sum(columns, count, layout);
    unsigned room = screen->columns > sum ? screen->columns - sum : 0;
    for (size_t i = 0; i < count; i++)
        layout->width[i] = least_width(&columns[i], layout->natural[i]);
    for (unsigned given = 1; room && given;) {
        given = 0;
        for (size_t i = 0; i < count && room; i++) {
            if (layout->width[i] < layout->natural[i]) {
                layout->width[i]++;
                room--;
                given++;
            }
        }
    }
}

static void write_row(const struct sk_screen *screen, const struct sk_table_column *columns,
                      size_t count, const struct layout *layout, const struct sk_table_cell *cells,
                      struct sk_buf *out)
{
    char fitted[SK_TABLE_CELL_MAX];
    unsigned pending = 0; /* spaces that are only written when something follows */
    for (size_t i = 0; i < count; i++) {
        if (!layout->natural[i])
            continue;
        const char *text = cells ? cells[i].text : columns[i].title;
        sk_ink_fit(screen, text, layout->width[i], columns[i].cut, fitted, sizeof fitted);
        unsigned rest = layout->width[i] - SK_MIN(sk_ink_width(fitted), layout->width[i]);
        if (fitted[0]) {
            sk_ink_spaces(pending + (columns[i].right ? rest : 0), out);
            sk_ink_put(screen, cells ? cells[i].ink : SK_INK_DIM, fitted, out);
            pending = columns[i].right ? 0 : rest;
        } else {
            pending += rest;
        }
        pending += GAP;
    }
    sk_buf_text(out, "\n");
}

unsigned sk_table_write(const struct sk_screen *screen, const struct sk_table_column *columns,
                        size_t columns_count, const struct sk_table_cell *cells, size_t rows,
                        struct sk_buf *out)
{
    struct layout layout = {0};
    SK_ASSERT(columns_count <= SK_TABLE_COLUMNS_MAX);
    measure(columns, columns_count, cells, rows, &layout);
    lay_out(screen, columns, columns_count, &layout);
    write_row(screen, columns, columns_count, &layout, NULL, out);
    for (size_t row = 0; row < rows; row++)
        write_row(screen, columns, columns_count, &layout, cells + row * columns_count, out);
    unsigned written = 0;
    for (size_t i = 0; i < columns_count; i++)
        written |= (unsigned)(layout.natural[i] > 0) << i;
    return written;
}
