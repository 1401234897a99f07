#include "store/report_field.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "swarm/source.h"

#include <stdio.h>
#include <stdlib.h>

#define SHARE_DECIMALS 6
#define TIME_DECIMALS 6 /* microseconds */
#define RATE_DECIMALS 1
#define HIDDEN_DECIMALS 1
#define CLOCK_DECIMALS 3 /* of wall clocks */
#define ERROR_DECIMALS 9 /* of error rates */

#define MEMBER(type, member) offsetof(type, member), sizeof(((type *)0)->member)

#define REPORT(name, kind, member)                                                                 \
    {                                                                                              \
        name, SK_FIELD_##kind, MEMBER(struct sk_report, member), 0, 0                              \
    }
#define REPORT_IF(name, kind, member, flag)                                                        \
    {                                                                                              \
        name, SK_FIELD_##kind, MEMBER(struct sk_report, member), offsetof(struct sk_report, flag), \
            0                                                                                      \
    }
#define REPORT_REAL(name, member, decimals)                                                        \
    {                                                                                              \
        name, SK_FIELD_REAL, MEMBER(struct sk_report, member), 0, decimals                         \
    }

const struct sk_field sk_fields_audit[] = {
    REPORT_REAL("started", started_unix_s, CLOCK_DECIMALS),
    REPORT_REAL("seconds", seconds, CLOCK_DECIMALS),
    REPORT("stopped", STOPPED, stopped),
    REPORT("stop_rule", CHARS, stop_rule),
    REPORT("draws_old", U32, draws_old),
    REPORT_REAL("unseen_share_max", unseen_share_max, SHARE_DECIMALS),
    REPORT_REAL("clock.offset_s", clock_offset_s, CLOCK_DECIMALS),
    REPORT_REAL("clock.error_s", clock_error_s, CLOCK_DECIMALS),
    REPORT("clock.announces", U32, clock_announces),
    REPORT("clock.how", TEXT, clock_how),
};
const size_t sk_fields_audit_count = SK_ARRAY_LEN(sk_fields_audit);

const struct sk_field sk_fields_swarm[] = {
    REPORT("info_hash", HASH, info_hash),
    REPORT_IF("info_hash_v2", HASH_V2, hash_v2, has_hash_v2),
    REPORT("name", TEXT, name),
    REPORT_IF("size", U64, size, has_metadata),
    REPORT_IF("pieces", U32, pieces, has_metadata),
    REPORT_IF("piece_size", U32, piece_size, has_metadata),
    REPORT_IF("files", U32, files, has_files),
    REPORT("seeds", U32, seeds),
    REPORT("leechers", U32, leechers),
    REPORT("share_unknown", U32, share_unknown),
    REPORT_REAL("copies", copies, SHARE_DECIMALS),
    REPORT("pieces_missing", COUNT, pieces_missing),
    REPORT("known", U32, known),
    REPORT("connected", U32, connected),
    REPORT("corrupt_peers", U32, corrupt_peers),
    REPORT("delivered_bytes", U64, delivered_bytes),
    REPORT("given_bytes", U64, given_bytes),
    REPORT("encryption.rc4", U32, encrypted),
    REPORT("encryption.plain", U32, plain),
    REPORT_REAL("hidden.estimate", hidden, HIDDEN_DECIMALS),
    REPORT_REAL("hidden.low", hidden_low, HIDDEN_DECIMALS),
    REPORT_REAL("hidden.high", hidden_high, HIDDEN_DECIMALS),
    REPORT("hidden.how", TEXT, hidden_how),
};
const size_t sk_fields_swarm_count = SK_ARRAY_LEN(sk_fields_swarm);

#define CLAIM(name, kind, member)                                                                  \
    {                                                                                              \
        name, SK_FIELD_##kind, MEMBER(struct sk_report_claim, member), 0, CLOCK_DECIMALS           \
    }

