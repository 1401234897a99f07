#include "cmd/live.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/table.h"
#include "cmd/units.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define NAME_MAX_BYTES 512
#define BAR_WIDTH 10

void sk_live_init(struct sk_live *live, enum sk_progress mode, const struct sk_screen *screen)
{
    *live = (struct sk_live){.mode = mode, .screen = *screen};
}

/* "tracker 40, pex 22" */
static void list_sources(const struct sk_live_state *state, char *ret_text, size_t size)
{
    size_t n = 0;
    ret_text[0] = 0;
    for (unsigned i = 0; i < SK_SOURCE_COUNT; i++)
        if (state->sources[i] && n < size)
            n += (size_t)snprintf(ret_text + n, size - n, "%s%s %u", n ? ", " : "",
                                  sk_source_name(i), state->sources[i]);
}

/* A line of the frame: cut, because a line that wraps would spoil the count of lines. */
static void put_line(const struct sk_screen *screen, enum sk_ink ink, const char *text,
                     struct sk_buf *frame)
{
    char fitted[1024];
    sk_ink_fit(screen, text, screen->columns, SK_INK_CUT_END, fitted, sizeof fitted);
    sk_ink_put(screen, ink, fitted, frame);
    sk_buf_text(frame, "\n");
}

static void put_title(const struct sk_screen *screen, const struct sk_live_state *state,
                      struct sk_buf *frame)
{
    char name[NAME_MAX_BYTES], fitted[NAME_MAX_BYTES], time[2 * SK_UNITS_MAX + 8],
        elapsed[SK_UNITS_MAX], limit[SK_UNITS_MAX];
    sk_text_escape(sk_bytes_text(state->name ? state->name : "looking for the metadata"), name,
                   sizeof name);
    /* whole seconds: digits that race by say nothing */
    sk_units_duration(floor(state->elapsed_s), elapsed);
    if (state->elapsed_s < 10)
        snprintf(elapsed, sizeof elapsed, "%.0f s", floor(state->elapsed_s));
    snprintf(time, sizeof time, "%s%s%s", elapsed, isnan(state->limit_s) ? "" : " of ",
             isnan(state->limit_s) ? "" : sk_units_duration(state->limit_s, limit));
    unsigned time_width = sk_ink_width(time);
    unsigned room = screen->columns > time_width + 2 ? screen->columns - time_width - 2 : 0;
    sk_ink_fit(screen, name, room, SK_INK_CUT_MIDDLE, fitted, sizeof fitted);
    sk_ink_put(screen, SK_INK_BOLD, fitted, frame);
    if (room) {
        sk_ink_spaces(room - sk_ink_width(fitted) + 2, frame);
        sk_ink_put(screen, SK_INK_DIM, time, frame);
    }
    sk_buf_text(frame, "\n");
}

static void put_counts(const struct sk_screen *screen, const struct sk_live_state *state,
                       struct sk_buf *frame)
{
    char line[512], sources[160], rate[SK_UNITS_MAX], bytes[SK_UNITS_MAX];
    snprintf(line, sizeof line,
             "%u known, %u connected (%u seed%s, %u leecher%s), %u measured, %u failed, %u to go",
             state->known, state->connected, state->seeds, state->seeds == 1 ? "" : "s",
             state->leechers, state->leechers == 1 ? "" : "s", state->measured, state->failed,
             state->untried);
    put_line(screen, SK_INK_PLAIN, line, frame);
    list_sources(state, sources, sizeof sources);
    size_t n = (size_t)snprintf(line, sizeof line, "%s, %s taken",
                                sk_units_rate(state->rate_bytes_s, rate),
                                sk_units_bytes((double)state->delivered_bytes, bytes));
    if (state->draws_old < state->draws_wanted)
        n += (size_t)snprintf(line + n, sizeof line - n, "; nothing new in %u of %u addresses",
                              state->draws_old, state->draws_wanted);
    else if (state->draws_wanted) /* other things are awaited yet */
        n += (size_t)snprintf(line + n, sizeof line - n, "; nothing new in %u addresses",
                              state->draws_old);
    if (sources[0])
        snprintf(line + n, sizeof line - n, "; from %s", sources);
    put_line(screen, SK_INK_DIM, line, frame);
}

