"""Hosts as network namespaces, joined on one bridge.

Everything lives in private mount, network and process namespaces (see enter_world), so that nothing
is left behind on the machine, however the test ends: the kernel ends all processes with the first
one and removes the hosts with the last. Two labs can run side by side with the same names.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import sys

INSIDE = "SKEP_LAB_INSIDE"
HUB = "hub"
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This machine cannot run the lab; the text says what is missing."""


def enter_world():
    """Move this program into a world of its own by running it anew under unshare(1).

    Root needs no user namespace. Anyone else becomes root of one, where the kernel allows that.
    /run is a private and empty tmpfs afterwards.
    """
    if INSIDE in os.environ and os.getpid() == 1:
        _furnish_world()
        return
    if not shutil.which("unshare") or not shutil.which("ip"):
        raise Unavailable("needs unshare (util-linux) and ip (iproute2)")
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"] + _propagation()
    if os.geteuid() != 0:
        unshare.append("--map-root-user")
    probe = subprocess.run(unshare + ["true"], capture_output=True, text=True)
    if probe.returncode != 0:
        raise Unavailable("needs root or user namespaces: " + probe.stderr.strip())
    os.environ[INSIDE] = "1"
    os.execvp("unshare", unshare + [sys.executable] + sys.argv)


def _propagation():
    """What keeps our mounts from being seen outside.

    unshare(1) makes "/" private, which works only where "/" is a mount and not in a chroot. There it
    is left as it is, if the mount that holds it is private already.
    """
    if _mount_of("/") in _mounts("self"):
        return []
    shared = _mounts("1").get(_mount_of("/"), "shared:")
    return [] if "shared:" in shared else ["--propagation", "unchanged"]


def _mount_of(path):
    """The id of the mount that holds a path."""
    descriptor = os.open(path, os.O_PATH)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as lines:
            return next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
    finally:
        os.close(descriptor)


def _mounts(process):
    """A process's mounts by id; without those that lie outside of its root."""
    try:
        with open(f"/proc/{process}/mountinfo") as lines:
            return {line.split()[0]: line for line in lines}
    except OSError:
        return {}


def _furnish_world():
    os.environ[INSIDE] = os.readlink("/proc/self")  # /proc is still that of the machine
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.mkdir("/run/netns")
    try:
        _run("mount", "-t", "proc", "proc", "/proc")
    except Unavailable:  # a container with parts of /proc covered: the leak check needs all of it
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


def outside_pid():
    """This process's number outside of its world."""
    return int(os.environ[INSIDE])


def _run(*argv, text=None):
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(argv)}: {done.stderr.strip()}")


def _run_in(host, *argv, text=None):
    """On a host. (ip's own -n and exec want "/" to be a mount, which it is not in a chroot.)"""
    _run("nsenter", f"--net=/run/netns/{host}", "--", *argv, text=text)


class Host:
    """One machine of the lab: a namespace with an interface eth0 on the bridge."""

    def __init__(self, name, ipv4=None, ipv6=None):
        self.name, self.ipv4, self.ipv6 = name, ipv4, ipv6
        self.path = f"/run/netns/{name}"

    def addresses(self):
        return [a for a in (self.ipv4, self.ipv6) if a]

    def argv(self, argv):
        """The command line that runs argv on this host."""
        return ["nsenter", "--net=" + self.path, "--"] + [str(a) for a in argv]

    def popen(self, argv, **options):
        return subprocess.Popen(self.argv(argv), **options)

    def connect(self, address, timeout=5):
        """A TCP connection that starts on this host, for a caller that stays where it is."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        away = os.open(self.path, os.O_RDONLY)
        try:
            self._setns(away)
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
        finally:
            self._setns(home)
            os.close(home)
            os.close(away)
        sock.settimeout(timeout)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock

    @staticmethod
    def _setns(fd):
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Network:
    """The bridge and the hosts on it."""

    def __init__(self):
        self.hosts = {}
        _run("ip", "netns", "add", HUB)
        _run_in(HUB, "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        _run_in(HUB, "ip", "link", "set", "br0", "up")

    def add_host(self, name, ipv4=None, ipv6=None):
        """A new host; at least one of the addresses (without prefix length) is given."""
        port = f"p{len(self.hosts)}"
        _run("ip", "netns", "add", name)
        _run_in(HUB, "ip", "link", "add", port, "master", "br0", "type", "veth",
                "peer", "name", "eth0", "netns", name)
        _run_in(HUB, "ip", "link", "set", port, "up")
        lines = ["link set lo up", "link set eth0 up"]
        if ipv4:
            lines += [f"addr add {ipv4}/16 dev eth0", "route add default dev eth0"]
        if ipv6:
            lines += [f"addr add {ipv6}/64 dev eth0 nodad", "route add ::/0 dev eth0"]
        _run_in(name, "ip", "-batch", "-", text="\n".join(lines) + "\n")
        self.hosts[name] = Host(name, ipv4, ipv6)
        return self.hosts[name]

    def starve(self, host, feeders):
        """Let no block reach host from the addresses in feeders, while short messages still pass.

        A leecher stays what it is that way: connected and interested, and never a piece further.
        """
        rules = ["add table bridge starve",
                 "add chain bridge starve short { type filter hook forward priority 0; }"]
        for family, to in (("ip", host.ipv4), ("ip6", host.ipv6)):
            of = [a for a in feeders if (":" in a) == (family == "ip6")]
            if to and of:
                rules.append(f"add rule bridge starve short {family} daddr {to} "
                             f"{family} saddr {{ {', '.join(of)} }} meta length > 1000 drop")
        _run_in(HUB, "nft", "-f", "-", text="\n".join(rules) + "\n")
