/*
 * How strictly clients take the rarest first: the chance that they take the r-th rarest of what
 * they could have of a source, f(r), constant over classes of ranks (0, 1, 2-3, 4-7, ...), by
 * expectation maximisation over a sample of the gains. A piece that ties with others is as likely
 * as each of them; a source with little to offer has its f cut off and normed.
 */
#include "audit/flow_internal.h"

#include <math.h>

#define CLASSES 14
#define RANKS (1u << (CLASSES - 1))
#define SAMPLE 20000
#define ROUNDS 10

static double class_size(uint32_t class)
{
    return class ? (double)(1u << (class - 1)) : 1;
}

/* Probability of ranks below `rank`. */
static double below(const double *f, double rank)
{
    double sum = 0, from = 0;
    for (uint32_t c = 0; c < CLASSES && from < rank; c++) {
        double size = class_size(c);
        sum += f[c] * fmin(size, rank - from);
        from += size;
    }
    return sum;
}

static void set_chances(struct sk_flow_world *world, const double *f)
{
    world->chance[0] = 0;
    for (uint32_t c = 1; c < SK_FLOW_CHOICES; c++) {
        struct sk_flow_choice it = sk_flow_choice((uint8_t)c);
        double taken = below(f, it.rank + it.ties) - below(f, it.rank);
        world->chance[c] = (float)(taken / it.ties / below(f, it.offer));
    }
}

/* Adds a gain of that choice, `weight` of it, to the classes of the ranks it can have had. */
static void count(const double *f, uint8_t choice, double weight, double *counts)
{
    struct sk_flow_choice it = sk_flow_choice(choice);
    double end = it.rank + it.ties, all = below(f, end) - below(f, it.rank), from = 0;
    for (uint32_t c = 0; c < CLASSES && from < end; c++) {
        double to = from + class_size(c), inside = fmin(to, end) - fmax(from, it.rank);
        if (inside > 0)
            counts[c] += weight * f[c] * inside / all;
        from = to;
    }
}

static void add_gain(const struct sk_flow_world *world, const double *f, uint32_t to, uint32_t gain,
                     double *counts)
{
    const uint8_t *row = sk_flow_row(world, to, gain);
    const struct sk_flow_pair *pairs = world->pairs + world->incoming[to];
    uint32_t width = world->incoming[to + 1] - world->incoming[to];
    double sum = 0;
    for (uint32_t k = 0; k < width; k++)
        sum += world->capacity_bytes_s[pairs[k].from] * world->chance[row[k]];
    for (uint32_t k = 0; k < width && sum > 0; k++) {
        double weight = world->capacity_bytes_s[pairs[k].from] * world->chance[row[k]] / sum;
        if (row[k] && !world->blind[pairs[k].from] && weight > 1e-6)
            count(f, row[k], weight, counts);
    }
}

void sk_flow_learn_chances(struct sk_flow_world *world)
{
    double f[CLASSES];
    uint32_t step = world->gains_of[world->peers] / SAMPLE + 1;
    for (uint32_t c = 0; c < CLASSES; c++)
        f[c] = 1.0 / RANKS;
    set_chances(world, f);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        double counts[CLASSES], sum = 0;
        for (uint32_t c = 0; c < CLASSES; c++)
            counts[c] = 0.1;
        for (uint32_t to = 0; to < world->peers; to++) {
            uint32_t gain = (world->gains_of[to] + step - 1) / step * step;
            for (; gain < world->gains_of[to + 1]; gain += step)
                add_gain(world, f, to, gain, counts);
        }
        for (uint32_t c = 0; c < CLASSES; c++)
            sum += counts[c];
        for (uint32_t c = 0; c < CLASSES; c++)
            f[c] = counts[c] / sum / class_size(c);
        set_chances(world, f);
    }
}
