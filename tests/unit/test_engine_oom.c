/*
 * Each allocation of an engine at work, with an auditor on it, fails in turn. Nothing leaks, no
 * counter goes wrong, no connection stays behind, and the audit comes to its end all the same: what
 * cannot be remembered is not waited for.
 */
#include "audit_world.h"

static struct audit_setup setup;
static bool broken; /* something could not even begin */

static void try(int err)
{
    assert_true(err == 0 || err == SKEP_ERR_NOMEM);
    broken |= err != 0;
}

static void add_torrent(struct world *world)
{
    static const char *const trackers[] = {"http://10.0.9.9:6969/announce"};
    struct sk_buf buf;
    if (setup.link && setup.v2) {
        char hash[65];
        for (int i = 0; i < 32; i++)
            snprintf(hash + 2 * i, 3, "%02x", world->content.hash_v2[i]);
        try(skep_engine_add_link(world->engine, hash, &world->torrent, NULL));
        return;
    }
    if (setup.link) {
        char link[128] = "magnet:?xt=urn:btih:";
        size_t at = strlen(link);
        for (int i = 0; i < 20; i++)
            snprintf(link + at + 2 * (size_t)i, 3, "%02x", world->content.info_hash[i]);
        strcat(link, "&tr=http://10.0.9.9:6969/announce");
        try(skep_engine_add_link(world->engine, link, &world->torrent, NULL));
        return;
    }
    sk_buf_init(&buf, 1 << 20);
    int err = sk_lab_content_write(&world->content, trackers, 1, &buf);
    if (!err)
        err = skep_engine_add_file(world->engine, buf.p, buf.n, &world->torrent, NULL);
    sk_buf_deinit(&buf);
    try(err);
}

static void add_peers(struct world *world)
{
    static struct sk_pex_peer told[2];
    told[0].endpoint = world_endpoint("10.0.0.3:7000");
    told[1].endpoint = world_endpoint("10.0.0.4:500");
    for (struct remote *remote = world->remotes; remote; remote = remote->next) {
        char text[SK_ENDPOINT_TEXT_MAX];
        sk_endpoint_text(&remote->at, text);
        if (remote->at.addr[3] != 1)
            continue; /* the tracker tells one, PEX the other */
        int err = skep_torrent_add_peer(world->torrent, text);
        assert_true(err == 0 || err == SKEP_ERR_NOMEM);
        remote->pex = told;
        remote->pex_count = 2;
    }
    int err = skep_torrent_add_peer(world->torrent, "a.name:7000");
    assert_true(err == 0 || err == SKEP_ERR_NOMEM);
}

static void answer_all(struct world *world)
{
    static const char body[] = "d8:intervali1800e5:peers6:\x0a\x00\x00\x02\x1b\x58"
                               "e";
    if (world->http_id)
        sk_engine_http_done(world->engine, world->http_id, 200, sk_bytes(body, sizeof body - 1),
                            NULL, world->now_ns);
    if (world->resolve_id) {
        struct sk_endpoint found = world_endpoint("10.0.0.2:1");
        sk_engine_resolved(world->engine, world->resolve_id, &found, 1, NULL, world->now_ns);
    }
    world->http_id = world->resolve_id = 0;
    world_pump(world);
}

static void play(struct world *world)
{
    struct sk_auditor_config config = {
        .seed = 3, .done = audit_done, .done_ctx = &audit, .save = true, .patience_s = 10};
    add_torrent(world);
    if (broken)
        return;
    try(sk_auditor_new(world->engine, world->torrent, &config, world->now_ns, &audit.auditor));
    if (broken)
        return;
    add_peers(world);
    world->every = audit_every;
    world->every_ns = SK_SECOND_NS / 4;
    world->every_next_ns = world->now_ns;
    world_start(world);
    struct link *in = world_connect(world, world->remotes, "10.0.0.5:40000");
    assert_true(in || !world->engine->peers || world->engine->peers_count);
    for (int i = 0; i < 500 && !audit.done; i++) {
        world_run(world, 0.25);
        answer_all(world);
    }
    if (!audit.done)
        fail_msg("the audit does not end: %u of %zu not settled", audit.auditor->unsettled,
                 audit.auditor->count);
    struct sk_report report;
    int err = sk_auditor_report(audit.auditor, SK_STOPPED_CONVERGED, world->now_ns, &report);
    try(err);
    if (!err)
        sk_report_deinit(&report);
}

static void clean(struct world *world)
{
    sk_mem_fail_nth(0);
    if (world->torrent && world->torrent->state == SK_TORRENT_RUNNING) {
        skep_torrent_stop(world->torrent, world->now_ns);
        world->every = NULL;
        world_run(world, 20);
        answer_all(world);
    }
    assert_int_equal(world->engine->peers_count, 0);
    world_deinit(world);
    sk_auditor_free(audit.auditor);
}

static size_t scenario(size_t nth)
{
    struct world *world = &audit.world;
    audit.auditor = NULL;
    audit.done = broken = false;
    world_init(world, &(struct skep_config){
                          .no_lsd = true, .save_dir = "/there", .give = true, .no_pex = false});
    world_content(world, 4, PIECE, !setup.v2, setup.v2);
    world_remote(world, "10.0.0.1:7000");
    world_remote(world, "10.0.0.2:7000")->hates_mse = true;
    world_remote(world, "10.0.0.3:7000")->leaves_after = 3;
    sk_mem_fail_nth(nth);
    play(world);
    size_t made = sk_mem_fail_nth(0);
    clean(world);
    return made;
}

static void sweep(void)
{
    size_t nth = 1;
    while (scenario(nth) >= nth)
        nth++;
    assert_false(broken);
    assert_true(nth > 200);
}

static void test_file(void **state)
{
    setup = (struct audit_setup){0};
    sweep();
}

static void test_link(void **state)
{
    setup = (struct audit_setup){.link = true};
    sweep();
}

static void test_v2(void **state)
{
    setup = (struct audit_setup){.v2 = true, .link = true};
    sweep();
}

/* More connections close at once than there is room to say so. */
static void test_closing_without_memory(void **state)
{
    struct world *world = &audit.world;
    world_init(world, NULL);
    world_content(world, 4, PIECE, true, false);
    world_add_file(world, NULL, 0);
    for (int i = 0; i < 250; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%d:7000", i);
        world_peer(world, text);
    }
    world_start(world);
    world_run(world, 1);
    assert_int_equal(skep_torrent_open(world->torrent), 250);
    assert_true(world->engine->out_capacity < 250);
    sk_mem_fail_nth(1);
    skep_torrent_stop(world->torrent, world->now_ns);
    sk_mem_fail_nth(0);
    assert_true(world->engine->closes_lost > 0);
    world_pump(world);
    assert_int_equal(world->engine->peers_count, 0);
    world_deinit(world);
}

static void test_new(void **state)
{
    struct skep_config config = {.seed = 1};
    struct skep_engine *engine = NULL;
    sk_mem_fail_nth(1);
    assert_int_equal(sk_engine_new(&config, 1, &engine), SKEP_ERR_NOMEM);
    sk_mem_fail_nth(0);
    assert_null(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),  cmocka_unit_test(test_closing_without_memory),
        cmocka_unit_test(test_file), cmocka_unit_test(test_link),
        cmocka_unit_test(test_v2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
