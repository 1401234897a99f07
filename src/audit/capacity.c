#include "audit/capacity.h"

#include "audit/spacing.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/prng.h"

#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 200, RESAMPLED_MAX = 256 };

/* What came from one arrival to the next. */
struct sample {
    double rate, bytes, seconds;
    double weight; /* bytes, but not many times those of others */
};

static int compare_rates(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->rate, y = ((const struct sample *)b)->rate;
    return (x > y) - (x < y);
}

static int compare_bytes(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->bytes, y = ((const struct sample *)b)->bytes;
    return (x > y) - (x < y);
}

/* The end of the lump of arrivals that begins at i. */
static uint32_t lump_end(const struct sk_arrival *list, uint32_t n, uint32_t i)
{
    uint32_t end = i;
    while (end + 1 < n && list[end + 1].at_ns - list[end].at_ns < SK_CAPACITY_JOIN_NS &&
           list[end + 1].at_ns - list[i].at_ns < SK_CAPACITY_LUMP_NS)
        end++;
    return end;
}

/* Fills samples (room for n), returns how many. */
static uint32_t take_samples(const struct sk_arrival *list, uint32_t n, struct sample *samples)
{
    uint32_t count = 0, from = lump_end(list, n, 0);
    uint64_t least_ns = 0;
    for (uint32_t i = from + 1; i < n; i++) {
        uint64_t before = list[i - 1].bytes;
        i = lump_end(list, n, i);
        uint64_t ns = list[i].at_ns - list[from].at_ns;
        if (ns <= least_ns)
            continue;
        double bytes = (double)(list[i].bytes - list[from].bytes);
        samples[count++] = (struct sample){
            .rate = bytes * 1e9 / (double)ns, .bytes = bytes, .seconds = (double)ns / 1e9};
        least_ns = list[i].bytes - before > SK_CAPACITY_LATE_BYTES ? ns / 2 : 0;
        from = i;
    }
    return count;
}

/* What a lost packet held back comes at once: one large sample makes no mode. */
static void weigh(struct sample *samples, uint32_t n)
{
    qsort(samples, n, sizeof *samples, compare_bytes);
    double most = n ? SK_CAPACITY_HEAVIEST * samples[n / 2].bytes : 0;
    for (uint32_t i = 0; i < n; i++)
        samples[i].weight = fmin(samples[i].bytes, most);
}

/* A stretch of the sorted samples, and what it weighs. */
struct stretch {
    uint32_t from, until;
    double weight, all; /* all: that of all samples */
};

/* The stretch near the i-th sample; `stretch` is the one near a later sample, or the end. */
static void slide(const struct sample *samples, uint32_t i, struct stretch *stretch)
{
    while (samples[stretch->until - 1].rate > samples[i].rate * (1 + SK_CAPACITY_NEAR))
        stretch->weight -= samples[--stretch->until].weight;
    while (stretch->from &&
           samples[stretch->from - 1].rate * (1 + SK_CAPACITY_NEAR) >= samples[i].rate)
        stretch->weight += samples[--stretch->from].weight;
}

/* The stretch around the highest mode of sorted samples; empty where none has mass enough. */
static struct stretch find_mode(const struct sample *samples, uint32_t n)
{
    struct stretch now = {.from = n, .until = n}, best = {0};
    for (uint32_t i = 0; i < n; i++)
        now.all += samples[i].weight;
    for (uint32_t i = n; i-- > 0;) {
        if (best.weight > 0 && samples[i].rate * (1 + SK_CAPACITY_NEAR) < samples[best.from].rate)
            break; /* none of the neighbours had more */
        slide(samples, i, &now);
        if (now.weight >= SK_CAPACITY_MASS * now.all && now.weight > best.weight)
            best = now;
    }
    return best;
}

/* Weighted median of a stretch; `weights` counts each sample anew, or is NULL. */
static double median(const struct sample *samples, uint32_t n, const uint32_t *weights)
{
    double all = 0, below = 0;
    uint32_t i = 0;
    for (uint32_t k = 0; k < n; k++)
        all += samples[k].weight * (weights ? weights[k] : 1);
    for (; i + 1 < n; i++) {
        below += samples[i].weight * (weights ? weights[i] : 1);
        if (2 * below >= all)
            break;
    }
    return samples[i].rate;
}