enum { LIVE_ADDRESS, LIVE_CLIENT, LIVE_SHARE, LIVE_RATE, LIVE_DONE };
static const struct sk_table_column live_columns[] = {
    [LIVE_ADDRESS] = {"PROBING", 0, 21, false, SK_INK_CUT_MIDDLE},
    [LIVE_CLIENT] = {"CLIENT", 2, 12, false, SK_INK_CUT_END},
    [LIVE_SHARE] = {"HOLDS", 1, 0, true, SK_INK_CUT_END},
    [LIVE_RATE] = {"RATE", 0, 0, true, SK_INK_CUT_END},
    [LIVE_DONE] = {"PROBE", 3, 0, false, SK_INK_CUT_END},
};
#define LIVE_COLUMNS SK_ARRAY_LEN(live_columns)

static int put_peers(const struct sk_screen *screen, const struct sk_live_state *state,
                     size_t shown, struct sk_buf *frame)
{
    struct sk_table_cell *cells = sk_mem_calloc(shown * LIVE_COLUMNS, sizeof *cells);
    if (!cells)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < shown; i++) {
        const struct sk_live_peer *peer = &state->peers[i];
        struct sk_table_cell *row = cells + i * LIVE_COLUMNS;
        snprintf(row[LIVE_ADDRESS].text, SK_TABLE_CELL_MAX, "%s", peer->address);
        snprintf(row[LIVE_CLIENT].text, SK_TABLE_CELL_MAX, "%s", peer->client);
        sk_units_share(peer->share, row[LIVE_SHARE].text);
        if (isnan(peer->rate_bytes_s)) {
            snprintf(row[LIVE_RATE].text, SK_TABLE_CELL_MAX, "choked");
            row[LIVE_RATE].ink = SK_INK_WARN;
        } else {
            sk_units_rate(peer->rate_bytes_s, row[LIVE_RATE].text);
        }
        sk_ink_bar(screen, peer->done, BAR_WIDTH, row[LIVE_DONE].text, SK_TABLE_CELL_MAX);
        row[LIVE_DONE].ink = SK_INK_BAR;
    }
    sk_table_write(screen, live_columns, LIVE_COLUMNS, cells, shown, frame);
    sk_mem_free(cells);
    return 0;
}

/* As many lines as fit above the one in which the cursor rests. */
static int draw(const struct sk_screen *screen, const struct sk_live_state *state,
                struct sk_buf *frame)
{
    unsigned most = SK_MIN(screen->rows > 1 ? screen->rows - 1 : 1, SK_LIVE_LINES_MAX);
    put_title(screen, state, frame);
    if (most >= 3)
        put_counts(screen, state, frame);
    if (most < 5 || !state->peers_count)
        return 0;
    size_t room = SK_MIN(most - 4, SK_LIVE_PEERS_MAX);
    return put_peers(screen, state, SK_MIN(room, state->peers_count), frame);
}

static int render_tty(struct sk_live *live, const struct sk_live_state *state, struct sk_buf *out)
{
    struct sk_buf text;
    struct sk_screen narrow = live->screen;
    narrow.columns -= narrow.columns > 1; /* the last column makes some terminals wrap */
    sk_buf_init(&text, 64 * 1024);
    int err = draw(&narrow, state, &text);
    if (!err && !text.failed)
        sk_frame_draw(&live->frame, sk_buf_bytes(&text), live->screen.columns, out);
    if (!err && (text.failed || out->failed))
        err = SKEP_ERR_NOMEM;
    sk_buf_deinit(&text);
    return err;
}

