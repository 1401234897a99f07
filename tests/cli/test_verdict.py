#!/usr/bin/python3
"""skep verdict and skep audit --reports: who lied to the tracker, by what an audit saw (TAP)."""

import contextlib
import json
import sqlite3
import sys

import skep
from skep import CORRUPT, DONE, NOTHING, STORAGE, USAGE, lab, refused, report, run

PIECE = 64 << 10
SCENARIO = """
[torrent]
size = 4MiB
piece-size = 64KiB

[peers seeds]
kind = seed
count = 3
"""
GROWING = """
[torrent]
size = 16MiB
piece-size = 64KiB

[peers growing]
kind = growing
count = 4
share = 0.1
growth = 4
"""
HEADER = "at,info_hash,address,uploaded,downloaded,left,event\n"


def audited(here, *options):
    done = run("audit", "--format=json", f"--db={here}/audit.db", "--watch=2", "--quiet", "--no-lsd", *options,
               f"{here}/lab.torrent", seconds=120)
    assert done.returncode == DONE, done
    return report(done.stdout)


def announces(document):
    """Six announces of each peer, seeds all of them, while it was watched."""
    lines = [HEADER]
    for n in range(6):
        for peer in document["peers"]:
            lines.append(f"{document['started'] + 1 + n * (document['seconds'] - 2) / 6:.3f},"
                         f"{document['swarm']['info_hash']},{peer['address']},0,0,0,none\n")
    return "".join(lines)


def judged(here, reports, *options):
    done = run("verdict", f"--db={here}/audit.db", "--reports=-", *options, data=reports.encode())
    assert done.returncode == DONE, done
    return done


def held(here, address, at_ns):
    """Pieces that a peer had told to hold by then."""
    with contextlib.closing(sqlite3.connect(here / "audit.db")) as base:
        first, = base.execute("SELECT data FROM observations WHERE kind = 'bitfield' AND peer = ?",
                              (address,)).fetchone()
        haves, = base.execute("SELECT count(DISTINCT a) FROM observations WHERE kind = 'have' AND "
                              "peer = ? AND at_ns <= ?", (address, at_ns)).fetchone()
    return sum(byte.bit_count() for byte in first) + haves


def test_who_lied_and_who_did_not():
    """What is left tells how far the tracker's clock is off, and who says that it lacks what it holds."""
    with lab(GROWING) as (here, _):
        document = audited(here, "--watch=20")
        lines, liar = [HEADER], document["peers"][1]["address"]
        for n in range(12):
            for number, peer in enumerate(document["peers"]):
                at_s = 2 + n * (document["seconds"] - 3) / 12 + number / 10
                left = (256 - held(here, peer["address"], int(at_s * 1e9))) * PIECE
                left += 60 * PIECE if peer["address"] == liar else 0
                lines.append(f"{document['started'] + at_s + 30:.3f},"
                             f"{document['swarm']['info_hash']},{peer['address']},0,,{left},none\n")
        reports = "".join(lines)
        again = report(judged(here, reports, "--format=json").stdout)
        found = {peer["address"]: peer["verdict"] for peer in again["peers"]}
        accused = [a for a, verdict in found.items() if verdict["result"] == "false-report"]
        assert accused == [liar], found
        verdict = found[liar]
        assert verdict["claim"] and verdict["evidence"] and 0 < verdict["error_rate"] <= 0.01
        text = judged(here, reports).stdout
        assert text.startswith("REPORTS 1 false, "), text
        lines = text.splitlines()
        assert lines[1].startswith(liar) and lines[2].startswith("  claim "), text
        assert "error rate" in text, text
        hidden = judged(here, reports, "--anonymize").stdout
        assert liar not in hidden and "\npeer-" in hidden, hidden
        (here / "announces.csv").write_text(reports)
        replayed = run("audit", f"--replay={here}/audit.db", f"--reports={here}/announces.csv",
                       "--format=json")
        assert json.loads(replayed.stdout) == again, replayed.stderr


def test_bad_lines_and_strangers_are_told():
    with lab(SCENARIO) as (here, _):
        document = audited(here)
        reports = announces(document)
        stranger = f"{document['started'] + 1:.3f},{document['swarm']['info_hash']},192.0.2.1:1,,,,\n"
        done = judged(here, reports + "x,,,,,,\n" + stranger)
        assert "line 20: at: expected seconds" in done.stderr, done
        assert "1 announces are of clients that the audit did not see" in done.stderr, done
        assert done.stdout.startswith("REPORTS 0 false"), done
        refused(NOTHING, "verdict", f"--db={here}/audit.db", "--reports=-",
                data=(HEADER + f"1,{'00' * 20},1.2.3.4:5,,,,\n").encode())
        refused(CORRUPT, "verdict", f"--db={here}/audit.db", "--reports=-", data=b"a,b\n1,2\n")
        refused(STORAGE, "verdict", f"--db={here}/audit.db", f"--reports={here}/none.csv")
        refused(STORAGE, "verdict", f"--db={here}/none.db", "--reports=-")
        refused(USAGE, "verdict", f"--db={here}/audit.db")


def test_an_audit_that_nothing_can_be_judged_by():
    with lab(SCENARIO) as (here, _):
        reports = announces(audited(here)).encode()
        base = sqlite3.connect(here / "audit.db")
        for damage in ("anonymized = 1", "anonymized = 0, seconds = -5", "seconds = 1e300",
                       "seconds = 5, size = 1"):
            base.execute(f"UPDATE audit SET {damage}")
            base.commit()
            hidden = damage == "anonymized = 1"
            line = refused(NOTHING if hidden else CORRUPT, "verdict", f"--db={here}/audit.db",
                           "--reports=-", data=reports)
            assert ("is anonymized" if hidden else "is damaged") in line, line
        base.execute("UPDATE audit SET seconds = 5, size = NULL, pieces = NULL, piece_size = NULL")
        base.commit()
        base.close()
        text = judged(here, reports.decode()).stdout
        assert text.startswith("REPORTS 0 false") and "metadata" in text, text


def test_an_audit_with_reports():
    with lab(SCENARIO) as (here, _):
        (here / "announces.jsonl").write_text('{"at": 1, "info_hash": "%s", "address": "1.2.3.4:5"}\n'
                                              % ("00" * 20))
        done = run("audit", "--format=json", "--quiet", "--no-lsd", f"--reports={here}/announces.jsonl",
                   f"{here}/lab.torrent", seconds=60)
        assert done.returncode == NOTHING and "no announces of this torrent" in done.stderr, done
        assert len(report(done.stdout)["peers"]) == 3, "the report is there all the same"


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
