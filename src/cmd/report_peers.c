#include "cmd/report_text.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/table.h"
#include "cmd/units.h"
#include "swarm/source.h"

#include <stdio.h>
#include <stdlib.h>

#define BAR_WIDTH 10
#define SOURCE_LETTERS "TPDLGI" /* by bit of enum sk_source */

enum {
    PEER_ADDRESS,
    PEER_CLIENT,
    PEER_SHARE,
    PEER_BAR,
    PEER_CHANGE,
    PEER_RATE,
    PEER_CAPACITY,
    PEER_UPLOAD,
    PEER_DOWNLOAD,
    PEER_RTT,
    PEER_UNCHOKED,
    PEER_BLOCKS,
    PEER_SOURCES,
    PEER_STATE,
    PEER_REASON,
};
static const struct sk_table_column peer_columns[] = {
    [PEER_ADDRESS] = {"PEER", 0, 21, false, SK_INK_CUT_MIDDLE},
    [PEER_CLIENT] = {"CLIENT", 2, 18, false, SK_INK_CUT_END},
    [PEER_SHARE] = {"HOLDS", 0, 0, true, SK_INK_CUT_END},
    [PEER_BAR] = {"", 6, 0, false, SK_INK_CUT_END},
    [PEER_CHANGE] = {"GAIN", 8, 0, true, SK_INK_CUT_END},
    [PEER_RATE] = {"DELIVERED", 1, 0, false, SK_INK_CUT_END},
    [PEER_CAPACITY] = {"CAPACITY", 10, 0, false, SK_INK_CUT_END},
    [PEER_UPLOAD] = {"GIVES", 11, 0, true, SK_INK_CUT_END},
    [PEER_DOWNLOAD] = {"GETS", 12, 0, true, SK_INK_CUT_END},
    [PEER_RTT] = {"RTT", 4, 0, true, SK_INK_CUT_END},
    [PEER_UNCHOKED] = {"UNCHOKED", 7, 0, false, SK_INK_CUT_END},
    [PEER_BLOCKS] = {"BLOCKS", 3, 0, true, SK_INK_CUT_END},
    [PEER_SOURCES] = {"VIA", 5, 0, false, SK_INK_CUT_END},
    [PEER_STATE] = {"STATE", 0, 0, false, SK_INK_CUT_END},
    [PEER_REASON] = {"", 9, 12, false, SK_INK_CUT_END},
};
#define PEER_COLUMNS SK_ARRAY_LEN(peer_columns)

static const char *bad_mark(const struct sk_screen *screen)
{
    return screen->utf8 ? "✗" : "!";
}

static void set_holdings(const struct sk_report_text *text, const struct sk_report_peer *peer,
                         struct sk_table_cell *row)
{
    if (!peer->has_share || isnan(peer->share)) {
        snprintf(row[PEER_SHARE].text, SK_TABLE_CELL_MAX, "?");
        return;
    }
    sk_units_share(peer->share, row[PEER_SHARE].text);
    sk_ink_bar(text->screen, peer->share, BAR_WIDTH, row[PEER_BAR].text, SK_TABLE_CELL_MAX);
    row[PEER_BAR].ink = peer->share >= 1 ? SK_INK_GOOD : SK_INK_BAR;
    if (fabs(peer->share_change) >= 0.0005)
        snprintf(row[PEER_CHANGE].text, SK_TABLE_CELL_MAX, "%+.1f", peer->share_change * 100);
}

/* "4.2 MB/s ±0.3"; nothing where it is unknown. */
static void set_interval(const struct sk_report_text *text, const struct sk_rate *rate,
                         struct sk_table_cell *cell)
{
    char middle[SK_UNITS_MAX], error[SK_UNITS_MAX];
    double half = fmax(rate->high - rate->rate, rate->rate - rate->low);
    if (isnan(rate->rate))
        return;
    sk_units_rate(rate->rate, middle);
    if (isfinite(half))
        snprintf(cell->text, SK_TABLE_CELL_MAX, "%8s %s%s", middle, text->screen->utf8 ? "±" : "+-",
                 sk_units_rate_error(rate->rate, half, error));
    else
        snprintf(cell->text, SK_TABLE_CELL_MAX, "%8s", middle);
}

/* A peer that never let us ask has a rate, but nobody knows it. */
static void set_rate(const struct sk_report_text *text, const struct sk_report_peer *peer,
                     struct sk_table_cell *cell)
{
    char bytes[SK_UNITS_MAX];
    set_interval(text, &peer->delivered, cell);
    if (cell->text[0])
        return;
    if (peer->delivered_bytes)
        snprintf(cell->text, SK_TABLE_CELL_MAX, "%8s",
                 sk_units_bytes((double)peer->delivered_bytes, bytes));
    else if (!peer->has_share || peer->pieces) {
        snprintf(cell->text, SK_TABLE_CELL_MAX, " unknown");
        cell->ink = SK_INK_DIM;
    }
}

