#include "audit/rules.h"

#include "base/mem.h"

#include <skep/err.h>

#include <math.h>
#include <stdlib.h>

struct claim {
    uint32_t peer;
    double uploaded, downloaded;
};

static double grown(uint64_t from, uint64_t to)
{
    if (from == SK_ANNOUNCE_UNKNOWN || to == SK_ANNOUNCE_UNKNOWN)
        return 0;
    return to >= from ? (double)(to - from) : (double)to;
}

/* When somebody who lacked something was last there, and the one other than him. */
static void find_lacking(const struct sk_reports *reports, uint32_t peers, double *from_s,
                         double *until_s)
{
    for (uint32_t peer = 0; peer < peers; peer++) {
        from_s[peer] = INFINITY;
        until_s[peer] = -INFINITY;
        for (uint32_t i = reports->begins[peer]; i < reports->begins[peer + 1]; i++) {
            if (reports->lines[i].left == 0)
                continue;
            from_s[peer] = fmin(from_s[peer], reports->lines[i].at_s);
            /* Until its next announce it lacked it still. */
            until_s[peer] =
                i + 1 < reports->begins[peer + 1] ? reports->lines[i + 1].at_s : INFINITY;
        }
    }
}

static bool is_empty(uint32_t peers, const double *from_s, const double *until_s, uint32_t but,
                     double a_s, double b_s)
{
    for (uint32_t i = 0; i < peers; i++)
        if (i != but && from_s[i] <= b_s && until_s[i] >= a_s)
            return false;
    return true;
}

static int by_uploaded(const void *a, const void *b)
{
    double x = ((const struct claim *)a)->uploaded, y = ((const struct claim *)b)->uploaded;
    return (x < y) - (x > y);
}

static void judge_sum(struct claim *claims, uint32_t peers, double share, unsigned *rules)
{
    double up = 0, down = 0;
    for (uint32_t i = 0; i < peers; i++) {
        up += claims[i].uploaded;
        down += claims[i].downloaded;
    }
    qsort(claims, peers, sizeof *claims, by_uploaded);
    for (uint32_t i = 0; i < peers && up > down * (1 + share); i++) {
        rules[claims[i].peer] |= SK_RULE_SUM;
        up -= claims[i].uploaded;
    }
}

int sk_rules_judge(const struct sk_reports *reports, uint32_t peers,
                   const struct sk_rules_config *config, unsigned *ret_rules)
{
    struct claim *claims = sk_mem_calloc((size_t)peers + 1, sizeof *claims);
    double *from_s = sk_mem_alloc(2 * ((size_t)peers + 1) * sizeof *from_s);
    int err = claims && from_s ? 0 : SKEP_ERR_NOMEM;
    if (!err)
        find_lacking(reports, peers, from_s, from_s + peers);
    for (uint32_t peer = 0; peer < peers && !err; peer++) {
        ret_rules[peer] = 0;
        claims[peer].peer = peer;
        for (uint32_t i = reports->begins[peer] + 1; i < reports->begins[peer + 1]; i++) {
            const struct sk_reports_line *a = &reports->lines[i - 1], *b = a + 1;
            double up = grown(a->uploaded, b->uploaded);
            claims[peer].uploaded += up;
            claims[peer].downloaded += grown(a->downloaded, b->downloaded);
            if (up > config->cap_bytes_s * (b->at_s - a->at_s) && up > config->cap_bytes_s)
                ret_rules[peer] |= SK_RULE_SPEED;
            if (up > 0 && is_empty(peers, from_s, from_s + peers, peer, a->at_s, b->at_s))
                ret_rules[peer] |= SK_RULE_EMPTY;
        }
    }
    if (!err)
        judge_sum(claims, peers, config->sum_share, ret_rules);
    sk_mem_free(claims);
    sk_mem_free(from_s);
    return err;
}
