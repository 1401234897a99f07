/* A search told step by step: events that never happened, and the lines that they make. */
#include "cmd/dht_trace.h"

#include <skep/err.h>

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const uint8_t target[20] = {0xff, 0xff};

struct teller {
    struct sk_dht_trace trace;
    struct sk_buf out;
    char text[16384];
};

static void teller_init(struct teller *teller, unsigned columns, bool colour)
{
    const struct sk_screen screen = {.columns = columns, .colour = colour, .utf8 = true};
    memset(teller, 0, sizeof *teller);
    sk_dht_trace_init(&teller->trace, &screen);
    sk_dht_trace_target(&teller->trace, target);
    sk_buf_init(&teller->out, sizeof teller->text - 1);
}

static void tell(struct teller *teller, struct skep_dht_event event, double elapsed_s)
{
    sk_dht_trace_event(&teller->trace, &event, elapsed_s, &teller->out);
    assert_false(teller->out.failed);
}

/* All that was told, and the end of it. */
static const char *told(struct teller *teller)
{
    memcpy(teller->text, teller->out.p ? teller->out.p : (const uint8_t *)"", teller->out.n);
    teller->text[teller->out.n] = 0;
    sk_buf_deinit(&teller->out);
    return teller->text;
}

static void contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

/* An id so many bits from the target, as nodes tell of it. */
static void put_node(uint8_t node[26], unsigned bits)
{
    memcpy(node, target, 20);
    if (bits)
        node[(160 - bits) / 8] ^= (uint8_t)(0x80 >> (160 - bits) % 8);
}

static struct skep_dht_event answer_event(const char *address, const struct skep_dht_answer *answer,
                                          const uint8_t *id, unsigned distance)
{
    return (struct skep_dht_event){.kind = SKEP_DHT_ANSWERED,
                                   .method = SKEP_DHT_GET_PEERS,
                                   .address = address,
                                   .node_id = id,
                                   .distance = distance,
                                   .step = 1,
                                   .rtt_s = 0.048,
                                   .answer = answer};
}

static void test_an_answer(void **state)
{
    struct teller teller;
    uint8_t nodes[3 * 26] = {0}, id[26];
    put_node(nodes, 150);
    put_node(nodes + 26, 128);
    put_node(nodes + 52, 131);
    put_node(id, 141);
    const char *const peers[] = {"192.0.2.1:5000", "192.0.2.2:5000"};
    const struct skep_dht_answer answer = {
        .nodes = nodes, .nodes_count = 3, .peers = peers, .peers_count = 2};
    teller_init(&teller, 100, false);
    tell(&teller, answer_event("203.0.113.7:6881", &answer, id, 141), 0.05);
    const char *text = told(&teller);
    contains(text, "Looking for peers of ffff000000000000000000000000000000000000.\n");
    contains(text, "  time  step  bits  node");
    contains(text, " 0.05s     1   141  203.0.113.7:6881       48 ms; 2 peers; knew 2 nearer (to "
                   "128\n");
}

static void test_what_nodes_know(void **state)
{
    struct teller teller;
    uint8_t nodes[26] = {0}, id[26];
    struct skep_dht_answer answer = {0};
    put_node(id, 100);
    put_node(nodes, 120);
    teller_init(&teller, 100, false);
    tell(&teller, answer_event("192.0.2.1:1025", &answer, id, 100), 1);
    answer = (struct skep_dht_answer){.nodes = nodes, .nodes_count = 1};
    tell(&teller, answer_event("192.0.2.2:1025", &answer, id, 100), 2);
    put_node(nodes, 0);
    struct skep_dht_event event = answer_event("192.0.2.3:1025", &answer, id, 100);
    event.step = 3;
    tell(&teller, event, 3);
    answer = (struct skep_dht_answer){.forged = true};
    tell(&teller, answer_event("192.0.2.4:1025", &answer, id, 100), 4);
    answer.forged = false;
    event = answer_event("192.0.2.5:1025", &answer, NULL, 0);
    tell(&teller, event, 123.4);
    const char *text = told(&teller);
    contains(text, "192.0.2.1:1025         48 ms; knew no node\n");
    contains(text, "192.0.2.2:1025         48 ms; knew nobody nearer\n");
    contains(text, "knew 1 nearer (to 0 bits)\n");
    contains(text, "its value is forged");
    contains(text, "  123s     1     ?  192.0.2.5:1025 ");
}

static void test_those_who_do_not_answer(void **state)
{
    struct teller teller;
    const char words[] = "\x1b[31mgo away\n\xe2\x80\xae";
    struct skep_dht_event event = {.kind = SKEP_DHT_SILENT,
                                   .method = SKEP_DHT_FIND_NODE,
                                   .address = "[2001:db8:1:2:3:4:5:6]:50000",
                                   .node_id = target,
                                   .distance = 7,
                                   .step = 12};
    teller_init(&teller, 80, false);
    tell(&teller, event, 1.5);
    event.kind = SKEP_DHT_REFUSED;
    event.code = 203;
    event.text = words;
    event.text_size = sizeof words - 1;
    tell(&teller, event, 1.6);
    event.text = NULL;
    event.text_size = 0;
    tell(&teller, event, 1.7);
    const char *text = told(&teller);
    contains(text, "the nodes closest to");
    contains(text, " 1.50s    12     7  [2001:db8:");
    contains(text, "5:6]:50000  no answer\n");
    contains(text, "refused: 203 \\x1b[31mgo\n");
    contains(text, "refused: 203\n");
    assert_null(strchr(text, 0x1b));
    assert_null(strstr(text, "\xe2\x80\xae"));
}

