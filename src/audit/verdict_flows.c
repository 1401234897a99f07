/* Uploaded, against what the flows between all peers say. */
#include "audit/evidence.h"
#include "audit/verdict_internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/order.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

#define HALF_Z 1.96
#define SD_LEAST 0.05     /* of the logarithm of an estimate, however narrow its interval */
#define NORMAL_MAD 1.4826 /* standard deviation over median absolute deviation */
#define HIGH_SHARE 0.95   /* a quantile, and how many standard deviations a normal one lies at */
#define HIGH_Z 1.645
#define SCALE_MOST 1.5 /* of what a peer gave, over what was seen of it, to clear it */
#define SWARM_LEAST 10 /* peers, to learn from how far reports stray from the flows */

/* What the flows say that a peer gave, beside its claim. */
struct beside {
    double estimate; /* bytes */
    double sd;       /* of its logarithm */
    double z;        /* how far the claim is above, in these; NAN: no estimate */
    double scale;    /* the estimate over what was seen */
};

/* What receivers may have gained unseen came from the peer in the proportion in which the seen part
 * did. Who hides what it holds is not known to have had what others gained: no estimate. */
static struct beside compare(const struct sk_judge *judge, uint32_t peer)
{
    const struct sk_upload_bound *bound = &judge->config->uploads[peer];
    const struct sk_judge_upload *upload = &judge->uploads[peer];
    double more = upload->taken + judge->timeline->piece_size;
    if (!judge->tells[peer] || !isfinite(upload->dark) || !(bound->bytes > 0) ||
        !(bound->high > bound->bytes) || !(upload->told > 0) || !(upload->claimed > 0))
        return (struct beside){.z = NAN};
    struct beside beside = {.scale = 1 + upload->dark / upload->told};
    beside.estimate = bound->bytes * beside.scale + more;
    beside.sd = log((bound->high * beside.scale + more) / beside.estimate) / HALF_Z;
    beside.sd = SK_MAX(beside.sd, SD_LEAST);
    beside.z = log(upload->claimed / beside.estimate) / beside.sd;
    return beside;
}

/* Where most reports lie among the deviations, and how far they stray: the flows' own error, as
 * long as most peers are honest. */
struct error {
    double middle;
    double stray; /* of the middle half of them */
    double most;  /* with those that stray most */
    bool learned;
};

/* Sorts the list. */
static struct error learn(double *list, uint32_t count)
{
    struct error error = {.stray = 1, .most = 1};
    if (count < SWARM_LEAST)
        return error;
    qsort(list, count, sizeof *list, sk_order_doubles);
    error.middle = list[count / 2];
    double high = (list[(uint32_t)(HIGH_SHARE * (count - 1))] - error.middle) / HIGH_Z;
    for (uint32_t i = 0; i < count; i++)
        list[i] = fabs(list[i] - error.middle);
    qsort(list, count, sizeof *list, sk_order_doubles);
    error.stray = NORMAL_MAD * list[count / 2];
    error.most = SK_MAX(SK_MAX(high, error.stray), 1.0);
    error.learned = true;
    return error;
}

static void judge_claim(struct sk_judge *judge, uint32_t index, const struct error *error)
{
    const struct sk_judge_upload *upload = &judge->uploads[index];
    struct sk_verdict_peer *peer = &judge->peers[index];
    struct sk_finding *finding = &peer->findings[SK_CHECK_UPLOADED_FLOW];
    struct beside beside = compare(judge, index);
    if (isnan(beside.z))
        return;
    /* To doubt somebody, the flows are not taken to be better than they say of themselves. */
    finding->value = sk_evidence_deviation((beside.z - error->middle) / error->most);
    sk_judge_note(finding, finding->value > 1 / SK_VERDICT_FAULT, upload->claimed, beside.estimate,
                  upload->from_s, upload->until_s);
    /* To clear somebody, as good as most reports show them to be, where most was seen. */
    double above = (error->middle + HALF_Z * error->stray) * beside.sd;
    if (error->learned && beside.scale < SCALE_MOST && upload->claimed == peer->claimed_up)
        peer->allowed_up = SK_MIN(peer->allowed_up, beside.estimate * exp(above));
}

int sk_judge_flows(struct sk_judge *judge)
{
    uint32_t peers = judge->timeline->peers_count, count = 0;
    double *list = sk_mem_alloc(((size_t)peers + 1) * sizeof *list);
    if (!list)
        return SKEP_ERR_NOMEM;
    for (uint32_t i = 0; i < peers; i++) {
        double z = compare(judge, i).z;
        if (!isnan(z))
            list[count++] = z;
    }
    struct error error = learn(list, count);
    sk_mem_free(list);
    for (uint32_t i = 0; i < peers; i++)
        judge_claim(judge, i, &error);
    return 0;
}
