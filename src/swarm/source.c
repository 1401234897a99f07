#include "swarm/source.h"

#include "base/assert.h"

const char *sk_source_name(unsigned index)
{
    static const char *const names[SK_SOURCE_COUNT] = {"tracker", "pex",   "dht",
                                                       "lsd",     "given", "incoming"};
    SK_ASSERT(index < SK_SOURCE_COUNT);
    return names[index];
}
