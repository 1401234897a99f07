/* The estimate of the network's size: its statistics in models, and on scripted and real nodes. */
#include "dht_stage.h"

#include "base/limits.h"
#include "proto/dht/density.h"

#include <math.h>

/* ---- the statistics ---- */

static struct sk_dht_density_estimate estimate(const struct sk_dht_density *density)
{
    uint32_t scratch[4096];
    struct sk_dht_density_estimate result;
    assert_true(density->zones <= SK_ARRAY_LEN(scratch));
    sk_dht_density_estimate(density, scratch, &result);
    return result;
}

static void test_all_counted(void **state)
{
    (void)state;
    uint32_t counts[] = {30};
    struct sk_dht_density density = {.counts = counts, .zones = 1, .tries = 3, .answered = {30}};
    struct sk_dht_density_estimate result = estimate(&density);
    assert_float_equal(result.estimate, 30, 1e-9);
    assert_float_equal(result.low, 30, 1e-9);
    assert_float_equal(result.high, 30, 1e-9);

    /* Chao: 6 * 5 / (2 * (4 + 1)) = 3 more. */
    density.told_once = 6;
    density.told_twice = 4;
    result = estimate(&density);
    assert_float_equal(result.estimate, 33, 1e-9);
    assert_float_equal(result.unseen, 3.0 / 33, 1e-9);
    assert_true(result.low >= 30 && result.low < 33 && result.high > 36);
    /* Two of them are known otherwise. */
    density.told_never = 2;
    assert_float_equal(estimate(&density).estimate, 31, 1e-9);

    /* A tenth misses each try: of n seen in two tries n / 99 are lost. */
    uint32_t many[] = {990};
    density =
        (struct sk_dht_density){.counts = many, .zones = 1, .tries = 2, .answered = {900, 90}};
    result = estimate(&density);
    assert_float_equal(result.estimate, 1000, 1e-6);
    assert_in_range((long)result.low, 990, 996);
    assert_in_range((long)result.high, 1004, 1014);
    /* One try tells nothing of that. */
    density = (struct sk_dht_density){.counts = many, .zones = 1, .tries = 1, .answered = {990}};
    assert_float_equal(estimate(&density).estimate, 990, 1e-9);
}

static void test_zones(void **state)
{
    (void)state;
    uint32_t counts[16];
    struct sk_dht_density density = {.zone_bits = 6, .counts = counts, .zones = 16, .tries = 1};
    for (unsigned i = 0; i < 16; i++)
        counts[i] = i % 2 ? 110 : 90;
    struct sk_dht_density_estimate result = estimate(&density);
    assert_float_equal(result.estimate, 6400, 1e-6);
    /* sqrt(n (1 - f)) = sqrt(1200) of 1600, by Student's quantile with 15 degrees of freedom and
     * the least dispersion. */
    double half = 2.12 * sqrt(1200 * 1.25) * 4;
    assert_float_equal(result.high - result.estimate, half, 4);
    assert_float_equal(result.estimate - result.low, half, 4);
    assert_float_equal(result.dispersion, 106.67 / 98.44, 0.01);

    /* A crowd in one zone is counted, but is no sample; a zone that could not be entered neither.
     */
    counts[3] = 2000;
    counts[4] = 0;
    for (unsigned i = 0; i < 16; i++)
        if (i != 3 && i != 4)
            counts[i] = 100;
    result = estimate(&density);
    assert_int_equal(result.left_out, 2);
    assert_float_equal(result.estimate, 63 * 100 + 2000, 1e-6);

    /* Zones that differ more than by chance make it less sure. */
    for (unsigned i = 0; i < 16; i++)
        counts[i] = i % 2 ? 140 : 60;
    struct sk_dht_density_estimate wide = estimate(&density);
    assert_int_equal(wide.left_out, 0);
    assert_true(wide.dispersion > 10);
    assert_true(wide.high - wide.low > 3 * (result.high - result.low));

    memset(counts, 0, sizeof counts);
    result = estimate(&density);
    assert_float_equal(result.estimate, 0, 0);
    assert_float_equal(result.low, 0, 0);
    assert_float_equal(result.high, 12, 1e-9);
}

