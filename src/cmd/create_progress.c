#include "cmd/create_progress.h"

#include "base/assert.h"
#include "base/text.h"
#include "cmd/terminal.h"
#include "cmd/units.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define SHOW_MAX (16u << 10)
#define BAR_WIDTH 20

void sk_create_progress_init(struct sk_create_progress *progress, const struct sk_options *options,
                             const char *name)
{
    struct sk_screen screen;
    bool terminal = sk_terminal_look(STDERR_FILENO, &screen);
    *progress = (struct sk_create_progress){.name = name, .started_ns = uv_hrtime()};
    progress->mode = sk_options_progress(options, terminal);
    if (progress->mode == SK_PROGRESS_PLAIN) /* what is short needs no lines */
        progress->next_s = SK_LIVE_PLAIN_S;
}

static double elapsed_s(const struct sk_create_progress *progress)
{
    return (double)(uv_hrtime() - progress->started_ns) / 1e9;
}

/* "51.2% of 4.2 GiB, 874 MB/s, 3 s to go" */
static void describe(const struct sk_hashing_progress *state, double rate_bytes_s, char *ret_text,
                     size_t size)
{
    char share[SK_UNITS_MAX], total[SK_UNITS_MAX], rate[SK_UNITS_MAX], rest[SK_UNITS_MAX];
    double rest_s = ceil((double)(state->bytes_total - state->bytes) / rate_bytes_s);
    /* whole seconds: digits that race by say nothing */
    sk_units_duration(rest_s, rest);
    if (rest_s < 10)
        snprintf(rest, sizeof rest, "%.0f s", SK_MAX(rest_s, 1));
    snprintf(ret_text, size, "%s of %s, %s, %s to go",
             sk_units_share((double)state->bytes / (double)state->bytes_total, share),
             sk_units_bytes((double)state->bytes_total, total), sk_units_rate(rate_bytes_s, rate),
             rest);
}

static void draw_line(struct sk_create_progress *progress, const struct sk_hashing_progress *state,
                      double rate_bytes_s, struct sk_buf *out)
{
    char name[512], fitted[512], line[160], bar[4 * BAR_WIDTH + 1];
    struct sk_screen screen;
    struct sk_buf text;
    sk_terminal_look(STDERR_FILENO, &screen);
    struct sk_screen narrow = screen;
    narrow.columns -= narrow.columns > 1; /* the last column makes some terminals wrap */
    describe(state, rate_bytes_s, line, sizeof line);
    sk_text_escape(sk_bytes_text(progress->name), name, sizeof name);
    unsigned used = sk_ink_width(line) + BAR_WIDTH + 4;
    sk_buf_init(&text, SHOW_MAX);
    if (narrow.columns > used) {
        sk_ink_fit(&narrow, name, narrow.columns - used, SK_INK_CUT_MIDDLE, fitted, sizeof fitted);
        sk_ink_put(&narrow, SK_INK_BOLD, fitted, &text);
        sk_ink_bar(&narrow, (double)state->bytes / (double)state->bytes_total, BAR_WIDTH, bar,
                   sizeof bar);
        sk_ink_spaces(2, &text);
        sk_ink_put(&narrow, SK_INK_BAR, bar, &text);
        sk_ink_spaces(BAR_WIDTH - sk_ink_width(bar) + 2, &text);
    }
    sk_ink_fit(&narrow, line, narrow.columns, SK_INK_CUT_END, fitted, sizeof fitted);
    sk_buf_text(&text, fitted);
    sk_buf_text(&text, "\n");
    if (!text.failed)
        sk_frame_draw(&progress->frame, sk_buf_bytes(&text), screen.columns, out);
    sk_buf_deinit(&text);
}

static void write_out(struct sk_buf *out)
{
    if (out->n)
        fwrite(out->p, 1, out->n, stderr);
    sk_buf_deinit(out);
}

void sk_create_progress_draw(struct sk_create_progress *progress,
                             const struct sk_hashing_progress *state)
{
    static const double intervals[] = {
        [SK_PROGRESS_TTY] = SK_LIVE_TTY_S,
        [SK_PROGRESS_PLAIN] = SK_LIVE_PLAIN_S,
        [SK_PROGRESS_JSON] = SK_LIVE_JSON_S,
    };
    double now_s = elapsed_s(progress), rate_bytes_s = (double)state->bytes / now_s;
    char line[160];
    struct sk_buf out;
    if (progress->mode == SK_PROGRESS_NONE || now_s < progress->next_s)
        return;
    progress->next_s = now_s + intervals[progress->mode];
    sk_buf_init(&out, SHOW_MAX);
    if (progress->mode == SK_PROGRESS_TTY) {
        draw_line(progress, state, rate_bytes_s, &out);
    } else if (progress->mode == SK_PROGRESS_PLAIN) {
        describe(state, rate_bytes_s, line, sizeof line);
        sk_buf_printf(&out, "skep: %s\n", line);
    } else {
        sk_buf_printf(&out,
                      "{\"type\":\"progress\",\"elapsed_s\":%.3f,\"bytes\":%llu,"
                      "\"bytes_total\":%llu,\"rate_bytes_s\":%.0f}\n",
                      now_s, (unsigned long long)state->bytes,
                      (unsigned long long)state->bytes_total, rate_bytes_s);
    }
    write_out(&out);
}

double sk_create_progress_end(struct sk_create_progress *progress)
{
    struct sk_buf out;
    sk_buf_init(&out, SHOW_MAX);
    sk_frame_clear(&progress->frame, &out);
    write_out(&out);
    return elapsed_s(progress);
}
