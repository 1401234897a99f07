#include "sim/reports_truth.h"

#include "base/assert.h"
#include "base/mem.h"

#include <skep/err.h>

#include <math.h>
#include <string.h>

#define SURE_Z 4.75 /* standard deviations that a measured capacity may be off by: 1e-6 */
#define EXACT 1.01  /* what an oracle's bound is off by: blocks under way */

size_t sk_truth_find(const struct sk_truth *truth, const struct sk_endpoint *endpoint)
{
    for (size_t i = 0; i < sk_swarm_clients(truth->swarm); i++)
        if (sk_endpoint_equal(&sk_swarm_client(truth->swarm, i)->endpoint, endpoint))
            return i;
    return SIZE_MAX;
}

/* Room for the clients that joined. */
static int grow_clients(struct sk_truth *truth)
{
    size_t count = sk_swarm_clients(truth->swarm), before = truth->clients_count;
    if (count == before)
        return 0;
    struct sk_truth_client *clients = sk_mem_realloc(truth->clients, count, sizeof *clients);
    if (clients)
        truth->clients = clients;
    uint64_t *downloaded = sk_mem_realloc(truth->downloaded, count, sizeof *downloaded);
    if (downloaded)
        truth->downloaded = downloaded;
    if (!clients || !downloaded)
        return SKEP_ERR_NOMEM;
    memset(clients + before, 0, (count - before) * sizeof *clients);
    memset(downloaded + before, 0, (count - before) * sizeof *downloaded);
    truth->clients_count = count;
    return 0;
}

/* What can be known of these uploads. */
static void weigh(const struct sk_truth *truth, struct sk_truth_client *client,
                  const struct sk_swarm_client *real, const struct sk_truth_span *span)
{
    const struct sk_swarm_config *config = truth->config;
    double line = real->up_bytes_s * span->seconds;
    double capacity = sk_swarm_measured(truth->swarm, (size_t)(client - truth->clients));
    double measured = isnan(capacity)
                          ? INFINITY
                          : capacity * span->seconds * exp(SURE_Z * config->capacity_error);
    /* Between two steps the oracle has not looked yet. */
    double slack = config->piece_size + real->up_bytes_s * SK_TRUTH_STEP_S;
    client->above |= span->claimed > line * EXACT + config->block_size;
    client->exact |= span->claimed > SK_MIN(span->possible, line) * EXACT + slack;
    client->oracle |= span->claimed > SK_MIN(span->possible * EXACT, measured) + slack;
}

/* What was said too much since the last announce. */
static void compare(const struct sk_truth *truth, struct sk_truth_client *client,
                    const struct sk_announce *announce, const struct sk_swarm_client *real)
{
    double up = (double)(announce->uploaded - client->said_up);
    double true_up = (double)(real->uploaded - client->true_up);
    client->claimed_up += up;
    client->lie_up += up - true_up;
    client->lie_down += (double)(announce->downloaded - client->said_down) -
                        (double)(real->downloaded - client->true_down);
    struct sk_truth_span *spans[] = {&client->last, &client->run};
    for (size_t i = 0; i < SK_ARRAY_LEN(spans); i++) {
        spans[i]->claimed += up;
        spans[i]->seconds += announce->at_unix_s - client->at_s;
        weigh(truth, client, real, spans[i]);
    }
}

/* Of downloaded and left: what no honest client can say whose gains are all known. */
static void compare_pieces(const struct sk_truth *truth, struct sk_truth_client *client,
                           const struct sk_announce *announce, const struct sk_swarm_client *real)
{
    double piece = truth->config->piece_size, held = real->held * piece;
    double lacks = truth->config->pieces * piece - held, left = (double)announce->left;
    double under_way = (double)sk_swarm_under_way(truth->swarm, (size_t)(client - truth->clients));
    if (!client->began || announce->key != client->key) {
        client->begun_down = announce->downloaded;
        client->begun_bytes = held;
        client->begun_under_way = under_way;
    }
    double least = held - client->begun_bytes - client->begun_under_way;
    double said = (double)(announce->downloaded - client->begun_down);
    client->pieces |=
        said + piece <= least || left >= lacks + piece || left + under_way + piece <= lacks;
    /* Who counts blocks lacks less by those under way. */
    double off = SK_MIN(fabs(left - lacks), fabs(left + under_way - lacks));
    client->lie_left = SK_MAX(client->lie_left, off);
}

