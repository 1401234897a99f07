/* Matroska and WebM of film.h. */
#include "wire/film_step.h"

#include "base/assert.h"
#include "base/mem.h"

#include <math.h>

#define UNKNOWN UINT64_MAX /* the size of an element that does not say it */
#define HEADER_MAX 12      /* of an id of 4 bytes and a size of 8 */
#define BLOCK_HEAD 32      /* a block's header, track, time and flags are in so many bytes */
#define SCALE_DEFAULT_NS 1000000u
#define TRACK_VIDEO 1
#define BLOCK_IS_KEY 0x80

enum id {
    ID_EBML = 0x1A45DFA3,
    ID_VOID = 0xEC,
    ID_CRC = 0xBF,
    ID_SEGMENT = 0x18538067,
    ID_SEEK_HEAD = 0x114D9B74,
    ID_SEEK = 0x4DBB,
    ID_SEEK_ID = 0x53AB,
    ID_SEEK_POSITION = 0x53AC,
    ID_INFO = 0x1549A966,
    ID_SCALE = 0x2AD7B1,
    ID_DURATION = 0x4489,
    ID_TRACKS = 0x1654AE6B,
    ID_TRACK = 0xAE,
    ID_TRACK_NUMBER = 0xD7,
    ID_TRACK_TYPE = 0x83,
    ID_CUES = 0x1C53BB6B,
    ID_CUE = 0xBB,
    ID_CUE_TIME = 0xB3,
    ID_CUE_PLACE = 0xB7,
    ID_CUE_TRACK = 0xF7,
    ID_CUE_CLUSTER = 0xF1,
    ID_CLUSTER = 0x1F43B675,
    ID_TIME = 0xE7,
    ID_POSITION = 0xA7,
    ID_PREV_SIZE = 0xAB,
    ID_SIMPLE_BLOCK = 0xA3,
    ID_GROUP = 0xA0,
    ID_BLOCK = 0xA1,
    ID_REFERENCE = 0xFB,
    ID_TOP = 0x10000000, /* ids of the segment's own elements are above this */
};

struct element {
    uint32_t id;
    size_t header;          /* bytes before its inside */
    uint64_t size;          /* of its inside, which may reach beyond the bytes at hand */
    struct sk_bytes inside; /* only of next_child() */
};

/* ---- elements ---- */

/* A number that says its own length, of `max` bytes at most. How long it is; 0: it is none. */
static size_t read_vint(struct sk_bytes bytes, size_t max, bool marked, uint64_t *ret_value)
{
    size_t n = bytes.n && bytes.p[0] ? (size_t)__builtin_clz(bytes.p[0]) - 23 : 0;
    if (!n || n > max || n > bytes.n)
        return 0;
    uint64_t value = marked ? bytes.p[0] : bytes.p[0] & (0xffu >> n);
    for (size_t i = 1; i < n; i++)
        value = value << 8 | bytes.p[i];
    *ret_value = value;
    return n;
}

static bool read_header(struct sk_bytes bytes, struct element *ret_element)
{
    uint64_t id, size;
    size_t n = read_vint(bytes, 4, true, &id);
    size_t m = n ? read_vint(sk_bytes(bytes.p + n, bytes.n - n), 8, false, &size) : 0;
    if (!m)
        return false;
    if (size == (UINT64_C(1) << 7 * m) - 1)
        size = UNKNOWN;
    *ret_element = (struct element){.id = (uint32_t)id, .header = n + m, .size = size};
    return true;
}

/* The first of the elements in these bytes, which it goes past. */
static bool next_child(struct sk_bytes *bytes, struct element *ret_element)
{
    struct element element;
    if (!read_header(*bytes, &element) || element.size > bytes->n - element.header)
        return false;
    element.inside = sk_bytes(bytes->p + element.header, (size_t)element.size);
    bytes->p += element.header + element.inside.n;
    bytes->n -= element.header + element.inside.n;
    *ret_element = element;
    return true;
}

static uint64_t read_number(struct sk_bytes bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.n && i < 8; i++)
        value = value << 8 | bytes.p[i];
    return value;
}

static double read_float(struct sk_bytes bytes)
{
    uint64_t bits = read_number(bytes);
    uint32_t half = (uint32_t)bits;
    float narrow;
    double wide = NAN;
    if (bytes.n == sizeof half) {
        memcpy(&narrow, &half, sizeof narrow);
        wide = (double)narrow;
    } else if (bytes.n == sizeof bits) {
        memcpy(&wide, &bits, sizeof wide);
    }
    return wide;
}