static void test_guess(void **state)
{
    (void)state;
    double distances[] = {0.3, 0.008, 0.007, 0.0076666666666666, 0.0000001};
    assert_float_equal(sk_dht_density_guess(distances, 5, 8), 1000, 0.001);
    assert_float_equal(sk_dht_density_guess(distances, 0, 8), 0, 0);
    double zero[] = {0};
    assert_float_equal(sk_dht_density_guess(zero, 1, 8), 0, 0);
    /* 1.25 z^2 / p^2 of many; fewer where they are a good part of all. */
    assert_float_equal(sk_dht_density_needed(1e9, 0.02), 12005, 10);
    assert_float_equal(sk_dht_density_needed(10000, 0.02), 5456, 5);
    assert_true(sk_dht_density_needed(100, 0.02) < 100);
}

struct model {
    uint32_t nodes;
    double told, lost; /* mean number of tellers; share of tries lost */
    unsigned tries, bits, zones;
};

static unsigned poisson(struct sk_prng *prng, double mean)
{
    unsigned n = 0;
    for (double p = sk_prng_unit(prng); p > exp(-mean); p *= sk_prng_unit(prng))
        n++;
    return n;
}

/* Nodes with ids at random, of whom some are not told of and some answers are lost, are counted in
 * some zones. */
static struct sk_dht_density_estimate count_model(const struct model *model, struct sk_prng *prng)
{
    uint32_t counts[4096] = {0};
    struct sk_dht_density density = {
        .zone_bits = model->bits, .counts = counts, .zones = model->zones, .tries = model->tries};
    for (uint32_t i = 0; i < model->nodes; i++) {
        uint64_t zone = sk_prng_below(prng, UINT64_C(1) << model->bits);
        if (zone >= model->zones)
            continue;
        unsigned told = poisson(prng, model->told), tries = 0;
        while (tries < model->tries && sk_prng_unit(prng) < model->lost)
            tries++;
        if (!told || tries == model->tries)
            continue;
        counts[zone]++;
        density.told_once += told == 1;
        density.told_twice += told == 2;
        density.answered[tries]++;
    }
    return estimate(&density);
}

static void test_coverage(void **state)
{
    (void)state;
    static const struct model models[] = {
        {10000, 8, 0.1, 2, 6, 34}, {10000, 3, 0.2, 2, 6, 34},   {10000, 8, 0.1, 3, 0, 1},
        {10000, 3, 0.1, 3, 0, 1},  {200000, 5, 0.3, 2, 10, 64}, {500, 4, 0.1, 3, 0, 1},
    };
    for (size_t m = 0; m < SK_ARRAY_LEN(models); m++) {
        const struct model *model = &models[m];
        struct sk_prng prng;
        sk_prng_init(&prng, m);
        unsigned held = 0;
        double bias = 0, width = 0, square = 0;
        for (unsigned run = 0; run < 100; run++) {
            struct sk_dht_density_estimate result = count_model(model, &prng);
            double error = result.estimate / model->nodes - 1;
            held += result.low <= model->nodes && model->nodes <= result.high;
            bias += error / 100;
            square += error * error / 100;
            width += (result.high - result.low) / 2 / model->nodes / 100;
        }
        assert_true(held >= 92);
        assert_true(fabs(bias) < 0.003);
        /* Not sure of less than it could be. */
        assert_true(width < 3.5 * sqrt(square) + 1.0 / model->nodes);
    }
}

/* ---- the task ---- */

static struct sk_dht_size_config v4(void)
{
    return (struct sk_dht_size_config){.family = SK_FAMILY_V4, .seed = 7};
}

static struct sk_dht_size_result size(struct stage *stage, const struct sk_dht_size_config *config)
{
    struct sk_dht_size_result result;
    assert_int_equal(sk_dht_size_new(config, stage->world.now_ns, &stage->task), 0);
    sk_dht_size_result(stage->task, &result);
    assert_true(isnan(result.estimate));
    stage_run(stage);
    assert_true(stage->done);
    assert_int_equal(sk_dht_task_deadline(stage->task), SK_TIME_NEVER);
    sk_dht_size_result(stage->task, &result);
    assert_non_null(result.method);
    return result;
}

static void fill(struct stage *stage, uint64_t seed, size_t live, size_t dead)
{
    stage_init(stage, seed, live + dead);
    for (size_t i = 0; i < live; i++)
        stage_actor(stage);
    for (size_t i = 0; i < dead; i++)
        stage_actor(stage)->dead = true;
    stage_join(stage);
}

