#include "cmd/options.h"

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "driver/proxy.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- values ---- */

int sk_texts_add(struct sk_texts *texts, const char *text)
{
    char **list = sk_mem_realloc(texts->list, texts->count + 1, sizeof *list);
    char *copy = sk_mem_strdup(text);
    if (list)
        texts->list = list;
    if (!list || !copy) {
        sk_mem_free(copy);
        return SKEP_ERR_NOMEM;
    }
    list[texts->count++] = copy;
    return 0;
}

void sk_texts_deinit(struct sk_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        sk_mem_free(texts->list[i]);
    sk_mem_free(texts->list);
}

static bool keep_text(char **place, const char *text)
{
    sk_mem_free(*place);
    *place = sk_mem_strdup(text);
    return *place != NULL;
}

/* Index of a word in a NULL-ended list; -1. */
static int word_index(const char *const *words, const char *text)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return -1;
}

/* ---- setters: NULL, or what was expected ---- */

static const char *set_bind(struct sk_options *o, const char *arg)
{
    struct sk_endpoint endpoint;
    if (sk_endpoint_parse(arg, 1, &endpoint) || !keep_text(&o->bind, arg))
        return "an address of this machine, such as 192.0.2.1";
    o->net.bind = o->bind;
    return NULL;
}

static const char *set_socks(struct sk_options *o, const char *arg)
{
    struct sk_endpoint endpoint;
    struct sk_socks_account account;
    if (sk_proxy_parse(arg, NULL, &endpoint, &account) || !keep_text(&o->socks, arg))
        return "[USER:PASSWORD@]ADDRESS:PORT, the address in numbers (a name would be looked up "
               "outside the proxy)";
    o->net.socks = o->socks;
    return NULL;
}

static const char *set_socks_auth(struct sk_options *o, const char *arg)
{
    static const char expected[] = "a file whose first line is USER:PASSWORD, 255 bytes each";
    char line[2 * SK_SOCKS_ACCOUNT_MAX + 4];
    struct sk_endpoint endpoint;
    struct sk_socks_account account;
    FILE *file = fopen(arg, "r");
    if (!file)
        return expected;
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    if (read)
        line[strcspn(line, "\r\n")] = 0;
    if (!read || sk_proxy_parse("127.0.0.1:1", line, &endpoint, &account) ||
        !keep_text(&o->socks_account, line))
        return expected;
    o->net.socks_account = o->socks_account;
    return NULL;
}

static const char *set_port(struct sk_options *o, const char *arg)
{
    uint32_t port;
    if (!sk_parse_count(arg, 65535, &port))
        return "a port, 0 to 65535 (0: any)";
    o->net.port = (uint16_t)port;
    return NULL;
}

static const char *add_peer(struct sk_options *o, const char *arg)
{
    if (!strrchr(arg, ':') || sk_texts_add(&o->peers, arg))
        return "HOST:PORT, or [ADDRESS]:PORT for IPv6";
    return NULL;
}

static const char *add_peers_file(struct sk_options *o, const char *arg)
{
    FILE *file = strcmp(arg, "-") == 0 ? stdin : fopen(arg, "r");
    if (!file)
        return "a file that can be read, one address a line";
    char line[512];
    const char *wrong = NULL;
    while (!wrong && fgets(line, sizeof line, file)) {
        char *start = line + strspn(line, " \t");
        start[strcspn(start, " \t\r\n")] = 0;
        if (*start && *start != '#')
            wrong = add_peer(o, start) ? "one HOST:PORT a line in that file" : NULL;
    }
    if (file != stdin)
        fclose(file);
    return wrong;
}

static const char *add_tracker(struct sk_options *o, const char *arg)
{
    if (!strstr(arg, "://") || sk_texts_add(&o->trackers, arg))
        return "a tracker's address: http://, https:// or udp://";
    return NULL;
}

static const char *set_encryption(struct sk_options *o, const char *arg)
{
    static const char *const words[] = {"prefer", "allow", "require", "off", NULL};
    int i = word_index(words, arg);
    if (i < 0)
        return "prefer, allow, require or off";
    o->net.encryption = (enum skep_encryption)i;
    return NULL;
}

