/*
 * Evidence as e-values: non-negative figures whose mean is at most 1 where the hypothesis ("this
 * peer reports honestly") is true, so that one of 1/a or more comes with probability a at most.
 * Layer: audit; pure.
 *
 * They may be looked at after every announce (Ville's inequality: the processes below are
 * supermartingales), averaged over checks that depend on each other, and compared over peers that
 * depend on each other. Sources: Wald 1945 (sequential tests); Vovk and Wang, "E-values:
 * calibration, combination and applications", 2021; Wang and Ramdas, "False discovery rate control
 * with e-values", 2022 (e-BH).
 */
#ifndef SK_AUDIT_EVIDENCE_H
#define SK_AUDIT_EVIDENCE_H

#include <stdint.h>

/*
 * Of `said` announces `against` contradict what is known. An honest one does with probability
 * `fault` at most, whatever those before it did. The alternative is any larger share of
 * contradictions, uniform: mean of p^against (1 - p)^(said - against) over what `fault` gives.
 * 1 where nothing was said. 0 < fault < 1, against <= said.
 */
double sk_evidence_counts(uint32_t said, uint32_t against, double fault);

/*
 * `events` happened where a Poisson process of mean `mean` or less gives them, in units that need
 * not be whole. Mixture of the alternatives 1.5, 2, 4, ... 64 times the mean.
 */
double sk_evidence_events(double events, double mean);
/* The most events whose value is below `value`, a little fewer. value > 1. */
double sk_evidence_events_most(double value, double mean);

/* A deviation of z standard errors upwards, where an honest one is normal with a mean of 0 or less:
 * mixture of the alternatives 2, 3, 4, 6, 8. */
double sk_evidence_deviation(double z);

/* What the evidence is worth where what it rests on fails with probability `doubt`: min(e, 1/doubt)
 * / 2, which is an e-value again. */
double sk_evidence_doubted(double value, double doubt);

/*
 * e-BH: adjusts the e-values of `count` peers, in place of each the least false discovery rate at
 * which it is among the discoveries (1 where at none below). Discoveries at rate a are those with
 * at most a. `order` is room for `count` indices.
 */
void sk_evidence_discover(const double *values, uint32_t count, uint32_t *order, double *ret_rates);

#endif
