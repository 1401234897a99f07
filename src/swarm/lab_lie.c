#include "swarm/lab_lie.h"

#include "base/assert.h"
#include "base/bytes.h"

#define FACTOR 3.0
#define FACTOR_DOWNLOAD 0.2
#define RATE_BYTES_S 50e3
#define ROTATE_S 60.0

static const char *const names[] = {
    [SK_LAB_HONEST] = "none",         [SK_LAB_LIE_UPLOAD] = "upload",
    [SK_LAB_LIE_GHOST] = "ghost",     [SK_LAB_LIE_DOWNLOAD] = "download",
    [SK_LAB_LIE_SEED] = "seed",       [SK_LAB_LIE_PARTIAL] = "partial",
    [SK_LAB_LIE_COLLUDE] = "collude", [SK_LAB_LIE_ROTATE] = "rotate",
};
_Static_assert(SK_ARRAY_LEN(names) == SK_LAB_LIE_COUNT, "every lie has a name");

const char *sk_lab_lie_name(enum sk_lab_lie lie)
{
    SK_ASSERT((unsigned)lie < SK_LAB_LIE_COUNT);
    return names[lie];
}

struct sk_lab_counters sk_lab_lie(struct sk_lab_liar *liar, const struct sk_lab_lies *lies,
                                  uint32_t number, double at_s, uint64_t size,
                                  const struct sk_lab_counters *counters)
{
    struct sk_lab_counters told = *counters;
    double factor = lies->factor > 0                    ? lies->factor
                    : lies->kind == SK_LAB_LIE_DOWNLOAD ? FACTOR_DOWNLOAD
                                                        : FACTOR;
    double rate = lies->rate_bytes_s > 0 ? lies->rate_bytes_s : RATE_BYTES_S;
    double gave = (double)(counters->uploaded - liar->true_last.uploaded);
    double ghost = rate * (at_s - liar->at_s);
    switch (lies->kind) {
    case SK_LAB_LIE_UPLOAD:
        liar->ghost_uploaded += gave * (factor - 1);
        break;
    case SK_LAB_LIE_ROTATE:
        liar->ghost_uploaded += (uint64_t)(at_s / ROTATE_S) % 2 ? gave * (factor - 1) : 0;
        break;
    case SK_LAB_LIE_GHOST:
        liar->ghost_uploaded += ghost;
        break;
    case SK_LAB_LIE_COLLUDE:
        *(number % 2 ? &liar->ghost_downloaded : &liar->ghost_uploaded) += ghost;
        break;
    case SK_LAB_LIE_DOWNLOAD:
        told.downloaded = (uint64_t)((double)told.downloaded * factor);
        break;
    case SK_LAB_LIE_SEED:
        told.downloaded = told.left = 0;
        break;
    case SK_LAB_LIE_PARTIAL:
        told.left = SK_MIN(2 * told.left, size);
        break;
    default:
        break;
    }
    liar->true_last = *counters;
    liar->at_s = at_s;
    told.uploaded += (uint64_t)(int64_t)liar->ghost_uploaded; /* less than 0: it gave more */
    told.downloaded += (uint64_t)liar->ghost_downloaded;
    return told;
}
