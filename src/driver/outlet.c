#include "driver/outlet.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "driver/path.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>
#include <uv.h>

#define POLL_MS 100

struct sk_outlet {
    int root, to;
    char *path;
    uint8_t *buffer;
    uint64_t end;
    uv_thread_t thread;
    uv_mutex_t mutex; /* guards what follows */
    uv_cond_t more;
    uint64_t at, ready;
    bool quit;
    enum sk_outlet_state state;
    int error;
};

/* ---- the thread ---- */

/* Waits for something to write. How much; 0: it is to end. */
static size_t wait_for_bytes(struct sk_outlet *outlet, uint64_t *ret_at)
{
    uv_mutex_lock(&outlet->mutex);
    while (!outlet->quit && outlet->at < outlet->end && outlet->at == outlet->ready)
        uv_cond_wait(&outlet->more, &outlet->mutex);
    size_t n = outlet->quit ? 0 : (size_t)SK_MIN(outlet->ready - outlet->at, SK_OUTLET_BUFFER);
    *ret_at = outlet->at;
    uv_mutex_unlock(&outlet->mutex);
    return n;
}

/* So much more was written; whether more is to be. */
static bool go_on(struct sk_outlet *outlet, size_t written)
{
    uv_mutex_lock(&outlet->mutex);
    outlet->at += written;
    bool on = !outlet->quit;
    uv_mutex_unlock(&outlet->mutex);
    return on;
}

/* In parts that a pipe takes at once when it takes anything. 0, or an errno; ECANCELED: it is to
 * end. */
static int write_all(struct sk_outlet *outlet, size_t n)
{
    const uint8_t *bytes = outlet->buffer;
    ssize_t done = 0;
    while (go_on(outlet, (size_t)done) && n) {
        struct pollfd room = {.fd = outlet->to, .events = POLLOUT};
        done =
            poll(&room, 1, POLL_MS) > 0 ? write(outlet->to, bytes, SK_MIN(n, (size_t)PIPE_BUF)) : 0;
        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        done = SK_MAX(done, 0);
        bytes += done;
        n -= (size_t)done;
    }
    return n ? ECANCELED : 0;
}

static int copy(struct sk_outlet *outlet, int file, uint64_t at, size_t n)
{
    ssize_t got = pread(file, outlet->buffer, n, (off_t)at);
    if (got != (ssize_t)n)
        return got < 0 ? errno : EIO;
    return write_all(outlet, n);
}

static void note(struct sk_outlet *outlet, int error)
{
    uv_mutex_lock(&outlet->mutex);
    outlet->error = error;
    outlet->state = error == EPIPE                ? SK_OUTLET_CLOSED
                    : error && error != ECANCELED ? SK_OUTLET_FAILED
                    : outlet->at == outlet->end   ? SK_OUTLET_DONE
                                                  : SK_OUTLET_RUNNING;
    uv_mutex_unlock(&outlet->mutex);
}

static void run(void *arg)
{
    struct sk_outlet *outlet = arg;
    int file = -1, error = 0;
    uint64_t at;
    size_t n;
    while (!error && (n = wait_for_bytes(outlet, &at))) {
        if (file < 0)
            file = sk_path_open(outlet->root, outlet->path, false);
        error = file < 0 ? errno : copy(outlet, file, at, n);
        note(outlet, error);
    }
    if (file >= 0)
        close(file);
}

/* ---- the owner's side ---- */

static void outlet_free(struct sk_outlet *outlet)
{
    sk_mem_free(outlet->buffer);
    sk_mem_free(outlet->path);
    sk_mem_free(outlet);
}

static bool start(struct sk_outlet *outlet)
{
    if (uv_mutex_init(&outlet->mutex))
        return false;
    if (uv_cond_init(&outlet->more) == 0) {
        if (uv_thread_create(&outlet->thread, run, outlet) == 0)
            return true;
        uv_cond_destroy(&outlet->more);
    }
    uv_mutex_destroy(&outlet->mutex);
    return false;
}

int sk_outlet_new(int root, const char *path, uint64_t from, uint64_t end, int to,
                  struct sk_outlet **ret_outlet)
{
    struct sk_outlet *outlet = sk_mem_calloc(1, sizeof *outlet);
    if (!outlet)
        return SKEP_ERR_NOMEM;
    outlet->root = root;
    outlet->to = to;
    outlet->at = outlet->ready = from;
    outlet->end = end;
    outlet->path = sk_mem_strdup(path);
    outlet->buffer = sk_mem_alloc(SK_OUTLET_BUFFER);
    if (!outlet->path || !outlet->buffer || !start(outlet)) {
        outlet_free(outlet);
        return SKEP_ERR_NOMEM;
    }
    *ret_outlet = outlet;
    return 0;
}

void sk_outlet_offer(struct sk_outlet *outlet, uint64_t ready)
{
    uv_mutex_lock(&outlet->mutex);
    outlet->ready = ready;
    uv_cond_signal(&outlet->more);
    uv_mutex_unlock(&outlet->mutex);
}

enum sk_outlet_state sk_outlet_look(struct sk_outlet *outlet, uint64_t *ret_at, int *ret_error)
{
    uv_mutex_lock(&outlet->mutex);
    enum sk_outlet_state state = outlet->state;
    *ret_at = outlet->at;
    *ret_error = outlet->error;
    uv_mutex_unlock(&outlet->mutex);
    return state;
}

void sk_outlet_free(struct sk_outlet *outlet)
{
    if (!outlet)
        return;
    uv_mutex_lock(&outlet->mutex);
    outlet->quit = true;
    uv_cond_signal(&outlet->more);
    uv_mutex_unlock(&outlet->mutex);
    uv_thread_join(&outlet->thread);
    uv_cond_destroy(&outlet->more);
    uv_mutex_destroy(&outlet->mutex);
    outlet_free(outlet);
}
