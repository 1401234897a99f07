/*
 * Which files of a torrent are wanted: --select. Layer: cmd. Files have the numbers that
 * `skep show` prints: from 1 on, padding left out.
 */
#ifndef SK_CMD_SELECTION_H
#define SK_CMD_SELECTION_H

#include "wire/metainfo.h"

#define SK_SELECTION_RANGES_MAX 256
#define SK_SELECTION_EXPECTED "numbers of files and ranges, such as 1,3-5 or 7-"

/* count 0: all files. */
struct sk_selection {
    struct {
        uint32_t first, last; /* inclusive */
    } ranges[SK_SELECTION_RANGES_MAX];
    size_t count;
};

/* "1,3-5", "7-" (to the last). False where the text is no such list. */
bool sk_selection_parse(const char *text, struct sk_selection *ret_selection);
bool sk_selection_has(const struct sk_selection *selection, uint32_t number);
/* The largest number that it names which is no file's; 0: there is none. */
uint32_t sk_selection_beyond(const struct sk_selection *selection, const struct sk_metainfo *m);
/* The file of this number (> 0), as an index into m->files; UINT32_MAX: there is none. */
uint32_t sk_file_numbered(const struct sk_metainfo *m, uint32_t number);
/* Files that have a number. */
uint32_t sk_files_numbered(const struct sk_metainfo *m);

#endif
