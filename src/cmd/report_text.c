#include "cmd/report_text.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/table.h"
#include "cmd/units.h"

#include <stdarg.h>
#include <stdio.h>

#define LABEL_WIDTH 13
#define LINE_MAX_BYTES 2048
#define CLIENTS_SHOWN 8
#define NAME_MAX_BYTES 1024

static void put_label(const struct sk_report_text *text, const char *label)
{
    sk_ink_put(text->screen, SK_INK_DIM, label, text->out);
    sk_ink_spaces(LABEL_WIDTH - (unsigned)strlen(label), text->out);
}

__attribute__((format(printf, 4, 5))) static void put_line(const struct sk_report_text *text,
                                                           const char *label, enum sk_ink ink,
                                                           const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put_label(text, label);
    sk_ink_wrap(text->screen, ink, line, LABEL_WIDTH, text->out);
}

static void put_title(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    char name[NAME_MAX_BYTES], fitted[NAME_MAX_BYTES], hex[41], hex_v2[65], size[SK_UNITS_MAX],
        piece[SK_UNITS_MAX], pieces[SK_UNITS_MAX], line[256];
    sk_text_escape(sk_bytes_text(report->name ? report->name : "(name unknown)"), name,
                   sizeof name);
    sk_ink_fit(text->screen, name, text->screen->columns, SK_INK_CUT_MIDDLE, fitted, sizeof fitted);
    sk_ink_put(text->screen, SK_INK_BOLD, fitted, text->out);
    sk_buf_text(text->out, "\n");
    sk_hex_encode(report->info_hash, 20, hex);
    sk_hex_encode(report->hash_v2, 32, hex_v2);
    if (report->has_metadata)
        snprintf(line, sizeof line, "%s in %s piece%s of %s, %s%s%s",
                 sk_units_bytes((double)report->size, size), sk_units_count(report->pieces, pieces),
                 report->pieces == 1 ? "" : "s", sk_units_bytes(report->piece_size, piece), hex,
                 report->has_hash_v2 ? " " : "", report->has_hash_v2 ? hex_v2 : "");
    else
        snprintf(line, sizeof line, "%s (no peer gave the metadata)", hex);
    sk_ink_wrap(text->screen, SK_INK_DIM, line, 0, text->out);
    sk_buf_text(text->out, "\n");
}

/* The one question that everybody asks first. */
static void put_completeness(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    char missing[SK_UNITS_MAX], pieces[SK_UNITS_MAX], share[SK_UNITS_MAX];
    if (report->pieces_missing < 0) {
        put_line(text, "Complete", SK_INK_WARN, "unknown: %s",
                 report->connected ? "no peer told which pieces it holds" : "no peer was reached");
    } else if (report->pieces_missing > 0) {
        put_line(text, "Complete", SK_INK_BAD,
                 "not from the peers seen: none of them holds %s of the %s pieces (%s)",
                 sk_units_count((uint64_t)report->pieces_missing, missing),
                 sk_units_count(report->pieces, pieces),
                 sk_units_share((double)report->pieces_missing / report->pieces, share));
    } else {
        put_line(text, "Complete", SK_INK_GOOD,
                 "yes: %.2f distributed copies, %u peer%s hold%s the rarest piece",
                 floor(report->copies * 100) / 100, (unsigned)report->copies,
                 (unsigned)report->copies == 1 ? "" : "s",
                 (unsigned)report->copies == 1 ? "s" : "");
    }
}

static void put_peer_counts(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    char unknown[48] = "", untried[48] = "";
    uint32_t failed = 0;
    for (size_t i = 0; i < report->failed_count; i++)
        failed += report->failed[i].count;
    uint32_t left = report->known - SK_MIN(report->known, report->connected + failed);
    if (report->share_unknown)
        snprintf(unknown, sizeof unknown, ", %u unknown", report->share_unknown);
    if (left)
        snprintf(untried, sizeof untried, ", %u not tried", left);
    put_line(text, "Peers", SK_INK_PLAIN,
             "%u known: %u connected (%u seed%s, %u leecher%s%s), %u failed%s", report->known,
             report->connected, report->seeds, report->seeds == 1 ? "" : "s", report->leechers,
             report->leechers == 1 ? "" : "s", unknown, failed, untried);
}

