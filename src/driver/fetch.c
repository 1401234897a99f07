#include "driver/fetch.h"

#include <skep/err.h>

#include "base/mem.h"
#include "driver/runtime.h"

#include <stdio.h>

struct fetch {
    struct sk_http http;
    struct sk_buf *body;
    char *reason;
    int err;
    bool done;
};

static void on_done(void *ctx, uint64_t id, int status, struct sk_bytes body, const char *error)
{
    struct fetch *fetch = ctx;
    fetch->done = true;
    fetch->err = SKEP_ERR_NETWORK;
    if (status == 0)
        snprintf(fetch->reason, SK_FETCH_REASON_MAX, "%s", error ? error : "no answer");
    else if (status != 200)
        snprintf(fetch->reason, SK_FETCH_REASON_MAX, "the server answers with status %d", status);
    else
        fetch->err = sk_buf_append(fetch->body, body.p, body.n);
}

int sk_fetch(struct skep_runtime *runtime, const char *url, struct sk_buf *ret_body,
             char ret_reason[SK_FETCH_REASON_MAX])
{
    struct fetch *fetch = sk_mem_calloc(1, sizeof *fetch);
    if (!fetch)
        return SKEP_ERR_NOMEM;
    fetch->body = ret_body;
    fetch->reason = ret_reason;
    struct sk_http_config config = runtime->http.config;
    config.fn = on_done;
    config.fed = NULL;
    config.ctx = fetch;
    snprintf(ret_reason, SK_FETCH_REASON_MAX, "out of memory");
    int err = sk_http_init(&fetch->http, &config);
    if (!err) {
        sk_http_get(&fetch->http, 1, url, ret_body->max, SK_SCOPE_LOOPBACK);
        while (!fetch->done)
            uv_run(&runtime->loop, UV_RUN_ONCE);
        err = fetch->err;
    }
    sk_http_deinit(&fetch->http);
    /* Its handles are closed in the loop's next rounds; until then their memory must stay. */
    for (int i = 0; i < 3; i++)
        uv_run(&runtime->loop, UV_RUN_NOWAIT);
    sk_mem_free(fetch);
    return err;
}
