#include "wire/krpc.h"

#include <skep/err.h>

#include "base/assert.h"
#include "wire/compact.h"

#define NODE_V4_SIZE 26
#define NODE_V6_SIZE 38
#define TARGETS 2 /* "target" and "info_hash" */

/*
 * What can stand in "a" and "r", in the order of keys: one table for reading and writing.
 */
enum field {
    FILTER_PEERS,
    FILTER_SEEDS,
    CAS,
    ID,
    IMPLIED_PORT,
    INFO_HASH,
    INTERVAL,
    KEY,
    NODES,
    NODES6,
    NO_SEED,
    NUM,
    PORT,
    SALT,
    SAMPLES,
    SCRAPE,
    SEED,
    SEQ,
    SIGNATURE,
    TARGET,
    TOKEN,
    VALUE,
    VALUES,
    WANT,
    FIELD_COUNT,
};

enum form {
    FORM_BYTES,   /* const uint8_t *, exactly `size` bytes */
    FORM_VIEW,    /* struct sk_bytes, at most `size` bytes */
    FORM_ENTRIES, /* struct sk_bytes, whole entries of `size` bytes */
    FORM_FLAG,    /* bool; an integer other than 0 */
    FORM_INT,     /* int64_t */
    FORM_COUNT,   /* int64_t, not negative; -1 not said */
    FORM_TARGET,  /* const uint8_t *; under which key depends on the method */
    FORM_PORT,
    FORM_VALUE,  /* any canonical bencode of at most `size` bytes, raw */
    FORM_VALUES, /* list of peers */
    FORM_WANT,   /* list of families */
};

enum { IN_QUERY = 1, IN_RESPONSE = 2 };

#define AT(member) offsetof(struct sk_krpc, member)

static const struct {
    const char *key;
    enum form form;
    unsigned where;
    size_t size;
    size_t at;
    size_t has;        /* the flag that tells whether it is there (FORM_COUNT: written); 0: none */
    const char *fault; /* where it is needed and is missing or wrong */
} fields[FIELD_COUNT] = {
    [FILTER_PEERS] = {"BFpe", FORM_BYTES, IN_RESPONSE, SK_KRPC_FILTER_SIZE, AT(filter_peers)},
    [FILTER_SEEDS] = {"BFsd", FORM_BYTES, IN_RESPONSE, SK_KRPC_FILTER_SIZE, AT(filter_seeds)},
    [CAS] = {"cas", FORM_INT, IN_QUERY, 0, AT(cas), AT(has_cas), "wrong cas"},
    [ID] = {"id", FORM_BYTES, IN_QUERY | IN_RESPONSE, SK_DHT_ID_SIZE, AT(id), 0,
            "no id of 20 bytes"},
    [IMPLIED_PORT] = {"implied_port", FORM_FLAG, IN_QUERY, 0, AT(implied_port)},
    [INFO_HASH] = {"info_hash", FORM_TARGET, IN_QUERY, SK_DHT_ID_SIZE, 0, 0,
                   "no info_hash of 20 bytes"},
    [INTERVAL] = {"interval", FORM_COUNT, IN_RESPONSE, 0, AT(interval), AT(has_samples)},
    [KEY] = {"k", FORM_BYTES, IN_QUERY | IN_RESPONSE, 32, AT(key), 0, "no k of 32 bytes"},
    [NODES] = {"nodes", FORM_ENTRIES, IN_RESPONSE, NODE_V4_SIZE, AT(nodes)},
    [NODES6] = {"nodes6", FORM_ENTRIES, IN_RESPONSE, NODE_V6_SIZE, AT(nodes6)},
    [NO_SEED] = {"noseed", FORM_FLAG, IN_QUERY, 0, AT(no_seed)},
    [NUM] = {"num", FORM_COUNT, IN_RESPONSE, 0, AT(num), AT(has_samples)},
    [PORT] = {"port", FORM_PORT, IN_QUERY, 0, AT(port), 0, "no port"},
    [SALT] = {"salt", FORM_VIEW, IN_QUERY, SK_KRPC_SALT_MAX, AT(salt), 0, "wrong salt"},
    [SAMPLES] = {"samples", FORM_ENTRIES, IN_RESPONSE, SK_DHT_ID_SIZE, AT(samples),
                 AT(has_samples)},
    [SCRAPE] = {"scrape", FORM_FLAG, IN_QUERY, 0, AT(scrape)},
    [SEED] = {"seed", FORM_FLAG, IN_QUERY, 0, AT(seed)},
    [SEQ] = {"seq", FORM_INT, IN_QUERY | IN_RESPONSE, 0, AT(seq), AT(has_seq), "no seq"},
    [SIGNATURE] = {"sig", FORM_BYTES, IN_QUERY | IN_RESPONSE, 64, AT(signature), 0,
                   "no sig of 64 bytes"},
    [TARGET] = {"target", FORM_TARGET, IN_QUERY, SK_DHT_ID_SIZE, 0, 0, "no target of 20 bytes"},
    [TOKEN] = {"token", FORM_VIEW, IN_QUERY | IN_RESPONSE, SK_KRPC_TOKEN_MAX, AT(token), 0,
               "no token, or a wrong one"},
    [VALUE] = {"v", FORM_VALUE, IN_QUERY | IN_RESPONSE, SK_KRPC_ITEM_MAX, AT(value), 0,
               "no v, or keys in it are not in order"},
    [VALUES] = {"values", FORM_VALUES, IN_RESPONSE, 0, AT(values), AT(has_values)},
    [WANT] = {"want", FORM_WANT, IN_QUERY, 0, AT(want)},
};

