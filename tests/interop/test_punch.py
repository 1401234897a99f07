"""Holepunching (BEP 55): peers behind NATs that only let answers in, introduced by a relay.

libtorrent as relay and as target of skep, skep as target of libtorrent, and skep as relay. Who asks
says that it does not listen: then no relay tells the target of it by PEX, and nothing but the
relay's word makes the target send what opens its NAT.
"""

import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from lab.checks import run_on_a_network
from lab.client import PORT, wait_for
from lab.libtorrent_peer import LibtorrentPeer
from lab.nat import Hidden
from lab.swarm import FOLDER
from lab.torrents import V1, Torrent

PIECE = 64 * 1024
FILE, SIZE = "a.bin", 20 * PIECE + 12345
PATIENCE_S = 60
ALONE = ["--no-trackers", "--no-dht", "--no-lsd", "--progress=none", "--transport=utp",
         f"--port={PORT}"]


class Lab:
    """Torrents and hosts are numbered: each check has its own."""

    def __init__(self, network):
        self.network, self.running, self.processes = network, [], []
        self.number = 0
        self.torrent = None

    def begin(self):
        """Another torrent, so that nobody of an earlier check is in its swarm."""
        self.stop()
        self.number += 1
        self.torrent = Torrent(os.path.join(FOLDER, str(self.number)), f"orchard{self.number}", V1,
                               [(FILE, SIZE)], PIECE, [])

    def address(self):
        return f"10.99.2.{len(self.network.hosts) + 1}"

    def open(self, name):
        return self.network.add_host(f"{name}{self.number}", self.address())

    def hidden(self, name):
        return Hidden(self.network, f"{name}{self.number}", self.address())

    def libtorrent(self, host, has_all, wants_rest=False):
        torrent = self.torrent
        held = torrent.all_pieces() if has_all else set()
        peer = LibtorrentPeer(host, torrent, FOLDER, held, wants_rest=wants_rest, transport="utp",
                              encryption="off")
        self.running.append(peer)
        peer.start()
        peer.settle()
        return peer

    def skep(self, host, command, *argv):
        process = host.popen([os.environ["SKEP"], command, self.torrent.path, *argv, *ALONE,
                              f"--state-dir={FOLDER}/{host.name}-state", "--encryption=off"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def get(self, tap, what, hidden, relay):
        """skep behind a NAT downloads, and knows the relay alone, which has nothing."""
        folder = os.path.join(FOLDER, hidden.host.name + "-got")
        start = time.monotonic()
        process = self.skep(hidden.host, "get", "-o", folder, f"--peer={relay}:{PORT}",
                            "--no-listen", f"--time={PATIENCE_S}")
        said = "".join(process.communicate(timeout=PATIENCE_S + 20))
        mine = os.path.join(folder, self.torrent.name, FILE)
        source = os.path.join(self.torrent.source, self.torrent.name, FILE)
        whole = os.path.exists(mine) and filecmp.cmp(mine, source, shallow=False)
        tap.check(process.returncode == 0 and whole, what, f"exit {process.returncode}", said)
        tap.note(f"{time.monotonic() - start:.1f} s")

    def stop(self):
        for peer in self.running:
            peer.stop()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=20)
        self.running, self.processes = [], []


def check_libtorrent_relays(tap, lab):
    """Both of the others behind NATs; the target is libtorrent, then an audit asks for it too."""
    lab.begin()
    relay = lab.libtorrent(lab.open("relay"), False)
    target = lab.hidden("target")
    seed = lab.libtorrent(target.host, True)
    seed.meet(relay.endpoints())
    wait_for("the target meets the relay", lambda: relay.peers(), 20)
    lab.get(tap, "get from libtorrent behind a NAT, libtorrent relays", lab.hidden("get"),
            relay.host.ipv4)
    auditor = lab.hidden("audit")
    start = time.monotonic()
    process = lab.skep(auditor.host, "audit", f"--peer={relay.host.ipv4}:{PORT}",
                       "--no-listen", "--format=json", f"--time={PATIENCE_S}", "--patience=20")
    out, said = process.communicate(timeout=PATIENCE_S + 20)
    entries = [p for p in json.loads(out)["peers"] if p["address"] == f"{target.public}:{PORT}"]
    tap.check(len(entries) == 1 and entries[0].get("transport") == "utp" and
              entries[0]["state"] == "served", "audit reaches it, over uTP", entries, out, said)
    tap.note(f"{time.monotonic() - start:.1f} s")


def check_no_relay(tap, lab):
    """The NATs are what they are: without the relay's help nobody gets through."""
    lab.begin()
    target = lab.hidden("target")
    lab.libtorrent(target.host, True)
    getter = lab.hidden("get")
    process = lab.skep(getter.host, "get", "-o", FOLDER + "/none", "--time=12",
                       f"--peer={target.public}:{PORT}")
    said = "".join(process.communicate(timeout=40))
    tap.check(process.returncode != 0, "nobody gets through the NAT unasked", said)


def check_skep_is_target(tap, lab):
    """libtorrent relays, libtorrent and skep ask for a skep behind a NAT."""
    lab.begin()
    relay = lab.libtorrent(lab.open("relay"), False)
    target = lab.hidden("target")
    lab.skep(target.host, "seed", lab.torrent.source, f"--peer={relay.host.ipv4}:{PORT}")
    wait_for("skep meets the relay", lambda: relay.peers(), 20)
    lab.get(tap, "get from skep behind a NAT, libtorrent relays", lab.hidden("get"),
            relay.host.ipv4)
    leech = lab.libtorrent(lab.hidden("leech").host, False, wants_rest=True)
    leech.meet(relay.endpoints())
    start = time.monotonic()
    try:
        wait_for("download", lambda: leech.pieces() == lab.torrent.all_pieces(), PATIENCE_S)
    except TimeoutError:
        pass
    have = len(leech.pieces())
    tap.check(have == lab.torrent.pieces, "libtorrent gets from skep, both behind NATs", have)
    tap.note(f"{time.monotonic() - start:.1f} s")


def check_skep_relays(tap, lab):
    """skep, which has nothing yet and is sent little, introduces skep to libtorrent."""
    lab.begin()
    host = lab.open("relay")
    target = lab.hidden("target")
    seed = lab.libtorrent(target.host, True)
    lab.skep(host, "get", "-o", FOLDER + "/relay", "--limit=1k", "--time=100")
    time.sleep(1)
    seed.meet([f"{host.ipv4}:{PORT}"])
    wait_for("the target meets the relay", lambda: seed.peers(), 20)
    lab.get(tap, "get from libtorrent behind a NAT, skep relays", lab.hidden("get"), host.ipv4)


def check(tap, network):
    if not shutil.which("nft"):
        sys.exit("not installed (tools/deps --test does it): nft")
    os.mkdir(FOLDER)
    lab = Lab(network)
    try:
        check_no_relay(tap, lab)
        check_libtorrent_relays(tap, lab)
        check_skep_is_target(tap, lab)
        check_skep_relays(tap, lab)
    finally:
        lab.stop()


if __name__ == "__main__":
    sys.exit(run_on_a_network(__doc__, check))
