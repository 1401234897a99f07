/*
 * One GET, waited for: the http(s) address of a .torrent on a command line. Layer: driver. Same
 * rules as for trackers (driver/http.h); the user named the address, so it may be of any scope.
 */
#ifndef SK_DRIVER_FETCH_H
#define SK_DRIVER_FETCH_H

#include "base/bytes.h"

#include <skep/runtime.h>

#define SK_FETCH_REASON_MAX 256

/* Runs the runtime's loop until the answer is there; before the engine has torrents. The body is
 * appended to ret_body (at most its max). SKEP_ERR_NETWORK with a reason, SKEP_ERR_NOMEM. */
int sk_fetch(struct skep_runtime *runtime, const char *url, struct sk_buf *ret_body,
             char ret_reason[SK_FETCH_REASON_MAX]);

#endif
