/*
 * Inside the simulated swarm. Layer: sim.
 *
 * Events only: a node has one alarm a duty. A node that gives sends one block at a time, in turn to
 * those that may have one (its ring); who may is decided by the receiver's down-link, which grants
 * one block after the other, as its rate allows. So both limits hold, and a slow receiver holds
 * nobody up. What the choker is told of bytes it is told at the end of a round.
 *
 * Memory: swarm.h. Nodes and connections are kept until the end, since the truth is asked then.
 */
#ifndef SK_SIM_SWARM_INTERNAL_H
#define SK_SIM_SWARM_INTERNAL_H

#include "audit/renewal.h"
#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/prng.h"
#include "sim/swarm.h"
#include "swarm/choker.h"

#include <skep/err.h>

#include <string.h>

#define SK_SWARM_CLIENTS_MAX 65536 /* that ever join */
#define SK_SWARM_DEGREE_MAX 1000
#define SK_SWARM_SECONDS_MAX 1e8
#define SK_SWARM_PIPELINE 32 /* requests that wait at one peer */
#define SK_SWARM_PIPELINE_LEAST 2
#define SK_SWARM_PROBE_BYTES (1u << 20) /* that the auditor takes of a client */
#define SK_SWARM_GIVERS 8               /* of a piece that are told apart */
#define SK_SWARM_NO_PIECE UINT32_MAX
/* Where our clock starts: what began before the start has a time too. */
#define SK_SWARM_START_NS (60 * SK_SECOND_NS)
#define SK_SWARM_LATE_S 15.0 /* until an announce is sent anew (BEP 15) */

struct sk_swarm_alarm {
    struct sk_timer timer;
    void (*ring)(struct sk_swarm *swarm, void *owner);
    void *owner;
};

enum sk_swarm_order { SK_SWARM_RAREST, SK_SWARM_RANDOM, SK_SWARM_IN_ORDER };

/* How a kind of client behaves. */
struct sk_swarm_style {
    const char *version, *peer_id; /* as sent in "v"; first 8 characters */
    bool own_choker;               /* swarm/choker.h; else by these rules: */
    uint32_t slots;                /* unchoked at a time */
    double round_s;
    enum sk_swarm_order order;
    bool shares_pieces; /* one piece from several peers at a time */
    bool says_upload_only;
    bool blocks_left; /* `left` is without the blocks of pieces that are not whole */
    bool id_each;     /* another peer id for each connection (libtorrent) */
};

/* One way of a connection: what `from` gives `to`. */
struct sk_swarm_conn {
    /* What is looked at for each HAVE comes first: a cache line. */
    struct sk_swarm_node *from, *to;
    struct sk_swarm_conn *back; /* NULL where the auditor takes */
    uint64_t *shown;            /* a super-seeder's: what it showed; else NULL */
    uint32_t wants;             /* pieces that `from` has told and `to` lacks */
    uint32_t piece;             /* that `to` takes from here */
    uint16_t asked_first, asked_count, depth;
    bool open, made;                  /* made: `from` connected to `to` */
    bool interested, unchoked, ready; /* ready: the requests that follow may come */
    bool granted, waits;              /* in from's ring; in to's queue */
    bool pex_told;
    struct sk_link turn;
    double weight, credit; /* share of from's up-link, 1 = a middling one; not used so far */
    uint32_t number;       /* among from's connections */
    uint32_t open_at;      /* place among its open ones */
    uint64_t last_ns;      /* a block came */
    double gap_ns;         /* between blocks */
    uint64_t bytes;        /* all that was given */
    uint64_t traced;       /* of them, of pieces that the auditor had given somebody before */
    uint64_t took, gave;   /* in the round of from's choker, of to's */
    uint32_t asked[SK_SWARM_PIPELINE];
    struct sk_swarm_alarm begin;        /* unchoked: the first requests are here */
    uint32_t span;                      /* index + 1 of its latest unchoking */
    uint32_t shown_piece, shown_rounds; /* a super-seeder's latest */
    /* For rules of choking that are not ours. */
    double score;
    uint64_t choke_ns, rank;
    bool optimistic;
};

