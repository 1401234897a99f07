#include "wire/client_name.h"

#include "base/assert.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

#define ID_SIZE 20
#define V_READ_MAX 128 /* bytes of v that are looked at: more than a name can show */
#define VERSION_MAX 48

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

/* 0-9, then A-Z as 10 to 35 in either case; -1 for anything else. */
static int digit36(uint8_t c)
{
    return is_digit(c) ? c - '0' : is_letter(c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* The digits of Shadow's ids: 0-9, A-Z, a-z, '.'; -1 for anything else. ('-' pads there.) */
static int digit63(uint8_t c)
{
    return c == '.' ? 62 : c >= 'a' && c <= 'z' ? c - 'a' + 36 : digit36(c);
}

/*
 * Versions in ids like "-XX1234-": `id` is the whole peer id, digits stand at 3 to 6. Each writes
 * the version's text, or leaves "" where the digits make none.
 */
typedef void version_fn(const uint8_t *id, char ret_text[VERSION_MAX]);

static void version_none(const uint8_t *id, char ret_text[VERSION_MAX])
{
}

static void version_two(const uint8_t *id, char ret_text[VERSION_MAX])
{
    int a = digit36(id[3]), b = digit36(id[4]);
    if (a >= 0 && b >= 0)
        snprintf(ret_text, VERSION_MAX, "%d.%d", a, b);
}

static void version_three(const uint8_t *id, char ret_text[VERSION_MAX])
{
    int a = digit36(id[3]), b = digit36(id[4]), c = digit36(id[5]);
    if (a >= 0 && b >= 0 && c >= 0)
        snprintf(ret_text, VERSION_MAX, "%d.%d.%d", a, b, c);
}

/* The fourth number is left out where it is 0, as the clients themselves do. */
static void version_four(const uint8_t *id, char ret_text[VERSION_MAX])
{
    int d = digit36(id[6]);
    version_three(id, ret_text);
    size_t n = strlen(ret_text);
    if (n && d > 0)
        snprintf(ret_text + n, VERSION_MAX - n, ".%d", d);
}

/* "-BC0187-" is 1.87. */
static void version_pairs(const uint8_t *id, char ret_text[VERSION_MAX])
{
    if (is_digit(id[3]) && is_digit(id[4]) && is_digit(id[5]) && is_digit(id[6]))
        snprintf(ret_text, VERSION_MAX, "%d.%c%c", (id[3] - '0') * 10 + id[4] - '0', id[5], id[6]);
}

/* "-WW0109-" is 1.9. */
static void version_pairs_short(const uint8_t *id, char ret_text[VERSION_MAX])
{
    if (is_digit(id[3]) && is_digit(id[4]) && is_digit(id[5]) && is_digit(id[6]))
        snprintf(ret_text, VERSION_MAX, "%d.%d", (id[3] - '0') * 10 + id[4] - '0',
                 (id[5] - '0') * 10 + id[6] - '0');
}

static const char *mark(uint8_t c)
{
    return c == 'B' || c == 'X' ? " beta" : c == 'A' ? " alpha" : c == 'Z' ? "+" : "";
}

/* "-UT3550-" is 3.5.5; "-BT7a05S" is 7.10.05: a longer version takes the last dash's place. */
static void version_utorrent(const uint8_t *id, char ret_text[VERSION_MAX])
{
    version_three(id, ret_text);
    if (!ret_text[0])
        return;
    size_t n = strlen(ret_text);
    if (id[7] != '-' && is_digit(id[5]) && is_digit(id[6]))
        snprintf(ret_text, VERSION_MAX, "%d.%d.%d%s", digit36(id[3]), digit36(id[4]),
                 (id[5] - '0') * 10 + id[6] - '0', mark(id[7]));
    else
        snprintf(ret_text + n, VERSION_MAX - n, "%s", mark(id[6]));
}

/* Three styles in three eras: "-TR0072-" is 0.72, "-TR2940-" is 2.94, "-TR4050-" is 4.0.5. */
static void version_transmission(const uint8_t *id, char ret_text[VERSION_MAX])
{
    if (id[3] >= '4' || !is_digit(id[3])) {
        version_three(id, ret_text);
        size_t n = strlen(ret_text);
        if (n)
            snprintf(ret_text + n, VERSION_MAX - n, "%s", mark(id[6]));
    } else if (!is_digit(id[4]) || !is_digit(id[5])) {
        return;
    } else if (id[3] == '0' && id[4] == '0' && is_digit(id[6])) {
        snprintf(ret_text, VERSION_MAX, id[5] == '0' ? "0.%d" : "0.%02d",
                 (id[5] - '0') * 10 + id[6] - '0');
    } else {
        snprintf(ret_text, VERSION_MAX, "%c.%c%c%s", id[3], id[4], id[5], mark(id[6]));
    }
}

/* "-KT33D1-" is the first development version before 3.3. */
static void version_ktorrent(const uint8_t *id, char ret_text[VERSION_MAX])
{
    const char *kind = id[5] == 'D' ? "dev" : id[5] == 'B' ? "beta" : id[5] == 'R' ? "RC" : NULL;
    if (!kind) {
        version_three(id, ret_text);
        return;
    }
    version_two(id, ret_text);
    size_t n = strlen(ret_text);
    if (n && is_digit(id[6]))
        snprintf(ret_text + n, VERSION_MAX - n, " %s %c", kind, id[6]);
}

/* "-FG0180" is 1.80. */
static void version_flashget(const uint8_t *id, char ret_text[VERSION_MAX])
{
    if (is_digit(id[4]) && is_digit(id[5]) && is_digit(id[6]))
        snprintf(ret_text, VERSION_MAX, "%c.%c%c", id[4], id[5], id[6]);
}

/* "-PI0251-" is 0.25.1. */
static void version_picotorrent(const uint8_t *id, char ret_text[VERSION_MAX])
{
    if (is_digit(id[3]) && is_digit(id[4]) && is_digit(id[5]) && is_digit(id[6]))
        snprintf(ret_text, VERSION_MAX, "%c.%d.%c", id[3], (id[4] - '0') * 10 + id[5] - '0', id[6]);
}

/* "-ML2.7.2-": the version as text. */
static void version_text(const uint8_t *id, char ret_text[VERSION_MAX])
{
    size_t n = 0;
    while (3 + n < ID_SIZE && (is_digit(id[3 + n]) || id[3 + n] == '.'))
        n++;
    snprintf(ret_text, VERSION_MAX, "%.*s", (int)n, (const char *)id + 3);
}

/* "OP7685": a build's number. */
static void version_opera(const uint8_t *id, char ret_text[VERSION_MAX])
{
    if (is_digit(id[2]) && is_digit(id[3]) && is_digit(id[4]) && is_digit(id[5]))
        snprintf(ret_text, VERSION_MAX, "build %.4s", (const char *)id + 2);
}

/* "exbc" and two bytes that are numbers. */
static void version_exbc(const uint8_t *id, char ret_text[VERSION_MAX])
{
    snprintf(ret_text, VERSION_MAX, "%d.%02d", id[4], id[5]);
}

/* Ids of the form "-XX1234-" (BEP 20, and those seen since). */
static const struct azureus {
    char code[3];
    const char *name;
    version_fn *version;
} azureus[] = {
    {"7T", "aTorrent", version_four},
    {"AG", "Ares", version_three},
    {"AR", "Arctic", version_four},
    {"AT", "Artemis", version_four},
    {"AV", "Avicora", version_four},
    {"AX", "BitPump", version_pairs},
    {"AZ", "Vuze", version_four},
    {"A~", "Ares", version_three},
    {"BB", "BitBuddy", version_four},
    {"BC", "BitComet", version_pairs},
    {"BE", "BitTorrent SDK", version_four},
    {"BF", "Bitflu", version_none},
    {"BG", "BTG", version_four},
    {"BH", "BitZilla", version_four},
    {"BI", "BiglyBT", version_four},
    {"BL", "BitLord", version_four},
    {"BM", "BitMagnet", version_four},
    {"BN", "Baidu Netdisk", version_none},
    {"BP", "BitTorrent Pro", version_four},
    {"BR", "BitRocket", version_four},
    {"BS", "BTSlave", version_four},
    {"BT", "BitTorrent", version_utorrent},
    {"BW", "BitTorrent Web", version_utorrent},
    {"BX", "BittorrentX", version_four},
    {"CD", "Enhanced CTorrent", version_pairs_short},
    {"CT", "CTorrent", version_none},
    {"DE", "Deluge", version_three},
    {"DP", "Propagate Data Client", version_four},
    {"EB", "EBit", version_four},
    {"ES", "Electric Sheep", version_three},
    {"FC", "FileCroc", version_four},
    {"FD", "Free Download Manager", version_two},
    {"FG", "FlashGet", version_flashget},
    {"FL", "Flud", version_four},
    {"FT", "FoxTorrent", version_four},
    {"FW", "FrostWire", version_three},
    {"FX", "Freebox BitTorrent", version_none},
    {"GR", "GetRight", version_four},
    {"GS", "GSTorrent", version_four},
    {"GT", "anacrolix/torrent", version_four},
    {"HK", "Hekate", version_four},
    {"HL", "Halite", version_three},
    {"HM", "hMule", version_four},
    {"HN", "Hydranode", version_four},
    {"IL", "iLivid", version_four},
    {"JS", "Justseed.it", version_four},
    {"JT", "JavaTorrent", version_four},
    {"KG", "KGet", version_four},
    {"KT", "KTorrent", version_ktorrent},
    {"LC", "LeechCraft", version_four},
    {"LH", "LH-ABC", version_four},
    {"LP", "Lphant", version_pairs},
    {"LT", "libtorrent", version_four},
    {"LW", "LimeWire", version_none},
    {"MG", "MediaGet", version_two},
    {"MK", "Meerkat", version_four},
    {"ML", "MLDonkey", version_text},
    {"MO", "MonoTorrent", version_four},
    {"MP", "MooPolice", version_three},
    {"MR", "Miro", version_four},
    {"MT", "Moonlight", version_four},
    {"NB", "Net::BitTorrent", version_four},
    {"NE", "BT Next Evolution", version_four},
    {"NX", "Net Transport", version_four},
    {"OS", "OneSwarm", version_four},
    {"OT", "OmegaTorrent", version_four},
    {"PB", "Protocol::BitTorrent", version_four},
    {"PC", "CacheLogic", version_four},
    {"PD", "Pando", version_four},
    {"PE", "PeerProject", version_four},
    {"PI", "PicoTorrent", version_picotorrent},
    {"QD", "QQDownload", version_four},
    {"QT", "Qt 4 Torrent example", version_four},
    {"RM", "RUM Torrent", version_four},
    {"RS", "Rufus", version_four},
    {"RT", "Retriever", version_four},
    {"RZ", "RezTorrent", version_four},
    {"SB", "Swiftbit", version_four},
    {"SD", "Thunder", version_four},
    {"SK", "skep", version_three},
    {"SM", "SoMud", version_four},
    {"SP", "BitSpirit", version_three},
    {"SS", "SwarmScope", version_four},
    {"ST", "SymTorrent", version_four},
    {"SZ", "Shareaza", version_four},
    {"S~", "Shareaza", version_four},
    {"TB", "Torch", version_none},
    {"TE", "terasaur Seed Bank", version_four},
    {"TG", "Torrent GO", version_four},
    {"TL", "Tribler", version_four},
    {"TN", "Torrent.NET", version_four},
    {"TR", "Transmission", version_transmission},
    {"TS", "Torrentstorm", version_four},
    {"TT", "TuoTu", version_three},
    {"UE", "µTorrent Embedded", version_utorrent},
    {"UL", "uLeecher!", version_four},
    {"UM", "µTorrent Mac", version_utorrent},
    {"UT", "µTorrent", version_utorrent},
    {"UW", "µTorrent Web", version_utorrent},
    {"VG", "Vagaa", version_four},
    {"WD", "WebTorrent Desktop", version_pairs_short},
    {"WS", "HTTP Seed", version_none},
    {"WT", "BitLet", version_four},
    {"WW", "WebTorrent", version_pairs_short},
    {"WY", "FireTorrent", version_four},
    {"XC", "Xtorrent", version_two},
    {"XF", "Xfplay", version_three},
    {"XL", "Xunlei", version_four},
    {"XS", "XSwifter", version_four},
    {"XT", "XanTorrent", version_four},
    {"XX", "Xtorrent", version_two},
    {"ZO", "Zona", version_four},
    {"ZT", "ZipTorrent", version_four},
    {"bk", "BitKitten", version_four},
    {"lt", "rTorrent (libTorrent)", version_three},
    {"pX", "pHoeniX", version_four},
    {"qB", "qBittorrent", version_four},
    {"rQ", "rqbit", version_three},
    {"st", "SharkTorrent", version_four},
    {"tT", "tTorrent", version_four},
};

/* Ids of no common form, told by what stands at one place. The first that matches counts. */
static const struct special {
    size_t at;
    const char *mark, *name;
    version_fn *version;
} specials[] = {
    {6, "LORD", "BitLord", version_exbc},
    {0, "exbc", "BitComet", version_exbc},
    {0, "FUTB", "BitComet", version_exbc},
    {0, "TIX", "Tixati", version_pairs},
    {0, "XBT", "XBT Client", version_three},
    {0, "MG-", "MediaGet", version_text},
    {0, "OP", "Opera", version_opera},
    {1,
     "\x03"
     "BS",
     "BitSpirit 3", version_none},
    {1,
     "\x02"
     "BS",
     "BitSpirit 2", version_none},
    {0, "-BOW", "Bits on Wheels", version_none},
    {0, "-G3", "G3 Torrent", version_none},
    {0, "-WT-", "BitLet", version_none},
    {0, "-aria2-", "aria2", version_none},
    {0, "10-------", "JVtorrent", version_none},
    {0, "346------", "TorrenTopia 1.90", version_none},
    {0, "AZ2500BT", "BitTyrant 1.1", version_none},
    {0, "BTDWV-", "Deadman Walking", version_none},
    {0, "Deadman Walking-", "Deadman Walking", version_none},
    {0, "DNA0", "BitTorrent DNA", version_none},
    {0, "FD6", "Free Download Manager", version_none},
    {0, "LIME", "LimeWire", version_none},
    {0, "Mbrst", "Burst!", version_none},
    {0, "Pando-", "Pando", version_none},
    {0, "QVOD", "QVOD", version_none},
    {0, "a00---0", "Swarmy", version_none},
    {0, "btuga", "BTugaXP", version_none},
    {0, "martini", "Martini Man", version_none},
    {0, "oernu", "BTugaXP", version_none},
    {0, "turbobt", "TurboBT", version_none},
};

/* Ids with the three numbers of a version between dashes: "M7-1-0--", "A2-1-36-0-". */
static const struct dashed {
    const char *prefix, *name;
} dashed[] = {
    {"A2-", "aria2"},
    {"M", "BitTorrent"},
    {"Q", "Queen Bee"},
};

/* Ids that begin with a letter and three to five digits, padded with dashes: "T03I--". */
static const struct shadow {
    uint8_t code;
    const char *name;
} shadows[] = {
    {'A', "ABC"},    {'O', "Osprey Permaseed"}, {'Q', "BTQueue"},     {'R', "Tribler"},
    {'S', "Shad0w"}, {'T', "BitTornado"},       {'U', "UPnP NAT BT"},
};

/* Puts "name version", or the name alone where there is no version. True, for the callers' sake. */
static bool put_name(const char *name, const char *version, char ret_name[SK_CLIENT_NAME_MAX])
{
    snprintf(ret_name, SK_CLIENT_NAME_MAX, "%s%s%s", name, version[0] ? " " : "", version);
    return true;
}

static bool name_special(const uint8_t *id, char ret_name[SK_CLIENT_NAME_MAX])
{
    char version[VERSION_MAX] = "";
    for (size_t i = 0; i < SK_ARRAY_LEN(specials); i++) {
        const struct special *special = &specials[i];
        if (memcmp(id + special->at, special->mark, strlen(special->mark)) != 0)
            continue;
        special->version(id, version);
        return put_name(special->name, version, ret_name);
    }
    return false;
}

static bool name_azureus(const uint8_t *id, char ret_name[SK_CLIENT_NAME_MAX])
{
    char version[VERSION_MAX] = "";
    if (id[0] != '-')
        return false;
    for (size_t i = 0; i < SK_ARRAY_LEN(azureus); i++) {
        const struct azureus *client = &azureus[i];
        if (memcmp(id + 1, client->code, 2) != 0)
            continue;
        /* These three have versions that reach to the last dash or past it. */
        bool is_open = client->version == version_utorrent || client->version == version_flashget ||
                       client->version == version_text;
        if (is_open || id[7] == '-')
            client->version(id, version);
        return put_name(client->name, version, ret_name);
    }
    return false;
}

/* Reads a number of one to three digits with a dash after it; how many bytes that took, or 0. */
static size_t read_dashed(const uint8_t *p, size_t n, int *ret_number)
{
    size_t digits = 0;
    int number = 0;
    while (digits < n && digits < 3 && is_digit(p[digits]))
        number = number * 10 + p[digits++] - '0';
    if (!digits || digits == n || p[digits] != '-')
        return 0;
    *ret_number = number;
    return digits + 1;
}

static bool name_dashed(const uint8_t *id, char ret_name[SK_CLIENT_NAME_MAX])
{
    char version[VERSION_MAX];
    for (size_t i = 0; i < SK_ARRAY_LEN(dashed); i++) {
        size_t at = strlen(dashed[i].prefix);
        int numbers[3], found = 0;
        if (memcmp(id, dashed[i].prefix, at) != 0)
            continue;
        for (; found < 3; found++) {
            size_t n = read_dashed(id + at, ID_SIZE - at, &numbers[found]);
            if (!n)
                break;
            at += n;
        }
        if (found < 3)
            continue;
        snprintf(version, sizeof version, "%d.%d.%d", numbers[0], numbers[1], numbers[2]);
        return put_name(dashed[i].name, version, ret_name);
    }
    return false;
}

static bool name_shadow(const uint8_t *id, char ret_name[SK_CLIENT_NAME_MAX])
{
    char version[VERSION_MAX] = "";
    size_t digits = 0, n = 0;
    while (digits < 5 && digit63(id[1 + digits]) >= 0)
        digits++;
    for (size_t i = 1 + digits; i < 8; i++)
        if (id[i] != '-')
            return false;
    if (digits < 3)
        return false;
    for (size_t i = 0; i < digits; i++)
        n += (size_t)snprintf(version + n, sizeof version - n, "%s%d", i ? "." : "",
                              digit63(id[1 + i]));
    for (size_t i = 0; i < SK_ARRAY_LEN(shadows); i++)
        if (id[0] == shadows[i].code)
            return put_name(shadows[i].name, version, ret_name);
    return false;
}

/* Fewer than four printable bytes are more likely chance than a name. */
static void name_unknown(const uint8_t *id, char ret_name[SK_CLIENT_NAME_MAX])
{
    int n = 0;
    while (n < 8 && id[n] > ' ' && id[n] < 0x7f && id[n] != '"' && id[n] != '\\')
        n++;
    if (n < 4)
        snprintf(ret_name, SK_CLIENT_NAME_MAX, "unknown");
    else
        snprintf(ret_name, SK_CLIENT_NAME_MAX, "\"%.*s\"", n, (const char *)id);
}

/*
 * How many bytes of a version at the beginning of text count: four numbers of which the last is 0
 * are a version of three ("2.0.8.0").
 */
static size_t version_length(struct sk_bytes text, size_t *ret_shown)
{
    size_t n = 0, dots = 0;
    for (; n < text.n && (is_digit(text.p[n]) || text.p[n] == '.'); n++)
        dots += text.p[n] == '.';
    bool is_padded = dots == 3 && text.p[n - 1] == '0' && text.p[n - 2] == '.' &&
                     (n == text.n || !is_letter(text.p[n]));
    *ret_shown = is_padded ? n - 2 : n;
    return n;
}

/* Blanks, and the NUL that C programs send along. */
static bool is_blank(uint8_t c)
{
    return memchr(" \t\r\n", c, sizeof " \t\r\n") != NULL;
}

static struct sk_bytes trim(struct sk_bytes text)
{
    while (text.n && is_blank(text.p[0]))
        text = sk_bytes(text.p + 1, text.n - 1);
    while (text.n && is_blank(text.p[text.n - 1]))
        text.n--;
    return text;
}

/* Writes v in its common form: "name/1.2.3.0" becomes "name 1.2.3"; returns how many bytes. */
static size_t tidy(struct sk_bytes v, char ret_text[V_READ_MAX * 2])
{
    size_t to = 0;
    uint8_t before = ' ';
    for (size_t i = 0, taken = 1; i < v.n; i += taken, before = v.p[i - 1]) {
        size_t shown = taken = 1;
        if (is_digit(v.p[i]) && !is_letter(before)) {
            taken = version_length(sk_bytes(v.p + i, v.n - i), &shown);
        } else if (v.p[i] == '/' && i + 1 < v.n && is_digit(v.p[i + 1])) {
            ret_text[to++] = ' ';
            continue;
        } else if (i == 0 && v.n > 1 && v.p[0] == 0xb5 && v.p[1] == 'T') {
            ret_text[to++] = (char)0xc2; /* a µ in Latin-1, as old µTorrents sent it */
        }
        memcpy(ret_text + to, v.p + i, shown);
        to += shown;
    }
    return to;
}

/* One client, one name, whether v or the id tells it. */
static const struct alias {
    const char *sent, *name;
} aliases[] = {
    {"libTorrent ", "rTorrent (libTorrent) "},
    {"uTorrent ", "µTorrent "},
};

static bool says_something(struct sk_bytes v)
{
    for (size_t i = 0; i < v.n; i++)
        if (is_letter(v.p[i]))
            return true;
    return false;
}

static bool name_v(struct sk_bytes v, char ret_name[SK_CLIENT_NAME_MAX])
{
    char tidied[V_READ_MAX * 2], named[V_READ_MAX * 3];
    v = trim(sk_bytes(v.p, SK_MIN(v.n, V_READ_MAX)));
    if (!says_something(v))
        return false;
    struct sk_bytes text = sk_bytes(tidied, tidy(v, tidied));
    for (size_t i = 0; i < SK_ARRAY_LEN(aliases); i++) {
        size_t n = strlen(aliases[i].sent);
        if (text.n < n || memcmp(text.p, aliases[i].sent, n) != 0)
            continue;
        size_t name_n = strlen(aliases[i].name);
        memcpy(named, aliases[i].name, name_n);
        memcpy(named + name_n, text.p + n, text.n - n);
        text = sk_bytes(named, name_n + text.n - n);
        break;
    }
    sk_text_escape(text, ret_name, SK_CLIENT_NAME_MAX);
    return true;
}

char *sk_client_name(const uint8_t peer_id[20], struct sk_bytes v,
                     char ret_name[SK_CLIENT_NAME_MAX])
{
    if (!name_v(v, ret_name) && !name_special(peer_id, ret_name) &&
        !name_azureus(peer_id, ret_name) && !name_dashed(peer_id, ret_name) &&
        !name_shadow(peer_id, ret_name))
        name_unknown(peer_id, ret_name);
    return ret_name;
}
