"""What the benchmarks share: starting things, measuring them, the table."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
IN_MEMORY = "/dev/shm"
PYTHON = "/usr/bin/python3"  # libtorrent's binding is a package of the system's Python

# For both sides: only the peers that are given, plain TCP.
SKEP_ALONE = [
    "--no-trackers", "--no-dht", "--no-lsd", "--no-pex", "--encryption=off", "--transport=tcp",
    "--format=json", "--progress=none",
]


class Failed(Exception):
    """A run that did not do what it is measured for: there is no figure then."""


class Place:
    """Where the programs and the scratch files of this run are."""

    def __init__(self, build, scratch, rounds, seed):
        self.skep = build / "skep"
        self.farm = build / "bench" / "peer_farm"
        self.decode = build / "bench" / "torrent_decode"
        self.dht_load = build / "bench" / "dht_load"
        self.measure = build / "bench" / "measure"
        self.scratch = scratch
        self.rounds = rounds
        self.seed = seed

    def file(self, name, content=None):
        path = self.scratch / name
        if content is not None:
            path.write_bytes(content)
        return path


@contextlib.contextmanager
def memory_folder():
    """A folder that costs no disk, so that none slows libtorrent down."""
    where = IN_MEMORY if os.path.isdir(IN_MEMORY) else None
    folder = tempfile.mkdtemp(prefix="skep-bench-", dir=where)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def log(text):
    print(text, file=sys.stderr, flush=True)


def libtorrent(script, *words):
    return [PYTHON, "-B", str(HERE / script), *map(str, words)]


def run(place, command, seconds_max, environment=None, silent=False):
    """Runs a program under `measure`. Returns (its JSON from stdout, None of a silent one; what it
    cost)."""
    cost_path = place.file("cost.json")
    process = subprocess.run(
        [place.measure, str(seconds_max), cost_path, *map(str, command)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, **(environment or {})), check=False,
    )
    name = pathlib.Path(command[2] if command[0] == PYTHON else command[0]).name
    if process.returncode != 0:
        raise Failed(f"{name}: could not be run: {process.stderr.strip()[-400:]}")
    cost = json.loads(cost_path.read_text())
    cost["cpu_s"] = cost["user_s"] + cost["system_s"]
    if cost["timed_out"]:
        raise Failed(f"{name}: not done after {seconds_max} s")
    if cost["exit"] != 0:
        raise Failed(f"{name}: exit code {cost['exit']}: {process.stderr.strip()[-400:]}")
    return None if silent else json.loads(process.stdout), cost


@contextlib.contextmanager
def server(command):
    """A program that prints `ready PORT` and ends on SIGTERM. Yields (port, end); end() stops it
    and returns what it printed last."""
    process = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def end():
        process.send_signal(signal.SIGTERM)
        return process.communicate(timeout=10)[0]

    try:
        words = process.stdout.readline().split()
        if len(words) != 2 or words[0] != "ready":
            raise Failed(f"{command[0]}: does not serve")
        end.pid = process.pid
        yield int(words[1]), end
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def median(values):
    return statistics.median(values)


class Row:
    """One line of the table. A figure is a number or None; `bar` is (relation, number) on the
    ratio or, where `on_skep`, on skep's own figure."""

    def __init__(self, name, skep, other, ratio=None, bar=None, on_skep=False, form="{:,.1f}"):
        self.name, self.skep, self.other, self.ratio = name, skep, other, ratio
        self.bar, self.on_skep, self.form = bar, on_skep, form

    @property
    def met(self):
        if self.bar is None:
            return None
        value = self.skep if self.on_skep else self.ratio
        if value is None:
            return False
        return value >= self.bar[1] if self.bar[0] == ">=" else value <= self.bar[1]

    def cells(self):
        def figure(value, form):
            return "-" if value is None else form.format(value)

        bar = "" if self.bar is None else "%s %s %g" % (
            "skep" if self.on_skep else "ratio", *self.bar)
        met = {None: "", True: "yes", False: "NO"}[self.met]
        return [self.name, figure(self.skep, self.form), figure(self.other, self.form),
                figure(self.ratio, "{:.2f}"), bar, met]


def ratio(a, b):
    return a / b if a is not None and b else None


def print_table(rows):
    table = [["quantity", "skep", "other", "ratio", "bar", "met"]] + [r.cells() for r in rows]
    widths = [max(len(line[i]) for line in table) for i in range(6)]
    for number, line in enumerate(table):
        cells = [line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:])]
        print("| " + " | ".join(cells) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
