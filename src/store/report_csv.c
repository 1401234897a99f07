#include "store/report_csv.h"

#include "base/mem.h"

#include <stdio.h>

static int write_text(struct sk_bytes text, struct sk_buf *out)
{
    bool formula = text.n && memchr("=+-@\t\r", text.p[0], 6);
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++)
        quoted = quoted || memchr("\",\r\n", text.p[i], 4);
    int err = 0;
    if (quoted)
        err = sk_buf_text(out, "\"");
    if (!err && formula)
        err = sk_buf_text(out, "'");
    for (size_t i = 0; i < text.n && !err; i++)
        err = text.p[i] == '"' ? sk_buf_text(out, "\"\"") : sk_buf_append(out, text.p + i, 1);
    if (!err && quoted)
        err = sk_buf_text(out, "\"");
    return err;
}

/* With a point whatever the program's locale says. */
static int write_real(double real, struct sk_buf *out)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", real);
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    return sk_buf_text(out, text);
}

static int write_cell(const struct sk_value *value, struct sk_buf *out)
{
    switch (value->kind) {
    case SK_VALUE_NONE:
        break;
    case SK_VALUE_INT:
    case SK_VALUE_BOOL:
        return sk_buf_printf(out, "%lld", (long long)value->i);
    case SK_VALUE_REAL:
        return write_real(value->real, out);
    case SK_VALUE_TEXT:
    case SK_VALUE_SET:
        return write_text(value->text, out);
    }
    return 0;
}

static int write_header(struct sk_buf *out)
{
    char name[SK_FIELD_NAME_MAX];
    int err = 0;
    for (size_t i = 0; i < sk_fields_peer_count && !err; i++) {
        if (i)
            err = sk_buf_text(out, ",");
        if (!err)
            err = sk_buf_text(out, sk_field_flat_name(&sk_fields_peer[i], name));
    }
    return err ? err : sk_buf_text(out, "\r\n");
}

static int write_peer(const struct sk_report_peer *peer, const struct sk_report_style *style,
                      struct sk_buf *out)
{
    struct sk_value value = {0};
    int err = 0;
    for (size_t i = 0; i < sk_fields_peer_count && !err; i++) {
        if (i)
            err = sk_buf_text(out, ",");
        if (!err)
            err = sk_field_read(&sk_fields_peer[i], peer, style, &value);
        if (!err)
            err = write_cell(&value, out);
    }
    sk_value_deinit(&value);
    return err ? err : sk_buf_text(out, "\r\n");
}

int sk_report_write_csv(const struct sk_report *report, const struct sk_report_style *style,
                        struct sk_buf *out)
{
    const struct sk_report_peer **peers = NULL;
    int err = sk_report_order(report, style, &peers);
    if (!err)
        err = write_header(out);
    for (size_t i = 0; i < report->peers_count && !err; i++)
        err = write_peer(peers[i], style, out);
    sk_mem_free(peers);
    return err;
}
