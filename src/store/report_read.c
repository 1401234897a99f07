#include "store/report_read.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/mem.h"
#include "swarm/source.h"

#include <stdio.h>

void sk_report_texts_deinit(struct sk_report_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        sk_mem_free(texts->list[i]);
    sk_mem_free(texts->list);
    *texts = (struct sk_report_texts){0};
}

/* The same text is kept once: there are few ("tcp", reasons). NULL without memory. */
static const char *keep_text(struct sk_report_texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (strcmp(texts->list[i], text) == 0)
            return texts->list[i];
    if (texts->count == texts->capacity) {
        size_t capacity = texts->capacity ? texts->capacity * 2 : 16;
        char **list = sk_mem_realloc(texts->list, capacity, sizeof *list);
        if (!list)
            return NULL;
        texts->list = list;
        texts->capacity = capacity;
    }
    char *copy = sk_mem_strdup(text);
    if (copy)
        texts->list[texts->count++] = copy;
    return copy;
}

struct sk_endpoint sk_report_read_address(const char *text)
{
    struct sk_endpoint endpoint = {0};
    if (text && !sk_anonymizer_stand_in(text, &endpoint))
        sk_endpoint_parse(text, 0, &endpoint);
    return endpoint;
}

static unsigned read_sources(const char *text)
{
    unsigned sources = 0;
    for (size_t n; *text; text += n + (text[n] == ' ')) {
        n = strcspn(text, " ");
        for (unsigned i = 0; i < SK_SOURCE_COUNT; i++)
            if (sk_bytes_is(sk_bytes(text, n), sk_source_name(i)))
                sources |= 1u << i;
    }
    return sources;
}

/* Index of a name among `count`; `otherwise` where it is none. */
static int index_of(const char *text, const char *(*name)(int i), int count, int otherwise)
{
    for (int i = 0; text && i < count; i++)
        if (name(i) && strcmp(name(i), text) == 0)
            return i;
    return otherwise;
}

static const char *outcome_name(int i)
{
    return sk_peer_outcome_name((enum sk_peer_outcome)i);
}

static const char *stopped_name(int i)
{
    return sk_stopped_name((enum sk_stopped)i);
}

static const char *verdict_name(int i)
{
    return sk_verdict_result_name((enum sk_verdict_result)i);
}

static int read_text(const struct sk_field *field, const char *text, bool owned,
                     struct sk_report_texts *texts, void *member)
{
    const char *kept = NULL;
    if (field->kind == SK_FIELD_CHARS || field->kind == SK_FIELD_NOTE) {
        snprintf(member, field->size, "%s", text ? text : "");
        return 0;
    }
    if (text)
        kept = owned ? sk_mem_strdup(text) : keep_text(texts, text);
    if (owned)
        sk_mem_free(*(char **)member);
    *(const char **)member = kept;
    return text && !kept ? SKEP_ERR_NOMEM : 0;
}

static void read_hex(const char *text, void *member, size_t size)
{
    if (!text || !sk_hex_decode(text, strlen(text), member, size))
        memset(member, 0, size);
}

/* column < 0: not in this file. */
static int read_field(sqlite3_stmt *row, int column, const struct sk_field *field, bool owned,
                      struct sk_report_texts *texts, void *base)
{
    void *member = (char *)base + field->offset;
    bool known = column >= 0 && sqlite3_column_type(row, column) != SQLITE_NULL;
    int64_t number = known ? sqlite3_column_int64(row, column) : 0;
    double real = known ? sqlite3_column_double(row, column) : NAN;
    const char *text = known ? (const char *)sqlite3_column_text(row, column) : NULL;
    if (field->known_if)
        *(bool *)((char *)base + field->known_if) = known;
    switch (field->kind) {
    case SK_FIELD_U32:
    case SK_FIELD_SOME:
    case SK_FIELD_SOURCES:
        *(uint32_t *)member = field->kind != SK_FIELD_SOURCES ? (uint32_t)number
                              : text                          ? read_sources(text)
                                                              : 0;
        return 0;
    case SK_FIELD_U64:
        *(uint64_t *)member = number < 0 ? 0 : (uint64_t)number;
        return 0;
    case SK_FIELD_COUNT:
        *(int64_t *)member = known ? number : -1;
        return 0;
    case SK_FIELD_FLAG:
        *(int *)member = known ? number != 0 : -1;
        return 0;
    case SK_FIELD_BOOL:
        *(bool *)member = number != 0;
        return 0;
    case SK_FIELD_ROUND:
    case SK_FIELD_REAL:
        *(double *)member = real;
        return 0;
    case SK_FIELD_TEXT:
    case SK_FIELD_CHARS:
    case SK_FIELD_NOTE:
    case SK_FIELD_REMARK:
        return read_text(field, text, owned, texts, member);
    case SK_FIELD_HASH:
    case SK_FIELD_HASH_V2:
    case SK_FIELD_PEER_ID:
        read_hex(text, member, field->size);
        return 0;
    case SK_FIELD_ADDRESS:
        *(struct sk_endpoint *)member = sk_report_read_address(text);
        return 0;
    case SK_FIELD_OUTCOME:
        *(enum sk_peer_outcome *)member = (enum sk_peer_outcome)index_of(
            text, outcome_name, SK_OUTCOME_COUNT, SK_OUTCOME_UNTRIED);
        return 0;
    case SK_FIELD_STOPPED:
        *(enum sk_stopped *)member = (enum sk_stopped)index_of(
            text, stopped_name, SK_STOPPED_INTERRUPTED + 1, SK_STOPPED_INTERRUPTED);
        return 0;
    case SK_FIELD_VERDICT:
        *(enum sk_verdict_result *)member = (enum sk_verdict_result)index_of(
            text, verdict_name, SK_VERDICT_CANNOT_TELL + 1, SK_VERDICT_NONE);
        return 0;
    }
    return 0;
}

static int find_column(sqlite3_stmt *row, const struct sk_field *field)
{
    char name[SK_FIELD_NAME_MAX];
    sk_field_flat_name(field, name);
    for (int i = 0; i < sqlite3_column_count(row); i++)
        if (strcmp(sqlite3_column_name(row, i), name) == 0)
            return i;
    return -1;
}

int sk_report_read_row(sqlite3_stmt *row, const struct sk_report_rows *rows,
                       struct sk_report_texts *texts, void *base)
{
    int err = 0;
    for (size_t i = 0; i < rows->count && !err; i++)
        err = read_field(row, find_column(row, &rows->fields[i]), &rows->fields[i], rows->owned,
                         texts, base);
    return err;
}
