/* The live display, on a small terminal of our own that shows what really stands on the screen. */
#include "cmd/live.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define GRID_ROWS 60
#define GRID_COLUMNS 240

/* Understands what the display uses: text, \r, \n, CSI A, K, J and colours. Wide characters take
 * two cells, the second of which holds a space. */
struct terminal {
    uint32_t cells[GRID_ROWS][GRID_COLUMNS];
    unsigned columns, rows, x, y, scrolled;
};

static void terminal_line_feed(struct terminal *terminal)
{
    terminal->x = 0;
    if (++terminal->y < terminal->rows)
        return;
    terminal->y--;
    terminal->scrolled++;
    memmove(terminal->cells[0], terminal->cells[1], sizeof terminal->cells[0] * (GRID_ROWS - 1));
    memset(terminal->cells[terminal->y], 0, sizeof terminal->cells[0]);
}

static size_t terminal_escape(struct terminal *terminal, const uint8_t *p)
{
    size_t n = 2;
    assert_int_equal('[', p[1]);
    unsigned number = (unsigned)strtoul((const char *)p + 2, NULL, 10);
    while (p[n] < 0x40)
        n++;
    if (p[n] == 'A') {
        terminal->y -= SK_MIN(terminal->y, SK_MAX(number, 1u));
    } else if (p[n] == 'K' || p[n] == 'J') {
        memset(terminal->cells[terminal->y] + terminal->x, 0,
               sizeof(uint32_t) * (GRID_COLUMNS - terminal->x));
        for (unsigned y = terminal->y + 1; p[n] == 'J' && y < GRID_ROWS; y++)
            memset(terminal->cells[y], 0, sizeof terminal->cells[y]);
    } else {
        assert_int_equal('m', p[n]);
    }
    return n + 1;
}

static void terminal_write(struct terminal *terminal, struct sk_buf *out)
{
    sk_buf_append(out, "", 1);
    for (size_t i = 0; i < out->n - 1;) {
        uint32_t c;
        size_t n = sk_text_decode(sk_bytes(out->p + i, out->n - i), &c);
        assert_true(n > 0);
        if (c == 0x1b) {
            n = terminal_escape(terminal, out->p + i);
        } else if (c == '\n') {
            terminal_line_feed(terminal);
        } else if (c == '\r') {
            terminal->x = 0;
        } else {
            char text[5] = "";
            memcpy(text, out->p + i, n);
            unsigned width = sk_ink_width(text);
            /* nothing may ever reach the last column: some terminals wrap there */
            assert_true(terminal->x + width < terminal->columns);
            terminal->cells[terminal->y][terminal->x] = c;
            if (width == 2)
                terminal->cells[terminal->y][terminal->x + 1] = ' ';
            terminal->x += width;
        }
        i += n;
    }
    sk_buf_deinit(out);
}

/* As ASCII, '#' for others, without spaces at the end. */
static const char *terminal_row(const struct terminal *terminal, unsigned y)
{
    static char row[GRID_COLUMNS + 1];
    size_t n = 0;
    for (unsigned x = 0; x < GRID_COLUMNS; x++) {
        uint32_t c = terminal->cells[y][x];
        row[x] = (char)(!c ? ' ' : c < 0x80 ? (char)c : '#');
        n = row[x] != ' ' ? x + 1 : n;
    }
    row[n] = 0;
    return row;
}

static struct sk_live_peer peers[30];

static struct sk_live_state make_state(double elapsed_s, size_t peers_count)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(peers); i++) {
        peers[i] = (struct sk_live_peer){.share = (double)i / 29,
                                         .rate_bytes_s = i == 1 ? NAN : 1e6 * (double)(i + 1),
                                         .done = 0.5};
        snprintf(peers[i].address, sizeof peers[i].address, "192.0.2.%zu:6881", i);
        snprintf(peers[i].client, sizeof peers[i].client, "%s",
                 i == 2 ? "迅雷 Xunlei" : "Transmission 4.0.5");
    }
    return (struct sk_live_state){.elapsed_s = elapsed_s,
                                  .limit_s = 60,
                                  .name = "a swarm",
                                  .known = 47,
                                  .connected = 31,
                                  .measured = 12,
                                  .failed = 9,
                                  .untried = 7,
                                  .seeds = 20,
                                  .leechers = 1,
                                  .sources = {40, 22, 0, 0, 0, 3},
                                  .delivered_bytes = 8u << 20,
                                  .rate_bytes_s = 4.2e6,
                                  .draws_old = 37,
                                  .draws_wanted = 120,
                                  .peers = peers,
                                  .peers_count = peers_count};
}

