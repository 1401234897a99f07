/* skep dht announce: that somebody on this host has a torrent. skep dht scrape: how many have. */
#include "base/assert.h"
#include "base/prng.h"
#include "cmd/dht.h"
#include "cmd/units.h"
#include "wire/krpc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Nodes forget an announce after half an hour or so. Not all at the same moment. */
#define AGAIN_MIN_S (15 * 60.0)
#define AGAIN_MAX_S (25 * 60.0)
#define RETRY_S (2 * 60.0) /* no node took it */

enum { KEY_PORT = 3000, KEY_SEED, KEY_KEEP };

struct torrent {
    struct sk_dht_session session;
    const char *target;
    struct sk_target_hash hash;
    /* announce */
    uint32_t port; /* 0: not given */
    bool seed, keep;
    struct sk_prng prng;
    bool told; /* that it is announced */
    bool under_way;
    uint32_t stored; /* nodes that took the last one */
    double again_s;  /* with keep: when it is announced again; 0 before the first */
};

static int prepare(void *ctx)
{
    struct torrent *torrent = ctx;
    sk_prng_init(&torrent->prng, torrent->session.seed);
    return sk_dht_target(&torrent->session, torrent->target, &torrent->hash);
}

static void start(struct torrent *torrent, const struct skep_dht_search *search, skep_dht_fn fn)
{
    struct sk_dht_session *session = &torrent->session;
    uint64_t id;
    sk_dht_trace_target(&session->trace, torrent->hash.bytes);
    int err = skep_dht_start_search(session->engine, search, fn, torrent, &id);
    if (err)
        sk_dht_session_fail(session, err, NULL);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct torrent *torrent = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&torrent->session, state);
    case KEY_PORT:
        sk_dht_expect(sk_parse_count(arg, 65535, &torrent->port) && torrent->port, "--port", arg,
                      "a port, 1 to 65535");
        return 0;
    case KEY_SEED:
        torrent->seed = true;
        return 0;
    case KEY_KEEP:
        torrent->keep = torrent->session.stays = true;
        return 0;
    case ARGP_KEY_ARG:
        sk_dht_one_argument(&torrent->session, &torrent->target, arg, "TARGET");
        return 0;
    case ARGP_KEY_END:
        sk_dht_want_argument(&torrent->session, torrent->target, "a TARGET");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- announce ---- */

static json_t *stored_value(const struct sk_dht_session *session,
                            const struct skep_dht_result *result)
{
    if (!result->closest)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < result->closest_count; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:i, s:b, s:o}", "address",
                            sk_dht_json_address(session, result->closest[i].address), "distance",
                            (int)result->closest[i].distance, "stored",
                            (int)result->closest[i].stored, "error",
                            result->closest[i].refused ? json_integer(result->closest[i].refused)
                                                       : json_null()));
    return list;
}

static int print_announce(struct torrent *torrent, const struct skep_dht_result *result)
{
    struct sk_dht_session *session = &torrent->session;
    char hex[41], count[64];
    sk_hex_encode(torrent->hash.bytes, 20, hex);
    if (session->options.format == SK_FORMAT_JSON)
        return sk_dht_json_print(
            session,
            json_pack("{s:s, s:i, s:b, s:i, s:o, s:o}", "target", hex, "port", (int)torrent->port,
                      "seed", (int)torrent->seed, "stored", (int)result->stored, "search",
                      sk_dht_json_search(result), "closest", stored_value(session, result)));
    if (result->stored)
        fprintf(sk_dht_stdout(session), "announced port %u under %s at %s\n", torrent->port, hex,
                sk_dht_count(result->stored, "node", count));
    return sk_dht_flush(session);
}

static void explain_refusal(struct torrent *torrent, const struct skep_dht_result *result)
{
    sk_dht_stdout(&torrent->session);
    sk_complain("no node took the announce (%u asked, %u answered, %u refused)%s", result->asked,
                result->answered, result->refused + result->store_refused,
                torrent->keep ? "; tried again" : "");
}

static void announce_done(struct torrent *torrent, const struct skep_dht_result *result)
{
    struct sk_dht_session *session = &torrent->session;
    int code = print_announce(torrent, result);
    if (!code && !result->stored) {
        explain_refusal(torrent, result);
        code = SK_EXIT_NETWORK;
    }
    sk_dht_session_end(session, code);
}

/* One of many: what is new is told. */
static void keep_done(struct torrent *torrent, const struct skep_dht_result *result)
{
    struct sk_dht_session *session = &torrent->session;
    char count[64];
    uint32_t before = torrent->stored;
    double again = RETRY_S;
    torrent->stored = result->stored;
    if (!result->stored) {
        if (before || !torrent->again_s)
            explain_refusal(torrent, result);
    } else if (!torrent->told) {
        torrent->told = true;
        int code = print_announce(torrent, result);
        if (code)
            sk_dht_session_end(session, code);
        else
            sk_dht_say(session,
                       "it is announced again every %.0f to %.0f minutes until this ends (Ctrl-C)",
                       AGAIN_MIN_S / 60, AGAIN_MAX_S / 60);
    } else if (result->stored != before) {
        sk_dht_say(session, "announced at %s", sk_dht_count(result->stored, "node", count));
    }
    if (result->stored)
        again = AGAIN_MIN_S + sk_prng_unit(&torrent->prng) * (AGAIN_MAX_S - AGAIN_MIN_S);
    torrent->again_s = sk_dht_session_seconds(session) + again;
    torrent->under_way = false;
}