static void test_values_and_storing(void **state)
{
    struct teller teller;
    const uint8_t key[32] = {0};
    struct skep_dht_value value = {.size = 120};
    struct skep_dht_event event = {.kind = SKEP_DHT_VALUE,
                                   .method = SKEP_DHT_GET,
                                   .address = "192.0.2.1:1025",
                                   .node_id = target,
                                   .step = 1,
                                   .value = &value};
    teller_init(&teller, 100, false);
    tell(&teller, event, 0);
    value.key = key;
    value.seq = 4;
    tell(&teller, event, 0);
    event.kind = SKEP_DHT_STORED;
    tell(&teller, event, 0);
    const char *text = told(&teller);
    contains(text, "the item under");
    contains(text, "gave the value: 120 bytes\n");
    contains(text, "gave a newer value: 120 bytes, seq 4\n");
    contains(text, "took what was to be stored\n");
}

static void test_the_end(void **state)
{
    struct teller teller;
    struct skep_dht_closest closest[2] = {{.distance = 119}, {.distance = 122}};
    struct skep_dht_result result = {.asked = 31,
                                     .answered = 25,
                                     .silent = 4,
                                     .refused = 1,
                                     .forged = 1,
                                     .stored = 8,
                                     .steps = 4,
                                     .seconds = 0.41,
                                     .closest = closest,
                                     .closest_count = 2};
    const struct skep_dht_event event = {.kind = SKEP_DHT_DONE, .result = &result};
    teller_init(&teller, 200, false);
    tell(&teller, event, 1);
    contains(told(&teller), "The 2 closest that answered are 119 to 122 bits away.\n"
                            "Asked 31 nodes in 4 steps and 410 ms: 25 answered, 5 did not, 1 "
                            "refused, 1 lied.\n8 took what was to be stored.\n");
    result = (struct skep_dht_result){
        .asked = 1, .answered = 1, .steps = 1, .closest = closest, .closest_count = 1};
    teller_init(&teller, 200, false);
    tell(&teller, event, 1);
    contains(told(&teller), "The closest that answered is 119 bits away.\nAsked 1 node in 1 step");
    result = (struct skep_dht_result){.asked = 3, .silent = 3};
    teller_init(&teller, 200, false);
    tell(&teller, event, 1);
    contains(told(&teller), "Nobody answered.\n");
    result = (struct skep_dht_result){.no_nodes = true};
    teller_init(&teller, 200, false);
    tell(&teller, event, 1);
    assert_string_equal("There was nobody to ask.\n", told(&teller));
}

/* What goes on inside says nothing to a person. */
static void test_silent_events(void **state)
{
    static const enum skep_dht_event_kind kinds[] = {SKEP_DHT_ASKED, SKEP_DHT_PROGRESS,
                                                     SKEP_DHT_FOUND, SKEP_DHT_DONE};
    struct teller teller;
    teller_init(&teller, 80, false);
    for (size_t i = 0; i < SK_ARRAY_LEN(kinds); i++)
        tell(&teller, (struct skep_dht_event){.kind = kinds[i], .address = "192.0.2.1:1025"}, 0);
    assert_string_equal("", told(&teller));
}

static void test_widths_and_colours(void **state)
{
    uint8_t nodes[26] = {0}, id[26];
    const char *const peers[] = {"192.0.2.1:5000"};
    put_node(id, 160);
    put_node(nodes, 1);
    const struct skep_dht_answer answer = {
        .nodes = nodes, .nodes_count = 1, .peers = peers, .peers_count = 1};
    for (unsigned columns = 60; columns <= 120; columns += 20) {
        struct teller teller;
        teller_init(&teller, columns, false);
        struct skep_dht_event event = answer_event("255.255.255.255:65535", &answer, id, 160);
        event.step = 20;
        tell(&teller, event, 99.5);
        unsigned limit = SK_MIN(columns, 100u);
        const char *text = told(&teller);
        assert_null(strchr(text, 0x1b));
        for (const char *line = text; *line; line = strchr(line, '\n') + 1)
            assert_true(strcspn(line, "\n") <= SK_MAX(limit, 66u));
    }
    struct teller teller;
    teller_init(&teller, 80, true);
    tell(&teller, answer_event("192.0.2.1:1025", &answer, id, 160), 0);
    contains(told(&teller), "\x1b[32m"); /* peers were found: green */
}

static void test_anonymized(void **state)
{
    struct teller teller;
    struct sk_anonymizer anonymizer;
    assert_int_equal(0, sk_anonymizer_init(&anonymizer, NULL));
    teller_init(&teller, 80, false);
    teller.trace.anonymizer = &anonymizer;
    tell(&teller, (struct skep_dht_event){.kind = SKEP_DHT_SILENT, .address = "192.0.2.99:1025"},
         0);
    const char *text = told(&teller);
    contains(text, "peer-");
    assert_null(strstr(text, "192.0.2.99"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer),
        cmocka_unit_test(test_what_nodes_know),
        cmocka_unit_test(test_those_who_do_not_answer),
        cmocka_unit_test(test_values_and_storing),
        cmocka_unit_test(test_the_end),
        cmocka_unit_test(test_silent_events),
        cmocka_unit_test(test_widths_and_colours),
        cmocka_unit_test(test_anonymized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
