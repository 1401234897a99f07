#!/usr/bin/python3
"""A swarm of real clients that trade under tbf limits, each in a network namespace of its own, and an
audit that watches it. What each had of each is counted by nft where it arrives. Prints JSON."""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "interop"))

from lab import namespaces  # noqa: E402
from lab.addresses import TRACKER  # noqa: E402
from lab.aria2 import Aria2  # noqa: E402
from lab.checks import enter  # noqa: E402
from lab.libtorrent_peer import LibtorrentPeer  # noqa: E402
from lab.opentracker import Opentracker  # noqa: E402
from lab.swarm import FOLDER  # noqa: E402
from lab.torrents import V1, Torrent  # noqa: E402
from lab.transmission import Transmission  # noqa: E402

MIB = 1024 * 1024
HEADERS = 52  # of a TCP segment with time stamps over IPv4
KINDS = (Aria2, LibtorrentPeer, Transmission)


def inside(host, *words, text=None):
    return subprocess.run(host.argv(words), input=text, capture_output=True, text=True, check=True).stdout


def limit(host, bytes_s):
    """What the host sends, headers included."""
    inside(host, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{bytes_s * 8:.0f}bit",
           "burst", "32k", "latency", "300ms")


def count(host, others):
    """Counts what comes in from each of the others."""
    rules = ["add table ip truth", "add chain ip truth in { type filter hook input priority 0; }"]
    rules += [f"add rule ip truth in ip saddr {other.ipv4} counter" for other in others]
    inside(host, "nft", "-f", "-", text="\n".join(rules) + "\n")


def counted(host):
    """Payload that came in so far, by address."""
    listing = json.loads(inside(host, "nft", "-j", "list", "chain", "ip", "truth", "in"))
    found = {}
    for rule in (item["rule"]["expr"] for item in listing["nftables"] if "rule" in item):
        counter = rule[1]["counter"]
        found[rule[0]["match"]["right"]] = max(0, counter["bytes"] - HEADERS * counter["packets"])
    return found


def choose_limits(clients, chance):
    """The seed is the fastest; the others are homes."""
    return [2 * MIB] + [chance.choice([0.1, 0.2, 0.3, 0.5, 0.8]) * MIB for _ in range(clients - 1)]


def watch(auditor, torrent, arguments, hosts, clients):
    """The report of an audit, what each host had of each while it watched, and what each client
    came to hold."""
    argv = [arguments.skep, "audit", torrent.path, "--format=json", "--progress=none", "--no-dht",
            "--no-lsd", f"--watch={arguments.seconds}"]
    argv += [f"--db={arguments.db}"] if arguments.db else []
    before = [counted(host) for host in hosts]
    held = [client.held_bytes() for client in clients]
    audit = subprocess.Popen(auditor.argv(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(arguments.seconds)
    after = [counted(host) for host in hosts]
    gained = {host.ipv4: client.held_bytes() - held[i] for i, (host, client) in enumerate(zip(hosts, clients))}
    output, errors = audit.communicate(timeout=60)
    if audit.returncode not in (0, 5):
        sys.exit(f"skep audit: exit code {audit.returncode}: {errors[-400:]}")
    flows = [{"from": other, "to": host.ipv4, "bytes": after[i][other] - before[i][other]}
             for i, host in enumerate(hosts) for other in after[i]]
    return json.loads(output), flows, gained


def play(arguments):
    chance = random.Random(arguments.seed)
    network = namespaces.Network()
    os.mkdir(FOLDER)
    tracker = Opentracker(network.add_host("tracker", TRACKER), os.path.join(FOLDER, "tracker"))
    torrent = Torrent(FOLDER, "swarm", V1, [("film.bin", arguments.pieces * arguments.piece_size)],
                      arguments.piece_size, [tracker.http_url])
    tracker.allow(torrent.info_hashes())
    tracker.start()
    auditor = network.add_host("auditor", "10.99.9.9")
    hosts = [network.add_host(f"peer{i}", f"10.99.1.{i + 1}") for i in range(arguments.clients)]
    limits = choose_limits(arguments.clients, chance)
    clients = []
    try:
        for i, host in enumerate(hosts):
            limit(host, limits[i])
            count(host, [other for other in hosts if other is not host])
            kind = KINDS[i % len(KINDS)]
            options = {"wants_rest": i > 0} if kind is LibtorrentPeer else {}
            held = torrent.all_pieces() if i == 0 else set()
            clients.append(kind(host, torrent, FOLDER, held, **options))
            clients[-1].start()
        for client in clients:
            client.settle()
        time.sleep(arguments.settle)
        report, flows, gained = watch(auditor, torrent, arguments, hosts, clients)
        shares = [client.share() for client in clients]
    finally:
        for client in clients:
            client.stop()
        tracker.stop()
    return {"seed": arguments.seed, "seconds": arguments.seconds, "flows": flows, "gained": gained, "shares": shares, "report": report,
            "limits": {host.ipv4: rate for host, rate in zip(hosts, limits)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("skep", help="the program to measure")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--pieces", type=int, default=768)
    parser.add_argument("--piece-size", type=int, default=256 * 1024)
    parser.add_argument("--settle", type=float, default=30, help="seconds before the audit begins")
    parser.add_argument("--seconds", type=float, default=180, help="of watching")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--db", type=os.path.abspath, help="keep what the audit saw (skep audit --replay)")
    arguments = parser.parse_args()
    if not enter(needs_skep=False):
        return 1
    json.dump(play(arguments), sys.stdout)
    return 0


sys.exit(main())
