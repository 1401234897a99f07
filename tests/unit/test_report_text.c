/* The report on a terminal: what is in it, at every width, with what strangers call themselves. */
#include "cmd/report_text.h"

#include <skep/err.h>

#include "base/text.h"
#include "cmd/table.h"
#include "report_sample.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct sk_report_style open_style;
static const uint8_t key[SK_ANONYMIZER_KEY_SIZE] = "a key that tests know of";

/* The text, NUL-terminated; free with sk_buf_deinit(). */
static const char *render(const struct sk_report *report, unsigned columns, bool colour, bool utf8,
                          struct sk_buf *out)
{
    const struct sk_screen screen = {.columns = columns, .colour = colour, .utf8 = utf8};
    sk_buf_init(out, 16u << 20);
    assert_int_equal(0, sk_report_write_text(report, &screen, &open_style, out));
    assert_int_equal(0, sk_buf_append(out, "", 1));
    assert_int_equal(strlen((char *)out->p) + 1, out->n);
    return (const char *)out->p;
}

static void assert_has(const char *text, const char *part)
{
    SK_ASSERT(text);
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
    SK_ASSERT(text);
    if (strstr(text, part))
        fail_msg("\"%s\" is in:\n%s", part, text);
}

/* The first line that begins so. */
static const char *line_of(const char *text, const char *start)
{
    static char line[2048];
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, start, strlen(start)) == 0) {
            snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
            return line;
        }
    }
    fail_msg("no line \"%s\" in:\n%s", start, text);
    return "";
}

