/*
 * A runtime: an engine with the world attached (sockets, names, HTTP, disk, clock) on one thread.
 */
#ifndef SKEP_RUNTIME_H
#define SKEP_RUNTIME_H

#include <skep/engine.h>

struct skep_runtime;

enum skep_encryption {
    SKEP_ENCRYPTION_PREFER, /* MSE first, then plain */
    SKEP_ENCRYPTION_ALLOW,  /* plain first, then MSE */
    SKEP_ENCRYPTION_REQUIRE,
    SKEP_ENCRYPTION_OFF,
};

/* As bits. */
enum skep_transport { SKEP_TRANSPORT_TCP = 1, SKEP_TRANSPORT_UTP = 2 };

struct skep_config {
    const char *bind; /* address that every socket is bound to; NULL = all. Fail-closed. */
    /*
     * A SOCKS5 proxy, "[USER:PASSWORD@]ADDRESS:PORT", as the only way out; NULL = none.
     * Fail-closed: all connections go through it, names are looked up there, nothing listens, LSD
     * is off; UDP goes through it where it relays that, else see skep_runtime_no_udp().
     * `socks_account`: "USER:PASSWORD", before what `socks` says. Both are copied.
     */
    const char *socks, *socks_account;
    double socks_s; /* how long it may take to let us in, when the runtime begins; at most 15 */
    uint16_t port;  /* TCP and UDP; 0 = the system chooses */
    bool no_listen; /* no incoming connections */
    bool no_trackers, no_pex, no_lsd, no_dht;
    bool no_udp; /* nothing can be sent by UDP: no uTP, no DHT, no tracker over UDP */
    enum skep_encryption encryption;
    unsigned transports; /* enum skep_transport: how peers are dialled; both: uTP where TCP does not
                            answer within 0.3 s, the first through goes on; 0 = TCP alone.
                            Who comes in may use TCP, and uTP where it is among these */
    uint32_t connections_max; /* at most half of it come in, or are being made; 0 = 2,000 */
    bool lasting; /* addresses that fail are dialled again, with back-off, for as long as it runs;
                     else (an audit) only those that hung up, once */
    uint32_t connect_rate;       /* public addresses dialled a second; 0 = 200 */
    uint64_t rate_limit_bytes_s; /* download; 0 = none */
    const char *save_dir;        /* pieces given to skep_torrent_store() go here; NULL = nowhere */
    bool give;                   /* serve stored pieces */
    uint64_t give_limit_bytes_s; /* upload of blocks; 0 = none */
    bool give_chosen;    /* tell and give each peer what skep_peer_offer() says, and nothing else */
    bool super_seed;     /* tell each peer of few pieces, the rarest (BEP 16) */
    uint32_t give_slots; /* peers unchoked at a time; 0 = by the rate */
    bool announce;       /* started torrents are announced in the DHT too, not only looked
                            up; private ones never are either */
    uint64_t seed;       /* of all randomness; 0 = the system's entropy */

    /*
     * The DHT node (skep/dht.h), on the same UDP port; none with `no_dht`. It is up while somebody
     * wants it: what was started through skep/dht.h and is not over; a torrent, until it is stopped
     * or known to be private (BEP 27); in an engine to which no torrent was added, the program
     * itself. Else it is down: it sends nothing, takes nothing in and looks no name up. So a
     * private torrent alone never brings it up, and a magnet whose metadata says private sends it
     * down unless others want it. Up, it sends nothing before it is told of a host, a node or a
     * peer that has one.
     */
    bool dht_read_only; /* BEP 43: asks and answers nothing */
    bool dht_any_id;    /* ids need not fit their addresses (BEP 42), ours and others' */
    double dht_rate;    /* packets a second that it sends, answers included; 0 = 250. Negative = no
                           limit, neither on these nor on what others may ask of it */
    const uint8_t *dht_id, *dht_id6; /* its ids of an earlier run, 20 bytes, for IPv4 and IPv6;
                                        NULL = drawn. Kept only where it fits the address */
};

/*
 * SKEP_ERR_INVALID (bind or socks is no address), SKEP_ERR_NETWORK (cannot bind or listen, or the
 * proxy does not let us in; `ret_reason` says why, static or valid until the next call),
 * SKEP_ERR_NOMEM. With a proxy it takes as long as that takes to answer.
 */
int skep_runtime_new(const struct skep_config *config, struct skep_runtime **ret_runtime,
                     const char **ret_reason);
void skep_runtime_free(struct skep_runtime *runtime);
struct skep_engine *skep_runtime_engine(struct skep_runtime *runtime);
/* The port that it listens on; 0 when it does not. */
uint16_t skep_runtime_port(const struct skep_runtime *runtime);
/* Its UDP port, which is there in any case. */
uint16_t skep_runtime_udp_port(const struct skep_runtime *runtime);
/* Why the proxy relays no UDP: then there is no uTP, no DHT and no tracker over UDP. NULL: it does,
 * or there is no proxy. Lives as long as the runtime. */
const char *skep_runtime_no_udp(const struct skep_runtime *runtime);
/* Monotonic time in ns, as in events. */
uint64_t skep_runtime_now(const struct skep_runtime *runtime);
/* Runs until skep_runtime_stop() or for at most `seconds` (< 0: without end). */
int skep_runtime_run(struct skep_runtime *runtime, double seconds);
/* Ends skep_runtime_run() soon; may be called from hooks, timers and signal callbacks. */
void skep_runtime_stop(struct skep_runtime *runtime);
/* Calls fn every `seconds` while the runtime runs; one timer, NULL ends it. */
int skep_runtime_every(struct skep_runtime *runtime, double seconds,
                       void (*fn)(struct skep_runtime *runtime, void *ctx), void *ctx);
/* Calls fn on SIGINT and SIGTERM while the runtime runs. */
int skep_runtime_on_signal(struct skep_runtime *runtime,
                           void (*fn)(struct skep_runtime *runtime, int signal, void *ctx),
                           void *ctx);

#endif
