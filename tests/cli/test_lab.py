#!/usr/bin/python3
"""skep lab: a swarm of known truth, the truth it tells, and audits held against it (TAP)."""

import contextlib
import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time

import jsonschema

import skep
from skep import CORRUPT, DONE, FAILED, NETWORK, ROOT, STORAGE, USAGE, refused, run

EXAMPLES = sorted((ROOT / "docs/examples").glob("*.lab"))
SCHEMA = json.loads((ROOT / "docs/schema/skep.lab.1.json").read_text())

# Every kind that an audit is done with at once.
QUICK = """
[torrent]
name = quick.bin
size = 3MiB
piece-size = 64KiB
version = {version}

[peers seeds]
kind = seed
count = 2

[peers slow]
kind = slow
rate = 150k

[peers parts]
kind = partial
count = 3
share = 0.2 .. 0.8

[peers liar]
kind = corrupting
corrupt = 0.5

[peers old]
kind = old

[peers lazy]
kind = lazy

[peers plain]
kind = plain

[peers encrypted]
kind = encrypted

[peers hidden]
kind = hidden

[peers nat]
kind = dialing

[peers newcomer]
kind = empty

[peers growing]
kind = growing

[peers generous]
kind = generous

[peers choking]
kind = choking

[peers rotating]
kind = rotating
rate = 500k

[peers gone]
kind = refusing

[peers rude]
kind = resetting

[peers stranger]
kind = stranger

[peers broken]
kind = broken
"""


class Lab:
    def __init__(self, folder, process, scenario):
        self.folder, self.process, self.scenario = folder, process, scenario
        self.torrent, self.truth_file = folder / "lab.torrent", folder / "truth.json"

    def truth(self):
        document = json.loads(self.truth_file.read_text())
        jsonschema.validate(document, SCHEMA)
        return document

    def audit(self, target, *arguments):
        """The report, and the comparison once the lab is over."""
        report = self.folder / "report.json"
        done = run("audit", "--quiet", "--no-lsd", "--bind=127.0.0.1", "--patience=5", "--json",
                   report, *arguments, target)
        self.end()
        assert done.returncode == 0, done
        return skep.report(report.read_text()), run("lab", "--compare", self.truth_file, report)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        stderr = self.process.communicate(timeout=20)[1]
        assert self.process.returncode == 0 and not stderr, stderr


@contextlib.contextmanager
def lab(scenario, *arguments):
    """A lab that is ready."""
    with skep.folder() as folder:
        (folder / "x.lab").write_text(scenario)
        process = skep.start("lab", folder / "x.lab", "--truth", folder / "truth.json", "--torrent",
                             folder / "lab.torrent", "--time=100", *arguments)
        try:
            line = process.stdout.readline().decode()
            assert "peers" in line, (line, process.communicate())
            yield Lab(folder, process, scenario)
        finally:
            process.kill()
            process.communicate()


def check_audit(version, by_magnet):
    with lab(QUICK.format(version=version)) as swarm:
        before = swarm.truth()
        assert before["ended"] is None
        target = before["torrent"]["magnet"] if by_magnet else swarm.torrent
        report, compared = swarm.audit(target)
        assert compared.returncode == DONE, compared.stdout
        assert "22 of 22 peers found" in compared.stdout, compared.stdout
        assert " ".join(compared.stdout.split()).endswith("no difference"), compared.stdout
        after = swarm.truth()
        assert after["ended"] > after["started"]
        served = [p for p in after["peers"] if p["expected"] == "served"]
        assert all(sum(g["blocks"] for g in p["gave"]) > 0 for p in served)
        assert report["swarm"]["name"] == "quick.bin"
        return after, report


def test_audit_of_v1():
    check_audit("v1", False)


def test_audit_of_v2_by_magnet():
    check_audit("v2", True)


