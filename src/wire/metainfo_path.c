#include "wire/metainfo_build.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/text.h"

#include <stdio.h>
#include <strings.h>

#define ELEMENT_MAX 255u  /* what file systems take */
#define EXTENSION_MAX 32u /* a longer one is not kept when a name is cut */

/* Bytes that pass unchanged: printable ASCII but for the separators of any system. */
static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '/' && c != '\\';
}

/* Names that open a device on some systems, with any extension. */
static bool is_device(struct sk_bytes name)
{
    static const char *const plain[] = {"CON", "PRN", "AUX", "NUL"};
    static const char *const numbered[] = {"COM", "LPT"};
    const uint8_t *dot = name.n > 3 ? memchr(name.p, '.', SK_MIN(name.n, (size_t)5)) : NULL;
    size_t n = dot ? (size_t)(dot - name.p) : name.n;
    const char *text = (const char *)name.p;
    if (n == 3)
        for (size_t i = 0; i < SK_ARRAY_LEN(plain); i++)
            if (strncasecmp(text, plain[i], 3) == 0)
                return true;
    if (n == 4 && text[3] >= '1' && text[3] <= '9')
        for (size_t i = 0; i < SK_ARRAY_LEN(numbered); i++)
            if (strncasecmp(text, numbered[i], 3) == 0)
                return true;
    return false;
}

/* Where the extension begins (at its dot), or n where there is none worth keeping. */
static size_t extension_at(const char *name, size_t n)
{
    for (size_t i = n; i-- > 1 && n - i <= EXTENSION_MAX;)
        if (name[i] == '.')
            return i;
    return n;
}

