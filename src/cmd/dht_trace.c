#include "cmd/dht_trace.h"

#include "base/assert.h"
#include "base/text.h"
#include "cmd/units.h"
#include "proto/dht/node_id.h"
#include "wire/dht_port_blob.h"

#include <stdio.h>

#define ID_SIZE 20
#define NOBODY 161       /* bits: farther than anybody */
#define TEXT_COLUMN 43   /* where the words of a line begin */
#define ADDRESS_WIDTH 21 /* of any IPv4 address with its port */
#define COLUMNS_MAX 80   /* longer lines are hard to read */
#define REFUSAL_MAX 120  /* bytes of a node's words that are shown */

void sk_dht_trace_init(struct sk_dht_trace *trace, const struct sk_screen *screen)
{
    *trace = (struct sk_dht_trace){.screen = *screen, .nearest = NOBODY};
    trace->screen.columns = SK_MIN(screen->columns, COLUMNS_MAX);
}

void sk_dht_trace_target(struct sk_dht_trace *trace, const uint8_t target[20])
{
    memcpy(trace->target, target, ID_SIZE);
    trace->has_target = true;
}

/* ---- beginning ---- */

static void put_opening(struct sk_dht_trace *trace, enum skep_dht_method method, struct sk_buf *out)
{
    static const char *const whats[SKEP_DHT_METHOD_COUNT] = {
        [SKEP_DHT_FIND_NODE] = "the nodes closest to",
        [SKEP_DHT_GET_PEERS] = "peers of",
        [SKEP_DHT_GET] = "the item under",
    };
    char hex[2 * ID_SIZE + 1] = "the target", line[256];
    const char *what = method < SKEP_DHT_METHOD_COUNT ? whats[method] : NULL;
    if (trace->has_target)
        sk_hex_encode(trace->target, ID_SIZE, hex);
    snprintf(line, sizeof line, "Looking for %s %s.", what ? what : "nodes near", hex);
    sk_ink_wrap(&trace->screen, SK_INK_BOLD, line, 0, out);
    sk_ink_wrap(&trace->screen, SK_INK_DIM,
                "Step 1 asks nodes of our own table, step 2 those that they told of, and so on. "
                "Bits say how far a node is from the target: one bit less is half as far.",
                0, out);
    sk_buf_text(out, "\n");
    sk_ink_put(&trace->screen, SK_INK_DIM, "  time  step  bits  node                   what it did",
               out);
    sk_buf_text(out, "\n");
    trace->started = true;
}

/* ---- a line for a node ---- */

static void put_time(double seconds, char *ret_text, size_t size)
{
    if (seconds < 99.995)
        snprintf(ret_text, size, "%5.2fs", seconds);
    else
        snprintf(ret_text, size, "%5.0fs", seconds);
}

static void put_line(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                     double elapsed_s, enum sk_ink ink, const char *words, struct sk_buf *out)
{
    char time[32], bits[16] = "   ?", address[SK_ENDPOINT_TEXT_MAX] = "?", fitted[96];
    struct sk_endpoint endpoint;
    put_time(elapsed_s, time, sizeof time);
    if (event->node_id)
        snprintf(bits, sizeof bits, "%4u", event->distance);
    if (event->address && !sk_endpoint_parse(event->address, 0, &endpoint))
        sk_anonymizer_endpoint(trace->anonymizer, &endpoint, address);
    sk_ink_fit(&trace->screen, address, ADDRESS_WIDTH, SK_INK_CUT_MIDDLE, fitted, sizeof fitted);
    sk_ink_put(&trace->screen, SK_INK_DIM, time, out);
    sk_buf_printf(out, "  %4u  %s  ", event->step, bits);
    sk_ink_put(&trace->screen, SK_INK_PLAIN, fitted, out);
    sk_ink_spaces(ADDRESS_WIDTH + 2 - sk_ink_width(fitted), out);
    sk_ink_wrap(&trace->screen, ink, words, TEXT_COLUMN, out);
}

