/*
 * Which pieces of a torrent a directory holds, from one run to the next. Layer: store.
 *
 * A file of its own, NAME.resume, where NAME is the SHA-1 of the info-hash and the directory: a
 * head, then eight bytes for each piece, appended once the piece has been verified and written. So
 * a program that is killed at any moment has lost at most what it had not written, and what is in
 * the file was verified: a record that was cut short is none.
 *
 * The torrent's files may be written to by others. sk_resume_close() notes what they are like in
 * the head (which file it is, its size, its times), and the pieces are believed as long as they are
 * just like that. A program that was killed noted nothing: then no file may be newer than the last
 * record, but for the moment in which a piece is written already and its record is not.
 *
 * Written is not yet on the platter. Until the machine goes down the kernel has it, so the head
 * names the boot; after another boot the pieces are a claim that has to be looked at.
 *
 * What is read is as hostile as any file: what makes no sense is no record. Memory: 4 KiB.
 */
#ifndef SK_STORE_RESUME_H
#define SK_STORE_RESUME_H

#include "base/bitfield.h"
#include "wire/metainfo.h"

#define SK_RESUME_BOOT_SIZE 36

struct sk_resume; /* heap */

struct sk_resume_config {
    const char *state_dir; /* the file lies here; made where it is not there */
    const char *save_dir;  /* where the torrent's files are */
    const struct sk_metainfo *torrent;
    const uint8_t *boot; /* SK_RESUME_BOOT_SIZE bytes, all zero: not known; NULL: the machine's */
};

/*
 * Opens or begins it. `ret_have` gets the pieces that it names (initialised; the caller's).
 * *ret_trusted: nothing speaks against them; where it is false the caller may look at the
 * files and say with sk_resume_reset() what is there. SKEP_ERR_IO (errno), SKEP_ERR_NOMEM,
 * SKEP_ERR_STATE (another skep has it open). The torrent is borrowed until it is closed.
 */
int sk_resume_open(const struct sk_resume_config *config, struct sk_resume **ret_resume,
                   struct sk_bitfield *ret_have, bool *ret_trusted);
/* Begins anew with these pieces. SKEP_ERR_IO. */
int sk_resume_reset(struct sk_resume *resume, const struct sk_bitfield *have);
/* The piece is verified and written. Where those before were not trusted, and nothing was said
 * since, they are forgotten. SKEP_ERR_IO. */
int sk_resume_add(struct sk_resume *resume, uint32_t piece);
/* When nothing writes to the torrent's files any more: notes what they are like, unless its pieces
 * were not trusted and nothing was said since. NULL is fine. */
void sk_resume_close(struct sk_resume *resume);

#endif
