#include "cmd/report_text.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>

#define REASON_WIDTH_MIN 10u
#define COUNT_WIDTH 5

static const char *reason_of(const struct sk_report_peer *peer)
{
    return peer->reason && peer->outcome != SK_OUTCOME_DUPLICATE && peer->outcome != SK_OUTCOME_SELF
               ? peer->reason
               : sk_peer_outcome_name(peer->outcome);
}

static void add_address(const struct sk_report_text *text, const struct sk_report_peer *peer,
                        struct sk_buf *line)
{
    char address[SK_ENDPOINT_TEXT_MAX];
    sk_buf_printf(line, "%s%s", line->n ? ", " : "",
                  sk_anonymizer_endpoint(text->style->anonymizer, &peer->endpoint, address));
    if (peer->same_as.family != SK_FAMILY_NONE)
        sk_buf_printf(line, " is %s",
                      sk_anonymizer_endpoint(text->style->anonymizer, &peer->same_as, address));
}

/* The reason in full: in its column, or on lines of its own above where it is longer than that. */
static void put_name(const struct sk_report_text *text, const char *reason, unsigned width,
                     enum sk_ink ink)
{
    unsigned used = sk_ink_width(reason);
    if (used <= width) {
        sk_ink_put(text->screen, ink, reason, text->out);
    } else {
        sk_ink_wrap(text->screen, ink, reason, 0, text->out);
        used = 0;
    }
    sk_ink_spaces(width - used, text->out);
}

/* One reason: its count, and who it was, as many as `most`. */
static int put_reason(const struct sk_report_text *text, const struct sk_report_peer *const *peers,
                      const char *reason, unsigned width, enum sk_ink ink, size_t most)
{
    struct sk_buf line;
    size_t count = 0;
    char number[COUNT_WIDTH + 24];
    sk_buf_init(&line, (most + 1) * 2 * (SK_ENDPOINT_TEXT_MAX + 4));
    for (size_t i = 0; i < text->report->peers_count; i++) {
        if (sk_peer_outcome_connected(peers[i]->outcome) || strcmp(reason_of(peers[i]), reason))
            continue;
        if (count++ < most)
            add_address(text, peers[i], &line);
    }
    if (count > most)
        sk_buf_text(&line, ", ...");
    sk_buf_append(&line, "", 1);
    if (count && !line.failed) {
        put_name(text, reason, width, ink);
        snprintf(number, sizeof number, "%*zu  ", COUNT_WIDTH, count);
        sk_buf_text(text->out, number);
        sk_ink_wrap(text->screen, SK_INK_DIM, (const char *)line.p, width + COUNT_WIDTH + 2,
                    text->out);
    }
    int err = line.failed ? SKEP_ERR_NOMEM : 0;
    sk_buf_deinit(&line);
    return err;
}

/* As wide as the widest reason, if that leaves half of the screen to addresses. */
static unsigned reason_width(const struct sk_report_text *text)
{
    unsigned widest = 0, most = text->screen->columns / 2;
    for (size_t i = 0; i < text->report->peers_count; i++) {
        const struct sk_report_peer *peer = &text->report->peers[i];
        unsigned width =
            sk_peer_outcome_connected(peer->outcome) ? 0 : sk_ink_width(reason_of(peer));
        widest = width <= most ? SK_MAX(widest, width) : widest;
    }
    return SK_MAX(widest, REASON_WIDTH_MIN);
}

int sk_report_write_failures(const struct sk_report_text *text)
{
    /* not failures, but addresses that the table has no row for */
    static const enum sk_peer_outcome others[] = {SK_OUTCOME_DUPLICATE, SK_OUTCOME_SELF};
    const struct sk_report *report = text->report;
    const struct sk_report_peer **peers = NULL;
    size_t count = 0;
    for (size_t i = 0; i < report->peers_count; i++)
        count += !sk_peer_outcome_connected(report->peers[i].outcome) &&
                 report->peers[i].outcome != SK_OUTCOME_UNTRIED;
    if (!count)
        return 0;
    unsigned width = reason_width(text);
    size_t most = count > SK_REPORT_PEERS_ALL ? SK_REPORT_FAILURES_SOME : count;
    int err = sk_report_order(report, text->style, &peers);
    if (!err) {
        sk_buf_text(text->out, "\n");
        sk_ink_put(text->screen, SK_INK_DIM, "NOT CONNECTED", text->out);
        sk_buf_text(text->out, "\n");
    }
    for (size_t i = 0; i < report->failed_count && !err; i++)
        err = put_reason(text, peers, report->failed[i].name, width, SK_INK_PLAIN, most);
    for (size_t i = 0; i < SK_ARRAY_LEN(others) && !err; i++)
        err = put_reason(text, peers, sk_peer_outcome_name(others[i]), width, SK_INK_DIM,
                         SK_MIN(most, (size_t)SK_REPORT_FAILURES_SOME));
    sk_mem_free(peers);
    return err;
}
