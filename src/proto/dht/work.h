/*
 * What tasks that are made of many searches have in common: waiting until the node knows others,
 * the batch of searches, the end, what is told. Layer: proto/dht.
 *
 * A kind of task has a struct sk_work as its first member and its own event and run.
 */
#ifndef SK_PROTO_DHT_WORK_H
#define SK_PROTO_DHT_WORK_H

#include "proto/dht/batch.h"
#include "proto/dht/task.h"

#define SK_WORK_PAUSE_NS 2000000000u /* before it is tried again when there was nobody to ask */

struct sk_work {
    struct sk_dht_task task;
    struct sk_dht_batch batch;
    const char *what; /* static: what it is doing */
    uint64_t wake_ns; /* the kind's own next moment; SK_TIME_NEVER */

    bool settled, over, over_told;
    bool moved, progress; /* something moved since it was last told; it is to be told now */
    int error;
    const char *reason;
    uint64_t settle_ns, progress_ns;
};

void sk_work_init(struct sk_work *work, const struct sk_dht_task_kind *kind, uint64_t now_ns);
/*
 * At the start of each run: false as long as nothing can be done. A node that is joining is waited
 * for, 10 s at most; where it is offline the work ends with SKEP_ERR_NETWORK, unless it is
 * `patient`: then it waits.
 */
bool sk_work_ready(struct sk_work *work, const struct sk_dht *dht, bool patient, uint64_t now_ns);
/* At the end of each run: `err` of what was started ends the work; sees to progress. */
void sk_work_ran(struct sk_work *work, struct sk_dht *dht, int err, uint64_t now_ns);
/* It is over; cancels what is under way. The first call counts. */
void sk_work_end(struct sk_work *work, struct sk_dht *dht, int error, const char *reason);
/* Nobody was there to ask: why, for a user. */
extern const char sk_work_nobody[];

/* For struct sk_dht_task_kind. */
int sk_work_next_note(struct sk_dht_task *task, struct sk_dht_note *ret_note);
uint64_t sk_work_deadline(const struct sk_dht_task *task);

#endif