/* Several in one text are for the environment and the file, where each option has one value. */
static const char *add_bootstrap(struct sk_options *o, const char *arg)
{
    static const char expected[] = "HOST:PORT, or [ADDRESS]:PORT for IPv6";
    char host[300];
    do {
        size_t n = strcspn(arg, ", ");
        uint32_t port;
        snprintf(host, sizeof host, "%.*s", (int)SK_MIN(n, sizeof host - 1), arg);
        const char *colon = strrchr(host, ':');
        if (!colon || colon == host || !sk_parse_count(colon + 1, 65535, &port) || !port ||
            sk_texts_add(&o->bootstrap, host))
            return expected;
        arg += n;
        arg += strspn(arg, ", ");
    } while (*arg);
    return NULL;
}

static const char *set_state_dir(struct sk_options *o, const char *arg)
{
    return *arg && keep_text(&o->state_dir, arg) ? NULL : "a directory";
}

static const char *set_transport(struct sk_options *o, const char *arg)
{
    static const struct {
        const char *text;
        unsigned transports;
    } lists[] = {
        {"tcp,utp", SKEP_TRANSPORT_TCP | SKEP_TRANSPORT_UTP},
        {"tcp", SKEP_TRANSPORT_TCP},
        {"utp", SKEP_TRANSPORT_UTP},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(lists); i++) {
        if (strcmp(arg, lists[i].text) != 0)
            continue;
        o->net.transports = lists[i].transports;
        return NULL;
    }
    return "tcp, utp, or tcp,utp";
}

static const char *set_time(struct sk_options *o, const char *arg)
{
    return sk_parse_seconds(arg, &o->time_s) && o->time_s > 0 ? NULL
                                                              : "seconds, or 3m, or 1h; above 0";
}

static const char *set_limit(struct sk_options *o, const char *arg)
{
    return sk_parse_size(arg, &o->net.rate_limit_bytes_s) ? NULL
                                                          : "bytes a second, such as 500k or 2M";
}

static const char *set_connections(struct sk_options *o, const char *arg)
{
    return sk_parse_count(arg, 18000, &o->net.connections_max) && o->net.connections_max
               ? NULL
               : "a number, 1 to 18000";
}

static const char *set_format(struct sk_options *o, const char *arg)
{
    static const char *const words[] = {"text", "json", "jsonl", "csv", NULL};
    int i = word_index(words, arg);
    if (i < 0)
        return "text, json, jsonl or csv";
    o->format = (enum sk_format)i;
    return NULL;
}

static const char *set_progress(struct sk_options *o, const char *arg)
{
    static const char *const words[] = {"auto", "tty", "plain", "json", "none", NULL};
    int i = word_index(words, arg);
    if (i < 0)
        return "auto, tty, plain, json or none";
    o->progress = (enum sk_progress)i;
    return NULL;
}

/* Switches: "yes" or "no" in a config file, nothing on the command line. */
static const char *set_switch(bool *place, const char *arg)
{
    static const char *const words[] = {"no", "yes", "false", "true", "0", "1", NULL};
    int i = arg ? word_index(words, arg) : 1;
    if (i < 0)
        return "yes or no";
    *place = i % 2;
    return NULL;
}

static const char *no_dht(struct sk_options *o, const char *arg)
{
    return set_switch(&o->net.no_dht, arg);
}

static const char *set_announce(struct sk_options *o, const char *arg)
{
    return set_switch(&o->net.announce, arg);
}

static const char *no_pex(struct sk_options *o, const char *arg)
{
    return set_switch(&o->net.no_pex, arg);
}

static const char *no_lsd(struct sk_options *o, const char *arg)
{
    return set_switch(&o->net.no_lsd, arg);
}

static const char *no_trackers(struct sk_options *o, const char *arg)
{
    return set_switch(&o->net.no_trackers, arg);
}