/* Fields by the length of their keys; FIELD_COUNT ends the list. */
#define KEY_SIZE_MAX 12
static const uint8_t by_size[KEY_SIZE_MAX + 1][8] = {
    [0] = {FIELD_COUNT},
    [1] = {KEY, VALUE, FIELD_COUNT},
    [2] = {ID, FIELD_COUNT},
    [3] = {CAS, SEQ, SIGNATURE, NUM, FIELD_COUNT},
    [4] = {WANT, PORT, SALT, SEED, FILTER_PEERS, FILTER_SEEDS, FIELD_COUNT},
    [5] = {NODES, TOKEN, FIELD_COUNT},
    [6] = {TARGET, NODES6, VALUES, NO_SEED, SCRAPE, FIELD_COUNT},
    [7] = {SAMPLES, FIELD_COUNT},
    [8] = {INTERVAL, FIELD_COUNT},
    [9] = {INFO_HASH, FIELD_COUNT},
    [10] = {FIELD_COUNT},
    [11] = {FIELD_COUNT},
    [12] = {IMPLIED_PORT, FIELD_COUNT},
};

#define BIT(field) (1u << (field))

static const struct {
    const char *name;
    uint8_t size;
    uint32_t needs; /* fields */
} methods[SK_KRPC_METHOD_COUNT] = {
    [SK_KRPC_PING] = {"ping", 4, BIT(ID)},
    [SK_KRPC_FIND_NODE] = {"find_node", 9, BIT(ID) | BIT(TARGET)},
    [SK_KRPC_GET_PEERS] = {"get_peers", 9, BIT(ID) | BIT(INFO_HASH)},
    [SK_KRPC_ANNOUNCE_PEER] = {"announce_peer", 13,
                               BIT(ID) | BIT(INFO_HASH) | BIT(PORT) | BIT(TOKEN)},
    [SK_KRPC_GET] = {"get", 3, BIT(ID) | BIT(TARGET)},
    [SK_KRPC_PUT] = {"put", 3, BIT(ID) | BIT(TOKEN) | BIT(VALUE)},
    [SK_KRPC_SAMPLE] = {"sample_infohashes", 17, BIT(ID) | BIT(TARGET)},
    [SK_KRPC_UNKNOWN] = {"?", 1, BIT(ID)},
};

