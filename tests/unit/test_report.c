/* The report's summary: what follows from the peers, and the names. */
#include "audit/report.h"

#include <skep/err.h>

#include "audit/observation.h"
#include "base/assert.h"
#include "base/mem.h"
#include "report_sample.h"
#include "swarm/source.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_counts(void **state)
{
    struct sk_report report;
    sample_report(&report);
    assert_int_equal(28, report.known); /* 30 without a duplicate and ourselves */
    assert_int_equal(16, report.connected);
    assert_int_equal(7, report.seeds);
    assert_int_equal(8, report.leechers);
    assert_int_equal(1, report.share_unknown);
    assert_int_equal(9, report.encrypted);
    assert_int_equal(7, report.plain);
    assert_int_equal(1, report.corrupt_peers);
    assert_true(report.delivered_bytes == 496u * SK_BLOCK_SIZE);
    sk_report_deinit(&report);
}

static uint32_t find(const struct sk_report_count *counts, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(counts[i].name, name) == 0)
            return counts[i].count;
    return 0;
}

static void test_reasons_and_clients(void **state)
{
    struct sk_report report;
    sample_report(&report);
    assert_string_equal("connect-timeout", report.failed[0].name);
    assert_int_equal(4, report.failed[0].count);
    assert_string_equal("refused", report.failed[1].name);
    assert_int_equal(1, find(report.failed, report.failed_count, "bitfield of a wrong length"));
    assert_int_equal(1, find(report.failed, report.failed_count, "port below 1024"));
    assert_int_equal(0, find(report.failed, report.failed_count, "duplicate"));
    uint32_t failed = 0;
    for (size_t i = 0; i < report.failed_count; i++)
        failed += report.failed[i].count;
    assert_int_equal(report.known, report.connected + failed);

    assert_string_equal("qBittorrent", report.clients[0].name);
    assert_int_equal(4, report.clients[0].count);
    assert_string_equal("Transmission", report.clients[1].name);
    assert_int_equal(3, report.clients[1].count);
    assert_int_equal(1, find(report.clients, report.clients_count, "unknown"));
    assert_int_equal(1, find(report.clients, report.clients_count, "rTorrent (libTorrent)"));
    assert_int_equal(1, find(report.clients, report.clients_count, "WebTorrent Desktop"));
    sk_report_deinit(&report);
}

static void test_order(void **state)
{
    struct sk_report report;
    sample_report(&report);
    /* within an outcome the larger share is first, then addresses go up; unknown shares last */
    for (size_t i = 1; i < report.peers_count; i++) {
        const struct sk_report_peer *a = &report.peers[i - 1], *b = &report.peers[i];
        assert_true(a->outcome <= b->outcome);
        if (a->outcome != b->outcome)
            continue;
        assert_true(a->has_share >= b->has_share);
        assert_true(!b->has_share || a->share >= b->share);
        if (a->has_share == b->has_share && (!a->has_share || a->share == b->share))
            assert_true(sk_endpoint_compare(&a->endpoint, &b->endpoint) < 0);
    }
    report.peers[0].outcome = SK_OUTCOME_UNTRIED;
    assert_int_equal(0, sk_report_summarize(&report, NULL));
    assert_int_equal(SK_OUTCOME_UNTRIED, report.peers[report.peers_count - 1].outcome);
    sk_report_deinit(&report);
}

/* A swarm of n seeds' worth of answers, with no peers but one so that something was seen. */
static void summarize(struct sk_report *report, const uint32_t *availability, uint32_t pieces)
{
    *report = (struct sk_report){.pieces = pieces, .has_metadata = true, .peers_count = 1};
    report->peers = sk_mem_calloc(1, sizeof *report->peers);
    report->peers[0] =
        (struct sk_report_peer){.outcome = SK_OUTCOME_OBSERVED, .has_share = true, .share = 0.5};
    assert_int_equal(0, sk_report_summarize(report, availability));
}

