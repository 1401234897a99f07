/*
 * A set of piece indices as BEP 3 sends it: piece 0 is the high bit of byte 0; spare bits are 0.
 */
#ifndef SK_BASE_BITFIELD_H
#define SK_BASE_BITFIELD_H

#include "base/bytes.h"

struct sk_bitfield {
    uint8_t *bits;
    uint32_t count; /* how many pieces there are */
    uint32_t set;   /* how many are in the set */
};

static inline size_t sk_bitfield_bytes(uint32_t count)
{
    return (count + 7u) / 8u;
}

/* An empty set over `count` pieces. SKEP_ERR_NOMEM. */
int sk_bitfield_init(struct sk_bitfield *field, uint32_t count);
void sk_bitfield_deinit(struct sk_bitfield *field);
/* Whether bits as received, of the right length, have one set that stands for no piece. */
bool sk_bitfield_has_spare(const struct sk_bitfield *field, struct sk_bytes bits);
/* Takes over bits as received: SKEP_ERR_MALFORMED where the length is wrong or a spare bit set. */
int sk_bitfield_assign(struct sk_bitfield *field, struct sk_bytes bits);
void sk_bitfield_fill(struct sk_bitfield *field);
void sk_bitfield_clear(struct sk_bitfield *field);
/* Returns whether it was new. index < count. */
bool sk_bitfield_add(struct sk_bitfield *field, uint32_t index);
/* Returns whether it was there. index < count. */
bool sk_bitfield_drop(struct sk_bitfield *field, uint32_t index);

static inline bool sk_bitfield_has(const struct sk_bitfield *field, uint32_t index)
{
    return index < field->count && (field->bits[index / 8] & (0x80u >> (index % 8)));
}

static inline bool sk_bitfield_full(const struct sk_bitfield *field)
{
    return field->set == field->count;
}

#endif
