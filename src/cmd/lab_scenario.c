#include "cmd/lab_scenario.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/parse.h"
#include "proto/tracker/tracker.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 500

enum section { SECTION_NONE, SECTION_TORRENT, SECTION_TRACKER, SECTION_PEERS };

struct parser {
    const char *name;
    unsigned line;
    struct sk_lab_scenario *scenario;
    enum section section;
    bool seen_torrent, seen_tracker;
    unsigned section_line;
    uint64_t keys_seen; /* of this section, by place in the table */
    char *reason;
};

/* ---- values: NULL, or what was expected ---- */

typedef const char *set_fn(void *place, const char *text);

static const char *set_name(void *place, const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > SK_LAB_NAME_MAX || strchr(text, '/') || text[0] == '.' ||
        !sk_text_is_utf8(sk_bytes_text(text)))
        return "a file's name";
    memcpy(place, text, n + 1);
    return NULL;
}

static const char *set_size(void *place, const char *text)
{
    uint64_t *size = place;
    if (!sk_parse_size(text, size) || *size == 0 || *size > SK_LAB_SIZE_MAX)
        return "a size of at most 4GiB";
    return NULL;
}

static const char *set_piece_size(void *place, const char *text)
{
    uint64_t size;
    if (!sk_parse_size(text, &size) || size < SK_BLOCK_SIZE || size > 64u << 20 ||
        (size & (size - 1)))
        return "a power of two, 16KiB to 64MiB";
    *(uint32_t *)place = (uint32_t)size;
    return NULL;
}

static const char *set_version(void *place, const char *text)
{
    struct sk_lab_torrent *torrent = place;
    static const struct {
        const char *word;
        bool v1, v2;
    } versions[] = {{"v1", true, false}, {"v2", false, true}, {"hybrid", true, true}};
    for (size_t i = 0; i < SK_ARRAY_LEN(versions); i++) {
        if (strcmp(versions[i].word, text) != 0)
            continue;
        torrent->has_v1 = versions[i].v1;
        torrent->has_v2 = versions[i].v2;
        return NULL;
    }
    return "v1, v2 or hybrid";
}

static const char *set_seed(void *place, const char *text)
{
    char *end;
    *(uint64_t *)place = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end ? NULL : "a number";
}

static const char *set_switch(void *place, const char *text)
{
    *(bool *)place = strcmp(text, "yes") == 0;
    return strcmp(text, "yes") == 0 || strcmp(text, "no") == 0 ? NULL : "yes or no";
}

/* The flag says that something is missing. */
static const char *set_switch_off(void *place, const char *text)
{
    const char *expected = set_switch(place, text);
    *(bool *)place = !*(bool *)place;
    return expected;
}

static const char *set_count(void *place, const char *text)
{
    return sk_parse_count(text, SK_LAB_PEERS_MAX, place) && *(uint32_t *)place
               ? NULL
               : "a number, 1 to 10000";
}

static const char *set_few(void *place, const char *text)
{
    return sk_parse_count(text, 64, place) ? NULL : "a number, 0 to 64";
}

static const char *set_seconds(void *place, const char *text)
{
    return sk_parse_seconds(text, place) && *(double *)place <= 1e6 ? NULL : "seconds";
}

static const char *set_patience(void *place, const char *text)
{
    if (strcmp(text, "never") == 0) {
        *(double *)place = INFINITY;
        return NULL;
    }
    return set_seconds(place, text) ? "seconds, or never" : NULL;
}

static const char *set_interval(void *place, const char *text)
{
    return sk_parse_count(text, 86400, place) && *(uint32_t *)place ? NULL : "seconds, 1 to 86400";
}

static bool parse_number(const char *text, double max, double *ret_value)
{
    char *end;
    if ((*text < '0' || *text > '9') && *text != '.')
        return false;
    *ret_value = strtod(text, &end);
    return !*end && *ret_value >= 0 && *ret_value <= max;
}

static const char *set_share(void *place, const char *text)
{
    return parse_number(text, 1, place) ? NULL : "a share, 0 to 1";
}

