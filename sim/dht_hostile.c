#include "sim/dht_hostile.h"

#include "base/assert.h"
#include "proto/dht/node_id.h"

#define TOLD_NODES 8
#define CROWD_NODES 40
#define NODE_SIZE_MAX 38
#define FITTING_TRIES 64

/* An answer on its way out: the message, and where what replaces its parts lies. */
struct draft {
    struct sk_sim_hostile *hostile;
    const struct sk_krpc *query;
    struct sk_krpc answer;
    enum sk_family family;
    uint8_t id[SK_DHT_ID_SIZE];
    uint8_t nodes[CROWD_NODES * NODE_SIZE_MAX];
    size_t nodes_size;
    uint8_t value[SK_KRPC_ITEM_MAX];
};

/* ---- parts of lies ---- */

static void id_near(struct sk_prng *prng, const uint8_t *target, unsigned bits,
                    uint8_t ret_id[SK_DHT_ID_SIZE])
{
    sk_dht_id_beside(target, bits, prng, ret_id);
}

static struct sk_endpoint some_address(struct sk_prng *prng, enum sk_family family)
{
    uint8_t addr[16];
    sk_prng_bytes(prng, addr, sizeof addr);
    addr[0] = family == SK_FAMILY_V4 ? 80 : 0x2a;
    uint16_t port = (uint16_t)(1024 + sk_prng_below(prng, 64000));
    return family == SK_FAMILY_V4 ? sk_endpoint_v4(addr, port) : sk_endpoint_v6(addr, port);
}

static void tell(struct draft *draft, const struct sk_dht_contact *contact)
{
    draft->nodes_size += sk_krpc_write_node(contact, draft->nodes + draft->nodes_size);
}

static void put_nodes(struct draft *draft)
{
    struct sk_bytes nodes = sk_bytes(draft->nodes, draft->nodes_size);
    if (draft->answer.nodes.p)
        draft->answer.nodes = nodes;
    else
        draft->answer.nodes6 = nodes;
}

static void hide_item(struct draft *draft)
{
    struct sk_krpc *answer = &draft->answer;
    answer->value = sk_bytes(NULL, 0);
    answer->key = answer->signature = NULL;
    answer->has_seq = false;
}

/* ---- kinds ---- */

static bool stay_silent(struct draft *draft)
{
    return false;
}

static bool invent_nodes(struct draft *draft)
{
    struct sk_prng *prng = draft->hostile->prng;
    for (unsigned i = 0; i < TOLD_NODES; i++) {
        struct sk_dht_contact contact = {.endpoint = some_address(prng, draft->family)};
        id_near(prng, draft->query->target, 30 + (unsigned)sk_prng_below(prng, 100), contact.id);
        tell(draft, &contact);
    }
    put_nodes(draft);
    return true;
}

/* Half of them by their true ids, half by ids that are much nearer. */
static bool tell_accomplices(struct draft *draft)
{
    struct sk_sim_hostile *hostile = draft->hostile;
    for (unsigned i = 0; i < TOLD_NODES && hostile->accomplices_count; i++) {
        size_t chosen = sk_prng_below(hostile->prng, hostile->accomplices_count);
        struct sk_dht_contact contact = hostile->accomplices[chosen];
        if (i % 2)
            id_near(hostile->prng, draft->query->target, 40, contact.id);
        tell(draft, &contact);
    }
    hide_item(draft);
    put_nodes(draft);
    return true;
}

/* What is there is made newer without its key; where nothing is, something else is given: bytes
 * that do not hash to the target, or an item that is rightly signed by another key. */
static bool forge_item(struct draft *draft)
{
    static const char forged[] = "6:forged";
    struct sk_krpc *answer = &draft->answer;
    struct sk_sim_hostile *hostile = draft->hostile;
    if (draft->query->method != SK_KRPC_GET)
        return true;
    bool was_mutable = answer->key;
    answer->value = sk_bytes_text(forged);
    if (was_mutable) {
        answer->seq++;
    } else if (sk_prng_below(hostile->prng, 2)) {
        answer->key = hostile->key;
        answer->signature = hostile->signature;
        answer->has_seq = true;
        answer->seq = 1;
    }
    return true;
}

