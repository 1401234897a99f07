/*
 * A network for walks: one real node of dht_world.h, which has a task, among actors: many scripted
 * nodes that know whom they are told to know. An honest one names the eight of all known actors
 * nearest to the target.
 */
#ifndef DHT_STAGE_H
#define DHT_STAGE_H

#include "dht_world.h"

#include "base/map.h"
#include "proto/dht/crawl.h"
#include "proto/dht/size.h"

#include <stdlib.h>

#define NODE_BYTES 26

struct stage;
struct actor {
    struct sk_dht_contact contact;
    bool dead;
    bool hidden; /* honest actors do not know it */
    /* Writes up to 16 compact nodes, returns their size; may change the id. NULL: honest. */
    size_t (*act)(struct stage *stage, struct actor *actor, const struct sk_krpc *query,
                  uint8_t *ret_nodes);
    unsigned asked; /* find_node queries that came */
    /* What the crawl told of it. */
    unsigned told;
    struct sk_dht_found found;
};

struct stage {
    struct world world;
    struct actor *actors;
    size_t count, room;
    bool partial; /* each honest actor knows three of four others */
    struct sk_dht_task *task;
    unsigned progress, nobody; /* nobody: queries to addresses where nobody is */
    uint64_t found, found_alive;
    bool done;
    int error;
    uint64_t steps, steps_max; /* 0: no end */
};

static inline struct sk_endpoint stage_address(size_t n)
{
    uint8_t ip[4] = {46, (uint8_t)(n >> 8), (uint8_t)n, 1};
    return sk_endpoint_v4(ip, 6881);
}

static inline struct actor *stage_actor(struct stage *stage)
{
    assert_true(stage->count < stage->room);
    struct actor *actor = &stage->actors[stage->count];
    actor->contact.endpoint = stage_address(stage->count++);
    sk_prng_bytes(&stage->world.prng, actor->contact.id, SK_DHT_ID_SIZE);
    return actor;
}

static inline struct actor *stage_find(struct stage *stage, const struct sk_endpoint *endpoint)
{
    size_t n = (size_t)endpoint->addr[1] << 8 | endpoint->addr[2];
    return n < stage->count && sk_endpoint_equal(&stage->actors[n].contact.endpoint, endpoint)
               ? &stage->actors[n]
               : NULL;
}

static inline bool stage_knows(const struct stage *stage, const struct actor *self, size_t other)
{
    const struct actor *actor = &stage->actors[other];
    return !actor->hidden && actor != self &&
           (!stage->partial ||
            sk_hash_mix((uint64_t)(self - stage->actors) << 32 | other) % 4 != 0);
}

static inline uint64_t stage_head(const uint8_t *id)
{
    uint64_t head;
    memcpy(&head, id, sizeof head);
    return __builtin_bswap64(head);
}

/* The nearest eight to the target of those that an honest actor knows. */
static inline size_t stage_nearest(struct stage *stage, const struct actor *self,
                                   const uint8_t *target, uint8_t *ret_nodes)
{
    const struct actor *nearest[8];
    uint64_t distances[8];
    size_t count = 0;
    for (size_t i = 0; i < stage->count; i++) {
        uint64_t distance = stage_head(stage->actors[i].contact.id) ^ stage_head(target);
        if ((count == 8 && distance >= distances[7]) || !stage_knows(stage, self, i))
            continue;
        size_t place = count < 8 ? count++ : 7;
        for (; place > 0 && distances[place - 1] > distance; place--) {
            distances[place] = distances[place - 1];
            nearest[place] = nearest[place - 1];
        }
        distances[place] = distance;
        nearest[place] = &stage->actors[i];
    }
    for (size_t i = 0; i < count; i++)
        sk_krpc_write_node(&nearest[i]->contact, ret_nodes + i * NODE_BYTES);
    return count * NODE_BYTES;
}

static inline void stage_stranger(struct world *world, const struct sk_endpoint *from,
                                  const struct sk_endpoint *to, struct sk_bytes bytes)
{
    struct stage *stage = world->context;
    struct actor *actor = stage_find(stage, to);
    uint8_t nodes[16 * NODE_BYTES];
    struct sk_krpc query, answer = {.kind = SK_KRPC_RESPONSE, .interval = -1, .num = -1};
    if (!actor) {
        stage->nobody++;
        return;
    }
    actor->asked++;
    if (actor->dead || sk_krpc_read(bytes, &query) || query.kind != SK_KRPC_QUERY)
        return;
    answer.transaction = query.transaction;
    answer.version = sk_bytes("AC\1\2", 4);
    if (query.method == SK_KRPC_FIND_NODE) {
        size_t size = actor->act ? actor->act(stage, actor, &query, nodes)
                                 : stage_nearest(stage, actor, query.target, nodes);
        answer.nodes = sk_bytes(nodes, size);
    }
    answer.id = actor->contact.id;
    struct sk_buf buf;
    sk_buf_init(&buf, SK_KRPC_DATAGRAM_MAX);
    if (!sk_krpc_write(&buf, &answer))
        world_send(world, to, from, sk_buf_bytes(&buf));
    sk_buf_deinit(&buf);
}

