/*
 * When an audit is done: when more looking would not change the picture. Layer: audit; pure, a
 * function of what is known now.
 */
#ifndef SK_AUDIT_STOPPING_H
#define SK_AUDIT_STOPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SK_STOPPING_DRAWS 60   /* old draws in a row that are enough: at most 5 % unseen */
#define SK_STOPPING_SHARE 0.01 /* of the reachable peers that may be hidden */
/* In a smaller swarm no estimate can show that 99 % are seen: one peer is too much of it. */
#define SK_STOPPING_CROWD 200
#define SK_STOPPING_PATIENCE_S                                                                     \
    30 /* a tracker that wants to be left alone longer is not waited for */

struct sk_stopping_input {
    double elapsed_s;
    bool has_metadata;
    uint32_t known;            /* addresses in the book */
    uint32_t unsettled;        /* of them neither measured nor classified */
    uint32_t trackers;         /* asked at all */
    uint32_t trackers_waiting; /* first answer awaited */
    bool dht_waiting;          /* the DHT's first answer awaited */
    double next_draw_s;       /* from now to the earliest draw from a tracker or the DHT; INFINITY =
                                 none */
    uint32_t tracker_repeats; /* answers of trackers and the DHT after their first */
    uint32_t pex_peers;       /* open peers that exchange peers */
    uint32_t pex_waiting;     /* of them not heard yet, and still within their time to speak */
    uint32_t old_run;         /* see audit/coverage.h */
    uint32_t present;         /* peers that were reached and are still there */
    double hidden_most;       /* like them and not known: no more than so many, at 95 %, newcomers
                                 among them; NAN unknown. See audit/census.h */
    double since_new_s;       /* since the last new address; INFINITY = none ever */
    bool sources_off;         /* only given peers: nothing else is asked */
    double watch_s;  /* the audit lasts so long, whatever else holds; 0 = until it is done */
    double linger_s; /* how long to wait for LSD and incoming when nothing else is there */
};

enum sk_stopping_rule {
    SK_STOPPING_GO_ON,
    SK_STOPPING_SEEN,        /* 99 % of the peers that can be reached are seen */
    SK_STOPPING_DRAWS_OLD,   /* enough old draws in a row */
    SK_STOPPING_EXHAUSTED,   /* no source has more to tell within reasonable time */
    SK_STOPPING_GIVEN_DONE,  /* only given peers were wanted, all are settled */
    SK_STOPPING_WATCHED,     /* for as long as was asked */
    SK_STOPPING_NOBODY,      /* every source answered and no peer is known */
    SK_STOPPING_NO_METADATA, /* all peers are settled and none had the metadata */
};

/*
 * Where the hidden peers can be estimated it is their share that ends an audit; in small swarms,
 * and where they cannot, it is old draws in a row.
 */
enum sk_stopping_rule sk_stopping_decide(const struct sk_stopping_input *input);
/* A sentence for the report. Returns ret_text. */
char *sk_stopping_text(enum sk_stopping_rule rule, const struct sk_stopping_input *input,
                       char *ret_text, size_t size);

#endif
