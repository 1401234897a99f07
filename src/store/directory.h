/*
 * Directories of a program's own. Layer: store.
 */
#ifndef SK_STORE_DIRECTORY_H
#define SK_STORE_DIRECTORY_H

/* Makes the directory and what leads there, mode 0700; what is there already is as its owner wants
 * it. SKEP_ERR_IO (errno). */
int sk_directory_make(const char *path);

#endif
