#!/usr/bin/python3
"""The manual pages and the help texts name the same options (TAP)."""

import re
import sys

import skep

PAGES = skep.ROOT / "docs/man"
COMMON = {"--help", "--usage"}  # of every command; the pages need not repeat them


def helped(command):
    text = skep.run(command, "--help").stdout
    return set(re.findall(r"^\s+(?:-., )?(--[a-z-]+)", text, re.M)) - COMMON


def documented(command):
    text = (PAGES / f"skep-{command}.1.scd").read_text()
    lines = re.findall(r"^\*--.*$", text, re.M)
    return set(re.findall(r"\*(--[a-z-]+)\*", "\n".join(lines))) - COMMON


def compare(command):
    assert helped(command), command
    assert helped(command) == documented(command), helped(command) ^ documented(command)


def test_audit():
    compare("audit")


def test_lab():
    compare("lab")


def test_show():
    compare("show")


def test_skep_names_every_command_and_exit_code():
    text = (PAGES / "skep.1.scd").read_text()
    commands = re.findall(r"^  ([a-z]+) ", skep.run("--help").stdout, re.M)
    assert commands
    for command in commands:
        assert command == "skep" or f"*skep {command}*" in text, command
    assert re.findall(r"^\*(\d)\*$", text, re.M) == [str(code) for code in range(8)]


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
