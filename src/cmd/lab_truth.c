#include "cmd/lab_truth.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum sk_peer_outcome sk_lab_expected(const struct sk_lab_peer *peer)
{
    static const enum sk_peer_outcome of_door[] = {
        [SK_LAB_DOOR_SHUT] = SK_OUTCOME_REFUSED,
        [SK_LAB_DOOR_MUTE] = SK_OUTCOME_TIMEOUT,
        [SK_LAB_DOOR_RESET] = SK_OUTCOME_CLOSED,
    };
    const struct sk_lab_behaviour *b = &peer->group->behaviour;
    if (b->door != SK_LAB_DOOR_OPEN && !b->dials)
        return of_door[b->door];
    if (b->stranger)
        return SK_OUTCOME_WRONG_INFO_HASH;
    if (b->broken)
        return SK_OUTCOME_PROTOCOL_ERROR;
    if (peer->have.set == 0)
        return SK_OUTCOME_IDLE;
    if (isinf(b->unchoke_after_s) && !b->allowed_fast)
        return SK_OUTCOME_CHOKED;
    return SK_OUTCOME_SERVED;
}

/* ---- the link ---- */

static void put_escaped(struct sk_buf *buf, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            sk_buf_append(buf, text, 1);
        else
            sk_buf_printf(buf, "%%%02X", (unsigned char)*text);
    }
}

int sk_lab_magnet(const struct sk_lab *lab, struct sk_buf *buf)
{
    const struct sk_lab_content *content = &sk_lab_swarm(lab)->content;
    const char *urls[SK_LAB_TRACKERS_MAX];
    size_t count = sk_lab_trackers(lab, urls);
    char hex[2 * SK_SHA256_SIZE + 1];
    sk_buf_text(buf, "magnet:?");
    sk_hex_encode(content->hash_v1, SK_SHA1_SIZE, hex);
    if (content->torrent.has_v1)
        sk_buf_printf(buf, "xt=urn:btih:%s&", hex);
    sk_hex_encode(content->hash_v2, SK_SHA256_SIZE, hex);
    if (content->torrent.has_v2)
        sk_buf_printf(buf, "xt=urn:btmh:1220%s&", hex);
    sk_buf_text(buf, "dn=");
    put_escaped(buf, content->torrent.name);
    for (size_t i = 0; i < count; i++) {
        sk_buf_text(buf, "&tr=");
        put_escaped(buf, urls[i]);
    }
    sk_buf_append(buf, "", 1);
    return buf->failed ? SKEP_ERR_NOMEM : 0;
}

/* ---- the document: where memory ends, *failed shows it at the end ---- */

static void set(json_t *object, const char *key, json_t *value, bool *failed)
{
    *failed |= json_object_set_new(object, key, value) != 0;
}

static void append(json_t *array, json_t *value, bool *failed)
{
    *failed |= json_array_append_new(array, value) != 0;
}

static json_t *hex_value(bool has, const uint8_t *bytes, size_t n)
{
    char hex[2 * SK_SHA256_SIZE + 1];
    if (!has)
        return json_null();
    sk_hex_encode(bytes, n, hex);
    return json_string(hex);
}

static json_t *torrent_value(const struct sk_lab *lab, bool *failed)
{
    const struct sk_lab_content *c = &sk_lab_swarm(lab)->content;
    struct sk_buf magnet;
    sk_buf_init(&magnet, 4096);
    json_t *object = json_object();
    set(object, "name", json_string(c->torrent.name), failed);
    set(object, "size", json_integer((json_int_t)c->torrent.size), failed);
    set(object, "piece_size", json_integer(c->torrent.piece_size), failed);
    set(object, "pieces", json_integer(c->pieces), failed);
    set(object, "info_hash", hex_value(c->torrent.has_v1, c->hash_v1, SK_SHA1_SIZE), failed);
    set(object, "info_hash_v2", hex_value(c->torrent.has_v2, c->hash_v2, SK_SHA256_SIZE), failed);
    if (sk_lab_magnet(lab, &magnet) == 0)
        set(object, "magnet", json_string((const char *)magnet.p), failed);
    else
        *failed = true;
    sk_buf_deinit(&magnet);
    return object;
}

/* Where a peer of the lab listens, whatever the port of its connection; others as they are. */
static json_t *remote_value(const struct sk_lab_swarm *swarm, const struct sk_endpoint *remote)
{
    const struct sk_lab_peer *peer = sk_lab_swarm_at(swarm, remote);
    char address[SK_ENDPOINT_TEXT_MAX];
    return json_string(sk_endpoint_text(peer ? &peer->endpoint : remote, address));
}