static const char *no_listen(struct sk_options *o, const char *arg)
{
    return set_switch(&o->net.no_listen, arg);
}

static const char *set_quiet(struct sk_options *o, const char *arg)
{
    return set_switch(&o->quiet, arg);
}

static const char *set_anonymize(struct sk_options *o, const char *arg)
{
    return set_switch(&o->anonymize, arg);
}

/* ---- the table ---- */

/* Whose options: sets of commands. */
enum { AUDIT = 1, DHT = 2, DHT_PORT = 4, CREATE = 8, TRACKER = 16, REPORT = 32, ALL = AUDIT | DHT };

static const struct {
    const char *name, *arg;
    const char *(*set)(struct sk_options *options, const char *arg);
    const char *help;
    int group;
    unsigned commands;
} table[] = {
    {"peer", "HOST:PORT", add_peer, "a peer to go to (repeatable)", SK_OPTIONS_WHO, AUDIT},
    {"peers", "FILE", add_peers_file, "peers to go to, one HOST:PORT a line", SK_OPTIONS_WHO,
     AUDIT},
    {"tracker", "URL", add_tracker, "one more tracker (repeatable)", SK_OPTIONS_WHO, AUDIT},
    {"no-trackers", NULL, no_trackers, "ask no tracker", SK_OPTIONS_WHO, AUDIT},
    {"no-pex", NULL, no_pex, "exchange no addresses with peers", SK_OPTIONS_WHO, AUDIT},
    {"no-lsd", NULL, no_lsd, "no local service discovery", SK_OPTIONS_WHO, AUDIT},
    {"no-dht", NULL, no_dht, "do not ask the DHT", SK_OPTIONS_WHO, AUDIT},
    {"announce", NULL, set_announce, "announce in the DHT too: without it, only ask",
     SK_OPTIONS_WHO, AUDIT},
    {"bootstrap", "HOST:PORT", add_bootstrap,
     "a node of the DHT to begin with, in place of the usual ones (repeatable)", SK_OPTIONS_WHO,
     ALL},
    {"state-dir", "DIR", set_state_dir,
     "remember nodes of the DHT here (default: $XDG_STATE_HOME/skep or ~/.local/state/skep)",
     SK_OPTIONS_WHO, ALL},
    {"bind", "ADDRESS", set_bind, "bind every socket to this address, or fail", SK_OPTIONS_NETWORK,
     ALL},
    {"bind", "ADDRESS", set_bind, "listen on this address alone (default: on all)",
     SK_OPTIONS_NETWORK, TRACKER},
    {"socks", "[USER:PASSWORD@]ADDRESS:PORT", set_socks,
     "go through this SOCKS5 proxy and no other way (also: SKEP_SOCKS)", SK_OPTIONS_NETWORK, ALL},
    {"socks-auth", "FILE", set_socks_auth, "USER:PASSWORD of the proxy is in this file",
     SK_OPTIONS_NETWORK, ALL},
    {"port", "N", set_port, "listen on this port, TCP and UDP (default: any)", SK_OPTIONS_NETWORK,
     AUDIT | DHT_PORT},
    {"no-listen", NULL, no_listen, "take no incoming connections", SK_OPTIONS_NETWORK, AUDIT},
    {"encryption", "POLICY", set_encryption,
     "prefer (default): encrypted, then plain; allow: plain, then encrypted; require; off",
     SK_OPTIONS_NETWORK, AUDIT},
    {"transport", "LIST", set_transport, "tcp, utp, or tcp,utp: both, TCP first (default)",
     SK_OPTIONS_NETWORK, AUDIT},
    {"connections", "N", set_connections, "at most so many connections (default 2000)",
     SK_OPTIONS_NETWORK, AUDIT},
    {"limit", "RATE", set_limit, "receive at most so many bytes a second (500k, 2M)",
     SK_OPTIONS_NETWORK, AUDIT},
    {"time", "SECONDS", set_time,
     "stop after so long (90, 3m, 1h), with a partial result if need be", SK_OPTIONS_STOP, ALL},
    {"time", "SECONDS", set_time, "end after so long (90, 3m, 1h; default: when it is interrupted)",
     SK_OPTIONS_STOP, TRACKER},
    {"format", "FORMAT", set_format, "text (default), json, jsonl or csv", SK_OPTIONS_OUTPUT,
     AUDIT},
    {"format", "FORMAT", set_format,
     "text (default): the verdicts; json, jsonl, csv: the report of the audit with them",
     SK_OPTIONS_OUTPUT, REPORT},
    {"format", "FORMAT", set_format,
     "text or json; peers, sample: also jsonl, csv; crawl: text, jsonl (default), csv",
     SK_OPTIONS_OUTPUT, DHT},
    {"progress", "HOW", set_progress, "auto (default), tty, plain, json or none", SK_OPTIONS_OUTPUT,
     ALL | CREATE | TRACKER},
    {"quiet", NULL, set_quiet, "no progress, only the result and errors", SK_OPTIONS_OUTPUT,
     ALL | CREATE},
    {"quiet", NULL, set_quiet, "say nothing but errors", SK_OPTIONS_OUTPUT, TRACKER},
    {"anonymize", NULL, set_anonymize, "replace addresses by keyed hashes in every output",
     SK_OPTIONS_OUTPUT, ALL | REPORT},
};

