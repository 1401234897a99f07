/*
 * proto/dht/item_store: what is put is kept for its time and given as it was; nobody rolls it back,
 * forges it, or floods others out.
 */
#include "proto/dht/item_store.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define HOUR (3600 * 1000000000ull)

static struct sk_dht_item_store *store;
static uint64_t now_ns;
static uint8_t own_id[SK_DHT_ID_SIZE];

static int set_up(void **state)
{
    now_ns = HOUR;
    memset(own_id, 0, sizeof own_id);
    return sk_dht_item_store_new(1, &store);
}

static int tear_down(void **state)
{
    sk_dht_item_store_free(store);
    store = NULL;
    return 0;
}

static struct sk_endpoint address(uint32_t i)
{
    uint8_t bytes[4];
    sk_put_u32(bytes, 0x08000000 + i);
    return sk_endpoint_v4(bytes, 6881);
}

static int put_from(struct sk_endpoint from, const struct sk_dht_item *item)
{
    return (int)sk_dht_item_store_put(store, item, false, 0, &from, own_id, now_ns);
}

static int put(const struct sk_dht_item *item)
{
    return put_from(address(1), item);
}

static int put_cas(const struct sk_dht_item *item, int64_t cas)
{
    struct sk_endpoint from = address(1);
    return (int)sk_dht_item_store_put(store, item, true, cas, &from, own_id, now_ns);
}

/* A signed item that holds all of its bytes. */
struct made {
    uint8_t seed[SK_SIGN_SEED_SIZE], key[SK_SIGN_PUBLIC_SIZE], signature[SK_SIGN_SIZE];
    struct sk_dht_item item;
};

static struct sk_dht_item *sign(struct made *made, uint32_t seed, const char *salt, int64_t seq,
                                const char *value)
{
    *made = (struct made){0};
    for (int i = 0; i < 4; i++)
        made->seed[i] = (uint8_t)(seed >> 8 * i);
    made->item = (struct sk_dht_item){.value = sk_bytes_text(value),
                                      .key = made->key,
                                      .signature = made->signature,
                                      .salt = sk_bytes_text(salt),
                                      .seq = seq};
    assert_int_equal(sk_sign_public(made->seed, made->key), 0);
    assert_int_equal(
        sk_dht_item_sign(made->seed, made->item.salt, seq, made->item.value, made->signature), 0);
    return &made->item;
}

static bool get(const struct sk_dht_item *item, struct sk_dht_item *ret_item)
{
    uint8_t target[SK_DHT_ID_SIZE];
    sk_dht_item_target(item, target);
    return sk_dht_item_store_get(store, target, ret_item);
}

static void expect_stored(const struct sk_dht_item *item)
{
    struct sk_dht_item got;
    assert_true(get(item, &got));
    assert_true(sk_bytes_equal(got.value, item->value));
    assert_int_equal(!got.key, !item->key);
    if (item->key) {
        assert_memory_equal(got.key, item->key, SK_SIGN_PUBLIC_SIZE);
        assert_memory_equal(got.signature, item->signature, SK_SIGN_SIZE);
        assert_true(sk_bytes_equal(got.salt, item->salt) && got.seq == item->seq);
    } else {
        assert_true(!got.signature && !got.salt.n && got.seq == 0);
    }
}

static uint32_t count(void)
{
    uint32_t items;
    size_t bytes;
    sk_dht_item_store_count(store, &items, &bytes);
    return items;
}

static void what_is_put_is_given(void **state)
{
    struct made plain, salted, other;
    struct sk_dht_item immutable = {.value = sk_bytes_text("12:Hello World!"),
                                    .salt = sk_bytes_text("ignored"),
                                    .seq = 9},
                       got;
    assert_false(get(&immutable, &got));
    assert_int_equal(put(&immutable), 0);
    assert_int_equal(put(sign(&plain, 1, "", 1, "1:a")), 0);
    assert_int_equal(put(sign(&salted, 1, "salt", 0, "d1:ai1ee")), 0);
    assert_int_equal(put(sign(&other, 2, "salt", INT64_MAX, "le")), 0);
    assert_int_equal(count(), 4);
    expect_stored(&immutable);
    expect_stored(&plain.item);
    expect_stored(&salted.item);
    expect_stored(&other.item);
}

