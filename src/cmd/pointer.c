#include "cmd/pointer.h"

#include "base/assert.h"
#include "cmd/dht.h"
#include "cmd/terminal.h"
#include "wire/bencode.h"
#include "wire/dht_item.h"

#include <stdio.h>
#include <unistd.h>

#define TICK_S 0.1
#define SHOW_MAX (4u << 10)

static const double show_intervals[] = {
    [SK_PROGRESS_TTY] = TICK_S, [SK_PROGRESS_PLAIN] = 10, [SK_PROGRESS_JSON] = 1};

struct follow {
    const struct sk_options *options;
    struct skep_runtime *runtime;
    struct skep_engine *engine;
    struct skep_dht_search search;
    uint8_t target[20];
    uint64_t started_ns, id; /* id: of the search that is under way, 0 none */
    struct sk_buf value;     /* the newest, empty: none */
    uint32_t answered;
    enum sk_progress shows;
    double next_show_s;
    struct sk_frame frame;
    bool over;
    int code, interrupts;
};

int sk_pointer_read(struct sk_bytes value, uint8_t ret_hash[20], const char **ret_reason)
{
    struct sk_bencode dict;
    struct sk_bytes hash = {0};
    if (!sk_bencode_parse(value, SK_BENCODE_STRICT, &dict, NULL))
        hash = sk_bencode_get_string(&dict, "ih");
    if (hash.n == SK_SHA1_SIZE) {
        memcpy(ret_hash, hash.p, hash.n);
        return 0;
    }
    bool is_v2 = hash.n == SK_SHA256_SIZE;
    *ret_reason = is_v2 ? "an info-hash of 32 bytes, and BEP 46 knows those of 20 bytes only"
                        : "no dictionary with an info-hash of 20 bytes as \"ih\" (BEP 46)";
    return is_v2 ? SKEP_ERR_UNSUPPORTED : SKEP_ERR_MALFORMED;
}

/* ---- what is shown ---- */

static enum sk_progress choose_show(const struct sk_options *options)
{
    struct sk_screen screen;
    return sk_options_progress(options, sk_terminal_look(STDERR_FILENO, &screen));
}

static void draw(struct follow *follow, double elapsed)
{
    const struct skep_dht_progress progress = {.done = follow->answered,
                                               .what = "looking up what the link points to"};
    struct sk_screen screen;
    struct sk_buf text, out;
    if (follow->shows == SK_PROGRESS_NONE || elapsed < follow->next_show_s)
        return;
    follow->next_show_s = elapsed + show_intervals[follow->shows];
    sk_buf_init(&text, SHOW_MAX);
    sk_buf_init(&out, SHOW_MAX);
    sk_dht_show_progress(&progress, follow->shows, &text);
    sk_terminal_look(STDERR_FILENO, &screen);
    if (follow->shows == SK_PROGRESS_TTY)
        sk_frame_draw(&follow->frame, sk_buf_bytes(&text), screen.columns, &out);
    else
        sk_buf_append(&out, text.p, text.n);
    fwrite(out.p ? out.p : (const uint8_t *)"", 1, out.n, stderr);
    sk_buf_deinit(&text);
    sk_buf_deinit(&out);
}

static void clear(struct follow *follow)
{
    struct sk_buf out;
    sk_buf_init(&out, SHOW_MAX);
    sk_frame_clear(&follow->frame, &out);
    if (out.n)
        fwrite(out.p, 1, out.n, stderr);
    sk_buf_deinit(&out);
}

/* ---- the search ---- */

/* Once: why it is over, NULL where the value says more. */
static void end(struct follow *follow, int code, const char *why)
{
    if (follow->over)
        return;
    follow->over = true;
    follow->code = code;
    clear(follow);
    if (why)
        sk_complain("%s", why);
    skep_runtime_stop(follow->runtime);
}

static void keep_value(struct follow *follow, const struct skep_dht_value *value)
{
    if (!value->key)
        return;
    follow->value.n = 0;
    if (sk_buf_append(&follow->value, value->bytes, value->size))
        end(follow, SK_EXIT_FAILED, skep_err_text(SKEP_ERR_NOMEM));
}

static void on_search(const struct skep_dht_event *event, void *ctx)
{
    struct follow *follow = ctx;
    if (event->kind == SKEP_DHT_VALUE)
        keep_value(follow, event->value);
    follow->answered += event->kind == SKEP_DHT_ANSWERED;
    if (event->kind != SKEP_DHT_DONE)
        return;
    follow->id = 0;
    if (event->error)
        end(follow, sk_exit_of(event->error), skep_err_text(event->error));
    else if (follow->value.n)
        end(follow, SK_EXIT_DONE, NULL);
    else if (event->result->refused && !event->result->answered)
        end(follow, SK_EXIT_NETWORK,
            "the DHT is to say what the link points to, and those who answer refuse to");
    else if (event->result->answered)
        end(follow, SK_EXIT_NOTHING,
            follow->search.salt_size ? "nothing is stored under the link's public key and salt"
                                     : "nothing is stored under the link's public key");
}

