/* What the node says of an ask or a search, as events of <skep/dht.h>. */
#include "engine/dht_internal.h"

#include "base/assert.h"
#include "wire/compact.h"

#include <string.h>

_Static_assert((int)SKEP_DHT_UNKNOWN == (int)SK_KRPC_UNKNOWN &&
                   (int)SKEP_DHT_METHOD_COUNT == SK_KRPC_METHOD_COUNT,
               "the public methods are those of KRPC");

/* ---- answers ---- */

static size_t write_peers(struct sk_engine_dht *dht, const struct sk_krpc *message)
{
    struct sk_endpoint peer;
    size_t count = 0;
    if (!message->has_values)
        return 0;
    struct sk_bencode_iter iter = sk_bencode_iter(&message->values);
    while (count < SK_DHT_TEXTS_MAX && sk_krpc_next_peer(&iter, &peer)) {
        dht->peers[count] = sk_endpoint_text(&peer, dht->texts[count]);
        count++;
    }
    return count;
}

/* How a node sees us; NULL where it does not say. */
static const char *seen_as(struct sk_bytes ip, char text[SK_ENDPOINT_TEXT_MAX])
{
    enum sk_family family = ip.n == 6 ? SK_FAMILY_V4 : ip.n == 18 ? SK_FAMILY_V6 : SK_FAMILY_NONE;
    struct sk_endpoint endpoint;
    if (!family || !sk_compact_read(ip, family, &endpoint, 1, NULL))
        return NULL;
    return sk_endpoint_text(&endpoint, text);
}

static void fill_answer(struct sk_engine_dht *dht, const struct sk_dht_event *event,
                        char text[SK_ENDPOINT_TEXT_MAX], struct skep_dht_answer *ret_answer)
{
    const struct sk_krpc *message = event->message;
    *ret_answer = (struct skep_dht_answer){
        .nodes = message->nodes.p,
        .nodes6 = message->nodes6.p,
        .nodes_count = message->nodes.n / 26,
        .nodes6_count = message->nodes6.n / 38,
        .peers = dht->peers,
        .peers_count = write_peers(dht, message),
        .filter_seeds = message->filter_seeds,
        .filter_peers = message->filter_peers,
        .samples = message->has_samples ? message->samples.p : NULL,
        .samples_count = message->has_samples ? message->samples.n / SK_DHT_ID_SIZE : 0,
        .samples_num = message->has_samples ? message->num : -1,
        .samples_interval_s = message->has_samples ? message->interval : -1,
        .token = message->token.p,
        .token_size = message->token.n,
        .forged = event->forged,
        .sees_us_as = seen_as(message->ip, text),
    };
    memcpy(ret_answer->version, message->version.p ? message->version.p : (const uint8_t *)"",
           SK_MIN(message->version.n, sizeof ret_answer->version));
}

static struct skep_dht_value public_value(const struct sk_dht_item *item)
{
    return (struct skep_dht_value){
        .bytes = item->value.p,
        .size = item->value.n,
        .key = item->key,
        .signature = item->key ? item->signature : NULL,
        .seq = item->key ? item->seq : 0,
    };
}

/* ---- results ---- */

static void fill_result(struct sk_engine_dht *dht, const struct sk_dht_run *run,
                        const struct sk_dht_result *of, const uint8_t *target,
                        struct skep_dht_result *ret_result)
{
    struct skep_dht_result result = {
        .asked = of->asked,
        .answered = of->answered,
        .silent = of->silent,
        .refused = of->refused,
        .forged = of->forged,
        .stored = of->stored,
        .store_refused = of->store_refused,
        .store_silent = of->store_silent,
        .steps = of->steps,
        .seconds = (double)of->duration_ns / 1e9,
        .closest = dht->closest,
        .closest_count = SK_MIN((size_t)of->closest_count, SK_ARRAY_LEN(dht->closest)),
        .no_nodes = of->no_nodes,
        .seeds = -1,
        .peers = -1,
        .scrape_nodes = run->scraped.nodes,
    };
    if (run->scrape)
        sk_dht_scrape_estimate(&run->scraped, &result.seeds, &result.peers);
    for (size_t i = 0; i < result.closest_count; i++) {
        const struct sk_dht_closest *closest = &of->closest[i];
        dht->closest[i] = (struct skep_dht_closest){
            .address = sk_endpoint_text(&closest->contact.endpoint, dht->texts[i]),
            .id = closest->contact.id,
            .distance = sk_dht_distance(closest->contact.id, target),
            .rtt_s = (double)closest->rtt_ns / 1e9,
            .has_value = closest->has_item,
            .stored = closest->stored,
            .refused = closest->refused,
        };
    }
    *ret_result = result;
}