def test_audit_of_hybrid_and_what_the_comparison_finds():
    truth, report = check_audit("hybrid", False)
    address = {p["group"]: p["address"] for p in truth["peers"]}
    with skep.folder() as folder:
        (folder / "truth").write_text(json.dumps(truth))

        def differs(expected, change):
            """A report in which something is changed is found out."""
            document = copy.deepcopy(report)
            change(document, {p["address"]: p for p in document["peers"]})
            (folder / "report").write_text(json.dumps(document))
            done = run("lab", "--compare", folder / "truth", folder / "report")
            assert done.returncode == FAILED and not done.stderr, done
            assert expected in done.stdout, (expected, done.stdout)

        def drop(group):
            return lambda document, peers: document["peers"].remove(peers[address[group]])

        def put(group, key, value):
            return lambda _, peers: peers[address[group]].update({key: value})

        def delivered(group, key, value):
            return lambda _, peers: peers[address[group]]["delivered"].update({key: value})

        differs("not found", drop("hidden"))
        differs("choked (", put("plain", "state", "choked"))
        differs("pieces, and has 24", put("old", "pieces", 23))
        differs("pieces, and has", put("growing", "pieces", 1))
        differs("share unknown, and has 48", put("plain", "pieces", None))
        differs("kB/s measured, and 154 kB/s set", delivered("slow", "rate_bytes_s", 100000))
        differs("? measured", delivered("slow", "rate_bytes_s", None))
        differs("counted, and", delivered("plain", "bytes", 1 << 30))
        differs("sent corrupt blocks and was not caught", put("liar", "blocks_corrupt", 0))
        differs("1 corrupt blocks, and sent none", put("plain", "blocks_corrupt", 1))
        differs("nothing of it was verified", put("plain", "blocks_verified", 0))
        differs("client 'x\\x1b', and is", put("plain", "client", "x\x1b"))
        differs("a plain stream", put("encrypted", "encryption", "plain"))
        differs("a rc4 stream", put("plain", "encryption", "rc4"))
        differs("heard of from the tracker", put("hidden", "sources", ["tracker", "pex"]))
        differs("seeds: 77", lambda document, _: document["swarm"].update(seeds=77))
        differs("no peer of the lab", put("gone", "address", "127.3.3.3:3333"))


def test_comparison_of_broken_files():
    with skep.folder() as folder:
        (folder / "empty").write_text("{}")
        (folder / "text").write_text("hello")
        assert "No such" in refused(STORAGE, "lab", "--compare", folder / "none", folder / "empty")
        refused(CORRUPT, "lab", "--compare", folder / "text", folder / "empty")
        refused(CORRUPT, "lab", "--compare", folder / "empty", folder / "text")
        assert "expected" in refused(CORRUPT, "lab", "--compare", folder / "empty", folder / "empty")
    refused(USAGE, "lab", "--compare", "one")


def test_truth_follows_from_the_seed():
    def draw(*arguments):
        with lab(QUICK.format(version="v1"), *arguments) as swarm:
            truth = swarm.truth()
            swarm.end(signal.SIGINT)
            return truth["torrent"]["info_hash"], [p["peer_id"] for p in truth["peers"]]

    assert draw() == draw()
    assert draw("--seed=5") != draw("--seed=6")


def test_port_is_the_one_asked_for():
    port = skep.closed_port() & ~1 | 1024
    with lab("[peers a]\nkind = seed\n", f"--port={port}") as swarm:
        truth = swarm.truth()
        assert truth["peers"][0]["address"].endswith(f":{port}")
        assert truth["trackers"][0] == f"http://127.0.0.1:{port + 1}/announce"
        line = refused(NETWORK, "lab", f"--port={port}", swarm.folder / "x.lab")
        assert "in use" in line
        swarm.end()


