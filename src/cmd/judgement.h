/*
 * The reports of a file held against what an audit saw (audit/verdict.h): for skep verdict, and for
 * skep audit --reports. Layer: cmd.
 */
#ifndef SK_CMD_JUDGEMENT_H
#define SK_CMD_JUDGEMENT_H

#include "audit/report.h"
#include "audit/timeline.h"

/*
 * Reads the announces of the report's torrent (store/announces.h; "-" is standard input) and writes
 * a verdict into each of its peers that reported. The timeline went through sk_infer(). Says on
 * standard error which lines cannot be read. Complains; an exit code, SK_EXIT_NOTHING where there
 * are no announces of this torrent.
 */
int sk_judge_file(const char *path, const struct sk_timeline *timeline, struct sk_report *report);

#endif
