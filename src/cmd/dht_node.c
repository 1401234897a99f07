/* skep dht node: a node that answers others, and what it looks like. */
#include "base/assert.h"
#include "base/mem.h"
#include "cmd/dht.h"
#include "cmd/table.h"
#include "cmd/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS 161
#define BAR_WIDTH 16
#define BUCKET_FULL 8  /* nodes of a bucket; the first ones may hold more */
#define OTHER_LINES 18 /* of a frame, besides the buckets */

struct node {
    struct sk_dht_session session;
    bool told; /* that it is ready */
};

static const char *const method_names[SKEP_DHT_METHOD_COUNT] = {
    [SKEP_DHT_PING] = "ping",
    [SKEP_DHT_FIND_NODE] = "find_node",
    [SKEP_DHT_GET_PEERS] = "get_peers",
    [SKEP_DHT_ANNOUNCE_PEER] = "announce_peer",
    [SKEP_DHT_GET] = "get",
    [SKEP_DHT_PUT] = "put",
    [SKEP_DHT_SAMPLE] = "sample_infohashes",
    [SKEP_DHT_UNKNOWN] = "unknown",
};
static const char *const standing_names[] = {
    [SKEP_DHT_EMPTY] = "empty",
    [SKEP_DHT_JOINING] = "joining",
    [SKEP_DHT_READY] = "ready",
    [SKEP_DHT_OFFLINE] = "offline",
};

/* In whole seconds: what races by says nothing. */
static char *age(const struct sk_dht_session *session, char ret_text[SK_UNITS_MAX])
{
    double seconds = floor(sk_dht_session_seconds(session));
    if (seconds < 10)
        snprintf(ret_text, SK_UNITS_MAX, "%.0f s", seconds);
    else
        sk_units_duration(seconds, ret_text);
    return ret_text;
}

static uint64_t sum(const uint64_t counts[SKEP_DHT_METHOD_COUNT])
{
    uint64_t all = 0;
    for (size_t i = 0; i < SKEP_DHT_METHOD_COUNT; i++)
        all += counts[i];
    return all;
}

/* ---- on a terminal ---- */

static void put_line(const struct sk_screen *screen, enum sk_ink ink, const char *text,
                     struct sk_buf *out)
{
    char fitted[512];
    sk_ink_fit(screen, text, screen->columns, SK_INK_CUT_END, fitted, sizeof fitted);
    sk_ink_put(screen, ink, fitted, out);
    sk_buf_text(out, "\n");
}

static void put_network(const struct sk_dht_session *session, const char *name,
                        const struct skep_dht_network *network, const struct sk_screen *screen,
                        struct sk_buf *out)
{
    char line[256], hex[41], retry[SK_UNITS_MAX] = "";
    enum sk_ink ink = network->standing == SKEP_DHT_READY     ? SK_INK_GOOD
                      : network->standing == SKEP_DHT_OFFLINE ? SK_INK_BAD
                                                              : SK_INK_WARN;
    if (!network->there)
        return;
    if (network->standing == SKEP_DHT_OFFLINE && network->retry_s >= 0)
        sk_units_duration(ceil(network->retry_s), retry);
    sk_buf_printf(out, "%s  ", name);
    sk_ink_put(screen, ink, standing_names[network->standing], out);
    snprintf(line, sizeof line, "%s%s; %u nodes (%u good, %u not sure), %u spare, %u buckets",
             retry[0] ? ", again in " : "", retry, network->nodes, network->good,
             network->questionable, network->spares, network->buckets);
    struct sk_screen rest = *screen;
    rest.columns = screen->columns > 20 ? screen->columns - 14 : screen->columns;
    put_line(&rest, SK_INK_PLAIN, line, out);
    if (session->options.anonymize)
        return;
    sk_hex_encode(network->id, 20, hex);
    snprintf(line, sizeof line, "      id %s%s%s", hex, network->address[0] ? ", seen as " : "",
             network->address);
    put_line(screen, SK_INK_DIM, line, out);
}

enum { TRAFFIC_WHAT, TRAFFIC_IN, TRAFFIC_OUT };
static const struct sk_table_column traffic_columns[] = {
    [TRAFFIC_WHAT] = {"TRAFFIC", 0, 0, false, SK_INK_CUT_END},
    [TRAFFIC_IN] = {"IN", 0, 0, true, SK_INK_CUT_END},
    [TRAFFIC_OUT] = {"OUT", 0, 0, true, SK_INK_CUT_END},
};

