#include "swarm/peer_book.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

int sk_peer_book_init(struct sk_peer_book *book, uint64_t seed)
{
    *book = (struct sk_peer_book){0};
    sk_map_init(&book->by_endpoint, sizeof(struct sk_endpoint), SK_BOOK_ADDRESSES_MAX, seed);
    sk_map_init(&book->ports_by_ip, sizeof(struct sk_endpoint), SK_BOOK_ADDRESSES_MAX, seed + 1);
    sk_map_init(&book->banned, sizeof(struct sk_endpoint), SK_BOOK_ADDRESSES_MAX, seed + 2);
    return 0;
}

void sk_peer_book_deinit(struct sk_peer_book *book)
{
    sk_heap_deinit(&book->queue); /* first: their timers are in the entries */
    sk_heap_deinit(&book->renewals);
    for (size_t i = 0; i < book->count; i++)
        sk_mem_free(book->entries[i]);
    sk_mem_free(book->entries);
    sk_map_deinit(&book->by_endpoint);
    sk_map_deinit(&book->ports_by_ip);
    sk_map_deinit(&book->banned);
    *book = (struct sk_peer_book){0};
}

struct sk_book_entry *sk_peer_book_find(const struct sk_peer_book *book,
                                        const struct sk_endpoint *endpoint)
{
    return sk_map_get(&book->by_endpoint, endpoint);
}

/* Counts one more port of this IP; how many there are now. */
static int count_port(struct sk_peer_book *book, const struct sk_endpoint *endpoint,
                      uintptr_t *ret_ports)
{
    struct sk_endpoint ip = *endpoint;
    ip.port = 0;
    uintptr_t ports = (uintptr_t)sk_map_get(&book->ports_by_ip, &ip) + 1;
    int err = sk_map_put(&book->ports_by_ip, &ip, (void *)ports);
    if (!err)
        *ret_ports = ports;
    return err;
}

/* Why an address is not dialled, whatever else is known; NULL where it may be. */
static const char *why_skip(const struct sk_book_entry *entry, enum sk_source source,
                            enum sk_scope teller)
{
    if (source == SK_SOURCE_GIVEN)
        return entry->endpoint.port == 0 ? "port 0" : NULL;
    if (!sk_endpoint_reachable_from(&entry->endpoint, teller))
        return "address out of its source's scope";
    return entry->endpoint.port < SK_BOOK_PORT_MIN ? "port below 1024" : NULL;
}

static struct sk_heap *queue_of(struct sk_peer_book *book, const struct sk_book_entry *entry)
{
    return entry->renewed ? &book->renewals : &book->queue;
}

static int enqueue(struct sk_peer_book *book, struct sk_book_entry *entry, uint64_t at_ns)
{
    bool was_in = entry->retry.slot != 0;
    int err = sk_heap_set(queue_of(book, entry), &entry->retry, at_ns);
    if (!err && !was_in)
        book->waiting++;
    return err;
}

static void dequeue(struct sk_peer_book *book, struct sk_book_entry *entry)
{
    if (entry->retry.slot)
        book->waiting--;
    sk_heap_remove(queue_of(book, entry), &entry->retry);
}

static int make_room(struct sk_peer_book *book)
{
    if (book->count < book->capacity)
        return 0;
    size_t capacity = book->capacity ? book->capacity * 2 : 64;
    struct sk_book_entry **entries = sk_mem_realloc(book->entries, capacity, sizeof *entries);
    if (!entries)
        return SKEP_ERR_NOMEM;
    book->entries = entries;
    book->capacity = capacity;
    return 0;
}

static int add(struct sk_peer_book *book, const struct sk_endpoint *endpoint,
               struct sk_book_entry **ret_entry)
{
    int err = make_room(book);
    if (err)
        return err;
    struct sk_book_entry *entry = sk_mem_calloc(1, sizeof *entry);
    if (!entry)
        return SKEP_ERR_NOMEM;
    entry->endpoint = *endpoint;
    err = sk_map_put(&book->by_endpoint, endpoint, entry);
    if (err) {
        sk_mem_free(entry);
        return err;
    }
    book->entries[book->count++] = entry;
    *ret_entry = entry;
    return 0;
}

