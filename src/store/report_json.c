#include "store/report_json.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "swarm/source.h"

#include <jansson.h>

/* 15 digits: what was rounded to some decimals is written with just these. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

static json_t *text_json(struct sk_bytes text)
{
    return json_stringn(text.n ? (const char *)text.p : "", text.n);
}

static json_t *sources_json(int64_t sources)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < SK_SOURCE_COUNT; i++) {
        if ((sources & (1 << i)) && json_array_append_new(list, json_string(sk_source_name(i)))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* NULL on no memory. */
static json_t *value_json(const struct sk_value *value)
{
    switch (value->kind) {
    case SK_VALUE_NONE:
        break;
    case SK_VALUE_INT:
        return json_integer(value->i);
    case SK_VALUE_BOOL:
        return json_boolean(value->i);
    case SK_VALUE_REAL:
        return json_real(value->real);
    case SK_VALUE_TEXT:
        return text_json(value->text);
    case SK_VALUE_SET:
        return sources_json(value->i);
    }
    return json_null();
}

/* "delivered.bytes" goes into the object "delivered", which is made where it is not there yet. */
static int put_field(json_t *object, const char *name, json_t *item)
{
    const char *dot = strchr(name, '.');
    if (dot) {
        char outer[SK_FIELD_NAME_MAX] = "";
        memcpy(outer, name, (size_t)(dot - name));
        json_t *inner = json_object_get(object, outer);
        if (!inner) {
            inner = json_object();
            if (json_object_set_new(object, outer, inner)) {
                json_decref(item);
                return SKEP_ERR_NOMEM;
            }
        }
        object = inner;
        name = dot + 1;
    }
    return json_object_set_new(object, name, item) ? SKEP_ERR_NOMEM : 0;
}

static int put_fields(json_t *object, const struct sk_field *fields, size_t count, const void *base,
                      const struct sk_report_style *style)
{
    struct sk_value value = {0};
    int err = 0;
    for (size_t i = 0; i < count && !err; i++) {
        err = sk_field_read(&fields[i], base, style, &value);
        if (!err)
            err = put_field(object, fields[i].name, value_json(&value));
    }
    sk_value_deinit(&value);
    return err;
}

/* {"name": count}, in the report's order. */
static int put_counts(json_t *object, const char *name, const struct sk_report_count *counts,
                      size_t count)
{
    json_t *map = json_object();
    struct sk_value value = {0};
    int err = json_object_set_new(object, name, map) ? SKEP_ERR_NOMEM : 0;
    for (size_t i = 0; i < count && !err; i++) {
        err = sk_value_set_text(&value, sk_bytes_text(counts[i].name));
        json_t *key = err ? NULL : text_json(value.text);
        if (!key) {
            err = SKEP_ERR_NOMEM;
            break;
        }
        /* two names may become one when made valid */
        json_int_t others = json_integer_value(json_object_get(map, json_string_value(key)));
        if (json_object_set_new(map, json_string_value(key),
                                json_integer(counts[i].count + others)))
            err = SKEP_ERR_NOMEM;
        json_decref(key);
    }
    sk_value_deinit(&value);
    return err;
}

static int put_text(json_t *object, const char *name, const char *text)
{
    return json_object_set_new(object, name, json_string(text)) ? SKEP_ERR_NOMEM : 0;
}

static int put_null(json_t *object, const char *name)
{
    return json_object_set_new(object, name, json_null()) ? SKEP_ERR_NOMEM : 0;
}

static int put_audit(json_t *object, const struct sk_report *report,
                     const struct sk_report_style *style)
{
    int err = put_text(object, "schema", SK_REPORT_SCHEMA);
    if (!err)
        err = put_fields(object, sk_fields_audit, sk_fields_audit_count, report, style);
    if (!err && !report->clock_how)
        err = put_null(object, "clock");
    if (!err && json_object_set_new(object, "anonymized", json_boolean(style->anonymizer != NULL)))
        err = SKEP_ERR_NOMEM;
    return err;
}

static int put_swarm(json_t *object, const struct sk_report *report,
                     const struct sk_report_style *style)
{
    int err = put_fields(object, sk_fields_swarm, sk_fields_swarm_count, report, style);
    if (!err)
        err = put_counts(object, "failed", report->failed, report->failed_count);
    if (!err)
        err = put_counts(object, "clients", report->clients, report->clients_count);
    return err || report->hidden_how ? err : put_null(object, "hidden");
}

static int put_claim(json_t *object, const struct sk_report_claim *claim,
                     const struct sk_report_style *style)
{
    return put_fields(object, sk_fields_claim, sk_fields_claim_count, claim, style);
}

/* Whether all there is in an object is null. */
static bool knows_nothing(json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) if (!json_is_null(value)) return false;
    return true;
}

static int put_peer(json_t *object, const struct sk_report_peer *peer,
                    const struct sk_report_style *style)
{
    static const char *const judged[] = {"capacity", "download", "upload", "verdict"};
    int err = put_fields(object, sk_fields_peer, sk_fields_peer_count, peer, style);
    for (size_t i = 0; i < SK_ARRAY_LEN(judged) && !err; i++)
        if (knows_nothing(json_object_get(object, judged[i])))
            err = put_null(object, judged[i]);
    return err;
}

struct dump {
    struct sk_buf *out;
    int err;
};

static int dump_piece(const char *text, size_t n, void *ctx)
{
    struct dump *into = ctx;
    if (!into->err)
        into->err = sk_buf_append(into->out, text, n);
    return into->err ? -1 : 0;
}

