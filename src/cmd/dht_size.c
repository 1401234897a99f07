/* skep dht size: about how many nodes the network has, and how sure that is. */
#include "base/assert.h"
#include "cmd/dht.h"
#include "cmd/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_PRECISION = 3000 };

struct size {
    struct sk_dht_session session;
    double precision;                   /* 0: the engine's default */
    struct skep_dht_size_result result; /* as far as it is known */
};

static void on_size(const struct skep_dht_event *event, void *ctx)
{
    struct size *size = ctx;
    if (event->size)
        size->result = *event->size;
    if (event->kind != SKEP_DHT_DONE)
        return;
    if (event->error)
        sk_dht_session_fail(&size->session, event->error, event->reason);
    else
        sk_dht_session_end(&size->session, SK_EXIT_DONE);
}

static void begin(void *ctx)
{
    struct size *size = ctx;
    struct sk_dht_session *session = &size->session;
    session->family = sk_dht_session_family(session);
    const struct skep_dht_size start = {.family = session->family,
                                        .precision = size->precision,
                                        .rate = sk_dht_session_rate(session)};
    uint64_t id;
    int err = skep_dht_start_size(session->engine, &start, on_size, size, &id);
    if (err)
        sk_dht_session_fail(session, err, NULL);
}

/* Three digits are as much as an estimate has. */
static uint64_t rounded(double count)
{
    if (!(count >= 1))
        return 0;
    double unit = pow(10, fmax(floor(log10(count)) - 2, 0));
    return (uint64_t)(round(count / unit) * unit);
}

static bool is_known(const struct size *size)
{
    return isfinite(size->result.estimate);
}

static void show(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                 struct sk_buf *out)
{
    const struct size *size = ctx;
    const struct skep_dht_size_result *result = &size->result;
    char number[SK_UNITS_MAX], low[SK_UNITS_MAX], high[SK_UNITS_MAX], lookups[64];
    if (how == SK_PROGRESS_JSON) {
        sk_buf_printf(out, "{\"type\":\"progress\",\"lookups\":%llu",
                      (unsigned long long)result->lookups);
        if (is_known(size))
            sk_buf_printf(out, ",\"estimate\":%.0f,\"low\":%.0f,\"high\":%.0f", result->estimate,
                          result->low, result->high);
        sk_buf_text(out, "}\n");
        return;
    }
    sk_buf_printf(out, "%s%s", how == SK_PROGRESS_PLAIN ? "skep: " : "",
                  sk_dht_count(result->lookups, "lookup", lookups));
    if (is_known(size))
        sk_buf_printf(out, "; about %s nodes so far, %s to %s",
                      sk_units_count(rounded(result->estimate), number),
                      sk_units_count(rounded(result->low), low),
                      sk_units_count(rounded(result->high), high));
    sk_buf_text(out, "\n");
}

static int print_json(struct size *size)
{
    struct sk_dht_session *session = &size->session;
    const struct skep_dht_size_result *result = &size->result;
    return sk_dht_json_print(
        session,
        json_pack("{s:i, s:b, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o}", "family",
                  (int)session->family, "complete", (int)(session->stop == SK_DHT_ENDED),
                  "estimate", sk_dht_json_real(round(result->estimate)), "low",
                  sk_dht_json_real(round(result->low)), "high",
                  sk_dht_json_real(round(result->high)), "unseen", sk_dht_json_real(result->unseen),
                  "lookups", (json_int_t)result->lookups, "nodes_seen",
                  (json_int_t)result->nodes_seen, "id_fits", (json_int_t)result->id_fits, "queries",
                  (json_int_t)result->queries, "method", sk_dht_json_text(result->method)));
}

static int print_text(struct size *size)
{
    struct sk_dht_session *session = &size->session;
    const struct skep_dht_size_result *result = &size->result;
    char number[SK_UNITS_MAX], low[SK_UNITS_MAX], high[SK_UNITS_MAX], lookups[64];
    FILE *to = sk_dht_stdout(session);
    if (!is_known(size))
        return SK_EXIT_DONE;
    fprintf(to, "about %s nodes (IPv%u); 95 %% sure that it is %s to %s\n",
            sk_units_count(rounded(result->estimate), number), session->family,
            sk_units_count(rounded(result->low), low), sk_units_count(rounded(result->high), high));
    if (isfinite(result->unseen))
        fprintf(to, "%s of them were not met: inferred from how few tell of some that were\n",
                sk_units_share(result->unseen, number));
    if (result->nodes_seen)
        fprintf(to, "%s of the %s met have an id that follows from their address (BEP 42)\n",
                sk_units_share((double)result->id_fits / (double)result->nodes_seen, number),
                sk_dht_count(result->nodes_seen, "node", lookups));
    sk_dht_say(session, "from %s, by the %s", sk_dht_count(result->lookups, "lookup", lookups),
               result->method);
    return sk_dht_flush(session);
}

static int finish(void *ctx, int code)
{
    struct size *size = ctx;
    struct sk_dht_session *session = &size->session;
    if (code != SK_EXIT_DONE && code != SK_EXIT_PARTIAL)
        return code;
    session->family = sk_dht_session_family(session);
    int failed = session->options.format == SK_FORMAT_JSON ? print_json(size) : print_text(size);
    return failed ? failed : code;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct size *size = state->input;
    uint32_t percent;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&size->session, state);
    case KEY_PRECISION:
        sk_dht_expect(sk_parse_count(arg, 50, &percent) && percent, "--precision", arg,
                      "per cent, 1 to 50");
        size->precision = percent / 100.0;
        return 0;
    case ARGP_KEY_ARG:
        sk_complain("dht size: it takes no argument, and got '%.80s'", arg);
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"precision", KEY_PRECISION, "PERCENT", 0,
     "go on until it is within so much, 95 times of 100 (default 3)", 1},
    {0},
};
static const struct argp_child children[] = {{&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .doc = "Estimates how many nodes the network has, from how near those are that answer for "
           "random ids.\v"
           "Exit codes: 0 done; 2 wrong usage; 4 nobody to ask, or nobody answered; 5 "
           "interrupted, or time ran out, with what is known by then.",
    .children = children,
};

int sk_cmd_dht_size(int argc, char **argv)
{
    struct size size = {.session = {.name = "size",
                                    .formats = SK_DHT_TEXT_JSON,
                                    .unfinished = "before the estimate was as precise as wanted",
                                    .show = show,
                                    .finish = finish},
                        .result = {.estimate = NAN, .low = NAN, .high = NAN, .unseen = NAN}};
    return sk_dht_session_main(&size.session, &argp, argc, argv, begin, &size);
}
