/* What must always hold, for tests and the simulator. */
#include "proto/utp/utp_internal.h"

#include "base/assert.h"

struct sums {
    uint32_t count, flight, lost, unsent;
};

static const char *look_at_list(const struct sk_utp_conn *conn, const struct sk_link *head,
                                bool lost, struct sums *sums)
{
    uint64_t order = 0;
    for (struct sk_link *link = sk_list_first(head); link; link = sk_list_next(head, link)) {
        const struct sk_utp_segment *segment = SK_CONTAINER_OF(link, struct sk_utp_segment, link);
        if (segment->lost != lost)
            return "a segment is in the wrong list";
        if (!lost && segment->order <= order)
            return "segments in flight are not in the order of sending";
        if (sk_utp_ring_get(&conn->sent, segment->seq_nr) != segment)
            return "a segment under way is not in the ring";
        order = segment->order;
        sums->count++;
        *(lost ? &sums->lost : &sums->flight) += segment->size;
    }
    return NULL;
}

static const char *look_at_sent(const struct sk_utp_conn *conn)
{
    struct sums sums = {0};
    const char *fault = look_at_list(conn, &conn->flight, false, &sums);
    if (!fault)
        fault = look_at_list(conn, &conn->lost, true, &sums);
    if (fault)
        return fault;
    for (uint16_t nr = conn->sent_nr; nr != conn->seq_nr; nr++) {
        const struct sk_utp_segment *segment = sk_utp_ring_get(&conn->sent, nr);
        if (!segment || segment->order)
            return "what is to be sent is not in the ring";
        sums.unsent += segment->size;
        sums.count++;
    }
    if (sums.count != conn->sent.count)
        return "the ring has segments that are nowhere";
    if (sums.flight != conn->flight_bytes || sums.lost != conn->lost_bytes ||
        sums.unsent != conn->unsent_bytes)
        return "bytes under way are miscounted";
    if (conn->sent.count && conn->rto_at_ns == SK_TIME_NEVER)
        return "segments wait without a time-out";
    return NULL;
}

static const char *look_at_received(const struct sk_utp_conn *conn)
{
    uint32_t bytes = 0, count = 0;
    for (uint32_t i = 0; i < conn->received.capacity; i++) {
        const struct sk_utp_segment *segment = conn->received.slots[i];
        if (!segment)
            continue;
        if (sk_utp_distance(conn->told_nr, segment->seq_nr) <= 0 ||
            sk_utp_distance(segment->seq_nr, conn->highest_nr) < 0)
            return "a segment is kept that was told";
        bytes += segment->cost;
        count++;
    }
    if (bytes != conn->held_bytes || count != conn->received.count)
        return "bytes held are miscounted";
    if (sk_utp_ring_get(&conn->received, (uint16_t)(conn->ack_nr + 1)))
        return "what came in order is not acknowledged";
    return NULL;
}

const char *sk_utp_fault(const struct sk_utp *utp)
{
    size_t held = 0, pos = 0;
    const struct sk_utp_conn *conn;
    while ((conn = sk_map_next(&utp->conns, &pos))) {
        const char *fault = look_at_sent(conn);
        if (!fault)
            fault = look_at_received(conn);
        if (fault)
            return fault;
        if (!conn->timer.slot)
            return "a connection is not timed";
        held += conn->held_bytes;
    }
    if (held != utp->held_bytes)
        return "bytes held by all are miscounted";
    if (utp->conns.count > utp->config.connections_max ||
        utp->half_open_count > SK_UTP_HALF_OPEN_MAX || utp->closing_count > SK_UTP_CLOSING_MAX)
        return "a table is too full";
    return NULL;
}
