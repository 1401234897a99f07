#include "proto/dht/density.h"

#include "base/assert.h"
#include "base/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.96
#define OUTLIER 4.5 /* standard deviations from the median */
#define MAD_TO_SD 1.4826
#define FEW 9               /* nodes; fewer name each other in each answer */
#define ZONES_MIN 8         /* fewer say nothing about which stand out */
#define DISPERSION_MIN 1.25 /* a few dozen zones that differ less are no proof of evenness */

static double median_u32(uint32_t *values, uint32_t count)
{
    qsort(values, count, sizeof *values, sk_order_u32);
    return (values[(count - 1) / 2] + (double)values[count / 2]) / 2;
}

/* What a zone may hold without standing out. */
struct range {
    double low, high;
};

static struct range usual(const struct sk_dht_density *density, uint32_t *scratch)
{
    if (density->zones < ZONES_MIN)
        return (struct range){0, INFINITY};
    memcpy(scratch, density->counts, density->zones * sizeof *scratch);
    double median = median_u32(scratch, density->zones);
    for (uint32_t i = 0; i < density->zones; i++)
        scratch[i] = (uint32_t)fabs(round(density->counts[i] - median));
    double spread = MAD_TO_SD * median_u32(scratch, density->zones);
    double sd = fmax(spread, sqrt(median));
    /* The tail of small counts is heavier above: hence the square root's own step. */
    return (struct range){median - OUTLIER * sd, median + OUTLIER * sd + OUTLIER};
}

/* The zones that serve as a sample, and what was counted in crowded ones. */
struct sample {
    double nodes, extra, share, extra_share, dispersion;
    uint32_t zones;
};

static struct sample take_sample(const struct sk_dht_density *density, uint32_t *scratch)
{
    struct range range = usual(density, scratch);
    struct sample sample = {.dispersion = 1};
    double squares = 0, zone = ldexp(1, -(int)density->zone_bits);
    for (uint32_t i = 0; i < density->zones; i++) {
        double count = density->counts[i];
        if (count > range.high) {
            sample.extra += count;
            sample.extra_share += zone;
        } else if (count >= range.low) {
            sample.nodes += count;
            squares += count * count;
            sample.share += zone;
            sample.zones++;
        }
    }
    double mean = sample.zones ? sample.nodes / sample.zones : 0;
    if (sample.zones > 1 && mean > 0) {
        double variance = (squares - mean * sample.nodes) / (sample.zones - 1);
        sample.dispersion = variance / (mean * (1 - zone));
    }
    return sample;
}

/* Student's quantile: the dispersion is an estimate too. */
static double quantile(uint32_t zones)
{
    return zones > 1 ? Z95 + (Z95 * Z95 * Z95 + Z95) / (4.0 * (zones - 1)) : Z95;
}

struct part {
    double value, variance;
};

static struct part never_told(const struct sk_dht_density *density, double counted)
{
    double once = (double)density->told_once, more = (double)density->told_twice + 1;
    struct part part = {.value = once > 0 ? once * (once - 1) / (2 * more) : 0};
    part.value = fmax(0, part.value - (double)density->told_never);
    /* Everybody is told of by many, or there are not so many who could tell. */
    if (counted < FEW || (!density->told_once && !density->told_twice))
        return (struct part){0, 0};
    /* As if one more had been told of once, so that finding none is no certainty. */
    once++;
    double pairs = once * (once - 1);
    part.variance = pairs / (2 * more) +
                    once * (2 * once - 1) * (2 * once - 1) / (4 * more * more) +
                    pairs * pairs * (more - 1) / (4 * more * more * more * more);
    return part;
}

static struct part lost(const struct sk_dht_density *density)
{
    const uint64_t *answered = density->answered;
    double all = 0, but_first, but_last;
    unsigned tries = SK_MIN(density->tries, SK_DHT_DENSITY_TRIES);
    for (unsigned i = 0; i < tries; i++)
        all += (double)answered[i];
    but_first = tries ? all - (double)answered[0] : 0;
    but_last = tries ? all - (double)answered[tries - 1] : 0;
    if (tries < 2 || but_last <= 0)
        return (struct part){0, 0};
    double q = fmin(but_first / but_last, 0.9), miss = pow(q, tries);
    double slope = all * tries * pow(q, tries - 1) / ((1 - miss) * (1 - miss));
    struct part part = {.value = all * miss / (1 - miss)};
    /* By chance, given q; and because q is an estimate. */
    part.variance = part.value + slope * slope * q * (1 + q) * (1 + q) / all;
    return part;
}

void sk_dht_density_estimate(const struct sk_dht_density *density, uint32_t *scratch,
                             struct sk_dht_density_estimate *ret_estimate)
{
    struct sample sample = take_sample(density, scratch);
    struct sk_dht_density_estimate estimate = {
        .dispersion = sample.dispersion,
        .left_out = density->zones - sample.zones,
    };
    double counted = sample.nodes + sample.extra;
    if (counted <= 0) {
        estimate.high = sample.share > 0 && sample.share < 1 ? 3 / sample.share : 0;
        *ret_estimate = estimate;
        return;
    }
    struct part told = never_told(density, counted), silent = lost(density);
    double unseen = told.value + silent.value, variance = told.variance + silent.variance;
    double raise = 1 + unseen / counted;
    /* The crowded zones stand for themselves; the others for all the rest of the space. */
    double scale = sample.share > 0 ? (1 - sample.extra_share) / sample.share : 0;
    estimate.estimate = (sample.nodes * scale + sample.extra) * raise;
    double f = sample.share / (1 - sample.extra_share);
    double sampling = sample.nodes * fmax(0, 1 - f) * fmax(DISPERSION_MIN, sample.dispersion);
    double per_node = estimate.estimate / counted / raise;
    double half = quantile(sample.zones) * sqrt(sampling) * scale * raise;
    double below = fmin(unseen, Z95 * sqrt(variance)) * per_node;
    double above = Z95 * sqrt(variance) * per_node;
    if (unseen > 0)
        above = unseen * (exp(Z95 * sqrt(log1p(variance / (unseen * unseen)))) - 1) * per_node;
    double low = estimate.estimate - sqrt(half * half + below * below);
    estimate.low = fmax(counted, floor(low));
    estimate.high = ceil(estimate.estimate + sqrt(half * half + above * above));
    estimate.unseen = unseen * per_node / estimate.estimate;
    *ret_estimate = estimate;
}

double sk_dht_density_guess(double *distances, size_t count, unsigned k)
{
    if (!count)
        return 0;
    qsort(distances, count, sizeof *distances, sk_order_doubles);
    double median = (distances[(count - 1) / 2] + distances[count / 2]) / 2;
    /* The distance times the number of nodes is gamma distributed with shape k: its median. */
    return median > 0 ? (k - 1.0 / 3) / median : 0;
}

double sk_dht_density_needed(double nodes, double precision)
{
    double many = DISPERSION_MIN * Z95 * Z95 / (precision * precision);
    return nodes * many / (nodes + many);
}
