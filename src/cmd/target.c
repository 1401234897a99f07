#include "cmd/target.h"

#include "base/limits.h"
#include "cmd/cmd.h"
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

static int set_text(struct sk_target *target, enum sk_target_kind kind, const char *text)
{
    target->kind = kind;
    int err = sk_buf_append(&target->bytes, text, strlen(text) + 1);
    if (err)
        sk_complain("%s", skep_err_text(err));
    return sk_exit_of(err);
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

int sk_target_fetch(struct sk_target *target, struct skep_runtime *runtime)
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

static int refuse(const char *what, int err, const char *reason)
{
    sk_complain("not a valid %s: %s", what, reason ? reason : skep_err_text(err));
    return err == SKEP_ERR_NOMEM ? SK_EXIT_FAILED : SK_EXIT_CORRUPT;
}

static int hash_of_link(const char *link, uint8_t ret_hash[20])
{
    struct sk_magnet *magnet;
    const char *reason = NULL;
    int err = begins(link, "magnet:") ? sk_magnet_parse(link, &magnet, &reason)
                                      : sk_magnet_from_hash(link, &magnet);
    if (err)
        return refuse("link or info-hash", err, reason);
    memcpy(ret_hash, magnet->has_v1 ? magnet->hash_v1 : magnet->hash_v2, 20);
    sk_magnet_free(magnet);
    return SK_EXIT_DONE;
}

static int hash_of_file(struct sk_bytes bytes, uint8_t ret_hash[20], bool *ret_private)
{
    struct sk_metainfo *torrent;
    const char *reason = NULL;
    int err = sk_metainfo_parse(bytes, &torrent, &reason);
    if (err)
        return refuse(".torrent file", err, reason);
    memcpy(ret_hash, torrent->has_v1 ? torrent->hash_v1 : torrent->hash_v2, 20);
    if (ret_private)
        *ret_private = torrent->is_private;
    sk_metainfo_free(torrent);
    return SK_EXIT_DONE;
}

int sk_target_info_hash(struct sk_target *target, struct skep_runtime *runtime,
                        uint8_t ret_hash[20], bool *ret_private)
{
    if (target->kind == SK_TARGET_URL) {
        int code = sk_target_fetch(target, runtime);
        if (code)
            return code;
    }
    if (ret_private)
        *ret_private = false;
    return target->kind == SK_TARGET_LINK
               ? hash_of_link((const char *)target->bytes.p, ret_hash)
               : hash_of_file(sk_buf_bytes(&target->bytes), ret_hash, ret_private);
}

int sk_target_add(struct sk_target *target, struct skep_runtime *runtime,
                  struct skep_torrent **ret_torrent)
{
    struct skep_engine *engine = skep_runtime_engine(runtime);
    const char *reason = NULL;
    if (target->kind == SK_TARGET_URL) {
        int code = sk_target_fetch(target, runtime);
        if (code)
            return code;
    }
    bool link = target->kind == SK_TARGET_LINK;
    int err =
        link ? skep_engine_add_link(engine, (const char *)target->bytes.p, ret_torrent, &reason)
             : skep_engine_add_file(engine, target->bytes.p, target->bytes.n, ret_torrent, &reason);
    return err ? refuse(link ? "link or info-hash" : ".torrent file", err, reason) : SK_EXIT_DONE;
}