/* Of the networks that are wanted, how the one stands that is farthest. */
static enum skep_dht_standing look(const struct follow *follow)
{
    static const enum skep_dht_standing from_best[] = {SKEP_DHT_READY, SKEP_DHT_JOINING,
                                                       SKEP_DHT_OFFLINE};
    struct skep_dht_stats stats;
    if (skep_dht_stats(follow->engine, &stats))
        return SKEP_DHT_EMPTY;
    for (size_t i = 0; i < SK_ARRAY_LEN(from_best); i++)
        if ((stats.v4.there && follow->search.family != 6 && stats.v4.standing == from_best[i]) ||
            (stats.v6.there && follow->search.family != 4 && stats.v6.standing == from_best[i]))
            return from_best[i];
    return SKEP_DHT_EMPTY;
}

/* A search waits by itself while its node joins. While nobody answers, the node tries again, and
 * then so does this. */
static void begin(struct follow *follow)
{
    enum skep_dht_standing standing = look(follow);
    if (standing == SKEP_DHT_EMPTY) {
        end(follow, SK_EXIT_NETWORK,
            "the DHT is to say what the link points to, and no node of it is known; "
            "--bootstrap=HOST:PORT names one");
        return;
    }
    int err = standing == SKEP_DHT_OFFLINE ? 0
                                           : skep_dht_start_search(follow->engine, &follow->search,
                                                                   on_search, follow, &follow->id);
    if (err)
        end(follow, sk_exit_of(err), skep_err_text(err));
}

static void on_tick(struct skep_runtime *runtime, void *ctx)
{
    struct follow *follow = ctx;
    double elapsed = (double)(skep_runtime_now(runtime) - follow->started_ns) / 1e9;
    double time_s = follow->options->time_s;
    if (follow->over)
        return;
    if (!follow->answered && elapsed >= (time_s > 0 ? time_s : SK_DHT_PATIENCE_S))
        end(follow, SK_EXIT_NETWORK,
            "the DHT is to say what the link points to, and nobody there answers; "
            "--bootstrap=HOST:PORT names another node to ask");
    else if (time_s > 0 && elapsed >= time_s)
        end(follow, SK_EXIT_PARTIAL, "time ran out before it was known what the link points to");
    else if (!follow->id)
        begin(follow);
    if (!follow->over)
        draw(follow, elapsed);
}

static void on_signal(struct skep_runtime *runtime, int signal, void *ctx)
{
    struct follow *follow = ctx;
    if (follow->interrupts++)
        _exit(128 + signal);
    end(follow, SK_EXIT_PARTIAL, "it ended before it was known what the link points to");
}

static int run(struct follow *follow)
{
    follow->started_ns = skep_runtime_now(follow->runtime);
    if (follow->shows == SK_PROGRESS_PLAIN) /* what is short needs no lines */
        follow->next_show_s = show_intervals[SK_PROGRESS_PLAIN];
    skep_runtime_on_signal(follow->runtime, on_signal, follow);
    skep_runtime_every(follow->runtime, TICK_S, on_tick, follow);
    int err = skep_runtime_run(follow->runtime, -1);
    end(follow, sk_exit_of(err), err ? skep_err_text(err) : NULL);
    skep_runtime_every(follow->runtime, 0, NULL, NULL);
    skep_runtime_on_signal(follow->runtime, NULL, NULL);
    if (follow->id)
        skep_dht_cancel(follow->engine, follow->id);
    return follow->code;
}

int sk_pointer_follow(const struct sk_magnet *link, struct skep_runtime *runtime,
                      const struct sk_options *options, unsigned family, uint8_t ret_hash[20])
{
    const char *reason;
    struct follow follow = {.options = options,
                            .runtime = runtime,
                            .engine = skep_runtime_engine(runtime),
                            .shows = choose_show(options),
                            .search = {.method = SKEP_DHT_GET,
                                       .family = family,
                                       .salt = link->salt,
                                       .salt_size = link->salt_size}};
    if (options->net.no_dht) {
        sk_complain("the DHT is to say what the link points to: it cannot be used with --no-dht");
        return SK_EXIT_NETWORK;
    }
    sk_dht_item_target_mutable(link->key, sk_bytes(link->salt, link->salt_size), follow.target);
    follow.search.target = follow.target;
    sk_buf_init(&follow.value, SK_KRPC_ITEM_MAX);
    int code = run(&follow);
    int err = code ? 0 : sk_pointer_read(sk_buf_bytes(&follow.value), ret_hash, &reason);
    if (err) {
        sk_complain("what the link points to is no torrent: %s", reason);
        code = sk_exit_of(err);
    }
    sk_buf_deinit(&follow.value);
    return code;
}
