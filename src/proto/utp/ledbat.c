#include "proto/utp/ledbat.h"

#include "base/assert.h"

#define MINUTE_NS UINT64_C(60000000000)
#define FIRST_WINDOW 4380u /* bytes, as TCP's (RFC 3390) */
#define PACKETS_MIN 2      /* the window's floor but after a time-out */
#define WINDOW_MAX (64.0 * (1 << 20))
#define QUEUE_US 5000.0         /* a shorter queue drops nothing, twice as long a one surely may */
#define LOSS_SHARE 20           /* one of so many: too much for chance */
#define LOSS_OF 200             /* packets, for that share to mean something */
#define DEPTH_FADES 8           /* losses until a deeper queue is forgotten */
#define TARGET_LEAST_US 10000.0 /* delays vary by as much for other reasons */
#define DRIFT_MAX 10000u        /* microseconds at once; more is another path */

void sk_ledbat_init(struct sk_ledbat *ledbat, uint16_t segment)
{
    *ledbat = (struct sk_ledbat){.window = FIRST_WINDOW,
                                 .threshold = WINDOW_MAX,
                                 .depth_us = 2 * SK_LEDBAT_TARGET_US,
                                 .cut = 1,
                                 .slow_start = true};
    sk_ledbat_set_segment(ledbat, segment);
}

static void keep_within(struct sk_ledbat *ledbat)
{
    ledbat->window = SK_MAX(ledbat->window, (double)PACKETS_MIN * ledbat->segment);
    ledbat->window = SK_MIN(ledbat->window, WINDOW_MAX);
}

void sk_ledbat_set_segment(struct sk_ledbat *ledbat, uint16_t segment)
{
    ledbat->segment = segment;
    keep_within(ledbat);
}

/* Whether a is less than b, where both wrap. */
static bool less(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static uint32_t least(const uint32_t *values, int count)
{
    uint32_t value = values[0];
    for (int i = 1; i < count; i++)
        value = less(values[i], value) ? values[i] : value;
    return value;
}

static void base_add(struct sk_ledbat_base *base, uint32_t delay_us, uint64_t now_ns)
{
    bool first = base->turn_ns == 0;
    if (first || now_ns >= base->turn_ns) {
        for (int i = SK_LEDBAT_BASES - 1; i > 0; i--)
            base->least_us[i] = first ? delay_us : base->least_us[i - 1];
        base->least_us[0] = delay_us;
        base->turn_ns = now_ns + MINUTE_NS;
    } else if (less(delay_us, base->least_us[0])) {
        base->least_us[0] = delay_us;
    }
}

void sk_ledbat_delay(struct sk_ledbat *ledbat, uint32_t delay_us, uint64_t now_ns)
{
    bool first = ledbat->ours.turn_ns == 0;
    base_add(&ledbat->ours, delay_us, now_ns);
    ledbat->recent_us[ledbat->recent_at++ % SK_LEDBAT_RECENT] = delay_us;
    for (int i = 0; first && i < SK_LEDBAT_RECENT; i++)
        ledbat->recent_us[i] = delay_us;
}

void sk_ledbat_their_delay(struct sk_ledbat *ledbat, uint32_t delay_us, uint64_t now_ns)
{
    bool first = ledbat->theirs.turn_ns == 0;
    uint32_t before = least(ledbat->theirs.least_us, SK_LEDBAT_BASES);
    base_add(&ledbat->theirs, delay_us, now_ns);
    uint32_t fallen = before - least(ledbat->theirs.least_us, SK_LEDBAT_BASES);
    if (!first && (int32_t)fallen > 0 && fallen <= DRIFT_MAX)
        for (int i = 0; i < SK_LEDBAT_BASES; i++)
            ledbat->ours.least_us[i] += fallen;
}

uint32_t sk_ledbat_queue_us(const struct sk_ledbat *ledbat)
{
    if (ledbat->ours.turn_ns == 0)
        return 0;
    uint32_t now = least(ledbat->recent_us, SK_LEDBAT_RECENT);
    uint32_t base = least(ledbat->ours.least_us, SK_LEDBAT_BASES);
    return less(base, now) ? SK_MIN(now - base, ledbat->rtt_us) : 0;
}

/* A queue that overflows leaves nothing of its length to others if it is kept full. */
static double target_us(const struct sk_ledbat *ledbat)
{
    return SK_MIN(SK_MAX(ledbat->depth_us / 2, TARGET_LEAST_US), (double)SK_LEDBAT_TARGET_US);
}

static void grow(struct sk_ledbat *ledbat, uint32_t bytes, double queue)
{
    if (ledbat->slow_start && queue > target_us(ledbat) / 2)
        ledbat->slow_start = false;
    if (ledbat->slow_start) {
        ledbat->window += bytes;
        ledbat->slow_start = ledbat->window < ledbat->threshold;
        return;
    }
    double share = SK_MIN(bytes / ledbat->window, 1.0);
    ledbat->window += SK_LEDBAT_GAIN * share * (1 - queue / target_us(ledbat));
}

void sk_ledbat_acked(struct sk_ledbat *ledbat, uint32_t bytes, uint32_t packets, uint32_t rtt_us,
                     bool limited)
{
    ledbat->rtt_us = rtt_us;
    ledbat->acked += packets;
    double queue = sk_ledbat_queue_us(ledbat);
    double target = target_us(ledbat);
    if (queue > target) {
        ledbat->slow_start = false;
        ledbat->window -= bytes * (queue - target) / SK_MAX(rtt_us, queue) / 2;
    } else if (limited) {
        grow(ledbat, bytes, queue);
    }
    keep_within(ledbat);
}

/* How much a loss says of congestion, 0 to 1. In slow start bursts make a queue that soon is gone
 * again. */
static double congestion(struct sk_ledbat *ledbat)
{
    uint32_t lost = ++ledbat->lost;
    if (lost * LOSS_SHARE >= LOSS_OF && lost * LOSS_SHARE > ledbat->acked + lost) {
        ledbat->acked = ledbat->lost = 0;
        return 1;
    }
    double queue = ledbat->slow_start ? 0 : sk_ledbat_queue_us(ledbat);
    double sure = SK_MIN(SK_MAX(queue / QUEUE_US - 1, 0.0), 1.0);
    if (sure == 1)
        ledbat->depth_us += queue > ledbat->depth_us ? queue - ledbat->depth_us
                                                     : (queue - ledbat->depth_us) / DEPTH_FADES;
    return sure;
}

bool sk_ledbat_lost(struct sk_ledbat *ledbat)
{
    double cut = 1 - congestion(ledbat) / 2;
    if (cut >= ledbat->cut)
        return false;
    ledbat->window *= cut / ledbat->cut;
    ledbat->cut = cut;
    ledbat->slow_start = false;
    ledbat->threshold = ledbat->window;
    keep_within(ledbat);
    return true;
}

void sk_ledbat_round(struct sk_ledbat *ledbat)
{
    ledbat->cut = 1;
    if (ledbat->acked + ledbat->lost >= LOSS_OF)
        ledbat->acked = ledbat->lost = 0;
}

void sk_ledbat_timeout(struct sk_ledbat *ledbat)
{
    double half = ledbat->window / 2;
    ledbat->threshold = SK_MAX(half, (double)PACKETS_MIN * ledbat->segment);
    ledbat->window = ledbat->segment;
    ledbat->slow_start = true;
    ledbat->cut = 1;
}
