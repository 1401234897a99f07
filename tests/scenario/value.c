#include "value.h"

#include "base/assert.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MATCH_CAPTURES_MAX 32
#define CHUNK (64u << 10)

struct sc_chunk {
    struct sc_chunk *next;
    size_t used, size;
    _Alignas(16) uint8_t space[];
};

/* ---- memory and names ---- */

void *sc_alloc(struct sc_context *context, size_t size)
{
    size = (size + 15) / 16 * 16;
    struct sc_chunk *chunk = context->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = SK_MAX(size, CHUNK);
        chunk = sk_mem_alloc(sizeof *chunk + room);
        if (!chunk)
            sc_fail(context, "no memory");
        *chunk = (struct sc_chunk){.next = context->chunks, .size = room};
        context->chunks = chunk;
    }
    void *p = chunk->space + chunk->used;
    chunk->used += size;
    return memset(p, 0, size);
}

void sc_free_all(struct sc_context *context)
{
    while (context->chunks) {
        struct sc_chunk *chunk = context->chunks;
        context->chunks = chunk->next;
        sk_mem_free(chunk);
    }
}

void sc_fail(struct sc_context *context, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(context->problem, sizeof context->problem, format, args);
    va_end(args);
    longjmp(context->failed, 1);
}

struct sc_value *sc_new(struct sc_context *context, enum sc_type type)
{
    struct sc_value *value = sc_alloc(context, sizeof *value);
    value->type = type;
    return value;
}

struct sc_value *sc_int(struct sc_context *context, int64_t number)
{
    struct sc_value *value = sc_new(context, SC_INT);
    value->number = number;
    return value;
}

struct sc_value *sc_string(struct sc_context *context, struct sk_bytes bytes)
{
    struct sc_value *value = sc_new(context, SC_STRING);
    uint8_t *copy = sc_alloc(context, bytes.n + 1);
    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    value->string = sk_bytes(copy, bytes.n);
    return value;
}

void sc_add(struct sc_context *context, struct sc_value *to, struct sk_bytes key,
            struct sc_value *value)
{
    /* Full when the count is a power of two: twice the room. */
    if ((to->count & (to->count - 1)) == 0) {
        struct sc_member *members =
            sc_alloc(context, (to->count ? 2 * to->count : 1) * sizeof *members);
        if (to->count)
            memcpy(members, to->members, to->count * sizeof *members);
        to->members = members;
    }
    to->members[to->count++] = (struct sc_member){key, value};
}

struct sc_value *sc_look_up(struct sc_context *context, struct sk_bytes name)
{
    for (size_t i = context->names_count; i > 0; i--) {
        if (sk_bytes_equal(context->names[i - 1].name, name))
            return context->names[i - 1].value;
    }
    return NULL;
}

void sc_name(struct sc_context *context, struct sk_bytes name, struct sc_value *value)
{
    size_t i = 0;
    while (i < context->names_count && !sk_bytes_equal(context->names[i].name, name))
        i++;
    if (i == SC_NAMES_MAX)
        sc_fail(context, "too many names");
    context->names[i].name = name;
    context->names[i].value = value;
    context->names_count = SK_MAX(context->names_count, i + 1);
}

/* ---- bencode ---- */

static int compare_members(const void *a, const void *b)
{
    const struct sc_member *x = a, *y = b;
    return sk_bytes_compare(x->key, y->key);
}

static void encode(struct sc_context *context, const struct sc_value *value, struct sk_buf *buf)
{
    switch (value->type) {
    case SC_INT:
        sk_bencode_put_int(buf, value->number);
        return;
    case SC_STRING:
    case SC_CONTACTS:
        sk_bencode_put_string(buf, value->string);
        return;
    case SC_LIST:
        sk_bencode_put_list(buf);
        for (size_t i = 0; i < value->count; i++)
            encode(context, value->members[i].value, buf);
        break;
    case SC_DICT:
        if (value->count)
            qsort(value->members, value->count, sizeof *value->members, compare_members);
        sk_bencode_put_dict(buf);
        for (size_t i = 0; i < value->count; i++) {
            sk_bencode_put_string(buf, value->members[i].key);
            encode(context, value->members[i].value, buf);
        }
        break;
    default:
        sk_buf_deinit(buf);
        sc_fail(context, "a pattern cannot be sent");
    }
    sk_bencode_put_end(buf);
}

