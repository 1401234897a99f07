#include "cmd/show.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"
#include "cmd/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

#define LABEL_COLUMNS 14
#define FILES_SHOWN 20
#define LIST_SHOWN 20 /* trackers, web seeds, peers */

/* A label at the left; blank where a value goes on in a further line. */
__attribute__((format(printf, 3, 4))) static void print_row(FILE *to, const char *label,
                                                            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(to, "%-*s", LABEL_COLUMNS, label);
    vfprintf(to, format, args);
    fputc('\n', to);
    va_end(args);
}

/* Text from outside; nothing where it is absent. */
static void print_text(FILE *to, const char *label, const char *text)
{
    char safe[4 * SK_METAINFO_URL_MAX];
    if (text && *text)
        print_row(to, label, "%s", sk_text_escape(sk_bytes_text(text), safe, sizeof safe));
}

static void print_list(FILE *to, const char *label, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < SK_MIN(count, (size_t)LIST_SHOWN); i++)
        print_text(to, i ? "" : label, texts[i]);
    if (count > LIST_SHOWN)
        print_row(to, "", "... and %zu more", count - LIST_SHOWN);
}

static void print_hashes(FILE *to, const uint8_t *v1, const uint8_t *v2)
{
    char hex[2 * SK_SHA256_SIZE + 1];
    if (v1) {
        sk_hex_encode(v1, SK_SHA1_SIZE, hex);
        print_row(to, "info-hash", "%s", hex);
    }
    if (v2) {
        sk_hex_encode(v2, SK_SHA256_SIZE, hex);
        print_row(to, "info-hash v2", "%s", hex);
    }
}

static void print_size(FILE *to, uint64_t size)
{
    char units[SK_UNITS_MAX], count[SK_UNITS_MAX];
    sk_units_bytes((double)size, units);
    print_row(to, "size", "%s (%s bytes)", units, sk_units_count(size, count));
}

static void print_time(FILE *to, const char *label, int64_t unix_s)
{
    char text[64];
    time_t time = (time_t)unix_s;
    struct tm tm;
    if (unix_s == 0)
        return;
    if (gmtime_r(&time, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm))
        print_row(to, label, "%s", text);
    else
        print_row(to, label, "%" PRId64 " (Unix time)", unix_s);
}

static void print_trackers(FILE *to, const struct sk_metainfo *m)
{
    char safe[4 * SK_METAINFO_URL_MAX];
    uint32_t count = SK_MIN(m->trackers_count, (uint32_t)LIST_SHOWN);
    for (uint32_t i = 0; i < count; i++) {
        sk_text_escape(sk_bytes_text(m->trackers[i]), safe, sizeof safe);
        if (i == 0 || m->tiers[i] != m->tiers[i - 1])
            print_row(to, i ? "" : "trackers", "%" PRIu32 ". %s", m->tiers[i] + 1, safe);
        else
            print_row(to, "", "   %s", safe);
    }
    if (m->trackers_count > count)
        print_row(to, "", "... and %" PRIu32 " more", m->trackers_count - count);
}

/* How many elements two paths have in common at their beginnings, the last one never counted. */
static size_t common_depth(const char *a, const char *b)
{
    size_t depth = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        depth += a[i] == '/';
    return depth;
}

/* `number` is what the file is called in --select; "" for a directory. */
static void print_entry(FILE *to, const char *number, const char *size, size_t depth,
                        struct sk_bytes name, const char *mark)
{
    char safe[4 * 256];
    sk_text_escape(name, safe, sizeof safe);
    fprintf(to, "  %5s  %8s  %*s%s%s\n", number, size, (int)(2 * SK_MIN(depth, (size_t)20)), "",
            safe, mark);
}

/* A file below its directories, of which only those not shown just before get their lines. */
static void print_file(FILE *to, const struct sk_file *file, uint32_t number, const char *before)
{
    char units[SK_UNITS_MAX], digits[16];
    size_t depth = 0, known = common_depth(file->path, before);
    const char *name = file->path;
    for (const char *slash; (slash = strchr(name, '/')); name = slash + 1, depth++)
        if (depth >= known)
            print_entry(to, "", "", depth, sk_bytes(name, (size_t)(slash - name)), "/");
    const char *mark = file->flags & SK_FILE_SYMLINK      ? "@"
                       : file->flags & SK_FILE_EXECUTABLE ? "*"
                                                          : "";
    snprintf(digits, sizeof digits, "%" PRIu32, number);
    print_entry(to, digits, sk_units_bytes((double)file->length, units), depth, sk_bytes_text(name),
                mark);
}

