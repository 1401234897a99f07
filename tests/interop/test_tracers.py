"""skep audit --tracer among real clients that trade: who is offered a piece takes it and passes it on,
and the report shows by whom.

The seed lacks the last pieces of the torrent, and nobody else has them, but for the auditor. So
whatever is seen of them inside the swarm came from a tracer.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from lab.addresses import AUDITOR
from lab.aria2 import Aria2
from lab.checks import Tap, enter
from lab.libtorrent_peer import LibtorrentPeer
from lab.traders import PIECE, Traders
from lab.transmission import Transmission

PIECES = 768
ABSENT = 100  # pieces that the auditor alone has
WATCH_S = 60
LEECHES = (Aria2, LibtorrentPeer, Transmission, LibtorrentPeer, Aria2, Transmission)


def absent_of(swarm):
    return set(sorted(swarm.torrent.all_pieces())[-ABSENT:])


def start(swarm):
    seed = swarm.join(LibtorrentPeer, swarm.torrent.all_pieces() - absent_of(swarm), up_limit=400_000, wants_rest=False)
    seed.settle()
    for kind in LEECHES:
        swarm.join(kind, set(), up_limit=300_000)
    for client in swarm.clients[1:]:
        client.settle()


def audit(swarm, kept, *options):
    argv = swarm.watch(WATCH_S, f"--save={kept}", "--probe-bytes=256k", *options)
    return subprocess.run(swarm.auditor.argv(argv), capture_output=True, text=True, timeout=WATCH_S + 60)


def check_tracers(tap, swarm, report):
    """All of them took what they were offered, and passed it on."""
    tracers = report["tracers"]
    absent = [t for t in tracers if t["piece"] in absent_of(swarm)]
    taken = [t for t in absent if t["given_bytes"] >= PIECE]
    gained = sum(len(c.pieces()) if hasattr(c, "pieces") else 0 for c in swarm.clients[1:])
    tap.note(f"{len(tracers)} tracers, {len(absent)} that nobody had, {len(taken)} taken",
             *(f"{t['piece']} to {swarm.at(t['to']).name} at {t['offered_s']:.0f} s, given "
               f"{t['given_s']}, spread to {t['spread_to']}" for t in tracers))
    tap.check(len(taken) >= 3, "real clients take pieces that they are offered", tracers)
    tap.check(all(t["held_by"] == 0 for t in absent), "nobody else had held them", absent)
    tap.check(sum(t["spread_to"] for t in taken) >= len(taken), "and they pass them on", taken)
    tap.check(0 < report["swarm"]["given_bytes"] <= 0.01 * gained * PIECE + PIECE,
              "all that was given is at most one hundredth of what they gained",
              report["swarm"]["given_bytes"], gained * PIECE)
    return taken


def check_flows(tap, swarm, report, taken):
    """From who was given a piece bytes went on to others. The estimate does not always see it:
    it goes by what peers tell of their connections."""
    onward = {t["to"] for t in taken if t["spread_to"]}
    sources = {f["from"] for f in report["flows"]}
    tap.check(2 * len(onward & sources) >= len(onward) > 0, "most who were given them are sources of flows",
              onward, sources)
    tap.note(f"{len(onward & sources)} of {len(onward)} are sources")
    ours = {a for a in sources if a.rsplit(":", 1)[0] == AUDITOR[0]}
    tap.check(not ours, "and the auditor is none", ours)
    truth = {c: absent_of(swarm) & c.pieces() for c in swarm.clients[1:]}
    tap.check(all(held <= {t["piece"] for t in report["tracers"]} for held in truth.values()),
              "nobody got one that it was not offered, or that was not passed on", truth)


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not enter():
        return 0
    tap = Tap()
    with Traders("traced", PIECES) as swarm:
        kept = os.path.join(swarm.folder, "kept")
        swarm.torrent.place(kept, swarm.torrent.all_pieces())
        start(swarm)
        began = time.monotonic()
        done = audit(swarm, kept, "--tracer")
        tap.check(done.returncode in (0, 5), "the audit ends", done.returncode, done.stderr[-2000:])
        report = json.loads(done.stdout)
        tap.note(f"audited for {time.monotonic() - began:.0f} s")
        taken = check_tracers(tap, swarm, report)
        check_flows(tap, swarm, report, taken)
        again = subprocess.run([os.environ["SKEP"], "audit", f"--replay={swarm.db}", "--format=json"],
                               capture_output=True, text=True, timeout=60)
        said = json.loads(again.stdout)
        for key in "tracers", "flows":
            tap.check(said[key] == report[key], f"a replay says the same of {key}", again.stderr,
                      *[pair for pair in zip(said[key], report[key]) if pair[0] != pair[1]][:9])
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
