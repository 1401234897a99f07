#include "swarm/suspects.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

void sk_suspects_init(struct sk_suspects *suspects)
{
    *suspects = (struct sk_suspects){0};
}

static void forget(struct sk_suspects *suspects, struct sk_suspects_piece **at)
{
    struct sk_suspects_piece *wrong = *at;
    *at = wrong->next;
    suspects->count--;
    sk_mem_free(wrong);
}

void sk_suspects_deinit(struct sk_suspects *suspects)
{
    while (suspects->first)
        forget(suspects, &suspects->first);
}

static uint32_t count_blocks(uint32_t length)
{
    return length / SK_BLOCK_SIZE + (length % SK_BLOCK_SIZE > 0);
}

static void digest_block(const uint8_t *bytes, uint32_t length, uint32_t block, uint8_t *ret_sha1)
{
    uint32_t begin = block * SK_BLOCK_SIZE;
    sk_sha1(bytes + begin, SK_MIN((uint32_t)SK_BLOCK_SIZE, length - begin), ret_sha1);
}

static void remember(struct sk_suspects *suspects, uint32_t piece, const uint8_t *bytes,
                     uint32_t length, const uint32_t *who)
{
    uint32_t blocks = count_blocks(length);
    if (suspects->count >= SK_SUSPECTS_MAX)
        return;
    struct sk_suspects_piece *wrong =
        sk_mem_calloc(1, sizeof *wrong + blocks * sizeof wrong->suspects[0]);
    if (!wrong)
        return;
    wrong->piece = piece;
    wrong->blocks = blocks;
    for (uint32_t i = 0; i < blocks; i++) {
        wrong->suspects[i].who = who[i];
        digest_block(bytes, length, i, wrong->suspects[i].sha1);
    }
    wrong->next = suspects->first;
    suspects->first = wrong;
    suspects->count++;
}

void sk_suspects_wrong(struct sk_suspects *suspects, uint32_t piece, const uint8_t *bytes,
                       uint32_t length, const uint32_t *who, sk_judge_fn judge, void *ctx)
{
    uint32_t giver = SK_SUSPECTS_NOBODY, given = 0;
    for (uint32_t i = 0; i < count_blocks(length); i++) {
        if (who[i] == SK_SUSPECTS_NOBODY)
            continue;
        if (given++ > 0 && who[i] != giver) {
            remember(suspects, piece, bytes, length, who);
            return;
        }
        giver = who[i];
    }
    for (; given > 0; given--)
        judge(giver, piece, 0, 1, ctx);
}

static void judge_piece(const struct sk_suspects_piece *wrong, const uint8_t *bytes,
                        uint32_t length, sk_judge_fn judge, void *ctx)
{
    for (uint32_t i = 0; i < wrong->blocks; i++) {
        const struct sk_suspect *suspect = &wrong->suspects[i];
        uint8_t sha1[SK_SHA1_SIZE];
        if (suspect->who == SK_SUSPECTS_NOBODY)
            continue;
        digest_block(bytes, length, i, sha1);
        bool right = memcmp(sha1, suspect->sha1, sizeof sha1) == 0;
        judge(suspect->who, wrong->piece, right, !right, ctx);
    }
}

void sk_suspects_right(struct sk_suspects *suspects, uint32_t piece, const uint8_t *bytes,
                       uint32_t length, sk_judge_fn judge, void *ctx)
{
    for (struct sk_suspects_piece **at = &suspects->first; *at;) {
        if ((*at)->piece != piece) {
            at = &(*at)->next;
            continue;
        }
        SK_ASSERT((*at)->blocks == count_blocks(length));
        judge_piece(*at, bytes, length, judge, ctx);
        forget(suspects, at);
    }
}

void sk_suspects_rename(struct sk_suspects *suspects, uint32_t from, uint32_t to)
{
    for (struct sk_suspects_piece *wrong = suspects->first; wrong; wrong = wrong->next)
        for (uint32_t i = 0; i < wrong->blocks; i++)
            if (wrong->suspects[i].who == from)
                wrong->suspects[i].who = to;
}