static void items_end_after_two_hours(void **state)
{
    struct sk_dht_item a = {.value = sk_bytes_text("1:a")}, b = {.value = sk_bytes_text("1:b")};
    uint64_t start = now_ns;
    assert_true(sk_dht_item_store_expire(store, now_ns) == SK_TIME_NEVER);
    assert_int_equal(put(&a), 0);
    now_ns += HOUR;
    assert_int_equal(put(&b), 0);
    assert_int_equal(put_from(address(2), &a), 0); /* anyone may keep it alive */
    now_ns += HOUR / 2;
    assert_int_equal(put(&b), 0);
    assert_int_equal(count(), 2);
    assert_true(sk_dht_item_store_expire(store, start + 3 * HOUR - 1) == start + 3 * HOUR);
    assert_int_equal(count(), 2);
    assert_true(sk_dht_item_store_expire(store, start + 3 * HOUR) == start + 7 * HOUR / 2);
    assert_int_equal(count(), 1);
    expect_stored(&b);
    assert_true(sk_dht_item_store_expire(store, start + 7 * HOUR / 2) == SK_TIME_NEVER);
    assert_int_equal(count(), 0);
}

/* What is over does not stand in the way of a lower seq, be it still there. */
static void what_is_over_has_no_say(void **state)
{
    struct made high, low;
    assert_int_equal(put(sign(&high, 1, "", 9, "1:h")), 0);
    now_ns += 2 * HOUR;
    assert_int_equal(put(sign(&low, 1, "", 1, "1:l")), 0);
    expect_stored(&low.item);
    assert_int_equal(count(), 1);
}

/* Threats: seq rollback and cas. */

static void no_way_back_in_seq(void **state)
{
    struct made first, second, other, same;
    assert_int_equal(put(sign(&first, 1, "s", 5, "1:a")), 0);
    assert_int_equal(put(sign(&other, 1, "s", 4, "1:a")), SK_KRPC_SEQ);
    assert_int_equal(put(sign(&other, 1, "s", 5, "1:b")), SK_KRPC_SEQ);
    assert_int_equal(put(sign(&other, 1, "s", -1, "1:b")), SK_KRPC_PROTOCOL);
    assert_int_equal(put(sign(&other, 1, "s", INT64_MIN, "1:b")), SK_KRPC_PROTOCOL);
    expect_stored(&first.item);
    assert_int_equal(put(sign(&same, 1, "s", 5, "1:a")), 0);
    assert_int_equal(put(sign(&second, 1, "s", 6, "20:12345678901234567890")), 0);
    expect_stored(&second.item);
    assert_int_equal(put(&first.item), SK_KRPC_SEQ);
    expect_stored(&second.item);
    assert_int_equal(count(), 1);
}

static void compare_and_swap(void **state)
{
    struct made made;
    struct sk_dht_item immutable = {.value = sk_bytes_text("1:i")};
    assert_int_equal(put_cas(sign(&made, 1, "", 5, "1:a"), 77), 0); /* nothing to compare with */
    assert_int_equal(put_cas(sign(&made, 1, "", 6, "1:b"), 4), SK_KRPC_CAS);
    assert_int_equal(put_cas(sign(&made, 1, "", 6, "1:b"), 6), SK_KRPC_CAS);
    assert_int_equal(put_cas(sign(&made, 1, "", 4, "1:b"), 4), SK_KRPC_CAS);
    assert_int_equal(put_cas(sign(&made, 1, "", 4, "1:b"), 5), SK_KRPC_SEQ);
    assert_int_equal(put_cas(sign(&made, 1, "", 6, "1:b"), 5), 0);
    expect_stored(&made.item);
    assert_int_equal(put_cas(&made.item, 6), 0);
    assert_int_equal(put_cas(&immutable, 3), 0); /* cas is for mutable items */
    assert_int_equal(put_cas(&immutable, 3), 0);
}

/* Threats: values too large, bad signatures, salt tricks. */

