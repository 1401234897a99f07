#include "swarm/assembly.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

int sk_assembly_init(struct sk_assembly *assembly, uint32_t pieces)
{
    *assembly = (struct sk_assembly){0};
    sk_suspects_init(&assembly->suspects);
    return sk_bitfield_init(&assembly->done, pieces);
}

static void free_copy(struct sk_assembly *assembly, struct sk_assembly_copy *copy)
{
    for (struct sk_assembly_copy **at = &assembly->copies; *at; at = &(*at)->next) {
        if (*at == copy) {
            *at = copy->next;
            break;
        }
    }
    assembly->bytes -= copy->length;
    sk_mem_free(copy->data);
    sk_mem_free(copy->who);
    sk_mem_free(copy->states);
    sk_mem_free(copy);
}

void sk_assembly_deinit(struct sk_assembly *assembly)
{
    while (assembly->copies)
        free_copy(assembly, assembly->copies);
    sk_suspects_deinit(&assembly->suspects);
    sk_bitfield_deinit(&assembly->done);
}

static bool is_idle(const struct sk_assembly_copy *copy)
{
    return copy->owner == SK_ASSEMBLY_NOBODY && !memchr(copy->states, SK_BLOCK_ASKED, copy->blocks);
}

/* The oldest shared copy that nobody works on makes room; whether there was one. */
static bool drop_idle(struct sk_assembly *assembly)
{
    struct sk_assembly_copy *oldest = NULL;
    for (struct sk_assembly_copy *copy = assembly->copies; copy; copy = copy->next)
        if (is_idle(copy))
            oldest = copy;
    if (oldest)
        free_copy(assembly, oldest);
    return oldest != NULL;
}

size_t sk_assembly_room(const struct sk_assembly *assembly)
{
    size_t room = SK_ASSEMBLY_BYTES_MAX - assembly->bytes;
    for (const struct sk_assembly_copy *copy = assembly->copies; copy; copy = copy->next)
        room += is_idle(copy) ? copy->length : 0;
    return room;
}

int sk_assembly_begin(struct sk_assembly *assembly, uint32_t piece, uint32_t length, uint32_t owner,
                      struct sk_assembly_copy **ret_copy)
{
    SK_ASSERT(length > 0);
    while (length > SK_ASSEMBLY_BYTES_MAX - assembly->bytes && drop_idle(assembly))
        ;
    if (length > SK_ASSEMBLY_BYTES_MAX - assembly->bytes)
        return SKEP_ERR_LIMIT;
    uint32_t blocks = (length + SK_BLOCK_SIZE - 1) / SK_BLOCK_SIZE;
    struct sk_assembly_copy *copy = sk_mem_calloc(1, sizeof *copy);
    if (!copy)
        return SKEP_ERR_NOMEM;
    copy->data = sk_mem_alloc(length);
    copy->who = sk_mem_calloc(blocks, sizeof *copy->who);
    copy->states = sk_mem_calloc(blocks, 1);
    copy->piece = piece;
    copy->length = length;
    copy->owner = owner;
    copy->blocks = blocks;
    copy->next = assembly->copies;
    assembly->copies = copy;
    assembly->bytes += length;
    if (!copy->data || !copy->who || !copy->states) {
        free_copy(assembly, copy);
        return SKEP_ERR_NOMEM;
    }
    *ret_copy = copy;
    return 0;
}

static bool has_free(const struct sk_assembly_copy *copy)
{
    return memchr(copy->states, SK_BLOCK_FREE, copy->blocks) != NULL;
}

struct sk_assembly_copy *sk_assembly_owned(const struct sk_assembly *assembly, uint32_t owner)
{
    struct sk_assembly_copy *copy = assembly->copies;
    while (copy && !(copy->owner == owner && has_free(copy)))
        copy = copy->next;
    return copy;
}

struct sk_assembly_copy *sk_assembly_shared(const struct sk_assembly *assembly,
                                            const struct sk_assembly_copy *after)
{
    struct sk_assembly_copy *copy = after ? after->next : assembly->copies;
    while (copy && copy->owner != SK_ASSEMBLY_NOBODY)
        copy = copy->next;
    return copy;
}

bool sk_assembly_ask(struct sk_assembly_copy *copy, uint32_t peer, struct sk_block *ret_block)
{
    const uint8_t *free_state = memchr(copy->states, SK_BLOCK_FREE, copy->blocks);
    if (!free_state)
        return false;
    uint32_t i = (uint32_t)(free_state - copy->states);
    copy->states[i] = SK_BLOCK_ASKED;
    copy->who[i] = peer;
    uint32_t begin = i * SK_BLOCK_SIZE;
    *ret_block = (struct sk_block){
        .piece = copy->piece,
        .begin = begin,
        .length = SK_MIN((uint32_t)SK_BLOCK_SIZE, copy->length - begin),
    };
    return true;
}

