/* Magnet links, and hashes alone. */
#include "wire/magnet.h"

#include "base/assert.h"
#include "base/limits.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_addresses(char *const *texts, size_t count, size_t max)
{
    SK_ASSERT(count <= max);
    for (size_t i = 0; i < count; i++) {
        SK_ASSERT(texts[i][0] && strlen(texts[i]) <= SK_METAINFO_URL_MAX);
        for (const char *c = texts[i]; *c; c++)
            SK_ASSERT((uint8_t)*c > ' ');
    }
}

static void check(const struct sk_magnet *magnet)
{
    SK_ASSERT(magnet->has_v1 || magnet->has_v2 || magnet->has_key);
    SK_ASSERT(magnet->salt_size <= SK_MAGNET_SALT_MAX);
    SK_ASSERT(!magnet->name || magnet->name[0]);
    check_addresses(magnet->trackers, magnet->trackers_count, SK_METAINFO_TRACKERS_MAX);
    check_addresses(magnet->web_seeds, magnet->web_seeds_count, SK_METAINFO_TRACKERS_MAX);
    check_addresses(magnet->sources, magnet->sources_count, SK_METAINFO_TRACKERS_MAX);
    check_addresses(magnet->peers, magnet->peers_count, SK_MAGNET_PEERS_MAX);
    for (size_t i = 0; i < magnet->select_count; i++) {
        SK_ASSERT(sk_magnet_selects(magnet, magnet->select[i].first));
        SK_ASSERT(sk_magnet_selects(magnet, magnet->select[i].last));
        SK_ASSERT(!sk_magnet_selects(magnet, magnet->select[i].last + 1));
        SK_ASSERT(magnet->select[i].first <= magnet->select[i].last);
        SK_ASSERT(magnet->select[i].last < SK_METAINFO_FILES_MAX);
        if (i)
            SK_ASSERT(magnet->select[i].first > magnet->select[i - 1].last + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_magnet *magnet = NULL;
    char *text = malloc(size + 1);
    SK_ASSERT(text);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    const char *reason = NULL;
    int err = sk_magnet_parse(text, &magnet, &reason);
    SK_ASSERT(!err || (!magnet && reason));
    if (!err)
        check(magnet);
    SK_ASSERT(err || magnet->has_v1 || magnet->has_v2);
    sk_magnet_free(magnet);
    magnet = NULL;
    if (sk_magnet_parse_pointer(text, &magnet, NULL) == 0)
        check(magnet);
    else
        SK_ASSERT(err); /* it takes whatever the other takes */
    sk_magnet_free(magnet);
    magnet = NULL;
    if (sk_magnet_from_hash(text, &magnet) == 0)
        check(magnet);
    sk_magnet_free(magnet);
    free(text);
    return 0;
}