static void render(struct sk_live *live, const struct sk_live_state *state,
                   const struct sk_screen *screen, struct sk_buf *out)
{
    sk_buf_init(out, 1u << 20);
    assert_int_equal(0, sk_live_render(live, state, screen, out));
}

static void draw(struct sk_live *live, double elapsed_s, size_t peers_count,
                 struct terminal *terminal)
{
    const struct sk_live_state state = make_state(elapsed_s, peers_count);
    const struct sk_screen screen = {
        .columns = terminal->columns, .rows = terminal->rows, .colour = true, .utf8 = true};
    struct sk_buf out;
    render(live, &state, &screen, &out);
    assert_true(out.n > 0);
    terminal_write(terminal, &out);
}

static void test_frame(void **state)
{
    struct terminal terminal = {.columns = 80, .rows = 24};
    struct sk_live live;
    sk_live_init(&live, SK_PROGRESS_TTY, &(struct sk_screen){0});
    draw(&live, 12.7, 3, &terminal);
    assert_string_equal(
        "a swarm                                                           12 s of 1 min",
        terminal_row(&terminal, 0));
    assert_string_equal(
        "47 known, 31 connected (20 seeds, 1 leecher), 12 measured, 9 failed, 7 to go",
        terminal_row(&terminal, 1));
    assert_string_equal(
        "4.2 MB/s, 8.0 MiB taken; nothing new in 37 of 120 addresses; from tracker 40, #",
        terminal_row(&terminal, 2));
    assert_string_equal("PROBING         CLIENT              HOLDS      RATE  PROBE",
                        terminal_row(&terminal, 3));
    assert_string_equal("192.0.2.0:6881  Transmission 4.0.5     0%  1.0 MB/s  #####",
                        terminal_row(&terminal, 4));
    assert_string_equal("192.0.2.1:6881  Transmission 4.0.5   3.4%    choked  #####",
                        terminal_row(&terminal, 5));
    assert_string_equal("192.0.2.2:6881  # #  Xunlei          6.8%  3.0 MB/s  #####",
                        terminal_row(&terminal, 6));
    assert_int_equal(7, terminal.y);
    assert_int_equal(0, terminal.x);
}

/* That all sources tell what is known already does not end an audit that waits for a probe. */
static void test_nothing_new_for_long(void **state)
{
    struct terminal terminal = {.columns = 120, .rows = 24};
    struct sk_live live;
    struct sk_buf out;
    const struct sk_screen screen = {.columns = 120, .rows = 24};
    struct sk_live_state now = make_state(12, 0);
    now.draws_old = 345;
    sk_live_init(&live, SK_PROGRESS_TTY, &screen);
    render(&live, &now, &screen, &out);
    terminal_write(&terminal, &out);
    assert_string_equal("4.2 MB/s, 8.0 MiB taken; nothing new in 345 addresses; from tracker 40, "
                        "pex 22, incoming 3",
                        terminal_row(&terminal, 2));
}

