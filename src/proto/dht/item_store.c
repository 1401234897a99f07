#include "proto/dht/item_store.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/dht/owner.h"

#define ITEM_NS (2 * 3600 * 1000000000ull) /* from a put to its end */

/* Whoever put an item first is its owner; to refresh or replace it does not make it one's own. */
struct owner {
    uint8_t key[SK_DHT_OWNER_KEY_SIZE + 2];
    struct sk_link items;
    uint32_t count;
    struct sk_timer by_count; /* at_ns is a rank, see owner.h */
};

struct item {
    uint8_t target[SK_DHT_ID_SIZE];
    struct owner *owner;
    struct sk_link by_age, of_owner;
    uint64_t end_ns;
    uint32_t slot;
    bool is_mutable;
    uint8_t key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE];
    int64_t seq;
    uint16_t salt_size, value_size;
    uint8_t bytes[]; /* salt, value */
};

/* All items, in no order: to find the farthest without touching each. */
struct place {
    uint64_t start; /* of the target, as a number */
    struct item *item;
};

struct sk_dht_item_store {
    struct sk_map items, owners;
    struct sk_heap by_count; /* owners */
    struct sk_link by_age;   /* items, who was put longest ago first */
    struct place *places;    /* as many as items.count */
    size_t capacity;
    size_t bytes; /* of items */
};

int sk_dht_item_store_new(uint64_t seed, struct sk_dht_item_store **ret_store)
{
    struct sk_dht_item_store *store = sk_mem_calloc(1, sizeof *store);
    if (!store)
        return SKEP_ERR_NOMEM;
    /* One more than is kept: room is made when the new is in. */
    sk_map_init(&store->items, SK_DHT_ID_SIZE, SK_DHT_STORE_ITEMS_MAX + 1, seed);
    sk_map_init(&store->owners, sizeof((struct owner *)0)->key, SK_DHT_STORE_ITEMS_MAX + 1,
                sk_hash_mix(seed));
    sk_list_init(&store->by_age);
    *ret_store = store;
    return 0;
}

static size_t item_size(const struct item *item)
{
    return sizeof *item + item->salt_size + item->value_size;
}

static struct sk_bytes value_of(const struct item *item)
{
    return sk_bytes(item->bytes + item->salt_size, item->value_size);
}

static void rank(struct sk_dht_item_store *store, struct owner *owner)
{
    const struct sk_link *link = sk_list_first(&owner->items);
    const struct item *oldest = link ? SK_CONTAINER_OF(link, struct item, of_owner) : NULL;
    /* It is in the heap as long as it lives: that needs no memory. */
    sk_heap_set(&store->by_count, &owner->by_count,
                sk_dht_owner_rank(owner->count, oldest ? oldest->end_ns : 0));
}

/*
 * Removing.
 */

static void drop_empty_owner(struct sk_dht_item_store *store, struct owner *owner)
{
    if (owner->count)
        return;
    sk_heap_remove(&store->by_count, &owner->by_count);
    sk_map_remove(&store->owners, owner->key);
    sk_mem_free(owner);
}

static void remove_item(struct sk_dht_item_store *store, struct item *item)
{
    struct owner *owner = item->owner;
    sk_map_remove(&store->items, item->target);
    struct place *last = &store->places[store->items.count];
    last->item->slot = item->slot;
    store->places[item->slot] = *last;
    sk_list_remove(&item->by_age);
    sk_list_remove(&item->of_owner);
    store->bytes -= item_size(item);
    sk_mem_free(item);
    owner->count--;
    rank(store, owner);
    drop_empty_owner(store, owner);
}

static struct item *oldest_item(const struct sk_dht_item_store *store)
{
    struct sk_link *link = sk_list_first(&store->by_age);
    return link ? SK_CONTAINER_OF(link, struct item, by_age) : NULL;
}

