/*
 * skep audit --tracer: what of the torrent is in the directory already. It is hashed beside the
 * audit, once the metadata is known; what is right can be given. Nothing is written. Layer: cmd.
 */
#ifndef SK_CMD_AUDIT_KEPT_H
#define SK_CMD_AUDIT_KEPT_H

#include <skep/engine.h>

#include "driver/hashing.h"

struct sk_audit_kept {
    const char *directory;
    struct skep_torrent *torrent;
    int root;
    uint8_t *pieces; /* enum sk_hashing_piece, while they are looked at */
    struct sk_hashing *hashing;
    bool begun;
};

/* `directory` is borrowed. */
void sk_audit_kept_init(struct sk_audit_kept *kept, const char *directory,
                        struct skep_torrent *torrent);
void sk_audit_kept_deinit(struct sk_audit_kept *kept); /* of one that is all zero too */
/* Begins, or takes what was found. To be called now and then. */
void sk_audit_kept_look(struct sk_audit_kept *kept);

#endif
