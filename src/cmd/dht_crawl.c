/* skep dht crawl: every node of the network that can be found, at a polite rate. */
#include "store/dht_crawl.h"
#include "base/assert.h"
#include "cmd/dht.h"
#include "cmd/units.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENTS_MAX 512 /* different versions that are counted */
#define CLIENTS_SHOWN 8
#define NODES_LIMIT_MAX 100000000

enum { KEY_DB = 3000, KEY_LIMIT };

struct client {
    char name[SK_DHT_VERSION_MAX];
    uint64_t nodes;
};

struct crawl {
    struct sk_dht_session session;
    const char *db;
    uint32_t limit;
    struct sk_crawl_store *store;
    double begun_s;
    uint64_t asked, known;                          /* so far */
    uint64_t told, alive, silent, changed, fitting; /* of the nodes told */
    struct client clients[CLIENTS_MAX];
    size_t clients_count;
    struct skep_dht_crawl_result result;
};

/* ---- a node ---- */

static void count_client(struct crawl *crawl, const char *name)
{
    for (size_t i = 0; i < crawl->clients_count; i++) {
        if (strcmp(crawl->clients[i].name, name) == 0) {
            crawl->clients[i].nodes++;
            return;
        }
    }
    if (crawl->clients_count == CLIENTS_MAX)
        return;
    struct client *client = &crawl->clients[crawl->clients_count++];
    snprintf(client->name, sizeof client->name, "%s", name);
    client->nodes = 1;
}

static void count(struct crawl *crawl, const struct skep_dht_found *found, const char *client)
{
    bool silent = found->state == SKEP_DHT_FOUND_SILENT;
    crawl->told++;
    crawl->silent += silent;
    crawl->alive += !silent;
    crawl->changed += found->state == SKEP_DHT_FOUND_ID_CHANGED;
    crawl->fitting += !silent && found->id_fits;
    if (!silent)
        count_client(crawl, client[0] ? client : "unknown");
}

static int print_node(struct crawl *crawl, const struct skep_dht_found *found, const char *address,
                      const char *id, const char *client)
{
    struct sk_dht_session *session = &crawl->session;
    const char *state = sk_crawl_state_name(found->state);
    bool silent = found->state == SKEP_DHT_FOUND_SILENT;
    char rtt[SK_UNITS_MAX] = "-", seconds[32] = "", version[9] = "";
    if (session->options.format == SK_FORMAT_JSONL)
        return sk_dht_json_line(
            session, json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:i}", "type", "node",
                               "address", address, "id", sk_dht_json_text(id), "state", state,
                               "id_fits", silent ? json_null() : json_boolean(found->id_fits),
                               "rtt_s", sk_dht_json_seconds(found->rtt_s), "version",
                               sk_dht_json_version(found->version), "client",
                               sk_dht_json_text(client), "told_by", (int)found->told_by));
    FILE *to = sk_dht_stdout(session);
    if (found->rtt_s >= 0) {
        sk_units_duration(found->rtt_s, rtt);
        snprintf(seconds, sizeof seconds, "%.6f", found->rtt_s);
    }
    if (memcmp(found->version, "\0\0\0", 4))
        sk_hex_encode((const uint8_t *)found->version, 4, version);
    if (session->options.format == SK_FORMAT_CSV)
        fprintf(to, "%s,%s,%s,%s,%s,%s,%u\n", address, id, state,
                silent           ? ""
                : found->id_fits ? "true"
                                 : "false",
                seconds, version, found->told_by);
    else
        fprintf(to, "%-21s  %-10s  %8s  %-40s  %s\n", address, state, rtt, id, client);
    return ferror(to) ? sk_dht_flush(session) : SK_EXIT_DONE;
}

static void take_node(struct crawl *crawl, const struct skep_dht_found *found)
{
    struct sk_dht_session *session = &crawl->session;
    char address[SK_ENDPOINT_TEXT_MAX], id[41] = "", client[SK_DHT_VERSION_MAX];
    sk_dht_session_address(session, found->address, address);
    sk_dht_version_text(found->version, client);
    if (!session->options.anonymize)
        sk_hex_encode(found->id, 20, id);
    count(crawl, found, client);
    if (crawl->store) {
        sk_crawl_store_add(crawl->store, sk_dht_session_seconds(session) - crawl->begun_s, address,
                           id, client, found);
        return;
    }
    int code = print_node(crawl, found, address, id, client);
    if (code)
        sk_dht_session_end(session, code);
}