/* "410 ms": the first time; "3.3 s x2" when it choked us in between. */
static void set_unchoked(const struct sk_report_text *text, const struct sk_report_peer *peer,
                         struct sk_table_cell *cell)
{
    char after[SK_UNITS_MAX];
    if (peer->unchokes == 0 && peer->outcome == SK_OUTCOME_CHOKED) {
        snprintf(cell->text, SK_TABLE_CELL_MAX, "never");
        cell->ink = SK_INK_WARN;
    } else if (peer->unchokes == 1) {
        snprintf(cell->text, SK_TABLE_CELL_MAX, "%s",
                 sk_units_duration(peer->unchoked_after_s, after));
    } else if (peer->unchokes) {
        snprintf(cell->text, SK_TABLE_CELL_MAX, "%s %s%u",
                 sk_units_duration(peer->unchoked_after_s, after), text->screen->utf8 ? "×" : "x",
                 peer->unchokes);
    }
}

/* Verified ones, and how many were corrupt. */
static void set_blocks(const struct sk_report_text *text, const struct sk_report_peer *peer,
                       struct sk_table_cell *cell)
{
    if (peer->blocks_corrupt) {
        snprintf(cell->text, SK_TABLE_CELL_MAX, "%u %s%u", peer->blocks_verified,
                 bad_mark(text->screen), peer->blocks_corrupt);
        cell->ink = SK_INK_BAD;
    } else if (peer->blocks_verified || peer->blocks_unverified) {
        snprintf(cell->text, SK_TABLE_CELL_MAX, "%u", peer->blocks_verified);
    }
}

static enum sk_ink state_ink(const struct sk_report_peer *peer)
{
    if (peer->outcome == SK_OUTCOME_SERVED)
        return peer->blocks_corrupt ? SK_INK_BAD : SK_INK_GOOD;
    return peer->outcome == SK_OUTCOME_CHOKED ? SK_INK_WARN : SK_INK_PLAIN;
}

static void set_peer(const struct sk_report_text *text, const struct sk_report_peer *peer,
                     struct sk_table_cell *row)
{
    char address[SK_ENDPOINT_TEXT_MAX], *letter = row[PEER_SOURCES].text;
    snprintf(row[PEER_ADDRESS].text, SK_TABLE_CELL_MAX, "%s",
             sk_anonymizer_endpoint(text->style->anonymizer, &peer->endpoint, address));
    snprintf(row[PEER_CLIENT].text, SK_TABLE_CELL_MAX, "%s", peer->client);
    set_holdings(text, peer, row);
    set_rate(text, peer, &row[PEER_RATE]);
    set_interval(text, &peer->capacity, &row[PEER_CAPACITY]);
    if (!isnan(peer->upload.rate))
        sk_units_rate(peer->upload.rate, row[PEER_UPLOAD].text);
    if (!isnan(peer->download.rate))
        sk_units_rate(peer->download.rate, row[PEER_DOWNLOAD].text);
    if (!isnan(peer->rtt_s))
        sk_units_duration(peer->rtt_s, row[PEER_RTT].text);
    set_unchoked(text, peer, &row[PEER_UNCHOKED]);
    set_blocks(text, peer, &row[PEER_BLOCKS]);
    for (unsigned i = 0; i < SK_SOURCE_COUNT; i++)
        if (peer->sources & (1u << i))
            *letter++ = SOURCE_LETTERS[i];
    const char *state = sk_peer_outcome_name(peer->outcome);
    snprintf(row[PEER_STATE].text, SK_TABLE_CELL_MAX, "%s", state);
    row[PEER_STATE].ink = state_ink(peer);
    if (peer->reason && strcmp(peer->reason, state) != 0)
        snprintf(row[PEER_REASON].text, SK_TABLE_CELL_MAX, "%s", peer->reason);
}

/* Lower is more interesting: who delivers what is wrong, who serves, who could. */
static int tier(const struct sk_report_peer *peer)
{
    return peer->blocks_corrupt ? 0 : peer->outcome == SK_OUTCOME_SERVED ? 1 : 2;
}

struct ranked {
    const struct sk_report_peer *peer;
    size_t place; /* in the report */
};

static int compare_place(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    return left->place < right->place ? -1 : left->place > right->place;
}

static int compare_interest(const void *a, const void *b)
{
    const struct sk_report_peer *left = ((const struct ranked *)a)->peer;
    const struct sk_report_peer *right = ((const struct ranked *)b)->peer;
    int by_tier = tier(left) - tier(right);
    if (by_tier)
        return by_tier;
    double left_rate = isnan(left->delivered.rate) ? 0 : left->delivered.rate;
    double right_rate = isnan(right->delivered.rate) ? 0 : right->delivered.rate;
    if (left_rate != right_rate)
        return left_rate > right_rate ? -1 : 1;
    return compare_place(a, b);
}

