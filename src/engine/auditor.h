/*
 * The auditor: goes to every peer of a torrent, reads what it holds, takes blocks from it and
 * keeps what it saw. Layer: engine.
 *
 * It is a client of the public interface: all that it learns comes through the hooks of
 * <skep/engine.h>, all that it does through its functions; the judgements are those of audit/.
 * One record an address, about 700 bytes, and while a peer is probed its arrivals and pieces.
 *
 * The caller ticks it a few times a second, and writes the report when it is done.
 */
#ifndef SK_ENGINE_AUDITOR_H
#define SK_ENGINE_AUDITOR_H

#include "audit/observation.h"
#include "audit/report.h"
#include "audit/stopping.h"
#include "swarm/source.h"

#include <skep/engine.h>

struct sk_auditor;
struct sk_timeline;

struct sk_auditor_config {
    uint64_t probe_bytes;     /* budget a peer; 0 = SK_PROBE_BYTES, or more where a peer is fast */
    uint64_t probe_bytes_max; /* that follows from it; set by the auditor */
    double probe_seconds;     /* 0 = SK_PROBE_SECONDS */
    double patience_s;        /* how long a choking peer is waited for; 0 = 40 */
    uint32_t probes_max;      /* peers probed at a time; 0 = 32 */
    uint32_t connections_max; /* settled peers are let go when more wait; 0 = 2,000 */
    double watch_s;           /* not done before so many seconds have been watched */
    bool no_probe;            /* look, take nothing */
    bool only_given;          /* no tracker, PEX, LSD: the given peers are all */
    bool no_pex;              /* peers are not asked for others: nobody's word is waited for */
    bool save;                /* store verified pieces (the runtime has a directory) */
    bool tracer;              /* offer stored pieces to chosen peers (the runtime's give_chosen) */
    uint64_t seed;
    double started_unix_s;
    sk_observe_fn observe; /* may be NULL */
    void *observe_ctx;
    void (*done)(void *ctx); /* called once, when a stopping rule holds; may be NULL */
    void *done_ctx;
};

/* Registers its hooks; before skep_torrent_start(). SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
int sk_auditor_new(struct skep_engine *engine, struct skep_torrent *torrent,
                   const struct sk_auditor_config *config, uint64_t now_ns,
                   struct sk_auditor **ret_auditor);
/* After the runtime's end: the engine's peers may not call back any more. */
void sk_auditor_free(struct sk_auditor *auditor);
/* Looks at the clock: probes that are over, peers past patience, the stopping rule. */
void sk_auditor_tick(struct sk_auditor *auditor, uint64_t now_ns);
/* The rule that holds; SK_STOPPING_GO_ON while none does. */
enum sk_stopping_rule sk_auditor_rule(const struct sk_auditor *auditor);

/* For the live display. The name is raw, NULL while it is unknown. */
const char *sk_auditor_name(const struct sk_auditor *auditor);
struct sk_auditor_counts {
    uint32_t known, open, untried, measured, failed; /* addresses; duplicates left out */
    uint32_t seeds, leechers;
    uint32_t sources[SK_SOURCE_COUNT]; /* addresses that each told */
    uint32_t old_run;
    uint64_t bytes;
    double elapsed_s;
};
void sk_auditor_counts(const struct sk_auditor *auditor, uint64_t now_ns,
                       struct sk_auditor_counts *ret_counts);
/* Walks the peers as they are now, in the order they were heard of; false at the end. */
struct sk_auditor_row {
    struct sk_endpoint endpoint;
    const char *client;  /* escaped; "" unknown */
    double share;        /* NAN unknown */
    double rate_bytes_s; /* over its probe so far; NAN unknown */
    double done;         /* 0..1 of its budget of bytes or time, whichever is further */
    bool probing;
};
bool sk_auditor_row(const struct sk_auditor *auditor, size_t i, uint64_t now_ns,
                    struct sk_auditor_row *ret_row);

/* What it saw over time (audit/timeline.h), for whoever infers from it; the auditor's own. */
struct sk_timeline *sk_auditor_timeline(struct sk_auditor *auditor);
/* Fills the report from all that is known; what happens afterwards is not observed.
 * SKEP_ERR_NOMEM. */
int sk_auditor_report(struct sk_auditor *auditor, enum sk_stopped stopped, uint64_t now_ns,
                      struct sk_report *ret_report);

#endif