static void too_large(void **state)
{
    char value[SK_KRPC_ITEM_MAX + 2], salt[SK_KRPC_SALT_MAX + 2];
    struct made made;
    struct sk_dht_item item = {.value = sk_bytes(value, SK_KRPC_ITEM_MAX)};
    snprintf(value, sizeof value, "996:%0996d0", 0);
    snprintf(salt, sizeof salt, "%0*d", SK_KRPC_SALT_MAX + 1, 0);
    assert_int_equal(put(&item), 0);
    expect_stored(&item);
    item.value.n++;
    assert_int_equal(put(&item), SK_KRPC_TOO_BIG);
    item.value.n = 0;
    assert_int_equal(put(&item), SK_KRPC_PROTOCOL);
    sign(&made, 1, "", 1, "1:a");
    made.item.value = sk_bytes(value, SK_KRPC_ITEM_MAX + 1);
    assert_int_equal(put(&made.item), SK_KRPC_TOO_BIG);
    sign(&made, 1, "", 1, "1:a");
    made.item.salt = sk_bytes_text(salt);
    assert_int_equal(put(&made.item), SK_KRPC_SALT);
    salt[SK_KRPC_SALT_MAX] = 0;
    assert_int_equal(put(sign(&made, 1, salt, 1, "1:a")), 0);
    expect_stored(&made.item);
    assert_int_equal(count(), 2);
}

static void bad_signatures(void **state)
{
    struct made made, stored;
    sign(&made, 1, "salt", 1, "1:a");
    made.signature[10] ^= 1;
    assert_int_equal(put(&made.item), SK_KRPC_SIGNATURE);
    sign(&made, 1, "salt", 1, "1:a");
    made.item.seq = 2;
    assert_int_equal(put(&made.item), SK_KRPC_SIGNATURE);
    sign(&made, 1, "salt", 1, "1:a");
    made.key[0] ^= 1;
    assert_int_equal(put(&made.item), SK_KRPC_SIGNATURE);
    sign(&made, 1, "salt", 1, "1:a");
    made.item.signature = NULL;
    assert_int_equal(put(&made.item), SK_KRPC_PROTOCOL);
    assert_int_equal(count(), 0);
    /* Neither to replace what is there nor to keep it alive. */
    assert_int_equal(put(sign(&stored, 1, "salt", 1, "1:a")), 0);
    sign(&made, 1, "salt", 2, "1:b");
    made.signature[63] ^= 1;
    assert_int_equal(put(&made.item), SK_KRPC_SIGNATURE);
    now_ns += HOUR;
    sign(&made, 1, "salt", 1, "1:a");
    made.signature[63] ^= 1;
    assert_int_equal(put(&made.item), SK_KRPC_SIGNATURE);
    expect_stored(&stored.item);
    sk_dht_item_store_expire(store, now_ns + HOUR);
    assert_int_equal(count(), 0);
}

/* An item under one salt cannot be put under another, whole or cut out of a longer one. */
static void salts_are_not_exchanged(void **state)
{
    static const char *const salts[] = {"", "b", "salt", "3:seqi1e1:v1:a"};
    struct made made, stored;
    assert_int_equal(put(sign(&stored, 1, "a", 1, "1:a")), 0);
    for (size_t i = 0; i < SK_ARRAY_LEN(salts); i++) {
        sign(&made, 1, "a", 1, "1:a");
        made.item.salt = sk_bytes_text(salts[i]);
        assert_int_equal(put(&made.item), SK_KRPC_SIGNATURE);
        sign(&made, 1, salts[i], 1, "1:a");
        made.item.salt = sk_bytes_text("a");
        assert_int_equal(put(&made.item), SK_KRPC_SIGNATURE);
    }
    expect_stored(&stored.item);
    assert_int_equal(count(), 1);
}

/*
 * The public key of this seed begins with "54:". With a salt of 25 bytes it is, read as a value, a
 * string: the immutable item of that value has the target of the mutable one.
 */
#define STRING_KEY 287975
static const char string_salt[] = "1234567890123456789012345";