/* Frames take each other's place: what was above stays, nothing is left of larger ones before. */
static void test_in_place(void **state)
{
    static const size_t counts[] = {3, 12, 30, 1, 0, 7, 2};
    struct terminal terminal = {.columns = 80, .rows = 24, .y = 5};
    struct sk_live live;
    struct sk_buf out;
    terminal.cells[4][0] = '$';
    sk_live_init(&live, SK_PROGRESS_TTY, &(struct sk_screen){0});
    for (size_t i = 0; i < SK_ARRAY_LEN(counts); i++) {
        draw(&live, (double)i, counts[i], &terminal);
        size_t shown = SK_MIN(counts[i], (size_t)SK_LIVE_PEERS_MAX);
        unsigned lines = 3 + (shown ? 1 + (unsigned)shown : 0);
        assert_string_equal("$", terminal_row(&terminal, 4));
        assert_int_equal('a', terminal_row(&terminal, 5)[0]);
        assert_string_not_equal("", terminal_row(&terminal, 5 + lines - 1));
        for (unsigned y = 5 + lines; y < GRID_ROWS; y++)
            assert_string_equal("", terminal_row(&terminal, y));
        assert_int_equal(5 + lines, terminal.y);
    }
    sk_buf_init(&out, 1000);
    sk_live_clear(&live, &out);
    terminal_write(&terminal, &out);
    assert_int_equal(5, terminal.y);
    for (unsigned y = 5; y < GRID_ROWS; y++)
        assert_string_equal("", terminal_row(&terminal, y));
    sk_buf_init(&out, 1000);
    sk_live_clear(&live, &out); /* once is enough */
    assert_int_equal(0, out.n);
    draw(&live, 6.01, 2, &terminal); /* the next frame is due at once */
    assert_string_equal("$", terminal_row(&terminal, 4));
    assert_int_equal(0, terminal.scrolled);
}

/* At the bottom the first frame makes its room; after that nothing scrolls, whatever the size. */
static void test_never_scrolls(void **state)
{
    for (unsigned rows = 1; rows <= 30; rows++) {
        struct terminal terminal = {.columns = 20 + 5 * rows, .rows = rows, .y = rows - 1};
        struct sk_live live;
        sk_live_init(&live, SK_PROGRESS_TTY, &(struct sk_screen){0});
        draw(&live, 0, 30, &terminal);
        unsigned scrolled = terminal.scrolled;
        assert_true(rows == 1 || scrolled < rows);
        for (int i = 1; i < 5; i++)
            draw(&live, i, 30, &terminal);
        assert_true(rows == 1 || terminal.scrolled == scrolled);
    }
}

/* A terminal that became narrower has broken each line in two: both are taken away. */
static void test_narrower(void **state)
{
    struct sk_live live;
    struct sk_screen screen = {.columns = 100, .rows = 24, .utf8 = true};
    struct sk_live_state shown = make_state(0, 0);
    struct sk_buf out;
    sk_live_init(&live, SK_PROGRESS_TTY, &screen);
    render(&live, &shown, NULL, &out);
    assert_int_equal(3, live.frame.lines); /* 99, 76 and 95 columns or so */
    sk_buf_deinit(&out);
    shown.elapsed_s = 1;
    screen.columns = 60;
    render(&live, &shown, &screen, &out);
    sk_buf_append(&out, "", 1);
    assert_int_equal(0, strncmp((char *)out.p, "\r\x1b[6A", 5)); /* three lines that are six now */
    sk_buf_deinit(&out);
}

static void test_intervals(void **state)
{
    static const struct {
        enum sk_progress mode;
        int outputs; /* within 10 s, asked every 50 ms */
    } cases[] = {{SK_PROGRESS_NONE, 0}, {SK_PROGRESS_PLAIN, 2}, {SK_PROGRESS_JSON, 10}};
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_live live;
        int outputs = 0;
        sk_live_init(&live, cases[i].mode, &(struct sk_screen){.columns = 80});
        for (int tick = 0; tick < 200; tick++) {
            const struct sk_live_state now = make_state(tick / 20.0, 1);
            struct sk_buf out;
            render(&live, &now, NULL, &out);
            outputs += out.n > 0;
            if (out.n) { /* whole lines without control codes */
                assert_int_equal('\n', out.p[out.n - 1]);
                assert_ptr_equal(out.p + out.n - 1, memchr(out.p, '\n', out.n));
                assert_null(memchr(out.p, 0x1b, out.n));
            }
            sk_buf_deinit(&out);
        }
        assert_int_equal(cases[i].outputs, outputs);
    }
}

