/*
 * Scenario files of skep lab: INI-like, one table of keys. Layer: cmd.
 *
 *   [torrent]            name, size, piece-size, version (v1, v2, hybrid), seed
 *   [tracker]            http, udp (yes, no), interval, answer (peers at most)
 *   [peers NAME]         kind first, then count and whatever is to differ from the kind
 *
 * A comment begins with # and takes a line of its own.
 */
#ifndef SK_CMD_LAB_SCENARIO_H
#define SK_CMD_LAB_SCENARIO_H

#include "swarm/lab_swarm.h"

#include <stdio.h>

#define SK_LAB_REASON_MAX 300

/* The scenario of the demonstration. */
extern const char sk_lab_demo_scenario[];

/*
 * Reads a scenario; `name` is what messages call it. On the heap: sk_mem_free() it. On failure
 * `ret_reason` is "name:line: what is wrong", quoting the file as it is. SKEP_ERR_INVALID,
 * SKEP_ERR_LIMIT, SKEP_ERR_NOMEM.
 */
int sk_lab_scenario_parse(const char *name, struct sk_bytes text,
                          struct sk_lab_scenario **ret_scenario,
                          char ret_reason[SK_LAB_REASON_MAX]);

/* Writes what keys there are and what kinds. */
void sk_lab_scenario_help(FILE *to);

#endif
