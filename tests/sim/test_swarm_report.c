/* What the tracker is told by clients of a simulated swarm: the truth, and each lie. */
#include "tests/sim/swarm_run.h"

/* ---- what the tracker is told ---- */

static double sum_up(const struct run *run)
{
    double sum = 0;
    for (size_t i = 0; i < sk_swarm_clients(run->swarm); i++)
        sum += (double)run_client(run, i)->uploaded;
    return sum;
}

static void test_honest_clients_report_what_they_did(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.clock_skew_s = 50;
    config.hash_fail = 0.02;
    struct run run;
    uint32_t completed = 0, started = 0;
    run_begin_and_run(&run, &config);
    double skew_s = run.swarm->skew_s;
    assert_true(fabs(skew_s) > 1);
    for (size_t i = 0; i < run.said_count; i++) {
        const struct sk_announce *said = &run.said[i];
        double t = said->at_unix_s - SK_SWARM_UNIX_S - skew_s;
        assert_true(t >= 0 && t <= config.seconds + 1);
        completed += said->event == SK_ANNOUNCE_COMPLETED;
        started += said->event == SK_ANNOUNCE_STARTED;
        assert_true(said->event != SK_ANNOUNCE_COMPLETED || said->left == 0);
    }
    assert_int_equal(started, config.peers);
    uint32_t complete = 0;
    for (uint32_t i = config.seeds; i < config.peers; i++)
        complete += run_client(&run, i)->held == config.pieces;
    assert_int_equal(completed, complete);
    /* Each a minute, and two more events. */
    assert_in_range(run.said_count, config.peers * 4, config.peers * 7);
    run_end(&run);
}

static void test_announces_come_late(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.clock_skew_s = 0;
    config.announce_late = 1;
    struct run run;
    run_begin_and_run(&run, &config);
    for (size_t i = 0; i < run.said_count; i++) {
        double t = run.said[i].at_unix_s - SK_SWARM_UNIX_S;
        assert_true(t >= 15 && (t < 20 || run.said[i].event != SK_ANNOUNCE_STARTED));
    }
    run_end(&run);
}

/* The auditor's lines lie between when it asked and when it was answered, by the tracker's clock;
 * and that it announces changes nothing else. */
static void test_the_auditor_announces(void **state)
{
    struct sk_swarm_config config = run_plain;
    config.clock_skew_s = 50;
    config.announce_late = 0.3;
    struct run without, run;
    run_begin_and_run(&without, &config);
    config.audit_announces = true;
    run_begin_and_run(&run, &config);
    size_t lines = 0, answers = 0, at = 0;
    double skew_s = run.swarm->skew_s;
    for (size_t i = 0; i < run.said_count; i++) {
        const struct sk_announce *said = &run.said[i];
        if (said->endpoint.family)
            continue;
        while (at < run.seen_count && run.seen[at].at.kind != SK_OBS_ANNOUNCED)
            at++;
        lines++;
        if (at == run.seen_count)
            continue; /* the last one is not answered yet */
        const struct sk_observation *answer = &run.seen[at++].at;
        double t = said->at_unix_s - SK_SWARM_UNIX_S - skew_s;
        double answered_s = (double)answer->at_ns / 1e9;
        assert_true(t <= answered_s && t >= answered_s - (double)answer->a / 1e6);
        assert_int_equal(answer->b, lines == 1);
        assert_int_equal(answer->b, said->event == SK_ANNOUNCE_STARTED);
        assert_true(answer->c == (int64_t)said->downloaded);
        answers++;
    }
    assert_in_range(lines, 4, 7);
    assert_in_range(answers, lines - 1, lines);
    assert_int_equal(run.said_count - lines, without.said_count);
    assert_true(sum_up(&run) == sum_up(&without));
    run_end(&run);
    run_end(&without);
}

static void test_announces_get_lost(void **state)
{
    struct sk_swarm_config config = run_plain;
    struct run all, some;
    run_begin_and_run(&all, &config);
    config.announce_loss = 0.3;
    run_begin_and_run(&some, &config);
    assert_true(fabs((double)some.said_count / (double)all.said_count - 0.7) < 0.1);
    assert_true(sum_up(&all) == sum_up(&some));
    run_end(&all);
    run_end(&some);
}

/* The same run with liars in it, and without: one announce beside the other. */
struct pair {
    struct run honest, lying;
    struct sk_swarm_cheats lie;
};

static void run_pair(struct pair *pair, struct sk_swarm_cheats lie)
{
    struct sk_swarm_config config = run_plain;
    pair->lie = lie;
    config.announce_interval_s = 30;
    run_begin_and_run(&pair->honest, &config);
    config.cheats = &pair->lie;
    config.cheats_count = 1;
    run_begin_and_run(&pair->lying, &config);
    uint32_t liars = 0;
    for (uint32_t i = 0; i < config.peers; i++)
        liars += run_client(&pair->lying, i)->cheat == lie.kind;
    assert_int_equal(liars, lie.count);
}