static const struct {
    const char *text;
    enum sk_krpc_want family;
} families[] = {{"n4", SK_KRPC_WANT_V4}, {"n6", SK_KRPC_WANT_V6}};

const char *sk_krpc_method_name(enum sk_krpc_method method)
{
    return methods[method].name;
}

static enum field find_field(struct sk_bytes key)
{
    if (key.n > KEY_SIZE_MAX)
        return FIELD_COUNT;
    const uint8_t *field = by_size[key.n];
    while (*field != FIELD_COUNT &&
           (key.p[0] != fields[*field].key[0] || memcmp(key.p, fields[*field].key, key.n) != 0))
        field++;
    return *field;
}

static enum sk_krpc_method find_method(struct sk_bytes name)
{
    size_t i = 0;
    while (i < SK_KRPC_UNKNOWN &&
           (name.n != methods[i].size || memcmp(name.p, methods[i].name, name.n) != 0))
        i++;
    return (enum sk_krpc_method)i;
}

/*
 * Reading.
 */

struct reader {
    struct sk_krpc message;
    unsigned where;                        /* IN_QUERY or IN_RESPONSE */
    const uint8_t *target, *info_hash;     /* the method may be told later than they are */
    uint32_t seen, wrong, large;           /* fields; of equal keys the first counts */
    struct sk_bytes method;                /* "q" */
    struct sk_bencode query, reply, error; /* "a", "r", "e" */
    uint8_t kind;                          /* "y" */
};

static unsigned read_want(const struct sk_bencode *list)
{
    unsigned want = 0;
    struct sk_bencode entry;
    struct sk_bencode_iter iter = sk_bencode_iter(list);
    while (sk_bencode_next(&iter, NULL, &entry))
        for (size_t i = 0; i < SK_ARRAY_LEN(families); i++)
            if (sk_bytes_is(entry.string, families[i].text))
                want |= families[i].family;
    return want;
}

/* A value is hashed and signed as it stands, so it must be the one way to write it (BEP 44). */
static bool is_canonical(const struct sk_bencode *value)
{
    struct sk_bencode again;
    return value->type == SK_BENCODE_STRING || value->type == SK_BENCODE_INT ||
           sk_bencode_parse(value->raw, SK_BENCODE_STRICT, &again, NULL) == 0;
}

/* Whether a string fits the field; then it is stored there. */
static bool read_string(struct reader *reader, enum field field, struct sk_bytes string)
{
    void *to = (char *)&reader->message + fields[field].at;
    size_t size = fields[field].size;
    switch (fields[field].form) {
    case FORM_BYTES:
        if (string.n != size)
            return false;
        *(const uint8_t **)to = string.p;
        return true;
    case FORM_TARGET:
        if (string.n != size)
            return false;
        *(field == TARGET ? &reader->target : &reader->info_hash) = string.p;
        return true;
    case FORM_VIEW:
        if (string.n > size) {
            reader->large |= BIT(field);
            return false;
        }
        *(struct sk_bytes *)to = string;
        return true;
    case FORM_ENTRIES:
        *(struct sk_bytes *)to = sk_bytes(string.p, string.n - string.n % size);
        return true;
    default:
        return false;
    }
}

static bool read_int(struct reader *reader, enum field field, int64_t value)
{
    void *to = (char *)&reader->message + fields[field].at;
    switch (fields[field].form) {
    case FORM_FLAG:
        *(bool *)to = value != 0;
        return true;
    case FORM_PORT:
        if (value < 1 || value > UINT16_MAX)
            return false;
        reader->message.port = (uint16_t)value;
        return true;
    case FORM_COUNT:
        if (value < 0)
            return false;
        *(int64_t *)to = value;
        return true;
    case FORM_INT:
        *(int64_t *)to = value;
        return true;
    default:
        return false;
    }
}

