/*
 * The commands: one function each, argv as after "skep" (argv[0] is the command's name). They
 * print, and return the program's exit code. Layer: cmd.
 */
#ifndef SK_CMD_CMD_H
#define SK_CMD_CMD_H

enum sk_exit {
    SK_EXIT_DONE = 0,
    SK_EXIT_FAILED = 1,
    SK_EXIT_USAGE = 2,
    SK_EXIT_NOTHING = 3, /* nothing found */
    SK_EXIT_NETWORK = 4, /* network or time-out */
    SK_EXIT_PARTIAL = 5, /* interrupted, or time ran out before it converged */
    SK_EXIT_CORRUPT = 6, /* corrupt data */
    SK_EXIT_STORAGE = 7,
};

int sk_cmd_audit(int argc, char **argv);
int sk_cmd_dht(int argc, char **argv);
int sk_cmd_lab(int argc, char **argv);
int sk_cmd_show(int argc, char **argv);

/* One line on stderr, "skep: ...", with whatever is in it made safe to show; nothing more is needed
 * before a failing return. */
__attribute__((format(printf, 1, 2))) void sk_complain(const char *format, ...);
/* The exit code for an operating error. */
int sk_exit_of(int err);

#endif
