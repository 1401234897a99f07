#include "cmd/audit_kept.h"

#include "base/mem.h"
#include "cmd/cmd.h"
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void sk_audit_kept_init(struct sk_audit_kept *kept, const char *directory,
                        struct skep_torrent *torrent)
{
    *kept = (struct sk_audit_kept){.directory = directory, .torrent = torrent, .root = -1};
}

void sk_audit_kept_deinit(struct sk_audit_kept *kept)
{
    if (!kept->torrent)
        return;
    sk_hashing_free(kept->hashing);
    sk_mem_free(kept->pieces);
    if (kept->root >= 0)
        close(kept->root);
    *kept = (struct sk_audit_kept){.root = -1};
}

/* What cannot be looked at is not given; what the audit draws itself still is. */
static void begin(struct sk_audit_kept *kept)
{
    kept->begun = true;
    kept->root = open(kept->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (kept->root < 0) {
        if (errno != ENOENT)
            sk_complain("%.400s: %s", kept->directory, strerror(errno));
        return;
    }
    kept->pieces = sk_mem_calloc(skep_torrent_pieces(kept->torrent), 1);
    int err = kept->pieces ? sk_hashing_check(sk_engine_metainfo(kept->torrent), kept->root,
                                              sk_hashing_threads(), kept->pieces, &kept->hashing)
                           : SKEP_ERR_NOMEM;
    if (err)
        sk_complain_err(err);
}

static void take(struct sk_audit_kept *kept)
{
    struct sk_hashing_progress progress;
    sk_hashing_wait(kept->hashing, 0, &progress);
    if (progress.state == SK_HASHING_RUNNING)
        return;
    for (uint32_t piece = 0; piece < skep_torrent_pieces(kept->torrent); piece++)
        if (kept->pieces[piece] == SK_HASHING_RIGHT)
            (void)skep_torrent_has_stored(kept->torrent, piece);
    sk_hashing_free(kept->hashing);
    sk_mem_free(kept->pieces);
    kept->hashing = NULL;
    kept->pieces = NULL;
}

void sk_audit_kept_look(struct sk_audit_kept *kept)
{
    if (!kept->torrent)
        return;
    /* Threads read the hashes: those that peers tell come first. */
    if (!kept->begun && skep_torrent_has_metadata(kept->torrent) &&
        !skep_torrent_hashes_waiting(kept->torrent))
        begin(kept);
    else if (kept->hashing)
        take(kept);
}
