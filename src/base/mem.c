#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t made;
static size_t fail_at;

static int refuse(void)
{
    made++;
    return fail_at && made == fail_at;
}

void *sk_mem_alloc(size_t size)
{
    return refuse() ? NULL : malloc(size ? size : 1);
}

void *sk_mem_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *sk_mem_realloc(void *ptr, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    size_t total = count * size;
    return refuse() ? NULL : realloc(ptr, total ? total : 1);
}

void *sk_mem_dup(const void *ptr, size_t size)
{
    void *copy = sk_mem_alloc(size);
    if (copy && size)
        memcpy(copy, ptr, size);
    return copy;
}

char *sk_mem_strndup(const char *text, size_t n)
{
    char *copy = sk_mem_alloc(n + 1);
    if (copy) {
        memcpy(copy, text, n);
        copy[n] = 0;
    }
    return copy;
}

char *sk_mem_strdup(const char *text)
{
    return sk_mem_strndup(text, strlen(text));
}

void sk_mem_free(void *ptr)
{
    free(ptr);
}

size_t sk_mem_fail_nth(size_t nth)
{
    size_t count = made;
    made = 0;
    fail_at = nth;
    return count;
}
