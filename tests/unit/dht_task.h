/*
 * Tasks (proto/dht/task.h) on the nodes of dht_world.h: each is given its node's events and woken
 * when it wants to be, as an engine does.
 */
#ifndef DHT_TASK_H
#define DHT_TASK_H

#include "dht_world.h"
#include "proto/dht/task.h"

#define RUNNERS_MAX 8

struct runner {
    struct sk_dht_task *task;
    size_t node;
    bool touched, done;
    int error;
    const char *reason;
    size_t progress; /* notes */
};

struct runners {
    struct runner all[RUNNERS_MAX];
    size_t count;
    /* The allocation that fails, of those that are made in calls into tasks; 0 none (any more). */
    size_t fail_in;
};

/* Around each call into a task: so that no allocation of the nodes themselves fails. */
static inline void runners_enter(struct runners *runners)
{
    if (runners->fail_in)
        sk_mem_fail_nth(runners->fail_in);
}

static inline void runners_leave(struct runners *runners)
{
    if (!runners->fail_in)
        return;
    size_t made = sk_mem_fail_nth(0);
    runners->fail_in -= SK_MIN(made, runners->fail_in);
}

static inline void runners_event(struct world *world, size_t node, const struct sk_dht_event *event)
{
    struct runners *runners = world->context;
    for (size_t i = 0; i < runners->count; i++) {
        struct runner *runner = &runners->all[i];
        if (!runner->task || runner->node != node)
            continue;
        runners_enter(runners);
        runner->touched =
            sk_dht_task_event(runner->task, world->nodes[node].dht, event, world->now_ns) ||
            runner->touched;
        runners_leave(runners);
    }
}

static inline bool runners_touched(struct world *world)
{
    const struct runners *runners = world->context;
    for (size_t i = 0; i < runners->count; i++)
        if (runners->all[i].touched)
            return true;
    return false;
}

static inline struct runner *runners_add(struct runners *runners, struct sk_dht_task *task,
                                         size_t node)
{
    assert_true(runners->count < RUNNERS_MAX);
    struct runner *runner = &runners->all[runners->count++];
    *runner = (struct runner){.task = task, .node = node, .touched = true};
    return runner;
}

static inline void runner_run(struct world *world, struct runner *runner)
{
    struct sk_dht_note note;
    runner->touched = false;
    runners_enter(world->context);
    sk_dht_task_run(runner->task, world->nodes[runner->node].dht, world->now_ns);
    runners_leave(world->context);
    while (sk_dht_task_next_note(runner->task, &note)) {
        runner->progress += note.kind == SK_DHT_NOTE_PROGRESS;
        if (note.kind != SK_DHT_NOTE_DONE)
            continue;
        assert_false(runner->done);
        runner->done = true;
        runner->error = note.error;
        runner->reason = note.reason;
    }
    world_serve(world, runner->node);
}

/* Runs until the time, or until all are done with `until_done`. */
static inline void runners_run(struct world *world, uint64_t end_ns, bool until_done)
{
    struct runners *runners = world->context;
    for (;;) {
        bool busy = false;
        uint64_t next_ns = end_ns;
        for (size_t i = 0; i < runners->count; i++) {
            struct runner *runner = &runners->all[i];
            if (!runner->task || !world->nodes[runner->node].dht)
                continue;
            if (runner->touched || sk_dht_task_deadline(runner->task) <= world->now_ns)
                runner_run(world, runner);
            busy = busy || !runner->done;
            next_ns = SK_MIN(next_ns, sk_dht_task_deadline(runner->task));
        }
        if (world->now_ns >= end_ns || (until_done && !busy))
            return;
        if (!runners_touched(world))
            world_run(world, SK_MAX(next_ns, world->now_ns + 1), runners_touched);
    }
}

static inline void runners_finish(struct world *world, unsigned seconds)
{
    runners_run(world, world->now_ns + seconds * SECOND_NS, true);
}

static inline void runners_free(struct world *world)
{
    struct runners *runners = world->context;
    for (size_t i = 0; i < runners->count; i++)
        sk_dht_task_free(runners->all[i].task, world->nodes[runners->all[i].node].dht);
    runners->count = 0;
}

/* Makes a task of some kind; SKEP_ERR_NOMEM. */
typedef int (*runners_make_fn)(uint64_t now_ns, struct sk_dht_task **ret_task);

/* A task of each of two kinds at two nodes, freed after ever longer times up to `longest_ms`: they
 * leave no operation behind. */
static inline void runners_cancel_sweep(struct world *world, const runners_make_fn make[2],
                                        uint64_t longest_ms)
{
    struct sk_dht_task *task;
    for (uint64_t ms = 0; ms < longest_ms; ms += 1 + ms / 3) {
        for (size_t kind = 0; kind < 2; kind++) {
            assert_int_equal(make[kind](world->now_ns, &task), 0);
            runners_add(world->context, task, 1 + kind);
        }
        runners_run(world, world->now_ns + ms * MS_NS, false);
        runners_free(world);
        assert_int_equal(sk_dht_operations(world->nodes[1].dht), 0);
        assert_int_equal(sk_dht_operations(world->nodes[2].dht), 0);
        runners_run(world, world->now_ns + 5 * SECOND_NS, false);
    }
}

/* A task whose n-th allocation fails is not made, or ends with SKEP_ERR_NOMEM or well. Returns
 * whether there was such an allocation; counts in `failed` when it did harm. */
static inline bool runners_fail(struct world *world, runners_make_fn make, size_t node, size_t nth,
                                size_t *failed)
{
    struct runners *runners = world->context;
    struct sk_dht_task *task = NULL;
    sk_mem_fail_nth(nth);
    int err = make(world->now_ns, &task);
    size_t made = sk_mem_fail_nth(0);
    assert_true(err == 0 || err == SKEP_ERR_NOMEM);
    *failed += err != 0;
    if (err)
        return true;
    struct runner *runner = runners_add(runners, task, node);
    runners->fail_in = nth > made ? nth - made : 0;
    runners_finish(world, 600);
    assert_true(runner->done);
    assert_true(runner->error == 0 || runner->error == SKEP_ERR_NOMEM);
    *failed += runner->error != 0;
    bool met = runners->fail_in == 0;
    runners->fail_in = 0;
    runners_free(world);
    return met;
}

/* With each allocation of each of two kinds failing in turn. ret_failed: how many did harm. */
static inline void runners_memory_sweep(struct world *world, const runners_make_fn make[2],
                                        size_t ret_failed[2])
{
    for (size_t kind = 0; kind < 2; kind++) {
        size_t nth = 1;
        ret_failed[kind] = 0;
        while (runners_fail(world, make[kind], 1 + kind, nth, &ret_failed[kind]))
            nth++;
    }
}

#endif
