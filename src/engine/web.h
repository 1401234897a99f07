/*
 * Ranges of files over http, for web seeds (BEP 19): what the engine adds to the bare request.
 * Layer: engine. What comes counts for the rate limit and for what trackers are told.
 */
#ifndef SK_ENGINE_WEB_H
#define SK_ENGINE_WEB_H

#include "engine/engine.h"

struct sk_web_get; /* one range under way */

/* Called with the engine's hooks held back, as a hook is. After `done` the range is gone; it does
 * not come after sk_web_cancel(), nor when the engine ends. */
struct sk_web_fns {
    void (*head)(void *ctx, const struct sk_webseed_head *head, uint64_t now_ns);
    void (*data)(void *ctx, struct sk_bytes bytes, uint64_t now_ns);
    /* error: NULL, or why it ended early (borrowed). */
    void (*done)(void *ctx, const char *error, uint64_t now_ns);
};

/* `fns` lives as long as the engine. SKEP_ERR_STATE (the torrent does not run), SKEP_ERR_NOMEM. */
int sk_web_get(struct skep_torrent *torrent, const char *url, enum sk_scope scope, uint64_t from,
               uint64_t length, const struct sk_web_fns *fns, void *ctx,
               struct sk_web_get **ret_get);
void sk_web_cancel(struct sk_web_get *get);
/* Reads no more for now, or goes on. */
void sk_web_hold(struct sk_web_get *get, bool hold);

/*
 * Whether a web seed that a stranger names may be asked: http or https, at a port of the web or
 * from 1024 up, and not by an address of this machine or a private network. NULL, or why not. Who
 * is `given` by the user may lie anywhere. *ret_scope: what its name may stand for.
 */
const char *sk_web_judge(const char *url, bool given, enum sk_scope *ret_scope);
/* The i-th web seed that the torrent names; NULL past the last. */
const char *sk_web_seed_of(const struct skep_torrent *torrent, size_t i);

#endif
