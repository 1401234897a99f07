/* Runs scenario files, or all of a folder, as a TAP test: run FILE|FOLDER ... See README.md. */
#include "dialogue.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int is_scenario(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 4 && strcmp(entry->d_name + n - 4, ".txt") == 0;
}

static int run_one(const char *path)
{
    static unsigned number;
    int failed = sc_run_file(path);
    printf("%s %u - %s\n", failed ? "not ok" : "ok", ++number, path);
    fflush(stdout);
    return failed;
}

static int run_folder(const char *path)
{
    struct dirent **entries;
    int failed = 0, count = scandir(path, &entries, is_scenario, alphasort);
    if (count <= 0) {
        printf("# %s: no scenarios\n", path);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        failed += run_one(name);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    struct stat status;
    for (int i = 1; i < argc; i++) {
        bool folder = stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode);
        failed += folder ? run_folder(argv[i]) : run_one(argv[i]);
    }
    return failed ? 1 : 0;
}
