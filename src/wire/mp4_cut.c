/*
 * MP4 of film.h: one head with tables of all samples, which is written anew.
 *
 * A track's samples lie in chunks, and tables say, in runs of equal ones, how long each lasts
 * (stts), when it is shown (ctts), which can be started at (stss), how many make a chunk (stsc),
 * how large they are (stsz) and where the chunks lie (stco). The work is by runs and entries, never
 * by samples that no bytes stand for.
 */
#include "wire/mp4.h"

#include "base/assert.h"
#include "base/mem.h"

#define SECOND_NS UINT64_C(1000000000)
#define TIME_MAX ((uint64_t)SK_MP4_TIME_MAX)
#define MDAT_HEADER 16

/* ---- tables ---- */

/* The entries of a table of u32 fields that begins with their number. */
static size_t entries_of(struct sk_bytes table, size_t fields)
{
    size_t room = table.n < 8 ? 0 : (table.n - 8) / (4 * fields);
    return room ? SK_MIN(sk_get_u32(table.p + 4), room) : 0;
}

static uint32_t field_of(struct sk_bytes table, size_t fields, size_t entry, size_t field)
{
    return sk_get_u32(table.p + 8 + 4 * (entry * fields + field));
}

/* Runs of samples that have one value: stts, ctts. */
struct runs {
    struct sk_bytes table;
    size_t entries, entry;
    uint64_t first, sum; /* of this run: its first sample, all values before it */
    uint32_t count, value;
};

static bool runs_load(struct runs *runs)
{
    if (runs->entry >= runs->entries)
        return false;
    runs->count = field_of(runs->table, 2, runs->entry, 0);
    runs->value = field_of(runs->table, 2, runs->entry, 1);
    return true;
}

static bool runs_begin(struct runs *runs, struct sk_bytes table)
{
    *runs = (struct runs){.table = table, .entries = entries_of(table, 2)};
    return runs_load(runs);
}

/* All values before the next run. */
static uint64_t runs_end(const struct runs *runs)
{
    return runs->sum + SK_MIN((uint64_t)runs->count * runs->value, TIME_MAX);
}

static bool runs_next(struct runs *runs)
{
    if (runs_end(runs) > TIME_MAX)
        return false;
    runs->sum = runs_end(runs);
    runs->first += runs->count;
    runs->entry++;
    return runs_load(runs);
}

/* Goes on to the run that has the sample. */
static bool runs_reach(struct runs *runs, uint64_t sample)
{
    bool is = runs->entry < runs->entries;
    while (is && sample - runs->first >= runs->count)
        is = runs_next(runs);
    return is;
}

static uint64_t runs_sum(const struct runs *runs, uint64_t sample)
{
    return runs->sum + SK_MIN((sample - runs->first) * runs->value, TIME_MAX);
}

static uint64_t size_of(const struct sk_mp4_track *track, uint64_t sample)
{
    const uint8_t *p = track->stsz.p + 12;
    uint32_t bits = track->compact ? track->stsz.p[7] : 32;
    switch (bits) {
    case 4:
        return p[sample / 2] >> (sample % 2 ? 0 : 4) & 15;
    case 8:
        return p[sample];
    case 16:
        return sk_get_u16(p + 2 * sample);
    default:
        return sk_get_u32(p + 4 * sample);
    }
}

/* Of all samples; 0: each has its own. */
static uint32_t common_size(const struct sk_mp4_track *track)
{
    return track->compact ? 0 : sk_get_u32(track->stsz.p + 4);
}

static uint64_t sizes_of(const struct sk_mp4_track *track, uint64_t first, uint64_t count)
{
    uint64_t sum = sk_film_times(count, common_size(track));
    for (uint64_t i = 0; i < count && !common_size(track); i++)
        sum += size_of(track, first + i);
    return sum;
}

/* Whether the tables are there, and have bytes for what they say. */
static bool is_sound(const struct sk_mp4_track *track)
{
    if (track->stsz.n < 12 || !track->samples || !entries_of(track->stts, 2) ||
        !entries_of(track->stsc, 3) || !entries_of(track->stco, track->wide ? 2 : 1))
        return false;
    uint32_t bits = track->compact ? track->stsz.p[7] : common_size(track) ? 0 : 32;
    if (track->compact && bits != 4 && bits != 8 && bits != 16)
        return false;
    return track->samples * bits <= (uint64_t)(track->stsz.n - 12) * 8;
}