static json_t *ledger_value(const struct sk_lab_swarm *swarm, const struct sk_lab_ledger *ledger,
                            bool *failed)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ledger->count; i++) {
        const struct sk_lab_given *given = &ledger->list[i];
        json_t *object = json_object();
        set(object, "remote", remote_value(swarm, &given->remote), failed);
        set(object, "peer_id", hex_value(true, given->peer_id, sizeof given->peer_id), failed);
        set(object, "connections", json_integer(given->connections), failed);
        set(object, "bytes", json_integer((json_int_t)given->bytes), failed);
        set(object, "blocks", json_integer(given->blocks), failed);
        set(object, "blocks_corrupt", json_integer(given->blocks_corrupt), failed);
        append(list, object, failed);
    }
    return list;
}

static bool trades(const struct sk_lab_peer *peer)
{
    return peer->group->behaviour.trades;
}

/* Who gave how much to those that trade. */
static json_t *flows_value(const struct sk_lab_swarm *swarm, bool *failed)
{
    json_t *list = json_array();
    char address[SK_ENDPOINT_TEXT_MAX];
    for (uint32_t i = 0; i < swarm->count; i++) {
        const struct sk_lab_peer *peer = &swarm->peers[i];
        for (size_t n = 0; n < peer->took.count; n++) {
            const struct sk_lab_given *given = &peer->took.list[n];
            if (!given->bytes)
                continue;
            json_t *object = json_object();
            set(object, "from", remote_value(swarm, &given->remote), failed);
            set(object, "to", json_string(sk_endpoint_text(&peer->endpoint, address)), failed);
            set(object, "bytes", json_integer((json_int_t)given->bytes), failed);
            append(list, object, failed);
        }
    }
    return list;
}

static json_t *gained_value(const struct sk_lab_peer *peer, bool *failed)
{
    if (!trades(peer))
        return json_null();
    json_t *list = json_array();
    for (uint32_t i = 0; i < peer->gained_count; i++)
        append(list, json_real(round(peer->gained_s[i] * 1000) / 1000), failed);
    return list;
}

/* A number where it means something; infinity is never. */
static json_t *number_value(double value, bool known)
{
    return known && isfinite(value) ? json_real(value) : json_null();
}

static json_t *share_value(const struct sk_lab_peer *peer, uint32_t pieces, bool *failed)
{
    json_t *object = json_object();
    set(object, "readable", json_boolean(sk_lab_peer_readable(peer)), failed);
    set(object, "start", json_real((double)peer->pieces_first / pieces), failed);
    set(object, "end", json_real((double)peer->have.set / pieces), failed);
    set(object, "pieces_start", json_integer(peer->pieces_first), failed);
    set(object, "pieces_end", json_integer(peer->have.set), failed);
    set(object, "pieces_s", json_real(peer->group->behaviour.growth_pieces_s), failed);
    set(object, "gained_s", gained_value(peer, failed), failed);
    const struct sk_lab_behaviour *b = &peer->group->behaviour;
    set(object, "hidden", json_boolean(sk_lab_hides(b)), failed);
    set(object, "tell_after_s", number_value(b->trade.tell_after_s, true), failed);
    return object;
}

/* What the one alone has that trades. */
static void set_trade(json_t *object, const struct sk_lab *lab, const struct sk_lab_peer *peer,
                      bool *failed)
{
    double started = sk_lab_started_unix_s(lab);
    bool is = trades(peer);
    set(object, "up_bytes_s", number_value(peer->up_bytes_s, peer->up_bytes_s > 0), failed);
    set(object, "down_bytes_s", number_value(peer->down_bytes_s, peer->down_bytes_s > 0), failed);
    set(object, "joined", number_value(started + peer->joined_s, peer->joined_s >= 0), failed);
    set(object, "left", number_value(started + peer->left_s, peer->left_s >= 0), failed);
    set(object, "lie",
        is ? json_string(sk_lab_lie_name(peer->group->behaviour.trade.lies.kind)) : json_null(),
        failed);
    set(object, "took", is ? ledger_value(sk_lab_swarm(lab), &peer->took, failed) : json_null(),
        failed);
}

/* The name that an audit should read. */
static const char *client_of(const struct sk_lab_peer *peer)
{
    if (trades(peer))
        return "skep " SKEP_VERSION;
    return peer->group->behaviour.no_extensions ? peer->client->name_id : peer->client->name;
}

/* NULL where it follows from the trade. */
static json_t *expected_value(const struct sk_lab_peer *peer)
{
    return trades(peer) ? json_null() : json_string(sk_peer_outcome_name(sk_lab_expected(peer)));
}

