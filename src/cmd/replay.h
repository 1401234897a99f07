/*
 * An earlier audit, as commands want it: its report, and how it is to be written. Layer: cmd.
 */
#ifndef SK_CMD_REPLAY_H
#define SK_CMD_REPLAY_H

#include "cmd/judgement.h"
#include "store/replay.h"
#include "store/report_field.h"

struct sk_replayed {
    struct sk_replay *replay;
    struct sk_report report;
    struct sk_report_style style; /* the one asked for; that of the audit, where it is anonymized */
    struct sk_judgement *judgement; /* NULL: nothing is judged */
};

/* `number` 0: the last audit of the file. Complains; an exit code. Closed in any case. */
int sk_replayed_open(struct sk_replayed *replayed, const char *path, uint32_t number,
                     const struct sk_report_style *style);
/* Reads the reports to a tracker that it is to be held against: sk_judgement_read(). Complains; an
 * exit code, SK_EXIT_NOTHING also where the audit is anonymized. */
int sk_replayed_take_reports(struct sk_replayed *replayed, const char *path, double clock_error_s);
/* Into the report what follows from its observations, and from the reports that were taken.
 * Complains; an exit code. */
int sk_replayed_infer(struct sk_replayed *replayed);
void sk_replayed_close(struct sk_replayed *replayed);

#endif
