/* skep get --verify: which pieces of a torrent a directory holds. Layer: cmd. */
#ifndef SK_CMD_VERIFY_H
#define SK_CMD_VERIFY_H

#include "cmd/options.h"

/* Of each target. Nothing is written anywhere, and nobody asked but for a .torrent by http.
 * Complains; an exit code: 0 all is right, 5 some, 3 nothing. */
int sk_verify(const struct sk_options *options, const char *directory, char **targets,
              size_t count);

#endif
