#include "wire/tracker_http.h"

#include <skep/err.h>

#include "base/assert.h"
#include "wire/bencode.h"
#include "wire/compact.h"

#include <stdlib.h>

static const char *const event_names[] = {
    [SK_TRACKER_NONE] = "",
    [SK_TRACKER_COMPLETED] = "completed",
    [SK_TRACKER_STARTED] = "started",
    [SK_TRACKER_STOPPED] = "stopped",
};

/* ------------------------------------------------------------------- what a client asks */

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put_escaped(struct sk_buf *buf, struct sk_bytes bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        if (is_unreserved(bytes.p[i]))
            sk_buf_append(buf, bytes.p + i, 1);
        else
            sk_buf_printf(buf, "%%%02X", bytes.p[i]);
}

/* Ends a text with a NUL that is not counted; the result of the whole. */
static int end_text(struct sk_buf *buf)
{
    int err = sk_buf_append(buf, "", 1);
    if (!err)
        buf->n--;
    return err;
}

/* The address without its fragment, and what joins a first parameter to it. */
static void put_base(struct sk_buf *buf, struct sk_bytes url)
{
    sk_buf_append(buf, url.p, url.n);
    const uint8_t *query = url.n ? memchr(url.p, '?', url.n) : NULL;
    if (!query)
        sk_buf_text(buf, "?");
    else if (query + 1 < url.p + url.n && url.p[url.n - 1] != '&')
        sk_buf_text(buf, "&");
}

int sk_tracker_http_announce_url(struct sk_buf *buf, const char *url,
                                 const struct sk_tracker_announce *announce)
{
    put_base(buf, sk_bytes(url, strcspn(url, "#")));
    sk_buf_text(buf, "info_hash=");
    put_escaped(buf, sk_bytes(announce->info_hash, sizeof announce->info_hash));
    sk_buf_text(buf, "&peer_id=");
    put_escaped(buf, sk_bytes(announce->peer_id, sizeof announce->peer_id));
    sk_buf_printf(buf, "&port=%u&uploaded=%llu&downloaded=%llu&left=%llu", announce->port,
                  (unsigned long long)announce->uploaded, (unsigned long long)announce->downloaded,
                  (unsigned long long)sk_announce_left(announce));
    sk_buf_printf(buf, "&compact=1&no_peer_id=1&key=%08x", announce->key);
    if (announce->want >= 0)
        sk_buf_printf(buf, "&numwant=%d", announce->want);
    if (announce->event != SK_TRACKER_NONE)
        sk_buf_printf(buf, "&event=%s", event_names[announce->event]);
    else if (announce->partial_seed)
        sk_buf_text(buf, "&event=paused");
    if (announce->tracker_id.n) {
        sk_buf_text(buf, "&trackerid=");
        put_escaped(buf, announce->tracker_id);
    }
    return end_text(buf);
}

int sk_tracker_http_scrape_url(struct sk_buf *buf, const char *url, const uint8_t info_hash[20])
{
    static const char from[] = "announce", to[] = "scrape";
    const char *scheme_end = strstr(url, "://");
    const char *path = strchr(scheme_end ? scheme_end + 3 : url, '/');
    size_t path_n = path ? strcspn(path, "?#") : 0;
    const char *last = path_n ? memrchr(path, '/', path_n) : NULL;
    if (!last || strncmp(last + 1, from, strlen(from)) != 0)
        return SKEP_ERR_UNSUPPORTED;
    const char *tail = last + 1 + strlen(from);
    struct sk_buf base;
    sk_buf_init(&base, buf->max);
    sk_buf_append(&base, url, (size_t)(last + 1 - url));
    sk_buf_text(&base, to);
    int err = sk_buf_append(&base, tail, strcspn(tail, "#"));
    if (!err) {
        put_base(buf, sk_buf_bytes(&base));
        sk_buf_text(buf, "info_hash=");
        put_escaped(buf, sk_bytes(info_hash, 20));
        err = end_text(buf);
    }
    sk_buf_deinit(&base);
    return err;
}

/* ------------------------------------------------------------------- what a tracker answers */

