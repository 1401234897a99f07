/*
 * The commands: one function each, argv as after "skep" (argv[0] is the command's name). They
 * print, and return the program's exit code. Layer: cmd.
 */
#ifndef SK_CMD_CMD_H
#define SK_CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>

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

/* One of several commands that share a first word. */
struct sk_command {
    const char *name, *what;
    int (*run)(int argc, char **argv);
};

/* A table of commands with the text around it. */
struct sk_command_set {
    const char *program; /* "skep", "skep dht" */
    const char *before, *after;
    const struct sk_command *commands;
    size_t count;
};

/* Runs the command that argv[1] names, or shows what there is: all of it when asked for help, and
 * on stderr where there is none. An exit code. */
int sk_command_run(const struct sk_command_set *set, int argc, char **argv);

int sk_cmd_audit(int argc, char **argv);
int sk_cmd_create(int argc, char **argv);
int sk_cmd_dht(int argc, char **argv);
int sk_cmd_get(int argc, char **argv);
int sk_cmd_lab(int argc, char **argv);
int sk_cmd_seed(int argc, char **argv);
int sk_cmd_show(int argc, char **argv);
int sk_cmd_tracker(int argc, char **argv);
int sk_cmd_verdict(int argc, char **argv);

/* One line on stderr, "skep: ...", with whatever is in it made safe to show; nothing more is needed
 * before a failing return. */
__attribute__((format(printf, 1, 2))) void sk_complain(const char *format, ...);
/* The same of an operating error; its exit code. */
int sk_complain_err(int err);
/* For commands without a runtime, which has its own: from now on the first SIGINT or SIGTERM is
 * only noted, the next ends the program. */
void sk_interrupt_catch(void);
bool sk_interrupt_came(void);
/* The exit code for an operating error. */
int sk_exit_of(int err);

#endif
