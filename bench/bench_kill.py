"""Downloads that are killed at a random moment and begun again: what it costs, and whether the file
is right. libtorrent seeds."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import time

import bench_transfer
import torrents
from bench import SKEP_ALONE, Failed, Row, log, run

SIZE = 64 << 20
PIECE_SIZE = 256 * torrents.KIB
RATE = 40_000_000  # bytes a second, so that there are moments
KILLS = 100
SECONDS_MAX = 60


def command(place, torrent, address, folder):
    return [place.skep, "get", torrent, "-o", folder, "--peer", address, "--state-dir",
            folder / "state", *SKEP_ALONE]


def right_bytes(path, digests, sizes):
    """Bytes of the pieces that are right in the file, if there is one."""
    right = 0
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for digest, size in zip(digests, sizes):
            right += size if hashlib.sha1(file.read(size)).digest() == digest else 0
    return right


def trial(place, number, torrent, address, digests, after_s):
    """One kill and what follows. Bytes: right on the disk at the kill, then fetched."""
    folder = place.file(f"killed{number}")
    folder.mkdir()
    path = folder / bench_transfer.NAME
    process = subprocess.Popen(
        list(map(str, command(place, torrent, address, folder) + [f"--limit={RATE}"])),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    finished = process.wait() != -signal.SIGKILL
    sizes = [PIECE_SIZE] * (SIZE // PIECE_SIZE)
    kept = right_bytes(path, digests, sizes)
    report, _ = run(place, command(place, torrent, address, folder), SECONDS_MAX)
    fetched = report["torrents"][0]["received"]
    if right_bytes(path, digests, sizes) != SIZE or os.path.getsize(path) != SIZE:
        raise Failed(f"kill {number} after {after_s:.3f} s: the file is wrong")
    path.unlink()
    return {"after_s": after_s, "finished": finished, "kept": kept, "fetched": fetched,
            "again": fetched - (SIZE - kept)}


def bench(place):
    rng, trials, failures = random.Random(place.seed), [], []
    data = place.file("kill")
    data.mkdir()
    with open(data / bench_transfer.NAME, "wb") as file:
        file.write(rng.randbytes(SIZE))
    content = (data / bench_transfer.NAME).read_bytes()
    digests = [hashlib.sha1(content[at:at + PIECE_SIZE]).digest()
               for at in range(0, SIZE, PIECE_SIZE)]
    torrent = place.file("kill.torrent", torrents.of_file(
        data / bench_transfer.NAME, bench_transfer.NAME, PIECE_SIZE))
    with bench_transfer.libtorrent_seed(place, "TCP", torrent, data) as (port, _):
        for number in range(KILLS):
            try:
                trials.append(trial(place, number, torrent, f"127.0.0.1:{port}", digests,
                                    rng.uniform(0.02, 1.1 * SIZE / RATE)))
                log(f"kill {number}: {trials[-1]}")
            except Failed as failure:
                failures.append(str(failure))
                log(failures[-1])
    worst = max(t["again"] for t in trials) / SIZE * 100
    mean = sum(t["again"] for t in trials) / len(trials) / SIZE * 100
    cut = sum(0 < t["kept"] < SIZE for t in trials)
    return [
        Row(f"killed and begun again, {KILLS} times: right", len(trials), None,
            bar=(">=", KILLS), on_skep=True, form="{:.0f}"),
        Row("killed half-way of them", cut, None, form="{:.0f}"),
        Row("what lay right on the disk and was fetched again, worst, % of all", worst, None,
            bar=("<=", 2), on_skep=True, form="{:.2f}"),
        Row("the same, mean", mean, None, form="{:.2f}"),
    ], failures, {"trials": trials}
