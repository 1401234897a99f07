#include "base/heap.h"

#include <skep/err.h>

#include "base/mem.h"

void sk_heap_deinit(struct sk_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++)
        heap->items[i]->slot = 0;
    sk_mem_free(heap->items);
    *heap = (struct sk_heap){0};
}

static void place(struct sk_heap *heap, size_t i, struct sk_timer *timer)
{
    heap->items[i] = timer;
    timer->slot = i + 1;
}

static void sift(struct sk_heap *heap, size_t i)
{
    struct sk_timer *timer = heap->items[i];
    while (i > 0 && timer->at_ns < heap->items[(i - 1) / 2]->at_ns) {
        place(heap, i, heap->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < heap->count && heap->items[child + 1]->at_ns < heap->items[child]->at_ns)
            child++;
        if (child >= heap->count || heap->items[child]->at_ns >= timer->at_ns)
            break;
        place(heap, i, heap->items[child]);
        i = child;
    }
    place(heap, i, timer);
}

void sk_heap_remove(struct sk_heap *heap, struct sk_timer *timer)
{
    if (!timer->slot)
        return;
    size_t i = timer->slot - 1;
    timer->slot = 0;
    struct sk_timer *last = heap->items[--heap->count];
    if (last != timer) {
        place(heap, i, last);
        sift(heap, i);
    }
}

int sk_heap_set(struct sk_heap *heap, struct sk_timer *timer, uint64_t at_ns)
{
    if (at_ns == SK_TIME_NEVER) {
        sk_heap_remove(heap, timer);
        timer->at_ns = at_ns;
        return 0;
    }
    if (!timer->slot) {
        if (heap->count == heap->capacity) {
            size_t capacity = heap->capacity ? heap->capacity * 2 : 16;
            struct sk_timer **items = sk_mem_realloc(heap->items, capacity, sizeof *items);
            if (!items)
                return SKEP_ERR_NOMEM;
            heap->items = items;
            heap->capacity = capacity;
        }
        place(heap, heap->count++, timer);
    }
    timer->at_ns = at_ns;
    sift(heap, timer->slot - 1);
    return 0;
}

struct sk_timer *sk_heap_first(const struct sk_heap *heap)
{
    return heap->count ? heap->items[0] : NULL;
}
