"""A hybrid swarm, met by either of its info-hashes.

It is all libtorrent: aria2 1.36 and Transmission 3.00 cannot read a hybrid torrent.
"""

import sys

from lab.checks import run
from lab.libtorrent_peer import LibtorrentPeer
from lab.swarm import DUAL, V6
from lab.torrents import HYBRID, V1, V2

PIECE = 16 * 1024
FILES = [("a.bin", 40 * PIECE - 777), ("b.bin", 30 * PIECE - 4000), ("c.bin", 25 * PIECE + 12345)]


def build(swarm):
    swarm.make_torrent("orchard", HYBRID, FILES, PIECE)
    swarm.add(LibtorrentPeer, "lt-seed")
    swarm.add(LibtorrentPeer, "lt-seed6", family=V6)
    swarm.add(LibtorrentPeer, "lt-dual", family=DUAL)
    swarm.add(LibtorrentPeer, "lt-plain", files=["b.bin", "c.bin"], encryption="off")
    swarm.add(LibtorrentPeer, "lt-rc4", files=["a.bin"], encryption="require")
    swarm.add(LibtorrentPeer, "lt-rc4-6", family=V6, encryption="require")
    swarm.add(LibtorrentPeer, "lt-odd", held=set(range(1, 96, 2)))
    swarm.add(LibtorrentPeer, "lt-one", held={17})
    swarm.add(LibtorrentPeer, "lt-tail", held={95})
    swarm.add(LibtorrentPeer, "lt-lacks-one", held=set(range(96)) - {40})
    swarm.add(LibtorrentPeer, "lt-rc4-part", held=set(range(30)), encryption="require")
    return swarm.add(LibtorrentPeer, "lt-center", family=DUAL, files=["a.bin"], wants_rest=True)


AUDITS = [
    ("http", "tracker", lambda s, _: [s.torrent.with_trackers(s.tracker.http_url)]),
    ("magnet-v1", "tracker", lambda s, _: [s.torrent.magnet([s.tracker.udp_url], only=V1)]),
    ("magnet-v2", "tracker", lambda s, _: [s.torrent.magnet([s.tracker.http_url], only=V2)]),
]

if __name__ == "__main__":
    sys.exit(run(__doc__, build, AUDITS))
