#include "proto/utp/mtu.h"

#define LOST_MAX 2

void sk_utp_mtu_init(struct sk_utp_mtu *mtu, uint16_t ceiling)
{
    *mtu = (struct sk_utp_mtu){.floor = SK_UTP_MTU_FLOOR, .ceiling = ceiling};
}

uint16_t sk_utp_mtu_wanted(const struct sk_utp_mtu *mtu)
{
    if (mtu->probe || mtu->ceiling - mtu->floor < (mtu->halving ? SK_UTP_MTU_STEP : 1))
        return 0;
    return mtu->halving ? (uint16_t)((mtu->floor + mtu->ceiling + 1) / 2) : mtu->ceiling;
}

void sk_utp_mtu_sent(struct sk_utp_mtu *mtu, uint16_t size)
{
    if (size != mtu->tried)
        mtu->lost = 0;
    mtu->probe = mtu->tried = size;
}

/* One that was begun before a restart may still be under way: it is not the one waited for. */
static bool ends_search_of(struct sk_utp_mtu *mtu, uint16_t size)
{
    bool waited = mtu->probe == size;
    mtu->probe = waited ? 0 : mtu->probe;
    return waited;
}

void sk_utp_mtu_passed(struct sk_utp_mtu *mtu, uint16_t size)
{
    if (ends_search_of(mtu, size)) {
        mtu->floor = size;
        mtu->lost = 0;
    }
}

void sk_utp_mtu_lost(struct sk_utp_mtu *mtu, uint16_t size)
{
    if (ends_search_of(mtu, size) && ++mtu->lost == LOST_MAX) {
        mtu->ceiling = size - 1;
        mtu->halving = true;
        mtu->lost = 0;
    }
}

void sk_utp_mtu_restart(struct sk_utp_mtu *mtu)
{
    sk_utp_mtu_init(mtu, mtu->ceiling);
}
