#include "audit/hidden.h"

#include "base/assert.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#define CELLS SK_HIDDEN_CELLS_MAX
#define MODELS_MAX 113     /* hierarchical models of four lists without the highest interaction */
#define FIT_ROUNDS 200     /* of proportional fitting */
#define FIT_PRECISION 1e-8 /* relative change of a margin that ends it */
#define HIDDEN_TIMES_MAX 1000 /* more hidden peers than so many times the told ones: unbounded */
#define SEARCH_STEPS 40
#define WEIGHT_MIN 1e-3 /* models with less of the best one's weight are left out */
#define Z_95 1.959964
#define BOUND_MIN 0.5 /* a bound below half a peer says nothing */

/* The observed table with only the lists that tell something of their own. */
struct data {
    uint32_t lists, cells;
    double counts[CELLS]; /* [0] is filled in by the fit */
    double told;          /* peers in a list */
    double in_none;       /* known, in no list */
};

struct model {
    uint32_t terms;      /* interactions, bit `set` each */
    uint32_t kept;       /* the margins that it keeps, bit `set` each */
    uint32_t parameters; /* with the constant and the lists' own */
    double best;         /* the hidden cell at the highest likelihood */
    double likelihood;   /* logarithm of it there */
    double weight;
};

/* ---- one model ---- */

/* The terms of which no other is a superset: their margins are what the model keeps. */
static uint32_t generators(const struct data *data, uint32_t terms)
{
    uint32_t kept = 0;
    for (uint32_t list = 0; list < data->lists; list++)
        terms |= 1u << (1u << list);
    for (uint32_t set = 1; set < data->cells; set++) {
        bool is_inside = false;
        for (uint32_t other = set + 1; other < data->cells; other++)
            is_inside = is_inside || ((terms >> other & 1) && (set & other) == set);
        if ((terms >> set & 1) && !is_inside)
            kept |= 1u << set;
    }
    return kept;
}

/* Scales the fit to the data's margin over the lists of `set`; the largest relative change. */
static double scale_margin(const struct data *data, uint32_t set, double *fit)
{
    double wanted[CELLS] = {0}, have[CELLS] = {0}, change = 0;
    for (uint32_t cell = 0; cell < data->cells; cell++) {
        wanted[cell & set] += data->counts[cell];
        have[cell & set] += fit[cell];
    }
    for (uint32_t cell = 0; cell < data->cells; cell++) {
        double factor = have[cell & set] > 0 ? wanted[cell & set] / have[cell & set] : 0;
        fit[cell] *= factor;
        if (factor > 0)
            change = fmax(change, fabs(factor - 1));
    }
    return change;
}

/* The logarithm of the likelihood (up to a constant) with so many in the hidden cell; the rest of
 * the model is fitted by iterative proportional fitting. */
static double profile(struct data *data, uint32_t kept, double hidden)
{
    double total = data->told + hidden, fit[CELLS];
    data->counts[0] = hidden;
    for (uint32_t cell = 0; cell < data->cells; cell++)
        fit[cell] = total / data->cells;
    double change = 1;
    for (uint32_t round = 0; round < FIT_ROUNDS && change > FIT_PRECISION; round++) {
        change = 0;
        for (uint32_t set = 1; set < data->cells; set++)
            if (kept >> set & 1)
                change = fmax(change, scale_margin(data, set, fit));
    }
    double sum = 0;
    for (uint32_t cell = 0; cell < data->cells; cell++)
        if (data->counts[cell] > 0)
            sum += data->counts[cell] * log(fit[cell]);
    return hidden > 0 ? sum - hidden * log(hidden) : sum;
}

static double hidden_max(const struct data *data)
{
    return HIDDEN_TIMES_MAX * (data->told + 1);
}

/* Golden section over the logarithm of the hidden cell: from none at all to the most. */
static void maximise(struct data *data, struct model *model)
{
    const double ratio = (sqrt(5) - 1) / 2;
    uint32_t kept = model->kept = generators(data, model->terms);
    double low = log(data->in_none + 0.5), high = log(hidden_max(data));
    double a = high - ratio * (high - low), b = low + ratio * (high - low);
    double at_a = profile(data, kept, exp(a) - 0.5), at_b = profile(data, kept, exp(b) - 0.5);
    for (uint32_t step = 0; step < SEARCH_STEPS; step++) {
        if (at_a >= at_b) {
            high = b;
            b = a;
            at_b = at_a;
            a = high - ratio * (high - low);
            at_a = profile(data, kept, exp(a) - 0.5);
        } else {
            low = a;
            a = b;
            at_a = at_b;
            b = low + ratio * (high - low);
            at_b = profile(data, kept, exp(b) - 0.5);
        }
    }
    model->best = exp((low + high) / 2) - 0.5;
    model->likelihood = profile(data, kept, model->best);
}

