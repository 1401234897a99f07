#!/usr/bin/python3
"""skep verdict and skep audit --reports: who lied to the tracker, by what an audit saw (TAP)."""

import json
import sys

import skep
from skep import CORRUPT, DONE, NOTHING, STORAGE, USAGE, lab, refused, report, run

SIZE, PIECE = 4 << 20, 64 << 10
SCENARIO = """
[torrent]
size = 4MiB
piece-size = 64KiB

[peers seeds]
kind = seed
count = 3
"""
HEADER = "at,info_hash,address,uploaded,downloaded,left,event\n"


def audited(here, *options):
    done = run("audit", "--format=json", f"--db={here}/audit.db", "--watch=4", "--quiet", *options,
               f"{here}/lab.torrent", seconds=120)
    assert done.returncode == DONE, done
    return report(done.stdout)


def announces(document, lies):
    """Six announces of each peer while it was watched: seeds, but those of `lies` pieces."""
    lines = [HEADER]
    for n in range(6):
        for number, peer in enumerate(document["peers"]):
            left = lies[number] * PIECE
            lines.append(f"{document['started'] + 1 + n * (document['seconds'] - 2) / 6:.3f},"
                         f"{document['swarm']['info_hash']},{peer['address']},0,0,{left},none\n")
    return "".join(lines)


def judged(here, reports, *options):
    done = run("verdict", f"--db={here}/audit.db", "--reports=-", *options, data=reports.encode())
    assert done.returncode == DONE, done
    return done


def test_who_lied_and_who_did_not():
    with lab(SCENARIO) as (here, _):
        document = audited(here)
        assert all(peer["verdict"] is None for peer in document["peers"])
        reports = announces(document, [0, 20, 0])
        liar = document["peers"][1]["address"]
        again = report(judged(here, reports, "--format=json").stdout)
        results = [peer["verdict"]["result"] for peer in again["peers"]]
        assert results[1] == "false-report" and "false-report" not in results[::2], again["peers"]
        verdict = again["peers"][1]["verdict"]
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
        reports = announces(document, [0, 0, 0])
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


def test_an_audit_with_reports():
    with lab(SCENARIO) as (here, _):
        (here / "announces.jsonl").write_text('{"at": 1, "info_hash": "%s", "address": "1.2.3.4:5"}\n'
                                              % ("00" * 20))
        done = run("audit", "--format=json", "--quiet", f"--reports={here}/announces.jsonl",
                   f"{here}/lab.torrent", seconds=60)
        assert done.returncode == NOTHING and "no announces of this torrent" in done.stderr, done
        assert len(report(done.stdout)["peers"]) == 3, "the report is there all the same"


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