static void on_announce(const struct skep_dht_event *event, void *ctx)
{
    struct torrent *torrent = ctx;
    bool wanted = sk_dht_session_event(&torrent->session, event);
    if (!wanted || event->kind != SKEP_DHT_DONE)
        return;
    if (event->error)
        sk_dht_session_fail(&torrent->session, event->error, event->reason);
    else if (torrent->keep)
        keep_done(torrent, event->result);
    else
        announce_done(torrent, event->result);
}

static void begin_announce(void *ctx)
{
    struct torrent *torrent = ctx;
    const struct skep_dht_search search = {.method = SKEP_DHT_GET_PEERS,
                                           .target = torrent->hash.bytes,
                                           .family = torrent->session.family,
                                           .announce = true,
                                           .port = (uint16_t)torrent->port,
                                           .seed = torrent->seed};
    torrent->under_way = true;
    start(torrent, &search, on_announce);
}

static void on_tick_announce(void *ctx)
{
    struct torrent *torrent = ctx;
    if (torrent->keep && !torrent->under_way &&
        sk_dht_session_seconds(&torrent->session) >= torrent->again_s)
        begin_announce(torrent);
}

static void show_announce(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                          struct sk_buf *out)
{
    const struct torrent *torrent = ctx;
    double wait = SK_MAX(torrent->again_s - sk_dht_session_seconds(&torrent->session), 0.0);
    char count[64], time[SK_UNITS_MAX];
    if (how == SK_PROGRESS_JSON)
        sk_buf_printf(out, "{\"type\":\"progress\",\"what\":\"%s\",\"stored\":%u}\n",
                      torrent->under_way ? "announcing" : "keeping", torrent->stored);
    else if (how == SK_PROGRESS_TTY && torrent->under_way)
        sk_buf_text(out, "announcing\n");
    else if (how == SK_PROGRESS_TTY && torrent->keep)
        sk_buf_printf(out, "announced at %s; again in %s\n",
                      sk_dht_count(torrent->stored, "node", count), sk_units_duration(wait, time));
}

/* What is kept is meant to be interrupted. */
static int finish_announce(void *ctx, int code)
{
    struct torrent *torrent = ctx;
    if (code != SK_EXIT_PARTIAL)
        return code;
    if (torrent->told)
        return SK_EXIT_DONE;
    struct skep_dht_result so_far = sk_dht_session_so_far(&torrent->session);
    int failed = print_announce(torrent, &so_far);
    return failed ? failed : code;
}

static int check_announce(void *ctx)
{
    struct torrent *torrent = ctx;
    if (torrent->port)
        return SK_EXIT_DONE;
    sk_complain("dht announce: --port=N is missing: where on this host the peer listens");
    return SK_EXIT_USAGE;
}

static const struct argp_option announce_options[] = {
    {"port", KEY_PORT, "N", 0, "the port on which the peer listens (needed)", 1},
    {"seed", KEY_SEED, NULL, 0, "it has the whole torrent", 1},
    {"keep", KEY_KEEP, NULL, 0, "stay, and announce it again every 15 to 25 minutes", 1},
    {0},
};
static const struct argp_child announce_children[] = {
    {&sk_dht_trace_argp, 0, NULL, 0}, {&sk_dht_portless_argp, 0, NULL, 0}, {0}};
static const struct argp announce_argp = {
    .options = announce_options,
    .parser = parse,
    .args_doc = "TARGET",
    .doc = "Tells the nodes closest to a torrent's info-hash that a peer on this host has it.\v"
           "A TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, the "
           "http(s) address of a .torrent file, or - for standard input. Nodes forget it after "
           "half an hour or so; --keep renews it.\n\n"
           "Exit codes: 0 some node took it; 2 wrong usage; 4 none did, or nobody to ask; 5 "
           "interrupted, or time ran out; 6 the torrent is broken.",
    .children = announce_children,
};

int sk_cmd_dht_announce(int argc, char **argv)
{
    struct torrent torrent = {.session = {.name = "announce",
                                          .formats = SK_DHT_TEXT_JSON,
                                          .unfinished = "before the closest nodes had it",
                                          .check = check_announce,
                                          .prepare = prepare,
                                          .show = show_announce,
                                          .on_tick = on_tick_announce,
                                          .finish = finish_announce}};
    return sk_dht_session_main(&torrent.session, &announce_argp, argc, argv, begin_announce,
                               &torrent);
}

/* ---- scrape ---- */

#define FILTER_COUNT_MAX                                                                           \
    6000 /* beyond, a filter of 256 bytes is too full to count with (BEP 33)                       \
          */

/*
 * How far a count from a Bloom filter may be off, 95 times of 100. With m bits, k of them set for
 * each address, n addresses and t = kn/m the standard deviation is sqrt(m(e^t - t - 1))/k.
 */