/* The outermost dictionary. White space after it is what scripts and text editors leave there. */
static int parse_body(struct sk_bytes body, struct sk_bencode *ret_dict)
{
    while (body.n && strchr(" \t\r\n", body.p[body.n - 1]) && body.p[body.n - 1])
        body.n--;
    struct sk_bencode value;
    if (sk_bencode_parse(body, SK_BENCODE_UNSORTED, &value, NULL) < 0 ||
        value.type != SK_BENCODE_DICT)
        return SKEP_ERR_MALFORMED;
    *ret_dict = value;
    return 0;
}

static uint32_t get_seconds(const struct sk_bencode *dict, const char *key)
{
    int64_t seconds = sk_bencode_get_int(dict, key, 0);
    return seconds <= 0 ? 0 : (uint32_t)SK_MIN(seconds, (int64_t)UINT32_MAX - 1);
}

static int64_t get_count(const struct sk_bencode *dict, const char *key)
{
    int64_t count = sk_bencode_get_int(dict, key, -1);
    return SK_MAX(count, (int64_t)-1);
}

/* BEP 31: minutes, as a number or in a string, or "never". */
static uint32_t get_retry(const struct sk_bencode *dict)
{
    struct sk_bencode value = sk_bencode_get(dict, "retry in");
    int64_t minutes = value.type == SK_BENCODE_INT ? value.integer : 0;
    if (value.type == SK_BENCODE_STRING) {
        char text[12];
        if (sk_bytes_is(value.string, "never"))
            return UINT32_MAX;
        sk_tracker_text_copy(value.string, text, sizeof text);
        minutes = strtoll(text, NULL, 10);
    }
    return minutes <= 0 ? 0 : (uint32_t)SK_MIN(minutes, (int64_t)(UINT32_MAX - 1) / 60) * 60;
}

/* The text under key; where it is there but empty, something to show in its place. */
static void get_text(const struct sk_bencode *dict, const char *key, char *ret_text, size_t size)
{
    struct sk_bencode value = sk_bencode_get(dict, key);
    if (value.type == SK_BENCODE_NONE)
        return;
    bool empty = value.type != SK_BENCODE_STRING || !value.string.n;
    sk_tracker_text_copy(empty ? sk_bytes_text("(no text)") : value.string, ret_text, size);
}

/* One peer of the long form: {ip, port, peer id}. */
static void add_listed(struct sk_announce_answer *answer, const struct sk_bencode *entry)
{
    struct sk_bytes ip = sk_bencode_get_string(entry, "ip");
    int64_t port = sk_bencode_get_int(entry, "port", -1);
    if (!ip.n || port < 0 || port > UINT16_MAX)
        return;
    char text[SK_ENDPOINT_TEXT_MAX];
    sk_tracker_text_copy(ip, text, sizeof text);
    struct sk_endpoint peer;
    /* With a colon only a bare IPv6 address is meant: "1.2.3.4:5" has its port elsewhere. */
    if (ip.n >= sizeof text || sk_endpoint_parse(text, 1, &peer) < 0 || peer.port != 1) {
        answer->names_skipped++;
        return;
    }
    peer.port = (uint16_t)port;
    answer->peers[answer->peers_count++] = peer;
}

static int add_list(struct sk_announce_answer *answer, const struct sk_bencode *list)
{
    struct sk_bencode entry;
    size_t count = 0;
    struct sk_bencode_iter iter = sk_bencode_iter(list);
    while (sk_bencode_next(&iter, NULL, &entry))
        count++;
    int room = sk_announce_answer_reserve(answer, count);
    if (room < 0)
        return room;
    iter = sk_bencode_iter(list);
    for (; room > 0 && sk_bencode_next(&iter, NULL, &entry); room--)
        add_listed(answer, &entry);
    return 0;
}

static int get_peers(const struct sk_bencode *dict, const char *key, enum sk_family family,
                     struct sk_announce_answer *answer)
{
    struct sk_bencode peers = sk_bencode_get(dict, key);
    if (peers.type == SK_BENCODE_STRING)
        return sk_announce_answer_compact(answer, peers.string, family);
    return peers.type == SK_BENCODE_LIST ? add_list(answer, &peers) : 0;
}

