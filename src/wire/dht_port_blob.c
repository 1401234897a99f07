/* Bytes as announced ports. */
#include "wire/dht_port_blob.h"

#include "base/assert.h"

#define DOMAIN "skep dht port key 1"
#define LANES 8

/* What a hash is for: the byte after the key. */
enum purpose { FOR_HEAD_HASH, FOR_SEGMENT_HASH, FOR_WHOLE, FOR_HEAD, FOR_SEGMENT };

/* How a kind of port is laid out, from the top: index, tag, data. */
struct layout {
    unsigned index_bits, tag_bits, data_bits;
    size_t payload, check; /* bytes that the data of all ports carry, the check last */
};
static const struct layout head_layout = {4, 3, 9, 11, 5};
static const struct layout segment_layout = {5, 0, 11, SK_PORT_BLOB_SEGMENT, 4};

#define PORTS_MAX SK_PORT_BLOB_SEGMENT_PORTS
#define MESSAGE_MAX (SK_PORT_BLOB_SEGMENT + 4)
/* Where ports contradict each other: kept for one index, and combinations tried. */
#define CANDIDATES_MAX 8
#define COMBINATIONS_MAX 16384

static size_t ports_count(const struct layout *layout)
{
    return ((size_t)1 << layout->index_bits) - 1;
}

/* The first n bytes of SHA-256 of key, purpose and message. */
static void keyed(const struct sk_port_blob_key *key, enum purpose purpose, struct sk_bytes message,
                  uint8_t *ret_bytes, size_t n)
{
    uint8_t input[SK_SHA256_SIZE + 1 + SK_PORT_BLOB_MAX], digest[SK_SHA256_SIZE];
    SK_ASSERT(message.n <= SK_PORT_BLOB_MAX);
    memcpy(input, key->bytes, SK_SHA256_SIZE);
    input[SK_SHA256_SIZE] = (uint8_t)purpose;
    if (message.n)
        memcpy(input + SK_SHA256_SIZE + 1, message.p, message.n);
    sk_sha256(input, SK_SHA256_SIZE + 1 + message.n, digest);
    memcpy(ret_bytes, digest, n);
}

void sk_port_blob_key(struct sk_bytes text, struct sk_port_blob_key *ret_key)
{
    uint8_t message[sizeof DOMAIN + SK_SHA256_SIZE] = DOMAIN; /* its NUL counts */
    sk_sha256(text.p, text.n, message + sizeof DOMAIN);
    sk_sha256(message, sizeof message, ret_key->bytes);
}

void sk_port_blob_head_hash(const struct sk_port_blob_key *key, uint8_t ret_hash[SK_DHT_ID_SIZE])
{
    keyed(key, FOR_HEAD_HASH, sk_bytes(NULL, 0), ret_hash, SK_DHT_ID_SIZE);
}

#define HEAD_BYTES (3 + 2 + SK_PORT_BLOB_CHECK_SIZE)

static void put_head(const struct sk_port_blob_head *head, uint8_t ret_bytes[HEAD_BYTES])
{
    ret_bytes[0] = (uint8_t)(head->version >> 16);
    sk_put_u16(ret_bytes + 1, (uint16_t)head->version);
    sk_put_u16(ret_bytes + 3, (uint16_t)head->length);
    memcpy(ret_bytes + 5, head->check, SK_PORT_BLOB_CHECK_SIZE);
}

/* What everything about a segment is bound to: head and number, then its bytes if any. */
static size_t put_segment(const struct sk_port_blob_head *head, uint32_t segment,
                          struct sk_bytes bytes, uint8_t ret_message[HEAD_BYTES + 1 + MESSAGE_MAX])
{
    put_head(head, ret_message);
    ret_message[HEAD_BYTES] = (uint8_t)segment;
    if (bytes.n)
        memcpy(ret_message + HEAD_BYTES + 1, bytes.p, bytes.n);
    return HEAD_BYTES + 1 + bytes.n;
}

void sk_port_blob_segment_hash(const struct sk_port_blob_key *key,
                               const struct sk_port_blob_head *head, uint32_t segment,
                               uint8_t ret_hash[SK_DHT_ID_SIZE])
{
    uint8_t message[HEAD_BYTES + 1 + MESSAGE_MAX];
    size_t n = put_segment(head, segment, sk_bytes(NULL, 0), message);
    keyed(key, FOR_SEGMENT_HASH, sk_bytes(message, n), ret_hash, SK_DHT_ID_SIZE);
}

struct sk_port_blob_head sk_port_blob_head(const struct sk_port_blob_key *key, uint32_t version,
                                           struct sk_bytes bytes)
{
    struct sk_port_blob_head head = {.version = version, .length = (uint32_t)bytes.n};
    keyed(key, FOR_WHOLE, bytes, head.check, sizeof head.check);
    return head;
}

bool sk_port_blob_whole(const struct sk_port_blob_key *key, const struct sk_port_blob_head *head,
                        struct sk_bytes bytes)
{
    struct sk_port_blob_head made = sk_port_blob_head(key, head->version, bytes);
    return made.length == head->length && memcmp(made.check, head->check, sizeof made.check) == 0;
}

