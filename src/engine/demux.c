/* One UDP port serves several protocols: who a datagram is for. */
#include "engine/internal.h"

/* The DHT's begin with a 'd', a tracker's answer with the number of an action (0 to 3), uTP's with
 * its version, 1, and a type. */
void sk_engine_udp_input(struct skep_engine *engine, const struct sk_endpoint *from,
                         struct sk_bytes datagram, uint64_t now_ns)
{
    engine->now_ns = now_ns;
    if (sk_engine_dht_claims(engine, datagram))
        sk_engine_dht_input(engine, from, datagram);
    else if (sk_streams_input(engine, from, (uint8_t *)datagram.p, datagram.n) ||
             sk_discovery_udp(engine, from, datagram))
        sk_dial_pump(engine);
}
