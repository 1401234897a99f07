"""Making and checking a torrent of a large file that lies in the page cache, beside what the hash alone costs."""

import os
import re
import subprocess
import time

from bench import Failed, Row, log, median, ratio, run

SIZE = 1 << 30
PIECE_BITS = 19  # 512 KiB: what skep chooses for this size
OPENSSL_S = 3
OPENSSL_BYTES = 16384  # a block
SECONDS_MAX = 120
BAR = 0.8
# (kind, the hash that it is held against)
KINDS = [("v1", "sha1"), ("v2", "sha256")]


def write_data(place):
    """Random bytes, written once and so in the cache."""
    path = place.file("create.bin")
    part = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(SIZE // len(part)):
            file.write(part)
    return path


def openssl(hash_name, threads):
    """Bytes a second of all threads together."""
    command = ["openssl", "speed", "-seconds", str(OPENSSL_S), "-bytes", str(OPENSSL_BYTES),
               "-multi", str(threads), "-evp", hash_name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(rf"^{hash_name}\s+([0-9.]+)k$", done.stdout, re.M | re.I)
    if not found:
        raise Failed(f"openssl speed: {done.stderr.strip()[-200:]}")
    return float(found[1]) * 1000


def create(place, path, kind, threads):
    output = place.file("create.torrent")
    _, cost = run(place, [place.skep, "create", f"--kind={kind}", f"--threads={threads}",
                          f"--piece-size={1 << PIECE_BITS}", "--force", "--progress=none",
                          "--format=json", "-o", output, path], SECONDS_MAX)
    return SIZE / cost["wall_s"]


def verify(place, path):
    """Of the torrent that create() made last."""
    report, cost = run(place, [place.skep, "get", "--verify", "--format=json", "--progress=none",
                               "-o", path.parent, place.file("create.torrent")], SECONDS_MAX)
    if not report["torrents"][0]["complete"]:
        raise Failed(f"verify: {report}")
    return SIZE / cost["wall_s"]


def mktorrent(place, path, threads):
    output = place.file("mktorrent.torrent")
    output.unlink(missing_ok=True)
    started = time.monotonic()
    subprocess.run(["mktorrent", "-a", "http://127.0.0.1/", "-l", str(PIECE_BITS), "-t",
                    str(threads), "-o", output, path], stdout=subprocess.DEVNULL, check=True,
                   timeout=SECONDS_MAX)
    return SIZE / (time.monotonic() - started)


def measure(place, path, threads):
    """By turns; every figure of every round."""
    data = {}
    for _ in range(place.rounds):
        for kind, hash_name in KINDS:
            data.setdefault(kind, []).append(create(place, path, kind, threads))
            data.setdefault("verify " + kind, []).append(verify(place, path))
            data.setdefault(hash_name, []).append(openssl(hash_name, threads))
        data.setdefault("hybrid", []).append(create(place, path, "hybrid", threads))
        data.setdefault("mktorrent", []).append(mktorrent(place, path, threads))
    return data


def bench(place):
    threads = len(os.sched_getaffinity(0))
    path = write_data(place)
    try:
        data = measure(place, path, threads)
    except Failed as failure:
        log(f"create: {failure}")
        return [Row(f"create {kind}, MB/s", None, None, None, (">=", BAR)) for kind, _ in KINDS], [
            f"create: {failure}"], {}
    finally:
        path.unlink()
    log(f"create: {threads} threads, bytes a second: {data}")
    mb_s = {name: median(figures) / 1e6 for name, figures in data.items()}
    rows = [Row(f"{what} {kind}, MB/s; beside it openssl speed {name}", mb_s[key], mb_s[name],
                ratio(mb_s[key], mb_s[name]), (">=", BAR))
            for kind, name in KINDS for what, key in (("create", kind), ("verify", f"verify {kind}"))]
    rows.append(Row("create v1, MB/s; beside it mktorrent", mb_s["v1"], mb_s["mktorrent"],
                    ratio(mb_s["v1"], mb_s["mktorrent"])))
    rows.append(Row("create hybrid, MB/s", mb_s["hybrid"], None))
    return rows, [], data
