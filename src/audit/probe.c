#include "audit/probe.h"

#include "base/assert.h"

void sk_probe_init(struct sk_probe *probe, uint64_t budget, uint64_t budget_max)
{
    *probe = (struct sk_probe){.budget = budget,
                               .budget_max = budget_max,
                               .window = SK_PROBE_WINDOW_FIRST,
                               .window_first = SK_PROBE_WINDOW_FIRST};
}

void sk_probe_shallow(struct sk_probe *probe)
{
    probe->window = probe->window_first = SK_PROBE_WINDOW_SHALLOW;
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

static bool is_known(const struct sk_probe *probe)
{
    return sk_capacity_is_known(&probe->capacity.rate, probe->capacity.how);
}

bool sk_probe_lacks(const struct sk_probe *probe)
{
    return probe->state == SK_PROBE_DONE && probe->lap < probe->laps &&
           probe->got < probe->laps_bytes && !is_known(probe);
}

bool sk_probe_is_measured(const struct sk_probe *probe)
{
    return probe->lap || probe->state == SK_PROBE_DONE;
}

bool sk_probe_is_fresh(const struct sk_probe *probe)
{
    return probe->asked == probe->lap_asked;
}

void sk_probe_again(struct sk_probe *probe, uint64_t bytes_max)
{
    SK_ASSERT(probe->state == SK_PROBE_DONE);
    probe->state = SK_PROBE_IDLE;
    probe->lap++;
    probe->asked = probe->lap_asked = probe->got;
    probe->lap_ns = probe->run_ns;
    probe->budget = probe->budget_max = probe->got + bytes_max;
    probe->pending = 0;
    probe->window = probe->window_first = SK_PROBE_LAP_BLOCKS;
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
    probe->window = probe->window_first;
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

/* Whether a deeper pipeline would only make a queue at the peer's end. */
static bool queues(const struct sk_probe *probe, uint64_t now_ns)
{
    double seconds = sk_probe_seconds(probe, now_ns);
    return probe->window * (double)SK_BLOCK_SIZE * seconds > SK_PROBE_QUEUE_S * (double)probe->got;
}

void sk_probe_came(struct sk_probe *probe, uint32_t length, uint32_t request_max, uint64_t now_ns)
{
    if (!probe->asked_then)
        probe->asked_then = probe->asked;
    probe->got += length;
    if (probe->pending)
        probe->pending--;
    if (probe->window < request_max && !queues(probe, now_ns))
        probe->window++;
    probe->deepest = probe->window >= request_max;
}

void sk_probe_lost(struct sk_probe *probe, uint32_t length)
{
    probe->asked -= SK_MIN(probe->asked, (uint64_t)length);
    if (probe->pending)
        probe->pending--;
    if (probe->window > SK_PROBE_WINDOW_LEAST)
        probe->window--;
}

static uint64_t run_ns(const struct sk_probe *probe, uint64_t now_ns)
{
    return probe->run_ns + (probe->state == SK_PROBE_RUNNING ? now_ns - probe->since_ns : 0);
}

/* A pause is ours when the train before it carried all that was under way when it began. */
static void note_train(struct sk_probe *probe, uint64_t bytes, uint64_t run)
{
    uint64_t pause = probe->arrived ? run - probe->arrivals.last_ns : 0;
    if (!probe->arrived || pause >= SK_PROBE_PAUSE_NS) {
        if (pause && probe->train_bytes >= probe->train_asked) {
            probe->starved_ns += pause;
            probe->starved_times++;
        }
        probe->train_bytes = 0;
        /* What was asked for when blocks of this arrival came is not of this train. */
        uint64_t asked = probe->asked_then ? probe->asked_then : probe->asked;
        probe->train_asked = asked > probe->arrived ? asked - probe->arrived : UINT64_MAX;
    }
    probe->train_bytes += bytes;
}

void sk_probe_arrived(struct sk_probe *probe, uint64_t bytes, uint64_t now_ns)
{
    if (probe->state != SK_PROBE_RUNNING)
        return;
    uint64_t run = run_ns(probe, now_ns);
    note_train(probe, bytes, run);
    probe->arrived += bytes;
    probe->asked_then = 0;
    /* Without memory one arrival less is known. */
    (void)sk_arrivals_add(&probe->arrivals, run, probe->arrived);
}

static uint64_t arrivals_span_ns(const struct sk_arrivals *arrivals)
{
    return arrivals->count ? arrivals->last_ns - arrivals->list[0].at_ns : 0;
}

void sk_probe_lengthen(struct sk_probe *probe)
{
    struct sk_rate_estimate estimate;
    if (probe->budget >= probe->budget_max || probe->got < probe->budget / 4 * 3 ||
        probe->got < probe->looked + probe->budget / 16)
        return;
    probe->looked = probe->got;
    sk_rate_estimate(&probe->arrivals, &estimate);
    const struct sk_rate *rate = &estimate.rate;
    bool known =
        rate->high - rate->rate <= SK_PROBE_WIDE * rate->rate && estimate.span_s >= SK_PROBE_SPAN_S;
    double mean = (double)probe->arrived / ((double)arrivals_span_ns(&probe->arrivals) / 1e9);
    /* One pause late in so short a time makes the slope a small one. */
    probe->fast = probe->fast || fmax(rate->rate, mean / 2) > SK_PROBE_FAST_BYTES_S;
    if (probe->fast && !known)
        probe->budget = SK_MIN(2 * probe->budget, probe->budget_max);
}

double sk_probe_seconds(const struct sk_probe *probe, uint64_t now_ns)
{
    return (double)run_ns(probe, now_ns) / 1e9;
}

bool sk_probe_over(const struct sk_probe *probe, double seconds_max, uint64_t now_ns)
{
    if (probe->state != SK_PROBE_RUNNING)
        return false;
    double seconds = (double)(run_ns(probe, now_ns) - probe->lap_ns) / 1e9;
    return seconds >= seconds_max || probe->got >= probe->budget;
}

void sk_probe_put_off(struct sk_probe *probe)
{
    SK_ASSERT(probe->state == SK_PROBE_RUNNING && probe->got == 0 && !probe->lap);
    probe->state = SK_PROBE_WAITING;
    probe->run_ns = 0;
    probe->asked = 0;
    probe->pending = 0;
    probe->window = probe->window_first;
}

void sk_probe_judge(const struct sk_probe *probe, struct sk_rate_estimate *ret_delivered,
                    struct sk_capacity_estimate *ret_capacity)
{
    if (probe->state == SK_PROBE_DONE) {
        *ret_delivered = probe->delivered;
        *ret_capacity = probe->capacity;
        return;
    }
    if (probe->lap) {
        *ret_delivered = probe->delivered;
        *ret_capacity = probe->capacity;
        if (!is_known(probe))
            sk_capacity_refine(&probe->arrivals, ret_delivered, ret_capacity);
        return;
    }
    sk_rate_estimate(&probe->arrivals, ret_delivered);
    sk_capacity_estimate(&probe->arrivals, ret_delivered, ret_capacity);
    double span_ns = (double)arrivals_span_ns(&probe->arrivals);
    if (!probe->deepest && probe->starved_times >= SK_PROBE_STARVED_TIMES &&
        (double)probe->starved_ns > SK_PROBE_STARVED * span_ns) {
        ret_delivered->rate = SK_RATE_UNKNOWN;
        ret_delivered->how = "our pipeline was the limit";
    }
}

void sk_probe_end(struct sk_probe *probe, uint64_t now_ns)
{
    stop_clock(probe, now_ns);
    sk_probe_judge(probe, &probe->delivered, &probe->capacity);
    probe->state = SK_PROBE_DONE;
    if (!sk_probe_lacks(probe))
        sk_arrivals_deinit(&probe->arrivals);
}