const struct sk_field sk_fields_claim[] = {
    CLAIM("source", TEXT, source),        CLAIM("at", REAL, at_unix_s),
    CLAIM("seeds", COUNT, seeds),         CLAIM("leechers", COUNT, leechers),
    CLAIM("downloads", COUNT, downloads), CLAIM("peers_told", U32, peers_told),
    CLAIM("error", REMARK, error),
};
const size_t sk_fields_claim_count = SK_ARRAY_LEN(sk_fields_claim);

#define PEER(name, kind, member)                                                                   \
    {                                                                                              \
        name, SK_FIELD_##kind, MEMBER(struct sk_report_peer, member), 0, 0                         \
    }
#define PEER_IF(name, kind, member, flag, decimals)                                                \
    {                                                                                              \
        name, SK_FIELD_##kind, MEMBER(struct sk_report_peer, member),                              \
            offsetof(struct sk_report_peer, flag), decimals                                        \
    }
#define PEER_REAL(name, member, decimals)                                                          \
    {                                                                                              \
        name, SK_FIELD_REAL, MEMBER(struct sk_report_peer, member), 0, decimals                    \
    }

const struct sk_field sk_fields_peer[] = {
    PEER("address", ADDRESS, endpoint),
    PEER("same_as", ADDRESS, same_as),
    PEER("incoming", BOOL, incoming),
    PEER_IF("peer_id", PEER_ID, peer_id, has_peer_id, 0),
    PEER("client", CHARS, client),
    PEER("sources", SOURCES, sources),
    PEER_REAL("heard_s.tracker", heard_s[0], TIME_DECIMALS),
    PEER_REAL("heard_s.pex", heard_s[1], TIME_DECIMALS),
    PEER_REAL("heard_s.dht", heard_s[2], TIME_DECIMALS),
    PEER_REAL("heard_s.lsd", heard_s[3], TIME_DECIMALS),
    PEER_REAL("heard_s.given", heard_s[4], TIME_DECIMALS),
    PEER_REAL("heard_s.incoming", heard_s[5], TIME_DECIMALS),
    PEER("state", OUTCOME, outcome),
    PEER("reason", TEXT, reason),
    PEER_IF("share", REAL, share, has_share, SHARE_DECIMALS),
    PEER_IF("share_change", REAL, share_change, has_share, SHARE_DECIMALS),
    PEER_IF("pieces", U32, pieces, has_share, 0),
    PEER_IF("pieces_first", U32, pieces_first, has_share, 0),
    PEER("haves", U32, haves),
    PEER("upload_only", FLAG, upload_only),
    PEER("transport", TEXT, transport),
    PEER("encryption", TEXT, encryption),
    PEER_REAL("connected_s", connected_s, TIME_DECIMALS),
    PEER_REAL("seen_s", seen_s, TIME_DECIMALS),
    PEER_REAL("rtt_s", rtt_s, TIME_DECIMALS),
    PEER("delivered.bytes", U64, delivered_bytes),
    PEER_REAL("delivered.rate_bytes_s", delivered.rate, RATE_DECIMALS),
    PEER_REAL("delivered.low", delivered.low, RATE_DECIMALS),
    PEER_REAL("delivered.high", delivered.high, RATE_DECIMALS),
    PEER("delivered.how", TEXT, delivered_how),
    PEER("delivered.samples", U32, delivered_samples),
    PEER_REAL("delivered.span_s", delivered_span_s, TIME_DECIMALS),
    PEER_REAL("delivered.gap_median_s", gap_median_s, TIME_DECIMALS),
    PEER("choke.unchokes", U32, unchokes),
    PEER("choke.chokes", U32, chokes),
    PEER_REAL("choke.unchoked_after_s", unchoked_after_s, TIME_DECIMALS),
    PEER_REAL("choke.unchoked_s", unchoked_s, TIME_DECIMALS),
    PEER("blocks_verified", U32, blocks_verified),
    PEER("blocks_corrupt", U32, blocks_corrupt),
    PEER("blocks_unverified", U32, blocks_unverified),
    PEER("given_bytes", U64, given_bytes),
    PEER_REAL("capacity.rate_bytes_s", capacity.rate, RATE_DECIMALS),
    PEER_REAL("capacity.low", capacity.low, RATE_DECIMALS),
    PEER_REAL("capacity.high", capacity.high, RATE_DECIMALS),
    PEER("capacity.how", TEXT, capacity_how),
    PEER_REAL("download.rate_bytes_s", download.rate, RATE_DECIMALS),
    PEER_REAL("download.low", download.low, RATE_DECIMALS),
    PEER_REAL("download.high", download.high, RATE_DECIMALS),
    PEER("download.how", TEXT, download_how),
    PEER_REAL("upload.rate_bytes_s", upload.rate, RATE_DECIMALS),
    PEER_REAL("upload.low", upload.low, RATE_DECIMALS),
    PEER_REAL("upload.high", upload.high, RATE_DECIMALS),
    PEER("verdict.result", VERDICT, verdict.result),
    PEER("verdict.claim", NOTE, verdict.claim),
    PEER("verdict.evidence", NOTE, verdict.evidence),
    PEER("verdict.ruled_out", TEXT, verdict.ruled_out),
    PEER("verdict.why", TEXT, verdict.why),
    PEER_REAL("verdict.error_rate", verdict.error_rate, ERROR_DECIMALS),
    PEER("verdict.announces", SOME, verdict.announces),
};
const size_t sk_fields_peer_count = SK_ARRAY_LEN(sk_fields_peer);