/* ---- which sample ---- */

/* The first samples that are decoded before the time: how many. */
static uint64_t count_before(const struct sk_mp4_track *track, int64_t time)
{
    struct runs runs;
    uint64_t until = (uint64_t)SK_MAX(time, 0);
    bool is = runs_begin(&runs, track->stts);
    while (is && runs_end(&runs) < until) {
        uint64_t before = runs.first + runs.count;
        if (!runs_next(&runs))
            return SK_MIN(before, track->samples);
    }
    if (!is || until <= runs.sum)
        return SK_MIN(runs.first, track->samples);
    uint64_t count = (until - runs.sum + runs.value - 1) / runs.value;
    return SK_MIN(runs.first + count, track->samples);
}

/* When it is decoded and shown. */
static bool times_of(struct runs *stts, struct runs *ctts, uint64_t sample, int64_t *ret_dts,
                     int64_t *ret_pts)
{
    if (!runs_reach(stts, sample))
        return false;
    *ret_dts = *ret_pts = (int64_t)runs_sum(stts, sample);
    if (runs_reach(ctts, sample))
        *ret_pts += (int32_t)ctts->value;
    return true;
}

/* The last one to start at that is shown at or before the time; `after`: the first at or after it.
 * False: there is none. */
static bool choose(struct sk_mp4_track *track, int64_t time, bool after)
{
    struct runs stts, ctts;
    size_t keys = entries_of(track->stss, 1);
    bool has = false;
    if (!track->stss.n) {
        uint64_t before = count_before(track, after ? time : time + 1);
        track->sample = before && !after ? before - 1 : before;
        has = true;
    }
    runs_begin(&stts, track->stts);
    runs_begin(&ctts, track->ctts);
    uint64_t last = 0;
    for (size_t i = 0; i < keys; i++) {
        uint64_t sample = (uint64_t)field_of(track->stss, 1, i, 0) - 1;
        int64_t dts, pts;
        if (sample < last || sample >= track->samples ||
            !times_of(&stts, &ctts, sample, &dts, &pts))
            break;
        last = sample;
        if (after ? pts < time : has && pts > time)
            continue;
        track->sample = sample;
        has = true;
        if (after)
            break;
    }
    runs_begin(&stts, track->stts);
    runs_begin(&ctts, track->ctts);
    return has && track->sample < track->samples &&
           times_of(&stts, &ctts, track->sample, &track->dts, &track->pts);
}

/* ---- where it lies ---- */

/* Chunks with samples that are kept, one after the other. */
struct chunks {
    const struct sk_mp4_track *track;
    size_t entry, entries, chunk, count;
    uint64_t sample;             /* the first of the next chunk */
    uint64_t offset, length;     /* of this one, what is kept of it */
    uint32_t samples, described; /* in it; which description they have */
};

static bool chunks_load(struct chunks *chunks)
{
    const struct sk_mp4_track *track = chunks->track;
    while (chunks->entry + 1 < chunks->entries &&
           field_of(track->stsc, 3, chunks->entry + 1, 0) <= chunks->chunk + 1)
        chunks->entry++;
    chunks->samples = field_of(track->stsc, 3, chunks->entry, 1);
    chunks->described = field_of(track->stsc, 3, chunks->entry, 2);
    return chunks->chunk < chunks->count;
}

/* To the chunk of the track's first sample that is kept, by runs of chunks. */
static bool chunks_begin(struct chunks *chunks, const struct sk_mp4_track *track)
{
    *chunks = (struct chunks){.track = track,
                              .entries = entries_of(track->stsc, 3),
                              .count = entries_of(track->stco, track->wide ? 2 : 1)};
    while (chunks_load(chunks)) {
        bool last = chunks->entry + 1 == chunks->entries;
        size_t end = last ? chunks->count : field_of(track->stsc, 3, chunks->entry + 1, 0) - 1;
        end = SK_MIN(SK_MAX(end, chunks->chunk + 1), chunks->count);
        uint64_t run = sk_film_times(end - chunks->chunk, chunks->samples);
        if (track->sample - chunks->sample < run) {
            uint64_t skip = (track->sample - chunks->sample) / chunks->samples;
            chunks->chunk += (size_t)skip;
            chunks->sample += skip * chunks->samples;
            return true;
        }
        chunks->sample += run;
        chunks->chunk = end;
    }
    return false;
}

