/*
 * Whether what peers reported to a tracker can be true, by what an audit saw. Layer: audit; pure.
 *
 * Each check holds a counter against what is known, announce after announce, with the widest
 * allowance that an honest client may need: clocks, delays, pieces under way, waste, restarts that
 * nobody reported, receivers that nobody saw. An announce beyond it contradicts. Contradictions
 * become an e-value per check and peer (audit/evidence.h), which may be looked at after every
 * announce; the mean over the checks is the peer's, and e-BH over all peers keeps the expected
 * share of honest ones among those called false at `false_discovery`. docs/MEASURING.md, "Reports",
 * has the formulas.
 *
 * What cannot be seen is not held against anybody: HAVEs that are not told, super-seeding, time in
 * which we were not connected, a counter from before the audit.
 *
 * Memory: 96 bytes an announce, about 500 bytes a peer, 40 bytes a link. Time: a look at each gain
 * of each peer that is linked to one that reports, and some at each of its announces, as long as
 * these are at most SK_VERDICT_LOOKS_MAX; beyond that others' gains count whatever piece they are,
 * and of many announces of a peer some are stepped over. Where thousands report and nobody tells
 * links, others' gains are not looked at.
 */
#ifndef SK_AUDIT_VERDICT_H
#define SK_AUDIT_VERDICT_H

#include "audit/report.h"
#include "audit/reports.h"

enum sk_verdict_check {
    SK_CHECK_DOWNLOADED_LESS, /* than it gained */
    SK_CHECK_DOWNLOADED_MORE, /* than it gained, even with waste */
    SK_CHECK_LEFT_MORE,       /* than it can lack, by the pieces that it told to hold */
    SK_CHECK_LEFT_LESS,       /* than it lacks, by the pieces that it gained later, or never told */
    SK_CHECK_UPLOADED_CAPACITY, /* more than its line carries */
    SK_CHECK_UPLOADED_GAINS,    /* more than all others gained of what it held */
    SK_CHECK_UPLOADED_FLOW,     /* more than the flows say that it gave */
    SK_CHECK_COUNT,
};
const char *sk_verdict_check_name(enum sk_verdict_check check);

/* Why nothing can be said. */
enum sk_verdict_why {
    SK_WHY_NONE,
    SK_WHY_FEW,         /* fewer than two announces during the audit */
    SK_WHY_NO_METADATA, /* nobody gave it: what is a piece is not known */
    SK_WHY_UNWATCHED,   /* we were not connected when it announced */
    SK_WHY_SILENT,      /* it does not tell what it gains */
    SK_WHY_WEAK,        /* something contradicts, not enough to rule out an accident */
    SK_WHY_NEIGHBOUR,   /* it uploaded what it says only if a client behind its own address took
                           it of whom the tracker's log alone knows: anybody can make one up */
    SK_WHY_LOOSE,       /* it may have uploaded twice what it says, or more */
    SK_WHY_COUNT,
};
const char *sk_verdict_why_name(enum sk_verdict_why why);
/* What a reason of that name is, in words; NULL for a name that is none. */
const char *sk_verdict_why_words(const char *name);

struct sk_verdict_config {
    double began_unix_s;      /* when the audit began */
    const uint8_t *info_hash; /* 20 bytes; NULL = all announces are of this torrent */
    double false_discovery;   /* 0.01 */
    double skew_max_s;        /* that the tracker's clock may differ */
    double delay_s;           /* until what was sent has been noted */
    double have_delay_s;      /* until a HAVE is sent: Transmission gathers them for 10 s */
    double partial_s;         /* a piece is under way for that long */
    uint32_t partial_pieces;  /* so many are under way at a time */
    double waste_share;       /* of what is downloaded, twice or wrong, in an honest client */
    double hidden_peers;      /* that the audit never heard of (audit/hidden.h) */
    uint32_t files;           /* of the torrent; 0 = not known */
    /* How likely the upper bound of a capacity is no bound of what a peer can upload. From packets
     * that came to one receiver no more can be told than that it was bound once (a scheduler that
     * deals out turns, a sender that paces itself): 1e-3. */
    double capacity_doubt;
    const struct sk_upload_bound *uploads; /* by peer, from the flows; NULL = none */
};
struct sk_verdict_config sk_verdict_config_default(void);

/* What a check found with a peer. */
struct sk_finding {
    uint32_t said, against;  /* announces that could have contradicted it, and that did */
    uint32_t late;           /* of these, that would not, had they been sent some seconds before */
    double value;            /* e-value */
    double claimed, allowed; /* bytes, where they differ most; NAN: never looked at */
    double from_s, until_s;  /* when */
};

struct sk_verdict_peer {
    enum sk_verdict_result result;
    enum sk_verdict_check check; /* of FALSE_REPORT: the strongest */
    enum sk_verdict_why why;     /* of CANNOT_TELL */
    double value, rate;          /* e-value; the least false discovery rate that has it */
    uint32_t announces;
    bool neighbour; /* more contradicts, if nobody behind its own address took anything of it */
    double claimed_up, allowed_up; /* bytes, over all it reported; NAN not bounded */
    struct sk_finding findings[SK_CHECK_COUNT];
};

/* What all peers with reports claim and gained between their first and last announces, bytes. */
struct sk_verdict_sums {
    double uploaded, downloaded, gained;
};

struct sk_verdicts {
    struct sk_verdict_peer *peers; /* as the timeline's */
    uint32_t count;
    struct sk_verdict_sums sums;
    struct sk_reports reports;
};

/* SKEP_ERR_NOMEM, SKEP_ERR_INVALID (a configuration that makes no sense). */
int sk_verdicts_init(struct sk_verdicts *verdicts, const struct sk_timeline *timeline,
                     const struct sk_announce *announces, size_t count,
                     const struct sk_verdict_config *config);
void sk_verdicts_deinit(struct sk_verdicts *verdicts);
/* The verdict on a peer in words. peer < count. */
void sk_verdict_write(const struct sk_verdicts *verdicts, uint32_t peer,
                      struct sk_verdict *ret_verdict);

#endif
