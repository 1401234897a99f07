#include "proto/peer/mse.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "proto/peer/session.h"

/* What a pad and the mark after it take, at most; also the largest piece gathered in one. */
#define HELD_MAX (SK_MSE_PAD_MAX + SK_SHA1_SIZE)

#define PLAIN_PREFIX                                                                               \
    "\x13"                                                                                         \
    "BitTorrent protocol"
#define PLAIN_PREFIX_SIZE (sizeof PLAIN_PREFIX - 1)

struct sk_mse {
    bool initiator;
    enum sk_mse_state state;
    enum sk_mse_failure failure;
    unsigned modes, mode;
    uint64_t deadline_ns;
    struct sk_prng prng;
    uint8_t private_key[SK_DH_PRIVATE_SIZE];
    uint8_t secret[SK_DH_SIZE];
    uint8_t info_hash[20];
    uint8_t payload[SK_HANDSHAKE_SIZE];
    struct sk_rc4 *in, *out;
    size_t in_left;
    uint8_t mark[SK_SHA1_SIZE]; /* what SYNC looks for */
    size_t mark_size;
    uint8_t held[HELD_MAX];
    size_t held_size, need; /* gathered and wanted in this state */
};

static void enter(struct sk_mse *mse, enum sk_mse_state state, size_t need)
{
    SK_ASSERT(need <= HELD_MAX);
    mse->state = state;
    mse->need = need;
    mse->held_size = 0;
}

static void fail(struct sk_mse *mse, enum sk_mse_failure failure)
{
    mse->failure = failure;
    mse->state = SK_MSE_FAILED;
}

/* Public key and pad: the first message of either side. */
static int send_key(struct sk_mse *mse, struct sk_buf *out)
{
    uint8_t bytes[SK_DH_SIZE + SK_MSE_PAD_MAX];
    int err = sk_dh_public(mse->private_key, bytes);
    if (err)
        return err;
    size_t pad = sk_prng_below(&mse->prng, SK_MSE_PAD_MAX + 1);
    sk_prng_bytes(&mse->prng, bytes + SK_DH_SIZE, pad);
    return sk_buf_append(out, bytes, SK_DH_SIZE + pad);
}

static int make_ciphers(struct sk_mse *mse)
{
    uint8_t key_a[SK_SHA1_SIZE], key_b[SK_SHA1_SIZE];
    sk_mse_key(true, mse->secret, mse->info_hash, key_a);
    sk_mse_key(false, mse->secret, mse->info_hash, key_b);
    int err = sk_rc4_new(mse->initiator ? key_a : key_b, &mse->out);
    return err ? err : sk_rc4_new(mse->initiator ? key_b : key_a, &mse->in);
}

/* Step 3: the torrent, veiled, then the encrypted fields and the initial payload. */
static int send_offer(struct sk_mse *mse, struct sk_buf *out)
{
    enum { FIELDS = 2 * SK_SHA1_SIZE, IA = FIELDS + SK_MSE_VC_SIZE + 4 + 2 + 2 };
    uint8_t bytes[IA + SK_HANDSHAKE_SIZE] = {0};
    uint8_t req3[SK_SHA1_SIZE];
    sk_mse_hash_req1(mse->secret, bytes);
    sk_mse_hash_req2(mse->info_hash, bytes + SK_SHA1_SIZE);
    sk_mse_hash_req3(mse->secret, req3);
    for (int i = 0; i < SK_SHA1_SIZE; i++)
        bytes[SK_SHA1_SIZE + i] ^= req3[i];
    sk_put_u32(bytes + FIELDS + SK_MSE_VC_SIZE, mse->modes);
    sk_put_u16(bytes + IA - 2, SK_HANDSHAKE_SIZE); /* the pad before it is empty */
    memcpy(bytes + IA, mse->payload, SK_HANDSHAKE_SIZE);
    sk_rc4_apply(mse->out, bytes + FIELDS, sizeof bytes - FIELDS);
    return sk_buf_append(out, bytes, sizeof bytes);
}

/* Step 4: the mode that was selected; the pad is empty. */
static int send_choice(struct sk_mse *mse, struct sk_buf *out)
{
    uint8_t bytes[SK_MSE_VC_SIZE + 4 + 2] = {0};
    sk_put_u32(bytes + SK_MSE_VC_SIZE, mse->mode);
    sk_rc4_apply(mse->out, bytes, sizeof bytes);
    return sk_buf_append(out, bytes, sizeof bytes);
}