static bool chunks_next(struct chunks *chunks)
{
    const struct sk_mp4_track *track = chunks->track;
    if (!chunks_load(chunks) || chunks->sample >= track->samples)
        return false;
    const uint8_t *p = track->stco.p + 8 + chunks->chunk * (track->wide ? 8 : 4);
    uint64_t end = chunks->sample + SK_MIN(chunks->samples, track->samples - chunks->sample);
    uint64_t first = SK_MAX(track->sample, chunks->sample);
    chunks->offset = sk_film_plus(track->wide ? sk_get_u64(p) : sk_get_u32(p),
                                  sizes_of(track, chunks->sample, first - chunks->sample));
    chunks->length = sizes_of(track, first, end - first);
    chunks->samples = (uint32_t)(end - first);
    chunks->sample = end;
    chunks->chunk++;
    return true;
}

/* Where all of it lies. False: not in the file. */
static bool measure(struct sk_mp4_track *track, uint64_t file_size)
{
    struct chunks chunks;
    struct runs stts;
    track->left = track->samples - track->sample;
    track->low = UINT64_MAX;
    track->high = track->chunks = 0;
    if (!chunks_begin(&chunks, track))
        return false;
    while (chunks_next(&chunks)) {
        if (chunks.offset > file_size || chunks.length > file_size - chunks.offset)
            return false;
        track->low = SK_MIN(track->low, chunks.offset);
        track->high = SK_MAX(track->high, chunks.offset + chunks.length);
        track->chunks++;
    }
    runs_begin(&stts, track->stts);
    (void)runs_reach(&stts, track->samples - 1);
    track->duration = runs_sum(&stts, track->samples) - (uint64_t)track->dts;
    return chunks.sample == track->samples && track->low < track->high &&
           track->duration <= TIME_MAX;
}

/* ---- the new head ---- */

struct cut {
    struct sk_film *film;
    struct sk_buf buf;
    struct sk_mp4_track *track; /* that is being written */
    unsigned depth;
    bool emptied; /* the tables have no samples, all else stays */
    int err;      /* the first */
};

static void put(struct cut *cut, const void *bytes, size_t n)
{
    int err = cut->err ? cut->err : sk_buf_append(&cut->buf, bytes, n);
    cut->err = err;
}

static void put_u32(struct cut *cut, uint32_t value)
{
    uint8_t bytes[4];
    sk_put_u32(bytes, value);
    put(cut, bytes, sizeof bytes);
}

static void put_u64(struct cut *cut, uint64_t value)
{
    put_u32(cut, (uint32_t)(value >> 32));
    put_u32(cut, (uint32_t)value);
}

static size_t open_box(struct cut *cut, uint32_t type)
{
    put_u32(cut, 0);
    put_u32(cut, type);
    return cut->buf.n - 8;
}

static void close_box(struct cut *cut, size_t at)
{
    if (!cut->err)
        sk_put_u32(cut->buf.p + at, (uint32_t)(cut->buf.n - at));
}

/* A table: its box, version 0, no flags. */
static size_t open_table(struct cut *cut, uint32_t type)
{
    size_t at = open_box(cut, type);
    put_u32(cut, 0);
    return at;
}

/* ... and a number of entries that is not known before they are written. */
static void set_count(struct cut *cut, size_t table, uint32_t count)
{
    if (!cut->err)
        sk_put_u32(cut->buf.p + table + 12, count);
}

static uint64_t film_time(const struct cut *cut, int64_t time)
{
    return (uint64_t)SK_MAX(sk_mp4_scale(time, cut->film->mp4.timescale, cut->track->timescale), 0);
}

/* The track's own time where the stream begins: where the reference is shown. */
static int64_t start_of(const struct sk_film *film, const struct sk_mp4_track *track)
{
    const struct sk_mp4_track *lead = film->mp4.reference;
    return sk_mp4_scale(lead->pts - lead->shift, track->timescale, lead->timescale) + track->shift;
}

/* Where in what is kept of the track, from its first sample's decoding on, the stream begins. */
static int64_t start_in(const struct sk_film *film, const struct sk_mp4_track *track)
{
    return start_of(film, track) - track->dts;
}