static uint64_t time_ns(const struct sk_film *film, uint64_t time)
{
    return sk_film_times(time, film->matroska.scale_ns);
}

static int broken(struct sk_film *film)
{
    return sk_film_fail(film, SKEP_ERR_MALFORMED, "is a broken Matroska file");
}

/* ---- the stream ---- */

/* Where the clusters end, as far as is known. */
static uint64_t clusters_end(const struct sk_matroska *m)
{
    uint64_t end = m->end, after = SK_MAX(m->cluster, m->index_end);
    for (size_t i = 0; i < m->marks_count; i++)
        if (m->marks[i] > after)
            end = SK_MIN(end, m->marks[i]);
    return end;
}

static void put_id(uint8_t *p, uint32_t id, uint64_t size)
{
    sk_put_u32(p, id);
    sk_put_u64(p + 4, size == UNKNOWN ? UINT64_C(0x01ffffffffffffff) : UINT64_C(1) << 56 | size);
}

static int write_id(struct sk_film *film, uint32_t id, uint64_t size, bool with_time)
{
    static const uint8_t time_head[] = {ID_TIME, 0x88}; /* a number of 8 bytes */
    size_t n = HEADER_MAX + (with_time ? sizeof time_head + 8 : 0);
    uint8_t *bytes = sk_mem_alloc(n);
    if (!bytes)
        return SKEP_ERR_NOMEM;
    put_id(bytes, id, with_time && size != UNKNOWN ? size + sizeof time_head + 8 : size);
    if (with_time) {
        memcpy(bytes + HEADER_MAX, time_head, sizeof time_head);
        sk_put_u64(bytes + HEADER_MAX + sizeof time_head, film->matroska.cluster_time);
    }
    return sk_film_write(film, bytes, n);
}

/* All is known: the head, and from `start` on what is left of its cluster, and all others. */
static int finish(struct sk_film *film, uint64_t start)
{
    const struct sk_matroska *m = &film->matroska;
    uint64_t left = m->cluster_end == UNKNOWN ? UNKNOWN : m->cluster_end - start;
    int err = sk_film_copy(film, m->head[0], false);
    if (!err)
        err = write_id(film, ID_SEGMENT, UNKNOWN, false);
    for (size_t i = 1; i < m->head_count && !err; i++)
        err = sk_film_copy(film, m->head[i], false);
    if (!err)
        err = write_id(film, ID_CLUSTER, left, true);
    uint64_t end = SK_MAX(clusters_end(m), m->cluster_end == UNKNOWN ? 0 : m->cluster_end);
    return err ? err : sk_film_copy(film, (struct sk_film_range){start, end - start}, true);
}

/* ---- in a cluster ---- */

static sk_film_step read_child, enter_cluster, walk_to_found;
static int search(struct sk_film *film);

static size_t find_cluster(struct sk_bytes bytes, size_t at)
{
    static const uint8_t id[] = {0x1F, 0x43, 0xB6, 0x75};
    const uint8_t *found = at < bytes.n ? memmem(bytes.p + at, bytes.n - at, id, sizeof id) : NULL;
    return found ? (size_t)(found - bytes.p) : bytes.n;
}

/* Also tells clusters from bytes that look like one. */
static bool judge_cluster(const struct sk_film *film, struct sk_bytes bytes, uint64_t *ret_ns)
{
    struct element cluster, child;
    if (!read_header(bytes, &cluster) || cluster.id != ID_CLUSTER)
        return false;
    bytes = sk_bytes(bytes.p + cluster.header, bytes.n - cluster.header);
    while (next_child(&bytes, &child)) {
        if (child.id == ID_TIME && child.size <= 8) {
            *ret_ns = time_ns(film, read_number(child.inside));
            return true;
        }
        if (child.id != ID_CRC && child.id != ID_VOID && child.id != ID_POSITION &&
            child.id != ID_PREV_SIZE)
            return false;
    }
    return false;
}

static const struct sk_film_marks clusters = {find_cluster, judge_cluster, walk_to_found};

static int walk(struct sk_film *film, uint64_t cluster)
{
    return sk_film_read(film, cluster, HEADER_MAX, enter_cluster);
}

static int walk_to_found(struct sk_film *film, struct sk_bytes bytes)
{
    return walk(film, film->seek.low);
}

static int seek(struct sk_film *film, uint64_t high, uint64_t until_ns)
{
    return sk_film_seek(film, &clusters, film->matroska.first_cluster, high, until_ns);
}

