#!/usr/bin/python3
"""How long libtorrent takes to decode a .torrent file.

    libtorrent_decode.py FILE ROUNDS

A round makes a torrent_info of the bytes and drops it. The binding first copies the bytes; how
long that takes is measured with bytes that are refused at the first one, and taken off, so that
what is left is libtorrent's own C++.
"""

import statistics
import sys
import time

import libtorrent as lt

import libtorrent_session


def timed(rounds, data):
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        try:
            info = lt.torrent_info(data)
            del info
        except RuntimeError:
            pass
        seconds.append(time.perf_counter() - started)
    return min(seconds), statistics.median(seconds)


def files_of(info):
    """Without the padding files that libtorrent adds to a v2 torrent."""
    files = info.files()
    pad = lt.file_storage.flag_pad_file
    return sum(1 for i in range(files.num_files()) if not files.file_flags(i) & pad)


def main():
    path, rounds = sys.argv[1], int(sys.argv[2])
    with open(path, "rb") as file:
        data = file.read()
    copy_best, copy_median = timed(rounds, b"x" + data[1:])
    best, median = timed(rounds, data)
    info = lt.torrent_info(data)
    hashes = info.info_hashes()
    libtorrent_session.report(
        best_s=best - copy_best,
        median_s=median - copy_median,
        copy_s=copy_best,
        files=files_of(info),
        pieces=info.num_pieces(),
        hash_v1=str(hashes.v1),
        hash_v2=str(hashes.v2),
    )


main()
