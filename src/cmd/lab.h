/*
 * The inside of skep lab: a run with its files, and the demonstration. Layer: cmd.
 */
#ifndef SK_CMD_LAB_H
#define SK_CMD_LAB_H

#include "driver/lab.h"

struct sk_lab_run {
    const struct sk_lab_scenario *scenario;
    const char *truth, *torrent, *reports; /* files to write; NULL: not */
    double time_s;                         /* 0: until a signal */
    uint16_t port;                         /* 0: any */
    bool quiet;
    int ready_fd; /* a byte is written here once all is ready; -1: nowhere */
};

/* Runs the lab. Complains; an exit code. */
int sk_lab_run_files(const struct sk_lab_run *run);

/*
 * Runs the lab in a process of its own, audits it with this program, prints the report and how it
 * compares with the truth. Complains; an exit code: 0 where nothing differs.
 */
int sk_lab_demo(const struct sk_lab_scenario *scenario);

/* Compares two files, the truth of a lab and the JSON of an audit. An exit code as above. */
int sk_lab_compare_files(const char *truth, const char *audit);

#endif