static bool read_list(struct reader *reader, enum field field, const struct sk_bencode *list)
{
    if (fields[field].form == FORM_VALUES)
        reader->message.values = *list;
    else if (fields[field].form == FORM_WANT)
        reader->message.want = read_want(list);
    else
        return false;
    return true;
}

static bool read_value(struct reader *reader, const struct sk_bencode *value)
{
    if (value->raw.n > SK_KRPC_ITEM_MAX) {
        reader->large |= BIT(VALUE);
        return false;
    }
    if (!is_canonical(value))
        return false;
    reader->message.value = value->raw;
    return true;
}

static bool read_field(struct reader *reader, enum field field, const struct sk_bencode *value)
{
    if (field == VALUE)
        return read_value(reader, value);
    switch (value->type) {
    case SK_BENCODE_STRING:
        return read_string(reader, field, value->string);
    case SK_BENCODE_INT:
        return read_int(reader, field, value->integer);
    case SK_BENCODE_LIST:
        return read_list(reader, field, value);
    default:
        return false;
    }
}

static void read_body(struct reader *reader, const struct sk_bencode *body)
{
    struct sk_bytes key;
    struct sk_bencode value;
    struct sk_bencode_iter iter = sk_bencode_iter(body);
    if (iter.type != SK_BENCODE_DICT)
        return;
    while (sk_bencode_next(&iter, &key, &value)) {
        enum field field = find_field(key);
        if (field == FIELD_COUNT || !(fields[field].where & reader->where) ||
            (reader->seen & BIT(field)))
            continue;
        reader->seen |= BIT(field);
        if (!read_field(reader, field, &value))
            reader->wrong |= BIT(field);
        else if (fields[field].has && fields[field].form != FORM_COUNT)
            *((bool *)&reader->message + fields[field].has) = true;
    }
}

static void set_fault(struct reader *reader, enum sk_krpc_code code, const char *text)
{
    reader->message.fault = code;
    reader->message.fault_text = text;
}

/* Which fields the query needs and lacks. Too large ones have errors of their own. */
static uint32_t missing(const struct reader *reader)
{
    enum sk_krpc_method method = reader->message.method;
    uint32_t needs = methods[method].needs, wrong = reader->wrong;
    if (reader->message.implied_port)
        needs &= ~BIT(PORT);
    if (method == SK_KRPC_PUT) {
        if (reader->seen & (BIT(KEY) | BIT(SIGNATURE)))
            needs |= BIT(KEY) | BIT(SIGNATURE) | BIT(SEQ);
        needs |= wrong & (BIT(SALT) | BIT(CAS));
        wrong &= ~(reader->large & (BIT(SALT) | BIT(VALUE)));
    }
    return needs & (~reader->seen | wrong);
}

static void judge_query(struct reader *reader)
{
    uint32_t lacks = missing(reader);
    enum sk_krpc_method method = reader->message.method;
    if (!reader->method.p)
        set_fault(reader, SK_KRPC_PROTOCOL, "no method");
    else if (lacks)
        set_fault(reader, SK_KRPC_PROTOCOL, fields[__builtin_ctz(lacks)].fault);
    else if (method == SK_KRPC_UNKNOWN)
        set_fault(reader, SK_KRPC_METHOD, "unknown method");
    else if (method == SK_KRPC_PUT && (reader->large & BIT(VALUE)))
        set_fault(reader, SK_KRPC_TOO_BIG, "v is too big");
    else if (method == SK_KRPC_PUT && (reader->large & BIT(SALT)))
        set_fault(reader, SK_KRPC_SALT, "salt is too big");
}

