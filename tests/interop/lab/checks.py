"""What an audit must have found out, compared with the truth, and the run of one test script."""

import argparse
import os
import shutil
import signal
import sys

from lab import namespaces
from lab.addresses import AUDITOR

PROGRAMS = ("aria2c", "transmission-daemon", "opentracker", "nsenter", "nft")


class Tap:
    """Numbered results in the Test Anything Protocol."""

    def __init__(self):
        self.count = self.failed = 0

    def check(self, passed, name, *details):
        """One result. The details are printed where it failed."""
        self.count += 1
        self.failed += not passed
        print(f"{'ok' if passed else 'not ok'} {self.count} - {name}", flush=True)
        if not passed:
            self.note(*details)
        return passed

    @staticmethod
    def note(*lines):
        for line in "\n".join(str(one) for one in lines).splitlines():
            print("# " + line, flush=True)

    def end(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or not self.count else 0


def entries_of(client, peers):
    """What the report says of a client, best first: it may have met it at several addresses."""
    hosts = {endpoint.rsplit(":", 1)[0] for endpoint in client.endpoints()}
    mine = [p for p in peers if p["address"].rsplit(":", 1)[0] in hosts]
    return sorted(mine, key=lambda p: (p["state"] != "served", p["share"] is None))


def faults(client, peer):
    """All that is wrong in what the report says of a client; empty when it is all true."""
    count, total = len(client.held), client.torrent.pieces
    encryption = {"require": ("rc4",), "off": ("plain",)}.get(client.encryption, ("plain", "rc4"))
    tests = [
        (client.shows_as in (peer["client"] or ""), "client " + client.shows_as),
        (peer["pieces"] == count, f"pieces {count}"),
        (peer["share"] is not None and abs(peer["share"] - count / total) < 1e-6,
         f"share {count}/{total}"),
        (peer["blocks_corrupt"] == 0, "blocks_corrupt 0"),
        (peer["encryption"] in encryption, "encryption " + " or ".join(encryption)),
        (peer["transport"] == "tcp", "transport tcp"),
        ((peer.get("verdict") or {}).get("result") != "false-report", "no verdict of false-report"),
    ]
    if client.unchokes:
        tests += [(peer["state"] == "served", "state served"),
                  ((peer["blocks_verified"] or 0) > 0, "blocks_verified > 0")]
    else:
        tests += [(peer["state"] == "choked", "state choked"),
                  (peer["blocks_verified"] == 0, "blocks_verified 0"),
                  ((peer.get("delivered") or {}).get("rate_bytes_s") is None, "no rate")]
    return ["expected " + text for passed, text in tests if not passed]


def check_audit(tap, swarm, name, audit, source):
    """All that an audit of the whole swarm has to say, whichever way it found the peers.

    source is how most peers are found: each client has to name it, but those that hold an address
    the source cannot give. None: not looked at.
    """
    tap.note(f"{name}: {audit.seconds:.1f} s")
    if not tap.check(audit.report is not None, f"{name}: is JSON", audit.complaints()):
        return
    report, torrent = audit.report, swarm.torrent
    tap.check(audit.code == 0 and report["stopped"] == "converged",
              f"{name}: ends by itself with success", f"exit {audit.code}", report["stopped"],
              audit.complaints())
    told = {k: report["swarm"][k] for k in ("name", "size", "pieces", "piece_size")}
    true = {"name": torrent.name, "size": torrent.size, "pieces": torrent.pieces,
            "piece_size": torrent.piece_size}
    tap.check(told == true, f"{name}: describes the torrent", told, true)
    for client in swarm.clients:
        check_client(tap, f"{name}: {client.name}", client, report["peers"], source)
    check_count(tap, f"{name}: counts seeds", report["swarm"]["seeds"],
                [c for c in swarm.clients if len(c.held) == torrent.pieces])
    check_count(tap, f"{name}: counts leechers", report["swarm"]["leechers"],
                [c for c in swarm.clients if len(c.held) < torrent.pieces])
    known = {a for c in swarm.clients for a in c.host.addresses()}
    strange = [brief(p) for p in report["peers"] if not is_known(p, known)]
    tap.check(not strange, f"{name}: finds nobody who is not there", *strange)


def check_count(tap, name, told, clients):
    """A client of two addresses may be counted twice, where nothing shows that it is one."""
    twice = sum(len(c.host.addresses()) > 1 and not c.one_identity for c in clients)
    tap.check(len(clients) <= told <= len(clients) + twice, name,
              f"says {told}, there are {len(clients)}")


def is_known(peer, addresses):
    """Whether a peer is one of the clients, or the auditor's own address, never connected."""
    host = peer["address"].rsplit(":", 1)[0].strip("[]")
    return host in addresses or (host in AUDITOR and peer["share"] is None)


def brief(peer):
    """What matters of a peer in one line."""
    keys = ("address", "same_as", "state", "reason", "client", "pieces", "share", "encryption",
            "blocks_verified", "blocks_corrupt", "sources")
    return "  ".join(f"{k} {peer[k]}" for k in keys if peer.get(k) is not None)


def check_client(tap, name, client, peers, source):
    entries = entries_of(client, peers)
    if not tap.check(entries, f"{name}: is found", client.endpoints()):
        return
    wrong = faults(client, entries[0])
    tap.check(not wrong, f"{name}: is measured as it is", *wrong, *map(brief, entries))
    if source and client.host.ipv4:
        tap.check(any(source in p["sources"] for p in entries), f"{name}: comes from {source}",
                  *(p["sources"] for p in entries))


def check_truth(tap, swarm):
    """The clients themselves still say that they hold what the audits were compared with."""
    changed = [c.name for c in swarm.clients if c.pieces() != c.held]
    tap.check(not changed, "truth: no client's pieces changed during the test", *changed)


def keep(swarm):
    """Leave the swarm running for a person to look at, until they end it."""
    outside = namespaces.outside_pid()
    print(f"The swarm runs, its files in {swarm.folder}. A shell on the auditor's host, as root:")
    print(f"  nsenter -t {outside} -m nsenter --net=/run/netns/auditor sh")
    print(f"Torrent: {swarm.torrent.path}")
    print(f"Magnet: {swarm.torrent.magnet([swarm.tracker.http_url])}")
    for client in swarm.clients:
        print(f"  {client.name:14} {len(client.held):4}/{swarm.torrent.pieces} pieces  "
              f"{client.encryption:8} {' '.join(client.endpoints())}")
    print("Ctrl-C ends it.", flush=True)
    signal.pause()


def enter(needs_skep=True):
    """Into namespaces of our own; False where they cannot be had, and TAP says so."""
    if needs_skep and not os.access(os.environ.get("SKEP", ""), os.X_OK):
        sys.exit("SKEP has to name the skep binary to test")
    try:
        namespaces.enter_world()
    except namespaces.Unavailable as why:
        print(f"1..0 # SKIP {why}")
        return False
    return True


def run_on_a_network(description, check):
    """The main of a script with a network of its own: check(tap, network)."""
    argparse.ArgumentParser(description=description).parse_args()
    if not enter():
        return 0
    tap = Tap()
    check(tap, namespaces.Network())
    return tap.end()


def run(description, build, audits):
    """A test script's main: build(swarm) fills a swarm and returns its center.

    audits is a list of (name, source, arguments): arguments(swarm, center) gives those of
    skep audit, and source goes to check_audit.
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--keep", action="store_true",
                         help="start the swarm and leave it running instead of testing")
    options.add_argument("--only", metavar="AUDIT", choices=[name for name, _, _ in audits],
                         help="do only this audit: " + ", ".join(name for name, _, _ in audits))
    options.add_argument("--save", metavar="DIR", help="write each report to DIR/AUDIT.json")
    options = options.parse_args()
    missing = [p for p in PROGRAMS if not shutil.which(p)]
    if missing:
        sys.exit("not installed (tools/deps --test does it): " + ", ".join(missing))
    if not enter(needs_skep=not options.keep):
        return 0
    from lab.swarm import Swarm
    tap = Tap()
    with Swarm() as swarm:
        center = build(swarm)
        swarm.start(center)
        if options.keep:
            keep(swarm)
            return 0
        for name, source, arguments in audits:
            if options.only in (None, name):
                audit = swarm.audit(*arguments(swarm, center))
                audit.save(options.save, name)
                check_audit(tap, swarm, name, audit, source)
        check_truth(tap, swarm)
    return tap.end()
