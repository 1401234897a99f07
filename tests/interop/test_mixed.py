"""Swarms of skep get and skep seed with aria2, Transmission, libtorrent and WebTorrent.

skep is the only seed, or the only leech, or one of many that trade; encrypted, over uTP, from
magnet links, and with files selected. In the end everybody's files are compared.
"""

import argparse
import os
import sys
import time

from lab import namespaces
from lab.addresses import TRACKER
from lab.aria2 import Aria2
from lab.checks import Tap, enter
from lab.client import wait_for
from lab.libtorrent_peer import LibtorrentPeer
from lab.npm import Absent, npm_module
from lab.opentracker import Opentracker
from lab.skep import Skep
from lab.swarm import FOLDER
from lab.torrents import HYBRID, V1, V2, Torrent
from lab.transmission import Transmission
from lab.webtorrent import WebTorrent

PIECE = 128 * 1024
MIB = 1024 * 1024
OTHERS = (Aria2, LibtorrentPeer, Transmission, WebTorrent)
PATIENCE_S = 60

# In v1 they share pieces. The selection has neighbours, single ones, and the empty one.
MANY_FILES = [(f"{folder}/{folder}{i}.bin", 300_000 + 100_003 * i) for folder in "abcd"
              for i in range(5)] + [("e/empty", 0)]
SELECTED = [2, 3, 9, 16, 21]


class Lab:
    """What all swarms share: the network, and a host for the tracker."""

    def __init__(self, network):
        self.network, self.hosts = network, 0
        self.tracker = network.add_host("tracker", TRACKER)
        os.mkdir(FOLDER)

    def add_host(self, name):
        self.hosts += 1
        return self.network.add_host(name, f"10.99.1.{self.hosts}")


class Swarm:
    """A torrent, its tracker, and who is there; all are stopped in the end."""

    def __init__(self, lab, name, files, kind=V1):
        self.lab, self.name, self.clients = lab, name, []
        self.folder = os.path.join(FOLDER, name)
        self.tracker = Opentracker(lab.tracker, self.folder)
        self.torrent = Torrent(self.folder, name, kind, files, PIECE, [self.tracker.http_url])
        self.tracker.allow(self.torrent.info_hashes())
        self.tracker.start()

    def add(self, kind, name, seeds, **options):
        host = self.lab.add_host(f"{self.name}-{name}")
        if kind is LibtorrentPeer:
            options["wants_rest"] = not seeds
        held = self.torrent.all_pieces() if seeds else set()
        client = kind(host, self.torrent, self.folder, held, **options)
        self.clients.append(client)
        client.start()
        return client

    def seed(self, kind, **options):
        client = self.add(kind, f"seed-{label(kind)}", True, **options)
        client.settle()
        return client

    def leeches(self, kinds, **options):
        """They start at once; their names are numbered."""
        found = []
        for kind in kinds:
            more = {"options": ["--seed-time=10m"]} if kind is Skep else {}
            found.append(self.add(kind, f"{label(kind)}-{len(self.clients)}", False,
                                  **more, **options))
        for client in found:
            client.settle()
        return found

    def get(self, *options, **more):
        """A skep get that ends when it has what it wants; comes back then."""
        client = self.add(Skep, f"skep-{len(self.clients)}", False, options=options, **more)
        client.wait(PATIENCE_S)
        return client

    def check_ends(self, tap):
        """Every skep ends with success."""
        for client in self.clients:
            if isinstance(client, Skep):
                client.stop()
                tap.check(client.code == 0, f"{client.name} ends with success", client.code,
                          tail(client))

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        for client in self.clients:
            client.stop()
            if failed:
                Tap.note(client.name, tail(client))
        self.tracker.stop()


def label(kind):
    return kind.shows_as.split()[0].lower()