/* What no source told: how many peers this report does not know of. */
static void put_hidden(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    if (!report->connected)
        return;
    if (!report->hidden_how)
        put_line(text, "Not told", SK_INK_PLAIN,
                 "unknown how many more there are: that takes sources that tell some peers in "
                 "common, and some not");
    else if (isnan(report->hidden_high))
        put_line(text, "Not told", SK_INK_PLAIN,
                 "at least about %.0f more peer%s that no source told (%s)", report->hidden,
                 lround(report->hidden) == 1 ? "" : "s", report->hidden_how);
    else
        put_line(text, "Not told", SK_INK_PLAIN,
                 "about %.0f more peer%s (%.0f to %.0f) that no source told (95 %%, %s)",
                 report->hidden, lround(report->hidden) == 1 ? "" : "s", floor(report->hidden_low),
                 ceil(report->hidden_high), report->hidden_how);
}

static void put_delivered(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    uint64_t verified = 0, corrupt = 0;
    uint32_t served = 0;
    char bytes[SK_UNITS_MAX], given[SK_UNITS_MAX], blocks[SK_UNITS_MAX], bad[80] = "",
                                                                         back[64] = "";
    for (size_t i = 0; i < report->peers_count; i++) {
        verified += report->peers[i].blocks_verified;
        corrupt += report->peers[i].blocks_corrupt;
        served += report->peers[i].outcome == SK_OUTCOME_SERVED;
    }
    if (corrupt)
        snprintf(bad, sizeof bad, ", %llu corrupt from %u peer%s", (unsigned long long)corrupt,
                 report->corrupt_peers, report->corrupt_peers == 1 ? "" : "s");
    if (report->given_bytes)
        snprintf(back, sizeof back, "; %s given back",
                 sk_units_bytes((double)report->given_bytes, given));
    put_line(text, "Delivered", corrupt ? SK_INK_BAD : SK_INK_PLAIN,
             "%s by %u peer%s, %s block%s verified%s%s",
             sk_units_bytes((double)report->delivered_bytes, bytes), served, served == 1 ? "" : "s",
             sk_units_count(verified, blocks), verified == 1 ? "" : "s", bad, back);
}

/* "qBittorrent 12, Transmission 9, others 3" */
static void put_clients(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    char line[LINE_MAX_BYTES] = "";
    size_t n = 0;
    uint32_t rest = 0;
    for (size_t i = CLIENTS_SHOWN; i < report->clients_count; i++)
        rest += report->clients[i].count;
    for (size_t i = 0; i < report->clients_count && i < CLIENTS_SHOWN; i++)
        n +=
            (size_t)snprintf(line + n, sizeof line - n, "%s%.*s %u", i ? ", " : "",
                             SK_CLIENT_NAME_MAX, report->clients[i].name, report->clients[i].count);
    if (rest)
        snprintf(line + n, sizeof line - n, ", others %u", rest);
    if (report->clients_count)
        put_line(text, "Clients", SK_INK_PLAIN, "%s", line);
}

static void put_encryption(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    if (report->encrypted + report->plain)
        put_line(text, "Encryption", SK_INK_PLAIN, "%u of %u connections encrypted",
                 report->encrypted, report->encrypted + report->plain);
}

enum { CLAIM_SOURCE, CLAIM_SEEDS, CLAIM_LEECHERS, CLAIM_DOWNLOADS, CLAIM_TOLD, CLAIM_ERROR };
static const struct sk_table_column claim_columns[] = {
    [CLAIM_SOURCE] = {"CLAIMS", 0, 20, false, SK_INK_CUT_MIDDLE},
    [CLAIM_SEEDS] = {"SEEDS", 1, 0, true, SK_INK_CUT_END},
    [CLAIM_LEECHERS] = {"LEECHERS", 1, 0, true, SK_INK_CUT_END},
    [CLAIM_DOWNLOADS] = {"DOWNLOADS", 4, 0, true, SK_INK_CUT_END},
    [CLAIM_TOLD] = {"TOLD", 3, 0, true, SK_INK_CUT_END},
    [CLAIM_ERROR] = {"", 2, 16, false, SK_INK_CUT_END},
};
#define CLAIM_COLUMNS SK_ARRAY_LEN(claim_columns)

static void set_claimed(struct sk_table_cell *cell, int64_t count)
{
    if (count >= 0)
        sk_units_count((uint64_t)count, cell->text);
}