static void test_copies(void **state)
{
    static const struct {
        uint32_t availability[4];
        double copies;
        int64_t missing;
    } cases[] = {{{3, 3, 3, 3}, 3, 0},
                 {{1, 2, 2, 9}, 1.75, 0},
                 {{0, 0, 5, 5}, 0.5, 2},
                 {{0, 0, 0, 0}, 0, 4}};
    struct sk_report report;
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        summarize(&report, cases[i].availability, 4);
        assert_true(fabs(report.copies - cases[i].copies) < 1e-12);
        assert_int_equal(cases[i].missing, report.pieces_missing);
        sk_report_deinit(&report);
    }
}

static void test_copies_unknown(void **state)
{
    static const uint32_t nothing[4];
    struct sk_report report = {.pieces = 4, .has_metadata = true};
    /* nobody told what he holds: unknown, not 0 */
    assert_int_equal(0, sk_report_summarize(&report, nothing));
    assert_true(isnan(report.copies));
    assert_int_equal(-1, report.pieces_missing);
    sk_report_deinit(&report);
    /* no metadata: no pieces to count */
    summarize(&report, nothing, 0);
    assert_true(isnan(report.copies));
    sk_report_deinit(&report);
    summarize(&report, NULL, 4);
    assert_true(isnan(report.copies));
    sk_report_deinit(&report);
    sk_report_deinit(NULL);
}

/* A share that is not known makes neither a seed nor a leecher. */
static void test_share_unknown(void **state)
{
    struct sk_report report = {.peers_count = 2};
    report.peers = sk_mem_calloc(2, sizeof *report.peers);
    report.peers[0] = (struct sk_report_peer){.outcome = SK_OUTCOME_CHOKED, .share = 1};
    report.peers[1] =
        (struct sk_report_peer){.outcome = SK_OUTCOME_CHOKED, .has_share = true, .share = NAN};
    assert_int_equal(0, sk_report_summarize(&report, NULL));
    assert_int_equal(2, report.share_unknown);
    assert_int_equal(0, report.seeds + report.leechers);
    sk_report_deinit(&report);
}

static void test_summarize_without_memory(void **state)
{
    struct sk_report report;
    sample_report(&report);
    sk_mem_fail_nth(0);
    assert_int_equal(0, sk_report_summarize(&report, NULL));
    size_t allocations = sk_mem_fail_nth(0);
    assert_true(allocations > 10);
    const struct sk_report_count *clients = report.clients, *failed = report.failed;
    for (size_t i = 1; i <= allocations; i++) {
        sk_mem_fail_nth(i);
        assert_int_equal(SKEP_ERR_NOMEM, sk_report_summarize(&report, NULL));
        assert_ptr_equal(clients, report.clients);
        assert_ptr_equal(failed, report.failed);
    }
    sk_mem_fail_nth(0);
    sk_report_deinit(&report);
}

static void test_names(void **state)
{
    for (int i = 0; i < SK_OUTCOME_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(sk_peer_outcome_name((enum sk_peer_outcome)i),
                                    sk_peer_outcome_name((enum sk_peer_outcome)j));
    for (int i = 0; i < SK_OBS_KIND_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(sk_observation_kind_name((enum sk_observation_kind)i),
                                    sk_observation_kind_name((enum sk_observation_kind)j));
    assert_string_equal("wrong-info-hash", sk_peer_outcome_name(SK_OUTCOME_WRONG_INFO_HASH));
    assert_string_equal("tracker-claim", sk_observation_kind_name(SK_OBS_TRACKER_CLAIM));
    assert_string_equal("interrupted", sk_stopped_name(SK_STOPPED_INTERRUPTED));
    assert_string_equal("tracker", sk_source_name(0));
    assert_string_equal("incoming", sk_source_name(SK_SOURCE_COUNT - 1));
    assert_true(sk_peer_outcome_connected(SK_OUTCOME_OBSERVED));
    assert_false(sk_peer_outcome_connected(SK_OUTCOME_DUPLICATE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_reasons_and_clients),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copies_unknown),
        cmocka_unit_test(test_share_unknown),
        cmocka_unit_test(test_summarize_without_memory),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
