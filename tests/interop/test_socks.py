"""skep behind a SOCKS5 proxy that is its only way out: dante, with UDP and without, and microsocks.

What skep sends past the proxy is counted: nothing may be. Names are known to the proxy alone.
"""

import filecmp
import json
import os
import shutil
import signal
import sys
import time

from lab import dht_nodes
from lab.checks import run_on_a_network
from lab.client import PORT, wait_for
from lab.libtorrent_peer import LibtorrentPeer
from lab.opentracker import PORT as TRACKER_PORT, Opentracker
from lab.proxies import DANTE, MICROSOCKS, OUTER, PASSWORD, USER, Enclave
from lab.swarm import FOLDER
from lab.torrents import V1, Torrent

PIECE = 64 * 1024
FILE, SIZE = "a.bin", 40 * PIECE + 12345
PATIENCE_S = 30
TRACKER, SEED, NODE = "10.99.0.1", "10.99.1.1", "10.99.1.3"
NAMES = {"tracker.test": TRACKER, "seed.test": SEED, "dht.test": NODE}
PROXY = f"--socks={OUTER}:{DANTE}"
QUIET = ["--progress=none"]
NO_UDP = "no uTP, no DHT, no trackers over UDP"


class Lab:
    def __init__(self, network):
        self.torrent = Torrent(FOLDER, "orchard", V1, [(FILE, SIZE)], PIECE, [])
        self.enclave = Enclave(network, FOLDER, NAMES)
        self.tracker = Opentracker(network.add_host("tracker", TRACKER), FOLDER)
        self.tracker.allow(self.torrent.info_hashes())
        self.tracker.start()
        self.seeds = [LibtorrentPeer(network.add_host(f"seed-{transport}", f"10.99.1.{i}"),
                                     self.torrent, FOLDER, self.torrent.all_pieces(),
                                     transport=transport)
                      for i, transport in enumerate(("tcp", "utp"), 1)]
        for seed in self.seeds:
            seed.start()
            seed.settle()
        self.node = network.add_host("dht", NODE)
        self.libtorrent = dht_nodes.Library("libtorrent", self.node.argv(
            [sys.executable, os.path.join(dht_nodes.HERE, "dht_libtorrent.py")]))
        self.libtorrent.start([f"{NODE}:{PORT}"], [])
        self.gets = 0

    def stop(self):
        self.libtorrent.stop()
        for seed in self.seeds:
            seed.stop()
        self.tracker.stop()
        self.enclave.stop_proxies()

    def announce_seed(self):
        """The tracker is told of the seed that takes TCP, by an HTTP announce in its place."""
        path = (f"/announce?info_hash={bytes.fromhex(self.torrent.info_hashes()[0]).hex('%')}"
                f"&peer_id=-XX0000-000000000000&port={PORT}&uploaded=0&downloaded=0&left=0&compact=1")
        path = path.replace("info_hash=", "info_hash=%")
        with self.seeds[0].host.connect((TRACKER, TRACKER_PORT)) as link:
            link.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            while link.recv(4096):
                pass

    def get(self, tap, what, *argv, says=None, silent=None, env=None):
        """A download through the proxy; says, silent: what it has to say and not to."""
        self.gets += 1
        folder = os.path.join(FOLDER, f"get{self.gets}")
        start = time.monotonic()
        process = self.enclave.skep("get", self.torrent.path, "-o", folder, "--no-lsd",
                                    f"--state-dir={folder}-state", f"--time={PATIENCE_S}", *argv,
                                    *QUIET, env=dict(os.environ, **(env or {})))
        out, said = process.communicate(timeout=PATIENCE_S + 20)
        mine = os.path.join(folder, self.torrent.name, FILE)
        source = os.path.join(self.torrent.source, self.torrent.name, FILE)
        whole = os.path.exists(mine) and filecmp.cmp(mine, source, shallow=False)
        told = (says is None or said.count(says) == 1) and (silent is None or silent not in said)
        tap.check(process.returncode == 0 and whole and told, f"get {what}",
                  f"exit {process.returncode}", out, said)
        tap.note(f"{time.monotonic() - start:.1f} s")
        self.no_leak(tap, f"get {what}")

    def no_leak(self, tap, what):
        tap.check(self.enclave.counter("leaked") == 0, f"{what}: nothing passes the proxy by",
                  self.enclave.counter("leaked"))


def check_gets(tap, lab):
    alone = ["--no-trackers", "--no-dht"]
    tracked = ["--no-dht"]
    lab.get(tap, "over TCP", PROXY, f"--peer={SEED}:{PORT}", "--transport=tcp", *alone)
    lab.get(tap, "from a peer that has a name", PROXY, f"--peer=seed.test:{PORT}", *alone)
    relayed = lab.enclave.counter("relayed")
    lab.get(tap, "over uTP", PROXY, f"--peer=10.99.1.2:{PORT}", "--transport=utp", *alone,
            silent="relays no UDP")
    tap.check(lab.enclave.counter("relayed") > relayed, "uTP goes to the relay")
    lab.announce_seed()
    for scheme, host in (("http", TRACKER), ("http", "tracker.test"),
                         ("udp", TRACKER), ("udp", "tracker.test")):
        lab.get(tap, f"by a tracker, {scheme}://{host}", PROXY, *tracked,
                f"--tracker={scheme}://{host}:{TRACKER_PORT}/announce", "--transport=tcp")


