#include "cmd/report_text.h"

#include <skep/err.h>

#include "audit/verdict.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define INDENT 15
#define NOTE_MAX (2 * SK_VERDICT_TEXT_MAX)

/* "  evidence     others gained 1.1 GiB of what it held"; addresses in it are hidden if all are. */
static int put_note(const struct sk_report_text *text, const char *label, const char *note)
{
    struct sk_buf hidden;
    char safe[NOTE_MAX];
    if (!note || !note[0])
        return 0;
    sk_buf_init(&hidden, (strlen(note) + 1) * SK_ANONYMIZER_GROWTH);
    int err = sk_anonymizer_text(text->style->anonymizer, sk_bytes_text(note), &hidden);
    if (!err) {
        sk_buf_text(text->out, "  ");
        sk_ink_put(text->screen, SK_INK_DIM, label, text->out);
        sk_ink_spaces(INDENT - 2 - (unsigned)strlen(label), text->out);
        sk_ink_wrap(text->screen, SK_INK_PLAIN,
                    sk_text_escape(sk_buf_bytes(&hidden), safe, sizeof safe), INDENT, text->out);
    }
    sk_buf_deinit(&hidden);
    return err;
}

static int put_false(const struct sk_report_text *text, const struct sk_report_peer *peer)
{
    const struct sk_verdict *verdict = &peer->verdict;
    char address[SK_ENDPOINT_TEXT_MAX], rate[64], line[SK_ENDPOINT_TEXT_MAX + SK_CLIENT_NAME_MAX];
    snprintf(line, sizeof line, "%s%s%s",
             sk_anonymizer_endpoint(text->style->anonymizer, &peer->endpoint, address),
             peer->client[0] ? " " : "", peer->client);
    sk_ink_wrap(text->screen, SK_INK_BAD, line, 0, text->out);
    snprintf(rate, sizeof rate, "%.2g (%u announce%s)", verdict->error_rate, verdict->announces,
             verdict->announces == 1 ? "" : "s");
    int err = put_note(text, "claim", verdict->claim);
    if (!err)
        err = put_note(text, "evidence", verdict->evidence);
    if (!err)
        err = put_note(text, "ruled out", verdict->ruled_out);
    return err ? err : put_note(text, "error rate", isnan(verdict->error_rate) ? "" : rate);
}

struct reason {
    const char *kind;  /* of those that are counted together; its name, or words */
    const char *words; /* the evidence, where it is of one alone */
    uint32_t count;
};

static int compare_reasons(const void *a, const void *b)
{
    const struct reason *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return strcmp(left->kind, right->kind);
}

/* Whose evidence has figures of each peer is one reason all the same. A report of an older version
 * has nothing but words. */
static void count_reason(struct reason *reasons, size_t *count, const struct sk_verdict *verdict)
{
    const char *kind = verdict->why ? verdict->why : verdict->evidence;
    size_t at = 0;
    while (at < *count && strcmp(reasons[at].kind, kind) != 0)
        at++;
    if (at == *count)
        reasons[(*count)++] = (struct reason){kind, verdict->evidence, 0};
    else if (verdict->why && sk_verdict_why_words(kind))
        reasons[at].words = sk_verdict_why_words(kind);
    reasons[at].count++;
}

/* "cannot tell   12: it does not tell what it gains", a line a reason, the most common first. */
static int put_open(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    struct reason *reasons = sk_mem_calloc(report->peers_count + 1, sizeof *reasons);
    size_t count = 0;
    int err = 0;
    char note[SK_VERDICT_TEXT_MAX + 32];
    if (!reasons)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < report->peers_count; i++) {
        const struct sk_verdict *verdict = &report->peers[i].verdict;
        if (verdict->result == SK_VERDICT_CANNOT_TELL)
            count_reason(reasons, &count, verdict);
    }
    if (count)
        qsort(reasons, count, sizeof *reasons, compare_reasons);
    for (size_t i = 0; i < count && !err; i++) {
        snprintf(note, sizeof note, "%u%s%s", reasons[i].count, reasons[i].words[0] ? ": " : "",
                 reasons[i].words);
        err = put_note(text, "cannot tell", note);
    }
    sk_mem_free(reasons);
    return err;
}

/* "  clock        the tracker's is 0.1 s behind ours, give or take 1.1 s (own announces: 7)" */
static int put_clock(const struct sk_report_text *text)
{
    const struct sk_report *report = text->report;
    char note[160], count[16] = "";
    if (!report->clock_how)
        return 0;
    if (report->clock_announces)
        snprintf(count, sizeof count, ": %u", report->clock_announces);
    snprintf(note, sizeof note, "the tracker's is %.1f s %s ours, give or take %.1f s (%.40s%s)",
             fabs(report->clock_offset_s), report->clock_offset_s < 0 ? "behind" : "ahead of",
             report->clock_error_s, report->clock_how, count);
    return put_note(text, "clock", note);
}

int sk_report_write_verdicts(const struct sk_report_text *text)
{
    const struct sk_report_peer **peers = NULL;
    uint32_t counts[SK_VERDICT_CANNOT_TELL + 1] = {0};
    char note[96];
    for (size_t i = 0; i < text->report->peers_count; i++)
        counts[text->report->peers[i].verdict.result]++;
    if (counts[SK_VERDICT_NONE] == text->report->peers_count)
        return 0;
    int err = sk_report_order(text->report, text->style, &peers);
    if (err)
        return err;
    sk_buf_text(text->out, "\n");
    snprintf(note, sizeof note, "REPORTS %u false, %u consistent, %u cannot be told",
             counts[SK_VERDICT_FALSE_REPORT], counts[SK_VERDICT_CONSISTENT],
             counts[SK_VERDICT_CANNOT_TELL]);
    sk_ink_wrap(text->screen, SK_INK_BOLD, note, 0, text->out);
    for (size_t i = 0; i < text->report->peers_count && !err; i++)
        if (peers[i]->verdict.result == SK_VERDICT_FALSE_REPORT)
            err = put_false(text, peers[i]);
    if (!err)
        err = put_open(text);
    snprintf(note, sizeof note, "%u", counts[SK_VERDICT_CONSISTENT]);
    if (!err)
        err = put_note(text, "consistent", note);
    if (!err)
        err = put_clock(text);
    sk_mem_free(peers);
    return err;
}