/* Since which announce it is so. */
static void note(bool is, uint32_t announces, uint32_t *at)
{
    if (is && !*at)
        *at = announces;
}

bool sk_truth_lied(const struct sk_truth *truth, const struct sk_truth_client *client)
{
    double least = (double)SK_TRUTH_LIE_PIECES * truth->config->piece_size;
    return fabs(client->lie_up) >= least || fabs(client->lie_down) >= least ||
           client->lie_left >= least;
}

int sk_truth_announce(const struct sk_announce *announce, void *ctx)
{
    struct sk_truth *truth = ctx;
    if (truth->count == truth->capacity) {
        size_t capacity = truth->capacity ? 2 * truth->capacity : 1024;
        struct sk_announce *grown = sk_mem_realloc(truth->announces, capacity, sizeof *grown);
        if (!grown)
            return SKEP_ERR_NOMEM;
        truth->announces = grown;
        truth->capacity = capacity;
    }
    truth->announces[truth->count++] = *announce;
    int err = grow_clients(truth);
    size_t index = err ? SIZE_MAX : sk_truth_find(truth, &announce->endpoint);
    if (index == SIZE_MAX)
        return err;
    struct sk_truth_client *client = &truth->clients[index];
    const struct sk_swarm_client *real = sk_swarm_client(truth->swarm, index);
    client->announces++;
    compare_pieces(truth, client, announce, real);
    if (client->began && announce->key == client->key)
        compare(truth, client, announce, real);
    else
        client->run = (struct sk_truth_span){0};
    client->began = true;
    client->key = announce->key;
    client->at_s = announce->at_unix_s;
    client->said_up = announce->uploaded;
    client->said_down = announce->downloaded;
    client->true_up = real->uploaded;
    client->true_down = real->downloaded;
    client->last = (struct sk_truth_span){0};
    note(client->above, client->announces, &client->above_at);
    note(client->oracle, client->announces, &client->oracle_at);
    note(client->exact, client->announces, &client->exact_at);
    note(client->pieces, client->announces, &client->pieces_at);
    note(sk_truth_lied(truth, client), client->announces, &client->lied_at);
    return 0;
}

static void add_possible(struct sk_truth_client *client, double bytes)
{
    client->last.possible += bytes;
    client->run.possible += bytes;
    client->possible_all += bytes;
}

int sk_truth_step(struct sk_truth *truth, double at_s)
{
    int err = grow_clients(truth);
    for (size_t j = 0; j < truth->clients_count && !err; j++) {
        uint64_t now = sk_swarm_client(truth->swarm, j)->downloaded;
        double grown = (double)(now - truth->downloaded[j]);
        truth->downloaded[j] = now;
        for (size_t i = 0; i < truth->clients_count && grown > 0; i++) {
            if (i == j ||
                !sk_swarm_unchoked(truth->swarm, (uint32_t)i, (uint32_t)j, truth->step_s, at_s))
                continue;
            add_possible(&truth->clients[i], grown);
        }
    }
    for (size_t i = 0; i < truth->clients_count && !err; i++) {
        struct sk_truth_client *client = &truth->clients[i];
        uint64_t probed = sk_swarm_client(truth->swarm, i)->probed;
        add_possible(client, (double)(probed - client->probed));
        client->probed = probed;
        double slack = truth->config->piece_size;
        client->above |= client->claimed_up > client->possible_all * EXACT + slack;
        note(client->above, client->announces, &client->above_at);
    }
    truth->step_s = at_s;
    return err;
}

void sk_truth_deinit(struct sk_truth *truth)
{
    sk_mem_free(truth->announces);
    sk_mem_free(truth->clients);
    sk_mem_free(truth->downloaded);
    *truth = (struct sk_truth){0};
}
