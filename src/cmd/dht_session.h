/*
 * One run of a command of the DHT: options, a node, and the way into the network. Layer: cmd.
 *
 *   parse -> check -> open -> prepare -> run (begin) -> finish -> close
 *
 * A command says what it does in a `begin` function, which is called once when there is somebody to
 * ask; from there on its own callbacks go on until one of them calls sk_dht_session_end(). Being
 * offline is no failure as such: the node tries again with back-off, and this says so; who has no
 * time to wait for that gives up after SK_DHT_PATIENCE_S, or after --time.
 *
 * Nodes that were met are kept in the state directory, which makes the next start quick. A node
 * that stays (`stays`) has the same id each time; one that only asks draws a new one.
 */
#ifndef SK_CMD_DHT_SESSION_H
#define SK_CMD_DHT_SESSION_H

#include <skep/dht.h>
#include <skep/runtime.h>

#include "cmd/cmd.h"
#include "cmd/dht_nodes.h"
#include "cmd/dht_trace.h"
#include "cmd/frame.h"
#include "cmd/options.h"
#include "store/anonymizer.h"

#define SK_DHT_PATIENCE_S 20.0 /* for the first answer of anybody */
#define SK_DHT_LINE_MAX 256
#define SK_DHT_FATES_MAX 4 /* hosts of which it is told why they are of no use */

/* Sets of 1 << enum sk_format. */
#define SK_DHT_TEXT_JSON (1u << SK_FORMAT_TEXT | 1u << SK_FORMAT_JSON)
#define SK_DHT_ALL_FORMATS (SK_DHT_TEXT_JSON | 1u << SK_FORMAT_JSONL | 1u << SK_FORMAT_CSV)

enum sk_dht_stop {
    SK_DHT_RUNNING,
    SK_DHT_ENDED,       /* the command came to its end */
    SK_DHT_INTERRUPTED, /* by a signal */
    SK_DHT_TIME_UP,     /* --time */
    SK_DHT_NOBODY,      /* nobody to ask: begin was not called */
};

enum sk_dht_way {
    SK_DHT_WAY_JOIN,  /* begins when there is somebody to ask */
    SK_DHT_WAY_ALONE, /* begins at once, and asks nobody but whom the command names */
    SK_DHT_WAY_SERVE, /* begins at once, and joins the network meanwhile */
};

struct sk_dht_session {
    /* What the command says before it parses */
    const char *name; /* "put" */
    unsigned formats; /* that it can write */
    enum sk_format format_usual;
    const char *unfinished; /* "before all was fetched": what is missing when it is cut short */
    bool stays;             /* answers others, keeps its id */
    enum sk_dht_way way;
    /* Appends what is shown on stderr meanwhile: for a terminal lines no wider than the screen,
     * else one line. May be NULL. */
    void (*show)(void *ctx, enum sk_progress how, const struct sk_screen *screen,
                 struct sk_buf *out);
    void (*on_tick)(void *ctx); /* ten times a second after begin; may be NULL */
    /* Steps of sk_dht_session_main(), each may be NULL. They complain and return an exit code. */
    int (*check)(void *ctx);   /* whether the options go together */
    int (*prepare)(void *ctx); /* with the node made, before the network is joined */
    /* After the run, whose code is given, also of one that was cut short before it could begin; not
     * after NOBODY. Where it returns PARTIAL, that is said. */
    int (*finish)(void *ctx, int code);

    /* What the user says */
    struct sk_options options;
    bool read_only, any_id, tracing;
    double rate;     /* 0 default, negative no limit */
    unsigned family; /* 4, 6, 0 both */

    /* The run */
    struct skep_runtime *runtime;
    struct skep_engine *engine;
    struct sk_dht_nodes nodes;
    struct sk_anonymizer anonymizer;
    struct sk_dht_trace trace;
    struct skep_dht_result so_far; /* see sk_dht_session_so_far() */
    struct sk_frame frame;
    char said[SK_DHT_LINE_MAX]; /* the last line that was shown off a terminal */
    enum sk_progress shows;
    size_t hosts;
    struct sk_dht_fate {
        const char *reason;    /* why it is of no use; NULL: see answered */
        bool answered;         /* and is no help all the same */
        bool waiting;          /* being found out */
    } fates[SK_DHT_FATES_MAX]; /* of the first hosts of --bootstrap */
    bool wondering;            /* fates were asked for */
    uint64_t started_ns, seed; /* seed: of what is drawn */
    double started_unix_s, next_show_s, next_save_s, ready_s;
    void (*begin)(void *ctx);
    void *ctx;
    bool begun, offline, output_failed;
    enum sk_dht_stop stop;
    int code, interrupts;
};

struct argp;
/* argp children; their input is the session. With and without --port; --trace alone. */
extern const struct argp sk_dht_argp, sk_dht_portless_argp, sk_dht_trace_argp;

/* For a command's parser on ARGP_KEY_INIT: every child works on the session. */
int sk_dht_session_children(struct sk_dht_session *session, struct argp_state *state);
/* Complains and ends the program (exit code 2) where `ok` is false. */
void sk_dht_expect(bool ok, const char *option, const char *arg, const char *expected);

/*
 * A whole run, from the command line (read into `input`, which also is what the callbacks are
 * given) to the exit code: that of sk_dht_session_end(), PARTIAL when interrupted or out of time,
 * NETWORK when there was nobody to ask. `session->stop` says which. Nodes that were met are saved
 * and everything is freed, whatever fails.
 */
int sk_dht_session_main(struct sk_dht_session *session, const struct argp *argp, int argc,
                        char **argv, void (*begin)(void *ctx), void *input);
/* From a callback: the run is over, with this exit code. */
void sk_dht_session_end(struct sk_dht_session *session, int code);
/* The same for what could not be started, or went wrong: complains, NULL reason: the error's own
 * words. */
void sk_dht_session_fail(struct sk_dht_session *session, int err, const char *reason);
double sk_dht_session_seconds(const struct sk_dht_session *session);
/* Of the networks that are there the one that is wanted: IPv4 where both are, 4 or 6. */
unsigned sk_dht_session_family(const struct sk_dht_session *session);
/* --rate for those who want a number of queries a second: 0 the default. */
double sk_dht_session_rate(const struct sk_dht_session *session);
/* One line on stderr unless --quiet, beside what is shown there. */
__attribute__((format(printf, 2, 3))) void sk_dht_say(struct sk_dht_session *session,
                                                      const char *format, ...);
/* Takes what is shown off the terminal, so that something can be printed. Returns stdout. */
FILE *sk_dht_stdout(struct sk_dht_session *session);
/* Writes out what was printed; complains where that fails; an exit code. */
int sk_dht_flush(struct sk_dht_session *session);
/* Takes note of an event: counts those of a search, and shows it where --trace wants it. False: the
 * run is over, and what still comes with its last moment is no part of it. */
bool sk_dht_session_event(struct sk_dht_session *session, const struct skep_dht_event *event);
/* What its searches have come to, for one that is cut short: of the nodes those whose answer, or
 * silence, is known; no closest nodes and no estimates. */
struct skep_dht_result sk_dht_session_so_far(const struct sk_dht_session *session);
/* How it ended, as documents say it: "done", "time", "interrupted". */
const char *sk_dht_session_stopped(const struct sk_dht_session *session);
/* The address as it may be shown ("" for NULL). Returns ret_text. */
char *sk_dht_session_address(const struct sk_dht_session *session, const char *address,
                             char ret_text[SK_ENDPOINT_TEXT_MAX]);

#endif
