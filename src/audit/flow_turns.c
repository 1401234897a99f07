/*
 * Who feeds whom lasts, and is returned: a source gives one receiver for rounds of ten seconds or
 * more, and leechers choose those that gave them most (tit for tat, BEP 3). So a pair's weight
 * follows what was found of it, and of the pair the other way, in the turns of time around, by
 * expectation maximisation with a prior.
 *
 * The favour of a pair in a turn is what it was found to give over what it would give by capacity
 * alone, both smoothed over time, with the other way's beside them and PRIOR pieces of no favour.
 * What a pair would give takes in what the receiver gave that source, over what the source's other
 * neighbours gave it. Sources that gain nothing (seeds) choose by no such thing.
 */
#include "audit/flow_internal.h"

#include "base/mem.h"

#include <skep/err.h>

#include <math.h>

#define TURN_MS 20000
#define CELLS_MAX (SK_FLOW_CELLS_MAX / 2) /* pairs x turns: else turns are longer */
#define MEMORY_MS 100000.0                /* what was found fades by e in this time */
/* Bytes: what faded to less is gone. Else it becomes a number too small to be fast to reckon with,
 * and stays one. */
#define NOTHING 1e-4f
/* Set on simulations (docs/MEASURING.md). */
#define PRIOR 40.0f   /* pieces */
#define RETURNED 1.5f /* what the other way counts beside this one */
#define STRANGER 0.3f /* what one that gives nothing counts, over what the mean one gives */

/* What there was to give, and what was gained. */
static void look(struct sk_flow_turns *turns, const struct sk_flow_world *world)
{
    for (uint32_t to = 0; to < world->peers; to++) {
        uint32_t first = world->incoming[to], width = world->incoming[to + 1] - first;
        for (uint32_t gain = world->gains_of[to]; gain < world->gains_of[to + 1]; gain++) {
            const uint8_t *row = sk_flow_row(world, to, gain);
            uint32_t turn = sk_flow_turn(turns, world->gains[gain].at_ms);
            turns->gained[to * (size_t)turns->count + turn] +=
                world->gains[gain].bytes * (float)world->stride;
            for (uint32_t k = 0; k < width; k++)
                turns->present[(first + k) * (size_t)turns->count + turn] |= row[k] != 0;
        }
    }
}

int sk_flow_turns_init(struct sk_flow_turns *turns, const struct sk_flow_world *world)
{
    uint32_t end_ms = world->timeline->end_ms;
    *turns = (struct sk_flow_turns){.turn_ms = TURN_MS};
    uint32_t most = SK_MAX(1, CELLS_MAX / (world->pairs_count + world->peers + 1));
    turns->turn_ms = SK_MAX(TURN_MS, end_ms / most + 1);
    turns->count = end_ms / turns->turn_ms + 1;
    size_t pairs = (size_t)world->pairs_count * turns->count + 1;
    size_t peers = (size_t)world->peers * turns->count + 1;
    turns->favour = sk_mem_calloc(pairs, sizeof *turns->favour);
    turns->given = sk_mem_calloc(pairs, sizeof *turns->given);
    turns->expected = sk_mem_calloc(pairs, sizeof *turns->expected);
    turns->present = sk_mem_calloc(pairs, sizeof *turns->present);
    turns->gained = sk_mem_calloc(peers, sizeof *turns->gained);
    turns->could = sk_mem_calloc(peers, sizeof *turns->could);
    if (!turns->favour || !turns->given || !turns->expected || !turns->present || !turns->gained ||
        !turns->could)
        return SKEP_ERR_NOMEM;
    for (size_t i = 0; i < pairs; i++)
        turns->favour[i] = 1;
    look(turns, world);
    return 0;
}

void sk_flow_turns_deinit(struct sk_flow_turns *turns)
{
    sk_mem_free(turns->favour);
    sk_mem_free(turns->given);
    sk_mem_free(turns->expected);
    sk_mem_free(turns->present);
    sk_mem_free(turns->gained);
    sk_mem_free(turns->could);
}

static float fade_out(float bytes, float fade)
{
    return fabsf(bytes) > NOTHING ? bytes * fade : 0;
}

