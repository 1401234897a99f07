/* What tasks that are made of many searches have in common. */
#include "proto/dht/work.h"

#include <skep/err.h>

#include "base/heap.h"

#define SETTLE_NS 10000000000u
#define POLL_NS 250000000u
#define PROGRESS_NS 250000000u

const char sk_work_nobody[] = "no node of the DHT answers";

void sk_work_init(struct sk_work *work, const struct sk_dht_task_kind *kind, uint64_t now_ns)
{
    *work = (struct sk_work){.task.kind = kind,
                             .what = "joining",
                             .wake_ns = SK_TIME_NEVER,
                             .settle_ns = now_ns + SETTLE_NS};
}

/* The best of the states of the networks that there are. */
static enum sk_dht_state best_state(const struct sk_dht *dht)
{
    static const enum sk_family families[] = {SK_FAMILY_V4, SK_FAMILY_V6};
    bool joining = false;
    for (size_t i = 0; i < 2; i++) {
        if (!sk_dht_id(dht, families[i]))
            continue;
        enum sk_dht_state state = sk_dht_state(dht, families[i]);
        if (state == SK_DHT_READY)
            return SK_DHT_READY;
        joining = joining || state != SK_DHT_OFFLINE;
    }
    return joining ? SK_DHT_JOINING : SK_DHT_OFFLINE;
}

bool sk_work_ready(struct sk_work *work, const struct sk_dht *dht, bool patient, uint64_t now_ns)
{
    if (work->over || work->settled)
        return !work->over;
    enum sk_dht_state state = best_state(dht);
    if (state == SK_DHT_READY || (state == SK_DHT_JOINING && now_ns >= work->settle_ns)) {
        work->settled = true;
        work->wake_ns = SK_TIME_NEVER;
        return true;
    }
    /* What was added a moment ago may still answer: not at once. */
    if (state == SK_DHT_OFFLINE && !patient && now_ns >= work->settle_ns) {
        sk_work_end(work, NULL, SKEP_ERR_NETWORK, sk_work_nobody);
        return false;
    }
    work->what = state == SK_DHT_OFFLINE ? "waiting for the network" : "joining";
    work->wake_ns = now_ns + POLL_NS;
    return false;
}

void sk_work_ran(struct sk_work *work, struct sk_dht *dht, int err, uint64_t now_ns)
{
    if (err)
        sk_work_end(work, dht, err, NULL);
    if (work->moved && now_ns >= work->progress_ns) {
        work->moved = false;
        work->progress = true;
        work->progress_ns = now_ns + PROGRESS_NS;
    }
}

void sk_work_end(struct sk_work *work, struct sk_dht *dht, int error, const char *reason)
{
    if (work->over)
        return;
    sk_dht_batch_stop(&work->batch, dht);
    work->over = true;
    work->error = error;
    work->reason = reason;
    work->wake_ns = SK_TIME_NEVER;
}

int sk_work_next_note(struct sk_dht_task *task, struct sk_dht_note *ret_note)
{
    struct sk_work *work = (struct sk_work *)task;
    if (work->over) {
        if (work->over_told)
            return 0;
        work->over_told = true;
        *ret_note = (struct sk_dht_note){
            .kind = SK_DHT_NOTE_DONE, .error = work->error, .reason = work->reason};
        return 1;
    }
    if (!work->progress)
        return 0;
    work->progress = false;
    *ret_note = (struct sk_dht_note){.kind = SK_DHT_NOTE_PROGRESS};
    return 1;
}

uint64_t sk_work_deadline(const struct sk_dht_task *task)
{
    const struct sk_work *work = (const struct sk_work *)task;
    if (work->over)
        return SK_TIME_NEVER;
    uint64_t at = sk_dht_batch_deadline(&work->batch);
    if (work->wake_ns < at)
        at = work->wake_ns;
    return work->moved && work->progress_ns < at ? work->progress_ns : at;
}
