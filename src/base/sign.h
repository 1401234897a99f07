/*
 * Ed25519 signatures (RFC 8032) through OpenSSL, as BEP 44 uses them. Layer: base.
 *
 * A secret key is kept as its 32-byte seed. Programs of this field also keep the expanded form (64
 * bytes: clamped scalar and prefix), which OpenSSL cannot sign with; only seeds are read.
 */
#ifndef SK_BASE_SIGN_H
#define SK_BASE_SIGN_H

#include "base/bytes.h"

#define SK_SIGN_SEED_SIZE 32
#define SK_SIGN_PUBLIC_SIZE 32
#define SK_SIGN_SIZE 64

/* SKEP_ERR_CRYPTO, also where OpenSSL has no memory: it does not tell. */
int sk_sign_public(const uint8_t seed[SK_SIGN_SEED_SIZE], uint8_t ret_public[SK_SIGN_PUBLIC_SIZE]);
/* SKEP_ERR_CRYPTO. */
int sk_sign(const uint8_t seed[SK_SIGN_SEED_SIZE], struct sk_bytes message,
            uint8_t ret_signature[SK_SIGN_SIZE]);
/* Whether the signature is right. Also false where the key is no point of the curve, or without
 * memory: then nothing is believed. */
bool sk_sign_verify(const uint8_t public_key[SK_SIGN_PUBLIC_SIZE], struct sk_bytes message,
                    const uint8_t signature[SK_SIGN_SIZE]);

#endif