/* Decides over an address that is not in the queue and was never dialled. */
static int admit(struct sk_peer_book *book, struct sk_book_entry *entry, enum sk_source source,
                 enum sk_scope teller, uint64_t now_ns)
{
    if (source == SK_SOURCE_INCOMING) {
        entry->state = SK_DIAL_DONE;
        return 0;
    }
    entry->reason = why_skip(entry, source, teller);
    if (!entry->reason && source != SK_SOURCE_GIVEN &&
        sk_endpoint_scope(&entry->endpoint) != SK_SCOPE_LOOPBACK) {
        uintptr_t ports = 0;
        int err = count_port(book, &entry->endpoint, &ports);
        if (err)
            return err;
        entry->reason = ports > SK_BOOK_PORTS_PER_IP_MAX ? "too many ports of one address" : NULL;
    }
    if (entry->reason) {
        entry->state = SK_DIAL_SKIPPED;
        return 0;
    }
    entry->state = SK_DIAL_NEW;
    return enqueue(book, entry, now_ns);
}

/* One more round, the last again. */
static int revive(struct sk_peer_book *book, struct sk_book_entry *entry, uint64_t now_ns)
{
    entry->gave_up_ns = 0;
    entry->rounds--;
    return sk_peer_book_retry(book, entry, now_ns);
}

int sk_peer_book_hear(struct sk_peer_book *book, const struct sk_endpoint *endpoint,
                      enum sk_source source, enum sk_scope teller, uint64_t now_ns,
                      struct sk_book_entry **ret_entry, bool *ret_new)
{
    struct sk_book_entry *entry = sk_peer_book_find(book, endpoint);
    bool is_new = !entry;
    if (is_new) {
        int err = add(book, endpoint, &entry);
        if (err)
            return err;
    }
    unsigned index = (unsigned)__builtin_ctz(source);
    if (!entry->told[index])
        entry->heard_ns[index] = now_ns;
    entry->last_ns[index] = now_ns;
    entry->told[index]++;
    bool first_of_source = !(entry->sources & source);
    entry->sources |= source;
    /* A better source may lift a skip, or say that one who came in listens there. */
    bool came_in = !is_new && entry->state == SK_DIAL_DONE && entry->dials == 0 && !entry->owner;
    bool again = first_of_source && (entry->state == SK_DIAL_SKIPPED || came_in);
    bool revived = entry->gave_up_ns && now_ns >= entry->gave_up_ns + SK_BOOK_REVIVE_NS &&
                   entry->state == SK_DIAL_DONE && source != SK_SOURCE_INCOMING;
    if (is_new || again || revived) {
        int err =
            revived ? revive(book, entry, now_ns) : admit(book, entry, source, teller, now_ns);
        if (err) {
            entry->state = SK_DIAL_DONE;
            entry->reason = "out of memory";
        }
    }
    *ret_entry = entry;
    *ret_new = is_new;
    return 0;
}

/*
 * Many hosts share the loopback's addresses in a lab, nobody elsewhere. Whoever has one IPv6
 * address mostly has the whole /64; on one's own network it is the neighbours'.
 */
struct sk_endpoint sk_peer_book_host(const struct sk_endpoint *endpoint)
{
    struct sk_endpoint key = *endpoint;
    enum sk_scope scope = sk_endpoint_scope(endpoint);
    if (scope != SK_SCOPE_LOOPBACK)
        key.port = 0;
    if (scope == SK_SCOPE_PUBLIC && endpoint->family == SK_FAMILY_V6)
        memset(key.addr + 8, 0, 8);
    return key;
}

int sk_peer_book_ban(struct sk_peer_book *book, const struct sk_endpoint *endpoint)
{
    struct sk_endpoint key = sk_peer_book_host(endpoint);
    return sk_map_put(&book->banned, &key, book);
}

bool sk_peer_book_is_banned(const struct sk_peer_book *book, const struct sk_endpoint *endpoint)
{
    struct sk_endpoint key = sk_peer_book_host(endpoint);
    return book->banned.count && sk_map_get(&book->banned, &key) != NULL;
}

static uint64_t first_ns(const struct sk_heap *queue)
{
    const struct sk_timer *timer = sk_heap_first(queue);
    return timer ? timer->at_ns : SK_TIME_NEVER;
}

