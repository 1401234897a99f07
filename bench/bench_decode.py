"""Decoding a .torrent file of 5 MB, in three shapes."""

import json

import torrents
from bench import Failed, Row, libtorrent, log, ratio, run

SIZE = 5 * 1000 * 1000
ROUNDS = 15  # decodes a turn
SECONDS_MAX = 60
SHAPES = {
    "nearly all piece hashes": lambda seed: torrents.large_v1(SIZE, 0.0001, seed),
    "piece hashes and 25,000 files": lambda seed: torrents.large_v1(SIZE, 0.4, seed),
    "v2, file tree and piece layers": lambda seed: torrents.large_v2(SIZE, seed),
}
# Both keep the memory they freed: fresh pages from the kernel cost more than the decoding.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}


def check_same(shape, skep, other):
    for field in ("files", "pieces", "hash_v1", "hash_v2"):
        if skep[field] != other[field]:
            raise Failed(f"{shape}: {field}: skep {skep[field]}, libtorrent {other[field]}")


def measure_shape(place, shape, content):
    """By turns, several times; the best of each side counts, for whatever else runs on the machine
    can only add to a decode. Returns the seconds of both."""
    path = place.file("large.torrent", content)
    best = {}
    for _ in range(place.rounds):
        skep, _ = run(place, [place.decode, path, ROUNDS], SECONDS_MAX, ALLOCATOR)
        other, _ = run(place, libtorrent("libtorrent_decode.py", path, ROUNDS), SECONDS_MAX,
                       ALLOCATOR)
        check_same(shape, skep, other)
        log(f"decode {shape}: skep {json.dumps(skep)} libtorrent {json.dumps(other)}")
        for side, result in (("skep", skep), ("libtorrent", other)):
            best[side] = min(best.get(side, result["best_s"]), result["best_s"])
    return best


def bench(place):
    rows, failures, data = [], [], {}
    for shape, make in SHAPES.items():
        content = make(place.seed)
        try:
            best = measure_shape(place, shape, content)
        except Failed as failure:
            failures.append(f"decode: {failure}")
            log(failures[-1])
            best = {}
        data[shape] = dict(best, bytes=len(content))
        skep, other = best.get("skep"), best.get("libtorrent")
        rows.append(Row(f"decode 5 MB, MB/s: {shape}",
                        len(content) / skep / 1e6 if skep else None,
                        len(content) / other / 1e6 if other else None,
                        ratio(other, skep), (">=", 1)))
    return rows, failures, data
