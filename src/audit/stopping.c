#include "audit/stopping.h"

#include "base/assert.h"

#include <math.h>
#include <stdio.h>

/* Whether some source may still bring something soon. */
static bool source_pending(const struct sk_stopping_input *in)
{
    if (in->trackers_waiting || in->dht_waiting || in->pex_waiting)
        return true;
    /* A second draw, where the trackers allow one soon; one alone proves nothing. */
    return in->tracker_repeats == 0 && in->next_draw_s < SK_STOPPING_PATIENCE_S;
}

/* The most that is hidden, as a share of the peers that can be reached; NAN unknown. */
static double hidden_share(const struct sk_stopping_input *in)
{
    return in->hidden_most / fmax(1, in->present + in->hidden_most);
}

/* Whether what is seen is enough, now that every source was heard. */
static enum sk_stopping_rule judge_seen(const struct sk_stopping_input *in)
{
    double share = hidden_share(in);
    if (share <= SK_STOPPING_SHARE)
        return SK_STOPPING_SEEN;
    bool is_crowd = !isnan(share) && in->present >= SK_STOPPING_CROWD;
    bool is_refuted = share > 3.0 / SK_STOPPING_DRAWS;
    if (in->old_run >= SK_STOPPING_DRAWS && !is_crowd && !is_refuted)
        return SK_STOPPING_DRAWS_OLD;
    return SK_STOPPING_GO_ON;
}

enum sk_stopping_rule sk_stopping_decide(const struct sk_stopping_input *in)
{
    if (in->watch_s > 0 && in->known && in->elapsed_s < in->watch_s)
        return SK_STOPPING_GO_ON;
    if (in->watch_s > 0 && in->known)
        return in->has_metadata ? SK_STOPPING_WATCHED : SK_STOPPING_NO_METADATA;
    if (in->unsettled)
        return SK_STOPPING_GO_ON;
    if (in->sources_off && in->known)
        return in->has_metadata ? SK_STOPPING_GIVEN_DONE : SK_STOPPING_NO_METADATA;
    /* Ten peers that tell the same list are no ten draws: who has not spoken yet may know others.
     */
    bool all_spoke = !in->trackers_waiting && !in->dht_waiting && !in->pex_waiting;
    enum sk_stopping_rule seen =
        in->known && in->has_metadata && all_spoke ? judge_seen(in) : SK_STOPPING_GO_ON;
    if (seen != SK_STOPPING_GO_ON)
        return seen;
    if (source_pending(in) || in->elapsed_s < in->linger_s || in->since_new_s < 1)
        return SK_STOPPING_GO_ON;
    if (!in->known)
        return SK_STOPPING_NOBODY;
    return in->has_metadata ? SK_STOPPING_EXHAUSTED : SK_STOPPING_NO_METADATA;
}

static void bound_text(const struct sk_stopping_input *in, char *ret_text, size_t size)
{
    if (!isnan(in->hidden_most))
        snprintf(ret_text, size,
                 "of the peers that can be reached at most %.2g %% are hidden (95 %%)",
                 100 * hidden_share(in));
    else if (in->old_run >= 4)
        snprintf(ret_text, size,
                 "the last %u addresses told were all known, so at most %.2g %% of what the "
                 "sources tell is unseen (95 %%)",
                 in->old_run, 300.0 / in->old_run);
    else
        snprintf(ret_text, size, "too few addresses were told twice to bound what is unseen");
}

char *sk_stopping_text(enum sk_stopping_rule rule, const struct sk_stopping_input *in,
                       char *ret_text, size_t size)
{
    static const char *const heads[] = {
        [SK_STOPPING_GO_ON] = "stopped before it was done",
        [SK_STOPPING_SEEN] = "every known peer is settled",
        [SK_STOPPING_DRAWS_OLD] = "every known peer is settled",
        [SK_STOPPING_EXHAUSTED] = "every known peer is settled and no source has more to tell",
        [SK_STOPPING_GIVEN_DONE] = "every given peer is settled, and no source was to be asked",
        [SK_STOPPING_WATCHED] = "the swarm was watched for as long as was asked",
        [SK_STOPPING_NOBODY] = "every source was asked and nobody knows a peer",
        [SK_STOPPING_NO_METADATA] = "every known peer is settled and none gave the metadata",
    };
    char bound[200];
    bound_text(in, bound, sizeof bound);
    bool bounded = rule == SK_STOPPING_SEEN || rule == SK_STOPPING_DRAWS_OLD ||
                   rule == SK_STOPPING_EXHAUSTED || rule == SK_STOPPING_WATCHED;
    snprintf(ret_text, size, bounded ? "%s; %s" : "%s", heads[rule], bound);
    return ret_text;
}