static struct sk_endpoint get_external(const struct sk_bencode *dict)
{
    struct sk_bytes ip = sk_bencode_get_string(dict, "external ip");
    if (ip.n == 4)
        return sk_endpoint_v4(ip.p, 0);
    return ip.n == 16 ? sk_endpoint_v6(ip.p, 0) : (struct sk_endpoint){0};
}

int sk_tracker_http_read_announce(struct sk_bytes body, struct sk_announce_answer *ret_answer)
{
    struct sk_bencode dict;
    int err = parse_body(body, &dict);
    if (err < 0)
        return err;
    struct sk_announce_answer answer;
    sk_announce_answer_init(&answer);
    answer.interval_s = get_seconds(&dict, "interval");
    answer.min_interval_s = get_seconds(&dict, "min interval");
    answer.seeds = get_count(&dict, "complete");
    answer.leechers = get_count(&dict, "incomplete");
    answer.downloads = get_count(&dict, "downloaded");
    answer.external = get_external(&dict);
    answer.retry_s = get_retry(&dict);
    get_text(&dict, "failure reason", answer.failure, sizeof answer.failure);
    get_text(&dict, "warning message", answer.warning, sizeof answer.warning);
    struct sk_bytes id = sk_bencode_get_string(&dict, "tracker id");
    if (id.n < sizeof answer.tracker_id) /* a cut one would be another tracker's */
        sk_tracker_text_copy(id, answer.tracker_id, sizeof answer.tracker_id);
    err = get_peers(&dict, "peers", SK_FAMILY_V4, &answer);
    if (!err)
        err = get_peers(&dict, "peers6", SK_FAMILY_V6, &answer);
    if (err < 0) {
        sk_announce_answer_deinit(&answer);
        return err;
    }
    *ret_answer = answer;
    return 0;
}

int sk_tracker_http_read_scrape(struct sk_bytes body, const uint8_t info_hash[20],
                                struct sk_scrape_answer *ret_answer)
{
    struct sk_bencode dict, value;
    int err = parse_body(body, &dict);
    if (err < 0)
        return err;
    struct sk_scrape_answer answer = {.seeds = -1, .downloads = -1, .leechers = -1};
    get_text(&dict, "failure reason", answer.failure, sizeof answer.failure);
    struct sk_bencode files = sk_bencode_get(&dict, "files");
    if (files.type == SK_BENCODE_DICT) {
        struct sk_bencode_iter iter = sk_bencode_iter(&files);
        struct sk_bytes key;
        while (sk_bencode_next(&iter, &key, &value)) {
            if (!sk_bytes_equal(key, sk_bytes(info_hash, 20)))
                continue;
            answer.seeds = get_count(&value, "complete");
            answer.downloads = get_count(&value, "downloaded");
            answer.leechers = get_count(&value, "incomplete");
            break;
        }
    } else if (!answer.failure[0]) {
        return SKEP_ERR_MALFORMED;
    }
    *ret_answer = answer;
    return 0;
}

/* ------------------------------------------------------------------- the tracker's side */

bool sk_tracker_http_next_pair(struct sk_bytes *query, struct sk_bytes *ret_key,
                               struct sk_bytes *ret_value)
{
    if (!query->n)
        return false;
    const uint8_t *end = memchr(query->p, '&', query->n);
    size_t n = end ? (size_t)(end - query->p) : query->n;
    const uint8_t *equals = n ? memchr(query->p, '=', n) : NULL;
    size_t key_n = equals ? (size_t)(equals - query->p) : n;
    *ret_key = sk_bytes(query->p, key_n);
    *ret_value = equals ? sk_bytes(equals + 1, n - key_n - 1) : sk_bytes(NULL, 0);
    n = end ? n + 1 : n;
    *query = sk_bytes(query->p + n, query->n - n);
    return true;
}

bool sk_tracker_http_unescape(struct sk_bytes text, uint8_t *ret_bytes, size_t max, size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++, n++) {
        if (n == max)
            return false;
        if (text.p[i] != '%') {
            ret_bytes[n] = text.p[i];
            continue;
        }
        if (text.n - i < 3 || !sk_hex_decode((const char *)text.p + i + 1, 2, ret_bytes + n, 1))
            return false;
        i += 2;
    }
    *ret_n = n;
    return true;
}

