#include "cmd/cmd.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/text.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COMPLAINT_MAX 1024 /* bytes of one, before escaping */

void sk_complain(const char *format, ...)
{
    /* What is complained about mostly came from outside: here all of it is made safe to show. */
    char text[COMPLAINT_MAX], safe[2 * COMPLAINT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "skep: %s\n", sk_text_escape(sk_bytes_text(text), safe, sizeof safe));
}

int sk_exit_of(int err)
{
    switch (err) {
    case 0:
        return SK_EXIT_DONE;
    case SKEP_ERR_INVALID:
        return SK_EXIT_USAGE;
    case SKEP_ERR_NOT_FOUND:
        return SK_EXIT_NOTHING;
    case SKEP_ERR_NETWORK:
    case SKEP_ERR_TIMEOUT:
        return SK_EXIT_NETWORK;
    case SKEP_ERR_MALFORMED:
    case SKEP_ERR_MISMATCH:
    case SKEP_ERR_TRUNCATED:
    case SKEP_ERR_UNSUPPORTED:
        return SK_EXIT_CORRUPT;
    case SKEP_ERR_IO:
    case SKEP_ERR_STORE:
        return SK_EXIT_STORAGE;
    default:
        return SK_EXIT_FAILED;
    }
}

int sk_complain_err(int err)
{
    sk_complain("%s", skep_err_text(err));
    return sk_exit_of(err);
}

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    interrupted = 1;
}

void sk_interrupt_catch(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool sk_interrupt_came(void)
{
    return interrupted;
}

static int help(const struct sk_command_set *set, FILE *to, int code)
{
    fputs(set->before, to);
    for (size_t i = 0; i < set->count; i++)
        fprintf(to, "  %-9s %s\n", set->commands[i].name, set->commands[i].what);
    fputs(set->after, to);
    return code;
}

int sk_command_run(const struct sk_command_set *set, int argc, char **argv)
{
    static const char *const asked[] = {"--help", "-h", "-?", "help"};
    if (argc < 2)
        return help(set, stderr, SK_EXIT_USAGE);
    for (size_t i = 0; i < SK_ARRAY_LEN(asked); i++)
        if (strcmp(argv[1], asked[i]) == 0)
            return help(set, stdout, SK_EXIT_DONE);
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(argv[1], set->commands[i].name) != 0)
            continue;
        char name[32]; /* what help texts and complaints call the program */
        snprintf(name, sizeof name, "%s %s", set->program, set->commands[i].name);
        argv[1] = name;
        return set->commands[i].run(argc - 1, argv + 1);
    }
    const char *above = strchr(set->program, ' '); /* "skep" itself is not said */
    sk_complain("there is no command '%s%s%.40s' (%s --help lists them)", above ? above + 1 : "",
                above ? " " : "", argv[1], set->program);
    return SK_EXIT_USAGE;
}
