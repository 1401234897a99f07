/*
 * The report of an audit for people, on a terminal. Layer: cmd.
 *
 * First what one wants to know (what swarm, can it be completed, who is there and what do trackers
 * say, how fast), then the peers, why others were not reached, and how the audit ended. Pure: it
 * renders into a buffer.
 */
#ifndef SK_CMD_REPORT_TEXT_H
#define SK_CMD_REPORT_TEXT_H

#include "cmd/ink.h"
#include "store/report_field.h"

#define SK_REPORT_PEERS_ALL 100   /* connected, and failed, peers that are all shown */
#define SK_REPORT_PEERS_SOME 40   /* of more connected peers, how many are */
#define SK_REPORT_FLOWS_SOME 20   /* flows that are shown, of those whose source is told */
#define SK_REPORT_FAILURES_SOME 3 /* of more failed peers, how many for each reason */

/* Appends the report. SKEP_ERR_NOMEM (also where out->max is too little). Narrower than 40 columns
 * it does not get. */
int sk_report_write_text(const struct sk_report *report, const struct sk_screen *screen,
                         const struct sk_report_style *style, struct sk_buf *out);

/* The parts, for the above. */
struct sk_report_text {
    const struct sk_report *report;
    const struct sk_screen *screen;
    const struct sk_report_style *style;
    struct sk_buf *out;
};
/* The table of connected peers with its legend. SKEP_ERR_NOMEM. */
int sk_report_write_peers(const struct sk_report_text *text);
/* The other peers, by reason. SKEP_ERR_NOMEM. */
int sk_report_write_failures(const struct sk_report_text *text);
/* Who gave how much to whom, the most first; flows that another source explains as well are only
 * counted. SKEP_ERR_NOMEM. */
int sk_report_write_flows(const struct sk_report_text *text);
/*
 * What peers' reports to their tracker are worth: each false one with the claim, the evidence, what
 * was ruled out and the error rate; then why others cannot be told, and how many are consistent.
 * Nothing where nothing was reported. SKEP_ERR_NOMEM.
 */
int sk_report_write_verdicts(const struct sk_report_text *text);

#endif
