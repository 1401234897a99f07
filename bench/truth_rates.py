#!/usr/bin/python3
"""What skep audit says of the rates of real clients under known limits. See README.md.

Each client is a host of its own (a network namespace) behind a token bucket; needs root or user
namespaces. Prints the table of the bars; exit code 1: a bar was missed or a run failed."""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "interop")]

import bench  # noqa: E402
from lab import namespaces  # noqa: E402
from lab.aria2 import Aria2  # noqa: E402
from lab.libtorrent_peer import LibtorrentPeer  # noqa: E402
from lab.swarm import FOLDER  # noqa: E402
from lab.torrents import V1, Torrent  # noqa: E402
from lab.transmission import Transmission  # noqa: E402

MBIT = 125_000       # bytes a second
LIMITS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)  # Mbit/s, of Ethernet frames
KINDS = (LibtorrentPeer, Aria2, Transmission)
PEERS = 6
SIZE, PIECE_SIZE = 96 << 20, 256 << 10
SLOW = 20            # Mbit/s: up to here 1 MiB has to do, above it 10 s
ALONE = 100          # from here on one probe at a time: all together would be more than this machine
# Of a frame of 1,514 bytes 1,448 are TCP payload (time stamps), of a piece message of 16,397 bytes
# 16,384 are the block.
PAYLOAD = 1448 / 1514 * 16384 / 16397
NEAR = 0.1