static void print_files(FILE *to, const struct sk_metainfo *m, bool all)
{
    uint32_t shown = 0, left_out = 0;
    const char *before = "";
    fputc('\n', to);
    for (uint32_t i = 0; i < m->files_count; i++) {
        const struct sk_file *file = &m->files[i];
        if (file->flags & SK_FILE_PADDING)
            continue;
        if (!all && shown == FILES_SHOWN) {
            left_out++;
            continue;
        }
        print_file(to, file, ++shown, before);
        before = file->path;
    }
    if (left_out)
        fprintf(to, "  %5s  %8s  ... and %" PRIu32 " more (--files lists all)\n", "", "", left_out);
}

static uint32_t count_files(const struct sk_metainfo *m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->files_count; i++)
        count += !(m->files[i].flags & SK_FILE_PADDING);
    return count;
}

static void print_torrent(FILE *to, const struct sk_metainfo *m, bool all_files)
{
    char units[SK_UNITS_MAX], count[SK_UNITS_MAX];
    print_text(to, "name", m->name);
    print_row(to, "kind", "torrent, %s", !m->has_v2 ? "v1" : m->has_v1 ? "v1 and v2" : "v2");
    print_hashes(to, m->has_v1 ? m->hash_v1 : NULL, m->has_v2 ? m->hash_v2 : NULL);
    print_size(to, m->size);
    print_row(to, "pieces", "%s of %s", sk_units_count(m->pieces, count),
              sk_units_bytes(m->piece_size, units));
    print_row(to, "files", "%s", sk_units_count(count_files(m), count));
    print_row(to, "private", "%s", m->is_private ? "yes" : "no");
    print_time(to, "created", m->created_s);
    print_text(to, "created by", m->created_by);
    print_text(to, "comment", m->comment);
    print_trackers(to, m);
    print_list(to, "web seeds", m->web_seeds, m->web_seeds_count);
    print_list(to, "DHT nodes", m->nodes, m->nodes_count);
    print_files(to, m, all_files);
}

static void print_selection(FILE *to, const struct sk_magnet *m)
{
    if (m->select_count == 0)
        return;
    fprintf(to, "%-*s", LABEL_COLUMNS, "selected");
    for (size_t i = 0; i < SK_MIN(m->select_count, (size_t)LIST_SHOWN); i++) {
        fprintf(to, "%s%" PRIu32, i ? ", " : "files ", m->select[i].first);
        if (m->select[i].last > m->select[i].first)
            fprintf(to, "-%" PRIu32, m->select[i].last);
    }
    fputs(m->select_count > LIST_SHOWN ? ", ...\n" : "\n", to);
}

/* BEP 46. The salt as `skep dht` takes it, and as it stands in the link. */
static void print_key(FILE *to, const struct sk_magnet *m)
{
    char hex[2 * SK_MAGNET_SALT_MAX + 1], safe[4 * SK_MAGNET_SALT_MAX + 1];
    sk_hex_encode(m->key, sizeof m->key, hex);
    print_row(to, "public key", "%s", hex);
    if (!m->salt_size)
        return;
    sk_hex_encode(m->salt, m->salt_size, hex);
    sk_text_escape(sk_bytes(m->salt, m->salt_size), safe, sizeof safe);
    print_row(to, "salt", "%s (%s)", safe, hex);
}

static void print_magnet(FILE *to, const struct sk_magnet *m)
{
    static const char *const kinds[2][2] = {{"to a public key (BEP 46)", "v2"},
                                            {"v1", "v1 and v2"}};
    print_text(to, "name", m->name);
    print_row(to, "kind", "magnet link, %s", kinds[m->has_v1][m->has_v2]);
    print_hashes(to, m->has_v1 ? m->hash_v1 : NULL, m->has_v2 ? m->hash_v2 : NULL);
    if (m->has_key)
        print_key(to, m);
    if (m->size)
        print_size(to, m->size);
    print_list(to, "trackers", (const char *const *)m->trackers, m->trackers_count);
    print_list(to, "web seeds", (const char *const *)m->web_seeds, m->web_seeds_count);
    print_list(to, "sources", (const char *const *)m->sources, m->sources_count);
    print_list(to, "peers", (const char *const *)m->peers, m->peers_count);
    print_selection(to, m);
}

void sk_show_text(const struct sk_show *show, FILE *to)
{
    if (show->torrent)
        print_torrent(to, show->torrent, show->all_files);
    else
        print_magnet(to, show->magnet);
}