static void end_pair(struct pair *pair)
{
    run_end(&pair->honest);
    run_end(&pair->lying);
}

static uint32_t sayer(const struct run *run, const struct sk_announce *said)
{
    uint32_t i = 0;
    while (!sk_endpoint_equal(&run_client(run, i)->endpoint, &said->endpoint))
        i++;
    return i;
}

/* A liar's announces one after the other: NULL at the end. `ret_true` is what it should say. */
static const struct sk_announce *next_lie(const struct pair *pair, uint32_t liar, size_t *at,
                                          const struct sk_announce **ret_true)
{
    const struct run *run = &pair->lying;
    while (*at < run->said_count) {
        const struct sk_announce *said = &run->said[(*at)++];
        if (sayer(run, said) != liar)
            continue;
        for (size_t i = 0; i < pair->honest.said_count; i++) {
            *ret_true = &pair->honest.said[i];
            if ((*ret_true)->at_unix_s == said->at_unix_s && (*ret_true)->event == said->event &&
                memcmp((*ret_true)->peer_id, said->peer_id, 20) == 0)
                return said;
        }
        fail();
    }
    return NULL;
}

static bool is_liar(const struct pair *pair, uint32_t i)
{
    return run_client(&pair->lying, i)->cheat != SK_SWARM_HONEST;
}

/* Of the announces of honest clients nothing has changed; all counters only grow. */
static void check_honest(const struct pair *pair)
{
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_announce *said, *truth, *last = NULL;
        size_t at = 0;
        while ((said = next_lie(pair, i, &at, &truth))) {
            if (!is_liar(pair, i))
                assert_true(said->uploaded == truth->uploaded && said->left == truth->left &&
                            said->downloaded == truth->downloaded);
            assert_true(!last || (said->uploaded >= last->uploaded && said->left <= last->left &&
                                  said->downloaded >= last->downloaded));
            last = said;
        }
        assert_non_null(last);
    }
}

static double near(double a, double b)
{
    return fabs(a - b) <= 2;
}

static void test_uploaded_times_a_factor(void **state)
{
    struct pair pair;
    run_pair(&pair, (struct sk_swarm_cheats){SK_SWARM_UPLOAD_FACTOR, 6, 2.5, 0});
    check_honest(&pair);
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_announce *said, *truth;
        size_t at = 0;
        while (is_liar(&pair, i) && (said = next_lie(&pair, i, &at, &truth)))
            assert_true(near((double)said->uploaded, 2.5 * (double)truth->uploaded) &&
                        said->downloaded == truth->downloaded && said->left == truth->left);
    }
    end_pair(&pair);
}

static void test_ghost_upload(void **state)
{
    struct pair pair;
    run_pair(&pair, (struct sk_swarm_cheats){SK_SWARM_GHOST_UPLOAD, 6, 0, 50000});
    check_honest(&pair);
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_announce *said, *truth;
        size_t at = 0;
        while (is_liar(&pair, i) && (said = next_lie(&pair, i, &at, &truth))) {
            double t = said->at_unix_s - SK_SWARM_UNIX_S;
            assert_true(fabs((double)(said->uploaded - truth->uploaded) - 50000 * t) < 10000);
        }
    }
    end_pair(&pair);
}

static void test_less_download(void **state)
{
    struct pair pair;
    run_pair(&pair, (struct sk_swarm_cheats){SK_SWARM_LESS_DOWNLOAD, 6, 0.5, 0});
    check_honest(&pair);
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_announce *said, *truth;
        size_t at = 0;
        while (is_liar(&pair, i) && (said = next_lie(&pair, i, &at, &truth)))
            assert_true(near((double)said->downloaded, 0.5 * (double)truth->downloaded) &&
                        said->uploaded == truth->uploaded && said->left == truth->left);
        assert_false(is_liar(&pair, i) && run_client(&pair.lying, i)->downloaded == 0);
    }
    end_pair(&pair);
}

static void test_a_fake_seed_says_that_it_lacks_nothing(void **state)
{
    struct sk_swarm_config config = run_plain;
    const struct sk_swarm_cheats lie = {SK_SWARM_FAKE_SEED, 5, 0, 20000};
    config.cheats = &lie;
    config.cheats_count = 1;
    struct run run;
    run_begin_and_run(&run, &config);
    uint32_t announces = 0;
    for (size_t i = 0; i < run.said_count; i++) {
        const struct sk_announce *said = &run.said[i];
        const struct sk_swarm_client *c = run_client(&run, sayer(&run, said));
        if (c->cheat != SK_SWARM_FAKE_SEED)
            continue;
        announces++;
        assert_true(said->left == 0 && said->downloaded == 0);
        assert_true(said->event != SK_ANNOUNCE_COMPLETED);
        assert_true(c->held <= config.pieces / 20 && c->downloaded == 0);
        double t = said->at_unix_s - SK_SWARM_UNIX_S;
        assert_true((double)said->uploaded > 20000 * t - 10000);
        assert_int_equal(run_first_set(&run, c), c->held);
    }
    assert_true(announces >= 5 * 5);
    run_check_bytes(&run, &config);
    run_end(&run);
}

