/*
 * Shares of every gain among those that can have given it, by iterative scaling: sources have
 * weights, gains are shared out by weight, and who would have sent more than it can in a slot of
 * time is scaled down, until all fits (maximum entropy relative to the weights). With weights by
 * capacity that is a baseline.
 *
 * Ours has two more things to go by. Which piece it was matters (flow_chance.c). And who feeds whom
 * lasts, and is returned (flow_turns.c). Capacity is a limit and no weight: a source that could
 * give more gives no more of what others can give as well, since it is the receivers' lines and
 * the turns of unchoking that share it out.
 */
#include "audit/flow_internal.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#define SLOT_MS 10000
#define PASSES 30 /* of scaling */
#define ROUNDS 4  /* of learning who is favoured: with more it fits to chance */
#define PASSES_FIRST 12
#define PASSES_ROUND 2
#define PASSES_LAST 10
#define TERMS_MAX                                                                                  \
    4e8 /* shares computed in all passes: with more of them there are fewer passes                 \
         */
#define FACTOR_LEAST 1e-6f

struct scaling {
    const struct sk_flow_world *world;
    uint32_t slots, slot_ms;
    float *weight;        /* of each source */
    float *factor, *sent; /* of each source in each slot; sent: bytes */
    float chance[SK_FLOW_CHOICES];
    float *terms;                /* of a gain */
    struct sk_flow_turns *turns; /* NULL: nobody is favoured */
};

static uint32_t slot_of(const struct scaling *scaling, uint32_t gain)
{
    return SK_MIN(scaling->world->gains[gain].at_ms / scaling->slot_ms, scaling->slots - 1);
}

/* Sum of the weights of those that can have given it. */
static float weigh(struct scaling *scaling, uint32_t to, uint32_t gain)
{
    const struct sk_flow_world *world = scaling->world;
    const uint8_t *row = sk_flow_row(world, to, gain);
    uint32_t first = world->incoming[to], width = world->incoming[to + 1] - first;
    uint32_t slot = slot_of(scaling, gain);
    const struct sk_flow_turns *turns = scaling->turns;
    uint32_t turn = turns ? sk_flow_turn(turns, world->gains[gain].at_ms) : 0;
    float sum = 0;
    for (uint32_t k = 0; k < width; k++) {
        scaling->terms[k] = 0;
        if (!row[k])
            continue;
        uint32_t from = world->pairs[first + k].from;
        float term = scaling->weight[from] * scaling->chance[row[k]] *
                     scaling->factor[from * (size_t)scaling->slots + slot];
        if (turns)
            term *= turns->favour[(first + k) * (size_t)turns->count + turn];
        if (world->blind[from])
            term *= (float)world->blind_share;
        sum += scaling->terms[k] = term;
    }
    return sum;
}

static void share_out(struct scaling *scaling, double *ret_given)
{
    const struct sk_flow_world *world = scaling->world;
    for (uint32_t to = 0; to < world->peers; to++) {
        uint32_t first = world->incoming[to], width = world->incoming[to + 1] - first;
        for (uint32_t gain = world->gains_of[to]; gain < world->gains_of[to + 1]; gain++) {
            float sum = weigh(scaling, to, gain);
            float bytes = world->gains[gain].bytes * (float)world->stride;
            uint32_t slot = slot_of(scaling, gain);
            for (uint32_t k = 0; k < width && sum > 0; k++) {
                float given = scaling->terms[k] / sum * bytes;
                if (given > 0 && ret_given)
                    ret_given[first + k] += given;
                else if (given > 0)
                    scaling->sent[world->pairs[first + k].from * (size_t)scaling->slots + slot] +=
                        given;
            }
        }
    }
}

/* A source that sent more than it can is scaled down; one that was scaled down too far, up again.
 */
