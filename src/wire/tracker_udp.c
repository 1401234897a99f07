#include "wire/tracker_udp.h"

#include <skep/err.h>

#include "base/assert.h"
#include "wire/compact.h"

enum {
    HEAD_SIZE = 8,          /* action, transaction: what every answer begins with */
    REQUEST_HEAD_SIZE = 16, /* connection, action, transaction */
    ANNOUNCE_SIZE = 98,
    ANNOUNCED_SIZE = 20,
    SCRAPED_SIZE = 12, /* of one torrent */
    OPTION_NOP = 1,
    OPTION_URL_DATA = 2,
    OPTION_DATA_MAX = 255,
};

static void put_u16(struct sk_buf *buf, uint16_t v)
{
    uint8_t bytes[2];
    sk_put_u16(bytes, v);
    sk_buf_append(buf, bytes, sizeof bytes);
}

static void put_u32(struct sk_buf *buf, uint32_t v)
{
    uint8_t bytes[4];
    sk_put_u32(bytes, v);
    sk_buf_append(buf, bytes, sizeof bytes);
}

static void put_u64(struct sk_buf *buf, uint64_t v)
{
    uint8_t bytes[8];
    sk_put_u64(bytes, v);
    sk_buf_append(buf, bytes, sizeof bytes);
}

/* Whether all that was appended fitted. */
static int result(struct sk_buf *buf)
{
    return sk_buf_append(buf, NULL, 0);
}

static void put_request_head(struct sk_buf *buf, uint64_t connection, enum sk_udp_action action,
                             uint32_t transaction)
{
    put_u64(buf, connection);
    put_u32(buf, action);
    put_u32(buf, transaction);
}

/* ------------------------------------------------------------------- requests */

int sk_tracker_udp_write_connect(struct sk_buf *buf, uint32_t transaction)
{
    put_request_head(buf, SK_UDP_MAGIC, SK_UDP_CONNECT, transaction);
    return result(buf);
}

int sk_tracker_udp_write_announce(struct sk_buf *buf, uint64_t connection, uint32_t transaction,
                                  const struct sk_tracker_announce *announce,
                                  struct sk_bytes url_data)
{
    put_request_head(buf, connection, SK_UDP_ANNOUNCE, transaction);
    sk_buf_append(buf, announce->info_hash, 20);
    sk_buf_append(buf, announce->peer_id, 20);
    put_u64(buf, announce->downloaded);
    put_u64(buf, sk_announce_left(announce));
    put_u64(buf, announce->uploaded);
    put_u32(buf, announce->event);
    put_u32(buf, 0); /* our address: the packet's */
    put_u32(buf, announce->key);
    put_u32(buf, (uint32_t)announce->want);
    put_u16(buf, announce->port);
    while (url_data.n) {
        size_t n = SK_MIN(url_data.n, (size_t)OPTION_DATA_MAX);
        uint8_t head[2] = {OPTION_URL_DATA, (uint8_t)n};
        sk_buf_append(buf, head, sizeof head);
        sk_buf_append(buf, url_data.p, n);
        url_data = sk_bytes(url_data.p + n, url_data.n - n);
    }
    return result(buf);
}

int sk_tracker_udp_write_scrape(struct sk_buf *buf, uint64_t connection, uint32_t transaction,
                                const uint8_t info_hash[20])
{
    put_request_head(buf, connection, SK_UDP_SCRAPE, transaction);
    sk_buf_append(buf, info_hash, 20);
    return result(buf);
}

/* ------------------------------------------------------------------- answers */

int sk_tracker_udp_read_head(struct sk_bytes packet, struct sk_udp_head *ret_head)
{
    if (packet.n < HEAD_SIZE || sk_get_u32(packet.p) > SK_UDP_ERROR)
        return SKEP_ERR_MALFORMED;
    *ret_head = (struct sk_udp_head){.action = (enum sk_udp_action)sk_get_u32(packet.p),
                                     .transaction = sk_get_u32(packet.p + 4)};
    return 0;
}

int sk_tracker_udp_read_connect(struct sk_bytes packet, uint64_t *ret_connection)
{
    if (packet.n < HEAD_SIZE + 8)
        return SKEP_ERR_MALFORMED;
    *ret_connection = sk_get_u64(packet.p + HEAD_SIZE);
    return 0;
}

/* A number that would be negative as the signed one that many trackers use was not meant. */
static int64_t get_count(const uint8_t *p)
{
    uint32_t count = sk_get_u32(p);
    return count > INT32_MAX ? -1 : (int64_t)count;
}

int sk_tracker_udp_read_announce(struct sk_bytes packet, enum sk_family family,
                                 struct sk_announce_answer *ret_answer)
{
    if (packet.n < ANNOUNCED_SIZE)
        return SKEP_ERR_MALFORMED;
    struct sk_announce_answer answer;
    sk_announce_answer_init(&answer);
    int64_t interval = get_count(packet.p + 8);
    answer.interval_s = interval < 0 ? 0 : (uint32_t)interval;
    answer.leechers = get_count(packet.p + 12);
    answer.seeds = get_count(packet.p + 16);
    int err = sk_announce_answer_compact(
        &answer, sk_bytes(packet.p + ANNOUNCED_SIZE, packet.n - ANNOUNCED_SIZE), family);
    if (err < 0)
        return err;
    *ret_answer = answer;
    return 0;
}

int sk_tracker_udp_read_scrape(struct sk_bytes packet, struct sk_scrape_answer *ret_answer)
{
    if (packet.n < HEAD_SIZE + SCRAPED_SIZE)
        return SKEP_ERR_MALFORMED;
    *ret_answer = (struct sk_scrape_answer){.seeds = get_count(packet.p + 8),
                                            .downloads = get_count(packet.p + 12),
                                            .leechers = get_count(packet.p + 16)};
    return 0;
}

