#include "store/announce_column.h"

#include "base/assert.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define AT_MAX 1e11  /* seconds; a time in milliseconds is more */
#define UNIT_MAX 1e6 /* of a second: what a double holds of such times */
#define WHY_MAX 256

/* ---- what a text says: false where it says nothing of the kind ---- */

static bool read_number(struct sk_bytes text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t digit = (uint8_t)(text.p[i] - '0');
        if (digit > 9 || digit > max || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return text.n > 0;
}

/* Digits with a point at most, whatever the program's locale says. Digits of the fraction that no
 * double holds are passed over: `date +%s.%N` writes nine. */
static bool read_at(struct sk_bytes text, struct sk_announce *announce)
{
    double at = 0, unit = 1;
    bool point = false, digits = false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t digit = (uint8_t)(text.p[i] - '0');
        if (text.p[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (digit > 9 || (!point && at > AT_MAX))
            return false;
        digits = true;
        if (point && unit >= UNIT_MAX)
            continue;
        at = at * 10 + digit;
        unit *= point ? 10 : 1;
    }
    announce->at_unix_s = at / unit;
    return digits && announce->at_unix_s <= AT_MAX;
}

static bool read_info_hash(struct sk_bytes text, struct sk_announce *announce)
{
    return sk_hex_decode((const char *)text.p, text.n, announce->info_hash, 20);
}

static bool read_peer_id(struct sk_bytes text, struct sk_announce *announce)
{
    return announce->has_peer_id =
               sk_hex_decode((const char *)text.p, text.n, announce->peer_id, 20);
}

static bool read_address(struct sk_bytes text, struct sk_announce *announce)
{
    struct sk_endpoint endpoint, other;
    char address[SK_ENDPOINT_TEXT_MAX];
    if (text.n >= sizeof address)
        return false;
    memcpy(address, text.p, text.n);
    address[text.n] = 0;
    if (text.n > 2 && strcmp(address + text.n - 2, ":0") == 0 &&
        (address[0] == '[' || memchr(address, ':', text.n) == address + text.n - 2))
        address[text.n - 2] = 0;
    /* Whether there is a port shows in whether the default is taken. */
    if (sk_endpoint_parse(address, 1, &endpoint) || sk_endpoint_parse(address, 2, &other))
        return false;
    if (endpoint.port != other.port)
        endpoint.port = 0;
    announce->endpoint = endpoint;
    return true;
}

static bool read_uploaded(struct sk_bytes text, struct sk_announce *announce)
{
    return read_number(text, INT64_MAX, &announce->uploaded);
}

static bool read_downloaded(struct sk_bytes text, struct sk_announce *announce)
{
    return read_number(text, INT64_MAX, &announce->downloaded);
}

static bool read_left(struct sk_bytes text, struct sk_announce *announce)
{
    return read_number(text, INT64_MAX, &announce->left);
}

static bool read_event(struct sk_bytes text, struct sk_announce *announce)
{
    static const enum sk_announce_event numbers[] = {SK_ANNOUNCE_NONE, SK_ANNOUNCE_COMPLETED,
                                                     SK_ANNOUNCE_STARTED, SK_ANNOUNCE_STOPPED};
    uint64_t number;
    if (read_number(text, SK_ARRAY_LEN(numbers) - 1, &number)) {
        announce->event = numbers[number];
        return true;
    }
    for (int i = 0; i < SK_ANNOUNCE_EVENT_COUNT; i++) {
        if (!sk_bytes_is(text, sk_announce_event_name((enum sk_announce_event)i)))
            continue;
        announce->event = (enum sk_announce_event)i;
        return true;
    }
    return false;
}

static bool read_key(struct sk_bytes text, struct sk_announce *announce)
{
    uint64_t key;
    if (!read_number(text, UINT32_MAX, &key))
        return false;
    announce->key = (uint32_t)key;
    announce->has_key = true;
    return true;
}

/* ---- the table ---- */

#define BYTES_EXPECTED "bytes, 0 to 9223372036854775807, or nothing where it is not known"

static const struct {
    const char *name;
    bool (*read)(struct sk_bytes text, struct sk_announce *announce);
    const char *expected;
} columns[] = {
    [SK_ANNOUNCE_AT] = {"at", read_at,
                        "seconds since 1970 such as 1790000000.25 (milliseconds are divided by "
                        "1000)"},
    [SK_ANNOUNCE_INFO_HASH] = {"info_hash", read_info_hash, "40 hex digits (SQL: HEX(info_hash))"},
    [SK_ANNOUNCE_PEER_ID] = {"peer_id", read_peer_id, "40 hex digits (SQL: HEX(peer_id))"},
    [SK_ANNOUNCE_ADDRESS] = {"address", read_address,
                             "an address such as 192.0.2.1:6881 or [2001:db8::1]:6881"},
    [SK_ANNOUNCE_UPLOADED] = {"uploaded", read_uploaded, BYTES_EXPECTED},
    [SK_ANNOUNCE_DOWNLOADED] = {"downloaded", read_downloaded, BYTES_EXPECTED},
    [SK_ANNOUNCE_LEFT] = {"left", read_left, BYTES_EXPECTED},
    [SK_ANNOUNCE_EVENT] = {"event", read_event,
                           "none, started, stopped, completed, paused, or 0 to 3 as in BEP 15"},
    [SK_ANNOUNCE_KEY] = {"key", read_key, "a number, 0 to 4294967295"},
};
_Static_assert(SK_ARRAY_LEN(columns) == SK_ANNOUNCE_COLUMN_COUNT, "every column is described");

const char *sk_announce_column_name(enum sk_announce_column column)
{
    SK_ASSERT((unsigned)column < SK_ANNOUNCE_COLUMN_COUNT);
    return columns[column].name;
}

enum sk_announce_column sk_announce_column_find(struct sk_bytes name)
{
    unsigned i = 0;
    while (i < SK_ANNOUNCE_COLUMN_COUNT && !sk_bytes_is(name, columns[i].name))
        i++;
    return (enum sk_announce_column)i;
}

void sk_announce_row_init(struct sk_announce_row *row)
{
    *row = (struct sk_announce_row){.announce = {.uploaded = SK_ANNOUNCE_UNKNOWN,
                                                 .downloaded = SK_ANNOUNCE_UNKNOWN,
                                                 .left = SK_ANNOUNCE_UNKNOWN}};
}

const char *sk_announce_row_set(struct sk_announce_row *row, enum sk_announce_column column,
                                struct sk_bytes text)
{
    SK_ASSERT((unsigned)column < SK_ANNOUNCE_COLUMN_COUNT);
    if (!text.n || sk_bytes_is(text, "NULL") || sk_bytes_is(text, "\\N"))
        return NULL;
    if (!columns[column].read(text, &row->announce))
        return columns[column].expected;
    row->set |= 1u << column;
    return NULL;
}

const char *sk_announce_row_lacks(const struct sk_announce_row *row)
{
    if (!(row->set & 1u << SK_ANNOUNCE_AT))
        return "at";
    if (!(row->set & 1u << SK_ANNOUNCE_INFO_HASH))
        return "info_hash";
    if (!(row->set & (1u << SK_ANNOUNCE_PEER_ID | 1u << SK_ANNOUNCE_ADDRESS)))
        return "peer_id or address";
    return NULL;
}

void sk_announce_bad(const struct sk_announce_sink *sink, struct sk_announces_tally *tally,
                     uint64_t line, const char *format, ...)
{
    char why[WHY_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    tally->bad++;
    if (sink->bad)
        sink->bad(line, why, sink->ctx);
}

int sk_announce_row_give(const struct sk_announce_row *row, uint64_t line,
                         const struct sk_announce_sink *sink, struct sk_announces_tally *tally)
{
    const char *lacks = sk_announce_row_lacks(row);
    if (lacks) {
        sk_announce_bad(sink, tally, line, "%s is missing", lacks);
        return 0;
    }
    if (sink->only && memcmp(sink->only, row->announce.info_hash, 20) != 0) {
        tally->others++;
        return 0;
    }
    tally->announces++;
    return sink->announce(&row->announce, sink->ctx);
}
