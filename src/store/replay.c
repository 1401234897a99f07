#include "store/replay.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/report_read.h"
#include "store/report_schema.h"
#include "swarm/source.h"

#include <stdio.h>

struct sk_replay {
    struct sk_database file;
    int64_t audit;
    bool anonymized;
    struct sk_anonymizer anonymizer;
    struct sk_report_texts texts;
};

/* ---- which audit ---- */

/* Prepares a statement whose ?1 is the audit's number. */
static int prepare(struct sk_replay *replay, const char *sql, sqlite3_stmt **ret_query)
{
    int err = sk_database_prepare(&replay->file, sql, ret_query);
    if (!err)
        sqlite3_bind_int64(*ret_query, 1, replay->audit);
    return err;
}

static int refuse(struct sk_replay *replay, int64_t first, int64_t last)
{
    char why[160] = "";
    if (!last)
        snprintf(why, sizeof why, "no audit in it was finished");
    else if (replay->audit)
        snprintf(why, sizeof why,
                 "audit %lld is not there, or was not finished (finished: %lld to %lld)",
                 (long long)replay->audit, (long long)first, (long long)last);
    sk_database_refuse(&replay->file, why);
    return SKEP_ERR_NOT_FOUND;
}

/* Finds the audit; 0 stands for the last. */
static int find(struct sk_replay *replay)
{
    sqlite3_stmt *query;
    int64_t first = 0, last = 0;
    bool found = false;
    int err = sk_database_prepare(
        &replay->file, "SELECT id, anonymized FROM audit WHERE seconds IS NOT NULL ORDER BY id",
        &query);
    if (err)
        return err;
    int step;
    while ((step = sqlite3_step(query)) == SQLITE_ROW) {
        last = sqlite3_column_int64(query, 0);
        first = first ? first : last;
        if (replay->audit && replay->audit != last)
            continue;
        replay->anonymized = sqlite3_column_int(query, 1) != 0;
        found = true;
    }
    err = step == SQLITE_DONE ? 0 : sk_database_fail(&replay->file);
    sqlite3_finalize(query);
    if (!err && !found)
        err = refuse(replay, first, last);
    if (!replay->audit)
        replay->audit = last;
    return err;
}

int sk_replay_open(const char *path, int64_t audit, struct sk_replay **ret_replay,
                   char ret_reason[SK_DATABASE_REASON_MAX])
{
    struct sk_replay *replay = sk_mem_calloc(1, sizeof *replay);
    if (!replay)
        return SKEP_ERR_NOMEM;
    replay->audit = audit;
    replay->anonymizer.recalls = true;
    int err = sk_database_open_to_read(&replay->file, path);
    if (!err)
        err = sk_database_recognize(&replay->file, SK_STORE_APPLICATION, SK_STORE_VERSION,
                                    "holds no audits (skep audit --db makes such files)");
    if (!err)
        err = find(replay);
    if (err) {
        snprintf(ret_reason, SK_DATABASE_REASON_MAX, "%s", replay->file.reason);
        sk_replay_close(replay);
        return err;
    }
    *ret_replay = replay;
    return 0;
}

void sk_replay_close(struct sk_replay *replay)
{
    if (!replay)
        return;
    sk_database_close(&replay->file);
    sk_report_texts_deinit(&replay->texts);
    sk_mem_free(replay);
}

int64_t sk_replay_audit(const struct sk_replay *replay)
{
    return replay->audit;
}

const struct sk_anonymizer *sk_replay_anonymizer(const struct sk_replay *replay)
{
    return replay->anonymized ? &replay->anonymizer : NULL;
}

const char *sk_replay_reason(const struct sk_replay *replay)
{
    return replay->file.reason;
}

/* ---- the report ---- */

/* Reads all rows of a table into an array that grows; they are counted in *ret_count also where it
 * fails. */
static int read_rows(struct sk_replay *replay, const char *sql, const struct sk_report_rows *rows,
                     size_t size, void **ret_list, size_t *ret_count)
{
    sqlite3_stmt *query;
    size_t capacity = 0;
    int step = SQLITE_DONE;
    int err = prepare(replay, sql, &query);
    if (err)
        return err;
    while (!err && (step = sqlite3_step(query)) == SQLITE_ROW) {
        if (*ret_count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            void *list = sk_mem_realloc(*ret_list, capacity, size);
            if (!list) {
                err = SKEP_ERR_NOMEM;
                break;
            }
            *ret_list = list;
        }
        void *base = (char *)*ret_list + *ret_count * size;
        memset(base, 0, size);
        ++*ret_count;
        err = sk_report_read_row(query, rows, &replay->texts, base);
    }
    if (!err && step != SQLITE_DONE)
        err = sk_database_fail(&replay->file);
    sqlite3_finalize(query);
    return err;
}

static int read_audit(struct sk_replay *replay, struct sk_report *report)
{
    const struct sk_report_rows rows[] = {{sk_fields_audit, sk_fields_audit_count, false},
                                          {sk_fields_swarm, sk_fields_swarm_count, false}};
    sqlite3_stmt *query;
    sk_mem_free(report->name);
    report->name = NULL;
    int err = prepare(replay, "SELECT * FROM audit WHERE id = ?", &query);
    if (err)
        return err;
    if (sqlite3_step(query) != SQLITE_ROW)
        err = sk_database_fail(&replay->file);
    for (size_t i = 0; i < SK_ARRAY_LEN(rows) && !err; i++)
        err = sk_report_read_row(query, &rows[i], &replay->texts, report);
    sqlite3_finalize(query);
    /* The report's own, unlike its other texts. */
    const char *name = report->name;
    report->name = name && !err ? sk_mem_strdup(name) : NULL;
    return !err && name && !report->name ? SKEP_ERR_NOMEM : err;
}

