/* skep audit --tracer: what lies in the directory is found where its hashes are known. */
#include "cmd/audit_kept.h"

#include "engine_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECES 64
#define PIECE 32768

static struct world world_memory;
static char directory[32], path[64];

static void keep(const struct world *world)
{
    static uint8_t bytes[PIECES * PIECE];
    size_t n = (PIECES - 1) * PIECE + 20000;
    snprintf(directory, sizeof directory, "/tmp/skep-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/a test", directory);
    sk_lab_content_read(&world->content, 0, bytes, (uint32_t)n);
    bytes[5 * PIECE] ^= 1;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static uint32_t stored(const struct world *world)
{
    size_t n;
    const uint8_t *bits = skep_torrent_stored(world->torrent, &n);
    uint32_t count = 0;
    for (uint32_t i = 0; bits && i < PIECES; i++)
        count += bits[i / 8] >> (7 - i % 8) & 1;
    return count;
}

static void look(struct sk_audit_kept *kept)
{
    for (int i = 0; i < 500 && (i < 3 || kept->hashing); i++) {
        sk_audit_kept_look(kept);
        usleep(10000);
    }
}

/* Of a v2 magnet the metadata comes first, the hashes of its pieces later, or from another. */
static void check_magnet(bool v1)
{
    struct world *world = &world_memory;
    struct sk_audit_kept kept;
    world_init(world, NULL);
    world_content(world, PIECES, PIECE, v1, !v1);
    world_add_hash(world);
    keep(world);
    sk_audit_kept_init(&kept, directory, world->torrent);
    look(&kept);
    assert_false(kept.begun);
    world_peer(world, "10.0.0.1:7000")->hashes = SILENT;
    world_start(world);
    world_run(world, 1);
    assert_true(skep_torrent_has_metadata(world->torrent));
    assert_int_equal(skep_torrent_hashes_waiting(world->torrent), !v1);
    look(&kept);
    assert_int_equal(stored(world), v1 ? PIECES - 1 : 0);
    world_peer(world, "10.0.0.2:7000");
    world_run(world, 20);
    look(&kept);
    assert_int_equal(stored(world), PIECES - 1);
    sk_audit_kept_deinit(&kept);
    world_deinit(world);
    unlink(path);
    rmdir(directory);
}

static void test_v1(void **state)
{
    check_magnet(true);
}

static void test_v2(void **state)
{
    check_magnet(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_v1), cmocka_unit_test(test_v2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
