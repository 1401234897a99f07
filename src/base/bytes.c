#include "base/bytes.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

int sk_bytes_compare(struct sk_bytes a, struct sk_bytes b)
{
    size_t n = SK_MIN(a.n, b.n);
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

void sk_buf_init(struct sk_buf *buf, size_t max)
{
    *buf = (struct sk_buf){.max = max};
}

void sk_buf_deinit(struct sk_buf *buf)
{
    sk_mem_free(buf->p);
    *buf = (struct sk_buf){.max = buf->max};
}

uint8_t *sk_buf_reserve(struct sk_buf *buf, size_t n)
{
    if (buf->failed)
        return NULL;
    if (n > buf->max - buf->n) {
        buf->failed = true;
        return NULL;
    }
    if (n > buf->cap - buf->n) {
        size_t cap = SK_MAX(buf->n + n, SK_MIN(buf->cap * 2, buf->max));
        cap = SK_MAX(cap, SK_MIN((size_t)64, buf->max));
        uint8_t *p = sk_mem_realloc(buf->p, cap, 1);
        if (!p) {
            buf->failed = true;
            return NULL;
        }
        buf->p = p;
        buf->cap = cap;
    }
    return buf->p + buf->n;
}

int sk_buf_append(struct sk_buf *buf, const void *p, size_t n)
{
    bool fits = n <= buf->max - buf->n;
    if (n == 0 && !buf->failed)
        return 0; /* nothing may be allocated yet */
    uint8_t *to = sk_buf_reserve(buf, n);
    if (!to)
        return fits ? SKEP_ERR_NOMEM : SKEP_ERR_LIMIT;
    memcpy(to, p, n);
    buf->n += n;
    return 0;
}

int sk_buf_text(struct sk_buf *buf, const char *text)
{
    return sk_buf_append(buf, text, strlen(text));
}

int sk_buf_printf(struct sk_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    SK_ASSERT(n >= 0);
    bool fits = (size_t)n < buf->max - buf->n;
    uint8_t *to = sk_buf_reserve(buf, (size_t)n + 1);
    if (!to)
        return fits ? SKEP_ERR_NOMEM : SKEP_ERR_LIMIT;
    va_start(args, format);
    vsnprintf((char *)to, (size_t)n + 1, format, args);
    va_end(args);
    buf->n += (size_t)n;
    return 0;
}

void sk_buf_consume(struct sk_buf *buf, size_t n)
{
    SK_ASSERT(n <= buf->n);
    buf->n -= n;
    if (buf->n)
        memmove(buf->p, buf->p + n, buf->n);
}

void sk_buf_trim(struct sk_buf *buf)
{
    if (buf->n == 0)
        sk_buf_deinit(buf);
}

void sk_hex_encode(const uint8_t *p, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[p[i] >> 4];
        ret_text[2 * i + 1] = digits[p[i] & 15];
    }
    ret_text[2 * n] = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sk_hex_decode(const char *text, size_t text_len, uint8_t *ret_bytes, size_t n)
{
    if (text_len != 2 * n)
        return false;
    for (size_t i = 0; i < text_len; i++)
        if (hex_value(text[i]) < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        ret_bytes[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    return true;
}
