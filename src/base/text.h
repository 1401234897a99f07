/*
 * Text from outside (names, client strings, tracker messages), made safe to show.
 */
#ifndef SK_BASE_TEXT_H
#define SK_BASE_TEXT_H

#include "base/bytes.h"

/*
 * Writes bytes as UTF-8 that is safe on a terminal: control characters (C0, C1, DEL), bidi and
 * other invisible format characters, and bytes that are not valid UTF-8 become \xNN or \u{N}; a
 * backslash doubles. Never more than size - 1 bytes; what does not fit is cut at a character and
 * ends in "...". Returns ret_text.
 */
char *sk_text_escape(struct sk_bytes bytes, char *ret_text, size_t size);
/* Whether the bytes are well-formed UTF-8 (no overlong forms, surrogates, or values > 10FFFF). */
bool sk_text_is_utf8(struct sk_bytes bytes);
/* Decodes one character; its length in bytes, or 0 where the bytes are no UTF-8. */
size_t sk_text_decode(struct sk_bytes bytes, uint32_t *ret_char);

#endif