static int set_claim(const struct sk_report_text *text, const struct sk_report_claim *claim,
                     struct sk_table_cell *row)
{
    struct sk_buf hidden;
    sk_text_escape(sk_bytes_text(claim->source), row[CLAIM_SOURCE].text, SK_TABLE_CELL_MAX);
    if (!claim->error) {
        set_claimed(&row[CLAIM_SEEDS], claim->seeds);
        set_claimed(&row[CLAIM_LEECHERS], claim->leechers);
        set_claimed(&row[CLAIM_DOWNLOADS], claim->downloads);
        set_claimed(&row[CLAIM_TOLD], claim->peers_told);
        return 0;
    }
    sk_buf_init(&hidden, SK_ANONYMIZER_GROWTH * strlen(claim->error) + 1);
    int err = sk_anonymizer_text(text->style->anonymizer, sk_bytes_text(claim->error), &hidden);
    if (!err)
        sk_text_escape(sk_buf_bytes(&hidden), row[CLAIM_ERROR].text, SK_TABLE_CELL_MAX);
    row[CLAIM_ERROR].ink = SK_INK_BAD;
    sk_buf_deinit(&hidden);
    return err;
}

/* What others say, below what we saw ourselves. */
static int put_claims(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    if (!report->claims_count)
        return 0;
    struct sk_table_cell *cells =
        sk_mem_calloc((report->claims_count + 1) * CLAIM_COLUMNS, sizeof *cells);
    if (!cells)
        return SKEP_ERR_NOMEM;
    int err = 0;
    snprintf(cells[CLAIM_SOURCE].text, SK_TABLE_CELL_MAX, "seen by this audit");
    set_claimed(&cells[CLAIM_SEEDS], report->seeds);
    set_claimed(&cells[CLAIM_LEECHERS], report->leechers);
    for (size_t i = 0; i < CLAIM_COLUMNS; i++)
        cells[i].ink = SK_INK_BOLD;
    for (size_t i = 0; i < report->claims_count && !err; i++)
        err = set_claim(text, &report->claims[i], cells + (i + 1) * CLAIM_COLUMNS);
    sk_buf_text(text->out, "\n");
    sk_table_write(text->screen, claim_columns, CLAIM_COLUMNS, cells, report->claims_count + 1,
                   text->out);
    sk_mem_free(cells);
    return err;
}

static void put_end(const struct sk_report_text *text)
{
    static const struct {
        const char *how;
        enum sk_ink ink;
    } ends[] = {
        [SK_STOPPED_CONVERGED] = {"Converged after", SK_INK_GOOD},
        [SK_STOPPED_TIME] = {"Partial result: time ran out after", SK_INK_WARN},
        [SK_STOPPED_INTERRUPTED] = {"Partial result: interrupted after", SK_INK_WARN},
    };
    const struct sk_report *report = text->report;
    char line[512], duration[SK_UNITS_MAX];
    sk_units_duration(report->seconds, duration);
    size_t n = strlen(report->stop_rule);
    bool ended = n && strchr(".!?", report->stop_rule[n - 1]);
    snprintf(line, sizeof line, "%s %s%s%s%s", ends[report->stopped].how, duration, n ? ": " : "",
             report->stop_rule, ended ? "" : ".");
    sk_buf_text(text->out, "\n");
    sk_ink_wrap(text->screen, ends[report->stopped].ink, line, 0, text->out);
}

int sk_report_write_text(const struct sk_report *report, const struct sk_screen *screen,
                         const struct sk_report_style *style, struct sk_buf *out)
{
    struct sk_screen wide = *screen;
    wide.columns = SK_MAX(wide.columns, 40u);
    const struct sk_report_text text = {report, &wide, style, out};
    put_title(&text);
    put_completeness(&text);
    put_peer_counts(&text);
    put_hidden(&text);
    put_delivered(&text);
    put_encryption(&text);
    put_clients(&text);
    int err = put_claims(&text);
    if (!err)
        err = sk_report_write_verdicts(&text);
    if (!err)
        err = sk_report_write_peers(&text);
    if (!err)
        err = sk_report_write_flows(&text);
    if (!err)
        err = sk_report_write_failures(&text);
    if (!err)
        put_end(&text);
    return err ? err : out->failed ? SKEP_ERR_NOMEM : 0;
}
