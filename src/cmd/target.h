/*
 * A TARGET of the command line: a .torrent file, a magnet link, an info-hash, the http(s) address
 * of a .torrent, or - for standard input (a file or a link). Layer: cmd.
 */
#ifndef SK_CMD_TARGET_H
#define SK_CMD_TARGET_H

#include "base/bytes.h"

#include <skep/runtime.h>

enum sk_target_kind { SK_TARGET_FILE, SK_TARGET_LINK, SK_TARGET_URL };

struct sk_target {
    enum sk_target_kind kind;
    struct sk_buf bytes; /* FILE: the file; LINK, URL: the text, NUL-terminated */
};

/* Reads what is local. Complains and returns an exit code other than 0 on failure. */
int sk_target_read(const char *text, struct sk_target *ret_target);
void sk_target_deinit(struct sk_target *target);
/* Makes a FILE of a URL. Complains; an exit code. */
int sk_target_fetch(struct sk_target *target, struct skep_runtime *runtime);
/*
 * What the torrent is called in the DHT: its v1 info-hash, or the first 20 bytes of that of v2.
 * `ret_private` (may be NULL): whether the torrent says that only its trackers may be asked.
 * A URL is fetched first. Complains; an exit code.
 */
int sk_target_info_hash(struct sk_target *target, struct skep_runtime *runtime,
                        uint8_t ret_hash[20], bool *ret_private);
/* Adds the torrent to the runtime's engine; a URL is fetched first. Complains; an exit code. */
int sk_target_add(struct sk_target *target, struct skep_runtime *runtime,
                  struct skep_torrent **ret_torrent);

#endif
