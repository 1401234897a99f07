#include "audit/rate.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"

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

static bool grow(struct sk_arrivals *arrivals)
{
    uint32_t room = arrivals->room ? 2 * arrivals->room : SK_ARRIVALS_FIRST;
    struct sk_arrival *list = sk_mem_realloc(arrivals->list, room, sizeof *list);
    if (!list)
        return false;
    arrivals->list = list;
    arrivals->room = room;
    return true;
}

int sk_arrivals_add(struct sk_arrivals *arrivals, uint64_t at_ns, uint64_t bytes)
{
    note_gap(arrivals, at_ns);
    if (!arrivals->stride)
        arrivals->stride = 1;
    if (arrivals->skipped++ % arrivals->stride)
        return 0;
    if (arrivals->count == SK_ARRIVALS_MAX)
        thin(arrivals);
    else if (arrivals->count == arrivals->room && !grow(arrivals))
        return SKEP_ERR_NOMEM;
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

/* ---- the curve ---- */

/* Bytes that had come, at equal steps of time from the first arrival to the last. */
struct curve {
    double bytes[SK_RATE_STEPS + 1];
    double step_s;
};

/* Between arrivals bytes are taken to have come evenly. */
static void sample(const struct sk_arrival *list, uint32_t n, struct curve *ret_curve)
{
    double span = (double)(list[n - 1].at_ns - list[0].at_ns);
    uint32_t next = 1;
    for (int i = 0; i <= SK_RATE_STEPS; i++) {
        double t = (double)list[0].at_ns + span * i / SK_RATE_STEPS;
        while (next < n - 1 && (double)list[next].at_ns < t)
            next++;
        const struct sk_arrival *a = &list[next - 1], *b = &list[next];
        double width = (double)(b->at_ns - a->at_ns);
        double part = width > 0 ? fmin((t - (double)a->at_ns) / width, 1) : 1;
        ret_curve->bytes[i] = (double)a->bytes + part * (double)(b->bytes - a->bytes);
    }
    ret_curve->step_s = span / 1e9 / SK_RATE_STEPS;
}

/* ---- where the steady part begins ---- */

/* Mean square of the distances from the least-squares line through the curve from `start` on. */
static double roughness(const struct curve *curve, int start)
{
    int n = SK_RATE_STEPS + 1 - start;
    double x_mean = (n - 1) / 2.0, y_mean = 0, xx = 0, xy = 0, yy = 0;
    for (int i = 0; i < n; i++)
        y_mean += curve->bytes[start + i] / n;
    for (int i = 0; i < n; i++) {
        double x = i - x_mean, y = curve->bytes[start + i] - y_mean;
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    return SK_MAX(yy - xy * xy / xx, 0) / n;
}

/*
 * The first step from which on the curve is about as straight as it ever gets: what comes before
 * came faster (a token bucket that was full) or more slowly (TCP's window and our pipeline had to
 * grow first). Steps smaller than `grain` bytes are as straight as can be.
 */
static int find_steady(const struct curve *curve, double grain)
{
    double rough[SK_RATE_START_MAX + 1], least = INFINITY;
    int start = 0;
    for (int i = 0; i <= SK_RATE_START_MAX; i++) {
        rough[i] = SK_MAX(roughness(curve, i), grain * grain);
        least = SK_MIN(least, rough[i]);
    }
    while (rough[start] > SK_RATE_ROUGH * least)
        start++;
    return start;
}

/* ---- slope and interval ---- */

struct slope {
    double bytes_s, weight;
};

static int compare_slopes(const void *a, const void *b)
{
    double x = ((const struct slope *)a)->bytes_s, y = ((const struct slope *)b)->bytes_s;
    return (x > y) - (x < y);
}

/* Median of the slopes between all pairs of the chosen steps, each weighing as much as the time
 * between. */
static double median_slope(const struct curve *curve, const int *steps, size_t n,
                           struct slope *slopes)
{
    size_t count = 0, i = 0;
    double weight = 0, below = 0;
    for (size_t b = 1; b < n; b++) {
        for (size_t a = 0; a < b; a++) {
            double dt = (steps[b] - steps[a]) * curve->step_s;
            double bytes = curve->bytes[steps[b]] - curve->bytes[steps[a]];
            slopes[count++] = (struct slope){bytes / dt, dt};
            weight += dt;
        }
    }
    qsort(slopes, count, sizeof *slopes, compare_slopes);
    while (i + 1 < count && 2 * (below + slopes[i].weight) < weight)
        below += slopes[i++].weight;
    return slopes[i].bytes_s;
}

/*
 * The slope from `start` on, in two passes. What a lost packet holds back is counted late, and so
 * is what comes in lumps; nothing is counted early. So the second pass takes the half of the steps
 * that lies on or above the first line. NAN without memory.
 */
static double upper_slope(const struct curve *curve, int start)
{
    enum { STEPS = SK_RATE_STEPS + 1 };
    int steps[STEPS];
    double above[STEPS], sorted[STEPS];
    size_t n = (size_t)(STEPS - start), kept = 0;
    struct slope *slopes = sk_mem_alloc(n * (n - 1) / 2 * sizeof *slopes);
    if (!slopes)
        return NAN;
    for (size_t i = 0; i < n; i++)
        steps[i] = start + (int)i;
    double slope = median_slope(curve, steps, n, slopes);
    for (size_t i = 0; i < n; i++)
        above[i] = sorted[i] = curve->bytes[steps[i]] - slope * (double)i * curve->step_s;
    qsort(sorted, n, sizeof *sorted, sk_order_doubles);
    for (size_t i = 0; i < n; i++)
        if (above[i] >= sorted[n / 2])
            steps[kept++] = steps[i];
    slope = median_slope(curve, steps, kept, slopes);
    sk_mem_free(slopes);
    return slope;
}

/* Half the width of a 95 % interval of the mean rate, from the long-run variance of what came in
 * the steps: the covariance with neighbours counts, weighing less with distance (Bartlett's kernel,
 * Newey and West 1987). */
static double half_width(const struct curve *curve, int start)
{
    static const double student_t = 2.306; /* 97.5 %, 8 degrees: about what the lags leave */
    int n = SK_RATE_STEPS - start, lags = n / 8;
    const double *bytes = curve->bytes + start;
    double mean = (bytes[n] - bytes[0]) / n, variance = 0;
    for (int lag = 0; lag <= lags; lag++) {
        double sum = 0;
        for (int i = lag; i < n; i++)
            sum += (bytes[i + 1] - bytes[i] - mean) * (bytes[i + 1 - lag] - bytes[i - lag] - mean);
        variance += (lag ? 2 : 1) * (1 - lag / (lags + 1.0)) * sum / n;
    }
    return student_t * sqrt(SK_MAX(variance, 0) / n) / curve->step_s;
}

static void estimate_slope(const struct sk_arrivals *arrivals, struct sk_rate_estimate *estimate)
{
    const struct sk_arrival *list = arrivals->list;
    uint32_t n = arrivals->count;
    struct curve curve;
    double all = (double)(list[n - 1].bytes - list[0].bytes);
    sample(list, n, &curve);
    int start = find_steady(&curve, all * SK_RATE_GRAIN);
    double rate = upper_slope(&curve, start);
    if (isnan(rate))
        return;
    estimate->span_s = (SK_RATE_STEPS - start) * curve.step_s;
    estimate->samples = 0;
    for (uint32_t i = 0; i < n; i++)
        estimate->samples += (double)(list[n - 1].at_ns - list[i].at_ns) / 1e9 <= estimate->span_s;
    /* One arrival more or less at the ends. */
    double least = all / ((double)n * arrivals->stride) / estimate->span_s;
    double half = fmax(half_width(&curve, start), least);
    estimate->rate = (struct sk_rate){rate, fmax(rate - half, 0), rate + half};
    estimate->how = "theil-sen";
}

void sk_rate_estimate(const struct sk_arrivals *arrivals, struct sk_rate_estimate *ret_estimate)
{
    struct sk_rate_estimate estimate = {.rate = SK_RATE_UNKNOWN,
                                        .gap_median_s = gap_median_s(arrivals),
                                        .how = arrivals->count ? "one arrival" : NULL};
    uint32_t n = estimate.samples = arrivals->count;
    const struct sk_arrival *list = arrivals->list;
    if (n >= 2) {
        uint64_t span = list[n - 1].at_ns - list[0].at_ns;
        estimate.span_s = (double)span / 1e9;
        if (n >= SK_RATE_SAMPLES_MIN && span >= SK_RATE_BURST_NS) {
            estimate_slope(arrivals, &estimate);
        } else if (span > 0) {
            estimate.rate.rate = (double)(list[n - 1].bytes - list[0].bytes) / estimate.span_s;
            estimate.how = "burst";
        }
    }
    *ret_estimate = estimate;
}
