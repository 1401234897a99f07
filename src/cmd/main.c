#include "base/assert.h"
#include "cmd/cmd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sk_command commands[] = {
    {"audit", "go to every peer of a torrent and report what is true", sk_cmd_audit},
    {"get", "download torrents", sk_cmd_get},
    {"seed", "give the files of a torrent to whoever asks", sk_cmd_seed},
    {"dht", "find peers, keep and fetch bytes, look around in the DHT", sk_cmd_dht},
    {"create", "make a .torrent of a file or a folder", sk_cmd_create},
    {"show", "say what a .torrent file or a magnet link says", sk_cmd_show},
    {"tracker", "run a tracker that records what peers report", sk_cmd_tracker},
    {"verdict", "say which reports to a tracker cannot be true", sk_cmd_verdict},
    {"lab", "run a swarm of known truth on this machine", sk_cmd_lab},
};

static const struct sk_command_set set = {
    .program = "skep",
    .before = "skep looks at BitTorrent swarms: it goes to every peer, takes data from it and\n"
              "reports what is true.\n\n"
              "Usage: skep COMMAND [OPTION...] [TARGET]\n\n",
    .after = "\nA TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, the\n"
             "http(s) address of a .torrent file, or - for standard input.\n\n"
             "  skep audit ubuntu.torrent          a table while it runs, a report at the end\n"
             "  skep audit --format=json FILE      the same for programs\n"
             "  skep COMMAND --help                what a command can do\n",
    .commands = commands,
    .count = SK_ARRAY_LEN(commands),
};

/* Where one of the standard three is closed, a socket would get its number, and what is printed.
 * What takes its place fails to be used, as the closed one would. */
static void fill_standard(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            abort();
}

int main(int argc, char **argv)
{
    fill_standard();
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        puts("skep " SKEP_VERSION);
        return SK_EXIT_DONE;
    }
    return sk_command_run(&set, argc, argv);
}
