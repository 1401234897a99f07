#include "audit/rate.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <stdlib.h>

void sk_arrivals_deinit(struct sk_arrivals *arrivals)
{
    sk_mem_free(arrivals->list);
    *arrivals = (struct sk_arrivals){0};
}

static void note_gap(struct sk_arrivals *arrivals, uint64_t at_ns)
{
    if (arrivals->skipped) {
        uint64_t us = (at_ns - arrivals->last_ns) / 1000;
        unsigned bin = us ? 64u - (unsigned)__builtin_clzll(us) : 0;
        arrivals->gaps[SK_MIN(bin, 31u)]++;
        arrivals->gaps_count++;
    }
    arrivals->last_ns = at_ns;
}

static void thin(struct sk_arrivals *arrivals)
{
    for (uint32_t i = 0; i < SK_ARRIVALS_MAX / 2; i++)
        arrivals->list[i] = arrivals->list[2 * i];
    arrivals->count = SK_ARRIVALS_MAX / 2;
    arrivals->stride *= 2;
}

int sk_arrivals_add(struct sk_arrivals *arrivals, uint64_t at_ns, uint64_t bytes)
{
    if (!arrivals->list) {
        arrivals->list = sk_mem_alloc(SK_ARRIVALS_MAX * sizeof *arrivals->list);
        if (!arrivals->list)
            return SKEP_ERR_NOMEM;
        arrivals->stride = 1;
    }
    note_gap(arrivals, at_ns);
    if (arrivals->skipped++ % arrivals->stride)
        return 0;
    if (arrivals->count == SK_ARRIVALS_MAX)
        thin(arrivals);
    arrivals->list[arrivals->count++] = (struct sk_arrival){.at_ns = at_ns, .bytes = bytes};
    return 0;
}

static double gap_median_s(const struct sk_arrivals *arrivals)
{
    uint32_t seen = 0;
    for (unsigned bin = 0; bin < 32 && arrivals->gaps_count; bin++) {
        seen += arrivals->gaps[bin];
        if (2 * seen >= arrivals->gaps_count)
            return bin ? ldexp(0.75e-6, (int)bin) : 0.5e-6; /* the middle of [2^(b-1), 2^b) us */
    }
    return NAN;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of the slopes of all pairs, bytes a second; NAN without memory. */
static double theil_sen(const struct sk_arrival *list, uint32_t n)
{
    size_t pairs = (size_t)n * (n - 1) / 2, count = 0;
    double *slopes = sk_mem_alloc(pairs * sizeof *slopes);
    if (!slopes)
        return NAN;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = i + 1; j < n; j++) {
            double dt = (double)(list[j].at_ns - list[i].at_ns) / 1e9;
            if (dt > 0)
                slopes[count++] = (double)(list[j].bytes - list[i].bytes) / dt;
        }
    }
    qsort(slopes, count, sizeof *slopes, compare_doubles);
    double median = count ? slopes[count / 2] : NAN;
    sk_mem_free(slopes);
    return median;
}

/* Bytes received by a time, interpolated between arrivals. */
static double bytes_at(const struct sk_arrival *list, uint32_t n, double t)
{
    for (uint32_t i = 1; i < n; i++) {
        if ((double)list[i].at_ns < t)
            continue;
        double width = (double)(list[i].at_ns - list[i - 1].at_ns);
        double part = width > 0 ? (t - (double)list[i - 1].at_ns) / width : 1;
        return (double)list[i - 1].bytes + part * (double)(list[i].bytes - list[i - 1].bytes);
    }
    return (double)list[n - 1].bytes;
}

/* Half the width of a 95 % interval of the mean rate, from batch means. */
static double batch_half_width(const struct sk_arrival *list, uint32_t n)
{
    static const double student_t = 2.365; /* 97.5 %, SK_RATE_BATCHES - 1 = 7 degrees */
    double start = (double)list[0].at_ns;
    double width = ((double)list[n - 1].at_ns - start) / SK_RATE_BATCHES;
    double sum = 0, squares = 0, before = (double)list[0].bytes;
    for (int i = 1; i <= SK_RATE_BATCHES; i++) {
        double now = bytes_at(list, n, start + i * width);
        double rate = (now - before) / (width / 1e9);
        sum += rate;
        squares += rate * rate;
        before = now;
    }
    double mean = sum / SK_RATE_BATCHES;
    double variance = (squares - SK_RATE_BATCHES * mean * mean) / (SK_RATE_BATCHES - 1);
    return student_t * sqrt(SK_MAX(variance, 0.0) / SK_RATE_BATCHES);
}

void sk_rate_estimate(const struct sk_arrivals *arrivals, struct sk_rate_estimate *ret_estimate)
{
    struct sk_rate_estimate estimate = {.rate = SK_RATE_UNKNOWN,
                                        .gap_median_s = gap_median_s(arrivals)};
    uint32_t n = arrivals->count;
    const struct sk_arrival *list = arrivals->list;
    if (n >= 16) { /* enough to leave the start-up out */
        list += n / 4;
        n -= n / 4;
    }
    estimate.samples = n;
    if (n >= 2) {
        uint64_t span = list[n - 1].at_ns - list[0].at_ns;
        estimate.span_s = (double)span / 1e9;
        if (n >= SK_RATE_BATCHES && span >= SK_RATE_BURST_NS) {
            double rate = theil_sen(list, n), half = batch_half_width(list, n);
            estimate.rate = (struct sk_rate){rate, SK_MAX(rate - half, 0.0), rate + half};
            estimate.how = "theil-sen";
        } else if (span > 0) {
            estimate.rate.rate = (double)(list[n - 1].bytes - list[0].bytes) / estimate.span_s;
            estimate.how = "burst";
        }
    }
    *ret_estimate = estimate;
}