static double filter_error(double n)
{
    const double m = 8 * SK_KRPC_FILTER_SIZE, k = 2;
    double t = k * n / m;
    return 1.96 * sqrt(m * (exp(t) - t - 1)) / k;
}

static void print_count(FILE *to, const char *what, double count)
{
    char number[SK_UNITS_MAX], error[SK_UNITS_MAX];
    if (count > FILTER_COUNT_MAX)
        fprintf(to, "%s more than %s\n", what, sk_units_count(FILTER_COUNT_MAX, number));
    else
        fprintf(to, "%s %s, give or take %s\n", what,
                sk_units_count((uint64_t)llround(count), number),
                sk_units_count((uint64_t)ceil(filter_error(count)), error));
}

static json_t *count_value(double count)
{
    double error = filter_error(count);
    if (!(count >= 0))
        return json_null();
    if (count > FILTER_COUNT_MAX)
        return json_pack("{s:n, s:f, s:n}", "estimate", "low", (double)FILTER_COUNT_MAX, "high");
    return json_pack("{s:f, s:f, s:f}", "estimate", round(count * 10) / 10, "low",
                     floor(fmax(count - error, 0)), "high", ceil(count + error));
}

static int print_scrape(struct torrent *torrent, const struct skep_dht_result *result)
{
    struct sk_dht_session *session = &torrent->session;
    char count[64];
    if (session->options.format == SK_FORMAT_JSON)
        return sk_dht_json_print(session, json_pack("{s:o, s:o, s:o, s:i, s:o}", "target",
                                                    sk_dht_json_hex(torrent->hash.bytes, 20),
                                                    "seeds", count_value(result->seeds), "leechers",
                                                    count_value(result->peers), "nodes",
                                                    (int)result->scrape_nodes, "search",
                                                    sk_dht_json_search(result)));
    if (!result->scrape_nodes)
        return SK_EXIT_DONE;
    FILE *to = sk_dht_stdout(session);
    print_count(to, "seeds    ", result->seeds);
    print_count(to, "leechers ", result->peers);
    fprintf(to, "told by   %s\n", sk_dht_count(result->scrape_nodes, "node", count));
    sk_dht_say(session, "estimates, from Bloom filters (BEP 33): within that 95 times of 100");
    return sk_dht_flush(session);
}

static void on_scrape(const struct skep_dht_event *event, void *ctx)
{
    struct torrent *torrent = ctx;
    struct sk_dht_session *session = &torrent->session;
    bool wanted = sk_dht_session_event(session, event);
    if (!wanted || event->kind != SKEP_DHT_DONE)
        return;
    if (event->error) {
        sk_dht_session_fail(session, event->error, event->reason);
        return;
    }
    const struct skep_dht_result *result = event->result;
    int code = print_scrape(torrent, result);
    if (!code && !result->answered) {
        sk_complain("no node answered (%u asked)", result->asked);
        code = SK_EXIT_NETWORK;
    } else if (!code && !result->scrape_nodes) {
        sk_complain("none of the %u nodes that answered counts peers of it (BEP 33)",
                    result->answered);
        code = SK_EXIT_NOTHING;
    }
    sk_dht_session_end(session, code);
}

static int finish_scrape(void *ctx, int code)
{
    struct torrent *torrent = ctx;
    struct sk_dht_session *session = &torrent->session;
    if (code != SK_EXIT_PARTIAL || session->options.format != SK_FORMAT_JSON)
        return code;
    struct skep_dht_result so_far = sk_dht_session_so_far(session);
    int failed = print_scrape(torrent, &so_far);
    return failed ? failed : code;
}

static void begin_scrape(void *ctx)
{
    struct torrent *torrent = ctx;
    const struct skep_dht_search search = {.method = SKEP_DHT_GET_PEERS,
                                           .target = torrent->hash.bytes,
                                           .family = torrent->session.family,
                                           .scrape = true};
    start(torrent, &search, on_scrape);
}

static const struct argp_child scrape_children[] = {
    {&sk_dht_trace_argp, 0, NULL, 0}, {&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp scrape_argp = {
    .parser = parse,
    .args_doc = "TARGET",
    .doc = "Estimates how many seeds and leechers a torrent has, from what the nodes closest to "
           "its info-hash counted (BEP 33).\v"
           "These are estimates from Bloom filters; above 6,000 a filter is full, and only that "
           "much is said. A TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 "
           "digits, the http(s) address of a .torrent file, or - for standard input.\n\n"
           "Exit codes: 0 done; 2 wrong usage; 3 no node counts its peers; 4 nobody to ask, or "
           "nobody answered; 5 interrupted, or time ran out; 6 the torrent is broken.",
    .children = scrape_children,
};

int sk_cmd_dht_scrape(int argc, char **argv)
{
    struct torrent torrent = {.session = {.name = "scrape",
                                          .formats = SK_DHT_TEXT_JSON,
                                          .unfinished = "before the closest nodes were found",
                                          .prepare = prepare,
                                          .finish = finish_scrape}};
    return sk_dht_session_main(&torrent.session, &scrape_argp, argc, argv, begin_scrape, &torrent);
}
