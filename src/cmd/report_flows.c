#include "cmd/report_text.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/table.h"
#include "cmd/units.h"

#include <stdio.h>

enum { FLOW_FROM, FLOW_TO, FLOW_BYTES, FLOW_RANGE };
static const struct sk_table_column flow_columns[] = {
    [FLOW_FROM] = {"FROM", 0, 12, false, SK_INK_CUT_MIDDLE},
    [FLOW_TO] = {"TO", 0, 12, false, SK_INK_CUT_MIDDLE},
    [FLOW_BYTES] = {"BYTES", 0, 0, true, SK_INK_CUT_END},
    [FLOW_RANGE] = {"95%", 1, 0, false, SK_INK_CUT_END},
};
#define FLOW_COLUMNS SK_ARRAY_LEN(flow_columns)

static void set_flow(const struct sk_report_text *text, const struct sk_report_flow *flow,
                     struct sk_table_cell *row)
{
    const struct sk_anonymizer *anonymizer = text->style->anonymizer;
    char address[SK_ENDPOINT_TEXT_MAX], low[SK_UNITS_MAX], high[SK_UNITS_MAX];
    snprintf(row[FLOW_FROM].text, SK_TABLE_CELL_MAX, "%s",
             sk_anonymizer_endpoint(anonymizer, &flow->from, address));
    snprintf(row[FLOW_TO].text, SK_TABLE_CELL_MAX, "%s",
             sk_anonymizer_endpoint(anonymizer, &flow->to, address));
    sk_units_bytes(flow->bytes, row[FLOW_BYTES].text);
    if (isfinite(flow->low) && isfinite(flow->high))
        snprintf(row[FLOW_RANGE].text, SK_TABLE_CELL_MAX, "%s to %s",
                 sk_units_bytes(flow->low, low), sk_units_bytes(flow->high, high));
}

/* What the table has no row for. */
static void put_rest(const struct sk_report_text *text, size_t shown, size_t clear)
{
    const struct sk_report *report = text->report;
    size_t unclear = report->flows_count - clear;
    char line[256], bytes[SK_UNITS_MAX];
    double sum = 0;
    for (size_t i = 0; i < report->flows_count; i++)
        sum += report->flows[i].ambiguous ? report->flows[i].bytes : 0;
    sk_units_bytes(sum, bytes);
    if (!clear)
        snprintf(line, sizeof line,
                 "FLOWS cannot be told: of each of the %zu estimated (%s in all) another source is "
                 "possible. Watching for longer (--watch) tells more; --format=json lists them.",
                 unclear, bytes);
    else if (shown < clear && unclear)
        snprintf(line, sizeof line,
                 "... and %zu more flows, and %zu (%s) that may be from another source "
                 "(--format=json lists all)",
                 clear - shown, unclear, bytes);
    else if (unclear)
        snprintf(
            line, sizeof line,
            "... and %zu flow%s (%s) that may be from another source (--format=json lists all)",
            unclear, unclear == 1 ? "" : "s", bytes);
    else
        snprintf(line, sizeof line, "... and %zu more flow%s (--format=json lists all)",
                 clear - shown, clear - shown == 1 ? "" : "s");
    sk_ink_wrap(text->screen, SK_INK_DIM, line, 0, text->out);
}

/* Of the tracers one line: how many there were, and what became of them. */
static void put_tracers(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    char line[256], given[SK_UNITS_MAX], spread[SK_UNITS_MAX];
    uint64_t taken = 0, bytes = 0, gained = 0, alone = 0;
    for (size_t i = 0; i < report->tracers_count; i++) {
        const struct sk_report_tracer *tracer = &report->tracers[i];
        taken += tracer->given_bytes > 0;
        bytes += tracer->given_bytes;
        gained += tracer->spread_to;
        alone += tracer->held_by ? 0 : tracer->spread_to;
    }
    bool one = report->tracers_count == 1;
    if (!report->tracers_count)
        return;
    snprintf(line, sizeof line,
             "Tracers: %zu piece%s offered to one peer%s, %llu taken (%s); others gained %s %s "
             "time%s after that, %llu time%s of pieces that nobody else had held.",
             report->tracers_count, one ? " was" : "s were", one ? "" : " each",
             (unsigned long long)taken, sk_units_bytes((double)bytes, given), one ? "it" : "them",
             sk_units_count(gained, spread), gained == 1 ? "" : "s", (unsigned long long)alone,
             alone == 1 ? "" : "s");
    sk_buf_text(text->out, "\n");
    sk_ink_wrap(text->screen, SK_INK_PLAIN, line, 0, text->out);
}

int sk_report_write_flows(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    size_t clear = 0, shown = 0;
    put_tracers(text);
    if (!report->flows_count)
        return 0;
    for (size_t i = 0; i < report->flows_count; i++)
        clear += !report->flows[i].ambiguous;
    size_t most = SK_MIN(clear, (size_t)SK_REPORT_FLOWS_SOME);
    struct sk_table_cell *cells = sk_mem_calloc(most * FLOW_COLUMNS + 1, sizeof *cells);
    if (!cells)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; shown < most; i++)
        if (!report->flows[i].ambiguous)
            set_flow(text, &report->flows[i], cells + shown++ * FLOW_COLUMNS);
    sk_buf_text(text->out, "\n");
    if (shown)
        sk_table_write(text->screen, flow_columns, FLOW_COLUMNS, cells, shown, text->out);
    if (shown < report->flows_count)
        put_rest(text, shown, clear);
    sk_mem_free(cells);
    return 0;
}
