#include "cmd/parse.h"

#include "base/assert.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool sk_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {
        {"", 1},        {"b", 1},         {"k", 1024},        {"kib", 1024},
        {"m", 1048576}, {"mib", 1048576}, {"g", 1073741824},  {"gib", 1073741824},
        {"kb", 1000},   {"mb", 1000000},  {"gb", 1000000000},
    };
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    double value = strtod(text, &end);
    for (size_t i = 0; i < SK_ARRAY_LEN(units); i++) {
        if (strcasecmp(end, units[i].unit) != 0)
            continue;
        double bytes = value * units[i].factor;
        if (units[i].factor == 1 && bytes != floor(bytes)) /* 3.5 of what? */
            return false;
        if (!(bytes >= 0 && bytes < 9e18))
            return false;
        *ret_bytes = (uint64_t)bytes;
        return true;
    }
    return false;
}

bool sk_parse_seconds(const char *text, double *ret_seconds)
{
    char *end;
    if (!isdigit((unsigned char)*text) && *text != '.')
        return false;
    double value = strtod(text, &end);
    double factor = strcmp(end, "") == 0 || strcmp(end, "s") == 0 ? 1
                    : strcmp(end, "m") == 0                       ? 60
                    : strcmp(end, "h") == 0                       ? 3600
                                                                  : 0;
    if (factor == 0 || !(value >= 0 && value * factor < 1e9))
        return false;
    *ret_seconds = value * factor;
    return true;
}

bool sk_parse_time(const char *text, double *ret_seconds)
{
    double seconds = 0;
    int fields = 0;
    for (;; text++) {
        char *end;
        if (!isdigit((unsigned char)*text))
            return false;
        double value = strtod(text, &end);
        seconds = seconds * 60 + value;
        fields++;
        size_t digits = strspn(text, "0123456789"), n = (size_t)(end - text);
        if (strspn(text, "0123456789.") != n)
            return false;
        text = end;
        if (*text != ':')
            break;
        if (digits != n || fields == 3)
            return false;
    }
    bool unit = strcmp(text, "s") == 0;
    if ((*text && !unit) || unit != (fields == 1) || !(seconds < 1e9))
        return false;
    *ret_seconds = seconds;
    return true;
}

bool sk_parse_count(const char *text, uint32_t max, uint32_t *ret_count)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)*text))
        return false;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || errno || value > max)
        return false;
    *ret_count = (uint32_t)value;
    return true;
}
