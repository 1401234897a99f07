/* skep dht peers: addresses of a torrent's peers, as they come. */
#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "cmd/dht.h"
#include "cmd/units.h"

#include <stdio.h>

#define PEERS_MAX 200000 /* different addresses that are told */

struct peers {
    struct sk_dht_session session;
    const char *target;
    struct sk_target_hash hash;
    struct sk_map seen; /* endpoints */
    struct sk_texts list;
    uint32_t nodes; /* that told of some */
    struct skep_dht_result result;
    int error;
    const char *reason;
};

static void print_peer(struct peers *peers, const char *address)
{
    struct sk_dht_session *session = &peers->session;
    char text[SK_ENDPOINT_TEXT_MAX];
    sk_dht_session_address(session, address, text);
    if (session->options.format == SK_FORMAT_JSON)
        sk_texts_add(&peers->list, text);
    else if (session->options.format == SK_FORMAT_JSONL)
        sk_dht_json_line(session, json_pack("{s:s, s:s}", "type", "peer", "address", text));
    else
        fprintf(sk_dht_stdout(session), "%s\n", text);
}

static void take_peers(struct peers *peers, const struct skep_dht_answer *answer)
{
    for (size_t i = 0; i < answer->peers_count; i++) {
        struct sk_endpoint endpoint;
        if (sk_endpoint_parse(answer->peers[i], 0, &endpoint) ||
            sk_map_get(&peers->seen, &endpoint) || sk_map_put(&peers->seen, &endpoint, peers))
            continue;
        print_peer(peers, answer->peers[i]);
    }
    peers->nodes += answer->peers_count > 0;
    int code = sk_dht_flush(&peers->session);
    if (code)
        sk_dht_session_end(&peers->session, code);
}

static void on_peers(const struct skep_dht_event *event, void *ctx)
{
    struct peers *peers = ctx;
    if (!sk_dht_session_event(&peers->session, event))
        return;
    if (event->kind == SKEP_DHT_ANSWERED) {
        take_peers(peers, event->answer);
    } else if (event->kind == SKEP_DHT_DONE && event->error) {
        sk_dht_session_fail(&peers->session, event->error, event->reason);
    } else if (event->kind == SKEP_DHT_DONE) {
        peers->result = *event->result;
        sk_dht_session_end(&peers->session, SK_EXIT_DONE);
    }
}

static void begin_peers(void *ctx)
{
    struct peers *peers = ctx;
    struct sk_dht_session *session = &peers->session;
    const struct skep_dht_search search = {
        .method = SKEP_DHT_GET_PEERS, .target = peers->hash.bytes, .family = session->family};
    uint64_t id;
    sk_dht_trace_target(&session->trace, peers->hash.bytes);
    if (session->options.format == SK_FORMAT_CSV)
        fprintf(sk_dht_stdout(session), "address\n");
    int err = skep_dht_start_search(session->engine, &search, on_peers, peers, &id);
    if (err)
        sk_dht_session_fail(session, err, NULL);
}

static json_t *peers_value(struct peers *peers)
{
    json_t *list = json_array();
    for (size_t i = 0; i < peers->list.count; i++)
        json_array_append_new(list, json_string(peers->list.list[i]));
    return list;
}

/* Also of a search that was cut short. */
static int finish_peers(void *ctx, int code)
{
    struct peers *peers = ctx;
    struct sk_dht_session *session = &peers->session;
    bool whole = session->stop == SK_DHT_ENDED;
    char count[64];
    if (code != SK_EXIT_DONE && code != SK_EXIT_PARTIAL)
        return code;
    struct skep_dht_result result = whole ? peers->result : sk_dht_session_so_far(session);
    json_t *search = sk_dht_json_search(&result);
    int failed = SK_EXIT_DONE;
    if (session->options.format == SK_FORMAT_JSON)
        failed =
            sk_dht_json_print(session, json_pack("{s:o, s:b, s:i, s:o, s:o}", "target",
                                                 sk_dht_json_hex(peers->hash.bytes, 20), "complete",
                                                 (int)whole, "nodes_with_peers", (int)peers->nodes,
                                                 "search", search, "peers", peers_value(peers)));
    else if (session->options.format == SK_FORMAT_JSONL)
        failed = sk_dht_json_line(
            session, json_pack("{s:s, s:s, s:o, s:b, s:i, s:i, s:o}", "type", "end", "stopped",
                               sk_dht_session_stopped(session), "target",
                               sk_dht_json_hex(peers->hash.bytes, 20), "complete", (int)whole,
                               "peers", (int)peers->seen.count, "nodes_with_peers",
                               (int)peers->nodes, "search", search));
    else
        json_decref(search);
    if (!failed)
        failed = sk_dht_flush(session);
    if (failed)
        return failed;
    if (whole)
        sk_dht_say(session, "%s told by %u of %u nodes that were asked",
                   sk_dht_count(peers->seen.count, "peer", count), peers->nodes,
                   peers->result.asked);
    if (whole && !peers->result.answered)
        return SK_EXIT_NETWORK;
    return whole && !peers->seen.count ? SK_EXIT_NOTHING : code;
}

static int prepare_peers(void *ctx)
{
    struct peers *peers = ctx;
    sk_map_init(&peers->seen, sizeof(struct sk_endpoint), PEERS_MAX, peers->session.seed);
    return sk_dht_target(&peers->session, peers->target, &peers->hash);
}

static error_t parse_peers(int key, char *arg, struct argp_state *state)
{
    struct peers *peers = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        return sk_dht_session_children(&peers->session, state);
    case ARGP_KEY_ARG:
        sk_dht_one_argument(&peers->session, &peers->target, arg, "TARGET");
        return 0;
    case ARGP_KEY_END:
        sk_dht_want_argument(&peers->session, peers->target, "a TARGET");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child peers_children[] = {
    {&sk_dht_trace_argp, 0, NULL, 0}, {&sk_dht_argp, 0, NULL, 0}, {0}};
static const struct argp peers_argp = {
    .parser = parse_peers,
    .args_doc = "TARGET",
    .doc = "Prints the addresses of a torrent's peers, as nodes tell of them, one a line.\v"
           "A TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, the "
           "http(s) address of a .torrent file, or - for standard input.\n\n"
           "Exit codes: 0 peers were found; 2 wrong usage; 3 none; 4 nobody to ask, or nobody "
           "answered; 5 interrupted, or time ran out; 6 the torrent is broken.",
    .children = peers_children,
};

int sk_cmd_dht_peers(int argc, char **argv)
{
    struct peers peers = {.session = {.name = "peers",
                                      .formats = SK_DHT_ALL_FORMATS,
                                      .unfinished = "before all were asked who may know of peers",
                                      .prepare = prepare_peers,
                                      .finish = finish_peers}};
    int code = sk_dht_session_main(&peers.session, &peers_argp, argc, argv, begin_peers, &peers);
    sk_map_deinit(&peers.seen);
    sk_texts_deinit(&peers.list);
    return code;
}
