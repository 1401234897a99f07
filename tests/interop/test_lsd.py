"""Clients that skep hears of only by calling out on the local network: they connect to it."""

import sys

from lab.aria2 import Aria2
from lab.checks import run
from lab.libtorrent_peer import LibtorrentPeer
from lab.swarm import DUAL, V6
from lab.torrents import V1
from lab.transmission import Transmission

PIECE = 32 * 1024
FILES = [("a.bin", 20 * PIECE), ("b.bin", 10 * PIECE + 54321)]


def build(swarm):
    swarm.make_torrent("orchard", V1, FILES, PIECE)
    swarm.add(Transmission, "tr-seed", lsd=True)
    swarm.add(Transmission, "tr-rc4", files=["a.bin"], encryption="require", lsd=True)
    swarm.add(Aria2, "aria2-part", files=["a.bin"], lsd=True)
    swarm.add(LibtorrentPeer, "lt-plain", encryption="off", lsd=True)
    swarm.add(LibtorrentPeer, "lt-rc4", encryption="require", lsd=True)
    swarm.add(LibtorrentPeer, "lt-part6", family=V6, files=["b.bin"], lsd=True)
    return swarm.add(LibtorrentPeer, "lt-center", family=DUAL, files=["b.bin"], wants_rest=True,
                     lsd=True)


AUDITS = [("lsd", None, lambda s, _: [s.torrent.with_trackers(), "--no-trackers", "--no-pex"])]

if __name__ == "__main__":
    sys.exit(run(__doc__, build, AUDITS))
