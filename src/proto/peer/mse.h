/*
 * Message stream encryption, the handshake: a machine inside the peer session (proto), with a
 * deadline of its own. It ends with a cipher for each direction or a failure.
 *
 *   initiator:  KEY -> SYNC -> FIELDS -> PAD -> DONE
 *   responder:  KEY -> SYNC -> TORRENT -> FIELDS -> PAD -> DONE
 *
 * Steps and numbers: no BEP exists; this is what deployed clients do. The initiator puts its
 * BitTorrent handshake into the initial payload (IA), which saves a round trip. The responder
 * chooses RC4 where both modes are offered and accepted. Pads are 0 to 512 random bytes; PadC and
 * PadD are sent empty. No part of it waits for the IA's bytes: they are the start of the stream.
 *
 * It is obfuscation, not secrecy: RC4 and a 768-bit group hide nothing from who wants to know.
 *
 * Memory: about 1 KiB, freed by the session when the handshake is through.
 */
#ifndef SK_PROTO_PEER_MSE_H
#define SK_PROTO_PEER_MSE_H

#include "base/bytes.h"
#include "wire/mse.h"

struct sk_mse;
struct sk_peer_skey;

enum sk_mse_state {
    SK_MSE_KEY,     /* their public key is awaited */
    SK_MSE_SYNC,    /* the end of their pad is searched */
    SK_MSE_TORRENT, /* responder: the torrent they mean */
    SK_MSE_FIELDS,  /* modes and the length of the next pad */
    SK_MSE_PAD,
    SK_MSE_DONE,
    SK_MSE_FAILED,
};

enum sk_mse_failure {
    SK_MSE_FAILURE_NONE = 0,
    SK_MSE_FAILURE_PLAIN,   /* a plain handshake came instead of a key */
    SK_MSE_FAILURE_KEY,     /* degenerate public key */
    SK_MSE_FAILURE_SYNC,    /* no synchronisation point within the bound */
    SK_MSE_FAILURE_TORRENT, /* not one of the torrents that are served */
    SK_MSE_FAILURE_VC,      /* the verification constant is wrong */
    SK_MSE_FAILURE_PAD,     /* longer than 512 bytes */
    SK_MSE_FAILURE_SELECT,  /* they selected no mode, two, or one that was not offered */
    SK_MSE_FAILURE_MODES,   /* they offer no mode that is accepted */
    SK_MSE_FAILURE_NOMEM,
};

struct sk_mse_config {
    bool initiator;
    unsigned modes;           /* offered or accepted: SK_MSE_PLAIN | SK_MSE_RC4, not 0 */
    const uint8_t *info_hash; /* initiator; 20 bytes, copied */
    const uint8_t *payload;   /* initiator: its handshake, SK_HANDSHAKE_SIZE bytes, copied */
    uint64_t seed;            /* of keys and pads */
};

/* What came out of it. The ciphers belong to who takes the result. */
struct sk_mse_result {
    unsigned mode;         /* SK_MSE_PLAIN or SK_MSE_RC4 */
    struct sk_rc4 *in;     /* NULL: nothing more to decrypt */
    struct sk_rc4 *out;    /* NULL: nothing more to encrypt */
    size_t in_left;        /* `in` is for this many bytes, SIZE_MAX: for all */
    uint8_t info_hash[20]; /* of the torrent that both mean */
};

/* The initiator's first bytes are appended to `out`. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
int sk_mse_new(const struct sk_mse_config *config, uint64_t now_ns, struct sk_buf *out,
               struct sk_mse **ret_mse);
void sk_mse_free(struct sk_mse *mse);
enum sk_mse_state sk_mse_state(const struct sk_mse *mse);
enum sk_mse_failure sk_mse_failure(const struct sk_mse *mse);
/* When the handshake has taken too long. */
uint64_t sk_mse_deadline(const struct sk_mse *mse);
/*
 * Feeds bytes and says how many of them belonged to the handshake; the others, once it is DONE, are
 * the stream's. Answers are appended to `out`. The responder looks for the torrent among `skeys`.
 */
size_t sk_mse_input(struct sk_mse *mse, struct sk_bytes bytes, const struct sk_peer_skey *skeys,
                    size_t skeys_count, struct sk_buf *out);
/* Once, when DONE. */
void sk_mse_take_result(struct sk_mse *mse, struct sk_mse_result *ret_result);

#endif
