#include "audit/probe.h"

#include "base/assert.h"

void sk_probe_init(struct sk_probe *probe, uint64_t budget)
{
    *probe = (struct sk_probe){.budget = budget, .window = SK_PROBE_WINDOW_FIRST};
}

void sk_probe_deinit(struct sk_probe *probe)
{
    sk_arrivals_deinit(&probe->arrivals);
}

void sk_probe_interested(struct sk_probe *probe, uint64_t now_ns)
{
    if (probe->state != SK_PROBE_IDLE)
        return;
    probe->state = SK_PROBE_WAITING;
    if (!probe->interested_ns)
        probe->interested_ns = now_ns;
}

double sk_probe_wanted_s(const struct sk_probe *probe, uint64_t now_ns)
{
    return (double)(now_ns - probe->interested_ns) / 1e9;
}

void sk_probe_allowed(struct sk_probe *probe)
{
    if (probe->state == SK_PROBE_WAITING)
        probe->state = SK_PROBE_READY;
}

static void stop_clock(struct sk_probe *probe, uint64_t now_ns)
{
    if (probe->state == SK_PROBE_RUNNING)
        probe->run_ns += now_ns - probe->since_ns;
}

void sk_probe_choked(struct sk_probe *probe, uint64_t now_ns)
{
    if (probe->state != SK_PROBE_READY && probe->state != SK_PROBE_RUNNING)
        return;
    stop_clock(probe, now_ns);
    probe->state = SK_PROBE_WAITING;
    probe->window = SK_PROBE_WINDOW_FIRST;
}

void sk_probe_run(struct sk_probe *probe, uint64_t now_ns)
{
    SK_ASSERT(probe->state == SK_PROBE_READY);
    probe->state = SK_PROBE_RUNNING;
    probe->since_ns = now_ns;
}

uint32_t sk_probe_may_ask(const struct sk_probe *probe, uint32_t request_max)
{
    uint32_t window = SK_MIN(probe->window, request_max);
    if (probe->state != SK_PROBE_RUNNING || probe->pending >= window)
        return 0;
    return window - probe->pending;
}

uint64_t sk_probe_left(const struct sk_probe *probe)
{
    return probe->budget > probe->asked ? probe->budget - probe->asked : 0;
}

void sk_probe_asked(struct sk_probe *probe, uint32_t length)
{
    probe->asked += length;
    probe->pending++;
}

void sk_probe_came(struct sk_probe *probe, uint32_t length, uint32_t request_max)
{
    probe->got += length;
    if (probe->pending)
        probe->pending--;
    if (probe->window < request_max)
        probe->window++;
}

void sk_probe_lost(struct sk_probe *probe, uint32_t length)
{
    probe->asked -= SK_MIN(probe->asked, (uint64_t)length);
    if (probe->pending)
        probe->pending--;
}

static uint64_t run_ns(const struct sk_probe *probe, uint64_t now_ns)
{
    return probe->run_ns + (probe->state == SK_PROBE_RUNNING ? now_ns - probe->since_ns : 0);
}

void sk_probe_arrived(struct sk_probe *probe, uint64_t bytes, uint64_t now_ns)
{
    if (probe->state != SK_PROBE_RUNNING)
        return;
    probe->arrived += bytes;
    /* Without memory one arrival less is known. */
    (void)sk_arrivals_add(&probe->arrivals, run_ns(probe, now_ns), probe->arrived);
}

double sk_probe_seconds(const struct sk_probe *probe, uint64_t now_ns)
{
    return (double)run_ns(probe, now_ns) / 1e9;
}

bool sk_probe_over(const struct sk_probe *probe, double seconds_max, uint64_t now_ns)
{
    if (probe->state != SK_PROBE_RUNNING)
        return false;
    return sk_probe_seconds(probe, now_ns) >= seconds_max || probe->got >= probe->budget;
}

void sk_probe_put_off(struct sk_probe *probe)
{
    SK_ASSERT(probe->state == SK_PROBE_RUNNING && probe->got == 0);
    probe->state = SK_PROBE_WAITING;
    probe->run_ns = 0;
    probe->asked = 0;
    probe->pending = 0;
    probe->window = SK_PROBE_WINDOW_FIRST;
}

void sk_probe_end(struct sk_probe *probe, uint64_t now_ns)
{
    stop_clock(probe, now_ns);
    probe->state = SK_PROBE_DONE;
}
