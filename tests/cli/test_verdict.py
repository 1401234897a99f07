#!/usr/bin/python3
"""skep verdict and skep audit --reports: who lied to the tracker, by what an audit saw (TAP)."""

import contextlib
import json
import sqlite3
import sys

import skep
from skep import CORRUPT, DONE, NOTHING, STORAGE, USAGE, folder, lab, refused, report, run, tracker

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
        document = audited(here, "--watch=30")
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
        assert ": 1 announce of clients that the audit did not see" in done.stderr, done
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


def test_our_own_announces_tell_the_clock():
    """By a tracker's own log; nobody else has to report, and it may be another of two trackers."""
    with lab(SCENARIO) as (here, _):
        path = here / "tracker.db"
        with tracker(f"--db={path}", "--interval=5") as (port, _, _):
            document = audited(here, "--watch=13", f"--tracker=http://127.0.0.1:{port}/announce",
                               f"--reports={path}")
        clock = document["clock"]
        assert clock["how"] == "own announces" and clock["announces"] >= 2, clock
        assert abs(clock["offset_s"]) <= clock["error_s"] < 1.5, clock
        assert not any(peer["verdict"] for peer in document["peers"]), "we are no peer"
        with contextlib.closing(sqlite3.connect(path)) as log:
            log.execute("UPDATE announces SET at = at + 47")
            log.commit()
        done = run("verdict", f"--db={here}/audit.db", f"--reports={path}", "--format=json")
        late = report(done.stdout)["clock"]
        assert abs(late["offset_s"] - 47) <= late["error_s"] < 1.5 and not done.stderr, (late, done.stderr)
        assert late["announces"] >= clock["announces"], (late, clock)
        nothing = run("verdict", f"--db={here}/audit.db", f"--reports={path}", "--clock-error=10",
                      "--format=json")
        # What our announces say is against that: nobody is judged by either.
        wide = report(nothing.stdout)["clock"]
        low, high = wide["offset_s"] - wide["error_s"], wide["offset_s"] + wide["error_s"]
        assert low <= 0 and high >= 47 and wide["announces"] >= 2, wide


def test_files_are_looked_at_before_the_audit():
    """Nothing is measured, and nothing written, for an end that cannot be."""
    with folder() as here:
        (here / "good.csv").write_text(HEADER)
        (here / "bad.csv").write_text("a,b\n1,2\n")
        (here / "pieces.torrent").write_text("d4:infoe")
        base = sqlite3.connect(here / "other.db")
        base.execute("CREATE TABLE audit (id)")
        base.close()
        target = "00" * 20

        def audit_refused(code, what, *options):
            line = refused(code, "audit", "--no-trackers", "--no-lsd", "--time=9", *options, seconds=5)
            assert what in line, line
        audit_refused(STORAGE, "none.csv: No such file", f"--reports={here}/none.csv", target)
        audit_refused(STORAGE, "Is a directory", f"--reports={here}", target)
        audit_refused(CORRUPT, "bad.csv: the header row does not have", f"--reports={here}/bad.csv", target)
        audit_refused(STORAGE, "records no announces", f"--reports={here}/other.db", target)
        audit_refused(STORAGE, "No such file", f"--json={here}/none/audit.json", target)
        audit_refused(STORAGE, "Is a directory", f"--json={here}", target)
        audit_refused(STORAGE, "Not a directory", f"--db={here}/good.csv/audit.db", target)
        same = USAGE, "name the same file"
        audit_refused(*same, f"--db={here}/a.db", f"--json={here}/../{here.name}/a.db", target)
        audit_refused(*same, f"--db={here}/good.csv", f"--reports={here}/./good.csv", target)
        audit_refused(*same, f"--json={here}/good.csv", f"--reports={here}/good.csv", target)
        audit_refused(*same, f"--json={here}/pieces.torrent", here / "pieces.torrent")
        assert same[1] in refused(USAGE, "audit", f"--json={here}/other.db", f"--replay={here}/other.db")
        assert sorted(path.name for path in here.iterdir()) == ["bad.csv", "good.csv", "other.db", "pieces.torrent"]
        assert (here / "good.csv").read_text() == HEADER
        done = run("audit", "--no-trackers", "--no-lsd", "--time=0.2", "--json=/dev/null", f"--db={here}/a.db",
                   f"--reports={here}/good.csv", target)
        assert done.returncode != STORAGE and "good.csv: no announces of this torrent" in done.stderr, done


def test_a_replay_with_reports():
    """A file that cannot be read ends it; one that has nothing of this torrent does not."""
    with lab(SCENARIO) as (here, _):
        audited(here)
        (here / "bad.csv").write_text("a,b\n1,2\n")
        (here / "others.csv").write_text(HEADER + f"1,{'00' * 20},1.2.3.4:5,,,,\n")
        (here / "broken.csv").write_text(HEADER + "x\ny\n")
        replay = "audit", f"--replay={here}/audit.db", "--format=json"
        assert "bad.csv: the header row" in refused(CORRUPT, *replay, f"--reports={here}/bad.csv")
        done = run(*replay, f"--reports={here}/broken.csv")
        assert done.returncode == CORRUPT and not done.stdout, done
        assert "broken.csv: line 2: " in done.stderr and "none of its 2 lines can be read" in done.stderr, done
        done = run(*replay, f"--reports={here}/others.csv")
        assert done.returncode == NOTHING and "no announces of this torrent (1 of others)" in done.stderr, done
        assert len(report(done.stdout)["peers"]) == 3, done


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
