/* The statements of a scenario. */
#include "dialogue.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/dht/node_id.h"

#include <skep/err.h>

#include <stdio.h>
#include <stdlib.h>

#define START (1000000 * SC_MS)
#define FILE_MAX (1u << 20)

typedef void (*statement_fn)(struct sc_dialogue *dialogue, struct sc_text *text);

static void run_statement(struct sc_dialogue *dialogue, struct sc_text *text);

/* ---- parts of statements ---- */

static bool at_end(struct sc_text *text)
{
    sc_skip_space(text);
    return text->at == text->end;
}

static struct sk_bytes need_word(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_bytes word = sc_word(text);
    if (!word.n)
        sc_fail(&dialogue->context, "a word is missing before '%.20s'", text->at);
    return word;
}

static struct sc_peer *need_peer(struct sc_dialogue *dialogue, struct sc_text *text)
{
    return sc_find_peer(dialogue, need_word(dialogue, text));
}

/* key=VALUE: moves behind it and is true; else nothing was read. */
static bool option(struct sc_text *text, const char *key)
{
    size_t n = strlen(key);
    sc_skip_space(text);
    if ((size_t)(text->end - text->at) <= n || memcmp(text->at, key, n) != 0 || text->at[n] != '=')
        return false;
    text->at += n + 1;
    return true;
}

/* A word that stands alone. */
static bool flag(struct sc_text *text, const char *name)
{
    struct sc_text ahead = *text;
    if (!sk_bytes_is(sc_word(&ahead), name))
        return false;
    *text = ahead;
    return true;
}

static struct sk_endpoint need_endpoint(struct sc_dialogue *dialogue, struct sc_text *text)
{
    char copy[64];
    struct sk_endpoint endpoint;
    struct sk_bytes word = need_word(dialogue, text);
    snprintf(copy, sizeof copy, "%.*s", (int)word.n, (const char *)word.p);
    if (sk_endpoint_parse(copy, 0, &endpoint) < 0)
        sc_fail(&dialogue->context, "'%s' is no address with a port", copy);
    return endpoint;
}

static const uint8_t *need_id(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_bytes id = sc_bytes_of(&dialogue->context, sc_parse(&dialogue->context, text));
    if (id.n != SK_DHT_ID_SIZE)
        sc_fail(&dialogue->context, "an id has 20 bytes, not %zu", id.n);
    return id.p;
}

static int64_t need_number(struct sc_dialogue *dialogue, struct sc_text *text)
{
    return sc_number_of(&dialogue->context, sc_parse(&dialogue->context, text));
}

static uint64_t need_duration(struct sc_dialogue *dialogue, struct sc_text *text)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ms", SC_MS}, {"s", 1000 * SC_MS}, {"m", 60000 * SC_MS}, {"h", 3600000 * SC_MS}};
    struct sk_bytes word = need_word(dialogue, text);
    char *end;
    uint64_t count = strtoull((const char *)word.p, &end, 10);
    struct sk_bytes unit = sk_bytes(end, (size_t)((const char *)word.p + word.n - end));
    for (size_t i = 0; i < SK_ARRAY_LEN(units); i++) {
        if (sk_bytes_is(unit, units[i].unit))
            return count * units[i].ns;
    }
    sc_fail(&dialogue->context, "'%.*s' is no duration (10s, 5m)", (int)word.n,
            (const char *)word.p);
}

static void compare(struct sc_dialogue *dialogue, struct sc_text *text, struct sc_value *value,
                    const char *what)
{
    if (sc_matches(&dialogue->context, sc_parse(&dialogue->context, text), value))
        return;
    struct sk_buf buf;
    char said[2000];
    sk_buf_init(&buf, sizeof said);
    sc_print(&buf, value);
    snprintf(said, sizeof said, "%.*s", (int)buf.n, (const char *)buf.p);
    sk_buf_deinit(&buf);
    sc_fail(&dialogue->context, "%s: %s", what, said);
}

/* ---- who is there ---- */

static void name_ids(struct sc_dialogue *dialogue)
{
    struct sc_context *context = &dialogue->context;
    const uint8_t *v4 = sk_dht_id(dialogue->dht, SK_FAMILY_V4);
    const uint8_t *v6 = sk_dht_id(dialogue->dht, SK_FAMILY_V6);
    if (v6)
        sc_name(context, sk_bytes_text("node6"), sc_string(context, sk_bytes(v6, SK_DHT_ID_SIZE)));
    if (v4 || v6)
        sc_name(context, sk_bytes_text("node"),
                sc_string(context, sk_bytes(v4 ? v4 : v6, SK_DHT_ID_SIZE)));
}

