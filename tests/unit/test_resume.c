/* What is remembered of a download: it survives what happens to programs, and is not believed when
 * anybody else had his hands on the files. */
#include "store/resume.h"

#include <skep/err.h>

#include "base/prng.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PIECES 4

/* Pieces 0 and 1 lie in "a", 1 in both, 2 and 3 in "sub/b". */
static const struct sk_file files[] = {
    {.path = "a", .length = 100},
    {.path = "sub/b", .length = 156, .offset = 100},
};
static const struct sk_metainfo torrent = {.has_v1 = true,
                                           .info_hash = "twenty bytes of hash",
                                           .name = "t",
                                           .size = 256,
                                           .span = 256,
                                           .piece_size = 64,
                                           .pieces = PIECES,
                                           .files = files,
                                           .files_count = 2};
static const uint8_t boot[SK_RESUME_BOOT_SIZE] = "a boot";
static const uint8_t other_boot[SK_RESUME_BOOT_SIZE] = "another", no_boot[SK_RESUME_BOOT_SIZE];

struct folder {
    char path[32], data[64], state[128];
};

static void put(const struct folder *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder->data, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int setup(void **state)
{
    static struct folder folder;
    char path[256];
    strcpy(folder.path, "/tmp/skep-resume-XXXXXX");
    if (!mkdtemp(folder.path))
        return -1;
    snprintf(folder.state, sizeof folder.state, "%s/state/torrents", folder.path);
    snprintf(folder.data, sizeof folder.data, "%s/data", folder.path);
    snprintf(path, sizeof path, "%s/t/sub", folder.data);
    for (char *slash = path + strlen(folder.path); (slash = strchr(slash + 1, '/')); *slash = '/') {
        *slash = 0;
        mkdir(path, 0700);
    }
    mkdir(path, 0700);
    put(&folder, "t/a", "what is in a");
    put(&folder, "t/sub/b", "what is in b");
    *state = &folder;
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct folder *folder = *state;
    return nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Opens with this boot. Which pieces are named, as digits in `ret_pieces`. */
static int begin(const struct folder *folder, const uint8_t *with_boot,
                 struct sk_resume **ret_resume, char ret_pieces[PIECES + 1], bool *ret_trusted)
{
    struct sk_resume_config config = {.state_dir = folder->state,
                                      .save_dir = folder->data,
                                      .torrent = &torrent,
                                      .boot = with_boot};
    struct sk_bitfield have;
    int err = sk_resume_open(&config, ret_resume, &have, ret_trusted);
    if (err)
        return err;
    assert_int_equal(have.count, PIECES);
    for (uint32_t piece = 0; piece < PIECES; piece++)
        if (sk_bitfield_has(&have, piece))
            *ret_pieces++ = (char)('0' + piece);
    *ret_pieces = 0;
    sk_bitfield_deinit(&have);
    return 0;
}

static void add_all(struct sk_resume *resume, const char *pieces)
{
    for (; *pieces; pieces++)
        assert_int_equal(sk_resume_add(resume, (uint32_t)(*pieces - '0')), 0);
}

/* A run that adds these pieces and ends well. */
static void run(const struct folder *folder, const char *pieces)
{
    char named[PIECES + 1];
    struct sk_resume *resume;
    bool trusted;
    assert_int_equal(begin(folder, boot, &resume, named, &trusted), 0);
    add_all(resume, pieces);
    sk_resume_close(resume);
}

/* The same, but it is killed. */
static void run_killed(const struct folder *folder, const char *pieces)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        char named[PIECES + 1];
        struct sk_resume *resume;
        bool trusted;
        if (begin(folder, boot, &resume, named, &trusted))
            _exit(1);
        for (; *pieces; pieces++)
            if (sk_resume_add(resume, (uint32_t)(*pieces - '0')))
                _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* What the next run would be told; nothing is changed by it, but for a close. */
static void expect_with(const struct folder *folder, const uint8_t *with_boot, const char *pieces,
                        bool trusted)
{
    char named[PIECES + 1];
    struct sk_resume *resume;
    bool is_trusted;
    assert_int_equal(begin(folder, with_boot, &resume, named, &is_trusted), 0);
    sk_resume_close(resume);
    assert_string_equal(named, pieces);
    assert_int_equal(is_trusted, trusted);
}

static void expect(const struct folder *folder, const char *pieces, bool trusted)
{
    expect_with(folder, boot, pieces, trusted);
}

/* The only file in the state's folder. */
static void find_file(const struct folder *folder, char ret_path[256])
{
    char command[256];
    snprintf(command, sizeof command, "ls %s/*.resume", folder->state);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(ret_path, 256, list));
    ret_path[strcspn(ret_path, "\n")] = 0;
    char more[256];
    assert_null(fgets(more, sizeof more, list));
    pclose(list);
}

static void append(const struct folder *folder, const void *bytes, size_t n)
{
    char path[256];
    find_file(folder, path);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

/* ---- */

static void test_round_trip(void **state)
{
    run(*state, "02");
    expect(*state, "02", true);
    expect(*state, "02", true);
    run(*state, "31");
    expect(*state, "0123", true);
}

static void test_reset(void **state)
{
    char named[PIECES + 1];
    struct sk_resume *resume;
    struct sk_bitfield have;
    bool trusted;
    run(*state, "0123");
    assert_int_equal(begin(*state, boot, &resume, named, &trusted), 0);
    assert_int_equal(sk_bitfield_init(&have, PIECES), 0);
    sk_bitfield_add(&have, 2);
    assert_int_equal(sk_resume_reset(resume, &have), 0);
    sk_bitfield_deinit(&have);
    add_all(resume, "1");
    sk_resume_close(resume);
    expect(*state, "12", true);
}

static void test_killed(void **state)
{
    run_killed(*state, "02");
    expect(*state, "02", true);
    run_killed(*state, "1");
    expect(*state, "012", true);
}

/* Files that nobody looked at, as the program ended before, are not known to hold nothing. */
static void test_never_looked_at(void **state)
{
    const struct folder *folder = *state;
    char named[PIECES + 1];
    struct sk_resume *resume;
    bool trusted;
    run(folder, "");
    assert_int_equal(begin(folder, boot, &resume, named, &trusted), 0);
    assert_string_equal(named, "");
    assert_false(trusted);
    sk_resume_close(resume);
    run_killed(folder, "");
    assert_int_equal(begin(folder, boot, &resume, named, &trusted), 0);
    assert_false(trusted);
    sk_resume_close(resume);
}

static void test_torn_record(void **state)
{
    const uint8_t record[8] = {0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe};
    for (size_t n = 1; n < sizeof record; n++) {
        run_killed(*state, "0");
        append(*state, record, n);
        run_killed(*state, "2"); /* what comes later is not lost behind it */
        expect(*state, "02", true);
    }
    append(*state, record, sizeof record);
    expect(*state, "012", true);
}

static void test_another_boot(void **state)
{
    run(*state, "02");
    expect_with(*state, other_boot, "02", false);
    expect_with(*state, other_boot, "02", false); /* it was not looked at meanwhile */
    expect(*state, "02", true);
    run_killed(*state, "");
    expect_with(*state, other_boot, "02", false);
    expect_with(*state, no_boot, "02", false);
}

static void test_untrusted_pieces_are_forgotten(void **state)
{
    char named[PIECES + 1];
    struct sk_resume *resume;
    bool trusted;
    run(*state, "023");
    assert_int_equal(begin(*state, other_boot, &resume, named, &trusted), 0);
    assert_false(trusted);
    add_all(resume, "1"); /* fetched anew, without a look at what is there */
    sk_resume_close(resume);
    expect_with(*state, other_boot, "1", true);
}

static void test_unknown_boot_is_not_the_same(void **state)
{
    char named[PIECES + 1];
    struct sk_resume *resume;
    bool trusted;
    assert_int_equal(begin(*state, no_boot, &resume, named, &trusted), 0);
    add_all(resume, "0");
    sk_resume_close(resume);
    expect_with(*state, no_boot, "0", false);
}

static void test_touched_after_the_end(void **state)
{
    char path[256];
    struct stat about;
    struct folder *folder = *state;
    run(folder, "02");
    snprintf(path, sizeof path, "%s/t/sub/b", folder->data);
    assert_int_equal(stat(path, &about), 0);
    usleep(20000); /* the kernel's clock for files is a coarse one */
    put(folder, "t/sub/b", "what is in B");
    /* As somebody does who wants it not to be seen. */
    const struct timespec times[2] = {about.st_atim, about.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    expect(folder, "02", false);
}

static void test_touched_after_a_kill(void **state)
{
    char path[256];
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    run_killed(*state, "02");
    find_file(*state, path);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0); /* the last record is old */
    expect(*state, "02", false);
}

static void test_gone(void **state)
{
    struct folder *folder = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/t/sub/b", folder->data);
    run(folder, "0");
    assert_int_equal(unlink(path), 0);
    expect(folder, "0", false);
    run_killed(folder, "0");
    expect(folder, "0", true); /* no piece was there, so far */
    run_killed(folder, "2");
    expect(folder, "02", false);
}

static void test_hostile(void **state)
{
    struct sk_prng prng;
    uint8_t bytes[400];
    char path[256];
    run(*state, "02");
    find_file(*state, path);
    sk_prng_init(&prng, 1);
    for (unsigned round = 0; round < 300; round++) {
        char named[PIECES + 1];
        struct sk_resume *resume;
        bool trusted;
        FILE *file = fopen(path, round % 2 ? "r+" : "w");
        size_t n = sk_prng_below(&prng, sizeof bytes);
        sk_prng_bytes(&prng, bytes, n);
        fseek(file, (long)sk_prng_below(&prng, 100), SEEK_SET);
        fwrite(bytes, 1, n, file);
        fclose(file);
        assert_int_equal(begin(*state, boot, &resume, named, &trusted), 0);
        if (round % 2 == 0)
            assert_false(trusted);
        sk_resume_close(resume);
    }
    /* A piece that is none, whose record is well made. */
    const uint8_t beyond[16] = {0, 0, 0, 4, 0xff, 0xff, 0xff, 0xfb,
                                0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe};
    unlink(path);
    run_killed(*state, "0");
    append(*state, beyond, sizeof beyond);
    expect(*state, "0", true);
}

static void test_of_another_torrent(void **state)
{
    char path[256];
    run(*state, "02");
    find_file(*state, path);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "!", 1, 8 + SK_RESUME_BOOT_SIZE), 1); /* of the info-hash */
    close(fd);
    expect(*state, "", false);
}