#define FLOW(name, kind, member)                                                                   \
    {                                                                                              \
        name, SK_FIELD_##kind, MEMBER(struct sk_report_flow, member), 0, 0                         \
    }

const struct sk_field sk_fields_flow[] = {
    FLOW("from", ADDRESS, from),     FLOW("to", ADDRESS, to),
    FLOW("bytes", ROUND, bytes),     FLOW("low", ROUND, low),
    FLOW("high", ROUND, high),       FLOW("uniform", ROUND, uniform),
    FLOW("gravity", ROUND, gravity), FLOW("ambiguous", BOOL, ambiguous),
};
const size_t sk_fields_flow_count = SK_ARRAY_LEN(sk_fields_flow);

#define TRACER(name, kind, member, decimals)                                                       \
    {                                                                                              \
        name, SK_FIELD_##kind, MEMBER(struct sk_report_tracer, member), 0, decimals                \
    }

const struct sk_field sk_fields_tracer[] = {
    TRACER("piece", U32, piece, 0),
    TRACER("to", ADDRESS, to, 0),
    TRACER("offered_s", REAL, offered_s, CLOCK_DECIMALS),
    TRACER("given_s", REAL, given_s, CLOCK_DECIMALS),
    TRACER("given_bytes", U32, given_bytes, 0),
    TRACER("held_by", U32, held_by, 0),
    TRACER("spread_to", U32, spread_to, 0),
};
const size_t sk_fields_tracer_count = SK_ARRAY_LEN(sk_fields_tracer);

static void set_int(struct sk_value *value, int64_t i)
{
    value->kind = SK_VALUE_INT;
    value->i = i;
}

/* Not to be written: infinity is as unknown as NAN, and -0 would puzzle. */
static void set_real(struct sk_value *value, double real, int decimals)
{
    double unit = pow(10, decimals);
    if (!isfinite(real))
        return;
    value->kind = SK_VALUE_REAL;
    value->exact = real;
    value->real = fabs(real) < 1e15 / unit ? round(real * unit) / unit + 0.0 : real;
}

static void set_round(struct sk_value *value, double real)
{
    if (fabs(real) < 0x1p62)
        set_int(value, llround(real));
}

int sk_value_set_text(struct sk_value *value, struct sk_bytes text)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    int err = 0;
    value->kind = SK_VALUE_TEXT;
    value->text = text;
    if (sk_text_is_utf8(text))
        return 0;
    struct sk_buf clean;
    sk_buf_init(&clean, 3 * text.n);
    while (text.n && !err) {
        uint32_t c;
        size_t n = sk_text_decode(text, &c);
        err = n ? sk_buf_append(&clean, text.p, n) : sk_buf_text(&clean, replacement);
        n = n ? n : 1;
        text = sk_bytes(text.p + n, text.n - n);
    }
    sk_buf_deinit(&value->scratch);
    value->scratch = clean;
    value->text = sk_buf_bytes(&clean);
    return err;
}

