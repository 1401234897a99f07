#include "audit/census.h"

#include "swarm/source.h"

#define LISTED (SK_SOURCE_TRACKER | SK_SOURCE_PEX | SK_SOURCE_DHT)
#define GAPS_MIN 10 /* gaps that a mean is made of */
/* Share of the newcomers that the table does not show. Where all ages are alike as many are told
 * once, twice and never, so that Chao's f1^2 / 2 f2 finds half of those never told; of log-linear
 * models the same was measured (docs/MEASURING.md). */
#define NEWCOMERS_UNSEEN 0.5

/* The set of sources is the number of the cell. */
_Static_assert(LISTED == 7, "the first three sources are the lists");

void sk_census_init(struct sk_census *census, double now_s, uint32_t answers)
{
    *census = (struct sk_census){.now_s = now_s, .table = {.lists = 3, .draws = answers}};
}

static void add_gap(struct sk_census *census, const struct sk_census_peer *peer)
{
    unsigned half = peer->told_s[0] > census->now_s / 2;
    double until_s = peer->told > 1 ? peer->told_s[1] : census->now_s;
    census->gaps_s[half] += until_s - peer->told_s[0];
    census->gaps_count[half] += peer->told > 1;
}

void sk_census_add(struct sk_census *census, const struct sk_census_peer *peer)
{
    if (!peer->reached)
        return;
    census->watched_s += peer->watched_s;
    census->left += peer->left;
    if (peer->left)
        return;
    census->present++;
    census->table.cells[peer->sources & LISTED]++;
    census->table.once += peer->told == 1;
    census->table.twice += peer->told == 2;
    if (peer->told)
        add_gap(census, peer);
}

double sk_census_newcomers(const struct sk_census *census)
{
    /* Sources may have become faster since the beginning: the later gaps, where there are enough.
     */
    bool late = census->gaps_count[1] >= GAPS_MIN;
    double gaps_s = census->gaps_s[1] + (late ? 0 : census->gaps_s[0]);
    uint32_t count = census->gaps_count[1] + (late ? 0 : census->gaps_count[0]);
    if (!census->left)
        return 0;
    if (!count || census->watched_s <= 0)
        return NAN;
    return census->left / census->watched_s * census->present * gaps_s / count;
}

void sk_census_estimate(const struct sk_census *census, struct sk_hidden *ret_hidden)
{
    struct sk_hidden hidden;
    sk_hidden_estimate(&census->table, &hidden);
    double newcomers = sk_census_newcomers(census), late = NEWCOMERS_UNSEEN * newcomers;
    /* A bound stays one without them. */
    if (!isnan(hidden.high)) {
        hidden.estimate += late;
        hidden.low += late;
        hidden.high += late;
        hidden.most += newcomers; /* not the half of them: whoever stops by it must be sure */
    }
    *ret_hidden = isnan(hidden.estimate) ? SK_HIDDEN_UNKNOWN : hidden;
}
