#include "wire/bencode.h"

#include <skep/err.h>

#include "base/limits.h"

/* What the parser knows of a list or dictionary that it is inside of. */
struct level {
    bool dict;
    struct sk_bytes last_key; /* p is NULL before the first */
};

struct parser {
    const uint8_t *p, *end;
    unsigned flags;
    size_t depth;
    struct level levels[SK_BENCODE_DEPTH_MAX];
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* "4:spam". On failure p stands at the beginning of the length. */
static int parse_string(struct parser *parser, struct sk_bytes *ret_string)
{
    const uint8_t *p = parser->p, *end = parser->end;
    size_t length = 0;
    if (!is_digit(*p) || (*p == '0' && end - p > 1 && p[1] != ':'))
        return SKEP_ERR_MALFORMED;
    for (; p < end && is_digit(*p); p++)
        if (__builtin_mul_overflow(length, 10, &length) ||
            __builtin_add_overflow(length, *p - '0', &length))
            return SKEP_ERR_MALFORMED;
    if (p == end)
        return SKEP_ERR_TRUNCATED;
    if (*p++ != ':')
        return SKEP_ERR_MALFORMED;
    if (length > (size_t)(end - p))
        return SKEP_ERR_TRUNCATED;
    *ret_string = sk_bytes(p, length);
    parser->p = p + length;
    return 0;
}

/* "i-3e". On failure p stands at the 'i'. */
static int parse_int(struct parser *parser)
{
    const uint8_t *p = parser->p + 1, *end = parser->end;
    bool negative = p < end && *p == '-';
    p += negative;
    const uint8_t *digits = p;
    int64_t value = 0;
    for (; p < end && is_digit(*p); p++) {
        int digit = *p - '0';
        /* Negative numbers are built downwards: the least int64 has no positive twin. */
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return SKEP_ERR_MALFORMED;
    }
    if (p == end)
        return SKEP_ERR_TRUNCATED;
    if (*p != 'e' || p == digits || (*digits == '0' && (p - digits > 1 || negative)))
        return SKEP_ERR_MALFORMED;
    parser->p = p + 1;
    return 0;
}

static int parse_key(struct parser *parser, struct level *level)
{
    const uint8_t *start = parser->p;
    struct sk_bytes key;
    int err = parse_string(parser, &key);
    if (err)
        return err;
    if (!(parser->flags & SK_BENCODE_UNSORTED)) {
        if (level->last_key.p && sk_bytes_compare(level->last_key, key) >= 0) {
            parser->p = start;
            return SKEP_ERR_MALFORMED;
        }
        level->last_key = key;
    }
    return 0;
}

/* An integer, a string, or the beginning of a list or dictionary. */
static int parse_value(struct parser *parser)
{
    struct sk_bytes string;
    switch (*parser->p) {
    case 'i':
        return parse_int(parser);
    case 'l':
    case 'd':
        if (parser->depth == SK_BENCODE_DEPTH_MAX)
            return SKEP_ERR_LIMIT;
        parser->levels[parser->depth++] = (struct level){.dict = *parser->p == 'd'};
        parser->p++;
        return 0;
    default:
        return parse_string(parser, &string);
    }
}

static int parse(struct parser *parser)
{
    do {
        if (parser->p == parser->end)
            return SKEP_ERR_TRUNCATED;
        if (parser->depth) {
            struct level *level = &parser->levels[parser->depth - 1];
            if (*parser->p == 'e') {
                parser->p++;
                parser->depth--;
                continue;
            }
            int err = level->dict ? parse_key(parser, level) : 0;
            if (err)
                return err;
            if (parser->p == parser->end)
                return SKEP_ERR_TRUNCATED;
        }
        int err = parse_value(parser);
        if (err)
            return err;
    } while (parser->depth);
    if (parser->p != parser->end && !(parser->flags & SK_BENCODE_PREFIX))
        return SKEP_ERR_MALFORMED;
    return 0;
}

/*
 * From here on the input is known to be well-formed: no check is needed.
 */

static const uint8_t *read_string(const uint8_t *p, struct sk_bytes *ret_string)
{
    size_t length = 0;
    while (*p != ':')
        length = length * 10 + (size_t)(*p++ - '0');
    *ret_string = sk_bytes(p + 1, length);
    return p + 1 + length;
}

static const uint8_t *read_int(const uint8_t *p, int64_t *ret_value)
{
    bool negative = *++p == '-';
    int64_t value = 0;
    for (p += negative; *p != 'e'; p++)
        value = value * 10 + (negative ? '0' - *p : *p - '0');
    *ret_value = value;
    return p + 1;
}

/* The end of the list or dictionary that begins at p. */
static const uint8_t *skip_container(const uint8_t *p)
{
    struct sk_bytes string;
    size_t depth = 0;
    do {
        if (is_digit(*p)) {
            p = read_string(p, &string);
        } else if (*p == 'i') {
            while (*p++ != 'e')
                ;
        } else if (*p++ == 'e') {
            depth--;
        } else {
            depth++;
        }
    } while (depth);
    return p;
}

static const uint8_t *read_value(const uint8_t *p, struct sk_bencode *ret_value)
{
    const uint8_t *start = p;
    struct sk_bencode value = {0};
    if (*p == 'i') {
        value.type = SK_BENCODE_INT;
        p = read_int(p, &value.integer);
    } else if (is_digit(*p)) {
        value.type = SK_BENCODE_STRING;
        p = read_string(p, &value.string);
    } else {
        value.type = *p == 'l' ? SK_BENCODE_LIST : SK_BENCODE_DICT;
        p = skip_container(p);
    }
    value.raw = sk_bytes(start, (size_t)(p - start));
    *ret_value = value;
    return p;
}

int sk_bencode_parse(struct sk_bytes input, unsigned flags, struct sk_bencode *ret_value,
                     size_t *ret_offset)
{
    struct parser parser;
    parser.p = input.p;
    parser.end = input.n ? input.p + input.n : input.p;
    parser.flags = flags;
    parser.depth = 0;
    int err = parse(&parser);
    if (err) {
        if (ret_offset)
            *ret_offset = input.n ? (size_t)(parser.p - input.p) : 0;
        return err;
    }
    struct sk_bencode value = {.raw = sk_bytes(input.p, (size_t)(parser.p - input.p))};
    if (*input.p == 'l' || *input.p == 'd')
        value.type = *input.p == 'l' ? SK_BENCODE_LIST : SK_BENCODE_DICT;
    else
        read_value(input.p, &value);
    *ret_value = value;
    return 0;
}

struct sk_bencode_iter sk_bencode_iter(const struct sk_bencode *list_or_dict)
{
    struct sk_bencode_iter iter = {.type = list_or_dict->type};
    if (iter.type == SK_BENCODE_LIST || iter.type == SK_BENCODE_DICT)
        iter.rest = sk_bytes(list_or_dict->raw.p + 1, list_or_dict->raw.n - 2);
    return iter;
}

bool sk_bencode_next(struct sk_bencode_iter *iter, struct sk_bytes *ret_key,
                     struct sk_bencode *ret_value)
{
    if (!iter->rest.n)
        return false;
    const uint8_t *p = iter->rest.p;
    if (iter->type == SK_BENCODE_DICT) {
        struct sk_bytes key;
        p = read_string(p, &key);
        if (ret_key)
            *ret_key = key;
    }
    p = read_value(p, ret_value);
    iter->rest = sk_bytes(p, iter->rest.n - (size_t)(p - iter->rest.p));
    return true;
}

struct sk_bencode sk_bencode_get(const struct sk_bencode *dict, const char *key)
{
    struct sk_bencode value;
    struct sk_bytes found, wanted = sk_bytes_text(key);
    struct sk_bencode_iter iter = sk_bencode_iter(dict);
    if (iter.type == SK_BENCODE_DICT)
        while (sk_bencode_next(&iter, &found, &value))
            if (sk_bytes_equal(found, wanted))
                return value;
    return (struct sk_bencode){0};
}

struct sk_bytes sk_bencode_get_string(const struct sk_bencode *dict, const char *key)
{
    return sk_bencode_get(dict, key).string;
}

int64_t sk_bencode_get_int(const struct sk_bencode *dict, const char *key, int64_t otherwise)
{
    struct sk_bencode value = sk_bencode_get(dict, key);
    return value.type == SK_BENCODE_INT ? value.integer : otherwise;
}

/* Decimal digits, written backwards so that they end before `end`; returns where they begin.
 * snprintf() would take most of the time that a DHT message takes to write. */
static uint8_t *put_digits(uint8_t *end, uint64_t value)
{
    do
        *--end = (uint8_t)('0' + value % 10);
    while (value /= 10);
    return end;
}

void sk_bencode_put_int(struct sk_buf *buf, int64_t value)
{
    uint8_t text[24], *end = text + sizeof text, *start = end;
    *--start = 'e';
    start = put_digits(start, value < 0 ? -(uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--start = '-';
    *--start = 'i';
    sk_buf_append(buf, start, (size_t)(end - start));
}

void sk_bencode_put_string(struct sk_buf *buf, struct sk_bytes string)
{
    uint8_t length[24], *end = length + sizeof length, *start = end;
    *--start = ':';
    start = put_digits(start, string.n);
    sk_buf_append(buf, start, (size_t)(end - start));
    sk_buf_append(buf, string.p, string.n);
}

void sk_bencode_put_text(struct sk_buf *buf, const char *text)
{
    sk_bencode_put_string(buf, sk_bytes_text(text));
}

void sk_bencode_put_list(struct sk_buf *buf)
{
    sk_buf_text(buf, "l");
}

void sk_bencode_put_dict(struct sk_buf *buf)
{
    sk_buf_text(buf, "d");
}

void sk_bencode_put_end(struct sk_buf *buf)
{
    sk_buf_text(buf, "e");
}