/* Each turn takes in those around it, less the further they are. */
static void smooth(const struct sk_flow_turns *turns, float *row)
{
    float fade = (float)exp(-(double)turns->turn_ms / MEMORY_MS), before = 0, after = 0;
    /* Backwards what comes after goes in; forwards what came before, which is taken from what the
     * turn itself was, so that it is not counted twice. */
    for (uint32_t t = turns->count; t-- > 0;)
        row[t] = after = fade_out(after, fade) + row[t];
    for (uint32_t t = 0; t < turns->count; t++) {
        float alone = row[t] - (t + 1 < turns->count ? fade * row[t + 1] : 0);
        row[t] += before;
        before = fade_out(before + alone, fade);
    }
}

static void smooth_all(const struct sk_flow_turns *turns, const struct sk_flow_world *world,
                       float *rows)
{
    for (uint32_t e = 0; e < world->pairs_count; e++)
        smooth(turns, rows + e * (size_t)turns->count);
}

/* What `to` found its sources to give it decides whom it feeds: sets the favour of the pairs from
 * it, in one turn. */
static void return_gifts(struct sk_flow_turns *turns, const struct sk_flow_world *world,
                         uint32_t to, uint32_t turn)
{
    float sum = 0;
    uint32_t sources = 0;
    if (!(turns->gained[to * (size_t)turns->count + turn] > 0))
        return;
    for (uint32_t e = world->incoming[to]; e < world->incoming[to + 1]; e++) {
        sum += turns->given[e * (size_t)turns->count + turn];
        sources += turns->present[e * (size_t)turns->count + turn];
    }
    if (!(sum > 0) || !sources)
        return;
    float mean = sum / (float)sources;
    for (uint32_t e = world->incoming[to]; e < world->incoming[to + 1]; e++) {
        uint32_t twin = world->pairs[e].twin;
        float gave = turns->given[e * (size_t)turns->count + turn] / mean;
        if (twin != SK_FLOW_NONE)
            turns->favour[twin * (size_t)turns->count + turn] =
                sqrtf((gave + STRANGER) / (1 + STRANGER));
    }
}

/* What the pairs to a receiver would give by their prior, in one turn; it is 0 before. */
static void expect(struct sk_flow_turns *turns, const struct sk_flow_world *world, uint32_t to,
                   uint32_t turn)
{
    float sum = 0, gained = turns->gained[to * (size_t)turns->count + turn];
    if (!(gained > 0))
        return;
    for (uint32_t e = world->incoming[to]; e < world->incoming[to + 1]; e++) {
        size_t cell = e * (size_t)turns->count + turn;
        size_t source = world->pairs[e].from * (size_t)turns->count + turn;
        turns->expected[cell] =
            turns->present[cell] ? turns->could[source] * turns->favour[cell] : 0;
        sum += turns->expected[cell];
    }
    float times = sum > 0 ? gained / sum : 0;
    for (uint32_t e = world->incoming[to]; e < world->incoming[to + 1]; e++)
        turns->expected[e * (size_t)turns->count + turn] *= times;
}

void sk_flow_turns_learn(struct sk_flow_turns *turns, const struct sk_flow_world *world)
{
    size_t cells = (size_t)world->pairs_count * turns->count;
    float prior = PRIOR * (float)world->timeline->piece_size;
    smooth_all(turns, world, turns->given);
    for (size_t i = 0; i < cells; i++) {
        turns->favour[i] = 1;
        turns->expected[i] = 0;
    }
    for (uint32_t to = 0; to < world->peers; to++)
        for (uint32_t turn = 0; turn < turns->count; turn++)
            return_gifts(turns, world, to, turn);
    for (uint32_t to = 0; to < world->peers; to++)
        for (uint32_t turn = 0; turn < turns->count; turn++)
            expect(turns, world, to, turn);
    smooth_all(turns, world, turns->expected);
    for (uint32_t e = 0; e < world->pairs_count; e++) {
        uint32_t twin = world->pairs[e].twin;
        float returned = twin == SK_FLOW_NONE ? 0 : RETURNED;
        size_t cell = e * (size_t)turns->count,
               other = returned > 0 ? twin * (size_t)turns->count : cell;
        for (uint32_t t = 0; t < turns->count; t++)
            turns->favour[cell + t] *=
                (prior + turns->given[cell + t] + returned * turns->given[other + t]) /
                (prior + turns->expected[cell + t] + returned * turns->expected[other + t]);
    }
}
