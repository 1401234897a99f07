/*
 * What `skep show` prints: the text for people and the JSON document skep.show/1. Layer: cmd.
 *
 * Exactly one of torrent and magnet is set.
 */
#ifndef SK_CMD_SHOW_H
#define SK_CMD_SHOW_H

#include "wire/magnet.h"
#include "wire/metainfo.h"

#include <stdio.h>

struct sk_show {
    struct sk_metainfo *torrent;
    struct sk_magnet *magnet;
    bool all_files; /* text: list every file, however many */
};

/* Both write to `to`; whether that failed is in ferror(to). */
void sk_show_text(const struct sk_show *show, FILE *to);
/* SKEP_ERR_NOMEM, and then nothing was written. */
int sk_show_json(const struct sk_show *show, FILE *to);

#endif
