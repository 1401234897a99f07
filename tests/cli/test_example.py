#!/usr/bin/python3
"""docs/examples/have_printer.c: run on a lab whose peers grow, and built from what is installed (TAP).

EXAMPLE is the built program, BUILD Meson's folder; BUILD_SANITIZED is set where a program from
outside could not link to what is in it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import skep

GROWING = """
[torrent]
size = 4MiB
piece-size = 16KiB

[peers growing]
kind = growing
count = 3
share = 0
growth = 5

[peers seed]
kind = seed
"""
SOURCE = skep.ROOT / "docs/examples/have_printer.c"
LINES = 30


def check_haves(program, env=None):
    """Runs it until it has printed some lines, and each has to be true."""
    with skep.lab(GROWING) as (here, _):
        growing = {peer["address"] for peer in json.loads((here / "truth.json").read_text())
                   ["peers"] if peer["kind"] == "growing"}
        process = subprocess.Popen([program, here / "lab.torrent"], stdout=subprocess.PIPE,
                                   env=skep.environment(**(env or {})), text=True)
        alarm = threading.Timer(40, process.kill)
        alarm.start()
        seen = {}
        for line in process.stdout:
            address, piece, number = re.fullmatch(r"(\S+) has piece (\d+), its number (\d+)\n",
                                                  line).groups()
            assert address in growing and int(piece) < 256, line
            pieces = seen.setdefault(address, [])
            assert piece not in pieces, line
            pieces.append(piece)
            assert int(number) == len(pieces), line
            if sum(map(len, seen.values())) == LINES:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        alarm.cancel()
        assert process.returncode == 0 and set(seen) == growing, (process.returncode, seen)


def test_it_prints_every_have():
    check_haves(os.environ["EXAMPLE"])


def test_it_is_short():
    assert len(SOURCE.read_text().splitlines()) < 60


def test_it_says_what_is_wrong():
    done = subprocess.run([os.environ["EXAMPLE"], "/nonexistent"], stderr=subprocess.PIPE)
    assert done.returncode == 1 and done.stderr.startswith(b"have_printer: ")


def test_it_builds_from_what_is_installed():
    with skep.folder() as here:
        subprocess.run(["meson", "install", "-C", os.environ["BUILD"], "--no-rebuild", "--destdir",
                        here / "root"], check=True, stdout=subprocess.DEVNULL)
        config, = (here / "root").rglob("libskep.pc")
        env = {**os.environ, "PKG_CONFIG_PATH": str(config.parent),
               "PKG_CONFIG_SYSROOT_DIR": str(here / "root")}
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libskep"], env=env, check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split()
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", SOURCE,
                        "-o", here / "have_printer", *flags], check=True)
        check_haves(here / "have_printer", {"LD_LIBRARY_PATH": str(config.parents[1])})
        installed, = (here / "root").rglob("bin/skep")
        assert subprocess.run([installed, "--version"], stdout=subprocess.DEVNULL).returncode == 0
        pages = {path.name for path in (here / "root").rglob("man1/*")}
        assert pages == {path.name[:-4] for path in (skep.ROOT / "docs/man").glob("*.scd")}
        exported = subprocess.run(["nm", "-D", "--defined-only", config.parents[1] / "libskep.so"],
                                  check=True, stdout=subprocess.PIPE, text=True).stdout
        names = {line.split()[-1] for line in exported.splitlines()}
        assert names and all(name.startswith("skep_") for name in names), names


if "BUILD_SANITIZED" in os.environ or not shutil.which("scdoc"):
    del test_it_builds_from_what_is_installed

if __name__ == "__main__":
    sys.exit(skep.main(globals()))