/* What it told of: how many nodes are nearer than itself, and the nearest. */
struct told {
    size_t nodes, nearer;
    unsigned nearest;
};

static void look_at(const struct sk_dht_trace *trace, const uint8_t *nodes, size_t count,
                    size_t size, unsigned own, struct told *told)
{
    for (size_t i = 0; i < count; i++) {
        unsigned distance = sk_dht_distance(nodes + i * size, trace->target);
        told->nodes++;
        told->nearer += distance < own;
        told->nearest = SK_MIN(told->nearest, distance);
    }
}

static size_t add_words(char *text, size_t n, size_t size, const char *words)
{
    return n >= size ? n : n + (size_t)snprintf(text + n, size - n, "%s%s", n ? "; " : "", words);
}

static size_t add_nodes(const struct sk_dht_trace *trace, const struct told *told, char *text,
                        size_t n, size_t size)
{
    char words[128];
    if (!trace->has_target)
        snprintf(words, sizeof words, "knew %zu node%s", told->nodes, told->nodes == 1 ? "" : "s");
    else if (!told->nodes)
        snprintf(words, sizeof words, "knew no node");
    else if (!told->nearer)
        snprintf(words, sizeof words, "knew nobody nearer");
    else
        snprintf(words, sizeof words, "knew %zu nearer (to %u bits)", told->nearer, told->nearest);
    return add_words(text, n, size, words);
}

static void put_answer(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                       double elapsed_s, struct sk_buf *out)
{
    const struct skep_dht_answer *answer = event->answer;
    char words[400], rtt[SK_UNITS_MAX], some[64];
    struct told told = {.nearest = NOBODY};
    unsigned own = event->node_id ? event->distance : NOBODY;
    enum sk_ink ink = SK_INK_PLAIN;
    size_t n = (size_t)snprintf(words, sizeof words, "%s", sk_units_duration(event->rtt_s, rtt));
    look_at(trace, answer->nodes, answer->nodes_count, 26, own, &told);
    look_at(trace, answer->nodes6, answer->nodes6_count, 38, own, &told);
    if (trace->has_target && told.nearest < trace->nearest) {
        trace->nearest = told.nearest;
        ink = event->step > 1 ? SK_INK_BOLD : ink;
    }
    if (answer->forged) {
        trace->forged++;
        ink = SK_INK_BAD;
        n = add_words(words, n, sizeof words, "its value is forged");
    }
    if (answer->peers_count) {
        trace->peers += (uint32_t)answer->peers_count;
        trace->with_peers++;
        ink = SK_INK_GOOD;
        snprintf(some, sizeof some, "%zu peer%s", answer->peers_count,
                 answer->peers_count == 1 ? "" : "s");
        n = add_words(words, n, sizeof words, some);
    }
    if (answer->filter_peers)
        n = add_words(words, n, sizeof words, "counts its peers");
    add_nodes(trace, &told, words, n, sizeof words);
    put_line(trace, event, elapsed_s, ink, words, out);
}

static void put_refusal(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                        double elapsed_s, struct sk_buf *out)
{
    char words[2 * REFUSAL_MAX + 32], safe[2 * REFUSAL_MAX];
    size_t n = SK_MIN(event->text_size, REFUSAL_MAX);
    sk_text_escape(sk_bytes(event->text, event->text ? n : 0), safe, sizeof safe);
    snprintf(words, sizeof words, "refused: %lld%s%s", (long long)event->code, *safe ? " " : "",
             safe);
    put_line(trace, event, elapsed_s, SK_INK_WARN, words, out);
}

static void put_value(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                      double elapsed_s, struct sk_buf *out)
{
    char words[128];
    trace->values++;
    if (event->value->key)
        snprintf(words, sizeof words, "gave %s: %zu bytes, seq %lld",
                 trace->values > 1 ? "a newer value" : "the value", event->value->size,
                 (long long)event->value->seq);
    else
        snprintf(words, sizeof words, "gave the value: %zu bytes", event->value->size);
    put_line(trace, event, elapsed_s, SK_INK_GOOD, words, out);
}