static void on_crawl(const struct skep_dht_event *event, void *ctx)
{
    struct crawl *crawl = ctx;
    if (event->kind == SKEP_DHT_FOUND) {
        take_node(crawl, event->found);
    } else if (event->kind == SKEP_DHT_PROGRESS && event->progress) {
        crawl->asked = event->progress->done;
        crawl->known = event->progress->total;
    } else if (event->kind == SKEP_DHT_DONE && event->error) {
        sk_dht_session_fail(&crawl->session, event->error, event->reason);
    } else if (event->kind == SKEP_DHT_DONE && event->crawl) {
        crawl->result = *event->crawl;
        sk_dht_session_end(&crawl->session, SK_EXIT_DONE);
    }
}

/* ---- begin and end ---- */

static int open_store(struct crawl *crawl)
{
    struct sk_dht_session *session = &crawl->session;
    char reason[SK_CRAWL_REASON_MAX];
    if (!crawl->db)
        return SK_EXIT_DONE;
    if (sk_crawl_store_open(crawl->db, &crawl->store, reason)) {
        sk_complain("%s", reason);
        return SK_EXIT_STORAGE;
    }
    if (!sk_crawl_store_begin(crawl->store, session->started_unix_s, session->family))
        return SK_EXIT_DONE;
    sk_complain("%s", sk_crawl_store_reason(crawl->store));
    return SK_EXIT_STORAGE;
}

static void begin(void *ctx)
{
    struct crawl *crawl = ctx;
    struct sk_dht_session *session = &crawl->session;
    session->family = sk_dht_session_family(session);
    crawl->begun_s = sk_dht_session_seconds(session);
    int code = open_store(crawl);
    if (code) {
        sk_dht_session_end(session, code);
        return;
    }
    if (session->options.format == SK_FORMAT_CSV && !crawl->store)
        fprintf(sk_dht_stdout(session), "address,id,state,id_fits,rtt_s,version,told_by\n");
    const struct skep_dht_crawl start = {
        .family = session->family, .rate = sk_dht_session_rate(session), .nodes_max = crawl->limit};
    uint64_t id;
    int err = skep_dht_start_crawl(session->engine, &start, on_crawl, crawl, &id);
    if (err)
        sk_dht_session_fail(session, err, NULL);
}

static void show(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                 struct sk_buf *out)
{
    const struct crawl *crawl = ctx;
    /* Nodes are told of at once, progress only now and then. */
    uint64_t all = SK_MAX(crawl->known, crawl->told), done = SK_MAX(crawl->asked, crawl->told);
    char known[SK_UNITS_MAX], asked[SK_UNITS_MAX], alive[SK_UNITS_MAX], time[SK_UNITS_MAX];
    if (how == SK_PROGRESS_JSON)
        sk_buf_printf(out, "{\"type\":\"progress\",\"known\":%llu,\"asked\":%llu,\"alive\":%llu}\n",
                      (unsigned long long)all, (unsigned long long)done,
                      (unsigned long long)crawl->alive);
    else
        sk_buf_printf(out, "%s%s: %s nodes known, %s asked, %s alive\n",
                      how == SK_PROGRESS_PLAIN ? "skep: " : "",
                      sk_units_duration(sk_dht_session_seconds(&crawl->session), time),
                      sk_units_count(all, known), sk_units_count(done, asked),
                      sk_units_count(crawl->alive, alive));
}

