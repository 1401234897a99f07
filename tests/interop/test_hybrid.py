"""A hybrid swarm: libtorrent at home in both halves, aria2 in the v1 half of it.

Transmission 3.00 is not here because it cannot read a hybrid torrent.
"""

import sys

from lab.aria2 import Aria2
from lab.checks import run
from lab.libtorrent_peer import LibtorrentPeer
from lab.swarm import DUAL, V6
from lab.torrents import HYBRID

PIECE = 16 * 1024
FILES = [("a.bin", 40 * PIECE - 777), ("b.bin", 30 * PIECE - 4000), ("c.bin", 25 * PIECE + 12345)]


def build(swarm):
    swarm.make_torrent("orchard", HYBRID, FILES, PIECE)
    swarm.add(Aria2, "aria2-seed")
    swarm.add(Aria2, "aria2-part", files=["a.bin", "b.bin"])
    swarm.add(Aria2, "aria2-part6", family=V6, files=["b.bin"])
    swarm.add(Aria2, "aria2-rc4", encryption="require")
    swarm.add(LibtorrentPeer, "lt-seed")
    swarm.add(LibtorrentPeer, "lt-plain", files=["b.bin", "c.bin"], encryption="off")
    swarm.add(LibtorrentPeer, "lt-holes", held=set(range(1, 96, 2)))
    swarm.add(LibtorrentPeer, "lt-one", held={17})
    swarm.add(LibtorrentPeer, "lt-seed6", family=V6)
    swarm.add(LibtorrentPeer, "lt-rc4", files=["a.bin"], encryption="require")
    swarm.add(LibtorrentPeer, "lt-rc4-6", family=V6, encryption="require")
    return swarm.add(LibtorrentPeer, "lt-center", family=DUAL, files=["a.bin"], wants_rest=True)


AUDITS = [
    ("http", "tracker", lambda s, _: [s.torrent.with_trackers(s.tracker.http_url)]),
    ("magnet", "tracker", lambda s, _: [s.torrent.magnet([s.tracker.udp_url])]),
    ("pex", "pex", lambda s, center: [s.torrent.path, "--peer=" + center.endpoints()[1],
                                      "--no-trackers", "--no-lsd", "--no-dht"]),
]

if __name__ == "__main__":
    sys.exit(run(__doc__, build, AUDITS))
