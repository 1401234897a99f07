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
    experiment = [] if arguments[0] == "swarm" else ["dht"]
    command = [SKEP_SIM, *experiment, *map(str, arguments), "--json"]
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


def test_a_swarm_moves_what_its_limits_let_through():
    small = ("swarm", "--peers", 30, "--pieces", 500, "--seconds", 60)
    row = run(*small)
    assert row["peers"] == 30 and 80 < row["up_used_%"] <= 100, row
    assert row["gains"] > 0 and row["haves"] <= row["gains"], row
    assert 1 <= row["givers_piece"] < run(*small, "--others", 1)["givers_piece"], row
    assert run(*small, "--demand", 0.2)["up_used_%"] < 25
    assert run(*small, "--join", 0.5)["peers"] > 40


def test_an_option_that_would_change_nothing_is_refused():
    """Defaults are those of the experiment, which is not known yet."""
    for words in (["--seed=5", "swarm"], ["dht", "--nodes=100", "size"]):
        done = subprocess.run([SKEP_SIM, *words], capture_output=True, timeout=60, check=False)
        assert done.returncode == 64 and b"follow the experiment" in done.stderr, done


if __name__ == "__main__":
    raise SystemExit(tap.main(globals()))
