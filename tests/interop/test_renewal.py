"""skep audit --watch among real clients that stand still: each connection is renewed after three minutes
of silence, the clients let the auditor in again, and tell anew what they hold. Nobody has the pieces that
they lack.
"""

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
HELD = 120
WATCH_S = 250  # the first renewal is after 180 s, and the clients are called again after 10 s
AWAY_MOST_S = 45  # a client may refuse the first call
LEECHES = (Aria2, LibtorrentPeer, Transmission)


class Swarm:
    def __init__(self):
        os.mkdir(FOLDER)
        self.network = namespaces.Network()
        self.auditor = self.network.add_host("auditor", *AUDITOR)
        self.tracker = Opentracker(self.network.add_host("tracker", TRACKER), FOLDER)
        self.torrent = Torrent(FOLDER, "silent", V1, [("silent.bin", PIECES * PIECE)], PIECE,
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
        held = set(sorted(self.torrent.all_pieces())[:HELD])
        for number, kind in enumerate(LEECHES, 1):
            host = self.network.add_host(kind.shows_as.split()[0].lower(), f"10.99.1.{number}")
            self.clients.append(kind(host, self.torrent, FOLDER, held, up_limit=300_000, **more.get(kind, {})))
            self.clients[-1].start()
        for client in self.clients:
            client.settle()

    def audit(self, db):
        """We call the clients: whom they call themselves may be behind a NAT, for all they know."""
        argv = [os.environ["SKEP"], "audit", self.torrent.path, "--format=json", "--progress=none",
                "--no-dht", "--no-lsd", "--no-trackers", f"--watch={WATCH_S}", f"--db={db}"]
        argv += [f"--peer={client.endpoints()[0]}" for client in self.clients]
        return subprocess.run(self.auditor.argv(argv), capture_output=True, text=True, timeout=WATCH_S + 60)


def happened(db, client):
    """What the audit saw of a client's connections: seconds, what, and how many pieces or why."""
    with sqlite3.connect(db) as base:
        rows = base.execute("SELECT at_ns, kind, peer, data, text FROM observations WHERE kind IN ('dialed', "
                            "'failed', 'open', 'closed', 'bitfield') ORDER BY rowid").fetchall()
    return [((at_ns - rows[0][0]) / 1e9, kind, sum(b.bit_count() for b in data) if kind == "bitfield" else text)
            for at_ns, kind, peer, data, text in rows if (peer or "").rsplit(":", 1)[0] == client.host.ipv4]


def check(tap, client, report, db):
    seen = happened(db, client)
    tap.note(*(f"{client.name}: {at_s:.2f} s {kind} {what or ''}" for at_s, kind, what in seen))
    entry = entries_of(client, report["peers"])[0]
    bitfields = [what for _, kind, what in seen if kind == "bitfield"]
    tap.check(len(bitfields) > 1 and set(bitfields) == {HELD}, f"{client.shows_as} tells anew what it holds", seen)
    tap.check(seen[-1][1] != "closed" and entry["reason"] is None, "and was there in the end", seen)
    if isinstance(client, Aria2):
        return  # it hangs up before: idle peers are of no use to it
    ends = [(at_s, what) for at_s, kind, what in seen if kind == "closed"]
    tap.check([what for _, what in ends] == ["local"] and ends[0][0] > 180, "we ended the connection, once", seen)
    tap.check(entry["seen_s"] > WATCH_S - AWAY_MOST_S and entry["connected_s"] < 5, "it was watched all the time",
              entry["seen_s"], entry["connected_s"])


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not enter():
        return 0
    tap = Tap()
    with Swarm() as swarm:
        swarm.start()
        db = os.path.join(FOLDER, "audit.db")
        done = swarm.audit(db)
        tap.check(done.returncode in (0, 5), "the audit ends", done.returncode, done.stderr[-2000:])
        report = json.loads(done.stdout)
        for client in swarm.clients:
            check(tap, client, report, db)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
