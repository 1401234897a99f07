"""One peer that serves at loopback speed: 1 GiB drawn from it in pieces of 256 KiB."""

import contextlib
import json
import os

import torrents
from bench import (SKEP_ALONE, Failed, Row, libtorrent, log, median, memory_folder, ratio, run,
                   server)

PIECES = 4096
PIECE_SIZE = 256 * torrents.KIB
SIZE = PIECES * PIECE_SIZE
SECONDS_MAX = 60
SEED_SECONDS_MAX = 600


@contextlib.contextmanager
def libtorrent_seed(place, torrent):
    """One seed for all rounds: what it maps of its file it maps once. Yields its address."""
    with memory_folder() as folder:
        with open(os.path.join(folder, "probe"), "wb") as file:
            for _ in range(PIECES):
                file.write(bytes(PIECE_SIZE))
        command = libtorrent("libtorrent_seed.py", torrent, folder, SEED_SECONDS_MAX)
        with server(command) as (port, _):
            yield f"127.0.0.1:{port}"


def skep_once(place, address, torrent):
    audit, cost = run(
        place,
        [place.skep, "audit", torrent, "--peer", address, "--probe-bytes", SIZE, "--time",
         SECONDS_MAX, *SKEP_ALONE],
        SECONDS_MAX + 30,
    )
    if len(audit["peers"]) != 1:
        raise Failed(f"{len(audit['peers'])} peers in the report")
    peer = audit["peers"][0]
    delivered = peer["delivered"]
    if peer["blocks_corrupt"] or peer["blocks_verified"] * torrents.BLOCK < SIZE:
        raise Failed(f"not all blocks verified: {peer}")
    return {
        "bytes": delivered["bytes"], "own_rate": delivered["rate_bytes_s"],
        "process_rate": delivered["bytes"] / cost["wall_s"], "cpu_s": cost["cpu_s"],
        "maxrss_kib": cost["maxrss_kib"],
    }


def libtorrent_once(place, address, torrent):
    with memory_folder() as folder:
        report, cost = run(
            place, libtorrent("libtorrent_leech.py", torrent, address, folder, SECONDS_MAX),
            SECONDS_MAX + 30,
        )
    if not report["whole"]:
        raise Failed(f"only {report['bytes']} bytes after {SECONDS_MAX} s")
    return {
        "bytes": report["bytes"], "own_rate": report["rate_bytes_s"],
        "process_rate": report["bytes"] / cost["wall_s"], "cpu_s": report["cpu_s"],
        "maxrss_kib": report["maxrss_kib"],
    }


def draw(place, side, address, torrent):
    return (skep_once if side == "skep" else libtorrent_once)(place, address, torrent)


def draw_from_farm(place, side, torrent, info_hash):
    command = [place.farm, "--info-hash", info_hash, "--pieces", PIECES, "--serve",
               "--time", 2 * SECONDS_MAX]
    with server(command) as (port, end):
        result = draw(place, side, f"127.1.1.1:{port}", torrent)
        served = json.loads(end())
    result["server_rate"] = served["bytes_served"] / served["serve_s"]
    result["server_cpu_s"] = served["cpu_s"]
    return result


def by_turns(place, kind, draw_once, figures, failures):
    """A first draw by libtorrent is not counted: it finds the memory that the others reuse."""
    for round_number in range(-1, place.rounds):
        for side in ("skep", "libtorrent") if round_number >= 0 else ("libtorrent",):
            try:
                result = draw_once(side)
            except Failed as failure:
                failures.append(f"probe of the {kind}: {side}: {failure}")
                log(failures[-1])
                continue
            log(f"probe {kind} {side} round {round_number}: {json.dumps(result)}")
            if round_number >= 0:
                figures.setdefault((kind, side), []).append(result)


def measure_all(place, torrent, info_hash):
    figures, failures = {}, []
    by_turns(place, "farm", lambda side: draw_from_farm(place, side, torrent, info_hash),
             figures, failures)
    with libtorrent_seed(place, torrent) as address:
        by_turns(place, "libtorrent seed", lambda side: draw(place, side, address, torrent),
                 figures, failures)
    return figures, failures


def rows_of(figures):
    def of(kind, side, field, scale):
        runs = figures.get((kind, side))
        return median([run[field] for run in runs]) * scale if runs else None

    def row(name, kind, field, scale, bar=None, form="{:,.1f}"):
        skep, other = of(kind, "skep", field, scale), of(kind, "libtorrent", field, scale)
        return Row(name, skep, other, ratio(skep, other), bar, form=form)

    bar = (">=", 0.7)
    return [
        row("drawn from a libtorrent seed, MB/s", "libtorrent seed", "own_rate", 1e-6, bar),
        row("drawn from the farm, MB/s by its clock", "farm", "server_rate", 1e-6, bar),
        row("drawn from the farm, MB/s by their own", "farm", "own_rate", 1e-6),
        row("drawn from the farm, MB/s of the process", "farm", "process_rate", 1e-6),
        row("drawn from the farm: CPU seconds", "farm", "cpu_s", 1, form="{:.2f}"),
        row("drawn from the farm: resident MiB", "farm", "maxrss_kib", 1 / 1024),
    ]


def bench(place):
    content, info_hash = torrents.zeros("probe", PIECES, PIECE_SIZE)
    torrent = place.file("probe.torrent", content)
    figures, failures = measure_all(place, torrent, info_hash)
    data = {f"{kind}, {side}": runs for (kind, side), runs in figures.items()}
    return rows_of(figures), failures, data
