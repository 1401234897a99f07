/*
 * A film that is to start in its middle: the first byte says when, in seconds, the rest is the
 * film. It ends; what it reads and copies is in the file; nothing before what is the rest comes
 * after it.
 */
#include "wire/film.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"

#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly what was asked for, so that reading past its end is seen. */
static void feed(struct sk_film *film, const uint8_t *data, const struct sk_film_out *out)
{
    uint8_t *exact = malloc((size_t)out->length);
    SK_ASSERT(exact);
    memcpy(exact, data + out->offset, (size_t)out->length);
    sk_film_input(film, sk_bytes(exact, (size_t)out->length));
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_film *film;
    struct sk_film_out out;
    enum sk_film_want want;
    const char *reason;
    uint64_t rest = 0, sum = 0;
    if (!size--)
        return 0;
    if (sk_film_new(size, *data++ * SECOND_NS, &film))
        return 0;
    for (unsigned steps = 0; (want = sk_film_next(film, &out)) != SK_FILM_END; steps++) {
        SK_ASSERT(steps < 4 * SK_FILM_READS_MAX);
        if (want == SK_FILM_FAILED) {
            SK_ASSERT(sk_film_error(film, &reason) < 0 && *reason);
            break;
        }
        SK_ASSERT(out.length > 0);
        if (want == SK_FILM_WRITE) {
            for (size_t i = 0; i < out.bytes.n; i++)
                sum += out.bytes.p[i];
            continue;
        }
        SK_ASSERT(out.offset < size && out.length <= size - out.offset);
        if (want == SK_FILM_READ) {
            feed(film, data, &out);
        } else {
            SK_ASSERT(out.offset >= rest);
            rest = out.rest ? out.offset : rest;
        }
    }
    SK_ASSERT(sum < UINT64_MAX);
    sk_film_free(film);
    return 0;
}