static void test_small(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 7, 30, 400};
    for (size_t i = 0; i < SK_ARRAY_LEN(sizes); i++) {
        struct stage stage;
        fill(&stage, i, sizes[i], sizes[i] / 3);
        struct sk_dht_size_config config = v4();
        struct sk_dht_size_result result = size(&stage, &config);
        assert_int_equal(stage.error, 0);
        assert_int_equal(result.zone_bits, 0);
        assert_int_equal(result.nodes_seen, sizes[i]);
        assert_float_equal(result.estimate, sizes[i], 1e-9);
        assert_float_equal(result.low, sizes[i], 1e-9);
        assert_float_equal(result.high, sizes[i], 1e-9);
        assert_int_equal(result.id_fits, 0);
        stage_deinit(&stage);
    }
}

/* Names the last one too, whom nobody else knows. */
static size_t act_know_last(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                            uint8_t *ret_nodes)
{
    size_t size = stage_nearest(stage, actor, query->target, ret_nodes);
    const struct actor *last = &stage->actors[stage->count - 1];
    return size + sk_krpc_write_node(&last->contact, ret_nodes + size);
}

/* Where one is known to one only, there may be another whom nobody knows. */
static void test_told_once(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 71, 31);
    for (size_t i = 0; i < 31; i++)
        stage_actor(&stage)->hidden = i == 30;
    stage.actors[10].act = act_know_last;
    stage_join(&stage);
    struct sk_dht_size_config config = v4();
    struct sk_dht_size_result result = size(&stage, &config);
    assert_int_equal(result.nodes_seen, 31);
    assert_float_equal(result.estimate, 31, 1e-9);
    assert_float_equal(result.low, 31, 1e-9);
    assert_true(result.high >= 32 && result.high < 40);
    stage_deinit(&stage);
}

static void test_real_nodes(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, 2, 1);
    world_grow(&stage.world, 60, &(struct sk_dht_config){.version = "RN", .ids_by_address = true});
    struct sk_endpoint *first = &stage.world.nodes[1].endpoint;
    sk_dht_add_address(stage.world.nodes[0].dht, first, false, stage.world.now_ns);
    world_seconds(&stage.world, 60);
    struct sk_dht_size_config config = v4();
    struct sk_dht_size_result result = size(&stage, &config);
    assert_float_equal(result.estimate, 60, 0.5);
    assert_true(result.low <= 60 && result.high >= 60);
    sk_dht_task_free(stage.task, stage.world.nodes[0].dht);
    stage.done = false;
    for (size_t i = 1; i < stage.world.count; i += 3) {
        sk_dht_free(stage.world.nodes[i].dht);
        stage.world.nodes[i].dht = NULL;
    }
    stage.world.loss = 0.05;
    result = size(&stage, &config);
    assert_float_equal(result.estimate, 40, 1.5);
    assert_true(result.low <= 40 && result.high >= 40);
    stage_deinit(&stage);
}

/* Zones are enough where there are many; precision costs. */
static void test_zones_counted(void **state)
{
    (void)state;
    struct stage stage;
    fill(&stage, 21, 1500, 400);
    stage.partial = true;
    stage.world.loss = 0.05;
    struct sk_dht_size_config config = v4();
    config.precision = 0.06;
    struct sk_dht_size_result rough = size(&stage, &config);
    assert_int_equal(stage.error, 0);
    assert_true(rough.zone_bits >= 3);
    assert_true(rough.zones >= 16);
    assert_true(rough.low <= 1500 && 1500 <= rough.high);
    assert_true((rough.high - rough.low) / 2 <= 0.065 * rough.estimate);
    assert_true(rough.nodes_seen < 1100);
    assert_true(rough.unseen > 0.002 && rough.unseen < 0.03);
    assert_true(stage.progress >= 3);
    uint64_t queries = rough.queries;
    sk_dht_task_free(stage.task, stage.world.nodes[0].dht);
    stage.done = false;
    config.precision = 0.02; /* all, then */
    struct sk_dht_size_result fine = size(&stage, &config);
    assert_int_equal(fine.zone_bits, 0);
    assert_float_equal(fine.estimate, 1500, 8);
    assert_true(fine.low <= 1500 && 1500 <= fine.high);
    assert_true(fine.queries > queries);
    stage_deinit(&stage);
}

