#include "cmd/paths.h"

#include "cmd/cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a path leads to; of a file that is not there yet, its directory and its name in it. */
struct place {
    bool exists;
    struct stat about; /* of the file or the directory */
    char directory[PATH_MAX];
    const char *name;
};

/* False (errno) where neither is there. */
static bool look(const char *path, struct place *ret_place)
{
    const char *slash = strrchr(path, '/');
    ret_place->exists = stat(path, &ret_place->about) == 0;
    ret_place->name = slash ? slash + 1 : path;
    if (ret_place->exists)
        return true;
    if (errno != ENOENT)
        return false;
    size_t n = slash ? (size_t)(slash - path) + 1 : 0; /* with it: "/" is a directory too */
    if (n >= sizeof ret_place->directory) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(ret_place->directory, sizeof ret_place->directory, "%.*s", slash ? (int)n : 1,
             slash ? path : ".");
    return stat(ret_place->directory, &ret_place->about) == 0;
}

static bool is_same(const char *a, const char *b)
{
    struct place x, y;
    if (!look(a, &x) || !look(b, &y) || x.exists != y.exists)
        return false;
    if (x.about.st_dev != y.about.st_dev || x.about.st_ino != y.about.st_ino)
        return false;
    return x.exists ? S_ISREG(x.about.st_mode) : strcmp(x.name, y.name) == 0;
}

static int check_written(const char *path)
{
    struct place place;
    if (!look(path, &place))
        return errno;
    if (place.exists && S_ISDIR(place.about.st_mode))
        return EISDIR;
    if (place.exists)
        return access(path, W_OK) ? errno : 0;
    if (!S_ISDIR(place.about.st_mode))
        return ENOTDIR;
    return access(place.directory, W_OK | X_OK) ? errno : 0;
}

int sk_paths_check(const struct sk_path *paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i && paths[i].path; k++) {
            if (!paths[k].path || !(paths[i].written || paths[k].written) ||
                !is_same(paths[i].path, paths[k].path))
                continue;
            sk_complain("%s and %s name the same file: %s", paths[k].name, paths[i].name,
                        paths[i].path);
            return SK_EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < count; i++) {
        int error = paths[i].path && paths[i].written ? check_written(paths[i].path) : 0;
        if (!error)
            continue;
        sk_complain("%s: %s", paths[i].path, strerror(error));
        return SK_EXIT_STORAGE;
    }
    return SK_EXIT_DONE;
}
