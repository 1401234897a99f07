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
import urllib.request

import jsonschema
import libtorrent as lt

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


# A seed, and four that trade under limits; two others come, and go when it is time.
TRADE = """
[torrent]
name = trade.bin
size = 4MiB
piece-size = 64KiB
version = hybrid

[peers origin]
kind = leecher
share = 1
up = 800k

[peers modem]
kind = leecher
up = 300k
down = 350k

[peers equals]
kind = leecher
count = 2
up = 300k
join = 0 .. 2

[peers half]
kind = leecher
share = 0.5
up = 200k

[peers fleeting]
kind = leecher
leave = 3

[peers hasty]
kind = leecher
leave = when complete
encryption = required
"""
TRADE_SIZE = 4 << 20
KEEPS_WITHIN = 1.05  # of a limit
BURST_S = 0.1

# A swarm that is audited while it trades.
AUDITED = """
[torrent]
size = 16MiB
piece-size = 64KiB
version = {version}

[peers seed]
kind = slow
rate = 1M

[peers parts]
kind = partial
count = 2

[peers leechers]
kind = leecher
count = 3
share = 0 .. 0.6
up = 300k

[peers hasty]
kind = leecher
share = 0.5
up = 300k
leave = when complete

[peers fleeting]
kind = leecher
up = 300k
leave = 6

[peers late]
kind = leecher
up = 300k
join = 4
"""

# Honest ones that tell less than they hold, among others.
HIDDEN = """
[torrent]
size = 16MiB
piece-size = 16KiB

[peers seed]
kind = slow
rate = 1M

[peers modest]
kind = super-seeder
up = 300k

[peers open]
kind = leecher
count = 3
share = 0 .. 0.5
up = 200k

[peers silent]
kind = suppressor
count = 2
share = 0.2 .. 0.5
up = 200k

[peers late]
kind = leecher
share = 0.2
up = 200k
tell-after = 1000
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


def scrape(truth):
    """How many seeds and leechers the lab's tracker knows."""
    info_hash = "".join(f"%{byte:02x}" for byte in bytes.fromhex(truth["torrent"]["info_hash"]))
    url = truth["trackers"][0].replace("announce", "scrape")
    body = urllib.request.urlopen(f"{url}?info_hash={info_hash}", timeout=5).read()
    return [int(body.split(key)[1].split(b"e")[0]) for key in (b"8:completei", b"10:incompletei")]


def wait_until_complete(truth, count, seconds=60):
    until = time.monotonic() + seconds
    while scrape(truth) != [count, 0]:
        assert time.monotonic() < until, scrape(truth)
        time.sleep(0.3)


def taken(truth, address):
    return sum(f["bytes"] for f in truth["flows"] if f["to"] == address)


def check_limits(truth):
    """What each gave and took in its time there, by the counts of both sides."""
    for peer in truth["peers"]:
        seconds = (peer["left"] or truth["ended"]) - peer["joined"] + BURST_S
        gave = sum(to["bytes"] for to in peer["gave"])
        if peer["up_bytes_s"]:
            busy = max(([0] + p["share"]["gained_s"])[-1] for p in truth["peers"])
            most = peer["up_bytes_s"] * (min(seconds, busy) + BURST_S)
            assert gave <= KEEPS_WITHIN * most, (gave, most, peer)
        if peer["down_bytes_s"]:
            busy = truth["started"] + peer["share"]["gained_s"][-1] - peer["joined"] + BURST_S
            rate = taken(truth, peer["address"]) / busy
            assert 0.5 < rate / peer["down_bytes_s"] < KEEPS_WITHIN, rate


def check_ledgers(truth):
    """What one says it took the other says it gave."""
    by_address = {p["address"]: p for p in truth["peers"]}
    for flow in truth["flows"]:
        gave = [g["bytes"] for g in by_address[flow["from"]]["gave"] if g["remote"] == flow["to"]]
        assert len(gave) == 1 and gave[0] >= flow["bytes"], (flow, gave)
    for peer in truth["peers"]:
        share = peer["share"]
        gained = share["gained_s"]
        assert len(gained) == share["pieces_end"] - share["pieces_start"]
        assert gained == sorted(gained)
        wanted = (1 - share["start"]) * TRADE_SIZE
        if share["end"] == 1:
            assert wanted <= taken(truth, peer["address"]) < wanted * 1.1 + 65536, peer


