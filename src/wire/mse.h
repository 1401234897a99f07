/*
 * Message stream encryption: the hashes and fields of its handshake. The machine that runs it is
 * proto/peer/mse.c. No BEP exists; numbers and order are what deployed clients use.
 */
#ifndef SK_WIRE_MSE_H
#define SK_WIRE_MSE_H

#include "base/bytes.h"
#include "base/crypt.h"
#include "base/hash.h"

#define SK_MSE_PLAIN 1u
#define SK_MSE_RC4 2u
#define SK_MSE_VC_SIZE 8 /* eight zero bytes */

/* HASH("req1", S): what B looks for in the stream. */
void sk_mse_hash_req1(const uint8_t secret[SK_DH_SIZE], uint8_t ret_hash[SK_SHA1_SIZE]);
/* HASH("req2", info_hash): kept for every torrent that is served. */
void sk_mse_hash_req2(const uint8_t info_hash[20], uint8_t ret_hash[SK_SHA1_SIZE]);
/* HASH("req3", S). */
void sk_mse_hash_req3(const uint8_t secret[SK_DH_SIZE], uint8_t ret_hash[SK_SHA1_SIZE]);
/* HASH("keyA" or "keyB", S, info_hash). */
void sk_mse_key(bool a, const uint8_t secret[SK_DH_SIZE], const uint8_t info_hash[20],
                uint8_t ret_key[SK_SHA1_SIZE]);

#endif