static bool read_20(struct sk_bytes value, void *to)
{
    uint8_t bytes[20];
    size_t n;
    if (!sk_tracker_http_unescape(value, bytes, sizeof bytes, &n) || n != sizeof bytes)
        return false;
    memcpy(to, bytes, sizeof bytes);
    return true;
}

/* A number up to max; UINT64_MAX for a negative one, as clients send for what they do not know. */
static bool read_number(struct sk_bytes value, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (!value.n)
        return false;
    if (value.p[0] == '-') {
        *ret_number = UINT64_MAX;
        return true;
    }
    for (size_t i = 0; i < value.n; i++) {
        uint8_t digit = (uint8_t)(value.p[i] - '0');
        if (digit > 9 || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

static bool is_number(struct sk_bytes value)
{
    bool is = value.n > 0;
    for (size_t i = value.n && value.p[0] == '-'; i < value.n; i++)
        is = is && value.p[i] >= '0' && value.p[i] <= '9';
    return is;
}

/* Bytes; UINT64_MAX where they are not known, as clients write it, or more than that. */
static bool read_bytes(struct sk_bytes value, void *to)
{
    if (!is_number(value))
        return false;
    if (!read_number(value, UINT64_MAX - 1, to))
        *(uint64_t *)to = UINT64_MAX;
    return true;
}

static bool read_port(struct sk_bytes value, void *to)
{
    uint64_t port;
    if (!read_number(value, UINT16_MAX, &port) || port > UINT16_MAX)
        return false;
    *(uint16_t *)to = (uint16_t)port;
    return true;
}

static bool read_want(struct sk_bytes value, void *to)
{
    uint64_t want;
    if (!is_number(value))
        return false;
    if (!read_number(value, INT32_MAX, &want))
        want = INT32_MAX; /* whoever wants more gets no more than anybody */
    *(int32_t *)to = want > INT32_MAX ? -1 : (int32_t)want;
    return true;
}

/* Clients write the key as they like: hex digits are read as such, other text is no key. */
static bool read_key(struct sk_bytes value, void *to)
{
    struct sk_tracker_announce *announce = to;
    char text[9], *end;
    sk_tracker_text_copy(value, text, sizeof text);
    announce->key = (uint32_t)strtoul(text, &end, 16);
    announce->has_key = end > text;
    return true;
}

/* An unknown event is no event; "paused" (BEP 21) says what the client is. */
static bool read_event(struct sk_bytes value, void *to)
{
    struct sk_tracker_announce *announce = to;
    announce->event = SK_TRACKER_NONE;
    announce->partial_seed = sk_bytes_is(value, "paused");
    for (size_t i = 0; i < SK_ARRAY_LEN(event_names); i++)
        if (sk_bytes_is(value, event_names[i]))
            announce->event = (enum sk_tracker_event)i;
    return true;
}

static const struct {
    const char *key;
    bool (*read)(struct sk_bytes value, void *to);
    size_t offset;
    bool required;
} fields[] = {
    {"info_hash", read_20, offsetof(struct sk_tracker_announce, info_hash), true},
    {"peer_id", read_20, offsetof(struct sk_tracker_announce, peer_id), true},
    {"port", read_port, offsetof(struct sk_tracker_announce, port), true},
    {"uploaded", read_bytes, offsetof(struct sk_tracker_announce, uploaded), false},
    {"downloaded", read_bytes, offsetof(struct sk_tracker_announce, downloaded), false},
    {"left", read_bytes, offsetof(struct sk_tracker_announce, left), false},
    {"event", read_event, 0, false},
    {"key", read_key, 0, false},
    {"numwant", read_want, offsetof(struct sk_tracker_announce, want), false},
};

int sk_tracker_http_read_query(struct sk_bytes query, struct sk_tracker_announce *ret_announce,
                               bool *ret_compact)
{
    struct sk_tracker_announce announce = {
        .uploaded = UINT64_MAX, .downloaded = UINT64_MAX, .left = UINT64_MAX, .want = -1};
    struct sk_bytes key, value;
    bool compact = true, seen[SK_ARRAY_LEN(fields)] = {false};
    while (sk_tracker_http_next_pair(&query, &key, &value)) {
        if (sk_bytes_is(key, "compact"))
            compact = !sk_bytes_is(value, "0");
        for (size_t i = 0; i < SK_ARRAY_LEN(fields); i++) {
            if (!sk_bytes_is(key, fields[i].key) || seen[i])
                continue;
            if (!fields[i].read(value, (uint8_t *)&announce + fields[i].offset))
                return SKEP_ERR_MALFORMED;
            seen[i] = true;
        }
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(fields); i++)
        if (fields[i].required && !seen[i])
            return SKEP_ERR_MALFORMED;
    *ret_announce = announce;
    *ret_compact = compact;
    return 0;
}

static void put_key_int(struct sk_buf *buf, const char *key, int64_t value)
{
    sk_bencode_put_text(buf, key);
    sk_bencode_put_int(buf, value);
}

static void put_key_text(struct sk_buf *buf, const char *key, const char *text)
{
    if (!text[0])
        return;
    sk_bencode_put_text(buf, key);
    sk_bencode_put_text(buf, text);
}

static void put_count(struct sk_buf *buf, const char *key, int64_t count)
{
    if (count >= 0)
        put_key_int(buf, key, count);
}

/* Peers of one family as a string: its length is known before the peers are written. */
static void put_peers(struct sk_buf *buf, const char *key, enum sk_family family,
                      const struct sk_announce_answer *answer)
{
    size_t count = 0;
    for (size_t i = 0; i < answer->peers_count; i++)
        count += answer->peers[i].family == family;
    if (!count && family == SK_FAMILY_V6)
        return;
    sk_bencode_put_text(buf, key);
    sk_buf_printf(buf, "%zu:", count * (family == SK_FAMILY_V6 ? 18 : 6));
    for (size_t i = 0; i < answer->peers_count; i++)
        if (answer->peers[i].family == family)
            sk_compact_write(buf, &answer->peers[i]);
}

static int end_dict(struct sk_buf *buf)
{
    sk_bencode_put_end(buf);
    return sk_buf_append(buf, NULL, 0);
}

int sk_tracker_http_write_announce(struct sk_buf *buf, const struct sk_announce_answer *answer)
{
    if (answer->failure[0])
        return sk_tracker_http_write_failure(buf, answer->failure);
    sk_bencode_put_dict(buf);
    put_count(buf, "complete", answer->seeds);
    put_count(buf, "downloaded", answer->downloads);
    if (answer->external.family != SK_FAMILY_NONE) {
        size_t n = answer->external.family == SK_FAMILY_V6 ? 16 : 4;
        sk_bencode_put_text(buf, "external ip");
        sk_bencode_put_string(buf, sk_bytes(answer->external.addr, n));
    }
    put_count(buf, "incomplete", answer->leechers);
    put_key_int(buf, "interval", answer->interval_s);
    if (answer->min_interval_s)
        put_key_int(buf, "min interval", answer->min_interval_s);
    put_peers(buf, "peers", SK_FAMILY_V4, answer);
    put_peers(buf, "peers6", SK_FAMILY_V6, answer);
    put_key_text(buf, "tracker id", answer->tracker_id);
    put_key_text(buf, "warning message", answer->warning);
    return end_dict(buf);
}

int sk_tracker_http_write_scrape(struct sk_buf *buf, const uint8_t info_hash[20],
                                 const struct sk_scrape_answer *answer)
{
    if (answer->failure[0])
        return sk_tracker_http_write_failure(buf, answer->failure);
    sk_bencode_put_dict(buf);
    sk_bencode_put_text(buf, "files");
    sk_bencode_put_dict(buf);
    sk_bencode_put_string(buf, sk_bytes(info_hash, 20));
    sk_bencode_put_dict(buf);
    put_count(buf, "complete", answer->seeds);
    put_count(buf, "downloaded", answer->downloads);
    put_count(buf, "incomplete", answer->leechers);
    sk_bencode_put_end(buf);
    sk_bencode_put_end(buf);
    return end_dict(buf);
}

int sk_tracker_http_write_failure(struct sk_buf *buf, const char *text)
{
    sk_bencode_put_dict(buf);
    sk_bencode_put_text(buf, "failure reason");
    sk_bencode_put_text(buf, text);
    return end_dict(buf);
}