static void do_node(struct sc_dialogue *dialogue, struct sc_text *text)
{
    static const uint8_t default_id[SK_DHT_ID_SIZE] = "the node under test!";
    struct sk_dht_config config = {.seed = 1, .families = SK_KRPC_WANT_V4, .version = "te01"};
    const uint8_t *id = default_id;
    if (dialogue->dht)
        sc_fail(&dialogue->context, "the node is there already: 'node' comes first");
    while (!at_end(text)) {
        if (option(text, "id"))
            id = flag(text, "drawn") ? NULL : need_id(dialogue, text);
        else if (option(text, "address"))
            config.address[0] = need_endpoint(dialogue, text);
        else if (option(text, "rate"))
            config.rate = (double)need_number(dialogue, text);
        else if (flag(text, "v6"))
            config.families = SK_KRPC_WANT_V6;
        else if (flag(text, "both"))
            config.families = SK_KRPC_WANT_V4 | SK_KRPC_WANT_V6;
        else if (flag(text, "read-only"))
            config.read_only = true;
        else if (flag(text, "ids-by-address"))
            config.ids_by_address = true;
        else if (flag(text, "unguarded"))
            config.unguarded = true;
        else
            sc_fail(&dialogue->context, "node: what is '%.20s'?", text->at);
    }
    config.id[0] = config.id[1] = id;
    if (sk_dht_new(&config, dialogue->now_ns, &dialogue->dht) < 0)
        sc_fail(&dialogue->context, "the node could not be made");
    name_ids(dialogue);
    sc_drain(dialogue);
}

static void do_peer(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sc_peer peer = {.name = need_word(dialogue, text)};
    struct sk_prng prng;
    peer.contact.endpoint = need_endpoint(dialogue, text);
    sk_sha1(peer.name.p, peer.name.n, peer.contact.id);
    sk_prng_init(&prng, dialogue->peers_count);
    if (option(text, "id")) {
        if (flag(text, "fit"))
            sk_dht_id_for_address(&peer.contact.endpoint, &prng, peer.contact.id);
        else
            memcpy(peer.contact.id, need_id(dialogue, text), SK_DHT_ID_SIZE);
    }
    if (dialogue->peers_count == SC_PEERS_MAX)
        sc_fail(&dialogue->context, "too many peers");
    dialogue->peers[dialogue->peers_count++] = peer;
    sc_name(&dialogue->context, peer.name,
            sc_string(&dialogue->context, sk_bytes(peer.contact.id, SK_DHT_ID_SIZE)));
}

static void do_auto(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sc_peer *peer = need_peer(dialogue, text);
    peer->automatic = true;
    if (!flag(text, "knows"))
        return;
    for (peer->known_count = 0; !at_end(text); peer->known_count++) {
        if (peer->known_count == SC_KNOWN_MAX)
            sc_fail(&dialogue->context, "it knows too many");
        peer->known[peer->known_count] = (uint8_t)(need_peer(dialogue, text) - dialogue->peers);
    }
}

static void do_mute(struct sc_dialogue *dialogue, struct sc_text *text)
{
    need_peer(dialogue, text)->automatic = false;
}

static void do_let(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_bytes name = need_word(dialogue, text);
    sc_skip_space(text);
    if (at_end(text) || *text->at++ != '=')
        sc_fail(&dialogue->context, "let NAME = VALUE");
    sc_name(&dialogue->context, name, sc_parse(&dialogue->context, text));
}

/* ---- what happens ---- */

static void do_send(struct sc_dialogue *dialogue, struct sc_text *text)
{
    const struct sc_peer *peer = need_peer(dialogue, text);
    bool raw = flag(text, "bytes");
    struct sc_value *value = sc_parse(&dialogue->context, text);
    sc_send(dialogue, peer,
            raw ? sc_bytes_of(&dialogue->context, value) : sc_encode(&dialogue->context, value));
}

static void do_wait(struct sc_dialogue *dialogue, struct sc_text *text)
{
    sc_wait(dialogue, need_duration(dialogue, text));
}

static void do_repeat(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_bytes word = need_word(dialogue, text);
    unsigned long times = strtoul((const char *)word.p, NULL, 10);
    struct sc_text rest;
    for (unsigned long i = 0; i < times; i++) {
        sc_name(&dialogue->context, sk_bytes_text("i"), sc_int(&dialogue->context, (int64_t)i));
        rest = *text;
        run_statement(dialogue, &rest);
    }
    text->at = text->end;
}

