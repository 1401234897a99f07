"""One DHT on loopback of 30 nodes of skep, 15 of libtorrent and 15 of the npm package bittorrent-dht.

An item put by any of them is read by every other, immutable and mutable, with a salt and without;
a peer announced by any of them is found by every other.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time

from lab.checks import Tap
from lab.client import wait_for
from lab import dht_nodes
from lab.npm import Absent

OURS, THEIRS = 30, 15
SEED_PORT = 7000


def immutable_target(value):
    return hashlib.sha1(b"%d:%s" % (len(value), value)).digest()


def peers_of(kind, number, target, seconds=20):
    """What a node finds, asked until it finds something."""
    end = time.monotonic() + seconds
    while True:
        found = kind.peers(number, target)
        if found or time.monotonic() > end:
            return found
        time.sleep(1)


def check_items(tap, kinds):
    """Each writes, each reads; readers are other nodes than the writer."""
    pair = dht_nodes.KeyPair("skep interop")
    for i, writer in enumerate(kinds):
        values = {
            "short": b"a value of " + writer.name.encode(),
            "long": writer.name.encode() * 200,
        }
        for label, value in values.items():
            value = value[:900]
            tap.check(writer.put(i, value) > 0, f"{writer.name} puts immutable, {label}")
            for reader in kinds:
                got = reader.get(i + 5, target=immutable_target(value))
                tap.check(got == value, f"{reader.name} gets it", f"{got!r:.80}")
        for salt in (b"", b"salt of " + writer.name.encode()):
            own = pair if salt else dht_nodes.KeyPair(writer.name)
            value = b"mutable of " + writer.name.encode()
            tap.check(writer.put(i, value, own, salt) > 0,
                      f"{writer.name} puts mutable, salt '{salt.decode()}'")
            for reader in kinds:
                got = reader.get(i + 6, pair=own, salt=salt)
                tap.check(got == value, f"{reader.name} gets it", f"{got!r:.80}")


def check_peers(tap, kinds):
    for i, announcer in enumerate(kinds):
        target = hashlib.sha1(b"torrent of " + announcer.name.encode()).digest()
        announcer.announce(i, target, SEED_PORT)
        for reader in kinds:
            found = peers_of(reader, i + 7, target)
            tap.check(len(found) == 1, f"{reader.name} finds the peer that {announcer.name} "
                      "announced", found)


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not os.access(os.environ.get("SKEP", ""), os.X_OK):
        sys.exit("SKEP has to name the skep binary to test")
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        try:
            kinds = [dht_nodes.Skep(folder, 3), dht_nodes.libtorrent(), dht_nodes.npm()]
        except Absent as what:
            sys.exit(f"not installed: {what}")
        try:
            ours = dht_nodes.addresses(10, OURS)
            start = time.monotonic()
            for kind, where in zip(kinds, (ours, dht_nodes.addresses(11, THEIRS),
                                           dht_nodes.addresses(12, THEIRS))):
                kind.start(where, [] if where is ours else ours[:8] + where[:2])
            for kind in kinds[1:]:
                wait_for(f"{kind.name}: all know some nodes",
                         lambda: min(kind.ask("count")["counts"]) >= 12, 60)
            tap.note(f"all have joined after {time.monotonic() - start:.1f} s")
            check_items(tap, kinds)
            check_peers(tap, kinds)
        finally:
            for kind in kinds:
                kind.stop()
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
