#include "audit/coverage.h"

#include <math.h>

void sk_coverage_draw(struct sk_coverage *coverage, enum sk_source source, bool is_new,
                      uint64_t now_ns)
{
    unsigned index = (unsigned)__builtin_ctz(source);
    coverage->draws[index]++;
    /* What the user gave and who connected by himself are no draws from the swarm. */
    bool draw = source != SK_SOURCE_GIVEN && source != SK_SOURCE_INCOMING;
    if (is_new) {
        coverage->fresh[index]++;
        coverage->old_run = 0;
        coverage->last_new_ns = now_ns;
    } else if (draw) {
        coverage->old_run++;
    }
}

double sk_coverage_unseen_max(const struct sk_coverage *coverage)
{
    if (!coverage->old_run)
        return NAN;
    return fmin(1.0, 3.0 / coverage->old_run);
}