static int set_copy(struct sk_value *value, const char *text)
{
    sk_buf_init(&value->scratch, strlen(text));
    int err = text[0] ? sk_buf_text(&value->scratch, text) : 0;
    value->kind = SK_VALUE_TEXT;
    value->text = sk_buf_bytes(&value->scratch);
    return err;
}

static int set_hex(struct sk_value *value, const uint8_t *p, size_t n)
{
    char hex[2 * 32 + 1];
    SK_ASSERT(n <= 32);
    sk_hex_encode(p, n, hex);
    return set_copy(value, hex);
}

static int set_address(struct sk_value *value, const struct sk_endpoint *endpoint,
                       const struct sk_report_style *style)
{
    char text[SK_ENDPOINT_TEXT_MAX];
    if (endpoint->family == SK_FAMILY_NONE)
        return 0;
    return set_copy(value, sk_anonymizer_endpoint(style->anonymizer, endpoint, text));
}

static int set_sources(struct sk_value *value, unsigned sources)
{
    char text[64] = "";
    size_t n = 0;
    for (unsigned i = 0; i < SK_SOURCE_COUNT; i++)
        if (sources & (1u << i))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "",
                                  sk_source_name(i));
    int err = set_copy(value, text);
    value->kind = SK_VALUE_SET;
    value->i = sources;
    return err;
}

static int set_remark(struct sk_value *value, const char *remark,
                      const struct sk_report_style *style)
{
    struct sk_buf hidden;
    if (!style->anonymizer)
        return sk_value_set_text(value, sk_bytes_text(remark));
    sk_buf_init(&hidden, strlen(remark) * SK_ANONYMIZER_GROWTH);
    int err = sk_anonymizer_text(style->anonymizer, sk_bytes_text(remark), &hidden);
    if (!err) {
        sk_buf_deinit(&value->scratch);
        err = sk_value_set_text(value, sk_buf_bytes(&hidden));
    }
    if (err || value->text.p != hidden.p)
        sk_buf_deinit(&hidden);
    else
        value->scratch = hidden;
    return err;
}

static int read_text(const struct sk_field *field, const void *member,
                     const struct sk_report_style *style, struct sk_value *value)
{
    bool within = field->kind == SK_FIELD_CHARS || field->kind == SK_FIELD_NOTE;
    bool remark = field->kind == SK_FIELD_REMARK || field->kind == SK_FIELD_NOTE;
    const char *text = within ? member : *(const char *const *)member;
    if (!text || (within && !text[0]))
        return 0;
    return remark ? set_remark(value, text, style) : sk_value_set_text(value, sk_bytes_text(text));
}

