#include "cmd/judgement.h"

#include <skep/err.h>

#include "audit/verdict.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "store/announces.h"

#include <math.h>

#define BAD_SHOWN 10 /* lines that cannot be read, of which it is said why */

struct sk_judgement {
    const char *path;
    double clock_error_s; /* NAN: what is usual */
    const struct sk_report *report;
    struct sk_announce *list;
    size_t count, capacity;
    uint64_t others, bad;
};

/* A hybrid torrent has announces under both of its hashes. */
static bool is_ours(const struct sk_report *report, const uint8_t hash[20])
{
    return memcmp(report->info_hash, hash, 20) == 0 ||
           (report->has_hash_v2 && memcmp(report->hash_v2, hash, 20) == 0);
}

static int on_announce(const struct sk_announce *announce, void *ctx)
{
    struct sk_judgement *judgement = ctx;
    if (!is_ours(judgement->report, announce->info_hash)) {
        judgement->others++;
        return 0;
    }
    if (judgement->count == SK_REPORTS_MAX)
        return SKEP_ERR_LIMIT;
    if (judgement->count == judgement->capacity) {
        size_t capacity = judgement->capacity ? judgement->capacity * 2 : 1024;
        struct sk_announce *list = sk_mem_realloc(judgement->list, capacity, sizeof *list);
        if (!list)
            return SKEP_ERR_NOMEM;
        judgement->list = list;
        judgement->capacity = capacity;
    }
    judgement->list[judgement->count++] = *announce;
    return 0;
}

static void on_bad(uint64_t line, const char *why, void *ctx)
{
    struct sk_judgement *judgement = ctx;
    if (++judgement->bad <= BAD_SHOWN)
        sk_complain("%s: line %llu: %s", judgement->path, (unsigned long long)line, why);
}

static int gather(struct sk_judgement *judgement)
{
    const struct sk_announce_sink sink = {.announce = on_announce, .bad = on_bad, .ctx = judgement};
    struct sk_announces_tally tally;
    char reason[SK_DATABASE_REASON_MAX];
    int err = sk_announces_read(judgement->path, &sink, &tally, reason);
    if (judgement->bad > BAD_SHOWN)
        sk_complain("%s: %llu lines in all cannot be read", judgement->path,
                    (unsigned long long)judgement->bad);
    if (err == SKEP_ERR_LIMIT)
        sk_complain("%s: more than %u announces of this torrent: give fewer hours of them",
                    judgement->path, SK_REPORTS_MAX);
    else if (err)
        sk_complain("%s", reason[0] ? reason : skep_err_text(err));
    if (err)
        return sk_exit_of(err);
    if (judgement->count)
        return SK_EXIT_DONE;
    sk_complain("%s: no announces of this torrent (%llu of others)", judgement->path,
                (unsigned long long)judgement->others);
    return SK_EXIT_NOTHING;
}

/* What each gave, by the flows; NULL without memory. */
static struct sk_upload_bound *list_uploads(const struct sk_timeline *timeline)
{
    struct sk_upload_bound *uploads =
        sk_mem_calloc((size_t)timeline->peers_count + 1, sizeof *uploads);
    for (uint32_t i = 0; uploads && i < timeline->peers_count; i++)
        uploads[i] = timeline->peers[i].gave;
    return uploads;
}

int sk_judgement_pass(const struct sk_judgement *judgement, const struct sk_timeline *timeline,
                      struct sk_report *report)
{
    struct sk_verdict_config config = sk_verdict_config_default();
    struct sk_verdicts verdicts;
    config.began_unix_s = report->started_unix_s;
    config.files = report->has_files ? report->files : 0;
    if (!isnan(judgement->clock_error_s))
        config.skew_max_s = judgement->clock_error_s;
    if (report->hidden > 0)
        config.hidden_peers = report->hidden;
    struct sk_upload_bound *uploads = list_uploads(timeline);
    config.uploads = uploads;
    int err =
        uploads ? sk_verdicts_init(&verdicts, timeline, judgement->list, judgement->count, &config)
                : SKEP_ERR_NOMEM;
    sk_mem_free(uploads);
    if (err)
        return sk_complain_err(err);
    for (size_t i = 0; i < report->peers_count; i++) {
        uint32_t at = sk_timeline_find(timeline, &report->peers[i].endpoint);
        if (at != UINT32_MAX)
            sk_verdict_write(&verdicts, at, &report->peers[i].verdict);
    }
    report->clock_offset_s = verdicts.reports.offset_s;
    report->clock_error_s = verdicts.reports.accuracy_s;
    report->clock_announces = verdicts.reports.clock.announces;
    report->clock_how = sk_reports_clock_how(&verdicts.reports);
    if (verdicts.reports.unmatched)
        sk_complain("%s: %u announce%s of clients that the audit did not see", judgement->path,
                    verdicts.reports.unmatched, verdicts.reports.unmatched == 1 ? "" : "s");
    sk_verdicts_deinit(&verdicts);
    return SK_EXIT_DONE;
}

int sk_judgement_read(const char *path, double clock_error_s, const struct sk_report *report,
                      struct sk_judgement **ret_judgement)
{
    struct sk_judgement *judgement = sk_mem_calloc(1, sizeof *judgement);
    if (!judgement)
        return sk_complain_err(SKEP_ERR_NOMEM);
    judgement->path = path;
    judgement->clock_error_s = clock_error_s;
    judgement->report = report;
    int code = gather(judgement);
    if (code)
        sk_judgement_free(judgement);
    else
        *ret_judgement = judgement;
    return code;
}

void sk_judgement_free(struct sk_judgement *judgement)
{
    if (!judgement)
        return;
    sk_mem_free(judgement->list);
    sk_mem_free(judgement);
}

int sk_judge_file(const char *path, double clock_error_s, const struct sk_timeline *timeline,
                  struct sk_report *report)
{
    struct sk_judgement *judgement;
    int code = sk_judgement_read(path, clock_error_s, report, &judgement);
    if (code)
        return code;
    code = sk_judgement_pass(judgement, timeline, report);
    sk_judgement_free(judgement);
    return code;
}

int sk_judge_check(const char *path)
{
    char reason[SK_DATABASE_REASON_MAX];
    int err = sk_announces_check(path, reason);
    if (err)
        sk_complain("%s", reason[0] ? reason : skep_err_text(err));
    return sk_exit_of(err);
}
