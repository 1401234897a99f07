#include "driver/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the next element of the path is one that can be followed; it is cut off the path. */
static bool next_element(const char **path, char ret_name[NAME_MAX + 1])
{
    size_t n = strcspn(*path, "/");
    if (n == 0 || n > NAME_MAX)
        return false;
    memcpy(ret_name, *path, n);
    ret_name[n] = 0;
    *path += n;
    return strcmp(ret_name, ".") != 0 && strcmp(ret_name, "..") != 0;
}

int sk_path_enter(int dir, const char *name, bool make)
{
    if (make && mkdirat(dir, name, 0777) != 0 && errno != EEXIST)
        return -1;
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int open_regular(int dir, const char *name, bool write)
{
    int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (write ? O_RDWR | O_CREAT : O_RDONLY);
    int fd = openat(dir, name, flags, 0666);
    struct stat about;
    if (fd < 0 || (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)))
        return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

int sk_path_open(int root, const char *path, bool write)
{
    char name[NAME_MAX + 1];
    int dir = root;
    errno = EINVAL;
    while (next_element(&path, name)) {
        bool last = !*path;
        int fd = last ? open_regular(dir, name, write) : sk_path_enter(dir, name, write);
        int error = errno;
        if (dir != root)
            close(dir);
        if (last || fd < 0) {
            errno = error;
            return fd;
        }
        dir = fd;
        path++;
        errno = EINVAL;
    }
    if (dir != root)
        close(dir);
    errno = EINVAL;
    return -1;
}
