#include "cmd/replay.h"

#include "audit/inference.h"

#include <skep/err.h>

#include "cmd/cmd.h"

#include <math.h>

#define SECONDS_MAX 1e9 /* thirty years */

int sk_replayed_open(struct sk_replayed *replayed, const char *path, uint32_t number,
                     const struct sk_report_style *style)
{
    char reason[SK_DATABASE_REASON_MAX];
    *replayed = (struct sk_replayed){.style = *style};
    int err = sk_replay_open(path, number, &replayed->replay, reason);
    if (err) {
        sk_complain("%s", err == SKEP_ERR_NOMEM ? skep_err_text(err) : reason);
        return sk_exit_of(err);
    }
    if (sk_replay_anonymizer(replayed->replay))
        replayed->style.anonymizer = sk_replay_anonymizer(replayed->replay);
    err = sk_replay_report(replayed->replay, &replayed->report);
    if (!err)
        return SK_EXIT_DONE;
    sk_complain("%s",
                err == SKEP_ERR_STORE ? sk_replay_reason(replayed->replay) : skep_err_text(err));
    return sk_exit_of(err);
}

static void observe(const struct sk_observation *observation, void *ctx)
{
    struct sk_timeline *timeline = ctx;
    if (sk_timeline_observe(timeline, observation))
        timeline->lost++;
}

int sk_replayed_take_reports(struct sk_replayed *replayed, const char *path, double clock_error_s)
{
    if (!sk_replay_anonymizer(replayed->replay))
        return sk_judgement_read(path, clock_error_s, &replayed->report, &replayed->judgement);
    sk_complain("audit %lld is anonymized: whose the reports are cannot be told (judge them while "
                "it runs, with --reports)",
                (long long)sk_replay_audit(replayed->replay));
    return SK_EXIT_NOTHING;
}

/* Who held what when, and the report's download rates and flows. */
static int infer(struct sk_replayed *replayed, struct sk_timeline *timeline)
{
    const struct sk_report *report = &replayed->report;
    int err = sk_replay_observe(replayed->replay, observe, timeline);
    if (!err) {
        sk_timeline_close(timeline,
                          SK_REPLAY_BEGIN_NS + (uint64_t)llround(report->seconds * 1e3) * 1000000);
        err = sk_infer(timeline, &replayed->report);
    }
    if (err)
        sk_complain("%s", err == SKEP_ERR_STORE ? sk_replay_reason(replayed->replay)
                                                : skep_err_text(err));
    return sk_exit_of(err);
}

int sk_replayed_infer(struct sk_replayed *replayed)
{
    const struct sk_report *report = &replayed->report;
    struct sk_timeline timeline;
    bool in_time = report->seconds >= 0 && report->seconds < SECONDS_MAX;
    if (!in_time || !isfinite(report->started_unix_s) ||
        sk_timeline_init(&timeline, SK_REPLAY_BEGIN_NS, report->pieces, report->piece_size,
                         report->size)) {
        sk_complain("audit %lld is damaged: its torrent or its times make no sense",
                    (long long)sk_replay_audit(replayed->replay));
        return SK_EXIT_CORRUPT;
    }
    int code = infer(replayed, &timeline);
    if (!code && replayed->judgement)
        code = sk_judgement_pass(replayed->judgement, &timeline, &replayed->report);
    sk_timeline_deinit(&timeline);
    return code;
}

void sk_replayed_close(struct sk_replayed *replayed)
{
    sk_judgement_free(replayed->judgement);
    sk_report_deinit(&replayed->report);
    sk_replay_close(replayed->replay);
}
