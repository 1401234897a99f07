/*
 * An intrusive binary min-heap of deadlines. A `struct sk_timer` sits inside the object it times
 * and is in at most one heap. Memory: one pointer a timer.
 */
#ifndef SK_BASE_HEAP_H
#define SK_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define SK_SECOND_NS UINT64_C(1000000000)
#define SK_TIME_NEVER UINT64_MAX

struct sk_timer {
    uint64_t at_ns; /* when it is due, monotonic */
    size_t slot;    /* 1-based place in the heap, 0 = not in it */
};

struct sk_heap {
    struct sk_timer **items;
    size_t count, capacity;
};

void sk_heap_deinit(struct sk_heap *heap);
/* Sets or moves a timer; SK_TIME_NEVER takes it out. SKEP_ERR_NOMEM (only when it was not in). */
int sk_heap_set(struct sk_heap *heap, struct sk_timer *timer, uint64_t at_ns);
void sk_heap_remove(struct sk_heap *heap, struct sk_timer *timer);
/* The earliest timer, or NULL. */
struct sk_timer *sk_heap_first(const struct sk_heap *heap);

#define SK_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
