"""Rate limits: what comes through in some ten seconds, beside what was allowed. libtorrent is the
other end."""

import functools

import bench_transfer
import torrents
from bench import Row, memory_folder

LIMIT = 5_000_000  # bytes a second
SIZE = 52 << 20    # some 11 s of it
PIECE_SIZE = 256 * torrents.KIB
BAR_PERCENT = 3


def down(place, way, torrent, data):
    """By skep's process: it is up within some hundredths of a second."""
    with bench_transfer.libtorrent_seed(place, way, torrent, data) as (port, _):
        return bench_transfer.draw(place, "skep", way, port, torrent,
                                   f"--limit={LIMIT}", size=SIZE)["rate"]


def up(place, way, torrent, data):
    """By libtorrent's clock, from the first payload to the last piece."""
    with bench_transfer.skep_seed(place, way, torrent, data, f"--up-limit={LIMIT}") as (port, _):
        return bench_transfer.draw(place, "libtorrent", way, port, torrent,
                                   size=SIZE)["own_rate"]


def bench(place):
    runs, rows = bench_transfer.Runs(), []
    with memory_folder() as data:
        path = bench_transfer.write_content(data, place.seed, SIZE)
        torrent = place.file("limits.torrent", torrents.of_file(path, bench_transfer.NAME,
                                                                PIECE_SIZE))
        for name, measure in (("download", down), ("upload", up)):
            for way in ("TCP", "uTP"):
                for number in range(place.rounds):
                    runs.take((name, way), number, functools.partial(
                        lambda m, w: {"rate": m(place, w, torrent, data)}, measure, way))
                figures = [run["rate"] for run in runs.figures.get((name, way), [])]
                off = max((abs(rate / LIMIT - 1) * 100 for rate in figures), default=None)
                rows.append(Row(f"{name} limit over {way}: worst, % off", off, None,
                                bar=("<=", BAR_PERCENT), on_skep=True, form="{:.2f}"))
    return rows, runs.failures, {" ".join(key): of for key, of in runs.figures.items()}