/* A crowd of ids in one place is not taken for what there is everywhere. */
static void test_crowd(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed < 33; seed++) {
        struct stage stage;
        fill(&stage, seed, 1800, 0);
        stage.partial = true;
        for (size_t i = 1200; i < 1800; i++) {
            stage.actors[i].contact.id[0] = 0x42;
            stage.actors[i].contact.id[1] = 0x42;
        }
        struct sk_dht_size_config config = v4();
        config.precision = 0.1;
        struct sk_dht_size_result result = size(&stage, &config);
        /* With those of the crowd that it came upon, or without. */
        assert_true(result.estimate > 1200 * 0.85 && result.estimate < 1800 * 1.1);
        assert_true(result.zones < 1u << result.zone_bits || result.left_out == 1);
        stage_deinit(&stage);
    }
}

/* Until there is a guess everybody names the same eight, whatever it is asked. */
static size_t act_shy(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                      uint8_t *ret_nodes)
{
    static const uint8_t somewhere[SK_DHT_ID_SIZE];
    struct sk_dht_size_result result;
    sk_dht_size_result(stage->task, &result);
    return stage_nearest(stage, actor, isnan(result.estimate) ? somewhere : query->target,
                         ret_nodes);
}

/* The first lookups find few; the count then meets many times what it should and begins again. */
static void test_wrong_guess(void **state)
{
    (void)state;
    struct stage stage;
    fill(&stage, 36, 9000, 0);
    stage.partial = true;
    for (size_t i = 0; i < stage.count; i++)
        stage.actors[i].act = act_shy;
    struct sk_dht_size_config config = v4();
    config.precision = 0.05;
    config.rate = 2000;
    struct sk_dht_size_result result = size(&stage, &config);
    assert_true(result.zone_bits >= 3);
    assert_true(result.nodes_seen < 5000);
    assert_true(result.queries > 8000 + result.nodes_seen); /* the first attempt's */
    assert_true(result.low <= 9000 && 9000 <= result.high);
    stage_deinit(&stage);
}

static void test_nobody(void **state)
{
    (void)state;
    struct stage stage;
    fill(&stage, 41, 0, 2);
    struct sk_dht_size_config config = v4();
    size(&stage, &config);
    assert_int_equal(stage.error, SKEP_ERR_NETWORK);
    sk_dht_task_free(stage.task, stage.world.nodes[0].dht);
    stage.done = false;
    config.family = SK_FAMILY_V6;
    size(&stage, &config);
    assert_int_equal(stage.error, SKEP_ERR_STATE);
    stage_deinit(&stage);

    struct sk_dht_task *task = NULL;
    const double wrong[] = {-0.1, 0.001, 1.5, NAN};
    for (size_t i = 0; i < SK_ARRAY_LEN(wrong); i++) {
        config = v4();
        config.precision = wrong[i];
        assert_int_equal(sk_dht_size_new(&config, 0, &task), SKEP_ERR_INVALID);
    }
    config = v4();
    config.parallel = SK_DHT_CRAWL_UNDER_WAY_MAX + 1;
    assert_int_equal(sk_dht_size_new(&config, 0, &task), SKEP_ERR_INVALID);
    config = v4();
    config.family = SK_FAMILY_NONE;
    assert_int_equal(sk_dht_size_new(&config, 0, &task), SKEP_ERR_INVALID);
}

static void set_few_dead(struct stage *stage)
{
    fill(stage, 61, 20, 3);
}

static int make_size(uint64_t now_ns, struct sk_dht_task **ret_task)
{
    struct sk_dht_size_config config = v4();
    return sk_dht_size_new(&config, now_ns, ret_task);
}

static void check_estimate(const struct stage *stage)
{
    struct sk_dht_size_result result;
    sk_dht_size_result(stage->task, &result);
    assert_true(result.estimate > 15 && result.estimate < 25);
}

static const struct stage_play play = {set_few_dead, make_size, check_estimate};

static void test_cancel(void **state)
{
    (void)state;
    stage_cancel_sweep(&play);
}

static void test_no_memory(void **state)
{
    (void)state;
    size_t refused, ended;
    stage_memory_sweep(&play, &refused, &ended);
    assert_int_equal(refused, 1);
    assert_true(ended >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_counted), cmocka_unit_test(test_zones),
        cmocka_unit_test(test_guess),       cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_small),       cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_real_nodes),  cmocka_unit_test(test_zones_counted),
        cmocka_unit_test(test_crowd),       cmocka_unit_test(test_wrong_guess),
        cmocka_unit_test(test_nobody),      cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
