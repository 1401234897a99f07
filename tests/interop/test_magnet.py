"""Leeches of real clients that have a magnet link and one peer: skep seed.

They get the info dictionary from it (BEP 9), of v2 torrents the piece layers (BEP 52), and all
pieces; and two of them that know nobody else learn of one another from it (BEP 11), unless the
torrent is private (BEP 27). On loopback addresses of their own, in TAP.
"""

import contextlib
import filecmp
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import libtorrent as lt

SKEP = os.environ["SKEP"]
SEED, LEECH, OTHER = "127.99.0.1", "127.99.0.2", "127.99.0.3"
PORT = 7700
FILES = {"a.bin": 5_000_000, "b.bin": 70_001, "c.txt": 900}  # the last piece of each is short
PIECE = "16KiB"  # a dictionary, and a piece layer, of more than one message
PATIENCE_S = 60


@contextlib.contextmanager
def running(argv, log):
    with open(log, "wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def wait_for_listener(address, port):
    """Whoever calls too early calls again a minute later, or never."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), 1).close()
            return
        time.sleep(0.1)


class Content:
    """Files, their torrent, and skep that seeds them."""

    def __init__(self, folder, kind, *options):
        self.folder, self.data = folder, os.path.join(folder, "seed")
        self.torrent = os.path.join(folder, "set.torrent")
        os.makedirs(os.path.join(self.data, "set"))
        for name, size in FILES.items():
            with open(os.path.join(self.data, "set", name), "wb") as out:
                out.write(random.Random(name).randbytes(size))
        subprocess.run([SKEP, "create", "--quiet", "--kind=" + kind, "--piece-size=" + PIECE,
                        "--output=" + self.torrent, *options, os.path.join(self.data, "set")],
                       check=True, stdout=subprocess.DEVNULL)

    def magnet(self, hashes):
        known = lt.torrent_info(self.torrent).info_hashes()
        topics = {"v1": f"xt=urn:btih:{known.v1}", "v2": f"xt=urn:btmh:1220{known.v2}"}
        return "magnet:?" + "&".join(topics[name] for name in hashes)

    @contextlib.contextmanager
    def seed(self, *options):
        with running([SKEP, "seed", self.torrent, self.data, "--bind=" + SEED, f"--port={PORT}",
                      "--no-dht", "--no-lsd", "--no-trackers", "--progress=none",
                      "--state-dir=" + self.folder, *options],
                     os.path.join(self.folder, "seed.log")):
            wait_for_listener(SEED, PORT)
            yield

    def wait(self, folder):
        """Whether all of it comes to be in the folder."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            pairs = [[os.path.join(at, "set", name) for at in (self.data, folder)]
                     for name in FILES]
            if all(os.path.exists(b) and filecmp.cmp(a, b, shallow=False) for a, b in pairs):
                return True
            filecmp.clear_cache()
            time.sleep(0.2)
        return False


def session(address):
    return lt.session({
        "listen_interfaces": f"{address}:{PORT}", "outgoing_interfaces": address,
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "enable_outgoing_utp": False, "enable_incoming_utp": False,
        "min_reconnect_time": 1})


def libtorrent(content, magnet, got):
    with content.seed():
        own = session(LEECH)
        params = lt.parse_magnet_uri(magnet)
        params.save_path = got
        own.add_torrent(params).connect_peer((SEED, PORT))
        return content.wait(got)


def aria2(content, magnet, got):
    """It knows no x.pe: the seed calls it, until it listens."""
    port = PORT + 2
    argv = ["aria2c", "--no-conf=true", "--interface=" + LEECH, "--dir=" + got, "--seed-time=0",
            "--enable-dht=false", "--enable-dht6=false", f"--listen-port={port}",
            "--file-allocation=none", magnet]
    with content.seed(f"--peer={LEECH}:{port}"), \
            running(argv, os.path.join(content.folder, "aria2.log")):
        return content.wait(got)


def transmission(content, magnet, got):
    """Neither does it. At a port of its own, for one that was used before may be kept from it for a
    minute."""
    port, rpc_port = PORT + 3, PORT + 1
    with open(os.path.join(content.folder, "settings.json"), "w") as out:
        json.dump({"peer-port": port, "rpc-port": rpc_port, "rpc-bind-address": LEECH,
                   "rpc-whitelist-enabled": False, "bind-address-ipv4": LEECH,
                   "download-dir": got, "dht-enabled": False, "lpd-enabled": False,
                   "utp-enabled": False, "port-forwarding-enabled": False}, out)
    body = json.dumps({"method": "torrent-add", "arguments": {"filename": magnet}}).encode()
    url, token = f"http://{LEECH}:{rpc_port}/transmission/rpc", ""
    argv = ["transmission-daemon", "--foreground", "--config-dir", content.folder]
    with running(argv, os.path.join(content.folder, "transmission.log")):
        for _ in range(50):
            try:
                urllib.request.urlopen(urllib.request.Request(
                    url, body, {"X-Transmission-Session-Id": token}))
                break
            except urllib.error.HTTPError as e:
                token = e.headers["X-Transmission-Session-Id"] or ""
            except OSError:
                time.sleep(0.1)
        wait_for_listener(LEECH, port)
        with content.seed(f"--peer={LEECH}:{port}"):
            return content.wait(got)


def peers_of_two(content, seconds):
    """Whom two leeches of a slow seed are connected to when they have met, or time is up."""
    with content.seed("--up-limit=20k"):
        handles, sessions = [], [session(LEECH), session(OTHER)]
        for number, own in enumerate(sessions):
            params = lt.add_torrent_params()
            params.ti = lt.torrent_info(content.torrent)
            params.save_path = os.path.join(content.folder, f"got{number}")
            handles.append(own.add_torrent(params))
            handles[-1].connect_peer((SEED, PORT))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            peers = {peer.ip[0] for handle in handles for peer in handle.get_peer_info()}
            if {SEED, LEECH, OTHER} <= peers:
                break
            time.sleep(0.2)
    return peers


LEECHES = [(libtorrent, "v1", ["v1"]), (libtorrent, "v2", ["v2"]),
           (libtorrent, "hybrid", ["v1"]), (libtorrent, "hybrid", ["v2"]),
           (libtorrent, "hybrid", ["v1", "v2"]), (aria2, "v1", ["v1"]),
           (transmission, "v1", ["v1"])]


def checks():
    for leech, kind, hashes in LEECHES:
        with tempfile.TemporaryDirectory() as folder:
            content = Content(folder, kind)
            got = os.path.join(folder, "got")
            os.mkdir(got)
            yield (leech(content, content.magnet(hashes), got),
                   f"{leech.__name__}: {kind} torrent by {' and '.join(hashes)}")
    with tempfile.TemporaryDirectory() as folder:
        yield (peers_of_two(Content(folder, "v1"), 60) >= {SEED, LEECH, OTHER},
               "two leeches are introduced")
    with tempfile.TemporaryDirectory() as folder:
        yield (peers_of_two(Content(folder, "v1", "--private"), 25) == {SEED},
               "but not those of a private torrent")


def main():
    bad = 0
    print(f"1..{len(LEECHES) + 2}")
    for number, (ok, what) in enumerate(checks(), 1):
        print(f"{'ok' if ok else 'not ok'} {number} - {what}", flush=True)
        bad += not ok
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
