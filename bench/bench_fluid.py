"""Many leechers of ours and one seed, each under an upload limit: how near the last one to finish
comes to what the fluid model allows (Kumar and Ross, 2006)."""

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import time

from bench import SKEP_ALONE, Failed, Row, log, median, ratio

LEECHERS = 50
SIZE = 64 << 20
PIECE_SIZE = 256 << 10
SEED_UP = 2 << 20  # bytes a second
LEECH_UP = 1 << 20
# No limit on what comes in: the loopback is faster than all of them together.
OPTIMUM_S = max(SIZE / SEED_UP, LEECHERS * SIZE / (SEED_UP + LEECHERS * LEECH_UP))
BAR = 1.25
SECONDS_MAX = 6 * OPTIMUM_S
PORT = 7474
NAME = "fluid.bin"
DONE = '#!/bin/sh\nexec date +%s.%N >"$3.done"\n'


def address(number):
    """The seed is number 0."""
    return f"127.74.{number // 200}.{number % 200 + 1}"


def write_torrent(place):
    source = place.file("fluid")
    source.mkdir(exist_ok=True)
    (source / NAME).write_bytes(random.Random(place.seed).randbytes(SIZE))
    torrent = place.file("fluid.torrent")
    subprocess.run([place.skep, "create", f"--piece-size={PIECE_SIZE}", "--kind=v1", "--force",
                    "--progress=none", "--format=json", "-o", torrent, source / NAME],
                   stdout=subprocess.DEVNULL, check=True)
    return source, torrent


def start(place, words, number, up, log_file):
    return subprocess.Popen(
        [place.skep, *words, f"--bind={address(number)}", f"--port={PORT}",
         f"--up-limit={up}", f"--peers={place.file('fluid.peers')}",
         f"--state-dir={place.file(f'fluid-state{number}')}", *SKEP_ALONE],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log_file)


def wait_for_seed(process):
    """Until it listens. (What it has is hashed within the first tenths of the run.)"""
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((address(0), PORT), 1):
            return
        time.sleep(0.05)
    raise Failed("the seed does not listen")


def end(processes):
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_all(place, leechers, began):
    """Seconds until each had the file, the first first."""
    files = [place.file(f"fluid-{n}") / f"{NAME}.done" for n in range(1, LEECHERS + 1)]
    while time.time() - began < SECONDS_MAX:
        if any(process.poll() is not None for process in leechers):
            raise Failed("a leecher ended early")
        if all(file.exists() and file.stat().st_size for file in files):
            return sorted(float(file.read_text()) - began for file in files)
        time.sleep(0.2)
    done = sum(file.exists() for file in files)
    raise Failed(f"{done} of {LEECHERS} done after {SECONDS_MAX:.0f} s")


def check_same(place, source):
    wanted = (source / NAME).read_bytes()
    for number in range(1, LEECHERS + 1):
        if (place.file(f"fluid-{number}") / NAME).read_bytes() != wanted:
            raise Failed(f"leecher {number} has another file")


def swarm(place, source, torrent):
    done = place.file("fluid-done", DONE.encode())
    done.chmod(0o755)
    place.file("fluid.peers", "".join(f"{address(n)}:{PORT}\n"
                                      for n in range(LEECHERS + 1)).encode())
    processes = []
    with place.file("fluid.log").open("wb") as log_file:
        try:
            processes.append(start(place, ["seed", torrent, source], 0, SEED_UP, log_file))
            wait_for_seed(processes[0])
            began = time.time()
            for n in range(1, LEECHERS + 1):
                words = ["get", torrent, "-o", place.file(f"fluid-{n}"), "--seed-time=1h",
                         f"--on-done={done}"]
                processes.append(start(place, words, n, LEECH_UP, log_file))
            times = wait_for_all(place, processes[1:], began)
        finally:
            end(processes)
    check_same(place, source)
    for number in range(LEECHERS + 1):
        for name in (f"fluid-{number}", f"fluid-state{number}"):
            shutil.rmtree(place.file(name), ignore_errors=True)
    return times


def bench(place):
    source, torrent = write_torrent(place)
    name = (f"the last of {LEECHERS} leechers, s ({SIZE >> 20} MiB, seed {SEED_UP >> 20} MiB/s, "
            f"each {LEECH_UP >> 20} MiB/s); beside it the fluid model's optimum")
    lasts, data = [], []
    try:
        for number in range(place.rounds):
            times = swarm(place, source, torrent)
            log(f"fluid: seed {place.seed}, round {number + 1}: first {times[0]:.1f} s, middle "
                f"{median(times):.1f} s, last {times[-1]:.1f} s; optimum {OPTIMUM_S:.1f} s, ratio "
                f"{times[-1] / OPTIMUM_S:.2f}, bar {BAR}")
            data.append(times)
            lasts.append(times[-1])
    except Failed as failure:
        log(f"fluid: {failure}")
        return [Row(name, None, OPTIMUM_S, None, ("<=", BAR))], [f"fluid: {failure}"], data
    last = median(lasts)
    return [Row(name, last, OPTIMUM_S, ratio(last, OPTIMUM_S), ("<=", BAR))], [], data
