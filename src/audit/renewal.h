/*
 * When a connection to a peer that is watched and tells no gains is renewed. Layer: audit; pure.
 *
 * Some clients suppress HAVEs, some super-seed: what they hold is known by the bitfield that begins
 * a connection, and by nothing else. So whoever has been silent for SK_RENEWAL_SILENCE_NS is called
 * once more. Where that shows nothing new, twice as much time passes before the next one, and so
 * on; and it doubles with each SK_RENEWAL_ROUND of them, whatever they show.
 */
#ifndef SK_AUDIT_RENEWAL_H
#define SK_AUDIT_RENEWAL_H

#include "base/limits.h"

#include <stdint.h>

/* Of one peer. */
struct sk_renewal {
    uint64_t told_ns; /* when it last told of a piece, or we connected */
    uint32_t shown;   /* pieces that it told over this connection; */
    uint32_t most;    /* over any */
    uint32_t count;   /* renewed so often, */
    uint32_t vain;    /* the last so many times without anything new */
};

void sk_renewal_opened(struct sk_renewal *renewal, uint64_t now_ns);
/* It told to hold so many pieces now. */
void sk_renewal_told(struct sk_renewal *renewal, uint32_t pieces, uint64_t now_ns);
/* The connection is closed, to be renewed. */
void sk_renewal_begun(struct sk_renewal *renewal);
/* When that is to be, if nothing is told before; UINT64_MAX: not any more. */
uint64_t sk_renewal_due(const struct sk_renewal *renewal);

#endif
