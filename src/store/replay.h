/*
 * An audit out of its file (store/report_sqlite.h): its report as it was written, and its
 * observations in their order, for whoever infers from them anew. Layer: store.
 *
 *   open -> report, observe ... -> close
 *
 * What was measured (rates, shares, failures, claims) comes from the tables that the audit wrote at
 * its end. What is inferred is there as it was inferred then; audit/timeline.h makes the same of
 * the replayed observations as of the live ones, and what reads it comes to the same figures.
 *
 * Files of every version are read. In an anonymized audit each pseudonym has an endpoint that
 * stands for it, and the report is written with sk_replay_anonymizer(), which knows them back.
 *
 * Memory: the report, and one row.
 */
#ifndef SK_STORE_REPLAY_H
#define SK_STORE_REPLAY_H

#include "audit/observation.h"
#include "audit/report.h"
#include "store/anonymizer.h"
#include "store/database.h"

#define SK_REPLAY_BEGIN_NS 0 /* at_ns of a replayed audit's beginning */

struct sk_replay;

/*
 * `audit`: its number in the file; 0 = the last that was finished. SKEP_ERR_STORE (no such file, or
 * not of audits), SKEP_ERR_NOT_FOUND (no such audit, or it was not finished), each with
 * `ret_reason`; SKEP_ERR_NOMEM.
 */
int sk_replay_open(const char *path, int64_t audit, struct sk_replay **ret_replay,
                   char ret_reason[SK_DATABASE_REASON_MAX]);
/* Takes NULL. */
void sk_replay_close(struct sk_replay *replay);
int64_t sk_replay_audit(const struct sk_replay *replay);
/* NULL where the audit has addresses as they are; lives until close. */
const struct sk_anonymizer *sk_replay_anonymizer(const struct sk_replay *replay);
/* What failed, in SQLite's words. */
const char *sk_replay_reason(const struct sk_replay *replay);
/* The report, for sk_report_deinit(); some of its texts are borrowed until close. SKEP_ERR_STORE,
 * SKEP_ERR_NOMEM. */
int sk_replay_report(struct sk_replay *replay, struct sk_report *ret_report);
/*
 * Hands all observations to `observe`; times never decrease and begin at SK_REPLAY_BEGIN_NS. Kinds
 * that we do not know are passed over. SKEP_ERR_STORE.
 */
int sk_replay_observe(struct sk_replay *replay, sk_observe_fn observe, void *ctx);

#endif
