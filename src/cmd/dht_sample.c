/*
 * skep dht sample: info-hashes that nodes know of (BEP 51), of one node or of those met on a walk.
 * A node is asked once: its interval says when it would have others to tell, and that is later.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/prng.h"
#include "cmd/dht.h"
#include "cmd/units.h"

#include <stdio.h>
#include <stdlib.h>

#define HASHES_MAX 1000000 /* that can be asked for */
#define HASHES_DEFAULT 1000
#define QUEUE_MAX 2000   /* nodes that wait to be asked */
#define ASKED_MAX 200000 /* nodes asked in one run */
#define UNDER_WAY_MAX 8  /* queries at a time */
#define RATE 10.0        /* queries a second */

enum { KEY_LIMIT = 3000 };

struct sample {
    struct sk_dht_session session;
    const char *host;
    uint32_t limit;
    struct sk_prng prng;
    struct sk_map hashes, met; /* told already; asked or waiting */
    struct sk_endpoint queue[QUEUE_MAX];
    size_t queue_count;
    json_t *list; /* format json */
    double started_s;
    uint32_t under_way, asked, answered, sampling; /* sampling: nodes that told some */
    int64_t refused;                               /* code with which the one node refused; 0 */
    int64_t num, interval_s;                       /* of the one node; -1 not said */
    const char *reason;                            /* why it could not be asked; NULL */
};

/* ---- what is told ---- */

static void print_hash(struct sample *sample, const uint8_t *hash, const char *address)
{
    struct sk_dht_session *session = &sample->session;
    char hex[41];
    sk_hex_encode(hash, 20, hex);
    if (session->options.format == SK_FORMAT_JSON)
        json_array_append_new(sample->list, json_string(hex));
    else if (session->options.format == SK_FORMAT_JSONL)
        sk_dht_json_line(session, json_pack("{s:s, s:s, s:o}", "type", "hash", "info_hash", hex,
                                            "node", sk_dht_json_address(session, address)));
    else
        fprintf(sk_dht_stdout(session), "%s\n", hex);
}

static void take_hashes(struct sample *sample, const struct skep_dht_event *event)
{
    const struct skep_dht_answer *answer = event->answer;
    for (size_t i = 0; i < answer->samples_count && sample->hashes.count < sample->limit; i++) {
        const uint8_t *hash = answer->samples + 20 * i;
        if (!sk_map_get(&sample->hashes, hash) && !sk_map_put(&sample->hashes, hash, sample))
            print_hash(sample, hash, event->address);
    }
    sample->sampling += answer->samples_count > 0;
    sample->num = answer->samples_num;
    sample->interval_s = answer->samples_interval_s;
    int code = sk_dht_flush(&sample->session);
    if (code)
        sk_dht_session_end(&sample->session, code);
}

/* ---- the walk ---- */

/* `source`: of whoever told. */
static void meet(struct sample *sample, const struct sk_endpoint *endpoint, enum sk_scope source)
{
    if (sample->queue_count == QUEUE_MAX || endpoint->port < SK_BOOK_PORT_MIN ||
        !sk_endpoint_reachable_from(endpoint, source) || sk_map_get(&sample->met, endpoint) ||
        sk_map_put(&sample->met, endpoint, sample))
        return;
    sample->queue[sample->queue_count++] = *endpoint;
}

static void meet_told(struct sample *sample, const struct skep_dht_event *event)
{
    const struct skep_dht_answer *answer = event->answer;
    struct sk_endpoint endpoint;
    if (sk_endpoint_parse(event->address, 0, &endpoint))
        return;
    enum sk_scope source = sk_endpoint_scope(&endpoint);
    for (size_t i = 0; i < answer->nodes_count; i++) {
        const uint8_t *address = answer->nodes + 26 * i + 20;
        endpoint = sk_endpoint_v4(address, sk_get_u16(address + 4));
        meet(sample, &endpoint, source);
    }
    for (size_t i = 0; i < answer->nodes6_count; i++) {
        const uint8_t *address = answer->nodes6 + 38 * i + 20;
        endpoint = sk_endpoint_v6(address, sk_get_u16(address + 16));
        meet(sample, &endpoint, source);
    }
}

static void meet_table(struct sample *sample)
{
    struct skep_dht_node node;
    struct sk_endpoint endpoint;
    size_t pos = 0;
    while (skep_dht_next_node(sample->session.engine, &pos, &node))
        if (!sk_endpoint_parse(node.address, 0, &endpoint))
            meet(sample, &endpoint, sk_endpoint_scope(&endpoint));
}