static bool has_table(struct sk_replay *replay, const char *name)
{
    sqlite3_stmt *query;
    if (sk_database_prepare(
            &replay->file, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", &query))
        return false;
    sqlite3_bind_text(query, 1, name, -1, SQLITE_STATIC);
    bool has = sqlite3_step(query) == SQLITE_ROW;
    sqlite3_finalize(query);
    return has;
}

static int read_parts(struct sk_replay *replay, struct sk_report *report)
{
    const struct sk_report_rows claims = {sk_fields_claim, sk_fields_claim_count, true},
                                peers = {sk_fields_peer, sk_fields_peer_count, false},
                                flows = {sk_fields_flow, sk_fields_flow_count, false},
                                tracers = {sk_fields_tracer, sk_fields_tracer_count, false};
    int err = read_rows(replay, "SELECT * FROM claims WHERE audit = ? ORDER BY rowid", &claims,
                        sizeof *report->claims, (void **)&report->claims, &report->claims_count);
    if (!err)
        err = read_rows(replay, "SELECT * FROM peers WHERE audit = ? ORDER BY rowid", &peers,
                        sizeof *report->peers, (void **)&report->peers, &report->peers_count);
    if (!err && has_table(replay, "tracers"))
        err = read_rows(replay, "SELECT * FROM tracers WHERE audit = ? ORDER BY rowid", &tracers,
                        sizeof *report->tracers, (void **)&report->tracers, &report->tracers_count);
    if (!err && has_table(replay, "flows"))
        err = read_rows(replay, "SELECT * FROM flows WHERE audit = ? ORDER BY rowid", &flows,
                        sizeof *report->flows, (void **)&report->flows, &report->flows_count);
    return err;
}

int sk_replay_report(struct sk_replay *replay, struct sk_report *ret_report)
{
    struct sk_report report = {0};
    int err = read_audit(replay, &report);
    if (!err)
        err = read_parts(replay, &report);
    if (!err)
        err = sk_report_summarize(&report, NULL);
    if (!err) /* what is counted piece by piece is known from its own row only */
        err = read_audit(replay, &report);
    if (err)
        sk_report_deinit(&report);
    else
        *ret_report = report;
    return err;
}

/* ---- observations ---- */

enum { AT, KIND, PEER, TOLD_BY, SOURCE, A, B, C, TEXT, DATA };
#define SELECT_OBSERVATIONS                                                                        \
    "SELECT at_ns, kind, peer, told_by, source, a, b, c, text, data FROM observations"             \
    " WHERE audit = ? ORDER BY rowid"

static const char *text_at(sqlite3_stmt *row, int column)
{
    return (const char *)sqlite3_column_text(row, column);
}

static bool read_kind(const char *name, enum sk_observation_kind *ret_kind)
{
    for (int i = 0; name && i < SK_OBS_KIND_COUNT; i++) {
        if (strcmp(sk_observation_kind_name((enum sk_observation_kind)i), name) != 0)
            continue;
        *ret_kind = (enum sk_observation_kind)i;
        return true;
    }
    return false;
}

static uint32_t read_source(const char *name)
{
    for (unsigned i = 0; name && i < SK_SOURCE_COUNT; i++)
        if (strcmp(sk_source_name(i), name) == 0)
            return 1u << i;
    return 0;
}

/* What was not said is -1 in a claim, 0 elsewhere. */
static int64_t read_number(sqlite3_stmt *row, int column, enum sk_observation_kind kind)
{
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        return kind == SK_OBS_TRACKER_CLAIM ? -1 : 0;
    return sqlite3_column_int64(row, column);
}

/* The text or the data of the row, valid until its next step. */
static struct sk_bytes read_bytes(sqlite3_stmt *row)
{
    int column = sqlite3_column_type(row, DATA) != SQLITE_NULL ? DATA : TEXT;
    const void *p = sqlite3_column_blob(row, column);
    return sk_bytes(p, p ? (size_t)sqlite3_column_bytes(row, column) : 0);
}

/* False for a kind that we do not know. */
static bool read_observation(sqlite3_stmt *row, struct sk_observation *ret_observation)
{
    struct sk_observation seen = {0};
    if (!read_kind(text_at(row, KIND), &seen.kind))
        return false;
    int64_t at_ns = sqlite3_column_int64(row, AT);
    seen.at_ns = SK_REPLAY_BEGIN_NS + (at_ns > 0 ? (uint64_t)at_ns : 0);
    seen.peer = sk_report_read_address(text_at(row, PEER));
    seen.by = sk_report_read_address(text_at(row, TOLD_BY));
    seen.source = read_source(text_at(row, SOURCE));
    seen.a = read_number(row, A, seen.kind);
    seen.b = read_number(row, B, seen.kind);
    seen.c = read_number(row, C, seen.kind);
    seen.bytes = read_bytes(row);
    *ret_observation = seen;
    return true;
}

int sk_replay_observe(struct sk_replay *replay, sk_observe_fn observe, void *ctx)
{
    sqlite3_stmt *query;
    uint64_t latest_ns = SK_REPLAY_BEGIN_NS;
    int step;
    int err = prepare(replay, SELECT_OBSERVATIONS, &query);
    if (err)
        return err;
    while ((step = sqlite3_step(query)) == SQLITE_ROW) {
        struct sk_observation seen;
        if (!read_observation(query, &seen))
            continue;
        seen.at_ns = latest_ns = SK_MAX(seen.at_ns, latest_ns);
        observe(&seen, ctx);
    }
    err = step == SQLITE_DONE ? 0 : sk_database_fail(&replay->file);
    sqlite3_finalize(query);
    return err;
}