static void put_traffic(const struct skep_dht_stats *stats, const struct sk_screen *screen,
                        struct sk_buf *out)
{
    static struct sk_table_cell cells[(SKEP_DHT_METHOD_COUNT + 3) * 3];
    struct sk_table_cell *row = cells;
    memset(cells, 0, sizeof cells);
    for (size_t i = 0; i < SKEP_DHT_METHOD_COUNT; i++) {
        if (!stats->queries_in[i] && !stats->queries_out[i])
            continue;
        snprintf(row[TRAFFIC_WHAT].text, SK_TABLE_CELL_MAX, "%s", method_names[i]);
        sk_units_count(stats->queries_in[i], row[TRAFFIC_IN].text);
        sk_units_count(stats->queries_out[i], row[TRAFFIC_OUT].text);
        row += 3;
    }
    const struct {
        const char *what;
        uint64_t in, out;
    } others[] = {
        {"answers", stats->answers_in, stats->answers_out},
        {"errors", stats->errors_in, stats->errors_out},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(others); i++, row += 3) {
        snprintf(row[TRAFFIC_WHAT].text, SK_TABLE_CELL_MAX, "%s", others[i].what);
        sk_units_count(others[i].in, row[TRAFFIC_IN].text);
        sk_units_count(others[i].out, row[TRAFFIC_OUT].text);
    }
    snprintf(row[TRAFFIC_WHAT].text, SK_TABLE_CELL_MAX, "bytes");
    sk_units_bytes((double)stats->bytes_in, row[TRAFFIC_IN].text);
    sk_units_bytes((double)stats->bytes_out, row[TRAFFIC_OUT].text);
    row += 3;
    sk_table_write(screen, traffic_columns, SK_ARRAY_LEN(traffic_columns), cells,
                   (size_t)(row - cells) / 3, out);
}

static void put_counts(const struct skep_dht_stats *stats, const struct sk_screen *screen,
                       struct sk_buf *out)
{
    char line[256], memory[SK_UNITS_MAX];
    snprintf(line, sizeof line,
             "%llu did not answer; refused: %llu over a limit, %llu malformed, %llu bad tokens",
             (unsigned long long)stats->silent, (unsigned long long)stats->dropped,
             (unsigned long long)stats->malformed, (unsigned long long)stats->bad_tokens);
    put_line(screen, SK_INK_DIM, line, out);
    snprintf(line, sizeof line, "kept for others: %u info-hashes, %u peers, %u items; %s of memory",
             stats->hashes, stats->peers, stats->items,
             sk_units_bytes((double)stats->memory_bytes, memory));
    put_line(screen, SK_INK_DIM, line, out);
}

enum { BUCKET_BITS, BUCKET_NODES, BUCKET_GOOD, BUCKET_RTT, BUCKET_BAR };
static const struct sk_table_column bucket_columns[] = {
    [BUCKET_BITS] = {"BITS SHARED", 0, 0, true, SK_INK_CUT_END},
    [BUCKET_NODES] = {"NODES", 0, 0, true, SK_INK_CUT_END},
    [BUCKET_GOOD] = {"GOOD", 0, 0, true, SK_INK_CUT_END},
    [BUCKET_RTT] = {"RTT", 0, 0, true, SK_INK_CUT_END},
    [BUCKET_BAR] = {"", 1, 0, false, SK_INK_CUT_END},
};
#define BUCKET_COLUMNS SK_ARRAY_LEN(bucket_columns)

struct bucket {
    unsigned nodes, good, timed;
    double rtt_s; /* sum of the timed */
};

