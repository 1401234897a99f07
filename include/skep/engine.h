/*
 * The engine of skep: torrents, their peers, and hooks on everything that peers say.
 *
 * A program makes a runtime (skep/runtime.h), adds torrents, registers hooks and runs. Hooks are
 * served from the engine's event queue, one at a time and never from inside a protocol state
 * machine: a hook may call any function of this header, also ones that end the peer it is about.
 * Views in an event (data) live until the hook returns. One thread.
 */
#ifndef SKEP_ENGINE_H
#define SKEP_ENGINE_H

#include <skep/err.h>
#include <skep/message.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct skep_engine;
struct skep_torrent;
struct skep_peer; /* one open connection to a peer */

enum skep_event_kind {
    SKEP_EVENT_HEARD,   /* an address was told by a source: text = "ip:port", source, is_new */
    SKEP_EVENT_LOST,    /* a peer told by PEX that it lost the connection to address `text` */
    SKEP_EVENT_DIALED,  /* a connection attempt began: text = address, encryption offered */
    SKEP_EVENT_FAILED,  /* all attempts failed, or will be made again: text = address, reason, final
                         */
    SKEP_EVENT_OPEN,    /* handshakes are through: peer */
    SKEP_EVENT_ADDRESS, /* an incoming peer's listening address was learned: text = the old one */
    SKEP_EVENT_CLIENT,  /* the extension handshake came: peer */
    SKEP_EVENT_HAVE_SET, /* peer's whole set of pieces is known anew (bitfield, have-all, -none) */
    SKEP_EVENT_MESSAGE,  /* any message: peer, message */
    SKEP_EVENT_ARRIVAL,  /* block bytes came in, a whole block or not: peer */
    SKEP_EVENT_BLOCK,    /* a block that was requested: peer, message, rtt_ns */
    SKEP_EVENT_REJECTED, /* a request came to nothing: peer, message */
    SKEP_EVENT_SENT,     /* we gave a block: peer, message.index, begin, length */
    SKEP_EVENT_CLOSED,   /* the connection ended: peer, reason; the peer is gone afterwards */
    SKEP_EVENT_METADATA, /* the torrent's metadata is known (also at the start of a run) */
    SKEP_EVENT_CLAIM,    /* a tracker answered: text = its address, claim; "dht": a lookup ended */
    SKEP_EVENT_CLAIM_FAILED, /* a tracker failed: text = its address, reason = its words, claim:
                                only next_draw_ns and scrape; "dht": no node answered a lookup */
    SKEP_EVENT_STORED,       /* skep_torrent_store() or _keep() ended: piece, error */
    SKEP_EVENT_LEAVES,       /* block hashes of `piece` are here: see skep_torrent_verify_block() */
    SKEP_EVENT_KIND_COUNT,
};

/* Where an address came from. */
enum skep_source {
    SKEP_SOURCE_TRACKER = 1,
    SKEP_SOURCE_PEX = 2,
    SKEP_SOURCE_DHT = 4,
    SKEP_SOURCE_LSD = 8,
    SKEP_SOURCE_GIVEN = 16,
    SKEP_SOURCE_INCOMING = 32,
};

struct skep_claim {
    int64_t seeds, leechers, downloads; /* -1: not said */
    uint32_t peers;                     /* addresses in this answer */
    uint64_t next_draw_ns;              /* when the tracker may be asked again */
    uint32_t nodes;                     /* "dht": that gave the numbers (BEP 33 estimates) */
    bool scrape;                        /* the answer of a scrape, not of an announce */
    /* Of an announce of ours that was answered. */
    uint64_t asked_ns;   /* when it was sent, the first time; 0: there was none */
    uint64_t downloaded; /* bytes that it said we downloaded */
    bool started;        /* it said that we begin */
};

struct skep_event {
    enum skep_event_kind kind;
    uint64_t now_ns; /* monotonic */
    struct skep_torrent *torrent;
    struct skep_peer *peer;
    struct skep_message message;
    struct skep_claim claim;
    const char *text;
    const char *reason;
    const char *by; /* HEARD, LOST through PEX: the address of the peer that told */
    enum skep_source source;
    bool is_new;
    bool final;     /* FAILED, CLOSED: the address will not be dialled again */
    unsigned flags; /* HEARD through PEX: its flags; DIALED: 1 when encrypted */
    uint64_t rtt_ns;
    uint32_t piece;
    int error;
};

typedef void (*skep_hook_fn)(const struct skep_event *event, void *ctx);

/* Registers for one kind of event. SKEP_ERR_NOMEM, SKEP_ERR_LIMIT (64 hooks). */
int skep_engine_hook(struct skep_engine *engine, enum skep_event_kind kind, skep_hook_fn fn,
                     void *ctx);
/* Registers for SKEP_EVENT_MESSAGE of one kind of message. */
int skep_engine_hook_message(struct skep_engine *engine, enum skep_message_kind kind,
                             skep_hook_fn fn, void *ctx);
/*
 * Reserves a place in every peer for a state of the caller's own. `free_fn` (may be NULL) is called
 * with what is in it when the peer goes. Returns the slot (>= 0), SKEP_ERR_LIMIT (4 slots).
 */
