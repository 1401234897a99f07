#include "audit/downlink.h"

#include "base/assert.h"
#include "base/order.h"

#include <math.h>
#include <stdlib.h>

static uint32_t window_of(uint64_t at_ns)
{
    return (uint32_t)(at_ns / SK_DOWNLINK_WINDOW_NS) + 1;
}

static const struct sk_downlink_window *window_at(const struct sk_downlink *downlink,
                                                  uint32_t number)
{
    const struct sk_downlink_window *window = &downlink->windows[number % SK_DOWNLINK_WINDOWS];
    return window->number == number ? window : NULL;
}

/* Bytes from one window until before another. */
static double sum(const struct sk_downlink *downlink, uint32_t from, uint32_t end)
{
    double bytes = 0;
    for (uint32_t number = from; number < end; number++) {
        const struct sk_downlink_window *window = window_at(downlink, number);
        bytes += window ? window->bytes : 0;
    }
    return bytes;
}

static double near(double level)
{
    return SK_DOWNLINK_NEAR * level + SK_DOWNLINK_PACKET;
}

/* The level near which most windows lie, of those that have ended; 0: too few lie there. */
static double find_level(const struct sk_downlink *downlink)
{
    double list[SK_DOWNLINK_WINDOWS], level = 0;
    uint32_t count = 0, most = 0, busy = 0;
    for (int i = 0; i < SK_DOWNLINK_WINDOWS; i++)
        if (downlink->windows[i].number && downlink->windows[i].number != downlink->latest)
            list[count++] = downlink->windows[i].bytes;
    qsort(list, count, sizeof *list, sk_order_doubles);
    for (uint32_t i = 0, end = 0; i < count; i++) {
        while (end < count && list[end] <= list[i] + 2 * near(list[i]))
            end++;
        if (end - i > most) {
            most = end - i;
            level = list[i + most / 2];
        }
    }
    for (uint32_t i = 0; i < count; i++)
        busy += 2 * list[i] >= level;
    return most >= SK_DOWNLINK_LEAST && most >= SK_DOWNLINK_SHARE * busy ? level : 0;
}

/* Whether different numbers of peers made that level. */
static bool is_varied(const struct sk_downlink *downlink, double level)
{
    double givers[SK_DOWNLINK_WINDOWS];
    uint32_t count = 0;
    for (int i = 0; i < SK_DOWNLINK_WINDOWS; i++) {
        const struct sk_downlink_window *window = &downlink->windows[i];
        if (window->number && window->number != downlink->latest &&
            fabs(window->bytes - level) <= near(level))
            givers[count++] = (double)window->bytes * window->bytes / window->squares;
    }
    qsort(givers, count, sizeof *givers, sk_order_doubles);
    return count >= 2 * SK_DOWNLINK_SURE &&
           givers[count - SK_DOWNLINK_SURE] >= SK_DOWNLINK_VARIED * givers[SK_DOWNLINK_SURE - 1];
}

static bool is_most(const struct sk_downlink *downlink, double level)
{
    for (int i = 0; i < SK_DOWNLINK_WINDOWS; i++) {
        uint32_t from = downlink->windows[i].number;
        if (from && sum(downlink, from, from + SK_DOWNLINK_RUN) >
                        SK_DOWNLINK_RUN * SK_DOWNLINK_MORE * level)
            return false;
    }
    return true;
}

static void look(struct sk_downlink *downlink)
{
    double level = find_level(downlink);
    bool full = level > 0 && is_varied(downlink, level) && is_most(downlink, level);
    downlink->line_rate = full ? level : 0;
}

void sk_downlink_note(struct sk_downlink *downlink, struct sk_downlink_share *share, uint64_t bytes,
                      uint64_t now_ns)
{
    uint32_t number = window_of(now_ns);
    struct sk_downlink_window *window = &downlink->windows[number % SK_DOWNLINK_WINDOWS];
    if (window->number != number) {
        *window = (struct sk_downlink_window){.number = number};
        downlink->latest = number;
        uint32_t from = number - SK_MIN(number, (uint32_t)SK_DOWNLINK_RUN);
        downlink->most = SK_MAX(downlink->most, sum(downlink, from, number));
        look(downlink);
    }
    if (share->number != number)
        *share = (struct sk_downlink_share){.number = number};
    double before = share->bytes;
    window->bytes = (uint32_t)SK_MIN(window->bytes + bytes, (uint64_t)UINT32_MAX);
    share->bytes = (uint32_t)SK_MIN(share->bytes + bytes, (uint64_t)UINT32_MAX);
    window->squares += (double)share->bytes * share->bytes - before * before;
}

bool sk_downlink_full(const struct sk_downlink *downlink, uint64_t from_ns, uint64_t until_ns)
{
    uint32_t from = window_of(from_ns) + 1, end = window_of(until_ns);
    return from < end && downlink->line_rate > 0 &&
           sum(downlink, from, end) >= SK_DOWNLINK_FULL * downlink->line_rate * (end - from);
}

bool sk_downlink_is_wider(const struct sk_downlink *downlink, double bytes_s)
{
    double seconds = SK_DOWNLINK_RUN * (SK_DOWNLINK_WINDOW_NS / 1e9);
    return downlink->most >= SK_DOWNLINK_MORE * bytes_s * seconds;
}
