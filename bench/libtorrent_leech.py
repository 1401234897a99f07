#!/usr/bin/python3
"""libtorrent drawing a whole torrent from one seed.

    libtorrent_leech.py TORRENT IP:PORT FOLDER SECONDS_MAX [WORD...]

The clock runs from the first payload byte seen to the last piece hashed and written. FOLDER should
be in memory (a tmpfs), for a probe throws away what it has verified and libtorrent cannot. The words
are those of libtorrent_session.py.
"""

import os
import sys
import time

import libtorrent_session

TUNED = {
    "max_out_request_queue": 1000,
    "request_queue_time": 10,
    "whole_pieces_threshold": 1,
    "recv_socket_buffer_size": 4 << 20,
    "max_queued_disk_bytes": 256 << 20,
    "aio_threads": 4,
    "hashing_threads": 1,
}


def main():
    torrent_path, peer, folder, seconds_max = sys.argv[1:5]
    session = libtorrent_session.session("127.0.0.1:0", sys.argv[5:], **TUNED)
    params = libtorrent_session.torrent_params(torrent_path, folder)
    ip, port = peer.rsplit(":", 1)
    params.peers = [(ip, int(port))]
    deadline = time.monotonic() + float(seconds_max)
    handle = session.add_torrent(params)
    size = params.ti.total_size()
    first = None
    while True:
        status = handle.status()
        if first is None and status.total_payload_download > 0:
            first = time.monotonic()
        if status.is_seeding or time.monotonic() > deadline:
            break
        time.sleep(0.002 if first is None else 0.01)
    seconds = time.monotonic() - (first or deadline)
    done = status.total_done
    libtorrent_session.report(
        bytes=done,
        whole=done == size,
        seconds=seconds,
        rate_bytes_s=done / seconds,
        **libtorrent_session.usage(),
    )
    os._exit(0)


main()
