/*
 * The fields of a report, as tables: one place that JSON, JSON Lines, CSV and SQLite are written
 * from, so that no two of them disagree. Layer: store.
 *
 * A field's name is its place in the JSON document: "delivered.rate_bytes_s" is rate_bytes_s in the
 * object delivered. Where there are no objects the dot becomes '_'. Names are a contract with
 * users' scripts: fields may join (raise SK_STORE_VERSION in store/report_sqlite.c then), none may
 * change.
 */
#ifndef SK_STORE_REPORT_FIELD_H
#define SK_STORE_REPORT_FIELD_H

#include "audit/report.h"
#include "store/anonymizer.h"

/* How a report is written. */
struct sk_report_style {
    const struct sk_anonymizer *anonymizer; /* NULL: addresses and peer ids as they are */
};

enum sk_field_kind {
    SK_FIELD_U32,
    SK_FIELD_SOME, /* uint32_t, 0 = unknown */
    SK_FIELD_U64,
    SK_FIELD_COUNT, /* int64_t, -1 = unknown */
    SK_FIELD_FLAG,  /* int: 1, 0, -1 = unknown */
    SK_FIELD_BOOL,
    SK_FIELD_ROUND,   /* double, NAN = unknown; written as a whole number */
    SK_FIELD_REAL,    /* double, NAN = unknown; `decimals` are meaningful */
    SK_FIELD_TEXT,    /* char *, NULL = unknown; raw bytes */
    SK_FIELD_CHARS,   /* char [], "" = unknown */
    SK_FIELD_NOTE,    /* char [], "" = unknown; addresses may stand in it */
    SK_FIELD_REMARK,  /* char *, NULL = unknown; raw bytes in which addresses may stand */
    SK_FIELD_HASH,    /* uint8_t [20] */
    SK_FIELD_HASH_V2, /* uint8_t [32] */
    SK_FIELD_PEER_ID, /* uint8_t [20]; unknown where addresses are hidden */
    SK_FIELD_ADDRESS, /* struct sk_endpoint; family NONE = unknown */
    SK_FIELD_OUTCOME,
    SK_FIELD_SOURCES, /* unsigned, set of enum sk_source */
    SK_FIELD_STOPPED,
    SK_FIELD_VERDICT, /* enum sk_verdict_result, NONE = unknown */
};

struct sk_field {
    const char *name;
    enum sk_field_kind kind;
    size_t offset, size; /* of the member */
    size_t known_if;     /* offset of a bool without which the field is unknown; 0 = none */
    int decimals;
};

extern const struct sk_field sk_fields_audit[];  /* of struct sk_report: about the audit */
extern const struct sk_field sk_fields_swarm[];  /* of struct sk_report: about the swarm */
extern const struct sk_field sk_fields_claim[];  /* of struct sk_report_claim */
extern const struct sk_field sk_fields_peer[];   /* of struct sk_report_peer */
extern const struct sk_field sk_fields_flow[];   /* of struct sk_report_flow */
extern const struct sk_field sk_fields_tracer[]; /* of struct sk_report_tracer */
extern const size_t sk_fields_audit_count, sk_fields_swarm_count, sk_fields_claim_count,
    sk_fields_peer_count, sk_fields_flow_count, sk_fields_tracer_count;

enum sk_value_kind {
    SK_VALUE_NONE, /* unknown */
    SK_VALUE_INT,
    SK_VALUE_BOOL, /* i */
    SK_VALUE_REAL, /* finite */
    SK_VALUE_TEXT, /* valid UTF-8 */
    SK_VALUE_SET,  /* i = the set of sources, text = their names with spaces between */
};

/* Zero-initialised it is ready; one may serve many fields in turn. Deinit with
 * sk_value_deinit(). */
struct sk_value {
    enum sk_value_kind kind;
    int64_t i;
    double real;          /* rounded to the field's decimals: what is shown */
    double exact;         /* as it is: what a replay goes on to compute with */
    struct sk_bytes text; /* borrowed from the report or `scratch`: until the next field is read */
    struct sk_buf scratch;
};

/* Reads a field of the struct at `base`. SKEP_ERR_NOMEM. */
int sk_field_read(const struct sk_field *field, const void *base,
                  const struct sk_report_style *style, struct sk_value *value);
/* Makes any text a value: bytes that are no UTF-8 become U+FFFD. SKEP_ERR_NOMEM. */
int sk_value_set_text(struct sk_value *value, struct sk_bytes text);
void sk_value_deinit(struct sk_value *value);

/* Name with '_' for '.': what the field is called in tables. */
#define SK_FIELD_NAME_MAX 48
char *sk_field_flat_name(const struct sk_field *field, char ret_name[SK_FIELD_NAME_MAX]);

/*
 * The peers in the order in which they are to be written. Sorting by address would give hidden
 * addresses away by their order, so with an anonymizer equals stand in the order of their
 * pseudonyms. Owned by the caller (sk_mem_free). SKEP_ERR_NOMEM.
 */
int sk_report_order(const struct sk_report *report, const struct sk_report_style *style,
                    const struct sk_report_peer ***ret_peers);

#endif
