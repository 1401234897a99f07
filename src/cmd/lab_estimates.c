#include "cmd/lab_estimates.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/text.h"
#include "cmd/lab_document.h"
#include "cmd/table.h"
#include "cmd/units.h"

#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX 240

enum { PEER, LIES, GAINED, GAINED_TRUE, GAVE, GAVE_TRUE, VERDICT, COLUMNS };

/* Errors of one figure over the peers. */
struct errors {
    double *list;
    uint32_t count, held; /* the truth was in the interval */
};

struct estimates {
    const struct sk_screen *screen;
    const json_t *truth, *audit; /* documents */
    double started, ended;       /* of the audit, unix time */
    double piece_size;
    struct sk_table_cell *cells;
    size_t rows, rows_max;
    struct errors gained, gave;
    uint32_t liars, named, honest, accused, cleared;
};

/* ---- what is true ---- */

/* Since when the audit has watched the peer, unix time. */
static double watched_since(const struct estimates *e, const json_t *seen)
{
    return e->started + sk_lab_number(seen, "connected_s");
}

/* Bytes of pieces that it gained while the audit watched it. */
static double gained_bytes(const struct estimates *e, const json_t *peer, double since)
{
    const json_t *gained_s = json_object_get(json_object_get(peer, "share"), "gained_s"), *at;
    double lab_started = sk_lab_number(e->truth, "started"), pieces = 0;
    size_t i;
    json_array_foreach(gained_s, i, at)
    {
        double unix_s = lab_started + json_number_value(at);
        pieces += unix_s >= since && unix_s <= e->ended;
    }
    return pieces * e->piece_size;
}

/* Bytes that it gave to others of the lab. */
static double gave_bytes(const struct estimates *e, const char *address)
{
    const json_t *flow;
    double sum = 0;
    size_t i;
    json_array_foreach(json_object_get(e->truth, "flows"), i, flow) sum +=
        strcmp(sk_lab_text(flow, "from"), address) == 0 ? sk_lab_number(flow, "bytes") : 0;
    return sum;
}

static double true_flow(const struct estimates *e, const char *from, const char *to)
{
    const json_t *flow;
    size_t i;
    json_array_foreach(json_object_get(e->truth, "flows"), i,
                       flow) if (strcmp(sk_lab_text(flow, "from"), from) == 0 &&
                                 strcmp(sk_lab_text(flow, "to"), to) ==
                                     0) return sk_lab_number(flow, "bytes");
    return 0;
}

/* ---- the table ---- */

static void put(struct estimates *e, size_t column, enum sk_ink ink, const char *text)
{
    struct sk_table_cell *cell = &e->cells[e->rows * COLUMNS + column];
    cell->ink = ink;
    sk_text_escape(sk_bytes_text(text), cell->text, sizeof cell->text);
}

/* Every peer of a lab has an address of its own: without the port the table fits 80 columns. */
static void put_peer(struct estimates *e, const char *address)
{
    const char *port = strrchr(address, ':');
    char host[SK_TABLE_CELL_MAX];
    snprintf(host, sizeof host, "%.*s", port ? (int)(port - address) : (int)strlen(address),
             address);
    put(e, PEER, SK_INK_PLAIN, host);
}

/* "1.2 MB/s ±0.1", or why it is not known. */
static void put_rate(struct estimates *e, size_t column, const json_t *rate)
{
    char middle[SK_UNITS_MAX], error[SK_UNITS_MAX], text[2 * SK_UNITS_MAX + 8];
    const char *why = sk_lab_text(rate, "how");
    double value = sk_lab_number(rate, "rate_bytes_s");
    double half = fmax(value - sk_lab_number(rate, "low"), sk_lab_number(rate, "high") - value);
    if (isnan(value)) {
        put(e, column, SK_INK_PLAIN, *why ? why : "unknown");
        return;
    }
    snprintf(text, sizeof text, "%s \xc2\xb1%s", sk_units_rate(value, middle),
             sk_units_rate_error(value, half, error));
    put(e, column, SK_INK_PLAIN, text);
}