static void read_query(struct reader *reader)
{
    struct sk_krpc *message = &reader->message;
    message->kind = SK_KRPC_QUERY;
    message->method = reader->method.p ? find_method(reader->method) : SK_KRPC_UNKNOWN;
    reader->where = IN_QUERY;
    read_body(reader, &reader->query);
    if (methods[message->method].needs & BIT(INFO_HASH))
        message->target = reader->info_hash;
    else if (methods[message->method].needs & BIT(TARGET))
        message->target = reader->target;
    else if (message->method == SK_KRPC_UNKNOWN)
        message->target = reader->target ? reader->target : reader->info_hash;
    judge_query(reader);
}

static int read_response(struct reader *reader)
{
    reader->message.kind = SK_KRPC_RESPONSE;
    reader->where = IN_RESPONSE;
    read_body(reader, &reader->reply);
    return reader->message.id ? 0 : SKEP_ERR_MALFORMED;
}

/* [code, text] by BEP 5. Some send a dictionary of them, or the text alone. */
static void read_error(struct reader *reader)
{
    struct sk_krpc *message = &reader->message;
    struct sk_bytes key;
    struct sk_bencode entry;
    struct sk_bencode_iter iter = sk_bencode_iter(&reader->error);
    message->kind = SK_KRPC_ERROR;
    message->text = reader->error.string;
    message->code = reader->error.integer;
    while (sk_bencode_next(&iter, &key, &entry)) {
        if (entry.type == SK_BENCODE_INT && !message->code)
            message->code = entry.integer;
        else if (entry.type == SK_BENCODE_STRING && !message->text.p)
            message->text = entry.string;
    }
    if (!message->code)
        message->code = SK_KRPC_GENERIC;
}

static void read_top_field(struct reader *reader, uint8_t key, const struct sk_bencode *value)
{
    struct sk_krpc *message = &reader->message;
    switch (key) {
    case 'a':
        if (!reader->query.type)
            reader->query = *value;
        break;
    case 'r':
        if (!reader->reply.type)
            reader->reply = *value;
        break;
    case 'e':
        if (!reader->error.type)
            reader->error = *value;
        break;
    case 'q':
        if (!reader->method.p)
            reader->method = value->string;
        break;
    case 't':
        if (!message->transaction.p)
            message->transaction = value->string;
        break;
    case 'v':
        if (!message->version.p)
            message->version = value->string;
        break;
    case 'y':
        if (!reader->kind && value->string.n == 1)
            reader->kind = value->string.p[0];
        break;
    default:
        break;
    }
}

static void read_top(struct reader *reader, const struct sk_bencode *top)
{
    struct sk_bytes key;
    struct sk_bencode value;
    struct sk_bencode_iter iter = sk_bencode_iter(top);
    while (sk_bencode_next(&iter, &key, &value)) {
        if (key.n == 1)
            read_top_field(reader, key.p[0], &value);
        else if (sk_bytes_is(key, "ip") && (value.string.n == 6 || value.string.n == 18))
            reader->message.ip = value.string;
        else if (sk_bytes_is(key, "ro"))
            reader->message.read_only = value.integer != 0;
    }
}

int sk_krpc_read(struct sk_bytes datagram, struct sk_krpc *ret_message)
{
    struct sk_bencode top;
    struct reader reader = {.message = {.interval = -1, .num = -1}};
    int err = 0;
    if (sk_bencode_parse(datagram, SK_BENCODE_UNSORTED, &top, NULL) || top.type != SK_BENCODE_DICT)
        return SKEP_ERR_MALFORMED;
    read_top(&reader, &top);
    if (!reader.message.transaction.p)
        return SKEP_ERR_MALFORMED;
    if (reader.message.transaction.n > SK_KRPC_TRANSACTION_MAX)
        return SKEP_ERR_LIMIT;
    if (reader.kind == 'q')
        read_query(&reader);
    else if (reader.kind == 'r')
        err = read_response(&reader);
    else if (reader.kind == 'e')
        read_error(&reader);
    else
        return SKEP_ERR_MALFORMED;
    if (!err)
        *ret_message = reader.message;
    return err;
}

