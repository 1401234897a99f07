/*
 * Bencode (BEP 3): a validating reader that hands out borrowed views, and a writer.
 *
 * sk_bencode_parse() checks the whole input once, without recursion and without allocating; after
 * that walking it cannot fail. Strict: canonical integers (no leading zero, no -0, within int64),
 * string lengths without leading zeros, keys that are strings in ascending order without
 * duplicates, no trailing bytes, at most SK_BENCODE_DEPTH_MAX levels. Where deployed programs send
 * dictionaries that are not sorted (trackers, extension messages) SK_BENCODE_UNSORTED admits that;
 * duplicates are then resolved by the first.
 */
#ifndef SK_WIRE_BENCODE_H
#define SK_WIRE_BENCODE_H

#include "base/bytes.h"

enum sk_bencode_type {
    SK_BENCODE_NONE = 0, /* also what look-ups return when nothing is there */
    SK_BENCODE_INT,
    SK_BENCODE_STRING,
    SK_BENCODE_LIST,
    SK_BENCODE_DICT,
};

enum sk_bencode_flags {
    SK_BENCODE_STRICT = 0,
    SK_BENCODE_UNSORTED = 1, /* keys may come in any order */
    SK_BENCODE_PREFIX = 2,   /* bytes may follow the value (BEP 9 metadata pieces) */
};

/* A value inside input that was parsed; borrows that input. */
struct sk_bencode {
    enum sk_bencode_type type;
    struct sk_bytes raw;    /* the whole encoded value, as it stood in the input */
    struct sk_bytes string; /* SK_BENCODE_STRING: its bytes */
    int64_t integer;        /* SK_BENCODE_INT */
};

/*
 * Validates input and returns its outermost value. SKEP_ERR_MALFORMED, SKEP_ERR_TRUNCATED (input
 * ends inside a value) or SKEP_ERR_LIMIT (depth); `ret_offset`, when not NULL, is set on failure to
 * where the input stopped making sense.
 */
int sk_bencode_parse(struct sk_bytes input, unsigned flags, struct sk_bencode *ret_value,
                     size_t *ret_offset);

/* Look-ups return a value of type NONE where the key is missing or `dict` is no dictionary. */
struct sk_bencode sk_bencode_get(const struct sk_bencode *dict, const char *key);
/* The string under key; {NULL, 0} when missing or of another type. */
struct sk_bytes sk_bencode_get_string(const struct sk_bencode *dict, const char *key);
/* The integer under key, or `otherwise`. */
int64_t sk_bencode_get_int(const struct sk_bencode *dict, const char *key, int64_t otherwise);

/* Walks a list or a dictionary in order. */
struct sk_bencode_iter {
    struct sk_bytes rest;
    enum sk_bencode_type type;
};
struct sk_bencode_iter sk_bencode_iter(const struct sk_bencode *list_or_dict);
/* False at the end. `ret_key` is set for dictionaries only and may be NULL for lists. */
bool sk_bencode_next(struct sk_bencode_iter *iter, struct sk_bytes *ret_key,
                     struct sk_bencode *ret_value);

/*
 * Writer: appends to a buffer whose `failed` tells at the end whether all fitted. The caller keeps
 * keys in ascending order.
 */
void sk_bencode_put_int(struct sk_buf *buf, int64_t value);
void sk_bencode_put_string(struct sk_buf *buf, struct sk_bytes string);
void sk_bencode_put_text(struct sk_buf *buf, const char *text);
void sk_bencode_put_list(struct sk_buf *buf); /* ends with sk_bencode_put_end() */
void sk_bencode_put_dict(struct sk_buf *buf);
void sk_bencode_put_end(struct sk_buf *buf);

#endif
