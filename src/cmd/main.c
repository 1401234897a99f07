#include "base/assert.h"
#include "cmd/cmd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"audit", "go to every peer of a torrent and report what is true", sk_cmd_audit},
    {"dht", "find peers, keep and fetch bytes, look around in the DHT", sk_cmd_dht},
    {"show", "say what a .torrent file or a magnet link says", sk_cmd_show},
    {"lab", "run a swarm of known truth on this machine", sk_cmd_lab},
};

static void print_help(FILE *to)
{
    fputs("skep looks at BitTorrent swarms: it goes to every peer, takes data from it and\n"
          "reports what is true.\n\n"
          "Usage: skep COMMAND [OPTION...] [TARGET]\n\n",
          to);
    for (size_t i = 0; i < SK_ARRAY_LEN(commands); i++)
        fprintf(to, "  %-7s %s\n", commands[i].name, commands[i].what);
    fputs("\nA TARGET is a .torrent file, a magnet link, an info-hash of 40 or 64 digits, the\n"
          "http(s) address of a .torrent file, or - for standard input.\n\n"
          "  skep audit ubuntu.torrent          a table while it runs, a report at the end\n"
          "  skep audit --format=json FILE      the same for programs\n"
          "  skep COMMAND --help                what a command can do\n",
          to);
}

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
    if (argc < 2) {
        print_help(stderr);
        return SK_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return SK_EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("skep " SKEP_VERSION);
        return SK_EXIT_DONE;
    }
    for (size_t i = 0; i < SK_ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        char name[32]; /* what help texts and complaints call the program */
        snprintf(name, sizeof name, "skep %s", commands[i].name);
        argv[1] = name;
        return commands[i].run(argc - 1, argv + 1);
    }
    sk_complain("there is no command '%.40s' (skep --help lists them)", argv[1]);
    return SK_EXIT_USAGE;
}
