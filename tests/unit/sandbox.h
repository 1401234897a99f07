/*
 * A network of one's own for a test: a fresh namespace in which the loopback interface is up and
 * also has the private address SANDBOX_PRIVATE. Nothing that a test sends can leave it.
 */
#ifndef SKEP_TEST_SANDBOX_H
#define SKEP_TEST_SANDBOX_H

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SANDBOX_PRIVATE "10.77.0.1"

static inline bool sandbox_configure(int fd)
{
    struct ifreq alias = {.ifr_name = "lo:1"}, up = {.ifr_name = "lo"};
    struct sockaddr_in *addr = (struct sockaddr_in *)&alias.ifr_addr;
    up.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
    addr->sin_family = AF_INET;
    inet_pton(AF_INET, SANDBOX_PRIVATE, &addr->sin_addr);
    return ioctl(fd, SIOCSIFFLAGS, &up) == 0 && ioctl(fd, SIOCSIFADDR, &alias) == 0;
}

/* To be called before there are threads. False where the system does not allow it: the tests that
 * need it are skipped then. */
static inline bool sandbox_enter(void)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool done = fd >= 0 && sandbox_configure(fd);
    if (fd >= 0)
        close(fd);
    return done;
}

#endif