int skep_engine_reserve_slot(struct skep_engine *engine, void (*free_fn)(void *));
void skep_peer_set_data(struct skep_peer *peer, int slot, void *data);
void *skep_peer_data(const struct skep_peer *peer, int slot);

/*
 * Adds a torrent by target: the bytes of a .torrent (skep_engine_add_file), or a magnet link or
 * info-hash as text. `ret_reason` (may be NULL): a static phrase on failure. Errors: MALFORMED,
 * MISMATCH, UNSUPPORTED, LIMIT, NOMEM.
 */
int skep_engine_add_file(struct skep_engine *engine, const void *bytes, size_t n,
                         struct skep_torrent **ret_torrent, const char **ret_reason);
int skep_engine_add_link(struct skep_engine *engine, const char *link,
                         struct skep_torrent **ret_torrent, const char **ret_reason);
/* One more tracker, or peer address ("ip:port", "[ip6]:port" or "name:port"). */
int skep_torrent_add_tracker(struct skep_torrent *torrent, const char *url);
int skep_torrent_add_peer(struct skep_torrent *torrent, const char *address);
/* Begins: trackers are asked, peers dialled. */
int skep_torrent_start(struct skep_torrent *torrent, uint64_t now_ns);
/* Says goodbye to the trackers and closes all connections. */
void skep_torrent_stop(struct skep_torrent *torrent, uint64_t now_ns);
/* The last missing piece was stored: the trackers hear of it, once. For who downloads; what was
 * found on the disk when it began is no such event. Nothing happens while pieces are missing. */
void skep_torrent_completed(struct skep_torrent *torrent);
/* Whether everything that stop began is over. */
bool skep_torrent_stopped(const struct skep_torrent *torrent);

/* What is known of a torrent. Before the metadata: name may be NULL, numbers 0. */
const uint8_t *skep_torrent_info_hash(const struct skep_torrent *torrent); /* 20 bytes */
const uint8_t *skep_torrent_hash_v2(const struct skep_torrent *torrent);   /* 32 bytes or NULL */
const char *skep_torrent_name(const struct skep_torrent *torrent);
bool skep_torrent_has_metadata(const struct skep_torrent *torrent);
uint64_t skep_torrent_size(const struct skep_torrent *torrent);
uint32_t skep_torrent_pieces(const struct skep_torrent *torrent);
uint32_t skep_torrent_piece_size(const struct skep_torrent *torrent);
/* Without padding. */
uint32_t skep_torrent_files(const struct skep_torrent *torrent);
/* Bytes of this piece as peers send it. */
uint32_t skep_torrent_piece_length(const struct skep_torrent *torrent, uint32_t piece);
/* Bytes of files in it: the same without padding. */
uint32_t skep_torrent_piece_data(const struct skep_torrent *torrent, uint32_t piece);
/* 1 right, 0 wrong, SKEP_ERR_NOT_FOUND no hash known (yet; v2 hashes come from peers). */
int skep_torrent_verify(const struct skep_torrent *torrent, uint32_t piece, const void *bytes,
                        size_t n);
/* The same for one 16 KiB block of a v2 piece, once skep_peer_request_leaves() brought its hashes.
 */
int skep_torrent_verify_block(const struct skep_torrent *torrent, uint32_t piece, uint32_t begin,
                              const void *bytes, size_t n);
/* Whether hashes that verify pieces are still to come from peers (v2 torrents from a magnet). */
bool skep_torrent_hashes_waiting(const struct skep_torrent *torrent);
/* Connections open, and addresses that wait to be dialled or are being dialled. */
uint32_t skep_torrent_open(const struct skep_torrent *torrent);
uint32_t skep_torrent_untried(const struct skep_torrent *torrent);
/* Of them those that wait for a place: not those that skep_peer_renew() keeps one for. */
uint32_t skep_torrent_queued(const struct skep_torrent *torrent);
/* Peers given by name whose addresses are being looked up. */
uint32_t skep_torrent_names_waiting(const struct skep_torrent *torrent);
/* How many more connections can be made now: up to connections_max, or to what the system had
 * sockets for. */
uint32_t skep_engine_room(const struct skep_engine *engine);
/* Trackers whose answer to the first announce is still awaited. */
uint32_t skep_torrent_trackers_waiting(const struct skep_torrent *torrent);
/* Whether the first lookup in the DHT is awaited: it is under way, or the node is joining the
 * network and was not yet given long enough for it. */
bool skep_torrent_dht_waiting(const struct skep_torrent *torrent);
/* Keeps a verified piece (needs `save_dir`); SKEP_EVENT_STORED follows. With `give` it is then
 * announced and served to the swarm. SKEP_ERR_STATE without a directory, SKEP_ERR_INVALID for a
 * piece or size that cannot be, SKEP_ERR_LIMIT while the disk is behind. */
int skep_torrent_store(struct skep_torrent *torrent, uint32_t piece, const void *bytes, size_t n);
/* The same for a piece that nobody looked at yet: it is hashed, beside everything else, and stored
 * where it is right; where not, SKEP_EVENT_STORED comes with SKEP_ERR_MISMATCH. The bytes are lent
 * until then. SKEP_ERR_NOT_FOUND also where its hash is not known (yet). */
