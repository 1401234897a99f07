/* MP4 of film.h: boxes, and what the head says of the tracks. */
#include "wire/mp4.h"

#include "base/assert.h"
#include "base/mem.h"

#define SECOND_NS UINT64_C(1000000000)

/* ---- boxes ---- */

bool sk_mp4_read(struct sk_bytes bytes, struct sk_mp4_box *ret_box)
{
    if (bytes.n < 8)
        return false;
    uint64_t size = sk_get_u32(bytes.p);
    size_t header = 8;
    if (size == 1) {
        header = 16;
        size = bytes.n < header ? 0 : sk_get_u64(bytes.p + 8);
    }
    if (size ? size < header : header != 8)
        return false;
    uint64_t room = bytes.n - header;
    size_t inside = (size_t)(size ? SK_MIN(size - header, room) : room);
    *ret_box = (struct sk_mp4_box){.type = sk_get_u32(bytes.p + 4),
                                   .header = header,
                                   .size = size,
                                   .inside = sk_bytes(bytes.p + header, inside)};
    return true;
}

bool sk_mp4_next(struct sk_bytes *bytes, struct sk_mp4_box *ret_box)
{
    if (!sk_mp4_read(*bytes, ret_box))
        return false;
    size_t n = ret_box->header + ret_box->inside.n;
    *bytes = sk_bytes(bytes->p + n, bytes->n - n);
    return true;
}

struct sk_bytes sk_mp4_find(struct sk_bytes bytes, uint32_t type)
{
    struct sk_mp4_box box;
    while (sk_mp4_next(&bytes, &box))
        if (box.type == type)
            return box.inside;
    return sk_bytes(NULL, 0);
}

uint64_t sk_mp4_number(struct sk_bytes inside, size_t narrow, size_t wide)
{
    if (inside.n >= 4 && inside.p[0] == 0)
        return inside.n >= narrow + 4 ? sk_get_u32(inside.p + narrow) : 0;
    return inside.n >= wide + 8 ? sk_get_u64(inside.p + wide) : 0;
}

static int64_t clamp(__int128 value, int64_t most)
{
    return value > most ? most : value < -most ? -most : (int64_t)value;
}

int64_t sk_mp4_scale(int64_t value, uint64_t to, uint64_t from)
{
    return from ? clamp((__int128)value * (__int128)to / (__int128)from, 2 * SK_MP4_TIME_MAX) : 0;
}

int64_t sk_mp4_time(const struct sk_film *film, const struct sk_mp4_track *track)
{
    return sk_mp4_scale((int64_t)film->from_ns, track->timescale, SECOND_NS) + track->shift;
}

int sk_mp4_broken(struct sk_film *film)
{
    return sk_film_fail(film, SKEP_ERR_MALFORMED, "is a broken MP4 file");
}

/* ---- the head ---- */

/* Where in the track's own time the film begins: by its first edit that is not empty. */
static int64_t read_shift(struct sk_bytes elst, uint64_t movie_scale, uint64_t scale)
{
    uint64_t empty = 0;
    if (elst.n < 8)
        return 0;
    bool wide = elst.p[0] == 1;
    size_t entry = wide ? 20 : 12;
    uint64_t count = SK_MIN(sk_get_u32(elst.p + 4), (elst.n - 8) / entry);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *p = elst.p + 8 + i * entry;
        uint64_t duration = wide ? sk_get_u64(p) : sk_get_u32(p);
        int64_t time = wide ? (int64_t)sk_get_u64(p + 8) : (int32_t)sk_get_u32(p + 4);
        if (time >= 0)
            return clamp((__int128)time - sk_mp4_scale((int64_t)empty, scale, movie_scale),
                         SK_MP4_TIME_MAX);
        empty =
            SK_MIN(empty + SK_MIN(duration, (uint64_t)SK_MP4_TIME_MAX), (uint64_t)SK_MP4_TIME_MAX);
    }
    return 0;
}

