/*
 * A stored value that is no byte string, as JSON. Layer: cmd. Integers, lists and dictionaries are
 * what they are in JSON; a byte string is a string where it is UTF-8, else {"hex": "..."}. Keys
 * that are no UTF-8 have their bytes escaped.
 */
#ifndef SK_CMD_DHT_VALUE_H
#define SK_CMD_DHT_VALUE_H

#include "base/bytes.h"

#include <jansson.h>

json_t *sk_dht_value_bytes(struct sk_bytes bytes);
/* One bencoded value; NULL where it is none, or without memory. */
json_t *sk_dht_value_json(struct sk_bytes bencode);

#endif
