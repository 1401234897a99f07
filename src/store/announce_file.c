#include "store/announce_file.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define REASON_MAX 512
#define SHOWN_MAX 48 /* bytes of a value that could not be read */
/* Digits of a number in JSON that say the same as jansson's. */
#define PLAIN_DIGITS 18
#define PLAIN_FRACTION 6
#define PLAIN_OTHERS 8 /* columns that are none of ours in a line that is read in place */

enum state {
    START,    /* nothing but a byte order mark and blanks yet */
    JSON,     /* in a line of JSON */
    HEADER,   /* in the header row */
    FIELD,    /* CSV: at the beginning of a field */
    PLAIN,    /* CSV: in a field without quotes */
    QUOTED,   /* CSV: in a field with them */
    UNQUOTED, /* CSV: after a quote inside of such a field */
    SKIP,     /* in the rest of a line that was found bad */
};

struct sk_announce_file {
    struct sk_announce_sink sink;
    struct sk_announces_tally tally;
    enum state state;
    bool is_json;
    uint64_t line, record_line; /* of this byte; on which the record began */
    char separator;
    enum sk_announce_column columns[SK_ANNOUNCE_FIELDS_MAX]; /* CSV: what each field is */
    size_t columns_count;
    size_t field, field_at; /* CSV: how many fields are complete; where this one begins */
    struct sk_announce_row row;
    const char *bad; /* CSV: what was expected in a field of this record */
    enum sk_announce_column bad_column;
    char bad_text[4 * SHOWN_MAX];
    size_t n; /* of `text` */
    char text[SK_ANNOUNCE_RECORD_MAX];
    char reason[REASON_MAX];
};

int sk_announce_file_new(const struct sk_announce_sink *sink, struct sk_announce_file **ret_file)
{
    struct sk_announce_file *file = sk_mem_calloc(1, sizeof *file);
    if (!file)
        return SKEP_ERR_NOMEM;
    file->sink = *sink;
    file->line = file->record_line = 1;
    *ret_file = file;
    return 0;
}

void sk_announce_file_free(struct sk_announce_file *file)
{
    sk_mem_free(file);
}

const char *sk_announce_file_reason(const struct sk_announce_file *file)
{
    return file->reason;
}

const struct sk_announces_tally *sk_announce_file_tally(const struct sk_announce_file *file)
{
    return &file->tally;
}

#define BAD(file, ...)                                                                             \
    sk_announce_bad(&(file)->sink, &(file)->tally, (file)->record_line, __VA_ARGS__)

static int give_up_if_hopeless(struct sk_announce_file *file)
{
    const struct sk_announces_tally *tally = &file->tally;
    if (tally->bad < SK_ANNOUNCE_BAD_MAX || tally->bad <= tally->announces + tally->others)
        return 0;
    snprintf(file->reason, sizeof file->reason,
             "%llu lines cannot be read, and only %llu can: is it announces at all?",
             (unsigned long long)tally->bad,
             (unsigned long long)(tally->announces + tally->others));
    return SKEP_ERR_MALFORMED;
}

static char *shown(struct sk_bytes text, char ret_text[4 * SHOWN_MAX])
{
    return sk_text_escape(sk_bytes(text.p, SK_MIN(text.n, (size_t)SHOWN_MAX)), ret_text,
                          4 * SHOWN_MAX);
}

/* The next record begins after this byte. */
static void begin_record(struct sk_announce_file *file, enum state state)
{
    file->state = state;
    file->n = file->field = file->field_at = 0;
    file->bad = NULL;
    file->record_line = file->line + 1;
    sk_announce_row_init(&file->row);
}

/* False where the record has grown too long; the rest of its line is then skipped. */
static bool keep(struct sk_announce_file *file, char c)
{
    if (file->n < sizeof file->text) {
        file->text[file->n++] = c;
        return true;
    }
    BAD(file, "it is longer than %u bytes (is a quote not closed?)", SK_ANNOUNCE_RECORD_MAX);
    file->state = SKIP;
    return false;
}

