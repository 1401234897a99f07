#include "cmd/dht_value.h"

#include "base/mem.h"
#include "base/text.h"
#include "wire/bencode.h"

json_t *sk_dht_value_bytes(struct sk_bytes bytes)
{
    if (sk_text_is_utf8(bytes))
        return json_stringn_nocheck((const char *)bytes.p, bytes.n);
    char *hex = sk_mem_alloc(2 * bytes.n + 1);
    if (!hex)
        return NULL;
    sk_hex_encode(bytes.p, bytes.n, hex);
    json_t *value = json_pack("{s:s}", "hex", hex);
    sk_mem_free(hex);
    return value;
}

static json_t *value_json(const struct sk_bencode *value);

static json_t *list_json(const struct sk_bencode *list)
{
    json_t *array = json_array();
    struct sk_bencode_iter iter = sk_bencode_iter(list);
    struct sk_bencode item;
    while (sk_bencode_next(&iter, NULL, &item)) {
        if (json_array_append_new(array, value_json(&item))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static int set_key(json_t *object, struct sk_bytes key, json_t *value)
{
    if (sk_text_is_utf8(key))
        return json_object_setn_new_nocheck(object, (const char *)key.p, key.n, value);
    size_t size = 9 * key.n + 1; /* no character becomes longer than nine for each byte */
    char *safe = sk_mem_alloc(size);
    int failed = json_object_set_new_nocheck(safe ? object : NULL,
                                             safe ? sk_text_escape(key, safe, size) : "", value);
    sk_mem_free(safe);
    return failed;
}

static json_t *dict_json(const struct sk_bencode *dict)
{
    json_t *object = json_object();
    struct sk_bencode_iter iter = sk_bencode_iter(dict);
    struct sk_bencode item;
    struct sk_bytes key;
    while (sk_bencode_next(&iter, &key, &item)) {
        if (set_key(object, key, value_json(&item))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* Recursion is bounded by SK_BENCODE_DEPTH_MAX. */
static json_t *value_json(const struct sk_bencode *value)
{
    switch (value->type) {
    case SK_BENCODE_INT:
        return json_integer(value->integer);
    case SK_BENCODE_STRING:
        return sk_dht_value_bytes(value->string);
    case SK_BENCODE_LIST:
        return list_json(value);
    case SK_BENCODE_DICT:
        return dict_json(value);
    case SK_BENCODE_NONE:
        break;
    }
    return NULL;
}

json_t *sk_dht_value_json(struct sk_bytes bencode)
{
    struct sk_bencode value;
    return sk_bencode_parse(bencode, SK_BENCODE_STRICT, &value, NULL) ? NULL : value_json(&value);
}
