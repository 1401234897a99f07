/*
 * What an audit infers of the peers of a lab that trade, beside what is true: what each gained and
 * gave, who gave to whom, and what is made of its reports. Layer: cmd.
 */
#ifndef SK_CMD_LAB_ESTIMATES_H
#define SK_CMD_LAB_ESTIMATES_H

#include "cmd/ink.h"

#include <jansson.h>

/*
 * Appends a table of the peers that trade and lines that sum up; nothing where the audit inferred
 * nothing. Both documents are what they should be. SKEP_ERR_NOMEM.
 */
int sk_lab_estimates_write(const json_t *truth, const json_t *audit, const struct sk_screen *screen,
                           struct sk_buf *out);

#endif
