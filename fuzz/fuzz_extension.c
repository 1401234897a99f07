/*
 * Extension messages. The first byte chooses: handshake, metadata, PEX, client name, holepunch.
 * What is read is written, read again and must mean the same.
 */
#include "wire/extension.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"
#include "wire/client_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_handshake(struct sk_bytes input)
{
    struct sk_extension_handshake first, again;
    struct sk_buf buf;
    if (sk_extension_handshake_read(input, &first))
        return;
    sk_buf_init(&buf, 1u << 20);
    SK_ASSERT(sk_extension_handshake_write(&buf, &first) == 0);
    SK_ASSERT(sk_extension_handshake_read(sk_buf_bytes(&buf), &again) == 0);
    SK_ASSERT(memcmp(first.ids, again.ids, sizeof first.ids) == 0);
    SK_ASSERT(first.named == again.named);
    SK_ASSERT(sk_bytes_equal(first.client, again.client));
    SK_ASSERT(again.metadata_size == (first.metadata_size > 0 ? first.metadata_size : -1));
    SK_ASSERT(first.request_queue == again.request_queue);
    SK_ASSERT(first.port == again.port);
    SK_ASSERT(first.upload_only == again.upload_only);
    SK_ASSERT(first.encryption == again.encryption);
    SK_ASSERT(sk_endpoint_equal(&first.your_ip, &again.your_ip));
    SK_ASSERT(sk_endpoint_equal(&first.ipv4, &again.ipv4));
    SK_ASSERT(sk_endpoint_equal(&first.ipv6, &again.ipv6));
    sk_buf_deinit(&buf);
}

static void fuzz_metadata(struct sk_bytes input)
{
    struct sk_metadata_message first, again;
    struct sk_buf buf;
    if (sk_metadata_message_read(input, &first))
        return;
    SK_ASSERT(first.data.n <= SK_METADATA_PIECE_SIZE);
    sk_buf_init(&buf, 1u << 20);
    SK_ASSERT(sk_metadata_message_write(&buf, &first) == 0);
    SK_ASSERT(sk_metadata_message_read(sk_buf_bytes(&buf), &again) == 0);
    SK_ASSERT(first.kind == again.kind && first.piece == again.piece);
    SK_ASSERT(again.total_size == (first.total_size >= 0 ? first.total_size : -1));
    SK_ASSERT(sk_bytes_equal(first.data, again.data));
    sk_buf_deinit(&buf);
}

static void fuzz_holepunch(struct sk_bytes input)
{
    struct sk_holepunch first, again;
    struct sk_buf buf;
    if (sk_holepunch_read(input, &first))
        return;
    sk_buf_init(&buf, 1u << 10);
    SK_ASSERT(sk_holepunch_write(&buf, &first) == 0);
    SK_ASSERT(sk_holepunch_read(sk_buf_bytes(&buf), &again) == 0);
    SK_ASSERT(first.kind == again.kind && first.error == again.error);
    SK_ASSERT(sk_endpoint_equal(&first.endpoint, &again.endpoint));
    sk_buf_deinit(&buf);
}

/* IPv4-mapped peers move between the sections, so the peers are compared as sets of two sorts. */
static size_t count_of(const struct sk_pex_peer *peers, size_t count, enum sk_family family,
                       bool dropped)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += peers[i].endpoint.family == family && peers[i].dropped == dropped;
    return n;
}

static void fuzz_pex(struct sk_bytes input)
{
    struct sk_pex_peer first[SK_PEX_PEERS_MAX], again[SK_PEX_PEERS_MAX];
    size_t count = 0, count_again = 0;
    struct sk_buf buf, buf_again;
    if (sk_pex_read(input, first, SK_PEX_PEERS_MAX, &count))
        return;
    SK_ASSERT(count <= SK_PEX_PEERS_MAX);
    sk_buf_init(&buf, 1u << 20);
    sk_buf_init(&buf_again, 1u << 20);
    SK_ASSERT(sk_pex_write(&buf, first, count) == 0);
    SK_ASSERT(sk_pex_read(sk_buf_bytes(&buf), again, SK_PEX_PEERS_MAX, &count_again) == 0);
    SK_ASSERT(count == count_again);
    for (int i = 0; i < 4; i++) {
        enum sk_family family = i & 1 ? SK_FAMILY_V6 : SK_FAMILY_V4;
        SK_ASSERT(count_of(first, count, family, i & 2) == count_of(again, count, family, i & 2));
    }
    SK_ASSERT(sk_pex_write(&buf_again, again, count) == 0);
    SK_ASSERT(sk_bytes_equal(sk_buf_bytes(&buf), sk_buf_bytes(&buf_again)));
    sk_buf_deinit(&buf);
    sk_buf_deinit(&buf_again);
}

static void fuzz_client_name(struct sk_bytes input)
{
    char name[SK_CLIENT_NAME_MAX], shown[4 * SK_CLIENT_NAME_MAX];
    if (input.n < 20)
        return;
    sk_client_name(input.p, sk_bytes(input.p + 20, input.n - 20), name);
    SK_ASSERT(name[0] && strlen(name) < sizeof name);
    SK_ASSERT(sk_text_is_utf8(sk_bytes_text(name)));
    for (const char *p = name; *p; p++)
        SK_ASSERT((uint8_t)*p >= ' ' && *p != 0x7f);
    /* Nothing is left to be escaped but the backslashes of what was. */
    if (!strchr(name, '\\')) {
        sk_text_escape(sk_bytes_text(name), shown, sizeof shown);
        SK_ASSERT(strcmp(name, shown) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct sk_bytes) = {fuzz_handshake, fuzz_metadata, fuzz_pex,
                                                       fuzz_client_name, fuzz_holepunch};
    if (size)
        targets[data[0] % SK_ARRAY_LEN(targets)](sk_bytes(data + 1, size - 1));
    return 0;
}
