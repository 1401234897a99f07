/*
 * Links to a public key (BEP 46), followed: which torrent the mutable item of the DHT under that
 * key points to now. Layer: cmd.
 */
#ifndef SK_CMD_POINTER_H
#define SK_CMD_POINTER_H

#include "cmd/options.h"
#include "wire/magnet.h"

/*
 * What such an item holds: a dictionary whose "ih" is an info-hash of 20 bytes; its other keys are
 * passed over. SKEP_ERR_MALFORMED, SKEP_ERR_UNSUPPORTED (32 bytes, which no BEP has for it);
 * `ret_reason` is static.
 */
int sk_pointer_read(struct sk_bytes value, uint8_t ret_hash[20], const char **ret_reason);
/*
 * Searches the DHT for the newest item under the link's key and salt. Runs the runtime, whose node
 * has been told whom to ask, until it is found, nobody has answered for as long as a command of the
 * DHT waits, --time is up or a signal ends it; shows that it is under way as `options` say.
 * `family`: 4, 6, 0 both. Complains; an exit code.
 */
int sk_pointer_follow(const struct sk_magnet *link, struct skep_runtime *runtime,
                      const struct sk_options *options, unsigned family, uint8_t ret_hash[20]);

#endif