/* The copy that waits for this block of this peer. */
static struct sk_assembly_copy *find_asked(const struct sk_assembly *assembly, uint32_t peer,
                                           uint32_t piece, uint32_t block)
{
    struct sk_assembly_copy *copy = assembly->copies;
    while (copy && !(copy->piece == piece && block < copy->blocks &&
                     copy->states[block] == SK_BLOCK_ASKED && copy->who[block] == peer))
        copy = copy->next;
    return copy;
}

void sk_assembly_release(struct sk_assembly *assembly, uint32_t peer, uint32_t piece,
                         uint32_t begin)
{
    uint32_t block = begin / SK_BLOCK_SIZE;
    struct sk_assembly_copy *copy = find_asked(assembly, peer, piece, block);
    if (copy)
        copy->states[block] = SK_BLOCK_FREE;
}

void sk_assembly_leave(struct sk_assembly *assembly, uint32_t peer)
{
    for (struct sk_assembly_copy *copy = assembly->copies, *next; copy; copy = next) {
        next = copy->next;
        if (copy->owner == peer) {
            free_copy(assembly, copy);
            continue;
        }
        for (uint32_t i = 0; copy->owner == SK_ASSEMBLY_NOBODY && i < copy->blocks; i++)
            if (copy->states[i] == SK_BLOCK_ASKED && copy->who[i] == peer)
                copy->states[i] = SK_BLOCK_FREE;
    }
}

struct sk_assembly_copy *sk_assembly_take(struct sk_assembly *assembly, uint32_t peer,
                                          uint32_t piece, uint32_t begin, const void *data,
                                          uint32_t length)
{
    uint32_t block = begin / SK_BLOCK_SIZE;
    struct sk_assembly_copy *copy = find_asked(assembly, peer, piece, block);
    if (!copy || begin % SK_BLOCK_SIZE ||
        length != SK_MIN((uint32_t)SK_BLOCK_SIZE, copy->length - begin))
        return NULL;
    memcpy(copy->data + begin, data, length);
    copy->states[block] = SK_BLOCK_HELD;
    copy->held++;
    return copy;
}

void sk_assembly_rename(struct sk_assembly *assembly, uint32_t from, uint32_t to)
{
    for (struct sk_assembly_copy *copy = assembly->copies; copy; copy = copy->next) {
        copy->owner = copy->owner == from ? to : copy->owner;
        for (uint32_t i = 0; i < copy->blocks; i++)
            copy->who[i] = copy->who[i] == from ? to : copy->who[i];
    }
    sk_suspects_rename(&assembly->suspects, from, to);
}

/* ---- judging ---- */

void sk_assembly_check(struct sk_assembly_copy *copy, uint32_t block, bool right, sk_judge_fn judge,
                       void *ctx)
{
    SK_ASSERT(block < copy->blocks && copy->states[block] == SK_BLOCK_HELD);
    judge(copy->who[block], copy->piece, right, !right, ctx);
    /* Of an exclusive copy a wrong block is not asked for again: its peer's share of wrong blocks
     * is what is measured. The piece will be wrong, and says nothing new. */
    bool again = !right && copy->owner == SK_ASSEMBLY_NOBODY;
    copy->states[block] = again ? SK_BLOCK_FREE : SK_BLOCK_PROVED;
    copy->held -= again;
}

void sk_assembly_finish(struct sk_assembly *assembly, struct sk_assembly_copy *copy,
                        enum sk_assembly_result result, sk_judge_fn judge, void *ctx)
{
    /* Who gave a proved block was judged. */
    for (uint32_t i = 0; i < copy->blocks; i++)
        if (copy->states[i] == SK_BLOCK_PROVED)
            copy->who[i] = SK_ASSEMBLY_NOBODY;
    if (result == SK_ASSEMBLY_RIGHT) {
        sk_bitfield_add(&assembly->done, copy->piece);
        for (uint32_t i = 0; i < copy->blocks; i++)
            if (copy->who[i] != SK_ASSEMBLY_NOBODY)
                judge(copy->who[i], copy->piece, 1, 0, ctx);
        sk_suspects_right(&assembly->suspects, copy->piece, copy->data, copy->length, judge, ctx);
    } else if (result == SK_ASSEMBLY_WRONG) {
        sk_suspects_wrong(&assembly->suspects, copy->piece, copy->data, copy->length, copy->who,
                          judge, ctx);
    }
    free_copy(assembly, copy);
}