static void put_true(struct estimates *e, size_t column, double bytes_s)
{
    char text[SK_UNITS_MAX];
    put(e, column, SK_INK_PLAIN, sk_units_rate(bytes_s, text));
}

static void note(struct errors *errors, const json_t *rate, double is)
{
    double got = sk_lab_number(rate, "rate_bytes_s");
    if (isnan(got) || !(is > 0))
        return;
    errors->list[errors->count++] = fabs(got - is) / is;
    errors->held += is >= sk_lab_number(rate, "low") && is <= sk_lab_number(rate, "high");
}

static void judge(struct estimates *e, const json_t *peer, const json_t *seen)
{
    const char *lie = sk_lab_text(peer, "lie");
    const char *result = sk_lab_text(json_object_get(seen, "verdict"), "result");
    bool honest = strcmp(lie, "none") == 0, accused = strcmp(result, "false-report") == 0;
    bool cleared = strcmp(result, "consistent") == 0;
    put(e, LIES, SK_INK_PLAIN, honest ? "" : lie);
    put(e, VERDICT,
        !accused ? SK_INK_PLAIN
        : honest ? SK_INK_BAD
                 : SK_INK_GOOD,
        accused   ? "false"
        : cleared ? "cleared"
        : *result ? "unclear"
                  : "");
    if (!*result)
        return;
    e->liars += !honest;
    e->named += !honest && accused;
    e->honest += honest;
    e->accused += honest && accused;
    e->cleared += honest && cleared;
}

static void add_row(struct estimates *e, const json_t *peer, const json_t *seen)
{
    const char *address = sk_lab_text(peer, "address");
    const json_t *download = json_object_get(seen, "download");
    const json_t *upload = json_object_get(seen, "upload");
    double since = watched_since(e, seen), left = sk_lab_number(peer, "left");
    double seconds = (isnan(left) ? e->ended : fmin(left, e->ended)) - since;
    if (!(seconds >= 1))
        return;
    double gained = gained_bytes(e, peer, since) / seconds;
    double gave = gave_bytes(e, address) / (e->ended - since);
    put_peer(e, address);
    put_rate(e, GAINED, download);
    put_true(e, GAINED_TRUE, gained);
    put_rate(e, GAVE, upload);
    put_true(e, GAVE_TRUE, gave);
    note(&e->gained, download, gained);
    note(&e->gave, upload, gave);
    judge(e, peer, seen);
    e->rows++;
}

/* ---- in sum ---- */

static void write_errors(const struct estimates *e, const char *what, struct errors *errors,
                         struct sk_buf *out)
{
    char line[LINE_MAX];
    if (!errors->count)
        return;
    qsort(errors->list, errors->count, sizeof *errors->list, sk_order_doubles);
    snprintf(line, sizeof line, "%s: median error %.1f %%; the truth is in %u of %u intervals",
             what, 100 * errors->list[errors->count / 2], errors->held, errors->count);
    sk_ink_wrap(e->screen, SK_INK_PLAIN, line, 0, out);
}

/* Half of what lies elsewhere than it should, as a share of all. */
static void write_flows(const struct estimates *e, struct sk_buf *out)
{
    static const char *const methods[] = {"bytes", "gravity", "uniform"};
    double off[SK_ARRAY_LEN(methods)] = {0}, all = 0, met = 0;
    const json_t *flow;
    char line[LINE_MAX];
    size_t i;
    json_array_foreach(json_object_get(e->truth, "flows"), i, flow) all +=
        sk_lab_number(flow, "bytes");
    json_array_foreach(json_object_get(e->audit, "flows"), i, flow)
    {
        double is = true_flow(e, sk_lab_text(flow, "from"), sk_lab_text(flow, "to"));
        met += is;
        for (size_t m = 0; m < SK_ARRAY_LEN(methods); m++)
            off[m] += fabs(sk_lab_number(flow, methods[m]) - is);
    }
    if (!i || !(all > 0))
        return;
    snprintf(line, sizeof line,
             "who gave to whom: %.0f %% of the bytes misplaced (by capacity alone %.0f %%, evenly "
             "among those that had the piece %.0f %%)",
             50 * (off[0] + all - met) / all, 50 * (off[1] + all - met) / all,
             50 * (off[2] + all - met) / all);
    sk_ink_wrap(e->screen, SK_INK_PLAIN, line, 0, out);
}

