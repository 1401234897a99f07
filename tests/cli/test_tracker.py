#!/usr/bin/python3
"""skep tracker: clients that speak HTTP and UDP find each other, and all they say is written down
(TAP)."""

import contextlib
import json
import signal
import socket
import sqlite3
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import skep
from skep import CORRUPT, DONE, NETWORK, STORAGE, USAGE, folder, refused, run, tracker

HASH, OTHER = bytes(range(20)), b"o" * 20
MAGIC = 0x41727101980


def stop(process):
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


def http(at, what="announce", **query):
    query = {"info_hash": HASH, "peer_id": b"-qB5000-012345678901", "port": 6881} | query
    url = f"http://127.0.0.1:{at}/{what}?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


class Udp:
    """A client over UDP."""

    def __init__(self, port, family=socket.AF_INET):
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1" if family == socket.AF_INET else "::1", port))
        self.connection = struct.unpack(">Q", self.ask(struct.pack(">QII", MAGIC, 0, 7))[8:])[0]

    def ask(self, packet):
        self.sock.send(packet)
        return self.sock.recv(2048)

    def announce(self, event, uploaded, downloaded, left, port=6882, key=99, info_hash=HASH):
        return self.ask(struct.pack(">QII20s20sQQQIIIiH", self.connection, 1, 8, info_hash,
                                    b"-TR3000-abcdefghijkl", downloaded, left, uploaded, event, 0,
                                    key, -1, port))

    def scrape(self, *hashes):
        answer = self.ask(struct.pack(">QII", self.connection, 2, 9) + b"".join(hashes))
        return list(struct.iter_unpack(">III", answer[8:]))


def wait_until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def rows(path, columns="*"):
    with contextlib.closing(sqlite3.connect(path)) as base:
        return base.execute(f"SELECT {columns} FROM announces").fetchall()


def test_clients_find_each_other_and_are_recorded():
    with folder() as here:
        path = here / "announces.db"
        with tracker(f"--db={path}", "--interval=120") as (port, process, said):
            assert said == [f"tracker  http://127.0.0.1:{port}/announce\n",
                            f"tracker  udp://127.0.0.1:{port}\n"], said
            first = http(port, uploaded=0, downloaded=0, left=5000, event="started", key="beef")
            assert b"8:intervali120e" in first and b"5:peers0:" in first, first
            udp = Udp(port)
            answer = udp.announce(2, 0, 0, 0)
            assert struct.unpack(">IIIII", answer[:20]) == (1, 8, 120, 1, 1), answer
            assert answer[20:] == b"\x7f\0\0\x01" + struct.pack(">H", 6881), answer
            second = http(port, uploaded=10, downloaded=5000, left=0, event="completed")
            assert b"5:peers6:\x7f\0\0\x01" + struct.pack(">H", 6882) in second, second
            http(port, downloaded="-1", left=0, event="paused")
            assert udp.scrape(HASH, OTHER) == [(2, 1, 0), (0, 0, 0)]
            assert b"8:completei2e" in http(port, "scrape")
            udp.announce(3, 2 ** 64 - 1, 7, 3, key=0)
            code, out, err = stop(process)
            assert code == DONE and not err, (code, out, err)
            assert "5 announces in" in out and "1 torrent, 1 seed, 0 leechers" in out, out
        whole = rows(path, "info_hash, peer_id, address, uploaded, downloaded, \"left\", event, key")
        qb, tr = (b"-qB5000-012345678901".hex(), b"-TR3000-abcdefghijkl".hex())
        assert whole == [
            (HASH.hex(), qb, "127.0.0.1:6881", 0, 0, 5000, "started", 0xbeef),
            (HASH.hex(), tr, "127.0.0.1:6882", 0, 0, 0, "started", 99),
            (HASH.hex(), qb, "127.0.0.1:6881", 10, 5000, 0, "completed", None),
            (HASH.hex(), qb, "127.0.0.1:6881", None, None, 0, "paused", None),
            (HASH.hex(), tr, "127.0.0.1:6882", None, 7, 3, "stopped", 0),
        ], whole
        times = [at for at, in rows(path, "at")]
        assert times == sorted(times) and 0 < times[-1] - times[0] < 60, times
        assert not list(here.glob("*-wal")), "the file stands alone"


def test_a_file_takes_several_runs_and_is_read_meanwhile():
    with folder() as here:
        path = here / "announces.db"
        for n in 1, 2:
            with tracker(f"--db={path}") as (port, process, _):
                http(port, left=0)
                for line in process.stdout:  # the third of what it says
                    assert line.decode().startswith("records"), line
                    break
                wait_until(lambda: len(rows(path)) == n)
                assert stop(process)[0] == DONE


