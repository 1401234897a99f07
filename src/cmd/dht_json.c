#include "cmd/dht_json.h"

#include "base/text.h"
#include "cmd/dht.h"

#include <math.h>
#include <stdio.h>

#define HEX_MAX 64 /* bytes: keys and hashes */
#define TEXT_MAX 1024
#define DUMP_FLAGS (JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

json_t *sk_dht_json_hex(const uint8_t *bytes, size_t n)
{
    char hex[2 * HEX_MAX + 1];
    if (!bytes || n > HEX_MAX)
        return json_null();
    sk_hex_encode(bytes, n, hex);
    return json_string(hex);
}

json_t *sk_dht_json_real(double real)
{
    return isfinite(real) ? json_real(real) : json_null();
}

json_t *sk_dht_json_seconds(double seconds)
{
    return seconds >= 0 && isfinite(seconds) ? json_real(round(seconds * 1e6) / 1e6) : json_null();
}

json_t *sk_dht_json_text(const char *text)
{
    char safe[TEXT_MAX];
    if (!text || !*text)
        return json_null();
    struct sk_bytes bytes = sk_bytes_text(text);
    return json_string(sk_text_is_utf8(bytes) ? text : sk_text_escape(bytes, safe, sizeof safe));
}

json_t *sk_dht_json_version(const char version[4])
{
    return memcmp(version, "\0\0\0", 4) ? sk_dht_json_hex((const uint8_t *)version, 4)
                                        : json_null();
}

json_t *sk_dht_json_id(const struct sk_dht_session *session, const uint8_t *id)
{
    return session->options.anonymize ? json_null() : sk_dht_json_hex(id, 20);
}

json_t *sk_dht_json_address(const struct sk_dht_session *session, const char *address)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    return sk_dht_json_text(sk_dht_session_address(session, address, text));
}

json_t *sk_dht_json_search(const struct skep_dht_result *r)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "asked", (int)r->asked, "answered",
                     (int)r->answered, "silent", (int)r->silent, "refused", (int)r->refused,
                     "forged", (int)r->forged, "steps", (int)r->steps, "seconds",
                     sk_dht_json_seconds(r->seconds));
}

static int print(struct sk_dht_session *session, json_t *object, size_t flags)
{
    FILE *to = sk_dht_stdout(session);
    if (!object) {
        sk_complain("%s", skep_err_text(SKEP_ERR_NOMEM));
        return SK_EXIT_FAILED;
    }
    json_dumpf(object, to, flags | DUMP_FLAGS);
    fputc('\n', to);
    json_decref(object);
    return ferror(to) ? sk_dht_flush(session) : SK_EXIT_DONE;
}

int sk_dht_json_print(struct sk_dht_session *session, json_t *fields)
{
    char schema[64];
    snprintf(schema, sizeof schema, "skep.dht.%s/1", session->name);
    json_t *document = fields ? json_pack("{s:s, s:f, s:o, s:s}", "schema", schema, "started",
                                          session->started_unix_s, "seconds",
                                          sk_dht_json_seconds(sk_dht_session_seconds(session)),
                                          "stopped", sk_dht_session_stopped(session))
                              : NULL;
    if (document && json_object_update(document, fields)) {
        json_decref(document);
        document = NULL;
    }
    json_decref(fields);
    int code = print(session, document, JSON_INDENT(1));
    return code ? code : sk_dht_flush(session);
}

int sk_dht_json_line(struct sk_dht_session *session, json_t *object)
{
    return print(session, object, JSON_COMPACT);
}
