/*
 * The reports of a file held against what an audit saw (audit/verdict.h): for skep verdict, and for
 * skep audit --reports. Layer: cmd.
 */
#ifndef SK_CMD_JUDGEMENT_H
#define SK_CMD_JUDGEMENT_H

#include "audit/report.h"
#include "audit/timeline.h"

struct sk_judgement;

/*
 * Reads the announces of the report's torrent (store/announces.h; "-" is standard input). The path
 * is borrowed. clock_error_s: by how much the tracker's clock may differ from the auditor's; NAN:
 * what is usual. Says on standard error which lines cannot be read. Complains; an exit code,
 * SK_EXIT_NOTHING where there are no announces of this torrent.
 */
int sk_judgement_read(const char *path, double clock_error_s, const struct sk_report *report,
                      struct sk_judgement **ret_judgement);
/* Writes a verdict into each peer of the report that reported. The timeline went through
 * sk_infer(). Complains; an exit code. */
int sk_judgement_pass(const struct sk_judgement *judgement, const struct sk_timeline *timeline,
                      struct sk_report *report);
void sk_judgement_free(struct sk_judgement *judgement);
/* All of it, in one go. */
int sk_judge_file(const char *path, double clock_error_s, const struct sk_timeline *timeline,
                  struct sk_report *report);
/* Whether a file may become that: before the hours in which a tracker writes to it. Complains; an
 * exit code. */
int sk_judge_check(const char *path);

#endif