static void rescale(struct scaling *scaling)
{
    const struct sk_flow_world *world = scaling->world;
    for (uint32_t i = 0; i < world->peers; i++) {
        float limit = (float)(world->capacity_bytes_s[i] * scaling->slot_ms / 1e3);
        float *factor = scaling->factor + i * (size_t)scaling->slots;
        float *sent = scaling->sent + i * (size_t)scaling->slots;
        /* A capacity that is not known may be any. But who is not watched can seem to have held
         * anything, so that the usual one limits it. */
        bool limited = world->capacity_known[i] || world->blind[i];
        for (uint32_t s = 0; s < scaling->slots; s++) {
            float times = sent[s] > 0 ? limit / sent[s] : 1;
            if (limited)
                factor[s] = SK_MAX(FACTOR_LEAST, SK_MIN(1, factor[s] * times));
            sent[s] = 0;
        }
    }
}

static void scale(struct scaling *scaling, uint32_t most)
{
    double terms = (double)scaling->world->row_of[scaling->world->peers] + 1;
    uint32_t passes = (uint32_t)SK_MAX(1, SK_MIN(most, TERMS_MAX / PASSES * most / terms));
    for (uint32_t pass = 0; pass < passes; pass++) {
        share_out(scaling, NULL);
        rescale(scaling);
    }
}

static void start(struct scaling *scaling)
{
    size_t cells = (size_t)scaling->slots * scaling->world->peers;
    for (size_t i = 0; i < cells; i++) {
        scaling->factor[i] = 1;
        scaling->sent[i] = 0;
    }
}

/* ---- baselines ---- */

enum method { UNIFORM, GRAVITY, ENTROPY, LEVEL, METHODS };

static void baselines(struct scaling *scaling, struct sk_flow_share *shares, double *given)
{
    const struct sk_flow_world *world = scaling->world;
    for (uint32_t c = 0; c < SK_FLOW_CHOICES; c++)
        scaling->chance[c] = 1;
    for (enum method method = UNIFORM; method < METHODS; method++) {
        start(scaling);
        for (uint32_t i = 0; i < world->peers; i++)
            scaling->weight[i] =
                method == UNIFORM || method == LEVEL ? 1 : (float)world->capacity_bytes_s[i];
        for (uint32_t e = 0; e < world->pairs_count; e++)
            given[e] = 0;
        if (method == ENTROPY || method == LEVEL)
            scale(scaling, PASSES);
        share_out(scaling, given);
        for (uint32_t e = 0; e < world->pairs_count; e++) {
            struct sk_flow_bytes *bytes = &shares[e].baseline;
            *(method == UNIFORM   ? &bytes->uniform
              : method == GRAVITY ? &bytes->gravity
              : method == ENTROPY ? &bytes->entropy
                                  : &bytes->level) = given[e];
        }
    }
}

/* ---- ours ---- */

/* What the pairs are found to give in each turn, and what their sources weigh. */
static void find_turns(struct scaling *scaling, struct sk_flow_turns *turns)
{
    const struct sk_flow_world *world = scaling->world;
    size_t cells = (size_t)world->pairs_count * turns->count;
    for (size_t i = 0; i < cells; i++)
        turns->given[i] = 0;
    for (uint32_t to = 0; to < world->peers; to++) {
        uint32_t first = world->incoming[to], width = world->incoming[to + 1] - first;
        for (uint32_t gain = world->gains_of[to]; gain < world->gains_of[to + 1]; gain++) {
            float sum = weigh(scaling, to, gain);
            float times = sum > 0 ? world->gains[gain].bytes * (float)world->stride / sum : 0;
            uint32_t turn = sk_flow_turn(turns, world->gains[gain].at_ms);
            for (uint32_t k = 0; k < width; k++)
                turns->given[(first + k) * (size_t)turns->count + turn] +=
                    scaling->terms[k] * times;
        }
    }
    for (uint32_t i = 0; i < world->peers; i++) {
        const float *factor = scaling->factor + i * (size_t)scaling->slots;
        float weight = scaling->weight[i] * (world->blind[i] ? (float)world->blind_share : 1);
        for (uint32_t t = 0; t < turns->count; t++) {
            uint32_t slot = (uint32_t)((uint64_t)t * turns->turn_ms / scaling->slot_ms);
            uint32_t end = (uint32_t)((t + UINT64_C(1)) * turns->turn_ms / scaling->slot_ms);
            float sum = 0, count = 0;
            for (; count == 0 || (slot < end && slot < scaling->slots); slot++, count++)
                sum += factor[SK_MIN(slot, scaling->slots - 1)];
            turns->could[i * (size_t)turns->count + t] = weight * sum / count;
        }
    }
}