static json_t *peer_value(const struct sk_lab *lab, const struct sk_lab_peer *peer, bool *failed)
{
    static const char *const encryptions[] = {[SK_LAB_ENCRYPTION_ANY] = "any",
                                              [SK_LAB_ENCRYPTION_PLAIN] = "plain",
                                              [SK_LAB_ENCRYPTION_REQUIRED] = "required"};
    const struct sk_lab_behaviour *b = &peer->group->behaviour;
    char address[SK_ENDPOINT_TEXT_MAX];
    const struct sk_lab_swarm *swarm = sk_lab_swarm(lab);
    json_t *object = json_object();
    set(object, "address", json_string(sk_endpoint_text(&peer->endpoint, address)), failed);
    set(object, "group", json_string(peer->group->name), failed);
    set(object, "kind", json_string(peer->group->kind->name), failed);
    set(object, "peer_id", hex_value(true, peer->id, sizeof peer->id), failed);
    set(object, "client", json_string(client_of(peer)), failed);
    set(object, "expected", expected_value(peer), failed);
    set(object, "tracker", json_boolean(!b->hidden), failed);
    set(object, "dials", json_boolean(b->dials), failed);
    set(object, "encryption", json_string(encryptions[b->encryption]), failed);
    set(object, "share", share_value(peer, swarm->content.pieces, failed), failed);
    set(object, "rate_bytes_s", number_value(peer->rate_bytes_s, peer->rate_bytes_s > 0), failed);
    set(object, "unchoke_after_s", number_value(b->unchoke_after_s, true), failed);
    set(object, "choke_after_s", number_value(b->choke_after_s, b->choke_after_s > 0), failed);
    set(object, "leave_after_s", number_value(b->leave_after_s, b->leave_after_s > 0), failed);
    set(object, "corrupt", json_real(b->corrupt), failed);
    set(object, "connections", json_integer(peer->accepted), failed);
    set(object, "gave", ledger_value(swarm, &peer->gave, failed), failed);
    set_trade(object, lab, peer, failed);
    return object;
}

static json_t *swarm_value(const struct sk_lab_swarm *swarm, bool *failed)
{
    json_t *object = json_object();
    json_int_t seeds = 0, leechers = 0;
    for (uint32_t i = 0; i < swarm->count; i++) {
        const struct sk_lab_peer *peer = &swarm->peers[i];
        if (!sk_lab_peer_readable(peer))
            continue;
        seeds += sk_bitfield_full(&peer->have);
        leechers += !sk_bitfield_full(&peer->have);
    }
    set(object, "seeds", json_integer(seeds), failed);
    set(object, "leechers", json_integer(leechers), failed);
    set(object, "pieces_missing", json_integer(sk_lab_swarm_pieces_missing(swarm)), failed);
    return object;
}

static double unix_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static json_t *truth_value(const struct sk_lab *lab, bool ended, bool *failed)
{
    const struct sk_lab_swarm *swarm = sk_lab_swarm(lab);
    const char *urls[SK_LAB_TRACKERS_MAX];
    size_t count = sk_lab_trackers(lab, urls);
    json_t *root = json_object(), *trackers = json_array(), *peers = json_array();
    for (size_t i = 0; i < count; i++)
        append(trackers, json_string(urls[i]), failed);
    for (uint32_t i = 0; i < swarm->count && !*failed; i++)
        append(peers, peer_value(lab, &swarm->peers[i], failed), failed);
    set(root, "schema", json_string(SK_LAB_SCHEMA), failed);
    set(root, "started", json_real(sk_lab_started_unix_s(lab)), failed);
    set(root, "ended", ended ? json_real(unix_now()) : json_null(), failed);
    set(root, "torrent", torrent_value(lab, failed), failed);
    set(root, "trackers", trackers, failed);
    set(root, "swarm", swarm_value(swarm, failed), failed);
    set(root, "peers", peers, failed);
    set(root, "flows", flows_value(swarm, failed), failed);
    return root;
}

static int write_file(const json_t *root, const char *path)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part) {
        errno = ENAMETOOLONG;
        return SKEP_ERR_IO;
    }
    FILE *file = fopen(part, "w");
    if (!file)
        return SKEP_ERR_IO;
    bool ok = json_dumpf(root, file, JSON_INDENT(1) | JSON_ENSURE_ASCII) == 0;
    ok = fputc('\n', file) != EOF && ok;
    ok = fclose(file) == 0 && ok;
    if (ok && rename(part, path) == 0)
        return 0;
    int why = errno;
    unlink(part);
    errno = why;
    return SKEP_ERR_IO;
}

int sk_lab_truth_write(const struct sk_lab *lab, bool ended, const char *path)
{
    bool failed = false;
    json_t *root = truth_value(lab, ended, &failed);
    int err = failed ? SKEP_ERR_NOMEM : write_file(root, path);
    json_decref(root);
    return err;
}
