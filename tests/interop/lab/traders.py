"""A swarm whose clients trade with one another while an audit watches them."""

import os

from lab.aria2 import Aria2
from lab.libtorrent_peer import LibtorrentPeer
from lab.swarm import Swarm
from lab.torrents import V1
from lab.transmission import Transmission

PIECE = 32 * 1024
KINDS = (Aria2, LibtorrentPeer, Transmission)


class Traders(Swarm):
    """Its tracker runs from the beginning, and clients start when they join."""

    def __init__(self, name, pieces):
        super().__init__()
        self.make_torrent(name, V1, [(f"{name}.bin", pieces * PIECE)], PIECE)
        self.tracker.start()
        self.db = os.path.join(self.folder, "audit.db")

    def join(self, kind, held, **options):
        """One more client, which wants the pieces that it does not hold, unless told otherwise."""
        if kind is LibtorrentPeer:
            options.setdefault("wants_rest", held != self.torrent.all_pieces())
        number = len(self.clients) + 1
        client = self.add(kind, f"{kind.shows_as.split()[0].lower()}-{number}", held=held, **options)
        client.start()
        return client

    def watch(self, seconds, *options):
        """The command of an audit that watches for so long, and keeps what it sees in `db`."""
        return [os.environ["SKEP"], "audit", self.torrent.path, "--format=json", "--progress=none", "--no-dht",
                "--no-lsd", f"--watch={seconds}", f"--db={self.db}", *options]

    def at(self, address):
        """The client at the IP address of an endpoint, or None."""
        return next((c for c in self.clients if address.rsplit(":", 1)[0] == c.host.ipv4), None)
