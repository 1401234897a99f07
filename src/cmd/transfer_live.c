/* What a transfer looks like while it runs: a few lines on a terminal, a line now and then, or JSON
 * Lines. */
#include "cmd/transfer.h"

#include "base/mem.h"
#include "base/text.h"
#include "cmd/frame.h"
#include "cmd/live.h"
#include "cmd/terminal.h"
#include "cmd/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_COLUMNS 22
#define BAR_COLUMNS 12
#define RATE_S 1.0 /* over which rates are told */
#define TEXT_MAX 256

struct rate {
    uint64_t bytes_before, before_ns;
    double bytes_s;
};

struct sk_transfer_live {
    enum sk_progress mode;
    struct sk_screen screen;
    struct sk_frame frame;
    double next_s;
    struct rate *down, *up; /* by torrent */
    size_t count;
};

struct sk_transfer_live *sk_transfer_live_new(const struct sk_options *options)
{
    struct sk_screen screen;
    bool terminal = sk_terminal_look(STDERR_FILENO, &screen);
    enum sk_progress mode = sk_options_progress(options, terminal);
    struct sk_transfer_live *live =
        mode == SK_PROGRESS_NONE ? NULL : sk_mem_calloc(1, sizeof *live);
    if (!live)
        return NULL;
    live->mode = mode;
    live->screen = screen;
    if (mode == SK_PROGRESS_PLAIN) /* what is short needs no lines */
        live->next_s = SK_LIVE_PLAIN_S;
    return live;
}

void sk_transfer_live_free(struct sk_transfer_live *live)
{
    if (!live)
        return;
    sk_mem_free(live->down);
    sk_mem_free(live->up);
    sk_mem_free(live);
}

static double rate_of(struct rate *rate, uint64_t bytes, uint64_t now_ns)
{
    double span_s = (double)(now_ns - rate->before_ns) / 1e9;
    if (!rate->before_ns) {
        *rate = (struct rate){.bytes_before = bytes, .before_ns = now_ns};
    } else if (span_s >= RATE_S) {
        rate->bytes_s = (double)(bytes - rate->bytes_before) / span_s;
        rate->bytes_before = bytes;
        rate->before_ns = now_ns;
    }
    return rate->bytes_s;
}

/* One torrent as it stands. */
struct row {
    const struct sk_transfer_torrent *t;
    struct sk_downloader_status status;
    double share; /* of what is wanted */
    double down_bytes_s, up_bytes_s;
    double left_s; /* < 0: unknown */
    char name[TEXT_MAX];
};

static double share_of(const struct sk_transfer_torrent *t, const struct sk_picker_counts *counts)
{
    struct sk_hashing_progress progress = {0};
    if (t->stage == SK_TRANSFER_CHECKING) {
        sk_hashing_wait(t->hashing, 0, &progress);
        return progress.bytes_total ? (double)progress.bytes / (double)progress.bytes_total : 0;
    }
    if (t->stage == SK_TRANSFER_ALLOCATING) {
        uint64_t bytes;
        int error;
        const char *path;
        (void)sk_allocation_look(t->allocation, &bytes, &error, &path);
        return t->allocation_bytes ? (double)bytes / (double)t->allocation_bytes : 0;
    }
    if (!counts->bytes_wanted)
        return t->stage > SK_TRANSFER_DOWNLOADING;
    return (double)counts->bytes_have / (double)counts->bytes_wanted;
}

static void look(struct sk_transfer_live *live, const struct sk_transfer *transfer, size_t i,
                 uint64_t now_ns, struct row *ret_row)
{
    const struct sk_transfer_torrent *t = &transfer->torrents[i];
    *ret_row = (struct row){.t = t, .left_s = -1};
    sk_downloader_status(t->downloader, &ret_row->status);
    const struct sk_picker_counts *counts = &ret_row->status.counts;
    ret_row->share = share_of(t, counts);
    ret_row->down_bytes_s = rate_of(&live->down[i], ret_row->status.received_bytes, now_ns);
    ret_row->up_bytes_s = rate_of(&live->up[i], t->given_bytes, now_ns);
    uint64_t left = counts->bytes_wanted - counts->bytes_have;
    if (t->stage == SK_TRANSFER_DOWNLOADING && ret_row->down_bytes_s > 0)
        ret_row->left_s = (double)left / ret_row->down_bytes_s;
    sk_text_escape(sk_bytes_text(sk_transfer_name(t)), ret_row->name, sizeof ret_row->name);
}

