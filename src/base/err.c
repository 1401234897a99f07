#include <skep/err.h>

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const texts[] = {
    [-SKEP_OK] = "no error",
    [-SKEP_ERR_NOMEM] = "out of memory",
    [-SKEP_ERR_INVALID] = "invalid argument",
    [-SKEP_ERR_MALFORMED] = "malformed data",
    [-SKEP_ERR_LIMIT] = "a limit was reached",
    [-SKEP_ERR_TRUNCATED] = "truncated data",
    [-SKEP_ERR_NOT_FOUND] = "not found",
    [-SKEP_ERR_UNSUPPORTED] = "not supported",
    [-SKEP_ERR_MISMATCH] = "data does not match",
    [-SKEP_ERR_IO] = "input or output failed",
    [-SKEP_ERR_NETWORK] = "network failure",
    [-SKEP_ERR_TIMEOUT] = "timed out",
    [-SKEP_ERR_CRYPTO] = "the crypto library refused",
    [-SKEP_ERR_STATE] = "not possible now",
    [-SKEP_ERR_STORE] = "the database refused",
};

const char *skep_err_text(int err)
{
    if (err > 0 || err < -(int)(SK_ARRAY_LEN(texts) - 1))
        return "unknown error";
    return texts[-err];
}

void sk_assert_fail(const char *expr, const char *file, int line)
{
    fprintf(stderr, "skep: %s:%d: this must hold: %s\n", file, line, expr);
    abort();
}
