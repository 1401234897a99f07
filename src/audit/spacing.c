#include "audit/spacing.h"

#include "base/assert.h"
#include "base/order.h"

#include <math.h>
#include <stdlib.h>

#define SHORTEST_S 0.0002f /* T: below it time stamps say nothing */
#define LONGEST_S 1.0f
#define BEYOND_S 64.0f   /* gaps so long say nothing at any T */
#define SAME 1.005f      /* gaps that may be of one T */
#define SAME_AS 1.001f   /* T that need not both be tried */
#define ABOUT 1.06f      /* gaps that noise may have made of one T */
#define SIZE_SLACK 0.02f /* of an arrival: a message's header is no block byte */
#define EARLY 0.3f       /* packets sooner than possible */
#define EARLY_COST (-2.3f)
#define SHORTEST 16 /* gaps of which each is tried, though no other is like it */
/* Shares of what a gap may be longer than a whole number of packets. */
#define ANYTHING 0.3f
#define EXACT 0.21f /* as stamps mostly are */
#define NEAR 0.21f  /* as they are at worst */
#define LATE 0.28f
#define PER_LATE (1 / SK_SPACING_LATE)
/* Standard deviations, in seconds and of the gap. */
#define EXACT_S 0.000025f
#define EXACT_SHARE 0.002f
#define NEAR_S 0.00015f
#define NEAR_SHARE 0.015f

struct gap {
    float seconds, packets;
};

/* Each figure in a list of its own: all gaps are looked at for each T, several at a time. */
struct gaps {
    float seconds[SK_SPACING_GAPS_MAX], packets[SK_SPACING_GAPS_MAX];
    uint32_t count;
    uint32_t segment; /* bytes of a full packet */
};

/* ---- gaps ---- */

/* The commonest size of arrivals that can be one packet or two; 0 where none is common. */
static uint32_t find_segment(const struct sk_arrival *list, uint32_t n)
{
    uint16_t counts[SK_SPACING_SEGMENT_MAX - SK_SPACING_SEGMENT_MIN + 1] = {0};
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        uint64_t bytes = list[i].bytes - list[i - 1].bytes;
        bytes = bytes > SK_SPACING_SEGMENT_MAX ? bytes / 2 : bytes;
        if (bytes >= SK_SPACING_SEGMENT_MIN && bytes <= SK_SPACING_SEGMENT_MAX) {
            uint32_t size = (uint32_t)bytes - SK_SPACING_SEGMENT_MIN;
            counts[size] = (uint16_t)SK_MIN(counts[size] + 1u, (unsigned)UINT16_MAX);
            best = counts[size] > counts[best] ? size : best;
        }
    }
    return counts[best] >= SK_SPACING_GAPS_MIN / 2 ? best + SK_SPACING_SEGMENT_MIN : 0;
}

/* False where it is not of full packets, or was read late. */
static bool take_gap(const struct sk_arrival *list, uint32_t i, uint32_t segment,
                     struct gap *ret_gap)
{
    uint64_t ns = list[i].at_ns - list[i - 1].at_ns;
    float bytes = (float)(list[i].bytes - list[i - 1].bytes);
    float packets = roundf(bytes / (float)segment);
    *ret_gap = (struct gap){fminf((float)ns / 1e9f, BEYOND_S), packets};
    return ns >= SK_SPACING_JOIN_NS && packets >= 1 && packets <= SK_SPACING_PACKETS_MAX &&
           fabsf(bytes - packets * (float)segment) <= SIZE_SLACK * bytes;
}

static void take_gaps(const struct sk_arrival *list, uint32_t n, struct gaps *ret_gaps)
{
    struct gap gap;
    uint32_t all = 0, taken = 0;
    ret_gaps->count = 0;
    ret_gaps->segment = find_segment(list, n);
    for (uint32_t i = 1; i < n && ret_gaps->segment; i++)
        all += take_gap(list, i, ret_gaps->segment, &gap);
    /* Of too many every so manieth. */
    uint32_t step = (all + SK_SPACING_GAPS_MAX - 1) / SK_SPACING_GAPS_MAX;
    for (uint32_t i = 1; i < n && all; i++)
        if (take_gap(list, i, ret_gaps->segment, &gap) && taken++ % step == 0) {
            ret_gaps->seconds[ret_gaps->count] = gap.seconds;
            ret_gaps->packets[ret_gaps->count++] = gap.packets;
        }
}

