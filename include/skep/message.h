/*
 * A message of the peer protocol, as hooks see it. Kinds are the ids on the wire (BEP 3, 6, 10,
 * 52).
 */
#ifndef SKEP_MESSAGE_H
#define SKEP_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

enum skep_message_kind {
    SKEP_MESSAGE_CHOKE = 0,
    SKEP_MESSAGE_UNCHOKE = 1,
    SKEP_MESSAGE_INTERESTED = 2,
    SKEP_MESSAGE_NOT_INTERESTED = 3,
    SKEP_MESSAGE_HAVE = 4,
    SKEP_MESSAGE_BITFIELD = 5,
    SKEP_MESSAGE_REQUEST = 6,
    SKEP_MESSAGE_PIECE = 7,
    SKEP_MESSAGE_CANCEL = 8,
    SKEP_MESSAGE_PORT = 9,
    SKEP_MESSAGE_SUGGEST = 13,
    SKEP_MESSAGE_HAVE_ALL = 14,
    SKEP_MESSAGE_HAVE_NONE = 15,
    SKEP_MESSAGE_REJECT = 16,
    SKEP_MESSAGE_ALLOWED_FAST = 17,
    SKEP_MESSAGE_EXTENDED = 20,
    SKEP_MESSAGE_HASH_REQUEST = 21,
    SKEP_MESSAGE_HASHES = 22,
    SKEP_MESSAGE_HASH_REJECT = 23,
    /* parts of EXTENDED that the engine reads itself */
    SKEP_MESSAGE_DONT_HAVE = 240,
    SKEP_MESSAGE_UPLOAD_ONLY = 241,
    SKEP_MESSAGE_KIND_COUNT = 256,
};

struct skep_message {
    enum skep_message_kind kind;
    uint32_t index;  /* piece; UPLOAD_ONLY: 1 or 0 */
    uint32_t begin;  /* byte offset in the piece; HAVE: 1 where a bitfield came in its place */
    uint32_t length; /* bytes of a block */
    const uint8_t
        *data; /* BITFIELD, PIECE, EXTENDED: the payload; borrowed until the hook returns */
    size_t size;
};

#endif