static void test_a_partial_seed_says_that_it_lacks_more(void **state)
{
    struct pair pair;
    run_pair(&pair, (struct sk_swarm_cheats){SK_SWARM_PARTIAL_SEED, 10, 0.4, 0});
    check_honest(&pair);
    uint64_t size = (uint64_t)run_plain.pieces * run_plain.piece_size;
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_announce *said, *truth;
        size_t at = 0;
        while (is_liar(&pair, i) && (said = next_lie(&pair, i, &at, &truth))) {
            double left = (double)truth->left + 0.4 * (double)(size - truth->left);
            /* Whose `left` counts blocks lies about whole pieces only. */
            assert_true(fabs((double)said->left - left) < 0.01 * (double)size);
            assert_true(said->event != SK_ANNOUNCE_COMPLETED);
            assert_true(said->left > 0);
        }
    }
    end_pair(&pair);
}

static void test_who_rotates_lies_every_other_time(void **state)
{
    struct pair pair;
    run_pair(&pair, (struct sk_swarm_cheats){SK_SWARM_ROTATES, 6, 3, 0});
    check_honest(&pair);
    for (uint32_t i = 0; i < run_plain.peers; i++) {
        const struct sk_announce *said, *truth;
        struct sk_announce said_last = {0}, truth_last = {0};
        size_t at = 0;
        for (uint32_t n = 0; is_liar(&pair, i) && (said = next_lie(&pair, i, &at, &truth)); n++) {
            double claimed = (double)(said->uploaded - said_last.uploaded);
            double real = (double)(truth->uploaded - truth_last.uploaded);
            assert_true(near(claimed, n % 2 ? 3 * real : real));
            said_last = *said;
            truth_last = *truth;
        }
    }
    end_pair(&pair);
}

/* What one of a pair made up by its last announce before `t`: of upload and download. */
static double made_up(const struct pair *pair, uint32_t liar, double t, double *ret_at)
{
    const struct sk_announce *said, *truth;
    double bytes = 0;
    size_t at = 0;
    *ret_at = 0;
    while ((said = next_lie(pair, liar, &at, &truth)) && said->at_unix_s - SK_SWARM_UNIX_S < t) {
        bytes = (double)(said->uploaded - truth->uploaded) +
                (double)(said->downloaded - truth->downloaded);
        *ret_at = said->at_unix_s - SK_SWARM_UNIX_S;
    }
    return bytes;
}

static void test_colluders_keep_the_sums_equal(void **state)
{
    const double factors[] = {0, 2}, ghosts[] = {80000, 0};
    for (size_t n = 0; n < SK_ARRAY_LEN(factors); n++) {
        struct pair pair;
        run_pair(&pair, (struct sk_swarm_cheats){SK_SWARM_COLLUDES, 8, factors[n], ghosts[n]});
        check_honest(&pair);
        uint32_t claims_up = 0;
        for (uint32_t i = 0; i < run_plain.peers; i++) {
            const struct sk_swarm_client *c = run_client(&pair.lying, i);
            if (!is_liar(&pair, i)) {
                assert_int_equal(c->partner, i);
                continue;
            }
            assert_int_equal(run_client(&pair.lying, c->partner)->partner, i);
            if (c->partner < i)
                continue;
            double at, partner_at, rate = ghosts[n] > 0 ? ghosts[n] : c->up_bytes_s;
            double mine = made_up(&pair, i, run_plain.seconds, &at);
            double its = made_up(&pair, c->partner, run_plain.seconds, &partner_at);
            assert_true(mine > 0 && its > 0);
            assert_true(fabs(mine - its) <= rate * (fabs(at - partner_at) + 1));
            claims_up++;
        }
        assert_int_equal(claims_up, 4);
        end_pair(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest_clients_report_what_they_did),
        cmocka_unit_test(test_announces_come_late),
        cmocka_unit_test(test_the_auditor_announces),
        cmocka_unit_test(test_announces_get_lost),
        cmocka_unit_test(test_uploaded_times_a_factor),
        cmocka_unit_test(test_ghost_upload),
        cmocka_unit_test(test_less_download),
        cmocka_unit_test(test_a_fake_seed_says_that_it_lacks_nothing),
        cmocka_unit_test(test_a_partial_seed_says_that_it_lacks_more),
        cmocka_unit_test(test_who_rotates_lies_every_other_time),
        cmocka_unit_test(test_colluders_keep_the_sums_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
