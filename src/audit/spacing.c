#include "audit/spacing.h"

#include "base/assert.h"
#include "base/order.h"

#include <math.h>
#include <stdlib.h>

#define SHORTEST_S 0.0002f /* T: below it time stamps say nothing */
#define LONGEST_S 1.0f
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
/* Standard deviations, in seconds and of the gap. */
#define EXACT_S 0.000025f
#define EXACT_SHARE 0.002f
#define NEAR_S 0.00015f
#define NEAR_SHARE 0.015f

struct gap {
    float seconds, packets;
};

struct gaps {
    struct gap list[SK_SPACING_GAPS_MAX];
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
    *ret_gap = (struct gap){(float)ns / 1e9f, packets};
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
        if (take_gap(list, i, ret_gaps->segment, &gap) && taken++ % step == 0)
            ret_gaps->list[ret_gaps->count++] = gap;
}

/* ---- how well a T fits ---- */

struct fit {
    float t_s, score;
    uint32_t near;  /* gaps with no full packet of others in them, */
    uint32_t next;  /* and of these with nothing, as exactly as time stamps are */
    uint32_t early; /* gaps that are too short */
    bool single;    /* some of these are of one packet, */
    bool sizes;     /* or of several sizes */
    float size;     /* of the first of them */
};

static float near_sigma(float t_s, float packets)
{
    return hypotf(NEAR_SHARE * packets, NEAR_S / t_s);
}

static float exact_sigma(float t_s, float packets)
{
    return hypotf(EXACT_SHARE * packets, EXACT_S / t_s);
}

static float normal(float x, float sigma)
{
    float z = x / sigma;
    return expf(-z * z / 2) / (sigma * 2.5066f);
}

/* Logarithm of the density of a gap that is so much longer, in packets, than a whole number. */
static float weigh(float more, float near, float exact)
{
    float late = more > 0 ? expf(-more / SK_SPACING_LATE) / SK_SPACING_LATE : 0;
    return logf(ANYTHING + EXACT * normal(more, exact) + NEAR * normal(more, near) + LATE * late);
}

static void note_next(struct fit *fit, float packets)
{
    if (!fit->next++)
        fit->size = packets;
    fit->single |= packets <= 1;
    fit->sizes |= packets != fit->size;
}

static bool is_next(float length, float packets, float sigma)
{
    return fabsf(length - packets) < 2 * sigma;
}

static struct fit fit_to(const struct gaps *gaps, float t_s)
{
    struct fit fit = {.t_s = t_s};
    float beyond = 0;
    for (uint32_t i = 0; i < gaps->count; i++) {
        const struct gap *gap = &gaps->list[i];
        float length = gap->seconds / t_s, whole = fmaxf(roundf(length), gap->packets);
        float near = near_sigma(t_s, whole);
        if (length < gap->packets - fmaxf(EARLY, 3 * near)) {
            fit.score += EARLY_COST;
            fit.early++;
        } else if (whole <= gap->packets) {
            fit.score += weigh(length - whole, near, exact_sigma(t_s, whole));
            fit.near++;
            if (is_next(length, whole, near))
                note_next(&fit, gap->packets);
        } else if (whole <= gap->packets + SK_SPACING_OTHERS) {
            beyond += weigh(length - whole, near, exact_sigma(t_s, whole));
        }
    }
    fit.score += fmaxf(beyond, 0);
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
           (float)fit->next >= SK_SPACING_SHARP * (float)fit->near && (fit->single || fit->sizes) &&
           fit->score > than->score;
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
        each[i] = gaps->list[i].seconds / gaps->list[i].packets;
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
        const struct gap *gap = &gaps->list[i];
        float exact = exact_sigma(fit->t_s, gap->packets);
        if (is_next(gap->seconds / fit->t_s, gap->packets, exact))
            rates[n++] = gaps->segment * (double)gap->packets / gap->seconds;
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
