#include "audit/allowance.h"

#include "base/assert.h"
#include "base/heap.h"

bool sk_allowance_take(struct sk_allowance *allowance, uint32_t peers, uint32_t pieces,
                       size_t bytes, uint64_t now_ns)
{
    double round = peers * ((double)(pieces ? pieces : SK_ALLOWANCE_PIECES) + SK_ALLOWANCE_SPARE);
    double past_s = (double)(now_ns - SK_MIN(allowance->at_ns, now_ns)) / 1e9;
    double before = SK_MAX(allowance->rows - round * past_s / SK_ALLOWANCE_ROUND_S, 0.0);
    double rows = before + 1 + (double)(bytes / SK_ALLOWANCE_ROW_BYTES);
    if (rows > SK_ALLOWANCE_ROUNDS * round)
        return false;
    *allowance = (struct sk_allowance){rows, now_ns};
    return true;
}

/* Time is given back from the earlier of both on: rather too much than too little. */
void sk_allowance_join(struct sk_allowance *allowance, const struct sk_allowance *other)
{
    if (other->rows <= 0)
        return;
    allowance->at_ns = allowance->rows > 0 ? SK_MIN(allowance->at_ns, other->at_ns) : other->at_ns;
    allowance->rows += other->rows;
}
