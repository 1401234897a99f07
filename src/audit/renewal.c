#include "audit/renewal.h"

#include "base/assert.h"
#include "base/heap.h"

void sk_renewal_opened(struct sk_renewal *renewal, uint64_t now_ns)
{
    renewal->told_ns = now_ns;
    renewal->shown = 0;
}

void sk_renewal_told(struct sk_renewal *renewal, uint32_t pieces, uint64_t now_ns)
{
    if (pieces > renewal->shown)
        renewal->told_ns = now_ns;
    renewal->shown = pieces;
    if (pieces <= renewal->most)
        return;
    renewal->most = pieces;
    renewal->vain = 0;
}

void sk_renewal_begun(struct sk_renewal *renewal)
{
    renewal->count++;
    renewal->vain++;
}

uint64_t sk_renewal_due(const struct sk_renewal *renewal)
{
    uint32_t doublings = renewal->vain + renewal->count / SK_RENEWAL_ROUND;
    if (renewal->count >= SK_RENEWALS_MAX)
        return UINT64_MAX;
    return renewal->told_ns +
           (SK_RENEWAL_SILENCE_NS << SK_MIN(doublings, (uint32_t)SK_RENEWAL_DOUBLINGS));
}
