#!/usr/bin/python3
"""skep audit where there is no swarm: wrong use, broken targets, dead trackers, nobody (TAP)."""

import csv
import io
import json
import os
import pty
import signal
import socket
import sys
import time

import skep
from skep import CORRUPT, DATA, FAILED, NETWORK, NOTHING, PARTIAL, STORAGE, USAGE, refused, run

TORRENT = DATA / "v1-single.torrent"
HASH = "c3088c236ba01f5f9760bee91b53082e184db542"
EMPTY = b"d8:completei0e10:incompletei0e8:intervali60e5:peers0:e"
ALONE = ("--no-trackers", "--no-pex", "--no-lsd")


def nobody():
    """Options for an audit that ends at once: one given peer, who refuses."""
    return [*ALONE, f"--peer=127.0.0.1:{skep.closed_port()}"]


def waiting(silent_port, *arguments, **how):
    """An audit that waits for an answer of a silent peer, and is under way."""
    process = skep.start("audit", *ALONE, f"--peer=127.0.0.1:{silent_port}", "--progress=json",
                         *arguments, TORRENT, **how)
    assert json.loads(process.stderr.readline())
    return process


# ---- wrong use ----

def test_commands():
    done = run()
    assert done.returncode == USAGE and not done.stdout and "audit" in done.stderr
    assert "no command 'audti'" in refused(USAGE, "audti")
    refused(USAGE, "\x1b[31m\u202e")
    for option in "--help", "-h", "help":
        done = run(option)
        assert done.returncode == 0 and "Usage: skep" in done.stdout and not done.stderr
    for option in "--version", "-V":
        done = run(option)
        assert done.returncode == 0 and done.stdout.startswith("skep ") and not done.stderr


def test_help_of_commands():
    for command in "audit", "show", "lab":
        done = run(command, "--help")
        assert done.returncode == 0 and not done.stderr, done
        assert f"Usage: skep {command}" in done.stdout and "--help" in done.stdout, done


def test_targets_are_wanted():
    assert "TARGET" in refused(USAGE, "audit")
    assert "TARGET" in refused(USAGE, "audit", TORRENT, TORRENT)


def test_each_wrong_value_is_named():
    wrong = {
        "--bind": ["", "nonsense", "1.2.3"], "--port": ["-1", "65536", "x", ""],
        "--peer": ["", "host"], "--peers": ["/nonexistent/peers"],
        "--tracker": ["", "tracker.example"], "--encryption": ["", "maybe"],
        "--transport": ["", "sctp"], "--connections": ["0", "-3", "1e9"],
        "--limit": ["", "fast", "-1", "1q"], "--time": ["0", "-1", "x", ""],
        "--format": ["", "xml"], "--progress": ["", "some"],
        "--probe-bytes": ["0", "16383", "x"], "--probe-seconds": ["0", "x"],
        "--probes": ["0", "1001"], "--patience": ["0", "x"], "--save": [""], "--up-limit": ["0", "x", ""],
    }
    for option, values in wrong.items():
        for value in values:
            line = refused(USAGE, "audit", f"{option}={value}", TORRENT)
            assert option in line and "expected" in line, line


def test_unknown_options():
    done = run("audit", "--nonsense", TORRENT)
    assert done.returncode == USAGE and not done.stdout and "--nonsense" in done.stderr


def test_give_needs_save():
    assert "--save" in refused(USAGE, "audit", "--give", TORRENT)


def test_tracer_needs():
    whole = "--tracer", "--save=/nonexistent", "--watch=60"
    for left_out, named in (1, "--save"), (2, "--watch"):
        options = [option for i, option in enumerate(whole) if i != left_out]
        assert named in refused(USAGE, "audit", *options, TORRENT)
    assert "not both" in refused(USAGE, "audit", *whole, "--give", TORRENT)
    assert "--tracer" in refused(USAGE, "audit", "--up-limit=1M", TORRENT)


