/*
 * Bencode written by hand in tests, with the lengths of strings counted: "(spam)" stands for
 * "4:spam", "{20}" for a string of 20 zero bytes; everything else stands for itself. A string may
 * hold no parenthesis.
 */
#ifndef SK_TEST_TEMPLATE_H
#define SK_TEST_TEMPLATE_H

#include "base/assert.h"
#include "wire/bencode.h"

#include <stdlib.h>

/* Appends a template of n bytes (it may hold NULs). */
static inline void template_put_n(struct sk_buf *buf, const char *text, size_t n)
{
    const char *end = text + n;
    while (text < end) {
        if (*text == '(') {
            const char *close = memchr(text, ')', (size_t)(end - text));
            SK_ASSERT(close);
            sk_bencode_put_string(buf, sk_bytes(text + 1, (size_t)(close - text - 1)));
            text = close + 1;
        } else if (*text == '{') {
            char *close;
            size_t size = strtoul(text + 1, &close, 10);
            void *zeros = calloc(size + 1, 1);
            SK_ASSERT(zeros && *close == '}');
            sk_bencode_put_string(buf, sk_bytes(zeros, size));
            free(zeros);
            text = close + 1;
        } else {
            sk_buf_append(buf, text++, 1);
        }
    }
    SK_ASSERT(!buf->failed);
}

static inline void template_put(struct sk_buf *buf, const char *text)
{
    template_put_n(buf, text, strlen(text));
}

#endif