/* ---- events ---- */

static const enum skep_dht_event_kind kinds[] = {
    [SK_DHT_EVENT_ASKED] = SKEP_DHT_ASKED,     [SK_DHT_EVENT_ANSWERED] = SKEP_DHT_ANSWERED,
    [SK_DHT_EVENT_REFUSED] = SKEP_DHT_REFUSED, [SK_DHT_EVENT_SILENT] = SKEP_DHT_SILENT,
    [SK_DHT_EVENT_ITEM] = SKEP_DHT_VALUE,      [SK_DHT_EVENT_STORED] = SKEP_DHT_STORED,
    [SK_DHT_EVENT_DONE] = SKEP_DHT_DONE,
};

static struct skep_dht_event public_event(const struct sk_dht_run *run,
                                          const struct sk_dht_event *event,
                                          char address[SK_ENDPOINT_TEXT_MAX])
{
    bool has_contact = event->contact.endpoint.family != SK_FAMILY_NONE;
    return (struct skep_dht_event){
        .kind = kinds[event->kind],
        .id = run->id,
        .method = (enum skep_dht_method)event->method,
        .address = has_contact ? sk_endpoint_text(&event->contact.endpoint, address) : NULL,
        .node_id = event->has_id ? event->contact.id : NULL,
        .distance = event->distance,
        .step = event->step,
        .rtt_s = event->rtt_ns ? (double)event->rtt_ns / 1e9 : -1,
        .code = event->kind == SK_DHT_EVENT_REFUSED ? event->message->code : 0,
        .text = event->kind == SK_DHT_EVENT_REFUSED ? (const char *)event->message->text.p : NULL,
        .text_size = event->kind == SK_DHT_EVENT_REFUSED ? event->message->text.n : 0,
    };
}

void sk_dht_run_on_event(struct skep_engine *engine, struct sk_dht_run *run,
                         const struct sk_dht_event *event)
{
    struct sk_engine_dht *dht = engine->dht;
    char address[SK_ENDPOINT_TEXT_MAX], seen[SK_ENDPOINT_TEXT_MAX];
    struct skep_dht_event said = public_event(run, event, address);
    struct skep_dht_answer answer;
    struct skep_dht_value value;
    struct skep_dht_result result;
    if (event->kind == SK_DHT_EVENT_ANSWERED) {
        fill_answer(dht, event, seen, &answer);
        said.answer = &answer;
        if (run->scrape)
            sk_dht_scrape_add(&run->scraped, event->message);
    }
    if (event->kind == SK_DHT_EVENT_ITEM) {
        value = public_value(event->item);
        said.value = &value;
    }
    if (event->kind == SK_DHT_EVENT_DONE && event->result) {
        fill_result(dht, run, event->result, run->search.target, &result);
        said.result = &result;
    }
    sk_dht_run_tell(engine, run, &said);
}

void sk_dht_run_failed(struct skep_engine *engine, struct sk_dht_run *run)
{
    bool search = run->kind == SK_DHT_RUN_SEARCH;
    struct skep_dht_event said = {
        .kind = SKEP_DHT_DONE,
        .id = run->id,
        .method = (enum skep_dht_method)(search ? run->search.method : run->ask.method),
        .rtt_s = -1,
        .error = run->error,
        .reason = run->reason ? run->reason : skep_err_text(run->error),
    };
    sk_dht_run_tell(engine, run, &said);
}
