/* The peer book: who is dialled and when, and what strangers cannot make of it. */
#include "swarm/peer_book.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sk_endpoint at(const char *text)
{
    struct sk_endpoint endpoint;
    assert_int_equal(sk_endpoint_parse(text, 0, &endpoint), 0);
    return endpoint;
}

static struct sk_book_entry *hear(struct sk_peer_book *book, const char *text,
                                  enum sk_source source, enum sk_scope teller, uint64_t now_ns)
{
    struct sk_endpoint endpoint = at(text);
    struct sk_book_entry *entry;
    bool is_new, known = sk_peer_book_find(book, &endpoint) != NULL;
    assert_int_equal(sk_peer_book_hear(book, &endpoint, source, teller, now_ns, &entry, &is_new),
                     0);
    assert_int_equal(is_new, !known);
    assert_ptr_equal(sk_peer_book_find(book, &endpoint), entry);
    assert_int_equal(book->waiting, book->queue.count + book->renewals.count);
    return entry;
}

static void test_life_of_an_entry(void **state)
{
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    assert_null(sk_peer_book_next(&book, 100));
    assert_int_equal(sk_peer_book_deadline(&book), SK_TIME_NEVER);
    struct sk_book_entry *entry =
        hear(&book, "80.0.0.1:7000", SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 100);
    assert_int_equal(entry->state, SK_DIAL_NEW);
    assert_int_equal(sk_peer_book_deadline(&book), 100);
    assert_null(sk_peer_book_due(&book, 99));
    assert_ptr_equal(sk_peer_book_due(&book, 100), entry);
    assert_int_equal(entry->state, SK_DIAL_NEW);
    assert_ptr_equal(sk_peer_book_next(&book, 100), entry);
    assert_int_equal(entry->state, SK_DIAL_DIALING);
    assert_int_equal(entry->dials, 1);
    assert_int_equal(book.waiting, 0);
    assert_int_equal(sk_peer_book_retry(&book, entry, 500), 0);
    assert_int_equal(entry->state, SK_DIAL_WAITING);
    assert_int_equal(sk_peer_book_retry(&book, entry, 600), 0); /* later still */
    assert_int_equal(book.waiting, 1);
    assert_null(sk_peer_book_next(&book, 599));
    assert_ptr_equal(sk_peer_book_next(&book, 600), entry);
    sk_peer_book_settle(&book, entry, SK_DIAL_OPEN, NULL);
    assert_int_equal(sk_peer_book_retry(&book, entry, 700), 0);
    sk_peer_book_settle(&book, entry, SK_DIAL_DONE, "over"); /* out of the queue as well */
    assert_int_equal(book.waiting, 0);
    assert_null(sk_peer_book_next(&book, 1000));
    assert_string_equal(entry->reason, "over");
    sk_peer_book_deinit(&book);
}

/* Strangers' addresses are given up after some rounds, each later than the one before; told again
 * after a while they get one more. */
