/*
 * Room on the disk for files, before they are written. Layer: driver.
 *
 * A thread of its own reserves it, file by file and in steps, so that nobody waits for a file
 * system that has to write zeros for that. What files hold stays as it is. Where there is no room
 * for all of it, what a file was lengthened by for nothing is given back.
 */
#ifndef SK_DRIVER_ALLOCATION_H
#define SK_DRIVER_ALLOCATION_H

#include <stddef.h>
#include <stdint.h>

struct sk_allocation;

struct sk_allocation_file {
    char *path; /* below the root, as of sk_path_open(); sk_mem_...'s */
    uint64_t length;
};

enum sk_allocation_state {
    SK_ALLOCATION_RUNNING,
    SK_ALLOCATION_DONE,
    SK_ALLOCATION_FAILED, /* an errno */
};

/*
 * Begins. Takes over the list and its paths, also where it fails; `root`, a directory, stays the
 * caller's and is needed until sk_allocation_free(). SKEP_ERR_NOMEM.
 */
int sk_allocation_new(int root, struct sk_allocation_file *files, size_t count,
                      struct sk_allocation **ret_allocation);
/* How it stands, bytes that have their room, of FAILED the errno and the path. */
enum sk_allocation_state sk_allocation_look(struct sk_allocation *allocation, uint64_t *ret_bytes,
                                            int *ret_error, const char **ret_path);
/* Ends it after the step that it is at. NULL is fine. */
void sk_allocation_free(struct sk_allocation *allocation);

#endif