#define KEY_BASE 1000 /* above all characters: these options have no short form */
#define ARGP_MAX (SK_ARRAY_LEN(table) + 4)

static struct argp_option audit_options[ARGP_MAX], dht_options[ARGP_MAX],
    dht_port_options[ARGP_MAX], create_options[ARGP_MAX], tracker_options[ARGP_MAX],
    report_options[ARGP_MAX];

static void fill(struct argp_option *options, unsigned commands)
{
    static const char *const headings[] = {
        [SK_OPTIONS_WHO] = "Who to ask:",
        [SK_OPTIONS_NETWORK] = "Network:",
        [SK_OPTIONS_STOP] = NULL,
        [SK_OPTIONS_OUTPUT] = "Output:",
    };
    size_t n = 0;
    int group = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(table); i++) {
        if (!(table[i].commands & commands))
            continue;
        if (table[i].group != group) {
            group = table[i].group;
            if (headings[group])
                options[n++] = (struct argp_option){.doc = headings[group], .group = group};
        }
        options[n++] = (struct argp_option){.name = table[i].name,
                                            .key = KEY_BASE + (int)i,
                                            .arg = table[i].arg,
                                            .doc = table[i].help,
                                            .group = group};
    }
}

__attribute__((constructor)) static void fill_all(void)
{
    fill(audit_options, AUDIT);
    fill(dht_options, DHT);
    fill(dht_port_options, DHT | DHT_PORT);
    fill(create_options, CREATE);
    fill(tracker_options, TRACKER);
    fill(report_options, REPORT);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    size_t i = (size_t)(key - KEY_BASE);
    if (key < KEY_BASE || i >= SK_ARRAY_LEN(table))
        return ARGP_ERR_UNKNOWN;
    struct sk_options *options = state->input;
    if (table[i].group != SK_OPTIONS_OUTPUT && !options->live)
        options->live = table[i].name;
    const char *expected = table[i].set(options, arg);
    if (expected) {
        sk_complain("--%s='%.80s': expected %s", table[i].name, arg ? arg : "", expected);
        exit(SK_EXIT_USAGE);
    }
    return 0;
}

const struct argp sk_options_argp = {.options = audit_options, .parser = parse};
const struct argp sk_options_dht_argp = {.options = dht_port_options, .parser = parse};
const struct argp sk_options_dht_portless_argp = {.options = dht_options, .parser = parse};
const struct argp sk_options_create_argp = {.options = create_options, .parser = parse};
const struct argp sk_options_tracker_argp = {.options = tracker_options, .parser = parse};
const struct argp sk_options_report_argp = {.options = report_options, .parser = parse};

/* ---- config file and environment ---- */

