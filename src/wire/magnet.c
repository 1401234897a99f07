#include "wire/magnet.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>
#include <strings.h>

static const char scheme[] = "magnet:?";

static int base32_value(char c)
{
    if (c >= '2' && c <= '7')
        return c - '2' + 26;
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' : -1;
}

static bool decode_base32(const char *text, size_t n, uint8_t ret_hash[SK_SHA1_SIZE])
{
    uint8_t hash[SK_SHA1_SIZE];
    uint32_t bits = 0;
    size_t have = 0, at = 0;
    if (n != SK_SHA1_SIZE * 8 / 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        int value = base32_value(text[i]);
        if (value < 0)
            return false;
        bits = bits << 5 | (uint32_t)value;
        have += 5;
        if (have >= 8) {
            have -= 8;
            hash[at++] = (uint8_t)(bits >> have);
        }
    }
    memcpy(ret_hash, hash, sizeof hash);
    return true;
}

static bool decode_v1(const char *text, size_t n, uint8_t ret_hash[SK_SHA1_SIZE])
{
    return sk_hex_decode(text, n, ret_hash, SK_SHA1_SIZE) || decode_base32(text, n, ret_hash);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Resolves %XX in place (the text becomes no longer); false where an escape is broken or a NUL. */
static bool unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        char c = *from;
        if (c == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0 || (high | low) == 0)
                return false;
            c = (char)(high << 4 | low);
            from += 2;
        }
        *to++ = c;
    }
    *to = 0;
    return true;
}

/* Whether a text can stand in an address: not empty, no blanks, no control characters. */
static bool is_solid(const char *text)
{
    size_t n = 0;
    for (; text[n]; n++)
        if ((uint8_t)text[n] <= ' ' || text[n] == 0x7f)
            return false;
    return n > 0 && n <= SK_METAINFO_URL_MAX;
}

static bool is_url(const char *text)
{
    return is_solid(text) && strstr(text, "://");
}

static bool is_http(const char *text)
{
    return is_solid(text) &&
           (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0);
}

/* All decimal digits, at most `max`. */
static bool parse_number(const char *text, size_t n, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value) || value > max)
            return false;
    }
    *ret_value = value;
    return true;
}

static bool is_peer(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!is_solid(text) || !colon || colon == text ||
        !parse_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port) || port == 0)
        return false;
    size_t host = (size_t)(colon - text);
    if (text[0] == '[')
        return host > 2 && text[host - 1] == ']';
    return !memchr(text, ':', host);
}

/* Appends a copy to a list of at most `max`; what is there already, or over it, is passed over. */
static int add_text(char ***list, size_t *count, size_t max, const char *text)
{
    if (*count == max)
        return 0;
    for (size_t i = 0; i < *count; i++)
        if (strcmp((*list)[i], text) == 0)
            return 0;
    char *copy = sk_mem_strdup(text);
    if (!copy)
        return SKEP_ERR_NOMEM;
    if ((*count & (*count - 1)) == 0) { /* the room is the next power of two */
        char **more = sk_mem_realloc(*list, *count ? *count * 2 : 1, sizeof *more);
        if (!more) {
            sk_mem_free(copy);
            return SKEP_ERR_NOMEM;
        }
        *list = more;
    }
    (*list)[(*count)++] = copy;
    return 0;
}

/*
 * One function a key. Each gets the value with its escapes resolved, takes what has a meaning and
 * passes over what has none.
 */
static int read_xt(struct sk_magnet *magnet, char *value)
{
    static const char v1[] = "urn:btih:", v2[] = "urn:btmh:1220"; /* 12 20: SHA2-256, 32 bytes */
    if (!magnet->has_v1 && strncasecmp(value, v1, strlen(v1)) == 0) {
        const char *hash = value + strlen(v1);
        magnet->has_v1 = decode_v1(hash, strlen(hash), magnet->hash_v1);
    } else if (!magnet->has_v2 && strncasecmp(value, v2, strlen(v2)) == 0) {
        const char *hash = value + strlen(v2);
        magnet->has_v2 = sk_hex_decode(hash, strlen(hash), magnet->hash_v2, SK_SHA256_SIZE);
    }
    return 0;
}

static int read_dn(struct sk_magnet *magnet, char *value)
{
    if (magnet->name || !*value)
        return 0;
    for (char *c = value; *c; c++)
        if (*c == '+') /* a form's way to write a blank */
            *c = ' ';
    magnet->name = sk_mem_strdup(value);
    return magnet->name ? 0 : SKEP_ERR_NOMEM;
}

static int read_xl(struct sk_magnet *magnet, char *value)
{
    parse_number(value, strlen(value), INT64_MAX, &magnet->size);
    return 0;
}

static int read_tr(struct sk_magnet *magnet, char *value)
{
    return !is_url(value) ? 0
                          : add_text(&magnet->trackers, &magnet->trackers_count,
                                     SK_METAINFO_TRACKERS_MAX, value);
}

