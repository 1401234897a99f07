#include "cmd/on_done.h"

#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define VARIABLES 3

/* Ours with these variables (NAME=VALUE) in it; to be freed. NULL without memory. */
static char **environment_with(char *const variables[VARIABLES])
{
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **list = sk_mem_calloc(count + VARIABLES + 1, sizeof *list);
    for (size_t i = 0; i < count && list; i++) {
        bool replaced = false;
        for (size_t j = 0; j < VARIABLES; j++)
            replaced |= !strncmp(environ[i], variables[j], strcspn(variables[j], "=") + 1);
        if (!replaced)
            list[kept++] = environ[i];
    }
    if (list)
        memcpy(list + kept, variables, VARIABLES * sizeof *list);
    return list;
}

/* 0, or an errno. */
static int spawn(char *const argv[], char *const envp[], pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* which we ignore */
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    int error = posix_spawnp(ret_pid, argv[0], &files, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

bool sk_on_done_start(const char *program, const uint8_t info_hash[20], const char *name,
                      const char *path)
{
    char hash[64] = "SKEP_INFO_HASH=", *hex = hash + strlen(hash), *name_is = NULL, *path_is = NULL,
         **envp = NULL;
    pid_t pid;
    sk_hex_encode(info_hash, 20, hex);
    int error = ENOMEM;
    if (asprintf(&name_is, "SKEP_NAME=%s", name) >= 0 &&
        asprintf(&path_is, "SKEP_PATH=%s", path) >= 0 &&
        (envp = environment_with((char *const[VARIABLES]){hash, name_is, path_is})))
        error = spawn((char *const[]){(char *)program, hex, (char *)name, (char *)path, NULL}, envp,
                      &pid);
    sk_mem_free(envp);
    free(name_is);
    free(path_is);
    if (error)
        sk_complain("--on-done: %.200s: %s", program, strerror(error));
    return !error;
}

bool sk_on_done_wait(void)
{
    bool well = true;
    int status;
    for (;;) {
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return well;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        well = false;
        if (WIFEXITED(status))
            sk_complain("--on-done: the program ended with %d", WEXITSTATUS(status));
        else
            sk_complain("--on-done: the program was ended by signal %d", WTERMSIG(status));
    }
}