/*
 * Writing.
 */

static bool is_there(const struct sk_krpc *message, enum field field)
{
    const void *at = (const char *)message + fields[field].at;
    if (fields[field].has && !*((const bool *)message + fields[field].has))
        return false;
    switch (fields[field].form) {
    case FORM_BYTES:
        return *(const uint8_t *const *)at;
    case FORM_VIEW:
    case FORM_VALUE:
        return ((const struct sk_bytes *)at)->p;
    case FORM_ENTRIES:
        return fields[field].has || ((const struct sk_bytes *)at)->p;
    case FORM_FLAG:
        return *(const bool *)at;
    case FORM_COUNT:
        return *(const int64_t *)at >= 0;
    case FORM_TARGET:
        return message->target &&
               (field == INFO_HASH) == !!(methods[message->method].needs & BIT(INFO_HASH));
    case FORM_PORT:
        return message->method == SK_KRPC_ANNOUNCE_PEER;
    case FORM_WANT:
        return message->want;
    case FORM_INT:
    case FORM_VALUES:
        return true;
    }
    return false;
}

static void write_peers(struct sk_buf *buf, const struct sk_krpc *message)
{
    sk_bencode_put_list(buf);
    for (size_t i = 0; i < message->peers_count; i++) {
        sk_buf_text(buf, message->peers[i].family == SK_FAMILY_V6 ? "18:" : "6:");
        sk_compact_write(buf, &message->peers[i]);
    }
    sk_bencode_put_end(buf);
}

static void write_want(struct sk_buf *buf, unsigned want)
{
    sk_bencode_put_list(buf);
    for (size_t i = 0; i < SK_ARRAY_LEN(families); i++)
        if (want & families[i].family)
            sk_bencode_put_text(buf, families[i].text);
    sk_bencode_put_end(buf);
}

static void write_field(struct sk_buf *buf, const struct sk_krpc *message, enum field field)
{
    const void *at = (const char *)message + fields[field].at;
    sk_bencode_put_text(buf, fields[field].key);
    switch (fields[field].form) {
    case FORM_BYTES:
        sk_bencode_put_string(buf, sk_bytes(*(const uint8_t *const *)at, fields[field].size));
        break;
    case FORM_VIEW:
    case FORM_ENTRIES:
        sk_bencode_put_string(buf, *(const struct sk_bytes *)at);
        break;
    case FORM_FLAG:
        sk_bencode_put_int(buf, 1);
        break;
    case FORM_INT:
    case FORM_COUNT:
        sk_bencode_put_int(buf, *(const int64_t *)at);
        break;
    case FORM_TARGET:
        sk_bencode_put_string(buf, sk_bytes(message->target, SK_DHT_ID_SIZE));
        break;
    case FORM_PORT:
        sk_bencode_put_int(buf, message->port);
        break;
    case FORM_VALUE:
        sk_buf_append(buf, message->value.p, message->value.n);
        break;
    case FORM_VALUES:
        write_peers(buf, message);
        break;
    case FORM_WANT:
        write_want(buf, message->want);
        break;
    }
}

static void write_body(struct sk_buf *buf, const struct sk_krpc *message, const char *key,
                       unsigned where)
{
    sk_bencode_put_text(buf, key);
    sk_bencode_put_dict(buf);
    for (unsigned field = 0; field < FIELD_COUNT; field++)
        if ((fields[field].where & where) && is_there(message, (enum field)field))
            write_field(buf, message, (enum field)field);
    sk_bencode_put_end(buf);
}

static void write_error(struct sk_buf *buf, const struct sk_krpc *message)
{
    sk_bencode_put_text(buf, "e");
    sk_bencode_put_list(buf);
    sk_bencode_put_int(buf, message->code);
    sk_bencode_put_string(buf, message->text);
    sk_bencode_put_end(buf);
}

