/* skep tracker: a tracker that writes down what peers report. */
#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/announced.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/target.h"
#include "cmd/tracker_live.h"
#include "cmd/units.h"
#include "driver/tracker_server.h"
#include "store/announce_log.h"
#include "store/announce_quota.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { KEY_DB = 500, KEY_PORT, KEY_INTERVAL, KEY_ONLY };

#define PORT_DEFAULT 6969
#define INTERVAL_DEFAULT_S 1800
#define INTERVAL_MIN_S 5
#define INTERVAL_MAX_S 86400
#define MIN_INTERVAL_S 60 /* between two announces of one client, that it is asked to keep */
#define TICK_MS 100
#define HOST_MAX 256

struct tracker {
    struct sk_options options;
    const char *db;
    uint32_t port, interval_s;
    struct sk_texts only_texts;
    struct sk_map only; /* info-hashes, with any value */
    uv_loop_t loop;
    uv_timer_t tick, limit;
    uv_signal_t signals[2];
    struct sk_tracker_server *server;
    struct sk_announce_log *log;
    struct sk_announce_quota *quota;
    struct sk_tracker_live live;
    uint64_t started_ns;
    uint64_t announces, passed_over;
    int interrupts;
    bool lost; /* something was not recorded */
};

/* ---- options ---- */

static void expect(bool ok, const char *option, const char *arg, const char *expected)
{
    if (ok)
        return;
    sk_complain("%s='%.80s': expected %s", option, arg, expected);
    exit(SK_EXIT_USAGE);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct tracker *tracker = state->input;
    double seconds;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &tracker->options;
        return 0;
    case KEY_DB:
        tracker->db = arg;
        return 0;
    case KEY_PORT:
        expect(sk_parse_count(arg, 65535, &tracker->port), "--port", arg,
               "a port, 0 to 65535 (0: any)");
        return 0;
    case KEY_INTERVAL:
        expect(sk_parse_seconds(arg, &seconds) && seconds >= INTERVAL_MIN_S &&
                   seconds <= INTERVAL_MAX_S,
               "--interval", arg, "seconds, 5 to 86400, or 30m");
        tracker->interval_s = (uint32_t)lround(seconds);
        return 0;
    case KEY_ONLY:
        return sk_texts_add(&tracker->only_texts, arg) ? ENOMEM : 0;
    case ARGP_KEY_ARG:
        sk_complain("tracker: it takes no arguments (--only TARGET names what it serves)");
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {.doc = "Tracker:", .group = 1},
    {"db", KEY_DB, "FILE", 0, "record every announce in this SQLite file", 1},
    {"only", KEY_ONLY, "TARGET", 0, "serve this one only (repeatable; default: all)", 1},
    {"interval", KEY_INTERVAL, "SECONDS", 0, "ask clients to announce so often (default 1800)", 1},
    {"port", KEY_PORT, "N", 0, "listen on this port, TCP and UDP (default 6969; 0: any)",
     SK_OPTIONS_NETWORK},
    {0},
};

