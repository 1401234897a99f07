/*
 * How much of the swarm has been seen, from draws: every address that a source tells is a draw, and
 * either new or old (known before). Layer: audit; pure.
 *
 * After r old draws in a row, of the addresses as these sources tell them at most a share of 3 / r
 * is unseen, at 95 % ("rule of three": (1 - p)^r = 0.05 has p close to 3 / r). It bounds what the
 * sources can tell; a peer that no source tells of is beyond it.
 */
#ifndef SK_AUDIT_COVERAGE_H
#define SK_AUDIT_COVERAGE_H

#include "swarm/source.h"

#include <stdbool.h>
#include <stdint.h>

struct sk_coverage {
    uint32_t draws[SK_SOURCE_COUNT]; /* by source */
    uint32_t fresh[SK_SOURCE_COUNT]; /* of them new ones */
    uint32_t old_run;                /* old draws since the last new one */
    uint64_t last_new_ns;            /* 0 = none yet */
};

void sk_coverage_draw(struct sk_coverage *coverage, enum sk_source source, bool is_new,
                      uint64_t now_ns);
/* 3 / r, at most 1; NAN where no old draw was made. */
double sk_coverage_unseen_max(const struct sk_coverage *coverage);

#endif