struct sk_bytes sc_encode(struct sc_context *context, const struct sc_value *value)
{
    struct sk_buf buf;
    sk_buf_init(&buf, 1 << 20);
    encode(context, value, &buf);
    const struct sc_value *copy = sc_string(context, sk_buf_bytes(&buf));
    sk_buf_deinit(&buf);
    return copy->string;
}

static struct sc_value *from_bencode(struct sc_context *context, const struct sk_bencode *bencode)
{
    if (bencode->type == SK_BENCODE_INT)
        return sc_int(context, bencode->integer);
    if (bencode->type == SK_BENCODE_STRING)
        return sc_string(context, bencode->string);
    struct sc_value *value = sc_new(context, bencode->type == SK_BENCODE_DICT ? SC_DICT : SC_LIST);
    struct sk_bencode_iter iter = sk_bencode_iter(bencode);
    struct sk_bencode member;
    struct sk_bytes key = {NULL, 0};
    while (sk_bencode_next(&iter, &key, &member))
        sc_add(context, value, sc_string(context, key)->string, from_bencode(context, &member));
    return value;
}

struct sc_value *sc_decode(struct sc_context *context, struct sk_bytes bytes)
{
    struct sk_bencode bencode;
    if (sk_bencode_parse(bytes, SK_BENCODE_STRICT, &bencode, NULL) < 0)
        return NULL;
    return from_bencode(context, &bencode);
}

/* ---- matching ---- */

struct captures {
    struct sc_context *context;
    struct {
        struct sk_bytes name;
        struct sc_value *value;
    } taken[MATCH_CAPTURES_MAX];
    size_t count;
};

static bool match(struct captures *captures, const struct sc_value *pattern,
                  struct sc_value *value);

static struct sc_value *member_of(const struct sc_value *dict, struct sk_bytes key)
{
    for (size_t i = 0; i < dict->count; i++) {
        if (sk_bytes_equal(dict->members[i].key, key))
            return dict->members[i].value;
    }
    return NULL;
}

/* At least the keys of the pattern. */
static bool match_dict(struct captures *captures, const struct sc_value *pattern,
                       const struct sc_value *value)
{
    if (value->type != SC_DICT)
        return false;
    for (size_t i = 0; i < pattern->count; i++) {
        struct sc_value *member = member_of(value, pattern->members[i].key);
        bool absent = pattern->members[i].value->type == SC_ABSENT;
        if (absent != !member || (member && !match(captures, pattern->members[i].value, member)))
            return false;
    }
    return true;
}

static bool match_list(struct captures *captures, const struct sc_value *pattern,
                       const struct sc_value *value)
{
    if (value->type != SC_LIST || value->count != pattern->count)
        return false;
    for (size_t i = 0; i < pattern->count; i++) {
        if (!match(captures, pattern->members[i].value, value->members[i].value))
            return false;
    }
    return true;
}

static bool match_any_order(struct captures *captures, const struct sc_value *pattern,
                            const struct sc_value *value)
{
    uint64_t used = 0;
    if (value->type != SC_LIST || value->count != pattern->count || value->count > 64)
        return false;
    for (size_t i = 0; i < pattern->count; i++) {
        size_t j = 0;
        while (j < value->count && (used >> j & 1 || !match(captures, pattern->members[i].value,
                                                            value->members[j].value)))
            j++;
        if (j == value->count)
            return false;
        used |= UINT64_C(1) << j;
    }
    return true;
}

