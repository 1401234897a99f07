"""skep audit --watch among real clients that stand still: each connection is renewed after three minutes
of silence, the clients let the auditor in again, and tell anew what they hold. Nobody has the pieces that
they lack.
"""

import argparse
import json
import sqlite3
import subprocess
import sys

from lab.aria2 import Aria2
from lab.checks import Tap, enter, entries_of
from lab.traders import KINDS, Traders

PIECES = 200
HELD = 120
WATCH_S = 250  # the first renewal is after 180 s, and the clients are called again after 10 s
AWAY_MOST_S = 45  # a client may refuse the first call


def start(swarm):
    for kind in KINDS:
        swarm.join(kind, set(sorted(swarm.torrent.all_pieces())[:HELD]), up_limit=300_000)
    for client in swarm.clients:
        client.settle()


def audit(swarm):
    """We call the clients: whom they call themselves may be behind a NAT, for all they know."""
    argv = swarm.watch(WATCH_S, "--no-trackers", *(f"--peer={client.endpoints()[0]}" for client in swarm.clients))
    return subprocess.run(swarm.auditor.argv(argv), capture_output=True, text=True, timeout=WATCH_S + 60)


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
    with Traders("silent", PIECES) as swarm:
        start(swarm)
        done = audit(swarm)
        tap.check(done.returncode in (0, 5), "the audit ends", done.returncode, done.stderr[-2000:])
        report = json.loads(done.stdout)
        for client in swarm.clients:
            check(tap, client, report, swarm.db)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