static bool tell_crowd(struct draft *draft)
{
    struct sk_prng *prng = draft->hostile->prng;
    struct sk_dht_contact contact = {.endpoint = some_address(prng, draft->family)};
    unsigned count = draft->family == SK_FAMILY_V4 ? CROWD_NODES : CROWD_NODES / 2;
    for (unsigned i = 0; i < count; i++) {
        contact.endpoint.port = (uint16_t)(2000 + i);
        id_near(prng, draft->query->target, 30 + (unsigned)sk_prng_below(prng, 100), contact.id);
        tell(draft, &contact);
    }
    put_nodes(draft);
    return true;
}

static bool shift_id(struct draft *draft)
{
    id_near(draft->hostile->prng, draft->query->target, 60, draft->id);
    draft->answer.id = draft->id;
    return tell_accomplices(draft);
}

static const struct kind {
    const char *name;
    bool (*change)(struct draft *draft); /* false: no answer */
} kinds[SK_SIM_KIND_COUNT] = {
    [SK_SIM_HONEST] = {"honest", NULL},
    [SK_SIM_SILENT] = {"silent", stay_silent},
    [SK_SIM_LIAR] = {"liar", invent_nodes},
    [SK_SIM_ACCOMPLICE] = {"accomplice", tell_accomplices},
    [SK_SIM_FORGER] = {"forger", forge_item},
    [SK_SIM_CROWD] = {"crowd", tell_crowd},
    [SK_SIM_SHIFTER] = {"shifter", shift_id},
    [SK_SIM_PLACED] = {"placed", tell_accomplices},
    [SK_SIM_FITTED] = {"fitted", tell_accomplices},
};

/* ---- what others call ---- */

void sk_sim_hostile_init(struct sk_sim_hostile *hostile, struct sk_prng *prng)
{
    *hostile = (struct sk_sim_hostile){.prng = prng};
    sk_prng_bytes(prng, hostile->seed, sizeof hostile->seed);
    int err = sk_sign_public(hostile->seed, hostile->key);
    if (err == 0)
        err = sk_dht_item_sign(hostile->seed, sk_bytes(NULL, 0), 1, sk_bytes_text("6:forged"),
                               hostile->signature);
    SK_ASSERT(err == 0);
}

const char *sk_sim_kind_name(enum sk_sim_kind kind)
{
    return kinds[kind].name;
}

enum sk_sim_kind sk_sim_kind_find(const char *name)
{
    unsigned kind = 0;
    while (kind < SK_SIM_KIND_COUNT && strcmp(kinds[kind].name, name) != 0)
        kind++;
    return kind;
}

void sk_sim_hostile_place(struct sk_sim_hostile *hostile, const uint8_t target[SK_DHT_ID_SIZE],
                          const struct sk_endpoint *fitting, uint8_t ret_id[SK_DHT_ID_SIZE])
{
    if (!fitting) {
        sk_dht_id_beside(target, 40 + (unsigned)sk_prng_below(hostile->prng, 40), hostile->prng,
                         ret_id);
        return;
    }
    /* The address decides the first 21 bits but for a random number of 3 bits; the rest is free,
     * but helps little. */
    uint8_t id[SK_DHT_ID_SIZE];
    sk_dht_id_for_address(fitting, hostile->prng, ret_id);
    for (unsigned i = 0; i < FITTING_TRIES; i++) {
        sk_dht_id_for_address(fitting, hostile->prng, id);
        if (sk_dht_compare(target, id, ret_id) < 0)
            memcpy(ret_id, id, sizeof id);
    }
}

bool sk_sim_hostile_answer(struct sk_sim_hostile *hostile, enum sk_sim_kind kind,
                           struct sk_bytes query, struct sk_bytes answer, struct sk_buf *ret_buf)
{
    struct sk_krpc asked;
    struct draft draft = {.hostile = hostile, .query = &asked};
    ret_buf->n = 0;
    bool readable = sk_krpc_read(query, &asked) == 0 && sk_krpc_read(answer, &draft.answer) == 0;
    bool tells = readable && draft.answer.kind == SK_KRPC_RESPONSE && asked.target &&
                 (draft.answer.nodes.p || draft.answer.nodes6.p);
    if (!kinds[kind].change || !tells)
        return sk_buf_append(ret_buf, answer.p, answer.n) == 0;
    draft.family = draft.answer.nodes.p ? SK_FAMILY_V4 : SK_FAMILY_V6;
    if (!kinds[kind].change(&draft))
        return false;
    /* Read lists are views; the writer wants peers, which no experiment here looks at. */
    draft.answer.has_values = false;
    return sk_krpc_write(ret_buf, &draft.answer) == 0;
}