void sk_dht_item_store_free(struct sk_dht_item_store *store)
{
    struct item *item;
    if (!store)
        return;
    while ((item = oldest_item(store)))
        remove_item(store, item);
    sk_map_deinit(&store->items);
    sk_map_deinit(&store->owners);
    sk_heap_deinit(&store->by_count);
    sk_mem_free(store->places);
    sk_mem_free(store);
}

uint64_t sk_dht_item_store_expire(struct sk_dht_item_store *store, uint64_t now_ns)
{
    struct item *item;
    while ((item = oldest_item(store)) && item->end_ns <= now_ns)
        remove_item(store, item);
    return item ? item->end_ns : SK_TIME_NEVER;
}

/*
 * Making room.
 */

static uint64_t start_of(const uint8_t id[SK_DHT_ID_SIZE])
{
    return sk_get_u64(id);
}

/* The item farthest from us: by the first 64 bits, which is near enough. */
static struct item *farthest(const struct sk_dht_item_store *store, uint64_t own)
{
    const struct place *found = store->places;
    for (size_t i = 1; i < store->items.count; i++)
        if ((store->places[i].start ^ own) > (found->start ^ own))
            found = &store->places[i];
    return found->item;
}

static struct item *farthest_of(const struct owner *owner, uint64_t own)
{
    struct item *found = NULL;
    for (struct sk_link *link = sk_list_first(&owner->items); link;
         link = sk_list_next(&owner->items, link)) {
        struct item *item = SK_CONTAINER_OF(link, struct item, of_owner);
        if (!found || (start_of(item->target) ^ own) > (start_of(found->target) ^ own))
            found = item;
    }
    return found;
}

/* Whether a new item of an owner (NULL: unknown as yet) may come in; ret_victim: what has to make
 * room for it, or NULL. */
static bool may_come_in(const struct sk_dht_item_store *store, const struct owner *owner,
                        const uint8_t target[SK_DHT_ID_SIZE], uint64_t own,
                        struct item **ret_victim)
{
    *ret_victim = NULL;
    if (owner && owner->count >= SK_DHT_STORE_ADDRESS_ITEMS_MAX) {
        *ret_victim = farthest_of(owner, own);
    } else if (store->items.count >= SK_DHT_STORE_ITEMS_MAX) {
        struct sk_timer *first = sk_heap_first(&store->by_count);
        const struct owner *most = SK_CONTAINER_OF(first, struct owner, by_count);
        if (most->count > (owner ? owner->count : 0) + 1) {
            *ret_victim = farthest_of(most, own);
            return true;
        }
        *ret_victim = farthest(store, own);
    }
    return !*ret_victim || (start_of(target) ^ own) < (start_of((*ret_victim)->target) ^ own);
}

/*
 * Putting.
 */

static struct owner *get_owner(struct sk_dht_item_store *store, const uint8_t *key)
{
    struct owner *owner = sk_map_get(&store->owners, key);
    if (owner)
        return owner;
    owner = sk_mem_calloc(1, sizeof *owner);
    if (!owner)
        return NULL;
    memcpy(owner->key, key, sizeof owner->key);
    sk_list_init(&owner->items);
    if (sk_map_put(&store->owners, key, owner) == 0 &&
        sk_heap_set(&store->by_count, &owner->by_count, sk_dht_owner_rank(0, 0)) == 0)
        return owner;
    drop_empty_owner(store, owner);
    return NULL;
}

static int reserve_place(struct sk_dht_item_store *store)
{
    if (store->items.count < store->capacity)
        return 0;
    size_t capacity = store->capacity ? store->capacity * 2 : 16;
    struct place *places = sk_mem_realloc(store->places, capacity, sizeof *places);
    if (!places)
        return SKEP_ERR_NOMEM;
    store->places = places;
    store->capacity = capacity;
    return 0;
}