static void test_plain(void **state)
{
    const struct sk_live_state now = make_state(12, 2);
    struct sk_live live;
    struct sk_buf out;
    sk_live_init(&live, SK_PROGRESS_PLAIN, &(struct sk_screen){0});
    render(&live, &now, NULL, &out);
    sk_buf_append(&out, "", 1);
    assert_string_equal("skep: 12 s: 47 known, 31 connected, 12 measured, 9 failed, 7 to go; "
                        "4.2 MB/s, 8.0 MiB taken; from tracker 40, pex 22, incoming 3\n",
                        (char *)out.p);
    sk_buf_deinit(&out);
}

static void test_json(void **state)
{
    struct sk_live_state now = make_state(12.0625, 30);
    struct sk_live live;
    struct sk_buf out;
    now.limit_s = NAN;
    sk_live_init(&live, SK_PROGRESS_JSON, &(struct sk_screen){0});
    render(&live, &now, NULL, &out);
    json_t *line = json_loadb((const char *)out.p, out.n, 0, NULL);
    assert_non_null(line);
    assert_string_equal("progress", json_string_value(json_object_get(line, "type")));
    assert_true(json_real_value(json_object_get(line, "elapsed_s")) == 12.063);
    assert_true(json_is_null(json_object_get(line, "limit_s")));
    assert_int_equal(31, json_integer_value(json_object_get(line, "connected")));
    assert_int_equal(8 << 20, json_integer_value(json_object_get(line, "delivered_bytes")));
    assert_int_equal(22,
                     json_integer_value(json_object_get(json_object_get(line, "sources"), "pex")));
    json_t *probing = json_object_get(line, "probing");
    assert_int_equal(SK_LIVE_PEERS_MAX, json_array_size(probing));
    assert_string_equal("192.0.2.0:6881",
                        json_string_value(json_object_get(json_array_get(probing, 0), "address")));
    assert_true(json_is_null(json_object_get(json_array_get(probing, 1), "rate_bytes_s")));
    json_decref(line);
    sk_buf_deinit(&out);
}

/* Threat: escape sequences in a torrent's name. */
static void test_hostile_name(void **state)
{
    struct terminal terminal = {.columns = 60, .rows = 10};
    const struct sk_screen screen = {.columns = 60, .rows = 10, .utf8 = true};
    struct sk_live_state now = make_state(1, 0);
    struct sk_live live;
    struct sk_buf out;
    now.name = "\x1b[2J\x1b[9A\n\xff\xe2\x80\xae";
    sk_live_init(&live, SK_PROGRESS_TTY, &screen);
    render(&live, &now, NULL, &out);
    terminal_write(&terminal, &out);
    assert_int_equal(
        0, strncmp("\\x1b[2J\\x1b[9A\\x0a\\xff\\u{202e}", terminal_row(&terminal, 0), 30));
    assert_int_equal(3, terminal.y);
}

static void test_without_memory(void **state)
{
    const struct sk_screen screen = {.columns = 100, .rows = 24, .utf8 = true, .colour = true};
    for (enum sk_progress mode = SK_PROGRESS_TTY; mode <= SK_PROGRESS_JSON; mode++) {
        size_t allocations = 1;
        for (size_t nth = 0; nth <= allocations; nth++) {
            const struct sk_live_state now = make_state(1, 5);
            struct sk_live live;
            struct sk_buf out;
            sk_live_init(&live, mode, &screen);
            sk_buf_init(&out, 1u << 20);
            sk_mem_fail_nth(nth);
            int err = sk_live_render(&live, &now, NULL, &out);
            size_t made = sk_mem_fail_nth(0);
            if (nth == 0)
                allocations = made;
            assert_int_equal(nth ? SKEP_ERR_NOMEM : 0, err);
            sk_buf_deinit(&out);
        }
        assert_true(allocations > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_nothing_new_for_long),
        cmocka_unit_test(test_never_scrolls),
        cmocka_unit_test(test_narrower),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_hostile_name),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
