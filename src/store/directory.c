#include "store/directory.h"

#include <skep/err.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

int sk_directory_make(const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s/", path) >= (int)sizeof part) {
        errno = ENAMETOOLONG;
        return SKEP_ERR_IO;
    }
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0700) && errno != EEXIST)
            return SKEP_ERR_IO;
        *p = '/';
    }
    return 0;
}
