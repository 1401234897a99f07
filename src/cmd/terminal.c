#include "cmd/terminal.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* As setlocale() would choose, without need for the locale to be installed. */
static bool is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = variable(names[i]);
        if (value[0])
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

bool sk_terminal_look(int fd, struct sk_screen *ret_screen)
{
    struct winsize size = {0};
    bool is_terminal = isatty(fd) && strcmp(variable("TERM"), "dumb") != 0;
    long columns = strtol(variable("COLUMNS"), NULL, 10);
    struct sk_screen screen = {
        .columns = columns > 0 && columns < 10000 ? (unsigned)columns : SK_TERMINAL_COLUMNS,
        .rows = SK_TERMINAL_ROWS,
        .colour = is_terminal && !variable("NO_COLOR")[0],
        .utf8 = is_utf8(),
    };
    if (isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col) {
        screen.columns = size.ws_col;
        screen.rows = size.ws_row ? size.ws_row : SK_TERMINAL_ROWS;
    }
    *ret_screen = screen;
    return is_terminal;
}