static void write_verdicts(const struct estimates *e, struct sk_buf *out)
{
    char line[LINE_MAX];
    if (!e->liars && !e->honest)
        return;
    snprintf(
        line, sizeof line,
        "reports: %u of %u liars named; of %u honest ones %u accused, %u cleared, %u could not "
        "be told",
        e->named, e->liars, e->honest, e->accused, e->cleared, e->honest - e->accused - e->cleared);
    sk_ink_wrap(e->screen, e->accused || e->named < e->liars ? SK_INK_BAD : SK_INK_GOOD, line, 0,
                out);
}

static void write_all(struct estimates *e, struct sk_buf *out)
{
    static const struct sk_table_column columns[COLUMNS] = {
        [PEER] = {.title = "PEER"},
        [LIES] = {.title = "LIE"},
        [GAINED] = {.title = "GAINS", .right = true},
        [GAINED_TRUE] = {.title = "TRUE", .right = true},
        [GAVE] = {.title = "GIVES", .right = true, .rank = 1},
        [GAVE_TRUE] = {.title = "TRUE", .right = true, .rank = 2},
        [VERDICT] = {.title = "REPORTS"},
    };
    sk_table_write(e->screen, columns, COLUMNS, e->cells, e->rows, out);
    sk_buf_text(out, "\n");
    write_errors(e, "what peers gain", &e->gained, out);
    write_errors(e, "what peers give", &e->gave, out);
    write_flows(e, out);
    write_verdicts(e, out);
    sk_buf_text(out, "\n");
}

static bool has_inferred(const json_t *seen)
{
    return seen && (!isnan(sk_lab_number(json_object_get(seen, "download"), "rate_bytes_s")) ||
                    json_is_object(json_object_get(seen, "verdict")));
}

int sk_lab_estimates_write(const json_t *truth, const json_t *audit, const struct sk_screen *screen,
                           struct sk_buf *out)
{
    const json_t *peers = json_object_get(truth, "peers"), *peer;
    size_t count = json_array_size(peers), i;
    struct estimates e = {
        .screen = screen,
        .truth = truth,
        .audit = audit,
        .started = sk_lab_number(audit, "started"),
        .ended = sk_lab_number(audit, "started") + sk_lab_number(audit, "seconds"),
        .piece_size = sk_lab_number(json_object_get(truth, "torrent"), "piece_size"),
        .cells = sk_mem_calloc(count * COLUMNS + 1, sizeof *e.cells),
        .gained.list = sk_mem_calloc(count + 1, sizeof *e.gained.list),
        .gave.list = sk_mem_calloc(count + 1, sizeof *e.gave.list),
    };
    bool memory = e.cells && e.gained.list && e.gave.list;
    json_array_foreach(peers, i, peer)
    {
        const json_t *seen =
            sk_lab_find_peer(json_object_get(audit, "peers"), sk_lab_text(peer, "address"));
        if (memory && json_is_array(json_object_get(peer, "took")) && has_inferred(seen))
            add_row(&e, peer, seen);
    }
    if (memory && e.rows)
        write_all(&e, out);
    sk_mem_free(e.cells);
    sk_mem_free(e.gained.list);
    sk_mem_free(e.gave.list);
    return memory ? 0 : SKEP_ERR_NOMEM;
}