static void write_text(struct sk_buf *buf, const char *key, struct sk_bytes text)
{
    sk_bencode_put_text(buf, key);
    sk_bencode_put_string(buf, text);
}

static void write_message(struct sk_buf *buf, const struct sk_krpc *message)
{
    static const char *const kinds[] = {"q", "r", "e"};
    sk_bencode_put_dict(buf);
    if (message->kind == SK_KRPC_QUERY)
        write_body(buf, message, "a", IN_QUERY);
    else if (message->kind == SK_KRPC_ERROR)
        write_error(buf, message);
    if (message->ip.p)
        write_text(buf, "ip", message->ip);
    if (message->kind == SK_KRPC_QUERY)
        write_text(buf, "q", sk_bytes_text(sk_krpc_method_name(message->method)));
    else if (message->kind == SK_KRPC_RESPONSE)
        write_body(buf, message, "r", IN_RESPONSE);
    if (message->read_only)
        sk_buf_text(buf, "2:roi1e");
    write_text(buf, "t", message->transaction);
    if (message->version.p)
        write_text(buf, "v", message->version);
    write_text(buf, "y", sk_bytes_text(kinds[message->kind]));
    sk_bencode_put_end(buf);
}

int sk_krpc_write(struct sk_buf *buf, const struct sk_krpc *message)
{
    size_t start = buf->n, max = buf->max;
    size_t room = SK_MIN((size_t)SK_KRPC_DATAGRAM_MAX, max - start);
    if (room && !sk_buf_reserve(buf, room))
        return SKEP_ERR_NOMEM;
    buf->max = start + room;
    write_message(buf, message);
    buf->max = max;
    if (!buf->failed)
        return 0;
    buf->n = start;
    return SKEP_ERR_LIMIT;
}

/*
 * Peers and nodes.
 */

bool sk_krpc_next_peer(struct sk_bencode_iter *iter, struct sk_endpoint *ret_peer)
{
    struct sk_bencode entry;
    while (iter->type == SK_BENCODE_LIST && sk_bencode_next(iter, NULL, &entry)) {
        enum sk_family family = entry.string.n == 18 ? SK_FAMILY_V6 : SK_FAMILY_V4;
        struct sk_endpoint peer;
        if ((entry.string.n == 6 || family == SK_FAMILY_V6) &&
            sk_compact_read(entry.string, family, &peer, 1, NULL) == 1 && peer.port) {
            *ret_peer = peer;
            return true;
        }
    }
    return false;
}

size_t sk_krpc_read_nodes(struct sk_bytes nodes, enum sk_family family,
                          struct sk_dht_contact *ret_contacts, size_t max)
{
    bool v6 = family == SK_FAMILY_V6;
    size_t size = v6 ? NODE_V6_SIZE : NODE_V4_SIZE, count = 0;
    for (size_t at = 0; nodes.n - at >= size && count < max; at += size) {
        const uint8_t *p = nodes.p + at, *ip = p + SK_DHT_ID_SIZE;
        uint16_t port = sk_get_u16(p + size - 2);
        struct sk_dht_contact *contact = &ret_contacts[count];
        contact->endpoint = v6 ? sk_endpoint_v6(ip, port) : sk_endpoint_v4(ip, port);
        memcpy(contact->id, p, SK_DHT_ID_SIZE);
        count += port && contact->endpoint.family == family;
    }
    return count;
}

size_t sk_krpc_write_node(const struct sk_dht_contact *contact, uint8_t *ret_bytes)
{
    size_t ip = contact->endpoint.family == SK_FAMILY_V6 ? 16 : 4;
    memcpy(ret_bytes, contact->id, SK_DHT_ID_SIZE);
    memcpy(ret_bytes + SK_DHT_ID_SIZE, contact->endpoint.addr, ip);
    sk_put_u16(ret_bytes + SK_DHT_ID_SIZE + ip, contact->endpoint.port);
    return SK_DHT_ID_SIZE + ip + 2;
}