class Lab:
    """The auditor's host, the clients' and two that can compete for the clients' links."""

    def __init__(self, arguments):
        self.skep, self.random = arguments.skep, random.Random(arguments.seed)
        os.mkdir(FOLDER)
        network = namespaces.Network()
        self.auditor = network.add_host("auditor", "10.99.9.9")
        self.rivals = [network.add_host(f"rival{i}", f"10.99.8.{i + 1}") for i in range(2)]
        self.hosts = [network.add_host(f"peer{i}", f"10.99.1.{i + 1}") for i in range(PEERS)]
        self.torrent = Torrent(FOLDER, "rates", V1, [("a.bin", SIZE)], PIECE_SIZE)
        self.clients = []

    def start(self, up_limit=None):
        """All clients anew, with a limit of their own in bytes a second."""
        self.stop()
        for i, host in enumerate(self.hosts):
            shutil.rmtree(os.path.join(FOLDER, host.name), ignore_errors=True)
            self.clients.append(KINDS[i % len(KINDS)](
                host, self.torrent, FOLDER, self.torrent.all_pieces(), encryption="off", up_limit=up_limit))
            self.clients[-1].start()
        for client in self.clients:
            client.settle()

    def stop(self):
        for client in self.clients:
            client.stop()
        self.clients = []

    def shape(self, host, mbit, burst):
        """Anew: a segment that still waits in the old bucket and is larger than the new one would block it."""
        device = ["dev", "eth0", "root"]
        subprocess.run(host.argv(["tc", "qdisc", "del", *device]), stderr=subprocess.DEVNULL, check=False)
        subprocess.run(host.argv(["tc", "qdisc", "add", *device, "tbf", "rate", f"{mbit:g}mbit", "burst",
                                  str(burst), "latency", "300ms"]), check=True)

    def limit(self, mbit, burst=None):
        """Every client's up-link. A bucket holds 10 ms at least, or the limit would not be reached."""
        for host in self.hosts:
            least = int(mbit * MBIT / 100)
            drawn = self.random.choice([4096, 32 << 10, 256 << 10])
            self.shape(host, mbit, max(least, burst or drawn))

    def police(self, mbit, burst):
        """What comes from each client above that is dropped; None: nothing."""
        rules = [f"ip saddr {host.ipv4} limit rate over {int(mbit * MBIT)} bytes/second burst {burst} bytes drop"
                 for host in self.hosts] if mbit else []
        table = ["table inet police {}", "delete table inet police", "table inet police {", "chain input {",
                 "type filter hook input priority 0", *rules, "}", "}", ""]
        subprocess.run(self.auditor.argv(["nft", "-f", "-"]), input="\n".join(table), text=True, check=True)

    def narrow(self, mbit):
        """What comes in to the auditor, by the bridge's side of its line; None: no limit."""
        words = ["tc", "qdisc", "replace" if mbit else "del", "dev", "p0", "root"]
        words += ["tbf", "rate", f"{mbit}mbit", "burst", "32k", "latency", "300ms"] if mbit else []
        subprocess.run(["nsenter", f"--net=/run/netns/{namespaces.HUB}", "--", *words], check=True)

    def segments(self, whole):
        """Whether the clients' hosts hand whole segments of up to 64 KiB to the link, or packets."""
        for host in self.hosts:
            subprocess.run(host.argv(["ip", "link", "set", "eth0", "gso_max_segs",
                                      "65535" if whole else "1"]), check=True)

    def command(self, *words):
        argv = [self.skep, "audit", self.torrent.path, *bench.SKEP_ALONE, *map(str, words)]
        for client in self.clients:
            argv += ["--peer", client.endpoints()[0]]
        return argv

    def audit(self, *words):
        """{address: what the report says of it}."""
        ended = subprocess.run(self.auditor.argv(self.command("--time=90", *words)), capture_output=True,
                               text=True)
        if ended.returncode:
            raise bench.Failed(f"skep audit: exit code {ended.returncode}: {ended.stderr[-300:]}")
        return {peer["address"]: peer for peer in json.loads(ended.stdout)["peers"]}

    def compete(self):
        """Two others draw from all clients, until they are stopped."""
        return [subprocess.Popen(host.argv(self.command("--time=300", "--probe-bytes=64G",
                                                        "--probe-seconds=300")),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for host in self.rivals]


def judge(peer, client, mbit, scenario):
    """One peer beside the truth: rates over what the limit lets through."""
    def over(figure):
        return None if figure is None else figure / (mbit * MBIT * PAYLOAD)

    delivered, capacity = peer["delivered"], peer.get("capacity") or {}
    run = {"scenario": scenario, "mbit": mbit, "client": type(client).__name__, "bytes": delivered["bytes"],
           "state": peer["state"], "reason": peer["reason"],
           "how": delivered["how"], "span_s": delivered["span_s"], "capacity_how": capacity.get("how")}
    for name, of in (("delivered", delivered), ("capacity", capacity)):
        run[name] = [over(of.get(key)) for key in ("rate_bytes_s", "low", "high")]
    bench.log(json.dumps(run))
    return run


def measure(lab, scenario, mbit, words=()):
    peers = lab.audit(*words)
    return [judge(peers[client.endpoints()[0]], client, mbit, scenario) for client in lab.clients]


def run_plain(lab, arguments):
    runs = []
    lab.start()
    for round_number in range(arguments.rounds):
        for mbit in arguments.limits:
            lab.limit(mbit)
            runs += measure(lab, "plain", mbit, ["--probes=1"] if mbit >= ALONE else [])
    return runs


def run_limited(lab, arguments):
    """The client's own limit is 40 % of the link."""
    runs = []
    for mbit in arguments.links:
        lab.start(up_limit=int(0.4 * mbit * MBIT))
        lab.limit(mbit, burst=4096)
        runs += measure(lab, "limited", mbit)
    return runs


def run_shared(lab, arguments):
    """Two others draw at the same time."""
    runs = []
    for mbit in arguments.links:
        lab.start()
        lab.limit(mbit, burst=4096)
        rivals = lab.compete()
        time.sleep(12)  # Transmission unchokes every ten seconds
        runs += measure(lab, "shared", mbit)
        for rival in rivals:
            rival.kill()
            rival.wait()
    return runs


def run_crowded(lab, arguments):
    """Our own line carries a quarter of what one of the clients gives."""
    lab.start()
    lab.limit(20, burst=32 << 10)
    lab.narrow(5)
    runs = measure(lab, "crowded", 20)
    lab.narrow(None)
    return runs


def run_policed(lab, arguments):
    """A policer lets a quarter of the link through, after 128 KiB at the link's rate."""
    runs = []
    lab.start()
    for mbit in arguments.links:
        lab.limit(mbit, burst=4096)
        lab.police(mbit / 4, burst=128 << 10)
        runs += measure(lab, "policed", mbit)
        lab.police(None, 0)
    return runs


def share(runs, holds):
    return 100 * sum(1 for run in runs if holds(run)) / len(runs) if runs else None


def is_near(run):
    rate = run["delivered"][0]
    return rate is not None and abs(rate - 1) <= NEAR


def is_held(run, key="delivered"):
    rate, low, high = run[key]
    return rate is not None and low <= 1 and (high is None or high >= 1)


def row(name, value, bar=None, form="{:.1f}"):
    return bench.Row(name, value, None, bar=bar, on_skep=True, form=form)


def rows_of_plain(plain):
    if not plain:
        return []
    known = [run for run in plain if run["delivered"][0] is not None]
    rows = [row(f"delivered: peers within 10 % of the limit, % of {len(plain)}", share(plain, is_near), (">=", 95)),
            row("delivered: intervals that hold the truth, %", share(known, is_held), (">=", 93))]
    for mbit in sorted({run["mbit"] for run in plain}):
        here = [run for run in plain if run["mbit"] == mbit]
        rates = [run["delivered"][0] for run in here if run["delivered"][0] is not None]
        rows.append(row(f"{mbit:g} Mbit/s: within 10 %, % of {len(here)}", share(here, is_near)))
        rows.append(row(f"{mbit:g} Mbit/s: median over the limit", statistics.median(rates) if rates else None,
                        form="{:.3f}"))
        rows.append(row(f"{mbit:g} Mbit/s: most MiB of a peer", max(run["bytes"] for run in here) / (1 << 20),
                        ("<=", 1) if mbit <= SLOW else None, form="{:.2f}"))
    return rows


def rows_of(runs):
    rows = rows_of_plain([run for run in runs if run["scenario"] == "plain"])
    for scenario in ("limited", "shared"):
        here = [run for run in runs if run["scenario"] == scenario]
        if not here:
            continue
        sure = [run for run in here if run["capacity"][2] is not None]
        found = [run for run in here if run["capacity"][0] is not None]
        rows.append(row(f"capacity, {scenario}: known, % of {len(here)}", share(here, lambda run: run in found)))
        rows.append(row(f"capacity, {scenario}: median over the link's",
                        statistics.median(run["capacity"][0] for run in found) if found else None, form="{:.3f}"))
        rows.append(row(f"capacity, {scenario}: within 10 %, % of the known",
                        share(found, lambda run: abs(run["capacity"][0] - 1) <= NEAR)))
        rows.append(row(f"capacity, {scenario}: two-sided intervals that hold the link's, % of {len(sure)}",
                        share(sure, lambda run: is_held(run, "capacity"))))
        rows.append(row(f"capacity, {scenario}: not below what was delivered, %",
                        share(found, lambda run: run["delivered"][0] is None
                              or run["capacity"][0] >= 0.999 * run["delivered"][0])))
    policed = [run for run in runs if run["scenario"] == "policed"]
    if policed:
        rows.append(row(f"policed to a quarter: delivered within 10 % of that, % of {len(policed)}",
                        share(policed, lambda run: abs((run["delivered"][0] or 0) * 4 - 1) <= NEAR)))
        rows.append(row("policed: drops recognised, %", share(policed, lambda run: run["capacity_how"] == "drops")))
        rows.append(row("policed: an upper bound claimed, %",
                        share(policed, lambda run: run["capacity"][2] is not None)))
    crowded = [run for run in runs if run["scenario"] == "crowded"]
    if crowded:
        rows.append(row(f"our line full: peers taken for slow ones, % of {len(crowded)}",
                        share(crowded, lambda run: run["delivered"][0] is not None and not is_near(run))))
    return rows


SCENARIOS = {"plain": run_plain, "limited": run_limited, "shared": run_shared,
             "crowded": run_crowded, "policed": run_policed}


def main():
    def numbers(text):
        return [float(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skep", type=os.path.abspath, default=str(HERE.parent / "build/release/skep"))
    parser.add_argument("--seed", type=int, default=1, help="of the buckets' sizes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limits", type=numbers, default=LIMITS, help="Mbit/s, with commas")
    parser.add_argument("--links", type=numbers, default=(2, 10, 50), help="those of the other scenarios")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="one scenario (repeatable)")
    parser.add_argument("--json", type=os.path.abspath, metavar="FILE", help="every peer's figures")
    arguments = parser.parse_args()
    namespaces.enter_world()
    lab, runs, started = Lab(arguments), [], time.monotonic()
    try:
        for name in arguments.only or SCENARIOS:
            lab.segments(whole=name == "plain")
            runs += SCENARIOS[name](lab, arguments)
    finally:
        lab.stop()
    print(f"seed {arguments.seed}, {time.monotonic() - started:.0f} s\n")
    rows = rows_of(runs)
    bench.print_table(rows)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(runs, indent=1) + "\n")
    missed = sum(1 for row in rows if row.met is False)
    print(f"\n{sum(1 for row in rows if row.met)} bars met, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
