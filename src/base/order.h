/* Orders of plain numbers, for qsort(). Layer: base. */
#ifndef SK_BASE_ORDER_H
#define SK_BASE_ORDER_H

#include <stdint.h>

/* Of doubles, the least first; none may be NAN. */
static inline int sk_order_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The same of numbers of 32 bits. */
static inline int sk_order_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

#endif
