/*
 * A TARGET of the command line: a .torrent file, a magnet link, an info-hash, the http(s) address
 * of a .torrent, or - for standard input (a file or a link). Layer: cmd.
 *
 *   read -> resolve -> info_hash or add -> deinit
 */
#ifndef SK_CMD_TARGET_H
#define SK_CMD_TARGET_H

#include "base/bytes.h"

#include "cmd/options.h"

enum sk_target_kind {
    SK_TARGET_FILE,
    SK_TARGET_LINK,    /* a magnet link or an info-hash */
    SK_TARGET_POINTER, /* a magnet link that names a public key of the DHT, no info-hash (BEP 46) */
    SK_TARGET_URL,
};

struct sk_target {
    enum sk_target_kind kind;
    struct sk_buf bytes; /* FILE: the file; else the text, NUL-terminated */
};

/* Reads what is local. Complains and returns an exit code other than 0 on failure. */
int sk_target_read(const char *text, struct sk_target *ret_target);
void sk_target_deinit(struct sk_target *target);
/*
 * Makes a FILE of a URL, and of a POINTER a LINK to the torrent that it points to now, with all
 * else that it says; runs the runtime for that. The others stay as they are. `family`: of the DHT,
 * 4, 6, 0 both. Complains; an exit code.
 */
int sk_target_resolve(struct sk_target *target, struct skep_runtime *runtime,
                      const struct sk_options *options, unsigned family);
/* What a torrent is called in the DHT. */
struct sk_target_hash {
    uint8_t bytes[20]; /* its v1 info-hash, or the first of that of v2 */
    bool is_v1;
    bool is_hybrid; /* v1 and v2: peers of v2 call it by */
    uint8_t bytes_v2[20];
    bool is_private; /* the torrent says that only its trackers may be asked */
};
/* Of a FILE or LINK. Complains; an exit code. */
int sk_target_info_hash(const struct sk_target *target, struct sk_target_hash *ret_hash);
/* Adds what --tracker and --peer name to the torrent. Complains; an exit code. */
int sk_target_add_extras(const struct sk_options *options, struct skep_torrent *torrent);
/* Adds the torrent of a FILE or LINK to the engine. Complains; an exit code. */
int sk_target_add(const struct sk_target *target, struct skep_engine *engine,
                  struct skep_torrent **ret_torrent);

#endif