static void put_buckets(const struct node *node, size_t rows_max, const struct sk_screen *screen,
                        struct sk_buf *out)
{
    struct bucket buckets[BUCKETS] = {0};
    struct skep_dht_node each;
    size_t pos = 0, rows = 0;
    while (skep_dht_next_node(node->session.engine, &pos, &each)) {
        struct bucket *bucket = &buckets[SK_MIN(each.bucket, BUCKETS - 1u)];
        bucket->nodes++;
        bucket->good += each.good;
        bucket->timed += each.rtt_s >= 0;
        bucket->rtt_s += each.rtt_s >= 0 ? each.rtt_s : 0;
    }
    struct sk_table_cell *cells = sk_mem_calloc(BUCKETS * BUCKET_COLUMNS, sizeof *cells);
    for (size_t i = 0; cells && i < BUCKETS && rows < rows_max; i++) {
        const struct bucket *bucket = &buckets[i];
        struct sk_table_cell *row = &cells[rows * BUCKET_COLUMNS];
        if (!bucket->nodes)
            continue;
        snprintf(row[BUCKET_BITS].text, SK_TABLE_CELL_MAX, "%zu", i);
        snprintf(row[BUCKET_NODES].text, SK_TABLE_CELL_MAX, "%u", bucket->nodes);
        snprintf(row[BUCKET_GOOD].text, SK_TABLE_CELL_MAX, "%u", bucket->good);
        sk_units_duration(bucket->timed ? bucket->rtt_s / bucket->timed : NAN,
                          row[BUCKET_RTT].text);
        sk_ink_bar(screen, SK_MIN(bucket->good, BUCKET_FULL) / (double)BUCKET_FULL, BAR_WIDTH,
                   row[BUCKET_BAR].text, SK_TABLE_CELL_MAX);
        row[BUCKET_BAR].ink = SK_INK_BAR;
        rows++;
    }
    if (rows)
        sk_table_write(screen, bucket_columns, BUCKET_COLUMNS, cells, rows, out);
    sk_mem_free(cells);
}

static void show_tty(const struct node *node, const struct skep_dht_stats *stats,
                     const struct sk_screen *screen, struct sk_buf *out)
{
    const struct sk_dht_session *session = &node->session;
    char line[160], time[SK_UNITS_MAX];
    snprintf(line, sizeof line, "A node of the DHT on UDP port %u, for %s%s",
             skep_runtime_udp_port(session->runtime), age(session, time),
             session->read_only ? "; read-only" : "");
    put_line(screen, SK_INK_BOLD, line, out);
    put_network(session, "IPv4", &stats->v4, screen, out);
    put_network(session, "IPv6", &stats->v6, screen, out);
    sk_buf_text(out, "\n");
    put_traffic(stats, screen, out);
    put_counts(stats, screen, out);
    if (screen->rows <= OTHER_LINES + 3)
        return;
    sk_buf_text(out, "\n");
    put_buckets(node, screen->rows - OTHER_LINES - 2, screen, out);
}

/* ---- for others ---- */

static json_t *network_value(const struct sk_dht_session *session,
                             const struct skep_dht_network *network)
{
    if (!network->there)
        return json_null();
    bool hidden = session->options.anonymize;
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:i}", "standing",
        standing_names[network->standing], "retry_s", sk_dht_json_seconds(network->retry_s), "id",
        sk_dht_json_id(session, network->id), "address",
        sk_dht_json_text(hidden ? NULL : network->address), "nodes", (int)network->nodes, "good",
        (int)network->good, "questionable", (int)network->questionable, "spares",
        (int)network->spares, "buckets", (int)network->buckets);
}

static json_t *queries_value(const uint64_t counts[SKEP_DHT_METHOD_COUNT])
{
    json_t *object = json_object();
    for (size_t i = 0; i < SKEP_DHT_METHOD_COUNT; i++)
        json_object_set_new(object, method_names[i], json_integer((json_int_t)counts[i]));
    return object;
}

static json_t *counts_value(const struct skep_dht_stats *stats)
{
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {
        {"answers_in", stats->answers_in},
        {"answers_out", stats->answers_out},
        {"errors_in", stats->errors_in},
        {"errors_out", stats->errors_out},
        {"silent", stats->silent},
        {"packets_in", stats->packets_in},
        {"packets_out", stats->packets_out},
        {"bytes_in", stats->bytes_in},
        {"bytes_out", stats->bytes_out},
        {"dropped", stats->dropped},
        {"malformed", stats->malformed},
        {"unasked", stats->unasked},
        {"bad_tokens", stats->bad_tokens},
        {"ids_changed", stats->ids_changed},
        {"hashes", stats->hashes},
        {"peers", stats->peers},
        {"items", stats->items},
        {"memory_bytes", stats->memory_bytes},
    };
    json_t *object = json_object();
    for (size_t i = 0; i < SK_ARRAY_LEN(counts); i++)
        json_object_set_new(object, counts[i].name, json_integer((json_int_t)counts[i].count));
    json_object_set_new(object, "queries_in", queries_value(stats->queries_in));
    json_object_set_new(object, "queries_out", queries_value(stats->queries_out));
    return object;
}

