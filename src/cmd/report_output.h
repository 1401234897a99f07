/*
 * Where the report of an audit goes: standard output in the format that was asked for, and a file
 * as JSON. Layer: cmd.
 */
#ifndef SK_CMD_REPORT_OUTPUT_H
#define SK_CMD_REPORT_OUTPUT_H

#include "cmd/options.h"
#include "store/report_field.h"

/* `json`: the file that gets the JSON document as well, or NULL. Complains; an exit code. */
int sk_report_output(const struct sk_report *report, const struct sk_report_style *style,
                     enum sk_format format, const char *json);

#endif
