#!/usr/bin/python3
"""libtorrent doing what an audit does: connect to every peer and read every bitfield.

    libtorrent_audit.py TORRENT PEERS PIECES_TOTAL SECONDS_MAX

PEERS has one IP:PORT a line; PIECES_TOTAL is the number of pieces that all of them hold together.
That all bitfields were read is seen in the sum of the piece availability: the only question to a
session whose cost does not grow with the number of peers. Whose bitfield it was is checked once,
after the clock stopped. The clock starts when the torrent is added.
"""

import os
import sys
import tempfile
import time

import libtorrent_session


def read_all(handle, pieces_total, deadline):
    """Waits until everything was read. Returns the share that was."""
    while True:
        total = sum(handle.piece_availability())
        if total >= pieces_total or time.monotonic() > deadline:
            return total / pieces_total
        time.sleep(0.01)


def main():
    torrent_path, peers_path, pieces_total, seconds_max = sys.argv[1:]
    libtorrent_session.raise_open_files()
    with open(peers_path) as lines:
        addresses = [line.split()[0].rsplit(":", 1) for line in lines]
    peers = [(ip, int(port)) for ip, port in addresses]
    session = libtorrent_session.session("127.0.0.1:0")
    with tempfile.TemporaryDirectory() as folder:
        params = libtorrent_session.torrent_params(torrent_path, folder)
        params.peers = peers
        started = time.monotonic()
        handle = session.add_torrent(params)
        share = read_all(handle, int(pieces_total), started + float(seconds_max))
        seconds = time.monotonic() - started
        used = libtorrent_session.usage()
        read = sum(1 for peer in handle.get_peer_info() if any(peer.pieces))
        libtorrent_session.report(peers=read, share=share, seconds=seconds, **used)
        sys.stdout.flush()
    os._exit(0)


main()
