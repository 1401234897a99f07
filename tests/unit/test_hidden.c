/* Peers that no source told: published tables, bounds by hand, and tables that say nothing. */
#include "audit/hidden.h"

#include "audit/census.h"
#include "base/assert.h"
#include "base/prng.h"
#include "swarm/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PAIR(a, b) (1u << ((1u << (a)) | (1u << (b))))

/* Hepatitis A in Taiwan, lists P, Q, E (Chao, Tsay, Lin, Shau and Chao 2001). */
static const struct sk_hidden_table hepatitis = {.lists = 3,
                                                 .cells = {0, 69, 55, 21, 63, 17, 18, 28}};
/* Diabetes in Casale Monferrato (Bruno et al. 1994), in the order 1111, 1110, ... 0001. */
static const uint32_t diabetes[] = {58, 157, 18, 104, 46, 650, 12, 709, 14, 20, 7, 74, 8, 182, 10};

static struct sk_hidden_table diabetes_table(void)
{
    struct sk_hidden_table table = {.lists = 4};
    for (uint32_t i = 0; i < SK_ARRAY_LEN(diabetes); i++) {
        uint32_t told = 15 - i, cell = 0;
        for (uint32_t list = 0; list < 4; list++)
            cell |= (told >> (3 - list) & 1) << list;
        table.cells[cell] = diabetes[i];
    }
    return table;
}

static struct sk_hidden estimate(const struct sk_hidden_table *table)
{
    struct sk_hidden hidden;
    sk_hidden_estimate(table, &hidden);
    return hidden;
}

static void test_three_lists_published(void **state)
{
    /* 271 were seen; independent lists say 388, all three interactions 1313. */
    assert_float_equal(271 + sk_hidden_fit(&hepatitis, 0), 388, 1);
    double all = sk_hidden_fit(&hepatitis, PAIR(0, 1) | PAIR(0, 2) | PAIR(1, 2));
    assert_float_equal(271 + all, 1313, 1);
    /* By hand, with all pairs: n100 n010 n001 n111 / n110 n101 n011. */
    assert_float_equal(all, 69.0 * 55 * 63 * 28 / (21.0 * 17 * 18), 0.1);
    /* And with 1-2, 1-3: lists 2 and 3 are independent where list 1 did not tell. */
    double two = sk_hidden_fit(&hepatitis, PAIR(0, 1) | PAIR(0, 2));
    assert_float_equal(two, 55.0 * 63 / 18, 0.1);
    struct sk_hidden hidden = estimate(&hepatitis);
    assert_true(hidden.low > 100 && hidden.low < hidden.estimate);
    assert_true(hidden.estimate < all + 30 && hidden.high > all);
    assert_true(hidden.most > hidden.estimate && hidden.most < hidden.high);
    assert_string_equal(hidden.how, "log-linear models of the sources");
}

static void test_four_lists_published(void **state)
{
    /* 2069 were seen; the model that was published says 2771. */
    struct sk_hidden_table table = diabetes_table();
    double fit =
        sk_hidden_fit(&table, PAIR(0, 1) | PAIR(0, 2) | PAIR(1, 2) | PAIR(1, 3) | PAIR(2, 3));
    assert_float_equal(2069 + fit, 2771, 1);
    struct sk_hidden hidden = estimate(&table);
    assert_true(hidden.low < fit && fit < hidden.high);
}

static void test_two_lists(void **state)
{
    /* Lincoln and Petersen: 30 * 20 / 60 = 10, and no upper end: the lists may be dependent. */
    struct sk_hidden_table table = {.lists = 2, .cells = {0, 30, 20, 60}};
    assert_float_equal(sk_hidden_fit(&table, 0), 10, 0.01);
    struct sk_hidden hidden = estimate(&table);
    assert_float_equal(hidden.estimate, 10.3, 0.6);
    assert_true(hidden.low > 3 && hidden.low < 8);
    assert_true(isnan(hidden.high) && isnan(hidden.most));
    assert_non_null(strstr(hidden.how, "bound"));
    /* Of three lists one that is empty, or the same as another, counts for nothing. */
    struct sk_hidden_table empty = {.lists = 3, .cells = {0, 30, 20, 60}};
    struct sk_hidden_table twins = {.lists = 3, .cells = {[1] = 30, [6] = 20, [7] = 60}};
    assert_float_equal(estimate(&empty).estimate, hidden.estimate, 1e-9);
    assert_float_equal(estimate(&twins).estimate, hidden.estimate, 1e-9);
    /* Who is known but told by none of them is not hidden. */
    table.cells[0] = 4;
    assert_float_equal(estimate(&table).estimate, hidden.estimate - 4, 0.6);
    table.cells[0] = 100;
    assert_null(estimate(&table).how);
}