/* There is no more of the cluster to be looked at. One without a start sends us to those before
 * it. */
static int leave_cluster(struct sk_film *film)
{
    struct sk_matroska *m = &film->matroska;
    uint64_t now_ns = time_ns(film, m->cluster_time);
    if (m->start)
        return finish(film, m->start);
    if (m->cluster > m->first_cluster && now_ns && m->retreats++ < SK_FILM_RETREATS_MAX)
        return seek(film, m->cluster, SK_MIN(film->from_ns, now_ns - 1));
    return sk_film_fail(film, SKEP_ERR_LIMIT, "has no key frame at or before that time");
}

static bool in_cluster(const struct sk_matroska *m)
{
    return m->at < m->cluster_end && m->at < m->end;
}

/* What comes before it in the cluster, of other tracks, comes too where none of ours does. */
static void start_at(struct sk_matroska *m, uint64_t block)
{
    m->start = m->seen ? block : m->first_block;
}

static int go_on(struct sk_film *film)
{
    struct sk_matroska *m = &film->matroska;
    if (m->group && m->at >= m->group_end) {
        if (m->group_fits)
            start_at(m, m->group);
        m->seen |= m->group_ours;
        m->group = 0;
    }
    return in_cluster(m) ? sk_film_read(film, m->at, BLOCK_HEAD, read_child) : leave_cluster(film);
}

static int enter_cluster(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_matroska *m = &film->matroska;
    struct element cluster;
    uint64_t at = film->read.offset;
    if (!read_header(bytes, &cluster) || cluster.id != ID_CLUSTER) {
        bool indexed = m->cues;
        m->cues = 0; /* they lie */
        return indexed ? search(film) : broken(film);
    }
    m->cluster = at;
    m->at = at + cluster.header;
    m->cluster_end = cluster.size == UNKNOWN ? UNKNOWN : m->at + cluster.size;
    m->cluster_time = 0;
    m->group = m->start = m->first_block = 0;
    m->seen = false;
    if (m->cluster_end != UNKNOWN && m->cluster_end > m->end)
        m->cluster_end = UNKNOWN; /* the file was cut */
    return go_on(film);
}

/* A block's time may be before its cluster's. */
static uint64_t block_ns(const struct sk_film *film, int16_t time)
{
    uint64_t cluster = film->matroska.cluster_time;
    return time < 0 && (uint64_t)-time > cluster ? 0 : time_ns(film, cluster + (uint64_t)time);
}

/* A block of our track. Whether it is in time; *ret_is_key: as a simple block says it. */
static bool look_at_block(const struct sk_film *film, struct sk_bytes bytes, bool *ret_ours,
                          bool *ret_is_key)
{
    uint64_t track;
    size_t n = read_vint(bytes, 8, false, &track);
    *ret_ours = n && bytes.n >= n + 3 && track == film->matroska.track;
    *ret_is_key = *ret_ours && bytes.p[n + 2] & BLOCK_IS_KEY;
    return *ret_ours && block_ns(film, (int16_t)sk_get_u16(bytes.p + n)) <= film->from_ns;
}

static int read_child(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_matroska *m = &film->matroska;
    struct element child;
    bool ours = false, is_key = false, in_time = false;
    if (!read_header(bytes, &child) || (child.id > ID_TOP && m->cluster_end == UNKNOWN))
        return leave_cluster(film);
    if (child.size > m->end - m->at)
        return m->start ? leave_cluster(film) : broken(film);
    struct sk_bytes inside = sk_bytes(bytes.p + child.header, bytes.n - child.header);
    if (child.id == ID_TIME)
        m->cluster_time = read_number(sk_bytes(inside.p, SK_MIN(inside.n, child.size)));
    if ((child.id == ID_SIMPLE_BLOCK || child.id == ID_GROUP) && !m->first_block)
        m->first_block = m->at;
    if (child.id == ID_SIMPLE_BLOCK || child.id == ID_BLOCK)
        in_time = look_at_block(film, inside, &ours, &is_key);
    if (ours && !in_time && (m->start || m->cluster > m->first_cluster))
        return leave_cluster(film);
    in_time |= ours; /* in the first cluster, with none in time before it */
    if (child.id == ID_SIMPLE_BLOCK && in_time && is_key)
        start_at(m, m->at);
    if (child.id == ID_SIMPLE_BLOCK)
        m->seen |= ours;
    if (child.id == ID_BLOCK)
        m->group_ours = m->group_fits = in_time;
    if (child.id == ID_REFERENCE)
        m->group_fits = false;
    if (child.id == ID_GROUP) {
        m->group = m->at;
        m->group_end = m->at + child.header + child.size;
        m->group_ours = m->group_fits = false;
    }
    m->at += child.header + (child.id == ID_GROUP ? 0 : child.size);
    return go_on(film);
}

