/* Reports as JSON, JSON Lines and CSV, with what strangers could put into them. */
#include "store/report_json.h"

#include <skep/err.h>

#include "base/text.h"
#include "report_sample.h"
#include "store/report_csv.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OUT_MAX (64u << 20)

typedef int write_fn(const struct sk_report *, const struct sk_report_style *, struct sk_buf *);

static const uint8_t key[SK_ANONYMIZER_KEY_SIZE] = "a key that tests know of";

/* Writes, and ends the text with a NUL that is not counted. */
static void write_with(write_fn *fn, const struct sk_report *report,
                       const struct sk_report_style *style, struct sk_buf *out)
{
    static const struct sk_report_style open_style;
    sk_buf_init(out, OUT_MAX);
    assert_int_equal(0, fn(report, style ? style : &open_style, out));
    assert_int_equal(0, sk_buf_append(out, "", 1));
    out->n--;
}

static json_t *parse(const struct sk_report *report, const struct sk_report_style *style)
{
    struct sk_buf out;
    write_with(sk_report_write_json, report, style, &out);
    json_t *root = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    for (size_t i = 0; i < out.n; i++) /* nothing that a terminal could take for a command */
        assert_true(out.p[i] == '\n' || (out.p[i] >= 0x20 && out.p[i] < 0x80));
    sk_buf_deinit(&out);
    return root;
}

/* "swarm.claims.0.error" */
static json_t *at(json_t *root, const char *path)
{
    char part[64];
    while (*path && root) {
        size_t n = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        root = json_is_array(root) ? json_array_get(root, strtoul(part, NULL, 10))
                                   : json_object_get(root, part);
        path += n + (path[n] == '.');
    }
    assert_non_null(root);
    return root;
}

static const char *text_at(json_t *root, const char *path)
{
    const char *text = json_string_value(at(root, path));
    assert_non_null(text);
    return text;
}

static void test_document(void **state)
{
    struct sk_report report;
    sample_report(&report);
    json_t *root = parse(&report, NULL);
    assert_string_equal("skep.audit/1", text_at(root, "schema"));
    assert_true(json_real_value(at(root, "started")) == 1764000000.25);
    assert_string_equal("converged", text_at(root, "stopped"));
    assert_int_equal(659554304, json_integer_value(at(root, "swarm.size")));
    assert_int_equal(7, json_integer_value(at(root, "swarm.seeds")));
    assert_int_equal(4, json_integer_value(at(root, "swarm.failed.connect-timeout")));
    assert_int_equal(4, json_integer_value(at(root, "swarm.clients.qBittorrent")));
    assert_true(json_real_value(at(root, "swarm.hidden.estimate")) == 2.3);
    assert_true(json_real_value(at(root, "swarm.hidden.low")) == 0.5);
    assert_true(json_real_value(at(root, "swarm.hidden.high")) == 7.1);
    assert_string_equal("log-linear models of the sources", text_at(root, "swarm.hidden.how"));
    assert_int_equal(2, json_array_size(at(root, "flows")));
    assert_string_equal("192.0.2.7:51413", text_at(root, "flows.0.from"));
    assert_int_equal(7340032, json_integer_value(at(root, "flows.0.bytes")));
    assert_int_equal(6291456, json_integer_value(at(root, "flows.0.low")));
    assert_int_equal(2, json_array_size(at(root, "tracers")));
    assert_int_equal(3, json_integer_value(at(root, "tracers.0.spread_to")));
    assert_true(json_is_null(at(root, "tracers.1.given_s")));
    assert_true(json_is_null(at(root, "flows.1.low")) &&
                json_is_true(at(root, "flows.1.ambiguous")));
    assert_int_equal(3, json_array_size(at(root, "swarm.claims")));
    assert_int_equal(41, json_integer_value(at(root, "swarm.claims.0.seeds")));
    assert_true(json_is_null(at(root, "swarm.claims.0.error")));
    assert_true(json_is_null(at(root, "swarm.claims.1.downloads")));
    assert_int_equal(30, json_array_size(at(root, "peers")));

    json_t *first = at(root, "peers.0");
    assert_string_equal("192.0.2.7:51413", text_at(first, "address"));
    assert_string_equal("tracker", text_at(first, "sources.0"));
    assert_string_equal("pex", text_at(first, "sources.1"));
    assert_true(json_real_value(at(first, "heard_s.pex")) == 0.25);
    assert_true(json_is_null(at(first, "heard_s.dht")));
    assert_true(json_real_value(at(first, "share")) == 1);
    assert_true(json_real_value(at(first, "delivered.rate_bytes_s")) == 4200000);
    assert_true(json_real_value(at(first, "delivered.low")) == 3890000);
    assert_string_equal("theil-sen", text_at(first, "delivered.how"));
    assert_true(json_is_true(at(first, "upload_only")));
    assert_true(json_real_value(at(first, "capacity.high")) == 9100000);
    assert_string_equal("packet trains", text_at(first, "capacity.how"));
    assert_true(json_is_null(at(first, "download")));
    assert_true(json_real_value(at(first, "upload.low")) == 4100000);
    assert_string_equal("false-report", text_at(first, "verdict.result"));
    assert_string_equal("restart, clock skew, hidden peers", text_at(first, "verdict.ruled_out"));
    assert_true(json_real_value(at(first, "verdict.error_rate")) == 0.0001);
    assert_int_equal(6, json_integer_value(at(first, "verdict.announces")));
    json_decref(root);
    sk_report_deinit(&report);
}

