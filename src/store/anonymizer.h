/*
 * Pseudonyms for peers' addresses: HMAC-SHA-256 under a key that is drawn anew for each run unless
 * one is given, cut to 64 bits. Within one key the same address has the same pseudonym in every
 * output; without the key the small space of addresses cannot be searched through.
 * Layer: store. A NULL anonymizer means everywhere: addresses as they are.
 */
#ifndef SK_STORE_ANONYMIZER_H
#define SK_STORE_ANONYMIZER_H

#include "base/bytes.h"
#include "base/endpoint.h"

#define SK_ANONYMIZER_KEY_SIZE 32
#define SK_ANONYMIZER_GROWTH 11 /* how many times longer a text can become: "::" by 21 bytes */

struct sk_anonymizer {
    uint8_t key[SK_ANONYMIZER_KEY_SIZE];
    /* What it is given is hidden already: endpoints are stand-ins, each for one pseudonym, which it
     * gives back (sk_anonymizer_stand_in()), and texts stay as they are. The key is not used. */
    bool recalls;
};

/* `key` (SK_ANONYMIZER_KEY_SIZE bytes) is copied; NULL draws one from the system's entropy:
 * SKEP_ERR_CRYPTO where there is none. */
int sk_anonymizer_init(struct sk_anonymizer *anonymizer, const uint8_t *key);
/* The endpoint that stands for the pseudonym of one ("peer-" and 16 hex digits), in 100::/64, which
 * no network routes (RFC 6666). False for another text. */
bool sk_anonymizer_stand_in(const char *text, struct sk_endpoint *ret_endpoint);
/* Writes "ip:port", or "peer-" and 16 hex digits; "" for an endpoint of family NONE. Returns
 * ret_text. */
char *sk_anonymizer_endpoint(const struct sk_anonymizer *anonymizer,
                             const struct sk_endpoint *endpoint,
                             char ret_text[SK_ENDPOINT_TEXT_MAX]);
/*
 * Appends a remark from outside (a tracker's error, say), in which every literal address is
 * replaced: one with a port as above, one without by "host-" and 16 hex digits. What only looks
 * like an address (a version of four numbers) goes with them. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT.
 */
int sk_anonymizer_text(const struct sk_anonymizer *anonymizer, struct sk_bytes text,
                       struct sk_buf *out);

#endif
