#include "cmd/dht_session.h"

#include "base/assert.h"
#include "cmd/bootstrap.h"
#include "cmd/dht.h"
#include "cmd/terminal.h"
#include "cmd/units.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define JOIN_TICK_S 0.01 /* until there is somebody to ask */
#define TICK_S 0.1
#define GOOD_ENOUGH 4       /* good nodes from which a search finds its way */
#define OTHER_NETWORK_S 0.5 /* how long the slower one of IPv4 and IPv6 is waited for */
#define SAVE_FIRST_S 60
#define SAVE_S 300
#define SHOW_MAX (64u << 10)
#define RATE_UNLIMITED 1e6

/* ---- options ---- */

enum { KEY_READ_ONLY = 2000, KEY_ANY_ID, KEY_RATE, KEY_FAMILY, KEY_TRACE };

void sk_dht_expect(bool ok, const char *option, const char *arg, const char *expected)
{
    if (ok)
        return;
    sk_complain("%s='%.80s': expected %s", option, arg, expected);
    exit(SK_EXIT_USAGE);
}

static bool parse_rate(const char *text, double *ret_rate)
{
    char *end;
    if (strcmp(text, "unlimited") == 0) {
        *ret_rate = -1;
        return true;
    }
    double rate = strtod(text, &end);
    if (end == text || *end || !(rate > 0 && rate <= 1e6))
        return false;
    *ret_rate = rate;
    return true;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct sk_dht_session *session = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &session->options;
        return 0;
    case KEY_READ_ONLY:
        session->read_only = true;
        return 0;
    case KEY_ANY_ID:
        session->any_id = true;
        return 0;
    case KEY_RATE:
        sk_dht_expect(parse_rate(arg, &session->rate), "--rate", arg,
                      "a number above 0, or unlimited");
        return 0;
    case KEY_FAMILY:
        sk_dht_expect(strcmp(arg, "4") == 0 || strcmp(arg, "6") == 0, "--family", arg, "4 or 6");
        session->family = (unsigned)(*arg - '0');
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_trace(int key, char *arg, struct argp_state *state)
{
    struct sk_dht_session *session = state->input;
    if (key != KEY_TRACE)
        return ARGP_ERR_UNKNOWN;
    session->tracing = true;
    return 0;
}

static const struct argp_option argp_options[] = {
    {"read-only", KEY_READ_ONLY, NULL, 0,
     "answer nobody and say so (BEP 43); so do all commands but node and those with --keep",
     SK_OPTIONS_NETWORK},
    {"any-id", KEY_ANY_ID, NULL, 0,
     "ids need not follow from addresses (BEP 42), neither ours nor others'", SK_OPTIONS_NETWORK},
    {"rate", KEY_RATE, "N", 0,
     "send at most N packets a second, queries and answers together (default 250), or unlimited",
     SK_OPTIONS_NETWORK},
    {"family", KEY_FAMILY, "4|6", 0, "use IPv4 or IPv6 only", SK_OPTIONS_NETWORK},
    {0},
};
static const struct argp_option trace_options[] = {
    {"trace", KEY_TRACE, NULL, 0, "tell the search step by step", SK_OPTIONS_OUTPUT},
    {0},
};
static const struct argp_child children[] = {{&sk_options_dht_argp, 0, NULL, 0}, {0}};
static const struct argp_child portless_children[] = {{&sk_options_dht_portless_argp, 0, NULL, 0},
                                                      {0}};

const struct argp sk_dht_argp = {.options = argp_options, .parser = parse, .children = children};
const struct argp sk_dht_portless_argp = {
    .options = argp_options, .parser = parse, .children = portless_children};
const struct argp sk_dht_trace_argp = {.options = trace_options, .parser = parse_trace};

int sk_dht_session_children(struct sk_dht_session *session, struct argp_state *state)
{
    for (size_t i = 0; state->root_argp->children[i].argp; i++)
        state->child_inputs[i] = session;
    return 0;
}

static const char *const format_names[] = {"text", "json", "jsonl", "csv"};

/* What stands in the user's config file may be meant for other commands. */
static void choose_format(struct sk_dht_session *session)
{
    struct sk_options *options = &session->options;
    if (options->format == SK_FORMAT_TEXT || !(session->formats & 1u << options->format))
        options->format = session->format_usual;
}

static int check_family(const struct sk_dht_session *session)
{
    struct sk_endpoint bind;
    const char *address = session->options.net.bind;
    if (!session->family || !address || sk_endpoint_parse(address, 1, &bind) ||
        bind.family == session->family)
        return SK_EXIT_DONE;
    sk_complain("--family=%u: --bind=%.80s is no address of IPv%u", session->family, address,
                session->family);
    return SK_EXIT_USAGE;
}

static int check_format(const struct sk_dht_session *session)
{
    char list[64] = "";
    if (session->formats & 1u << session->options.format)
        return SK_EXIT_DONE;
    for (size_t i = 0, n = 0; i < SK_ARRAY_LEN(format_names); i++)
        if (session->formats & 1u << i)
            n +=
                (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", format_names[i]);
    sk_complain("dht %s: --format=%s: expected one of %s", session->name,
                format_names[session->options.format], list);
    return SK_EXIT_USAGE;
}

static int parse_all(struct sk_dht_session *session, const struct argp *argp, int argc, char **argv,
                     void *input)
{
    if (!sk_options_init(&session->options))
        return SK_EXIT_USAGE;
    choose_format(session);
    argp_err_exit_status = SK_EXIT_USAGE;
    if (argp_parse(argp, argc, argv, 0, NULL, input))
        return SK_EXIT_USAGE;
    if (session->options.anonymize && sk_anonymizer_init(&session->anonymizer, NULL)) {
        sk_complain("no entropy for --anonymize");
        return SK_EXIT_FAILED;
    }
    int code = check_family(session);
    return code ? code : check_format(session);
}

/* ---- what is shown ---- */

static const double intervals[] = {[SK_PROGRESS_NONE] = 0,
                                   [SK_PROGRESS_TTY] = TICK_S,
                                   [SK_PROGRESS_PLAIN] = 10,
                                   [SK_PROGRESS_JSON] = 1};

static void choose_show(struct sk_dht_session *session)
{
    struct sk_screen screen;
    bool terminal = sk_terminal_look(STDERR_FILENO, &screen);
    const struct sk_options *options = &session->options;
    session->shows = session->tracing ? SK_PROGRESS_NONE : sk_options_progress(options, terminal);
    if (session->shows == SK_PROGRESS_PLAIN) /* what is short needs no lines */
        session->next_show_s = intervals[SK_PROGRESS_PLAIN];
    sk_dht_trace_init(&session->trace, &screen);
    session->trace.anonymizer = options->anonymize ? &session->anonymizer : NULL;
}

static void write_out(struct sk_buf *out)
{
    if (out->n)
        fwrite(out->p, 1, out->n, stderr);
    sk_buf_deinit(out);
}

static void clear(struct sk_dht_session *session)
{
    struct sk_buf out;
    sk_buf_init(&out, SHOW_MAX);
    sk_frame_clear(&session->frame, &out);
    write_out(&out);
}

/* In a log a line that says nothing new is only noise. */
static bool is_news(struct sk_dht_session *session, struct sk_bytes line)
{
    char before[SK_DHT_LINE_MAX];
    if (!line.n)
        return false;
    memcpy(before, session->said, sizeof before);
    snprintf(session->said, sizeof session->said, "%.*s", (int)line.n, (const char *)line.p);
    return strcmp(before, session->said) != 0;
}

static void draw(struct sk_dht_session *session)
{
    struct sk_buf text, out;
    struct sk_screen screen;
    double elapsed = sk_dht_session_seconds(session);
    if (session->shows == SK_PROGRESS_NONE || !session->show || elapsed < session->next_show_s)
        return;
    session->next_show_s = elapsed + intervals[session->shows];
    sk_buf_init(&text, SHOW_MAX);
    sk_buf_init(&out, SHOW_MAX);
    sk_terminal_look(STDERR_FILENO, &screen);
    struct sk_screen narrow = screen;
    narrow.columns -= narrow.columns > 1; /* the last column makes some terminals wrap */
    session->show(session->ctx, session->shows, &narrow, &text);
    if (session->shows == SK_PROGRESS_TTY && !text.failed)
        sk_frame_draw(&session->frame, sk_buf_bytes(&text), screen.columns, &out);
    else if (session->shows != SK_PROGRESS_PLAIN || is_news(session, sk_buf_bytes(&text)))
        sk_buf_append(&out, text.p, text.n);
    write_out(&out);
    sk_buf_deinit(&text);
}

void sk_dht_say(struct sk_dht_session *session, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (session->options.quiet)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    clear(session);
    sk_complain("%s", text);
}

FILE *sk_dht_stdout(struct sk_dht_session *session)
{
    clear(session);
    return stdout;
}

int sk_dht_flush(struct sk_dht_session *session)
{
    clear(session);
    if (!fflush(stdout) && !ferror(stdout))
        return SK_EXIT_DONE;
    if (!session->output_failed)
        sk_complain("standard output: %s", strerror(errno));
    session->output_failed = true;
    return SK_EXIT_STORAGE;
}

/* What is stored at the closest nodes comes after the search, and is not counted as asking. */
static void count_event(struct skep_dht_result *so_far, const struct skep_dht_event *event)
{
    bool storing = event->method == SKEP_DHT_PUT || event->method == SKEP_DHT_ANNOUNCE_PEER;
    so_far->stored += event->kind == SKEP_DHT_STORED;
    if (storing)
        return;
    bool answered = event->kind == SKEP_DHT_ANSWERED, silent = event->kind == SKEP_DHT_SILENT;
    bool refused = event->kind == SKEP_DHT_REFUSED;
    so_far->asked += answered || silent || refused;
    so_far->answered += answered;
    so_far->silent += silent;
    so_far->refused += refused;
    if (answered) {
        so_far->forged += event->answer->forged;
        so_far->scrape_nodes += event->answer->filter_peers != NULL;
        so_far->steps = SK_MAX(so_far->steps, event->step);
    }
}

struct skep_dht_result sk_dht_session_so_far(const struct sk_dht_session *session)
{
    struct skep_dht_result so_far = session->so_far;
    so_far.seconds = session->begun ? sk_dht_session_seconds(session) - session->ready_s : 0;
    so_far.seeds = so_far.peers = -1;
    return so_far;
}

bool sk_dht_session_event(struct sk_dht_session *session, const struct skep_dht_event *event)
{
    struct sk_buf out;
    if (session->stop != SK_DHT_RUNNING)
        return false;
    count_event(&session->so_far, event);
    if (!session->tracing)
        return true;
    sk_buf_init(&out, SHOW_MAX);
    sk_dht_trace_event(&session->trace, event, sk_dht_session_seconds(session) - session->ready_s,
                       &out);
    write_out(&out);
    return true;
}

char *sk_dht_session_address(const struct sk_dht_session *session, const char *address,
                             char ret_text[SK_ENDPOINT_TEXT_MAX])
{
    struct sk_endpoint endpoint;
    if (!address || sk_endpoint_parse(address, 0, &endpoint))
        ret_text[0] = 0;
    else
        sk_anonymizer_endpoint(session->options.anonymize ? &session->anonymizer : NULL, &endpoint,
                               ret_text);
    return ret_text;
}

/* ---- the run ---- */

double sk_dht_session_seconds(const struct sk_dht_session *session)
{
    return (double)(skep_runtime_now(session->runtime) - session->started_ns) / 1e9;
}

static void stop(struct sk_dht_session *session, enum sk_dht_stop why, int code)
{
    if (session->stop != SK_DHT_RUNNING)
        return;
    session->stop = why;
    session->code = code;
    skep_runtime_stop(session->runtime);
}

unsigned sk_dht_session_family(const struct sk_dht_session *session)
{
    struct skep_dht_stats stats;
    if (session->family)
        return session->family;
    if (skep_dht_stats(session->engine, &stats))
        return 4;
    bool v4 = stats.v4.there && (stats.v4.standing == SKEP_DHT_READY || stats.v4.good);
    return v4 || !stats.v6.there ? 4 : 6;
}

double sk_dht_session_rate(const struct sk_dht_session *session)
{
    return session->rate < 0 ? RATE_UNLIMITED : session->rate;
}

const char *sk_dht_session_stopped(const struct sk_dht_session *session)
{
    static const char *const names[] = {
        [SK_DHT_RUNNING] = "done", /* the result is there, and the end follows */
        [SK_DHT_ENDED] = "done",   [SK_DHT_INTERRUPTED] = "interrupted",
        [SK_DHT_TIME_UP] = "time", [SK_DHT_NOBODY] = "done",
    };
    return names[session->stop];
}

void sk_dht_session_end(struct sk_dht_session *session, int code)
{
    stop(session, SK_DHT_ENDED, code);
}

void sk_dht_session_fail(struct sk_dht_session *session, int err, const char *reason)
{
    clear(session);
    sk_complain("%s", reason ? reason : skep_err_text(err));
    /* What the user gave wrongly was refused before; what the engine refuses is no usage. */
    stop(session, SK_DHT_ENDED, err == SKEP_ERR_INVALID ? SK_EXIT_FAILED : sk_exit_of(err));
}

static void on_signal(struct skep_runtime *runtime, int signal, void *ctx)
{
    struct sk_dht_session *session = ctx;
    if (session->interrupts++)
        _exit(128 + signal);
    stop(session, SK_DHT_INTERRUPTED, SK_EXIT_PARTIAL);
}

/* Of the networks that are wanted: how they stand. */
struct standing {
    unsigned there, ready, offline, joining;
    double retry_s;
};

static void look_at_network(const struct skep_dht_network *network, struct standing *ret_standing)
{
    if (!network->there)
        return;
    ret_standing->there++;
    if (network->standing == SKEP_DHT_READY || network->good >= GOOD_ENOUGH) {
        ret_standing->ready++;
    } else if (network->standing == SKEP_DHT_JOINING) {
        ret_standing->joining++;
    } else if (network->standing == SKEP_DHT_OFFLINE) {
        ret_standing->offline++;
        if (network->retry_s >= 0 && !(ret_standing->retry_s <= network->retry_s))
            ret_standing->retry_s = network->retry_s;
    }
}

static struct standing look(const struct sk_dht_session *session)
{
    struct standing standing = {.retry_s = NAN};
    struct skep_dht_stats stats;
    if (skep_dht_stats(session->engine, &stats))
        return standing;
    if (session->family != 6)
        look_at_network(&stats.v4, &standing);
    if (session->family != 4)
        look_at_network(&stats.v6, &standing);
    return standing;
}

/* Says when everybody falls silent, and when somebody speaks again. */
static void tell_standing(struct sk_dht_session *session, const struct standing *standing)
{
    char time[SK_UNITS_MAX];
    bool offline = standing->offline && !standing->ready && !standing->joining;
    if (offline && !session->offline)
        sk_dht_say(
            session, "offline: of %zu host%s and %zu saved node%s none answers; asked again%s%s",
            session->hosts, session->hosts == 1 ? "" : "s", session->nodes.saved.count,
            session->nodes.saved.count == 1 ? "" : "s", isnan(standing->retry_s) ? "" : " in ",
            isnan(standing->retry_s) ? "" : sk_units_duration(standing->retry_s, time));
    if (session->offline && standing->ready)
        sk_dht_say(session, "online: somebody answers");
    if (offline || standing->ready)
        session->offline = offline;
}

static void begin(struct sk_dht_session *session)
{
    session->begun = true;
    session->ready_s = sk_dht_session_seconds(session);
    session->begin(session->ctx);
}

/* ---- why there is nobody to ask ---- */

static bool is_out_of_reach(const struct sk_dht_session *session, const char *host)
{
    struct sk_endpoint bind, endpoint;
    const char *address = session->options.net.bind;
    if (!address || sk_endpoint_parse(address, 1, &bind) ||
        sk_endpoint_scope(&bind) != SK_SCOPE_LOOPBACK)
        return false;
    return sk_endpoint_parse(host, 0, &endpoint)
               ? strncasecmp(host, "localhost:", strlen("localhost:")) != 0
               : sk_endpoint_scope(&endpoint) != SK_SCOPE_LOOPBACK;
}

/* Whether we are in the network of that family at all. */
static bool is_in(const struct sk_dht_session *session, unsigned family)
{
    struct skep_dht_stats stats;
    return skep_dht_stats(session->engine, &stats) == 0 &&
           (family == 6 ? stats.v6.there : stats.v4.there);
}

static const char elsewhere[] = "not in the network of --family";

static void on_fate(const struct skep_dht_event *event, void *ctx)
{
    struct sk_dht_fate *fate = ctx;
    fate->answered |= event->kind == SKEP_DHT_ANSWERED;
    if (event->kind == SKEP_DHT_REFUSED)
        fate->reason = "answers with errors";
    if (event->kind != SKEP_DHT_DONE)
        return;
    if (event->error && event->reason)
        fate->reason = event->reason;
    fate->waiting = false;
}

/* Nobody answers as yet: of hosts with names it may be that there are none. */
static void wonder(struct sk_dht_session *session)
{
    const struct sk_texts *hosts = &session->options.bootstrap;
    struct sk_endpoint endpoint;
    uint64_t id;
    if (session->wondering)
        return;
    session->wondering = true;
    for (size_t i = 0; i < hosts->count && i < SK_DHT_FATES_MAX; i++) {
        const struct skep_dht_ask ask = {.method = SKEP_DHT_PING, .address = hosts->list[i]};
        struct sk_dht_fate *fate = &session->fates[i];
        bool is_name = sk_endpoint_parse(hosts->list[i], 0, &endpoint) != 0;
        if (is_out_of_reach(session, hosts->list[i]))
            fate->reason = "cannot be reached from the address of --bind";
        else if (is_name)
            fate->waiting = skep_dht_start_ask(session->engine, &ask, on_fate, fate, &id) == 0;
        else if (session->family && endpoint.family != session->family)
            fate->reason = elsewhere;
        else if (!is_in(session, endpoint.family))
            fate->reason = "not an address in our networks";
    }
}

static bool is_wondering(const struct sk_dht_session *session)
{
    for (size_t i = 0; i < SK_DHT_FATES_MAX; i++)
        if (session->fates[i].waiting)
            return true;
    return false;
}

static const char *fate_text(const struct sk_dht_session *session, size_t host)
{
    const struct sk_dht_fate *fate = &session->fates[host];
    if (fate->reason)
        return fate->reason;
    if (!fate->answered)
        return "no answer";
    return session->family ? elsewhere : "is there, and tells of no node";
}

static void give_up(struct sk_dht_session *session)
{
    const struct sk_texts *hosts = &session->options.bootstrap;
    char text[768], count[64];
    size_t n = 0;
    for (size_t i = 0; i < hosts->count && i < SK_DHT_FATES_MAX && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.120s: %s", n ? "; " : "",
                              hosts->list[i], fate_text(session, i));
    if (hosts->count > SK_DHT_FATES_MAX && n < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, "; and %zu more",
                              hosts->count - SK_DHT_FATES_MAX);
    if (!hosts->count && session->hosts)
        n = (size_t)snprintf(
            text, sizeof text,
            "none of the %zu usual hosts answers; is there a network, and is UDP let through?",
            session->hosts);
    if (session->nodes.saved.count && n < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s: no answer", n ? "; " : "",
                              sk_dht_count(session->nodes.saved.count, "saved node", count));
    if (!n)
        snprintf(text, sizeof text, "no node of the DHT is known");
    clear(session);
    sk_complain("nobody to ask: %s (--bootstrap=HOST:PORT names a node)", text);
    stop(session, SK_DHT_NOBODY, SK_EXIT_NETWORK);
}

/* Waits for somebody to ask. Where there is nothing to wait for, that is said at once. */
static void join(struct sk_dht_session *session, const struct standing *standing)
{
    if (session->way != SK_DHT_WAY_JOIN) {
        begin(session);
        return;
    }
    double elapsed = sk_dht_session_seconds(session);
    double patience = session->options.time_s > 0 ? session->options.time_s : SK_DHT_PATIENCE_S;
    if (standing->ready && !session->ready_s)
        session->ready_s = elapsed;
    if (standing->ready && (!standing->joining || elapsed - session->ready_s >= OTHER_NETWORK_S)) {
        begin(session);
        return;
    }
    bool hopeless = !standing->ready && !standing->joining && !standing->offline;
    if (!standing->ready && !standing->joining)
        wonder(session);
    if ((hopeless && !is_wondering(session)) || (!session->stays && elapsed >= patience))
        give_up(session);
}

static void on_tick(struct skep_runtime *runtime, void *ctx)
{
    struct sk_dht_session *session = ctx;
    if (session->stop != SK_DHT_RUNNING)
        return;
    double elapsed = sk_dht_session_seconds(session);
    struct standing standing = look(session);
    bool begun = session->begun;
    tell_standing(session, &standing);
    if (!begun)
        join(session, &standing);
    else if (session->on_tick)
        session->on_tick(session->ctx);
    if (!begun && session->begun)
        skep_runtime_every(runtime, TICK_S, on_tick, session);
    if (session->stop != SK_DHT_RUNNING)
        return;
    draw(session);
    if (session->options.time_s > 0 && elapsed >= session->options.time_s)
        stop(session, SK_DHT_TIME_UP, SK_EXIT_PARTIAL);
    if (elapsed >= session->next_save_s) {
        sk_dht_nodes_save(&session->nodes, session->engine, session->stays);
        session->next_save_s = elapsed + SAVE_S;
    }
}

static void configure(struct sk_dht_session *session)
{
    struct skep_config *net = &session->options.net;
    net->no_dht = false;
    net->no_listen = net->no_lsd = net->no_pex = net->no_trackers = true;
    net->dht_read_only = session->read_only || !session->stays;
    net->dht_any_id = session->any_id;
    net->dht_rate = session->rate;
    if (session->stays && session->nodes.saved.has_id[0])
        net->dht_id = session->nodes.saved.id[0];
    if (session->stays && session->nodes.saved.has_id[1])
        net->dht_id6 = session->nodes.saved.id[1];
}

static int open_node(struct sk_dht_session *session)
{
    struct timespec now;
    sk_dht_nodes_load(&session->nodes, &session->options);
    configure(session);
    int code = sk_options_open(&session->options, &session->runtime);
    if (!code && skep_runtime_no_udp(session->runtime)) {
        sk_complain("the DHT needs UDP, which the proxy does not relay: %s",
                    skep_runtime_no_udp(session->runtime));
        code = SK_EXIT_NETWORK;
    }
    if (code)
        return code;
    clock_gettime(CLOCK_REALTIME, &now);
    if (getrandom(&session->seed, sizeof session->seed, 0) != sizeof session->seed)
        session->seed = (uint64_t)now.tv_nsec;
    session->started_unix_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    session->started_ns = skep_runtime_now(session->runtime);
    session->engine = skep_runtime_engine(session->runtime);
    session->next_save_s = SAVE_FIRST_S;
    choose_show(session);
    if (session->way == SK_DHT_WAY_ALONE)
        return SK_EXIT_DONE;
    sk_dht_nodes_tell(&session->nodes, session->engine);
    return sk_bootstrap(&session->options, session->engine, &session->hosts);
}

static int run(struct sk_dht_session *session)
{
    skep_runtime_on_signal(session->runtime, on_signal, session);
    skep_runtime_every(session->runtime, JOIN_TICK_S, on_tick, session);
    int err = skep_runtime_run(session->runtime, -1);
    clear(session);
    if (err)
        sk_complain("%s", skep_err_text(err));
    return err ? sk_exit_of(err) : session->code;
}

int sk_dht_session_main(struct sk_dht_session *session, const struct argp *argp, int argc,
                        char **argv, void (*begin_fn)(void *ctx), void *input)
{
    session->begin = begin_fn;
    session->ctx = input;
    int code = parse_all(session, argp, argc, argv, input);
    if (!code && session->check)
        code = session->check(input);
    if (!code)
        code = open_node(session);
    if (!code && session->prepare)
        code = session->prepare(input);
    if (!code) {
        code = run(session);
        if (session->finish && session->stop != SK_DHT_NOBODY)
            code = session->finish(input, code);
        if (code == SK_EXIT_PARTIAL)
            sk_complain("%s %s", session->stop == SK_DHT_TIME_UP ? "time ran out" : "interrupted",
                        session->begun ? session->unfinished : "before anybody answered");
        sk_dht_nodes_save(&session->nodes, session->engine, session->stays);
    }
    skep_runtime_free(session->runtime);
    sk_options_deinit(&session->options);
    return code;
}