static void test_back_off(void **state)
{
    const uint64_t s = SK_SECOND_NS;
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    book.persistence = SK_PERSIST_LONG;
    const char *text = "80.0.0.1:7000";
    struct sk_book_entry *entry = hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, s);
    static const uint64_t waits_s[] = {5, 10, 20};
    for (size_t i = 0; i < SK_ARRAY_LEN(waits_s); i++) {
        entry->modes_tried = SK_DIAL_TCP;
        assert_int_equal(sk_peer_book_back_off(&book, entry, SK_DIAL_END_UNREACHED, false, s),
                         waits_s[i] * s);
        assert_int_equal(entry->modes_tried, 0);
    }
    assert_int_equal(sk_peer_book_next(&book, s)->dials, 1);
    entry->modes_tried = SK_DIAL_TCP;
    assert_int_equal(sk_peer_book_back_off(&book, entry, SK_DIAL_END_UNREACHED, false, 2 * s),
                     SK_TIME_NEVER);
    assert_int_equal(entry->modes_tried, 0); /* or there were nothing left to revive it by */
    sk_peer_book_settle(&book, entry, SK_DIAL_DONE, "refused");
    hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 2 * s + SK_BOOK_REVIVE_NS - 1);
    assert_int_equal(entry->state, SK_DIAL_DONE);
    hear(&book, text, SK_SOURCE_INCOMING, SK_SCOPE_PUBLIC, 2 * s + SK_BOOK_REVIVE_NS);
    assert_int_equal(entry->state, SK_DIAL_DONE);
    hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 2 * s + SK_BOOK_REVIVE_NS);
    assert_int_equal(entry->state, SK_DIAL_WAITING);
    assert_non_null(sk_peer_book_next(&book, 2 * s + SK_BOOK_REVIVE_NS));
    assert_int_equal(sk_peer_book_back_off(&book, entry, SK_DIAL_END_UNREACHED, false, 900 * s),
                     SK_TIME_NEVER);
    /* what worked begins anew */
    assert_int_equal(sk_peer_book_back_off(&book, entry, SK_DIAL_END_LOST, true, 900 * s), 5 * s);
    sk_peer_book_deinit(&book);
}

/* Who was given up and then came in by itself is not called because of the old failure. */
static void test_reached_after_all(void **state)
{
    const uint64_t s = SK_SECOND_NS;
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    book.persistence = SK_PERSIST_LONG;
    const char *text = "80.0.0.1:7000";
    struct sk_book_entry *entry = hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, s);
    assert_non_null(sk_peer_book_next(&book, s));
    for (int i = 0; i < 4; i++)
        (void)sk_peer_book_back_off(&book, entry, SK_DIAL_END_UNREACHED, false, s);
    assert_int_equal(entry->gave_up_ns, s);
    sk_peer_book_settle(&book, entry, SK_DIAL_DONE, "refused");
    sk_peer_book_settle(&book, entry, SK_DIAL_OPEN, NULL);
    sk_peer_book_settle(&book, entry, SK_DIAL_DONE, "local");
    hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, s + SK_BOOK_REVIVE_NS);
    assert_int_equal(entry->state, SK_DIAL_DONE);
    sk_peer_book_deinit(&book);
}

/* An audit's addresses that it gave up stay so. */
static void test_brief(void **state)
{
    const uint64_t s = SK_SECOND_NS;
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    const char *text = "80.0.0.1:7000";
    struct sk_book_entry *entry = hear(&book, text, SK_SOURCE_GIVEN, SK_SCOPE_PUBLIC, s);
    assert_non_null(sk_peer_book_next(&book, s));
    assert_int_equal(sk_peer_book_back_off(&book, entry, SK_DIAL_END_HUNG_UP, true, s), 2 * s);
    assert_int_equal(sk_peer_book_back_off(&book, entry, SK_DIAL_END_HUNG_UP, true, s),
                     SK_TIME_NEVER);
    sk_peer_book_settle(&book, entry, SK_DIAL_DONE, "closed-at-once");
    hear(&book, text, SK_SOURCE_GIVEN, SK_SCOPE_PUBLIC, s + 2 * SK_BOOK_REVIVE_NS);
    assert_int_equal(entry->state, SK_DIAL_DONE);
    sk_peer_book_deinit(&book);
}

