#include "wire/film.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/film_step.h"

#define PEEK 4096
#define WINDOW (64u << 10) /* looked through at a time for marks */

uint64_t sk_film_times(uint64_t value, uint64_t unit)
{
    uint64_t product;
    return __builtin_mul_overflow(value, unit, &product) ? UINT64_MAX : product;
}

uint64_t sk_film_plus(uint64_t value, uint64_t more)
{
    uint64_t sum;
    return __builtin_add_overflow(value, more, &sum) ? UINT64_MAX : sum;
}

int sk_film_fail(struct sk_film *film, int error, const char *reason)
{
    film->reason = reason;
    return error;
}

int sk_film_read(struct sk_film *film, uint64_t offset, uint64_t length, sk_film_step *step)
{
    if (offset >= film->size || !length)
        return sk_film_fail(film, SKEP_ERR_MALFORMED, "ends too early");
    length = SK_MIN(length, film->size - offset);
    film->read_bytes += length;
    if (++film->reads > SK_FILM_READS_MAX || length > SK_FILM_READ_BYTES_MAX ||
        film->read_bytes > SK_FILM_READ_BYTES_MAX)
        return sk_film_fail(film, SKEP_ERR_LIMIT, "has no place to start at that can be found");
    film->read = (struct sk_film_range){offset, length};
    film->step = step;
    return 0;
}

static int add(struct sk_film *film, struct sk_film_part part)
{
    if (film->parts_count == SK_ARRAY_LEN(film->parts)) {
        sk_mem_free(part.bytes);
        return sk_film_fail(film, SKEP_ERR_LIMIT, "is made of too many parts");
    }
    film->written += part.range.length;
    film->parts[film->parts_count++] = part;
    return 0;
}

int sk_film_copy(struct sk_film *film, struct sk_film_range range, bool rest)
{
    if (!range.length || range.offset > film->size || range.length > film->size - range.offset)
        return sk_film_fail(film, SKEP_ERR_MALFORMED, "ends too early");
    return add(film, (struct sk_film_part){.range = range, .rest = rest});
}

int sk_film_write(struct sk_film *film, uint8_t *bytes, size_t n)
{
    return add(film, (struct sk_film_part){.bytes = bytes, .range.length = n});
}

/* ---- bisection ---- */

static sk_film_step look_through, look_at;

static int look_from(struct sk_film *film, uint64_t at)
{
    film->seek.at = at;
    return sk_film_read(film, at, SK_MIN(film->seek.high - at + SK_FILM_MARK_MAX, WINDOW),
                        look_through);
}

/* Where to look next between the limits: where the time should be, by theirs; but each third time
 * in the middle, so that no film makes it long. */
static uint64_t guess(const struct sk_film_seek *seek)
{
    uint64_t gap = seek->high - seek->low;
    if (seek->high_ns == UINT64_MAX || seek->high_ns <= seek->low_ns || seek->looks % 3 == 0)
        return seek->low + gap / 2;
    double share = (double)(seek->time_ns - seek->low_ns) / (double)(seek->high_ns - seek->low_ns);
    uint64_t at = (uint64_t)((double)gap * SK_MIN(share, 1.0));
    return seek->low + SK_MIN(SK_MAX(at, 1), gap - 1);
}

static int look_between(struct sk_film *film)
{
    struct sk_film_seek *seek = &film->seek;
    if (seek->high - seek->low <= 1)
        return seek->marks->found(film, sk_bytes(NULL, 0));
    seek->looks++;
    seek->origin = guess(seek);
    return look_from(film, seek->origin);
}

/* There is none in time from where this look began. */
static int look_before(struct sk_film *film)
{
    film->seek.high = film->seek.origin;
    return look_between(film);
}

static int look_through(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_film_seek *seek = &film->seek;
    size_t at = seek->marks->find(bytes, 0);
    bool last = bytes.n < WINDOW || seek->at + bytes.n >= seek->high;
    if (at < bytes.n && seek->at + at < seek->high) {
        seek->at += at;
        return sk_film_read(film, seek->at, WINDOW, look_at);
    }
    return last ? look_before(film) : look_from(film, seek->at + bytes.n - SK_FILM_MARK_MAX);
}

