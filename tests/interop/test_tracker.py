"""Real clients that have nothing but skep tracker find each other, and what they report is written
down: over HTTP libtorrent (the seed), aria2 and Transmission, over UDP libtorrent and Transmission.
On loopback addresses of their own, in TAP.
"""

import contextlib
import filecmp
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import libtorrent as lt

SKEP = os.environ["SKEP"]
TRACKER, SEED, LEECH, OTHER = "127.98.0.1", "127.98.0.2", "127.98.0.3", "127.98.0.4"
PORT, SIZE, PATIENCE_S = 7710, 3_000_001, 60


@contextlib.contextmanager
def running(argv, log, stop=signal.SIGTERM):
    with open(log, "wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(stop)
        process.wait(30)


class Content:
    """A file, its torrent with skep's tracker in it, and the tracker."""

    def __init__(self, folder, scheme):
        self.folder, self.data = folder, os.path.join(folder, "seed")
        self.torrent, self.log = (os.path.join(folder, n) for n in ("set.torrent", "announces.db"))
        self.url = f"{scheme}://{TRACKER}:{PORT}/announce"
        os.makedirs(self.data)
        with open(os.path.join(self.data, "a.bin"), "wb") as out:
            out.write(random.Random(scheme).randbytes(SIZE))
        subprocess.run([SKEP, "create", "--quiet", "--kind=v1", "--tracker=" + self.url,
                        "--output=" + self.torrent, os.path.join(self.data, "a.bin")],
                       check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def tracker(self):
        with running([SKEP, "tracker", f"--bind={TRACKER}", f"--port={PORT}", "--interval=5",
                      f"--only={self.torrent}", f"--db={self.log}"],
                     os.path.join(self.folder, "tracker.log"), signal.SIGINT):
            for _ in range(100):
                with contextlib.suppress(OSError):
                    socket.create_connection((TRACKER, PORT), 1).close()
                    break
                time.sleep(0.1)
            yield

    def wait(self, seed, *folders):
        """Whether all of it comes to be in each of the folders. The seed has to ask who is there:
        Transmission calls no loopback addresses."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            filecmp.clear_cache()
            pairs = [[os.path.join(at, "a.bin") for at in (self.data, folder)] for folder in folders]
            if all(os.path.exists(b) and filecmp.cmp(a, b, shallow=False) for a, b in pairs):
                return True
            for handle in seed.get_torrents():
                handle.force_reannounce(0, -1, lt.reannounce_flags_t.ignore_min_interval)
            time.sleep(1)
        return False

    def said(self):
        """{client: rows} of what was recorded."""
        clients = {}
        with contextlib.closing(sqlite3.connect(self.log)) as base:
            for peer_id, *row in base.execute("SELECT peer_id, uploaded, downloaded, \"left\", "
                                              "event, key FROM announces ORDER BY at"):
                name = re.match(rb"-?([A-Z][A-Z0-9])", bytes.fromhex(peer_id))[1].decode()
                clients.setdefault(name, []).append(row)
        return clients


def seed(content):
    own = lt.session({"listen_interfaces": f"{SEED}:{PORT}", "outgoing_interfaces": SEED,
                      "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
                      "enable_natpmp": False})
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(content.torrent)
    params.save_path = content.data
    own.add_torrent(params)
    return own


def aria2(content, got):
    return running(["aria2c", "--no-conf=true", "--interface=" + LEECH, "--dir=" + got,
                    "--seed-ratio=0.0", "--enable-dht=false", "--enable-dht6=false",
                    "--enable-peer-exchange=false", f"--listen-port={PORT}",
                    "--file-allocation=none", content.torrent],
                   os.path.join(content.folder, "aria2.log"))


@contextlib.contextmanager
def transmission(content, got):
    rpc_port = PORT + 1
    with open(os.path.join(content.folder, "settings.json"), "w") as out:
        json.dump({"peer-port": PORT + 2, "rpc-port": rpc_port, "rpc-bind-address": OTHER,
                   "rpc-whitelist-enabled": False, "bind-address-ipv4": OTHER,
                   "download-dir": got, "dht-enabled": False, "lpd-enabled": False,
                   "pex-enabled": False, "port-forwarding-enabled": False}, out)
    body = json.dumps({"method": "torrent-add", "arguments": {"filename": content.torrent}})
    url, token = f"http://{OTHER}:{rpc_port}/transmission/rpc", ""
    with running(["transmission-daemon", "--foreground", "--config-dir", content.folder],
                 os.path.join(content.folder, "transmission.log")):
        for _ in range(100):
            try:
                urllib.request.urlopen(urllib.request.Request(
                    url, body.encode(), {"X-Transmission-Session-Id": token}))
                break
            except urllib.error.HTTPError as e:
                token = e.headers["X-Transmission-Session-Id"] or ""
            except OSError:
                time.sleep(0.1)
        yield


def check(scheme, leeches):
    with tempfile.TemporaryDirectory() as folder:
        content = Content(folder, scheme)
        with content.tracker(), contextlib.ExitStack() as stack:
            own = seed(content)
            got = []
            for leech in leeches:
                got.append(os.path.join(folder, leech.__name__))
                os.makedirs(got[-1])
                stack.enter_context(leech(content, got[-1]))
            assert content.wait(own, *got), content.said()
            time.sleep(1)  # they say so
        said = content.said()
        assert set(said) == {"LT"} | {"A2" if leech is aria2 else "TR" for leech in leeches}, said
        for client, rows in said.items():
            events = [row[3] for row in rows]
            assert "started" in events, (client, rows)
            assert client != "LT" or all(row[2] == 0 for row in rows), rows
            if client != "LT":
                assert rows[0][2] == SIZE and rows[-1][2] == 0, (client, rows)
                assert rows[-1][1] >= SIZE and "completed" in events, (client, rows)
            assert client == "A2" or all(row[4] is not None for row in rows), rows


CHECKS = [("http", [aria2, transmission]), ("udp", [transmission])]


def main():
    failed = False
    print(f"1..{len(CHECKS)}", flush=True)
    for number, (scheme, leeches) in enumerate(CHECKS, 1):
        try:
            check(scheme, leeches)
            result = "ok"
        except Exception as e:  # the others are run whatever it was
            result, failed = "not ok", True
            print(f"# {type(e).__name__}: {e}"[:2000])
        print(f"{result} {number} {scheme}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
