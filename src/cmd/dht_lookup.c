/* skep dht lookup: the nodes closest to an id. skep dht ping: one node. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/dht.h"
#include "cmd/table.h"
#include "cmd/terminal.h"
#include "cmd/units.h"
#include "proto/dht/node_id.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MET_MAX 1024 /* nodes of one search that are remembered */
#define CLOSEST 8    /* of a search that was cut short */

/* A node that answered. */
struct met {
    uint8_t id[20];
    char version[4], address[SK_ENDPOINT_TEXT_MAX];
    unsigned distance;
    double rtt_s;
};

struct lookup {
    struct sk_dht_session session;
    const char *text;
    uint8_t target[20];
    struct met met[MET_MAX];
    size_t met_count;
};

static void remember(struct lookup *lookup, const struct skep_dht_event *event)
{
    if (!event->node_id || lookup->met_count == MET_MAX)
        return;
    struct met *met = &lookup->met[lookup->met_count++];
    memcpy(met->id, event->node_id, sizeof met->id);
    memcpy(met->version, event->answer->version, sizeof met->version);
    snprintf(met->address, sizeof met->address, "%s", event->address);
    met->distance = event->distance;
    met->rtt_s = event->rtt_s;
}

static const char *version_of(const struct lookup *lookup, const uint8_t *id)
{
    static const char unknown[4];
    for (size_t i = 0; i < lookup->met_count; i++)
        if (memcmp(lookup->met[i].id, id, 20) == 0)
            return lookup->met[i].version;
    return unknown;
}