static struct sk_book_entry *due(const struct sk_peer_book *book, uint64_t now_ns)
{
    const struct sk_heap *queue =
        first_ns(&book->renewals) <= now_ns ? &book->renewals : &book->queue;
    if (first_ns(queue) > now_ns)
        return NULL;
    return SK_CONTAINER_OF(sk_heap_first(queue), struct sk_book_entry, retry);
}

const struct sk_book_entry *sk_peer_book_due(const struct sk_peer_book *book, uint64_t now_ns)
{
    return due(book, now_ns);
}

struct sk_book_entry *sk_peer_book_next(struct sk_peer_book *book, uint64_t now_ns)
{
    struct sk_book_entry *entry = due(book, now_ns);
    if (!entry)
        return NULL;
    dequeue(book, entry);
    entry->state = SK_DIAL_DIALING;
    entry->dials++;
    return entry;
}

uint64_t sk_peer_book_deadline(const struct sk_peer_book *book)
{
    return SK_MIN(first_ns(&book->queue), first_ns(&book->renewals));
}

uint64_t sk_peer_book_back_off(const struct sk_peer_book *book, struct sk_book_entry *entry,
                               enum sk_dial_end end, bool useful, uint64_t now_ns)
{
    static const struct {
        uint8_t rounds_max;
        uint64_t first_ns; /* doubled by each round */
    } policies[][SK_DIAL_END_COUNT] = {
        [SK_PERSIST_BRIEF] = {[SK_DIAL_END_UNREACHED] = {1, 0},
                              [SK_DIAL_END_HUNG_UP] = {2, 2 * SK_SECOND_NS},
                              [SK_DIAL_END_LOST] = {4, 2 * SK_SECOND_NS}},
        [SK_PERSIST_LONG] = {[SK_DIAL_END_UNREACHED] = {4, 5 * SK_SECOND_NS},
                             [SK_DIAL_END_HUNG_UP] = {6, 5 * SK_SECOND_NS},
                             [SK_DIAL_END_LOST] = {8, 5 * SK_SECOND_NS}},
    };
    bool lasting = book->persistence == SK_PERSIST_LONG;
    if (entry->renewed)
        end = SK_DIAL_END_LOST;
    entry->punch = SK_PUNCH_NONE;
    entry->modes_tried = 0;
    if (useful && lasting)
        entry->rounds = 0;
    uint64_t wait_ns = policies[book->persistence][end].first_ns << SK_MIN(entry->rounds, 8);
    bool given = lasting && entry->sources & SK_SOURCE_GIVEN;
    entry->rounds += entry->rounds < UINT8_MAX;
    /* However long it is called, its place is not kept for it for ever. It is in no queue now. */
    if (entry->rounds >= policies[SK_PERSIST_BRIEF][SK_DIAL_END_LOST].rounds_max)
        entry->renewed = false;
    if (!given && entry->rounds >= policies[book->persistence][end].rounds_max) {
        entry->gave_up_ns = lasting ? now_ns : 0;
        return SK_TIME_NEVER;
    }
    return SK_MIN(wait_ns, given ? SK_BOOK_GIVEN_NS : SK_BOOK_REVIVE_NS);
}

int sk_peer_book_renew(struct sk_peer_book *book, struct sk_book_entry *entry, uint64_t at_ns)
{
    entry->modes_tried = entry->rounds = 0;
    entry->renewed = true;
    return sk_peer_book_retry(book, entry, at_ns);
}

int sk_peer_book_retry(struct sk_peer_book *book, struct sk_book_entry *entry, uint64_t at_ns)
{
    entry->state = SK_DIAL_WAITING;
    entry->owner = NULL;
    int err = enqueue(book, entry, at_ns);
    if (err)
        sk_peer_book_settle(book, entry, SK_DIAL_DONE, "out of memory");
    return err;
}

void sk_peer_book_settle(struct sk_peer_book *book, struct sk_book_entry *entry,
                         enum sk_dial_state state, const char *reason)
{
    SK_ASSERT(state == SK_DIAL_OPEN || state == SK_DIAL_DONE);
    dequeue(book, entry);
    entry->state = state;
    entry->reason = reason;
    entry->renewed = false;
    if (state == SK_DIAL_DONE)
        entry->owner = NULL;
    else
        entry->gave_up_ns = 0; /* it was reached after all */
}