static void ours(struct scaling *scaling, struct sk_flow_turns *turns)
{
    const struct sk_flow_world *world = scaling->world;
    for (uint32_t c = 0; c < SK_FLOW_CHOICES; c++)
        scaling->chance[c] = world->chance[c];
    for (uint32_t i = 0; i < world->peers; i++)
        scaling->weight[i] = 1;
    start(scaling);
    scale(scaling, PASSES_FIRST);
    scaling->turns = turns;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        find_turns(scaling, turns);
        sk_flow_turns_learn(turns, world);
        scale(scaling, round + 1 < ROUNDS ? PASSES_ROUND : PASSES_LAST);
    }
}

/* Bytes with what they may be wrong by. */
static void keep(struct scaling *scaling, struct sk_flow_share *shares)
{
    const struct sk_flow_world *world = scaling->world;
    for (uint32_t to = 0; to < world->peers; to++) {
        uint32_t first = world->incoming[to], width = world->incoming[to + 1] - first;
        for (uint32_t gain = world->gains_of[to]; gain < world->gains_of[to + 1]; gain++) {
            const uint8_t *row = sk_flow_row(world, to, gain);
            double sum = weigh(scaling, to, gain), bytes = world->gains[gain].bytes;
            uint32_t holders = 0;
            for (uint32_t k = 0; k < width; k++)
                holders += row[k] > 0;
            for (uint32_t k = 0; k < width; k++) {
                if (!row[k])
                    continue;
                struct sk_flow_share *it = &shares[first + k];
                double share = sum > 0 ? scaling->terms[k] / sum : 1.0 / holders;
                bool blind = world->blind[world->pairs[first + k].from];
                it->bytes += share * bytes * world->stride;
                it->variance += share * (1 - share) * bytes * bytes * world->stride * world->stride;
                it->possible += bytes * world->stride;
                it->sure += holders == 1 && !blind ? bytes * world->stride : 0;
            }
        }
    }
}

/* ---- life ---- */

static int init(struct scaling *scaling, const struct sk_flow_world *world)
{
    uint32_t end_ms = world->timeline->end_ms;
    *scaling = (struct scaling){.world = world, .slot_ms = SLOT_MS};
    uint64_t most = SK_MAX(1, SK_FLOW_CELLS_MAX / 16 / (world->peers + 1));
    scaling->slot_ms = (uint32_t)SK_MAX(SLOT_MS, end_ms / most + 1);
    scaling->slots = end_ms / scaling->slot_ms + 1;
    size_t cells = (size_t)scaling->slots * world->peers + 1;
    scaling->weight = sk_mem_calloc(world->peers + 1, sizeof *scaling->weight);
    scaling->terms = sk_mem_calloc(world->pairs_count + 1, sizeof *scaling->terms);
    scaling->factor = sk_mem_calloc(cells, sizeof *scaling->factor);
    scaling->sent = sk_mem_calloc(cells, sizeof *scaling->sent);
    return scaling->weight && scaling->terms && scaling->factor && scaling->sent ? 0
                                                                                 : SKEP_ERR_NOMEM;
}

int sk_flow_share_out(const struct sk_flow_world *world, struct sk_flow_share *ret_shares,
                      double *ret_slot_s)
{
    struct scaling scaling;
    struct sk_flow_turns turns;
    double *given = sk_mem_calloc(world->pairs_count + 1, sizeof *given);
    int err = init(&scaling, world), turns_err = sk_flow_turns_init(&turns, world);
    if (!given || turns_err)
        err = SKEP_ERR_NOMEM;
    if (!err) {
        baselines(&scaling, ret_shares, given);
        ours(&scaling, &turns);
        keep(&scaling, ret_shares);
        *ret_slot_s = scaling.slot_ms / 1e3;
    }
    sk_flow_turns_deinit(&turns);
    sk_mem_free(given);
    sk_mem_free(scaling.weight);
    sk_mem_free(scaling.terms);
    sk_mem_free(scaling.factor);
    sk_mem_free(scaling.sent);
    return err;
}