static bool apply(struct sk_options *options, const char *from, const char *name, const char *value)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(table); i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        const char *expected = table[i].set(options, value);
        if (expected)
            sk_complain("%s: %s = %.80s: expected %s", from, name, value, expected);
        return !expected;
    }
    sk_complain("%s: there is no option '%.40s'", from, name);
    return false;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    for (size_t n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--)
        text[n - 1] = 0;
    return text;
}

static bool read_config(struct sk_options *options)
{
    char path[4096];
    const char *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
    if (xdg && *xdg)
        snprintf(path, sizeof path, "%s/skep/config", xdg);
    else
        snprintf(path, sizeof path, "%s/.config/skep/config", home ? home : "");
    FILE *file = fopen(path, "r");
    if (!file)
        return true; /* most have none */
    char line[1024];
    bool ok = true;
    while (ok && fgets(line, sizeof line, file)) {
        char *name = trim(line);
        char *equals = strchr(name, '=');
        if (!*name || *name == '#' || *name == ';' || *name == '[')
            continue;
        if (!equals) {
            sk_complain("%s: expected NAME = VALUE, found '%.60s'", path, name);
            ok = false;
            break;
        }
        *equals = 0;
        ok = apply(options, path, trim(name), trim(equals + 1));
    }
    fclose(file);
    return ok;
}

static bool read_environment(struct sk_options *options)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(table); i++) {
        char name[64] = "SKEP_";
        for (size_t j = 0; table[i].name[j] && j < 50; j++)
            name[5 + j] =
                table[i].name[j] == '-' ? '_' : (char)toupper((unsigned char)table[i].name[j]);
        const char *value = getenv(name);
        if (value && !apply(options, name, table[i].name, value))
            return false;
    }
    return true;
}

bool sk_options_init(struct sk_options *options)
{
    *options = (struct sk_options){0};
    return read_config(options) && read_environment(options);
}

int sk_options_open(struct sk_options *options, struct skep_runtime **ret_runtime)
{
    struct skep_config *net = &options->net;
    const char *reason = NULL;
    net->socks_s = options->time_s;
    int err = skep_runtime_new(net, ret_runtime, &reason);
    if (err) {
        sk_complain("%s", reason ? reason : skep_err_text(err));
        return sk_exit_of(err);
    }
    const char *no_udp = skep_runtime_no_udp(*ret_runtime);
    if (no_udp && !(net->no_dht && net->no_trackers)) /* else nobody would have used it */
        sk_complain("the proxy relays no UDP (%s): no uTP, no DHT, no trackers over UDP", no_udp);
    net->no_dht |= no_udp != NULL;
    return SK_EXIT_DONE;
}

enum sk_progress sk_options_progress(const struct sk_options *options, bool terminal)
{
    if (options->quiet)
        return SK_PROGRESS_NONE;
    if (options->progress != SK_PROGRESS_AUTO)
        return options->progress;
    return terminal ? SK_PROGRESS_TTY : SK_PROGRESS_PLAIN;
}

bool sk_options_state_path(const struct sk_options *options, char ret_path[SK_PATH_MAX])
{
    const char *home = getenv("HOME"), *xdg = getenv("XDG_STATE_HOME");
    int n = options->state_dir ? snprintf(ret_path, SK_PATH_MAX, "%s", options->state_dir)
            : xdg && *xdg      ? snprintf(ret_path, SK_PATH_MAX, "%s/skep", xdg)
            : home && access(home, X_OK) == 0
                ? snprintf(ret_path, SK_PATH_MAX, "%s/.local/state/skep", home)
                : SK_PATH_MAX;
    return n < SK_PATH_MAX;
}

void sk_options_deinit(struct sk_options *options)
{
    sk_texts_deinit(&options->peers);
    sk_texts_deinit(&options->bootstrap);
    sk_mem_free(options->state_dir);
    sk_texts_deinit(&options->trackers);
    sk_mem_free(options->bind);
    sk_mem_free(options->socks);
    sk_mem_free(options->socks_account);
}
