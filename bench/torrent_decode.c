/*
 * torrent_decode: how long skep's decoder takes for a .torrent file, through the wire library.
 *
 *     torrent_decode FILE ROUNDS
 *
 * Prints one line of JSON: the seconds of the best and of the median round, and what was found in
 * the file, so that the caller can see that both sides read the same. A round is parse and free.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/metainfo.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct sk_bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size);
    if (!bytes || fread(bytes, 1, size, file) != size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return (struct sk_bytes){bytes, size};
}

static struct sk_metainfo *parse(struct sk_bytes torrent)
{
    struct sk_metainfo *metainfo;
    const char *reason = "";
    int err = sk_metainfo_parse(torrent, &metainfo, &reason);
    if (err) {
        fprintf(stderr, "torrent_decode: error %d: %s\n", err, reason);
        exit(1);
    }
    return metainfo;
}

static uint32_t files_of(const struct sk_metainfo *metainfo)
{
    uint32_t files = 0;
    for (uint32_t i = 0; i < metainfo->files_count; i++)
        files += !(metainfo->files[i].flags & SK_FILE_PADDING);
    return files;
}

static void print_hash(const char *name, const uint8_t *hash, size_t size)
{
    printf("\"%s\": \"", name);
    for (size_t i = 0; i < size; i++)
        printf("%02x", hash[i]);
    printf("\"");
}

int main(int argc, char **argv)
{
    int rounds = argc == 3 ? atoi(argv[2]) : 0;
    if (rounds < 1) {
        fputs("usage: torrent_decode FILE ROUNDS\n", stderr);
        return 2;
    }
    struct sk_bytes torrent = read_file(argv[1]);
    double *seconds = calloc((size_t)rounds, sizeof *seconds);
    if (!seconds)
        return 1;
    for (int i = 0; i < rounds; i++) {
        double started = now_s();
        sk_metainfo_free(parse(torrent));
        seconds[i] = now_s() - started;
    }
    qsort(seconds, (size_t)rounds, sizeof *seconds, compare_seconds);
    struct sk_metainfo *metainfo = parse(torrent);
    printf("{\"best_s\": %.9f, \"median_s\": %.9f, \"files\": %" PRIu32 ", \"pieces\": %" PRIu32
           ", ",
           seconds[0], seconds[rounds / 2], files_of(metainfo), metainfo->pieces);
    print_hash("hash_v1", metainfo->hash_v1, sizeof metainfo->hash_v1);
    printf(", ");
    print_hash("hash_v2", metainfo->hash_v2, sizeof metainfo->hash_v2);
    printf("}\n");
    sk_metainfo_free(metainfo);
    free(seconds);
    free((void *)torrent.p);
    return 0;
}
