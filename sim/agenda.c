#include "sim/agenda.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdbool.h>

#define CHILDREN 4

void sk_sim_agenda_deinit(struct sk_sim_agenda *agenda)
{
    sk_mem_free(agenda->notes);
    *agenda = (struct sk_sim_agenda){0};
}

static bool before(const struct sk_sim_note *a, const struct sk_sim_note *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void sk_sim_agenda_add(struct sk_sim_agenda *agenda, uint64_t at_ns, uintptr_t what)
{
    if (agenda->count == agenda->capacity) {
        size_t capacity = agenda->capacity ? 2 * agenda->capacity : 1024;
        agenda->notes = sk_mem_realloc(agenda->notes, capacity, sizeof *agenda->notes);
        SK_ASSERT(agenda->notes);
        agenda->capacity = capacity;
    }
    struct sk_sim_note note = {at_ns, agenda->order++, what};
    size_t i = agenda->count++;
    for (; i > 0; i = (i - 1) / CHILDREN) {
        struct sk_sim_note *parent = &agenda->notes[(i - 1) / CHILDREN];
        if (!before(&note, parent))
            break;
        agenda->notes[i] = *parent;
    }
    agenda->notes[i] = note;
}

const struct sk_sim_note *sk_sim_agenda_first(const struct sk_sim_agenda *agenda)
{
    return agenda->count ? agenda->notes : NULL;
}

static size_t first_child(const struct sk_sim_agenda *agenda, size_t i)
{
    size_t best = CHILDREN * i + 1;
    size_t end = SK_MIN(best + CHILDREN, agenda->count);
    for (size_t child = best + 1; child < end; child++) {
        if (before(&agenda->notes[child], &agenda->notes[best]))
            best = child;
    }
    return best;
}

void sk_sim_agenda_pop(struct sk_sim_agenda *agenda)
{
    SK_ASSERT(agenda->count > 0);
    struct sk_sim_note last = agenda->notes[--agenda->count];
    size_t i = 0;
    for (;;) {
        size_t child = first_child(agenda, i);
        if (child >= agenda->count || !before(&agenda->notes[child], &last))
            break;
        agenda->notes[i] = agenda->notes[child];
        i = child;
    }
    if (agenda->count)
        agenda->notes[i] = last;
}
