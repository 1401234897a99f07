/* Local service discovery datagrams: what is read is written, read again and means the same. */
#include "wire/lsd.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_lsd first, again;
    struct sk_buf buf;
    if (sk_lsd_read(sk_bytes(data, size), &first))
        return 0;
    SK_ASSERT(first.port && first.hashes_count && first.hashes_count <= SK_LSD_HASHES_MAX);
    sk_buf_init(&buf, 4096);
    SK_ASSERT(sk_lsd_write(&buf, SK_FAMILY_V6, &first) == 0);
    SK_ASSERT(sk_lsd_read(sk_buf_bytes(&buf), &again) == 0);
    SK_ASSERT(first.port == again.port && first.hashes_count == again.hashes_count);
    SK_ASSERT(memcmp(first.hashes, again.hashes, first.hashes_count * 20) == 0);
    SK_ASSERT(strcmp(first.cookie, again.cookie) == 0);
    sk_buf_deinit(&buf);
    return 0;
}