/* ---- all models ---- */

/* Whether with each interaction all those inside it are there. */
static bool is_hierarchical(const struct data *data, uint32_t terms)
{
    for (uint32_t set = 1; set < data->cells; set++)
        for (uint32_t inside = (set - 1) & set; (terms >> set & 1) && inside;
             inside = (inside - 1) & set)
            if (__builtin_popcount(inside) > 1 && !(terms >> inside & 1))
                return false;
    return true;
}

static uint32_t list_models(struct data *data, struct model *models)
{
    uint32_t sets[CELLS], sets_count = 0, count = 0;
    for (uint32_t set = 1; set + 1 < data->cells; set++)
        if (__builtin_popcount(set) > 1)
            sets[sets_count++] = set;
    for (uint32_t choice = 0; choice < 1u << sets_count; choice++) {
        struct model model = {.parameters = 1 + data->lists + (uint32_t)__builtin_popcount(choice)};
        for (uint32_t i = 0; i < sets_count; i++)
            model.terms |= (choice >> i & 1) << sets[i];
        if (!is_hierarchical(data, model.terms))
            continue;
        SK_ASSERT(count < MODELS_MAX);
        maximise(data, &model);
        models[count++] = model;
    }
    return count;
}

/*
 * Akaike's criterion with half its penalty: each interaction is held for likelier than not
 * beforehand, by odds of exp(1/2), since the sources of a swarm are hardly ever independent.
 * Without it the intervals of dependent sources are too narrow (docs/MEASURING.md).
 */
static double criterion(const struct model *model)
{
    return model->parameters - 2 * model->likelihood;
}

/* The models' weights; those of next to none are dropped. Returns how many stay. */
static uint32_t weigh(struct model *models, uint32_t count)
{
    double least = INFINITY, sum = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        least = fmin(least, criterion(&models[i]));
    for (uint32_t i = 0; i < count; i++) {
        models[i].weight = exp((least - criterion(&models[i])) / 2);
        if (models[i].weight < WEIGHT_MIN)
            continue;
        sum += models[i].weight;
        models[kept++] = models[i];
    }
    for (uint32_t i = 0; i < kept; i++)
        models[i].weight /= sum;
    return kept;
}

/* The share of confidence that the averaged models put below so many hidden. */
static double confidence(struct data *data, const struct model *models, uint32_t count,
                         double hidden)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        double at = profile(data, models[i].kept, hidden);
        double root = sqrt(fmax(0, 2 * (models[i].likelihood - at)));
        double z = hidden < models[i].best ? -root : root;
        sum += models[i].weight * erfc(-z / sqrt(2)) / 2;
    }
    return sum;
}

/* The number of hidden peers with this share of the confidence below it. */
static double quantile(struct data *data, const struct model *models, uint32_t count, double share)
{
    double low = log(data->in_none + 0.5), high = log(hidden_max(data));
    if (confidence(data, models, count, data->in_none) >= share)
        return data->in_none;
    if (confidence(data, models, count, hidden_max(data)) < share)
        return INFINITY;
    for (uint32_t step = 0; step < SEARCH_STEPS; step++) {
        double middle = (low + high) / 2;
        if (confidence(data, models, count, exp(middle) - 0.5) < share)
            low = middle;
        else
            high = middle;
    }
    return exp((low + high) / 2) - 0.5;
}

static double beyond(const struct data *data, double in_none)
{
    return isinf(in_none) ? NAN : fmax(0, in_none - data->in_none);
}

/* The averaged models; of two lists there is one, and what it says is a bound. */
static struct sk_hidden average(struct data *data)
{
    struct model models[MODELS_MAX];
    uint32_t count = weigh(models, list_models(data, models));
    struct sk_hidden hidden = {
        .estimate = beyond(data, quantile(data, models, count, 0.5)),
        .low = beyond(data, quantile(data, models, count, 0.025)),
        .high = beyond(data, quantile(data, models, count, 0.975)),
        .most = beyond(data, quantile(data, models, count, 0.95)),
        .how = "log-linear models of the sources",
    };
    if (data->lists == 2) {
        hidden.high = hidden.most = NAN;
        hidden.how = "a lower bound, from two sources";
    } else if (isnan(hidden.high)) { /* they share too few peers */
        hidden.estimate = hidden.low;
        hidden.most = NAN;
        hidden.how = "a lower bound, from log-linear models of the sources";
    }
    return hidden;
}

