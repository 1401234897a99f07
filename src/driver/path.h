/*
 * Files below a directory, whatever their names are and whatever lies there already. Layer: driver.
 *
 * A path is followed element by element and no symbolic link is followed on the way, so that
 * nothing outside the directory can be reached; only regular files are opened.
 */
#ifndef SK_DRIVER_PATH_H
#define SK_DRIVER_PATH_H

#include <stdbool.h>

/* A descriptor, to read or (with its directories made, where they are not there) to read and write;
 * or -1 with errno: EINVAL for a path with an empty element, "." or ".." in it, or for what is no
 * regular file; ELOOP or ENOTDIR for a link. The caller closes it. */
int sk_path_open(int root, const char *path, bool write);
/* A directory in a directory, to be read; no link is followed. `make`: where it is not there. */
int sk_path_enter(int dir, const char *name, bool make);

#endif