/* ---- the head and the index ---- */

static sk_film_step read_head, enter_cues, read_cues, enter_seek_head, read_seek_head;

/* Without an index, or with one that leads nowhere. */
static int search(struct sk_film *film)
{
    return seek(film, clusters_end(&film->matroska), film->from_ns);
}

struct cue {
    uint64_t ns, place;
};

/* A place that an entry of the index names: kept where it is the last in time as yet. */
static void look_at_place(struct sk_film *film, struct sk_bytes bytes, uint64_t ns,
                          struct cue *best)
{
    struct sk_matroska *m = &film->matroska;
    struct element part;
    uint64_t track = 0, cluster = 0;
    while (next_child(&bytes, &part))
        if (part.id == ID_CUE_TRACK)
            track = read_number(part.inside);
        else if (part.id == ID_CUE_CLUSTER)
            cluster = read_number(part.inside);
    if (cluster >= m->end - m->data || m->data + cluster < m->first_cluster)
        return;
    m->index_end = SK_MAX(m->index_end, m->data + cluster);
    if (track == m->track && ns <= film->from_ns && (!best->place || ns >= best->ns))
        *best = (struct cue){ns, m->data + cluster};
}

static int read_cues(struct sk_film *film, struct sk_bytes bytes)
{
    struct cue best = {0};
    struct element cue, part;
    while (next_child(&bytes, &cue)) {
        uint64_t ns = 0;
        while (cue.id == ID_CUE && next_child(&cue.inside, &part))
            if (part.id == ID_CUE_TIME)
                ns = time_ns(film, read_number(part.inside));
            else if (part.id == ID_CUE_PLACE)
                look_at_place(film, part.inside, ns, &best);
    }
    return best.place ? walk(film, best.place) : search(film);
}

static int enter_cues(struct sk_film *film, struct sk_bytes bytes)
{
    struct element cues;
    if (!read_header(bytes, &cues) || cues.id != ID_CUES || !cues.size ||
        cues.size > SK_FILM_TABLE_BYTES_MAX)
        return search(film);
    return sk_film_read(film, film->matroska.cues + cues.header, cues.size, read_cues);
}

/* The head is known. */
static int look_up(struct sk_film *film)
{
    struct sk_matroska *m = &film->matroska;
    if (!m->has_tracks || !m->track)
        return sk_film_fail(film, SKEP_ERR_MALFORMED, "is a Matroska file without tracks");
    if (m->duration * (double)m->scale_ns <= (double)film->from_ns)
        return sk_film_fail(film, SKEP_ERR_INVALID, "ends before that time");
    if (m->seek_head && m->seek_heads++ < SK_FILM_INDEXES_MAX) {
        uint64_t at = m->seek_head;
        m->seek_head = 0;
        return sk_film_read(film, at, HEADER_MAX, enter_seek_head);
    }
    return m->cues && m->cues < film->size ? sk_film_read(film, m->cues, HEADER_MAX, enter_cues)
                                           : search(film);
}

static void read_info(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_matroska *m = &film->matroska;
    struct element part;
    while (next_child(&bytes, &part)) {
        if (part.id == ID_SCALE && read_number(part.inside))
            m->scale_ns = read_number(part.inside);
        if (part.id == ID_DURATION)
            m->duration = read_float(part.inside);
    }
}

/* The first track of video leads; where there is none, the first of all. */
static void read_tracks(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_matroska *m = &film->matroska;
    struct element track, part;
    bool has_video = false;
    m->has_tracks = true;
    while (next_child(&bytes, &track)) {
        uint64_t number = 0, type = 0;
        while (track.id == ID_TRACK && next_child(&track.inside, &part))
            if (part.id == ID_TRACK_NUMBER)
                number = read_number(part.inside);
            else if (part.id == ID_TRACK_TYPE)
                type = read_number(part.inside);
        if (number && (!m->track || (type == TRACK_VIDEO && !has_video)))
            m->track = number;
        has_video |= type == TRACK_VIDEO;
    }
}

