/* The fast extension (BEP 6). */
#include "base/assert.h"
#include "wire/peer_family.h"

static const struct sk_msg_codec codecs[] = {
    {"suggest", 4, 4, sk_msg_read_index, sk_msg_write_index},
    {"have all", 0, 0, sk_msg_read_empty, sk_msg_write_empty},
    {"have none", 0, 0, sk_msg_read_empty, sk_msg_write_empty},
    {"reject", 12, 12, sk_msg_read_block, sk_msg_write_block},
    {"allowed fast", 4, 4, sk_msg_read_index, sk_msg_write_index},
};

const struct sk_msg_family sk_msg_fast = {SK_MSG_SUGGEST, SK_ARRAY_LEN(codecs), codecs};