static struct item *copy_item(const struct sk_dht_item *from, const uint8_t target[SK_DHT_ID_SIZE])
{
    struct sk_bytes salt = from->key ? from->salt : sk_bytes(NULL, 0);
    struct item *item = sk_mem_alloc(sizeof *item + salt.n + from->value.n);
    if (!item)
        return NULL;
    *item = (struct item){.is_mutable = from->key,
                          .seq = from->key ? from->seq : 0,
                          .salt_size = (uint16_t)salt.n,
                          .value_size = (uint16_t)from->value.n};
    memcpy(item->target, target, SK_DHT_ID_SIZE);
    if (from->key) {
        memcpy(item->key, from->key, sizeof item->key);
        memcpy(item->signature, from->signature, sizeof item->signature);
    }
    if (salt.n)
        memcpy(item->bytes, salt.p, salt.n);
    memcpy(item->bytes + salt.n, from->value.p, from->value.n);
    return item;
}

/* A place, an owner and lists for it. */
static void link_item(struct sk_dht_item_store *store, struct item *item, struct owner *owner,
                      uint32_t slot)
{
    item->owner = owner;
    item->slot = slot;
    store->places[slot] = (struct place){.start = start_of(item->target), .item = item};
    sk_list_append(&store->by_age, &item->by_age);
    sk_list_append(&owner->items, &item->of_owner);
    store->bytes += item_size(item);
}

static void touch(struct sk_dht_item_store *store, struct item *item, uint64_t now_ns)
{
    item->end_ns = now_ns + ITEM_NS;
    sk_list_move_last(&store->by_age, &item->by_age);
    sk_list_move_last(&item->owner->items, &item->of_owner);
    rank(store, item->owner);
}

static struct item *replace(struct sk_dht_item_store *store, struct item *stored,
                            const struct sk_dht_item *with)
{
    struct item *item = copy_item(with, stored->target);
    if (!item)
        return NULL;
    sk_map_put(&store->items, item->target, item); /* the key is there: it cannot fail */
    sk_list_remove(&stored->by_age);
    sk_list_remove(&stored->of_owner);
    store->bytes -= item_size(stored);
    link_item(store, item, stored->owner, stored->slot);
    sk_mem_free(stored);
    return item;
}

static struct item *insert(struct sk_dht_item_store *store, const struct sk_dht_item *new_item,
                           const uint8_t target[SK_DHT_ID_SIZE], const uint8_t *owner_key)
{
    struct owner *owner = get_owner(store, owner_key);
    struct item *item = owner ? copy_item(new_item, target) : NULL;
    uint32_t slot = (uint32_t)store->items.count;
    if (!item || reserve_place(store) || sk_map_put(&store->items, target, item)) {
        sk_mem_free(item);
        if (owner)
            drop_empty_owner(store, owner);
        return NULL;
    }
    owner->count++;
    link_item(store, item, owner, slot);
    return item;
}

static enum sk_krpc_code check_form(const struct sk_dht_item *item)
{
    if (item->value.n == 0)
        return SK_KRPC_PROTOCOL;
    if (item->value.n > SK_KRPC_ITEM_MAX)
        return SK_KRPC_TOO_BIG;
    if (!item->key)
        return 0;
    if (item->salt.n > SK_KRPC_SALT_MAX)
        return SK_KRPC_SALT;
    return item->seq < 0 || !item->signature ? SK_KRPC_PROTOCOL : 0;
}

/* Whether the new item is what the target stands for in the stored one, too. Who looks for it can
 * make an immutable value that begins like a public key, or two keys with salts of one SHA-1. */
static bool is_same_thing(const struct item *stored, const struct sk_dht_item *item)
{
    if (!item->key)
        return !stored->is_mutable && sk_bytes_equal(value_of(stored), item->value);
    return stored->is_mutable && memcmp(stored->key, item->key, sizeof stored->key) == 0 &&
           sk_bytes_equal(sk_bytes(stored->bytes, stored->salt_size), item->salt);
}

