"""Whole transfers on loopback, in memory: from one seed, and to one leech."""

import contextlib
import functools
import http.server
import json
import os
import random
import socket
import subprocess
import threading

import torrents
from bench import (SKEP_ALONE, Failed, Row, libtorrent, log, median, memory_folder, ratio, run,
                   server)

SIZE = 1 << 30
PIECE_SIZE = 256 * torrents.KIB
SECONDS_MAX = 120
SEED_SECONDS_MAX = 900
NAME = "transfer"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

# What a side is told to talk so, each by its own options.
WAYS = {
    "TCP": {"skep": [], "libtorrent": []},
    "RC4": {"skep": ["--encryption=require"], "libtorrent": ["rc4"]},
    "uTP": {"skep": ["--transport=utp"], "libtorrent": ["utp"]},
}


def write_content(folder, seed, size=SIZE):
    rng = random.Random(seed)
    path = os.path.join(folder, NAME)
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(rng.randbytes(1 << 20))
    return path


def alone(way):
    """The options that later ones override."""
    return [*SKEP_ALONE, *WAYS[way]["skep"]]


# ---- leeches of a file of `size` bytes: each returns the bytes a second of its whole process, and
# what it cost ----


def check(folder, size, cost):
    if os.path.getsize(os.path.join(folder, NAME)) != size:
        raise Failed("not all of it came")
    return dict(cost, rate=size / cost["wall_s"])


def skep_leech(place, way, address, torrent, folder, size, *more):
    _, cost = run(place, [place.skep, "get", torrent, "-o", folder, "--peer", address,
                          "--state-dir", place.scratch / "state", *alone(way), *more], SECONDS_MAX)
    return check(folder, size, cost)


def libtorrent_leech(place, way, address, torrent, folder, size):
    report, cost = run(place, libtorrent("libtorrent_leech.py", torrent, address, folder,
                                         SECONDS_MAX, *WAYS[way]["libtorrent"]), SECONDS_MAX + 30)
    if not report["whole"]:
        raise Failed(f"only {report['bytes']} bytes")
    result = check(folder, size, cost)
    result["own_rate"] = report["rate_bytes_s"]
    return result


@contextlib.contextmanager
def tracker(address):
    """aria2 takes peers from trackers only: one that knows a single peer."""
    ip, port = address.split(":")
    peers = socket.inet_aton(ip) + int(port).to_bytes(2, "big")
    answer = torrents.bencode({"interval": 1800, "peers": peers})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    own = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=own.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{own.server_port}/announce"
    finally:
        own.shutdown()
        own.server_close()


def aria2_leech(place, way, address, torrent, folder, size):
    assert way == "TCP"
    with tracker(address) as url:
        _, cost = run(place, ["aria2c", "--no-conf=true", "--quiet", "--dir=" + folder,
                              "--seed-time=0", "--file-allocation=none", "--enable-dht=false",
                              "--enable-dht6=false", "--bt-enable-lpd=false",
                              "--interface=127.0.0.1", "--bt-tracker=" + url,
                              "--enable-peer-exchange=false", torrent], SECONDS_MAX, silent=True)
    return check(folder, size, cost)


LEECHES = {"skep": skep_leech, "libtorrent": libtorrent_leech, "aria2": aria2_leech}


# ---- seeds: (port, pid) of one that is ready ----


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def skep_seed(place, way, torrent, folder, *more):
    port = free_port()
    command = [place.skep, "seed", torrent, folder, "--bind=127.0.0.1", f"--port={port}",
               "--state-dir", place.scratch / "state", "--time", SEED_SECONDS_MAX, *alone(way),
               "--progress=json", *more]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:  # it hashes what is there first
            if "seeding" in line:
                break
        else:
            raise Failed("skep seed: does not seed")
        # Nobody reads on: a thread does, so that it does not wait for us.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def libtorrent_seed(place, way, torrent, folder):
    command = libtorrent("libtorrent_seed.py", torrent, folder, SEED_SECONDS_MAX,
                         *WAYS[way]["libtorrent"])
    with server(command) as (port, end):
        yield port, end.pid


SEEDS = {"skep": skep_seed, "libtorrent": libtorrent_seed}


