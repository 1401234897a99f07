/* How values are written in scenario files. */
#include "value.h"

#include "base/hash.h"
#include "base/sign.h"
#include "wire/dht_item.h"

#include <ctype.h>
#include <stdlib.h>

#define ARGS_MAX 16

static struct sc_value *parse_sum(struct sc_context *context, struct sc_text *text);

void sc_skip_space(struct sc_text *text)
{
    while (text->at < text->end) {
        if (*text->at == '#') {
            while (text->at < text->end && *text->at != '\n')
                text->at++;
        } else if (isspace((unsigned char)*text->at)) {
            text->at++;
        } else {
            return;
        }
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("-_.", c));
}

/* A word of a value; addresses, which have other signs too, are no values. */
static struct sk_bytes name_word(struct sc_text *text)
{
    const char *start = text->at;
    while (text->at < text->end && is_word(*text->at))
        text->at++;
    return sk_bytes(start, (size_t)(text->at - start));
}

struct sk_bytes sc_word(struct sc_text *text)
{
    sc_skip_space(text);
    const char *start = text->at;
    while (text->at < text->end && (is_word(*text->at) || strchr(":[]", *text->at)))
        text->at++;
    return sk_bytes(start, (size_t)(text->at - start));
}

static bool next_is(struct sc_text *text, char c)
{
    sc_skip_space(text);
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

static void need(struct sc_context *context, struct sc_text *text, char c)
{
    if (!next_is(text, c))
        sc_fail(context, "expected '%c' before '%.20s'", c, text->at);
}

struct sk_bytes sc_bytes_of(struct sc_context *context, const struct sc_value *value)
{
    if (value->type != SC_STRING && value->type != SC_CONTACTS)
        sc_fail(context, "expected a string");
    return value->string;
}

int64_t sc_number_of(struct sc_context *context, const struct sc_value *value)
{
    if (value->type != SC_INT)
        sc_fail(context, "expected a number");
    return value->number;
}

/* ---- strings ---- */

static struct sc_value *parse_quoted(struct sc_context *context, struct sc_text *text)
{
    const char *start = text->at;
    while (text->at < text->end && *text->at != '"')
        text->at++;
    struct sk_bytes bytes = sk_bytes(start, (size_t)(text->at - start));
    need(context, text, '"');
    return sc_string(context, bytes);
}

static struct sc_value *parse_hex(struct sc_context *context, struct sk_bytes digits)
{
    uint8_t *bytes = sc_alloc(context, digits.n / 2 + 1);
    if (digits.n % 2 || !sk_hex_decode((const char *)digits.p, digits.n, bytes, digits.n / 2))
        sc_fail(context, "'0x%.*s' is no hex string", (int)digits.n, (const char *)digits.p);
    return sc_string(context, sk_bytes(bytes, digits.n / 2));
}

static struct sc_value *join(struct sc_context *context, const struct sc_value *a,
                             const struct sc_value *b)
{
    struct sk_bytes x = sc_bytes_of(context, a), y = sc_bytes_of(context, b);
    uint8_t *bytes = sc_alloc(context, x.n + y.n + 1);
    memcpy(bytes, x.p, x.n);
    memcpy(bytes + x.n, y.p, y.n);
    return sc_string(context, sk_bytes(bytes, x.n + y.n));
}

/* ---- functions ---- */

static struct sc_value *fn_rep(struct sc_context *context, struct sc_value **args, size_t count)
{
    struct sk_bytes unit = sc_bytes_of(context, args[0]);
    size_t times = (size_t)sc_number_of(context, args[1]);
    uint8_t *bytes = sc_alloc(context, unit.n * times + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(bytes + i * unit.n, unit.p, unit.n);
    return sc_string(context, sk_bytes(bytes, unit.n * times));
}

static struct sc_value *fn_sha1(struct sc_context *context, struct sc_value **args, size_t count)
{
    uint8_t digest[SK_SHA1_SIZE];
    struct sk_bytes bytes = sc_bytes_of(context, args[0]);
    sk_sha1(bytes.p, bytes.n, digest);
    return sc_string(context, sk_bytes(digest, sizeof digest));
}

static struct sc_value *fn_bencode(struct sc_context *context, struct sc_value **args, size_t count)
{
    return sc_string(context, sc_encode(context, args[0]));
}

static const uint8_t *seed_of(struct sc_context *context, const struct sc_value *value)
{
    struct sk_bytes seed = sc_bytes_of(context, value);
    if (seed.n != SK_SIGN_SEED_SIZE)
        sc_fail(context, "a seed has %d bytes", SK_SIGN_SEED_SIZE);
    return seed.p;
}

static struct sc_value *fn_key(struct sc_context *context, struct sc_value **args, size_t count)
{
    uint8_t key[SK_SIGN_PUBLIC_SIZE];
    if (sk_sign_public(seed_of(context, args[0]), key) < 0)
        sc_fail(context, "no key");
    return sc_string(context, sk_bytes(key, sizeof key));
}

/* sign(seed, salt, seq, value); salt and value may be longer than the rules admit. */
static struct sc_value *fn_sign(struct sc_context *context, struct sc_value **args, size_t count)
{
    uint8_t signature[SK_SIGN_SIZE];
    struct sk_bytes salt = sc_bytes_of(context, args[1]), value = sc_encode(context, args[3]);
    struct sk_buf buf;
    sk_buf_init(&buf, 1 << 20);
    if (salt.n) {
        sk_bencode_put_text(&buf, "salt");
        sk_bencode_put_string(&buf, salt);
    }
    sk_bencode_put_text(&buf, "seq");
    sk_bencode_put_int(&buf, sc_number_of(context, args[2]));
    sk_bencode_put_text(&buf, "v");
    sk_buf_append(&buf, value.p, value.n);
    int err = sk_sign(seed_of(context, args[0]), sk_buf_bytes(&buf), signature);
    sk_buf_deinit(&buf);
    if (err < 0)
        sc_fail(context, "no signature");
    return sc_string(context, sk_bytes(signature, sizeof signature));
}

/* flip(string, bit): bit 0 is the first byte's highest. */
static struct sc_value *fn_flip(struct sc_context *context, struct sc_value **args, size_t count)
{
    struct sc_value *copy = sc_string(context, sc_bytes_of(context, args[0]));
    size_t bit = (size_t)sc_number_of(context, args[1]);
    if (bit / 8 >= copy->string.n)
        sc_fail(context, "no bit %zu", bit);
    ((uint8_t *)copy->string.p)[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    return copy;
}

static struct sc_value *between(struct sc_context *context, enum sc_type type,
                                struct sc_value **args, size_t count)
{
    struct sc_value *value = sc_new(context, type);
    value->number = sc_number_of(context, args[0]);
    value->number_most = sc_number_of(context, args[count - 1]);
    return value;
}

static struct sc_value *fn_bytes(struct sc_context *context, struct sc_value **args, size_t count)
{
    return between(context, SC_LENGTH, args, count);
}

static struct sc_value *fn_range(struct sc_context *context, struct sc_value **args, size_t count)
{
    return between(context, SC_RANGE, args, count);
}

static struct sc_value *fn_unordered(struct sc_context *context, struct sc_value **args,
                                     size_t count)
{
    struct sc_value *value = sc_new(context, SC_ANY_ORDER);
    value->members = args[0]->members;
    value->count = args[0]->count;
    return value;
}

static const struct {
    const char *name;
    size_t args_least, args_most;
    struct sc_value *(*function)(struct sc_context *context, struct sc_value **args, size_t count);
} functions[] = {
    {"rep", 2, 2, fn_rep},     {"sha1", 1, 1, fn_sha1},   {"bencode", 1, 1, fn_bencode},
    {"key", 1, 1, fn_key},     {"sign", 4, 4, fn_sign},   {"flip", 2, 2, fn_flip},
    {"bytes", 1, 2, fn_bytes}, {"range", 2, 2, fn_range}, {"unordered", 1, 1, fn_unordered},
};

static struct sc_value *call(struct sc_context *context, struct sc_text *text, struct sk_bytes name)
{
    struct sc_value *args[ARGS_MAX], *value = NULL;
    size_t count = 0;
    while (!next_is(text, ')')) {
        if (count)
            need(context, text, ',');
        if (count == ARGS_MAX)
            sc_fail(context, "too many arguments");
        args[count++] = parse_sum(context, text);
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!sk_bytes_is(name, functions[i].name))
            continue;
        if (count < functions[i].args_least || count > functions[i].args_most)
            sc_fail(context, "%s(): %zu arguments", functions[i].name, count);
        return functions[i].function(context, args, count);
    }
    if (context->function)
        value = context->function(context, name, args, count);
    if (!value)
        sc_fail(context, "no function '%.*s'", (int)name.n, (const char *)name.p);
    return value;
}

/* ---- values ---- */

static struct sc_value *parse_list(struct sc_context *context, struct sc_text *text)
{
    struct sc_value *list = sc_new(context, SC_LIST);
    while (!next_is(text, ']')) {
        if (list->count)
            need(context, text, ',');
        sc_add(context, list, sk_bytes(NULL, 0), parse_sum(context, text));
    }
    return list;
}

static struct sc_value *parse_dict(struct sc_context *context, struct sc_text *text)
{
    struct sc_value *dict = sc_new(context, SC_DICT);
    while (!next_is(text, '}')) {
        if (dict->count)
            need(context, text, ',');
        bool absent = next_is(text, '!');
        sc_skip_space(text);
        struct sk_bytes key =
            next_is(text, '"') ? parse_quoted(context, text)->string : name_word(text);
        if (!key.n)
            sc_fail(context, "expected a key before '%.20s'", text->at);
        if (!absent)
            need(context, text, ':');
        sc_add(context, dict, key, absent ? sc_new(context, SC_ABSENT) : parse_sum(context, text));
    }
    return dict;
}

static struct sc_value *parse_name(struct sc_context *context, struct sc_text *text)
{
    struct sk_bytes name = name_word(text);
    struct sc_value *value = sc_look_up(context, name);
    if (!value)
        sc_fail(context, "nothing is called '$%.*s'", (int)name.n, (const char *)name.p);
    return value;
}

static struct sc_value *parse_word(struct sc_context *context, struct sc_text *text)
{
    struct sk_bytes word = name_word(text);
    if (!word.n)
        sc_fail(context, "expected a value before '%.20s'", text->at);
    if (sk_bytes_is(word, "_"))
        return sc_new(context, SC_ANY);
    if (next_is(text, '('))
        return call(context, text, word);
    if (word.n > 2 && word.p[0] == '0' && word.p[1] == 'x')
        return parse_hex(context, sk_bytes(word.p + 2, word.n - 2));
    char *end;
    const char *start = (const char *)word.p;
    int64_t number = strtoll(start, &end, 10);
    if (end == start + word.n)
        return sc_int(context, number);
    return sc_string(context, word); /* a peer's name, for a function */
}

static struct sc_value *parse_term(struct sc_context *context, struct sc_text *text)
{
    if (next_is(text, '{'))
        return parse_dict(context, text);
    if (next_is(text, '['))
        return parse_list(context, text);
    if (next_is(text, '"'))
        return parse_quoted(context, text);
    if (next_is(text, '$'))
        return parse_name(context, text);
    if (next_is(text, '?')) {
        struct sc_value *value = sc_new(context, SC_CAPTURE);
        value->string = name_word(text);
        return value;
    }
    return parse_word(context, text);
}

static struct sc_value *parse_sum(struct sc_context *context, struct sc_text *text)
{
    struct sc_value *value = parse_term(context, text);
    while (next_is(text, '+'))
        value = join(context, value, parse_term(context, text));
    return value;
}

struct sc_value *sc_parse(struct sc_context *context, struct sc_text *text)
{
    return parse_sum(context, text);
}