static const struct argp_child children[] = {{&sk_options_tracker_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .doc = "Runs a tracker, over HTTP and UDP on one port, and writes down what clients report to "
           "it. Without --bind it listens on all addresses of this machine.\v"
           "A TARGET is a .torrent file, a magnet link, or an info-hash of 40 or 64 digits.\n\n"
           "Exit codes: 0 it ended as it was told; 1 a TARGET cannot be read; 2 wrong usage; 4 the "
           "port could not be had; 6 a torrent is broken; 7 the file for announces could not be "
           "written.",
    .children = children,
};

/* ---- what it serves ---- */

static int serve_hash(struct tracker *tracker, const uint8_t hash[20])
{
    int err = sk_map_put(&tracker->only, hash, tracker);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static int serve_only(struct tracker *tracker, const char *text)
{
    struct sk_target target;
    struct sk_target_hash hash;
    int code = sk_target_read(text, &target);
    if (code)
        return code;
    if (target.kind == SK_TARGET_FILE || target.kind == SK_TARGET_LINK) {
        code = sk_target_info_hash(&target, &hash);
        if (!code)
            code = serve_hash(tracker, hash.bytes);
        if (!code && hash.is_hybrid)
            code = serve_hash(tracker, hash.bytes_v2);
    } else {
        sk_complain("--only='%.80s': expected a file, a magnet link or an info-hash", text);
        code = SK_EXIT_USAGE;
    }
    sk_target_deinit(&target);
    return code;
}

/* ---- announces ---- */

static void on_announced(void *ctx, const struct sk_tracker_announce *announce,
                         const struct sk_endpoint *peer, uint64_t now_ns)
{
    struct tracker *tracker = ctx;
    struct sk_announce record;
    tracker->announces++;
    if (!tracker->log)
        return;
    sk_announced(announce, peer, &record);
    if (sk_announce_quota_take(tracker->quota, &record, now_ns))
        sk_announce_log_put(tracker->log, &record, now_ns);
    else
        tracker->passed_over++;
}

/* ---- the run ---- */

static void look(struct tracker *tracker, struct sk_tracker_state *ret_state)
{
    struct sk_registry_counts counts;
    sk_tracker_server_counts(tracker->server, &counts);
    *ret_state = (struct sk_tracker_state){
        .elapsed_s = (double)(uv_hrtime() - tracker->started_ns) / 1e9,
        .torrents = counts.swarms,
        .seeds = counts.seeds,
        .leechers = counts.leechers,
        .announces = tracker->announces,
        .passed_over = tracker->passed_over,
        .recording = tracker->log && !tracker->lost,
    };
}

static void on_tick(uv_timer_t *timer)
{
    struct tracker *tracker = timer->data;
    struct sk_tracker_state state;
    if (tracker->log)
        sk_announce_log_flush(tracker->log, uv_hrtime());
    if (tracker->log && sk_announce_log_take_error(tracker->log)) {
        tracker->lost = true;
        sk_tracker_live_clear(&tracker->live);
        sk_complain("%s (the tracker goes on without it)", sk_announce_log_reason(tracker->log));
    }
    look(tracker, &state);
    sk_tracker_live_draw(&tracker->live, &state);
}

static void on_limit(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct tracker *tracker = handle->data;
    if (tracker->interrupts++)
        _exit(128 + signum);
    uv_stop(handle->loop);
}

static uint32_t min_interval_s(const struct tracker *tracker)
{
    return SK_MIN(tracker->interval_s, (uint32_t)MIN_INTERVAL_S);
}

static int listen_on(struct tracker *tracker, const struct sk_endpoint *listen, size_t count,
                     const char **ret_reason)
{
    struct sk_tracker_server_config config = {
        .loop = &tracker->loop,
        .listen = listen,
        .listen_count = count,
        .port = (uint16_t)tracker->port,
        .registry =
            {
                .interval_s = tracker->interval_s,
                .min_interval_s = min_interval_s(tracker),
                .swarms_max = SK_TRACKER_SWARMS_MAX,
                .host_peers_max = SK_TRACKER_HOST_PEERS_MAX,
                .only = tracker->only.count ? &tracker->only : NULL,
            },
        .announced = on_announced,
        .ctx = tracker,
    };
    return sk_tracker_server_new(&config, &tracker->server, ret_reason);
}

/* On the address given, or on all: of IPv4 alone where the system has no IPv6. */
static int open_server(struct tracker *tracker)
{
    static const uint8_t any[16] = {0};
    struct sk_endpoint all[] = {sk_endpoint_v4(any, 0), sk_endpoint_v6(any, 0)}, own;
    const char *bind = tracker->options.net.bind, *reason = NULL;
    int err;
    if (bind) {
        SK_ASSERT(sk_endpoint_parse(bind, 1, &own) == 0); /* it was looked at before */
        err = listen_on(tracker, &own, 1, &reason);
    } else {
        err = listen_on(tracker, all, SK_ARRAY_LEN(all), &reason);
        if (err && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
            err = listen_on(tracker, all, 1, &reason);
    }
    if (err == SKEP_ERR_NETWORK) {
        sk_complain("%s: port %u: %s", reason, tracker->port, strerror(errno));
        return SK_EXIT_NETWORK;
    }
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

/* Where it can be reached, as it is written into torrents. */
static void describe(const struct tracker *tracker)
{
    char host[HOST_MAX] = "localhost";
    const char *bind = tracker->options.net.bind;
    unsigned port = sk_tracker_server_port(tracker->server);
    bool brackets = bind && strchr(bind, ':');
    if (bind)
        snprintf(host, sizeof host, "%s%s%s", brackets ? "[" : "", bind, brackets ? "]" : "");
    else
        gethostname(host, sizeof host - 1);
    printf("tracker  http://%s:%u/announce\n", host, port);
    printf("tracker  udp://%s:%u\n", host, port);
    if (tracker->db)
        printf("records  %s\n", tracker->db);
    fflush(stdout);
}

static void summarize(struct tracker *tracker)
{
    char announces[SK_UNITS_MAX], duration[SK_UNITS_MAX];
    struct sk_tracker_state state;
    look(tracker, &state);
    printf("%s announce%s in %s; at the end %zu torrent%s, %zu seed%s, %zu leecher%s\n",
           sk_units_count(state.announces, announces), state.announces == 1 ? "" : "s",
           sk_units_duration(state.elapsed_s, duration), state.torrents,
           state.torrents == 1 ? "" : "s", state.seeds, state.seeds == 1 ? "" : "s", state.leechers,
           state.leechers == 1 ? "" : "s");
    if (tracker->passed_over)
        printf("%s announces were not recorded: more often than an honest client says anything\n",
               sk_units_count(tracker->passed_over, announces));
}

static void serve(struct tracker *tracker)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    if (!tracker->options.quiet)
        describe(tracker);
    tracker->started_ns = uv_hrtime();
    sk_tracker_live_init(&tracker->live, &tracker->options);
    for (size_t i = 0; i < SK_ARRAY_LEN(numbers); i++)
        uv_signal_start(&tracker->signals[i], on_signal, numbers[i]);
    uv_timer_start(&tracker->tick, on_tick, TICK_MS, TICK_MS);
    if (tracker->options.time_s > 0)
        uv_timer_start(&tracker->limit, on_limit, (uint64_t)ceil(tracker->options.time_s * 1000),
                       0);
    uv_run(&tracker->loop, UV_RUN_DEFAULT);
    sk_tracker_live_clear(&tracker->live);
    if (!tracker->options.quiet)
        summarize(tracker);
}

static void open_loop(struct tracker *tracker)
{
    SK_ASSERT(uv_loop_init(&tracker->loop) == 0);
    uv_timer_init(&tracker->loop, &tracker->tick);
    uv_timer_init(&tracker->loop, &tracker->limit);
    tracker->tick.data = tracker;
    for (size_t i = 0; i < SK_ARRAY_LEN(tracker->signals); i++) {
        uv_signal_init(&tracker->loop, &tracker->signals[i]);
        tracker->signals[i].data = tracker;
    }
}

static void close_loop(struct tracker *tracker)
{
    sk_tracker_server_free(tracker->server);
    uv_close((uv_handle_t *)&tracker->tick, NULL);
    uv_close((uv_handle_t *)&tracker->limit, NULL);
    for (size_t i = 0; i < SK_ARRAY_LEN(tracker->signals); i++)
        uv_close((uv_handle_t *)&tracker->signals[i], NULL);
    uv_run(&tracker->loop, UV_RUN_DEFAULT);
    SK_ASSERT(uv_loop_close(&tracker->loop) == 0);
}

static int open_log(struct tracker *tracker)
{
    char reason[SK_DATABASE_REASON_MAX];
    uint8_t key[SK_SIPHASH_KEY_SIZE];
    if (!tracker->db)
        return SK_EXIT_DONE;
    int err = sk_announce_log_open(tracker->db, &tracker->log, reason);
    if (err) {
        sk_complain("%s", err == SKEP_ERR_STORE ? reason : skep_err_text(err));
        return sk_exit_of(err);
    }
    SK_ASSERT(getrandom(key, sizeof key, 0) == sizeof key);
    err = sk_announce_quota_new(tracker->interval_s, min_interval_s(tracker), key, &tracker->quota);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

static int run(struct tracker *tracker)
{
    int code = SK_EXIT_DONE;
    for (size_t i = 0; i < tracker->only_texts.count && !code; i++)
        code = serve_only(tracker, tracker->only_texts.list[i]);
    if (!code)
        code = open_log(tracker);
    if (code)
        return code;
    open_loop(tracker);
    code = open_server(tracker);
    if (!code)
        serve(tracker);
    close_loop(tracker);
    sk_announce_quota_free(tracker->quota);
    if (sk_announce_log_close(tracker->log)) {
        if (!tracker->lost)
            sk_complain("%s: not all announces could be written", tracker->db);
        code = SK_EXIT_STORAGE;
    }
    return code;
}

int sk_cmd_tracker(int argc, char **argv)
{
    struct tracker tracker = {.port = PORT_DEFAULT, .interval_s = INTERVAL_DEFAULT_S};
    if (!sk_options_init(&tracker.options))
        return SK_EXIT_USAGE;
    argp_err_exit_status = SK_EXIT_USAGE;
    sk_map_init(&tracker.only, 20, SIZE_MAX, uv_hrtime());
    int code = argp_parse(&argp, argc, argv, 0, NULL, &tracker) ? SK_EXIT_USAGE : run(&tracker);
    sk_map_deinit(&tracker.only);
    sk_texts_deinit(&tracker.only_texts);
    sk_options_deinit(&tracker.options);
    return code;
}
