/* skep dht: the table of its commands, and small things that they share. */
#include "cmd/dht.h"

#include "base/assert.h"
#include "base/text.h"
#include "cmd/target.h"
#include "cmd/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct sk_command commands[] = {
    {"put", "keep bytes (a file, or standard input) under a key", sk_cmd_dht_put},
    {"get", "fetch them", sk_cmd_dht_get},
    {"peers", "who has a torrent", sk_cmd_dht_peers},
    {"announce", "say that somebody on this host has it", sk_cmd_dht_announce},
    {"scrape", "about how many have it", sk_cmd_dht_scrape},
    {"lookup", "the nodes closest to an id", sk_cmd_dht_lookup},
    {"ping", "ask one node whether it is there", sk_cmd_dht_ping},
    {"sample", "some of the info-hashes that nodes know of", sk_cmd_dht_sample},
    {"node", "be a node until interrupted, and watch it", sk_cmd_dht_node},
    {"crawl", "walk the whole network: nodes, their versions, who answers", sk_cmd_dht_crawl},
    {"size", "about how many nodes there are", sk_cmd_dht_size},
};

static const struct sk_command_set set = {
    .program = "skep dht",
    .before = "skep dht speaks with the Mainline DHT: the nodes of BitTorrent clients, which\n"
              "find peers, and keep small things, without any server.\n\n"
              "Usage: skep dht COMMAND [OPTION...] [ARGUMENT]\n\n",
    .after = "\n  echo hello | skep dht put --key 'my own words'   keep a line for two hours\n"
             "  skep dht get --key 'my own words'                fetch it, from anywhere\n"
             "  skep dht peers --trace FILE.torrent              a search, told step by step\n\n"
             "skep dht COMMAND --help says what a command can do.\n",
    .commands = commands,
    .count = SK_ARRAY_LEN(commands),
};

int sk_cmd_dht(int argc, char **argv)
{
    return sk_command_run(&set, argc, argv);
}

/* ---- arguments ---- */

void sk_dht_one_argument(const struct sk_dht_session *session, const char **place, const char *arg,
                         const char *what)
{
    if (*place) {
        sk_complain("dht %s: one %s, not several", session->name, what);
        exit(SK_EXIT_USAGE);
    }
    *place = arg;
}

void sk_dht_want_argument(const struct sk_dht_session *session, const char *arg, const char *what)
{
    if (arg)
        return;
    sk_complain("dht %s: %s is missing (skep dht %s --help)", session->name, what, session->name);
    exit(SK_EXIT_USAGE);
}

int sk_dht_target(struct sk_dht_session *session, const char *text, struct sk_target_hash *ret_hash)
{
    struct sk_target target;
    int code = sk_target_read(text, &target);
    if (code)
        return code;
    code = sk_target_resolve(&target, session->runtime, &session->options, session->family);
    if (!code)
        code = sk_target_info_hash(&target, ret_hash);
    sk_target_deinit(&target);
    if (!code && ret_hash->is_private) {
        sk_complain("%.400s: a private torrent: only its trackers may be asked about it", text);
        code = SK_EXIT_FAILED;
    }
    return code;
}

bool sk_dht_parse_seq(const char *text, int64_t *ret_seq)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)*text))
        return false;
    long long seq = strtoll(text, &end, 10);
    if (*end || errno)
        return false;
    *ret_seq = seq;
    return true;
}

/* ---- texts ---- */

static const struct {
    char code[3];
    const char *name;
} clients[] = {
    {"A2", "aria2"},    {"AZ", "Azureus"},      {"BT", "BitTorrent"},  {"DE", "Deluge"},
    {"JC", "jech/dht"}, {"LT", "libtorrent"},   {"MO", "MonoTorrent"}, {"NX", "Net Transport"},
    {"SK", "skep"},     {"TR", "Transmission"}, {"UT", "uTorrent"},    {"WW", "WebTorrent"},
    {"lt", "rTorrent"}, {"ml", "MLDonkey"},
};

char *sk_dht_version_text(const char version[4], char ret_text[SK_DHT_VERSION_MAX])
{
    const uint8_t *v = (const uint8_t *)version;
    char code[32], hex[5];
    ret_text[0] = 0;
    if (!memcmp(version, "\0\0\0", 4))
        return ret_text;
    sk_hex_encode(v + 2, 2, hex);
    for (size_t i = 0; i < SK_ARRAY_LEN(clients); i++) {
        if (memcmp(version, clients[i].code, 2) != 0)
            continue;
        if (strcmp(clients[i].code, "LT") == 0 && v[2] < 16)
            snprintf(ret_text, SK_DHT_VERSION_MAX, "libtorrent %u.%u.%u", v[2], v[3] >> 4,
                     v[3] & 15);
        else
            snprintf(ret_text, SK_DHT_VERSION_MAX, "%s %s", clients[i].name, hex);
        return ret_text;
    }
    sk_text_escape(sk_bytes(version, 2), code, sizeof code);
    snprintf(ret_text, SK_DHT_VERSION_MAX, "%s %s", code, hex);
    return ret_text;
}

char *sk_dht_count(uint64_t count, const char *what, char ret_text[64])
{
    char number[SK_UNITS_MAX];
    snprintf(ret_text, 64, "%s %s%s", sk_units_count(count, number), what, count == 1 ? "" : "s");
    return ret_text;
}

void sk_dht_show_progress(const struct skep_dht_progress *progress, enum sk_progress how,
                          struct sk_buf *out)
{
    const char *what = progress->what ? progress->what : "looking up";
    unsigned long long done = progress->done, total = progress->total;
    if (how == SK_PROGRESS_JSON)
        sk_buf_printf(out, "{\"type\":\"progress\",\"what\":\"%s\",\"done\":%llu,\"total\":%llu}\n",
                      what, done, total);
    else if (total > 1)
        sk_buf_printf(out, "%s%s: %llu of %llu\n", how == SK_PROGRESS_PLAIN ? "skep: " : "", what,
                      done, total);
    else
        sk_buf_printf(out, "%s%s\n", how == SK_PROGRESS_PLAIN ? "skep: " : "", what);
}
