/*
 * Options that commands share: flags over environment (SKEP_BIND, SKEP_PORT, ...) over
 * $XDG_CONFIG_HOME/skep/config (INI). Layer: cmd. One table says for each its flag, its setter and
 * its help; config keys and variables are named after the flag.
 */
#ifndef SK_CMD_OPTIONS_H
#define SK_CMD_OPTIONS_H

#include <skep/runtime.h>

#include "cmd/parse.h"

#include <argp.h>

enum sk_format { SK_FORMAT_TEXT, SK_FORMAT_JSON, SK_FORMAT_JSONL, SK_FORMAT_CSV };
enum sk_progress {
    SK_PROGRESS_AUTO,
    SK_PROGRESS_TTY,
    SK_PROGRESS_PLAIN,
    SK_PROGRESS_JSON,
    SK_PROGRESS_NONE,
};

/* A list of texts; owned. */
struct sk_texts {
    char **list;
    size_t count;
};

struct sk_options {
    struct skep_config net;
    enum sk_format format;
    enum sk_progress progress;
    bool quiet, anonymize;
    const char *live; /* the first flag of the command line that only a look at the network heeds;
                         NULL: none */
    double time_s;    /* 0 = none */
    struct sk_texts peers, trackers, bootstrap;
    char *bind, *socks, *socks_account, *state_dir;
};

/* Groups of their options in help texts; those of commands come before, from 1 on. */
enum { SK_OPTIONS_WHO = 10, SK_OPTIONS_NETWORK, SK_OPTIONS_STOP, SK_OPTIONS_OUTPUT };

/* argp children with the options that an audit takes, that the commands of the DHT take, those
 * without --port, that create takes, that a tracker takes, and those of what writes a report; their
 * input is a struct sk_options.
 */
extern const struct argp sk_options_argp, sk_options_dht_argp, sk_options_dht_portless_argp,
    sk_options_create_argp, sk_options_tracker_argp, sk_options_report_argp;

/* Defaults, then config file, then environment; complains and returns false on what they say
 * wrongly. */
bool sk_options_init(struct sk_options *options);
/* A runtime for the network that they ask for; complains where there is none, and says what a proxy
 * leaves out, which the options say then too. An exit code. */
int sk_options_open(struct sk_options *options, struct skep_runtime **ret_runtime);
/* How progress is shown: never AUTO. `terminal`: standard error is one. */
enum sk_progress sk_options_progress(const struct sk_options *options, bool terminal);
/* Where skep keeps what it remembers: --state-dir, or as XDG says. False where nothing says it, or
 * there is no home. */
#define SK_PATH_MAX 4096
bool sk_options_state_path(const struct sk_options *options, char ret_path[SK_PATH_MAX]);
void sk_options_deinit(struct sk_options *options);

int sk_texts_add(struct sk_texts *texts, const char *text);
void sk_texts_deinit(struct sk_texts *texts);

#endif
