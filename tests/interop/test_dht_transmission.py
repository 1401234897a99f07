"""Two Transmission daemons that know nothing but a DHT of skep's nodes, on a private network.

One has a torrent and announces it; then the other wants it and has to find the first. skep finds both,
by a lookup and by an audit.
"""

import json
import os
import subprocess
import sys
import time

from lab.checks import run_on_a_network
from lab.client import PORT, wait_for
from lab.swarm import FOLDER
from lab.torrents import V1, Torrent
from lab.transmission import Transmission

PIECE = 32 * 1024
NODES = 12
ANNOUNCED = "10.99.3.1"
PATIENCE_S = 200  # Transmission takes a minute to join and as long for a search
# Between lookups. Each is of a node of its own that is gone at its end, and Transmission does not know
# BEP 43: it keeps that node for a while, and asks it three times before its search goes on.
PAUSE_S = 20


class DhtTransmission(Transmission):
    """With the DHT on, and the nodes that it starts from."""

    def start(self):
        with open(os.path.join(self.folder, "dht.bootstrap"), "w") as out:
            for port in range(PORT, PORT + NODES):
                out.write(f"10.99.2.1 {port}\n")
        super().start()

    def settings(self):
        return dict(super().settings(), **{"dht-enabled": True, "pex-enabled": False})


def start_nodes(host, folder):
    nodes = []
    for port in range(PORT, PORT + NODES):
        log = open(f"{folder}/node{port}.log", "wb")
        bootstrap = [f"--bootstrap={host.ipv4}:{p}" for p in range(PORT, min(port, PORT + 4))]
        nodes.append(host.popen(
            [os.environ["SKEP"], "dht", "node", f"--bind={host.ipv4}", f"--port={port}",
             "--progress=none", f"--state-dir={folder}/node{port}", *bootstrap],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    return nodes


def skep(host, folder, *argv):
    return subprocess.run(host.argv([os.environ["SKEP"], *argv, "--progress=none",
                                     f"--bootstrap=10.99.2.1:{PORT}",
                                     f"--state-dir={folder}/asker"]),
                          capture_output=True, text=True, timeout=90)


def lookup(host, folder, info_hash, want, seconds=PATIENCE_S):
    """The peers that `skep dht peers` finds, asked until all that are wanted are there."""
    end = time.monotonic() + seconds
    while True:
        done = skep(host, folder, "dht", "peers", info_hash, "--time=10")
        found = set(done.stdout.split())
        if want <= found or time.monotonic() > end:
            return found, done.stderr
        time.sleep(PAUSE_S)


def endpoints(clients):
    return {f"{c.host.ipv4}:{PORT}" for c in clients}


def downloads(client):
    """Whether it gets the whole file. Nothing but the DHT could have told either of the other; once
    both have it they part, and what they say of each other's source is gone."""
    try:
        wait_for("download", lambda: client.pieces() == client.torrent.all_pieces(), PATIENCE_S)
    except TimeoutError:
        return False
    return True


def check(tap, network):
    folder = FOLDER
    os.mkdir(folder)
    hosts = [network.add_host(n, a) for n, a in (("nodes", "10.99.2.1"), ("seed", "10.99.1.1"),
                                                 ("leech", "10.99.1.2"), ("asker", ANNOUNCED))]
    torrent = Torrent(folder, "orchard", V1, [("a.bin", 20 * PIECE)], PIECE, [])
    nodes = start_nodes(hosts[0], folder)
    seed = DhtTransmission(hosts[1], torrent, folder, torrent.all_pieces())
    leech = DhtTransmission(hosts[2], torrent, folder, set())
    clients = [seed, leech]
    start = time.monotonic()
    try:
        for client in clients:
            client.start()
        seed.settle()
        info_hash = torrent.info_hashes()[0]
        first, both = endpoints([seed]), endpoints(clients)
        found, said = lookup(hosts[3], folder, info_hash, first)
        tap.check(first <= found, "skep finds a Transmission that announced to its nodes", found,
                  said)
        tap.note(f"after {time.monotonic() - start:.0f} s")
        leech.settle()
        tap.check(downloads(leech), "another Transmission has the file: they met in the DHT",
                  leech.pieces())
        tap.note(f"after {time.monotonic() - start:.0f} s")
        found, said = lookup(hosts[3], folder, info_hash, both)
        tap.check(both <= found, "skep finds both", found, said)
        report = skep(hosts[3], folder, "audit", torrent.path, "--no-pex", "--no-lsd", "--time=40",
                      "--format=json")

        peers = json.loads(report.stdout)["peers"] if report.stdout else []
        served = {p["address"] for p in peers if p["state"] == "served" and "dht" in p["sources"]}
        tap.check(both <= served, "an audit finds and measures both with the DHT alone",
                  *peers, report.stderr)
        done = skep(hosts[3], folder, "dht", "announce", info_hash, "--port=4444", "--time=20")
        tap.check(done.returncode == 0, "skep announces", done.stderr)
        found, said = lookup(hosts[3], folder, info_hash, {f"{ANNOUNCED}:4444"}, 20)
        tap.check(f"{ANNOUNCED}:4444" in found, "and finds what it announced", found, said)
    finally:
        for client in clients:
            client.stop()
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait()


if __name__ == "__main__":
    sys.exit(run_on_a_network(__doc__, check))