/* Before the track begins nothing of it is shown, for so long. All in the film's scale. */
static uint64_t silence_of(const struct cut *cut)
{
    return film_time(cut, -start_in(cut->film, cut->track));
}

static uint64_t length_of(const struct cut *cut)
{
    return silence_of(cut) + film_time(cut, (int64_t)cut->track->duration);
}

static uint64_t longest(struct cut *cut)
{
    struct sk_mp4 *mp4 = &cut->film->mp4;
    uint64_t most = 0;
    for (size_t i = 0; i < mp4->tracks_count; i++) {
        cut->track = &mp4->tracks[i];
        most = cut->track->kept ? SK_MAX(most, length_of(cut)) : most;
    }
    return most;
}

static void copy_box(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
    size_t at = open_box(cut, type);
    put(cut, inside.p, inside.n);
    close_box(cut, at);
}

/* With another duration. */
static void copy_header(struct cut *cut, uint32_t type, struct sk_bytes inside, size_t narrow,
                        size_t wide, uint64_t duration)
{
    size_t at = cut->buf.n + 8;
    copy_box(cut, type, inside);
    if (cut->err || inside.n < (inside.n && inside.p[0] ? wide + 8 : narrow + 4))
        return;
    if (inside.p[0])
        sk_put_u64(cut->buf.p + at + wide, duration);
    else
        sk_put_u32(cut->buf.p + at + narrow, (uint32_t)SK_MIN(duration, UINT32_MAX));
}

static void write_edits(struct cut *cut)
{
    uint64_t silence = silence_of(cut);
    size_t edts = open_box(cut, SK_MP4_TYPE("edts")), elst = open_box(cut, SK_MP4_TYPE("elst"));
    put_u32(cut, UINT32_C(1) << 24); /* version 1: all times are of 8 bytes */
    put_u32(cut, silence ? 2 : 1);
    if (silence) {
        put_u64(cut, silence);
        put_u64(cut, UINT64_MAX);        /* nothing */
        put_u32(cut, UINT32_C(1) << 16); /* at rate 1 */
    }
    put_u64(cut, length_of(cut) - silence);
    put_u64(cut, (uint64_t)SK_MAX(start_in(cut->film, cut->track), 0));
    put_u32(cut, UINT32_C(1) << 16);
    close_box(cut, elst);
    close_box(cut, edts);
}

static void write_runs(struct cut *cut, uint32_t type, struct sk_bytes table)
{
    struct runs runs;
    uint64_t sample = cut->track->sample;
    uint32_t count = 0;
    bool is = runs_begin(&runs, table) && runs_reach(&runs, sample) && !cut->emptied;
    if (table.n < 8)
        return;
    size_t at = open_box(cut, type);
    put(cut, table.p, 4); /* its version: whether times may be negative */
    put_u32(cut, 0);
    for (; is && !cut->err; is = runs_next(&runs), count++) {
        put_u32(cut, (uint32_t)(runs.first + runs.count - sample));
        put_u32(cut, runs.value);
        sample = runs.first + runs.count;
    }
    set_count(cut, at, count);
    close_box(cut, at);
}

static void write_keys(struct cut *cut)
{
    const struct sk_mp4_track *track = cut->track;
    size_t keys = entries_of(track->stss, 1);
    uint32_t count = 0;
    if (!track->stss.n || cut->emptied)
        return; /* all can be started at */
    size_t at = open_table(cut, SK_MP4_TYPE("stss"));
    put_u32(cut, 0);
    for (size_t i = 0; i < keys && !cut->err; i++) {
        uint32_t number = field_of(track->stss, 1, i, 0);
        if (number <= track->sample)
            continue;
        put_u32(cut, number - (uint32_t)track->sample);
        count++;
    }
    set_count(cut, at, count);
    close_box(cut, at);
}

static void write_sizes(struct cut *cut)
{
    const struct sk_mp4_track *track = cut->track;
    size_t at = open_table(cut, SK_MP4_TYPE("stsz"));
    uint32_t common = cut->emptied ? 0 : common_size(track);
    put_u32(cut, common);
    put_u32(cut, (uint32_t)track->left);
    for (uint64_t i = 0; i < track->left && !common && !cut->err; i++)
        put_u32(cut, (uint32_t)size_of(track, track->sample + i));
    close_box(cut, at);
}