/* Why nothing moves, or what it does; "" where the figures say it. */
static const char *say_stage(const struct row *row, char ret_text[2 * SK_TRANSFER_TEXT_MAX])
{
    switch (row->t->stage) {
    case SK_TRANSFER_CHECKING:
        return "checking what is here";
    case SK_TRANSFER_ALLOCATING:
        return "reserving room on the disk";
    case SK_TRANSFER_SEEDING:
        return "seeding";
    case SK_TRANSFER_ENDED:
        return "done";
    case SK_TRANSFER_FAILED:
        return "failed";
    case SK_TRANSFER_METADATA:
        if (row->status.peers)
            return "asking for the metadata";
        break;
    case SK_TRANSFER_HASHES:
        if (row->status.peers)
            return "asking for the hashes of its pieces";
        break;
    case SK_TRANSFER_DOWNLOADING:
        break;
    }
    if (row->down_bytes_s > 0)
        return "";
    return !row->t->opened && skep_torrent_untried(row->t->torrent)
               ? "connecting"
               : sk_transfer_why(row->t, ret_text);
}

/* "29.2%  22 MB/s  3 peers  12 s left": what there is to be said, the most important first. */
static void describe(const struct row *row, char *ret_line, size_t size)
{
    char share[SK_UNITS_MAX], rate[SK_UNITS_MAX], left[SK_UNITS_MAX], why[2 * SK_TRANSFER_TEXT_MAX];
    const char *stage = say_stage(row, why);
    int n = snprintf(ret_line, size, "%6s", sk_units_share(row->share, share));
    if (row->down_bytes_s > 0)
        n += snprintf(ret_line + n, size - (size_t)n, "  %s",
                      sk_units_rate(row->down_bytes_s, rate));
    if (row->up_bytes_s > 0)
        n += snprintf(ret_line + n, size - (size_t)n, "  up %s",
                      sk_units_rate(row->up_bytes_s, rate));
    if (row->left_s >= 0 && row->down_bytes_s > 0)
        n += snprintf(ret_line + n, size - (size_t)n, "  %s left",
                      sk_units_duration(ceil(row->left_s), left));
    else if (*stage)
        n += snprintf(ret_line + n, size - (size_t)n, "  %s", stage);
    if (row->status.peers)
        n += snprintf(ret_line + n, size - (size_t)n, "  %u peer%s", row->status.peers,
                      row->status.peers == 1 ? "" : "s");
    if (row->status.web_seeds && row->t->stage == SK_TRANSFER_DOWNLOADING)
        snprintf(ret_line + n, size - (size_t)n, "  %u web seed%s", row->status.web_seeds,
                 row->status.web_seeds == 1 ? "" : "s");
}

static void put_row(const struct sk_screen *screen, const struct row *row, struct sk_buf *out)
{
    char name[TEXT_MAX], bar[TEXT_MAX], line[TEXT_MAX + 2 * SK_TRANSFER_TEXT_MAX],
        safe[2 * sizeof line], fitted[2 * sizeof line];
    sk_ink_fit(screen, row->name, NAME_COLUMNS, SK_INK_CUT_MIDDLE, name, sizeof name);
    sk_ink_bar(screen, row->share, BAR_COLUMNS, bar, sizeof bar);
    describe(row, line, sizeof line);
    sk_text_escape(sk_bytes_text(line), safe, sizeof safe);
    sk_buf_text(out, name);
    sk_ink_spaces(NAME_COLUMNS + 1 - sk_ink_width(name), out);
    sk_ink_put(screen, SK_INK_BAR, bar, out);
    sk_ink_spaces(BAR_COLUMNS + 1 - sk_ink_width(bar), out);
    unsigned used = NAME_COLUMNS + 1 + BAR_COLUMNS + 1 + 1; /* the last column makes some wrap */
    sk_buf_text(out, sk_ink_fit(screen, safe, screen->columns > used ? screen->columns - used : 1,
                                SK_INK_CUT_END, fitted, sizeof fitted));
    sk_buf_text(out, "\n");
}

