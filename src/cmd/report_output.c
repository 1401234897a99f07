#include "cmd/report_output.h"

#include <skep/err.h>

#include "cmd/cmd.h"
#include "cmd/report_text.h"
#include "cmd/terminal.h"
#include "store/report_csv.h"
#include "store/report_json.h"

#include <errno.h>
#include <stdio.h>

#define REPORT_MAX ((size_t)1 << 30)

static int render(const struct sk_report *report, const struct sk_report_style *style,
                  enum sk_format format, FILE *to, struct sk_buf *out)
{
    struct sk_screen screen;
    switch (format) {
    case SK_FORMAT_TEXT:
        sk_terminal_look(fileno(to), &screen);
        return sk_report_write_text(report, &screen, style, out);
    case SK_FORMAT_JSON:
        return sk_report_write_json(report, style, out);
    case SK_FORMAT_JSONL:
        return sk_report_write_jsonl(report, style, out);
    case SK_FORMAT_CSV:
        return sk_report_write_csv(report, style, out);
    }
    return 0;
}

static int write_to(const struct sk_report *report, const struct sk_report_style *style,
                    enum sk_format format, FILE *to, const char *name)
{
    struct sk_buf out;
    sk_buf_init(&out, REPORT_MAX);
    int err = render(report, style, format, to, &out);
    int code = sk_exit_of(err);
    if (err) {
        sk_complain("%s", skep_err_text(err));
    } else if (fwrite(out.p, 1, out.n, to) != out.n || fflush(to)) {
        sk_complain("%s: %s", name, strerror(errno));
        code = SK_EXIT_STORAGE;
    }
    sk_buf_deinit(&out);
    return code;
}

int sk_report_output(const struct sk_report *report, const struct sk_report_style *style,
                     enum sk_format format, const char *json)
{
    int code = write_to(report, style, format, stdout, "standard output");
    FILE *file = json && !code ? fopen(json, "w") : NULL;
    if (!json || code)
        return code;
    if (!file) {
        sk_complain("%s: %s", json, strerror(errno));
        return SK_EXIT_STORAGE;
    }
    code = write_to(report, style, SK_FORMAT_JSON, file, json);
    fclose(file);
    return code;
}