int skep_torrent_keep(struct skep_torrent *torrent, uint32_t piece, const void *bytes, size_t n);
/* The pieces that are stored, as a bitfield; NULL before the metadata is known. Lives until the
 * next call of any function here. */
const uint8_t *skep_torrent_stored(const struct skep_torrent *torrent, size_t *ret_n);
/* The piece is on the disk already and right: announced and served as if it had been stored.
 * SKEP_ERR_INVALID. */
int skep_torrent_has_stored(struct skep_torrent *torrent, uint32_t piece);

/* Nothing more of it is wanted, though there is more (a partial seed, BEP 21), or again is: peers
 * and trackers are told, and peers are unchoked as a seed does it. */
void skep_torrent_set_upload_only(struct skep_torrent *torrent, bool upload_only);

/* Nobody at this IP address ("ip:port", of loopback this port, of public IPv6 its /64) is dialled
 * or let in again while the torrent runs, and who is connected goes: as skep_peer_ban(), for who
 * has left. SKEP_ERR_INVALID, SKEP_ERR_NOMEM, SKEP_ERR_LIMIT. */
int skep_torrent_ban(struct skep_torrent *torrent, const char *address);

/* What is known of a peer. Texts live as long as the peer; client is "" before it is known. */
const char *skep_peer_address(const struct skep_peer *peer); /* "ip:port", as reported */
const uint8_t *skep_peer_id(const struct skep_peer *peer);   /* 20 bytes */
const char *skep_peer_client(const struct skep_peer *peer);  /* escaped, safe to print */
bool skep_peer_incoming(const struct skep_peer *peer);
bool skep_peer_encrypted(const struct skep_peer *peer);
bool skep_peer_utp(const struct skep_peer *peer);        /* else TCP */
bool skep_peer_choked(const struct skep_peer *peer);     /* whether it chokes us */
bool skep_peer_fast(const struct skep_peer *peer);       /* BEP 6 on both sides */
bool skep_peer_pex(const struct skep_peer *peer);        /* it exchanges peers (BEP 11) */
int skep_peer_upload_only(const struct skep_peer *peer); /* 1, 0, -1 not said */
bool skep_peer_has_set(const struct skep_peer *peer);    /* a bitfield or the like came */
bool skep_peer_has(const struct skep_peer *peer, uint32_t piece);
uint32_t skep_peer_have_count(const struct skep_peer *peer);
const uint8_t *skep_peer_bitfield(const struct skep_peer *peer, size_t *ret_n); /* NULL unknown */
bool skep_peer_allowed_fast(const struct skep_peer *peer, uint32_t piece);
/* Whether it holds a piece that it gives although it chokes us (BEP 6). */
bool skep_peer_offers(const struct skep_peer *peer);
uint64_t skep_peer_payload_in(const struct skep_peer *peer); /* block bytes, unfinished included */
uint64_t
skep_peer_connect_ns(const struct skep_peer *peer); /* how long connecting took; 0 unknown */
uint32_t skep_peer_request_max(const struct skep_peer *peer); /* requests it takes at once */
uint32_t skep_peer_pending(const struct skep_peer *peer);     /* our requests on the way */

/* What one can do with it. SKEP_ERR_STATE when it is closing, SKEP_ERR_LIMIT, SKEP_ERR_NOMEM. */
int skep_peer_interest(struct skep_peer *peer, bool interested);
int skep_peer_request(struct skep_peer *peer, uint32_t piece, uint32_t begin, uint32_t length);
/* Tells the peer of a stored piece, and gives it (config.give_chosen). SKEP_ERR_STATE also where it
 * is not stored, or nothing is given so; SKEP_ERR_LIMIT after SK_ENGINE_OFFERS_MAX of them. */
int skep_peer_offer(struct skep_peer *peer, uint32_t piece);
int skep_peer_cancel(struct skep_peer *peer, uint32_t piece, uint32_t begin, uint32_t length);
/* Asks for the hashes of a v2 piece's blocks; SKEP_EVENT_LEAVES follows when they are right.
 * SKEP_ERR_UNSUPPORTED: no v2 torrent or peer, or the piece's own hash is not known. */
int skep_peer_request_leaves(struct skep_peer *peer, uint32_t piece);
void skep_peer_close(struct skep_peer *peer);
/* The same, and its address is dialled again after so long: a new connection begins with what it
 * holds. Where it cannot be reached at once that is tried a few times more; SKEP_EVENT_FAILED then
 * tells of each. Until it is open again, or these have failed, its place among the connections_max
 * is kept for it. SKEP_ERR_STATE, SKEP_ERR_NOMEM (it is closed, too); SKEP_ERR_UNSUPPORTED: neither
 * we nor, as they say, others ever reached it; nothing was done. */
int skep_peer_renew(struct skep_peer *peer, uint64_t now_ns, uint64_t wait_ns);
/* The same for good: nobody at its IP address is dialled or let in again while the torrent runs.
 * For who gave what is wrong. */
void skep_peer_ban(struct skep_peer *peer);

#endif
