/*
 * KRPC: the messages of the Mainline DHT (BEP 5, 32, 33, 42, 43, 44, 51), one datagram each.
 * Layer: wire. Pure: no state, no allocation when reading.
 *
 * One struct serves reading and writing. Read, all views borrow the datagram. A query whose
 * envelope can be read (a transaction id, "y" = "q") but whose arguments are wrong is not an error
 * of sk_krpc_read(): `fault` then holds the code of the error that BEP 5 and 44 want as an answer.
 * Dictionaries whose keys are not sorted are admitted: deployed nodes send them.
 */
#ifndef SK_WIRE_KRPC_H
#define SK_WIRE_KRPC_H

#include "base/bytes.h"
#include "base/endpoint.h"
#include "wire/bencode.h"

#define SK_DHT_ID_SIZE 20
#define SK_KRPC_TRANSACTION_MAX 32 /* bytes of a transaction id that are echoed */
#define SK_KRPC_TOKEN_MAX 64       /* bytes of a token that are kept and sent back */
#define SK_KRPC_ITEM_MAX 1000      /* bytes of a value, encoded (BEP 44) */
#define SK_KRPC_SALT_MAX 64
#define SK_KRPC_FILTER_SIZE 256 /* BEP 33 */
#define SK_KRPC_DATAGRAM_MAX 1472

enum sk_krpc_kind { SK_KRPC_QUERY, SK_KRPC_RESPONSE, SK_KRPC_ERROR };

enum sk_krpc_method {
    SK_KRPC_PING,
    SK_KRPC_FIND_NODE,
    SK_KRPC_GET_PEERS,
    SK_KRPC_ANNOUNCE_PEER,
    SK_KRPC_GET,
    SK_KRPC_PUT,
    SK_KRPC_SAMPLE, /* sample_infohashes */
    SK_KRPC_UNKNOWN,
};
#define SK_KRPC_METHOD_COUNT 8

enum sk_krpc_code {
    SK_KRPC_GENERIC = 201,
    SK_KRPC_SERVER = 202,
    SK_KRPC_PROTOCOL = 203, /* malformed, wrong arguments, bad token */
    SK_KRPC_METHOD = 204,   /* method unknown */
    SK_KRPC_TOO_BIG = 205,  /* v */
    SK_KRPC_SIGNATURE = 206,
    SK_KRPC_SALT = 207, /* too big */
    SK_KRPC_CAS = 301,
    SK_KRPC_SEQ = 302, /* lower than what is stored */
};

/* Address families as a set: "want", and which tables are meant. */
enum sk_krpc_want { SK_KRPC_WANT_V4 = 1, SK_KRPC_WANT_V6 = 2 };

/* A node as others tell of it. */
struct sk_dht_contact {
    uint8_t id[SK_DHT_ID_SIZE];
    struct sk_endpoint endpoint;
};

struct sk_krpc {
    enum sk_krpc_kind kind;
    struct sk_bytes transaction; /* "t" */
    struct sk_bytes version;     /* "v" at the top, {NULL, 0} not said */
    struct sk_bytes ip;          /* "ip": 6 or 18 bytes, how the sender sees the receiver */
    bool read_only;              /* "ro" */
    const uint8_t *id;           /* 20 bytes; NULL in errors, and in queries where it is a fault */

    /* Queries */
    enum sk_krpc_method method;
    const uint8_t *target; /* "target" or "info_hash" */
    unsigned want;         /* enum sk_krpc_want; 0 not said */
    bool no_seed, scrape;  /* get_peers */
    bool seed;             /* announce_peer */
    bool implied_port;     /* announce_peer: the port of the datagram */
    uint16_t port;         /* announce_peer */
    bool has_cas;          /* put */
    int64_t cas;
    enum sk_krpc_code fault; /* 0 none: the error to answer with */
    const char *fault_text;  /* static, with fault */

    /* Queries and responses */
    struct sk_bytes token;
    /* An item: put queries, get responses. In a get query `seq` (has_seq) is the one we have. */
    struct sk_bytes value;    /* raw bencode */
    const uint8_t *key;       /* 32 bytes, NULL immutable */
    const uint8_t *signature; /* 64 bytes */
    struct sk_bytes salt;
    bool has_seq;
    int64_t seq;

    /* Responses */
    struct sk_bytes nodes, nodes6;   /* compact; a tail that is no whole entry is left out */
    bool has_values;                 /* "values" is there, be it empty */
    struct sk_bencode values;        /* read: the list, see sk_krpc_next_peer() */
    const struct sk_endpoint *peers; /* write: what goes into "values" */
    size_t peers_count;
    const uint8_t *filter_seeds, *filter_peers; /* 256 bytes each: BFsd, BFpe; NULL not there */
    bool has_samples;
    struct sk_bytes samples; /* whole 20-byte hashes */
    int64_t interval, num;   /* sample: seconds, hashes stored; -1 not said */

    /* Errors */
    int64_t code; /* never 0 when read: SK_KRPC_GENERIC where none is said */
    struct sk_bytes text;
};

/*
 * SKEP_ERR_MALFORMED (no bencoded dictionary with "t" and a known "y", or a response without a
 * 20-byte id), SKEP_ERR_LIMIT (transaction id too long; an empty one is admitted, as BEP 5 names no
 * least size and it can be echoed). What is optional and of a wrong type or size counts as not
 * there; so does a value in a response that is over SK_KRPC_ITEM_MAX or whose keys are not in
 * order: it cannot be signed nor stored again. Of equal keys the first counts.
 *
 * A query of an unknown method has `fault` SK_KRPC_METHOD, and `target` where it names one
 * ("target" before "info_hash"), for those who answer it as find_node. In a put query a key and a
 * signature go together, and with them `seq`; a salt or cas of a wrong type is a fault too, for
 * else the item would be another than was meant.
 */
int sk_krpc_read(struct sk_bytes datagram, struct sk_krpc *ret_message);
/*
 * Appends the message. What is there to be written: pointers that are not NULL, views with p !=
 * NULL, has_... flags, want != 0; of announce_peer always the port; `interval` and `num` with
 * has_samples. Fields that do not belong into this kind of message are left out. SKEP_ERR_LIMIT
 * (over SK_KRPC_DATAGRAM_MAX or the buffer's max), SKEP_ERR_NOMEM; none where the buffer has room.
 */
int sk_krpc_write(struct sk_buf *buf, const struct sk_krpc *message);

/* Walks "values": start with sk_bencode_iter(&message.values). Entries that are no 6- or 18-byte
 * strings are passed over. Port 0 is passed over. */
bool sk_krpc_next_peer(struct sk_bencode_iter *iter, struct sk_endpoint *ret_peer);
/* Reads at most `max` contacts from compact nodes of a family; returns how many. Port 0 is passed
 * over, and IPv4 addresses dressed up as IPv6. */
size_t sk_krpc_read_nodes(struct sk_bytes nodes, enum sk_family family,
                          struct sk_dht_contact *ret_contacts, size_t max);
/* Writes a contact in its family's compact form to 26 or 38 bytes; returns how many. */
size_t sk_krpc_write_node(const struct sk_dht_contact *contact, uint8_t *ret_bytes);
/* "ping", "find_node", ...; "?" for UNKNOWN. */
const char *sk_krpc_method_name(enum sk_krpc_method method);

#endif
