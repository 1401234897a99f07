/*
 * What `skep create` leaves behind: the .torrent, and what it says of it as text or as the document
 * skep.create/1. Layer: cmd.
 */
#ifndef SK_CMD_CREATE_OUTPUT_H
#define SK_CMD_CREATE_OUTPUT_H

#include "wire/metainfo.h"

#include <stdio.h>
#include <sys/stat.h>

struct sk_create_output {
    const char *path; /* "-": standard output */
    bool force;       /* replace what is there */
};

/* What there is to say. */
struct sk_create_result {
    const struct sk_metainfo *torrent; /* as it reads back */
    const char *path;                  /* of the .torrent, as in struct sk_create_output */
    uint32_t files, skipped;
    double seconds;
};

/* Whether it can be written, as far as can be told before; complains; an exit code. Where something
 * is there that will be replaced, ret_about says what; else its st_ino is 0. */
int sk_create_output_check(const struct sk_create_output *output, struct stat *ret_about);
/* Writes all of it, or nothing: under another name first. Complains; an exit code. */
int sk_create_output_write(const struct sk_create_output *output, struct sk_bytes torrent);
/* Both write to `to`; whether that failed is in ferror(to). SKEP_ERR_NOMEM, and then nothing was
 * written. */
int sk_create_print_text(const struct sk_create_result *result, FILE *to);
int sk_create_print_json(const struct sk_create_result *result, FILE *to);

#endif
