#include "cmd/tracker_live.h"

#include "cmd/terminal.h"
#include "cmd/units.h"

#include <stdio.h>
#include <unistd.h>

#define PLAIN_S 60.0 /* a tracker runs for months */
#define RATE_S 5.0   /* over which announces a second are counted */
#define SHOW_MAX 4096

void sk_tracker_live_init(struct sk_tracker_live *live, const struct sk_options *options)
{
    struct sk_screen screen;
    bool terminal = sk_terminal_look(STDERR_FILENO, &screen);
    *live = (struct sk_tracker_live){.mode = sk_options_progress(options, terminal)};
    if (live->mode == SK_PROGRESS_PLAIN)
        live->next_s = PLAIN_S;
}

static void count(struct sk_tracker_live *live, const struct sk_tracker_state *state)
{
    double span_s = state->elapsed_s - live->counted_s;
    if (span_s < (live->announces ? RATE_S : 1))
        return;
    live->rate = (double)(state->announces - live->announces) / span_s;
    live->announces = state->announces;
    live->counted_s = state->elapsed_s;
}

/* "12 torrents, 34 seeds, 1,056 leechers; 7.8 announces/s, 12,345 recorded, 67 passed over" */
static void describe(const struct sk_tracker_live *live, const struct sk_tracker_state *state,
                     char *ret_text, size_t size)
{
    char torrents[SK_UNITS_MAX], seeds[SK_UNITS_MAX], leechers[SK_UNITS_MAX], all[SK_UNITS_MAX];
    uint64_t passed_over = state->recording ? state->passed_over : 0;
    int n =
        snprintf(ret_text, size, "%s torrent%s, %s seed%s, %s leecher%s; %.1f announces/s, %s %s",
                 sk_units_count(state->torrents, torrents), state->torrents == 1 ? "" : "s",
                 sk_units_count(state->seeds, seeds), state->seeds == 1 ? "" : "s",
                 sk_units_count(state->leechers, leechers), state->leechers == 1 ? "" : "s",
                 live->rate, sk_units_count(state->announces - passed_over, all),
                 state->recording ? "recorded" : "in all");
    if (passed_over)
        snprintf(ret_text + n, size - (size_t)n, ", %s passed over",
                 sk_units_count(passed_over, all));
}

static void draw_line(struct sk_tracker_live *live, const char *line, struct sk_buf *out)
{
    char fitted[512];
    struct sk_screen screen;
    sk_terminal_look(STDERR_FILENO, &screen);
    /* the last column makes some terminals wrap */
    sk_ink_fit(&screen, line, screen.columns - (screen.columns > 1), SK_INK_CUT_END, fitted,
               sizeof fitted - 1);
    strcat(fitted, "\n");
    sk_frame_draw(&live->frame, sk_bytes_text(fitted), screen.columns, out);
}

static void write_out(struct sk_buf *out)
{
    if (out->n)
        fwrite(out->p, 1, out->n, stderr);
    sk_buf_deinit(out);
}

void sk_tracker_live_draw(struct sk_tracker_live *live, const struct sk_tracker_state *state)
{
    static const double intervals[] = {
        [SK_PROGRESS_TTY] = SK_LIVE_TTY_S,
        [SK_PROGRESS_PLAIN] = PLAIN_S,
        [SK_PROGRESS_JSON] = SK_LIVE_JSON_S,
    };
    char line[256];
    struct sk_buf out;
    if (live->mode == SK_PROGRESS_NONE || state->elapsed_s < live->next_s)
        return;
    live->next_s = state->elapsed_s + intervals[live->mode];
    count(live, state);
    describe(live, state, line, sizeof line);
    sk_buf_init(&out, SHOW_MAX);
    if (live->mode == SK_PROGRESS_TTY)
        draw_line(live, line, &out);
    else if (live->mode == SK_PROGRESS_PLAIN)
        sk_buf_printf(&out, "skep: %s\n", line);
    else
        sk_buf_printf(&out,
                      "{\"type\":\"progress\",\"elapsed_s\":%.3f,\"torrents\":%zu,\"seeds\":%zu,"
                      "\"leechers\":%zu,\"announces\":%llu,\"announces_s\":%.1f}\n",
                      state->elapsed_s, state->torrents, state->seeds, state->leechers,
                      (unsigned long long)state->announces, live->rate);
    write_out(&out);
}

void sk_tracker_live_clear(struct sk_tracker_live *live)
{
    struct sk_buf out;
    sk_buf_init(&out, SHOW_MAX);
    sk_frame_clear(&live->frame, &out);
    live->next_s = live->mode == SK_PROGRESS_TTY ? 0 : live->next_s;
    write_out(&out);
}