def cpu_of(pid):
    """Seconds of a process that runs."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


# ---- the measurements ----


class Runs:
    """What was measured, and what failed."""

    def __init__(self):
        self.figures, self.failures = {}, []

    def take(self, key, number, measure):
        """A round below 0 is thrown away."""
        name = " ".join(key)
        try:
            result = measure()
        except Failed as failure:
            self.failures.append(f"{name}: {failure}")
            log(self.failures[-1])
            return
        log(f"{name} round {number}: {json.dumps(result)}")
        if number >= 0:
            self.figures.setdefault(key, []).append(result)

    def of(self, field, *key):
        runs = self.figures.get(key)
        return median([run[field] for run in runs]) if runs else None


def draw(place, leech, way, port, torrent, *more, size=SIZE):
    with memory_folder() as folder:
        return LEECHES[leech](place, way, f"127.0.0.1:{port}", torrent, folder, size, *more)


def draw_from(place, side, way, torrent, data):
    """libtorrent draws; the CPU is the seed's."""
    with SEEDS[side](place, way, torrent, data) as (port, pid):
        before = cpu_of(pid)
        result = draw(place, "libtorrent", way, port, torrent)
        return {"rate": result["own_rate"], "cpu_s": cpu_of(pid) - before}


def measure_leeches(place, way, sides, torrent, data, runs):
    """All from one libtorrent seed, by turns."""
    with libtorrent_seed(place, way, torrent, data) as (port, _):
        for number in range(-1, place.rounds):
            for side in sides:
                if number >= 0 or side == "libtorrent":
                    runs.take(("leech", way, side), number,
                              functools.partial(draw, place, side, way, port, torrent))


def measure_seeds(place, way, torrent, data, runs):
    for number in range(place.rounds):
        for side in SEEDS:
            runs.take(("seed", way, side), number,
                      functools.partial(draw_from, place, side, way, torrent, data))


def rows_of(runs):
    def row(name, field, scale, key, other="libtorrent", bar=None, **more):
        skep, them = runs.of(field, *key, "skep"), runs.of(field, *key, other)
        them = None if them is None else them * scale
        skep = None if skep is None else skep * scale
        return Row(name if other == "libtorrent" else f"{name} (aria2)", skep, them,
                   ratio(skep, them), bar, **more)

    rows = []
    for other, rate, cpu in (("libtorrent", 1.3, 0.6), ("aria2", 2, 0.9)):
        rows += [
            row("leech over TCP: MB/s", "rate", 1e-6, ("leech", "TCP"), other, (">=", rate)),
            row("leech over TCP: CPU seconds", "cpu_s", 1, ("leech", "TCP"), other, ("<=", cpu),
                form="{:.2f}"),
        ]
    return rows + [
        row("leech over TCP: resident MiB", "maxrss_kib", 1 / 1024, ("leech", "TCP"),
            bar=("<=", 64), on_skep=True),
        row("leech with RC4: MB/s", "rate", 1e-6, ("leech", "RC4"), bar=(">=", 1)),
        row("leech with RC4: CPU seconds", "cpu_s", 1, ("leech", "RC4"), form="{:.2f}"),
        row("leech over uTP: MB/s", "rate", 1e-6, ("leech", "uTP"), bar=(">=", 1)),
        row("leech over uTP: CPU seconds", "cpu_s", 1, ("leech", "uTP"), form="{:.2f}"),
        row("seed over TCP: MB/s", "rate", 1e-6, ("seed", "TCP"), bar=(">=", 1)),
        row("seed over TCP: CPU seconds", "cpu_s", 1, ("seed", "TCP"), bar=("<=", 0.6),
            form="{:.2f}"),
        row("seed over uTP: MB/s", "rate", 1e-6, ("seed", "uTP"), bar=(">=", 1)),
        row("seed over uTP: CPU seconds", "cpu_s", 1, ("seed", "uTP"), form="{:.2f}"),
    ]


def bench(place):
    runs = Runs()
    with memory_folder() as data:
        path = write_content(data, place.seed)
        torrent = place.file("transfer.torrent", torrents.of_file(path, NAME, PIECE_SIZE))
        measure_leeches(place, "TCP", list(LEECHES), torrent, data, runs)
        for way in ("RC4", "uTP"):
            measure_leeches(place, way, ["skep", "libtorrent"], torrent, data, runs)
        for way in ("TCP", "uTP"):
            measure_seeds(place, way, torrent, data, runs)
    figures = {", ".join(key): of for key, of in runs.figures.items()}
    return rows_of(runs), runs.failures, figures
