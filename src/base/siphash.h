/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash that is cheap for inputs of some words. Who
 * does not know the key cannot foretell a value, whatever other values they saw. Layer: base.
 */
#ifndef SK_BASE_SIPHASH_H
#define SK_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SK_SIPHASH_KEY_SIZE 16

/* `n` is a multiple of 8 below 256. */
uint64_t sk_siphash(const uint8_t key[SK_SIPHASH_KEY_SIZE], const uint8_t *p, size_t n);

#endif
