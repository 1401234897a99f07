#!/usr/bin/python3
"""libtorrent seeding one torrent, until SIGTERM, the end of its input or SECONDS_MAX.

    libtorrent_seed.py TORRENT FOLDER SECONDS_MAX [WORD...]

Prints `ready PORT` when it listens. The words are those of libtorrent_session.py.
"""

import os
import select
import signal
import sys

import libtorrent_session

TUNED = {
    "send_socket_buffer_size": 4 << 20,
    "send_buffer_watermark": 16 << 20,
    "send_buffer_low_watermark": 1 << 20,
    "send_buffer_watermark_factor": 400,
    "max_allowed_in_request_queue": 16384,
    "aio_threads": 4,
}


def main():
    torrent_path, folder, seconds_max = sys.argv[1:4]
    session = libtorrent_session.session("127.0.0.1:0", sys.argv[4:], **TUNED)
    session.add_torrent(libtorrent_session.torrent_params(torrent_path, folder, seed=True))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("ready", session.listen_port(), flush=True)
    select.select([sys.stdin], [], [], float(seconds_max))
    os._exit(0)


main()