/* However long one that was renewed is called, its place is not kept for ever. */
static void test_renewed(void **state)
{
    static const enum sk_persistence persistences[] = {SK_PERSIST_BRIEF, SK_PERSIST_LONG};
    for (size_t i = 0; i < SK_ARRAY_LEN(persistences); i++) {
        struct sk_peer_book book;
        sk_peer_book_init(&book, 1);
        book.persistence = persistences[i];
        struct sk_book_entry *entry =
            hear(&book, "80.0.0.1:7000", SK_SOURCE_GIVEN, SK_SCOPE_PUBLIC, 1);
        assert_ptr_equal(sk_peer_book_next(&book, 1), entry);
        sk_peer_book_settle(&book, entry, SK_DIAL_OPEN, NULL);
        uint64_t at_ns = SK_SECOND_NS, wait_ns = 0;
        assert_int_equal(sk_peer_book_renew(&book, entry, at_ns), 0);
        uint32_t tries = 0;
        while (book.renewals.count) {
            assert_in_range(++tries, 1, 4);
            assert_int_equal(book.waiting, 1);
            assert_ptr_equal(sk_peer_book_next(&book, at_ns), entry);
            wait_ns = sk_peer_book_back_off(&book, entry, SK_DIAL_END_UNREACHED, false, at_ns);
            at_ns += wait_ns;
            if (wait_ns != SK_TIME_NEVER)
                assert_int_equal(sk_peer_book_retry(&book, entry, at_ns), 0);
        }
        assert_int_equal(tries, 4);
        assert_int_equal(wait_ns == SK_TIME_NEVER, book.persistence == SK_PERSIST_BRIEF);
        assert_int_equal(book.waiting, book.queue.count);
        sk_peer_book_deinit(&book);
    }
}

static void test_sources(void **state)
{
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    const char *text = "80.0.0.1:7000";
    struct sk_book_entry *entry = hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 100);
    hear(&book, text, SK_SOURCE_PEX, SK_SCOPE_PUBLIC, 200);
    hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 300);
    assert_int_equal(entry->sources, SK_SOURCE_TRACKER | SK_SOURCE_PEX);
    assert_int_equal(entry->heard_ns[0], 100);
    assert_int_equal(entry->last_ns[0], 300);
    assert_int_equal(entry->told[0], 2);
    assert_int_equal(entry->heard_ns[1], 200);
    assert_int_equal(entry->told[2], 0);
    assert_int_equal(book.count, 1);
    assert_int_equal(book.waiting, 1);
    sk_peer_book_deinit(&book);
}

/* Earliest first, whatever the order in which they were heard. */
static void test_order(void **state)
{
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    for (int i = 0; i < 50; i++) {
        char text[32];
        snprintf(text, sizeof text, "80.0.0.%d:7000", i);
        hear(&book, text, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, (uint64_t)(i * 37 % 50));
    }
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(sk_peer_book_deadline(&book), i);
        struct sk_book_entry *entry = sk_peer_book_next(&book, 1000);
        assert_int_equal(entry->heard_ns[0], i);
    }
    sk_peer_book_deinit(&book);
}

static void test_rules(void **state)
{
    static const struct {
        const char *text;
        enum sk_source source;
        enum sk_scope teller;
        const char *reason;
    } cases[] = {
        {"80.0.0.1:7000", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, NULL},
        {"80.0.0.1:1023", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, "port below 1024"},
        {"80.0.0.1:1024", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, NULL},
        {"80.0.0.1:22", SK_SOURCE_GIVEN, SK_SCOPE_LOOPBACK, NULL},
        {"80.0.0.1:0", SK_SOURCE_GIVEN, SK_SCOPE_LOOPBACK, "port 0"},
        {"80.0.0.1:0", SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, "address out of its source's scope"},
        {"10.0.0.1:7000", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, "address out of its source's scope"},
        {"10.0.0.1:7000", SK_SOURCE_PEX, SK_SCOPE_PRIVATE, NULL},
        {"127.0.0.1:7000", SK_SOURCE_PEX, SK_SCOPE_PRIVATE, "address out of its source's scope"},
        {"127.0.0.1:7000", SK_SOURCE_PEX, SK_SCOPE_LOOPBACK, NULL},
        {"80.0.0.1:7000", SK_SOURCE_LSD, SK_SCOPE_LOOPBACK, NULL},
        {"224.0.0.1:7000", SK_SOURCE_PEX, SK_SCOPE_LOOPBACK, "address out of its source's scope"},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_peer_book book;
        sk_peer_book_init(&book, 1);
        struct sk_book_entry *entry =
            hear(&book, cases[i].text, cases[i].source, cases[i].teller, 5);
        if (cases[i].reason)
            assert_string_equal(entry->reason, cases[i].reason);
        else
            assert_null(entry->reason);
        assert_int_equal(entry->state, cases[i].reason ? SK_DIAL_SKIPPED : SK_DIAL_NEW);
        sk_peer_book_deinit(&book);
    }
}

