/*
 * One web seed of a torrent (BEP 19): what is asked of an http server, and what its answers mean.
 * Layer: swarm. Pure: it fetches nothing and reads no clock.
 *
 * Its owner begins a run: a stretch of the space of the pieces, from the beginning of a block on. A
 * run is one request for each file that it touches, one after the other, so that a connection is
 * used well. What comes is cut into blocks; padding (BEP 47) and the space between the files of a
 * v2 torrent are never fetched.
 *
 *   IDLE (maybe waits until until_ns) -> RUNNING -> IDLE
 *   any -> DROPPED: it gave what is wrong, has nothing, or may not be asked; `reason` says which
 *
 * A file's address is the web seed's own, with the torrent's name (where it ends in a slash, or the
 * torrent has several files) and the path, escaped. Names that were made safe (wire/metainfo.h) are
 * asked for as they are now. Where a redirect led is remembered for each file and asked directly,
 * until that fails.
 *
 * A server that answers a range with 200 gives the whole file: the run goes on from the file's
 * beginning to its end then, and the owner takes of it what it can use. A file that is not there,
 * or has another length, is taken for missing: its pieces leave `have`. (After
 * SK_WEBSEED_LOSSES_MAX such files in a row the next one has to wait: a torrent of many files must
 * not have us hammer a server that knows nothing of it.) All else that fails is tried again after 5
 * s, twice as long each time up to SK_WEBSEED_WAIT_MAX_NS, or when the server says (Retry-After).
 *
 * Memory: a block, a bit a piece, and at most SK_WEBSEED_MOVED_MAX addresses.
 */
#ifndef SK_SWARM_WEBSEED_H
#define SK_SWARM_WEBSEED_H

#include "base/bitfield.h"
#include "base/endpoint.h"
#include "swarm/assembly.h" /* struct sk_block */

#define SK_WEBSEED_REASON_MAX 192
#define SK_WEBSEED_WAIT_NS (5 * UINT64_C(1000000000))
#define SK_WEBSEED_WAIT_MAX_NS (600 * UINT64_C(1000000000))
#define SK_WEBSEED_RETRY_AFTER_MAX_S 3600 /* a server is obeyed for so long */
#define SK_WEBSEED_LOSSES_MAX 8
#define SK_WEBSEED_UNKNOWN UINT64_MAX

struct sk_metainfo;

enum sk_webseed_state { SK_WEBSEED_IDLE, SK_WEBSEED_RUNNING, SK_WEBSEED_DROPPED };

/* Of the request that was told last. */
enum sk_webseed_request_state {
    SK_WEBSEED_NO_REQUEST,
    SK_WEBSEED_ASKED,   /* no answer yet */
    SK_WEBSEED_READING, /* the answer is what was asked for */
};

struct sk_webseed_moved {
    uint32_t file;
    enum sk_scope scope;
    char *url; /* NULL: free place */
};

struct sk_webseed {
    const struct sk_metainfo *metainfo; /* NULL until sk_webseed_open() */
    char *url;
    enum sk_scope scope; /* what its addresses may stand for */
    enum sk_webseed_state state;
    char reason[SK_WEBSEED_REASON_MAX]; /* of the last failure; "" none since */
    struct sk_bitfield have;
    /* Pieces of a file that turned out to be missing, lost_first to before lost_end; the owner
     * takes them out of `have`. */
    uint32_t lost_first, lost_end;
    uint64_t until_ns; /* IDLE: not asked before */
    unsigned failures; /* in a row */
    unsigned losses;   /* files that are missing, in a row */
    uint64_t at, end;  /* the run: the next byte that is to come, and its end */
    enum sk_webseed_request_state request;
    uint32_t file;        /* that the request is for */
    uint64_t request_end; /* in the space of the pieces */
    uint8_t *block;
    uint32_t filled; /* bytes of the block that begins so many before `at` */
    bool fetched;    /* any of them */
    bool answered;   /* ever, whatever it said */
    struct sk_webseed_moved moved[SK_WEBSEED_MOVED_MAX];
    unsigned moved_next;
    char address[SK_WEBSEED_URL_MAX]; /* of the request */
};

/* The address of a file of the torrent at this web seed; false where it is too long. */
bool sk_webseed_address(const char *url, const struct sk_metainfo *metainfo, uint32_t file,
                        char ret_address[SK_WEBSEED_URL_MAX]);

/* The URL is copied. SKEP_ERR_NOMEM. */
int sk_webseed_init(struct sk_webseed *seed, const char *url, enum sk_scope scope);
/* The metadata is known (borrowed): it is taken to have all pieces. SKEP_ERR_NOMEM. */
int sk_webseed_open(struct sk_webseed *seed, const struct sk_metainfo *metainfo);
void sk_webseed_deinit(struct sk_webseed *seed);

/* Whether a run may begin. */
bool sk_webseed_ready(const struct sk_webseed *seed, uint64_t now_ns);
/* Begins a run from `from`, where a block begins, to before `to`. */
void sk_webseed_begin(struct sk_webseed *seed, uint64_t from, uint64_t to);

enum sk_webseed_want {
    SK_WEBSEED_NOTHING, /* waits: for the answer, or for more of it */
    SK_WEBSEED_GET,     /* `url`, from byte `from`, `length` bytes */
    SK_WEBSEED_BLOCK,   /* `block` is here: `data` */
    SK_WEBSEED_OVER,    /* the run; RUNNING no more. What failed is in `reason` */
};
struct sk_webseed_out {
    struct sk_block block;
    bool padding;        /* the block is nothing else */
    const uint8_t *data; /* until the next call, or in the input */
    const char *url;     /* until the next call */
    enum sk_scope scope;
    uint64_t from, length;
};
/* What is to be done next; takes from `input` what it used. */
enum sk_webseed_want sk_webseed_next(struct sk_webseed *seed, struct sk_bytes *input,
                                     uint64_t now_ns, struct sk_webseed_out *ret_out);

/* The head of an answer, after all redirects. */
struct sk_webseed_head {
    int status;
    uint64_t first, total; /* of Content-Range, or SK_WEBSEED_UNKNOWN */
    uint64_t length;       /* of the body, or SK_WEBSEED_UNKNOWN */
    uint32_t retry_after_s;
    bool moved; /* by a redirect, to `url`, which may stand for addresses of `scope` */
    const char *url;
    enum sk_scope scope;
};
/* False: the body is of no use, and the run is over. */
bool sk_webseed_head(struct sk_webseed *seed, const struct sk_webseed_head *head, uint64_t now_ns);
/* The answer ended; error: before its end (NULL: not). */
void sk_webseed_ended(struct sk_webseed *seed, const char *error, uint64_t now_ns);
/* The run could not be carried out. */
void sk_webseed_fail(struct sk_webseed *seed, const char *reason, uint64_t now_ns);
/* The run is not wanted any more. */
void sk_webseed_stop(struct sk_webseed *seed);
/* For good. */
__attribute__((format(printf, 2, 3))) void sk_webseed_drop(struct sk_webseed *seed,
                                                           const char *format, ...);

#endif
