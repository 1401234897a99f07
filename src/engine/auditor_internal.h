/* What the files of the auditor share; auditor.c has its hooks. */
#ifndef SK_ENGINE_AUDITOR_INTERNAL_H
#define SK_ENGINE_AUDITOR_INTERNAL_H

#include "audit/allowance.h"
#include "audit/census.h"
#include "audit/coverage.h"
#include "audit/downlink.h"
#include "audit/probe.h"
#include "audit/renewal.h"
#include "audit/timeline.h"
#include "base/bitfield.h"
#include "base/map.h"
#include "base/prng.h"
#include "engine/auditor.h"
#include "swarm/assembly.h"

#define SK_AUDITOR_SETTLE_S 5.0 /* a peer that told no pieces by then has none */

_Static_assert(sizeof(struct sk_report_peer) <= 1024, "every known address has one");

/* What the auditor knows of an address. */
struct sk_record {
    uint32_t number;            /* its place in the list, and its name in the assembly */
    struct sk_report_peer seen; /* as it will be reported; updated as things happen */
    struct skep_peer *peer;     /* while connected */
    bool final;                 /* failed or closed, and will not be dialled again */
    bool settled;
    bool is_seed;
    uint64_t opened_ns, set_ns; /* set_ns: when its pieces were first read */
    uint64_t unchoked_ns;       /* 0 = choked */
    bool pex_spoke;
    /* By trackers, the DHT and peer exchange, in different answers: how often, the first two times,
     * and the last time and source. */
    uint32_t told;
    double told_s[2];
    uint64_t told_ns;
    unsigned told_by;
    bool left;             /* it ended its last connection */
    uint32_t pex_old;      /* old draws of its PEX that counted */
    uint32_t blocks;       /* that it delivered */
    uint64_t payload_seen; /* block bytes of this connection, up to the last arrival */
    struct sk_downlink_share share;
    struct sk_probe probe;
    uint64_t probed_from_ns; /* when the first lap began, and ended; 0 = it has not */
    uint64_t probed_ns;
    uint64_t lap_ns;          /* when the last lap ended */
    bool hangs_up;            /* it ended a connection in which we wanted nothing any more */
    uint32_t kept;            /* blocks that were taken so that it does not */
    bool crowded;             /* our line was full in the first, as was known then */
    struct sk_bitfield taken; /* pieces that were begun with it; empty before and after */
    struct sk_bitfield last;  /* what it held when the connection ended; else empty */
    struct sk_renewal renewal;
    struct sk_allowance allowance;
    struct sk_record *host; /* the first one at its IP: its `all` is of all there */
    struct sk_allowance all;
    bool renews;                  /* we closed the connection, and it will be dialled again */
    struct sk_record *ready_next; /* queue of those that wait for a probing slot */
    bool in_ready;
};

struct sk_audit_claim {
    struct sk_report_claim said; /* latest */
    uint32_t answers;
    uint64_t next_draw_ns;
};

struct sk_auditor {
    struct skep_engine *engine;
    struct skep_torrent *torrent;
    struct sk_auditor_config config;
    struct sk_prng prng;
    uint64_t started_ns;
    bool reported; /* what comes after, as we take our leave, is not part of the audit */
    int slot;
    struct sk_map by_endpoint;
    struct sk_map by_host; /* the first record at each IP (sk_peer_book_host()) */
    struct sk_record **records;
    size_t count, capacity;
    struct sk_record *ready_first, *ready_last;
    uint32_t running, unsettled;
    struct sk_assembly assembly;
    bool has_assembly;
    uint64_t metadata_ns; /* when it became known */
    struct sk_coverage coverage;
    struct sk_timeline timeline;
    struct sk_downlink downlink;
    struct sk_audit_claim *claims;
    size_t claims_count;
    enum sk_stopping_rule rule;
    char rule_text[256];
    uint64_t given_bytes;
    uint64_t trace_ns; /* tracers: when the next may be offered */
    uint64_t renew_ns; /* when the next connection may be renewed */
    uint32_t answers;  /* of trackers, the DHT and peer exchange */
};

/* auditor.c */
/* Seconds since the audit began. */
double sk_auditor_seconds(const struct sk_auditor *auditor, uint64_t at_ns);
/* Takes over what the peer holds now; `first`: told as a whole. */
void sk_auditor_set_share(struct sk_auditor *auditor, struct sk_record *record, bool first,
                          uint64_t now_ns);
void sk_auditor_update(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns);

/* auditor_log.c */
/* Notes what was seen, in the log and in the timeline; of `record`, or of no peer (NULL). Who tells
 * more of itself than it may (audit/allowance.h) is sent away for good, and that is not noted. */
void sk_auditor_observe(struct sk_auditor *auditor, struct sk_record *record,
                        struct sk_observation observation, uint64_t now_ns);

/* auditor_hidden.c */
/* A tracker, the DHT or, by peer exchange, `teller` told this one. */
void sk_auditor_told(struct sk_auditor *auditor, struct sk_record *record,
                     const struct sk_record *teller, const struct skep_event *event);
/* In a renewed connection a peer tells all addresses once more: that is no other draw. Whether it
 * may be so of this one, for it was heard of before that connection. */
bool sk_auditor_may_tell_again(const struct sk_auditor *auditor, const struct sk_record *teller,
                               const struct sk_record *record);
/* `moved` is about to take the place of `record`, which sources told. */
void sk_auditor_keep_told(struct sk_record *moved, const struct sk_record *record);
/* The peers that are not known; *ret_present (may be NULL): those that are, were reached and are
 * still there. */
void sk_auditor_hidden(const struct sk_auditor *auditor, uint64_t now_ns,
                       struct sk_hidden *ret_hidden, uint32_t *ret_present);

/* auditor_tracer.c */
/* Offers tracers, where it is time for some. */
void sk_auditor_trace(struct sk_auditor *auditor, uint64_t now_ns);

/* auditor_renew.c */
/* Renews the connection to a peer that has been silent for longest, where it is time. */
void sk_auditor_renew(struct sk_auditor *auditor, uint64_t now_ns);
/* `moved` is about to take the place of `record`, which was connected before: both are one peer. */
void sk_auditor_keep_seen(struct sk_record *moved, struct sk_record *record);

/* auditor_stop.c */
/* Whether more addresses wait to be dialled than can be. */
bool sk_auditor_crowded(const struct sk_auditor *auditor);

/* auditor_probe.c */
void sk_auditor_want(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns);
/* Begins another lap of its probe, where it is time for one and one is of use. */
void sk_auditor_again(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns);
void sk_auditor_allowed(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns);
void sk_auditor_choked(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns);
void sk_auditor_on_block(struct sk_auditor *auditor, struct sk_record *record,
                         const struct skep_event *event);
void sk_auditor_on_leaves(struct sk_auditor *auditor, uint32_t piece);
void sk_auditor_on_rejected(struct sk_auditor *auditor, struct sk_record *record,
                            const struct skep_event *event);
void sk_auditor_leave(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns);
/* Ends probes whose time is over and starts those that wait for a slot. */
void sk_auditor_pump(struct sk_auditor *auditor, struct sk_record *record, uint64_t now_ns);
void sk_auditor_fill_slots(struct sk_auditor *auditor, uint64_t now_ns);

#endif
