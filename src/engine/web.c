#include "engine/web.h"

#include "base/mem.h"
#include "engine/internal.h"

#include <strings.h>

struct sk_web_get {
    struct sk_web_get *next;
    struct skep_torrent *torrent;
    const struct sk_web_fns *fns;
    void *ctx;
    uint64_t id;
    bool held;    /* by whoever reads it */
    bool limited; /* by the rate limit */
    bool paused;  /* the driver was told so */
    /* Until it is sent, which the rate limit may delay: */
    char *url; /* NULL: it was sent */
    enum sk_scope scope;
    uint64_t from, length;
};

/* ---- pausing ---- */

static void send_get(struct sk_web_get *get)
{
    struct sk_out out = {.kind = SK_OUT_HTTP_RANGE,
                         .id = get->id,
                         .owned = sk_mem_strdup(get->url),
                         .offset = get->from,
                         .length64 = get->length,
                         .scope = get->scope};
    out.text = out.owned;
    if (!out.owned || sk_engine_push(get->torrent->engine, &out))
        return; /* the next time that anybody looks */
    sk_mem_free(get->url);
    get->url = NULL;
}

static void settle(struct sk_web_get *get)
{
    if (get->url) {
        if (!get->limited)
            send_get(get);
        return;
    }
    bool paused = get->held || get->limited;
    struct sk_out out = {.kind = paused ? SK_OUT_HTTP_PAUSE : SK_OUT_HTTP_RESUME, .id = get->id};
    if (paused != get->paused && !sk_engine_push(get->torrent->engine, &out))
        get->paused = paused;
}

void sk_web_hold(struct sk_web_get *get, bool hold)
{
    get->held = hold;
    settle(get);
}

void sk_web_resume_all(struct skep_engine *engine)
{
    for (struct sk_web_get *get = engine->webs; get; get = get->next) {
        get->limited = false;
        settle(get);
    }
}

static void charge(struct sk_web_get *get, size_t n)
{
    struct skep_engine *engine = get->torrent->engine;
    if (!sk_conn_charge(engine, n))
        return;
    get->limited = true;
    settle(get);
}

/* ---- life ---- */

static void unlink_get(struct sk_web_get *get)
{
    struct sk_web_get **link = &get->torrent->engine->webs;
    while (*link != get)
        link = &(*link)->next;
    *link = get->next;
}

int sk_web_get(struct skep_torrent *torrent, const char *url, enum sk_scope scope, uint64_t from,
               uint64_t length, const struct sk_web_fns *fns, void *ctx,
               struct sk_web_get **ret_get)
{
    struct skep_engine *engine = torrent->engine;
    if (torrent->state != SK_TORRENT_RUNNING)
        return SKEP_ERR_STATE;
    struct sk_web_get *get = sk_mem_calloc(1, sizeof *get);
    struct sk_ask ask = {.kind = SK_ASK_WEB, .web = get};
    char *copy = sk_mem_strdup(url);
    uint64_t id;
    if (!get || !copy || sk_engine_ask(engine, &ask, &id)) {
        sk_mem_free(get);
        sk_mem_free(copy);
        return SKEP_ERR_NOMEM;
    }
    *get = (struct sk_web_get){.next = engine->webs,
                               .torrent = torrent,
                               .fns = fns,
                               .ctx = ctx,
                               .id = id,
                               .limited = sk_conn_charge(engine, 0),
                               .url = copy,
                               .scope = scope,
                               .from = from,
                               .length = length};
    engine->webs = *ret_get = get;
    settle(get);
    return 0;
}

static void free_get(struct sk_web_get *get)
{
    sk_mem_free(get->url);
    sk_mem_free(get);
}

void sk_web_cancel(struct sk_web_get *get)
{
    struct skep_engine *engine = get->torrent->engine;
    struct sk_ask ask;
    (void)sk_engine_answer(engine, get->id, &ask);
    if (!get->url)
        (void)sk_engine_push(engine, &(struct sk_out){.kind = SK_OUT_HTTP_CANCEL, .id = get->id});
    unlink_get(get);
    free_get(get);
}

void sk_web_stop(struct skep_torrent *torrent)
{
    struct sk_web_get *get = torrent->engine->webs;
    while (get) {
        struct sk_web_get *next = get->next;
        if (get->torrent == torrent) {
            get->fns->done(get->ctx, "it had not answered in full yet", torrent->engine->now_ns);
            sk_web_cancel(get);
        }
        get = next;
    }
}

void sk_web_free_all(struct skep_engine *engine)
{
    while (engine->webs) {
        struct sk_web_get *get = engine->webs;
        engine->webs = get->next;
        free_get(get);
    }
}

/* ---- what comes ---- */

static struct sk_web_get *get_of(const struct skep_engine *engine, uint64_t id)
{
    struct sk_web_get *get = engine->webs;
    while (get && get->id != id)
        get = get->next;
    return get;
}

void sk_engine_web_head(struct skep_engine *engine, uint64_t id, const struct sk_webseed_head *head,
                        uint64_t now_ns)
{
    struct sk_web_get *get = get_of(engine, id);
    engine->now_ns = now_ns;
    if (!get)
        return;
    engine->serving = true;
    get->fns->head(get->ctx, head, now_ns);
    engine->serving = false;
    sk_engine_serve_queue(engine);
}

bool sk_engine_web_data(struct skep_engine *engine, uint64_t id, struct sk_bytes bytes,
                        uint64_t now_ns)
{
    struct sk_web_get *get = get_of(engine, id);
    engine->now_ns = now_ns;
    if (!get)
        return false;
    get->torrent->taken += bytes.n;
    charge(get, bytes.n);
    engine->serving = true;
    get->fns->data(get->ctx, bytes, now_ns);
    engine->serving = false;
    sk_engine_serve_queue(engine);
    get = get_of(engine, id);
    return get && !get->paused;
}

void sk_web_done(struct sk_web_get *get, int status, const char *error)
{
    struct skep_engine *engine = get->torrent->engine;
    unlink_get(get);
    engine->serving = true;
    get->fns->done(get->ctx, status ? NULL : error ? error : "no answer", engine->now_ns);
    engine->serving = false;
    free_get(get);
    sk_engine_serve_queue(engine);
}

/* ---- which ---- */

const char *sk_web_judge(const char *url, bool given, enum sk_scope *ret_scope)
{
    *ret_scope = SK_SCOPE_PUBLIC;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return "its address is neither http nor https";
    if (given) {
        *ret_scope = SK_SCOPE_LOOPBACK;
        return NULL;
    }
    if (!sk_discovery_port_allowed(url))
        return "its port is not allowed";
    if (sk_discovery_url_is_inside(url))
        return "a torrent may not name an address of this machine or a private network: "
               "--webseed can";
    return NULL;
}

const char *sk_web_seed_of(const struct skep_torrent *torrent, size_t i)
{
    const struct sk_metainfo *meta = torrent->metainfo;
    size_t count = meta ? meta->web_seeds_count : 0;
    if (i < count)
        return meta->web_seeds[i];
    return i - count < torrent->web_seeds_count ? torrent->web_seeds[i - count] : NULL;
}
