#!/usr/bin/python3
"""The manual pages and the help texts name the same options (TAP)."""

import re
import sys

import skep
from skep import run

PAGES = skep.ROOT / "docs/man"
COMMON = {"--help", "--usage"}  # of every command; the pages need not repeat them


def helped(command):
    text = run(*command.split(), "--help").stdout
    assert not re.search("^ +$", text, re.M), "a text that just fits leaves an empty line"
    return set(re.findall(r"^\s+(?:-., )?(--[a-z-]+)", text, re.M)) - COMMON


def documented(command):
    text = (PAGES / f"skep-{command}.1.scd").read_text()
    lines = re.findall(r"^\s*\*-.*$", text, re.M)
    return set(re.findall(r"\*(--[a-z-]+)\*", "\n".join(lines))) - COMMON


def compare(command):
    assert helped(command), command
    assert helped(command) == documented(command), helped(command) ^ documented(command)


def test_audit():
    compare("audit")


def test_create():
    compare("create")


def test_dht():
    commands = re.findall(r"^  ([a-z]+) ", run("dht", "--help").stdout, re.M)
    commands = [c for c in commands if c not in ("skep", "echo")]
    assert len(commands) == 11, commands
    options = set().union(*(helped(f"dht {command}") for command in commands))
    assert options == documented("dht"), options ^ documented("dht")
    page = (PAGES / "skep-dht.1.scd").read_text()
    for command in commands:
        assert f"*skep dht {command}*" in page, command


def test_get_and_seed():
    compare("get")
    compare("seed")


def test_lab():
    compare("lab")


def test_show():
    compare("show")


def test_tracker():
    compare("tracker")


def test_verdict():
    compare("verdict")


def test_skep_names_every_command_and_exit_code():
    text = (PAGES / "skep.1.scd").read_text()
    commands = re.findall(r"^  ([a-z]+) ", run("--help").stdout, re.M)
    assert commands
    for command in commands:
        assert command == "skep" or f"*skep {command}*" in text, command
    assert re.findall(r"^\*(\d)\*$", text, re.M) == [str(code) for code in range(8)]


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