def two_files(size):
    """Neither ends on a piece's end in v1."""
    return [("a.bin", size // 3 + 1), ("b.bin", size - size // 3)]


def tail(client):
    with open(os.path.join(client.folder, "log"), errors="replace") as log:
        return "".join(log.readlines()[-40:])


def wait_done(clients):
    """Until all have all, or time is up; when each had, in seconds from now."""
    start, at = time.monotonic(), {}
    while len(at) < len(clients) and time.monotonic() - start < PATIENCE_S:
        for client in clients:
            if client not in at and client.share() == 1:
                at[client] = time.monotonic() - start
        time.sleep(0.1)
    return at


def check_done(tap, clients):
    """They come to have all, and their files are right; some write them a little later."""
    at = wait_done(clients)
    tap.note(", ".join(f"{client.name} {at[client]:.1f} s" for client in at))
    for client in clients:
        try:
            wait_for("files", lambda: not client.torrent.wrong_files(client.data), 5)
        except TimeoutError:
            pass
        wrong = client.torrent.wrong_files(client.data)
        tap.check(client in at and not wrong, f"{client.name} has all", *wrong,
                  f"share {client.share()}", tail(client))


def check_got(tap, client):
    """A skep get has ended and did what it should."""
    told, wrong = client.told(), client.torrent.wrong_files(client.data)
    tap.check(told["complete"] and not wrong, f"{client.name} has all", told, *wrong, tail(client))
    tap.check(told["wasted"] <= client.torrent.size // 20, f"{client.name} wastes little", told)


def check_only_seed(tap, lab):
    with Swarm(lab, "seed", two_files(24 * MIB)) as swarm:
        seed = swarm.seed(Skep)
        leeches = swarm.leeches((Aria2, LibtorrentPeer, Transmission))
        leeches += swarm.leeches((WebTorrent,), transport="utp")
        check_done(tap, leeches)
        tap.check(seed.given() >= swarm.torrent.size, f"{seed.name} counts what it gives", seed.told())
        swarm.check_ends(tap)


def check_only_leech(tap, lab):
    """The seeds are slow: Transmission gives its first block after ten seconds."""
    with Swarm(lab, "leech", two_files(24 * MIB)) as swarm:
        seeds = [swarm.seed(kind, up_limit=MIB // 2) for kind in OTHERS]
        check_got(tap, swarm.get())
        for seed in seeds:
            given = seed.given()
            tap.check(given > 0, f"{seed.name} gave some of it")
            tap.note(f"{given / swarm.torrent.size:.2f} of it")
        swarm.check_ends(tap)


def check_trade(tap, lab, name, kind, kinds, options):
    """All from one slow seed: it does not give it as often as there are leeches."""
    with Swarm(lab, name, two_files(24 * MIB)) as swarm:
        size = swarm.torrent.size
        seed = swarm.seed(kind, up_limit=2 * MIB, **options)
        leeches = swarm.leeches(kinds, **options)
        check_done(tap, leeches)
        given = seed.given()
        tap.note(f"{seed.name} gave {given / size:.2f} of it")
        tap.check(given < size * len(leeches) * 3 // 4, f"{seed.name} did not give it all", given)
        for leech in (one for one in leeches if isinstance(one, Skep)):
            check_got(tap, leech)
            tap.check(leech.given() > size // 20, f"{leech.name} gives", leech.told())
            tap.note(f"{leech.given() / size:.2f} of it")
        swarm.check_ends(tap)


def check_magnets_to_us(tap, lab):
    """Each skep get knows one seed, and that by the link alone."""
    with Swarm(lab, "to-us", two_files(3 * MIB)) as swarm:
        for seed in [swarm.seed(kind) for kind in OTHERS]:
            swarm.add(Skep, f"skep-{seed.name}", False, options=["--no-pex"],
                      magnet=swarm.torrent.magnet(peers=seed.endpoints()))
        for client in swarm.clients[len(OTHERS):]:
            client.wait(PATIENCE_S)
            check_got(tap, client)
        swarm.check_ends(tap)


def check_magnet_of_us(tap, lab):
    """WebTorrent by the link of a skep seed (test_magnet.py has the others)."""
    with Swarm(lab, "of-us", two_files(3 * MIB)) as swarm:
        link = swarm.torrent.magnet(peers=swarm.seed(Skep).endpoints())
        check_done(tap, swarm.leeches((WebTorrent,), magnet=link))
        swarm.check_ends(tap)


def check_select(tap, lab, kind, seeds):
    with Swarm(lab, "select-" + kind, MANY_FILES, kind) as swarm:
        for seed in seeds:
            swarm.seed(seed)
        leech = swarm.get("--select=" + ",".join(map(str, SELECTED)))
        first = leech.told()
        wrong = wrong_selection(leech, [MANY_FILES[i - 1][0] for i in SELECTED])
        tap.check(first["complete"] and not wrong, f"{leech.name} has what is selected, no more", first,
                  *wrong, tail(leech))
        leech.options = []
        leech.start()
        leech.wait(PATIENCE_S)
        check_got(tap, leech)
        received = first["received"] + leech.told()["received"]
        tap.check(received <= swarm.torrent.size * 1.02, f"{leech.name} fetches nothing twice",
                  received)
        swarm.check_ends(tap)


def wrong_selection(leech, names):
    """What is not as where exactly the pieces of these files are written, and the files made."""
    torrent, model = leech.torrent, os.path.join(leech.folder, "model")
    torrent.place(model, torrent.pieces_of(*map(os.path.basename, names)))
    faults = []
    for name, size in MANY_FILES:
        mine, right = [read(os.path.join(at, torrent.name, name)) for at in (leech.data, model)]
        if name in names:
            right = right or b""
        if mine is None or right is None:
            if mine is not right:
                faults.append(f"{name}: is there {mine is not None}, should be {right is not None}")
        elif len(mine) > size or mine.ljust(size, b"\0") != right.ljust(size, b"\0"):
            faults.append(f"{name}: {len(mine)} bytes are not what they should be")
    return faults


def read(path):
    """The bytes of a file, or None."""
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()


MANY = (Skep, Skep) + OTHERS
CASES = [
    ("seed", check_only_seed),
    ("leech", check_only_leech),
    ("trade", check_trade, "trade", Skep, MANY, {}),
    ("rc4", check_trade, "rc4", LibtorrentPeer, MANY, {"encryption": "require"}),
    ("utp", check_trade, "utp", Skep, (Skep, Skep, LibtorrentPeer, Transmission, WebTorrent),
     {"transport": "utp"}),
    ("magnets-to-us", check_magnets_to_us),
    ("magnet-of-us", check_magnet_of_us),
    ("select-v1", check_select, V1, (LibtorrentPeer, WebTorrent)),
    ("select-v2", check_select, V2, (LibtorrentPeer,)),
    ("select-hybrid", check_select, HYBRID, (LibtorrentPeer,)),
]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", metavar="CASE", choices=[name for name, *_ in CASES],
                         help="only this: " + ", ".join(name for name, *_ in CASES))
    options = options.parse_args()
    try:
        npm_module("webtorrent")
    except Absent as what:
        sys.exit(f"not installed: {what}")
    if not enter():
        return 0
    tap, lab = Tap(), Lab(namespaces.Network())
    for name, case, *arguments in CASES:
        if options.only in (None, name):
            start = time.monotonic()
            case(tap, lab, *arguments)
            tap.note(f"{name}: {time.monotonic() - start:.1f} s")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