static void one_target_for_two_kinds(void **state)
{
    struct made made, later;
    uint8_t value[57];
    struct sk_dht_item immutable = {.value = sk_bytes(value, sizeof value)};
    sign(&made, STRING_KEY, string_salt, 5, "1:a");
    memcpy(value, made.key, 32);
    memcpy(value + 32, string_salt, 25);
    assert_memory_equal(value, "54:", 3);
    /* Nobody rolls the mutable item back by way of an immutable one. */
    assert_int_equal(put(&made.item), 0);
    assert_int_equal(put(&immutable), SK_KRPC_PROTOCOL);
    expect_stored(&made.item);
    assert_int_equal(put(sign(&later, STRING_KEY, string_salt, 6, "1:b")), 0);
    expect_stored(&later.item);
    sk_dht_item_store_expire(store, now_ns + 2 * HOUR);
    assert_int_equal(put(&immutable), 0);
    assert_int_equal(put(&made.item), SK_KRPC_PROTOCOL);
    expect_stored(&immutable);
    assert_int_equal(count(), 1);
}

/* Threats: storage flood by one address. */

/* Immutable items with a number; `first` byte of the target in ret_first. */
static const struct sk_dht_item *numbered(uint32_t i, uint8_t *ret_first)
{
    static char text[32];
    static struct sk_dht_item item;
    uint8_t target[SK_DHT_ID_SIZE];
    snprintf(text, sizeof text, "i%ue", i);
    item = (struct sk_dht_item){.value = sk_bytes_text(text)};
    sk_dht_item_target(&item, target);
    if (ret_first)
        *ret_first = target[0];
    return &item;
}

static void flood_by(struct sk_endpoint (*from)(uint32_t), uint32_t number_of_items)
{
    for (uint32_t i = 0; i < number_of_items; i++)
        assert_int_equal(put_from(from(i), numbered(i, NULL)), 0);
}

static struct sk_endpoint one_address(uint32_t i)
{
    struct sk_endpoint from = address(1);
    from.port = (uint16_t)(1 + i); /* ports do not count */
    return from;
}

static struct sk_endpoint one_network(uint32_t i)
{
    uint8_t bytes[16] = {0x20, 1, [7] = 1, [14] = (uint8_t)(i >> 8), (uint8_t)i};
    return sk_endpoint_v6(bytes, 6881);
}

static void one_has_its_bound(struct sk_endpoint (*from)(uint32_t))
{
    struct sk_dht_item got;
    uint32_t max = SK_DHT_STORE_ADDRESS_ITEMS_MAX, taken = 0;
    uint8_t first, farthest = 0;
    flood_by(from, max);
    assert_int_equal(count(), max);
    for (uint32_t i = 0; i < max; i++) {
        numbered(i, &first);
        farthest = SK_MAX(farthest, first);
    }
    assert_int_equal(farthest, 0xff);
    /* Near items push out its farthest, and only its own; far ones are refused. */
    assert_int_equal(put_from(address(2), numbered(1000000, NULL)), 0);
    for (uint32_t i = max; i < max + 200; i++) {
        int code = put_from(from(i), numbered(i, &first));
        assert_true(code == 0 || code == SK_KRPC_SERVER);
        taken += code == 0;
        if (first == 0)
            assert_int_equal(code, 0);
        if (first == 0xff)
            assert_int_equal(code, SK_KRPC_SERVER);
        assert_int_equal(count(), max + 1);
    }
    assert_true(taken > 130 && taken < 200); /* 500 ln(700 / 500) are nearer */
    assert_true(get(numbered(1000000, NULL), &got));
    assert_int_equal(put_from(from(0), numbered(1000000, NULL)), 0); /* there already */
}

static void many_items_of_one_address(void **state)
{
    one_has_its_bound(one_address);
}

static void many_items_of_one_network(void **state)
{
    one_has_its_bound(one_network);
}

static struct sk_endpoint loopback(uint32_t i)
{
    return sk_endpoint_v4((uint8_t[4]){127, 0, 0, 1}, (uint16_t)(1 + i / 400));
}

static void nodes_on_loopback_are_told_apart(void **state)
{
    flood_by(loopback, 2000);
    assert_int_equal(count(), 2000);
}

static struct sk_endpoint ten_floods(uint32_t i)
{
    return address(i / SK_DHT_STORE_ADDRESS_ITEMS_MAX);
}

