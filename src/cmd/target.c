#include "cmd/target.h"

#include "base/assert.h"
#include "base/limits.h"
#include "cmd/cmd.h"
#include "cmd/pointer.h"
#include "driver/fetch.h"
#include "wire/magnet.h"
#include "wire/metainfo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_hash(const char *text)
{
    size_t n = strlen(text);
    return (n == 40 || n == 64) && strspn(text, "0123456789abcdefABCDEF") == n;
}

static bool begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

static int refuse(const char *what, int err, const char *reason)
{
    sk_complain("not a valid %s: %s", what, reason ? reason : skep_err_text(err));
    return err == SKEP_ERR_NOMEM ? SK_EXIT_FAILED : SK_EXIT_CORRUPT;
}

static int set_text(struct sk_target *target, enum sk_target_kind kind, const char *text)
{
    target->kind = kind;
    int err = sk_buf_append(&target->bytes, text, strlen(text) + 1);
    return err ? sk_complain_err(err) : SK_EXIT_DONE;
}

/* Reads to the end; what is larger than any torrent is refused. */
static int read_all(FILE *file, const char *name, struct sk_buf *buf)
{
    for (;;) {
        uint8_t *to = sk_buf_reserve(buf, 64 << 10);
        if (!to) {
            sk_complain("%s: larger than any torrent (%u MiB)", name, SK_METAINFO_BYTES_MAX >> 20);
            return SK_EXIT_CORRUPT;
        }
        size_t n = fread(to, 1, 64 << 10, file);
        buf->n += n;
        if (ferror(file)) {
            sk_complain("%s: %s", name, strerror(errno));
            return SK_EXIT_FAILED;
        }
        if (n == 0)
            return SK_EXIT_DONE;
    }
}

/* Standard input may hold a link: one line of text. */
static void recognise_link(struct sk_target *target)
{
    struct sk_buf *buf = &target->bytes;
    if (buf->n < 8 || buf->n > 65536 || strncasecmp((char *)buf->p, "magnet:", 7) != 0)
        return;
    while (buf->n && strchr(" \t\r\n", buf->p[buf->n - 1]))
        buf->n--;
    if (!sk_buf_append(buf, "", 1))
        target->kind = SK_TARGET_LINK;
}

/* A link that is broken stays a link: whoever reads it says why. */
static bool is_pointer(const char *link)
{
    struct sk_magnet *magnet;
    if (sk_magnet_parse_pointer(link, &magnet, NULL))
        return false;
    bool names_torrent = magnet->has_v1 || magnet->has_v2;
    sk_magnet_free(magnet);
    return !names_torrent;
}

int sk_target_read(const char *text, struct sk_target *ret_target)
{
    struct sk_target target = {.kind = SK_TARGET_FILE};
    sk_buf_init(&target.bytes, SK_METAINFO_BYTES_MAX + (128u << 10));
    bool standard = strcmp(text, "-") == 0;
    int code;
    if (begins(text, "magnet:") || is_hash(text)) {
        code = set_text(&target, SK_TARGET_LINK, text);
    } else if (begins(text, "http://") || begins(text, "https://")) {
        code = set_text(&target, SK_TARGET_URL, text);
    } else {
        FILE *file = standard ? stdin : fopen(text, "rb");
        if (!file) {
            sk_complain("%.400s: %s", text, strerror(errno));
            return SK_EXIT_FAILED;
        }
        code = read_all(file, standard ? "standard input" : text, &target.bytes);
        if (!standard)
            fclose(file);
        else if (!code)
            recognise_link(&target);
    }
    if (!code && target.kind == SK_TARGET_LINK && is_pointer((const char *)target.bytes.p))
        target.kind = SK_TARGET_POINTER;
    if (code)
        sk_buf_deinit(&target.bytes);
    else
        *ret_target = target;
    return code;
}

void sk_target_deinit(struct sk_target *target)
{
    sk_buf_deinit(&target->bytes);
}

static int fetch(struct sk_target *target, struct skep_runtime *runtime)
{
    char reason[SK_FETCH_REASON_MAX];
    struct sk_buf body;
    sk_buf_init(&body, SK_METAINFO_BYTES_MAX);
    const char *url = (const char *)target->bytes.p;
    if (sk_fetch(runtime, url, &body, reason)) {
        sk_complain("%.400s: %s", url, reason);
        sk_buf_deinit(&body);
        return SK_EXIT_NETWORK;
    }
    sk_buf_deinit(&target->bytes);
    target->bytes = body;
    target->kind = SK_TARGET_FILE;
    return SK_EXIT_DONE;
}

