/*
 * Tasks: what is made of many operations of a node (storing bytes that are cut into items, fetching
 * them, walking the network, estimating its size). Layer: proto/dht. Sans-I/O.
 *
 * A task is a machine beside the node: its owner (engine or simulator) gives it each event of the
 * node, lets it start operations, and asks when it wants to be woken.
 *
 *   sk_dht_task_run() first and after each event and at its deadline; then what
 *   sk_dht_task_next_note() has to tell; when that was SK_DHT_NOTE_DONE, sk_dht_task_free().
 *
 * Each kind has its own header with sk_dht_NAME_new(), which returns a `struct sk_dht_task *`, and
 * sk_dht_NAME_result() to look at it.
 */
#ifndef SK_PROTO_DHT_TASK_H
#define SK_PROTO_DHT_TASK_H

#include "proto/dht/dht.h"

struct sk_dht_task;

enum sk_dht_note_kind {
    SK_DHT_NOTE_PROGRESS, /* something moved: at most a few a second are worth telling */
    SK_DHT_NOTE_FOUND,    /* crawl: a node, see crawl.h */
    SK_DHT_NOTE_DONE,     /* it is over: error */
};

struct sk_dht_note {
    enum sk_dht_note_kind kind;
    int error;          /* DONE: 0 or negative enum skep_err */
    const char *reason; /* static; NULL */
    const void *found;  /* FOUND: struct sk_dht_found (crawl.h), valid until the next call */
};

/* What a kind of task does; the first member of each is a struct sk_dht_task. */
struct sk_dht_task_kind {
    /* The event belongs to an operation of this task: true, and it was taken. */
    bool (*event)(struct sk_dht_task *task, struct sk_dht *dht, const struct sk_dht_event *event,
                  uint64_t now_ns);
    void (*run)(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns);
    int (*next_note)(struct sk_dht_task *task, struct sk_dht_note *ret_note);
    uint64_t (*deadline)(const struct sk_dht_task *task);
    /* Cancels its operations. */
    void (*free)(struct sk_dht_task *task, struct sk_dht *dht);
};

struct sk_dht_task {
    const struct sk_dht_task_kind *kind;
};

static inline bool sk_dht_task_event(struct sk_dht_task *task, struct sk_dht *dht,
                                     const struct sk_dht_event *event, uint64_t now_ns)
{
    return task->kind->event(task, dht, event, now_ns);
}

static inline void sk_dht_task_run(struct sk_dht_task *task, struct sk_dht *dht, uint64_t now_ns)
{
    task->kind->run(task, dht, now_ns);
}

static inline int sk_dht_task_next_note(struct sk_dht_task *task, struct sk_dht_note *ret_note)
{
    return task->kind->next_note(task, ret_note);
}

static inline uint64_t sk_dht_task_deadline(const struct sk_dht_task *task)
{
    return task->kind->deadline(task);
}

static inline void sk_dht_task_free(struct sk_dht_task *task, struct sk_dht *dht)
{
    if (task)
        task->kind->free(task, dht);
}

#endif
