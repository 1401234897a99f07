"""A swarm of a v2 torrent, which of these clients only libtorrent can join."""

import sys

from lab.checks import run
from lab.libtorrent_peer import LibtorrentPeer
from lab.swarm import DUAL, V6
from lab.torrents import V2

PIECE = 64 * 1024
FILES = [("a.bin", 20 * PIECE - 999), ("b.bin", 15 * PIECE - 40000), ("c.bin", 9 * PIECE + 12345)]
PATIENCE = "--patience=5"  # for the one that chokes: the others unchoke at once


def build(swarm):
    swarm.make_torrent("orchard", V2, FILES, PIECE)
    swarm.add(LibtorrentPeer, "lt-seed")
    swarm.add(LibtorrentPeer, "lt-plain", files=["b.bin", "c.bin"], encryption="off")
    swarm.add(LibtorrentPeer, "lt-holes", held=set(range(0, 45, 3)))
    swarm.add(LibtorrentPeer, "lt-seed6", family=V6)
    swarm.add(LibtorrentPeer, "lt-rc4", files=["a.bin"], encryption="require")
    swarm.add(LibtorrentPeer, "lt-chokes", unchokes=False)
    return swarm.add(LibtorrentPeer, "lt-center", family=DUAL, files=["a.bin"], wants_rest=True)


AUDITS = [
    ("udp", "tracker", lambda s, _: [s.torrent.with_trackers(s.tracker.udp_url), PATIENCE]),
    ("magnet", "pex", lambda s, center: [s.torrent.magnet(peers=[center.endpoints()[0]]),
                                         "--no-trackers", "--no-lsd", "--no-dht", PATIENCE]),
]

if __name__ == "__main__":
    sys.exit(run(__doc__, build, AUDITS))