def test_serves_only_what_it_is_told():
    torrent = sorted(p for p in skep.DATA.rglob("*.torrent") if "hybrid" in p.name)[0]
    shown = json.loads(run("show", "--format=json", torrent).stdout)
    v1 = bytes.fromhex(shown["info_hash"])
    v2 = bytes.fromhex(shown["info_hash_v2"])[:20]
    with folder() as here:
        path = here / "announces.db"
        options = f"--only={torrent}", f"--only={OTHER.hex()}", f"--db={path}"
        with tracker(*options) as (port, process, _):
            for known in v1, v2, OTHER:
                assert b"5:peers" in http(port, info_hash=known), known
            assert b"does not serve that torrent" in http(port)
            assert b"does not serve" in Udp(port).announce(0, 0, 0, 0)
            code, out, _ = stop(process)
            assert code == DONE and "3 announces" in out, out
        assert len(rows(path)) == 3


def test_ipv6_finds_ipv6():
    with contextlib.closing(socket.socket(socket.AF_INET6)) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return  # a machine without IPv6
    with tracker(bind=None) as (port, process, _):
        one, two = (Udp(port, socket.AF_INET6) for _ in range(2))
        one.announce(2, 0, 0, 0, port=1001)
        http(port, left=5)  # the same port serves IPv4
        answer = two.announce(2, 0, 0, 0, port=1002)
        assert answer[20:] == b"\0" * 15 + b"\1" + struct.pack(">H", 1001), answer
        assert stop(process)[0] == DONE


def test_hostile_requests_leave_it_standing():
    with tracker() as (port, process, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            for packet in b"", b"\0", b"\xff" * 100, struct.pack(">QII", 1, 1, 2) + b"x" * 82:
                sock.sendto(packet, ("127.0.0.1", port))
            with contextlib.suppress(TimeoutError):
                while True:  # no answer is longer than its question
                    assert len(sock.recv(2048)) <= 98
        assert b"failure reason" in http(port, info_hash=b"short")
        assert b"failure reason" in http(port, port=70000)
        for path in "/", "/nothing", "/announce?" + "x" * 5000:
            with contextlib.suppress(urllib.error.HTTPError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)
        assert b"5:peers" in http(port, left=1)
        code, out, err = stop(process)
        assert code == DONE and "1 announce " in out and not err.count("Sanitizer"), (out, err)


def test_time_and_live_line():
    done = run("tracker", "--port=0", "--bind=127.0.0.1", "--time=1.3", "--progress=json")
    assert done.returncode == DONE, done
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(lines) == 2 and lines[0]["type"] == "progress", lines
    assert lines[0]["torrents"] == 0 and "announces_s" in lines[0], lines
    quiet = run("tracker", "--port=0", "--bind=127.0.0.1", "--time=0.1", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (DONE, "", ""), quiet


def test_a_flood_does_not_fill_the_file():
    """Everybody is answered; of who announces without pause a few are recorded, and it is said."""
    with folder() as here:
        path = here / "announces.db"
        with tracker(f"--db={path}") as (port, process, _):
            flooding = Udp(port)
            for n in range(100):
                assert flooding.announce(0, n, 0, 5)[:4] == b"\0\0\0\1"
            http(port, uploaded=7)
            code, out, _ = stop(process)
        assert code == DONE and "101 announces in" in out, out
        assert "92 announces were not recorded" in out, out
        assert rows(path, "uploaded") == [(n,) for n in range(8)] + [(7,)], rows(path)


def test_help_is_about_a_tracker():
    """Options that it shares with other commands say what they do here."""
    text = " ".join(run("tracker", "--help").stdout.split())
    assert "partial" not in text and "end after so long" in text, text
    assert "listen on this address" in text and "say nothing but errors" in text, text


def test_refuses():
    with socket.socket() as taken, folder() as here:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        where = "--bind=127.0.0.1", "--time=1"
        line = refused(NETWORK, "tracker", f"--port={port}", *where)
        assert str(port) in line and "in use" in line, line
        assert "192.0.2.1" not in refused(NETWORK, "tracker", "--port=0", "--bind=192.0.2.1")
        refused(USAGE, "tracker", "--interval=1")
        refused(USAGE, "tracker", "--port=70000")
        refused(USAGE, "tracker", "--only=http://127.0.0.1:1/a.torrent", *where)
        refused(USAGE, "tracker", "something")
        (here / "bad.torrent").write_bytes(b"d4:infod4:name1:aee")
        refused(CORRUPT, "tracker", f"--only={here}/bad.torrent", *where)
        refused(STORAGE, "tracker", f"--db={here}/no/such.db", *where)
        (here / "text.db").write_text("no database at all, but long enough for one" * 100)
        refused(STORAGE, "tracker", f"--db={here}/text.db", *where)


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
