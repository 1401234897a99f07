"""skep audit --watch among clients that complete while it looks: each is seen to hold all in the end."""

import argparse
import json
import sqlite3
import subprocess
import sys

from lab.checks import Tap, enter, entries_of
from lab.libtorrent_peer import LibtorrentPeer
from lab.traders import KINDS, Traders

PIECES = 200
HELD = 60
SEED_LIMIT = 300_000  # bytes a second: three clients lack 14 MB, and give each other most of it
WATCH_S = 60


def start(swarm):
    every = swarm.torrent.all_pieces()
    for kind in KINDS:
        swarm.join(kind, set(sorted(every)[:HELD]))
    swarm.join(LibtorrentPeer, every, up_limit=SEED_LIMIT)
    for client in swarm.clients:
        client.settle()


def audit(swarm):
    endpoints = [client.endpoints()[0] for client in swarm.clients]
    argv = swarm.watch(WATCH_S, "--no-trackers", *(f"--peer={endpoint}" for endpoint in endpoints))
    running = swarm.auditor.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    swarm.clients[-1].meet(endpoints[:-1])  # now that it looks
    out, errors = running.communicate(timeout=WATCH_S + 60)
    return running.returncode, out, errors


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
    with Traders("completes", PIECES) as swarm:
        start(swarm)
        status, out, errors = audit(swarm)
        tap.check(status in (0, 5), "the audit ends", status, errors[-2000:])
        peers = json.loads(out)["peers"]
        for client in swarm.clients[:-1]:
            haves, seen = ends(swarm.db, client)
            tap.note(f"{client.name}: {haves} haves {seen}")
            entry = entries_of(client, peers)[0]
            tap.check(entry["share"] == 1 and client.share() == 1, f"{client.shows_as} is seen to complete",
                      entry["share"], client.share())
            wrong = [text for _, kind, text in seen if kind == "closed" and text not in ("local", "closed")]
            tap.check(not wrong, "and we end no connection for what it says", *wrong)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