/* ---- the end ---- */

static size_t add_result(const struct skep_dht_result *result, const struct sk_dht_trace *trace,
                         char *text, size_t size)
{
    char time[SK_UNITS_MAX];
    /* Who was still waited for at the end did not answer either. */
    uint32_t heard = SK_MIN(result->answered + result->refused, result->asked);
    size_t n = (size_t)snprintf(
        text, size,
        "Asked %u node%s in %u step%s and %s: %u answered, %u "
        "did not",
        result->asked, result->asked == 1 ? "" : "s", result->steps, result->steps == 1 ? "" : "s",
        sk_units_duration(result->seconds, time), result->answered, result->asked - heard);
    if (result->refused && n < size)
        n += (size_t)snprintf(text + n, size - n, ", %u refused", result->refused);
    if (result->forged && n < size)
        n += (size_t)snprintf(text + n, size - n, ", %u lied", result->forged);
    if (trace->with_peers && n < size)
        n += (size_t)snprintf(text + n, size - n, ". %u node%s knew peers", trace->with_peers,
                              trace->with_peers == 1 ? "" : "s");
    if (result->stored && n < size)
        n +=
            (size_t)snprintf(text + n, size - n, ". %u took what was to be stored", result->stored);
    if (n < size)
        n += (size_t)snprintf(text + n, size - n, ".");
    return n;
}

static void put_closest(const struct sk_dht_trace *trace, const struct skep_dht_result *result,
                        struct sk_buf *out)
{
    char line[160];
    unsigned least = NOBODY, most = 0;
    for (size_t i = 0; i < result->closest_count; i++) {
        least = SK_MIN(least, result->closest[i].distance);
        most = SK_MAX(most, result->closest[i].distance);
    }
    if (!result->closest_count)
        snprintf(line, sizeof line, "Nobody answered.");
    else if (result->closest_count == 1)
        snprintf(line, sizeof line, "The closest that answered is %u bits away.", least);
    else if (least == most)
        snprintf(line, sizeof line, "The %zu closest that answered are %u bits away.",
                 result->closest_count, least);
    else
        snprintf(line, sizeof line, "The %zu closest that answered are %u to %u bits away.",
                 result->closest_count, least, most);
    sk_ink_wrap(&trace->screen, SK_INK_PLAIN, line, 0, out);
}

static void put_ending(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                       struct sk_buf *out)
{
    char line[512];
    const struct skep_dht_result *result = event->result;
    if (!result && !trace->started)
        return;
    if (trace->started)
        sk_buf_text(out, "\n");
    if (!result) { /* of a put or get, which is many searches: the first was told */
        snprintf(line, sizeof line, "Of the nodes that were asked %u answered and %u did not.",
                 trace->answered, trace->silent);
        sk_ink_wrap(&trace->screen, SK_INK_BOLD, line, 0, out);
        return;
    }
    if (result->no_nodes) {
        sk_ink_wrap(&trace->screen, SK_INK_WARN, "There was nobody to ask.", 0, out);
        return;
    }
    put_closest(trace, result, out);
    add_result(result, trace, line, sizeof line);
    sk_ink_wrap(&trace->screen, SK_INK_BOLD, line, 0, out);
}

/* ---- bytes in announced ports ---- */

#define PORTS_COLUMN 27 /* where the words of a line begin */

void sk_dht_trace_ports(struct sk_dht_trace *trace, enum sk_dht_trace_way way)
{
    trace->way = way;
}

