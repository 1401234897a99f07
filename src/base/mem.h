/*
 * Allocation, in one place so that a test can fail each allocation in turn.
 *
 * The functions are as in <stdlib.h>, with sizes checked for overflow. NULL means no memory.
 * Ownership: what these return is freed with sk_mem_free().
 */
#ifndef SK_BASE_MEM_H
#define SK_BASE_MEM_H

#include <stddef.h>

void *sk_mem_alloc(size_t size);
void *sk_mem_calloc(size_t count, size_t size);
/* count * size bytes; on failure ptr stays valid. */
void *sk_mem_realloc(void *ptr, size_t count, size_t size);
void *sk_mem_dup(const void *ptr, size_t size);
char *sk_mem_strdup(const char *text);
char *sk_mem_strndup(const char *text, size_t n);
void sk_mem_free(void *ptr);

/*
 * Test hook: the allocation number `nth` from now (1 = the next) fails, once. 0 switches it off.
 * Returns how many allocations were made since the last call. Not for threads.
 */
size_t sk_mem_fail_nth(size_t nth);

#endif