/* The link as it is, with an info-hash before all else that it says. */
static int name_torrent(struct sk_target *target, const uint8_t hash[20])
{
    static const char scheme[] = "magnet:?";
    char hex[41];
    struct sk_buf link;
    const char *rest = (const char *)target->bytes.p + strlen(scheme);
    sk_hex_encode(hash, 20, hex);
    sk_buf_init(&link, target->bytes.max);
    sk_buf_printf(&link, "%sxt=urn:btih:%s&%s", scheme, hex, rest);
    sk_buf_append(&link, "", 1);
    if (link.failed) {
        sk_buf_deinit(&link);
        sk_complain("%s", skep_err_text(SKEP_ERR_NOMEM));
        return SK_EXIT_FAILED;
    }
    sk_buf_deinit(&target->bytes);
    target->bytes = link;
    target->kind = SK_TARGET_LINK;
    return SK_EXIT_DONE;
}

static int follow(struct sk_target *target, struct skep_runtime *runtime,
                  const struct sk_options *options, unsigned family)
{
    struct sk_magnet *magnet;
    const char *reason = NULL;
    uint8_t hash[20];
    int err = sk_magnet_parse_pointer((const char *)target->bytes.p, &magnet, &reason);
    if (err)
        return refuse("magnet link", err, reason);
    int code = sk_pointer_follow(magnet, runtime, options, family, hash);
    sk_magnet_free(magnet);
    return code ? code : name_torrent(target, hash);
}

int sk_target_resolve(struct sk_target *target, struct skep_runtime *runtime,
                      const struct sk_options *options, unsigned family)
{
    switch (target->kind) {
    case SK_TARGET_URL:
        return fetch(target, runtime);
    case SK_TARGET_POINTER:
        return follow(target, runtime, options, family);
    default:
        return SK_EXIT_DONE;
    }
}

static void set_hash(bool has_v1, const uint8_t *v1, bool has_v2, const uint8_t *v2,
                     bool is_private, struct sk_target_hash *ret_hash)
{
    *ret_hash = (struct sk_target_hash){
        .is_v1 = has_v1, .is_hybrid = has_v1 && has_v2, .is_private = is_private};
    memcpy(ret_hash->bytes, has_v1 ? v1 : v2, sizeof ret_hash->bytes);
    memcpy(ret_hash->bytes_v2, v2, sizeof ret_hash->bytes_v2);
}

static int hash_of_link(const char *link, struct sk_target_hash *ret_hash)
{
    struct sk_magnet *magnet;
    const char *reason = NULL;
    int err = begins(link, "magnet:") ? sk_magnet_parse(link, &magnet, &reason)
                                      : sk_magnet_from_hash(link, &magnet);
    if (err)
        return refuse("link or info-hash", err, reason);
    set_hash(magnet->has_v1, magnet->hash_v1, magnet->has_v2, magnet->hash_v2, false, ret_hash);
    sk_magnet_free(magnet);
    return SK_EXIT_DONE;
}

static int hash_of_file(struct sk_bytes bytes, struct sk_target_hash *ret_hash)
{
    struct sk_metainfo *torrent;
    const char *reason = NULL;
    int err = sk_metainfo_parse(bytes, &torrent, &reason);
    if (err)
        return refuse(".torrent file", err, reason);
    set_hash(torrent->has_v1, torrent->hash_v1, torrent->has_v2, torrent->hash_v2,
             torrent->is_private, ret_hash);
    sk_metainfo_free(torrent);
    return SK_EXIT_DONE;
}

int sk_target_info_hash(const struct sk_target *target, struct sk_target_hash *ret_hash)
{
    SK_ASSERT(target->kind == SK_TARGET_FILE || target->kind == SK_TARGET_LINK);
    return target->kind == SK_TARGET_LINK ? hash_of_link((const char *)target->bytes.p, ret_hash)
                                          : hash_of_file(sk_buf_bytes(&target->bytes), ret_hash);
}

int sk_target_add_extras(const struct sk_options *options, struct skep_torrent *torrent)
{
    for (size_t i = 0; i < options->trackers.count; i++) {
        const char *url = options->trackers.list[i];
        if (skep_torrent_add_tracker(torrent, url)) {
            sk_complain("--tracker='%.200s': not a tracker's address that can be asked", url);
            return SK_EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < options->peers.count; i++) {
        const char *address = options->peers.list[i];
        if (skep_torrent_add_peer(torrent, address)) {
            sk_complain("'%.200s': expected HOST:PORT, or [ADDRESS]:PORT for IPv6", address);
            return SK_EXIT_USAGE;
        }
    }
    return SK_EXIT_DONE;
}

int sk_target_add(const struct sk_target *target, struct skep_engine *engine,
                  struct skep_torrent **ret_torrent)
{
    const char *reason = NULL;
    bool link = target->kind == SK_TARGET_LINK;
    int err =
        link ? skep_engine_add_link(engine, (const char *)target->bytes.p, ret_torrent, &reason)
             : skep_engine_add_file(engine, target->bytes.p, target->bytes.n, ret_torrent, &reason);
    return err ? refuse(link ? "link or info-hash" : ".torrent file", err, reason) : SK_EXIT_DONE;
}
