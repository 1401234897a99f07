/*
 * The files that a command line names, looked at before the work at whose end they are needed.
 * Layer: cmd.
 */
#ifndef SK_CMD_PATHS_H
#define SK_CMD_PATHS_H

#include <stdbool.h>
#include <stddef.h>

struct sk_path {
    const char *name; /* of it in complaints: "--json" */
    const char *path; /* NULL: not given */
    bool written;
};

/*
 * No file is written that is named twice, and those that are written can be: by what the system
 * says now, nothing is made or changed. What is no regular file (a terminal, a pipe) may be named
 * as often as anybody likes. Complains; an exit code.
 */
int sk_paths_check(const struct sk_path *paths, size_t count);

#endif