def test_leechers_trade_under_their_limits():
    with lab(TRADE) as swarm:
        before = swarm.truth()
        assert [p["joined"] is None for p in before["peers"] if p["group"] == "equals"] == [
            False, True]
        wait_until_complete(before, 5)
        swarm.end()
        truth = swarm.truth()
    group = {p["group"]: p for p in truth["peers"]}
    assert all(p["share"]["end"] == 1 for p in truth["peers"] if p["group"] != "fleeting")
    check_limits(truth)
    check_ledgers(truth)
    fleeting, hasty, late = group["fleeting"], group["hasty"], group["equals"]
    assert 3 <= fleeting["left"] - truth["started"] < 3.5 and fleeting["share"]["end"] < 1
    assert fleeting["share"]["gained_s"][-1] < 3.2
    assert 0 <= hasty["left"] - truth["started"] - hasty["share"]["gained_s"][-1] < 0.5
    assert 2 <= late["joined"] - truth["started"] < 2.3 and late["left"] is None
    assert group["half"]["share"]["start"] == 0.5
    # Most of it is passed on: the seed alone would not have been enough.
    from_origin = sum(f["bytes"] for f in truth["flows"] if f["from"] == group["origin"]["address"])
    assert from_origin < 0.7 * sum(f["bytes"] for f in truth["flows"])


def check_estimates_fit(truth, report):
    """The table of what was inferred beside what is true, with all that may stand in it."""
    truth, report = json.loads(json.dumps([truth, report]))
    for peer in truth["peers"]:
        peer["lie"] = "download"
    for peer in report["peers"]:
        peer["download"] = {"rate_bytes_s": 477000, "low": 470100, "high": 483900}
        peer["upload"] = {"rate_bytes_s": 151000, "low": 30000, "high": 272000}
        peer["verdict"] = {"result": "consistent"}
    with skep.folder() as folder:
        (folder / "truth").write_text(json.dumps(truth))
        (folder / "report").write_text(json.dumps(report))
        lines = run("lab", "--compare", folder / "truth", folder / "report",
                    env={"COLUMNS": "80"}).stdout.splitlines()
    assert lines[0].endswith("TRUE  REPORTS") and "477 kB/s \u00b16.9" in lines[1], lines
    assert "cleared" in lines[1] and max(map(len, lines)) <= 80, lines


def test_audit_of_leechers_and_what_the_comparison_finds():
    with lab(AUDITED.format(version="hybrid")) as swarm:
        report, compared = swarm.audit(swarm.torrent)
        assert compared.returncode == DONE, compared.stdout
        assert " ".join(compared.stdout.split()).endswith("no difference"), compared.stdout
        truth = swarm.truth()
    check_estimates_fit(truth, report)
    address = {p["group"]: p["address"] for p in truth["peers"]}
    with skep.folder() as folder:
        (folder / "truth").write_text(json.dumps(truth))

        def differs(expected, change):
            document = copy.deepcopy(report)
            change(document, {p["address"]: p for p in document["peers"]})
            (folder / "report").write_text(json.dumps(document))
            done = run("lab", "--compare", folder / "truth", folder / "report")
            assert done.returncode == FAILED and expected in done.stdout, (expected, done.stdout)

        def put(group, key, value):
            return lambda _, peers: peers[address[group]].update({key: value})

        differs("not found", lambda d, peers: d["peers"].remove(peers[address["leechers"]]))
        differs("pieces, and has", put("leechers", "pieces", 1))
        differs("share unknown, and has", put("leechers", "pieces", None))
        differs("refused (), and trades", put("leechers", "state", "refused"))
        differs("client 'x', and is 'skep", put("late", "client", "x"))
        differs("leechers: 77", lambda document, _: document["swarm"].update(leechers=77))
        differs("seeds: 77", lambda document, _: document["swarm"].update(seeds=77))


