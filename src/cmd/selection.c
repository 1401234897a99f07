#include "cmd/selection.h"

#include <ctype.h>
#include <stdlib.h>

/* Reads a number from 1 on and goes past it. */
static bool read_number(const char **text, uint32_t *ret_number)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    unsigned long value = strtoul(*text, &end, 10);
    if (value == 0 || value > UINT32_MAX)
        return false;
    *text = end;
    *ret_number = (uint32_t)value;
    return true;
}

bool sk_selection_parse(const char *text, struct sk_selection *ret_selection)
{
    ret_selection->count = 0;
    for (;; text++) {
        uint32_t first, last;
        if (ret_selection->count == SK_SELECTION_RANGES_MAX || !read_number(&text, &first))
            return false;
        last = first;
        if (*text == '-') {
            text++;
            last = UINT32_MAX;
            if (*text && *text != ',' && !read_number(&text, &last))
                return false;
        }
        if (last < first)
            return false;
        ret_selection->ranges[ret_selection->count].first = first;
        ret_selection->ranges[ret_selection->count++].last = last;
        if (*text != ',')
            return !*text;
    }
}

bool sk_selection_has(const struct sk_selection *selection, uint32_t number)
{
    bool has = selection->count == 0;
    for (size_t i = 0; i < selection->count && !has; i++)
        has = number >= selection->ranges[i].first && number <= selection->ranges[i].last;
    return has;
}

uint32_t sk_selection_beyond(const struct sk_selection *selection, const struct sk_metainfo *m)
{
    uint32_t files = sk_files_numbered(m), beyond = 0;
    for (size_t i = 0; i < selection->count; i++) {
        uint32_t last = selection->ranges[i].last, first = selection->ranges[i].first;
        uint32_t named = last == UINT32_MAX ? first : last;
        if (named > files && named > beyond)
            beyond = named;
    }
    return beyond;
}

uint32_t sk_file_numbered(const struct sk_metainfo *m, uint32_t number)
{
    for (uint32_t i = 0; i < m->files_count; i++)
        if (!(m->files[i].flags & SK_FILE_PADDING) && --number == 0)
            return i;
    return UINT32_MAX;
}

uint32_t sk_files_numbered(const struct sk_metainfo *m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->files_count; i++)
        count += !(m->files[i].flags & SK_FILE_PADDING);
    return count;
}
