/*
 * What an experiment found, as a table that is printed row by row, or as one line of JSON.
 * Layer: sim.
 */
#ifndef SK_SIM_REPORT_H
#define SK_SIM_REPORT_H

#include "base/bytes.h"

struct sk_sim_report {
    bool json;
    uint32_t rows, cells;
    struct sk_buf head, row; /* of the table: names, cells. JSON: row holds it all */
};

/* `title`: a line above the table. */
void sk_sim_report_init(struct sk_sim_report *report, const char *experiment, uint64_t seed,
                        bool json, const char *title);
/* Cells of a row, in the same order in all rows. NaN is shown as "-" (null). */
void sk_sim_report_number(struct sk_sim_report *report, const char *name, double value, int digits);
void sk_sim_report_text(struct sk_sim_report *report, const char *name, const char *text);
void sk_sim_report_end_row(struct sk_sim_report *report);
/* The last line: CPU time, memory, or why there was no result (`fault`, NULL). */
void sk_sim_report_deinit(struct sk_sim_report *report, const char *fault);

/* Resident memory now, bytes. */
double sk_sim_resident(void);

#endif