static void on_sample(const struct skep_dht_event *event, void *ctx);

static int ask(struct sample *sample, const char *address)
{
    uint8_t target[20];
    uint64_t id;
    sk_prng_bytes(&sample->prng, target, sizeof target);
    const struct skep_dht_ask ask = {
        .method = SKEP_DHT_SAMPLE, .address = address, .target = target};
    int err = skep_dht_start_ask(sample->session.engine, &ask, on_sample, sample, &id);
    if (err)
        return err;
    sample->under_way++;
    sample->asked++;
    return 0;
}

/* As many as the rate has room for, in random order, so that the walk goes all over the network. */
static void go_on(struct sample *sample)
{
    struct sk_dht_session *session = &sample->session;
    double elapsed = sk_dht_session_seconds(session) - sample->started_s;
    double rate = session->rate > 0 ? SK_MIN(session->rate, RATE) : RATE;
    char address[SK_ENDPOINT_TEXT_MAX];
    while (sample->queue_count && sample->under_way < UNDER_WAY_MAX &&
           sample->asked < elapsed * rate + UNDER_WAY_MAX) {
        size_t i = sk_prng_below(&sample->prng, sample->queue_count);
        struct sk_endpoint endpoint = sample->queue[i];
        sample->queue[i] = sample->queue[--sample->queue_count];
        if (ask(sample, sk_endpoint_text(&endpoint, address)))
            break;
    }
    if (!sample->under_way && !sample->queue_count)
        sk_dht_session_end(session, SK_EXIT_DONE);
}

static void on_sample(const struct skep_dht_event *event, void *ctx)
{
    struct sample *sample = ctx;
    struct sk_dht_session *session = &sample->session;
    if (event->kind == SKEP_DHT_ANSWERED) {
        sample->answered++;
        take_hashes(sample, event);
        if (!sample->host)
            meet_told(sample, event);
    } else if (event->kind == SKEP_DHT_REFUSED) {
        sample->refused = event->code;
    } else if (event->kind == SKEP_DHT_DONE) {
        sample->under_way--;
        sample->reason = event->error ? event->reason : NULL;
        if (sample->host || sample->hashes.count >= sample->limit)
            sk_dht_session_end(session, SK_EXIT_DONE);
    }
}

static void on_tick(void *ctx)
{
    struct sample *sample = ctx;
    if (!sample->host)
        go_on(sample);
}

static void begin(void *ctx)
{
    struct sample *sample = ctx;
    struct sk_dht_session *session = &sample->session;
    sample->started_s = sk_dht_session_seconds(session);
    if (session->options.format == SK_FORMAT_CSV)
        fprintf(sk_dht_stdout(session), "info_hash\n");
    if (!sample->host) {
        meet_table(sample);
        go_on(sample);
        return;
    }
    int err = ask(sample, sample->host);
    if (err == SKEP_ERR_INVALID) {
        sk_complain("%.200s: expected HOST:PORT, or [ADDRESS]:PORT for IPv6", sample->host);
        sk_dht_session_end(session, SK_EXIT_USAGE);
    } else if (err) {
        sk_dht_session_fail(session, err, NULL);
    }
}

static void show(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                 struct sk_buf *out)
{
    const struct sample *sample = ctx;
    if (how == SK_PROGRESS_JSON)
        sk_buf_printf(out,
                      "{\"type\":\"progress\",\"hashes\":%zu,\"asked\":%u,\"answered\":%u,"
                      "\"waiting\":%zu}\n",
                      sample->hashes.count, sample->asked, sample->answered, sample->queue_count);
    else
        sk_buf_printf(out, "%shashes: %zu; nodes: %u asked, %u answered, %u told some\n",
                      how == SK_PROGRESS_PLAIN ? "skep: " : "", sample->hashes.count, sample->asked,
                      sample->answered, sample->sampling);
}

/* ---- the end ---- */

static int write_end(struct sample *sample)
{
    struct sk_dht_session *session = &sample->session;
    bool whole = session->stop == SK_DHT_ENDED;
    enum sk_format format = session->options.format;
    if (format != SK_FORMAT_JSON && format != SK_FORMAT_JSONL)
        return SK_EXIT_DONE;
    json_t *fields = json_pack(
        "{s:s, s:o, s:b, s:i, s:i, s:i, s:o, s:o}", "stopped", sk_dht_session_stopped(session),
        "node", sk_dht_json_text(sample->host), "complete", (int)whole, "asked", (int)sample->asked,
        "answered", (int)sample->answered, "sampling", (int)sample->sampling, "known",
        sample->host && sample->num >= 0 ? json_integer(sample->num) : json_null(), "interval_s",
        sample->host && sample->interval_s >= 0 ? json_integer(sample->interval_s) : json_null());
    if (format == SK_FORMAT_JSON) {
        json_object_set(fields, "info_hashes", sample->list);
        return sk_dht_json_print(session, fields);
    }
    json_object_set_new(fields, "type", json_string("end"));
    return sk_dht_json_line(session, fields);
}