/* What was not measured is null: not 0, not absent. */
static void test_unknown_is_null(void **state)
{
    static const char *const unknown[] = {
        "share",         "share_change",  "pieces",      "peer_id",
        "client",        "reason",        "transport",   "encryption",
        "connected_s",   "rtt_s",         "capacity",    "download",
        "upload",        "verdict",       "same_as",     "delivered.rate_bytes_s",
        "delivered.low", "delivered.how", "upload_only", "choke.unchoked_after_s"};
    struct sk_report report = {
        .copies = NAN, .pieces_missing = -1, .unseen_share_max = INFINITY, .peers_count = 1};
    report.peers = sk_mem_calloc(1, sizeof *report.peers);
    report.peers[0] = (struct sk_report_peer){.outcome = SK_OUTCOME_REFUSED,
                                              .delivered = SK_RATE_UNKNOWN,
                                              .capacity = SK_RATE_UNKNOWN,
                                              .download = SK_RATE_UNKNOWN,
                                              .upload = SK_RATE_UNKNOWN,
                                              .verdict = {.error_rate = NAN},
                                              .share = NAN,
                                              .rtt_s = NAN,
                                              .connected_s = NAN,
                                              .seen_s = -INFINITY,
                                              .upload_only = -1,
                                              .unchoked_after_s = NAN};
    json_t *root = parse(&report, NULL);
    for (size_t i = 0; i < SK_ARRAY_LEN(unknown); i++)
        assert_true(json_is_null(at(at(root, "peers.0"), unknown[i])));
    assert_true(json_is_null(at(root, "swarm.copies")));
    assert_true(json_is_null(at(root, "swarm.pieces_missing")));
    assert_true(json_is_null(at(root, "swarm.name")));
    assert_true(json_is_null(at(root, "swarm.size")));
    assert_true(json_is_null(at(root, "unseen_share_max")));
    assert_true(json_is_null(at(root, "peers.0.seen_s")));
    json_decref(root);
    sk_report_deinit(&report);
}

static void test_empty_report(void **state)
{
    struct sk_report report = {.copies = NAN, .pieces_missing = -1, .unseen_share_max = NAN};
    struct sk_buf out;
    json_t *root = parse(&report, NULL);
    assert_int_equal(0, json_array_size(at(root, "peers")));
    assert_true(json_is_null(at(root, "swarm.hidden"))); /* never 0 */
    json_decref(root);
    write_with(sk_report_write_jsonl, &report, NULL, &out);
    assert_ptr_equal(out.p + out.n - 1, memchr(out.p, '\n', out.n)); /* the swarm's line alone */
    sk_buf_deinit(&out);
    write_with(sk_report_write_csv, &report, NULL, &out);
    assert_ptr_equal(out.p + out.n - 1, memchr(out.p, '\n', out.n)); /* the header alone */
    sk_buf_deinit(&out);
}

/* Threats: terminal escape sequences, bidi controls and invalid UTF-8 in names, client strings and
 * tracker messages. */
