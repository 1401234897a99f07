"""uTP with libtorrent: skep downloads from it and gives to it, encrypted and plain, and audits.

An audit has to find out who takes what.
"""

import filecmp
import json
import os
import signal
import subprocess
import sys
import time

from lab.checks import run_on_a_network
from lab.client import PORT, wait_for
from lab.libtorrent_peer import LibtorrentPeer
from lab.swarm import FOLDER
from lab.torrents import V1, Torrent

PIECE = 256 * 1024
FILE, SIZE = "a.bin", 64 * PIECE + 12345
PATIENCE_S = 30
ALONE = ["--no-trackers", "--no-dht", "--no-lsd", "--progress=none"]


class Lab:
    """The torrent, and hosts that are numbered as they come."""

    def __init__(self, network):
        self.network, self.running = network, []
        self.torrent = Torrent(FOLDER, "orchard", V1, [(FILE, SIZE)], PIECE, [])

    def host(self, name):
        return self.network.add_host(name, f"10.99.1.{len(self.network.hosts) + 1}")

    def libtorrent(self, name, has_all, **options):
        torrent = self.torrent
        held = torrent.all_pieces() if has_all else set()
        peer = LibtorrentPeer(self.host(name), torrent, FOLDER, held, wants_rest=not has_all, **options)
        self.running.append(peer)
        peer.start()
        peer.settle()
        return peer

    def skep(self, host, command, *argv):
        """A run of skep in the background, with a folder of its own."""
        return host.popen([os.environ["SKEP"], command, self.torrent.path, *argv, *ALONE,
                           f"--state-dir={FOLDER}/{host.name}-state", f"--port={PORT}"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def skep_seed(self, encryption):
        host = self.host("skep-seed-" + encryption)
        process = self.skep(host, "seed", self.torrent.source, "--transport=utp",
                            "--encryption=" + encryption)
        return host, process

    def get(self, tap, name, endpoint, encryption):
        """skep downloads from there, over uTP alone."""
        host = self.host(f"get-{name}-{encryption}")
        folder = os.path.join(FOLDER, host.name)
        start = time.monotonic()
        process = self.skep(host, "get", "-o", folder, "--peer=" + endpoint, "--transport=utp",
                            "--encryption=" + encryption, f"--time={PATIENCE_S}")
        said = "".join(process.communicate(timeout=PATIENCE_S + 20))
        mine = os.path.join(folder, self.torrent.name, FILE)
        source = os.path.join(self.torrent.source, self.torrent.name, FILE)
        whole = os.path.exists(mine) and filecmp.cmp(mine, source, shallow=False)
        tap.check(process.returncode == 0 and whole,
                  f"skep downloads from {name}, encryption {encryption}",
                  f"exit {process.returncode}", said)
        tap.note(f"{time.monotonic() - start:.1f} s")


def ends(process):
    """Ends a skep; its exit code and what it said."""
    process.send_signal(signal.SIGINT)
    said = "".join(process.communicate(timeout=20))
    return process.returncode, said


def check_transfers(tap, lab, encryption):
    policy = encryption if encryption == "off" else "require"
    seed = lab.libtorrent("lt-seed-" + encryption, True, transport="utp", encryption=policy)
    lab.get(tap, "libtorrent", seed.endpoints()[0], encryption)
    host, process = lab.skep_seed(encryption)
    start = time.monotonic()
    try:
        lab.get(tap, "skep", f"{host.ipv4}:{PORT}", encryption)
        leech = lab.libtorrent("lt-leech-" + encryption, False, transport="utp", encryption=policy)
        start = time.monotonic()
        leech.meet([f"{host.ipv4}:{PORT}"])
        try:
            wait_for("download", lambda: leech.pieces() == lab.torrent.all_pieces(), PATIENCE_S)
        except TimeoutError:
            pass
        have = len(leech.pieces())
    finally:
        code, said = ends(process)
    tap.check(have == lab.torrent.pieces, f"libtorrent downloads from skep, encryption {encryption}",
              f"has {have} of {lab.torrent.pieces} pieces", said)
    tap.note(f"{time.monotonic() - start:.1f} s")
    tap.check(code == 0, f"the seed ends with success, encryption {encryption}", code, said)
    return seed


def audit(tap, lab, name, peers, expected, *argv):
    """expected: what the report has to say of each peer's transport, None: not connected."""
    start = time.monotonic()
    process = lab.skep(lab.host("audit-" + name), "audit", "--format=json", "--no-pex",
                       f"--time={PATIENCE_S}",
                       *("--peer=" + p.endpoints()[0] for p in peers), *argv)
    out, said = process.communicate(timeout=PATIENCE_S + 20)
    try:
        report = json.loads(out)
    except ValueError:
        report = {"peers": []}
    tap.note(f"{time.monotonic() - start:.1f} s, {report.get('stopped')}")
    told = {p["address"]: p for p in report["peers"]}
    for peer, transport in zip(peers, expected):
        entry = told.get(peer.endpoints()[0], {})
        state = entry.get("state") == "served" if transport else entry.get("share") is None
        tap.check(entry.get("transport") == transport and state,
                  f"audit {name}: {peer.name} has transport {transport}", entry, said)


def check_all(tap, lab):
    start = time.monotonic()
    seed = check_transfers(tap, lab, "off")
    check_transfers(tap, lab, "require")
    other = lab.libtorrent("lt-tcp", True, transport="tcp", encryption="off")
    audit(tap, lab, "both", [seed, other], ["utp", "tcp"])
    audit(tap, lab, "tcp", [seed, other], [None, "tcp"], "--transport=tcp")
    audit(tap, lab, "utp", [seed, other], ["utp", None], "--transport=utp")
    tap.note(f"all: {time.monotonic() - start:.1f} s")


def check(tap, network):
    os.mkdir(FOLDER)
    lab = Lab(network)
    try:
        check_all(tap, lab)
    finally:
        for peer in lab.running:
            peer.stop()


if __name__ == "__main__":
    sys.exit(run_on_a_network(__doc__, check))
