#!/usr/bin/python3
"""skep audit --replay: an audit out of its file says what it said (TAP)."""

import contextlib
import hashlib
import json
import os
import re
import signal
import sqlite3
import sys

import skep
from skep import DONE, NOTHING, STORAGE, USAGE, folder, lab, refused, report, run, start, tracker

SCENARIO = """
[torrent]
size = 4MiB
piece-size = 64KiB

[peers seeds]
kind = seed
count = 2

[peers growing]
kind = growing
count = 2

[peers liar]
kind = corrupting
corrupt = 0.5

[peers refusing]
kind = refusing
"""


def audit(here, form, *options):
    done = run("audit", f"--format={form}", f"--db={here}/audit.db", "--patience=3", "--quiet", "--no-lsd",
               *options, f"{here}/lab.torrent", seconds=120)
    assert done.returncode == DONE, done
    return done.stdout


def replay(here, form, *options):
    done = run("audit", f"--replay={here}/audit.db", f"--format={form}", *options)
    assert done.returncode == DONE and not done.stderr, done
    return done.stdout


def test_a_replay_says_the_same():
    with lab(SCENARIO) as (here, _):
        said = {form: audit(here, form) for form in ("json", "text", "csv", "jsonl")}
        for number, form in enumerate(said, 1):
            assert replay(here, form, f"--audit={number}") == said[form], form
        assert replay(here, "jsonl") == said["jsonl"], "the last one"
        document = report(replay(here, "json", "--audit=1", f"--json={here}/again.json"))
        assert document["swarm"]["connected"] == 5, document
        assert json.loads((here / "again.json").read_text()) == document


def test_anonymized_audits():
    with lab(SCENARIO) as (here, _):
        said = audit(here, "json", "--anonymize")
        assert replay(here, "json") == said and '"anonymized":true' in said
        assert replay(here, "json", "--anonymize") == said, "what is hidden stays as it is"
        open_one = audit(here, "json")
        assert "127." in replay(here, "csv")
        hidden = replay(here, "json", "--anonymize")
        names = [peer["address"] for peer in report(hidden)["peers"]]
        assert all(re.fullmatch("peer-[0-9a-f]{16}", name) for name in names), names
        assert len(names) == len(report(open_one)["peers"])


TRADE = """
[torrent]
size = 4MiB
piece-size = 16KiB

[peers origin]
kind = slow
rate = 300k

[peers leechers]
kind = leecher
count = 6
up = 150k
"""


def test_tracers():
    """Pieces that are drawn, and those that are there already, are offered and passed on."""
    with lab(TRADE) as (here, _):
        (here / "kept").mkdir()
        options = "--tracer", f"--save={here}/kept", "--watch=25", "--probe-bytes=1M"
        said = report(audit(here, "json", *options))
        tracers = said["tracers"]
        taken = [tracer for tracer in tracers if tracer["given_bytes"] == 16384]
        assert len(taken) > 2 and sum(tracer["spread_to"] for tracer in taken) > len(taken), tracers
        assert said["swarm"]["given_bytes"] <= 0.01 * 6 * (4 << 20), said["swarm"]
        assert len({tracer["piece"] for tracer in tracers}) == len(tracers)
        assert said["flows"] and report(replay(here, "json")) == said
        text = replay(here, "text")
        assert f"Tracers: {len(tracers)} pieces were offered" in " ".join(text.split()), text
        with sqlite3.connect(here / "audit.db") as log:
            kinds = dict(log.execute("select kind, count(*) from observations group by kind"))
            rows, = log.execute("select count(*) from tracers").fetchone()
        assert (kinds["offered"], rows) == (len(tracers), len(tracers)), kinds
        assert kinds["given"] == len(taken), kinds


PIECE = 16 << 10
FILES, FILE_BYTES = 300, 17000  # each a whole piece and 616 bytes