/* The median of a stretch with its interval. */
static struct sk_rate bootstrap(const struct sample *samples, uint32_t n)
{
    struct sample few[RESAMPLED_MAX];
    uint32_t weights[RESAMPLED_MAX], count = SK_MIN(n, (uint32_t)RESAMPLED_MAX);
    double medians[RESAMPLES], scale = sqrt((double)count / n);
    struct sk_prng prng;
    sk_prng_init(&prng, n); /* the same samples give the same interval */
    for (uint32_t i = 0; i < count; i++)
        few[i] = samples[(uint64_t)i * n / count];
    for (int r = 0; r < RESAMPLES; r++) {
        for (uint32_t i = 0; i < count; i++)
            weights[i] = 0;
        for (uint32_t i = 0; i < count; i++)
            weights[sk_prng_below(&prng, count)]++;
        medians[r] = median(few, count, weights);
    }
    qsort(medians, RESAMPLES, sizeof *medians, sk_order_doubles);
    double rate = median(samples, n, NULL), least = SK_CAPACITY_LEAST * rate;
    double low = medians[RESAMPLES / 40], high = medians[RESAMPLES - 1 - RESAMPLES / 40];
    return (struct sk_rate){.rate = rate,
                            .low = rate - fmax(scale * (rate - low), least),
                            .high = rate + fmax(scale * (high - rate), least)};
}

/* Share of the time in which the link carried nothing of ours for long. */
static double paused(const struct sample *samples, uint32_t n, double capacity)
{
    double all = 0, pauses = 0;
    for (uint32_t i = 0; i < n; i++) {
        all += samples[i].seconds;
        if (samples[i].rate * SK_CAPACITY_PAUSE < capacity)
            pauses += samples[i].seconds;
    }
    return pauses / all;
}

static void estimate_from(struct sample *samples, uint32_t n, const struct sk_rate *delivered,
                          struct sk_capacity_estimate *estimate)
{
    weigh(samples, n);
    qsort(samples, n, sizeof *samples, compare_rates);
    struct stretch mode = find_mode(samples, n);
    if (n < SK_CAPACITY_SAMPLES_MIN || mode.weight <= 0)
        return;
    struct sk_rate rate = bootstrap(samples + mode.from, mode.until - mode.from);
    if (!(rate.rate > delivered->rate * (1 + SK_CAPACITY_NEAR))) {
        /* The slope is the better figure for the same thing. */
        estimate->rate = (struct sk_rate){delivered->rate, delivered->low, NAN};
        estimate->how = "steady";
        return;
    }
    /* Were it for pauses alone, they would take what is missing from the link's time, and the rest
     * would have come at its rate. Who stops because packets were dropped also comes in lumps. */
    double pauses = paused(samples, n, rate.rate) / (1 - delivered->rate / rate.rate);
    bool trains = pauses > SK_CAPACITY_PAUSED && mode.weight > SK_CAPACITY_PURE * mode.all;
    bool drops = !trains && pauses > SK_CAPACITY_STALLED;
    if (!trains) /* a lost packet that is sent again may have set the mode: no lower bound either */
        rate = (struct sk_rate){rate.rate, delivered->low, NAN};
    estimate->rate = rate;
    estimate->how = trains ? "trains" : drops ? "drops" : "pairs";
}

/* Where the steady part begins. */
static uint32_t find_start(const struct sk_arrival *list, uint32_t n, double span_s)
{
    uint64_t span_ns = (uint64_t)(span_s * 1e9);
    uint32_t start = 0;
    while (start < n - 1 && list[n - 1].at_ns - list[start].at_ns > span_ns)
        start++;
    return start;
}