static const char *set_growth(void *place, const char *text)
{
    return parse_number(text, 1000, place) ? NULL : "pieces a second, 0 to 1000";
}

/* "LOW .. HIGH", or one value for both. */
static bool split_range(const char *text, char *ret_low, char *ret_high, size_t size)
{
    const char *dots = strstr(text, "..");
    size_t n = dots ? (size_t)(dots - text) : strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    const char *high = dots ? dots + 2 + strspn(dots + 2, " \t") : text;
    if (n >= size || strlen(high) >= size)
        return false;
    memcpy(ret_low, text, n);
    ret_low[n] = 0;
    strcpy(ret_high, high);
    return true;
}

static const char *set_shares(void *place, const char *text)
{
    struct sk_lab_range *range = place;
    char low[32], high[32];
    if (!split_range(text, low, high, sizeof low) || !parse_number(low, 1, &range->low) ||
        !parse_number(high, 1, &range->high))
        return "a share, 0 to 1, or two as 0.2 .. 0.8";
    return NULL;
}

static const char *set_rates(void *place, const char *text)
{
    struct sk_lab_range *range = place;
    uint64_t low_bytes, high_bytes;
    char low[32], high[32];
    if (!split_range(text, low, high, sizeof low) || !sk_parse_size(low, &low_bytes) ||
        !sk_parse_size(high, &high_bytes) || low_bytes > 1000000000 || high_bytes > 1000000000)
        return "bytes a second such as 64k, or two as 20k .. 1M";
    *range = (struct sk_lab_range){(double)low_bytes, (double)high_bytes};
    return NULL;
}

static const char *set_times(void *place, const char *text)
{
    struct sk_lab_range *range = place;
    char low[32], high[32];
    if (!split_range(text, low, high, sizeof low) || set_seconds(&range->low, low) ||
        set_seconds(&range->high, high))
        return "seconds, or two as 0 .. 30";
    return NULL;
}

static const char *set_leave(void *place, const char *text)
{
    struct sk_lab_trade *trade = place;
    if (strcmp(text, "never") == 0)
        trade->leave = SK_LAB_LEAVE_NEVER;
    else if (strcmp(text, "when complete") == 0)
        trade->leave = SK_LAB_LEAVE_COMPLETE;
    else if (set_seconds(&trade->leave_s, text) == NULL)
        trade->leave = SK_LAB_LEAVE_TIME;
    else
        return "seconds, when complete, or never";
    return NULL;
}

static const char *set_lie(void *place, const char *text)
{
    for (size_t i = 0; i < SK_LAB_LIE_COUNT; i++) {
        if (strcmp(sk_lab_lie_name((enum sk_lab_lie)i), text) != 0)
            continue;
        *(enum sk_lab_lie *)place = (enum sk_lab_lie)i;
        return NULL;
    }
    return "none, upload, ghost, download, seed, partial, collude or rotate";
}

static const char *set_factor(void *place, const char *text)
{
    char *end;
    double factor = strtod(text, &end);
    if (end == text || *end || !(factor > 0) || factor > 1000)
        return "a number above 0, at most 1000";
    *(double *)place = factor;
    return NULL;
}

static const char *set_rate(void *place, const char *text)
{
    struct sk_lab_range range;
    const char *expected = set_rates(&range, text);
    if (expected || range.low != range.high || range.low == 0)
        return "bytes a second such as 50k";
    *(double *)place = range.low;
    return NULL;
}

static const char *set_encryption(void *place, const char *text)
{
    static const char *const words[] = {[SK_LAB_ENCRYPTION_ANY] = "any",
                                        [SK_LAB_ENCRYPTION_PLAIN] = "plain",
                                        [SK_LAB_ENCRYPTION_REQUIRED] = "required"};
    for (size_t i = 0; i < SK_ARRAY_LEN(words); i++) {
        if (strcmp(words[i], text) != 0)
            continue;
        *(enum sk_lab_encryption *)place = (enum sk_lab_encryption)i;
        return NULL;
    }
    return "any, plain or required";
}

