"""A v1 swarm of aria2, transmission and libtorrent, audited by every way of finding its peers."""

import sys

from lab.aria2 import Aria2
from lab.checks import run
from lab.libtorrent_peer import LibtorrentPeer
from lab.swarm import DUAL, V6
from lab.torrents import V1
from lab.transmission import Transmission

PIECE = 32 * 1024
FILES = [("a.bin", 40 * PIECE), ("b.bin", 30 * PIECE), ("c.bin", 25 * PIECE + 12345)]


def build(swarm):
    swarm.make_torrent("orchard", V1, FILES, PIECE)
    swarm.add(Aria2, "aria2-seed")
    swarm.add(Aria2, "aria2-part", files=["a.bin", "c.bin"])
    swarm.add(Aria2, "aria2-seed6", family=V6)
    swarm.add(Aria2, "aria2-rc4", files=["b.bin"], encryption="require")
    swarm.add(Transmission, "tr-seed")
    swarm.add(Transmission, "tr-part", files=["b.bin"])
    swarm.add(Transmission, "tr-dual", family=DUAL, files=["a.bin", "b.bin"])
    swarm.add(Transmission, "tr-rc4", encryption="require")
    swarm.add(LibtorrentPeer, "lt-plain", encryption="off")
    swarm.add(LibtorrentPeer, "lt-holes", held=set(range(5, 70, 3)))
    swarm.add(LibtorrentPeer, "lt-part6", family=V6, files=["c.bin"])
    swarm.add(LibtorrentPeer, "lt-rc4", encryption="require")
    return swarm.add(LibtorrentPeer, "lt-center", family=DUAL, files=["a.bin"], wants_rest=True)


AUDITS = [
    ("http", "tracker", lambda s, _: [s.torrent.with_trackers(s.tracker.http_url)]),
    ("udp", "tracker", lambda s, _: [s.torrent.with_trackers(s.tracker.udp_url)]),
    ("magnet", "tracker", lambda s, _: [s.torrent.magnet([s.tracker.http_url])]),
    ("pex", "pex", lambda s, center: [s.torrent.path, "--peer=" + center.endpoints()[0],
                                      "--no-trackers", "--no-lsd", "--no-dht"]),
]

if __name__ == "__main__":
    sys.exit(run(__doc__, build, AUDITS))