/* How many samples each chunk has: one entry for each run of like ones. */
static void write_counts(struct cut *cut)
{
    struct chunks chunks;
    uint32_t chunk = 0, count = 0, samples = 0, described = 0;
    size_t at = open_table(cut, SK_MP4_TYPE("stsc"));
    put_u32(cut, 0);
    bool is = !cut->emptied && chunks_begin(&chunks, cut->track);
    while (is && chunks_next(&chunks) && !cut->err) {
        chunk++;
        if (chunks.samples == samples && chunks.described == described)
            continue;
        put_u32(cut, chunk);
        put_u32(cut, samples = chunks.samples);
        put_u32(cut, described = chunks.described);
        count++;
    }
    set_count(cut, at, count);
    close_box(cut, at);
}

/* As they are in the file, for now. */
static void write_offsets(struct cut *cut)
{
    struct sk_mp4_track *track = cut->track;
    struct chunks chunks;
    size_t at = open_table(cut, SK_MP4_TYPE("co64"));
    put_u32(cut, (uint32_t)track->chunks);
    track->offsets = cut->buf.n;
    bool is = !cut->emptied && chunks_begin(&chunks, track);
    while (is && chunks_next(&chunks) && !cut->err)
        put_u64(cut, chunks.offset);
    close_box(cut, at);
}

static void write_tables(struct cut *cut, struct sk_bytes stbl)
{
    const struct sk_mp4_track *track = cut->track;
    size_t at = open_box(cut, SK_MP4_TYPE("stbl"));
    copy_box(cut, SK_MP4_TYPE("stsd"), sk_mp4_find(stbl, SK_MP4_TYPE("stsd")));
    write_runs(cut, SK_MP4_TYPE("stts"), track->stts);
    write_runs(cut, SK_MP4_TYPE("ctts"), track->ctts);
    write_keys(cut);
    write_counts(cut);
    write_sizes(cut);
    write_offsets(cut);
    close_box(cut, at);
}

static void write_boxes(struct cut *cut, struct sk_bytes bytes);

static void write_container(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
    size_t at = open_box(cut, type);
    write_boxes(cut, inside);
    close_box(cut, at);
}

static void write_mvhd(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
    copy_header(cut, type, inside, 16, 24, longest(cut));
}

static void write_trak(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
    struct sk_mp4 *mp4 = &cut->film->mp4;
    for (size_t i = 0; i < mp4->tracks_count; i++) {
        cut->track = &mp4->tracks[i];
        if (cut->track->kept && cut->track->trak.p == inside.p)
            write_container(cut, type, inside);
    }
}

static void write_tkhd(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
    copy_header(cut, type, inside, 20, 28, length_of(cut));
    write_edits(cut);
}

static void write_mdhd(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
    copy_header(cut, type, inside, 16, 24, cut->track->duration);
}

static void write_stbl(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
    write_tables(cut, inside);
}

static void leave_out(struct cut *cut, uint32_t type, struct sk_bytes inside)
{
}

/* What is not copied as it is: where it stands, and whether also in a head that is only emptied.
 * udta: the chapters' times are others; tref: tracks that are left out. Only the first of a kind
 * was read, so only it is written: work on a track's tables is done once. */
static void write_boxes(struct cut *cut, struct sk_bytes bytes)
{
    static const struct {
        const char *type;
        unsigned depth;
        bool always;
        void (*write)(struct cut *cut, uint32_t type, struct sk_bytes inside);
    } kinds[] = {
        {"mvhd", 1, false, write_mvhd},     {"trak", 1, true, write_trak},
        {"udta", 1, false, leave_out},      {"tkhd", 2, false, write_tkhd},
        {"edts", 2, false, leave_out},      {"tref", 2, false, leave_out},
        {"mdia", 2, true, write_container}, {"mdhd", 3, false, write_mdhd},
        {"minf", 3, true, write_container}, {"stbl", 4, true, write_stbl},
    };
    struct sk_mp4_box box;
    bool met[SK_ARRAY_LEN(kinds)] = {0};
    cut->depth++;
    while (sk_mp4_next(&bytes, &box) && !cut->err) {
        size_t i = 0;
        while (i < SK_ARRAY_LEN(kinds) &&
               (box.type != SK_MP4_TYPE(kinds[i].type) || cut->depth != kinds[i].depth ||
                (cut->emptied && !kinds[i].always)))
            i++;
        if (i == SK_ARRAY_LEN(kinds))
            copy_box(cut, box.type, box.inside);
        else if (!met[i] || kinds[i].write == write_trak)
            kinds[i].write(cut, box.type, box.inside);
        if (i < SK_ARRAY_LEN(kinds))
            met[i] = true;
    }
    cut->depth--;
}

