/*
 * An earlier audit, as commands want it: its report, and how it is to be written. Layer: cmd.
 */
#ifndef SK_CMD_REPLAY_H
#define SK_CMD_REPLAY_H

#include "audit/timeline.h"
#include "store/replay.h"
#include "store/report_field.h"

struct sk_replayed {
    struct sk_replay *replay;
    struct sk_report report;
    struct sk_report_style style; /* the one asked for; that of the audit, where it is anonymized */
};

/* `number` 0: the last audit of the file. Complains; an exit code. Closed in any case. */
int sk_replayed_open(struct sk_replayed *replayed, const char *path, uint32_t number,
                     const struct sk_report_style *style);
/* Who held what when, from its observations, and into the report what follows from that;
 * sk_timeline_deinit(). Complains; an exit code. */
int sk_replayed_timeline(struct sk_replayed *replayed, struct sk_timeline *ret_timeline);
/* Judges the reports of a file by that: sk_judge_file(). Complains; an exit code. */
int sk_replayed_judge(struct sk_replayed *replayed, const char *reports,
                      const struct sk_timeline *timeline);
void sk_replayed_close(struct sk_replayed *replayed);

#endif
