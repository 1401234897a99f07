/* MP4 of film.h: files of fragments. */
#include "wire/mp4.h"

#include "base/assert.h"
#include "base/mem.h"

#define SECOND_NS UINT64_C(1000000000)
#define WINDOW (64u << 10) /* a fragment's head, as much of it as says whether it will do */
#define MFRO_SIZE 16
#define TFHD_HAS_BASE 0x1u
#define SAMPLE_IS_NO_KEY 0x10000u

/* ---- what a fragment says ---- */

/* The flags in a tfhd or trun box, and what follows them. */
static uint32_t flags_of(struct sk_bytes inside)
{
    return inside.n >= 4 ? sk_get_u32(inside.p) & 0xffffff : 0;
}

/* Where optional fields of 4 bytes (`wide`: the first of 8) have their places: of those before
 * `flag` that are there. */
static size_t place_of(uint32_t flags, uint32_t flag, size_t at, bool wide)
{
    for (uint32_t bit = 1; bit < flag; bit <<= 1)
        at += flags & bit ? (bit == 1 && wide ? 8 : 4) : 0;
    return at;
}

/* A field of 4 bytes, where it is there. */
static bool read_field(struct sk_bytes inside, uint32_t flag, size_t at, uint32_t *ret_value)
{
    if (!(flags_of(inside) & flag) || at + 4 > inside.n)
        return false;
    *ret_value = sk_get_u32(inside.p + at);
    return true;
}

struct sample {
    uint32_t flags, delay; /* from its decoding until it is shown */
};

/* The first of a fragment of the reference. */
static struct sample first_sample(const struct sk_film *film, struct sk_bytes tfhd,
                                  struct sk_bytes trun)
{
    enum {
        TFHD_FLAGS = 0x20,
        TRUN_FIRST = 0x4,
        TRUN_FIELDS = 0xff, /* of the run; the others are of each sample */
        TRUN_FLAGS = 0x400,
        TRUN_DELAYS = 0x800,
    };
    uint32_t run = flags_of(trun), each = run & ~(uint32_t)TRUN_FIELDS;
    size_t at = place_of(run & TRUN_FIELDS, TRUN_FIELDS + 1, 8, false);
    struct sample sample = {.flags = film->mp4.trex_flags};
    (void)read_field(tfhd, TFHD_FLAGS, place_of(flags_of(tfhd), TFHD_FLAGS, 8, true),
                     &sample.flags);
    (void)read_field(trun, TRUN_FLAGS, place_of(each, TRUN_FLAGS, at, false), &sample.flags);
    (void)read_field(trun, TRUN_FIRST, place_of(run, TRUN_FIRST, 8, false), &sample.flags);
    (void)read_field(trun, TRUN_DELAYS, place_of(each, TRUN_DELAYS, at, false), &sample.delay);
    return sample;
}

static size_t find_moof(struct sk_bytes bytes, size_t at)
{
    static const uint8_t mark[] = {'m', 'o', 'o', 'f', 0, 0, 0, 16, 'm', 'f', 'h', 'd'};
    at += 4; /* its size */
    const uint8_t *found =
        at < bytes.n ? memmem(bytes.p + at, bytes.n - at, mark, sizeof mark) : NULL;
    return found ? (size_t)(found - bytes.p) - 4 : bytes.n;
}

/* Whether the fragment begins with a key frame of the reference. */
static bool judge_moof(const struct sk_film *film, struct sk_bytes bytes, uint64_t *ret_ns)
{
    const struct sk_mp4_track *track = film->mp4.reference;
    struct sk_mp4_box moof, traf;
    if (!sk_mp4_read(bytes, &moof) || moof.type != SK_MP4_TYPE("moof"))
        return false;
    while (sk_mp4_next(&moof.inside, &traf)) {
        struct sk_bytes tfhd = sk_mp4_find(traf.inside, SK_MP4_TYPE("tfhd"));
        struct sk_bytes tfdt = sk_mp4_find(traf.inside, SK_MP4_TYPE("tfdt"));
        struct sk_bytes trun = sk_mp4_find(traf.inside, SK_MP4_TYPE("trun"));
        if (tfhd.n < 8 || tfdt.n < 8 || trun.n < 8 || sk_get_u32(tfhd.p + 4) != track->id)
            continue;
        uint64_t time = SK_MIN(sk_mp4_number(tfdt, 4, 4), (uint64_t)INT64_MAX / 4);
        struct sample sample = first_sample(film, tfhd, trun);
        int64_t ns = sk_mp4_scale((int64_t)time + (int32_t)sample.delay - track->shift, SECOND_NS,
                                  track->timescale);
        *ret_ns = (uint64_t)SK_MAX(ns, 0);
        return !(sample.flags & SAMPLE_IS_NO_KEY);
    }
    return false;
}

