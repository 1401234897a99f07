#include "base/bitfield.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

int sk_bitfield_init(struct sk_bitfield *field, uint32_t count)
{
    uint8_t *bits = sk_mem_calloc(sk_bitfield_bytes(count), 1);
    if (!bits)
        return SKEP_ERR_NOMEM;
    *field = (struct sk_bitfield){.bits = bits, .count = count};
    return 0;
}

void sk_bitfield_deinit(struct sk_bitfield *field)
{
    sk_mem_free(field->bits);
    *field = (struct sk_bitfield){0};
}

bool sk_bitfield_has_spare(const struct sk_bitfield *field, struct sk_bytes bits)
{
    unsigned spare = (unsigned)(bits.n * 8 - field->count);
    return spare && (bits.p[bits.n - 1] & ((1u << spare) - 1));
}

int sk_bitfield_assign(struct sk_bitfield *field, struct sk_bytes bits)
{
    if (bits.n != sk_bitfield_bytes(field->count) || sk_bitfield_has_spare(field, bits))
        return SKEP_ERR_MALFORMED;
    uint32_t set = 0;
    for (size_t i = 0; i < bits.n; i++)
        set += (uint32_t)__builtin_popcount(bits.p[i]);
    if (bits.n)
        memcpy(field->bits, bits.p, bits.n);
    field->set = set;
    return 0;
}

void sk_bitfield_fill(struct sk_bitfield *field)
{
    size_t n = sk_bitfield_bytes(field->count);
    memset(field->bits, 0xff, n);
    if (n)
        field->bits[n - 1] = (uint8_t)(0xff << (n * 8 - field->count));
    field->set = field->count;
}

void sk_bitfield_clear(struct sk_bitfield *field)
{
    memset(field->bits, 0, sk_bitfield_bytes(field->count));
    field->set = 0;
}

bool sk_bitfield_add(struct sk_bitfield *field, uint32_t index)
{
    SK_ASSERT(index < field->count);
    if (sk_bitfield_has(field, index))
        return false;
    field->bits[index / 8] |= (uint8_t)(0x80u >> (index % 8));
    field->set++;
    return true;
}

bool sk_bitfield_drop(struct sk_bitfield *field, uint32_t index)
{
    SK_ASSERT(index < field->count);
    if (!sk_bitfield_has(field, index))
        return false;
    field->bits[index / 8] &= (uint8_t) ~(0x80u >> (index % 8));
    field->set--;
    return true;
}