/* The rate at which bytes came before the steady part. */
static double early_rate(const struct sk_arrival *list, uint32_t start)
{
    double seconds = (double)(list[start].at_ns - list[0].at_ns) / 1e9;
    return (double)(list[start].bytes - list[0].bytes) / seconds;
}

/* Whether most of what came after the steady part came faster than it says the link carries. */
static bool came_faster(const struct sk_arrival *list, uint32_t n, uint32_t end, double link_rate)
{
    uint64_t faster = 0;
    for (uint32_t i = end; i < n; i++) {
        uint64_t bytes = list[i].bytes - list[i - 1].bytes;
        double seconds = (double)(list[i].at_ns - list[i - 1].at_ns) / 1e9;
        faster += (double)bytes > SK_CAPACITY_LATER * link_rate * seconds ? bytes : 0;
    }
    return 2 * faster > list[n - 1].bytes - list[end - 1].bytes;
}

/* What the spacing of single packets says is more exact than a mode, and needs few of them. All
 * arrivals count, unless those before the steady part (from `start` to `end`) or after it came
 * faster than the link carries: out of a token bucket that was full. */
static void space(const struct sk_arrival *list, uint32_t n, uint32_t start, uint32_t end,
                  const struct sk_rate_estimate *delivered, struct sk_capacity_estimate *estimate)
{
    struct sk_spacing spacing;
    if (strcmp(estimate->how, "trains") == 0)
        return;
    sk_spacing_find(list + start, end - start, &spacing);
    uint32_t from = start && early_rate(list, start) > spacing.rate ? start : 0;
    uint32_t until = end < n && came_faster(list, n, end, spacing.rate) ? end : n;
    if (from != start || until != end)
        sk_spacing_find(list + from, until - from, &spacing);
    if (!(spacing.rate > delivered->rate.rate * SK_CAPACITY_SURPLUS))
        return;
    estimate->rate = (struct sk_rate){spacing.rate, spacing.low, NAN};
    estimate->how = strcmp(estimate->how, "drops") == 0 ? "drops" : "pairs";
}

void sk_capacity_estimate(const struct sk_arrivals *arrivals,
                          const struct sk_rate_estimate *delivered,
                          struct sk_capacity_estimate *ret_estimate)
{
    struct sk_capacity_estimate estimate = {.rate = SK_RATE_UNKNOWN, .how = "trains too short"};
    const struct sk_arrival *list = arrivals->list;
    uint32_t n = arrivals->count;
    if (n >= SK_CAPACITY_SAMPLES_MIN && !isnan(delivered->rate.low)) {
        struct sample *samples = sk_mem_alloc(n * sizeof *samples);
        uint32_t start = find_start(list, n, delivered->span_s);
        estimate.how = samples ? estimate.how : "out of memory";
        estimate.steady_from_ns = list[start].at_ns;
        estimate.steady_until_ns = list[n - 1].at_ns;
        if (samples)
            estimate_from(samples, take_samples(list + start, n - start, samples), &delivered->rate,
                          &estimate);
        sk_mem_free(samples);
        space(list, n, start, n, delivered, &estimate);
    }
    *ret_estimate = estimate;
}

void sk_capacity_refine(const struct sk_arrivals *arrivals,
                        const struct sk_rate_estimate *delivered,
                        struct sk_capacity_estimate *estimate)
{
    const struct sk_arrival *list = arrivals->list;
    uint32_t n = arrivals->count, start = 0;
    while (start < n && list[start].at_ns < estimate->steady_from_ns)
        start++;
    uint32_t end = start;
    while (end < n && list[end].at_ns <= estimate->steady_until_ns)
        end++;
    if (end == start) { /* nothing is left of it */
        start = 0;
        end = n;
    }
    if (n && !isnan(delivered->rate.low))
        space(list, n, start, end, delivered, estimate);
}

bool sk_capacity_is_known(const struct sk_rate *capacity, const char *how)
{
    if (!how || !isnan(capacity->high))
        return !isnan(capacity->high);
    return strcmp(how, "trains") == 0 ||
           (strcmp(how, "steady") != 0 && capacity->low > SK_CAPACITY_SURE * capacity->rate);
}