static const char *set_kind(void *place, const char *text)
{
    struct sk_lab_group *group = place;
    const struct sk_lab_kind *kind = sk_lab_kind_find(text);
    if (!kind)
        return "one of the kinds that skep lab --kinds lists";
    group->kind = kind;
    group->behaviour = kind->behaviour;
    return NULL;
}

static const char *set_client(void *place, const char *text)
{
    const struct sk_lab_client **client = place;
    *client = strcmp(text, "mixed") == 0 ? NULL : sk_lab_client_find(text);
    return *client || strcmp(text, "mixed") == 0 ? NULL
                                                 : "mixed, or a client that skep lab --kinds lists";
}

/* ---- the keys ---- */

#define TORRENT(member) SECTION_TORRENT, offsetof(struct sk_lab_torrent, member)
#define TRACKER(member)                                                                            \
    SECTION_TRACKER, offsetof(struct sk_lab_scenario, tracker.member) -                            \
                         offsetof(struct sk_lab_scenario, tracker)
#define GROUP(member) SECTION_PEERS, offsetof(struct sk_lab_group, member)
#define PEER(member) SECTION_PEERS, offsetof(struct sk_lab_group, behaviour.member)

/* Whose a key of peers is. */
enum whose { ALL, SCRIPTED, TRADING };

static const struct key {
    const char *name;
    enum section section;
    size_t offset;
    set_fn *set;
    const char *help;
    enum whose whose;
} keys[] = {
    {"name", TORRENT(name), set_name, "of the file (lab.bin)"},
    {"size", TORRENT(size), set_size, "of the file (64MiB)"},
    {"piece-size", TORRENT(piece_size), set_piece_size, "a power of two (256KiB)"},
    {"version", SECTION_TORRENT, 0, set_version, "v1, v2 or hybrid (v1)"},
    {"seed", TORRENT(seed), set_seed, "a number from which all follows (1)"},
    {"http", TRACKER(http), set_switch, "a tracker over HTTP (yes)"},
    {"udp", TRACKER(udp), set_switch, "a tracker over UDP (yes)"},
    {"interval", TRACKER(interval_s), set_interval, "seconds between announces (5)"},
    {"answer", TRACKER(want_max), set_count, "peers in one answer at most (200)"},
    {"kind", SECTION_PEERS, 0, set_kind, "what they are like; has to come first"},
    {"count", GROUP(count), set_count, "how many (1)"},
    {"client", GROUP(client), set_client, "what they say they are (mixed)", SCRIPTED},
    {"share", PEER(share), set_shares, "of the pieces they hold, 0 to 1"},
    {"rate", PEER(rate_bytes_s), set_rates, "bytes a second that each gives at most; 0: no limit",
     SCRIPTED},
    {"growth", PEER(growth_pieces_s), set_growth, "pieces a second that each gains", SCRIPTED},
    {"unchoke-after", PEER(unchoke_after_s), set_patience, "seconds, or never", SCRIPTED},
    {"choke-after", PEER(choke_after_s), set_seconds, "seconds from an unchoke on; 0: never",
     SCRIPTED},
    {"leave-after", PEER(leave_after_s), set_seconds, "seconds, then they close; 0: never",
     SCRIPTED},
    {"corrupt", PEER(corrupt), set_share, "share of their blocks that is wrong, 0 to 1", SCRIPTED},
    {"lazy", PEER(lazy), set_few, "pieces left out of the bitfield and told by HAVE", SCRIPTED},
    {"allowed-fast", PEER(allowed_fast), set_few, "pieces that may be had while choked", SCRIPTED},
    {"encryption", PEER(encryption), set_encryption, "any, plain or required"},
    {"tracker", PEER(hidden), set_switch_off, "whether the tracker knows them", SCRIPTED},
    {"pex", PEER(no_pex), set_switch_off, "whether they tell of others"},
    {"metadata", PEER(no_metadata), set_switch_off, "whether they give the info dictionary",
     SCRIPTED},
    {"fast", PEER(no_fast), set_switch_off, "BEP 6; no: plain streams only", SCRIPTED},
    {"extensions", PEER(no_extensions), set_switch_off, "BEP 10; no: plain streams only", SCRIPTED},
    {"up", PEER(trade.up_bytes_s), set_rates,
     "leechers: bytes a second that each gives at most; 0: no limit", TRADING},
    {"down", PEER(trade.down_bytes_s), set_rates, "leechers: the same, of what it takes", TRADING},
    {"join", PEER(trade.join_s), set_times, "leechers: seconds after the start (0)", TRADING},
    {"leave", PEER(trade), set_leave, "leechers: seconds after the start, when complete, or never",
     TRADING},
    {"tell-after", PEER(trade.tell_after_s), set_patience,
     "leechers: seconds for which each gathers what it gained before it tells, or never", TRADING},
    {"lie", PEER(trade.lies.kind), set_lie,
     "leechers: what they tell the tracker: none, upload (times a factor), ghost (a rate that was "
     "never sent), download (times a factor), seed, partial, collude (in pairs), rotate",
     TRADING},
    {"lie-factor", PEER(trade.lies.factor), set_factor,
     "leechers: of upload, rotate (3) and download (0.2)", TRADING},
    {"lie-rate", PEER(trade.lies.rate_bytes_s), set_rate,
     "leechers: of a ghost, or a pair: bytes a second (50k)", TRADING},
};

