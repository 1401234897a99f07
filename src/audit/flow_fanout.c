/*
 * How many receivers a source shares its up-link among: what our own probe got of it tells. While
 * it served us, it gave us capacity / receivers. Sources that told nothing are guessed from those
 * that did, by a line through log capacity and log receivers: clients that open slots by rate have
 * more the faster they are.
 */
#include "audit/flow_internal.h"

#include "base/assert.h"

#include <math.h>

#define GAP_MS 8000      /* a slow source's blocks come so far apart */
#define BLOCKS_LEAST 4   /* in one stretch, for its rate to say something */
#define FANOUT_USUAL 6.0 /* where no source tells: between the 4 and 8 slots that clients have */
#define FANOUT_MAX 100.0
#define SOURCES_LEAST 8 /* for a line */

/* Seconds and bytes of the stretches in which it served us: neighbours are joined. The first block
 * of each says when, not how fast. */
static bool served(const struct sk_timeline_peer *peer, double *ret_seconds, double *ret_bytes)
{
    double seconds = 0, bytes = 0;
    for (uint32_t i = 0; i < peer->taken_count;) {
        uint32_t end = i + 1;
        double sum = (double)peer->taken[i].bytes;
        for (; end < peer->taken_count &&
               peer->taken[end].from_ms - peer->taken[end - 1].until_ms < GAP_MS;
             end++)
            sum += (double)peer->taken[end].bytes;
        if (sum >= BLOCKS_LEAST * SK_BLOCK_SIZE) {
            seconds += (peer->taken[end - 1].until_ms - peer->taken[i].from_ms) / 1e3;
            bytes += sum - SK_BLOCK_SIZE;
        }
        i = end;
    }
    *ret_seconds = seconds;
    *ret_bytes = bytes;
    return seconds > 0.1 && bytes > 0;
}

void sk_flow_find_fanouts(struct sk_flow_world *world)
{
    double n = 0, x = 0, y = 0, xx = 0, xy = 0, seconds, bytes;
    for (uint32_t i = 0; i < world->peers; i++) {
        world->fanout[i] = NAN;
        if (!world->capacity_known[i] || !served(&world->timeline->peers[i], &seconds, &bytes))
            continue;
        double receivers = world->capacity_bytes_s[i] * seconds / bytes;
        world->fanout[i] = SK_MIN(FANOUT_MAX, SK_MAX(1, receivers));
        double u = log(world->capacity_bytes_s[i]), v = log(world->fanout[i]);
        n++;
        x += u;
        y += v;
        xx += u * u;
        xy += u * v;
    }
    double spread = n * xx - x * x;
    double slope = n >= SOURCES_LEAST && spread > 1e-9 * n * n ? (n * xy - x * y) / spread : 0;
    for (uint32_t i = 0; i < world->peers; i++) {
        double guess =
            n ? (y + slope * (n * log(world->capacity_bytes_s[i]) - x)) / n : log(FANOUT_USUAL);
        if (isnan(world->fanout[i]))
            world->fanout[i] = SK_MIN(FANOUT_MAX, SK_MAX(1, exp(guess)));
    }
}
