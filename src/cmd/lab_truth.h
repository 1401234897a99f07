/*
 * The truth of a lab as JSON ("skep.lab/1", docs/schema/skep.lab.1.json), and an audit's JSON
 * ("skep.audit/1") held against it, peer by peer. Layer: cmd.
 */
#ifndef SK_CMD_LAB_TRUTH_H
#define SK_CMD_LAB_TRUTH_H

#include "audit/report.h"
#include "cmd/ink.h"
#include "driver/lab.h"

#include <jansson.h>

#define SK_LAB_SCHEMA "skep.lab/1"

/* What an audit that looks long enough, with every policy of its own at its default, should find.
 */
enum sk_peer_outcome sk_lab_expected(const struct sk_lab_peer *peer);

/* The lab's magnet link, NUL-terminated. SKEP_ERR_NOMEM. */
int sk_lab_magnet(const struct sk_lab *lab, struct sk_buf *buf);

/* Writes the truth as it is now; the file appears whole or not at all. `ended`: the lab is over.
 * SKEP_ERR_NOMEM, SKEP_ERR_IO (errno). */
int sk_lab_truth_write(const struct sk_lab *lab, bool ended, const char *path);

/* How an audit did. */
struct sk_lab_score {
    uint32_t peers, differences; /* peers of the truth; findings that are not as they should be */
};

/*
 * Appends the differences and a last line that sums up. SKEP_ERR_MALFORMED where one of the
 * documents is not what it should be, SKEP_ERR_NOMEM.
 */
int sk_lab_compare(const json_t *truth, const json_t *audit, const struct sk_screen *screen,
                   struct sk_buf *out, struct sk_lab_score *ret_score);

#endif