/* ---- JSON Lines ---- */

/* What a JSON value says as text; NULL where it is none of ours. */
static const char *json_text(const json_t *value, char number[48])
{
    if (json_is_null(value))
        return "";
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_integer(value))
        snprintf(number, 48, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, 48, "%.*f",
                 json_real_value(value) == floor(json_real_value(value)) ? 0 : 6,
                 json_real_value(value));
    else
        return NULL;
    for (char *c = number; *c; c++) /* whatever the program's locale says */
        *c = *c == ',' ? '.' : *c;
    return number;
}

static int take_object(struct sk_announce_file *file, json_t *object)
{
    char number[48], found[4 * SHOWN_MAX];
    sk_announce_row_init(&file->row);
    for (int i = 0; i < SK_ANNOUNCE_COLUMN_COUNT; i++) {
        enum sk_announce_column column = (enum sk_announce_column)i;
        const char *name = sk_announce_column_name(column);
        const json_t *value = json_object_get(object, name);
        const char *text = value ? json_text(value, number) : "";
        const char *expected = text ? sk_announce_row_set(&file->row, column, sk_bytes_text(text))
                                    : "a text or a number";
        if (expected) {
            BAD(file, "%s: expected %s, found '%s'", name, expected,
                shown(sk_bytes_text(text ? text : "..."), found));
            return 0;
        }
    }
    return sk_announce_row_give(&file->row, file->record_line, &file->sink, &file->tally);
}

/* Most lines are one flat object of plain texts and digits, which is read where it lies. False
 * where it is anything else, or wrong: then jansson looks, at a quarter of the speed. */

static void skip_blanks(struct sk_bytes *rest)
{
    while (rest->n && (*rest->p == ' ' || *rest->p == '\t' || *rest->p == '\r'))
        *rest = sk_bytes(rest->p + 1, rest->n - 1);
}

static struct sk_bytes take_front(struct sk_bytes *rest, size_t n)
{
    struct sk_bytes front = sk_bytes(rest->p, n);
    *rest = sk_bytes(rest->p + n, rest->n - n);
    return front;
}

static bool take_mark(struct sk_bytes *rest, char mark)
{
    skip_blanks(rest);
    bool there = rest->n && *rest->p == (uint8_t)mark;
    take_front(rest, there);
    return there;
}

static bool take_text(struct sk_bytes *rest, struct sk_bytes *ret_text)
{
    size_t n = 0;
    if (!take_mark(rest, '"'))
        return false;
    while (n < rest->n && rest->p[n] >= ' ' && rest->p[n] < 0x80 && rest->p[n] != '"' &&
           rest->p[n] != '\\')
        n++;
    *ret_text = take_front(rest, n);
    return rest->n && *take_front(rest, 1).p == '"';
}

static size_t count_digits(struct sk_bytes text)
{
    size_t n = 0;
    while (n < text.n && text.p[n] >= '0' && text.p[n] <= '9')
        n++;
    return n;
}

static bool take_number(struct sk_bytes *rest, bool is_time, struct sk_bytes *ret_text)
{
    size_t n = count_digits(*rest), fraction = 0;
    if (!n || n > PLAIN_DIGITS || (n > 1 && *rest->p == '0'))
        return false;
    if (is_time && n < rest->n && rest->p[n] == '.') {
        fraction = count_digits(sk_bytes(rest->p + n + 1, rest->n - n - 1));
        if (!fraction || fraction > PLAIN_FRACTION)
            return false;
        n += 1 + fraction;
    }
    *ret_text = take_front(rest, n);
    return true;
}