/* A better source lifts a rule: told by PEX, skipped; given by the user then, dialled. */
static void test_skip_is_lifted(void **state)
{
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    struct sk_book_entry *entry = hear(&book, "80.0.0.1:22", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, 5);
    hear(&book, "80.0.0.1:22", SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 6);
    assert_int_equal(entry->state, SK_DIAL_SKIPPED);
    hear(&book, "80.0.0.1:22", SK_SOURCE_GIVEN, SK_SCOPE_LOOPBACK, 7);
    assert_int_equal(entry->state, SK_DIAL_NEW);
    assert_null(entry->reason);
    sk_peer_book_deinit(&book);
}

/* threats: nobody can make us hammer a victim by telling many ports of it; and telling ports that
 * are not dialled anyway does not use up the dialling of those that are. */
static void test_ports_of_one_address(void **state)
{
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    unsigned dialled = 0;
    char text[32];
    for (unsigned port = 900; port < 1500; port++) {
        snprintf(text, sizeof text, "80.0.0.1:%u", port);
        dialled += hear(&book, text, SK_SOURCE_PEX, SK_SCOPE_PUBLIC, 5)->state == SK_DIAL_NEW;
    }
    assert_int_equal(dialled, SK_BOOK_PORTS_PER_IP_MAX);
    assert_int_equal(hear(&book, "80.0.0.2:7000", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, 5)->state,
                     SK_DIAL_NEW);
    assert_int_equal(hear(&book, "80.0.0.1:7000", SK_SOURCE_GIVEN, SK_SCOPE_LOOPBACK, 5)->state,
                     SK_DIAL_NEW);
    /* One's own machine is no victim. */
    for (unsigned port = 2000; port < 2100; port++) {
        snprintf(text, sizeof text, "127.0.0.1:%u", port);
        assert_int_equal(hear(&book, text, SK_SOURCE_LSD, SK_SCOPE_LOOPBACK, 5)->state,
                         SK_DIAL_NEW);
    }
    sk_peer_book_deinit(&book);
}

/* Who came in is not dialled, until somebody says that he listens there. */
static void test_incoming(void **state)
{
    struct sk_peer_book book;
    sk_peer_book_init(&book, 1);
    struct sk_book_entry *entry =
        hear(&book, "80.0.0.1:40000", SK_SOURCE_INCOMING, SK_SCOPE_PUBLIC, 5);
    assert_int_equal(entry->state, SK_DIAL_DONE);
    entry->owner = &book; /* connected */
    hear(&book, "80.0.0.1:40000", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, 6);
    assert_int_equal(entry->state, SK_DIAL_DONE);
    entry->owner = NULL;
    hear(&book, "80.0.0.1:40000", SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 7);
    assert_int_equal(entry->state, SK_DIAL_NEW);
    assert_ptr_equal(sk_peer_book_next(&book, 7), entry);
    sk_peer_book_settle(&book, entry, SK_DIAL_DONE, "refused");
    hear(&book, "80.0.0.1:40000", SK_SOURCE_LSD, SK_SCOPE_PUBLIC, 8); /* it was tried */
    assert_int_equal(entry->state, SK_DIAL_DONE);
    sk_peer_book_deinit(&book);
}