@contextlib.contextmanager
def small_files(kind):
    """A seed of many small files, and one who fetches them of it. Yields a folder with the torrent, and the options
    by which both are found."""
    with folder() as here, tracker("--interval=5") as (port, _, _):
        (here / "files").mkdir()
        for n in range(FILES):
            (here / "files" / f"{n:03}").write_bytes(hashlib.shake_128(b"%d" % n).digest(FILE_BYTES))
        made = run("create", f"--kind={kind}", "--piece-size=16KiB", f"--tracker=http://127.0.0.1:{port}/announce",
                   "-o", here / "lab.torrent", here / "files")
        assert made.returncode == DONE, made
        common = "--no-lsd", "--quiet", f"--state-dir={here}/state", here / "lab.torrent"
        seed = start("seed", "--bind=127.0.0.2", "--up-limit=200k", *common, here)
        fetcher = start("get", "--bind=127.0.0.3", *common, "-o", here / "to")
        try:
            yield here
        finally:
            for process in fetcher, seed:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)


def test_pieces_that_end_with_their_files():
    """What was gained and given is what files have, and a replay knows as much."""
    for kind in "v2", "hybrid":
        with small_files(kind) as here:
            said = report(audit(here, "json", "--bind=127.0.0.1", "--watch=12", "--probe-bytes=16k"))
            assert report(replay(here, "json")) == said, kind
            with contextlib.closing(sqlite3.connect(here / "audit.db")) as log:
                haves = log.execute("SELECT DISTINCT a FROM observations WHERE kind = 'have' AND"
                                    " peer LIKE '127.0.0.3:%'").fetchall()
                short, = log.execute("SELECT length(data) FROM observations WHERE kind = 'short-pieces'").fetchone()
        gained = sum(FILE_BYTES - PIECE if piece % 2 else PIECE for piece, in haves)
        flowed = sum(flow["bytes"] for flow in said["flows"])
        # HAVEs of the first two seconds belong to the bitfield. Whole pieces would come to twice as much.
        assert len(haves) > 40 and 0.6 * gained < flowed < 1.02 * gained, (flowed, gained, len(haves))
        assert short == 8 * FILES, short


def test_what_only_the_network_is_asked_for():
    """None of it is passed over in silence; what a user has set up for himself is no mistake."""
    for option in ("--tracer", "--save=x", "--give", "--up-limit=1k", "--watch=5", "--no-probe", "--probes=3",
                   "--patience=5", "--probe-bytes=1M", "--probe-seconds=2", "--peer=192.0.2.1:1",
                   "--tracker=udp://192.0.2.1:1", "--no-dht", "--port=5", "--encryption=off", "--limit=1M",
                   "--time=5", "--bind=127.0.0.1"):
        line = refused(USAGE, "audit", "--replay=x.db", option)
        assert line.startswith(f"skep: {option.split('=')[0]} ") and "leave one" in line, line
    refused(STORAGE, "audit", "--replay=/nonexistent/x.db", "--quiet", "--anonymize",
            env={"SKEP_NO_PEX": "yes", "SKEP_BIND": "127.0.0.1"})


def test_what_is_no_file():
    with folder() as here:
        os.mkfifo(here / "pipe")
        for path in here / "pipe", here, "/dev/null":
            line = refused(STORAGE, "audit", f"--replay={path}", seconds=10)
            assert "not a regular file" in line, line
            refused(STORAGE, "verdict", f"--db={path}", "--reports=-", seconds=10)


def test_refuses():
    with folder() as here:
        refused(USAGE, "audit", f"--replay={here}/x.db", "00" * 20)
        refused(USAGE, "audit", f"--replay={here}/x.db", f"--db={here}/y.db")
        refused(USAGE, "audit", "--audit=1", "00" * 20)
        refused(USAGE, "audit", "--clock-error=1", "00" * 20)
        refused(USAGE, "audit", f"--replay={here}/x.db", "--audit=0")
        line = refused(STORAGE, "audit", f"--replay={here}/x.db")
        assert "x.db" in line and not (here / "x.db").exists(), line
        (here / "x.db").write_text("hello")
        refused(STORAGE, "audit", f"--replay={here}/x.db")
        base = sqlite3.connect(here / "y.db")
        base.execute("CREATE TABLE audit (id)")
        base.close()
        assert "holds no audits" in refused(STORAGE, "audit", f"--replay={here}/y.db")
        done = run("audit", "--no-trackers", "--no-lsd", "--time=0.1", f"--db={here}/z.db", "00" * 20)
        assert done.returncode != STORAGE, done
        line = refused(NOTHING, "audit", f"--replay={here}/z.db", "--audit=7")
        assert "1 to 1" in line, line


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
