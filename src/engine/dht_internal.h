/*
 * The DHT inside the engine: what dht*.c share. Layer: engine; private to this folder.
 *
 * dht.c          the node's life: time, hosts, addresses; runs and when they begin
 * dht_api.c      <skep/dht.h>: what is asked is checked and becomes a run
 * dht_event.c    what the node says of an ask or search, as events of <skep/dht.h>
 * dht_task.c     the same of tasks: put, get, crawl, size
 * dht_torrent.c  torrents' own lookups
 * dht_scrape.c   the union of filters
 *
 * A run is whatever somebody started: the program, through <skep/dht.h>, or a torrent. It does not
 * begin in the call that starts it but at the next tick, when the time is known and nobody's
 * function is running; a search or task then waits until the node has joined the network.
 *
 * The node is up while somebody wants it (<skep/runtime.h> says who), looked at with each tick and
 * datagram. Down, it has no time, and what it was told of waits.
 */
#ifndef SK_ENGINE_DHT_INTERNAL_H
#define SK_ENGINE_DHT_INTERNAL_H

#include "engine/dht_scrape.h"
#include "engine/internal.h"
#include "proto/dht/task.h"

#include <skep/dht.h>

#define SK_ENGINE_DHT_RATE 250.0 /* packets a second that we send, where nothing else is said */

enum sk_dht_run_kind {
    SK_DHT_RUN_ASK,
    SK_DHT_RUN_SEARCH,
    SK_DHT_RUN_TORRENT, /* a search of a torrent's own */
    SK_DHT_RUN_BLOB,
    SK_DHT_RUN_PORT_BLOB,
    SK_DHT_RUN_CRAWL,
    SK_DHT_RUN_SIZE,
};

struct sk_dht_run {
    uint64_t id;
    enum sk_dht_run_kind kind;
    skep_dht_fn fn;
    void *ctx;
    struct skep_torrent *torrent; /* RUN_TORRENT */
    unsigned families;            /* enum sk_krpc_want: where it asks */
    uint64_t started_ns;
    bool dead;             /* over or cancelled: swept when nobody looks at it any more */
    bool waiting;          /* not begun */
    bool name_waiting;     /* ask: its name is being looked up */
    bool due;              /* task: something happened that it should see to */
    int error;             /* it cannot begin: told as its end */
    const char *reason;    /* with error */
    uint64_t op;           /* of the node; 0 none */
    struct sk_dht_ask ask; /* RUN_ASK */
    struct sk_dht_search search;
    uint8_t salt[SK_KRPC_SALT_MAX];
    bool scrape;
    struct sk_dht_scrape scraped;
    struct sk_dht_task *task;
    uint64_t progress_ns;      /* when progress was last told */
    const char *progress_what; /* of that */
    struct sk_dht_run *next_task, *next_dead;
};

/* A host that knows others. */
struct sk_dht_host {
    char *name; /* NULL: `endpoint` says it */
    struct sk_endpoint endpoint;
    uint16_t port;
    uint64_t next_ns; /* when it is seen to again */
    uint32_t failures;
    bool waiting; /* being looked up */
    bool added;   /* the node knows it, or did */
};

struct sk_dht_add {
    struct sk_endpoint endpoint;
    bool bootstrap;
};

#define SK_DHT_TEXTS_MAX 1024 /* peers told in one event */

struct sk_engine_dht {
    struct sk_dht *node;
    bool up; /* somebody wants it; looked at with each tick */
    unsigned families;
    uint64_t started_ns;
    enum sk_scope bind_scope; /* of the bind address: what strangers may point us to */
    struct sk_engine_timer timer, hosts_timer;
    struct sk_dht_host hosts[SK_ENGINE_DHT_HOSTS_MAX];
    uint32_t hosts_count;
    struct sk_dht_add *adds; /* wait for the next tick */
    size_t adds_count, adds_capacity;
    uint64_t nodes_ns;  /* since when nodes of an earlier run are being tried; 0 there are none */
    struct sk_map runs; /* id -> struct sk_dht_run: what is not over */
    struct sk_map ops;  /* the node's number -> struct sk_dht_run */
    struct sk_dht_run *tasks, *dead;
    uint32_t waiting_count; /* runs that have not begun */
    uint64_t next_id;
    bool pumping;
    bool started; /* a run was made since they were looked through */
    /* What an event points to. */
    char texts[SK_DHT_TEXTS_MAX][SK_ENDPOINT_TEXT_MAX];
    const char *peers[SK_DHT_TEXTS_MAX];
    struct skep_dht_closest closest[2 * SK_DHT_SEARCH_K_MAX];
};

/* dht.c */
/* Adds an address at the next tick. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
int sk_engine_dht_add(struct skep_engine *engine, const struct sk_endpoint *endpoint,
                      bool bootstrap);
/* Whether a stranger may aim the node there. */
bool sk_engine_dht_may_ask(const struct sk_engine_dht *dht, const struct sk_endpoint *endpoint);
/* Of a family: as the node says, and as the hosts that are to be looked up make it. */
enum skep_dht_standing sk_engine_dht_standing(const struct sk_engine_dht *dht,
                                              enum sk_family family);
/* Whether any network is ready; whether any is joining. */
bool sk_engine_dht_ready(const struct sk_engine_dht *dht, unsigned families);
bool sk_engine_dht_joining(const struct sk_engine_dht *dht, unsigned families);
/* When OFFLINE is tried to be overcome next; SK_TIME_NEVER. */
uint64_t sk_engine_dht_retry_ns(const struct sk_engine_dht *dht, enum sk_family family);
/* Whether somebody wants the node by now, or still: up or down. */
void sk_engine_dht_review(struct skep_engine *engine);
/* Has the next tick come at once. */
void sk_engine_dht_wake(struct skep_engine *engine);

/* A run that waits, numbered. SKEP_ERR_LIMIT, SKEP_ERR_NOMEM. */
int sk_dht_run_new(struct skep_engine *engine, enum sk_dht_run_kind kind,
                   struct sk_dht_run **ret_run);
/* It is over, or nobody wants it any more: no event of it follows. Freed when that is safe. */
void sk_dht_run_end(struct skep_engine *engine, struct sk_dht_run *run);
/* Calls the run's function as a hook is called. */
void sk_dht_run_tell(struct skep_engine *engine, struct sk_dht_run *run,
                     const struct skep_dht_event *event);

/* dht_event.c */
void sk_dht_run_on_event(struct skep_engine *engine, struct sk_dht_run *run,
                         const struct sk_dht_event *event);
/* It could not begin: run->error. */
void sk_dht_run_failed(struct skep_engine *engine, struct sk_dht_run *run);

/* dht_task.c */
/* Tells what the task has to tell; ends the run with it. */
/* Whether an event of a task's own search is shown to the program: those for the root of a blob. */
bool sk_dht_run_shows(const struct sk_dht_run *run, const struct sk_dht_event *event);
void sk_dht_run_notes(struct skep_engine *engine, struct sk_dht_run *run);

/* dht_torrent.c */
void sk_dht_torrent_event(struct skep_engine *engine, struct sk_dht_run *run,
                          const struct sk_dht_event *event);
void sk_dht_torrent_failed(struct sk_dht_run *run);

#endif
