#include "cmd/show.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <jansson.h>

/*
 * Where memory ends jansson gives NULL, and adding NULL, or to NULL, fails: so *failed shows at the
 * end whether anything is missing.
 */
static void set(json_t *object, const char *key, json_t *value, bool *failed)
{
    *failed |= json_object_set_new(object, key, value) != 0;
}

static void append(json_t *array, json_t *value, bool *failed)
{
    *failed |= json_array_append_new(array, value) != 0;
}

/* Text from outside: as it is where it is UTF-8, else with its bytes escaped; null where absent. */
static json_t *text_value(const char *text)
{
    if (!text)
        return json_null();
    struct sk_bytes bytes = sk_bytes_text(text);
    if (sk_text_is_utf8(bytes))
        return json_string_nocheck(text);
    size_t size = 9 * bytes.n + 1; /* no character becomes longer than nine for each byte */
    char *safe = sk_mem_alloc(size);
    if (!safe)
        return NULL;
    json_t *value = json_string_nocheck(sk_text_escape(bytes, safe, size));
    sk_mem_free(safe);
    return value;
}

static json_t *hex_value(bool has, const uint8_t *bytes, size_t n)
{
    char hex[2 * SK_MAGNET_SALT_MAX + 1]; /* nothing else is as long */
    if (!has)
        return json_null();
    sk_hex_encode(bytes, n, hex);
    return json_string(hex);
}

static json_t *list_value(const char *const *texts, size_t count, bool *failed)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        append(list, text_value(texts[i]), failed);
    return list;
}

static json_t *tiers_value(const struct sk_metainfo *m, bool *failed)
{
    json_t *tiers = json_array(), *tier = NULL;
    for (uint32_t i = 0; i < m->trackers_count; i++) {
        if (i == 0 || m->tiers[i] != m->tiers[i - 1]) {
            tier = json_array();
            append(tiers, tier, failed);
        }
        append(tier, text_value(m->trackers[i]), failed);
    }
    return tiers;
}

static json_t *attributes_value(uint32_t flags, bool *failed)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {SK_FILE_PADDING, "padding"},
        {SK_FILE_EXECUTABLE, "executable"},
        {SK_FILE_HIDDEN, "hidden"},
        {SK_FILE_SYMLINK, "symlink"},
    };
    json_t *list = json_array();
    for (size_t i = 0; i < SK_ARRAY_LEN(names); i++)
        if (flags & names[i].flag)
            append(list, json_string(names[i].name), failed);
    return list;
}

static json_t *files_value(const struct sk_metainfo *m, bool *failed)
{
    json_t *files = json_array();
    json_int_t number = 0;
    for (uint32_t i = 0; i < m->files_count && !*failed; i++) {
        const struct sk_file *file = &m->files[i];
        json_t *object = json_object();
        bool padding = file->flags & SK_FILE_PADDING;
        set(object, "number", padding ? json_null() : json_integer(++number), failed);
        set(object, "path", text_value(file->path), failed);
        set(object, "size", json_integer((json_int_t)file->length), failed);
        set(object, "offset", json_integer((json_int_t)file->offset), failed);
        set(object, "attributes", attributes_value(file->flags, failed), failed);
        set(object, "root", hex_value(file->root != NULL, file->root, SK_SHA256_SIZE), failed);
        append(files, object, failed);
    }
    return files;
}

static void set_torrent(json_t *root, const struct sk_metainfo *m, bool *failed)
{
    set(root, "kind", json_string("torrent"), failed);
    set(root, "name", text_value(m->name), failed);
    set(root, "info_hash", hex_value(m->has_v1, m->hash_v1, SK_SHA1_SIZE), failed);
    set(root, "info_hash_v2", hex_value(m->has_v2, m->hash_v2, SK_SHA256_SIZE), failed);
    set(root, "size", json_integer((json_int_t)m->size), failed);
    set(root, "piece_size", json_integer(m->piece_size), failed);
    set(root, "pieces", json_integer(m->pieces), failed);
    set(root, "private", json_boolean(m->is_private), failed);
    set(root, "comment", text_value(m->comment), failed);
    set(root, "created_by", text_value(m->created_by), failed);
    set(root, "created", m->created_s ? json_integer(m->created_s) : json_null(), failed);
    set(root, "trackers", tiers_value(m, failed), failed);
    set(root, "web_seeds", list_value(m->web_seeds, m->web_seeds_count, failed), failed);
    set(root, "nodes", list_value(m->nodes, m->nodes_count, failed), failed);
    set(root, "files", files_value(m, failed), failed);
    set(root, "magnet", json_null(), failed);
}

static json_t *magnet_value(const struct sk_magnet *m, bool *failed)
{
    json_t *object = json_object(), *select = json_array();
    for (size_t i = 0; i < m->select_count; i++) {
        json_t *range = json_array();
        append(range, json_integer(m->select[i].first), failed);
        append(range, json_integer(m->select[i].last), failed);
        append(select, range, failed);
    }
    set(object, "sources", list_value((const char *const *)m->sources, m->sources_count, failed),
        failed);
    set(object, "peers", list_value((const char *const *)m->peers, m->peers_count, failed), failed);
    set(object, "select", select, failed);
    set(object, "public_key", hex_value(m->has_key, m->key, SK_MAGNET_KEY_SIZE), failed);
    set(object, "salt", hex_value(m->has_key && m->salt_size, m->salt, m->salt_size), failed);
    return object;
}

/* What a link does not say is null. Its trackers have no tiers: all are in one. */
static void set_magnet(json_t *root, const struct sk_magnet *m, bool *failed)
{
    static const char *const unknown[] = {"piece_size", "pieces",  "private", "comment",
                                          "created_by", "created", "nodes",   "files"};
    json_t *tiers = json_array();
    if (m->trackers_count)
        append(tiers, list_value((const char *const *)m->trackers, m->trackers_count, failed),
               failed);
    set(root, "kind", json_string("magnet"), failed);
    set(root, "name", text_value(m->name), failed);
    set(root, "info_hash", hex_value(m->has_v1, m->hash_v1, SK_SHA1_SIZE), failed);
    set(root, "info_hash_v2", hex_value(m->has_v2, m->hash_v2, SK_SHA256_SIZE), failed);
    set(root, "size", m->size ? json_integer((json_int_t)m->size) : json_null(), failed);
    set(root, "trackers", tiers, failed);
    set(root, "web_seeds",
        list_value((const char *const *)m->web_seeds, m->web_seeds_count, failed), failed);
    for (size_t i = 0; i < SK_ARRAY_LEN(unknown); i++)
        set(root, unknown[i], json_null(), failed);
    set(root, "magnet", magnet_value(m, failed), failed);
}

int sk_show_json(const struct sk_show *show, FILE *to)
{
    bool failed = false;
    json_t *root = json_object();
    set(root, "schema", json_string("skep.show/1"), &failed);
    if (show->torrent)
        set_torrent(root, show->torrent, &failed);
    else
        set_magnet(root, show->magnet, &failed);
    if (!failed) {
        json_dumpf(root, to, JSON_INDENT(1) | JSON_ENSURE_ASCII);
        fputc('\n', to);
    }
    json_decref(root);
    return failed ? SKEP_ERR_NOMEM : 0;
}