static void read_tables(struct sk_bytes stbl, struct sk_mp4_track *track)
{
    const struct {
        uint32_t type;
        struct sk_bytes *table;
    } tables[] = {
        {SK_MP4_TYPE("stts"), &track->stts}, {SK_MP4_TYPE("ctts"), &track->ctts},
        {SK_MP4_TYPE("stss"), &track->stss}, {SK_MP4_TYPE("stsc"), &track->stsc},
        {SK_MP4_TYPE("stsz"), &track->stsz}, {SK_MP4_TYPE("stco"), &track->stco},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(tables); i++)
        *tables[i].table = sk_mp4_find(stbl, tables[i].type);
    if ((track->wide = !track->stco.n))
        track->stco = sk_mp4_find(stbl, SK_MP4_TYPE("co64"));
    if ((track->compact = !track->stsz.n))
        track->stsz = sk_mp4_find(stbl, SK_MP4_TYPE("stz2"));
    track->samples = track->stsz.n >= 12 ? sk_get_u32(track->stsz.p + 8) : 0;
}

static bool read_track(struct sk_bytes trak, uint64_t movie_scale, struct sk_mp4_track *ret_track)
{
    struct sk_bytes mdia = sk_mp4_find(trak, SK_MP4_TYPE("mdia"));
    struct sk_bytes tkhd = sk_mp4_find(trak, SK_MP4_TYPE("tkhd"));
    struct sk_bytes mdhd = sk_mp4_find(mdia, SK_MP4_TYPE("mdhd"));
    struct sk_bytes hdlr = sk_mp4_find(mdia, SK_MP4_TYPE("hdlr"));
    struct sk_bytes minf = sk_mp4_find(mdia, SK_MP4_TYPE("minf"));
    struct sk_bytes edts = sk_mp4_find(trak, SK_MP4_TYPE("edts"));
    if (tkhd.n < 24 || mdhd.n < 24 || hdlr.n < 12)
        return false;
    *ret_track = (struct sk_mp4_track){
        .trak = trak,
        .handler = sk_get_u32(hdlr.p + 8),
        .id = sk_get_u32(tkhd.p + (tkhd.p[0] ? 20 : 12)),
        .timescale = sk_get_u32(mdhd.p + (mdhd.p[0] ? 20 : 12)),
    };
    ret_track->shift =
        read_shift(sk_mp4_find(edts, SK_MP4_TYPE("elst")), movie_scale, ret_track->timescale);
    read_tables(sk_mp4_find(minf, SK_MP4_TYPE("stbl")), ret_track);
    return ret_track->timescale > 0;
}

/* Video before sound before all else, and of these the one with most samples (not a picture). */
static bool leads(const struct sk_mp4_track *a, const struct sk_mp4_track *b)
{
    bool video_a = a->handler == SK_MP4_TYPE("vide"), video_b = b->handler == SK_MP4_TYPE("vide");
    bool sound_a = a->handler == SK_MP4_TYPE("soun"), sound_b = b->handler == SK_MP4_TYPE("soun");
    if (video_a != video_b)
        return video_a;
    if (sound_a != sound_b)
        return sound_a;
    return a->samples > b->samples;
}

static uint32_t read_trex(struct sk_bytes mvex, uint32_t id)
{
    struct sk_mp4_box box;
    while (sk_mp4_next(&mvex, &box))
        if (box.type == SK_MP4_TYPE("trex") && box.inside.n >= 24 &&
            sk_get_u32(box.inside.p + 4) == id)
            return sk_get_u32(box.inside.p + 20);
    return 0;
}