def test_peers_files():
    with skep.folder() as here:
        peers = here / "peers"
        peers.write_text("# a remark\n\n127.0.0.1:1\nnonsense\n")
        assert "HOST:PORT" in refused(USAGE, "audit", f"--peers={peers}", TORRENT)
        ports = [skep.closed_port() for _ in range(2)]
        peers.write_text(f"# a remark\n\n  127.0.0.1:{ports[0]} \r\n127.0.0.1:{ports[1]}\n")
        for option, data in (f"--peers={peers}", b""), ("--peers=-", peers.read_bytes()):
            done = run("audit", *ALONE, option, "--format=json", TORRENT, data=data)
            addresses = {p["address"] for p in skep.report(done.stdout)["peers"]}
            assert addresses == {f"127.0.0.1:{port}" for port in ports}, done


# ---- options from elsewhere ----

def test_flags_go_over_environment_over_file():
    with skep.folder() as here:
        (here / "skep").mkdir()
        config = here / "skep/config"
        config.write_text("[output]\n# a remark\n; another\n\nformat = csv\nno-lsd = yes\n")
        place = {"XDG_CONFIG_HOME": str(here)}
        target = [*nobody(), TORRENT]
        assert run("audit", *target, env=place).stdout.startswith("address,")
        place["SKEP_FORMAT"] = "jsonl"
        assert json.loads(run("audit", *target, env=place).stdout.splitlines()[0])
        done = run("audit", *target, "--format=json", env=place)
        assert skep.report(done.stdout)["stopped"] == "converged"


def test_wrong_config_and_environment():
    with skep.folder() as here:
        (here / "skep").mkdir()
        config = here / "skep/config"
        for text in "port = many\n", "colour = red\n", "nonsense\n", "no-pex = perhaps\n":
            config.write_text(text)
            line = refused(USAGE, "audit", TORRENT, env={"XDG_CONFIG_HOME": str(here)})
            assert str(config) in line, line
    assert "SKEP_TIME" in refused(USAGE, "audit", TORRENT, env={"SKEP_TIME": "soon"})


# ---- targets ----

def test_missing_files():
    assert "No such file" in refused(FAILED, "audit", "/nonexistent/x.torrent")
    refused(FAILED, "audit", "/")
    refused(FAILED, "audit", "evil\x1b[31m\u202e")


def test_broken_targets():
    good = TORRENT.read_bytes()
    for data in b"", b"<html>", good[:-1], good + b"x", b"l" * 10000:
        assert "not a valid" in refused(CORRUPT, "audit", "-", data=data)
    for link in "magnet:", "magnet:?dn=x", "magnet:?xt=urn:btih:xyz":
        assert "not a valid" in refused(CORRUPT, "audit", link)


def test_every_kind_of_target():
    with skep.http_server(lambda path: TORRENT.read_bytes()) as address:
        link = f"magnet:?xt=urn:btih:{HASH}&dn=a%20b"
        name = skep.report(run("audit", *nobody(), "--format=json", TORRENT).stdout)["swarm"]["name"]
        for target, data, named in ((f"{address}/x.torrent", b"", name), (link, b"", "a b"),
                                    ("-", TORRENT.read_bytes(), name), ("-", link.encode(), "a b"),
                                    (HASH, b"", None)):
            done = run("audit", *nobody(), "--format=json", target, data=data)
            assert done.returncode == NETWORK, done
            assert skep.report(done.stdout)["swarm"]["name"] == named, done


def test_addresses_that_give_no_torrent():
    refused(NETWORK, "audit", f"http://127.0.0.1:{skep.closed_port()}/x.torrent")
    with skep.http_server(lambda path: b"<html>no</html>") as address:
        assert "not a valid" in refused(CORRUPT, "audit", f"{address}/x.torrent")


# ---- nobody there ----