static int render_plain(const struct sk_live_state *state, struct sk_buf *out)
{
    char sources[160], elapsed[SK_UNITS_MAX], rate[SK_UNITS_MAX], bytes[SK_UNITS_MAX];
    list_sources(state, sources, sizeof sources);
    return sk_buf_printf(out,
                         "skep: %s: %u known, %u connected, %u measured, %u failed, %u to go; "
                         "%s, %s taken%s%s\n",
                         sk_units_duration(state->elapsed_s, elapsed), state->known,
                         state->connected, state->measured, state->failed, state->untried,
                         sk_units_rate(state->rate_bytes_s, rate),
                         sk_units_bytes((double)state->delivered_bytes, bytes),
                         sources[0] ? "; from " : "", sources)
               ? SKEP_ERR_NOMEM
               : 0;
}

static json_t *real_or_null(double real)
{
    return isfinite(real) ? json_real(round(real * 1000) / 1000) : json_null();
}

static json_t *json_peers(const struct sk_live_state *state)
{
    json_t *peers = json_array();
    for (size_t i = 0; i < state->peers_count && i < SK_LIVE_PEERS_MAX; i++)
        json_array_append_new(peers,
                              json_pack("{s:s, s:o, s:o, s:o}", "address", state->peers[i].address,
                                        "share", real_or_null(state->peers[i].share),
                                        "rate_bytes_s", real_or_null(state->peers[i].rate_bytes_s),
                                        "done", real_or_null(state->peers[i].done)));
    return peers;
}

static int render_json(const struct sk_live_state *state, struct sk_buf *out)
{
    json_t *sources = json_object();
    for (unsigned i = 0; i < SK_SOURCE_COUNT; i++)
        json_object_set_new(sources, sk_source_name(i), json_integer(state->sources[i]));
    json_t *line = json_pack(
        "{s:s, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:I, s:o, s:i, s:i, s:o}", "type",
        "progress", "elapsed_s", real_or_null(state->elapsed_s), "limit_s",
        real_or_null(state->limit_s), "known", (int)state->known, "connected",
        (int)state->connected, "measured", (int)state->measured, "failed", (int)state->failed,
        "untried", (int)state->untried, "seeds", (int)state->seeds, "leechers",
        (int)state->leechers, "sources", sources, "delivered_bytes",
        (json_int_t)state->delivered_bytes, "rate_bytes_s", real_or_null(state->rate_bytes_s),
        "draws_old", (int)state->draws_old, "draws_wanted", (int)state->draws_wanted, "probing",
        json_peers(state));
    char *text =
        line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15)) : NULL;
    int err = !text || sk_buf_text(out, text) || sk_buf_text(out, "\n") ? SKEP_ERR_NOMEM : 0;
    free(text);
    json_decref(line);
    return err;
}

int sk_live_render(struct sk_live *live, const struct sk_live_state *state,
                   const struct sk_screen *screen, struct sk_buf *out)
{
    static const double intervals[] = {
        [SK_PROGRESS_TTY] = SK_LIVE_TTY_S,
        [SK_PROGRESS_PLAIN] = SK_LIVE_PLAIN_S,
        [SK_PROGRESS_JSON] = SK_LIVE_JSON_S,
    };
    if (live->mode == SK_PROGRESS_NONE || state->elapsed_s < live->next_s)
        return 0;
    live->next_s = state->elapsed_s + intervals[live->mode];
    if (screen)
        live->screen = *screen;
    if (live->mode == SK_PROGRESS_PLAIN)
        return render_plain(state, out);
    if (live->mode == SK_PROGRESS_JSON)
        return render_json(state, out);
    return render_tty(live, state, out);
}

void sk_live_clear(struct sk_live *live, struct sk_buf *out)
{
    if (live->mode != SK_PROGRESS_TTY)
        return;
    sk_frame_clear(&live->frame, out);
    live->next_s = 0;
}