def test_who_hides_gains_is_neither_idle_nor_accused():
    with skep.folder() as folder, lab(HIDDEN, f"--reports={folder}/reports.db") as swarm:
        report, compared = swarm.audit(swarm.torrent, "--watch=25", f"--reports={folder}/reports.db")
        assert compared.returncode == DONE, compared.stdout
        said = " ".join(compared.stdout.split())
        assert "3 of 3 hidden gains left open" in said and " 0 accused" in said, said
        truth = swarm.truth()
    seen = {p["address"]: p for p in report["peers"]}
    hidden = [p for p in truth["peers"] if p["share"]["hidden"]]
    assert [p["kind"] for p in hidden] == ["super-seeder", "suppressor", "suppressor"]
    for peer in hidden:
        found, share = seen[peer["address"]], peer["share"]
        assert found["download"]["rate_bytes_s"] is None, found
        assert found["download"]["how"] in compared.stdout, compared.stdout
        assert found["verdict"]["result"] in ("consistent", "cannot-tell"), found
        if peer["kind"] == "suppressor":
            assert found["pieces"] < share["pieces_end"] - 50, (found["pieces"], share)
    late = next(p for p in truth["peers"] if p["group"] == "late")
    assert seen[late["address"]]["pieces"] < late["share"]["pieces_end"] - 50, (seen[late["address"]], late)
    with skep.folder() as folder:
        (folder / "truth").write_text(json.dumps(truth))

        def differs(expected, **changed):
            document = copy.deepcopy(report)
            for peer in document["peers"]:
                if peer["address"] == hidden[1]["address"]:
                    peer.update(changed)
            (folder / "report").write_text(json.dumps(document))
            done = run("lab", "--compare", folder / "truth", folder / "report")
            assert done.returncode == FAILED and expected in done.stdout, (expected, done.stdout)

        differs("gains 0 B/s, and tells nobody", download={"rate_bytes_s": 0, "low": 0, "high": 0})
        differs("1024 pieces, and has", pieces=1024)
        differs("accused of a false report", verdict={"result": "false-report", "claim": "x"})


def test_leechers_trade_with_libtorrent():
    scenario = ("[torrent]\nsize = 4MiB\npiece-size = 64KiB\n"
                "[peers seed]\nkind = slow\nrate = 600k\n"
                "[peers ours]\nkind = leecher\ncount = 2\nup = 400k\n")
    with lab(scenario) as swarm:
        session = lt.session({
            "listen_interfaces": "127.74.0.9:0", "enable_dht": False, "enable_lsd": False,
            "enable_upnp": False, "enable_natpmp": False, "enable_incoming_utp": False,
            "enable_outgoing_utp": False, "allow_multiple_connections_per_ip": True})
        handle = session.add_torrent({"ti": lt.torrent_info(str(swarm.torrent)),
                                      "save_path": str(swarm.folder)})
        until = time.monotonic() + 40
        while not handle.status().is_seeding:
            assert time.monotonic() < until, handle.status().progress
            time.sleep(0.1)
        wait_until_complete(swarm.truth(), 4)
        swarm.end()
        truth = swarm.truth()
        del session
    ours = [p for p in truth["peers"] if p["group"] == "ours"]
    assert all(p["share"]["end"] == 1 for p in ours)
    theirs = [f["bytes"] for f in truth["flows"] if not f["from"].startswith("127.77.")]
    assert sum(theirs) > 0, truth["flows"]
    given = [g for p in ours for g in p["gave"] if not g["remote"].startswith("127.77.")]
    assert sum(g["bytes"] for g in given) > 0, given


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
        done = run("lab", "--demo", folder / "x.lab", env={"TMPDIR": str(folder), "COLUMNS": "80"})
        assert done.returncode == 0, done
        lines = done.stdout.splitlines()
        assert "Compared with what is true:" in lines
        assert "4 of 4 peers found" in done.stdout and "no difference" in done.stdout
        assert max(map(len, lines[lines.index(""):])) <= 80, done.stdout
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
