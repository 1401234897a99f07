#include "driver/runtime.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "driver/socket.h"
#include "wire/krpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PORT_TRIES = 20, /* when the system chooses: one that is free for all sockets */
    HTTP_TOTAL_MS = 30000,
    HTTP_SLOW_S = 15,
};

static const int stop_signals[] = {SIGINT, SIGTERM};

/* ---- outputs ---- */

static void do_connect(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_tcp_connect(&runtime->tcp, out->conn, &out->endpoint);
}

static void do_send(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_tcp_send(&runtime->tcp, out->conn);
}

static void do_close(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_tcp_close(&runtime->tcp, out->conn);
}

static void do_pause(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_tcp_pause(&runtime->tcp, out->conn, out->kind == SK_OUT_READ_PAUSE);
}

static void do_udp(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_udp_send(&runtime->udp, &out->endpoint, out->bytes, out->whole);
}

static void do_lsd(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_udp_send_lsd(&runtime->udp, out->endpoint.family, out->bytes);
}

static void on_resolved(void *ctx, uint64_t id, const struct sk_endpoint *found, size_t count,
                        const char *error)
{
    struct skep_runtime *runtime = ctx;
    if (!runtime->engine)
        return;
    sk_engine_resolved(runtime->engine, id, found, count, error, sk_runtime_stamp(runtime));
    sk_runtime_drain(runtime);
}

static void do_resolve(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_resolver_lookup(&runtime->resolver, out->text, on_resolved, runtime, out->id);
}

static void on_http(void *ctx, uint64_t id, int status, struct sk_bytes body, const char *error)
{
    struct skep_runtime *runtime = ctx;
    sk_engine_http_done(runtime->engine, id, status, body, error, sk_runtime_stamp(runtime));
    sk_runtime_drain(runtime);
}

static void on_http_head(void *ctx, uint64_t id, const struct sk_webseed_head *head)
{
    struct skep_runtime *runtime = ctx;
    sk_engine_web_head(runtime->engine, id, head, sk_runtime_stamp(runtime));
}

static bool on_http_data(void *ctx, uint64_t id, struct sk_bytes bytes)
{
    struct skep_runtime *runtime = ctx;
    return sk_engine_web_data(runtime->engine, id, bytes, sk_runtime_stamp(runtime));
}

static void on_http_fed(void *ctx)
{
    sk_runtime_drain(ctx);
}

static void do_http_range(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_http_get_range(&runtime->http, out->id, out->text, out->scope, out->offset, out->length64);
}

static void do_http_pause(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_http_pause(&runtime->http, out->id, out->kind == SK_OUT_HTTP_PAUSE);
}

static void do_http_get(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_http_get(&runtime->http, out->id, out->text, out->bytes_max, out->scope);
}

static void do_http_cancel(struct skep_runtime *runtime, const struct sk_out *out)
{
    sk_http_cancel(&runtime->http, out->id);
}

static void on_disk(void *ctx, uint64_t id, bool write, int err, struct sk_bytes data)
{
    struct skep_runtime *runtime = ctx;
    if (!runtime->engine)
        return;
    uint64_t now_ns = sk_runtime_stamp(runtime);
    if (write)
        sk_engine_disk_written(runtime->engine, id, err, now_ns);
    else
        sk_engine_disk_read(runtime->engine, id, err, data, now_ns);
    sk_runtime_drain(runtime);
}

static void do_write(struct skep_runtime *runtime, const struct sk_out *out)
{
    const struct sk_runtime_store *store = &runtime->store;
    if (store->write)
        on_disk(runtime, out->id, true, store->write(store->ctx, out), sk_bytes(NULL, 0));
    else
        sk_disk_write(&runtime->disk, out->id, out->torrent, out->offset, out->bytes, out->verify,
                      out->piece);
}