static bool take_value(struct sk_bytes *rest, enum sk_announce_column column,
                       struct sk_bytes *ret_text)
{
    skip_blanks(rest);
    if (rest->n && *rest->p == '"')
        return take_text(rest, ret_text);
    if (rest->n < 4 || memcmp(rest->p, "null", 4) != 0)
        return take_number(rest, column == SK_ANNOUNCE_AT, ret_text);
    take_front(rest, 4);
    *ret_text = sk_bytes(NULL, 0);
    return true;
}

/* Columns that are none of ours, each of them once as well. */
struct others {
    struct sk_bytes names[PLAIN_OTHERS];
    size_t count;
};

static bool note_other(struct others *others, struct sk_bytes name)
{
    for (size_t i = 0; i < others->count; i++)
        if (sk_bytes_equal(others->names[i], name))
            return false;
    if (others->count == PLAIN_OTHERS)
        return false;
    others->names[others->count++] = name;
    return true;
}

static bool take_plain(struct sk_announce_file *file)
{
    struct sk_bytes rest = sk_bytes(file->text, file->n), name, value;
    struct others others = {.count = 0};
    unsigned seen = 0;
    sk_announce_row_init(&file->row);
    if (!take_mark(&rest, '{'))
        return false;
    do {
        if (!take_text(&rest, &name) || !take_mark(&rest, ':'))
            return false;
        enum sk_announce_column column = sk_announce_column_find(name);
        if (!take_value(&rest, column, &value))
            return false;
        if (column == SK_ANNOUNCE_COLUMN_COUNT) {
            if (!note_other(&others, name))
                return false;
            continue;
        }
        if (seen & 1u << column || sk_announce_row_set(&file->row, column, value))
            return false;
        seen |= 1u << column;
    } while (take_mark(&rest, ','));
    bool ends = take_mark(&rest, '}');
    skip_blanks(&rest);
    return ends && !rest.n;
}

static int end_json_line(struct sk_announce_file *file)
{
    size_t n = file->n, blank = 0;
    int err = 0;
    while (blank < n && strchr(" \t\r", file->text[blank]))
        blank++;
    if (file->state == JSON && take_plain(file)) {
        err = sk_announce_row_give(&file->row, file->record_line, &file->sink, &file->tally);
    } else if (file->state == JSON && blank < n) {
        json_error_t error;
        json_t *object = json_loadb(file->text, n, JSON_REJECT_DUPLICATES, &error);
        if (json_is_object(object))
            err = take_object(file, object);
        else
            BAD(file, "expected a JSON object on a line of its own%s%s%s", object ? "" : ": ",
                object ? "" : error.text,
                memchr(file->text, '\r', n - 1) ? " (do lines end in CR alone?)" : "");
        json_decref(object);
    }
    begin_record(file, JSON);
    return err;
}

static int json_byte(struct sk_announce_file *file, char c)
{
    if (c == '\n')
        return end_json_line(file);
    if (file->state == JSON)
        keep(file, c);
    return 0;
}

/* Keeps what there is of a line before its end, as far as there is room; how many bytes. */
static size_t keep_json(struct sk_announce_file *file, struct sk_bytes bytes)
{
    const uint8_t *end = memchr(bytes.p, '\n', bytes.n);
    size_t n = SK_MIN(end ? (size_t)(end - bytes.p) : bytes.n, sizeof file->text - file->n);
    memcpy(file->text + file->n, bytes.p, n);
    file->n += n;
    return n;
}

/* ---- CSV ---- */

static size_t count_outside_quotes(struct sk_bytes text, char wanted)
{
    size_t count = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        quoted ^= text.p[i] == '"';
        count += !quoted && text.p[i] == (uint8_t)wanted;
    }
    return count;
}

static void choose_separator(struct sk_announce_file *file, struct sk_bytes header)
{
    static const char separators[] = {',', ';', '\t'};
    size_t most = 0;
    file->separator = separators[0];
    for (size_t i = 0; i < SK_ARRAY_LEN(separators); i++) {
        size_t count = count_outside_quotes(header, separators[i]);
        if (count > most)
            file->separator = separators[i];
        most = SK_MAX(most, count);
    }
}

