/*
 * How many peers no source told: capture-recapture over the sources. Layer: audit; pure, no memory.
 *
 * Each source is a list of the peers that it told. Where peers lie in the table of lists (told by
 * this one and that one, not by the third) says how many lie in the cell that nobody can see. From
 * three lists on that cell is estimated by log-linear models (Fienberg 1972; Bishop, Fienberg and
 * Holland 1975): all hierarchical ones without the highest interaction, so that any two lists may
 * depend on each other. Their profile likelihoods (Cormack 1992) are averaged over tail areas
 * (Fletcher and Turek 2012) with weights like Akaike's: the estimate is the median of the average
 * and the interval its 2.5 % and 97.5 % points, so that not knowing which lists depend on each
 * other makes it wider. Not seen by it: a dependence that only all lists together have.
 *
 * Two lists, or answers of one source that repeat, give a lower bound only (Chao 1987): that peers
 * differ and that lists copy from each other makes it too small, and nothing in them says by how
 * much. What cannot be known is NAN.
 */
#ifndef SK_AUDIT_HIDDEN_H
#define SK_AUDIT_HIDDEN_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define SK_HIDDEN_LISTS_MAX 4
#define SK_HIDDEN_CELLS_MAX (1u << SK_HIDDEN_LISTS_MAX)

struct sk_hidden_table {
    uint32_t lists; /* 0 .. SK_HIDDEN_LISTS_MAX */
    /* cells[set]: peers told by the lists of the set, bit i = list i, and by no other; cells[0]:
     * known, but told by none of the lists. */
    uint32_t cells[SK_HIDDEN_CELLS_MAX];
    /* Every answer is a draw: how many there were, and how many peers were told by one or two of
     * them. */
    uint32_t draws, once, twice;
};

/* Peers that are not known, with the 95 % interval. Of a bound `estimate` is the bound, and there
 * is no upper end. */
struct sk_hidden {
    double estimate, low, high; /* NAN unknown */
    double most;                /* not more than so many, at 95 %; NAN unknown */
    const char *how;            /* static: the method; NULL unknown */
};
#define SK_HIDDEN_UNKNOWN ((struct sk_hidden){NAN, NAN, NAN, NAN, NULL})

/* At most some 20 ms for four lists, below 1 ms for three. */
void sk_hidden_estimate(const struct sk_hidden_table *table, struct sk_hidden *ret_hidden);

/*
 * One log-linear model: bit `set` of `terms` for each interaction of lists in it (two lists or
 * more, not all of them); with a set all its subsets are in it. The number of peers in no list at
 * which its likelihood is highest, the table as it is; INFINITY where the likelihood only grows.
 */
double sk_hidden_fit(const struct sk_hidden_table *table, uint32_t terms);
/* Chao's bound on the peers that none of `draws` draws told. */
double sk_hidden_chao(double draws, double once, double twice);

#endif
