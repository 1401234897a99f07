/*
 * A search of the DHT, told as a person would: who was asked, how far away it is, what it knew.
 * Layer: cmd. Pure: events go in, lines of text come out.
 *
 * One line for each node, when its answer is there or was waited for in vain, and some more for
 * what was found or stored. How near a node is counts in bits: the position of the highest bit in
 * which its id differs from the target's, 160 the farthest; one bit less is half as far.
 *
 * Bytes in announced ports are told by info-hash, not by node: what is done with its ports, and
 * when all of them are there.
 */
#ifndef SK_CMD_DHT_TRACE_H
#define SK_CMD_DHT_TRACE_H

#include <skep/dht.h>

#include "base/endpoint.h"
#include "cmd/ink.h"
#include "store/anonymizer.h"

struct sk_dht_trace {
    struct sk_screen screen;
    const struct sk_anonymizer *anonymizer; /* borrowed; NULL: addresses as they are */
    uint8_t target[20];
    bool has_target, started;
    unsigned nearest;    /* bits of the nearest node that anybody told of; 161 none yet */
    uint32_t peers;      /* addresses of peers told, repetitions counted */
    uint32_t with_peers; /* nodes that told some */
    uint32_t values, forged, answered, silent;
    /* Of bytes in announced ports: */
    enum sk_dht_trace_way {
        SK_DHT_TRACE_NODES,
        SK_DHT_TRACE_PORTS_PUT,
        SK_DHT_TRACE_PORTS_GET
    } way;
    const char *what;                /* it was doing when a line was last written */
    uint32_t items_done, ports_back; /* by then */
};

void sk_dht_trace_init(struct sk_dht_trace *trace, const struct sk_screen *screen);
/* What is looked for, where it is known before the first event. */
void sk_dht_trace_target(struct sk_dht_trace *trace, const uint8_t target[20]);
/* The events are those of a put or get by announces. */
void sk_dht_trace_ports(struct sk_dht_trace *trace, enum sk_dht_trace_way way);
/* Appends the lines that the event makes, `elapsed_s` after the beginning. An event that says
 * nothing new to a person appends nothing. */
void sk_dht_trace_event(struct sk_dht_trace *trace, const struct skep_dht_event *event,
                        double elapsed_s, struct sk_buf *out);

#endif
