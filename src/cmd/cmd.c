#include "cmd/cmd.h"

#include <skep/err.h>

#include <stdarg.h>
#include <stdio.h>

void sk_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("skep: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
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