static int read_moov(struct sk_film *film, struct sk_bytes moov)
{
    struct sk_mp4 *mp4 = &film->mp4;
    struct sk_bytes mvhd = sk_mp4_find(moov, SK_MP4_TYPE("mvhd")), left = moov;
    struct sk_mp4_box box;
    if (mvhd.n < 32)
        return sk_mp4_broken(film);
    mp4->timescale = sk_get_u32(mvhd.p + (mvhd.p[0] ? 20 : 12));
    mp4->duration = sk_mp4_number(mvhd, 16, 24);
    while (sk_mp4_next(&left, &box)) {
        if (box.type == SK_MP4_TYPE("mvex")) {
            mp4->fragmented = true;
            mp4->mvex = box.inside;
        }
        if (box.type != SK_MP4_TYPE("trak"))
            continue;
        if (mp4->tracks_count == SK_FILM_TRACKS_MAX)
            return sk_film_fail(film, SKEP_ERR_LIMIT, "has too many tracks");
        mp4->tracks_count +=
            read_track(box.inside, mp4->timescale, &mp4->tracks[mp4->tracks_count]);
    }
    for (size_t i = 0; i < mp4->tracks_count; i++)
        if (!mp4->reference || leads(&mp4->tracks[i], mp4->reference))
            mp4->reference = &mp4->tracks[i];
    if (!mp4->reference || !mp4->timescale)
        return sk_mp4_broken(film);
    mp4->trex_flags = read_trex(mp4->mvex, mp4->reference->id);
    return 0;
}

/* ---- the walk ---- */

static sk_film_step read_box, read_head, read_index;

int sk_mp4_walk(struct sk_film *film, uint64_t at)
{
    return sk_film_read(film, at, SK_MP4_HEADER_MAX, read_box);
}

static int read_head(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_mp4 *mp4 = &film->mp4;
    struct sk_mp4_box box;
    mp4->moov = sk_mem_dup(bytes.p, bytes.n);
    if (!mp4->moov)
        return SKEP_ERR_NOMEM;
    if (!sk_mp4_read(sk_bytes(mp4->moov, bytes.n), &box))
        return sk_mp4_broken(film);
    int err = read_moov(film, box.inside);
    if (err)
        return err;
    return mp4->fragmented ? sk_mp4_walk(film, film->read.offset + bytes.n) : sk_mp4_cut(film);
}

static int read_index(struct sk_film *film, struct sk_bytes bytes)
{
    return sk_mp4_index(film, bytes, film->read.offset);
}

static int read_box(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_mp4 *mp4 = &film->mp4;
    struct sk_mp4_box box;
    uint64_t at = film->read.offset;
    if (!sk_mp4_read(bytes, &box))
        return sk_mp4_broken(film);
    uint64_t size = box.size ? box.size : film->size - at;
    if (size > film->size - at)
        return sk_mp4_broken(film);
    struct sk_film_range range = {at, size};
    if (box.type == SK_MP4_TYPE("ftyp"))
        mp4->ftyp = range;
    if (box.type == SK_MP4_TYPE("moov") && !mp4->moov) {
        mp4->head = range;
        return size > SK_FILM_TABLE_BYTES_MAX
                   ? sk_film_fail(film, SKEP_ERR_LIMIT, "has too large a head")
                   : sk_film_read(film, at, size, read_head);
    }
    if (box.type == SK_MP4_TYPE("sidx") && mp4->moov && size <= SK_FILM_TABLE_BYTES_MAX &&
        mp4->indexes++ < SK_FILM_INDEXES_MAX)
        return sk_film_read(film, at, size, read_index);
    if (box.type == SK_MP4_TYPE("moof"))
        return mp4->moov ? sk_mp4_fragments(film, at) : sk_mp4_broken(film);
    if (size == film->size - at)
        return sk_film_fail(film, SKEP_ERR_MALFORMED, "is an MP4 file without a head");
    return sk_mp4_walk(film, at + size);
}

bool sk_mp4_is(struct sk_bytes bytes)
{
    static const char *const types[] = {"ftyp", "moov", "mdat", "free", "skip", "wide", "styp"};
    for (size_t i = 0; i < SK_ARRAY_LEN(types) && bytes.n >= 8; i++)
        if (sk_get_u32(bytes.p + 4) == SK_MP4_TYPE(types[i]))
            return true;
    return false;
}

int sk_mp4_begin(struct sk_film *film, struct sk_bytes bytes)
{
    film->mp4 = (struct sk_mp4){.end = film->size};
    film->is_mp4 = true;
    return sk_mp4_walk(film, 0);
}

void sk_mp4_deinit(struct sk_mp4 *mp4)
{
    sk_mem_free(mp4->moov);
}