static void do_add(struct sc_dialogue *dialogue, struct sc_text *text)
{
    const struct sc_peer *peer = need_peer(dialogue, text);
    sk_dht_add_address(dialogue->dht, &peer->contact.endpoint, flag(text, "bootstrap"),
                       dialogue->now_ns);
    sc_drain(dialogue);
}

static enum sk_krpc_method need_method(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_bytes word = need_word(dialogue, text);
    for (unsigned method = 0; method < SK_KRPC_UNKNOWN; method++) {
        if (sk_bytes_is(word, sk_krpc_method_name(method)))
            return method;
    }
    sc_fail(&dialogue->context, "'%.*s' is no query", (int)word.n, (const char *)word.p);
}

static void forget_operation(struct sc_dialogue *dialogue)
{
    dialogue->done = dialogue->item = NULL;
    dialogue->answered = dialogue->refused = dialogue->silent = dialogue->code = 0;
}

static void do_ask(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_dht_ask ask = {.method = need_method(dialogue, text),
                             .to = need_peer(dialogue, text)->contact.endpoint};
    uint64_t op;
    if (option(text, "target"))
        memcpy(ask.target, need_id(dialogue, text), SK_DHT_ID_SIZE);
    forget_operation(dialogue);
    int err = sk_dht_start_ask(dialogue->dht, &ask, dialogue->now_ns, &op);
    if (err < 0)
        sc_fail(&dialogue->context, "ask: %s", skep_err_text(err));
    sc_drain(dialogue);
}

static void do_search(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_dht_search search = {.method = need_method(dialogue, text)};
    struct sk_dht_item item = {0};
    uint64_t op;
    memcpy(search.target, need_id(dialogue, text), SK_DHT_ID_SIZE);
    while (!at_end(text)) {
        if (option(text, "announce")) {
            search.store = SK_DHT_STORE_PEER;
            search.port = (uint16_t)need_number(dialogue, text);
        } else if (option(text, "put")) {
            search.store = SK_DHT_STORE_ITEM;
            item.value = sc_encode(&dialogue->context, sc_parse(&dialogue->context, text));
            search.item = &item;
        } else if (flag(text, "first")) {
            search.first = true;
        } else {
            sc_fail(&dialogue->context, "search: what is '%.20s'?", text->at);
        }
    }
    forget_operation(dialogue);
    int err = sk_dht_start_search(dialogue->dht, &search, dialogue->now_ns, &op);
    if (err < 0)
        sc_fail(&dialogue->context, "search: %s", skep_err_text(err));
    sc_drain(dialogue);
}

/* ---- what is expected ---- */

static void list_sent(struct sc_dialogue *dialogue, const struct sk_endpoint *to,
                      struct sk_buf *buf)
{
    char address[SK_ENDPOINT_TEXT_MAX];
    for (const struct sc_datagram *datagram = dialogue->sent; datagram; datagram = datagram->next) {
        if (to && !sk_endpoint_equal(&datagram->peer, to))
            continue;
        const struct sc_value *value = sc_decode(&dialogue->context, datagram->bytes);
        sk_buf_printf(buf, "\n    to %s: ", sk_endpoint_text(&datagram->peer, address));
        if (value)
            sc_print(buf, value);
        else
            sk_buf_text(buf, "no bencode");
    }
}

static _Noreturn void fail_with_sent(struct sc_dialogue *dialogue, const struct sk_endpoint *to,
                                     const char *what)
{
    struct sk_buf buf;
    char said[3000];
    sk_buf_init(&buf, sizeof said);
    list_sent(dialogue, to, &buf);
    snprintf(said, sizeof said, "%.*s", (int)buf.n, (const char *)buf.p);
    sk_buf_deinit(&buf);
    sc_fail(&dialogue->context, "%s%s", what, said[0] ? said : " nothing");
}

static void do_expect(struct sc_dialogue *dialogue, struct sc_text *text)
{
    const struct sc_peer *peer = need_peer(dialogue, text);
    const struct sc_value *pattern = sc_parse(&dialogue->context, text);
    for (struct sc_datagram **link = &dialogue->sent; *link; link = &(*link)->next) {
        struct sc_datagram *datagram = *link;
        if (!sk_endpoint_equal(&datagram->peer, &peer->contact.endpoint))
            continue;
        struct sc_value *value = sc_decode(&dialogue->context, datagram->bytes);
        if (value && sc_matches(&dialogue->context, pattern, value)) {
            *link = datagram->next;
            return;
        }
    }
    fail_with_sent(dialogue, NULL, "that was not sent, but");
}