/* ---- the cut ---- */

/* The others go on where the reference does: all sound, and what lies where its data does. Bounds
 * of all the data. False: the reference itself is broken. */
static bool cut_tracks(struct sk_film *film, struct sk_film_range *ret_data)
{
    struct sk_mp4 *mp4 = &film->mp4;
    struct sk_mp4_track *lead = mp4->reference;
    lead->kept =
        is_sound(lead) && choose(lead, sk_mp4_time(film, lead), false) && measure(lead, film->size);
    uint64_t low = lead->low, high = lead->high;
    for (size_t i = 0; i < mp4->tracks_count && lead->kept; i++) {
        struct sk_mp4_track *track = &mp4->tracks[i];
        if (track != lead)
            track->kept = is_sound(track) && choose(track, start_of(film, track), true) &&
                          measure(track, film->size) &&
                          (track->handler == SK_MP4_TYPE("soun") || track->low >= lead->low);
        low = track->kept ? SK_MIN(low, track->low) : low;
        high = track->kept ? SK_MAX(high, track->high) : high;
    }
    *ret_data = (struct sk_film_range){low, high - low};
    return lead->kept;
}

static void move_offsets(struct cut *cut, uint64_t data, uint64_t to)
{
    const struct sk_mp4 *mp4 = &cut->film->mp4;
    for (size_t i = 0; i < mp4->tracks_count; i++) {
        const struct sk_mp4_track *track = &mp4->tracks[i];
        for (uint64_t chunk = 0; chunk < track->chunks && track->kept; chunk++) {
            uint8_t *p = cut->buf.p + track->offsets + 8 * chunk;
            sk_put_u64(p, sk_get_u64(p) - data + to);
        }
    }
}

/* The head, and where there is data that of the data behind it. */
static int write_head(struct cut *cut, struct sk_film_range data)
{
    struct sk_film *film = cut->film;
    const struct sk_mp4 *mp4 = &film->mp4;
    struct sk_mp4_box moov;
    bool is = sk_mp4_read(sk_bytes(mp4->moov, (size_t)mp4->head.length), &moov);
    SK_ASSERT(is); /* it was read before */
    sk_buf_init(&cut->buf, 2 * (size_t)SK_FILM_TABLE_BYTES_MAX);
    write_container(cut, moov.type, moov.inside);
    if (data.length) {
        put_u32(cut, 1); /* the size comes behind the type */
        put_u32(cut, SK_MP4_TYPE("mdat"));
        put_u64(cut, MDAT_HEADER + data.length);
    }
    if (cut->err) {
        sk_buf_deinit(&cut->buf);
        return sk_film_fail(film, cut->err,
                            cut->err == SKEP_ERR_LIMIT ? "has too large a head" : NULL);
    }
    if (data.length)
        move_offsets(cut, data.offset, mp4->ftyp.length + cut->buf.n);
    return sk_film_write(film, cut->buf.p, cut->buf.n);
}

int sk_mp4_empty(struct sk_film *film)
{
    struct sk_mp4 *mp4 = &film->mp4;
    struct cut cut = {.film = film, .emptied = true};
    for (size_t i = 0; i < mp4->tracks_count; i++)
        mp4->tracks[i].kept = true;
    return write_head(&cut, (struct sk_film_range){0});
}

int sk_mp4_cut(struct sk_film *film)
{
    struct sk_mp4 *mp4 = &film->mp4;
    struct cut cut = {.film = film};
    struct sk_film_range data;
    int64_t duration = (int64_t)SK_MIN(mp4->duration, (uint64_t)TIME_MAX);
    if (duration && (int64_t)film->from_ns >= sk_mp4_scale(duration, SECOND_NS, mp4->timescale))
        return sk_film_fail(film, SKEP_ERR_INVALID, "ends before that time");
    if (!cut_tracks(film, &data))
        return sk_mp4_broken(film);
    int err = mp4->ftyp.length ? sk_film_copy(film, mp4->ftyp, false) : 0;
    if (err)
        return err;
    err = write_head(&cut, data);
    return err ? err : sk_film_copy(film, data, true);
}
