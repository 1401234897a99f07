/*
 * A file that is still being written, in order, to a descriptor: what is said to be ready of it.
 * Layer: driver.
 *
 * A thread of its own reads and writes, so that a slow reader holds up nobody; a pipe that takes
 * nothing is looked at again soon, so that the end does not wait for it either. SIGPIPE has to be
 * ignored. Memory: SK_OUTLET_BUFFER bytes.
 */
#ifndef SK_DRIVER_OUTLET_H
#define SK_DRIVER_OUTLET_H

#include <stdint.h>

#define SK_OUTLET_BUFFER (128u << 10)

enum sk_outlet_state {
    SK_OUTLET_RUNNING,
    SK_OUTLET_DONE,   /* all of it was written */
    SK_OUTLET_CLOSED, /* the reader does not want more */
    SK_OUTLET_FAILED, /* reading or writing: an errno */
};

struct sk_outlet;

/*
 * Bytes `from` to `end` (from < end) of the file that lies, or will lie, below the directory `root`
 * under `path`, opened as sk_path_open() does; both descriptors stay the caller's, as they are
 * until sk_outlet_free(). SKEP_ERR_NOMEM.
 */
int sk_outlet_new(int root, const char *path, uint64_t from, uint64_t end, int to,
                  struct sk_outlet **ret_outlet);
/* All before `ready` is in the file and right. It only grows. */
void sk_outlet_offer(struct sk_outlet *outlet, uint64_t ready);
/* How it stands. *ret_at: where the next byte to be written lies; *ret_error: of FAILED. */
enum sk_outlet_state sk_outlet_look(struct sk_outlet *outlet, uint64_t *ret_at, int *ret_error);
/* Ends it, wherever it is. NULL is fine. */
void sk_outlet_free(struct sk_outlet *outlet);

#endif
