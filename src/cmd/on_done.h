/*
 * A program of the user's that is told of a complete torrent: --on-done. Layer: cmd.
 *
 * It gets arguments, info-hash, name and path, and the same as SKEP_INFO_HASH, SKEP_NAME and
 * SKEP_PATH; never a line for a shell, for names come from strangers. What it prints goes to
 * standard error, it has no input, and skep waits for it before it ends.
 */
#ifndef SK_CMD_ON_DONE_H
#define SK_CMD_ON_DONE_H

#include <stdbool.h>
#include <stdint.h>

/* Starts it (looked for in PATH). Complains; whether it runs. */
bool sk_on_done_start(const char *program, const uint8_t info_hash[20], const char *name,
                      const char *path);
/* Waits for all that run; complains of those that fail. Whether all did well. */
bool sk_on_done_wait(void);

#endif