static const char *const section_names[] = {[SECTION_NONE] = "",
                                            [SECTION_TORRENT] = "torrent",
                                            [SECTION_TRACKER] = "tracker",
                                            [SECTION_PEERS] = "peers NAME"};

void sk_lab_scenario_help(FILE *to)
{
    enum section section = SECTION_NONE;
    for (size_t i = 0; i < SK_ARRAY_LEN(keys); i++) {
        if (keys[i].section != section)
            fprintf(to, "%s[%s]\n", section ? "\n" : "", section_names[keys[i].section]);
        section = keys[i].section;
        fprintf(to, "  %-14s %s\n", keys[i].name, keys[i].help);
    }
    fputs("\nKinds:\n", to);
    for (size_t i = 0; sk_lab_kind_at(i); i++)
        fprintf(to, "  %-14s %s\n", sk_lab_kind_at(i)->name, sk_lab_kind_at(i)->what);
    fputs("\nClients:\n ", to);
    for (size_t i = 0; sk_lab_client_at(i); i++)
        fprintf(to, " %s", sk_lab_client_at(i)->word);
    fputc('\n', to);
}

/* ---- lines ---- */

__attribute__((format(printf, 2, 3))) static int refuse(struct parser *parser, const char *format,
                                                        ...)
{
    char text[SK_LAB_REASON_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(parser->reason, SK_LAB_REASON_MAX, "%.100s:%u: %.*s", parser->name, parser->line,
             SK_LAB_REASON_MAX - 120, text);
    return SKEP_ERR_INVALID;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n && strchr(" \t\r", text[n - 1]))
        text[--n] = 0;
    return text;
}

static struct sk_lab_group *last_group(const struct parser *parser)
{
    return &parser->scenario->groups[parser->scenario->groups_count - 1];
}

/* What a lie does not need, or lacks; NULL: nothing. */
static const char *check_lie(const struct sk_lab_group *group)
{
    const struct sk_lab_lies *lies = &group->behaviour.trade.lies;
    bool times = lies->kind == SK_LAB_LIE_UPLOAD || lies->kind == SK_LAB_LIE_ROTATE ||
                 lies->kind == SK_LAB_LIE_DOWNLOAD;
    bool pairs = lies->kind == SK_LAB_LIE_COLLUDE;
    if (lies->factor > 0 && !times)
        return "lie-factor is for lie = upload, rotate or download";
    if (lies->rate_bytes_s > 0 && !pairs && lies->kind != SK_LAB_LIE_GHOST)
        return "lie-rate is for lie = ghost or collude";
    return pairs && group->count % 2 ? "they collude in pairs: count has to be even" : NULL;
}

