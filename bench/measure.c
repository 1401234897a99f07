/*
 * measure: runs one program and writes what it cost.
 *
 *     measure SECONDS_MAX OUT PROGRAM ARGUMENTS...
 *
 * OUT gets one line of JSON: wall seconds from fork to exit, user and system seconds and the
 * largest resident size (getrusage's, of that child alone), how it ended. It is a small C program
 * because Linux carries the largest resident size over an exec: a child of the Python script would
 * never show less than the script itself. Raises the limit of open files to the hard one. Kills the
 * child after SECONDS_MAX, and if it is itself told to end.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t child;
static volatile sig_atomic_t timed_out;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void on_signal(int signal_number)
{
    timed_out = signal_number == SIGALRM;
    kill((pid_t)child, SIGKILL);
}

static void raise_open_files(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: measure SECONDS_MAX OUT PROGRAM ARGUMENTS...\n", stderr);
        return 2;
    }
    raise_open_files();
    double started = now_s();
    child = fork();
    if (child < 0) {
        perror("measure: fork");
        return 1;
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[3], argv + 3);
        perror(argv[3]);
        _exit(127);
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    alarm((unsigned)atoi(argv[1]));

    int status;
    struct rusage usage;
    while (wait4((pid_t)child, &status, 0, &usage) < 0) {
        if (errno != EINTR)
            return 1;
    }
    double wall_s = now_s() - started;
    FILE *out = fopen(argv[2], "w");
    if (!out) {
        perror(argv[2]);
        return 1;
    }
    fprintf(out,
            "{\"wall_s\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f, \"maxrss_kib\": %ld, "
            "\"exit\": %d, \"timed_out\": %s}\n",
            wall_s, seconds(usage.ru_utime), seconds(usage.ru_stime), usage.ru_maxrss,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            timed_out ? "true" : "false");
    fclose(out);
    return 0;
}
