#!/usr/bin/python3
"""skep audit on labs, from end to end; what it says is held against the truth here (TAP)."""

import csv
import hashlib
import io
import json
import sqlite3
import sys

import skep
from skep import PARTIAL, run

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


def truth_of(here):
    return json.loads((here / "truth.json").read_text())


def audit(target, *options):
    done = run("audit", "--format=json", "--quiet", "--no-lsd", *options, target, seconds=110)
    assert done.returncode == 0, done
    document = skep.report(done.stdout)
    assert document["stopped"] == "converged"
    return document


def check_peer(true, told):
    assert told["state"] == true["expected"], (true, told)
    if not true["share"]["readable"]:
        assert told["share"] is None and told["pieces"] is None, told
        return
    assert told["pieces"] == true["share"]["pieces_end"], (true, told)
    assert (told["client"], told["peer_id"]) == (true["client"], true["peer_id"]), (true, told)
    corrupt, served = true["corrupt"] > 0, true["expected"] == "served"
    assert (told["blocks_corrupt"] > 0) == corrupt, told
    assert (told["blocks_verified"] > 0) == (served and not corrupt), told
    assert (told["delivered"]["rate_bytes_s"] is None) == (not served), told
    if true["rate_bytes_s"]:
        assert abs(told["delivered"]["rate_bytes_s"] / true["rate_bytes_s"] - 1) < 0.2, told
    assert told["encryption"] == "rc4" or true["encryption"] != "required", told


def check(truth, document):
    peers = {peer["address"]: peer for peer in document["peers"]}
    assert set(peers) == {peer["address"] for peer in truth["peers"]}
    for true in truth["peers"]:
        check_peer(true, peers[true["address"]])
        assert ("tracker" in peers[true["address"]]["sources"]) == true["tracker"], true
    swarm = document["swarm"]
    assert {key: swarm[key] for key in truth["swarm"]} == truth["swarm"]
    assert {claim["source"] for claim in swarm["claims"]} == set(truth["trackers"])


def test_torrents_of_every_version():
    for version in "v1", "v2", "hybrid":
        with skep.lab(SWARM.format(version=version)) as (here, _):
            check(truth_of(here), audit(here / "lab.torrent"))


def test_a_magnet_alone():
    with skep.lab(SWARM.format(version="hybrid")) as (here, _):
        truth = truth_of(here)
        document = audit(truth["torrent"]["magnet"])
        check(truth, document)
        told = {key: document["swarm"][key] for key in ("name", "size", "pieces", "piece_size")}
        assert told == {key: truth["torrent"][key] for key in told}


def test_one_known_peer():
    with skep.lab(SWARM.format(version="v1")) as (here, _):
        truth = truth_of(here)
        first = truth["peers"][0]["address"]
        document = audit(here / "lab.torrent", "--no-trackers", f"--peer={first}")
        found = {peer["address"]: peer for peer in document["peers"]}
        for true in truth["peers"]:
            if true["share"]["readable"]:
                check_peer(true, found[true["address"]])
                assert true["address"] == first or "pex" in found[true["address"]]["sources"]
        assert document["swarm"]["claims"] == []


def test_no_probe():
    with skep.lab(FEW) as (here, _):
        for peer in audit(here / "lab.torrent", "--no-probe")["peers"]:
            assert peer["share"] == 1 and not peer["delivered"]["bytes"], peer
            assert peer["delivered"]["rate_bytes_s"] is None


def test_encryption_policies():
    for policy, encryption in ("require", "rc4"), ("off", "plain"):
        with skep.lab(FEW) as (here, _):
            document = audit(here / "lab.torrent", f"--encryption={policy}")
            assert [peer["encryption"] for peer in document["peers"]] == [encryption] * 2


def test_saved_pieces_are_the_torrents():
    with skep.lab(FEW) as (here, _):
        audit(here / "lab.torrent", f"--save={here}/kept", "--probe-bytes=4M")
        kept, = (path for path in (here / "kept").rglob("*") if path.is_file())
        data, info = kept.read_bytes(), (here / "lab.torrent").read_bytes()
        pieces = [hashlib.sha1(data[at:at + 16384]).digest() for at in range(0, 1 << 20, 16384)]
        right = sum(piece in info for piece in pieces)
        assert right > 0 and all(piece in info or data[i * 16384:][:16384] == bytes(16384)
                                 for i, piece in enumerate(pieces)), right


def test_time_gives_what_is_known():
    late = FEW + "[peers late]\nkind = late\nunchoke-after = 30\n"
    with skep.lab(late) as (here, _):
        done = run("audit", "--format=json", "--quiet", "--no-lsd", "--time=3", here / "lab.torrent")
        assert done.returncode == PARTIAL
        document = skep.report(done.stdout)
        assert document["stopped"] == "time" and document["swarm"]["connected"] == 3
        waiting, = (peer for peer in document["peers"] if peer["state"] != "served")
        assert waiting["delivered"]["rate_bytes_s"] is None and waiting["share"] == 1, waiting


def test_outputs_agree():
    with skep.lab(FEW) as (here, _):
        document = audit(here / "lab.torrent", f"--db={here}/log.db", f"--json={here}/x.json")
        assert skep.report((here / "x.json").read_text())["peers"] == document["peers"]
        with sqlite3.connect(here / "log.db") as log:
            rows = log.execute("select address, pieces from peers order by address").fetchall()
            count, = log.execute("select count(*) from observations").fetchone()
        assert rows == sorted((peer["address"], peer["pieces"]) for peer in document["peers"])
        assert count > len(rows)
        rows = csv.DictReader(io.StringIO(run("audit", "--quiet", "--no-lsd", "--format=csv",
                                              here / "lab.torrent").stdout))
        assert sorted((row["address"], float(row["share"])) for row in rows) == \
            sorted((peer["address"], 1) for peer in document["peers"])


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
