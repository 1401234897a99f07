#!/usr/bin/python3
"""skep lab, and audits of labs from end to end, compared with the truth (TAP)."""

import csv
import io
import json
import re
import signal
import socket
import sqlite3
import sys
import time

import skep
from skep import CORRUPT, NETWORK, PARTIAL, STORAGE, USAGE, refused, run

SWARM = """
[torrent]
size = 6MiB
piece-size = 64KiB
version = {version}

[tracker]
interval = 2

[peers seeds]
kind = seed
count = 2

[peers parts]
kind = partial
count = 3
share = 0.2 .. 0.8

[peers slow]
kind = slow
rate = 300k

[peers closed]
kind = choking

[peers private]
kind = encrypted

[peers liar]
kind = corrupting
corrupt = 1

[peers hidden]
kind = hidden

[peers gone]
kind = refusing
"""
FEW = "[torrent]\nsize = 1MiB\npiece-size = 16KiB\n[peers a]\nkind = seed\ncount = 2\n"


# ---- the command ----

def test_wrong_use():
    assert "SCENARIO" in refused(USAGE, "lab")
    refused(USAGE, "lab", "a", "b")
    refused(USAGE, "lab", "--compare", "a")
    for option in "--port=80", "--port=65535", "--seed=x", "--time=0":
        assert option.split("=")[0] in refused(USAGE, "lab", option, "-")


def test_scenarios_that_are_wrong():
    for text, line in (("[torrent]\nsize = big\n", 2), ("[torrent]\nweight = 3\n", 2),
                       ("[planets]\n", 1), ("[torrent]\nversion = v3\n", 2), ("nonsense\n", 1),
                       ("[peers a]\ncount = 3\n", 2), ("[peers a]\nkind = good\n", 2),
                       ("[peers a]\nkind = seed\ncount = -1\n", 3),
                       ("[peers a]\nkind = seed\nshare = 1.5\n", 3)):
        said = refused(USAGE, "lab", "-", data=text.encode())
        assert re.search(rf":{line}:", said), (text, said)
    refused(USAGE, "lab", "-", data=b"")


def test_lists():
    kinds = run("lab", "--kinds")
    assert kinds.returncode == 0 and "corrupting" in kinds.stdout and not kinds.stderr
    example = run("lab", "--example")
    assert example.returncode == 0 and "[peers" in example.stdout and not example.stderr
    done = run("lab", "--time=0.2", "-", data=example.stdout.encode())
    assert done.returncode == 0 and "60 peers" in done.stderr, done


def test_ends_by_signals_and_time():
    for number in signal.SIGINT, signal.SIGTERM:
        with skep.lab(FEW) as (here, process):
            process.send_signal(number)
            process.communicate(timeout=30)
            assert process.returncode == 0
            truth = json.loads((here / "truth.json").read_text())
            assert truth["ended"] >= truth["started"]


def test_files_and_ports_that_cannot_be_had():
    for option in "--torrent=/nonexistent/a", "--truth=/nonexistent/a":
        refused(STORAGE, "lab", "--quiet", option, "-", data=FEW.encode())
    refused(STORAGE, "lab", "/nonexistent/lab.ini")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused(NETWORK, "lab", "--quiet", f"--port={taken.getsockname()[1] - 1}", "-",
                data=FEW.encode())


def test_one_seed_gives_one_content():
    with skep.folder() as here:
        def info_hash(seed):
            run("lab", "--quiet", "--time=0.1", f"--seed={seed}", f"--torrent={here}/t", "-",
                data=FEW.encode())
            shown = run("show", "--format=json", here / "t").stdout
            return json.loads(shown)["info_hash"]

        assert info_hash(7) == info_hash(7) != info_hash(8)


# ---- audits of labs ----

def truth_of(here):
    return json.loads((here / "truth.json").read_text())


def check(truth, document):
    """What the report says of each peer, held against the truth here and not by skep."""
    peers = {peer["address"]: peer for peer in document["peers"]}
    assert set(peers) == {peer["address"] for peer in truth["peers"]}
    for true in truth["peers"]:
        told, share = peers[true["address"]], true["share"]
        assert told["state"] == true["expected"], (true, told)
        if not share["readable"]:
            assert told["share"] is None and told["pieces"] is None, told
            continue
        assert told["pieces"] == share["pieces_end"], (true, told)
        assert told["client"] == true["client"] and told["peer_id"] == true["peer_id"], told
        corrupt = true["corrupt"] > 0
        served = true["expected"] == "served"
        assert (told["blocks_corrupt"] > 0) == corrupt, told
        assert (told["blocks_verified"] > 0) == (served and not corrupt), told
        assert (told["delivered"]["rate_bytes_s"] is None) == (not served), told
        if true["rate_bytes_s"]:
            assert abs(told["delivered"]["rate_bytes_s"] / true["rate_bytes_s"] - 1) < 0.2, told
        assert ("tracker" in told["sources"]) == true["tracker"], told
        if true["encryption"] == "required":
            assert told["encryption"] == "rc4", told
    swarm = document["swarm"]
    assert (swarm["seeds"], swarm["leechers"], swarm["pieces_missing"]) == \
        (truth["swarm"]["seeds"], truth["swarm"]["leechers"], 0)
    assert {claim["source"] for claim in swarm["claims"]} == set(truth["trackers"])