static int refuse(struct sk_announce_file *file, const char *why)
{
    snprintf(file->reason, sizeof file->reason, "%s", why);
    return SKEP_ERR_MALFORMED;
}

/* A CR that no LF follows: lines of old systems, which would all be the header. */
static bool has_bare_cr(const struct sk_announce_file *file)
{
    return memchr(file->text, '\r', file->n) != NULL;
}

static const char bare_cr[] =
    "its lines end in CR alone: save it with lines that end in LF or CR LF";

static int refuse_header(struct sk_announce_file *file, const char *format, const char *name)
{
    int n = snprintf(file->reason, sizeof file->reason, format, name);
    snprintf(file->reason + n, sizeof file->reason - (size_t)n,
             " (it names the columns at, info_hash, peer_id, address, uploaded, downloaded, left, "
             "event, key)");
    return SKEP_ERR_MALFORMED;
}

/* Of the first name in the rest of a header row. */
static size_t name_length(struct sk_bytes rest, char separator)
{
    bool quoted = false;
    size_t n = 0;
    for (; n < rest.n && (quoted || rest.p[n] != (uint8_t)separator); n++)
        quoted ^= rest.p[n] == '"';
    return n;
}

/* A name of the header row without its quotes. */
static struct sk_bytes bare(struct sk_bytes name)
{
    if (name.n >= 2 && name.p[0] == '"' && name.p[name.n - 1] == '"')
        return sk_bytes(name.p + 1, name.n - 2);
    return name;
}

static int end_header(struct sk_announce_file *file)
{
    struct sk_announce_row seen = {0};
    if (file->n && file->text[file->n - 1] == '\r')
        file->n--;
    if (has_bare_cr(file))
        return refuse(file, bare_cr);
    struct sk_bytes rest = sk_bytes(file->text, file->n);
    choose_separator(file, rest);
    for (bool more = true; more;) {
        size_t n = name_length(rest, file->separator);
        enum sk_announce_column column = sk_announce_column_find(bare(sk_bytes(rest.p, n)));
        if (file->columns_count == SK_ANNOUNCE_FIELDS_MAX)
            return refuse_header(file, "the header row has too many columns%s", "");
        if (column < SK_ANNOUNCE_COLUMN_COUNT && seen.set & 1u << column)
            return refuse_header(file, "the header row has %s twice",
                                 sk_announce_column_name(column));
        file->columns[file->columns_count++] = column;
        seen.set |= 1u << column;
        more = n < rest.n;
        rest = more ? sk_bytes(rest.p + n + 1, rest.n - n - 1) : rest;
    }
    const char *lacks = sk_announce_row_lacks(&seen);
    if (lacks)
        return refuse_header(file, "the header row does not have %s", lacks);
    begin_record(file, FIELD);
    return 0;
}

static void end_field(struct sk_announce_file *file)
{
    struct sk_bytes text = sk_bytes(file->text + file->field_at, file->n - file->field_at);
    enum sk_announce_column column =
        file->field < file->columns_count ? file->columns[file->field] : SK_ANNOUNCE_COLUMN_COUNT;
    const char *expected = column < SK_ANNOUNCE_COLUMN_COUNT && !file->bad
                               ? sk_announce_row_set(&file->row, column, text)
                               : NULL;
    if (expected) {
        file->bad = expected;
        file->bad_column = column;
        shown(text, file->bad_text);
    }
    file->field++;
    file->field_at = file->n;
    file->state = FIELD;
}

static int end_record(struct sk_announce_file *file)
{
    int err = 0;
    bool empty = file->field == 0 && file->n == 0 && file->state == FIELD;
    if (empty || file->state == SKIP) {
        begin_record(file, FIELD);
        return 0;
    }
    end_field(file);
    if (file->field != file->columns_count)
        BAD(file, "%zu fields where the header row has %zu", file->field, file->columns_count);
    else if (file->bad)
        BAD(file, "%s: expected %s, found '%s'", sk_announce_column_name(file->bad_column),
            file->bad, file->bad_text);
    else
        err = sk_announce_row_give(&file->row, file->record_line, &file->sink, &file->tally);
    begin_record(file, FIELD);
    return err;
}