static int read_ws(struct sk_magnet *magnet, char *value)
{
    return !is_url(value) ? 0
                          : add_text(&magnet->web_seeds, &magnet->web_seeds_count,
                                     SK_METAINFO_TRACKERS_MAX, value);
}

static int read_as(struct sk_magnet *magnet, char *value)
{
    return !is_http(value) ? 0
                           : add_text(&magnet->sources, &magnet->sources_count,
                                      SK_METAINFO_TRACKERS_MAX, value);
}

static int read_xs(struct sk_magnet *magnet, char *value)
{
    static const char key[] = "urn:btpk:";
    if (strncasecmp(value, key, strlen(key)) != 0)
        return read_as(magnet, value);
    const char *hex = value + strlen(key);
    if (!magnet->has_key)
        magnet->has_key = sk_hex_decode(hex, strlen(hex), magnet->key, sizeof magnet->key);
    return 0;
}

/* With another salt the link would mean another item: a broken one is not passed over. */
static int read_salt(struct sk_magnet *magnet, char *value)
{
    size_t n = strlen(value) / 2;
    bool ok = n <= sizeof magnet->salt && sk_hex_decode(value, strlen(value), magnet->salt, n);
    magnet->salt_size = ok ? n : SIZE_MAX;
    return 0;
}

static int read_peer(struct sk_magnet *magnet, char *value)
{
    return !is_peer(value)
               ? 0
               : add_text(&magnet->peers, &magnet->peers_count, SK_MAGNET_PEERS_MAX, value);
}

static bool parse_range(const char *text, size_t n, struct sk_magnet_range *ret_range)
{
    const char *dash = memchr(text, '-', n);
    size_t first_n = dash ? (size_t)(dash - text) : n;
    uint64_t first, last;
    if (!parse_number(text, first_n, SK_METAINFO_FILES_MAX - 1, &first))
        return false;
    last = first;
    if (dash && !parse_number(dash + 1, n - first_n - 1, SK_METAINFO_FILES_MAX - 1, &last))
        return false;
    *ret_range = (struct sk_magnet_range){(uint32_t)first, (uint32_t)last};
    return first <= last;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct sk_magnet_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Sorts; ranges that touch become one. */
static size_t merge_ranges(struct sk_magnet_range *ranges, size_t count)
{
    size_t kept = 0;
    qsort(ranges, count, sizeof *ranges, compare_ranges);
    for (size_t i = 0; i < count; i++) {
        if (kept && ranges[i].first <= ranges[kept - 1].last + 1)
            ranges[kept - 1].last = SK_MAX(ranges[kept - 1].last, ranges[i].last);
        else
            ranges[kept++] = ranges[i];
    }
    return kept;
}

/* BEP 53. A value with a broken range in it says nothing. */
static int read_so(struct sk_magnet *magnet, char *value)
{
    size_t count = magnet->select_count + 1;
    for (const char *c = value; *c; c++)
        count += *c == ',';
    struct sk_magnet_range *ranges = sk_mem_realloc(magnet->select, count, sizeof *ranges);
    if (!ranges)
        return SKEP_ERR_NOMEM;
    magnet->select = ranges;
    size_t at = magnet->select_count;
    for (const char *text = value;; text++) {
        size_t n = strcspn(text, ",");
        if (!parse_range(text, n, &ranges[at++])) {
            magnet->select_broken = true;
            return 0;
        }
        text += n;
        if (!*text)
            break;
    }
    magnet->select_count = merge_ranges(ranges, at);
    return 0;
}

static const struct {
    const char *key;
    int (*read)(struct sk_magnet *magnet, char *value);
} keys[] = {
    {"xt", read_xt}, {"dn", read_dn}, {"xl", read_xl}, {"tr", read_tr},  {"ws", read_ws},
    {"so", read_so}, {"xs", read_xs}, {"as", read_as}, {"s", read_salt}, {"x.pe", read_peer},
};

/* Whether a key is `wanted`, or `wanted` with a number ("tr.1"). */
static bool key_is(const char *key, const char *wanted)
{
    size_t n = strlen(wanted);
    uint64_t number;
    return strncasecmp(key, wanted, n) == 0 &&
           (key[n] == 0 ||
            (key[n] == '.' && parse_number(key + n + 1, strlen(key + n + 1), UINT32_MAX, &number)));
}

/* "key=value", which is written to. */
static int read_parameter(struct sk_magnet *magnet, char *parameter)
{
    char *equals = strchr(parameter, '=');
    if (!equals)
        return 0;
    *equals = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(keys); i++)
        if (key_is(parameter, keys[i].key)) {
            /* A salt with a broken escape is no hex, and so still a broken salt. */
            bool ok = unescape(equals + 1) || keys[i].read == read_salt;
            return ok ? keys[i].read(magnet, equals + 1) : 0;
        }
    return 0;
}