/* ---- how well a T fits ---- */

struct fit {
    float t_s, score;
    uint32_t near;     /* gaps with no full packet of others in them, */
    uint32_t next;     /* and of these with nothing, as exactly as time stamps are */
    uint32_t early;    /* gaps that are too short */
    float least, most; /* packets in one of `next` */
};

/* The gaps for one T, in packets. */
struct view {
    float length[SK_SPACING_GAPS_MAX];
    float whole[SK_SPACING_GAPS_MAX];   /* the whole number of packets that it is */
    float near[SK_SPACING_GAPS_MAX];    /* sigma of what it is longer, at worst */
    float density[SK_SPACING_GAPS_MAX]; /* of what it is longer, that is not too short */
};

/* e to the x, x <= 0, to five digits: in a form of which the compiler makes several at a time. */
static inline float quick_exp(float x)
{
    float power = x * 1.4426950f;
    power = power > -100 ? power : -100;
    int32_t whole = (int32_t)(power - 0.5f); /* the nearest */
    float rest = power - (float)whole;
    float poly = 0.05550411f + rest * (0.00961813f + rest * 0.00133336f);
    poly = 1 + rest * (0.69314718f + rest * (0.24022651f + rest * poly));
    union {
        uint32_t bits;
        float number;
    } scale = {(uint32_t)(whole + 127) << 23};
    return poly * scale.number;
}

static inline float normal(float x, float per_sigma)
{
    float z = x * per_sigma;
    return quick_exp(-z * z / 2) * per_sigma * 0.39894f;
}

static float exact_sigma(float t_s, float packets)
{
    return sqrtf(EXACT_SHARE * packets * EXACT_SHARE * packets + EXACT_S / t_s * EXACT_S / t_s);
}

/* No branches, and no calls: several at a time. */
static void look(const struct gaps *gaps, float t_s, struct view *view)
{
    float per_s = 1 / t_s, near = NEAR_S / t_s, exact = EXACT_S / t_s;
    for (uint32_t i = 0; i < gaps->count; i++) {
        float length = gaps->seconds[i] * per_s, packets = gaps->packets[i];
        float whole = (float)(int32_t)(length + 0.5f);
        whole = whole > packets ? whole : packets;
        float near_share = NEAR_SHARE * whole, exact_share = EXACT_SHARE * whole;
        float sigma = sqrtf(near_share * near_share + near * near);
        float sharp = sqrtf(exact_share * exact_share + exact * exact);
        float more = length - whole, later = more > 0 ? more * PER_LATE : 0;
        float late = more > 0 ? LATE * PER_LATE : 0;
        view->length[i] = length;
        view->whole[i] = whole;
        view->near[i] = sigma;
        view->density[i] = ANYTHING + EXACT * normal(more, 1 / sharp) +
                           NEAR * normal(more, 1 / sigma) + late * quick_exp(-later);
    }
}

/* Densities are 0.3 to 100: so many of them multiplied are a number yet. */
#define MULTIPLIED 100

static void add_up(const struct gaps *gaps, const struct view *view, uint32_t from, uint32_t end,
                   struct fit *fit, float *beyond)
{
    double near_product = 1, beyond_product = 1;
    for (uint32_t i = from; i < end; i++) {
        float packets = gaps->packets[i], sigma = view->near[i];
        float least = 3 * sigma > EARLY ? 3 * sigma : EARLY;
        bool early = view->length[i] < packets - least;
        bool near = !early & (view->whole[i] <= packets);
        bool other = !early & !near & (view->whole[i] <= packets + SK_SPACING_OTHERS);
        bool next = near & (fabsf(view->length[i] - view->whole[i]) < 2 * sigma);
        near_product *= near ? view->density[i] : 1;
        beyond_product *= other ? view->density[i] : 1;
        fit->early += early;
        fit->near += near;
        fit->next += next;
        fit->least = next & (packets < fit->least) ? packets : fit->least;
        fit->most = next & (packets > fit->most) ? packets : fit->most;
    }
    fit->score += (float)log(near_product);
    *beyond += (float)log(beyond_product);
}