/* With `answers_only`, queries of the node's own do not count. */
static void expect_none(struct sc_dialogue *dialogue, struct sc_text *text, bool answers_only)
{
    const struct sk_endpoint *to =
        at_end(text) ? NULL : &need_peer(dialogue, text)->contact.endpoint;
    for (const struct sc_datagram *datagram = dialogue->sent; datagram; datagram = datagram->next) {
        if (to && !sk_endpoint_equal(&datagram->peer, to))
            continue;
        if (!answers_only || sc_is_answer(datagram))
            fail_with_sent(dialogue, to, "it was not silent:");
    }
}

static void do_silence(struct sc_dialogue *dialogue, struct sc_text *text)
{
    expect_none(dialogue, text, true);
}

static void do_quiet(struct sc_dialogue *dialogue, struct sc_text *text)
{
    expect_none(dialogue, text, false);
}

/* Takes away what was sent to the peer (NULL: to all), and adds up. */
static void take_sent(struct sc_dialogue *dialogue, const struct sc_peer *peer, bool answers_only,
                      int64_t *ret_count, int64_t *ret_bytes)
{
    struct sc_datagram **link = &dialogue->sent;
    *ret_count = *ret_bytes = 0;
    while (*link) {
        const struct sc_datagram *datagram = *link;
        bool meant = !peer || sk_endpoint_equal(&datagram->peer, &peer->contact.endpoint);
        if (meant && (!answers_only || sc_is_answer(datagram))) {
            ++*ret_count;
            *ret_bytes += (int64_t)datagram->bytes.n;
            *link = datagram->next;
        } else {
            link = &(*link)->next;
        }
    }
}

static void do_drop(struct sc_dialogue *dialogue, struct sc_text *text)
{
    int64_t count, bytes;
    take_sent(dialogue, at_end(text) ? NULL : need_peer(dialogue, text), false, &count, &bytes);
}

static void do_count(struct sc_dialogue *dialogue, struct sc_text *text)
{
    int64_t count, bytes;
    take_sent(dialogue, need_peer(dialogue, text), true, &count, &bytes);
    compare(dialogue, text, sc_int(&dialogue->context, count), "answers");
}

static void do_size(struct sc_dialogue *dialogue, struct sc_text *text)
{
    int64_t count, bytes;
    take_sent(dialogue, need_peer(dialogue, text), true, &count, &bytes);
    compare(dialogue, text, sc_int(&dialogue->context, bytes), "bytes of answers");
}

static void do_table(struct sc_dialogue *dialogue, struct sc_text *text)
{
    enum sk_family family = flag(text, "v6") ? SK_FAMILY_V6 : SK_FAMILY_V4;
    compare(dialogue, text, sc_table(dialogue, family), "the table");
}

static bool knows(struct sc_dialogue *dialogue, struct sc_text *text)
{
    const struct sk_endpoint *endpoint = &need_peer(dialogue, text)->contact.endpoint;
    const struct sk_dht_table *table = sk_dht_table(dialogue->dht, endpoint->family);
    return table && sk_dht_table_find(table, endpoint);
}

static void do_knows(struct sc_dialogue *dialogue, struct sc_text *text)
{
    if (!knows(dialogue, text))
        sc_fail(&dialogue->context, "it is not in the table");
}

static void do_lacks(struct sc_dialogue *dialogue, struct sc_text *text)
{
    if (knows(dialogue, text))
        sc_fail(&dialogue->context, "it is in the table");
}

static void do_stats(struct sc_dialogue *dialogue, struct sc_text *text)
{
    compare(dialogue, text, sc_stats(dialogue), "the statistics");
}

static void do_state(struct sc_dialogue *dialogue, struct sc_text *text)
{
    static const char *const names[] = {"empty", "joining", "ready", "offline"};
    struct sk_bytes wanted = need_word(dialogue, text);
    enum sk_family family = sk_dht_id(dialogue->dht, SK_FAMILY_V4) ? SK_FAMILY_V4 : SK_FAMILY_V6;
    const char *is = names[sk_dht_state(dialogue->dht, family)];
    if (!sk_bytes_is(wanted, is))
        sc_fail(&dialogue->context, "it is %s", is);
}

static void do_done(struct sc_dialogue *dialogue, struct sc_text *text)
{
    if (!dialogue->done)
        sc_fail(&dialogue->context, "the operation is not over");
    compare(dialogue, text, dialogue->done, "the result");
}