/* The connected peers, those that are shown first and in the report's order. Owned by the caller.
 */
static int choose(const struct sk_report_text *text, struct ranked **ret_ranked, size_t *ret_count,
                  size_t *ret_shown)
{
    const struct sk_report_peer **peers = NULL;
    size_t count = 0;
    int err = sk_report_order(text->report, text->style, &peers);
    if (err)
        return err;
    struct ranked *ranked = sk_mem_calloc(text->report->peers_count + 1, sizeof *ranked);
    for (size_t i = 0; i < text->report->peers_count && ranked; i++)
        if (sk_peer_outcome_connected(peers[i]->outcome))
            ranked[count++] = (struct ranked){peers[i], i};
    sk_mem_free(peers);
    if (!ranked)
        return SKEP_ERR_NOMEM;
    *ret_ranked = ranked;
    *ret_count = *ret_shown = count;
    if (count > SK_REPORT_PEERS_ALL) {
        *ret_shown = SK_REPORT_PEERS_SOME;
        qsort(ranked, count, sizeof *ranked, compare_interest);
        qsort(ranked, *ret_shown, sizeof *ranked, compare_place);
    }
    return 0;
}

/* "... and 960 more (--format=csv lists all): 500 served, 300 choked, 160 idle" */
static void put_rest(const struct sk_report_text *text, const struct ranked *rest, size_t count)
{
    char line[512];
    uint32_t counts[SK_OUTCOME_COUNT] = {0};
    const char *comma = ": ";
    if (!count)
        return;
    for (size_t i = 0; i < count; i++)
        counts[rest[i].peer->outcome]++;
    size_t n =
        (size_t)snprintf(line, sizeof line, "... and %zu more (--format=csv lists all)", count);
    for (int i = 0; i < SK_OUTCOME_COUNT; i++) {
        if (!counts[i])
            continue;
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%u %s", comma, counts[i],
                              sk_peer_outcome_name((enum sk_peer_outcome)i));
        comma = ", ";
    }
    sk_ink_wrap(text->screen, SK_INK_DIM, line, 0, text->out);
}

/* "via: T tracker, P pex", of the sources that are there. */
static void list_letters(unsigned sources, char *ret_text, size_t size)
{
    size_t n = 0;
    ret_text[0] = 0;
    for (unsigned i = 0; i < SK_SOURCE_COUNT; i++)
        if (sources & (1u << i))
            n += (size_t)snprintf(ret_text + n, size - n, "%s%c %s",
                                  n ? ", " : "via: ", SOURCE_LETTERS[i], sk_source_name(i));
}

/* Explains the columns that were written, as far as they need it. */
static void put_legend(const struct sk_report_text *text, const struct ranked *ranked, size_t shown,
                       unsigned columns)
{
    char line[400], letters[128], corrupted[48];
    size_t n = 0;
    unsigned sources = 0;
    bool corrupt = false;
    for (size_t i = 0; i < shown; i++) {
        sources |= ranked[i].peer->sources;
        corrupt = corrupt || ranked[i].peer->blocks_corrupt;
    }
    list_letters(sources, letters, sizeof letters);
    snprintf(corrupted, sizeof corrupted, "blocks: verified %scorrupt", bad_mark(text->screen));
    const struct {
        unsigned column;
        const char *text;
    } notes[] = {
        {PEER_CHANGE, "gain: % of the pieces"},
        {PEER_UNCHOKED, "unchoked: how long after we asked"},
        {PEER_SOURCES, letters},
        {PEER_BLOCKS, corrupt ? corrupted : ""},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(notes); i++)
        if (notes[i].text[0] && columns & (1u << notes[i].column))
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", n ? "; " : "", notes[i].text);
    if (n)
        sk_ink_wrap(text->screen, SK_INK_DIM, line, 0, text->out);
}

int sk_report_write_peers(const struct sk_report_text *text)
{
    struct ranked *ranked = NULL;
    size_t count = 0, shown = 0;
    int err = choose(text, &ranked, &count, &shown);
    if (err || !count) {
        sk_mem_free(ranked);
        return err;
    }
    struct sk_table_cell *cells = sk_mem_calloc(shown * PEER_COLUMNS, sizeof *cells);
    if (cells) {
        for (size_t i = 0; i < shown; i++)
            set_peer(text, ranked[i].peer, cells + i * PEER_COLUMNS);
        sk_buf_text(text->out, "\n");
        unsigned columns =
            sk_table_write(text->screen, peer_columns, PEER_COLUMNS, cells, shown, text->out);
        put_rest(text, ranked + shown, count - shown);
        put_legend(text, ranked, shown, columns);
    }
    sk_mem_free(cells);
    sk_mem_free(ranked);
    return cells ? 0 : SKEP_ERR_NOMEM;
}
