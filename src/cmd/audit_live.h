/*
 * The audit while it runs, on standard error: a live table on a terminal, lines elsewhere. Layer:
 * cmd. It turns what the auditor knows into a state that cmd/live.h draws.
 */
#ifndef SK_CMD_AUDIT_LIVE_H
#define SK_CMD_AUDIT_LIVE_H

#include "cmd/options.h"
#include "engine/auditor.h"
#include "store/report_field.h"

struct sk_audit_live;

/* NULL where nothing is to be shown (or without memory); all functions take NULL. */
struct sk_audit_live *sk_audit_live_new(const struct sk_options *options,
                                        const struct sk_report_style *style);
void sk_audit_live_draw(struct sk_audit_live *live, const struct sk_auditor *auditor,
                        uint64_t now_ns);
/* Takes the table away, so that the report can follow. */
void sk_audit_live_end(struct sk_audit_live *live);
void sk_audit_live_free(struct sk_audit_live *live);

#endif