static void open_ports(struct sk_dht_trace *trace, struct sk_buf *out)
{
    char line[320];
    const char *what = "Fetching from announced ports: first the head, which says how many "
                       "info-hashes there are.";
    if (trace->way == SK_DHT_TRACE_PORTS_PUT)
        what = "Storing in announced ports: one info-hash after the other, the head last.";
    sk_ink_wrap(&trace->screen, SK_INK_BOLD, what, 0, out);
    snprintf(line, sizeof line,
             "Each port is 16 bits that nodes close to its info-hash keep. An info-hash has %u "
             "ports, the head %u; all of them are needed.",
             SK_PORT_BLOB_SEGMENT_PORTS, SK_PORT_BLOB_HEAD_PORTS);
    sk_ink_wrap(&trace->screen, SK_INK_DIM, line, 0, out);
    sk_buf_text(out, "\n");
    sk_ink_put(&trace->screen, SK_INK_DIM, "  time   info-hash  ports  what is done", out);
    sk_buf_text(out, "\n");
    trace->started = true;
}

/* `number`: of the info-hash, from 1; 0: the head, before it is known how many there are. */
static void put_ports_line(const struct sk_dht_trace *trace, double elapsed_s, uint32_t number,
                           uint32_t ports, const struct skep_dht_blob_result *blob, enum sk_ink ink,
                           const char *words, struct sk_buf *out)
{
    char time[32];
    put_time(elapsed_s, time, sizeof time);
    sk_ink_put(&trace->screen, SK_INK_DIM, time, out);
    if (number)
        sk_buf_printf(out, "  %4u of %-3u  %5u  ", number, blob->items, ports);
    else
        sk_buf_printf(out, "        head  %5u  ", SK_PORT_BLOB_HEAD_PORTS);
    sk_ink_wrap(&trace->screen, ink, words, PORTS_COLUMN, out);
}

/* An info-hash is through: all its ports are there. */
static void tell_items(const struct sk_dht_trace *trace, const struct skep_dht_blob_result *blob,
                       double elapsed_s, struct sk_buf *out)
{
    char words[128];
    uint32_t left = blob->items - blob->items_done;
    bool put = trace->way == SK_DHT_TRACE_PORTS_PUT;
    if (put)
        snprintf(words, sizeof words, "all read back, from %u nodes or more", blob->holding);
    else if (left)
        snprintf(words, sizeof words, "all there; %u info-hash%s missing", left,
                 left == 1 ? "" : "es");
    else
        snprintf(words, sizeof words, "all there; nothing is missing");
    bool head = put ? !left : !blob->part;
    put_ports_line(trace, elapsed_s, put || !head ? blob->items_done : 0,
                   head ? SK_PORT_BLOB_HEAD_PORTS : SK_PORT_BLOB_SEGMENT_PORTS, blob, SK_INK_GOOD,
                   words, out);
}

static void tell_put(const struct sk_dht_trace *trace, const struct skep_dht_event *event,
                     double elapsed_s, struct sk_buf *out)
{
    static const char *const steps[][2] = {
        {"looking up", "is anything there already?"},
        {"looking for nodes", "looking for the nodes closest to it"},
        {"announcing", "announcing each port at these nodes"},
        {"reading back", "announced; reading back"},
    };
    const struct skep_dht_blob_result *blob = event->blob;
    const char *what = event->progress->what;
    char words[128];
    for (size_t i = 0; i < SK_ARRAY_LEN(steps); i++)
        if (strcmp(what, steps[i][0]) == 0)
            put_ports_line(trace, elapsed_s, blob->part, blob->ports, blob, SK_INK_PLAIN,
                           steps[i][1], out);
    if (strcmp(what, "looking for more nodes") != 0)
        return;
    snprintf(words, sizeof words,
             "%u ports come back from enough nodes; %u are announced again, at more nodes",
             blob->ports_back, blob->ports - blob->ports_back);
    put_ports_line(trace, elapsed_s, blob->part, blob->ports, blob, SK_INK_WARN, words, out);
}