def own_address():
    """An address of this machine that is not 127.x.y.z, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return sock.getsockname()[0]


def test_nobody_else_gets_in():
    """Addresses that are none of the lab's peers are reset without a word."""
    with lab("[peers a]\nkind = seed\n") as swarm:
        address, port = swarm.truth()["peers"][0]["address"].split(":")
        hello = b"\x13BitTorrent protocol" + bytes(8)
        with socket.create_connection((address, int(port)), timeout=5) as sock:
            sock.sendall(hello)
        for host in filter(None, ["127.99.0.1", "127.77.1.2", "127.0.0.1", own_address()]):
            try:
                with socket.create_connection((host, int(port)), timeout=5) as sock:
                    sock.sendall(hello)
                    assert sock.recv(1) == b"", host
            except ConnectionError:
                pass
        swarm.end()


def test_examples_can_be_run():
    assert len(EXAMPLES) >= 3
    for path in EXAMPLES:
        with skep.folder() as folder:
            done = run("lab", path, "--time=1", "--truth", folder / "truth")
            assert done.returncode == 0 and "magnet:?xt=" in done.stdout, (path, done)
    example = run("lab", "--example")
    assert example.returncode == 0
    done = run("lab", "-", "--time=1", data=example.stdout.encode())
    assert done.returncode == 0 and done.stdout.startswith("60 peers")


def test_mistakes_have_one_line_with_their_place():
    with skep.folder() as folder:
        (folder / "bad").write_text("[peers a]\nkind = seed\n\nshare = 7\n")
        assert "/bad:4: share = 7: expected a share" in refused(USAGE, "lab", folder / "bad")
        (folder / "large").write_bytes(b"#" * 2000000)
        assert "larger than any scenario" in refused(USAGE, "lab", folder / "large")
        (folder / "ok").write_text("[peers a]\nkind = seed\n")
        refused(STORAGE, "lab", folder / "ok", "--torrent=/nonexistent/x", "--time=5")
        refused(STORAGE, "lab", folder / "ok", "--truth=/nonexistent/x", "--time=5")
        for wrong in "--time=0", "--port=80", "--port=x", "--seed=-1":
            refused(USAGE, "lab", folder / "ok", wrong)
    assert "standard input:1: " in refused(USAGE, "lab", "-", data=b"x")
    assert "No such file" in refused(USAGE, "lab", "/nonexistent")
    assert "SCENARIO" in refused(USAGE, "lab")
    refused(USAGE, "lab", "a", "b")
    refused(USAGE, "lab", "--kinds", "a")


def test_kinds_are_listed():
    done = run("lab", "--kinds")
    assert done.returncode == 0 and not done.stderr
    for word in "[torrent]", "[tracker]", "[peers NAME]", "corrupting", "qbittorrent":
        assert word in done.stdout


def test_demo():
    """Small, since the real one takes its time: make demo runs that."""
    scenario = "[torrent]\nsize = 2MiB\n[peers a]\nkind = seed\ncount = 3\n[peers b]\nkind = empty\n"
    started = time.monotonic()
    with skep.folder() as folder:
        (folder / "x.lab").write_text(scenario)
        done = run("lab", "--demo", folder / "x.lab", env={"TMPDIR": str(folder)})
        assert done.returncode == 0, done
        lines = done.stdout.splitlines()
        assert "Compared with what is true:" in lines
        assert "4 of 4 peers found" in done.stdout and "no difference" in done.stdout
        assert [f.name for f in folder.iterdir()] == ["x.lab"]
    assert time.monotonic() - started < 55


def test_demo_that_is_interrupted_leaves_nothing_behind():
    with skep.folder() as folder:
        process = subprocess.Popen([skep.SKEP, "lab", "--demo"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True,
                                   env=skep.environment(TMPDIR=str(folder)))
        while not process.stderr.readline().startswith(b"skep: "):
            assert process.poll() is None  # until the audit says how far it is
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == skep.PARTIAL, (process.returncode, stderr)
        assert b"nterrupted" in stdout and not list(folder.iterdir())


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
