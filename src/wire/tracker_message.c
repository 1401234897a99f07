#include "wire/tracker_message.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/compact.h"

void sk_announce_answer_init(struct sk_announce_answer *answer)
{
    *answer = (struct sk_announce_answer){.seeds = -1, .leechers = -1, .downloads = -1};
}

void sk_announce_answer_deinit(struct sk_announce_answer *answer)
{
    sk_mem_free(answer->peers);
    sk_announce_answer_init(answer);
}

int sk_announce_answer_reserve(struct sk_announce_answer *answer, size_t more)
{
    size_t room = SK_TRACKER_PEERS_MAX - answer->peers_count;
    more = SK_MIN(more, room);
    if (!more)
        return 0;
    struct sk_endpoint *peers =
        sk_mem_realloc(answer->peers, answer->peers_count + more, sizeof *peers);
    if (!peers)
        return SKEP_ERR_NOMEM;
    answer->peers = peers;
    return (int)more;
}

int sk_announce_answer_compact(struct sk_announce_answer *answer, struct sk_bytes bytes,
                               enum sk_family family)
{
    int room = sk_announce_answer_reserve(answer, bytes.n / (family == SK_FAMILY_V6 ? 18 : 6));
    if (room <= 0)
        return room;
    answer->peers_count +=
        sk_compact_read(bytes, family, answer->peers + answer->peers_count, (size_t)room, NULL);
    return 0;
}

void sk_tracker_text_copy(struct sk_bytes text, char *ret_text, size_t size)
{
    size_t n = SK_MIN(text.n, size - 1);
    for (size_t i = 0; i < n; i++)
        ret_text[i] = text.p[i] ? (char)text.p[i] : ' ';
    ret_text[n] = 0;
}

uint64_t sk_announce_left(const struct sk_tracker_announce *announce)
{
    return announce->left == UINT64_MAX ? SK_ANNOUNCE_LEFT_UNKNOWN : announce->left;
}