static void test_a_link_is_not_followed(void **state)
{
    struct folder *folder = *state;
    char path[256], named[PIECES + 1];
    struct sk_resume *resume;
    bool trusted;
    run(folder, "0");
    find_file(folder, path);
    unlink(path);
    assert_int_equal(symlink(folder->path, path), 0);
    assert_int_equal(begin(folder, boot, &resume, named, &trusted), SKEP_ERR_IO);
    assert_int_equal(errno, ELOOP);
}

static void test_two_at_once(void **state)
{
    struct folder *folder = *state, other = *folder;
    char named[PIECES + 1];
    struct sk_resume *resume, *second;
    bool trusted;
    assert_int_equal(begin(folder, boot, &resume, named, &trusted), 0);
    assert_int_equal(begin(folder, boot, &second, named, &trusted), SKEP_ERR_STATE);
    /* The same directory by another name. */
    snprintf(other.data, sizeof other.data, "%s/link", folder->path);
    assert_int_equal(symlink(folder->data, other.data), 0);
    assert_int_equal(begin(&other, boot, &second, named, &trusted), SKEP_ERR_STATE);
    sk_resume_close(resume);
    run(folder, "1");
    expect(&other, "1", true);
}

static void test_no_place(void **state)
{
    struct folder *folder = *state, other = *folder;
    char named[PIECES + 1];
    struct sk_resume *resume;
    bool trusted;
    snprintf(other.state, sizeof other.state, "%s/t/a/state", folder->data);
    assert_int_equal(begin(&other, boot, &resume, named, &trusted), SKEP_ERR_IO);
    assert_int_equal(errno, ENOTDIR);
    other = *folder;
    snprintf(other.data, sizeof other.data, "%s/nowhere", folder->path);
    assert_int_equal(begin(&other, boot, &resume, named, &trusted), SKEP_ERR_IO);
    assert_int_equal(errno, ENOENT);
    sk_resume_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_reset),
        TEST(test_killed),
        TEST(test_never_looked_at),
        TEST(test_torn_record),
        TEST(test_another_boot),
        TEST(test_untrusted_pieces_are_forgotten),
        TEST(test_unknown_boot_is_not_the_same),
        TEST(test_touched_after_the_end),
        TEST(test_touched_after_a_kill),
        TEST(test_gone),
        TEST(test_hostile),
        TEST(test_of_another_torrent),
        TEST(test_a_link_is_not_followed),
        TEST(test_two_at_once),
        TEST(test_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
