/*
 * A token bucket: a rate that is kept exactly in the long run, with bursts of at most a tenth of a
 * second. It may go into debt by what was taken last; nothing more is given until that is paid.
 * Layer: base. Times are monotonic ns.
 */
#ifndef SK_BASE_BUCKET_H
#define SK_BASE_BUCKET_H

#include "base/assert.h"

#include <stdbool.h>
#include <stdint.h>

#define SK_BUCKET_BURST_S 0.1

struct sk_bucket {
    double rate; /* tokens a second; 0 = no limit */
    double tokens;
    uint64_t at_ns;
};

static inline void sk_bucket_init(struct sk_bucket *bucket, double rate, uint64_t now_ns)
{
    *bucket = (struct sk_bucket){.rate = rate, .at_ns = now_ns};
}

/* Whether something may be taken now. */
static inline bool sk_bucket_open(struct sk_bucket *bucket, uint64_t now_ns)
{
    if (bucket->rate <= 0)
        return true;
    double elapsed_s = (double)(now_ns - bucket->at_ns) / 1e9;
    bucket->tokens =
        SK_MIN(bucket->tokens + elapsed_s * bucket->rate, bucket->rate * SK_BUCKET_BURST_S);
    bucket->at_ns = now_ns;
    return bucket->tokens >= 0;
}

static inline void sk_bucket_take(struct sk_bucket *bucket, double tokens)
{
    if (bucket->rate > 0)
        bucket->tokens -= tokens;
}

/* When it is open again, as it stands. */
static inline uint64_t sk_bucket_opens_ns(const struct sk_bucket *bucket)
{
    double wait_s = bucket->tokens < 0 ? -bucket->tokens / bucket->rate : 0;
    return bucket->at_ns + (uint64_t)(wait_s * 1e9) + 1;
}

#endif