/* A byte that is not inside of quotes. */
static int csv_open_byte(struct sk_announce_file *file, char c)
{
    if (c == '\n')
        return end_record(file);
    if (c == '\r') /* of CR LF; nothing of ours has one inside */
        return 0;
    if (c == file->separator) {
        end_field(file);
    } else if (c == '"' && file->state == FIELD) {
        file->state = QUOTED;
    } else if (c == '"' && file->state == UNQUOTED) {
        if (keep(file, c))
            file->state = QUOTED;
    } else if (file->state == UNQUOTED || c == '"') {
        BAD(file, "a quote inside of a field (double it, and put the field in quotes)");
        file->state = SKIP;
    } else if (keep(file, c)) {
        file->state = PLAIN;
    }
    return 0;
}

static int csv_byte(struct sk_announce_file *file, char c)
{
    switch (file->state) {
    case QUOTED:
        if (c == '"')
            file->state = UNQUOTED;
        else
            keep(file, c);
        return 0;
    case SKIP:
        return c == '\n' ? end_record(file) : 0;
    case HEADER:
        if (c == '\n')
            return end_header(file);
        if (keep(file, c))
            return 0;
        return has_bare_cr(file) ? refuse(file, bare_cr)
                                 : refuse_header(file, "the header row has no end%s", "");
    default:
        return csv_open_byte(file, c);
    }
}

/* ---- both ---- */

static int first_byte(struct sk_announce_file *file, char c)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (file->n < 3 && c == mark[file->n]) {
        file->n++;
        return 0;
    }
    if (c == '\n' || c == '\r' || c == ' ')
        return 0;
    if ((uint8_t)c >= 0xfe || !c)
        return refuse(file, "it is no UTF-8 text: save it as CSV or JSON Lines in UTF-8");
    if (c == '[')
        return refuse(file, "it is one JSON array: JSON Lines are wanted, an object a line "
                            "(jq -c '.[]' makes them of it)");
    file->n = 0;
    file->record_line = file->line;
    file->is_json = c == '{';
    file->state = file->is_json ? JSON : HEADER;
    sk_announce_row_init(&file->row);
    return file->is_json ? json_byte(file, c) : csv_byte(file, c);
}

int sk_announce_file_input(struct sk_announce_file *file, struct sk_bytes bytes)
{
    int err = 0;
    for (size_t i = 0; i < bytes.n && !err; i++) {
        if (file->state == JSON)
            i += keep_json(file, sk_bytes(bytes.p + i, bytes.n - i));
        if (i == bytes.n)
            break;
        char c = (char)bytes.p[i];
        uint64_t bad = file->tally.bad;
        err = file->state == START ? first_byte(file, c)
              : file->is_json      ? json_byte(file, c)
                                   : csv_byte(file, c);
        file->line += c == '\n';
        if (!err && file->tally.bad > bad)
            err = give_up_if_hopeless(file);
    }
    return err;
}

int sk_announce_file_end(struct sk_announce_file *file)
{
    const struct sk_announces_tally *tally = &file->tally;
    int err = 0;
    if (file->state == QUOTED) {
        BAD(file, "a quote is not closed");
        file->state = SKIP;
    }
    if (file->state != START)
        err = sk_announce_file_input(file, sk_bytes_text("\n"));
    if (!err && tally->bad && !tally->announces && !tally->others) {
        snprintf(file->reason, sizeof file->reason, "none of its %llu line%s can be read",
                 (unsigned long long)tally->bad, tally->bad == 1 ? "" : "s");
        err = SKEP_ERR_MALFORMED;
    }
    return err;
}