int sk_field_read(const struct sk_field *field, const void *base,
                  const struct sk_report_style *style, struct sk_value *value)
{
    const void *member = (const char *)base + field->offset;
    const char *name;
    int64_t i;
    sk_buf_deinit(&value->scratch);
    value->kind = SK_VALUE_NONE;
    if (field->known_if && !*(const bool *)((const char *)base + field->known_if))
        return 0;
    switch (field->kind) {
    case SK_FIELD_U32:
        set_int(value, *(const uint32_t *)member);
        return 0;
    case SK_FIELD_SOME:
        if ((i = *(const uint32_t *)member) > 0)
            set_int(value, i);
        return 0;
    case SK_FIELD_U64:
        set_int(value, (int64_t)SK_MIN(*(const uint64_t *)member, (uint64_t)INT64_MAX));
        return 0;
    case SK_FIELD_COUNT:
        if ((i = *(const int64_t *)member) >= 0)
            set_int(value, i);
        return 0;
    case SK_FIELD_FLAG:
        if ((i = *(const int *)member) >= 0)
            set_int(value, i);
        value->kind = i >= 0 ? SK_VALUE_BOOL : SK_VALUE_NONE;
        return 0;
    case SK_FIELD_BOOL:
        set_int(value, *(const bool *)member);
        value->kind = SK_VALUE_BOOL;
        return 0;
    case SK_FIELD_ROUND:
        set_round(value, *(const double *)member);
        return 0;
    case SK_FIELD_REAL:
        set_real(value, *(const double *)member, field->decimals);
        return 0;
    case SK_FIELD_TEXT:
    case SK_FIELD_CHARS:
    case SK_FIELD_NOTE:
    case SK_FIELD_REMARK:
        return read_text(field, member, style, value);
    case SK_FIELD_HASH:
        return set_hex(value, member, 20);
    case SK_FIELD_HASH_V2:
        return set_hex(value, member, 32);
    case SK_FIELD_PEER_ID:
        return style->anonymizer ? 0 : set_hex(value, member, 20);
    case SK_FIELD_ADDRESS:
        return set_address(value, member, style);
    case SK_FIELD_OUTCOME:
        return set_copy(value, sk_peer_outcome_name(*(const enum sk_peer_outcome *)member));
    case SK_FIELD_SOURCES:
        return set_sources(value, *(const unsigned *)member);
    case SK_FIELD_STOPPED:
        return set_copy(value, sk_stopped_name(*(const enum sk_stopped *)member));
    case SK_FIELD_VERDICT:
        name = sk_verdict_result_name(*(const enum sk_verdict_result *)member);
        return name ? set_copy(value, name) : 0;
    }
    return 0;
}

void sk_value_deinit(struct sk_value *value)
{
    sk_buf_deinit(&value->scratch);
}

char *sk_field_flat_name(const struct sk_field *field, char ret_name[SK_FIELD_NAME_MAX])
{
    snprintf(ret_name, SK_FIELD_NAME_MAX, "%s", field->name);
    for (char *c = ret_name; *c; c++)
        if (*c == '.')
            *c = '_';
    return ret_name;
}

struct ordered {
    const struct sk_report_peer *peer;
    char name[SK_ENDPOINT_TEXT_MAX];
};

static double known_share(const struct sk_report_peer *peer)
{
    return peer->has_share && !isnan(peer->share) ? peer->share : -1;
}

static bool same_group(const struct sk_report_peer *a, const struct sk_report_peer *b)
{
    return a->outcome == b->outcome && known_share(a) == known_share(b);
}

static int compare_ordered(const void *a, const void *b)
{
    return strcmp(((const struct ordered *)a)->name, ((const struct ordered *)b)->name);
}

/* The report's order is kept between groups of equals; within one the pseudonyms decide. */
static int order_hidden(const struct sk_report *report, const struct sk_anonymizer *anonymizer,
                        const struct sk_report_peer **peers)
{
    struct ordered *ordered = sk_mem_calloc(report->peers_count + 1, sizeof *ordered);
    if (!ordered)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < report->peers_count; i++) {
        ordered[i].peer = &report->peers[i];
        sk_anonymizer_endpoint(anonymizer, &report->peers[i].endpoint, ordered[i].name);
    }
    for (size_t from = 0, to; from < report->peers_count; from = to) {
        to = from + 1;
        while (to < report->peers_count && same_group(ordered[from].peer, ordered[to].peer))
            to++;
        qsort(ordered + from, to - from, sizeof *ordered, compare_ordered);
    }
    for (size_t i = 0; i < report->peers_count; i++)
        peers[i] = ordered[i].peer;
    sk_mem_free(ordered);
    return 0;
}

int sk_report_order(const struct sk_report *report, const struct sk_report_style *style,
                    const struct sk_report_peer ***ret_peers)
{
    const struct sk_report_peer **peers = sk_mem_calloc(report->peers_count + 1, sizeof *peers);
    if (!peers)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < report->peers_count; i++)
        peers[i] = &report->peers[i];
    int err = style->anonymizer ? order_hidden(report, style->anonymizer, peers) : 0;
    if (err)
        sk_mem_free(peers);
    else
        *ret_peers = peers;
    return err;
}