static void do_item(struct sc_dialogue *dialogue, struct sc_text *text)
{
    if (!dialogue->item)
        sc_fail(&dialogue->context, "no item came");
    compare(dialogue, text, dialogue->item, "the item");
}

static void do_id(struct sc_dialogue *dialogue, struct sc_text *text)
{
    name_ids(dialogue);
    compare(dialogue, text, sc_look_up(&dialogue->context, sk_bytes_text("node")), "the node's id");
}

/* The node's id must be one that it may have at this address (BEP 42). */
static void do_fits(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_endpoint endpoint = need_endpoint(dialogue, text);
    if (!sk_dht_id_fits(sk_dht_id(dialogue->dht, endpoint.family), &endpoint))
        sc_fail(&dialogue->context, "its id does not fit this address");
}

/* ---- files ---- */

static const struct {
    const char *name;
    statement_fn run;
} statements[] = {
    {"node", do_node},       {"peer", do_peer},   {"auto", do_auto},     {"mute", do_mute},
    {"let", do_let},         {"send", do_send},   {"wait", do_wait},     {"repeat", do_repeat},
    {"add", do_add},         {"ask", do_ask},     {"search", do_search}, {"expect", do_expect},
    {"silence", do_silence}, {"quiet", do_quiet}, {"drop", do_drop},     {"count", do_count},
    {"size", do_size},       {"table", do_table}, {"knows", do_knows},   {"lacks", do_lacks},
    {"stats", do_stats},     {"state", do_state}, {"done", do_done},     {"item", do_item},
    {"id", do_id},           {"fits", do_fits},
};

static void run_statement(struct sc_dialogue *dialogue, struct sc_text *text)
{
    struct sk_bytes name = need_word(dialogue, text);
    if (!dialogue->dht && !sk_bytes_is(name, "node"))
        do_node(dialogue, &(struct sc_text){0});
    for (size_t i = 0; i < SK_ARRAY_LEN(statements); i++) {
        if (!sk_bytes_is(name, statements[i].name))
            continue;
        statements[i].run(dialogue, text);
        if (!at_end(text))
            sc_fail(&dialogue->context, "what is '%.20s'?", text->at);
        return;
    }
    sc_fail(&dialogue->context, "no statement is called '%.*s'", (int)name.n, (const char *)name.p);
}

/* The end of the statement that begins here: the line's, but for open brackets. */
static const char *statement_end(const char *at, const char *end, unsigned *lines)
{
    int open = 0;
    bool quoted = false, comment = false;
    for (*lines = 0; at < end; at++) {
        if (*at == '\n') {
            comment = false;
            ++*lines;
            if (open <= 0 && !quoted)
                return at;
        } else if (comment) {
            continue;
        } else if (*at == '"') {
            quoted = !quoted;
        } else if (!quoted) {
            comment = *at == '#';
            open += *at == '{' || *at == '[' || *at == '(';
            open -= *at == '}' || *at == ']' || *at == ')';
        }
    }
    return end;
}

static void run_text(struct sc_dialogue *dialogue, const char *at, const char *end)
{
    unsigned lines;
    for (dialogue->context.line = 1; at < end; dialogue->context.line += lines) {
        struct sc_text text = {at, statement_end(at, end, &lines)};
        at = text.end + 1;
        if (!at_end(&text))
            run_statement(dialogue, &text);
    }
    if (dialogue->dht)
        do_silence(dialogue, &(struct sc_text){0});
}

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = file ? sk_mem_calloc(1, FILE_MAX) : NULL;
    if (bytes)
        *ret_size = fread(bytes, 1, FILE_MAX - 1, file);
    if (file)
        fclose(file);
    return bytes;
}

int sc_run_file(const char *path)
{
    size_t size;
    char *bytes = read_file(path, &size);
    struct sc_dialogue *dialogue = sk_mem_calloc(1, sizeof *dialogue);
    if (!bytes || !dialogue) {
        printf("# %s: cannot be read\n", path);
        sk_mem_free(bytes);
        sk_mem_free(dialogue);
        return 1;
    }
    dialogue->now_ns = START;
    dialogue->context.path = path;
    dialogue->context.function = sc_peer_function;
    int failed = setjmp(dialogue->context.failed);
    if (!failed)
        run_text(dialogue, bytes, bytes + size);
    else
        printf("# %s:%u: %s\n", path, dialogue->context.line, dialogue->context.problem);
    sk_dht_free(dialogue->dht);
    sc_free_all(&dialogue->context);
    sk_mem_free(dialogue);
    sk_mem_free(bytes);
    return failed;
}