def one_line(done):
    """What is said of an audit that found nothing; its report."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("skep: "), done
    return lines[0], skep.report(done.stdout)


def test_an_empty_swarm():
    with skep.http_server(lambda path: EMPTY) as address:
        done = run("audit", "--no-lsd", f"--tracker={address}/announce", "--format=json", "--quiet",
                   HASH)
    assert done.returncode == NOTHING, done
    line, document = one_line(done)
    assert "no peers" in line and document["stopped"] == "converged"
    claim = document["swarm"]["claims"][0]
    assert (claim["seeds"], claim["leechers"], claim["error"]) == (0, 0, None), claim
    assert document["swarm"]["known"] == 0 and document["peers"] == []


def test_no_source_at_all():
    assert run("audit", *ALONE, "--quiet", HASH).returncode == NOTHING


def test_dead_trackers():
    with skep.silent_port(socket.SOCK_DGRAM) as silent, \
            skep.http_server(lambda path: b"d14:failure reason12:\x1b[31mgo awaye") as rude, \
            skep.http_server(lambda path: b"<html>") as other:
        trackers = [f"http://127.0.0.1:{skep.closed_port()}/announce",
                    f"udp://127.0.0.1:{silent}", f"{rude}/announce", f"{other}/announce",
                    "http://tracker.invalid/announce"]
        done = run("audit", "--no-lsd", *(f"--tracker={t}" for t in trackers), "--format=json",
                   "--quiet", HASH, seconds=110)
    assert done.returncode == NETWORK, done
    line, document = one_line(done)
    assert "no tracker answered" in line
    claims = {claim["source"]: claim for claim in document["swarm"]["claims"]}
    assert set(claims) == set(trackers), claims
    for claim in claims.values():
        assert claim["error"] and claim["seeds"] is None, claim
    assert "go away" in claims[trackers[2]]["error"]


def test_everybody_refuses():
    done = run("audit", *nobody(), "--format=json", "--quiet", TORRENT)
    assert done.returncode == NETWORK, done
    line, document = one_line(done)
    assert "could be reached" in line
    peer = document["peers"][0]
    assert peer["state"] == "refused" and peer["share"] is None and peer["sources"] == ["given"]
    assert document["swarm"]["failed"] == {"refused": 1}


def test_an_address_that_is_not_ours():
    line = refused(NETWORK, "audit", "--bind=192.0.2.1", *nobody(), TORRENT)
    assert "192.0.2.1" in line, line


# ---- ends ----

def test_time_runs_out():
    with skep.silent_port() as silent:
        before = time.monotonic()
        done = run("audit", *ALONE, f"--peer=127.0.0.1:{silent}", "--time=1", "--format=json",
                   "--quiet", TORRENT)
    assert done.returncode == PARTIAL and time.monotonic() - before < 6, done
    assert skep.report(done.stdout)["stopped"] == "time"


def test_interrupted_once():
    for number in signal.SIGINT, signal.SIGTERM:
        with skep.silent_port() as silent:
            process = waiting(silent, "--format=json")
            process.send_signal(number)
            out, _ = process.communicate(timeout=30)
        assert process.returncode == PARTIAL
        document = skep.report(out)
        assert document["stopped"] == "interrupted"
        assert document["peers"][0]["address"] == f"127.0.0.1:{silent}"


def test_interrupted_twice():
    """The second one ends it although a tracker has still to be told that we leave."""
    answers = iter([EMPTY])

    def answer(path):
        body = next(answers, None)
        if body is None:
            time.sleep(2.5)
        return body or EMPTY

    with skep.silent_port() as silent, skep.http_server(answer) as address:
        process = skep.start("audit", "--no-lsd", f"--peer=127.0.0.1:{silent}", "--progress=json",
                             f"--tracker={address}/announce", TORRENT)
        while json.loads(process.stderr.readline())["known"] == 0:
            pass
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        before = time.monotonic()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT, process.returncode
    assert time.monotonic() - before < 1.5 and out == b""


# ---- outputs ----

def test_formats():
    target = [*nobody(), TORRENT]
    lines = [json.loads(line) for line in
             run("audit", *target, "--format=jsonl").stdout.splitlines()]
    assert [line for line in lines if line.get("state") == "refused"], lines
    rows = list(csv.DictReader(io.StringIO(run("audit", *target, "--format=csv").stdout)))
    assert len(rows) == 1 and rows[0]["state"] == "refused" and rows[0]["share"] == ""
    text = run("audit", *target).stdout
    assert "refused" in text and not skep.CONTROL.search(text), text


def test_progress_is_on_stderr_alone():
    for how, check in (("plain", lambda text: text and not skep.CONTROL.search(text)),
                       ("json", lambda text: all(json.loads(l) for l in text.splitlines()[:-1])),
                       ("none", lambda text: len(text.splitlines()) == 1),
                       ("auto", lambda text: text and not skep.CONTROL.search(text))):
        done = run("audit", *nobody(), f"--progress={how}", "--format=json", TORRENT)
        assert skep.report(done.stdout), done
        assert check(done.stderr), (how, done.stderr)


def on_terminal(*arguments, **env):
    """What skep writes to a terminal that is its stdout and stderr."""
    leader, follower = pty.openpty()
    with open(leader, "rb", buffering=0) as reader:
        pid = os.fork()
        if pid == 0:
            os.dup2(follower, 1)
            os.dup2(follower, 2)
            os.execve(skep.SKEP, [skep.SKEP, *map(str, arguments)],
                      skep.environment(TERM="xterm-256color", **env))
        os.close(follower)
        written = b""
        try:
            while chunk := reader.read(65536):
                written += chunk
        except OSError:  # the terminal's last writer has gone
            pass
        os.waitpid(pid, 0)
    return written.decode()


def test_no_color():
    target = ["audit", *nobody(), TORRENT]
    assert "\x1b[" in on_terminal(*target)
    for quiet in "--quiet", "--progress=none":
        assert "\x1b[" not in on_terminal(*target, quiet, NO_COLOR="1")
    coloured = on_terminal(*target, NO_COLOR="1")
    assert "refused" in coloured
    assert not any(f"\x1b[{code}m" in coloured for code in (1, 2, *range(30, 38))), coloured


def test_files_that_cannot_be_written():
    target = [*nobody(), "--quiet", TORRENT]
    for option in "--json=/nonexistent/x.json", "--db=/nonexistent/x.db", "--save=/proc/x":
        done = run("audit", option, *target)
        assert done.returncode == STORAGE, (option, done)
        assert any(line.startswith("skep: ") for line in done.stderr.splitlines()), done
    with open("/dev/full", "wb") as full:
        for form in "text", "json", "jsonl", "csv":
            done = run("audit", f"--format={form}", *target, stdout=full)
            assert done.returncode == STORAGE and "No space" in done.stderr, done


def test_files_beside_the_report():
    with skep.folder() as here:
        done = run("audit", *nobody(), f"--json={here}/x.json", f"--db={here}/x.db", TORRENT)
        assert "refused" in done.stdout
        assert skep.report((here / "x.json").read_text())["peers"][0]["state"] == "refused"
        assert (here / "x.db").read_bytes().startswith(b"SQLite format 3")


def test_anonymous_everywhere():
    with skep.folder() as here:
        for form in "text", "json", "jsonl", "csv":
            done = run("audit", *nobody(), "--anonymize", f"--format={form}", "--progress=plain",
                       f"--db={here}/{form}.db", f"--json={here}/{form}.json", TORRENT)
            written = [done.stdout, done.stderr, (here / f"{form}.json").read_text(),
                       (here / f"{form}.db").read_bytes().decode("latin-1")]
            assert "refused" in done.stdout and not any("127.0.0.1" in text for text in written)


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
