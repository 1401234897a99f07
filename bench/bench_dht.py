"""One loaded node of the DHT: answers to find_node and get_peers for each second of CPU."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

from bench import Failed, Row, libtorrent, log, median, ratio

SECONDS = 4
SERVER_SECONDS_MAX = 120
METHODS = ("find_node", "get_peers")
NODES_MIN = 7.5  # nodes an answer tells, on average: both sides tell the eight closest


@contextlib.contextmanager
def skep_node(place, number):
    """Yields (pid, port)."""
    port = free_port()
    process = subprocess.Popen(
        [str(place.skep), "dht", "node", "--bind=127.0.0.1", f"--port={port}", "--rate=unlimited",
         "--progress=none", "--any-id", f"--state-dir={place.file(f'dht{number}')}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        if process.poll() is not None:
            raise Failed(f"skep dht node ended with {process.returncode}")
        yield process.pid, port
    finally:
        end(process)


@contextlib.contextmanager
def libtorrent_node(place, number):
    process = subprocess.Popen(libtorrent("libtorrent_dht.py", SERVER_SECONDS_MAX),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        words = process.stdout.readline().split()
        if len(words) != 2:
            raise Failed("libtorrent's node does not serve")
        yield process.pid, int(words[1])
    finally:
        end(process)


def end(process):
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    if process.poll() is None:
        process.kill()
        process.wait()


def free_port():

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as lines:
        return int(re.search(r"VmRSS:\s+(\d+)", lines.read()).group(1))


def load(place, node, method):
    pid, port = node
    done = subprocess.run(
        [place.dht_load, "-s", str(SECONDS), "-m", method, "-p", str(pid), f"127.0.0.1:{port}"],
        capture_output=True, text=True, timeout=SECONDS + 20, check=False)
    if done.returncode != 0:
        raise Failed(f"dht_load: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    if told["answers"] == 0 or told["nodes_told"] / told["answers"] < NODES_MIN:
        raise Failed(f"answers are not whole: {told}")
    told["resident_kib"] = resident_kib(pid)
    return told


def bench(place):
    sides = {"skep": skep_node, "libtorrent": libtorrent_node}
    data = {side: {method: [] for method in METHODS} for side in sides}
    failures = []
    for number in range(place.rounds):
        for side, node in sides.items():
            try:
                with node(place, number) as running:
                    for method in METHODS:
                        told = load(place, running, method)
                        data[side][method].append(told)
                        log(f"dht {side} {method}: {told['answers_per_cpu_second']:,.0f} answers a "
                            f"CPU-second, {told['answers_per_second']:,.0f} a second")
            except (Failed, subprocess.TimeoutExpired) as why:
                failures.append(f"dht {side}: {why}")
    rows = []
    for method in METHODS:
        figures = {side: [told["answers_per_cpu_second"] for told in data[side][method]]
                   for side in sides}
        ours, theirs = (median(figures[side]) if figures[side] else None for side in sides)
        rows.append(Row(f"DHT: {method} answers a CPU-second", ours, theirs, ratio(ours, theirs),
                        (">=", 2), form="{:,.0f}"))
        rates = {side: [told["answers_per_second"] for told in data[side][method]]
                 for side in sides}
        ours, theirs = (median(rates[side]) if rates[side] else None for side in sides)
        rows.append(Row(f"DHT: {method} answers a second", ours, theirs, ratio(ours, theirs),
                        form="{:,.0f}"))
    return rows, failures, data
