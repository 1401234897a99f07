#include "cmd/replay.h"

#include <skep/err.h>

#include "cmd/cmd.h"

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

void sk_replayed_close(struct sk_replayed *replayed)
{
    sk_report_deinit(&replayed->report);
    sk_replay_close(replayed->replay);
}
