#include "proto/tracker/responder.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "wire/tracker_http.h"
#include "wire/tracker_udp.h"

#define MINUTE_NS 60000000000ull
#define MINUTES_ACCEPTED 3
#define UDP_ANNOUNCED_HEAD 20

struct sk_responder {
    struct sk_responder_config config;
    struct sk_registry *registry;
};

int sk_responder_new(const struct sk_responder_config *config, struct sk_responder **ret_responder)
{
    struct sk_responder *responder = sk_mem_calloc(1, sizeof *responder);
    if (!responder)
        return SKEP_ERR_NOMEM;
    responder->config = *config;
    int err = sk_registry_new(&config->registry, &responder->registry);
    if (err < 0) {
        sk_mem_free(responder);
        return err;
    }
    *ret_responder = responder;
    return 0;
}

void sk_responder_free(struct sk_responder *responder)
{
    if (!responder)
        return;
    sk_registry_free(responder->registry);
    sk_mem_free(responder);
}

static const char *refusal(int err)
{
    return err == SKEP_ERR_LIMIT       ? "the tracker is full"
           : err == SKEP_ERR_NOT_FOUND ? "this tracker does not serve that torrent"
                                       : "the tracker has no memory left";
}

void sk_responder_counts(struct sk_responder *responder, uint64_t now_ns,
                         struct sk_registry_counts *ret_counts)
{
    sk_registry_counts(responder->registry, now_ns, ret_counts);
}

/* ------------------------------------------------------------------- HTTP */

/* The literal address that the client names for itself, where that is trusted. */
static void use_named_ip(const struct sk_responder *responder, struct sk_bytes query,
                         struct sk_endpoint *peer)
{
    struct sk_bytes key, value;
    uint8_t text[SK_ENDPOINT_TEXT_MAX];
    size_t n;
    struct sk_endpoint named;
    if (!responder->config.trust_ip)
        return;
    while (sk_tracker_http_next_pair(&query, &key, &value)) {
        if (!sk_bytes_is(key, "ip") || !sk_tracker_http_unescape(value, text, sizeof text - 1, &n))
            continue;
        text[n] = 0;
        if (sk_endpoint_parse((char *)text, 1, &named) < 0)
            continue;
        named.port = peer->port;
        *peer = named;
    }
}

static int http_announce(struct sk_responder *responder, struct sk_bytes query,
                         const struct sk_endpoint *from, uint64_t now_ns, struct sk_buf *buf,
                         struct sk_heard *heard)
{
    struct sk_tracker_announce announce;
    struct sk_announce_answer answer;
    bool compact;
    if (sk_tracker_http_read_query(query, &announce, &compact) < 0)
        return sk_tracker_http_write_failure(buf,
                                             "info_hash, peer_id, port or a number is not valid");
    struct sk_endpoint peer = *from;
    peer.port = announce.port;
    use_named_ip(responder, query, &peer);
    int err = sk_registry_announce(responder->registry, &announce, &peer, SK_FAMILY_NONE, now_ns,
                                   &answer);
    if (err < 0)
        return sk_tracker_http_write_failure(buf, refusal(err));
    err = sk_tracker_http_write_announce(buf, &answer);
    sk_announce_answer_deinit(&answer);
    *heard = (struct sk_heard){.announced = true, .announce = announce, .peer = peer};
    return err;
}

/* The first info-hash of the query: what is written holds one swarm. */
static int http_scrape(struct sk_responder *responder, struct sk_bytes query, uint64_t now_ns,
                       struct sk_buf *buf)
{
    struct sk_bytes key, value;
    uint8_t hash[20];
    size_t n = 0;
    while (sk_tracker_http_next_pair(&query, &key, &value)) {
        if (!sk_bytes_is(key, "info_hash"))
            continue;
        if (!sk_tracker_http_unescape(value, hash, sizeof hash, &n) || n != sizeof hash)
            break;
        struct sk_scrape_answer answer = sk_registry_scrape(responder->registry, hash, now_ns);
        return sk_tracker_http_write_scrape(buf, hash, &answer);
    }
    return sk_tracker_http_write_failure(buf, "info_hash is not valid");
}