def check_dht(tap, lab):
    """libtorrent's node is found by a name that the proxy knows."""
    process = lab.enclave.skep("dht", "ping", f"dht.test:{PORT}", PROXY, "--time=20", *QUIET)
    out, said = process.communicate(timeout=40)
    tap.check(process.returncode == 0, "dht ping of a name", process.returncode, out, said)
    process = lab.enclave.skep("dht", "lookup", "0" * 40, f"--bootstrap=dht.test:{PORT}", PROXY,
                               "--time=20", f"--state-dir={FOLDER}/dht-state", *QUIET)
    out, said = process.communicate(timeout=40)
    tap.check(process.returncode == 0 and "libtorrent" in out, "dht lookup by a name", process.returncode,
              out, said)
    lab.no_leak(tap, "dht")


def check_audit(tap, lab):
    process = lab.enclave.skep("audit", lab.torrent.path, PROXY, f"--peer={SEED}:{PORT}",
                               f"--peer=10.99.1.2:{PORT}", "--transport=tcp,utp", "--no-trackers",
                               "--no-dht", "--format=json", f"--time={PATIENCE_S}", *QUIET)
    out, said = process.communicate(timeout=PATIENCE_S + 20)
    peers = {p["address"]: p.get("transport") for p in json.loads(out)["peers"]}
    tap.check(peers.get(f"{SEED}:{PORT}") == "tcp" and peers.get(f"10.99.1.2:{PORT}") == "utp",
              "audit reaches both over the proxy", peers, said)
    lab.no_leak(tap, "audit")


def check_seed(tap, lab, network):
    """It calls its leech; nobody can call it."""
    leech = LibtorrentPeer(network.add_host("leech", "10.99.1.9"), lab.torrent, FOLDER, set(),
                           wants_rest=True)
    leech.start()
    leech.settle()
    process = lab.enclave.skep("seed", lab.torrent.path, lab.torrent.source, PROXY,
                               f"--peer={leech.endpoints()[0]}", "--no-trackers", "--no-dht",
                               f"--state-dir={FOLDER}/seed-state", *QUIET)
    try:
        wait_for("download", lambda: leech.pieces() == lab.torrent.all_pieces(), PATIENCE_S)
        have = lab.torrent.pieces
    except TimeoutError:
        have = len(leech.pieces())
    tap.check(not lab.enclave.listeners(), "nothing listens", lab.enclave.listeners())
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)
    leech.stop()
    tap.check(have == lab.torrent.pieces, "seed gives to a leech", have, *said)
    lab.no_leak(tap, "seed")


def check_broken(tap, lab):
    """The proxy goes away in the middle: nothing else is tried."""
    process = lab.enclave.skep("get", lab.torrent.path, "-o", FOLDER + "/broken", PROXY,
                               f"--peer={SEED}:{PORT}", "--no-dht", "--limit=20k", "--time=12",
                               f"--tracker=udp://tracker.test:{TRACKER_PORT}/announce",
                               f"--state-dir={FOLDER}/broken-state", *QUIET)
    time.sleep(3)
    lab.enclave.stop_proxies()
    out, said = process.communicate(timeout=40)
    tap.check(process.returncode not in (0, None), "get without its proxy does not end well",
              process.returncode, out, said)
    lab.no_leak(tap, "get whose proxy went")
    process = lab.enclave.skep("get", lab.torrent.path, PROXY, "-o", FOLDER + "/never", *QUIET)
    out, said = process.communicate(timeout=40)
    lines = said.splitlines()
    tap.check(process.returncode == 4 and len(lines) == 1 and "cannot use the proxy" in lines[0],
              "a proxy that is not there: one line", process.returncode, said)
    lab.no_leak(tap, "no proxy")


def check_no_udp(tap, lab):
    lab.enclave.start_dante(udp=False)
    lab.get(tap, "where dante refuses UDP", PROXY, f"--peer={SEED}:{PORT}", says=NO_UDP)
    process = lab.enclave.skep("dht", "ping", f"{NODE}:{PORT}", PROXY, "--time=20", *QUIET)
    out, said = process.communicate(timeout=40)
    tap.check(process.returncode == 4 and "needs UDP" in said, "dht without UDP ends at once",
              process.returncode, said)
    lab.no_leak(tap, "dht without UDP")
    lab.enclave.stop_proxies()
    lab.enclave.start_microsocks()
    server = f"{OUTER}:{MICROSOCKS}"
    lab.get(tap, "through microsocks with an account", f"--socks={USER}:{PASSWORD}@{server}",
            f"--peer=seed.test:{PORT}", says=NO_UDP)
    auth = os.path.join(FOLDER, "auth")
    with open(auth, "w") as out:
        out.write(f"{USER}:{PASSWORD}\n")
    lab.get(tap, "with the account in a file, by http tracker", f"--socks-auth={auth}", "--no-dht",
            f"--tracker=http://tracker.test:{TRACKER_PORT}/announce", says=NO_UDP,
            env={"SKEP_SOCKS": server})
    for account, text in (("", "wants a user name"), ("skep:wrong@", "refuses this user name")):
        process = lab.enclave.skep("get", lab.torrent.path, f"--socks={account}{server}", "-o",
                                   FOLDER + "/never", *QUIET)
        out, said = process.communicate(timeout=40)
        tap.check(process.returncode == 4 and text in said, f"account '{account}': {text}",
                  process.returncode, said)
    lab.no_leak(tap, "microsocks")


def check(tap, network):
    missing = [p for p in ("danted", "microsocks", "nft") if not shutil.which(p)]
    if missing:
        sys.exit("not installed (tools/deps --test does it): " + ", ".join(missing))
    os.mkdir(FOLDER)
    lab = Lab(network)
    try:
        lab.enclave.start_dante()
        check_gets(tap, lab)
        check_dht(tap, lab)
        check_audit(tap, lab)
        check_seed(tap, lab, network)
        check_broken(tap, lab)
        check_no_udp(tap, lab)
    finally:
        lab.stop()


if __name__ == "__main__":
    sys.exit(run_on_a_network(__doc__, check))