/* A piece that a node has begun. */
struct sk_swarm_partial {
    uint32_t piece;
    uint32_t held, free; /* blocks */
    struct sk_swarm_conn *owner;
    uint32_t next; /* no block before it is free */
    const struct sk_swarm_conn *givers[SK_SWARM_GIVERS];
    uint32_t givers_count; /* those beyond are not counted */
};

#define SK_SWARM_HELD 255 /* of a block; else of how many it is asked, 0 = free */

struct sk_swarm_tell {
    uint64_t at_ns;
    uint32_t piece;
};

struct sk_swarm_node {
    struct sk_swarm_client truth;
    uint32_t number;
    const struct sk_swarm_style *style;
    bool online, complete;
    bool passive;      /* takes nothing */
    bool leaves;       /* soon, for good */
    double waste;      /* share of blocks that it fetches twice */
    uint32_t poisoned; /* so many of its next pieces come wrong */
    struct sk_prng *prng;
    /* pieces: bit p % 64 of word p / 64 */
    uint64_t *have, *told, *missing, *probed; /* missing: not begun either */
    uint16_t *rarity;                         /* neighbours that told it */
    uint16_t *partial_of;                     /* index + 1 */
    struct sk_swarm_partial *partials;
    uint8_t *blocks; /* of each partial */
    uint32_t partials_count, partials_capacity;
    uint32_t free_blocks, missing_count;
    bool end_game;
    /* connections */
    struct sk_swarm_conn **conns, **open;
    uint32_t conns_count, conns_capacity, open_count;
    double half_rtt_s;
    uint64_t topped_ns;
    /* up */
    struct sk_link ring;
    struct sk_swarm_conn *sending;
    uint32_t sending_block;
    struct sk_swarm_alarm send;
    double up_ns_byte, down_ns_byte;
    /* down */
    struct sk_link queue;
    uint64_t down_free_ns;
    struct sk_swarm_alarm grant;
    /* choking */
    struct sk_choker *choker;
    struct sk_swarm_alarm round;
    uint32_t rounds;
    /* telling */
    struct sk_swarm_tell *tells;
    uint32_t tells_first, tells_count, tells_capacity; /* a power of two */
    struct sk_swarm_alarm tell;
    struct sk_swarm_alarm life;
    /* the auditor's */
    double measured_bytes_s;
    bool heard, seen; /* seen: connected to the auditor */
    struct sk_swarm_conn *probe;
    bool dialed;
    uint64_t probe_asked, probe_got, probe_session; /* bytes; the last over this connection */
    uint64_t probe_asked_ns[SK_SWARM_PIPELINE];     /* of the requests, where they lie */
    uint64_t probe_sending_ns;                      /* when what is being sent was asked for */
    uint32_t probe_next, probe_blocks;              /* of the piece: asked for next; in a row */
    struct sk_swarm_alarm watch, pex, gather;
    bool gathers; /* HAVEs wait for a bitfield */
    struct sk_renewal renewal;
    bool renews; /* the auditor has closed the connection, and will dial again */
    /* reports */
    struct sk_swarm_alarm announce;
    uint64_t session_ns, session_up, session_down; /* counters when it started */
    double claimed_up, counted_up; /* this session: what it claims; of which truth */
    uint32_t periods, key;
    bool in_session, said_started;
    const struct sk_swarm_cheats *lie; /* NULL: honest */
    double pair_before;                /* what the pair had made up when this session began */
    double pair_bytes;                 /* of the pair's first: made up so far, */
    uint64_t pair_ns, pair_uploaded;   /* until when */
};

struct sk_swarm_span {
    uint64_t from_ns, until_ns; /* until: UINT64_MAX while it lasts */
    uint32_t before;            /* index + 1 of the one before it */
};