static void set_info_hash(struct sk_magnet *magnet)
{
    memcpy(magnet->info_hash, magnet->has_v1 ? magnet->hash_v1 : magnet->hash_v2, SK_SHA1_SIZE);
}

/* Whether the link names something that the caller can use. */
static int judge(struct sk_magnet *magnet, bool pointer, const char **ret_reason)
{
    if (magnet->salt_size == SIZE_MAX) {
        magnet->salt_size = 0;
        magnet->has_key = false;
        *ret_reason = "its salt (s=) is not hex of at most 64 bytes";
    } else {
        *ret_reason = "it names no info-hash (xt=urn:btih: or urn:btmh:)";
    }
    if (magnet->has_v1 || magnet->has_v2 || (magnet->has_key && pointer))
        return 0;
    if (!magnet->has_key)
        return SKEP_ERR_MALFORMED;
    *ret_reason = "it names a public key of the DHT (xs=urn:btpk:) and no info-hash";
    return SKEP_ERR_UNSUPPORTED;
}

static int read_parameters(struct sk_magnet *magnet, char *text, const char **ret_reason)
{
    char *rest = text, *parameter;
    while ((parameter = strsep(&rest, "&"))) {
        int err = read_parameter(magnet, parameter);
        if (err) {
            *ret_reason = "out of memory";
            return err;
        }
    }
    return 0;
}

static int parse(const char *uri, bool pointer, struct sk_magnet **ret_magnet,
                 const char **ret_reason)
{
    const char *ignored;
    if (!ret_reason)
        ret_reason = &ignored;
    if (strncasecmp(uri, scheme, strlen(scheme)) != 0) {
        *ret_reason = "it does not begin with \"magnet:?\"";
        return SKEP_ERR_MALFORMED;
    }
    size_t n = strnlen(uri, SK_MAGNET_BYTES_MAX + 1);
    if (n > SK_MAGNET_BYTES_MAX) {
        *ret_reason = "it is too long";
        return SKEP_ERR_LIMIT;
    }
    struct sk_magnet *magnet = sk_mem_calloc(1, sizeof *magnet);
    char *text = sk_mem_strdup(uri + strlen(scheme));
    int err = SKEP_ERR_NOMEM;
    *ret_reason = "out of memory";
    if (magnet && text)
        err = read_parameters(magnet, text, ret_reason);
    if (!err)
        err = judge(magnet, pointer, ret_reason);
    sk_mem_free(text);
    if (err) {
        sk_magnet_free(magnet);
        return err;
    }
    set_info_hash(magnet);
    *ret_magnet = magnet;
    return 0;
}

int sk_magnet_parse(const char *uri, struct sk_magnet **ret_magnet, const char **ret_reason)
{
    return parse(uri, false, ret_magnet, ret_reason);
}

int sk_magnet_parse_pointer(const char *uri, struct sk_magnet **ret_magnet, const char **ret_reason)
{
    return parse(uri, true, ret_magnet, ret_reason);
}

int sk_magnet_from_hash(const char *hex, struct sk_magnet **ret_magnet)
{
    struct sk_magnet parsed = {0};
    size_t n = strnlen(hex, 2 * SK_SHA256_SIZE + 1);
    parsed.has_v1 = decode_v1(hex, n, parsed.hash_v1);
    parsed.has_v2 = sk_hex_decode(hex, n, parsed.hash_v2, SK_SHA256_SIZE);
    if (!parsed.has_v1 && !parsed.has_v2)
        return SKEP_ERR_INVALID;
    set_info_hash(&parsed);
    struct sk_magnet *magnet = sk_mem_dup(&parsed, sizeof parsed);
    if (!magnet)
        return SKEP_ERR_NOMEM;
    *ret_magnet = magnet;
    return 0;
}

bool sk_magnet_selects(const struct sk_magnet *magnet, uint32_t file)
{
    size_t low = 0, high = magnet->select_count; /* the first range that ends at it or behind it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (magnet->select[middle].last < file)
            low = middle + 1;
        else
            high = middle;
    }
    return !magnet->select_count ||
           (low < magnet->select_count && magnet->select[low].first <= file);
}

static void free_texts(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sk_mem_free(list[i]);
    sk_mem_free(list);
}

void sk_magnet_free(struct sk_magnet *magnet)
{
    if (!magnet)
        return;
    sk_mem_free(magnet->name);
    free_texts(magnet->trackers, magnet->trackers_count);
    free_texts(magnet->web_seeds, magnet->web_seeds_count);
    free_texts(magnet->sources, magnet->sources_count);
    free_texts(magnet->peers, magnet->peers_count);
    sk_mem_free(magnet->select);
    sk_mem_free(magnet);
}