/* ---- lists ---- */

/* Whether the two lists are one and the same. */
static bool is_same_list(const struct sk_hidden_table *table, uint32_t a, uint32_t b)
{
    uint32_t differ = 0;
    for (uint32_t cell = 0; cell < 1u << table->lists; cell++)
        if ((cell >> a & 1) != (cell >> b & 1))
            differ += table->cells[cell];
    return differ == 0;
}

/* Lists that told nobody, or the same as another, say nothing about what is hidden. */
static uint32_t lists_of_use(const struct sk_hidden_table *table)
{
    uint32_t use = 0;
    for (uint32_t list = 0; list < table->lists; list++) {
        uint32_t told = 0;
        bool is_new = true;
        for (uint32_t cell = 0; cell < 1u << table->lists; cell++)
            told += (cell >> list & 1) * table->cells[cell];
        for (uint32_t other = 0; other < list; other++)
            is_new = is_new && !((use >> other & 1) && is_same_list(table, list, other));
        if (told && is_new)
            use |= 1u << list;
    }
    return use;
}

static void gather(const struct sk_hidden_table *table, struct data *ret_data)
{
    uint32_t use = lists_of_use(table);
    struct data data = {.lists = (uint32_t)__builtin_popcount(use)};
    data.cells = 1u << data.lists;
    for (uint32_t cell = 0; cell < 1u << table->lists; cell++) {
        uint32_t packed = 0, at = 0;
        for (uint32_t list = 0; list < table->lists; list++)
            if (use >> list & 1)
                packed |= (cell >> list & 1) << at++;
        data.counts[packed] += table->cells[cell];
    }
    data.in_none = data.counts[0];
    for (uint32_t cell = 1; cell < data.cells; cell++)
        data.told += data.counts[cell];
    *ret_data = data;
}

/* With empty cells some models say nothing; a little in each lets all of them say something (Evans
 * and Bonett 1994: half for two lists, and half of that for each more). */
static void fill_cells(struct data *data)
{
    double little = 2.0 / data->cells;
    for (uint32_t cell = 1; cell < data->cells; cell++)
        data->counts[cell] += little;
    data->told += little * (data->cells - 1);
}

double sk_hidden_fit(const struct sk_hidden_table *table, uint32_t terms)
{
    struct data data;
    struct model model = {.terms = terms};
    gather(table, &data);
    maximise(&data, &model);
    return model.best > hidden_max(&data) / 2 ? INFINITY : model.best;
}

double sk_hidden_chao(double draws, double once, double twice)
{
    /* Bias-corrected: defined also where nobody was told twice. */
    return (draws - 1) / draws * once * (once - 1) / (2 * (twice + 1));
}

/* Chao's bound with its interval's lower end, by her variance and a log-normal distribution. */
static struct sk_hidden bound_draws(const struct sk_hidden_table *table, double in_none)
{
    struct sk_hidden hidden = {
        .high = NAN, .most = NAN, .how = "a lower bound, from repeated answers"};
    double twice = table->twice + 1.0, ratio = (table->once - 1.0) / twice;
    double bound = sk_hidden_chao(table->draws, table->once, table->twice);
    double variance = twice * (pow(ratio, 4) / 4 + pow(ratio, 3) + ratio * ratio / 2);
    double factor = exp(Z_95 * sqrt(log1p(variance / (bound * bound))));
    hidden.estimate = fmax(0, bound - in_none);
    hidden.low = fmax(0, bound / factor - in_none);
    return hidden;
}

void sk_hidden_estimate(const struct sk_hidden_table *table, struct sk_hidden *ret_hidden)
{
    struct data data;
    struct sk_hidden hidden = SK_HIDDEN_UNKNOWN;
    SK_ASSERT(table->lists <= SK_HIDDEN_LISTS_MAX);
    gather(table, &data);
    if (data.lists >= 2) {
        fill_cells(&data);
        hidden = average(&data);
    }
    /* Of one list alone: answers of two kinds are not draws alike, and what few told once and none
     * twice would be no bound. */
    if (data.lists == 1 && table->draws > 1 && table->once > 1 && table->twice)
        hidden = bound_draws(table, data.in_none);
    /* That at least nobody is missing says nothing. */
    bool is_empty = isnan(hidden.high) && !(hidden.estimate >= BOUND_MIN);
    *ret_hidden = is_empty ? SK_HIDDEN_UNKNOWN : hidden;
}
