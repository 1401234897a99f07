/*
 * Recorded announces as text. However the bytes are portioned (the first one says how), the same is
 * read; and what is read, written as a row and read again, is the same announce.
 */
#include "store/announce_file.h"

#include "base/assert.h"
#include "base/map.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
    uint64_t hash; /* of all that was told */
    bool again;    /* announces are written and read again */
};

static int keep_one(const struct sk_announce *announce, void *ctx)
{
    *(struct sk_announce *)ctx = *announce;
    return 0;
}

static void put_bytes(struct sk_buf *buf, uint64_t bytes)
{
    if (bytes == SK_ANNOUNCE_UNKNOWN)
        sk_buf_text(buf, ",");
    else
        sk_buf_printf(buf, ",%llu", (unsigned long long)bytes);
}

static void write_row(const struct sk_announce *announce, struct sk_buf *buf)
{
    char hash[41], peer[41], address[SK_ENDPOINT_TEXT_MAX];
    sk_hex_encode(announce->info_hash, 20, hash);
    sk_hex_encode(announce->peer_id, 20, peer);
    sk_endpoint_text(&announce->endpoint, address);
    sk_buf_printf(buf, "at,info_hash,peer_id,address,uploaded,downloaded,left,event,key\n");
    sk_buf_printf(buf, "%.6f,%s,%s,%s", announce->at_unix_s, hash,
                  announce->has_peer_id ? peer : "",
                  announce->endpoint.family == SK_FAMILY_NONE ? "" : address);
    put_bytes(buf, announce->uploaded);
    put_bytes(buf, announce->downloaded);
    put_bytes(buf, announce->left);
    sk_buf_printf(buf, ",%s", sk_announce_event_name(announce->event));
    put_bytes(buf, announce->has_key ? announce->key : SK_ANNOUNCE_UNKNOWN);
}

static void read_again(const struct sk_announce *announce)
{
    struct sk_announce second = {0};
    const struct sk_announce_sink sink = {.announce = keep_one, .ctx = &second};
    struct sk_announce_file *file;
    struct sk_buf buf;
    sk_buf_init(&buf, 4096);
    write_row(announce, &buf);
    SK_ASSERT(sk_announce_file_new(&sink, &file) == 0);
    SK_ASSERT(sk_announce_file_input(file, sk_buf_bytes(&buf)) == 0);
    SK_ASSERT(sk_announce_file_end(file) == 0);
    SK_ASSERT(sk_announce_file_tally(file)->announces == 1);
    SK_ASSERT(memcmp(announce->info_hash, second.info_hash, 20) == 0);
    SK_ASSERT(announce->has_peer_id == second.has_peer_id);
    SK_ASSERT(sk_endpoint_equal(&announce->endpoint, &second.endpoint));
    SK_ASSERT(announce->uploaded == second.uploaded && announce->left == second.left);
    SK_ASSERT(announce->downloaded == second.downloaded && announce->event == second.event);
    SK_ASSERT(announce->has_key == second.has_key && announce->key == second.key);
    sk_announce_file_free(file);
    sk_buf_deinit(&buf);
}

static int on_announce(const struct sk_announce *announce, void *ctx)
{
    struct heard *heard = ctx;
    SK_ASSERT(announce->has_peer_id || announce->endpoint.family != SK_FAMILY_NONE);
    SK_ASSERT(announce->at_unix_s >= 0);
    heard->hash = sk_hash_bytes(announce->info_hash, 20, heard->hash ^ announce->uploaded);
    if (heard->again)
        read_again(announce);
    return 0;
}

static void on_bad(uint64_t line, const char *why, void *ctx)
{
    struct heard *heard = ctx;
    SK_ASSERT(line > 0 && why[0]);
    heard->hash = sk_hash_bytes(why, strlen(why), heard->hash ^ line);
}

static int read_in(struct sk_bytes input, size_t portion, struct heard *heard)
{
    const struct sk_announce_sink sink = {.announce = on_announce, .bad = on_bad, .ctx = heard};
    struct sk_announce_file *file;
    int err = 0;
    SK_ASSERT(sk_announce_file_new(&sink, &file) == 0);
    while (input.n && !err) {
        size_t n = SK_MIN(input.n, portion);
        err = sk_announce_file_input(file, sk_bytes(input.p, n));
        input = sk_bytes(input.p + n, input.n - n);
    }
    if (!err)
        err = sk_announce_file_end(file);
    sk_announce_file_free(file);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard whole = {.again = true}, parts = {0};
    if (!size)
        return 0;
    struct sk_bytes input = sk_bytes(data + 1, size - 1);
    int err = read_in(input, SIZE_MAX, &whole);
    SK_ASSERT(err == read_in(input, 1u + data[0], &parts));
    SK_ASSERT(whole.hash == parts.hash);
    return 0;
}