/* What the parameters of a finished section cannot be together. */
static int check_section(struct parser *parser)
{
    if (parser->section != SECTION_PEERS)
        return 0;
    const struct sk_lab_group *group = last_group(parser);
    const struct sk_lab_behaviour *b = &group->behaviour;
    unsigned line = parser->line;
    int err = 0;
    parser->line = parser->section_line;
    if (!group->kind)
        err = refuse(parser, "peers '%s' have no kind", group->name);
    else if ((b->no_fast || b->no_extensions) && b->encryption != SK_LAB_ENCRYPTION_PLAIN)
        err = refuse(parser, "peers '%s': without fast or extensions only encryption = plain",
                     group->name);
    else if (b->trade.leave == SK_LAB_LEAVE_TIME &&
             b->trade.leave_s <= fmax(b->trade.join_s.low, b->trade.join_s.high))
        err = refuse(parser, "peers '%s' leave before all have joined", group->name);
    else if (b->choke_after_s > 0 && isinf(b->unchoke_after_s))
        err = refuse(parser, "peers '%s': what never unchokes cannot choke after a while",
                     group->name);
    else if (check_lie(group))
        err = refuse(parser, "peers '%s': %s", group->name, check_lie(group));
    parser->line = line;
    return err;
}

static int begin_group(struct parser *parser, const char *name)
{
    struct sk_lab_scenario *scenario = parser->scenario;
    if (!*name || strlen(name) > SK_LAB_GROUP_NAME_MAX)
        return refuse(parser, "expected [peers NAME], with a name of at most %d bytes",
                      SK_LAB_GROUP_NAME_MAX);
    for (size_t i = 0; i < scenario->groups_count; i++)
        if (strcmp(scenario->groups[i].name, name) == 0)
            return refuse(parser, "there are peers '%s' already", name);
    if (scenario->groups_count == SK_LAB_GROUPS_MAX)
        return refuse(parser, "more than %d groups of peers", SK_LAB_GROUPS_MAX);
    struct sk_lab_group *group = &scenario->groups[scenario->groups_count++];
    *group = (struct sk_lab_group){.count = 1};
    strcpy(group->name, name);
    parser->section = SECTION_PEERS;
    return 0;
}

static int begin_section(struct parser *parser, char *line)
{
    size_t n = strlen(line);
    int err = check_section(parser);
    if (err)
        return err;
    if (line[n - 1] != ']')
        return refuse(parser, "expected ] at the end");
    line[n - 1] = 0;
    char *name = trim(line + 1);
    parser->keys_seen = 0;
    parser->section_line = parser->line;
    if (strncmp(name, "peers", 5) == 0 && strchr(" \t", name[5]))
        return begin_group(parser, trim(name + 5));
    bool *seen = NULL;
    if (strcmp(name, "torrent") == 0) {
        parser->section = SECTION_TORRENT;
        seen = &parser->seen_torrent;
    } else if (strcmp(name, "tracker") == 0) {
        parser->section = SECTION_TRACKER;
        seen = &parser->seen_tracker;
    } else {
        return refuse(parser, "there is no section [%.60s]: only torrent, tracker and peers NAME",
                      name);
    }
    if (*seen)
        return refuse(parser, "a second [%s]", name);
    *seen = true;
    return 0;
}

static void *place_of(const struct parser *parser, const struct key *key)
{
    char *base = key->section == SECTION_TORRENT   ? (char *)&parser->scenario->torrent
                 : key->section == SECTION_TRACKER ? (char *)&parser->scenario->tracker
                                                   : (char *)last_group(parser);
    return base + key->offset;
}

static int set_key(struct parser *parser, const char *name, const char *value)
{
    for (size_t i = 0; i < SK_ARRAY_LEN(keys); i++) {
        const struct key *key = &keys[i];
        if (key->section != parser->section || strcmp(key->name, name) != 0)
            continue;
        if (parser->keys_seen & UINT64_C(1) << i)
            return refuse(parser, "a second '%s'", name);
        parser->keys_seen |= UINT64_C(1) << i;
        if (parser->section == SECTION_PEERS && !last_group(parser)->kind && key->set != set_kind)
            return refuse(parser, "kind has to come first");
        if (key->whose && last_group(parser)->behaviour.trades != (key->whose == TRADING))
            return refuse(
                parser, key->whose == TRADING ? "%s is for leechers" : "leechers have no %s", name);
        const char *expected = key->set(place_of(parser, key), value);
        if (expected)
            return refuse(parser, "%s = %.60s: expected %s", name, value, expected);
        return 0;
    }
    return refuse(parser, "[%s] has no key '%.40s'", section_names[parser->section], name);
}