static json_t *closest_value(const struct lookup *lookup, const struct skep_dht_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < result->closest_count; i++) {
        const struct skep_dht_closest *closest = &result->closest[i];
        char client[SK_DHT_VERSION_MAX];
        const char *version = version_of(lookup, closest->id);
        json_t *node = json_pack(
            "{s:o, s:o, s:i, s:o, s:o, s:o}", "address",
            sk_dht_json_address(&lookup->session, closest->address), "id",
            sk_dht_json_id(&lookup->session, closest->id), "distance", (int)closest->distance,
            "rtt_s", sk_dht_json_seconds(closest->rtt_s), "version", sk_dht_json_version(version),
            "client", sk_dht_json_text(sk_dht_version_text(version, client)));
        if (json_array_append_new(list, node)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

enum { CLOSEST_ADDRESS, CLOSEST_BITS, CLOSEST_RTT, CLOSEST_CLIENT, CLOSEST_ID };
static const struct sk_table_column closest_columns[] = {
    [CLOSEST_ADDRESS] = {"ADDRESS", 0, 21, false, SK_INK_CUT_MIDDLE},
    [CLOSEST_BITS] = {"BITS AWAY", 0, 0, true, SK_INK_CUT_END},
    [CLOSEST_RTT] = {"RTT", 1, 0, true, SK_INK_CUT_END},
    [CLOSEST_CLIENT] = {"CLIENT", 2, 12, false, SK_INK_CUT_END},
    [CLOSEST_ID] = {"ID", 0, 12, false, SK_INK_CUT_END},
};
#define CLOSEST_COLUMNS SK_ARRAY_LEN(closest_columns)

static int print_closest(struct lookup *lookup, const struct skep_dht_result *result)
{
    struct sk_screen screen;
    struct sk_buf out;
    struct sk_table_cell *cells =
        sk_mem_calloc(result->closest_count * CLOSEST_COLUMNS, sizeof *cells);
    if (!cells) {
        sk_complain("%s", skep_err_text(SKEP_ERR_NOMEM));
        return SK_EXIT_FAILED;
    }
    for (size_t i = 0; i < result->closest_count; i++) {
        const struct skep_dht_closest *closest = &result->closest[i];
        struct sk_table_cell *row = &cells[i * CLOSEST_COLUMNS];
        sk_dht_session_address(&lookup->session, closest->address, row[CLOSEST_ADDRESS].text);
        snprintf(row[CLOSEST_BITS].text, SK_TABLE_CELL_MAX, "%u", closest->distance);
        sk_units_duration(closest->rtt_s >= 0 ? closest->rtt_s : NAN, row[CLOSEST_RTT].text);
        sk_dht_version_text(version_of(lookup, closest->id), row[CLOSEST_CLIENT].text);
        if (!lookup->session.options.anonymize)
            sk_hex_encode(closest->id, 20, row[CLOSEST_ID].text);
    }
    sk_terminal_look(STDOUT_FILENO, &screen);
    sk_buf_init(&out, 1u << 20);
    sk_table_write(&screen, closest_columns, CLOSEST_COLUMNS, cells, result->closest_count, &out);
    fwrite(out.p, 1, out.n, sk_dht_stdout(&lookup->session));
    sk_buf_deinit(&out);
    sk_mem_free(cells);
    return sk_dht_flush(&lookup->session);
}

static int print_lookup(struct lookup *lookup, const struct skep_dht_result *result)
{
    struct sk_dht_session *session = &lookup->session;
    if (session->options.format == SK_FORMAT_JSON)
        return sk_dht_json_print(session, json_pack("{s:o, s:o, s:o}", "target",
                                                    sk_dht_json_hex(lookup->target, 20), "search",
                                                    sk_dht_json_search(result), "closest",
                                                    closest_value(lookup, result)));
    return result->closest_count ? print_closest(lookup, result) : SK_EXIT_DONE;
}

static void lookup_done(struct lookup *lookup, const struct skep_dht_event *event)
{
    struct sk_dht_session *session = &lookup->session;
    const struct skep_dht_result *result = event->result;
    if (event->error) {
        sk_dht_session_fail(session, event->error, event->reason);
        return;
    }
    int code = print_lookup(lookup, result);
    if (!code && !result->closest_count) {
        sk_complain("no node answered (%u asked)", result->asked);
        code = SK_EXIT_NETWORK;
    }
    sk_dht_session_end(session, code);
}

static void on_lookup(const struct skep_dht_event *event, void *ctx)
{
    struct lookup *lookup = ctx;
    if (!sk_dht_session_event(&lookup->session, event))
        return;
    if (event->kind == SKEP_DHT_ANSWERED)
        remember(lookup, event);
    else if (event->kind == SKEP_DHT_DONE)
        lookup_done(lookup, event);
}

static void begin_lookup(void *ctx)
{
    struct lookup *lookup = ctx;
    struct sk_dht_session *session = &lookup->session;
    const struct skep_dht_search search = {
        .method = SKEP_DHT_FIND_NODE, .target = lookup->target, .family = session->family};
    uint64_t id;
    sk_dht_trace_target(&session->trace, lookup->target);
    int err = skep_dht_start_search(session->engine, &search, on_lookup, lookup, &id);
    if (err)
        sk_dht_session_fail(session, err, NULL);
}

/* The smallest of what differs from the target first. */
static int by_distance(const void *a, const void *b, void *target)
{
    const struct met *x = a, *y = b;
    const uint8_t *to = target;
    for (size_t i = 0; i < sizeof x->id; i++)
        if (x->id[i] != y->id[i])
            return (x->id[i] ^ to[i]) - (y->id[i] ^ to[i]);
    return 0;
}

/* Of a search that was cut short: the closest by then. */
static int finish_lookup(void *ctx, int code)
{
    struct lookup *lookup = ctx;
    struct skep_dht_closest closest[CLOSEST];
    if (code != SK_EXIT_PARTIAL)
        return code;
    struct skep_dht_result result = sk_dht_session_so_far(&lookup->session);
    qsort_r(lookup->met, lookup->met_count, sizeof *lookup->met, by_distance, lookup->target);
    result.closest = closest;
    result.closest_count = SK_MIN(lookup->met_count, (size_t)CLOSEST);
    for (size_t i = 0; i < result.closest_count; i++) {
        const struct met *met = &lookup->met[i];
        closest[i] = (struct skep_dht_closest){
            .address = met->address, .id = met->id, .distance = met->distance, .rtt_s = met->rtt_s};
    }
    int failed = print_lookup(lookup, &result);
    return failed ? failed : code;
}

static error_t parse_lookup(int key, char *arg, struct argp_state *state)
{
    struct lookup *lookup = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&lookup->session, state);
    case ARGP_KEY_ARG:
        sk_dht_one_argument(&lookup->session, &lookup->text, arg, "ID");
        sk_dht_expect(sk_hex_decode(arg, strlen(arg), lookup->target, 20), "ID", arg,
                      "40 hexadecimal digits");
        return 0;
    case ARGP_KEY_END:
        sk_dht_want_argument(&lookup->session, lookup->text, "an ID");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child lookup_children[] = {
    {&sk_dht_trace_argp, 0, NULL, 0}, {&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp lookup_argp = {
    .parser = parse_lookup,
    .args_doc = "ID",
    .doc = "Finds the nodes whose ids are closest to an ID of 40 hexadecimal digits.\v"
           "Exit codes: 0 found; 2 wrong usage; 4 nobody to ask, or nobody answered; 5 "
           "interrupted, or time ran out.",
    .children = lookup_children,
};

int sk_cmd_dht_lookup(int argc, char **argv)
{
    struct lookup *lookup = sk_mem_calloc(1, sizeof *lookup);
    if (!lookup)
        return SK_EXIT_FAILED;
    struct sk_dht_session *session = &lookup->session;
    session->name = "lookup";
    session->formats = SK_DHT_TEXT_JSON;
    session->unfinished = "before the closest nodes were found";
    session->finish = finish_lookup;
    int code = sk_dht_session_main(session, &lookup_argp, argc, argv, begin_lookup, lookup);
    sk_mem_free(lookup);
    return code;
}

/* ---- ping ---- */

struct ping {
    struct sk_dht_session session;
    const char *address;
};

static void print_ping_text(struct ping *ping, const struct skep_dht_event *event, bool fits)
{
    struct sk_dht_session *session = &ping->session;
    FILE *to = sk_dht_stdout(session);
    char address[SK_ENDPOINT_TEXT_MAX], rtt[SK_UNITS_MAX], client[SK_DHT_VERSION_MAX], id[41];
    sk_dht_session_address(session, event->address, address);
    fprintf(to, "%s answered in %s\n", address, sk_units_duration(event->rtt_s, rtt));
    sk_hex_encode(event->node_id, 20, id);
    fprintf(to, "  id       %s\n", session->options.anonymize ? "(hidden)" : id);
    fprintf(to, "           %s\n",
            fits ? "fits its address (BEP 42)" : "does not fit its address (BEP 42)");
    sk_dht_version_text(event->answer->version, client);
    fprintf(to, "  client   %s\n", client[0] ? client : "not said");
    sk_dht_session_address(session, event->answer->sees_us_as, address);
    fprintf(to, "  sees us  %s\n", address[0] ? address : "not said");
}

static int print_ping(struct ping *ping, const struct skep_dht_event *event)
{
    struct sk_dht_session *session = &ping->session;
    struct sk_endpoint endpoint;
    char client[SK_DHT_VERSION_MAX];
    bool fits = event->node_id && !sk_endpoint_parse(event->address, 0, &endpoint) &&
                sk_dht_id_fits(event->node_id, &endpoint);
    if (session->options.format == SK_FORMAT_TEXT) {
        print_ping_text(ping, event, fits);
        return sk_dht_flush(session);
    }
    const char *version = event->answer->version;
    return sk_dht_json_print(
        session,
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "address",
                  sk_dht_json_address(session, event->address), "id",
                  sk_dht_json_id(session, event->node_id), "id_fits",
                  event->node_id ? json_boolean(fits) : json_null(), "rtt_s",
                  sk_dht_json_seconds(event->rtt_s), "version", sk_dht_json_version(version),
                  "client", sk_dht_json_text(sk_dht_version_text(version, client)), "sees_us_as",
                  sk_dht_json_address(session, event->answer->sees_us_as)));
}

static void on_ping(const struct skep_dht_event *event, void *ctx)
{
    struct ping *ping = ctx;
    struct sk_dht_session *session = &ping->session;
    if (!sk_dht_session_event(session, event))
        return;
    if (event->kind == SKEP_DHT_ANSWERED && event->node_id) {
        sk_dht_session_end(session, print_ping(ping, event));
    } else if (event->kind == SKEP_DHT_REFUSED) {
        sk_complain("%.200s answered with an error: %lld %.*s", ping->address,
                    (long long)event->code, (int)SK_MIN(event->text_size, (size_t)200),
                    event->text ? event->text : "");
        sk_dht_session_end(session, SK_EXIT_NETWORK);
    } else if (event->kind == SKEP_DHT_DONE) {
        sk_complain("%.200s: %s", ping->address, event->reason ? event->reason : "no answer");
        sk_dht_session_end(session, SK_EXIT_NETWORK);
    }
}

static void begin_ping(void *ctx)
{
    struct ping *ping = ctx;
    const struct skep_dht_ask ask = {.method = SKEP_DHT_PING, .address = ping->address};
    uint64_t id;
    int err = skep_dht_start_ask(ping->session.engine, &ask, on_ping, ping, &id);
    if (err == SKEP_ERR_INVALID) {
        sk_complain("%.200s: expected HOST:PORT, or [ADDRESS]:PORT for IPv6", ping->address);
        sk_dht_session_end(&ping->session, SK_EXIT_USAGE);
    } else if (err) {
        sk_dht_session_fail(&ping->session, err, NULL);
    }
}

/* Whoever has waited as long as was wanted has its answer: there is none. */
static int finish_ping(void *ctx, int code)
{
    struct ping *ping = ctx;
    const struct skep_dht_answer nothing = {0};
    const struct skep_dht_event no_event = {
        .address = ping->address, .rtt_s = -1, .answer = &nothing};
    char time[SK_UNITS_MAX];
    if (ping->session.stop == SK_DHT_TIME_UP) {
        sk_complain("%.200s: no answer in %s", ping->address,
                    sk_units_duration(ping->session.options.time_s, time));
        return SK_EXIT_NETWORK;
    }
    if (code != SK_EXIT_PARTIAL || ping->session.options.format != SK_FORMAT_JSON)
        return code;
    int failed = print_ping(ping, &no_event);
    return failed ? failed : code;
}

static error_t parse_ping(int key, char *arg, struct argp_state *state)
{
    struct ping *ping = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&ping->session, state);
    case ARGP_KEY_ARG:
        sk_dht_one_argument(&ping->session, &ping->address, arg, "HOST:PORT");
        return 0;
    case ARGP_KEY_END:
        sk_dht_want_argument(&ping->session, ping->address, "HOST:PORT");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child ping_children[] = {{&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp ping_argp = {
    .parser = parse_ping,
    .args_doc = "HOST:PORT",
    .doc = "Asks one node whether it is there, and says what it says.\v"
           "Nobody else is asked. Exit codes: 0 it answered; 2 wrong usage; 4 it did not; 5 "
           "interrupted.",
    .children = ping_children,
};

int sk_cmd_dht_ping(int argc, char **argv)
{
    struct ping ping = {.session = {.name = "ping",
                                    .formats = SK_DHT_TEXT_JSON,
                                    .unfinished = "before it answered",
                                    .way = SK_DHT_WAY_ALONE,
                                    .finish = finish_ping}};
    return sk_dht_session_main(&ping.session, &ping_argp, argc, argv, begin_ping, &ping);
}