static void put_plain(const struct row *row, struct sk_buf *out)
{
    char line[TEXT_MAX + 2 * SK_TRANSFER_TEXT_MAX], safe[2 * sizeof line];
    describe(row, line, sizeof line);
    sk_text_escape(sk_bytes_text(line + strspn(line, " ")), safe, sizeof safe);
    sk_buf_printf(out, "skep: %s: %s\n", row->name, safe);
}

static void put_json(const struct row *row, struct sk_buf *out)
{
    const struct sk_picker_counts *counts = &row->status.counts;
    sk_buf_printf(out,
                  "{\"type\":\"progress\",\"info_hash\":\"%s\",\"stage\":\"%s\",\"share\":%.6f,"
                  "\"bytes\":%llu,\"bytes_total\":%llu,\"down_bytes_s\":%.0f,\"up_bytes_s\":%.0f,"
                  "\"given_bytes\":%llu,\"wasted_bytes\":%llu,\"peers\":%u,\"unchoked\":%u,"
                  "\"web_seeds\":%u}\n",
                  row->t->hex, sk_transfer_stages[row->t->stage], row->share,
                  (unsigned long long)counts->bytes_have, (unsigned long long)counts->bytes_wanted,
                  row->down_bytes_s, row->up_bytes_s, (unsigned long long)row->t->given_bytes,
                  (unsigned long long)row->status.wasted_bytes, row->status.peers,
                  row->status.unchoked, row->status.web_seeds);
}

static bool make_room(struct sk_transfer_live *live, size_t count)
{
    if (live->count == count)
        return true;
    live->down = sk_mem_calloc(count, sizeof *live->down);
    live->up = sk_mem_calloc(count, sizeof *live->up);
    live->count = live->down && live->up ? count : 0;
    return live->count == count;
}

void sk_transfer_live_draw(struct sk_transfer_live *live, const struct sk_transfer *transfer,
                           uint64_t now_ns)
{
    static const double every_s[] = {[SK_PROGRESS_TTY] = 0.2,
                                     [SK_PROGRESS_PLAIN] = SK_LIVE_PLAIN_S,
                                     [SK_PROGRESS_JSON] = SK_LIVE_JSON_S};
    if (!live || !make_room(live, transfer->count))
        return;
    double elapsed_s = (double)(now_ns - transfer->started_ns) / 1e9;
    if (elapsed_s < live->next_s)
        return;
    live->next_s = elapsed_s + every_s[live->mode];
    struct sk_buf text, out;
    sk_buf_init(&text, 256 << 10);
    sk_buf_init(&out, 512 << 10);
    sk_terminal_look(STDERR_FILENO, &live->screen);
    for (size_t i = 0; i < transfer->count; i++) {
        struct row row;
        look(live, transfer, i, now_ns, &row);
        if (live->mode == SK_PROGRESS_TTY)
            put_row(&live->screen, &row, &text);
        else if (live->mode == SK_PROGRESS_PLAIN)
            put_plain(&row, &out);
        else
            put_json(&row, &out);
    }
    if (live->mode == SK_PROGRESS_TTY)
        sk_frame_draw(&live->frame, sk_buf_bytes(&text), live->screen.columns, &out);
    if (out.n && !out.failed)
        fwrite(out.p, 1, out.n, stderr);
    sk_buf_deinit(&text);
    sk_buf_deinit(&out);
}

void sk_transfer_live_clear(struct sk_transfer_live *live)
{
    struct sk_buf out;
    if (!live || live->mode != SK_PROGRESS_TTY)
        return;
    sk_buf_init(&out, 64 << 10);
    sk_frame_clear(&live->frame, &out);
    live->next_s = 0;
    if (out.n)
        fwrite(out.p, 1, out.n, stderr);
    sk_buf_deinit(&out);
}
