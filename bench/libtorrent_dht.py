#!/usr/bin/python3
"""A DHT node of libtorrent with all its limits lifted, until SIGTERM, the end of its input or
SECONDS_MAX.

    libtorrent_dht.py SECONDS_MAX

Prints `ready PORT` when it listens.
"""

import os
import select
import signal
import sys

import libtorrent_session

NODE = {
    "enable_dht": True,
    "dht_bootstrap_nodes": "",
    # Its limits on what one address, and all together, may make it do.
    "dht_upload_rate_limit": 1_000_000_000,
    "dht_block_ratelimit": 10_000_000,
    "dht_block_timeout": 1,
    # All who ask have the address 127.0.0.1.
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
}


def main():
    session = libtorrent_session.session("127.0.0.1:0", **NODE)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("ready", session.listen_port(), flush=True)
    select.select([sys.stdin], [], [], float(sys.argv[1]))
    os._exit(0)


main()