static int look_at(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_film_seek *seek = &film->seek;
    uint64_t time_ns;
    if (!seek->marks->judge(film, bytes, &time_ns))
        return seek->at + 1 < seek->high ? look_from(film, seek->at + 1) : look_before(film);
    if (time_ns > seek->time_ns) {
        seek->high_ns = time_ns;
        return look_before(film);
    }
    seek->low = seek->at;
    seek->low_ns = time_ns;
    return look_between(film);
}

int sk_film_seek(struct sk_film *film, const struct sk_film_marks *marks, uint64_t low,
                 uint64_t high, uint64_t time_ns)
{
    SK_ASSERT(low < high);
    film->seek = (struct sk_film_seek){.marks = marks,
                                       .low = low,
                                       .high = SK_MIN(high, film->size),
                                       .high_ns = UINT64_MAX,
                                       .time_ns = time_ns};
    return look_between(film);
}

/* ---- the machine ---- */

static int begin(struct sk_film *film, struct sk_bytes bytes)
{
    if (sk_matroska_is(bytes))
        return sk_matroska_begin(film, bytes);
    if (sk_mp4_is(bytes))
        return sk_mp4_begin(film, bytes);
    return sk_film_fail(film, SKEP_ERR_UNSUPPORTED,
                        "is no Matroska, WebM or MP4 film: it can start by bytes only");
}

int sk_film_new(uint64_t size, uint64_t from_ns, struct sk_film **ret_film)
{
    struct sk_film *film = sk_mem_calloc(1, sizeof *film);
    if (!film)
        return SKEP_ERR_NOMEM;
    film->size = size;
    film->from_ns = from_ns;
    film->error = sk_film_read(film, 0, PEEK, begin);
    *ret_film = film;
    return 0;
}

/* What was taken last lives no longer. */
static void drop_taken(struct sk_film *film)
{
    if (film->parts_taken) {
        struct sk_film_part *part = &film->parts[film->parts_taken - 1];
        sk_mem_free(part->bytes);
        part->bytes = NULL;
    }
    if (film->parts_taken == film->parts_count)
        film->parts_taken = film->parts_count = 0;
}

enum sk_film_want sk_film_next(struct sk_film *film, struct sk_film_out *ret_out)
{
    *ret_out = (struct sk_film_out){0};
    drop_taken(film);
    if (film->error)
        return SK_FILM_FAILED;
    if (film->parts_taken < film->parts_count) {
        const struct sk_film_part *part = &film->parts[film->parts_taken++];
        ret_out->offset = part->range.offset;
        ret_out->length = part->range.length;
        ret_out->rest = part->rest;
        ret_out->bytes = sk_bytes(part->bytes, part->bytes ? (size_t)part->range.length : 0);
        return part->bytes ? SK_FILM_WRITE : SK_FILM_COPY;
    }
    if (!film->step)
        return SK_FILM_END;
    ret_out->offset = film->read.offset;
    ret_out->length = film->read.length;
    return SK_FILM_READ;
}

void sk_film_input(struct sk_film *film, struct sk_bytes bytes)
{
    SK_ASSERT(film->step && bytes.n == film->read.length);
    sk_film_step *step = film->step;
    film->step = NULL;
    film->error = step(film, bytes);
}

int sk_film_error(const struct sk_film *film, const char **ret_reason)
{
    *ret_reason = film->reason ? film->reason : skep_err_text(film->error);
    return film->error;
}

void sk_film_free(struct sk_film *film)
{
    if (!film)
        return;
    for (size_t i = 0; i < film->parts_count; i++)
        sk_mem_free(film->parts[i].bytes);
    if (film->is_mp4)
        sk_mp4_deinit(&film->mp4);
    sk_mem_free(film);
}