/* The score is the sum of the logarithms of all densities. */
static struct fit fit_to(const struct gaps *gaps, float t_s)
{
    struct fit fit = {.t_s = t_s, .least = INFINITY};
    struct view view;
    float beyond = 0;
    look(gaps, t_s, &view);
    for (uint32_t i = 0; i < gaps->count; i += MULTIPLIED)
        add_up(gaps, &view, i, SK_MIN(i + MULTIPLIED, gaps->count), &fit, &beyond);
    fit.score += EARLY_COST * (float)fit.early + fmaxf(beyond, 0);
    return fit;
}

/* ---- which T ---- */

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static bool is_better(const struct fit *fit, const struct fit *than)
{
    return fit->next > SK_SPACING_EARLY * fit->early &&
           (fit->next > 1 || fit->score >= SK_SPACING_SCORE_ALONE) &&
           (float)fit->next >= SK_SPACING_SHARP * (float)fit->near &&
           (fit->least <= 1 || fit->least != fit->most) && fit->score > than->score;
}

/* Of sorted times those from `from` on that are less than `end_s`. */
static uint32_t skip(const float *times, uint32_t count, uint32_t from, float end_s)
{
    while (from < count && times[from] < end_s)
        from++;
    return from;
}

/* Each time that two gaps share is tried, unless more of them are too short for it, and the
 * shortest. */
static struct fit find_best(const struct gaps *gaps)
{
    float each[SK_SPACING_GAPS_MAX], tried = 0;
    uint32_t n = gaps->count, early = 0, from = 0, end = 0, tries = 0;
    struct fit best = {.score = -INFINITY};
    for (uint32_t i = 0; i < n; i++)
        each[i] = gaps->seconds[i] / gaps->packets[i];
    qsort(each, n, sizeof *each, compare_floats);
    for (uint32_t i = 0; i + 1 < n && tries < SK_SPACING_TRIES_MAX; i++) {
        early = skip(each, n, early, each[i] * (1 - EARLY) / ABOUT);
        from = skip(each, n, from, each[i] / ABOUT);
        end = skip(each, n, end, each[i] * ABOUT);
        bool alone = each[i + 1] > each[i] * SAME && i >= SHORTEST;
        if (each[i] < SHORTEST_S || each[i] >= LONGEST_S || alone || each[i] < tried * SAME_AS ||
            end - from <= SK_SPACING_EARLY * early)
            continue;
        tried = each[i];
        tries++;
        struct fit fit = fit_to(gaps, tried);
        best = is_better(&fit, &best) ? fit : best;
    }
    return best;
}

/* The rate by the gaps that are T itself, as that of which T is, and how exactly they say so. */
static void refine(const struct gaps *gaps, const struct fit *fit, struct sk_spacing *ret_spacing)
{
    double rates[SK_SPACING_GAPS_MAX], squares = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < gaps->count; i++) {
        float seconds = gaps->seconds[i], packets = gaps->packets[i];
        if (fabsf(seconds / fit->t_s - packets) < 2 * exact_sigma(fit->t_s, packets))
            rates[n++] = gaps->segment * (double)packets / seconds;
    }
    qsort(rates, n, sizeof *rates, sk_order_doubles);
    double rate = rates[n / 2];
    for (uint32_t i = 0; i < n; i++)
        squares += (rates[i] / rate - 1) * (rates[i] / rate - 1);
    double half = fmax(SK_SPACING_LEAST, 1.96 * sqrt(squares) / n); /* 95 % */
    *ret_spacing = (struct sk_spacing){rate, rate * (1 - half)};
}

void sk_spacing_find(const struct sk_arrival *list, uint32_t n, struct sk_spacing *ret_spacing)
{
    struct gaps gaps;
    *ret_spacing = (struct sk_spacing){NAN, NAN};
    take_gaps(list, n, &gaps);
    if (gaps.count < SK_SPACING_GAPS_MIN)
        return;
    struct fit best = find_best(&gaps);
    if (best.score >= SK_SPACING_SCORE)
        refine(&gaps, &best, ret_spacing);
}