static void take_key(struct sk_mse *mse, struct sk_buf *out)
{
    int err = sk_dh_secret(mse->private_key, mse->held, mse->secret);
    if (err == SKEP_ERR_MALFORMED) {
        fail(mse, SK_MSE_FAILURE_KEY);
        return;
    }
    if (!err && mse->initiator) {
        err = make_ciphers(mse);
        if (!err)
            err = send_offer(mse, out);
        if (!err) {
            /* The first that they encrypt is eight zero bytes: we know how that looks. */
            memset(mse->mark, 0, SK_MSE_VC_SIZE);
            sk_rc4_apply(mse->in, mse->mark, SK_MSE_VC_SIZE);
            mse->mark_size = SK_MSE_VC_SIZE;
        }
    } else if (!err) {
        err = send_key(mse, out);
        sk_mse_hash_req1(mse->secret, mse->mark);
        mse->mark_size = SK_SHA1_SIZE;
    }
    if (err)
        fail(mse, SK_MSE_FAILURE_NOMEM);
    else
        enter(mse, SK_MSE_SYNC, SK_MSE_PAD_MAX + mse->mark_size);
}

static void take_torrent(struct sk_mse *mse, const struct sk_peer_skey *skeys, size_t count)
{
    uint8_t req2[SK_SHA1_SIZE];
    sk_mse_hash_req3(mse->secret, req2);
    for (int i = 0; i < SK_SHA1_SIZE; i++)
        req2[i] ^= mse->held[i];
    size_t i = 0;
    while (i < count && memcmp(skeys[i].req2, req2, sizeof req2) != 0)
        i++;
    if (i == count) {
        fail(mse, SK_MSE_FAILURE_TORRENT);
        return;
    }
    memcpy(mse->info_hash, skeys[i].info_hash, 20);
    if (make_ciphers(mse))
        fail(mse, SK_MSE_FAILURE_NOMEM);
    else
        enter(mse, SK_MSE_FIELDS, SK_MSE_VC_SIZE + 4 + 2);
}

/* Initiator: what they selected. */
static void take_choice(struct sk_mse *mse)
{
    uint32_t mode = sk_get_u32(mse->held);
    uint16_t pad = sk_get_u16(mse->held + 4);
    if ((mode != SK_MSE_PLAIN && mode != SK_MSE_RC4) || !(mode & mse->modes)) {
        fail(mse, SK_MSE_FAILURE_SELECT);
    } else if (pad > SK_MSE_PAD_MAX) {
        fail(mse, SK_MSE_FAILURE_PAD);
    } else {
        mse->mode = mode;
        enter(mse, SK_MSE_PAD, pad);
    }
}

/* Responder: what they offer. */
static void take_offer(struct sk_mse *mse)
{
    static const uint8_t vc[SK_MSE_VC_SIZE];
    uint32_t common = sk_get_u32(mse->held + SK_MSE_VC_SIZE) & mse->modes;
    uint16_t pad = sk_get_u16(mse->held + SK_MSE_VC_SIZE + 4);
    if (memcmp(mse->held, vc, sizeof vc) != 0) {
        fail(mse, SK_MSE_FAILURE_VC);
    } else if (!common) {
        fail(mse, SK_MSE_FAILURE_MODES);
    } else if (pad > SK_MSE_PAD_MAX) {
        fail(mse, SK_MSE_FAILURE_PAD);
    } else {
        mse->mode = common & SK_MSE_RC4 ? SK_MSE_RC4 : SK_MSE_PLAIN;
        enter(mse, SK_MSE_PAD, pad + 2u); /* and the length of the initial payload */
    }
}

static void take_pad(struct sk_mse *mse, struct sk_buf *out)
{
    if (!mse->initiator && send_choice(mse, out)) {
        fail(mse, SK_MSE_FAILURE_NOMEM);
        return;
    }
    mse->in_left = SIZE_MAX;
    if (mse->mode == SK_MSE_PLAIN) {
        /* The initial payload is encrypted whatever was selected. */
        mse->in_left = mse->initiator ? 0 : sk_get_u16(mse->held + mse->need - 2);
        sk_rc4_free(mse->out);
        mse->out = NULL;
        if (mse->in_left == 0) {
            sk_rc4_free(mse->in);
            mse->in = NULL;
        }
    }
    mse->state = SK_MSE_DONE;
}

