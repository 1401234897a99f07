#include "cmd/units.h"

#include "base/assert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The number of the step up to which the value is divided; less than 999.5 is left, if any can. */
static size_t scale(double *value, double base, size_t steps)
{
    size_t step = 0;
    while (*value >= 999.5 && step + 1 < steps) {
        *value /= base;
        step++;
    }
    return step;
}

/* One decimal below 10, none above; 9.96 is 10. */
static int decimals(double value)
{
    return value < 9.95 ? 1 : 0;
}

char *sk_units_bytes(double bytes, char ret_text[SK_UNITS_MAX])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    if (!isfinite(bytes)) {
        strcpy(ret_text, "?");
        return ret_text;
    }
    size_t unit = scale(&bytes, 1024, SK_ARRAY_LEN(units));
    snprintf(ret_text, SK_UNITS_MAX, "%.*f %s", unit ? decimals(bytes) : 0, bytes, units[unit]);
    return ret_text;
}

static const char *const rate_units[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s"};

char *sk_units_rate(double bytes_s, char ret_text[SK_UNITS_MAX])
{
    if (!isfinite(bytes_s)) {
        strcpy(ret_text, "?");
        return ret_text;
    }
    size_t unit = scale(&bytes_s, 1000, SK_ARRAY_LEN(rate_units));
    snprintf(ret_text, SK_UNITS_MAX, "%.*f %s", unit ? decimals(bytes_s) : 0, bytes_s,
             rate_units[unit]);
    return ret_text;
}

char *sk_units_rate_error(double bytes_s, double error_bytes_s, char ret_text[SK_UNITS_MAX])
{
    if (!isfinite(bytes_s) || !isfinite(error_bytes_s)) {
        strcpy(ret_text, "?");
        return ret_text;
    }
    size_t unit = scale(&bytes_s, 1000, SK_ARRAY_LEN(rate_units));
    double error = error_bytes_s / pow(1000, (double)unit);
    snprintf(ret_text, SK_UNITS_MAX, "%.*f",
             unit && error < 0.095 ? 2
             : unit                ? decimals(error)
                                   : 0,
             error);
    return ret_text;
}

char *sk_units_duration(double seconds, char ret_text[SK_UNITS_MAX])
{
    static const struct {
        double whole, part;
        const char *whole_name, *part_name;
    } steps[] = {{60, 1, "min", "s"}, {3600, 60, "h", "min"}, {86400, 3600, "d", "h"}};
    if (!isfinite(seconds) || seconds < 0) {
        strcpy(ret_text, "?");
    } else if (seconds < 0.00005) {
        strcpy(ret_text, "<0.1 ms");
    } else if (seconds < 0.9995) {
        snprintf(ret_text, SK_UNITS_MAX, "%.*f ms", decimals(seconds * 1000), seconds * 1000);
    } else if (seconds < 59.5) {
        snprintf(ret_text, SK_UNITS_MAX, "%.*f s", decimals(seconds), seconds);
    } else {
        size_t i = seconds < 3599.5 ? 0 : seconds < 86370 ? 1 : 2;
        double parts = round(seconds / steps[i].part), each = steps[i].whole / steps[i].part;
        double whole = floor(parts / each);
        parts -= whole * each;
        if (parts > 0)
            snprintf(ret_text, SK_UNITS_MAX, "%.0f %s %.0f %s", whole, steps[i].whole_name, parts,
                     steps[i].part_name);
        else
            snprintf(ret_text, SK_UNITS_MAX, "%.0f %s", whole, steps[i].whole_name);
    }
    return ret_text;
}

char *sk_units_share(double share, char ret_text[SK_UNITS_MAX])
{
    if (!isfinite(share))
        strcpy(ret_text, "?");
    else if (share >= 1)
        strcpy(ret_text, "100%");
    else if (share > 0 && share < 0.001)
        strcpy(ret_text, "<0.1%");
    else
        snprintf(ret_text, SK_UNITS_MAX, share > 0 ? "%.1f%%" : "%.0f%%",
                 floor(share * 1000 + 1e-9) / 10);
    return ret_text;
}

char *sk_units_count(uint64_t count, char ret_text[SK_UNITS_MAX])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = ret_text;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return ret_text;
}