static void test_hostile_strings(void **state)
{
    struct sk_report report;
    sample_report(&report);
    sk_mem_free(report.name);
    report.name =
        sk_mem_strdup("\x1b]0;owned\x07 \xff\xfe \xc0\x80 \xed\xa0\x80 \xe2\x80\xae \xc2\x9b"
                      " \"}],\\ \xf0\x9f\x90\x9d \xe8");
    sk_mem_free(report.claims[2].error);
    report.claims[2].error = sk_mem_strdup("\x80\r\nnull\x01\x7f");
    memset(report.peers[0].client, 0xff, sizeof report.peers[0].client - 1);
    report.peers[0].client[SK_CLIENT_NAME_MAX - 1] = 0;
    json_t *root = parse(&report, NULL);
    assert_string_equal("\x1b]0;owned\x07 \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd "
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xe2\x80\xae \xc2\x9b \"}],\\ "
                        "\xf0\x9f\x90\x9d \xef\xbf\xbd",
                        text_at(root, "swarm.name"));
    assert_string_equal("\xef\xbf\xbd\r\nnull\x01\x7f", text_at(root, "swarm.claims.2.error"));
    assert_int_equal(3 * (SK_CLIENT_NAME_MAX - 1), json_string_length(at(root, "peers.0.client")));
    json_decref(root);
    sk_report_deinit(&report);
}

/* Names that differ only in what is no UTF-8 add up instead of making one key twice. */
static void test_client_names_that_meet(void **state)
{
    struct sk_report report = {.copies = NAN, .pieces_missing = -1, .unseen_share_max = NAN};
    struct sk_report_count clients[] = {{"a\xfe", 3}, {"a\xff", 2}, {"", 1}};
    report.clients = clients;
    report.clients_count = SK_ARRAY_LEN(clients);
    json_t *root = parse(&report, NULL);
    assert_int_equal(5, json_integer_value(at(root, "swarm.clients.a\xef\xbf\xbd")));
    assert_int_equal(1, json_integer_value(json_object_get(at(root, "swarm.clients"), "")));
    json_decref(root);
}

static void test_many_peers(void **state)
{
    enum { PEERS = 10000 };
    struct sk_report report = {
        .copies = NAN, .pieces_missing = -1, .unseen_share_max = NAN, .peers_count = PEERS};
    report.peers = sk_mem_calloc(PEERS, sizeof *report.peers);
    for (unsigned i = 0; i < PEERS; i++) {
        sample_fill_peer(&sample_peers[i % SK_ARRAY_LEN(sample_peers)], i, &report.peers[i]);
        report.peers[i].endpoint.port = (uint16_t)i;
    }
    assert_int_equal(0, sk_report_summarize(&report, NULL));
    json_t *root = parse(&report, NULL);
    assert_int_equal(PEERS, json_array_size(at(root, "peers")));
    json_decref(root);

    struct sk_buf out;
    size_t lines = 0;
    write_with(sk_report_write_jsonl, &report, NULL, &out);
    for (char *line = (char *)out.p, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        json_t *record = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_string_equal(lines ? "peer" : "swarm", text_at(record, "type"));
        json_decref(record);
    }
    assert_int_equal(1 + PEERS, lines);
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static void test_lines(void **state)
{
    static const char *const types[] = {"swarm", "claim", "claim", "claim", "peer", "peer"};
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    write_with(sk_report_write_jsonl, &report, NULL, &out);
    char *line = (char *)out.p;
    for (size_t i = 0; i < SK_ARRAY_LEN(types); i++) {
        char *end = strchr(line, '\n');
        json_t *record = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_string_equal(types[i], text_at(record, "type"));
        if (i == 0)
            assert_string_equal("skep.audit/1", text_at(record, "schema"));
        json_decref(record);
        line = end + 1;
    }
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

/* A buffer too small fails with LIMIT whatever writes, and never says that it is done. */
static void test_limit(void **state)
{
    static write_fn *const writers[] = {sk_report_write_json, sk_report_write_jsonl,
                                        sk_report_write_csv};
    const struct sk_report_style style = {0};
    struct sk_report report;
    sample_report(&report);
    for (size_t i = 0; i < SK_ARRAY_LEN(writers); i++) {
        struct sk_buf out;
        write_with(writers[i], &report, NULL, &out);
        size_t whole = out.n;
        sk_buf_deinit(&out);
        for (size_t max = 0; max < whole; max += 1 + whole / 50) {
            sk_buf_init(&out, max);
            assert_int_equal(SKEP_ERR_LIMIT, writers[i](&report, &style, &out));
            sk_buf_deinit(&out);
        }
    }
    sk_report_deinit(&report);
}

static void test_without_memory(void **state)
{
    static write_fn *const writers[] = {sk_report_write_json, sk_report_write_jsonl,
                                        sk_report_write_csv};
    struct sk_anonymizer anonymizer;
    sk_anonymizer_init(&anonymizer, key);
    const struct sk_report_style style = {&anonymizer};
    struct sk_report report;
    sample_report(&report);
    report.peers_count = 8; /* enough */
    for (size_t i = 0; i < SK_ARRAY_LEN(writers); i++) {
        struct sk_buf out;
        sk_buf_init(&out, OUT_MAX);
        sk_mem_fail_nth(0);
        assert_int_equal(0, writers[i](&report, &style, &out));
        size_t allocations = sk_mem_fail_nth(0);
        sk_buf_deinit(&out);
        for (size_t nth = 1; nth <= allocations; nth++) {
            sk_buf_init(&out, OUT_MAX);
            sk_mem_fail_nth(nth);
            assert_int_equal(SKEP_ERR_NOMEM, writers[i](&report, &style, &out));
            sk_buf_deinit(&out);
        }
        sk_mem_fail_nth(0);
    }
    sk_report_deinit(&report);
}

/* The cell in this row (0 = header) and column, quotes taken off. */
static void cell_at(const struct sk_buf *csv, size_t row, size_t column, char ret_cell[128])
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = 0; i < csv->n; i++) {
        char c = (char)csv->p[i];
        if (c == '"') {
            bool twice = quoted && i + 1 < csv->n && csv->p[i + 1] == '"';
            quoted = twice || !quoted;
            if (!twice)
                continue;
            i++;
        } else if (!quoted && (c == ',' || c == '\r')) {
            if (row == 0 && column == 0)
                break;
            if (c == ',' && row == 0)
                column--;
            if (c == '\r') {
                assert_int_equal('\n', csv->p[++i]);
                row--;
            }
            continue;
        }
        if (row == 0 && column == 0 && n < 127)
            ret_cell[n++] = c;
    }
    ret_cell[n] = 0;
}

