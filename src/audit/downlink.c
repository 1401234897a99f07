#include "audit/downlink.h"

#include "base/assert.h"

static uint32_t window_of(uint64_t at_ns)
{
    return (uint32_t)(at_ns / SK_DOWNLINK_WINDOW_NS) + 1;
}

void sk_downlink_note(struct sk_downlink *downlink, uint64_t bytes, uint32_t probes,
                      uint64_t now_ns)
{
    uint32_t number = window_of(now_ns);
    struct sk_downlink_window *window = &downlink->windows[number % SK_DOWNLINK_WINDOWS];
    if (window->number != number)
        *window = (struct sk_downlink_window){.number = number};
    window->bytes = (uint32_t)SK_MIN(window->bytes + bytes, (uint64_t)UINT32_MAX);
    window->probes = SK_MAX(window->probes, probes);
}

/* Whether the sum is as high with few probes as with more: with `bytes` or more in a window. */
static bool is_flat(const struct sk_downlink *downlink, double bytes)
{
    uint32_t fewest = UINT32_MAX, few = 0, more = 0;
    for (int i = 0; i < SK_DOWNLINK_WINDOWS; i++)
        if (downlink->windows[i].number && downlink->windows[i].bytes >= bytes)
            fewest = SK_MIN(fewest, downlink->windows[i].probes);
    for (int i = 0; i < SK_DOWNLINK_WINDOWS; i++) {
        const struct sk_downlink_window *window = &downlink->windows[i];
        bool full = window->number && window->bytes >= bytes;
        bool many = window->probes >= SK_DOWNLINK_VARIED * fewest;
        few += full && !many;
        more += full && many;
    }
    return few >= SK_DOWNLINK_SURE && more >= SK_DOWNLINK_SURE;
}

bool sk_downlink_full(const struct sk_downlink *downlink, uint64_t from_ns, uint64_t until_ns)
{
    uint32_t from = window_of(from_ns) + 1, end = window_of(until_ns), most = 0;
    uint32_t inside = 0, full = 0;
    for (int i = 0; i < SK_DOWNLINK_WINDOWS; i++)
        most = SK_MAX(most, downlink->windows[i].bytes);
    double bytes = (1 - SK_DOWNLINK_FLAT) * most;
    for (int i = 0; i < SK_DOWNLINK_WINDOWS; i++) {
        const struct sk_downlink_window *window = &downlink->windows[i];
        bool here = window->number >= from && window->number < end;
        inside += here;
        full += here && window->bytes >= bytes && window->probes >= SK_DOWNLINK_PROBES_MIN;
    }
    return 2 * full > inside && is_flat(downlink, bytes);
}