/* All is full of what ten addresses brought: whoever comes with one item has room. */
static void a_flood_makes_room_for_others(void **state)
{
    struct sk_dht_item got;
    uint32_t max = SK_DHT_STORE_ITEMS_MAX;
    flood_by(ten_floods, max);
    assert_int_equal(count(), max);
    for (uint32_t i = max; i < max + 1000; i++) {
        assert_int_equal(put_from(address(1000 + i), numbered(i, NULL)), 0);
        assert_int_equal(count(), max);
    }
    for (uint32_t i = max; i < max + 1000; i++)
        assert_true(get(numbered(i, NULL), &got));
    assert_true(put_from(address(0), numbered(2 * max, NULL)) == 0 ||
                !get(numbered(2 * max, NULL), &got));
}

static struct sk_endpoint all_different(uint32_t i)
{
    return address(100 + i);
}

/* Full of items of as many addresses: what is far from us makes room for what is near. */
static void near_items_are_kept(void **state)
{
    struct sk_dht_item got;
    uint32_t max = SK_DHT_STORE_ITEMS_MAX, kept = 0, near = 0;
    uint8_t first;
    own_id[0] = 0xff;
    flood_by(all_different, max);
    for (uint32_t i = max; i < 2 * max; i++) {
        int code = put_from(all_different(i), numbered(i, &first));
        assert_true(code == 0 || code == SK_KRPC_SERVER);
        assert_int_equal(count(), max);
    }
    for (uint32_t i = 0; i < 2 * max; i++) {
        const struct sk_dht_item *item = numbered(i, &first);
        kept += get(item, &got);
        if (first > 0x88) { /* the nearer half, but for chance */
            near++;
            assert_true(get(item, &got));
        }
    }
    assert_true(kept == max && near > max * 8 / 10);
}

/* Each allocation of a put fails in turn: the answer says so and nothing has changed. */
static void without_memory(void **state)
{
    struct made made[3];
    size_t allocations = 0;
    sign(&made[0], 1, "s", 1, "1:a");
    sign(&made[1], 1, "s", 2, "10:abcdefghij");
    sign(&made[2], 2, "", 2, "1:b");
    sk_mem_fail_nth(0);
    for (size_t nth = 1; nth <= allocations + 1; nth++) {
        struct sk_dht_item_store *own = NULL;
        enum sk_krpc_code code = 0;
        sk_mem_fail_nth(nth);
        int err = sk_dht_item_store_new(1, &own);
        assert_true(!err == !!own && (!err || err == SKEP_ERR_NOMEM));
        for (uint32_t i = 0; own && !code && i < 43; i++) {
            const struct sk_dht_item *item = i < 3 ? &made[i].item : numbered(i, NULL);
            struct sk_endpoint from = address(i);
            uint32_t before, after;
            size_t bytes;
            sk_dht_item_store_count(own, &before, &bytes);
            code = sk_dht_item_store_put(own, item, false, 0, &from, own_id, now_ns);
            sk_dht_item_store_count(own, &after, &bytes);
            if (code) {
                assert_int_equal(code, SK_KRPC_SERVER);
                assert_int_equal(before, after);
                assert_int_equal(sk_dht_item_store_put(own, item, false, 0, &from, own_id, now_ns),
                                 0);
            }
        }
        sk_dht_item_store_free(own);
        size_t used = sk_mem_fail_nth(0);
        allocations = SK_MAX(allocations, used);
    }
    assert_true(allocations > 80);
}

static void refreshing_needs_no_memory(void **state)
{
    struct made made;
    assert_int_equal(put(sign(&made, 1, "s", 1, "1:a")), 0);
    sk_mem_fail_nth(1);
    assert_int_equal(put_from(address(2), &made.item), 0);
    assert_int_equal(sk_mem_fail_nth(0), 0);
}

static void small_when_empty(void **state)
{
    uint32_t items;
    size_t bytes;
    sk_dht_item_store_count(store, &items, &bytes);
    assert_true(bytes < 300);
    flood_by(all_different, SK_DHT_STORE_ITEMS_MAX);
    sk_dht_item_store_count(store, &items, &bytes);
    assert_true(bytes < 3u << 20);
    sk_dht_item_store_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_put_is_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(items_end_after_two_hours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_over_has_no_say, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_way_back_in_seq, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compare_and_swap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_signatures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(salts_are_not_exchanged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_target_for_two_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_items_of_one_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_items_of_one_network, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nodes_on_loopback_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_makes_room_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(near_items_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refreshing_needs_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_when_empty, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
