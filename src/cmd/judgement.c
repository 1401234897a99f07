#include "cmd/judgement.h"

#include <skep/err.h>

#include "audit/verdict.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "store/announces.h"

#define BAD_SHOWN 10 /* lines that cannot be read, of which it is said why */

struct gathered {
    const char *path;
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
    struct gathered *gathered = ctx;
    if (!is_ours(gathered->report, announce->info_hash)) {
        gathered->others++;
        return 0;
    }
    if (gathered->count == SK_REPORTS_MAX)
        return SKEP_ERR_LIMIT;
    if (gathered->count == gathered->capacity) {
        size_t capacity = gathered->capacity ? gathered->capacity * 2 : 1024;
        struct sk_announce *list = sk_mem_realloc(gathered->list, capacity, sizeof *list);
        if (!list)
            return SKEP_ERR_NOMEM;
        gathered->list = list;
        gathered->capacity = capacity;
    }
    gathered->list[gathered->count++] = *announce;
    return 0;
}

static void on_bad(uint64_t line, const char *why, void *ctx)
{
    struct gathered *gathered = ctx;
    if (++gathered->bad <= BAD_SHOWN)
        sk_complain("%s: line %llu: %s", gathered->path, (unsigned long long)line, why);
}

static int gather(struct gathered *gathered)
{
    const struct sk_announce_sink sink = {.announce = on_announce, .bad = on_bad, .ctx = gathered};
    struct sk_announces_tally tally;
    char reason[SK_DATABASE_REASON_MAX];
    int err = sk_announces_read(gathered->path, &sink, &tally, reason);
    if (gathered->bad > BAD_SHOWN)
        sk_complain("%s: %llu lines in all cannot be read", gathered->path,
                    (unsigned long long)gathered->bad);
    if (err == SKEP_ERR_LIMIT)
        sk_complain("%s: more than %u announces of this torrent: give fewer hours of them",
                    gathered->path, SK_REPORTS_MAX);
    else if (err)
        sk_complain("%s", reason[0] ? reason : skep_err_text(err));
    if (err)
        return sk_exit_of(err);
    if (gathered->count)
        return SK_EXIT_DONE;
    sk_complain("%s: no announces of this torrent (%llu of others)", gathered->path,
                (unsigned long long)gathered->others);
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

static int judge(const struct gathered *gathered, const struct sk_timeline *timeline,
                 struct sk_report *report)
{
    struct sk_verdict_config config = sk_verdict_config_default();
    struct sk_verdicts verdicts;
    config.began_unix_s = report->started_unix_s;
    if (report->hidden > 0)
        config.hidden_peers = report->hidden;
    struct sk_upload_bound *uploads = list_uploads(timeline);
    config.uploads = uploads;
    int err = uploads
                  ? sk_verdicts_init(&verdicts, timeline, gathered->list, gathered->count, &config)
                  : SKEP_ERR_NOMEM;
    sk_mem_free(uploads);
    if (err)
        return sk_complain_err(err);
    for (size_t i = 0; i < report->peers_count; i++) {
        uint32_t at = sk_timeline_find(timeline, &report->peers[i].endpoint);
        if (at != UINT32_MAX)
            sk_verdict_write(&verdicts, at, &report->peers[i].verdict);
    }
    if (verdicts.reports.unmatched)
        sk_complain("%s: %u announces are of clients that the audit did not see", gathered->path,
                    verdicts.reports.unmatched);
    sk_verdicts_deinit(&verdicts);
    return SK_EXIT_DONE;
}

int sk_judge_file(const char *path, const struct sk_timeline *timeline, struct sk_report *report)
{
    struct gathered gathered = {.path = path, .report = report};
    int code = gather(&gathered);
    if (!code)
        code = judge(&gathered, timeline, report);
    sk_mem_free(gathered.list);
    return code;
}