struct sk_swarm {
    struct sk_swarm_config config;
    struct sk_swarm_cheats *cheats;
    sk_observe_fn observe;
    void *observe_ctx;
    sk_announce_fn announce;
    void *announce_ctx;
    struct sk_prng prng, prng_tell; /* of what happens; of what is said about it */
    struct sk_prng prng_lie;        /* of who lies */
    struct sk_heap heap;
    uint64_t now_ns;
    int err; /* the first; nothing goes on after it */
    struct sk_swarm_node **nodes;
    uint32_t count, capacity;
    struct sk_swarm_node auditor;
    uint32_t words, blocks; /* of a set of pieces; of a piece */
    struct sk_swarm_span *spans;
    uint32_t spans_count, spans_capacity;
    struct sk_swarm_conn **scratch; /* as many as a node has connections */
    uint32_t scratch_capacity;
    struct sk_swarm_alarm join, renew;
    double skew_s;
    /* the auditor's announces */
    struct sk_prng prng_own;
    struct sk_swarm_alarm own;
    uint64_t own_asked_ns, own_downloaded; /* asked: 0 = no answer is awaited */
    bool own_started;
    double down_mean_bytes_s; /* of a leecher, where demand is given */
    uint8_t info_hash[20];
    uint64_t gains, givers; /* pieces gained; givers of them, each once a piece */
    uint64_t *traced;       /* pieces that the auditor gave; NULL: none */
};

static inline bool sk_swarm_bit(const uint64_t *set, uint32_t i)
{
    return set[i / 64] >> (i % 64) & 1;
}

