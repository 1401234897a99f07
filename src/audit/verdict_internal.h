/* What the checks share. Layer: audit. */
#ifndef SK_AUDIT_VERDICT_INTERNAL_H
#define SK_AUDIT_VERDICT_INTERNAL_H

#include "audit/verdict.h"

/*
 * How often an honest announce is taken for a contradiction, by accident (a counter that was read
 * long before it was sent, a damaged line), and how likely an explanation that holds for all of a
 * peer's announces was overlooked. Assumptions; docs/MEASURING.md says how they fared.
 */
#define SK_VERDICT_FAULT 1e-4
#define SK_VERDICT_DOUBT 1e-6
/*
 * An announce over UDP that got lost is sent again after so long, with the counters of before (BEP
 * 15), and this share of a client's may be. What that explains has the more of them to show.
 */
#define SK_VERDICT_LATE_S 15.0
#define SK_VERDICT_LATE 0.03
/*
 * Who measures others (skep audit takes so much of each), plays, or has a full disk throws away
 * what it takes: so many bytes or pieces of each peer, and as many bytes again each time that it
 * tries its disk anew (libtorrent does every ten minutes).
 */
#define SK_VERDICT_THROWN_BYTES 67108864.0
#define SK_VERDICT_THROWN_PIECES 10.0
#define SK_VERDICT_THROWN_AGAIN_S 600.0
/* Flows err by more than their intervals say with some peers, and capacities may be none: they
 * support a verdict, none rests on one of them alone. */
#define SK_VERDICT_WEAK_DOUBT 1e-3

/* How a client counts what it lacks: by whole pieces, or by the blocks of those under way too. */
enum sk_counting { SK_COUNTING_UNSURE, SK_COUNTING_PIECES, SK_COUNTING_BLOCKS };

/* What a peer uploaded during the audit, by its announces, and what others took of it. */
struct sk_judge_upload {
    double claimed;    /* bytes */
    double told, dark; /* gained meanwhile by those that it may have given to; in what we saw, and
                          as much as they may have gained unseen */
    double taken;      /* by us */
    double from_s, until_s;
};

struct sk_judge {
    const struct sk_timeline *timeline;
    const struct sk_reports *reports;
    const struct sk_verdict_config *config;
    double slack_s; /* by which times of announces and of gains may differ */
    double partial; /* bytes of pieces under way that a client may have at a time */
    /* Bytes by which what pieces hold, and what had begun, may be too much: what they lack, once
     * for the padding that clients count or do not, and again where it is not known which are
     * short.
     */
    double padding;
    double padded; /* by which it may be too little: padding, where it is known */
    struct sk_verdict_peer *peers;
    enum sk_counting *counting;      /* of each peer */
    struct sk_judge_upload *uploads; /* of each peer */
    uint64_t *same_run; /* of each peer, a bit each: connections that go on with a run */
    bool *tells;        /* of each peer: what it gains can be taken from what it tells */
    bool *keeps;        /* of each peer: what it takes, as far as can be seen */
};

/* Notes one announce that could contradict: whether it does; keeps the worst for the report. */
void sk_judge_note(struct sk_finding *finding, bool against, double claimed, double allowed,
                   double from_s, double until_s);
/* The e-value of what was noted: by the announces that no delay explains, and of the others those
 * that are late, which multiply; or by all as if they were late. Where no delay explains anything
 * in this check, by all alike. */
double sk_judge_counts(const struct sk_finding *finding, enum sk_verdict_check check);
/* The lines of a peer: how many, from `ret_lines`. */
uint32_t sk_judge_lines(const struct sk_judge *judge, uint32_t peer,
                        const struct sk_reports_line **ret_lines);
/* What is counted from `from` to `to`; all of it where the counter began anew in between. NAN
 * unknown. */
double sk_judge_difference(uint64_t from, uint64_t to, bool anew);
/* Whether the client began anew between two lines, as far as they tell. */
bool sk_judge_anew(const struct sk_reports_line *from, const struct sk_reports_line *to);

/*
 * The index behind the last connection in which the same run of the client answered as in
 * connection `first` (< watched_count). It ends a connection itself when it restarts. So where we
 * ended it, for a moment, it did so in that moment or not at all; and then it has another peer id,
 * as a rule: in its announces, where these have one, for some clients take a new one for each
 * connection (libtorrent); and the announces about that time say so, or their counters do.
 */
uint32_t sk_judge_run_end(const struct sk_judge *judge, uint32_t peer, uint32_t first);

/* Bytes that may have been there at the line of pieces that were under way: what was gained soon
 * after, or the next few pieces however late, at most config->partial_pieces. */
double sk_judge_under_way(const struct sk_judge *judge, const struct sk_tally *tally,
                          const struct sk_reports_line *line);
void sk_judge_downloaded(struct sk_judge *judge, uint32_t peer);
/* Bytes that a client which keeps nothing may take of one peer. */
double sk_judge_thrown(const struct sk_judge *judge);
/* Bytes by which a peer's `downloaded` may exceed what it told to have gained, or its left fell by,
 * from its first line to another, before that alone makes it false. INFINITY: nothing does. */
double sk_judge_surplus_most(const struct sk_judge *judge, const struct sk_tally *tally,
                             const struct sk_reports_line *first,
                             const struct sk_reports_line *last, double fell);
void sk_judge_left(struct sk_judge *judge, uint32_t peer);
/* Learns judge->partial from the clients whose `left` counts blocks. SKEP_ERR_NOMEM. */
int sk_judge_partial(struct sk_judge *judge);
/* Whether what it reports to hold does not exceed what it told, and how it counts (judge->tells,
 * judge->counting). */
void sk_judge_tells(struct sk_judge *judge, uint32_t peer);
/* All peers at once. SKEP_ERR_NOMEM. */
int sk_judge_uploaded(struct sk_judge *judge);
int sk_judge_flows(struct sk_judge *judge);

#endif