static void test_at_120_columns(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    const char *text = render(&report, 120, false, true, &out);
    assert_int_equal(
        0,
        strncmp(text,
                "debian-12.5.0-amd64-netinst.iso\n"
                "629 MiB in 2,516 pieces of 256 KiB, 1b26313c47525d68737e89949faab5c0cbd6e1ec\n"
                "\n"
                "Complete     yes: 8.42 distributed copies, 8 peers hold the rarest piece\n"
                "Peers        28 known: 16 connected (7 seeds, 8 leechers, 1 unknown), 12 failed\n"
                "Not told     about 2 more peers (0 to 8) that no source told (95 %, log-linear "
                "models of the sources)\n"
                "Delivered    7.8 MiB by 9 peers, 489 blocks verified, 3 corrupt from 1 peer\n"
                "Encryption   9 of 16 connections encrypted\n"
                "Clients      qBittorrent 4, Transmission 3, ",
                511));
    assert_has(text, "CLAIMS                                    SEEDS  LEECHERS  DOWNLOADS  TOLD\n"
                     "seen by this audit                            7         8\n"
                     "http://tracker.example.org:6969/announce     41        19     10,342    22\n"
                     "udp://tracker.example.net:1337               12         9               14\n"
                     "http://dead.example.com/announce                                            "
                     "connection refused by 203.0.113.9:80\n");
    assert_has(text,
               "PEER                   CLIENT              HOLDS              GAIN  DELIVERED"
               "         RTT  UNCHOKED  BLOCKS  VIA  STATE\n"
               "192.0.2.7:51413        Transmission 4.0.5   100%  ██████████        4.2 MB/s ±0.3"
               "   23 ms  410 ms        64  TP   served\n"
               "192.0.2.18:6881        qBittorrent 4.6.3    100%  ██████████         12 MB/s ±0.9"
               "  8.1 ms  90 ms        128  T    served\n");
    assert_has(text,
               "[2001:db8:…348]:51413  Transmission 3.00   65.2%  ██████▌     +1.5  212 kB/s ±33"
               "   204 ms  9.8 s         16  P    served\n");
    assert_has(text, "13 ✗3  T    served\n");
    assert_has(text, "迅雷 Xunlei 0.0.1…   7.9%  ▊           +0.5   unknown       260 ms  never");
    assert_has(text,
               "\ngain: % of the pieces; unchoked: how long after we asked; via: T tracker, P "
               "pex, G given, I incoming; blocks: verified\n✗corrupt\n");
    assert_has(text,
               "\nconnect-timeout               4  198.51.100.200:8999, 198.51.100.201:8999, ");
    assert_has(text, "\nduplicate                     1  192.0.2.7:40001 is 192.0.2.7:51413\n");
    assert_has(text, "\nConverged after 42 s: the last 120 addresses drawn were all known,");
    assert_has(text, "is unseen (95 %).\n");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

/* Columns leave by rank; whatever the width, no line is wider, and tables stay aligned. */
static void test_widths(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    for (unsigned columns = 0; columns <= 220; columns++) {
        const char *text = render(&report, columns, false, columns % 2, &out);
        for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
            char line[2048] = "";
            memcpy(line, at, SK_MIN(strcspn(at, "\n"), sizeof line - 1));
            assert_true(sk_ink_width(line) <= (columns < 40 ? 40 : columns));
            assert_true(!line[0] || line[strlen(line) - 1] != ' ');
        }
        sk_buf_deinit(&out);
    }
    const char *text = render(&report, 80, false, true, &out);
    assert_string_equal("PEER                    CLIENT              HOLDS  DELIVERED      BLOCKS"
                        "  STATE",
                        line_of(text, "PEER"));
    assert_string_equal("[2001:db8:8…348]:51413  Transmission 3.00   65.2%  212 kB/s ±33       16"
                        "  served",
                        line_of(text, "[2001:db8:8"));
    assert_lacks(text, "via:"); /* no legend for what is not there */
    assert_lacks(text, "unchoked:");
    sk_buf_deinit(&out);
    text = render(&report, 240, false, true, &out);
    assert_has(text, "idle    unchoked and gave nothing");
    assert_has(text, "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:51413  ");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static void test_colours(void **state)
{
    struct sk_report report;
    struct sk_buf plain, coloured;
    sample_report(&report);
    const char *text = render(&report, 120, true, true, &coloured);
    assert_has(text, "\x1b[1mdebian-12.5.0-amd64-netinst.iso\x1b[0m\n");
    assert_has(text, "\x1b[32mserved\x1b[0m\n");
    assert_has(text, "\x1b[33mchoked\x1b[0m\n");
    assert_has(text, "\x1b[31m13 ✗3\x1b[0m");
    /* without its colours it is the plain one */
    char *to = (char *)coloured.p;
    for (const char *from = to; *from; from++) {
        if (*from == '\x1b')
            from += strcspn(from, "m");
        else
            *to++ = *from;
    }
    *to = 0;
    assert_string_equal(render(&report, 120, false, true, &plain), (char *)coloured.p);
    assert_null(memchr(plain.p, 0x1b, plain.n));
    sk_buf_deinit(&plain);
    sk_buf_deinit(&coloured);
    sk_report_deinit(&report);
}

static void test_ascii(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    render(&report, 120, false, false, &out);
    for (size_t i = 0; i < out.n; i++)
        assert_true(out.p[i] < 0x80);
    assert_has((char *)out.p, "4.2 MB/s +-0.3");
    assert_has((char *)out.p, "???? Xunlei"); /* as wide as it was */
    assert_has((char *)out.p, "######");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

/* Threats: escape sequences and bidi controls in names, client strings and tracker messages. */
static void test_hostile_strings(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    sk_mem_free(report.name);
    report.name = sk_mem_strdup("a\x1b[31m\x07\r\nb\xe2\x80\xae\xff\xc2\x9b"
                                "0m");
    sk_mem_free(report.claims[2].error);
    report.claims[2].error = sk_mem_strdup("no\x1b]0;owned\x07");
    sk_mem_free(report.claims[1].source);
    report.claims[1].source = sk_mem_strdup("udp://\x1b[2J");
    /* as sk_client_name() leaves it: combining characters without end are no control */
    for (size_t i = 0; i + 2 < SK_CLIENT_NAME_MAX; i += 2)
        memcpy(report.peers[0].client + i, "\xcc\x81\0", 3);
    for (unsigned columns = 40; columns < 200; columns += 7) {
        const char *text = render(&report, columns, false, true, &out);
        for (const char *c = text; *c; c++)
            assert_true((unsigned char)*c >= 0x20 || *c == '\n');
        assert_true(sk_text_is_utf8(sk_bytes_text(text)));
        assert_lacks(text, "\xe2\x80\xae");
        assert_lacks(text, "\xc2\x9b");
        sk_buf_deinit(&out);
    }
    const char *text = render(&report, 160, false, true, &out);
    assert_int_equal(0, strncmp(text, "a\\x1b[31m\\x07\\x0d\\x0ab\\u{202e}\\xff\\u{9b}0m\n", 40));
    assert_has(text, "no\\x1b]0;owned\\x07");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static void test_long_name(void **state)
{
    struct sk_report report = {.copies = NAN, .pieces_missing = -1, .unseen_share_max = NAN};
    struct sk_buf out;
    char name[5000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    report.name = sk_mem_strdup(name);
    const char *text = render(&report, 80, false, true, &out);
    assert_int_equal(80, sk_ink_width(line_of(text, "xxx")));
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static void test_completeness(void **state)
{
    static const struct {
        uint32_t connected;
        double copies;
        int64_t missing;
        const char *line;
    } cases[] = {
        {3, 1.25, 0, "yes: 1.25 distributed copies, 1 peer holds the rarest piece"},
        {3, 2, 0, "yes: 2.00 distributed copies, 2 peers hold the rarest piece"},
        {3, 0.99, 25, "not from the peers seen: none of them holds 25 of the 2,516 pieces (0.9%)"},
        {3, NAN, -1, "unknown: no peer told which pieces it holds"},
        {0, NAN, -1, "unknown: no peer was reached"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_report report = {.has_metadata = true, .pieces = 2516, .unseen_share_max = NAN};
        struct sk_buf out;
        char line[256];
        report.connected = cases[i].connected;
        report.copies = cases[i].copies;
        report.pieces_missing = cases[i].missing;
        snprintf(line, sizeof line, "\nComplete     %s\n", cases[i].line);
        assert_has(render(&report, 100, false, true, &out), line);
        sk_buf_deinit(&out);
    }
}

static void test_hidden(void **state)
{
    static const char how[] = "the method";
    static const struct {
        double estimate, low, high;
        const char *how, *line;
    } cases[] = {
        {12.3, 3.2, 29.1, how,
         "about 12 more peers (3 to 30) that no source told (95 %, the method)"},
        {0.6, 0.2, 1, how, "about 1 more peer (0 to 1) that no source told (95 %, the method)"},
        {0.2, 0, 0.9, how, "about 0 more peers (0 to 1) that no source told (95 %, the method)"},
        {7.4, 2, NAN, how, "at least about 7 more peers that no source told (the method)"},
        {NAN, NAN, NAN, NULL,
         "unknown how many more there are: that takes sources that tell some peers in common, and "
         "some "
         "not"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_report report = {.connected = 3,
                                   .copies = NAN,
                                   .pieces_missing = -1,
                                   .unseen_share_max = NAN,
                                   .hidden = cases[i].estimate,
                                   .hidden_low = cases[i].low,
                                   .hidden_high = cases[i].high,
                                   .hidden_how = cases[i].how};
        struct sk_buf out;
        char line[256];
        snprintf(line, sizeof line, "\nNot told     %s\n", cases[i].line);
        assert_has(render(&report, 120, false, true, &out), line);
        sk_buf_deinit(&out);
    }
}

static void test_empty_report(void **state)
{
    struct sk_report report = {.copies = NAN,
                               .pieces_missing = -1,
                               .unseen_share_max = NAN,
                               .seconds = 5.2,
                               .stopped = SK_STOPPED_TIME};
    struct sk_buf out;
    assert_string_equal("(name unknown)\n"
                        "0000000000000000000000000000000000000000 (no peer gave the metadata)\n"
                        "\n"
                        "Complete     unknown: no peer was reached\n"
                        "Peers        0 known: 0 connected (0 seeds, 0 leechers), 0 failed\n"
                        "Delivered    0 B by 0 peers, 0 blocks verified\n"
                        "\n"
                        "Partial result: time ran out after 5.2 s.\n",
                        render(&report, 80, false, true, &out));
    sk_buf_deinit(&out);
    report.stopped = SK_STOPPED_INTERRUPTED;
    snprintf(report.stop_rule, sizeof report.stop_rule, "you pressed Ctrl-C!");
    assert_has(render(&report, 80, false, true, &out),
               "\nPartial result: interrupted after 5.2 s: you pressed Ctrl-C!\n");
    sk_buf_deinit(&out);
}

/* Of many peers the most interesting are shown, and it says what the others are. */
static void test_many_peers(void **state)
{
    enum { PEERS = 3000 };
    struct sk_report report = {
        .copies = NAN, .pieces_missing = -1, .unseen_share_max = NAN, .peers_count = PEERS};
    struct sk_buf out;
    report.peers = sk_mem_calloc(PEERS, sizeof *report.peers);
    for (unsigned i = 0; i < PEERS; i++) {
        sample_fill_peer(&sample_peers[i % SK_ARRAY_LEN(sample_peers)], i, &report.peers[i]);
        report.peers[i].endpoint.port = (uint16_t)(2000 + i);
        report.peers[i].blocks_corrupt = 0;
    }
    report.peers[14].blocks_corrupt = 5; /* an idle one that is worth to be seen */
    assert_int_equal(0, sk_report_summarize(&report, NULL));
    const char *text = render(&report, 120, false, true, &out);
    size_t rows = 0;
    for (const char *at = strstr(text, "\nPEER"); strncmp(at + 1, "...", 3); rows++)
        at = strchr(at + 1, '\n');
    assert_int_equal(1 + SK_REPORT_PEERS_SOME, rows);
    assert_has(text, "\n... and 1560 more (--format=csv lists all): 861 served, 400 choked, "
                     "299 idle\n");
    assert_has(line_of(text, "192.0.2.151:2014"), "✗5");
    assert_has(text, " 12 MB/s"); /* and the fastest */
    assert_has(text, "\nconnect-timeout             400  ");
    assert_has(line_of(text, "connect-timeout"), ", ...");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static void test_anonymous(void **state)
{
    struct sk_anonymizer anonymizer;
    struct sk_report report;
    struct sk_buf out;
    sk_anonymizer_init(&anonymizer, key);
    const struct sk_report_style style = {&anonymizer};
    const struct sk_screen screen = {.columns = 160, .utf8 = true};
    sample_report(&report);
    sk_buf_init(&out, 1u << 20);
    assert_int_equal(0, sk_report_write_text(&report, &screen, &style, &out));
    sk_buf_append(&out, "", 1);
    static const char *const addresses[] = {"192.0.2.", "198.51.100.", "203.0.113.", "2001:db8"};
    for (size_t i = 0; i < SK_ARRAY_LEN(addresses); i++)
        assert_lacks((char *)out.p, addresses[i]);
    assert_has((char *)out.p, " is peer-");
    assert_has((char *)out.p, "connection refused by peer-");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static void test_without_memory(void **state)
{
    const struct sk_screen screen = {.columns = 100, .utf8 = true, .colour = true};
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    sk_buf_init(&out, 1u << 20);
    sk_mem_fail_nth(0);
    assert_int_equal(0, sk_report_write_text(&report, &screen, &open_style, &out));
    size_t allocations = sk_mem_fail_nth(0), whole = out.n;
    sk_buf_deinit(&out);
    for (size_t nth = 1; nth <= allocations; nth++) {
        sk_buf_init(&out, 1u << 20);
        sk_mem_fail_nth(nth);
        assert_int_equal(SKEP_ERR_NOMEM, sk_report_write_text(&report, &screen, &open_style, &out));
        sk_buf_deinit(&out);
    }
    sk_mem_fail_nth(0);
    for (size_t max = 0; max < whole; max += 97) {
        sk_buf_init(&out, max);
        assert_int_equal(SKEP_ERR_NOMEM, sk_report_write_text(&report, &screen, &open_style, &out));
        sk_buf_deinit(&out);
    }
    sk_report_deinit(&report);
}

static void test_fit(void **state)
{
    static const struct {
        const char *text;
        unsigned columns;
        enum sk_ink_cut cut;
        const char *fitted;
    } cases[] = {
        {"abc", 3, SK_INK_CUT_END, "abc"},
        {"abcd", 3, SK_INK_CUT_END, "ab…"},
        {"abcdef", 5, SK_INK_CUT_MIDDLE, "ab…ef"},
        {"abcdef", 4, SK_INK_CUT_MIDDLE, "ab…f"},
        {"abc", 1, SK_INK_CUT_END, "…"},
        {"abc", 0, SK_INK_CUT_END, ""},
        {"迅雷迅雷", 5, SK_INK_CUT_END, "迅雷…"},
        {"迅雷迅雷", 4, SK_INK_CUT_END, "迅…"}, /* half a character is not shown */
        {"迅雷迅雷", 6, SK_INK_CUT_MIDDLE, "迅…雷"},
        {"e\xcc\x81"
         "e\xcc\x81"
         "e",
         2, SK_INK_CUT_END, "e\xcc\x81…"},
    };
    const struct sk_screen screen = {.columns = 80, .utf8 = true};
    char fitted[64];
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++)
        assert_string_equal(cases[i].fitted, sk_ink_fit(&screen, cases[i].text, cases[i].columns,
                                                        cases[i].cut, fitted, sizeof fitted));
    /* more combining characters than there is room for */
    char many[400] = "";
    for (int i = 0; i < 199; i++)
        strcat(many, "\xcc\x81");
    sk_ink_fit(&screen, many, 10, SK_INK_CUT_END, fitted, sizeof fitted);
    assert_string_equal("…", fitted);
}

static void test_what_is_inferred(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    const char *text = render(&report, 200, false, true, &out);
    assert_has(text, "CAPACITY");
    assert_has(text, "8.4 MB/s ±0.7");
    assert_has(text, "5.5 MB/s");
    assert_has(text, "61 kB/s");
    assert_has(text, "\nREPORTS 1 false, 1 consistent, 1 cannot be told\n"
                     "192.0.2.7:51413 Transmission 4.0.5\n"
                     "  claim        uploaded 4.0 GiB from 10:02 to 10:32\n"
                     "  evidence     all others gained 1.1 GiB");
    assert_has(text, "\n  ruled out    restart, clock skew, hidden peers\n"
                     "  error rate   0.0001 (6 announces)\n"
                     "  cannot tell  1: it was not watched\n"
                     "  consistent   1\n"
                     "  clock        the tracker's is 0.2 s behind ours, give or take 1.1 s "
                     "(own announces: 7)\n");
    assert_has(text, "7.0 MiB  6.0 MiB to 8.0 MiB");
    assert_has(text, "\n... and 1 flow (1.0 MiB) that may be from another source (--format=json");
    assert_has(text,
               "\nTracers: 2 pieces were offered to one peer each, 1 taken (256 KiB); others "
               "gained them 3 times after that, 3 times of pieces that nobody else had held.\n");
    sk_buf_deinit(&out);
    report.tracers_count = 1;
    report.tracers[0].spread_to = 1;
    text = render(&report, 200, false, true, &out);
    assert_has(text, "\nTracers: 1 piece was offered to one peer, 1 taken (256 KiB); others gained "
                     "it 1 time after that, 1 time of pieces that nobody else had held.\n");
    sk_buf_deinit(&out);
    for (size_t i = 0; i < report.peers_count; i++)
        report.peers[i].verdict.result = SK_VERDICT_NONE;
    report.flows_count = report.tracers_count = 0;
    text = render(&report, 200, false, true, &out);
    assert_lacks(text, "REPORTS");
    assert_lacks(text, "FROM");
    assert_lacks(text, "Tracers");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

/* Why a peer was not reached is said in full, whatever the width. */
static void test_long_reasons(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    for (size_t i = 0; i < report.peers_count; i++)
        if (report.peers[i].outcome == SK_OUTCOME_PROTOCOL_ERROR)
            report.peers[i].reason = "bitfield of a wrong length for it";
    for (size_t i = 0; i < report.failed_count; i++)
        if (strncmp(report.failed[i].name, "bitfield", 8) == 0)
            report.failed[i].name = "bitfield of a wrong length for it";
    const char *text = render(&report, 80, false, true, &out);
    assert_has(text, "\nbitfield of a wrong length for it    1  192.0.2.203:6882\n");
    assert_has(text, "\nrefused                              2  203.0.113.52:6881, ");
    sk_buf_deinit(&out);
    text = render(&report, 60, false, true, &out);
    assert_has(text, "\nbitfield of a wrong length for it\n"
                     "                     1  192.0.2.203:6882\n");
    assert_has(text, "\nconnect-timeout      4  198.51.100.200:8999,\n");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

/* A list of what nobody can know helps nobody. */
static void test_flows_that_cannot_be_told(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    report.flows[0].ambiguous = true;
    const char *text = render(&report, 200, false, true, &out);
    assert_has(text, "\nFLOWS cannot be told: of each of the 2 estimated (8.0 MiB in all) another");
    assert_lacks(text, "FROM");
    sk_buf_deinit(&out);
    sk_mem_free(report.flows);
    report.flows_count = SK_REPORT_FLOWS_SOME + 3;
    report.flows = sk_mem_calloc(report.flows_count, sizeof *report.flows);
    for (size_t i = 0; i < report.flows_count; i++)
        report.flows[i] =
            (struct sk_report_flow){.bytes = 2 << 20, .low = 1 << 20, .high = 3 << 20};
    report.flows[0].ambiguous = true;
    text = render(&report, 200, false, true, &out);
    assert_has(text, "\n... and 2 more flows, and 1 (2.0 MiB) that may be from another source (");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

/* What differs by its figures alone is one reason. */
static void test_reasons_are_counted_by_kind(void **state)
{
    struct sk_report report;
    struct sk_buf out;
    sample_report(&report);
    for (size_t i = 0; i < 5; i++) {
        struct sk_verdict *verdict = &report.peers[i].verdict;
        *verdict = (struct sk_verdict){.result = SK_VERDICT_CANNOT_TELL, .error_rate = NAN};
        verdict->why = i < 4 ? "loose" : "few";
        snprintf(verdict->evidence, sizeof verdict->evidence, "at most %zu.0 MB", i);
    }
    const char *text = render(&report, 200, false, true, &out);
    assert_has(text, "\n  cannot tell  4: it may have uploaded more than twice as much\n"
                     "  cannot tell  1: at most 4.0 MB\n");
    sk_buf_deinit(&out);
    report.peers[0].verdict.why = NULL; /* an older version wrote it */
    text = render(&report, 200, false, true, &out);
    assert_has(text, "\n  cannot tell  3: it may have uploaded more than twice as much\n"
                     "  cannot tell  1: at most 0.0 MB\n"
                     "  cannot tell  1: at most 4.0 MB\n");
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
}

static void test_bar(void **state)
{
    const struct sk_screen screen = {.utf8 = true}, ascii = {0};
    char bar[64];
    assert_string_equal("", sk_ink_bar(&screen, 0, 4, bar, sizeof bar));
    assert_string_equal("", sk_ink_bar(&screen, NAN, 4, bar, sizeof bar));
    assert_string_equal("▏", sk_ink_bar(&screen, 1e-9, 4, bar, sizeof bar));
    assert_string_equal("██", sk_ink_bar(&screen, 0.5, 4, bar, sizeof bar));
    assert_string_equal("███▉", sk_ink_bar(&screen, 0.999999, 4, bar, sizeof bar));
    assert_string_equal("████", sk_ink_bar(&screen, 1, 4, bar, sizeof bar));
    assert_string_equal("████", sk_ink_bar(&screen, 7, 4, bar, sizeof bar));
    assert_string_equal("##", sk_ink_bar(&ascii, 0.5, 4, bar, sizeof bar));
    assert_string_equal("-", sk_ink_bar(&ascii, 0.01, 4, bar, sizeof bar));
    assert_string_equal("####", sk_ink_bar(&ascii, 1, 4, bar, sizeof bar));
}

static void test_wrap(void **state)
{
    const struct sk_screen screen = {.columns = 20, .utf8 = true};
    struct sk_buf out;
    sk_buf_init(&out, 1000);
    sk_ink_wrap(&screen, SK_INK_PLAIN, "one two three four five sixsevenseveneightnine", 4, &out);
    sk_buf_append(&out, "", 1);
    assert_string_equal("one two three\n    four five\n    sixsevenseveneig\n    htnine\n",
                        (char *)out.p);
    sk_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_120_columns),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_hostile_strings),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_completeness),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_empty_report),
        cmocka_unit_test(test_many_peers),
        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_what_is_inferred),
        cmocka_unit_test(test_reasons_are_counted_by_kind),
        cmocka_unit_test(test_flows_that_cannot_be_told),
        cmocka_unit_test(test_long_reasons),
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