static int by_nodes(const void *a, const void *b)
{
    uint64_t x = ((const struct client *)a)->nodes, y = ((const struct client *)b)->nodes;
    return (x < y) - (x > y);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void summarize(struct crawl *crawl)
{
    struct sk_dht_session *session = &crawl->session;
    char number[SK_UNITS_MAX], alive[SK_UNITS_MAX], percent[SK_UNITS_MAX], text[512];
    sk_dht_say(session, "%s nodes found over IPv%u; %s of them answer (%s)",
               sk_units_count(crawl->told, number), session->family,
               sk_units_count(crawl->alive, alive),
               sk_units_share(share(crawl->alive, crawl->told), percent));
    sk_dht_say(session, "%s of these have an id that fits the address; %s have changing ids",
               sk_units_share(share(crawl->fitting, crawl->alive), percent),
               sk_units_count(crawl->changed, number));
    qsort(crawl->clients, crawl->clients_count, sizeof *crawl->clients, by_nodes);
    size_t n = 0;
    for (size_t i = 0; i < crawl->clients_count && i < CLIENTS_SHOWN && n < sizeof text; i++)
        n += (size_t)snprintf(
            text + n, sizeof text - n, "%s%s %s", n ? ", " : "", crawl->clients[i].name,
            sk_units_share(share(crawl->clients[i].nodes, crawl->alive), percent));
    if (n)
        sk_dht_say(session, "clients: %s%s", text,
                   crawl->clients_count > CLIENTS_SHOWN ? ", and others" : "");
}

static int write_end(struct crawl *crawl, bool whole)
{
    struct sk_dht_session *session = &crawl->session;
    double seconds = sk_dht_session_seconds(session) - crawl->begun_s;
    if (crawl->store) {
        if (!sk_crawl_store_finish(crawl->store, seconds, whole ? &crawl->result : NULL))
            return SK_EXIT_DONE;
        sk_complain("%s", sk_crawl_store_reason(crawl->store));
        return SK_EXIT_STORAGE;
    }
    if (crawl->db || session->options.format != SK_FORMAT_JSONL)
        return SK_EXIT_DONE;
    return sk_dht_json_line(
        session,
        json_pack("{s:s, s:s, s:f, s:o, s:s, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "type",
                  "end", "schema", "skep.dht.crawl/1", "started", session->started_unix_s,
                  "seconds", sk_dht_json_seconds(seconds), "stopped",
                  sk_dht_session_stopped(session), "family", (int)session->family, "complete",
                  (int)(whole && crawl->result.complete), "known", (json_int_t)crawl->told, "alive",
                  (json_int_t)crawl->alive, "silent", (json_int_t)crawl->silent, "ids_changed",
                  (json_int_t)crawl->changed, "id_fits", (json_int_t)crawl->fitting, "queries",
                  whole ? json_integer((json_int_t)crawl->result.queries) : json_null()));
}

static int finish(void *ctx, int code)
{
    struct crawl *crawl = ctx;
    if (code != SK_EXIT_DONE && code != SK_EXIT_PARTIAL)
        return code;
    bool whole = crawl->session.stop == SK_DHT_ENDED;
    if (!crawl->session.begun) {
        crawl->session.family = sk_dht_session_family(&crawl->session);
        crawl->begun_s = sk_dht_session_seconds(&crawl->session);
    }
    int failed = write_end(crawl, whole);
    if (!failed)
        failed = sk_dht_flush(&crawl->session);
    if (failed || !crawl->session.begun)
        return failed ? failed : code;
    if (crawl->told)
        summarize(crawl);
    if (whole && !crawl->alive)
        return SK_EXIT_NETWORK;
    return code;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct crawl *crawl = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&crawl->session, state);
    case KEY_DB:
        sk_dht_expect(*arg, "--db", arg, "a file");
        crawl->db = arg;
        return 0;
    case KEY_LIMIT:
        sk_dht_expect(sk_parse_count(arg, NODES_LIMIT_MAX, &crawl->limit) && crawl->limit,
                      "--limit", arg, "a number of nodes above 0");
        return 0;
    case ARGP_KEY_ARG:
        sk_complain("dht crawl: it takes no argument, and got '%.80s'", arg);
        exit(SK_EXIT_USAGE);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"db", KEY_DB, "FILE", 0, "write to this SQLite file, in place of standard output", 1},
    {"limit", KEY_LIMIT, "N", 0, "end when so many nodes are known", 1},
    {0},
};
static const struct argp_child children[] = {{&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .doc = "Walks through the network: asks every node that can be found for the nodes it knows, "
           "and writes a line for each: its address, id, client, and whether it answers.\v"
           "Output is JSON Lines unless --format says text or csv. Exit codes: 0 done; 2 wrong "
           "usage; 4 nobody to ask, or nobody answered; 5 interrupted, or time ran out, with what "
           "was found by then; 7 a file could not be written.",
    .children = children,
};

int sk_cmd_dht_crawl(int argc, char **argv)
{
    static struct crawl crawl = {
        .session = {.name = "crawl",
                    .formats = 1u << SK_FORMAT_TEXT | 1u << SK_FORMAT_JSONL | 1u << SK_FORMAT_CSV,
                    .format_usual = SK_FORMAT_JSONL,
                    .unfinished = "before everybody that is known was asked",
                    .show = show,
                    .finish = finish}};
    int code = sk_dht_session_main(&crawl.session, &argp, argc, argv, begin, &crawl);
    sk_crawl_store_close(crawl.store);
    return code;
}