/* Takes bytes until the mark has come or the bound is reached; returns how many. */
static size_t search(struct sk_mse *mse, struct sk_bytes bytes)
{
    size_t used = 0;
    while (used < bytes.n) {
        mse->held[mse->held_size++] = bytes.p[used++];
        if (mse->held_size < mse->mark_size)
            continue;
        size_t at = mse->held_size - mse->mark_size;
        if (memcmp(mse->held + at, mse->mark, mse->mark_size) == 0) {
            enter(mse, mse->initiator ? SK_MSE_FIELDS : SK_MSE_TORRENT,
                  mse->initiator ? 4 + 2 : SK_SHA1_SIZE);
            break;
        }
        if (mse->held_size == mse->need) {
            fail(mse, SK_MSE_FAILURE_SYNC);
            break;
        }
    }
    return used;
}

/* What was wanted is here. */
static void advance(struct sk_mse *mse, const struct sk_peer_skey *skeys, size_t skeys_count,
                    struct sk_buf *out)
{
    if (mse->state == SK_MSE_FIELDS || mse->state == SK_MSE_PAD)
        sk_rc4_apply(mse->in, mse->held, mse->need);
    if (mse->state == SK_MSE_KEY)
        take_key(mse, out);
    else if (mse->state == SK_MSE_TORRENT)
        take_torrent(mse, skeys, skeys_count);
    else if (mse->state == SK_MSE_PAD)
        take_pad(mse, out);
    else if (mse->initiator)
        take_choice(mse);
    else
        take_offer(mse);
}

size_t sk_mse_input(struct sk_mse *mse, struct sk_bytes bytes, const struct sk_peer_skey *skeys,
                    size_t skeys_count, struct sk_buf *out)
{
    size_t used = 0;
    while (mse->state < SK_MSE_DONE) {
        struct sk_bytes rest = sk_bytes(bytes.p + used, bytes.n - used);
        if (mse->state == SK_MSE_SYNC) {
            if (rest.n == 0)
                break;
            used += search(mse, rest);
            continue;
        }
        size_t n = SK_MIN(rest.n, mse->need - mse->held_size);
        if (n)
            memcpy(mse->held + mse->held_size, rest.p, n);
        mse->held_size += n;
        used += n;
        /* Who does not speak MSE and answers all the same shows it early. */
        if (mse->state == SK_MSE_KEY && mse->held_size >= PLAIN_PREFIX_SIZE &&
            memcmp(mse->held, PLAIN_PREFIX, PLAIN_PREFIX_SIZE) == 0)
            fail(mse, SK_MSE_FAILURE_PLAIN);
        else if (mse->held_size == mse->need)
            advance(mse, skeys, skeys_count, out);
        else
            break;
    }
    return used;
}

int sk_mse_new(const struct sk_mse_config *config, uint64_t now_ns, struct sk_buf *out,
               struct sk_mse **ret_mse)
{
    struct sk_mse *mse = sk_mem_calloc(1, sizeof *mse);
    if (!mse)
        return SKEP_ERR_NOMEM;
    mse->initiator = config->initiator;
    mse->modes = config->modes;
    mse->deadline_ns = now_ns + SK_PEER_HANDSHAKE_NS;
    sk_prng_init(&mse->prng, config->seed);
    sk_prng_bytes(&mse->prng, mse->private_key, sizeof mse->private_key);
    enter(mse, SK_MSE_KEY, SK_DH_SIZE);
    if (mse->initiator) {
        memcpy(mse->info_hash, config->info_hash, sizeof mse->info_hash);
        memcpy(mse->payload, config->payload, sizeof mse->payload);
        int err = send_key(mse, out);
        if (err) {
            sk_mse_free(mse);
            return err;
        }
    }
    *ret_mse = mse;
    return 0;
}

void sk_mse_free(struct sk_mse *mse)
{
    if (!mse)
        return;
    sk_rc4_free(mse->in);
    sk_rc4_free(mse->out);
    sk_mem_free(mse);
}

enum sk_mse_state sk_mse_state(const struct sk_mse *mse)
{
    return mse->state;
}

enum sk_mse_failure sk_mse_failure(const struct sk_mse *mse)
{
    return mse->failure;
}

uint64_t sk_mse_deadline(const struct sk_mse *mse)
{
    return mse->deadline_ns;
}

void sk_mse_take_result(struct sk_mse *mse, struct sk_mse_result *ret_result)
{
    SK_ASSERT(mse->state == SK_MSE_DONE);
    *ret_result = (struct sk_mse_result){
        .mode = mse->mode, .in = mse->in, .out = mse->out, .in_left = mse->in_left};
    memcpy(ret_result->info_hash, mse->info_hash, sizeof ret_result->info_hash);
    mse->in = mse->out = NULL;
}
