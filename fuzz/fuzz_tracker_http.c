/*
 * HTTP tracker texts. The first byte chooses: an announce's answer, a scrape's answer, the query of
 * an announce, the address of a tracker. What is read is written, read again and means the same.
 */
#include "wire/tracker_http.h"

#include "base/assert.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t hash[20] = "aaaaaaaaaaaaaaaaaaaa";

static void fuzz_announce(struct sk_bytes input)
{
    struct sk_announce_answer first, again;
    struct sk_buf buf;
    if (sk_tracker_http_read_announce(input, &first))
        return;
    SK_ASSERT(first.peers_count <= SK_TRACKER_PEERS_MAX);
    SK_ASSERT(first.seeds >= -1 && first.leechers >= -1 && first.downloads >= -1);
    sk_buf_init(&buf, 1u << 20);
    SK_ASSERT(sk_tracker_http_write_announce(&buf, &first) == 0);
    SK_ASSERT(sk_tracker_http_read_announce(sk_buf_bytes(&buf), &again) == 0);
    SK_ASSERT(strcmp(first.failure, again.failure) == 0);
    if (!first.failure[0]) {
        SK_ASSERT(first.interval_s == again.interval_s);
        SK_ASSERT(first.min_interval_s == again.min_interval_s);
        SK_ASSERT(first.seeds == again.seeds && first.leechers == again.leechers);
        SK_ASSERT(first.downloads == again.downloads);
        SK_ASSERT(first.peers_count == again.peers_count);
        SK_ASSERT(sk_endpoint_equal(&first.external, &again.external));
        SK_ASSERT(strcmp(first.warning, again.warning) == 0);
        SK_ASSERT(strcmp(first.tracker_id, again.tracker_id) == 0);
    }
    sk_buf_deinit(&buf);
    sk_announce_answer_deinit(&first);
    sk_announce_answer_deinit(&again);
}

static void fuzz_scrape(struct sk_bytes input)
{
    struct sk_scrape_answer first, again;
    struct sk_buf buf;
    if (sk_tracker_http_read_scrape(input, hash, &first))
        return;
    sk_buf_init(&buf, 1u << 20);
    SK_ASSERT(sk_tracker_http_write_scrape(&buf, hash, &first) == 0);
    SK_ASSERT(sk_tracker_http_read_scrape(sk_buf_bytes(&buf), hash, &again) == 0);
    SK_ASSERT(strcmp(first.failure, again.failure) == 0);
    SK_ASSERT(first.failure[0] || (first.seeds == again.seeds && first.leechers == again.leechers &&
                                   first.downloads == again.downloads));
    sk_buf_deinit(&buf);
}

static void fuzz_query(struct sk_bytes input)
{
    struct sk_tracker_announce first, again;
    struct sk_buf buf;
    bool compact;
    if (sk_tracker_http_read_query(input, &first, &compact))
        return;
    sk_buf_init(&buf, 1u << 20);
    SK_ASSERT(sk_tracker_http_announce_url(&buf, "?", &first) == 0);
    SK_ASSERT(sk_tracker_http_read_query(sk_bytes(buf.p + 1, buf.n - 1), &again, &compact) == 0);
    first.left = sk_announce_left(&first);
    SK_ASSERT(memcmp(first.info_hash, again.info_hash, 20) == 0);
    SK_ASSERT(memcmp(first.peer_id, again.peer_id, 20) == 0);
    SK_ASSERT(first.left == again.left && first.port == again.port && first.key == again.key);
    SK_ASSERT(first.event == again.event && first.want == again.want && compact);
    sk_buf_deinit(&buf);
}

static void fuzz_url(struct sk_bytes input)
{
    struct sk_tracker_announce announce = {.port = 1, .want = 5, .tracker_id = input};
    struct sk_buf buf;
    char url[256];
    snprintf(url, sizeof url, "http:%.*s", (int)SK_MIN(input.n, (size_t)200),
             (const char *)input.p);
    sk_buf_init(&buf, 1u << 22);
    SK_ASSERT(sk_tracker_http_announce_url(&buf, url, &announce) == 0);
    SK_ASSERT(strlen((char *)buf.p) == buf.n);
    buf.n = 0;
    if (sk_tracker_http_scrape_url(&buf, url, hash) == 0)
        SK_ASSERT(strstr((char *)buf.p, "/scrape") && strstr((char *)buf.p, "info_hash=aaaa"));
    sk_buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct sk_bytes) = {fuzz_announce, fuzz_scrape, fuzz_query,
                                                       fuzz_url};
    if (size)
        targets[data[0] % SK_ARRAY_LEN(targets)](sk_bytes(data + 1, size - 1));
    return 0;
}
