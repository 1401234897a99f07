#include "cmd/report_text.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/table.h"
#include "cmd/units.h"

#include <stdio.h>

enum { FLOW_FROM, FLOW_TO, FLOW_BYTES, FLOW_RANGE, FLOW_REMARK };
static const struct sk_table_column flow_columns[] = {
    [FLOW_FROM] = {"FROM", 0, 12, false, SK_INK_CUT_MIDDLE},
    [FLOW_TO] = {"TO", 0, 12, false, SK_INK_CUT_MIDDLE},
    [FLOW_BYTES] = {"BYTES", 0, 0, true, SK_INK_CUT_END},
    [FLOW_RANGE] = {"95%", 1, 0, false, SK_INK_CUT_END},
    [FLOW_REMARK] = {"", 2, 10, false, SK_INK_CUT_END},
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
    if (flow->ambiguous) {
        snprintf(row[FLOW_REMARK].text, SK_TABLE_CELL_MAX, "or another source");
        row[FLOW_REMARK].ink = SK_INK_DIM;
    }
}

int sk_report_write_flows(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    size_t shown = SK_MIN(report->flows_count, (size_t)SK_REPORT_FLOWS_SOME);
    char line[96];
    if (!shown)
        return 0;
    struct sk_table_cell *cells = sk_mem_calloc(shown * FLOW_COLUMNS, sizeof *cells);
    if (!cells)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < shown; i++)
        set_flow(text, &report->flows[i], cells + i * FLOW_COLUMNS);
    sk_buf_text(text->out, "\n");
    sk_table_write(text->screen, flow_columns, FLOW_COLUMNS, cells, shown, text->out);
    if (shown < report->flows_count) {
        snprintf(line, sizeof line, "... and %zu more flows (--format=json lists all)",
                 report->flows_count - shown);
        sk_ink_wrap(text->screen, SK_INK_DIM, line, 0, text->out);
    }
    sk_mem_free(cells);
    return 0;
}
