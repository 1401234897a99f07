"""skep audit --watch among clients that complete while it looks: each is seen to hold all in the end."""

import argparse
import json
import os
import sqlite3
import subprocess
import sys

from lab import namespaces
from lab.addresses import AUDITOR, TRACKER
from lab.aria2 import Aria2
from lab.checks import Tap, enter, entries_of
from lab.libtorrent_peer import LibtorrentPeer
from lab.opentracker import Opentracker
from lab.swarm import FOLDER
from lab.torrents import V1, Torrent
from lab.transmission import Transmission

PIECE = 32 * 1024
PIECES = 200
HELD = 60
SEED_LIMIT = 300_000  # bytes a second: three clients lack 14 MB, and give each other most of it
WATCH_S = 60
LEECHES = (Aria2, LibtorrentPeer, Transmission)


class Swarm:
    def __init__(self):
        os.mkdir(FOLDER)
        self.network = namespaces.Network()
        self.auditor = self.network.add_host("auditor", *AUDITOR)
        self.tracker = Opentracker(self.network.add_host("tracker", TRACKER), FOLDER)
        self.torrent = Torrent(FOLDER, "completes", V1, [("completes.bin", PIECES * PIECE)], PIECE,
                               [self.tracker.http_url])
        self.tracker.allow(self.torrent.info_hashes())
        self.tracker.start()
        self.clients = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.stop()
        self.tracker.stop()

    def start(self):
        more = {LibtorrentPeer: {"wants_rest": True}}
        every = self.torrent.all_pieces()
        held = set(sorted(every)[:HELD])
        for number, kind in enumerate(LEECHES, 1):
            host = self.network.add_host(kind.shows_as.split()[0].lower(), f"10.99.1.{number}")
            self.clients.append(kind(host, self.torrent, FOLDER, held, **more.get(kind, {})))
        host = self.network.add_host("seed", "10.99.1.9")
        self.clients.append(LibtorrentPeer(host, self.torrent, FOLDER, set(every), up_limit=SEED_LIMIT))
        for client in self.clients:
            client.start()
        for client in self.clients:
            client.settle()

    def audit(self, db):
        argv = [os.environ["SKEP"], "audit", self.torrent.path, "--format=json", "--progress=none",
                "--no-dht", "--no-lsd", "--no-trackers", f"--watch={WATCH_S}", f"--db={db}"]
        argv += [f"--peer={client.endpoints()[0]}" for client in self.clients]
        audit = self.auditor.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        seed = self.clients[-1]
        seed.meet([client.endpoints()[0] for client in self.clients[:-1]])  # now that it looks
        out, errors = audit.communicate(timeout=WATCH_S + 60)
        return audit.returncode, out, errors


def ends(db, client):
    """How connections to a client ended, and how many HAVEs they told."""
    with sqlite3.connect(db) as base:
        rows = base.execute("SELECT at_ns, kind, peer, text FROM observations WHERE kind IN ('open', 'closed', "
                            "'failed', 'have') ORDER BY rowid").fetchall()
    mine = [(at_ns, kind, text) for at_ns, kind, peer, text in rows
            if (peer or "").rsplit(":", 1)[0] == client.host.ipv4]
    haves = sum(kind == "have" for _, kind, _ in mine)
    return haves, [((at_ns - rows[0][0]) / 1e9, kind, text) for at_ns, kind, text in mine if kind != "have"]


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not enter():
        return 0
    tap = Tap()
    with Swarm() as swarm:
        swarm.start()
        db = os.path.join(FOLDER, "audit.db")
        status, out, errors = swarm.audit(db)
        tap.check(status in (0, 5), "the audit ends", status, errors[-2000:])
        peers = json.loads(out)["peers"]
        for client in swarm.clients[:-1]:
            haves, seen = ends(db, client)
            tap.note(f"{client.name}: {haves} haves {seen}")
            entry = entries_of(client, peers)[0]
            tap.check(entry["share"] == 1 and client.share() == 1, f"{client.shows_as} is seen to complete",
                      entry["share"], client.share())
            wrong = [text for _, kind, text in seen if kind == "closed" and text not in ("local", "closed")]
            tap.check(not wrong, "and we end no connection for what it says", *wrong)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