/* The same entries, in any order. */
static bool match_contacts(const struct sc_value *pattern, const struct sc_value *value)
{
    size_t size = pattern->entry_size;
    if (value->type != SC_STRING || value->string.n != pattern->string.n)
        return false;
    for (size_t i = 0; i < pattern->string.n; i += size) {
        size_t j = 0;
        while (j < value->string.n && memcmp(pattern->string.p + i, value->string.p + j, size) != 0)
            j += size;
        if (j == value->string.n)
            return false;
    }
    return true;
}

static bool capture(struct captures *captures, const struct sc_value *pattern,
                    struct sc_value *value)
{
    if (captures->count == MATCH_CAPTURES_MAX)
        sc_fail(captures->context, "too many captures in one pattern");
    captures->taken[captures->count].name = pattern->string;
    captures->taken[captures->count++].value = value;
    return true;
}

static bool match(struct captures *captures, const struct sc_value *pattern, struct sc_value *value)
{
    switch (pattern->type) {
    case SC_INT:
        return value->type == SC_INT && value->number == pattern->number;
    case SC_STRING:
        return value->type == SC_STRING && sk_bytes_equal(value->string, pattern->string);
    case SC_LIST:
        return match_list(captures, pattern, value);
    case SC_DICT:
        return match_dict(captures, pattern, value);
    case SC_ANY:
        return true;
    case SC_CAPTURE:
        return capture(captures, pattern, value);
    case SC_LENGTH:
        return value->type == SC_STRING && (int64_t)value->string.n >= pattern->number &&
               (int64_t)value->string.n <= pattern->number_most;
    case SC_RANGE:
        return value->type == SC_INT && value->number >= pattern->number &&
               value->number <= pattern->number_most;
    case SC_CONTACTS:
        return match_contacts(pattern, value);
    case SC_ANY_ORDER:
        return match_any_order(captures, pattern, value);
    case SC_ABSENT:
        return false;
    }
    return false;
}

bool sc_matches(struct sc_context *context, const struct sc_value *pattern, struct sc_value *value)
{
    struct captures captures = {.context = context};
    if (!match(&captures, pattern, value))
        return false;
    for (size_t i = 0; i < captures.count; i++)
        sc_name(context, captures.taken[i].name, captures.taken[i].value);
    return true;
}

/* ---- for people ---- */

static void print_string(struct sk_buf *buf, struct sk_bytes string)
{
    bool text = string.n > 0;
    for (size_t i = 0; i < string.n; i++)
        text = text && isprint(string.p[i]) && string.p[i] != '"' && string.p[i] != '\\';
    if (text || !string.n) {
        sk_buf_printf(buf, "\"%.*s\"", (int)string.n, (const char *)string.p);
        return;
    }
    sk_buf_text(buf, "0x");
    for (size_t i = 0; i < string.n; i++)
        sk_buf_printf(buf, "%02x", string.p[i]);
}

static void print_members(struct sk_buf *buf, const struct sc_value *value, char open, char close)
{
    sk_buf_printf(buf, "%c", open);
    for (size_t i = 0; i < value->count; i++) {
        sk_buf_text(buf, i ? ", " : "");
        if (value->type == SC_DICT)
            sk_buf_printf(buf, "%.*s: ", (int)value->members[i].key.n,
                          (const char *)value->members[i].key.p);
        sc_print(buf, value->members[i].value);
    }
    sk_buf_printf(buf, "%c", close);
}

void sc_print(struct sk_buf *buf, const struct sc_value *value)
{
    switch (value->type) {
    case SC_INT:
        sk_buf_printf(buf, "%lld", (long long)value->number);
        return;
    case SC_STRING:
        print_string(buf, value->string);
        return;
    case SC_LIST:
        print_members(buf, value, '[', ']');
        return;
    case SC_DICT:
        print_members(buf, value, '{', '}');
        return;
    default:
        sk_buf_text(buf, "(pattern)");
    }
}
