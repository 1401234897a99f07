/*
 * What trackers do without an audit: rules over announces alone, as a baseline. Layer: audit; pure.
 *
 * Speed: an upload faster than a cap. Empty: an upload while nobody else lacked anything. Sum: all
 * uploads of a torrent exceed all downloads; accused are those that claim most, until the rest
 * fits.
 */
#ifndef SK_AUDIT_RULES_H
#define SK_AUDIT_RULES_H

#include "audit/reports.h"

enum sk_rule {
    SK_RULE_SPEED = 1,
    SK_RULE_EMPTY = 2,
    SK_RULE_SUM = 4,
};

struct sk_rules_config {
    double cap_bytes_s;
    double sum_share; /* by which uploads may exceed downloads */
};

/* For each of `peers` peers the rules that it breaks (enum sk_rule). SKEP_ERR_NOMEM. */
int sk_rules_judge(const struct sk_reports *reports, uint32_t peers,
                   const struct sk_rules_config *config, unsigned *ret_rules);

#endif
