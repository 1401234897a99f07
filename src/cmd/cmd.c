#include "cmd/cmd.h"

#include <skep/err.h>

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#define COMPLAINT_MAX 1024 /* bytes of one, before escaping */

void sk_complain(const char *format, ...)
{
    /* What is complained about mostly came from outside: here all of it is made safe to show. */
    char text[COMPLAINT_MAX], safe[2 * COMPLAINT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "skep: %s\n", sk_text_escape(sk_bytes_text(text), safe, sizeof safe));
}

int sk_exit_of(int err)
{
    switch (err) {
    case 0:
        return SK_EXIT_DONE;
    case SKEP_ERR_INVALID:
        return SK_EXIT_USAGE;
    case SKEP_ERR_NOT_FOUND:
        return SK_EXIT_NOTHING;
    case SKEP_ERR_NETWORK:
    case SKEP_ERR_TIMEOUT:
        return SK_EXIT_NETWORK;
    case SKEP_ERR_MALFORMED:
    case SKEP_ERR_MISMATCH:
    case SKEP_ERR_TRUNCATED:
    case SKEP_ERR_UNSUPPORTED:
        return SK_EXIT_CORRUPT;
    case SKEP_ERR_IO:
    case SKEP_ERR_STORE:
        return SK_EXIT_STORAGE;
    default:
        return SK_EXIT_FAILED;
    }
}
