#include "audit/evidence.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <math.h>
#include <stdlib.h>

double sk_evidence_counts(uint32_t said, uint32_t against, double fault)
{
    SK_ASSERT(against <= said && fault > 0 && fault < 1);
    /* The integral from `fault` to 1 is a tail of a beta distribution, so of a binomial one. */
    double term = 1 / (said + 1.0 - against), sum = term;
    for (uint32_t k = against; k > 0 && term < 1e300; k--) {
        term *= k * (1 - fault) / ((said + 2.0 - k) * fault);
        sum += term;
    }
    return sum;
}

/* The alternatives: so many times the mean. */
static const double times[] = {1.5, 2, 4, 8, 16, 32, 64};

double sk_evidence_events(double events, double mean)
{
    /* The likelihood ratio of a larger mean is a supermartingale under any smaller one. */
    double sum = 0;
    if (!(events > 0))
        events = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(times); i++)
        sum += exp(SK_MIN(events * log(times[i]) - (times[i] - 1) * mean, 700.0));
    return sum / SK_ARRAY_LEN(times);
}

double sk_evidence_events_most(double value, double mean)
{
    SK_ASSERT(value > 1);
    /* Where no ratio is above `value`, nor is their mean. */
    double most = INFINITY;
    for (size_t i = 0; i < SK_ARRAY_LEN(times); i++)
        most = SK_MIN(most, (log(value) + (times[i] - 1) * mean) / log(times[i]));
    return most;
}

double sk_evidence_deviation(double z)
{
    static const double means[] = {2, 3, 4, 6, 8};
    double sum = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(means); i++)
        sum += exp(SK_MIN(means[i] * (z - means[i] / 2), 700.0));
    return sum / SK_ARRAY_LEN(means);
}

double sk_evidence_doubted(double value, double doubt)
{
    return SK_MIN(value, 1 / doubt) / 2;
}

static int by_value(const void *a, const void *b, void *ctx)
{
    const double *values = ctx;
    double x = values[*(const uint32_t *)a], y = values[*(const uint32_t *)b];
    return (x < y) - (x > y);
}

void sk_evidence_discover(const double *values, uint32_t count, uint32_t *order, double *ret_rates)
{
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof *order, by_value, (void *)(uintptr_t)values);
    double least = 1;
    for (uint32_t k = count; k-- > 0;) {
        double value = values[order[k]];
        if (value > 0)
            least = SK_MIN(least, count / ((k + 1.0) * value));
        ret_rates[order[k]] = least;
    }
}
