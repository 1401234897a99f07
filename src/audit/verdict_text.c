/* Verdicts in words. */
#include "audit/verdict_internal.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MB 1e6

struct words {
    const char *name, *claim, *evidence, *ruled_out;
};

static const struct words checks[] = {
    [SK_CHECK_DOWNLOADED_LESS] = {"downloaded-less", "downloaded",
                                  "at least, of pieces that it told to have gained",
                                  "a restart that nobody reported (it ended no connection of "
                                  "ours), pieces under way, clocks, "
                                  "announces sent again, waste (would add)"},
    [SK_CHECK_DOWNLOADED_MORE] =
        {"downloaded-more", "downloaded",
         "at most: the pieces gained, by what it told and by what it says to lack, and waste",
         "waste and hash failures, suppressed HAVEs (left would fall), restarts, clocks"},
    [SK_CHECK_LEFT_MORE] =
        {"left-more", "left", "at most: it told us that it holds the other pieces",
         "clocks, announces sent again, pieces lost, pieces under way (left would be "
         "less)"},
    [SK_CHECK_LEFT_LESS] =
        {"left-less", "left", "at least: pieces that it gained later, or never told to hold",
         "super-seeding, lazy bitfields, suppressed HAVEs, a choice of files, clocks"},
    [SK_CHECK_UPLOADED_CAPACITY] =
        {"uploaded-capacity", "uploaded", "at most, by the measured capacity of its line",
         "error of the measurement, clocks, buffers, announces that got lost"},
    [SK_CHECK_UPLOADED_GAINS] = {"uploaded-gains", "uploaded",
                                 "at most: all that others gained of what it held",
                                 "receivers that we did not see, pieces under way, waste, clocks"},
    [SK_CHECK_UPLOADED_FLOW] =
        {"uploaded-flow", "uploaded", "by the flows between all peers",
         "the flows' interval, widened by how far the swarm's other reports stray from them"},
};
_Static_assert(SK_ARRAY_LEN(checks) == SK_CHECK_COUNT, "every check has its words");

static const struct {
    const char *name, *words;
} whys[] = {
    [SK_WHY_NONE] = {"none", ""},
    [SK_WHY_FEW] = {"few", "it announced less than twice"},
    [SK_WHY_NO_METADATA] = {"metadata", "the torrent's metadata was never had"},
    [SK_WHY_UNWATCHED] = {"unwatched", "we were not connected to it when it announced"},
    [SK_WHY_SILENT] = {"silent", "it does not tell what it gains"},
    [SK_WHY_WEAK] = {"weak", "too little contradicts to rule out an accident"},
    [SK_WHY_NEIGHBOUR] = {"neighbour", "it may have uploaded to a client behind its own address of "
                                       "whom only the tracker's log knows"},
    [SK_WHY_LOOSE] = {"loose", "it may have uploaded more than twice as much"},
};
_Static_assert(SK_ARRAY_LEN(whys) == SK_WHY_COUNT, "every reason has its words");

const char *sk_verdict_check_name(enum sk_verdict_check check)
{
    SK_ASSERT((unsigned)check < SK_CHECK_COUNT);
    return checks[check].name;
}

const char *sk_verdict_why_name(enum sk_verdict_why why)
{
    SK_ASSERT((unsigned)why < SK_WHY_COUNT);
    return whys[why].name;
}

const char *sk_verdict_why_words(const char *name)
{
    for (size_t i = SK_WHY_NONE + 1; i < SK_WHY_COUNT; i++)
        if (strcmp(whys[i].name, name) == 0)
            return whys[i].words;
    return NULL;
}

static void write_claim(const struct words *words, const struct sk_finding *finding,
                        struct sk_verdict *verdict)
{
    snprintf(verdict->claim, sizeof verdict->claim, "%s %.1f MB from %.0f s to %.0f s",
             words->claim, finding->claimed / MB, finding->from_s, finding->until_s);
    snprintf(verdict->evidence, sizeof verdict->evidence,
             "%.1f MB %s; %u of %u announces contradict", finding->allowed / MB, words->evidence,
             finding->against, finding->said);
    verdict->ruled_out = words->ruled_out;
}

void sk_verdict_write(const struct sk_verdicts *verdicts, uint32_t index,
                      struct sk_verdict *ret_verdict)
{
    SK_ASSERT(index < verdicts->count);
    const struct sk_verdict_peer *peer = &verdicts->peers[index];
    *ret_verdict = (struct sk_verdict){
        .result = peer->result, .error_rate = NAN, .announces = peer->announces};
    if (peer->result == SK_VERDICT_NONE)
        return;
    if (peer->result == SK_VERDICT_FALSE_REPORT) {
        write_claim(&checks[peer->check], &peer->findings[peer->check], ret_verdict);
        ret_verdict->error_rate = peer->rate;
        return;
    }
    if (peer->why)
        ret_verdict->why = sk_verdict_why_name(peer->why);
    snprintf(ret_verdict->claim, sizeof ret_verdict->claim, "uploaded %.1f MB in %u announces",
             (isnan(peer->claimed_up) ? 0 : peer->claimed_up) / MB, peer->announces);
    if (peer->why == SK_WHY_LOOSE && isfinite(peer->allowed_up))
        snprintf(ret_verdict->evidence, sizeof ret_verdict->evidence, "%s: at most %.1f MB",
                 whys[peer->why].words, peer->allowed_up / MB);
    else
        snprintf(ret_verdict->evidence, sizeof ret_verdict->evidence, "%s", whys[peer->why].words);
}