static void read_store(struct skep_runtime *runtime, const struct sk_out *out)
{
    uint8_t *bytes = sk_mem_alloc(out->length);
    int err = bytes ? runtime->store.read(runtime->store.ctx, out, bytes) : SKEP_ERR_NOMEM;
    on_disk(runtime, out->id, false, err, sk_bytes(bytes, err ? 0 : out->length));
    sk_mem_free(bytes);
}

static void do_read(struct skep_runtime *runtime, const struct sk_out *out)
{
    if (runtime->store.read)
        read_store(runtime, out);
    else
        sk_disk_read(&runtime->disk, out->id, out->torrent, out->offset, out->length);
}

static void (*const doers[])(struct skep_runtime *runtime, const struct sk_out *out) = {
    [SK_OUT_CONNECT] = do_connect,
    [SK_OUT_SEND] = do_send,
    [SK_OUT_CLOSE] = do_close,
    [SK_OUT_READ_PAUSE] = do_pause,
    [SK_OUT_READ_RESUME] = do_pause,
    [SK_OUT_UDP] = do_udp,
    [SK_OUT_LSD] = do_lsd,
    [SK_OUT_RESOLVE] = do_resolve,
    [SK_OUT_HTTP_GET] = do_http_get,
    [SK_OUT_HTTP_CANCEL] = do_http_cancel,
    [SK_OUT_HTTP_RANGE] = do_http_range,
    [SK_OUT_HTTP_PAUSE] = do_http_pause,
    [SK_OUT_HTTP_RESUME] = do_http_pause,
    [SK_OUT_WRITE] = do_write,
    [SK_OUT_READ] = do_read,
};

uint64_t sk_runtime_stamp(struct skep_runtime *runtime)
{
    runtime->now_ns = uv_hrtime();
    return runtime->now_ns;
}

void sk_runtime_drain(struct skep_runtime *runtime)
{
    struct sk_out out;
    if (runtime->draining)
        return;
    runtime->draining = true;
    while (sk_engine_next_output(runtime->engine, &out))
        doers[out.kind](runtime, &out);
    /* Packets of streams go out once for a batch: one acknowledges many. */
    while (!runtime->udp.receiving && sk_engine_next_packet(runtime->engine, &out))
        doers[out.kind](runtime, &out);
    sk_udp_flush(&runtime->udp);
    runtime->draining = false;
}

/* ---- time ---- */

static void on_tick(uv_timer_t *timer)
{
    struct skep_runtime *runtime = timer->data;
    runtime->armed_ns = SK_TIME_NEVER;
    sk_engine_tick(runtime->engine, sk_runtime_stamp(runtime));
    sk_runtime_drain(runtime);
}