static size_t column_of(const struct sk_buf *csv, const char *name)
{
    char cell[128];
    for (size_t i = 0; i < sk_fields_peer_count; i++) {
        cell_at(csv, 0, i, cell);
        if (strcmp(cell, name) == 0)
            return i;
    }
    fail_msg("no column %s", name);
    return 0;
}

/* Threat: strings of strangers as formulas in CSV. */
static void test_csv(void **state)
{
    static const struct {
        const char *client, *cell;
    } cases[] = {
        {"=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"},
        {"+1", "'+1"},
        {"-1", "'-1"},
        {"@SUM(A1)", "'@SUM(A1)"},
        {"\t=1", "'\t=1"},
        {"\r=1", "'\r=1"},
        {"a \"b\", c", "a \"b\", c"},
        {"two\nlines", "two\nlines"},
        {"=\"x\"", "'=\"x\""},
        {"plain = text", "plain = text"},
    };
    struct sk_report report;
    struct sk_buf out;
    char cell[128];
    sample_report(&report);
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        snprintf(report.peers[i].client, SK_CLIENT_NAME_MAX, "%s", cases[i].client);
    write_with(sk_report_write_csv, &report, NULL, &out);
    size_t client = column_of(&out, "client"), rate = column_of(&out, "delivered_rate_bytes_s");
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        cell_at(&out, 1 + i, client, cell);
        assert_string_equal(cases[i].cell, cell);
    }
    cell_at(&out, 1, rate, cell);
    assert_string_equal("4200000", cell);
    cell_at(&out, 30, rate, cell);
    assert_string_equal("", cell);
    cell_at(&out, 1, column_of(&out, "sources"), cell);
    assert_string_equal("tracker pex", cell);
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static const char *const addresses[] = {"192.0.2.", "198.51.100.", "203.0.113.", "2001:db8"};