/* These need no signature: what they answer can be had by a get. */
static enum sk_krpc_code check_stored(const struct item *stored, const struct sk_dht_item *item,
                                      bool has_cas, int64_t cas)
{
    if (!is_same_thing(stored, item))
        return SK_KRPC_PROTOCOL;
    if (!item->key)
        return 0;
    if (has_cas && cas != stored->seq)
        return SK_KRPC_CAS;
    if (item->seq < stored->seq ||
        (item->seq == stored->seq && !sk_bytes_equal(value_of(stored), item->value)))
        return SK_KRPC_SEQ;
    return 0;
}

/* A signature that was right before, of the same thing, is not looked at again: most puts are of
 * those who keep an item alive. */
static bool is_true(const struct item *stored, const struct sk_dht_item *item,
                    const uint8_t target[SK_DHT_ID_SIZE])
{
    return !item->key ||
           (stored && stored->seq == item->seq &&
            memcmp(stored->signature, item->signature, sizeof stored->signature) == 0) ||
           sk_dht_item_verify(item, target);
}

/* Where many nodes share a loopback address, the port tells them apart. */
static void owner_key(const struct sk_endpoint *from, uint8_t *ret_key)
{
    bool loopback = sk_endpoint_scope(from) == SK_SCOPE_LOOPBACK;
    sk_dht_owner_key(from, ret_key);
    sk_put_u16(ret_key + SK_DHT_OWNER_KEY_SIZE, loopback ? from->port : 0);
}

enum sk_krpc_code sk_dht_item_store_put(struct sk_dht_item_store *store,
                                        const struct sk_dht_item *item, bool has_cas, int64_t cas,
                                        const struct sk_endpoint *from,
                                        const uint8_t own_id[SK_DHT_ID_SIZE], uint64_t now_ns)
{
    uint8_t target[SK_DHT_ID_SIZE], key[sizeof((struct owner *)0)->key];
    struct item *victim = NULL, *kept;
    enum sk_krpc_code code = check_form(item);
    if (code)
        return code;
    sk_dht_item_store_expire(store, now_ns);
    sk_dht_item_target(item, target);
    struct item *stored = sk_map_get(&store->items, target);
    code = stored ? check_stored(stored, item, has_cas, cas) : 0;
    if (code)
        return code;
    owner_key(from, key);
    if (!stored &&
        !may_come_in(store, sk_map_get(&store->owners, key), target, start_of(own_id), &victim))
        return SK_KRPC_SERVER;
    if (!is_true(stored, item, target))
        return SK_KRPC_SIGNATURE;
    if (!stored)
        kept = insert(store, item, target, key);
    else
        kept = item->key && item->seq > stored->seq ? replace(store, stored, item) : stored;
    if (!kept)
        return SK_KRPC_SERVER;
    touch(store, kept, now_ns);
    if (victim)
        remove_item(store, victim);
    return 0;
}

/*
 * Answering.
 */

bool sk_dht_item_store_get(const struct sk_dht_item_store *store,
                           const uint8_t target[SK_DHT_ID_SIZE], struct sk_dht_item *ret_item)
{
    const struct item *item = sk_map_get(&store->items, target);
    if (!item)
        return false;
    *ret_item = (struct sk_dht_item){.value = value_of(item)};
    if (item->is_mutable) {
        ret_item->key = item->key;
        ret_item->signature = item->signature;
        ret_item->salt = sk_bytes(item->bytes, item->salt_size);
        ret_item->seq = item->seq;
    }
    return true;
}

void sk_dht_item_store_count(const struct sk_dht_item_store *store, uint32_t *ret_items,
                             size_t *ret_bytes)
{
    *ret_items = (uint32_t)store->items.count;
    *ret_bytes = sizeof *store + store->bytes + store->owners.count * sizeof(struct owner) +
                 (store->items.capacity + store->owners.capacity) * (sizeof(void *) + 24) +
                 store->by_count.capacity * sizeof(void *) + store->capacity * sizeof(struct place);
}