unsigned sk_responder_http(struct sk_responder *responder, struct sk_bytes target,
                           const struct sk_endpoint *from, uint64_t now_ns, struct sk_buf *buf,
                           struct sk_heard *ret_heard)
{
    const uint8_t *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
    struct sk_bytes path = sk_bytes(target.p, mark ? (size_t)(mark - target.p) : target.n);
    struct sk_bytes query = mark ? sk_bytes(mark + 1, target.n - path.n - 1) : sk_bytes(NULL, 0);
    int err;
    *ret_heard = (struct sk_heard){0};
    if (sk_bytes_is(path, "/announce"))
        err = http_announce(responder, query, from, now_ns, buf, ret_heard);
    else if (sk_bytes_is(path, "/scrape"))
        err = http_scrape(responder, query, now_ns, buf);
    else
        return 404;
    return err < 0 ? 500 : 200;
}

/* ------------------------------------------------------------------- UDP */

static uint64_t connection_id(const struct sk_responder *responder, const struct sk_endpoint *from,
                              uint64_t minute)
{
    uint8_t digest[SK_SHA1_SIZE];
    struct sk_bytes parts[] = {
        sk_bytes(responder->config.secret, sizeof responder->config.secret),
        sk_bytes(from, sizeof *from),
        sk_bytes(&minute, sizeof minute),
    };
    sk_sha1_parts(parts, SK_ARRAY_LEN(parts), digest);
    return sk_get_u64(digest);
}

static bool is_connected(const struct sk_responder *responder, const struct sk_endpoint *from,
                         uint64_t connection, uint64_t now_ns)
{
    uint64_t minute = now_ns / MINUTE_NS;
    for (uint64_t i = 0; i < MINUTES_ACCEPTED && i <= minute; i++)
        if (connection == connection_id(responder, from, minute - i))
            return true;
    return false;
}

static void udp_announce(struct sk_responder *responder, const struct sk_udp_request *request,
                         const struct sk_endpoint *from, uint64_t now_ns, struct sk_buf *buf,
                         struct sk_heard *heard)
{
    static const uint8_t unnamed[4] = {0};
    enum sk_family family = (enum sk_family)from->family;
    size_t room = (SK_RESPONDER_UDP_MAX - UDP_ANNOUNCED_HEAD) / (family == SK_FAMILY_V6 ? 18 : 6);
    struct sk_tracker_announce announce = request->announce;
    struct sk_announce_answer answer;
    struct sk_endpoint peer = *from;
    peer.port = announce.port;
    if (responder->config.trust_ip && memcmp(request->ip, unnamed, sizeof unnamed) != 0)
        peer = sk_endpoint_v4(request->ip, announce.port);
    if (announce.want > (int32_t)room)
        announce.want = (int32_t)room;
    int err = sk_registry_announce(responder->registry, &announce, &peer, family, now_ns, &answer);
    if (err < 0) {
        sk_tracker_udp_write_error(buf, request->transaction, refusal(err));
        return;
    }
    sk_tracker_udp_write_announced(buf, request->transaction, family, &answer);
    sk_announce_answer_deinit(&answer);
    *heard = (struct sk_heard){.announced = true, .announce = request->announce, .peer = peer};
}

static void udp_scrape(struct sk_responder *responder, const struct sk_udp_request *request,
                       uint64_t now_ns, struct sk_buf *buf)
{
    struct sk_scrape_answer answers[SK_UDP_SCRAPE_MAX];
    size_t count = request->info_hashes.n / 20;
    for (size_t i = 0; i < count; i++)
        answers[i] =
            sk_registry_scrape(responder->registry, request->info_hashes.p + 20 * i, now_ns);
    sk_tracker_udp_write_scraped(buf, request->transaction, answers, count);
}

void sk_responder_udp(struct sk_responder *responder, struct sk_bytes packet,
                      const struct sk_endpoint *from, uint64_t now_ns, struct sk_buf *buf,
                      struct sk_heard *ret_heard)
{
    struct sk_udp_request request;
    *ret_heard = (struct sk_heard){0};
    if (sk_tracker_udp_read_request(packet, &request) < 0)
        return;
    if (request.action == SK_UDP_CONNECT) {
        sk_tracker_udp_write_connected(buf, request.transaction,
                                       connection_id(responder, from, now_ns / MINUTE_NS));
    } else if (!is_connected(responder, from, request.connection, now_ns)) {
        /* Shorter than any request, so nobody's address gains by being forged. */
        sk_tracker_udp_write_error(buf, request.transaction, "connect first");
    } else if (request.action == SK_UDP_ANNOUNCE) {
        udp_announce(responder, &request, from, now_ns, buf, ret_heard);
    } else {
        udp_scrape(responder, &request, now_ns, buf);
    }
}
