#!/usr/bin/python3
"""skep-sim's experiments, tiny: what their options change, and what they hold for true (TAP)."""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import tap  # noqa: E402

SKEP_SIM = os.environ["SKEP_SIM"]


def run(*arguments):
    command = [SKEP_SIM, "dht", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    return json.loads(done.stdout)["rows"][0]


def test_a_size_is_held_against_the_others_that_are_alive():
    """A small network without loss is counted whole: against a wrong truth it would err."""
    for dead in (0, 0.3):
        row = run("size", "--nodes", 100, "--runs", 2, "--loss", 0, "--dead", dead)
        assert 50 < row["live"] < 90 if dead else row["live"] == 99, row
        assert row["worst_%"] == 0 and row["held_%"] == 100, row


def test_a_crawl_finds_the_others_that_are_alive():
    row = run("crawl", "--nodes", 100, "--loss", 0, "--dead", 0.3)
    assert row["found_%"] == 100 and row["wrongly_live"] == 0 and row["complete"] == 1, row


if __name__ == "__main__":
    raise SystemExit(tap.main(globals()))