/* uv's clock is the same one in whole milliseconds, so that no tick comes before its deadline. */
static void arm_tick(struct skep_runtime *runtime)
{
    uint64_t deadline_ns = sk_engine_deadline(runtime->engine);
    if (deadline_ns == runtime->armed_ns)
        return;
    runtime->armed_ns = deadline_ns;
    if (deadline_ns == SK_TIME_NEVER) {
        uv_timer_stop(&runtime->tick);
        return;
    }
    uint64_t at_ms = deadline_ns / 1000000 + (deadline_ns % 1000000 != 0);
    uint64_t now_ms = uv_now(&runtime->loop);
    uv_timer_start(&runtime->tick, on_tick, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

void sk_runtime_settle(struct skep_runtime *runtime)
{
    if (!runtime->engine) /* the proxy is being tried */
        return;
    sk_runtime_stamp(runtime);
    sk_runtime_drain(runtime);
    arm_tick(runtime);
}

static void on_prepare(uv_prepare_t *prepare)
{
    sk_runtime_settle(prepare->data);
}

static void on_every(uv_timer_t *timer)
{
    struct skep_runtime *runtime = timer->data;
    sk_runtime_stamp(runtime);
    runtime->every_fn(runtime, runtime->every_ctx);
}

static void on_limit(uv_timer_t *timer)
{
    skep_runtime_stop(timer->data);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct skep_runtime *runtime = handle->data;
    sk_runtime_stamp(runtime);
    runtime->signal_fn(runtime, signum, runtime->signal_ctx);
}

/* ---- sockets ---- */

static const struct {
    int type;
    enum sk_family family;
    const char *name;
} ports[] = {
    {SOCK_STREAM, SK_FAMILY_V4, "TCP"},
    {SOCK_STREAM, SK_FAMILY_V6, "TCP over IPv6"},
    {SOCK_DGRAM, SK_FAMILY_V4, "UDP"},
    {SOCK_DGRAM, SK_FAMILY_V6, "UDP over IPv6"},
};

enum { PORTS = SK_ARRAY_LEN(ports) };

static char reason[SK_RUNTIME_REASON_MAX];

/* A family that the host lacks, or that the bind address excludes, is passed over. */
static bool is_absent(const struct skep_runtime *runtime, unsigned i, int err)
{
    if (runtime->bind.family != SK_FAMILY_NONE)
        return runtime->bind.family != ports[i].family;
    return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

static void close_all(int fds[PORTS])
{
    for (unsigned i = 0; i < PORTS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static void say_unusable(const struct skep_runtime *runtime, const char *name, uint16_t port,
                         int error)
{
    char address[SK_ENDPOINT_TEXT_MAX];
    if (runtime->bind.family && !port)
        snprintf(reason, sizeof reason, "cannot bind to %s: %s",
                 sk_endpoint_ip_text(&runtime->bind, address), strerror(-error));
    else
        snprintf(reason, sizeof reason, "cannot use %s port %u: %s", name, port, strerror(-error));
}

/* Binds every socket to one port number. -errno, with the reason written. */
static int bind_all(struct skep_runtime *runtime, uint16_t wanted, bool tcp, int ret_fds[PORTS])
{
    uint16_t port = wanted;
    for (unsigned i = 0; i < PORTS; i++)
        ret_fds[i] = -1;
    for (unsigned i = 0; i < PORTS; i++) {
        if (ports[i].type == SOCK_STREAM && !tcp)
            continue;
        int fd = sk_socket_serve(&runtime->bind, ports[i].family, ports[i].type, port);
        if (fd < 0 && is_absent(runtime, i, fd))
            continue;
        if (fd < 0) {
            say_unusable(runtime, ports[i].name, port, fd);
            close_all(ret_fds);
            return fd;
        }
        ret_fds[i] = fd;
        port = sk_socket_port(fd);
    }
    if (!port) {
        snprintf(reason, sizeof reason, "no network on this host");
        return -EAFNOSUPPORT;
    }
    runtime->port = port;
    return 0;
}

/* Hands the sockets over to those who serve them. */
static int serve_all(struct skep_runtime *runtime, int fds[PORTS])
{
    int err = 0;
    for (unsigned i = 0; i < PORTS && !err; i++) {
        int fd = fds[i];
        if (fd < 0)
            continue;
        fds[i] = -1;
        if (ports[i].type == SOCK_DGRAM) {
            err = sk_udp_add(&runtime->udp, runtime, fd, ports[i].family);
            continue;
        }
        int failed = sk_tcp_listen(&runtime->tcp, fd);
        if (failed) {
            snprintf(reason, sizeof reason, "cannot listen on %s port %u: %s", ports[i].name,
                     runtime->port, strerror(-failed));
            err = SKEP_ERR_NETWORK;
        }
        runtime->listening = !failed;
    }
    close_all(fds);
    return err;
}

static int open_sockets(struct skep_runtime *runtime, const struct skep_config *config)
{
    int fds[PORTS];
    int err = 0;
    for (int i = 0; i < (config->port ? 1 : PORT_TRIES); i++) {
        err = bind_all(runtime, config->port, !config->no_listen, fds);
        if (err != -EADDRINUSE)
            break;
    }
    return err ? SKEP_ERR_NETWORK : serve_all(runtime, fds);
}

/* ---- behind a proxy ---- */

/* One socket for its relay, of a port that nobody is told. */
static int open_relayed(struct skep_runtime *runtime)
{
    enum sk_family family = runtime->proxy.endpoint.family;
    int fd = sk_socket_serve(&runtime->bind, family, SOCK_DGRAM, 0);
    if (fd < 0) {
        say_unusable(runtime, "UDP", 0, fd);
        return SKEP_ERR_NETWORK;
    }
    return sk_udp_add(&runtime->udp, runtime, fd, family);
}

static int open_proxy(struct skep_runtime *runtime, const struct skep_config *config)
{
    struct sk_endpoint endpoint;
    struct sk_socks_account account;
    char text[SK_ENDPOINT_TEXT_MAX];
    if (sk_proxy_parse(config->socks, config->socks_account, &endpoint, &account)) {
        snprintf(reason, sizeof reason, "the proxy is no [USER:PASSWORD@]ADDRESS:PORT");
        return SKEP_ERR_INVALID;
    }
    runtime->port = SK_PROXY_PORT;
    int err = sk_proxy_open(&runtime->proxy, runtime, &endpoint, &account,
                            (uint64_t)(SK_MAX(config->socks_s, 0.0) * 1e3));
    if (err)
        snprintf(reason, sizeof reason, "cannot use the proxy %s: %s",
                 sk_endpoint_text(&endpoint, text), runtime->proxy.reason);
    if (!err && runtime->proxy.state == SK_PROXY_UP)
        return open_relayed(runtime);
    if (!err && config->transports == SKEP_TRANSPORT_UTP) {
        snprintf(reason, sizeof reason, "uTP alone needs UDP, and the proxy %s relays none: %s",
                 sk_endpoint_text(&endpoint, text), runtime->proxy.reason);
        return SKEP_ERR_NETWORK;
    }
    return err;
}

/* What the engine may do there. */
static void restrict_to_proxy(const struct skep_runtime *runtime, struct skep_config *config)
{
    config->bind = NULL; /* it says how the proxy is reached, not where others see us */
    config->no_listen = config->no_lsd = config->dht_read_only = true;
    if (runtime->udp.count)
        return;
    config->no_udp = config->no_dht = true;
    config->transports &= ~(unsigned)SKEP_TRANSPORT_UTP;
}

const char *skep_runtime_no_udp(const struct skep_runtime *runtime)
{
    return runtime->proxy.runtime && !runtime->udp.count ? runtime->proxy.reason : NULL;
}

static int parse_bind(const char *text, struct sk_endpoint *ret_bind)
{
    uint8_t addr[16];
    if (inet_pton(AF_INET, text, addr) == 1)
        *ret_bind = sk_endpoint_v4(addr, 0);
    else if (inet_pton(AF_INET6, text, addr) == 1)
        *ret_bind = sk_endpoint_v6(addr, 0);
    else
        return SKEP_ERR_INVALID;
    return 0;
}

/* ---- making and ending ---- */

/* Ten thousand peers need as many descriptors. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void init_handles(struct skep_runtime *runtime)
{
    uv_timer_t *timers[] = {&runtime->tick, &runtime->every, &runtime->limit};
    for (size_t i = 0; i < SK_ARRAY_LEN(timers); i++) {
        uv_timer_init(&runtime->loop, timers[i]);
        timers[i]->data = runtime;
    }
    uv_prepare_init(&runtime->loop, &runtime->prepare);
    runtime->prepare.data = runtime;
    uv_prepare_start(&runtime->prepare, on_prepare);
}

static int init_engine(struct skep_runtime *runtime, const struct skep_config *config)
{
    struct skep_config own = *config;
    own.port = runtime->port;
    if (runtime->store.write)
        own.save_dir = ""; /* there is a store, wherever it is */
    if (config->socks)
        restrict_to_proxy(runtime, &own);
    if (!own.seed && getrandom(&own.seed, sizeof own.seed, 0) != sizeof own.seed)
        return SKEP_ERR_CRYPTO;
    own.seed += !own.seed;
    int err = sk_engine_new(&own, sk_runtime_stamp(runtime), &runtime->engine);
    if (err)
        return err;
    unsigned families = runtime->proxy.runtime ? SK_KRPC_WANT_V4 : 0;
    for (unsigned i = 0; i < runtime->udp.count; i++)
        families |=
            runtime->udp.sockets[i].family == SK_FAMILY_V6 ? SK_KRPC_WANT_V6 : SK_KRPC_WANT_V4;
    return sk_engine_join_dht(runtime->engine, families, runtime->now_ns);
}

static int init_names(struct skep_runtime *runtime)
{
    bool proxied = runtime->proxy.runtime != NULL;
    int err =
        proxied ? 0 : sk_resolver_init(&runtime->resolver, &runtime->loop, &runtime->bind, NULL);
    if (proxied)
        sk_resolver_init_proxy(&runtime->resolver, &runtime->proxy);
    if (err) {
        snprintf(reason, sizeof reason, "cannot set up name look-up");
        return err;
    }
    return sk_http_init(&runtime->http,
                        &(struct sk_http_config){.loop = &runtime->loop,
                                                 .resolver = &runtime->resolver,
                                                 .bind = runtime->bind,
                                                 .proxy = proxied ? &runtime->proxy : NULL,
                                                 .total_ms = HTTP_TOTAL_MS,
                                                 .slow_s = HTTP_SLOW_S,
                                                 .fn = on_http,
                                                 .head = on_http_head,
                                                 .data = on_http_data,
                                                 .fed = on_http_fed,
                                                 .ctx = runtime});
}

static int init_parts(struct skep_runtime *runtime, const struct skep_config *config)
{
    int err;
    for (size_t i = 0; i < SK_ARRAY_LEN(runtime->signals); i++) {
        if (uv_signal_init(&runtime->loop, &runtime->signals[i]) != 0)
            return SKEP_ERR_NOMEM;
        runtime->signals[i].data = runtime;
    }
    if ((err = sk_tcp_init(&runtime->tcp, runtime)) != 0 ||
        (err = config->socks ? open_proxy(runtime, config) : open_sockets(runtime, config)) != 0 ||
        (err = init_names(runtime)) != 0 || (err = init_engine(runtime, config)) != 0)
        return err;
    if (!config->no_lsd && !config->socks)
        sk_udp_join_lsd(&runtime->udp, runtime);
    if (!config->save_dir || runtime->store.write)
        return 0;
    err = sk_disk_init(&runtime->disk, &runtime->loop, runtime->engine, config->save_dir, on_disk,
                       runtime);
    if (err)
        snprintf(reason, sizeof reason, "cannot use directory %.90s: %s", config->save_dir,
                 strerror(errno));
    return err;
}

int sk_runtime_new(const struct skep_config *config, const struct sk_runtime_store *store,
                   struct skep_runtime **ret_runtime, const char **ret_reason)
{
    struct skep_runtime *runtime = sk_mem_calloc(1, sizeof *runtime);
    if (!runtime)
        return SKEP_ERR_NOMEM;
    if (store)
        runtime->store = *store;
    runtime->armed_ns = SK_TIME_NEVER;
    int err = SKEP_ERR_NOMEM;
    reason[0] = 0;
    if (uv_loop_init(&runtime->loop) != 0) {
        sk_mem_free(runtime);
        return SKEP_ERR_NOMEM;
    }
    init_handles(runtime);
    raise_file_limit();
    if (config->bind && parse_bind(config->bind, &runtime->bind) != 0) {
        snprintf(reason, sizeof reason, "the bind address is no IP address");
        err = SKEP_ERR_INVALID;
    } else {
        err = init_parts(runtime, config);
    }
    if (err) {
        skep_runtime_free(runtime);
        if (ret_reason)
            *ret_reason = reason[0] ? reason : skep_err_text(err);
        return err;
    }
    *ret_runtime = runtime;
    return 0;
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void skep_runtime_free(struct skep_runtime *runtime)
{
    if (!runtime)
        return;
    struct skep_engine *engine = runtime->engine;
    sk_tcp_deinit(&runtime->tcp);
    sk_udp_deinit(&runtime->udp);
    /* From here on nobody tells the engine anything; what is being written still gets to disk. */
    runtime->engine = NULL;
    sk_http_deinit(&runtime->http);
    sk_resolver_deinit(&runtime->resolver);
    sk_proxy_deinit(&runtime->proxy);
    uv_walk(&runtime->loop, close_handle, NULL);
    while (uv_run(&runtime->loop, UV_RUN_DEFAULT) != 0)
        ; /* a stop that no run has obeyed yet ends this one early */
    sk_disk_deinit(&runtime->disk);
    int busy = uv_loop_close(&runtime->loop);
    SK_ASSERT(busy == 0);
    sk_engine_free(engine);
    sk_mem_free(runtime);
}

/* ---- the public functions ---- */

int skep_runtime_new(const struct skep_config *config, struct skep_runtime **ret_runtime,
                     const char **ret_reason)
{
    return sk_runtime_new(config, NULL, ret_runtime, ret_reason);
}

struct skep_engine *skep_runtime_engine(struct skep_runtime *runtime)
{
    return runtime->engine;
}

uint16_t skep_runtime_port(const struct skep_runtime *runtime)
{
    return runtime->listening ? runtime->port : 0;
}

uint16_t skep_runtime_udp_port(const struct skep_runtime *runtime)
{
    return runtime->port;
}

uint64_t skep_runtime_now(const struct skep_runtime *runtime)
{
    return runtime->running ? runtime->now_ns : uv_hrtime();
}

static void watch_signals(struct skep_runtime *runtime, bool on)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(runtime->signals); i++) {
        if (on && runtime->signal_fn)
            uv_signal_start(&runtime->signals[i], on_signal, stop_signals[i]);
        else
            uv_signal_stop(&runtime->signals[i]);
    }
}

int skep_runtime_run(struct skep_runtime *runtime, double seconds)
{
    if (runtime->running)
        return SKEP_ERR_STATE;
    uv_update_time(&runtime->loop);
    if (seconds >= 0)
        uv_timer_start(&runtime->limit, on_limit, (uint64_t)(seconds * 1000), 0);
    runtime->running = true;
    watch_signals(runtime, true);
    uv_run(&runtime->loop, UV_RUN_DEFAULT);
    sk_runtime_stamp(runtime);
    sk_runtime_drain(runtime);
    watch_signals(runtime, false);
    uv_timer_stop(&runtime->limit);
    runtime->running = false;
    return 0;
}

void skep_runtime_stop(struct skep_runtime *runtime)
{
    uv_stop(&runtime->loop);
}

int skep_runtime_every(struct skep_runtime *runtime, double seconds,
                       void (*fn)(struct skep_runtime *runtime, void *ctx), void *ctx)
{
    runtime->every_fn = fn;
    runtime->every_ctx = ctx;
    if (!fn) {
        uv_timer_stop(&runtime->every);
        return 0;
    }
    if (!(seconds > 0))
        return SKEP_ERR_INVALID;
    uint64_t ms = SK_MAX((uint64_t)(seconds * 1000), 1u);
    uv_timer_start(&runtime->every, on_every, ms, ms);
    return 0;
}

int skep_runtime_on_signal(struct skep_runtime *runtime,
                           void (*fn)(struct skep_runtime *runtime, int signal, void *ctx),
                           void *ctx)
{
    runtime->signal_fn = fn;
    runtime->signal_ctx = ctx;
    if (runtime->running)
        watch_signals(runtime, fn != NULL);
    return 0;
}
