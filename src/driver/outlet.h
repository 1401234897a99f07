/*
 * Parts of a file that is still being written, and bytes beside it, in order to a descriptor.
 * Layer: driver.
 *
 * A thread of its own reads and writes, so that a slow reader holds up nobody; a pipe that takes
 * nothing is looked at again soon, so that the end does not wait for it either. SIGPIPE has to be
 * ignored. Memory: SK_OUTLET_BUFFER bytes, and those of SK_OUTLET_PARTS_MAX parts.
 */
#ifndef SK_DRIVER_OUTLET_H
#define SK_DRIVER_OUTLET_H

#include "base/bytes.h"

#define SK_OUTLET_BUFFER (128u << 10)
#define SK_OUTLET_PARTS_MAX 128 /* that wait to be written */

enum sk_outlet_state {
    SK_OUTLET_RUNNING,
    SK_OUTLET_DONE,   /* all parts were written, and no more come */
    SK_OUTLET_CLOSED, /* the reader does not want more */
    SK_OUTLET_FAILED, /* reading or writing: an errno */
};

struct sk_outlet;

/*
 * The file lies, or will lie, below the directory `root` under `path`, opened as sk_path_open()
 * does; both descriptors stay the caller's, as they are until sk_outlet_free(). SKEP_ERR_NOMEM.
 */
int sk_outlet_new(int root, const char *path, int to, struct sk_outlet **ret_outlet);
/* Whether one more part can wait. */
bool sk_outlet_has_room(struct sk_outlet *outlet);
/* These bytes of the file (length > 0), which are in it and right, come next. There is room. */
void sk_outlet_copy(struct sk_outlet *outlet, uint64_t offset, uint64_t length);
/* These come next; they are copied. There is room. SKEP_ERR_NOMEM. */
int sk_outlet_write(struct sk_outlet *outlet, struct sk_bytes bytes);
/* No more comes. */
void sk_outlet_finish(struct sk_outlet *outlet);
/* How it stands. *ret_bytes: how many were written; *ret_error: of FAILED. */
enum sk_outlet_state sk_outlet_look(struct sk_outlet *outlet, uint64_t *ret_bytes, int *ret_error);
/* Ends it, wherever it is. NULL is fine. */
void sk_outlet_free(struct sk_outlet *outlet);

#endif