static void test_repeated_answers(void **state)
{
    /* 9 / 10 * 20 * 19 / (2 * (9 + 1)) */
    assert_float_equal(sk_hidden_chao(10, 20, 9), 17.1, 1e-9);
    assert_float_equal(sk_hidden_chao(2, 5, 0), 5, 1e-9);
    struct sk_hidden_table table = {
        .lists = 3, .cells = {0, 100}, .draws = 10, .once = 20, .twice = 9};
    struct sk_hidden hidden = estimate(&table);
    assert_float_equal(hidden.estimate, 17.1, 1e-9);
    assert_true(hidden.low > 4 && hidden.low < 12);
    assert_true(isnan(hidden.high));
    assert_non_null(strstr(hidden.how, "repeated answers"));
    /* Of two lists it is what both tell that counts: answers of two kinds are not alike. */
    table.cells[1] = 30;
    table.cells[2] = 20;
    table.cells[3] = 60;
    assert_float_equal(estimate(&table).estimate, 10.3, 0.6);
}

static void assert_unknown(const struct sk_hidden_table *table)
{
    struct sk_hidden hidden = estimate(table);
    assert_null(hidden.how);
    assert_true(isnan(hidden.estimate) && isnan(hidden.low));
    assert_true(isnan(hidden.high) && isnan(hidden.most));
}

static void test_nothing_to_know(void **state)
{
    static const struct sk_hidden_table tables[] = {
        {.lists = 0},
        {.lists = 3},
        {.lists = 3, .cells = {7}},
        {.lists = 3, .cells = {0, 50}},
        {.lists = 3, .cells = {[7] = 50}},           /* the same list three times */
        {.lists = 2, .cells = {[3] = 50, [1] = 10}}, /* one within the other: at least nobody */
        {.lists = 3, .cells = {0, 50}, .draws = 9, .once = 1, .twice = 3},
        {.lists = 3, .cells = {0, 50}, .draws = 1, .once = 50},
        {.lists = 3, .cells = {0, 50}, .draws = 4, .once = 20},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(tables); i++)
        assert_unknown(&tables[i]);
}

static void test_sparse_tables(void **state)
{
    /* No two lists share a peer: a bound, not a guess. */
    struct sk_hidden_table apart = {.lists = 3, .cells = {[1] = 5, [2] = 5, [4] = 5}};
    struct sk_hidden hidden = estimate(&apart);
    assert_true(hidden.how == NULL || isnan(hidden.high));
    /* Nearly all told by all: few can be hidden, and that is said with an upper end. */
    struct sk_hidden_table full = {.lists = 3, .cells = {0, 2, 3, 10, 1, 5, 8, 300}};
    hidden = estimate(&full);
    assert_true(hidden.estimate < 3 && hidden.high < 100 && hidden.low < 1);
    /* The tracker tells everybody whom the others tell. */
    struct sk_hidden_table inside = {.lists = 3, .cells = {[1] = 40, [3] = 30, [5] = 25, [7] = 60}};
    hidden = estimate(&inside);
    assert_true(hidden.estimate < 3 && isfinite(hidden.high));
    /* Empty cells do not make it unknown. */
    struct sk_hidden_table holes = {.lists = 3, .cells = {0, 40, 0, 30, 30, 25, 0, 60}};
    assert_true(isfinite(estimate(&holes).high));
    /* Whatever the table, the figures are in order. */
    struct sk_prng prng;
    sk_prng_init(&prng, 11);
    for (int run = 0; run < 300; run++) {
        struct sk_hidden_table table = {.lists = 3};
        for (uint32_t cell = 0; cell < 8; cell++)
            table.cells[cell] = (uint32_t)sk_prng_below(&prng, 1u << sk_prng_below(&prng, 9));
        hidden = estimate(&table);
        if (!hidden.how)
            continue;
        assert_true(hidden.low >= 0 && hidden.low <= hidden.estimate);
        assert_true(isnan(hidden.high) ||
                    (hidden.estimate <= hidden.most + 1e-6 && hidden.most <= hidden.high + 1e-6));
        assert_int_equal(isnan(hidden.high), isnan(hidden.most));
    }
}

/* Independent lists of known size: the truth lies in the interval most of the time. */
static void test_independent_lists(void **state)
{
    struct sk_prng prng;
    int held = 0;
    sk_prng_init(&prng, 5);
    for (int run = 0; run < 40; run++) {
        struct sk_hidden_table table = {.lists = 3};
        for (int peer = 0; peer < 600; peer++) {
            uint32_t cell = 0;
            for (uint32_t list = 0; list < 3; list++)
                cell |= (uint32_t)(sk_prng_unit(&prng) < 0.5) << list;
            table.cells[cell]++;
        }
        double truth = table.cells[0];
        table.cells[0] = 0;
        struct sk_hidden hidden = estimate(&table);
        assert_true(fabs(hidden.estimate - truth) < 100);
        held += hidden.low <= truth && truth <= hidden.high;
    }
    assert_in_range(held, 36, 40);
}

