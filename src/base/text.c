#include "base/text.h"

#include <stdio.h>

#define SK_TEXT_CUT(room) ((room) < 3 ? (room) : 3)

size_t sk_text_decode(struct sk_bytes bytes, uint32_t *ret_char)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (!bytes.n)
        return 0;
    uint8_t first = bytes.p[0];
    if (first < 0x80) {
        *ret_char = first;
        return 1;
    }
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || bytes.n < length)
        return 0;
    uint32_t value = first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes.p[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (bytes.p[i] & 0x3f);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *ret_char = value;
    return length;
}

bool sk_text_is_utf8(struct sk_bytes bytes)
{
    uint32_t c;
    while (bytes.n) {
        size_t length = sk_text_decode(bytes, &c);
        if (!length)
            return false;
        bytes = sk_bytes(bytes.p + length, bytes.n - length);
    }
    return true;
}

/* Characters that change how others are shown, or show nothing. */
static bool is_unsafe(uint32_t c)
{
    static const struct {
        uint32_t from, to;
    } ranges[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},     {0x180e, 0x180e},
        {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
        {0xfff9, 0xfffb}, {0xfdd0, 0xfdef}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return true;
    return false;
}

char *sk_text_escape(struct sk_bytes bytes, char *ret_text, size_t size)
{
    static const char ellipsis[] = "...";
    size_t at = 0, safe = 0; /* safe: the last place where "..." still fits */
    if (size)
        ret_text[0] = 0;
    while (bytes.n && size) {
        uint32_t c = 0;
        char piece[16];
        size_t length = sk_text_decode(bytes, &c), n;
        if (!length) {
            length = 1;
            n = (size_t)snprintf(piece, sizeof piece, "\\x%02x", bytes.p[0]);
        } else if (c == '\\') {
            n = (size_t)snprintf(piece, sizeof piece, "\\\\");
        } else if (is_unsafe(c)) {
            n = (size_t)snprintf(piece, sizeof piece, c < 0x80 ? "\\x%02x" : "\\u{%x}", c);
        } else {
            memcpy(piece, bytes.p, length);
            n = length;
        }
        if (at + n >= size) {
            size_t room = size - 1 - safe;
            memcpy(ret_text + safe, ellipsis, SK_TEXT_CUT(room));
            ret_text[safe + SK_TEXT_CUT(room)] = 0;
            return ret_text;
        }
        memcpy(ret_text + at, piece, n);
        at += n;
        ret_text[at] = 0;
        if (at + sizeof ellipsis <= size)
            safe = at;
        bytes = sk_bytes(bytes.p + length, bytes.n - length);
    }
    return ret_text;
}