/* The largest length of at most `max` bytes that does not cut a character. */
static size_t cut_at(const char *text, size_t max)
{
    while (max && ((uint8_t)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

/*
 * Writes base, insert and extension of a name of n bytes to ret_name (room for ELEMENT_MAX), the
 * base cut as far as is needed; returns the length.
 */
static size_t join_name(const char *name, size_t n, const char *insert, char *ret_name)
{
    size_t dot = extension_at(name, n), insert_n = strlen(insert);
    size_t base = dot;
    if (n + insert_n > ELEMENT_MAX)
        base = cut_at(name, ELEMENT_MAX - insert_n - (n - dot));
    memcpy(ret_name, name, base);
    memcpy(ret_name + base, insert, insert_n);
    memcpy(ret_name + base + insert_n, name + dot, n - dot);
    return base + insert_n + n - dot;
}

/* Replaces what is not safe; room for element.n bytes. Returns the length, which is no larger. */
static size_t clean(struct sk_bytes element, char *ret_name)
{
    size_t n = 0;
    while (element.n) {
        uint32_t c;
        size_t length = sk_text_decode(element, &c);
        if (length > 1 && c >= 0xa0) {
            memcpy(ret_name + n, element.p, length);
            n += length;
        } else {
            ret_name[n++] = is_plain(element.p[0]) ? (char)element.p[0] : '_';
            length = SK_MAX(length, (size_t)1);
        }
        element = sk_bytes(element.p + length, element.n - length);
    }
    return n;
}

/* An element that is not already a safe name. Returns the length, at most ELEMENT_MAX. */
static size_t make_safe(struct sk_bytes element, char ret_name[ELEMENT_MAX])
{
    /* Only a beginning and an extension of what is longer can matter. */
    char name[4 * ELEMENT_MAX];
    if (element.n > sizeof name) {
        size_t head = sizeof name - EXTENSION_MAX - 1, tail = sizeof name - head;
        uint8_t shorter[sizeof name];
        memcpy(shorter, element.p, head);
        memcpy(shorter + head, element.p + element.n - tail, tail);
        return make_safe(sk_bytes(shorter, sizeof shorter), ret_name);
    }
    size_t n = clean(element, name);
    if (n == 0)
        name[n++] = '_';
    if (n <= 2 && strncmp(name, "..", n) == 0)
        memset(name, '_', n);
    if (is_device(sk_bytes(name, n))) {
        size_t kept = SK_MIN(n, sizeof name - 1);
        memmove(name + 1, name, kept);
        name[0] = '_';
        n = kept + 1;
    }
    return join_name(name, n, "", ret_name);
}

static bool is_safe(struct sk_bytes element)
{
    if (element.n == 0 || element.n > ELEMENT_MAX)
        return false;
    for (size_t i = 0; i < element.n; i++)
        if (!is_plain(element.p[i]))
            return false;
    return !(element.n <= 2 && memcmp(element.p, "..", element.n) == 0) && !is_device(element);
}

int sk_metainfo_path_push(struct sk_metainfo_path *path, struct sk_bytes element)
{
    char safe[ELEMENT_MAX];
    if (!is_safe(element))
        element = sk_bytes(safe, make_safe(element, safe));
    bool first = path->n == 0;
    if (path->n + !first + element.n > SK_METAINFO_PATH_MAX)
        return SKEP_ERR_LIMIT;
    if (!first)
        path->text[path->n++] = '/';
    memcpy(path->text + path->n, element.p, element.n);
    path->n += element.n;
    return 0;
}

/* Case pairs of the scripts that have them, as far as they lie at a fixed distance. */
static uint32_t fold_char(uint32_t c)
{
    static const struct {
        uint32_t from, to, distance;
    } ranges[] = {
        {0xc0, 0xd6, 32},   {0xd8, 0xde, 32},   {0x391, 0x3a9, 32},   {0x400, 0x40f, 80},
        {0x410, 0x42f, 32}, {0x531, 0x556, 48}, {0xff21, 0xff3a, 32}, {0x10400, 0x10427, 40},
    };
    static const struct {
        uint32_t from, to, odd; /* capitals and small letters alternate; odd: capitals are odd */
    } alternating[] = {
        {0x100, 0x137, 0}, {0x139, 0x148, 1}, {0x14a, 0x177, 0},   {0x179, 0x17e, 1},
        {0x460, 0x481, 0}, {0x48a, 0x4bf, 0}, {0x1e00, 0x1e95, 0}, {0x1ea0, 0x1eff, 0},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(ranges); i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return c + ranges[i].distance;
    for (size_t i = 0; i < SK_ARRAY_LEN(alternating); i++)
        if (c >= alternating[i].from && c <= alternating[i].to)
            return c + ((c & 1) == alternating[i].odd);
    return c;
}

/* Hash of a safe element with its case folded, going on from the hash of what stands before it. */
static uint64_t hash_element(struct sk_bytes element, uint64_t hash)
{
    uint8_t folded[2 * ELEMENT_MAX];
    size_t n = 0;
    while (element.n) {
        uint32_t c = element.p[0];
        size_t length = 1;
        if (c < 0x80) {
            folded[n++] = (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
        } else {
            /* Safe names are valid UTF-8. Three bytes for two or more: never over the buffer. */
            length = sk_text_decode(element, &c);
            c = fold_char(c);
            folded[n++] = (uint8_t)(0x80 | c >> 16);
            folded[n++] = (uint8_t)(c >> 8);
            folded[n++] = (uint8_t)c;
        }
        element = sk_bytes(element.p + length, element.n - length);
    }
    return sk_hash_bytes(folded, n, hash);
}

/*
 * The names that are taken: a map from the hash of a folded path to the number that the next file
 * of that name tries. The hash is seeded by the info-hash, so nobody can choose names that collide.
 */
struct taken {
    struct sk_map map;
    uint64_t seed;
    struct sk_bytes dir; /* the last directory looked at, and its hash */
    uint64_t dir_hash;
};

/* Hash of the directory part; a new one is entered together with those above it when `enter`. */
static int hash_dir(struct taken *taken, struct sk_bytes dir, bool enter, uint64_t *ret_hash)
{
    if (!taken->dir.p || !sk_bytes_equal(dir, taken->dir)) {
        uint64_t hash = taken->seed;
        for (size_t at = 0; at < dir.n;) {
            const uint8_t *slash = memchr(dir.p + at, '/', dir.n - at);
            size_t end = slash ? (size_t)(slash - dir.p) : dir.n;
            hash = hash_element(sk_bytes(dir.p + at, end - at), hash);
            int err = enter ? sk_map_put(&taken->map, &hash, (void *)1) : 0;
            if (err)
                return err;
            at = end + 1;
        }
        taken->dir = dir;
        taken->dir_hash = hash;
    }
    *ret_hash = taken->dir_hash;
    return 0;
}

static void split(const char *path, struct sk_bytes *ret_dir, struct sk_bytes *ret_name)
{
    const char *slash = strrchr(path, '/');
    *ret_dir = sk_bytes(path, slash ? (size_t)(slash - path) : 0);
    *ret_name = sk_bytes_text(slash ? slash + 1 : path);
}

/* Gives the file the first numbered name that is free: "name.1.ext". */
static int rename_file(struct sk_metainfo_own *own, struct taken *taken, struct sk_file *file,
                       uint64_t dir_hash, uint64_t hash)
{
    struct sk_bytes dir, name;
    split(file->path, &dir, &name);
    struct sk_metainfo_path path;
    path.n = dir.n ? dir.n + 1 : 0;
    memcpy(path.text, file->path, path.n);
    uintptr_t number = (uintptr_t)sk_map_get(&taken->map, &hash);
    for (;; number++) {
        char insert[24], joined[ELEMENT_MAX];
        snprintf(insert, sizeof insert, ".%zu", (size_t)number);
        size_t n = join_name((const char *)name.p, name.n, insert, joined);
        if (path.n + n > SK_METAINFO_PATH_MAX)
            return sk_metainfo_fail(own, SKEP_ERR_LIMIT, "a file's path is too long");
        uint64_t joined_hash = hash_element(sk_bytes(joined, n), dir_hash);
        if (sk_map_get(&taken->map, &joined_hash))
            continue;
        memcpy(path.text + path.n, joined, n);
        file->path = sk_metainfo_text(own, sk_bytes(path.text, path.n + n));
        if (!file->path)
            return SKEP_ERR_NOMEM;
        sk_map_put(&taken->map, &hash, (void *)(number + 1));
        return sk_map_put(&taken->map, &joined_hash, (void *)1);
    }
}

static int enter_dirs(struct sk_metainfo_own *own, struct taken *taken)
{
    struct sk_bytes dir, name;
    uint64_t hash;
    for (uint32_t i = 0; i < own->public.files_count; i++) {
        if (own->files[i].flags & SK_FILE_PADDING)
            continue;
        split(own->files[i].path, &dir, &name);
        int err = hash_dir(taken, dir, true, &hash);
        if (err)
            return err;
    }
    return 0;
}

static int enter_files(struct sk_metainfo_own *own, struct taken *taken)
{
    struct sk_bytes dir, name;
    uint64_t dir_hash;
    for (uint32_t i = 0; i < own->public.files_count; i++) {
        struct sk_file *file = &own->files[i];
        if (file->flags & SK_FILE_PADDING)
            continue;
        split(file->path, &dir, &name);
        hash_dir(taken, dir, false, &dir_hash);
        uint64_t hash = hash_element(name, dir_hash);
        int err = sk_map_get(&taken->map, &hash) ? rename_file(own, taken, file, dir_hash, hash)
                                                 : sk_map_put(&taken->map, &hash, (void *)1);
        if (err)
            return err;
    }
    return 0;
}

int sk_metainfo_tell_apart(struct sk_metainfo_own *own)
{
    if (own->public.files_count < 2)
        return 0;
    struct taken taken = {.seed = sk_get_u64(own->public.info_hash)};
    sk_map_init(&taken.map, sizeof(uint64_t), SK_METAINFO_NAMES_MAX, taken.seed);
    int err = enter_dirs(own, &taken);
    if (!err)
        err = enter_files(own, &taken);
    sk_map_deinit(&taken.map);
    if (err && !own->reason)
        own->reason = err == SKEP_ERR_LIMIT ? "too many files and directories" : "out of memory";
    return err;
}
