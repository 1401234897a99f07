/*
 * Reading the documents of a lab: its truth, and an audit of it. What is not there, or of another
 * kind, is "", 0, NAN, false. Layer: cmd.
 */
#ifndef SK_CMD_LAB_DOCUMENT_H
#define SK_CMD_LAB_DOCUMENT_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static inline const char *sk_lab_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static inline json_int_t sk_lab_integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static inline double sk_lab_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static inline bool sk_lab_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static inline const json_t *sk_lab_find_peer(const json_t *peers, const char *address)
{
    const json_t *peer;
    size_t i;
    json_array_foreach(peers, i,
                       peer) if (strcmp(sk_lab_text(peer, "address"), address) == 0) return peer;
    return NULL;
}

#endif