/* ---- the stream ---- */

static sk_film_step read_fragment, rewrite_moof;

static int go_on(struct sk_film *film, uint64_t at)
{
    film->reads = 0; /* what has been read is in the stream */
    film->read_bytes = 0;
    return at < film->mp4.end ? sk_film_read(film, at, SK_MP4_HEADER_MAX, read_fragment) : 0;
}

/* Offsets from the start of the file, of which *ret_count is how many there are. */
static void rewrite(struct sk_bytes moof, uint8_t *bytes, int64_t delta, size_t *ret_count)
{
    struct sk_mp4_box traf;
    *ret_count = 0;
    while (sk_mp4_next(&moof, &traf)) {
        struct sk_bytes tfhd = sk_mp4_find(traf.inside, SK_MP4_TYPE("tfhd"));
        if (traf.type != SK_MP4_TYPE("traf") || tfhd.n < 16 || !(flags_of(tfhd) & TFHD_HAS_BASE))
            continue;
        uint8_t *base = bytes + (tfhd.p + 8 - bytes);
        __int128 moved = (__int128)sk_get_u64(base) + delta;
        sk_put_u64(base, (uint64_t)SK_MAX(SK_MIN(moved, (__int128)UINT64_MAX), (__int128)0));
        ++*ret_count;
    }
}

static int rewrite_moof(struct sk_film *film, struct sk_bytes bytes)
{
    const struct sk_mp4 *mp4 = &film->mp4;
    uint64_t at = film->read.offset;
    struct sk_mp4_box moof;
    size_t count = 0;
    uint8_t *copy = sk_mem_dup(bytes.p, bytes.n);
    if (!copy)
        return SKEP_ERR_NOMEM;
    if (sk_mp4_read(sk_bytes(copy, bytes.n), &moof))
        rewrite(moof.inside, copy, mp4->delta, &count);
    if (!count) { /* nor will there be any later */
        sk_mem_free(copy);
        return sk_film_copy(film, (struct sk_film_range){at, mp4->end - at}, true);
    }
    int err = sk_film_write(film, copy, bytes.n);
    return err ? err : go_on(film, at + bytes.n);
}

static int read_fragment(struct sk_film *film, struct sk_bytes bytes)
{
    const struct sk_mp4 *mp4 = &film->mp4;
    uint64_t at = film->read.offset, left = mp4->end - at;
    struct sk_mp4_box box = {0};
    uint64_t size = sk_mp4_read(bytes, &box) && box.size ? SK_MIN(box.size, left) : left;
    if (box.type == SK_MP4_TYPE("moof") && size <= SK_FILM_FRAGMENT_BYTES_MAX)
        return sk_film_read(film, at, size, rewrite_moof);
    int err = sk_film_copy(film, (struct sk_film_range){at, size}, true);
    return err ? err : go_on(film, at + size);
}

/* The place is found. */
static int begin(struct sk_film *film, uint64_t at, uint64_t ns)
{
    struct sk_mp4 *mp4 = &film->mp4;
    bool tables = mp4->reference->samples > 0; /* of what comes before all fragments */
    if (tables && at == mp4->first && ns > film->from_ns)
        return sk_film_copy(film, (struct sk_film_range){0, film->size}, true);
    int err = mp4->ftyp.length ? sk_film_copy(film, mp4->ftyp, false) : 0;
    if (!err)
        err = tables ? sk_mp4_empty(film) : sk_film_copy(film, mp4->head, false);
    mp4->delta = (int64_t)film->written - (int64_t)at;
    return err ? err : go_on(film, at);
}

/* ---- which fragment ---- */

static sk_film_step read_mfro, read_mfra, check_indexed, check_found;

/* bytes are the file's from the place on, where what belongs to a fragment comes before its moof */
static bool will_do(const struct sk_film *film, struct sk_bytes bytes, uint64_t *ret_ns)
{
    struct sk_mp4_box box;
    struct sk_bytes left = bytes;
    while (sk_mp4_next(&left, &box) && box.type != SK_MP4_TYPE("mdat")) {
        if (box.type == SK_MP4_TYPE("moof"))
            return judge_moof(film, bytes, ret_ns);
        bytes = left;
    }
    return false;
}

static int check_found(struct sk_film *film, struct sk_bytes bytes)
{
    uint64_t ns;
    if (!will_do(film, bytes, &ns))
        return sk_film_fail(film, SKEP_ERR_UNSUPPORTED,
                            "has fragments that do not say their time: it can start by bytes only");
    return begin(film, film->read.offset, ns);
}

static int take_found(struct sk_film *film, struct sk_bytes bytes)
{
    return sk_film_read(film, film->seek.low, WINDOW, check_found);
}

