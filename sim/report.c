#include "sim/report.h"

#include "base/assert.h"

#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define WIDTH_LEAST 9
#define REPORT_MAX (1u << 20)

void sk_sim_report_init(struct sk_sim_report *report, const char *experiment, uint64_t seed,
                        bool json, const char *title)
{
    *report = (struct sk_sim_report){.json = json};
    sk_buf_init(&report->head, REPORT_MAX);
    sk_buf_init(&report->row, REPORT_MAX);
    if (json)
        sk_buf_printf(&report->row, "{\"experiment\": \"%s\", \"seed\": %llu, \"rows\": [{",
                      experiment, (unsigned long long)seed);
    else
        printf("%s, seed %llu: %s\n", experiment, (unsigned long long)seed, title);
}

static void add_cell(struct sk_sim_report *report, const char *name, const char *text,
                     const char *quote)
{
    int width = SK_MAX(WIDTH_LEAST, (int)strlen(name));
    if (report->json) {
        sk_buf_printf(&report->row, "%s\"%s\": %s%s%s", report->cells ? ", " : "", name, quote,
                      text, quote);
    } else {
        if (!report->rows)
            sk_buf_printf(&report->head, "%*s  ", width, name);
        sk_buf_printf(&report->row, "%*s  ", width, text);
    }
    report->cells++;
}

void sk_sim_report_number(struct sk_sim_report *report, const char *name, double value, int digits)
{
    char text[40];
    if (isnan(value))
        snprintf(text, sizeof text, "%s", report->json ? "null" : "-");
    else
        snprintf(text, sizeof text, "%.*f", digits, value);
    add_cell(report, name, text, "");
}

void sk_sim_report_text(struct sk_sim_report *report, const char *name, const char *text)
{
    add_cell(report, name, text, "\"");
}

void sk_sim_report_end_row(struct sk_sim_report *report)
{
    if (report->json) {
        sk_buf_text(&report->row, "}, {");
    } else {
        if (!report->rows)
            printf("%.*s\n", (int)report->head.n, (const char *)report->head.p);
        printf("%.*s\n", (int)report->row.n, (const char *)report->row.p);
        fflush(stdout);
        report->row.n = 0;
    }
    report->rows++;
    report->cells = 0;
}

void sk_sim_report_deinit(struct sk_sim_report *report, const char *fault)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double most_mib = (double)usage.ru_maxrss / 1024;
    if (report->json) {
        report->row.n -= report->rows ? strlen(", {") : strlen("{");
        printf("%.*s], \"cpu_s\": %.2f, \"most_memory_mib\": %.1f, \"fault\": %s%s%s}\n",
               (int)report->row.n, (const char *)report->row.p, cpu_s, most_mib, fault ? "\"" : "",
               fault ? fault : "null", fault ? "\"" : "");
    } else {
        printf("%.1f s of CPU, %.0f MiB at most\n", cpu_s, most_mib);
        if (fault)
            printf("fault: %s\n", fault);
    }
    sk_buf_deinit(&report->head);
    sk_buf_deinit(&report->row);
}

double sk_sim_resident(void)
{
    unsigned long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%lu %lu", &size, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}
