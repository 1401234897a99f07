/* Uploaded, against what the flows between all peers say. */
#include "audit/evidence.h"
#include "audit/verdict_internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

#define HALF_Z 1.96
#define SD_LEAST 0.05     /* of the logarithm of an estimate, however narrow its interval */
#define NORMAL_MAD 1.4826 /* standard deviation over median absolute deviation */
#define HIGH_SHARE 0.95   /* a quantile, and how many standard deviations a normal one lies at */
#define HIGH_Z 1.645
#define SWARM_LEAST 10 /* peers, to learn from how far reports stray from the flows */

/* By how many of its standard errors the claim is above the flows' estimate, on a logarithmic
 * scale; NAN where there is none. What receivers may have gained unseen came from the peer in the
 * proportion in which the seen part did. */
static double deviation(const struct sk_judge *judge, uint32_t peer, double *ret_estimate)
{
    const struct sk_upload_bound *bound = &judge->config->uploads[peer];
    const struct sk_judge_upload *upload = &judge->uploads[peer];
    double piece = judge->timeline->piece_size;
    if (!isfinite(upload->dark) || !(bound->bytes > 0) || !(bound->high > bound->bytes) ||
        !(upload->told > 0) || !(upload->claimed > 0))
        return NAN;
    double scale = 1 + upload->dark / upload->told;
    *ret_estimate = bound->bytes * scale + upload->taken + piece;
    double sd = log((bound->high * scale + upload->taken + piece) / *ret_estimate) / HALF_Z;
    return log(upload->claimed / *ret_estimate) / SK_MAX(sd, SD_LEAST);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Where most reports lie among the deviations, and how far they stray: the flows' own error, as
 * long as most peers are honest. Sorts the list. */
static void learn(double *list, uint32_t count, double *ret_middle, double *ret_scale)
{
    *ret_middle = 0;
    *ret_scale = 1;
    if (count < SWARM_LEAST)
        return;
    qsort(list, count, sizeof *list, by_size);
    *ret_middle = list[count / 2];
    double high = (list[(uint32_t)(HIGH_SHARE * (count - 1))] - *ret_middle) / HIGH_Z;
    for (uint32_t i = 0; i < count; i++)
        list[i] = fabs(list[i] - *ret_middle);
    qsort(list, count, sizeof *list, by_size);
    *ret_scale = SK_MAX(SK_MAX(1.0, high), NORMAL_MAD * list[count / 2]);
}

int sk_judge_flows(struct sk_judge *judge)
{
    uint32_t peers = judge->timeline->peers_count, count = 0;
    double *list = sk_mem_alloc(((size_t)peers + 1) * sizeof *list);
    if (!list)
        return SKEP_ERR_NOMEM;
    double estimate, middle, scale;
    for (uint32_t i = 0; i < peers; i++) {
        double z = deviation(judge, i, &estimate);
        if (!isnan(z))
            list[count++] = z;
    }
    learn(list, count, &middle, &scale);
    sk_mem_free(list);
    for (uint32_t i = 0; i < peers; i++) {
        const struct sk_judge_upload *upload = &judge->uploads[i];
        struct sk_finding *finding = &judge->peers[i].findings[SK_CHECK_UPLOADED_FLOW];
        double z = (deviation(judge, i, &estimate) - middle) / scale;
        if (isnan(z))
            continue;
        finding->value = sk_evidence_deviation(z);
        sk_judge_note(finding, finding->value > 1 / SK_VERDICT_FAULT, upload->claimed, estimate,
                      upload->from_s, upload->until_s);
    }
    return 0;
}