/* --anonymize: no address in any output, the same peer under the same name in all of them. */
static void test_anonymous(void **state)
{
    static write_fn *const writers[] = {sk_report_write_json, sk_report_write_jsonl,
                                        sk_report_write_csv};
    struct sk_anonymizer anonymizer;
    struct sk_report report;
    struct sk_buf out;
    sk_anonymizer_init(&anonymizer, key);
    const struct sk_report_style style = {&anonymizer};
    sample_report(&report);
    for (size_t i = 0; i < SK_ARRAY_LEN(writers); i++) {
        write_with(writers[i], &report, &style, &out);
        for (size_t j = 0; j < SK_ARRAY_LEN(addresses); j++)
            assert_null(strstr((const char *)out.p, addresses[j]));
        assert_non_null(strstr((const char *)out.p, "peer-"));
        sk_buf_deinit(&out);
    }
    json_t *root = parse(&report, &style);
    assert_true(json_is_true(at(root, "anonymized")));
    assert_true(json_is_null(at(root, "peers.0.peer_id")));
    char name[SK_ENDPOINT_TEXT_MAX];
    struct sk_endpoint same;
    sk_endpoint_parse("192.0.2.7:51413", 0, &same);
    sk_anonymizer_endpoint(&anonymizer, &same, name);
    size_t duplicates = 0, itself = 0, i;
    json_t *peer;
    json_array_foreach(at(root, "peers"), i, peer)
    {
        assert_int_equal(21, strlen(text_at(peer, "address")));
        itself += strcmp(text_at(peer, "address"), name) == 0;
        duplicates +=
            json_is_string(at(peer, "same_as")) && strcmp(text_at(peer, "same_as"), name) == 0;
    }
    assert_int_equal(1, itself);
    assert_int_equal(1, duplicates);
    /* six seeds that served are equals: their order must tell nothing of their addresses */
    for (i = 1; i < 6; i++)
        assert_true(strcmp(text_at(json_array_get(at(root, "peers"), i - 1), "address"),
                           text_at(json_array_get(at(root, "peers"), i), "address")) < 0);
    json_t *error = at(root, "swarm.claims.2.error");
    struct sk_endpoint told;
    char expected[128];
    sk_endpoint_parse("203.0.113.9:80", 0, &told);
    snprintf(expected, sizeof expected, "connection refused by %s",
             sk_anonymizer_endpoint(&anonymizer, &told, name));
    assert_string_equal(expected, json_string_value(error));
    json_decref(root);
    sk_report_deinit(&report);
}

static void hide(const char *text, char ret_text[256])
{
    struct sk_anonymizer anonymizer;
    struct sk_buf out;
    sk_anonymizer_init(&anonymizer, key);
    sk_buf_init(&out, 255);
    assert_int_equal(0, sk_anonymizer_text(&anonymizer, sk_bytes_text(text), &out));
    memcpy(ret_text, out.p, out.n);
    ret_text[out.n] = 0;
    sk_buf_deinit(&out);
}

static void test_addresses_in_text(void **state)
{
    static const char *const kept[] = {"no address here", "12:30:45", "error 404: 3.14",
                                       "std::string",     "1.2.3",    "1.2.3.400",
                                       "a.b.c.d",         "[]:80",    "x1.2.3.4"};
    char hidden[256], other[256];
    for (size_t i = 0; i < SK_ARRAY_LEN(kept); i++) {
        hide(kept[i], hidden);
        assert_string_equal(kept[i], hidden);
    }
    hide("your address is 192.0.2.7, go", hidden);
    assert_non_null(strstr(hidden, "your address is host-"));
    assert_non_null(strstr(hidden, ", go"));
    assert_null(strstr(hidden, "192"));
    hide("from=192.0.2.7:51413.", hidden);
    assert_non_null(strstr(hidden, "from=peer-"));
    hide("[2001:db8::1]:6881", hidden);
    assert_int_equal(21, strlen(hidden));
    assert_int_equal(0, strncmp(hidden, "peer-", 5));
    hide("2001:db8::1", hidden);
    assert_int_equal(0, strncmp(hidden, "host-", 5));
    hide("banned:192.0.2.7", hidden);
    assert_null(strstr(hidden, "192"));
    hide("::", hidden); /* what grows most */
    assert_int_equal(21, strlen(hidden));
    /* one address, one name, also when mapped into IPv6 */
    hide("192.0.2.7", hidden);
    hide("::ffff:192.0.2.7", other);
    assert_string_equal(hidden, other);
}

static void test_keys(void **state)
{
    struct sk_anonymizer a, b;
    struct sk_endpoint endpoint, none = {0};
    char with_a[SK_ENDPOINT_TEXT_MAX], with_b[SK_ENDPOINT_TEXT_MAX];
    sk_endpoint_parse("192.0.2.7:51413", 0, &endpoint);
    assert_int_equal(0, sk_anonymizer_init(&a, key));
    /* HMAC-SHA-256 under that key of 04 c0000207 00 x 12 c8d5, from another implementation */
    assert_string_equal("peer-9b1a348e76af5791", sk_anonymizer_endpoint(&a, &endpoint, with_a));
    assert_int_equal(0, sk_anonymizer_init(&b, NULL));
    assert_string_not_equal(with_a, sk_anonymizer_endpoint(&b, &endpoint, with_b));
    assert_string_equal("192.0.2.7:51413", sk_anonymizer_endpoint(NULL, &endpoint, with_b));
    assert_string_equal("", sk_anonymizer_endpoint(&a, &none, with_b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_unknown_is_null),
        cmocka_unit_test(test_empty_report),
        cmocka_unit_test(test_hostile_strings),
        cmocka_unit_test(test_client_names_that_meet),
        cmocka_unit_test(test_many_peers),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_addresses_in_text),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
