/*
 * The secret key of one's own, in a file: the 32-byte seed of an Ed25519 key pair as raw bytes, as
 * 64 hexadecimal digits, or as PEM (as `openssl genpkey -algorithm ed25519` writes it). Layer: cmd.
 */
#ifndef SK_CMD_DHT_SECRET_H
#define SK_CMD_DHT_SECRET_H

#include <stdbool.h>
#include <stdint.h>

#define SK_SECRET_SIZE 32

/* Reads the seed. With `make` a file that is not there is made: a new seed in hex, mode 0600.
 * Complains; an exit code. */
int sk_secret_read(const char *path, bool make, uint8_t ret_seed[SK_SECRET_SIZE]);

#endif
