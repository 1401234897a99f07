/*
 * Where a peer's address can come from. Bits of a set; names as in the reports.
 */
#ifndef SK_SWARM_SOURCE_H
#define SK_SWARM_SOURCE_H

enum sk_source {
    SK_SOURCE_TRACKER = 1,
    SK_SOURCE_PEX = 2,
    SK_SOURCE_DHT = 4,
    SK_SOURCE_LSD = 8,
    SK_SOURCE_GIVEN = 16, /* --peer, --peers, a magnet's x.pe */
    SK_SOURCE_INCOMING = 32,
};
#define SK_SOURCE_COUNT 6

/* "tracker", "pex", "dht", "lsd", "given", "incoming"; index 0 .. SK_SOURCE_COUNT - 1. */
const char *sk_source_name(unsigned index);

#endif