static void tell_get(const struct sk_dht_trace *trace, const struct skep_dht_event *event,
                     double elapsed_s, struct sk_buf *out)
{
    const struct skep_dht_blob_result *blob = event->blob;
    char words[128];
    if (strcmp(event->progress->what, "looking up") == 0) {
        put_ports_line(trace, elapsed_s, 0, 0, blob, SK_INK_PLAIN, "looking for it", out);
    } else if (blob->ports_back < blob->ports) {
        snprintf(words, sizeof words, "%u ports found, %u missing: more nodes are asked",
                 blob->ports_back, blob->ports - blob->ports_back);
        put_ports_line(trace, elapsed_s, blob->part, blob->ports, blob, SK_INK_WARN, words, out);
    }
}

static void end_ports(const struct sk_dht_trace *trace, const struct skep_dht_event *event,
                      struct sk_buf *out)
{
    char line[160];
    const struct skep_dht_blob_result *blob = event->blob;
    bool found = !event->error || blob->items_done;
    if (!trace->started)
        return;
    snprintf(line, sizeof line, "%u of %u info-hashes have all their ports.", blob->items_done,
             blob->items);
    sk_buf_text(out, "\n");
    sk_ink_wrap(&trace->screen, SK_INK_BOLD, found ? line : "No info-hash has all its ports.", 0,
                out);
}

/* What happens between two events is told by the later one. */
static void trace_ports(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                        double elapsed_s, struct sk_buf *out)
{
    const struct skep_dht_blob_result *blob = event->blob;
    if (!blob)
        return;
    if (!trace->started)
        open_ports(trace, out);
    if (blob->items_done > trace->items_done)
        tell_items(trace, blob, elapsed_s, out);
    if (event->kind == SKEP_DHT_DONE) {
        end_ports(trace, event, out);
        return;
    }
    bool moved = event->progress->what != trace->what || blob->items_done != trace->items_done ||
                 blob->ports_back != trace->ports_back;
    if (event->progress->what && moved && trace->way == SK_DHT_TRACE_PORTS_PUT)
        tell_put(trace, event, elapsed_s, out);
    else if (event->progress->what && moved)
        tell_get(trace, event, elapsed_s, out);
    trace->what = event->progress->what;
    trace->items_done = blob->items_done;
    trace->ports_back = blob->ports_back;
}

/* ---- events ---- */

void sk_dht_trace_event(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                        double elapsed_s, struct sk_buf *out)
{
    static const bool is_line[] = {
        [SKEP_DHT_ANSWERED] = true, [SKEP_DHT_REFUSED] = true, [SKEP_DHT_SILENT] = true,
        [SKEP_DHT_VALUE] = true,    [SKEP_DHT_STORED] = true,  [SKEP_DHT_DONE] = false,
    };
    if (trace->way != SK_DHT_TRACE_NODES) {
        trace_ports(trace, event, elapsed_s, out);
        return;
    }
    if (is_line[event->kind] && !trace->started)
        put_opening(trace, event->method, out);
    switch (event->kind) {
    case SKEP_DHT_ANSWERED:
        trace->answered++;
        put_answer(trace, event, elapsed_s, out);
        break;
    case SKEP_DHT_REFUSED:
        put_refusal(trace, event, elapsed_s, out);
        break;
    case SKEP_DHT_SILENT:
        trace->silent++;
        put_line(trace, event, elapsed_s, SK_INK_DIM, "no answer", out);
        break;
    case SKEP_DHT_VALUE:
        put_value(trace, event, elapsed_s, out);
        break;
    case SKEP_DHT_STORED:
        put_line(trace, event, elapsed_s, SK_INK_GOOD, "took what was to be stored", out);
        break;
    case SKEP_DHT_DONE:
        put_ending(trace, event, out);
        break;
    case SKEP_DHT_ASKED: /* told with what comes of it */
    case SKEP_DHT_PROGRESS:
    case SKEP_DHT_FOUND:
        break;
    }
}