static int search(struct sk_film *film)
{
    static const struct sk_film_marks moofs = {find_moof, judge_moof, take_found};
    const struct sk_mp4 *mp4 = &film->mp4;
    return sk_film_seek(film, &moofs, mp4->first, mp4->end, film->from_ns);
}

/* A place of which an index told. */
static int check_indexed(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_mp4 *mp4 = &film->mp4;
    uint64_t ns;
    if (will_do(film, bytes, &ns) && ns <= film->from_ns)
        return begin(film, film->read.offset, ns);
    if (mp4->first)
        return search(film);
    mp4->indexes = SK_FILM_INDEXES_MAX; /* not again */
    return sk_mp4_walk(film, mp4->head.offset + mp4->head.length);
}

int sk_mp4_index(struct sk_film *film, struct sk_bytes bytes, uint64_t at)
{
    enum { TYPE_INDEX = 0x80000000, ENTRY = 12 };
    struct sk_mp4_box box;
    if (!sk_mp4_read(bytes, &box) || box.inside.n < 32)
        return sk_mp4_broken(film);
    const uint8_t *p = box.inside.p;
    size_t n = p[0] ? 32 : 24;
    uint64_t time = sk_mp4_number(box.inside, 12, 12);
    uint64_t place = at + bytes.n, next = place + sk_mp4_number(box.inside, 16, 20);
    int64_t wanted = sk_mp4_scale((int64_t)film->from_ns, sk_get_u32(p + 8), SECOND_NS);
    uint64_t count = SK_MIN(sk_get_u16(p + n - 2), (box.inside.n - n) / ENTRY);
    bool is_index = false, ours = sk_get_u32(p + 4) == film->mp4.reference->id;
    for (uint64_t i = 0; i < count && time <= (uint64_t)wanted; i++) {
        const uint8_t *entry = p + n + i * ENTRY;
        is_index = sk_get_u32(entry) & TYPE_INDEX;
        place = next;
        next += sk_get_u32(entry) & ~(uint32_t)TYPE_INDEX;
        time += sk_get_u32(entry + 4);
    }
    if (!ours || time <= (uint64_t)wanted || place <= at || place >= film->size)
        return sk_mp4_walk(film, at + bytes.n);
    return is_index ? sk_mp4_walk(film, place) : sk_film_read(film, place, WINDOW, check_indexed);
}

/* The last of the reference's fragments in time; 0: none. */
static uint64_t read_tfra(const struct sk_film *film, struct sk_bytes tfra)
{
    if (tfra.n < 16 || sk_get_u32(tfra.p + 4) != film->mp4.reference->id)
        return 0;
    uint32_t lengths = sk_get_u32(tfra.p + 8);
    size_t width = tfra.p[0] ? 8 : 4;
    size_t entry = 2 * width + (lengths >> 4 & 3) + (lengths >> 2 & 3) + (lengths & 3) + 3;
    uint64_t count = SK_MIN(sk_get_u32(tfra.p + 12), (tfra.n - 16) / entry), place = 0;
    int64_t wanted = sk_mp4_time(film, film->mp4.reference);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *p = tfra.p + 16 + i * entry;
        uint64_t time = width == 8 ? sk_get_u64(p) : sk_get_u32(p);
        if (wanted < 0 || time > (uint64_t)wanted)
            break;
        place = width == 8 ? sk_get_u64(p + 8) : sk_get_u32(p + 4);
    }
    return place;
}

static int read_mfra(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_mp4 *mp4 = &film->mp4;
    struct sk_mp4_box mfra, box;
    uint64_t place = 0;
    if (!sk_mp4_read(bytes, &mfra) || mfra.type != SK_MP4_TYPE("mfra") ||
        film->read.offset <= mp4->first)
        return search(film);
    mp4->end = film->read.offset;
    while (sk_mp4_next(&mfra.inside, &box) && !place)
        place = box.type == SK_MP4_TYPE("tfra") ? read_tfra(film, box.inside) : 0;
    return place >= mp4->first && place < mp4->end
               ? sk_film_read(film, place, WINDOW, check_indexed)
               : search(film);
}

static int read_mfro(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_mp4_box mfro;
    bool is = bytes.n == MFRO_SIZE && sk_mp4_read(bytes, &mfro) &&
              mfro.type == SK_MP4_TYPE("mfro") && mfro.inside.n == 8;
    uint64_t size = is ? sk_get_u32(mfro.inside.p + 4) : 0;
    return size >= MFRO_SIZE && size < film->size && size <= SK_FILM_TABLE_BYTES_MAX
               ? sk_film_read(film, film->size - size, size, read_mfra)
               : search(film);
}

int sk_mp4_fragments(struct sk_film *film, uint64_t at)
{
    film->mp4.first = at;
    return film->size - at > MFRO_SIZE
               ? sk_film_read(film, film->size - MFRO_SIZE, MFRO_SIZE, read_mfro)
               : search(film);
}