/* ---- census ---- */

static void add(struct sk_census *census, unsigned sources, uint32_t told, double first,
                double second)
{
    sk_census_add(census, &(struct sk_census_peer){.sources = sources,
                                                   .told = told,
                                                   .told_s = {first, second},
                                                   .reached = true,
                                                   .watched_s = 50});
}

static void test_census_counts(void **state)
{
    struct sk_census census;
    sk_census_init(&census, 100, 7);
    add(&census, SK_SOURCE_TRACKER, 1, 10, 0);
    add(&census, SK_SOURCE_TRACKER | SK_SOURCE_DHT | SK_SOURCE_LSD, 2, 10, 14);
    add(&census, SK_SOURCE_INCOMING, 0, 0, 0);
    add(&census, SK_SOURCE_PEX | SK_SOURCE_GIVEN, 5, 60, 62);
    /* Not reached: nobody knows whether it exists. Gone: it is not hidden from anybody. */
    sk_census_add(&census, &(struct sk_census_peer){.sources = SK_SOURCE_PEX, .told = 1});
    sk_census_add(
        &census,
        &(struct sk_census_peer){
            .sources = SK_SOURCE_PEX, .told = 1, .reached = true, .left = true, .watched_s = 10});
    assert_int_equal(census.present, 4);
    assert_int_equal(census.left, 1);
    assert_int_equal(census.table.draws, 7);
    assert_int_equal(census.table.cells[0], 1);
    assert_int_equal(census.table.cells[SK_SOURCE_TRACKER], 1);
    assert_int_equal(census.table.cells[SK_SOURCE_TRACKER | SK_SOURCE_DHT], 1);
    assert_int_equal(census.table.cells[SK_SOURCE_PEX], 1);
    assert_int_equal(census.table.once, 1);
    assert_int_equal(census.table.twice, 1);
    /* One left in 210 s of watching, four are there; gaps of 90 (not over), 4 and 2 s, two ends. */
    assert_float_equal(sk_census_newcomers(&census), 1 / 210.0 * 4 * (90 + 4 + 2) / 2, 1e-9);
}

static void test_census_newcomers(void **state)
{
    struct sk_census census;
    struct sk_hidden still, moving;
    sk_census_init(&census, 100, 9);
    for (uint32_t cell = 1; cell < 8; cell++)
        for (uint32_t i = 0; i < hepatitis.cells[cell]; i++)
            add(&census, cell, 3, 80, 84); /* late gaps alone count: there are enough */
    for (int i = 0; i < 50; i++)
        add(&census, SK_SOURCE_TRACKER | SK_SOURCE_PEX | SK_SOURCE_DHT, 2, 5, 49);
    assert_float_equal(sk_census_newcomers(&census), 0, 0);
    sk_census_estimate(&census, &still);
    for (int i = 0; i < 100; i++)
        sk_census_add(&census,
                      &(struct sk_census_peer){.reached = true, .left = true, .watched_s = 20});
    double newcomers = sk_census_newcomers(&census);
    assert_float_equal(newcomers, 100 / (321 * 50 + 2000.0) * 321 * 4, 1e-6);
    sk_census_estimate(&census, &moving);
    assert_float_equal(moving.estimate - still.estimate, newcomers / 2, 1e-3);
    assert_float_equal(moving.high - still.high, newcomers / 2, 1e-3);
    assert_float_equal(moving.most - still.most, newcomers, 1e-3);
}

static void test_census_unknown_gaps(void **state)
{
    struct sk_census census;
    struct sk_hidden hidden;
    sk_census_init(&census, 100, 3);
    for (uint32_t cell = 1; cell < 8; cell++)
        for (uint32_t i = 0; i < hepatitis.cells[cell]; i++)
            add(&census, cell, 1, 80, 0);
    sk_census_add(&census, &(struct sk_census_peer){.reached = true, .left = true});
    /* Somebody left, and nobody was told twice: how many newcomers there are is not known. */
    assert_true(isnan(sk_census_newcomers(&census)));
    sk_census_estimate(&census, &hidden);
    assert_null(hidden.how);
    assert_true(isnan(hidden.most));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_lists_published),
        cmocka_unit_test(test_four_lists_published),
        cmocka_unit_test(test_two_lists),
        cmocka_unit_test(test_repeated_answers),
        cmocka_unit_test(test_nothing_to_know),
        cmocka_unit_test(test_sparse_tables),
        cmocka_unit_test(test_independent_lists),
        cmocka_unit_test(test_census_counts),
        cmocka_unit_test(test_census_newcomers),
        cmocka_unit_test(test_census_unknown_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
