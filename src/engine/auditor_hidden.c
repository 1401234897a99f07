/* Who was told by whom, and what that says about peers that are not known. */
#include "engine/auditor_internal.h"

#include "base/heap.h"

#include <math.h>

#define LISTED (SK_SOURCE_TRACKER | SK_SOURCE_PEX | SK_SOURCE_DHT)
/* The nodes that a look-up asks store the same announces, and a tracker may be asked at several
 * addresses: what one source tells twice within this time it tells once. */
#define SAME_ANSWER_NS (5 * SK_SECOND_NS)

void sk_auditor_told(struct sk_auditor *auditor, struct sk_record *record,
                     const struct sk_record *teller, const struct skep_event *event)
{
    if (!((unsigned)event->source & LISTED))
        return;
    auditor->answers += teller && !teller->pex_spoke;
    bool again = !teller && record->told && record->told_by == (unsigned)event->source &&
                 event->now_ns - record->told_ns < SAME_ANSWER_NS;
    record->told_by = event->source;
    record->told_ns = event->now_ns;
    if (again)
        return;
    if (record->told < 2)
        record->told_s[record->told] = sk_auditor_seconds(auditor, event->now_ns);
    record->told++;
}

void sk_auditor_keep_told(struct sk_record *moved, const struct sk_record *record)
{
    moved->told = record->told;
    moved->told_s[0] = record->told_s[0];
    moved->told_s[1] = record->told_s[1];
    moved->told_ns = record->told_ns;
    moved->told_by = record->told_by;
}

void sk_auditor_hidden(const struct sk_auditor *auditor, uint64_t now_ns,
                       struct sk_hidden *ret_hidden, uint32_t *ret_present)
{
    struct sk_census census;
    sk_census_init(&census, sk_auditor_seconds(auditor, now_ns), auditor->answers);
    for (size_t i = 0; i < auditor->count; i++) {
        const struct sk_record *record = auditor->records[i];
        const struct sk_report_peer *seen = &record->seen;
        if (seen->same_as.family)
            continue;
        double open_s = record->peer ? (double)(now_ns - record->opened_ns) / 1e9 : 0;
        sk_census_add(&census, &(struct sk_census_peer){
                                   .sources = seen->sources,
                                   .told = record->told,
                                   .told_s = {record->told_s[0], record->told_s[1]},
                                   .reached = record->opened_ns != 0,
                                   .left = record->left,
                                   .watched_s = seen->seen_s + open_s,
                               });
    }
    sk_census_estimate(&census, ret_hidden);
    if (ret_present)
        *ret_present = census.present;
}