static int explain(struct sample *sample, int code)
{
    struct sk_dht_session *session = &sample->session;
    char wait[SK_UNITS_MAX];
    if (sample->host && sample->refused) {
        sk_complain("%.200s answered with error %lld", sample->host, (long long)sample->refused);
        return SK_EXIT_NETWORK;
    }
    if (session->stop == SK_DHT_INTERRUPTED && !sample->answered)
        return code;
    if (sample->host && !sample->answered) {
        sk_complain("%.200s: %s", sample->host, sample->reason ? sample->reason : "no answer");
        return SK_EXIT_NETWORK;
    }
    if (session->stop == SK_DHT_ENDED && !sample->answered) {
        sk_complain("no node answered (%u asked)", sample->asked);
        return SK_EXIT_NETWORK;
    }
    if (sample->host && sample->num < 0) {
        sk_complain("%.200s: it gives no samples (BEP 51)", sample->host);
        return SK_EXIT_NOTHING;
    }
    if (sample->host)
        sk_dht_say(session, "hashes: %zu of %lld that it has; others in %s", sample->hashes.count,
                   (long long)sample->num,
                   sk_units_duration((double)SK_MAX(sample->interval_s, 0), wait));
    else
        sk_dht_say(session, "hashes: %zu, told by %u of %u nodes that were asked",
                   sample->hashes.count, sample->sampling, sample->asked);
    return session->stop == SK_DHT_ENDED && !sample->hashes.count ? SK_EXIT_NOTHING : code;
}

static int finish(void *ctx, int code)
{
    struct sample *sample = ctx;
    if (code != SK_EXIT_DONE && code != SK_EXIT_PARTIAL)
        return code;
    int failed = write_end(sample);
    if (!failed)
        failed = sk_dht_flush(&sample->session);
    return failed ? failed : explain(sample, code);
}

static int prepare(void *ctx)
{
    struct sample *sample = ctx;
    sk_map_init(&sample->hashes, 20, HASHES_MAX, sample->session.seed);
    sk_map_init(&sample->met, sizeof(struct sk_endpoint), ASKED_MAX, sample->session.seed);
    sk_prng_init(&sample->prng, sample->session.seed);
    sample->list = json_array();
    return SK_EXIT_DONE;
}

static int check(void *ctx)
{
    struct sample *sample = ctx;
    if (sample->host)
        sample->session.way = SK_DHT_WAY_ALONE;
    return SK_EXIT_DONE;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct sample *sample = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&sample->session, state);
    case KEY_LIMIT:
        sk_dht_expect(sk_parse_count(arg, HASHES_MAX, &sample->limit) && sample->limit, "--limit",
                      arg, "a number, 1 to 1000000");
        return 0;
    case ARGP_KEY_ARG:
        sk_dht_one_argument(&sample->session, &sample->host, arg, "HOST:PORT");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"limit", KEY_LIMIT, "N", 0, "end with so many hashes (default 1000)", 1},
    {0},
};
static const struct argp_child children[] = {{&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[HOST:PORT]",
    .doc = "Prints info-hashes that nodes know of (BEP 51), one a line: those of one node, or of "
           "nodes met on a walk through the network.\v"
           "No node is asked twice, and ten a second at most. Exit codes: 0 some were told; 2 "
           "wrong usage; 3 none; 4 nobody to ask, or nobody answered; 5 interrupted, or time ran "
           "out.",
    .children = children,
};

int sk_cmd_dht_sample(int argc, char **argv)
{
    static struct sample sample = {.limit = HASHES_DEFAULT,
                                   .num = -1,
                                   .interval_s = -1,
                                   .session = {.name = "sample",
                                               .formats = SK_DHT_ALL_FORMATS,
                                               .unfinished = "before there were as many as wanted",
                                               .check = check,
                                               .prepare = prepare,
                                               .finish = finish,
                                               .show = show,
                                               .on_tick = on_tick}};
    int code = sk_dht_session_main(&sample.session, &argp, argc, argv, begin, &sample);
    json_decref(sample.list);
    sk_map_deinit(&sample.hashes);
    sk_map_deinit(&sample.met);
    return code;
}
