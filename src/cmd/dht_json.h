/*
 * JSON of the commands of the DHT: one document "skep.dht.COMMAND/1" each. Layer: cmd. Bytes are
 * hex, times seconds, unknown is null. A value without memory is NULL and makes the whole NULL,
 * which sk_dht_json_print() complains about.
 */
#ifndef SK_CMD_DHT_JSON_H
#define SK_CMD_DHT_JSON_H

#include "cmd/dht_session.h"

#include <jansson.h>

json_t *sk_dht_json_hex(const uint8_t *bytes, size_t n); /* NULL: null */
json_t *sk_dht_json_real(double real);                   /* NAN, infinite: null */
json_t *sk_dht_json_seconds(double seconds);             /* negative, NAN: null */
json_t *sk_dht_json_text(const char *text); /* "", NULL: null; escaped where it is no UTF-8 */
json_t *sk_dht_json_version(const char version[4]); /* hex; null not said */
/* An id, unless addresses are hidden: ids follow from them (BEP 42). */
json_t *sk_dht_json_id(const struct sk_dht_session *session, const uint8_t *id);
json_t *sk_dht_json_address(const struct sk_dht_session *session, const char *address);
/* What a search cost. */
json_t *sk_dht_json_search(const struct skep_dht_result *result);
/* Prints a document: schema, started, seconds and stopped, then `fields` (an object, taken over).
 * An exit code. */
int sk_dht_json_print(struct sk_dht_session *session, json_t *fields);
/* Prints an object (taken over) as a line. */
int sk_dht_json_line(struct sk_dht_session *session, json_t *object);

#endif
