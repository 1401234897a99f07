"""Thousands of silent peers: handshake and a 4,096-piece bitfield from each."""

import json
import subprocess

import torrents
from bench import SKEP_ALONE, Failed, Row, libtorrent, log, median, ratio, run, server

PIECES = 4096
SIZES = (1, 1000, 2000, 10000)  # one peer: what each side costs before there is any swarm
LIBTORRENT_SECONDS_MAX = 90
SKEP_SECONDS_MAX = 120


class Swarm:
    """A farm's peers, and what they hold. A fresh farm for every run."""

    def __init__(self, place, count, seed):
        self.place, self.count, self.seed = place, count, seed
        content, self.info_hash = torrents.zeros("audit", PIECES, 256 * torrents.KIB)
        self.torrent = place.file("audit.torrent", content)

    def farm(self):
        return server([
            self.place.farm, "--info-hash", self.info_hash, "--pieces", PIECES,
            "--seed", self.seed, "--time", 300,
        ])

    def list(self, port):
        """Writes the list of peers. Returns (its path, {address: pieces held})."""
        out = subprocess.run(
            [self.place.farm, "--list", str(self.count), "--port", str(port),
             "--pieces", str(PIECES), "--seed", str(self.seed)],
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout
        held = {address: int(n) for address, n in (line.split() for line in out.splitlines())}
        path = self.place.file("peers", "".join(a + "\n" for a in held).encode())
        return path, held


def check_shares(audit, held):
    """Every peer of the farm has the share in the report that the farm sent."""
    reported = {peer["address"]: peer for peer in audit["peers"]}
    wrong = [
        address for address, pieces in held.items()
        if address not in reported or reported[address]["share"] is None
        or abs(reported[address]["share"] - pieces / PIECES) > 1e-6
    ]
    if wrong:
        first = reported.get(wrong[0])
        raise Failed(f"{len(wrong)} of {len(held)} peers not read, first {wrong[0]}: {first}")
    if len(reported) != len(held):
        raise Failed(f"{len(reported)} peers reported, {len(held)} exist")


def skep_once(swarm):
    with swarm.farm() as (port, end):
        peers, held = swarm.list(port)
        audit, cost = run(
            swarm.place,
            [swarm.place.skep, "audit", swarm.torrent, "--peers", peers, "--no-probe",
             "--connections", swarm.count + 100, *SKEP_ALONE],
            SKEP_SECONDS_MAX,
        )
        farm = json.loads(end())
    check_shares(audit, held)
    if audit["stopped"] != "converged":
        raise Failed(f"the audit stopped by {audit['stopped']}")
    return {
        "peers": swarm.count, "seconds": audit["seconds"], "process_s": cost["wall_s"],
        "cpu_s": cost["cpu_s"], "maxrss_kib": cost["maxrss_kib"], "farm_cpu_s": farm["cpu_s"],
        "connected": farm["open_max"],
    }


def libtorrent_once(swarm):
    with swarm.farm() as (port, end):
        peers, held = swarm.list(port)
        report, cost = run(
            swarm.place,
            libtorrent("libtorrent_audit.py", swarm.torrent, peers, sum(held.values()),
                       LIBTORRENT_SECONDS_MAX),
            LIBTORRENT_SECONDS_MAX + 60,
        )
        farm = json.loads(end())
    return {
        "peers": report["peers"], "seconds": report["seconds"], "process_s": cost["wall_s"],
        "cpu_s": report["cpu_s"], "maxrss_kib": report["maxrss_kib"], "farm_cpu_s": farm["cpu_s"],
        "connected": farm["open_max"],
    }


def measure_all(place):
    """Both sides by turns. Returns {(side, size): [figures]} and the failures."""
    figures, failures = {}, []
    for size in SIZES:
        for round_number in range(place.rounds):
            swarm = Swarm(place, size, place.seed + round_number)
            for side, once in (("skep", skep_once), ("libtorrent", libtorrent_once)):
                try:
                    result = once(swarm)
                except Failed as failure:
                    failures.append(f"audit of {size} peers: {side}: {failure}")
                    log(failures[-1])
                    continue
                log(f"audit {size} {side}: {json.dumps(result)}")
                figures.setdefault((side, size), []).append(result)
    return figures, failures


class Figures:
    """Medians, and figures a peer: what one peer alone costs is taken off."""

    def __init__(self, figures):
        self.figures = figures

    def of(self, side, size, field):
        runs = self.figures.get((side, size))
        return median([run[field] for run in runs]) if runs else None

    def a_second(self, side, size, clock):
        seconds, peers = self.of(side, size, clock), self.of(side, size, "peers")
        return peers / seconds if seconds else None

    def a_peer(self, side, size, field, scale, peers="peers"):
        many, one = self.of(side, size, field), self.of(side, 1, field)
        if many is None or one is None:
            return None
        return scale * (many - one) / (self.of(side, size, peers) - 1)

    def growth(self, side):
        return ratio(self.a_peer(side, 10000, "cpu_s", 1), self.a_peer(side, 1000, "cpu_s", 1))


def rows_of(figures):
    f = Figures(figures)

    def both(function, *words):
        return function("skep", *words), function("libtorrent", *words)

    rows = []
    for size in SIZES[1:]:
        skep, other = both(f.of, size, "peers")
        rows.append(Row(f"peers read of {size:,}", skep, other, None, (">=", size), True,
                        "{:,.0f}"))
    for size in SIZES[1:]:
        skep, other = both(f.a_second, size, "seconds")
        rows.append(Row(f"peers a second, {size:,} peers", skep, other, ratio(skep, other),
                        (">=", 3) if size == 2000 else None, form="{:,.0f}"))
    for size in SIZES[1:]:
        skep, other = both(f.a_second, size, "process_s")
        rows.append(Row(f"the same over the whole process, {size:,} peers", skep, other,
                        ratio(skep, other), form="{:,.0f}"))
    for size in SIZES[1:]:
        rows.append(Row(f"most connected at a time, {size:,} peers",
                        *both(f.of, size, "connected"), form="{:,.0f}"))
    for size in SIZES[1:]:
        skep, other = both(f.a_peer, size, "maxrss_kib", 1, "connected")
        rows.append(Row(f"resident KiB a connected peer, {size:,} peers", skep, other, ratio(skep, other),
                        ("<=", 12) if size == 10000 else None, True))
    for size in SIZES[1:]:
        skep, other = both(f.a_peer, size, "cpu_s", 1000)
        rows.append(Row(f"CPU ms a peer, {size:,} peers", skep, other, ratio(skep, other),
                        form="{:.3f}"))
    skep, other = both(f.growth)
    rows.append(Row("CPU a peer at 10,000 over at 1,000", skep, other, None, ("<=", 1.3), True,
                    "{:.2f}"))
    rows.append(Row("one peer alone: seconds of the process", *both(f.of, 1, "process_s"),
                    form="{:.3f}"))
    rows.append(Row("one peer alone: CPU ms", *(1000 * x if x is not None else None
                                                for x in both(f.of, 1, "cpu_s"))))
    rows.append(Row("one peer alone: resident KiB", *both(f.of, 1, "maxrss_kib"), form="{:,.0f}"))
    return rows


def bench(place):
    figures, failures = measure_all(place)
    data = {f"{side} {size}": runs for (side, size), runs in figures.items()}
    return rows_of(figures), failures, data