/* Bounded, and freed with a full queue. */
static void test_full(void **state)
{
    struct sk_peer_book book;
    struct sk_book_entry *entry;
    bool is_new;
    sk_peer_book_init(&book, 1);
    int err = 0;
    for (uint32_t i = 0; i < SK_BOOK_ADDRESSES_MAX + 1 && !err; i++) {
        struct sk_endpoint endpoint = sk_endpoint_v4(
            (uint8_t[]){80, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}, 7000);
        err = sk_peer_book_hear(&book, &endpoint, SK_SOURCE_TRACKER, SK_SCOPE_PUBLIC, 5, &entry,
                                &is_new);
    }
    assert_int_equal(err, SKEP_ERR_LIMIT);
    assert_int_equal(book.count, SK_BOOK_ADDRESSES_MAX);
    assert_int_equal(book.waiting, SK_BOOK_ADDRESSES_MAX);
    hear(&book, "80.0.0.1:7000", SK_SOURCE_PEX, SK_SCOPE_PUBLIC, 6); /* known ones still are */
    sk_peer_book_deinit(&book);
}

static void test_ban(void **state)
{
    static const struct {
        const char *banned, *address;
        bool is;
    } cases[] = {
        {"80.0.0.1:7000", "80.0.0.1:9", true},
        {"80.0.0.1:7000", "80.0.0.2:7000", false},
        {"127.0.0.1:7000", "127.0.0.1:7000", true},
        {"127.0.0.1:7000", "127.0.0.1:7001", false},
        {"[2a00:1:2:3::1]:7000", "[2a00:1:2:3:ffff::9]:80", true},
        {"[2a00:1:2:3::1]:7000", "[2a00:1:2:4::1]:7000", false},
        {"[fd00:1:2:3::1]:7000", "[fd00:1:2:3::1]:80", true}, /* one's own network */
        {"[fd00:1:2:3::1]:7000", "[fd00:1:2:3::2]:7000", false},
        {"[fe80::1]:7000", "[fe80::2]:7000", false},
        {"[::1]:7000", "[::1]:7001", false},
    };
    for (size_t i = 0; i < SK_ARRAY_LEN(cases); i++) {
        struct sk_peer_book book;
        struct sk_endpoint banned = at(cases[i].banned), address = at(cases[i].address);
        sk_peer_book_init(&book, 1);
        assert_false(sk_peer_book_is_banned(&book, &address));
        assert_int_equal(sk_peer_book_ban(&book, &banned), 0);
        assert_true(sk_peer_book_is_banned(&book, &banned));
        assert_int_equal(sk_peer_book_is_banned(&book, &address), cases[i].is);
        sk_peer_book_deinit(&book);
    }
}

/* Each allocation fails in turn: either the call says so and nothing is there, or the entry is
 * there, not dialled, and says why. */
static void test_no_memory(void **state)
{
    struct sk_endpoint endpoint = at("80.0.0.1:7000");
    for (size_t nth = 1;; nth++) {
        struct sk_peer_book book;
        struct sk_book_entry *entry = NULL;
        bool is_new;
        sk_peer_book_init(&book, 1);
        sk_mem_fail_nth(nth);
        int err =
            sk_peer_book_hear(&book, &endpoint, SK_SOURCE_PEX, SK_SCOPE_PUBLIC, 5, &entry, &is_new);
        size_t made = sk_mem_fail_nth(0);
        if (made >= nth && err) {
            assert_int_equal(err, SKEP_ERR_NOMEM);
            assert_null(entry);
            assert_null(sk_peer_book_find(&book, &endpoint));
        } else if (made >= nth) {
            assert_int_equal(entry->state, SK_DIAL_DONE);
            assert_string_equal(entry->reason, "out of memory");
        }
        assert_int_equal(book.waiting, book.queue.count + book.renewals.count);
        sk_peer_book_deinit(&book);
        if (made < nth)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_of_an_entry),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_reached_after_all),
        cmocka_unit_test(test_brief),
        cmocka_unit_test(test_renewed),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_skip_is_lifted),
        cmocka_unit_test(test_ports_of_one_address),
        cmocka_unit_test(test_incoming),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_ban),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