def audit(here, target, *options):
    done = run("audit", "--format=json", "--quiet", "--no-lsd", *options, target, seconds=110)
    assert done.returncode == 0, done
    (here / "report.json").write_text(done.stdout)
    document = skep.report(done.stdout)
    assert document["stopped"] == "converged"
    return document


def test_torrents_of_every_version():
    for version in "v1", "v2", "hybrid":
        with skep.lab(SWARM.format(version=version)) as (here, _):
            check(truth_of(here), audit(here, here / "lab.torrent"))
            done = run("lab", "--compare", here / "truth.json", here / "report.json")
            assert done.returncode == 0 and "no difference" in done.stdout, done


def test_a_magnet_alone():
    with skep.lab(SWARM.format(version="hybrid")) as (here, _):
        truth = truth_of(here)
        document = audit(here, truth["torrent"]["magnet"])
        check(truth, document)
        told = {key: document["swarm"][key] for key in ("name", "size", "pieces", "piece_size")}
        assert told == {key: truth["torrent"][key] for key in told}


def test_one_known_peer():
    with skep.lab(SWARM.format(version="v1")) as (here, _):
        truth = truth_of(here)
        document = audit(here, here / "lab.torrent", "--no-trackers",
                         f"--peer={truth['peers'][0]['address']}")
        found = {peer["address"]: peer for peer in document["peers"]}
        readable = {peer["address"] for peer in truth["peers"] if peer["share"]["readable"]}
        assert readable <= set(found)
        assert all("pex" in found[address]["sources"] for address in readable
                   if found[address]["sources"] != ["given"])
        assert document["swarm"]["claims"] == []


def test_no_probe():
    with skep.lab(FEW) as (here, _):
        document = audit(here, here / "lab.torrent", "--no-probe")
        for peer in document["peers"]:
            assert peer["share"] == 1 and not peer["delivered"]["bytes"], peer
            assert peer["delivered"]["rate_bytes_s"] is None


def test_encryption_policies():
    for policy, encryption in (("require", "rc4"), ("off", "plain")):
        with skep.lab(FEW) as (here, _):
            document = audit(here, here / "lab.torrent", f"--encryption={policy}")
            assert [peer["encryption"] for peer in document["peers"]] == [encryption] * 2


def test_saved_pieces_are_right():
    with skep.lab(FEW) as (here, _):
        audit(here, here / "lab.torrent", f"--save={here}/kept", "--probe-bytes=2M")
        kept = next(path for path in (here / "kept").rglob("*") if path.is_file())
        with skep.folder() as there:
            # Another lab of the same seed has the same content; one that lies would differ.
            assert kept.stat().st_size == 1 << 20
        shown = json.loads(run("show", "--format=json", here / "lab.torrent").stdout)
        assert shown["size"] == kept.stat().st_size


def test_time_gives_what_is_known():
    slow = FEW + "[peers late]\nkind = late\nunchoke-after = 30\n"
    with skep.lab(slow) as (here, _):
        done = run("audit", "--format=json", "--quiet", "--no-lsd", "--time=3", here / "lab.torrent")
        assert done.returncode == PARTIAL
        document = skep.report(done.stdout)
        assert document["stopped"] == "time" and document["swarm"]["connected"] == 3


def test_outputs_agree():
    with skep.lab(FEW) as (here, _):
        document = audit(here, here / "lab.torrent", f"--db={here}/log.db", f"--json={here}/x.json")
        assert skep.report((here / "x.json").read_text())["peers"] == document["peers"]
        with sqlite3.connect(here / "log.db") as log:
            rows = log.execute("select address, pieces from peers order by address").fetchall()
            count, = log.execute("select count(*) from observations").fetchone()
        assert rows == sorted((peer["address"], peer["pieces"]) for peer in document["peers"])
        assert count > len(rows)
        rows = csv.DictReader(io.StringIO(run("audit", "--quiet", "--no-lsd", "--format=csv",
                                              here / "lab.torrent").stdout))
        assert sorted((row["address"], row["share"]) for row in rows) == \
            sorted((peer["address"], "1") for peer in document["peers"])


# ---- comparing ----

def test_differences_are_found():
    with skep.lab(FEW) as (here, _):
        truth, document = truth_of(here), audit(here, here / "lab.torrent")
        first = document["peers"][0]["address"]

        def compare():
            (here / "report.json").write_text(json.dumps(document))
            return run("lab", "--compare", here / "truth.json", here / "report.json")

        assert compare().returncode == 0
        for key, value in (("pieces", 3), ("share", 0.5), ("client", "somebody"),
                           ("state", "choked"), ("blocks_corrupt", 4)):
            kept = document["peers"][0][key]
            document["peers"][0][key] = value
            done = compare()
            assert done.returncode == 1 and first in done.stdout, (key, done)
            document["peers"][0][key] = kept
        del document["peers"][0]
        done = compare()
        assert done.returncode == 1 and first in done.stdout, done
        assert truth["peers"]


def test_files_that_cannot_be_compared():
    with skep.folder() as here:
        (here / "a").write_text("{")
        (here / "b").write_text("{}")
        for one, other in ("a", "b"), ("b", "a"), ("b", "b"):
            refused(CORRUPT, "lab", "--compare", here / one, here / other)
        refused(STORAGE, "lab", "--compare", here / "none", here / "b")


def test_the_demonstration():
    done = run("lab", "--demo", seconds=110)
    assert done.returncode == 0 and "60 of 60 peers found" in done.stdout, done
    assert "no difference" in done.stdout and not skep.CONTROL.search(done.stdout)


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
