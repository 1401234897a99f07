#include "wire/lsd.h"

#include <skep/err.h>

#include "base/assert.h"

#include <strings.h>

#define LSD_REQUEST "BT-SEARCH * HTTP/1.1"

static const uint8_t group_v4[4] = {239, 192, 152, 143};
static const uint8_t group_v6[16] = {0xff, 0x15, [12] = 0xef, 0xc0, 0x98, 0x8f};

struct sk_endpoint sk_lsd_group(enum sk_family family)
{
    return family == SK_FAMILY_V6 ? sk_endpoint_v6(group_v6, SK_LSD_PORT)
                                  : sk_endpoint_v4(group_v4, SK_LSD_PORT);
}

static struct sk_bytes trim(struct sk_bytes text)
{
    while (text.n && (text.p[0] == ' ' || text.p[0] == '\t'))
        text = sk_bytes(text.p + 1, text.n - 1);
    while (text.n && strchr(" \t\r", text.p[text.n - 1]) && text.p[text.n - 1])
        text.n--;
    return text;
}

/* Takes the next line off; false where nothing is left. */
static bool next_line(struct sk_bytes *rest, struct sk_bytes *ret_line)
{
    if (!rest->n)
        return false;
    const uint8_t *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    *ret_line = trim(sk_bytes(rest->p, n));
    n = end ? n + 1 : n;
    *rest = sk_bytes(rest->p + n, rest->n - n);
    return true;
}

static int read_port(struct sk_bytes value, struct sk_lsd *lsd)
{
    unsigned port = 0;
    if (!value.n || value.n > 5)
        return SKEP_ERR_MALFORMED;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return SKEP_ERR_MALFORMED;
        port = port * 10 + (value.p[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX)
        return SKEP_ERR_MALFORMED;
    lsd->port = (uint16_t)port;
    return 0;
}

static int read_hash(struct sk_bytes value, struct sk_lsd *lsd)
{
    uint8_t *to = lsd->hashes[lsd->hashes_count];
    if (lsd->hashes_count < SK_LSD_HASHES_MAX &&
        sk_hex_decode((const char *)value.p, value.n, to, 20))
        lsd->hashes_count++;
    return 0; /* one of another length belongs to a later protocol */
}

/* A cookie is of use to whoever sent it; ours is printable and fits, so any other is left out. */
static int read_cookie(struct sk_bytes value, struct sk_lsd *lsd)
{
    if (value.n >= sizeof lsd->cookie)
        return 0;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < ' ' || value.p[i] > '~')
            return 0;
    if (value.n)
        memcpy(lsd->cookie, value.p, value.n);
    lsd->cookie[value.n] = 0;
    return 0;
}

static const struct {
    const char *name;
    int (*read)(struct sk_bytes value, struct sk_lsd *lsd);
} headers[] = {{"port", read_port}, {"infohash", read_hash}, {"cookie", read_cookie}};

static int read_header(struct sk_bytes line, struct sk_lsd *lsd)
{
    const uint8_t *colon = memchr(line.p, ':', line.n);
    if (!colon)
        return 0;
    size_t n = (size_t)(colon - line.p);
    struct sk_bytes value = trim(sk_bytes(colon + 1, line.n - n - 1));
    for (size_t i = 0; i < SK_ARRAY_LEN(headers); i++)
        if (n == strlen(headers[i].name) &&
            strncasecmp((const char *)line.p, headers[i].name, n) == 0)
            return headers[i].read(value, lsd);
    return 0;
}

int sk_lsd_read(struct sk_bytes datagram, struct sk_lsd *ret_lsd)
{
    struct sk_lsd lsd = {0};
    struct sk_bytes line;
    if (!next_line(&datagram, &line) || !sk_bytes_is(line, LSD_REQUEST))
        return SKEP_ERR_MALFORMED;
    while (next_line(&datagram, &line) && line.n)
        if (read_header(line, &lsd) < 0)
            return SKEP_ERR_MALFORMED;
    if (!lsd.port || !lsd.hashes_count)
        return SKEP_ERR_MALFORMED;
    *ret_lsd = lsd;
    return 0;
}

int sk_lsd_write(struct sk_buf *buf, enum sk_family family, const struct sk_lsd *lsd)
{
    char text[SK_ENDPOINT_TEXT_MAX], hex[41];
    struct sk_endpoint group = sk_lsd_group(family);
    sk_buf_printf(buf, LSD_REQUEST "\r\nHost: %s\r\nPort: %u\r\n", sk_endpoint_text(&group, text),
                  lsd->port);
    for (size_t i = 0; i < lsd->hashes_count; i++) {
        sk_hex_encode(lsd->hashes[i], 20, hex);
        sk_buf_printf(buf, "Infohash: %s\r\n", hex);
    }
    if (lsd->cookie[0])
        sk_buf_printf(buf, "cookie: %s\r\n", lsd->cookie);
    return sk_buf_text(buf, "\r\n\r\n");
}