/* ---- writing ---- */

/* `count` bits of the message from bit `first` on, the highest first; 0 beyond its end. */
static uint16_t get_bits(const uint8_t *message, size_t n, size_t first, unsigned count)
{
    uint16_t bits = 0;
    for (size_t i = first; i < first + count; i++) {
        bool bit = i / 8 < n && message[i / 8] & 0x80 >> i % 8;
        bits = (uint16_t)(bits << 1 | bit);
    }
    return bits;
}

static void put_bits(uint8_t *message, size_t n, size_t first, unsigned count, uint16_t bits)
{
    for (size_t i = first; i < first + count && i / 8 < n; i++)
        if (bits >> (first + count - 1 - i) & 1)
            message[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

static void write_ports(const struct layout *layout, unsigned tag, const uint8_t *message,
                        uint16_t *ret_ports)
{
    for (size_t i = 0; i < ports_count(layout); i++) {
        uint16_t data = get_bits(message, layout->payload + layout->check, i * layout->data_bits,
                                 layout->data_bits);
        size_t above = (i + 1) << layout->tag_bits | tag;
        ret_ports[i] = (uint16_t)(above << layout->data_bits | data);
    }
}

void sk_port_blob_write_head(const struct sk_port_blob_key *key,
                             const struct sk_port_blob_head *head,
                             uint16_t ret_ports[SK_PORT_BLOB_HEAD_PORTS])
{
    uint8_t message[MESSAGE_MAX] = {0};
    SK_ASSERT(head->version <= SK_PORT_BLOB_VERSION_MAX && head->length <= SK_PORT_BLOB_MAX);
    put_head(head, message);
    keyed(key, FOR_HEAD, sk_bytes(message, HEAD_BYTES), message + HEAD_BYTES, head_layout.check);
    write_ports(&head_layout, head->version % LANES, message, ret_ports);
}

static void segment_check(const struct sk_port_blob_key *key, const struct sk_port_blob_head *head,
                          uint32_t segment, const uint8_t *payload, uint8_t *ret_check)
{
    uint8_t message[HEAD_BYTES + 1 + MESSAGE_MAX];
    size_t n = put_segment(head, segment, sk_bytes(payload, SK_PORT_BLOB_SEGMENT), message);
    keyed(key, FOR_SEGMENT, sk_bytes(message, n), ret_check, segment_layout.check);
}

static size_t segment_size(uint32_t length, uint32_t segment)
{
    size_t rest = length - (size_t)segment * SK_PORT_BLOB_SEGMENT;
    return rest < SK_PORT_BLOB_SEGMENT ? rest : SK_PORT_BLOB_SEGMENT;
}

void sk_port_blob_write_segment(const struct sk_port_blob_key *key,
                                const struct sk_port_blob_head *head, uint32_t segment,
                                struct sk_bytes bytes,
                                uint16_t ret_ports[SK_PORT_BLOB_SEGMENT_PORTS])
{
    uint8_t message[MESSAGE_MAX] = {0};
    SK_ASSERT(bytes.n == head->length && segment < sk_port_blob_segments(head->length));
    memcpy(message, bytes.p + (size_t)segment * SK_PORT_BLOB_SEGMENT,
           segment_size(head->length, segment));
    segment_check(key, head, segment, message, message + SK_PORT_BLOB_SEGMENT);
    write_ports(&segment_layout, 0, message, ret_ports);
}

/* ---- reading ---- */

/* What was seen for each index, told by most first, and which of them is being tried. */
struct puzzle {
    const struct layout *layout;
    struct {
        uint16_t data[CANDIDATES_MAX], votes[CANDIDATES_MAX];
        size_t count, tried;
    } at[PORTS_MAX];
    size_t tries;
    /* Looks at a message; true: enough. */
    bool (*look)(const uint8_t *message, void *ctx);
    void *ctx;
};

static void add_candidate(struct puzzle *puzzle, size_t index, uint16_t data, uint16_t votes)
{
    size_t place = puzzle->at[index].count;
    for (size_t i = 0; i < puzzle->at[index].count; i++)
        if (puzzle->at[index].data[i] == data)
            return;
    while (place > 0 && puzzle->at[index].votes[place - 1] < votes)
        place--;
    if (place == CANDIDATES_MAX)
        return;
    if (puzzle->at[index].count < CANDIDATES_MAX)
        puzzle->at[index].count++;
    size_t behind = puzzle->at[index].count - place - 1;
    uint16_t *at_data = puzzle->at[index].data + place, *at_votes = puzzle->at[index].votes + place;
    memmove(at_data + 1, at_data, behind * sizeof *at_data);
    memmove(at_votes + 1, at_votes, behind * sizeof *at_votes);
    *at_data = data;
    *at_votes = votes;
}

/* Sorts what was seen by index; false where an index is missing. */
static bool set_up(struct puzzle *puzzle, const struct layout *layout, unsigned tag,
                   const struct sk_port_blob_seen *seen, size_t count)
{
    memset(puzzle->at, 0, sizeof puzzle->at);
    puzzle->layout = layout;
    puzzle->tries = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned above = (unsigned)seen[i].port >> layout->data_bits;
        unsigned index = above >> layout->tag_bits;
        if (index == 0 || (above & ((1u << layout->tag_bits) - 1)) != tag)
            continue;
        uint16_t data = seen[i].port & (uint16_t)((1u << layout->data_bits) - 1);
        add_candidate(puzzle, index - 1, data, seen[i].votes);
    }
    for (size_t i = 0; i < ports_count(layout); i++)
        if (puzzle->at[i].count == 0)
            return false;
    return true;
}

/* The message as of the candidates that are being tried. */
static void assemble(const struct puzzle *puzzle, uint8_t ret_message[MESSAGE_MAX])
{
    const struct layout *layout = puzzle->layout;
    memset(ret_message, 0, MESSAGE_MAX);
    for (size_t i = 0; i < ports_count(layout); i++)
        put_bits(ret_message, layout->payload + layout->check, i * layout->data_bits,
                 layout->data_bits, puzzle->at[i].data[puzzle->at[i].tried]);
}

/* Tries all combinations in which so many of the ports from `from` on are not those that most told
 * of. True: enough was found, or too much was tried. */
static bool try_without(struct puzzle *puzzle, size_t from, size_t without)
{
    if (without == 0) {
        uint8_t message[MESSAGE_MAX];
        assemble(puzzle, message);
        return puzzle->look(message, puzzle->ctx) || ++puzzle->tries == COMBINATIONS_MAX;
    }
    for (size_t i = from; i + without <= ports_count(puzzle->layout); i++) {
        for (size_t tried = 1; tried < puzzle->at[i].count; tried++) {
            puzzle->at[i].tried = tried;
            if (try_without(puzzle, i + 1, without - 1))
                return true;
        }
        puzzle->at[i].tried = 0;
    }
    return false;
}

/* What is nearest to what most told of first. */
static void solve(struct puzzle *puzzle)
{
    size_t open = 0;
    for (size_t i = 0; i < ports_count(puzzle->layout); i++)
        open += puzzle->at[i].count > 1;
    for (size_t without = 0; without <= open; without++)
        if (try_without(puzzle, 0, without))
            return;
}

struct head_reading {
    const struct sk_port_blob_key *key;
    unsigned lane;
    struct sk_port_blob_head *heads;
    size_t found, max;
};

static bool look_at_head(const uint8_t *message, void *ctx)
{
    struct head_reading *reading = ctx;
    uint8_t check[8];
    keyed(reading->key, FOR_HEAD, sk_bytes(message, HEAD_BYTES), check, head_layout.check);
    struct sk_port_blob_head head = {
        .version = (uint32_t)message[0] << 16 | sk_get_u16(message + 1),
        .length = sk_get_u16(message + 3),
    };
    if (memcmp(check, message + HEAD_BYTES, head_layout.check) != 0 ||
        head.length > SK_PORT_BLOB_MAX || head.version % LANES != reading->lane)
        return false;
    memcpy(head.check, message + 5, sizeof head.check);
    reading->heads[reading->found++] = head;
    return reading->found == reading->max;
}

size_t sk_port_blob_read_heads(const struct sk_port_blob_key *key,
                               const struct sk_port_blob_seen *seen, size_t count,
                               struct sk_port_blob_head *ret_heads, size_t max)
{
    struct head_reading reading = {.key = key, .heads = ret_heads, .max = max};
    struct puzzle puzzle = {.look = look_at_head, .ctx = &reading};
    for (unsigned lane = 0; lane < LANES && reading.found < max; lane++) {
        reading.lane = lane;
        if (set_up(&puzzle, &head_layout, lane, seen, count))
            solve(&puzzle);
    }
    return reading.found;
}

struct segment_reading {
    const struct sk_port_blob_key *key;
    const struct sk_port_blob_head *head;
    uint32_t segment;
    uint8_t *bytes;
    bool found;
};

static bool look_at_segment(const uint8_t *message, void *ctx)
{
    struct segment_reading *reading = ctx;
    uint8_t check[8];
    segment_check(reading->key, reading->head, reading->segment, message, check);
    if (memcmp(check, message + SK_PORT_BLOB_SEGMENT, segment_layout.check) != 0)
        return false;
    memcpy(reading->bytes + (size_t)reading->segment * SK_PORT_BLOB_SEGMENT, message,
           segment_size(reading->head->length, reading->segment));
    reading->found = true;
    return true;
}

bool sk_port_blob_read_segment(const struct sk_port_blob_key *key,
                               const struct sk_port_blob_head *head, uint32_t segment,
                               const struct sk_port_blob_seen *seen, size_t count, uint8_t *bytes)
{
    struct segment_reading reading = {key, head, segment, bytes, false};
    struct puzzle puzzle = {.look = look_at_segment, .ctx = &reading};
    if (segment < sk_port_blob_segments(head->length) &&
        set_up(&puzzle, &segment_layout, 0, seen, count))
        solve(&puzzle);
    return reading.found;
}
