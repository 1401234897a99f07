/*
 * All that follows from an audit's timeline, into its report: at what rates peers gain pieces, who
 * gave to whom, what each gave to all others, and what became of tracers. Layer: audit; pure, the
 * same for the same timeline, so that a replayed audit says what the live one said.
 */
#ifndef SK_AUDIT_INFERENCE_H
#define SK_AUDIT_INFERENCE_H

#include "audit/report.h"
#include "audit/timeline.h"

/*
 * The timeline is closed; it learns from the report what probes measured, and what each peer gave.
 * Of the report download, upload, flows and tracers are filled, what was there before goes.
 * SKEP_ERR_NOMEM.
 */
int sk_infer(struct sk_timeline *timeline, struct sk_report *report);

#endif
