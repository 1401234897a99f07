/*
 * What the terminal is like. Layer: cmd.
 */
#ifndef SK_CMD_TERMINAL_H
#define SK_CMD_TERMINAL_H

#include "cmd/ink.h"

/* Where there is no terminal: a file is not cut to fit a screen. */
#define SK_TERMINAL_COLUMNS 160
#define SK_TERMINAL_ROWS 24

/*
 * Looks at the terminal behind fd: its size now (cheap: ask again for every frame instead of
 * waiting for SIGWINCH), whether colours are wanted (a terminal, TERM not "dumb", NO_COLOR unset or
 * empty) and whether the locale is UTF-8. COLUMNS counts where the terminal does not say. Returns
 * whether it is a terminal that can move its cursor.
 */
bool sk_terminal_look(int fd, struct sk_screen *ret_screen);

#endif
