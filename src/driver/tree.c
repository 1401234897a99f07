#include "driver/tree.h"

#include <skep/err.h>

#include "base/mem.h"
#include "driver/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The names in a directory. Owned. */
struct names {
    char **list;
    size_t count, capacity;
};

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        sk_mem_free(names->list[i]);
    sk_mem_free(names->list);
}

static int add_name(struct names *names, const char *name)
{
    if (names->count == SK_METAINFO_FILES_MAX)
        return SKEP_ERR_LIMIT;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : 16;
        char **list = sk_mem_realloc(names->list, capacity, sizeof *list);
        if (!list)
            return SKEP_ERR_NOMEM;
        names->list = list;
        names->capacity = capacity;
    }
    names->list[names->count] = sk_mem_strdup(name);
    return names->list[names->count] ? (names->count++, 0) : SKEP_ERR_NOMEM;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* In order. */
static int read_names(int dir, struct names *names)
{
    int own = fcntl(dir, F_DUPFD_CLOEXEC, 0), err = 0;
    DIR *stream = own < 0 ? NULL : fdopendir(own);
    if (!stream) {
        if (own >= 0)
            close(own);
        return SKEP_ERR_IO;
    }
    struct dirent *entry;
    rewinddir(stream); /* the place in it is shared with whoever has the descriptor */
    while (!err && (errno = 0, entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = add_name(names, entry->d_name);
    int error = errno;
    closedir(stream);
    errno = error;
    if (!err && error)
        err = SKEP_ERR_IO;
    if (names->count)
        qsort(names->list, names->count, sizeof *names->list, compare_names);
    return err;
}

int sk_tree_add(struct sk_tree *tree, const char *path, const struct stat *about)
{
    if (tree->count == SK_METAINFO_FILES_MAX)
        return SKEP_ERR_LIMIT;
    if (tree->count == tree->capacity) {
        uint32_t capacity = tree->capacity ? tree->capacity * 2 : 16;
        struct sk_file *files = sk_mem_realloc(tree->files, capacity, sizeof *files);
        if (!files)
            return SKEP_ERR_NOMEM;
        tree->files = files;
        tree->capacity = capacity;
    }
    char *copy = sk_mem_strdup(path);
    if (!copy)
        return SKEP_ERR_NOMEM;
    tree->files[tree->count++] = (struct sk_file){
        .path = copy,
        .length = (uint64_t)about->st_size,
        .flags = about->st_mode & S_IXUSR ? SK_FILE_EXECUTABLE : 0,
    };
    return 0;
}

static int read_directory(struct sk_tree *tree, int dir, size_t path_n, unsigned depth);

/* One entry, whose path is the tree's. */
static int read_entry(struct sk_tree *tree, int dir, const char *name, size_t path_n,
                      unsigned depth)
{
    struct stat about;
    if (fstatat(dir, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return SKEP_ERR_IO;
    if (S_ISDIR(about.st_mode)) {
        if (depth == SK_TREE_DEPTH_MAX)
            return SKEP_ERR_LIMIT;
        int below = sk_path_enter(dir, name, false);
        if (below < 0)
            return SKEP_ERR_IO;
        int err = read_directory(tree, below, path_n, depth + 1);
        int error = errno;
        close(below);
        errno = error;
        return err;
    }
    bool excluded = tree->exclude && about.st_dev == tree->exclude->st_dev &&
                    about.st_ino == tree->exclude->st_ino;
    if (!S_ISREG(about.st_mode) || excluded) {
        tree->skipped(tree->ctx, tree->path,
                      excluded                 ? SK_TREE_EXCLUDED
                      : S_ISLNK(about.st_mode) ? SK_TREE_LINK
                                               : SK_TREE_SPECIAL);
        return 0;
    }
    /* Better now than after an hour of hashing. */
    if (faccessat(dir, name, R_OK, AT_EACCESS) != 0)
        return SKEP_ERR_IO;
    return sk_tree_add(tree, tree->path, &about);
}

/* Its path is the first path_n bytes of the tree's. On failure the path stays where it was. */
static int read_directory(struct sk_tree *tree, int dir, size_t path_n, unsigned depth)
{
    struct names names = {0};
    int err = read_names(dir, &names);
    for (size_t i = 0; i < names.count && !err; i++) {
        size_t n = strlen(names.list[i]), at = path_n + (path_n > 0);
        if (at + n > SK_METAINFO_PATH_MAX) {
            err = SKEP_ERR_LIMIT;
            break;
        }
        if (path_n)
            tree->path[path_n] = '/';
        memcpy(tree->path + at, names.list[i], n + 1);
        err = read_entry(tree, dir, names.list[i], at + n, depth);
        if (!err)
            tree->path[path_n] = 0;
    }
    int error = errno;
    free_names(&names);
    errno = error;
    return err;
}

int sk_tree_read(struct sk_tree *tree, int root)
{
    tree->path[0] = 0;
    return read_directory(tree, root, 0, 0);
}

void sk_tree_deinit(struct sk_tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++)
        sk_mem_free((char *)tree->files[i].path);
    sk_mem_free(tree->files);
    tree->files = NULL;
    tree->count = tree->capacity = 0;
}
