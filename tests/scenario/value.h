/*
 * Values of scenario files: bencode that is read and written as text, with patterns. See README.md.
 *
 * All of them live in the arena of their scenario and end with it. What is wrong ends the scenario
 * by sc_fail().
 */
#ifndef SCENARIO_VALUE_H
#define SCENARIO_VALUE_H

#include "base/bytes.h"
#include "wire/bencode.h"

#include <setjmp.h>

enum sc_type {
    SC_INT,
    SC_STRING,
    SC_LIST,
    SC_DICT,
    /* patterns only */
    SC_ANY,       /* _ */
    SC_CAPTURE,   /* ?name */
    SC_LENGTH,    /* bytes(n), bytes(n, m) */
    SC_RANGE,     /* range(n, m) */
    SC_CONTACTS,  /* nodes(a, b): these, in any order */
    SC_ANY_ORDER, /* unordered([...]) */
    SC_ABSENT,    /* !key */
};

struct sc_value;

struct sc_member {
    struct sk_bytes key; /* dictionaries */
    struct sc_value *value;
};

struct sc_value {
    enum sc_type type;
    int64_t number, number_most; /* INT; LENGTH, RANGE */
    struct sk_bytes string;      /* STRING, CAPTURE (name), CONTACTS */
    size_t entry_size;           /* CONTACTS */
    struct sc_member *members;   /* LIST, DICT, ANY_ORDER */
    size_t count;
};

#define SC_NAMES_MAX 200

/* A scenario as far as values are concerned: memory, names, where it is, how it ends. */
struct sc_context {
    struct sc_chunk *chunks;
    struct {
        struct sk_bytes name;
        struct sc_value *value;
    } names[SC_NAMES_MAX];
    size_t names_count;
    const char *path;
    unsigned line;
    jmp_buf failed;
    char problem[4000];
    /* A function of the notation that this file does not know; NULL: nor does anybody. */
    struct sc_value *(*function)(struct sc_context *context, struct sk_bytes name,
                                 struct sc_value **args, size_t count);
};

/* What is read: a statement, from `at` to its end. */
struct sc_text {
    const char *at, *end;
};

void *sc_alloc(struct sc_context *context, size_t size);
void sc_free_all(struct sc_context *context);
__attribute__((format(printf, 2, 3))) _Noreturn void sc_fail(struct sc_context *context,
                                                             const char *format, ...);

struct sc_value *sc_new(struct sc_context *context, enum sc_type type);
struct sc_value *sc_int(struct sc_context *context, int64_t number);
struct sc_value *sc_string(struct sc_context *context, struct sk_bytes bytes); /* copied */
void sc_add(struct sc_context *context, struct sc_value *to, struct sk_bytes key,
            struct sc_value *value);
struct sc_value *sc_look_up(struct sc_context *context, struct sk_bytes name);
void sc_name(struct sc_context *context, struct sk_bytes name, struct sc_value *value);

/* ---- notation (notation.c) ---- */

void sc_skip_space(struct sc_text *text);
/* The next word (letters, digits, - _ . : [ ]), n = 0 at the end. */
struct sk_bytes sc_word(struct sc_text *text);
struct sc_value *sc_parse(struct sc_context *context, struct sc_text *text);
/* The bytes of a string, and its number, or the scenario ends. */
struct sk_bytes sc_bytes_of(struct sc_context *context, const struct sc_value *value);
int64_t sc_number_of(struct sc_context *context, const struct sc_value *value);

/* ---- bencode ---- */

/* Dictionaries are sorted. */
struct sk_bytes sc_encode(struct sc_context *context, const struct sc_value *value);
/* NULL: no bencode as it should be (sorted, canonical). */
struct sc_value *sc_decode(struct sc_context *context, struct sk_bytes bytes);

/* Whether the value is as the pattern says. Captures are named when all of it fits. */
bool sc_matches(struct sc_context *context, const struct sc_value *pattern, struct sc_value *value);
/* As text, for people. */
void sc_print(struct sk_buf *buf, const struct sc_value *value);

#endif