int sk_tracker_udp_read_error(struct sk_bytes packet, char ret_text[SK_TRACKER_TEXT_MAX])
{
    if (packet.n < HEAD_SIZE)
        return SKEP_ERR_MALFORMED;
    bool empty = packet.n == HEAD_SIZE;
    sk_tracker_text_copy(empty ? sk_bytes_text("(no text)")
                               : sk_bytes(packet.p + HEAD_SIZE, packet.n - HEAD_SIZE),
                         ret_text, SK_TRACKER_TEXT_MAX);
    return 0;
}

/* ------------------------------------------------------------------- the tracker's side */

/* BEP 41: options follow the announce; what does not parse ends them. */
static struct sk_bytes read_url_data(struct sk_bytes options)
{
    while (options.n) {
        if (options.p[0] == OPTION_NOP) {
            options = sk_bytes(options.p + 1, options.n - 1);
            continue;
        }
        if (options.p[0] < OPTION_URL_DATA || options.n < 2 || options.p[1] > options.n - 2u)
            break;
        size_t n = options.p[1];
        if (options.p[0] == OPTION_URL_DATA)
            return sk_bytes(options.p + 2, n);
        options = sk_bytes(options.p + 2 + n, options.n - 2 - n);
    }
    return sk_bytes(NULL, 0);
}

static void read_announce(struct sk_bytes packet, struct sk_udp_request *request)
{
    const uint8_t *p = packet.p;
    struct sk_tracker_announce *announce = &request->announce;
    memcpy(announce->info_hash, p + 16, 20);
    memcpy(announce->peer_id, p + 36, 20);
    announce->downloaded = sk_get_u64(p + 56);
    announce->left = sk_get_u64(p + 64);
    announce->uploaded = sk_get_u64(p + 72);
    uint32_t event = sk_get_u32(p + 80);
    announce->event = event <= SK_TRACKER_STOPPED ? (enum sk_tracker_event)event : SK_TRACKER_NONE;
    memcpy(request->ip, p + 84, sizeof request->ip);
    announce->key = sk_get_u32(p + 88);
    announce->has_key = true;
    uint32_t want = sk_get_u32(p + 92);
    announce->want = want > INT32_MAX ? -1 : (int32_t)want;
    announce->port = sk_get_u16(p + 96);
    request->url_data = read_url_data(sk_bytes(p + ANNOUNCE_SIZE, packet.n - ANNOUNCE_SIZE));
}

int sk_tracker_udp_read_request(struct sk_bytes packet, struct sk_udp_request *ret_request)
{
    if (packet.n < REQUEST_HEAD_SIZE)
        return SKEP_ERR_MALFORMED;
    uint32_t action = sk_get_u32(packet.p + 8);
    struct sk_udp_request request = {.connection = sk_get_u64(packet.p),
                                     .action = (enum sk_udp_action)action,
                                     .transaction = sk_get_u32(packet.p + 12)};
    size_t rest = packet.n - REQUEST_HEAD_SIZE;
    switch (action) {
    case SK_UDP_CONNECT:
        if (request.connection != SK_UDP_MAGIC)
            return SKEP_ERR_MALFORMED;
        break;
    case SK_UDP_ANNOUNCE:
        if (packet.n < ANNOUNCE_SIZE)
            return SKEP_ERR_MALFORMED;
        read_announce(packet, &request);
        break;
    case SK_UDP_SCRAPE:
        if (rest < 20)
            return SKEP_ERR_MALFORMED;
        request.info_hashes = sk_bytes(packet.p + REQUEST_HEAD_SIZE,
                                       SK_MIN(rest / 20, (size_t)SK_UDP_SCRAPE_MAX) * 20);
        break;
    default:
        return SKEP_ERR_MALFORMED;
    }
    *ret_request = request;
    return 0;
}

static void put_head(struct sk_buf *buf, enum sk_udp_action action, uint32_t transaction)
{
    put_u32(buf, action);
    put_u32(buf, transaction);
}

/* What was not said is 0 here: the format has no other way. */
static uint32_t said(int64_t count)
{
    return count < 0 ? 0 : (uint32_t)SK_MIN(count, (int64_t)INT32_MAX);
}

int sk_tracker_udp_write_connected(struct sk_buf *buf, uint32_t transaction, uint64_t connection)
{
    put_head(buf, SK_UDP_CONNECT, transaction);
    put_u64(buf, connection);
    return result(buf);
}

int sk_tracker_udp_write_announced(struct sk_buf *buf, uint32_t transaction, enum sk_family family,
                                   const struct sk_announce_answer *answer)
{
    put_head(buf, SK_UDP_ANNOUNCE, transaction);
    put_u32(buf, answer->interval_s);
    put_u32(buf, said(answer->leechers));
    put_u32(buf, said(answer->seeds));
    for (size_t i = 0; i < answer->peers_count; i++)
        if (answer->peers[i].family == family)
            sk_compact_write(buf, &answer->peers[i]);
    return result(buf);
}

int sk_tracker_udp_write_scraped(struct sk_buf *buf, uint32_t transaction,
                                 const struct sk_scrape_answer *answers, size_t count)
{
    put_head(buf, SK_UDP_SCRAPE, transaction);
    for (size_t i = 0; i < count; i++) {
        put_u32(buf, said(answers[i].seeds));
        put_u32(buf, said(answers[i].downloads));
        put_u32(buf, said(answers[i].leechers));
    }
    return result(buf);
}

int sk_tracker_udp_write_error(struct sk_buf *buf, uint32_t transaction, const char *text)
{
    put_head(buf, SK_UDP_ERROR, transaction);
    return sk_buf_text(buf, text);
}
