#include "store/anonymizer.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/hash.h"

#include <stdio.h>
#include <sys/random.h>

#define BLOCK_SIZE 64 /* of SHA-256, as HMAC (RFC 2104) pads its key */

int sk_anonymizer_init(struct sk_anonymizer *anonymizer, const uint8_t *key)
{
    struct sk_anonymizer fresh = {0};
    if (key)
        memcpy(fresh.key, key, sizeof fresh.key);
    else if (getrandom(fresh.key, sizeof fresh.key, 0) != sizeof fresh.key)
        return SKEP_ERR_CRYPTO;
    *anonymizer = fresh;
    return 0;
}

static void hmac(const struct sk_anonymizer *anonymizer, const uint8_t *message, size_t n,
                 uint8_t ret_digest[SK_SHA256_SIZE])
{
    uint8_t inner[BLOCK_SIZE + sizeof(struct sk_endpoint)], outer[BLOCK_SIZE + SK_SHA256_SIZE];
    SK_ASSERT(n <= sizeof(struct sk_endpoint));
    memset(inner, 0x36, BLOCK_SIZE);
    memset(outer, 0x5c, BLOCK_SIZE);
    for (size_t i = 0; i < sizeof anonymizer->key; i++) {
        inner[i] ^= anonymizer->key[i];
        outer[i] ^= anonymizer->key[i];
    }
    memcpy(inner + BLOCK_SIZE, message, n);
    sk_sha256(inner, BLOCK_SIZE + n, outer + BLOCK_SIZE);
    sk_sha256(outer, sizeof outer, ret_digest);
}

static void pseudonym(const struct sk_anonymizer *anonymizer, const struct sk_endpoint *endpoint,
                      bool with_port, char ret_text[SK_ENDPOINT_TEXT_MAX])
{
    uint8_t message[1 + 16 + 2] = {endpoint->family}, digest[SK_SHA256_SIZE];
    char hex[17];
    memcpy(message + 1, endpoint->addr, 16);
    sk_put_u16(message + 17, endpoint->port);
    if (anonymizer->recalls)
        memcpy(digest, endpoint->addr + 8, 8);
    else
        hmac(anonymizer, message, with_port ? sizeof message : sizeof message - 2, digest);
    sk_hex_encode(digest, 8, hex);
    snprintf(ret_text, SK_ENDPOINT_TEXT_MAX, "%s-%s", with_port ? "peer" : "host", hex);
}

char *sk_anonymizer_endpoint(const struct sk_anonymizer *anonymizer,
                             const struct sk_endpoint *endpoint,
                             char ret_text[SK_ENDPOINT_TEXT_MAX])
{
    if (endpoint->family == SK_FAMILY_NONE)
        ret_text[0] = 0;
    else if (anonymizer)
        pseudonym(anonymizer, endpoint, true, ret_text);
    else
        sk_endpoint_text(endpoint, ret_text);
    return ret_text;
}

bool sk_anonymizer_stand_in(const char *text, struct sk_endpoint *ret_endpoint)
{
    static const char begin[] = "peer-";
    size_t n = sizeof begin - 1;
    uint8_t addr[16] = {0x01};
    if (strncmp(text, begin, n) != 0 || !sk_hex_decode(text + n, strlen(text + n), addr + 8, 8))
        return false;
    *ret_endpoint = sk_endpoint_v6(addr, 1);
    return true;
}

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_address_char(uint8_t c)
{
    return (c >= '0' && c <= ':') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') || c == '.' ||
           c == '[' || c == ']';
}

/* Whether there was a port shows in whether the default is taken. */
static bool parse_address(const char *text, struct sk_endpoint *ret_endpoint, bool *ret_with_port)
{
    struct sk_endpoint other;
    if (sk_endpoint_parse(text, 1, ret_endpoint) || sk_endpoint_parse(text, 2, &other))
        return false;
    *ret_with_port = ret_endpoint->port == other.port;
    return true;
}

/* The longest literal address that the text begins with; its length, or 0. */
static size_t find_address(struct sk_bytes text, struct sk_endpoint *ret_endpoint,
                           bool *ret_with_port)
{
    char candidate[SK_ENDPOINT_TEXT_MAX];
    size_t n = 0;
    while (n < text.n && n < sizeof candidate - 1 && is_address_char(text.p[n]))
        n++;
    for (; n >= 2; n--) {
        if (n < text.n && is_alnum(text.p[n]) && is_alnum(text.p[n - 1]))
            continue;
        memcpy(candidate, text.p, n);
        candidate[n] = 0;
        if (parse_address(candidate, ret_endpoint, ret_with_port))
            return n;
    }
    return 0;
}

int sk_anonymizer_text(const struct sk_anonymizer *anonymizer, struct sk_bytes text,
                       struct sk_buf *out)
{
    if (!anonymizer || anonymizer->recalls)
        return sk_buf_append(out, text.p, text.n);
    int err = 0;
    for (size_t i = 0; i < text.n && !err;) {
        struct sk_endpoint endpoint;
        bool with_port;
        char name[SK_ENDPOINT_TEXT_MAX];
        struct sk_bytes rest = sk_bytes(text.p + i, text.n - i);
        size_t n = i > 0 && is_alnum(text.p[i - 1]) ? 0 : find_address(rest, &endpoint, &with_port);
        if (n) {
            pseudonym(anonymizer, &endpoint, with_port, name);
            err = sk_buf_text(out, name);
            i += n;
        } else {
            err = sk_buf_append(out, rest.p, 1);
            i++;
        }
    }
    return err;
}
