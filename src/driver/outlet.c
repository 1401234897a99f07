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

struct part {
    uint8_t *bytes; /* NULL: of the file */
    uint64_t at, end;
};

struct sk_outlet {
    int root, to;
    char *path;
    uint8_t *buffer;
    uv_thread_t thread;
    uv_mutex_t mutex; /* guards what follows */
    uv_cond_t more;
    struct part parts[SK_OUTLET_PARTS_MAX]; /* a ring */
    size_t first, count;
    uint64_t written;
    bool finished, quit;
    enum sk_outlet_state state;
    int error;
};

/* ---- the thread ---- */

/* Waits for something to write, and how much of it. False: it is to end. */
static bool wait_for_part(struct sk_outlet *outlet, struct part *ret_part, size_t *ret_n)
{
    uv_mutex_lock(&outlet->mutex);
    while (!outlet->quit && !outlet->finished && !outlet->count)
        uv_cond_wait(&outlet->more, &outlet->mutex);
    bool is = !outlet->quit && outlet->count;
    *ret_part = outlet->parts[outlet->first];
    *ret_n = (size_t)SK_MIN(ret_part->end - ret_part->at, SK_OUTLET_BUFFER);
    uv_mutex_unlock(&outlet->mutex);
    return is;
}

/* So much more of the first part was written; whether more is to be. */
static bool go_on(struct sk_outlet *outlet, size_t written)
{
    uv_mutex_lock(&outlet->mutex);
    struct part *part = &outlet->parts[outlet->first];
    part->at += written;
    outlet->written += written;
    if (part->at == part->end) {
        sk_mem_free(part->bytes);
        outlet->first = (outlet->first + 1) % SK_OUTLET_PARTS_MAX;
        outlet->count--;
    }
    bool on = !outlet->quit;
    uv_mutex_unlock(&outlet->mutex);
    return on;
}

/* In parts that a pipe takes at once when it takes anything. 0, or an errno; ECANCELED: it is to
 * end. */
static int write_all(struct sk_outlet *outlet, const uint8_t *bytes, size_t n)
{
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

static int copy(struct sk_outlet *outlet, int *file, uint64_t at, size_t n)
{
    if (*file < 0)
        *file = sk_path_open(outlet->root, outlet->path, false);
    ssize_t got = *file < 0 ? -1 : pread(*file, outlet->buffer, n, (off_t)at);
    if (got != (ssize_t)n)
        return got < 0 ? errno : EIO;
    return write_all(outlet, outlet->buffer, n);
}

static void note(struct sk_outlet *outlet, int error)
{
    uv_mutex_lock(&outlet->mutex);
    outlet->error = error;
    outlet->state = error == EPIPE                       ? SK_OUTLET_CLOSED
                    : error && error != ECANCELED        ? SK_OUTLET_FAILED
                    : outlet->finished && !outlet->count ? SK_OUTLET_DONE
                                                         : SK_OUTLET_RUNNING;
    uv_mutex_unlock(&outlet->mutex);
}

static void run(void *arg)
{
    struct sk_outlet *outlet = arg;
    int file = -1, error = 0;
    struct part part;
    size_t n;
    while (!error && wait_for_part(outlet, &part, &n))
        error = part.bytes ? write_all(outlet, part.bytes + part.at, n)
                           : copy(outlet, &file, part.at, n);
    note(outlet, error);
    if (file >= 0)
        close(file);
}

/* ---- the owner's side ---- */

static void outlet_free(struct sk_outlet *outlet)
{
    for (; outlet->count; outlet->count--) {
        sk_mem_free(outlet->parts[outlet->first].bytes);
        outlet->first = (outlet->first + 1) % SK_OUTLET_PARTS_MAX;
    }
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

int sk_outlet_new(int root, const char *path, int to, struct sk_outlet **ret_outlet)
{
    struct sk_outlet *outlet = sk_mem_calloc(1, sizeof *outlet);
    if (!outlet)
        return SKEP_ERR_NOMEM;
    outlet->root = root;
    outlet->to = to;
    outlet->path = sk_mem_strdup(path);
    outlet->buffer = sk_mem_alloc(SK_OUTLET_BUFFER);
    if (!outlet->path || !outlet->buffer || !start(outlet)) {
        outlet_free(outlet);
        return SKEP_ERR_NOMEM;
    }
    *ret_outlet = outlet;
    return 0;
}

bool sk_outlet_has_room(struct sk_outlet *outlet)
{
    uv_mutex_lock(&outlet->mutex);
    bool has = outlet->count < SK_OUTLET_PARTS_MAX;
    uv_mutex_unlock(&outlet->mutex);
    return has;
}

static void add(struct sk_outlet *outlet, struct part part)
{
    uv_mutex_lock(&outlet->mutex);
    SK_ASSERT(part.at < part.end && outlet->count < SK_OUTLET_PARTS_MAX);
    size_t last = (outlet->first + outlet->count + SK_OUTLET_PARTS_MAX - 1) % SK_OUTLET_PARTS_MAX;
    struct part *before = outlet->count ? &outlet->parts[last] : NULL;
    if (before && !part.bytes && !before->bytes && before->end == part.at)
        before->end = part.end;
    else
        outlet->parts[(outlet->first + outlet->count++) % SK_OUTLET_PARTS_MAX] = part;
    uv_cond_signal(&outlet->more);
    uv_mutex_unlock(&outlet->mutex);
}

void sk_outlet_copy(struct sk_outlet *outlet, uint64_t offset, uint64_t length)
{
    add(outlet, (struct part){.at = offset, .end = offset + length});
}

int sk_outlet_write(struct sk_outlet *outlet, struct sk_bytes bytes)
{
    uint8_t *copied = sk_mem_dup(bytes.p, bytes.n);
    if (!copied)
        return SKEP_ERR_NOMEM;
    add(outlet, (struct part){.bytes = copied, .end = bytes.n});
    return 0;
}

void sk_outlet_finish(struct sk_outlet *outlet)
{
    uv_mutex_lock(&outlet->mutex);
    outlet->finished = true;
    uv_cond_signal(&outlet->more);
    uv_mutex_unlock(&outlet->mutex);
}

enum sk_outlet_state sk_outlet_look(struct sk_outlet *outlet, uint64_t *ret_bytes, int *ret_error)
{
    uv_mutex_lock(&outlet->mutex);
    enum sk_outlet_state state = outlet->state;
    *ret_bytes = outlet->written;
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