static json_t *node_value(const struct node *node, const struct skep_dht_stats *stats)
{
    const struct sk_dht_session *session = &node->session;
    return json_pack("{s:i, s:o, s:o, s:o}", "port", (int)skep_runtime_udp_port(session->runtime),
                     "ipv4", network_value(session, &stats->v4), "ipv6",
                     network_value(session, &stats->v6), "counts", counts_value(stats));
}

static void show_json(const struct node *node, const struct skep_dht_stats *stats,
                      struct sk_buf *out)
{
    json_t *object = node_value(node, stats);
    if (object)
        json_object_set_new(object, "type", json_string("progress"));
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    if (text)
        sk_buf_printf(out, "%s\n", text);
    free(text);
    json_decref(object);
}

static void show_plain(const struct node *node, const struct skep_dht_stats *stats,
                       struct sk_buf *out)
{
    char time[SK_UNITS_MAX];
    sk_buf_printf(out,
                  "skep: %s: %u nodes (%u good) over IPv4, %u (%u) over IPv6; queries: %llu in, "
                  "%llu out\n",
                  age(&node->session, time), stats->v4.nodes, stats->v4.good, stats->v6.nodes,
                  stats->v6.good, (unsigned long long)sum(stats->queries_in),
                  (unsigned long long)sum(stats->queries_out));
}

static void show(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                 struct sk_buf *out)
{
    const struct node *node = ctx;
    struct skep_dht_stats stats;
    if (skep_dht_stats(node->session.engine, &stats))
        return;
    if (how == SK_PROGRESS_TTY)
        show_tty(node, &stats, screen, out);
    else if (how == SK_PROGRESS_JSON)
        show_json(node, &stats, out);
    else
        show_plain(node, &stats, out);
}

/* ---- the run ---- */

static void begin(void *ctx)
{
    struct node *node = ctx;
    sk_dht_say(&node->session, "a node of the DHT on UDP port %u",
               skep_runtime_udp_port(node->session.runtime));
}

static void on_tick(void *ctx)
{
    struct node *node = ctx;
    struct skep_dht_stats stats;
    if (node->told || skep_dht_stats(node->session.engine, &stats) ||
        (stats.v4.standing != SKEP_DHT_READY && stats.v6.standing != SKEP_DHT_READY))
        return;
    node->told = true;
    sk_dht_say(&node->session, "ready: part of the network");
}

/* It is there to be interrupted. */
static int finish(void *ctx, int code)
{
    struct node *node = ctx;
    struct skep_dht_stats stats;
    if (node->session.options.format != SK_FORMAT_JSON ||
        skep_dht_stats(node->session.engine, &stats))
        return code == SK_EXIT_PARTIAL ? SK_EXIT_DONE : code;
    int failed = sk_dht_json_print(&node->session, node_value(node, &stats));
    return failed ? failed : sk_dht_flush(&node->session);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct node *node = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&node->session, state);
    case ARGP_KEY_ARG:
        sk_complain("dht node: it takes no argument, and got '%.80s'", arg);
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .parser = parse,
    .doc = "Is a node of the DHT until it is interrupted: answers others, keeps what they store, "
           "and shows its routing table and its traffic.\v"
           "At the end --format=json prints what it did. Exit codes: 0 interrupted, or --time is "
           "over; 2 wrong usage; 4 the port cannot be had.",
    .children = children,
};

int sk_cmd_dht_node(int argc, char **argv)
{
    struct node node = {.session = {.name = "node",
                                    .formats = SK_DHT_TEXT_JSON,
                                    .stays = true,
                                    .way = SK_DHT_WAY_SERVE,
                                    .show = show,
                                    .on_tick = on_tick,
                                    .finish = finish}};
    return sk_dht_session_main(&node.session, &argp, argc, argv, begin, &node);
}
