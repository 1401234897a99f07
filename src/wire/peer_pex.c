/* ut_pex (BEP 11): peers told by peers. */
#include <skep/err.h>

#include "base/assert.h"
#include "wire/bencode.h"
#include "wire/compact.h"
#include "wire/extension.h"
#include "wire/peer_family.h"

/* More than the keys and lengths take; more than a peer takes. */
#define KEYS_ROOM 256
#define PEER_ROOM 20

/* The parts of a message, in the order of their keys. */
static const struct section {
    const char *key, *flags_key;
    enum sk_family family;
    bool dropped;
} sections[] = {
    {"added", "added.f", SK_FAMILY_V4, false},
    {"added6", "added6.f", SK_FAMILY_V6, false},
    {"dropped", NULL, SK_FAMILY_V4, true},
    {"dropped6", NULL, SK_FAMILY_V6, true},
};

static size_t entry_size(enum sk_family family)
{
    return family == SK_FAMILY_V4 ? 6 : 18;
}

static size_t read_section(const struct sk_bencode *dict, const struct section *section,
                           struct sk_pex_peer *peers, size_t max)
{
    struct sk_bytes entries = sk_bencode_get_string(dict, section->key);
    struct sk_bytes flags = {0};
    if (section->flags_key)
        flags = sk_bencode_get_string(dict, section->flags_key);
    size_t size = entry_size(section->family), count = SK_MIN(entries.n / size, max);
    for (size_t i = 0; i < count; i++) {
        peers[i].flags = i < flags.n ? flags.p[i] : 0;
        peers[i].dropped = section->dropped;
        sk_compact_read(sk_bytes(entries.p + i * size, size), section->family, &peers[i].endpoint,
                        1, NULL);
    }
    return count;
}

int sk_pex_read(struct sk_bytes payload, struct sk_pex_peer *ret_peers, size_t max,
                size_t *ret_count)
{
    struct sk_bencode dict;
    int err = sk_bencode_parse(payload, SK_BENCODE_UNSORTED | SK_BENCODE_PREFIX, &dict, NULL);
    if (err || dict.type != SK_BENCODE_DICT)
        return SKEP_ERR_MALFORMED;
    size_t count = 0;
    for (size_t i = 0; i < SK_ARRAY_LEN(sections); i++)
        count += read_section(&dict, &sections[i], ret_peers + count, max - count);
    *ret_count = count;
    return 0;
}

static bool belongs(const struct sk_pex_peer *peer, const struct section *section)
{
    return peer->endpoint.family == section->family && peer->dropped == section->dropped;
}

static void write_section(struct sk_buf *buf, const struct section *section,
                          const struct sk_pex_peer *peers, size_t count)
{
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        own += belongs(&peers[i], section);
    sk_bencode_put_text(buf, section->key);
    sk_buf_printf(buf, "%zu:", own * entry_size(section->family));
    for (size_t i = 0; i < count; i++)
        if (belongs(&peers[i], section))
            sk_compact_write(buf, &peers[i].endpoint);
    if (!section->flags_key)
        return;
    sk_bencode_put_text(buf, section->flags_key);
    sk_buf_printf(buf, "%zu:", own);
    for (size_t i = 0; i < count; i++)
        if (belongs(&peers[i], section))
            sk_buf_append(buf, &peers[i].flags, 1);
}

int sk_pex_write(struct sk_buf *buf, const struct sk_pex_peer *peers, size_t count)
{
    int err = sk_msg_reserve(buf, KEYS_ROOM + count * PEER_ROOM);
    if (err)
        return err;
    sk_bencode_put_dict(buf);
    for (size_t i = 0; i < SK_ARRAY_LEN(sections); i++)
        write_section(buf, &sections[i], peers, count);
    sk_bencode_put_end(buf);
    SK_ASSERT(!buf->failed);
    return 0;
}
