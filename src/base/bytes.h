/*
 * Bytes: borrowed views, a bounded growing buffer, and big-endian integers.
 *
 * A `struct sk_bytes` borrows: whoever made it says how long it lives. A `struct sk_buf` owns.
 */
#ifndef SK_BASE_BYTES_H
#define SK_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of n bytes; p may be NULL where n is 0. */
struct sk_bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct sk_bytes sk_bytes(const void *p, size_t n)
{
    return (struct sk_bytes){.p = p, .n = n};
}

static inline struct sk_bytes sk_bytes_text(const char *text)
{
    return sk_bytes(text, strlen(text));
}

static inline bool sk_bytes_equal(struct sk_bytes a, struct sk_bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Whether the view holds exactly this text. */
static inline bool sk_bytes_is(struct sk_bytes a, const char *text)
{
    return sk_bytes_equal(a, sk_bytes_text(text));
}

/* Order as of raw bytes, the shorter first where one is the other's beginning: <0, 0, >0. */
int sk_bytes_compare(struct sk_bytes a, struct sk_bytes b);

static inline uint16_t sk_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t sk_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t sk_get_u64(const uint8_t *p)
{
    return (uint64_t)sk_get_u32(p) << 32 | sk_get_u32(p + 4);
}

static inline void sk_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void sk_put_u32(uint8_t *p, uint32_t v)
{
    sk_put_u16(p, (uint16_t)(v >> 16));
    sk_put_u16(p + 2, (uint16_t)v);
}

static inline void sk_put_u64(uint8_t *p, uint64_t v)
{
    sk_put_u32(p, (uint32_t)(v >> 32));
    sk_put_u32(p + 4, (uint32_t)v);
}

/*
 * A buffer that grows up to `max` bytes. Zero-initialised with a max it is empty and ready.
 * A failed append sets `failed` and changes nothing; further appends then fail as well, so a writer
 * may append many times and look once.
 */
struct sk_buf {
    uint8_t *p;
    size_t n;
    size_t cap;
    size_t max;
    bool failed;
};

void sk_buf_init(struct sk_buf *buf, size_t max);
void sk_buf_deinit(struct sk_buf *buf);
/* Room for n more bytes at the end, not yet counted in buf->n; NULL on failure (see `failed`). */
uint8_t *sk_buf_reserve(struct sk_buf *buf, size_t n);
/* SKEP_ERR_NOMEM or SKEP_ERR_LIMIT on failure. */
int sk_buf_append(struct sk_buf *buf, const void *p, size_t n);
int sk_buf_text(struct sk_buf *buf, const char *text);
__attribute__((format(printf, 2, 3))) int sk_buf_printf(struct sk_buf *buf, const char *format,
                                                        ...);
/* Drops the first n bytes (n <= buf->n). */
void sk_buf_consume(struct sk_buf *buf, size_t n);
/* Frees what an empty buffer holds. */
void sk_buf_trim(struct sk_buf *buf);

static inline struct sk_bytes sk_buf_bytes(const struct sk_buf *buf)
{
    return sk_bytes(buf->p, buf->n);
}

/* Hex, lower case. `ret_text` takes 2 * n + 1 chars. */
void sk_hex_encode(const uint8_t *p, size_t n, char *ret_text);
/* Exactly n bytes from 2 * n hex digits of either case; false where text is anything else. */
bool sk_hex_decode(const char *text, size_t text_len, uint8_t *ret_bytes, size_t n);

#endif
