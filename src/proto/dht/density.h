/*
 * How many nodes there are, from a count of those in some zones of the id space.
 * Layer: proto/dht. Pure: statistics only. size.h makes the counts and says where this is from.
 *
 * Given n live nodes counted in zones that make up the share f of the id space:
 *
 *   never told   Nodes of whom nobody asked told. From how many were told of by one node and by two
 *                (f1, f2), Chao's lower bound in its bias-corrected form: f1 (f1 - 1) / 2 (f2 + 1),
 *                less those told of by nobody whom we knew from elsewhere.
 *   lost         Nodes that are known but whose every query or answer was lost. Of the live ones a
 *                share q misses each try; q follows from who answered at which try, and of those
 *                that answered within r tries there are n q^r / (1 - q^r) more.
 *   estimate     (n + never told + lost) / f. Zones that stand out (ids gathered in one place, a
 *                zone that could not be entered) are no sample of the rest: what was counted in a
 *                crowded one is added as it is, an empty one is left out, and f is that of the
 *                others.
 *   interval     95 %, whole nodes. Variance of n given the size: binomial, n (1 - f), times the
 *                dispersion of the zones' counts (chi squared over its degrees of freedom), but no
 *                less than 1.25, by Student's quantile: when to stop counting is decided by this
 *                interval, which by itself would favour counts that look even. To it come the
 *                variances of both corrections; with f = 1 they are all that is left. The unseen
 *                are log-normal above (Chao 1987) and may be none below: never fewer nodes are
 *                claimed than were counted.
 */
#ifndef SK_PROTO_DHT_DENSITY_H
#define SK_PROTO_DHT_DENSITY_H

#include <stddef.h>
#include <stdint.h>

#define SK_DHT_DENSITY_TRIES 3

struct sk_dht_density {
    unsigned zone_bits;     /* 0: one zone, everything */
    const uint32_t *counts; /* live nodes in each zone that was counted */
    uint32_t zones;
    uint64_t told_never, told_once, told_twice; /* of all those live nodes */
    uint64_t answered[SK_DHT_DENSITY_TRIES];    /* ... by the try that they answered at */
    unsigned tries;                             /* that silent ones had */
};

struct sk_dht_density_estimate {
    double estimate, low, high;
    double unseen;     /* share of the estimate that is correction for nodes not seen */
    double dispersion; /* of the zones' counts; 1: as by chance */
    uint32_t left_out; /* zones that stood out */
};

/* counts are not changed; `scratch` has room for as many. With nothing counted the estimate is 0
 * and its upper limit what three nodes expected would mean (none seen: 95 %). */
void sk_dht_density_estimate(const struct sk_dht_density *density, uint32_t *scratch,
                             struct sk_dht_density_estimate *ret_estimate);
/*
 * A first guess from lookups: distances (0 to 1, of the whole space) of the k-th nearest nodes to
 * random ids, sorted here. The median stands firm when fewer than half are forged.
 */
double sk_dht_density_guess(double *distances, size_t count, unsigned k);
/* How many nodes must be counted of so many for the 95 % interval to reach `precision` either way
 * (as a share of the estimate): 1.25 z^2 / p^2, less what counting a good part of them saves. */
double sk_dht_density_needed(double nodes, double precision);

#endif
