/*
 * Prints every HAVE of a swarm, one a line, until Ctrl-C:
 *
 *     have_printer FILE.torrent [HOST:PORT...]
 *     cc have_printer.c $(pkg-config --cflags --libs libskep) -o have_printer
 */
#include <skep/runtime.h>

#include <stdio.h>
#include <stdlib.h>

static void print_have(const struct skep_event *event, void *ctx)
{
    const int *slot = ctx;
    unsigned *seen = skep_peer_data(event->peer, *slot); /* what this program keeps on each peer */
    if (!seen && (seen = calloc(1, sizeof *seen)))
        skep_peer_set_data(event->peer, *slot, seen);
    printf("%s has piece %u, its number %u\n", skep_peer_address(event->peer), event->message.index,
           seen ? ++*seen : 0);
    fflush(stdout);
}

static void stop(struct skep_runtime *runtime, int signal, void *ctx)
{
    skep_runtime_stop(runtime);
}

int main(int argc, char **argv)
{
    static unsigned char file[1 << 20];
    FILE *in = argc > 1 ? fopen(argv[1], "rb") : NULL;
    size_t n = in ? fread(file, 1, sizeof file, in) : 0;
    struct skep_config config = {0};
    struct skep_runtime *runtime = NULL;
    struct skep_torrent *torrent;
    const char *reason = "no memory";
    if (skep_runtime_new(&config, &runtime, &reason) ||
        skep_engine_add_file(skep_runtime_engine(runtime), file, n, &torrent, &reason)) {
        fprintf(stderr, "have_printer: %s\n", reason);
        skep_runtime_free(runtime);
        return 1;
    }
    struct skep_engine *engine = skep_runtime_engine(runtime);
    int slot = skep_engine_reserve_slot(engine, free);
    skep_engine_hook_message(engine, SKEP_MESSAGE_HAVE, print_have, &slot);
    for (int i = 2; i < argc; i++)
        skep_torrent_add_peer(torrent, argv[i]);
    skep_runtime_on_signal(runtime, stop, NULL);
    skep_torrent_start(torrent, skep_runtime_now(runtime));
    skep_runtime_run(runtime, -1);
    skep_runtime_free(runtime);
    return 0;
}