/* Takes the object (may be NULL: no memory) and writes it if nothing failed before. */
static int dump(json_t *object, int err, struct sk_buf *out)
{
    struct dump into = {.out = out};
    if (!object)
        return SKEP_ERR_NOMEM;
    if (!err && json_dump_callback(object, dump_piece, &into, DUMP_FLAGS))
        err = into.err ? into.err : SKEP_ERR_NOMEM;
    json_decref(object);
    return err;
}

static int write_peer(const struct sk_report_peer *peer, const struct sk_report_style *style,
                      const char *type, struct sk_buf *out)
{
    json_t *object = json_object();
    int err = type ? put_text(object, "type", type) : 0;
    return dump(object, err ? err : put_peer(object, peer, style), out);
}

static int write_flow(const struct sk_report_flow *flow, const struct sk_report_style *style,
                      const char *type, struct sk_buf *out)
{
    json_t *object = json_object();
    int err = type ? put_text(object, "type", type) : 0;
    if (!err)
        err = put_fields(object, sk_fields_flow, sk_fields_flow_count, flow, style);
    return dump(object, err, out);
}

static int write_tracer(const struct sk_report_tracer *tracer, const struct sk_report_style *style,
                        const char *type, struct sk_buf *out)
{
    json_t *object = json_object();
    int err = type ? put_text(object, "type", type) : 0;
    if (!err)
        err = put_fields(object, sk_fields_tracer, sk_fields_tracer_count, tracer, style);
    return dump(object, err, out);
}

static int put_claims(json_t *swarm, const struct sk_report *report,
                      const struct sk_report_style *style)
{
    json_t *claims = json_array();
    int err = json_object_set_new(swarm, "claims", claims) ? SKEP_ERR_NOMEM : 0;
    for (size_t i = 0; i < report->claims_count && !err; i++) {
        json_t *object = json_object();
        if (json_array_append_new(claims, object))
            err = SKEP_ERR_NOMEM;
        else
            err = put_claim(object, &report->claims[i], style);
    }
    return err;
}

/* Everything but the peers, as an object whose end is left open for them. */
static int write_head(const struct sk_report *report, const struct sk_report_style *style,
                      struct sk_buf *out)
{
    json_t *head = json_object(), *swarm = json_object();
    int err = put_audit(head, report, style);
    if (!err)
        err = put_swarm(swarm, report, style);
    if (!err)
        err = put_claims(swarm, report, style);
    if (json_object_set_new(head, "swarm", swarm))
        err = SKEP_ERR_NOMEM;
    err = dump(head, err, out);
    if (!err)
        out->n--; /* the closing brace */
    return err;
}

int sk_report_write_json(const struct sk_report *report, const struct sk_report_style *style,
                         struct sk_buf *out)
{
    const struct sk_report_peer **peers = NULL;
    int err = sk_report_order(report, style, &peers);
    if (!err)
        err = write_head(report, style, out);
    if (!err)
        err = sk_buf_text(out, ",\n\"peers\":[");
    for (size_t i = 0; i < report->peers_count && !err; i++) {
        err = sk_buf_text(out, i ? ",\n" : "\n");
        if (!err)
            err = write_peer(peers[i], style, NULL, out);
    }
    if (!err)
        err = sk_buf_text(out, "],\n\"flows\":[");
    for (size_t i = 0; i < report->flows_count && !err; i++) {
        err = sk_buf_text(out, i ? ",\n" : "\n");
        if (!err)
            err = write_flow(&report->flows[i], style, NULL, out);
    }
    if (!err)
        err = sk_buf_text(out, "],\n\"tracers\":[");
    for (size_t i = 0; i < report->tracers_count && !err; i++) {
        err = sk_buf_text(out, i ? ",\n" : "\n");
        if (!err)
            err = write_tracer(&report->tracers[i], style, NULL, out);
    }
    if (!err)
        err = sk_buf_text(out, "]}\n");
    sk_mem_free(peers);
    return err;
}

static int write_swarm_line(const struct sk_report *report, const struct sk_report_style *style,
                            struct sk_buf *out)
{
    json_t *object = json_object();
    int err = put_text(object, "type", "swarm");
    if (!err)
        err = put_audit(object, report, style);
    if (!err)
        err = put_swarm(object, report, style);
    err = dump(object, err, out);
    return err ? err : sk_buf_text(out, "\n");
}

static int write_claim_line(const struct sk_report_claim *claim,
                            const struct sk_report_style *style, struct sk_buf *out)
{
    json_t *object = json_object();
    int err = put_text(object, "type", "claim");
    err = dump(object, err ? err : put_claim(object, claim, style), out);
    return err ? err : sk_buf_text(out, "\n");
}

int sk_report_write_jsonl(const struct sk_report *report, const struct sk_report_style *style,
                          struct sk_buf *out)
{
    const struct sk_report_peer **peers = NULL;
    int err = sk_report_order(report, style, &peers);
    if (!err)
        err = write_swarm_line(report, style, out);
    for (size_t i = 0; i < report->claims_count && !err; i++)
        err = write_claim_line(&report->claims[i], style, out);
    for (size_t i = 0; i < report->peers_count && !err; i++) {
        err = write_peer(peers[i], style, "peer", out);
        if (!err)
            err = sk_buf_text(out, "\n");
    }
    for (size_t i = 0; i < report->flows_count && !err; i++) {
        err = write_flow(&report->flows[i], style, "flow", out);
        if (!err)
            err = sk_buf_text(out, "\n");
    }
    for (size_t i = 0; i < report->tracers_count && !err; i++) {
        err = write_tracer(&report->tracers[i], style, "tracer", out);
        if (!err)
            err = sk_buf_text(out, "\n");
    }
    sk_mem_free(peers);
    return err;
}