static inline void sk_swarm_bit_set(uint64_t *set, uint32_t i)
{
    set[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void sk_swarm_bit_clear(uint64_t *set, uint32_t i)
{
    set[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

static inline uint32_t sk_swarm_block_bytes(const struct sk_swarm *swarm, uint32_t block)
{
    uint32_t begin = block % swarm->blocks * swarm->config.block_size;
    return SK_MIN(swarm->config.block_size, swarm->config.piece_size - begin);
}

/* What `to` may be asked for over this connection: told in general, or shown to it. */
static inline const uint64_t *sk_swarm_offered(const struct sk_swarm_conn *conn)
{
    return conn->shown ? conn->shown : conn->from->told;
}

static inline bool sk_swarm_is_auditor(const struct sk_swarm *swarm,
                                       const struct sk_swarm_node *node)
{
    return node == &swarm->auditor;
}

/* ---- swarm.c ---- */

void sk_swarm_set_alarm(struct sk_swarm *swarm, struct sk_swarm_alarm *alarm, uint64_t at_ns);
void sk_swarm_init_alarm(struct sk_swarm_alarm *alarm,
                         void (*ring)(struct sk_swarm *swarm, void *owner), void *owner);
void sk_swarm_fail(struct sk_swarm *swarm, int err);
uint64_t sk_swarm_in(const struct sk_swarm *swarm, double seconds);
double sk_swarm_normal(struct sk_prng *prng);
double sk_swarm_exponential(struct sk_prng *prng, double mean);

/* ---- swarm_client.c: one client's beginning and end ---- */

/* What a node knows of pieces. SKEP_ERR_NOMEM. */
int sk_swarm_make_sets(struct sk_swarm *swarm, struct sk_swarm_node *node);
/* SKEP_ERR_NOMEM. It is offline. `seed` as it begins; begun: has some pieces. */
int sk_swarm_node_new(struct sk_swarm *swarm, bool seed, bool begun,
                      struct sk_swarm_node **ret_node);
void sk_swarm_node_free(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_join(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_set_down(struct sk_swarm_node *node, double down_bytes_s);
/* With a share of the pieces, drawn. Before it joins. */
void sk_swarm_begin_with(struct sk_swarm *swarm, struct sk_swarm_node *node, double share,
                         struct sk_prng *prng);
/* Just completed. */
void sk_swarm_done(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_top_up(struct sk_swarm *swarm, struct sk_swarm_node *node);

/* ---- swarm_link.c: connections, and who has told what to whom ---- */

void sk_swarm_connect(struct sk_swarm *swarm, struct sk_swarm_node *a, struct sk_swarm_node *b);
void sk_swarm_close(struct sk_swarm *swarm, struct sk_swarm_conn *conn);
struct sk_swarm_conn *sk_swarm_find(const struct sk_swarm_node *from,
                                    const struct sk_swarm_node *to);
/* The auditor's side of it, made at the first call. */
void sk_swarm_open_probe(struct sk_swarm *swarm, struct sk_swarm_node *node);
/* The node has the piece: nobody is asked for it, others hear of it soon. */
void sk_swarm_gain(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece);
void sk_swarm_show(struct sk_swarm *swarm, struct sk_swarm_conn *conn);
void sk_swarm_show_more(struct sk_swarm *swarm, struct sk_swarm_node *node);

/* ---- swarm_choke.c: who is unchoked ---- */

int sk_swarm_choke_init(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_choke_add(struct sk_swarm *swarm, struct sk_swarm_conn *conn);
void sk_swarm_choke_remove(struct sk_swarm *swarm, struct sk_swarm_conn *conn);
void sk_swarm_interest(struct sk_swarm *swarm, struct sk_swarm_conn *conn, bool interested);

/* ---- swarm_trade.c: blocks on their way ---- */

void sk_swarm_trade_init(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_unchoke(struct sk_swarm *swarm, struct sk_swarm_conn *conn);
void sk_swarm_choke(struct sk_swarm *swarm, struct sk_swarm_conn *conn);
/* Asks for as much as the pipeline takes. */
void sk_swarm_pump(struct sk_swarm *swarm, struct sk_swarm_conn *conn);
/* The same on all connections that wait for something to ask for. */
void sk_swarm_feed(struct sk_swarm *swarm, struct sk_swarm_node *node);
/* Takes the connection out of all queues, whatever is on its way. */
void sk_swarm_drop(struct sk_swarm *swarm, struct sk_swarm_conn *conn);

/* ---- swarm_pick.c: which block is asked for ---- */

bool sk_swarm_pick(struct sk_swarm *swarm, struct sk_swarm_conn *conn, uint32_t *ret_block);
/* The request came to nothing. Whether the block may be asked of others now. */
bool sk_swarm_release(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t block);
/* Whether it is still worth sending. */
bool sk_swarm_wanted(const struct sk_swarm *swarm, const struct sk_swarm_node *node,
                     uint32_t block);
/* Whether it does not hold the block. */
bool sk_swarm_lacks(const struct sk_swarm *swarm, const struct sk_swarm_node *node, uint32_t block);
/* A block came; false: nobody waits for it. */
bool sk_swarm_take(struct sk_swarm *swarm, const struct sk_swarm_conn *conn, uint32_t block);
/* No partial of the piece any more. */
void sk_swarm_forget(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece);
/* The connection begins no piece any more; those that it began are others' too. */
void sk_swarm_disown(struct sk_swarm_conn *conn);
/* Of pieces that are not whole. */
uint64_t sk_swarm_partial_bytes(const struct sk_swarm *swarm, const struct sk_swarm_node *node);

/* ---- swarm_watch.c: what the auditor sees ---- */

void sk_swarm_watch_init(struct sk_swarm *swarm, struct sk_swarm_node *node);
/* From now on connections to silent clients are renewed. */
void sk_swarm_renew_start(struct sk_swarm *swarm);
/* It is there; the auditor finds it, and connects where it can. */
void sk_swarm_watch(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_unwatch(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_saw_have(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t piece);
void sk_swarm_saw_done(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_saw_choke(struct sk_swarm *swarm, struct sk_swarm_node *node, bool unchoked);
void sk_swarm_probe_wish(struct sk_swarm *swarm, struct sk_swarm_node *node);
bool sk_swarm_probe_pick(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t *ret_block);
/* Its latest request came to nothing: it asks again from there. */
void sk_swarm_probe_drop(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t block);
void sk_swarm_probe_took(struct sk_swarm *swarm, struct sk_swarm_node *node, uint32_t block);

/* ---- swarm_report.c: what clients say to the tracker ---- */

/* SKEP_ERR_INVALID where not so many can lie like this. */
int sk_swarm_assign_cheats(struct sk_swarm *swarm);
void sk_swarm_report_init(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_report_start(struct sk_swarm *swarm, struct sk_swarm_node *node);
void sk_swarm_report_done(struct sk_swarm *swarm, struct sk_swarm_node *node);
/* told: with `stopped`; else it crashed. */
void sk_swarm_report_stop(struct sk_swarm *swarm, struct sk_swarm_node *node, bool told);

/* ---- swarm_own.c ---- */

/* The auditor's own announces begin, where it makes any. */
void sk_swarm_own_start(struct sk_swarm *swarm);

#endif