static inline void stage_event(struct world *world, size_t node, const struct sk_dht_event *event)
{
    struct stage *stage = world->context;
    if (node == 0 && stage->task)
        sk_dht_task_event(stage->task, world->nodes[0].dht, event, world->now_ns);
}

static inline void stage_found(struct stage *stage, const struct sk_dht_found *found)
{
    struct actor *actor = stage_find(stage, &found->contact.endpoint);
    stage->found++;
    stage->found_alive += found->state != SK_DHT_FOUND_SILENT;
    if (!actor)
        return;
    actor->told++;
    actor->found = *found;
}

/* Runs the task and hears its notes. */
static inline bool stage_step(struct world *world)
{
    struct stage *stage = world->context;
    struct sk_dht_note note;
    if (!stage->task)
        return true;
    sk_dht_task_run(stage->task, world->nodes[0].dht, world->now_ns);
    while (!stage->done && sk_dht_task_next_note(stage->task, &note)) {
        if (note.kind == SK_DHT_NOTE_FOUND)
            stage_found(stage, note.found);
        stage->progress += note.kind == SK_DHT_NOTE_PROGRESS;
        stage->done = note.kind == SK_DHT_NOTE_DONE;
        stage->error = note.error;
    }
    world_serve(world, 0);
    return stage->done || (stage->steps_max && ++stage->steps >= stage->steps_max);
}

static inline void stage_init(struct stage *stage, uint64_t seed, size_t room)
{
    *stage = (struct stage){.room = room};
    stage->actors = calloc(room, sizeof *stage->actors);
    assert_non_null(stage->actors);
    world_init(&stage->world, seed);
    stage->world.context = stage;
    stage->world.stranger = stage_stranger;
    stage->world.event = stage_event;
    stage->world.unchecked = true;
    struct sk_endpoint endpoint = world_address(0);
    world_add(&stage->world, &endpoint, &(struct sk_dht_config){.version = "US"});
}

static inline void stage_deinit(struct stage *stage)
{
    sk_dht_task_free(stage->task, stage->world.nodes[0].dht);
    world_deinit(&stage->world);
    free(stage->actors);
}

/* The node joins by the first actors, and time passes. */
static inline void stage_join(struct stage *stage)
{
    for (size_t i = 0; i < stage->count && i < 3; i++)
        sk_dht_add_address(stage->world.nodes[0].dht, &stage->actors[i].contact.endpoint, false,
                           stage->world.now_ns);
    world_seconds(&stage->world, 20);
    for (size_t i = 0; i < stage->count; i++)
        stage->actors[i].asked = 0;
    stage->nobody = 0;
}

/* Until the task is done, or two virtual hours are over. */
static inline void stage_run(struct stage *stage)
{
    struct world *world = &stage->world;
    uint64_t end_ns = world->now_ns + 7200 * SECOND_NS;
    while (!stage_step(world) && world->now_ns < end_ns) {
        uint64_t due_ns = SK_MIN(sk_dht_task_deadline(stage->task), end_ns);
        if (world_run(world, SK_MAX(due_ns, world->now_ns), stage_step))
            break;
    }
}

/* A small stage on which a task is tried in all ways. */
struct stage_play {
    void (*set)(struct stage *stage); /* with stage_init() */
    int (*make)(uint64_t now_ns, struct sk_dht_task **ret_task);
    void (*check)(const struct stage *stage); /* when it ended well */
};

/* Freed after ever more steps it leaves no operation behind. */
static inline void stage_cancel_sweep(const struct stage_play *play)
{
    bool over = false;
    for (uint64_t steps = 1; !over; steps += 1 + steps / 8) {
        struct stage stage;
        play->set(&stage);
        assert_int_equal(play->make(stage.world.now_ns, &stage.task), 0);
        stage.steps_max = steps;
        stage_run(&stage);
        over = stage.done;
        sk_dht_task_free(stage.task, stage.world.nodes[0].dht);
        stage.task = NULL;
        assert_int_equal(sk_dht_operations(stage.world.nodes[0].dht), 0);
        world_seconds(&stage.world, 10);
        stage_deinit(&stage);
    }
}

/* With the n-th allocation failing, all of the first and ever fewer of later ones: it is refused,
 * or it ends, for want of memory or well. */
static inline void stage_memory_sweep(const struct stage_play *play, size_t *ret_refused,
                                      size_t *ret_ended)
{
    *ret_refused = *ret_ended = 0;
    for (size_t nth = 1; nth < 1500; nth += 1 + nth / 200) {
        struct stage stage;
        play->set(&stage);
        sk_mem_fail_nth(nth);
        int err = play->make(stage.world.now_ns, &stage.task);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
        *ret_refused += err != 0;
        if (!err) {
            stage_run(&stage);
            assert_true(stage.done);
            assert_true(stage.error == 0 || stage.error == SKEP_ERR_NOMEM);
            *ret_ended += stage.error != 0;
            if (!stage.error)
                play->check(&stage);
        }
        sk_mem_fail_nth(0);
        stage_deinit(&stage);
    }
}

#endif