static void read_seeks(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_matroska *m = &film->matroska;
    struct element entry, part;
    while (next_child(&bytes, &entry)) {
        uint64_t id = 0, position = 0;
        while (entry.id == ID_SEEK && next_child(&entry.inside, &part))
            if (part.id == ID_SEEK_ID)
                id = read_number(part.inside);
            else if (part.id == ID_SEEK_POSITION)
                position = read_number(part.inside);
        if (!id || id == ID_CLUSTER || !position || position >= m->end - m->data)
            continue;
        if (id == ID_CUES)
            m->cues = m->data + position;
        if (id == ID_SEEK_HEAD)
            m->seek_head = m->data + position;
        if (m->marks_count < SK_ARRAY_LEN(m->marks))
            m->marks[m->marks_count++] = m->data + position;
    }
}

/* What a part of the head holds for us. */
static const struct {
    uint32_t id;
    bool stays; /* in the stream */
    void (*read)(struct sk_film *film, struct sk_bytes bytes);
} kinds[] = {
    {ID_INFO, true, read_info},
    {ID_TRACKS, true, read_tracks},
    {ID_SEEK_HEAD, false, read_seeks},
    {ID_CUES, false, NULL},
    {ID_VOID, false, NULL},
    {ID_CRC, false, NULL}, /* of the whole segment */
};

/* Index in kinds; their number: another, which stays. */
static size_t kind_of(uint32_t id)
{
    size_t kind = 0;
    while (kind < SK_ARRAY_LEN(kinds) && kinds[kind].id != id)
        kind++;
    return kind;
}

static int read_next(struct sk_film *film)
{
    if (film->matroska.at >= film->matroska.end)
        return sk_film_fail(film, SKEP_ERR_MALFORMED, "is a Matroska file without clusters");
    return sk_film_read(film, film->matroska.at, HEADER_MAX, read_head);
}

static int read_inside(struct sk_film *film, struct sk_bytes bytes)
{
    struct element element;
    if (!read_header(bytes, &element))
        return broken(film);
    kinds[kind_of(element.id)].read(film,
                                    sk_bytes(bytes.p + element.header, bytes.n - element.header));
    return read_next(film);
}

static int read_head(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_matroska *m = &film->matroska;
    struct element element;
    uint64_t at = m->at;
    if (!read_header(bytes, &element))
        return broken(film);
    if (element.id == ID_CLUSTER) {
        m->first_cluster = m->cluster = at;
        return look_up(film);
    }
    if (element.size > m->end - at || m->head_count == SK_ARRAY_LEN(m->head))
        return broken(film);
    uint64_t length = element.header + element.size;
    size_t kind = kind_of(element.id);
    if (kind == SK_ARRAY_LEN(kinds) || kinds[kind].stays)
        m->head[m->head_count++] = (struct sk_film_range){at, length};
    if (element.id == ID_CUES)
        m->cues = at;
    m->at += length;
    if (kind == SK_ARRAY_LEN(kinds) || !kinds[kind].read || !element.size)
        return read_next(film);
    return length > SK_FILM_TABLE_BYTES_MAX ? broken(film)
                                            : sk_film_read(film, at, length, read_inside);
}

/* One that another led to, behind the clusters. */
static int read_seek_head(struct sk_film *film, struct sk_bytes bytes)
{
    read_seeks(film, bytes);
    return look_up(film);
}

static int enter_seek_head(struct sk_film *film, struct sk_bytes bytes)
{
    struct element element;
    if (!read_header(bytes, &element) || element.id != ID_SEEK_HEAD || !element.size ||
        element.size > SK_FILM_TABLE_BYTES_MAX)
        return look_up(film);
    return sk_film_read(film, film->read.offset + element.header, element.size, read_seek_head);
}

bool sk_matroska_is(struct sk_bytes bytes)
{
    return bytes.n > 4 && sk_get_u32(bytes.p) == ID_EBML;
}

int sk_matroska_begin(struct sk_film *film, struct sk_bytes bytes)
{
    struct sk_matroska *m = &film->matroska;
    struct element ebml, segment;
    struct sk_bytes rest = bytes;
    if (!next_child(&rest, &ebml) || !read_header(rest, &segment) || segment.id != ID_SEGMENT)
        return broken(film);
    *m = (struct sk_matroska){.scale_ns = SCALE_DEFAULT_NS, .duration = NAN, .end = film->size};
    m->head[m->head_count++] = (struct sk_film_range){0, bytes.n - rest.n};
    m->at = m->data = bytes.n - rest.n + segment.header;
    if (segment.size < film->size - SK_MIN(m->data, film->size))
        m->end = m->data + segment.size;
    return read_next(film);
}