static int parse_line(struct parser *parser, char *text)
{
    char *line = trim(text);
    if (!*line || *line == '#' || *line == ';')
        return 0;
    if (*line == '[')
        return begin_section(parser, line);
    char *equals = strchr(line, '=');
    if (!equals)
        return refuse(parser, "expected KEY = VALUE or [SECTION], found '%.60s'", line);
    *equals = 0;
    if (parser->section == SECTION_NONE)
        return refuse(parser, "expected a [SECTION] first");
    return set_key(parser, trim(line), trim(equals + 1));
}

static int parse_lines(struct parser *parser, struct sk_bytes text)
{
    while (text.n) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        char line[TEXT_MAX + 1];
        parser->line++;
        if (n > TEXT_MAX)
            return refuse(parser, "a line of more than %d bytes", TEXT_MAX);
        if (memchr(text.p, 0, n))
            return refuse(parser, "this is no text");
        memcpy(line, text.p, n);
        line[n] = 0;
        int err = parse_line(parser, line);
        if (err)
            return err;
        n += end != NULL;
        text = sk_bytes(text.p + n, text.n - n);
    }
    return check_section(parser);
}

/* What only the whole of it can show. */
static int check_all(struct parser *parser)
{
    const struct sk_lab_scenario *s = parser->scenario;
    uint64_t peers = 0, traders = 0;
    parser->line = SK_MAX(parser->line, 1u);
    for (size_t i = 0; i < s->groups_count; i++) {
        peers += s->groups[i].count;
        traders += s->groups[i].behaviour.trades ? s->groups[i].count : 0;
    }
    if (!peers)
        return refuse(parser, "there are no peers: a [peers NAME] is missing");
    if (peers > SK_LAB_PEERS_MAX)
        return refuse(parser, "more than %d peers", SK_LAB_PEERS_MAX);
    if (traders > SK_LAB_TRADERS_MAX)
        return refuse(parser, "more than %d leechers", SK_LAB_TRADERS_MAX);
    if (traders && !s->tracker.http && !s->tracker.udp)
        return refuse(parser, "leechers find nobody without a tracker: http or udp = yes");
    if (traders && s->tracker.interval_s < SK_TRACKER_REPEAT_MIN_S)
        return refuse(parser, "leechers announce every %d seconds: interval = %d at least",
                      SK_TRACKER_REPEAT_MIN_S, SK_TRACKER_REPEAT_MIN_S);
    if ((s->torrent.size + s->torrent.piece_size - 1) / s->torrent.piece_size > SK_LAB_PIECES_MAX)
        return refuse(parser, "more than %u pieces", SK_LAB_PIECES_MAX);
    return 0;
}

int sk_lab_scenario_parse(const char *name, struct sk_bytes text,
                          struct sk_lab_scenario **ret_scenario, char ret_reason[SK_LAB_REASON_MAX])
{
    struct parser parser = {.name = name, .reason = ret_reason};
    struct sk_lab_scenario *scenario = sk_mem_calloc(1, sizeof *scenario);
    if (!scenario) {
        snprintf(ret_reason, SK_LAB_REASON_MAX, "%s", skep_err_text(SKEP_ERR_NOMEM));
        return SKEP_ERR_NOMEM;
    }
    scenario->torrent = (struct sk_lab_torrent){
        .name = "lab.bin", .size = 64u << 20, .piece_size = 256u << 10, .has_v1 = true, .seed = 1};
    scenario->tracker.http = scenario->tracker.udp = true;
    scenario->tracker.interval_s = 5;
    scenario->tracker.want_max = 200;
    parser.scenario = scenario;
    int err = parse_lines(&parser, text);
    if (!err)
        err = check_all(&parser);
    if (err)
        sk_mem_free(scenario);
    else
        *ret_scenario = scenario;
    return err;
}
