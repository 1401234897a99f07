/*
 * What message stream encryption needs of OpenSSL: RC4 (legacy provider) and Diffie-Hellman over
 * the 768-bit prime that all clients use. Neither gives secrecy worth the name: it is obfuscation.
 */
#ifndef SK_BASE_CRYPT_H
#define SK_BASE_CRYPT_H

#include <stddef.h>
#include <stdint.h>

#define SK_DH_SIZE 96         /* bytes of a public key and of the shared secret, big endian */
#define SK_DH_PRIVATE_SIZE 20 /* bytes of a private key */

/* Public key of a private one. SKEP_ERR_NOMEM. */
int sk_dh_public(const uint8_t private_key[SK_DH_PRIVATE_SIZE], uint8_t ret_public[SK_DH_SIZE]);
/* Shared secret. SKEP_ERR_MALFORMED where theirs is degenerate (0, 1, P-1 or not below P). */
int sk_dh_secret(const uint8_t private_key[SK_DH_PRIVATE_SIZE], const uint8_t theirs[SK_DH_SIZE],
                 uint8_t ret_secret[SK_DH_SIZE]);

/* One direction of an RC4 stream. About 1.3 KiB. */
struct sk_rc4;
/* The key is 20 bytes; the first 1,024 bytes of the stream are dropped.
 * SKEP_ERR_NOMEM; SKEP_ERR_CRYPTO where the legacy provider cannot be loaded. */
int sk_rc4_new(const uint8_t key[20], struct sk_rc4 **ret_rc4);
void sk_rc4_free(struct sk_rc4 *rc4);
/* Encrypts or decrypts in place. */
void sk_rc4_apply(struct sk_rc4 *rc4, uint8_t *p, size_t n);
/* Whether RC4 can be had at all on this machine. */
int sk_rc4_available(void);

#endif
