#include "driver/allocation.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "driver/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define STEP_BYTES (64u << 20)

struct sk_allocation {
    uv_thread_t thread;
    int root;
    struct sk_allocation_file *files;
    size_t count;
    atomic_bool stop;
    _Atomic uint64_t bytes;
    /* Written before `state` says that it has ended. */
    int error;
    const char *path;
    _Atomic(enum sk_allocation_state) state;
};

/* 0, or an errno. */
static int reserve(struct sk_allocation *allocation, int fd, uint64_t length)
{
    for (uint64_t at = 0; at < length && !atomic_load(&allocation->stop);) {
        uint64_t n = SK_MIN(length - at, (uint64_t)STEP_BYTES);
        int error = posix_fallocate(fd, (off_t)at, (off_t)n);
        if (error == EINTR)
            continue;
        if (error)
            return error;
        at += n;
        atomic_fetch_add(&allocation->bytes, n);
    }
    return 0;
}

static int reserve_file(struct sk_allocation *allocation, const struct sk_allocation_file *file)
{
    struct stat before;
    int fd = sk_path_open(allocation->root, file->path, true);
    if (fd < 0)
        return errno;
    int error = fstat(fd, &before) ? errno : reserve(allocation, fd, file->length);
    /* Nothing is behind the end that was there: nobody has written since. */
    if (error && (uint64_t)before.st_size < file->length && ftruncate(fd, before.st_size) != 0)
        error = errno;
    close(fd);
    return error;
}

static void run(void *ctx)
{
    struct sk_allocation *allocation = ctx;
    enum sk_allocation_state state = SK_ALLOCATION_DONE;
    for (size_t i = 0; i < allocation->count && !atomic_load(&allocation->stop); i++) {
        allocation->error = reserve_file(allocation, &allocation->files[i]);
        if (!allocation->error)
            continue;
        allocation->path = allocation->files[i].path;
        state = SK_ALLOCATION_FAILED;
        break;
    }
    atomic_store(&allocation->state, state);
}

static void free_files(struct sk_allocation_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sk_mem_free(files[i].path);
    sk_mem_free(files);
}

int sk_allocation_new(int root, struct sk_allocation_file *files, size_t count,
                      struct sk_allocation **ret_allocation)
{
    struct sk_allocation *allocation = sk_mem_calloc(1, sizeof *allocation);
    if (allocation) {
        allocation->root = root;
        allocation->files = files;
        allocation->count = count;
        if (uv_thread_create(&allocation->thread, run, allocation) == 0) {
            *ret_allocation = allocation;
            return 0;
        }
    }
    free_files(files, count);
    sk_mem_free(allocation);
    return SKEP_ERR_NOMEM;
}

enum sk_allocation_state sk_allocation_look(struct sk_allocation *allocation, uint64_t *ret_bytes,
                                            int *ret_error, const char **ret_path)
{
    enum sk_allocation_state state = atomic_load(&allocation->state);
    *ret_bytes = atomic_load(&allocation->bytes);
    *ret_error = state == SK_ALLOCATION_FAILED ? allocation->error : 0;
    *ret_path = state == SK_ALLOCATION_FAILED ? allocation->path : NULL;
    return state;
}

void sk_allocation_free(struct sk_allocation *allocation)
{
    if (!allocation)
        return;
    atomic_store(&allocation->stop, true);
    uv_thread_join(&allocation->thread);
    free_files(allocation->files, allocation->count);
    sk_mem_free(allocation);
}
