#!/usr/bin/python3
"""skep get and skep seed: between each other and with libtorrent, and what goes wrong (TAP)."""

import contextlib
import filecmp
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import jsonschema
import libtorrent as lt

import film
import skep
from skep import (CORRUPT, DONE, FAILED, NETWORK, NOTHING, PARTIAL, STORAGE, USAGE, folder, refused,
                  run, start)

SCHEMA = json.loads((skep.ROOT / "docs/schema/skep.get.1.json").read_text())
KIB = 1024
PIECE = 64 * KIB
TREE = {"a.bin": 20 * PIECE + 1, "b.txt": 30_000, "empty": 0, "sub/c.bin": 9 * PIECE,
        "sub/d.bin": 777}
SIZE = sum(TREE.values())
SEED, LEECH = "127.0.0.2", "127.0.0.3"


def quiet(address=LEECH):
    """Options of all runs: nothing of the world is asked."""
    return [f"--bind={address}", "--no-lsd", "--no-trackers", "--progress=none"]


def make(here, kind="hybrid"):
    """(data folder, torrent) of TREE."""
    source = here / "source"
    for number, (name, size) in enumerate(TREE.items()):
        path = source / "orchard" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(size))
    torrent = here / f"{kind}.torrent"
    made = run("create", f"--kind={kind}", f"--piece-size={PIECE}", "--progress=none", "-o", torrent,
               source / "orchard")
    assert made.returncode == DONE, made
    return source, torrent


def wait_for_port(address, port, process):
    until = time.monotonic() + 20
    while True:
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            return
        assert time.monotonic() < until
        time.sleep(0.05)


@contextlib.contextmanager
def seeding(here, source, torrent, *options):
    """A `skep seed`. Yields the option by which it is found."""
    with socket.socket() as sock:
        sock.bind((SEED, 0))
        port = sock.getsockname()[1]
    process = start("seed", torrent, source, *quiet(SEED), f"--port={port}",
                    f"--state-dir={here}/seed-state", *options)
    try:
        wait_for_port(SEED, port, process)
        yield f"--peer={SEED}:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == DONE, process.returncode


def arguments(here, torrent, *options):
    return ["get", torrent, *quiet(), f"--state-dir={here}/state", *options]


def get(here, torrent, *options, code=DONE, to="to", **how):
    """The only torrent of the JSON document, found valid."""
    done = run(*arguments(here, torrent, "--format=json", "-o", here / to, *options), **how)
    assert done.returncode == code, done
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    [about] = document["torrents"]
    return {**about, "stopped": document["stopped"], "stderr": done.stderr}


def assert_same(source, to, names=TREE):
    for name in names:
        assert filecmp.cmp(source / "orchard" / name, to / "orchard" / name, shallow=False), name


def test_each_kind_from_skep():
    for kind in "v1", "v2", "hybrid":
        with folder() as here:
            source, torrent = make(here, kind)
            with seeding(here, source, torrent) as peer:
                about = get(here, torrent, peer)
                assert about["complete"] and about["stage"] == "ended" and about["size"] == SIZE
                assert SIZE <= about["received"] < SIZE + 6 * PIECE and not about["wasted"], about
                assert_same(source, here / "to")
            again = get(here, torrent)
            assert again["complete"] and not again["received"] and "already" in again["stderr"]


@contextlib.contextmanager
def libtorrent(address):
    session = lt.session({
        "listen_interfaces": f"{address}:0", "enable_dht": False, "enable_lsd": False,
        "enable_upnp": False, "enable_natpmp": False, "enable_incoming_utp": False,
        "enable_outgoing_utp": False, "allow_multiple_connections_per_ip": True})
    until = time.monotonic() + 10
    while not session.listen_port() and time.monotonic() < until:
        time.sleep(0.05)
    yield session
    del session


def join(session, torrent, path, seed):
    handle = session.add_torrent({
        "ti": lt.torrent_info(str(torrent)), "save_path": str(path),
        "flags": lt.torrent_flags.seed_mode if seed else lt.torrent_flags.update_subscribe})
    handle.resume()
    return handle


def test_from_libtorrent():
    with folder() as here, libtorrent(SEED) as session:
        source, torrent = make(here, "v1")
        join(session, torrent, source, seed=True)
        assert get(here, torrent, f"--peer={SEED}:{session.listen_port()}")["complete"]
        assert_same(source, here / "to")


def test_from_a_magnet_link():
    with folder() as here, libtorrent(SEED) as session:
        source, torrent = make(here, "v1")
        link = lt.make_magnet_uri(lt.torrent_info(str(torrent)))
        join(session, torrent, source, seed=True)
        about = get(here, link, f"--peer={SEED}:{session.listen_port()}")
        assert about["complete"] and about["name"] == "orchard", about
        assert_same(source, here / "to")


def test_a_v2_link_onto_files_that_are_there():
    """What is on the disk can be checked once peers gave the hashes of the pieces, not before."""
    with folder() as here, libtorrent(SEED) as session:
        source, torrent = make(here, "v2")
        link = lt.make_magnet_uri(lt.torrent_info(str(torrent)))
        shutil.copytree(source, here / "to")
        with (here / "to/orchard/a.bin").open("r+b") as file:
            file.seek(3 * PIECE)
            file.write(b"changed")
        join(session, torrent, source, seed=True)
        about = get(here, link, f"--peer={SEED}:{session.listen_port()}")
        assert about["complete"] and about["received"] == PIECE, about
        assert_same(source, here / "to")


def test_stopped_before_peers_gave_the_hashes():
    """What was not looked at is not said to be missing, nor remembered as such."""
    with folder() as here, libtorrent(LEECH) as poor, libtorrent(SEED) as session:
        source, torrent = make(here, "v2")
        link = lt.make_magnet_uri(lt.torrent_info(str(torrent)))
        shutil.copytree(source, here / "to")
        decoded = lt.bdecode(torrent.read_bytes())
        del decoded[b"piece layers"]
        bare = here / "bare.torrent"
        bare.write_bytes(lt.bencode(decoded))
        join(poor, bare, here / "void", seed=False)
        peer = f"--peer={LEECH}:{poor.listen_port()}"
        for _ in range(2):
            about = get(here, link, peer, "--time=3", code=PARTIAL)
            assert about["stage"] == "hashes" and "was not checked" in about["stderr"], about
            assert about["reason"] == "no peer gave the hashes of its pieces", about
        seed = ["seed", link, here / "to", *quiet(), f"--state-dir={here}/state", "--time=3"]
        for option, reason in (peer, "gave the hashes"), ("--no-dht", "no peer is known"):
            assert reason in refused(NOTHING, *seed, option)
        join(session, torrent, source, seed=True)
        about = get(here, link, f"--peer={SEED}:{session.listen_port()}")
        assert about["complete"] and not about["received"], about


def test_to_libtorrent():
    with folder() as here, libtorrent(LEECH) as session:
        source, torrent = make(here)
        with seeding(here, source, torrent) as peer:
            handle = join(session, torrent, here / "to", seed=False)
            address, port = peer.removeprefix("--peer=").split(":")
            handle.connect_peer((address, int(port)))
            until = time.monotonic() + 20
            while not handle.status().is_seeding:
                assert time.monotonic() < until, handle.status().state
                time.sleep(0.05)
        assert_same(source, here / "to")


def test_killed_at_random_moments():
    draw = random.Random(4)
    with folder() as here:
        source, torrent = make(here, "v1")
        with seeding(here, source, torrent) as peer:
            for number in range(4):
                to = f"to{number}"
                process = start(*arguments(here, torrent, peer, "--limit=1M", "-o", here / to))
                time.sleep(0.3 + draw.random())
                process.kill()
                process.communicate()
                before = sum(p.stat().st_blocks * 512 for p in (here / to).rglob("*.bin"))
                about = get(here, torrent, peer, to=to)
                # What had been written and not recorded comes again: no more than a few pieces.
                assert about["received"] <= SIZE - before + 6 * PIECE, (about, before)
                assert_same(source, here / to)


def test_interrupted_and_gone_on_with():
    with folder() as here:
        source, torrent = make(here)
        with seeding(here, source, torrent) as peer:
            process = start(*arguments(here, torrent, peer, "--limit=1M", "--format=json", "-o",
                                       here / "to"))
            time.sleep(1.2)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            assert process.returncode == PARTIAL, (process.returncode, err)
            first = json.loads(out)
            jsonschema.validate(first, SCHEMA)
            assert first["stopped"] == "interrupted" and b"interrupted" in err
            [about] = first["torrents"]
            assert 0 < about["bytes"] < about["bytes_wanted"] and not about["complete"]
            rest = get(here, torrent, peer)
            assert rest["received"] <= about["bytes_wanted"] - about["bytes"], (about, rest)
            assert_same(source, here / "to")


def test_what_others_changed_is_looked_at():
    with folder() as here:
        source, torrent = make(here)
        with seeding(here, source, torrent) as peer:
            get(here, torrent, peer)
            path = here / "to/orchard/a.bin"
            with path.open("r+b") as file:
                file.seek(3 * PIECE)
                file.write(b"changed")
            about = get(here, torrent, peer)
            assert about["received"] == PIECE, about
            path.unlink()
            about = get(here, torrent, peer)
            assert about["received"] >= TREE["a.bin"] - PIECE, about
            # All is gone, and part of it comes again: what was remembered is no good any more.
            shutil.rmtree(here / "to/orchard")
            about = get(here, torrent, peer, "--time=1", "--limit=300k", code=PARTIAL)
            assert about["pieces_have"], about
            assert get(here, torrent, peer)["received"]
            assert_same(source, here / "to")


def test_selection():
    with folder() as here:
        source, torrent = make(here, "v1")
        with seeding(here, source, torrent) as peer:
            about = get(here, torrent, peer, "--select=2-3,5")
            assert about["complete"] and "selected" in about["stderr"]
            assert about["received"] <= 4 * PIECE
            assert_same(source, here / "to", ["b.txt", "empty", "sub/d.bin"])
            assert (here / "to/orchard/a.bin").stat().st_blocks * 512 <= 2 * PIECE
            assert get(here, torrent, peer, "--preview")["complete"]
            assert_same(source, here / "to")
        assert "only 5 files" in refused(USAGE, *arguments(here, torrent, "--select=6", "-o",
                                                           here / "x"))


def test_selection_of_a_link():
    with folder() as here:
        for kind in "v1", "hybrid":  # with padding, which has indices and no numbers
            source, torrent = make(here, kind)
            link = skep.run("show", "--magnet", "--select=2-3,5", torrent).stdout.strip()
            assert "&so=" in link, link
            with seeding(here, source, torrent) as peer:
                to = here / f"to-{kind}"
                about = get(here, link, peer, to=to)
                assert about["complete"], about
                assert_same(source, to, ["b.txt", "empty", "sub/d.bin"])
                assert not (to / "orchard/a.bin").exists() or kind == "v1"
                over = here / f"over-{kind}"  # the command line knows better
                assert get(here, link, peer, "--select=1", to=over)["complete"]
                assert_same(source, over, ["a.bin"])
                assert not (over / "orchard/sub/d.bin").exists()
                none = link.split("&so=")[0] + "&so=77-99"
                said = refused(USAGE, *arguments(here, none, peer, "-o", here / "none"))
                assert "none of the files" in said, said
                broken = link.split("&so=")[0] + "&so=1-,x"
                said = refused(USAGE, *arguments(here, broken, peer, "-o", here / "none"))
                assert "so=" in said and "--select" in said, said
                wanted = source / "orchard/sub/c.bin"
                one = run("show", "--magnet", "--select=4", torrent).stdout.strip()
                assert stream(here, one, peer) == wanted.read_bytes()
                assert stream(here, broken, peer, "--file=4") == wanted.read_bytes()
                assert stream(here, link, peer, code=USAGE) == b""


def stream(here, torrent, *options, code=DONE):
    env = {**skep.environment(), "TMPDIR": str(here)}
    done = subprocess.run([skep.SKEP, *map(str, arguments(here, torrent, "-o", "-", *options))],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=60)
    assert done.returncode == code, done.stderr
    assert not list(here.glob("skep-*")), "the temporary directory is left"
    return done.stdout


def test_stream():
    with folder() as here:
        source, torrent = make(here, "v1")
        wanted = (source / "orchard/sub/c.bin").read_bytes()
        with seeding(here, source, torrent) as peer:
            assert stream(here, torrent, peer, "--file=4") == wanted
            assert stream(here, torrent, peer, "--file=4", "--from=100000") == wanted[100_000:]
            assert stream(here, torrent, peer, "--file=3") == b""
            assert stream(here, torrent, peer, code=USAGE) == b""
            assert stream(here, torrent, peer, "--file=4", "--from=1G", code=USAGE) == b""


def shown_from(whole, cut, rebased):
    """Where a film's stream begins: in seconds of the film. It is an ending of each track, from a
    key frame of the video on; the times are the film's, or all moved by the same."""
    moves, ends = [], []
    for all_frames, frames in zip(whole, cut, strict=True):
        left = all_frames[len(all_frames) - len(frames):]
        assert [frame for _, _, frame in frames] == [frame for _, _, frame in left]
        assert [key for _, key, _ in frames] == [key for _, key, _ in left]
        moves += [was - now for (was, *_), (now, *_) in zip(left, frames)]
        ends.append(left[0][0])
    assert cut[0][0][1], "no key frame"
    assert max(moves) - min(moves) < 0.002, (min(moves), max(moves))
    assert rebased or max(moves) < 0.002, max(moves)
    assert abs(ends[1] - ends[0]) < 0.5, ends
    return ends[0]


def test_stream_of_films():
    films = skep.DATA / "films"
    with folder() as here, libtorrent(SEED) as session:
        for name, delay in {"whole.mp4": -0.2, "fragments.mp4": 0, "absolute.mp4": 0, "bare.mp4": 0,
                            "mixed.mp4": 0,
                            "indexed.mp4": 0, "cues.mkv": 0.128, "live.mkv": 0.128,
                            "groups.mkv": 0.128}.items():
            torrent = here / f"{name}.torrent"
            made = run("create", "--kind=v1", "--piece-size=16384", "--progress=none",
                       "-o", torrent, films / name)
            assert made.returncode == DONE, made
            join(session, torrent, films, seed=True)
            peer = f"--peer={SEED}:{session.listen_port()}"
            whole = film.frames((films / name).read_bytes())
            for place, key in ("3.5s", 3), ("0:07.95", 7), ("00:00:00", 0):
                came = stream(here, torrent, peer, "-o", "-", f"--from={place}")
                began = shown_from(whole, film.frames(came), name == "whole.mp4")
                assert abs(began - delay - key) < 0.01, (name, place, began)
                if name.endswith("mkv"):
                    assert not {0x114D9B74, 0x1C53BB6B} & set(film.top(came)), name


def test_stream_of_tiny_boxes():
    """Each of them is a step, and there are a million: what else there is to do is done between."""
    with folder() as here:
        film_bytes = (skep.DATA / "films/absolute.mp4").read_bytes()
        second = film_bytes.index(b"moof", film_bytes.index(b"moof") + 4) - 4
        (here / "tiny.mp4").write_bytes(film_bytes[:second] + b"\0\0\0\x08free" * (1 << 20))
        torrent = here / "tiny.torrent"
        made = run("create", "--progress=none", "-o", torrent, here / "tiny.mp4")
        assert made.returncode == DONE, made
        with seeding(here, here, torrent) as peer:
            assert stream(here, torrent, peer, "--from=0:00", "--time=2", code=PARTIAL)


def test_stream_of_no_film():
    with folder() as here:
        source, torrent = make(here, "v1")
        broken = here / "broken.mp4"
        broken.write_bytes((skep.DATA / "films/whole.mp4").read_bytes()[:9000])
        other = here / "other.torrent"
        assert run("create", "--progress=none", "-o", other, broken).returncode == DONE
        with seeding(here, source, torrent) as peer:
            said = refused(USAGE, *arguments(here, torrent, peer, "-o", "-", "--file=4",
                                             "--from=1:30"))
            assert "sub/c.bin" in said and "by bytes only" in said, said
        with seeding(here, here, other) as peer:
            said = refused(CORRUPT, *arguments(here, other, peer, "-o", "-", "--from=1s"))
            assert "broken.mp4" in said, said
        whole = here / "whole.torrent"
        assert run("create", "--progress=none", "-o", whole,
                   skep.DATA / "films/whole.mp4").returncode == DONE
        with seeding(here, skep.DATA / "films", whole) as peer:
            said = refused(USAGE, *arguments(here, whole, peer, "-o", "-", "--from=1:00:00"))
            assert "ends before" in said, said
        for wrong in "1:2:3:4", "1:", ":30", "1.5:30", "90x", "-5s", "0x10s", "1:30s", "s", "3.5", "3.5b":
            said = refused(USAGE, *arguments(here, whole, "-o", "-", f"--from={wrong}"))
            assert "or a time" in said, said


def test_stream_to_a_reader_that_goes():
    with folder() as here:
        source, torrent = make(here, "v1")
        with seeding(here, source, torrent) as peer:
            process = start(*arguments(here, torrent, peer, "-o", "-", "--file=1"),
                            env={"TMPDIR": str(here)})
            assert process.stdout.read(1000) == (source / "orchard/a.bin").read_bytes()[:1000]
            process.stdout.close()
            process.stdout = None
            _, err = process.communicate(timeout=20)
            assert process.returncode == DONE and not err, (process.returncode, err)
            assert not list(here.glob("skep-*"))


def test_why_nothing_came():
    with folder() as here:
        _, torrent = make(here)
        nobody = "magnet:?xt=urn:btih:" + 40 * "a"
        about = get(here, nobody, "--time=1", code=NOTHING)
        assert about["name"] is None and about["stopped"] == "time", about
        assert "no peer is known" in about["reason"] and "time is up" in about["stderr"]
        about = get(here, torrent, "--time=1", f"--peer={SEED}:9", "--transport=tcp",
                    code=NETWORK)
        assert "can be reached: refused" in about["reason"], about
        done = run("get", torrent, f"--bind={LEECH}", "--no-lsd", "--progress=none", "--time=1",
                   f"--tracker=http://{LEECH}:9/announce", f"--state-dir={here}/state", "-o",
                   here / "to")
        assert done.returncode == NETWORK and "the tracker" in done.stderr, done


def test_what_a_web_seed_is_worth():
    with folder() as here, skep.http_server(lambda path: None) as nothing, \
            skep.silent_port() as silent:
        _, torrent = make(here, "v1")
        for url, code in ((nothing, NOTHING), (f"http://{SEED}:9", NETWORK),
                          (f"http://127.0.0.1:{silent}", NETWORK)):
            about = get(here, torrent, f"--webseed={url}/", "--time=2", code=code)
            assert about["stopped"] == "time", about
        said = refused(USAGE, *arguments(here, torrent, "--webseed=ftp://example.org/"))
        assert "http://" in said and "at most" not in said, said


def test_a_proxy_that_hangs():
    with folder() as here, skep.silent_port() as silent:
        _, torrent = make(here, "v1")
        began = time.monotonic()
        done = run("get", torrent, "--progress=none", "-o", here / "to", "--time=1",
                   f"--socks=127.0.0.1:{silent}")
        assert done.returncode == NETWORK and "proxy" in done.stderr, done
        assert 0.9 < time.monotonic() - began < 10, done


def test_storage():
    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10 * PIECE, 10 * PIECE))

    with folder() as here:
        source, torrent = make(here)
        place = here / "to/orchard"
        with seeding(here, source, torrent) as peer:
            full = subprocess.run(
                [skep.SKEP, *map(str, arguments(here, torrent, peer, "-o", here / "to"))],
                stderr=subprocess.PIPE, env=skep.environment(), timeout=60, preexec_fn=small_files)
            assert full.returncode == STORAGE and b"no space left" in full.stderr, full
            assert get(here, torrent, peer)["complete"]
            assert_same(source, here / "to")
            (place / "b.txt").write_bytes(bytes(TREE["b.txt"] + 1))
            about = get(here, torrent, peer, code=STORAGE)
            assert "longer than the torrent says" in about["stderr"] and about["stage"] == "failed"
            assert (place / "b.txt").stat().st_size == TREE["b.txt"] + 1
            (place / "b.txt").unlink()
            (place / "b.txt").symlink_to(here / "elsewhere")
            assert "no regular file" in get(here, torrent, peer, code=STORAGE)["stderr"]
            assert not (here / "elsewhere").exists()
        refused(STORAGE, *arguments(here, torrent, "-o", torrent))


def test_preallocate():
    def blocks(path):
        return path.stat().st_blocks * 512

    with folder() as here:
        source, torrent = make(here, "v1")
        place = here / "to/orchard"
        # Nobody gives anything: it is reserved all the same, and only what is wanted.
        about = get(here, torrent, "--preallocate", "--select=1-3", "--time=1", code=NOTHING)
        assert about["stage"] == "downloading", about
        assert (place / "a.bin").stat().st_size == TREE["a.bin"]
        assert blocks(place / "a.bin") >= TREE["a.bin"]
        assert not (place / "sub").exists()
        with seeding(here, source, torrent) as peer:
            assert get(here, torrent, peer, "--preallocate")["complete"]
            assert_same(source, here / "to")
            assert get(here, torrent, "--preallocate", "--time=9")["received"] == 0
        for options in ["-o", "-"], ["--verify"]:
            refused(USAGE, *arguments(here, torrent, "--preallocate", *options),
                    stdout=subprocess.DEVNULL if "-" in options else subprocess.PIPE)


def test_preallocate_without_room():
    """On a file system of its own that is too small; a part is there already."""
    with folder() as here:
        source, torrent = make(here, "v1")
        to = here / "to"
        to.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE - 8 * PIECE}", "tmpfs", to],
                               stderr=subprocess.PIPE)
        if mount.returncode:
            return  # needs the right to do so
        try:
            with seeding(here, source, torrent) as peer:
                assert get(here, torrent, peer, "--select=4")["complete"]
                before = shutil.disk_usage(to).used
                about = get(here, torrent, peer, "--preallocate", code=STORAGE)
                assert "no room in" in about["stderr"] and "a.bin" in about["stderr"], about
                assert_same(source, to, ["sub/c.bin"])
                assert shutil.disk_usage(to).used - before <= 2 * PIECE
        finally:
            subprocess.run(["umount", to], check=True)


def test_directories_above():
    with folder() as here:
        source, torrent = make(here, "v1")
        with seeding(here, source, torrent) as peer:
            assert get(here, torrent, peer, to="not/there//yet/")["complete"]
        assert_same(source, here / "not/there/yet")
        (here / "file").write_text("in the way")
        assert "file" in refused(STORAGE, *arguments(here, torrent, "-o", here / "file/x/y"))


def test_several_targets():
    with folder() as here:
        source, torrent = make(here, "v1")
        (here / "broken").write_bytes(b"d4:spam")
        with seeding(here, source, torrent) as peer:
            done = run(*arguments(here, here / "broken", peer, "-o", here / "to", torrent, torrent))
        assert done.returncode == CORRUPT, done
        assert "broken: left out" in done.stderr and "the same torrent" in done.stderr, done
        assert_same(source, here / "to")
        # Two of one name would write into each other's files.
        other = make(here, "v2")[1]
        done = run(*arguments(here, torrent, other, "--time=1", "-o", here / "to"))
        assert done.returncode == STORAGE and "has this name" in done.stderr, done


def test_two_at_once():
    with folder() as here:
        _, torrent = make(here)
        first = start(*arguments(here, torrent, "-o", here / "to"))
        until = time.monotonic() + 20
        while not list(here.glob("state/torrents/*.resume")) and time.monotonic() < until:
            time.sleep(0.05)
        assert "another skep" in refused(FAILED, *arguments(here, torrent, "-o", here / "to"))
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=20)


def everything_in(path):
    return {p: (p.lstat().st_mtime_ns, p.lstat().st_size) for p in path.rglob("*")}


def test_verify():
    with folder() as here:
        source, torrent = make(here, "v1")
        link = "magnet:?xt=urn:btih:" + 40 * "a"
        before = everything_in(here)
        about = get(here, torrent, "--verify", to="source")
        assert about["complete"] and about["pieces_have"] == about["pieces"]
        refused(NOTHING, *arguments(here, torrent, "--verify", "-o", here / "nowhere"))
        refused(USAGE, *arguments(here, link, "--verify"))
        assert everything_in(here) == before
        with (source / "orchard/a.bin").open("r+b") as file:
            file.write(b"changed")
        before = everything_in(here)
        about = get(here, torrent, "--verify", to="source", code=PARTIAL)
        assert about["pieces_wrong"] == 1 and about["pieces_have"] == about["pieces"] - 1, about
        done = run(*arguments(here, torrent, "--verify", "-o", source))
        assert "1 wrong, 0 missing" in done.stdout, done
        assert everything_in(here) == before
        os.mkdir(here / "void")
        get(here, torrent, "--verify", to="void", code=NOTHING)


def test_on_done():
    with folder() as here:
        source, torrent = make(here, "v1")
        script = here / "on done.sh"  # no shell takes this apart
        script.write_text('#!/bin/sh\necho "$#|$1|$2|$3|$SKEP_INFO_HASH|$SKEP_NAME|$SKEP_PATH"\n')
        script.chmod(0o755)
        with seeding(here, source, torrent) as peer:
            about = get(here, torrent, peer, f"--on-done={script}")
        told = "|".join([about["info_hash"], "orchard", str((here / "to/orchard").resolve())])
        assert f"3|{told}|{told}\n" in about["stderr"], about
        get(here, torrent, "--on-done=false", code=FAILED)
        get(here, torrent, "--on-done=/nonexistent", code=FAILED)


def test_seed():
    with folder() as here:
        source, torrent = make(here)
        seed = ["seed", torrent, source, *quiet(SEED), f"--state-dir={here}/state"]
        done = run(*seed, "--seed-time=0", "--format=json")
        assert done.returncode == DONE, done
        document = json.loads(done.stdout)
        jsonschema.validate(document, SCHEMA)
        assert document["torrents"][0]["complete"], document
        refused(NOTHING, "seed", torrent, here / "nowhere", *quiet(SEED))
        assert not (here / "nowhere").exists()
        os.mkdir(here / "void")
        assert "nothing of it" in refused(NOTHING, "seed", torrent, here / "void", *quiet(SEED))
        refused(USAGE, "seed", torrent)


def test_wrong_use():
    with folder() as here:
        _, torrent = make(here)
        for options in (["--select=0"], ["--select=3-1"], ["--select="], ["--select=1,"],
                        ["--file=1"], ["--from=3"], ["--peer-limit=0"], ["--format=csv"],
                        ["-o", "-", "--select=1"], ["-o", "-", "--format=json"],
                        ["-o", "-", "--verify"], ["-o", "-", torrent]):
            refused(USAGE, *arguments(here, torrent, *options))
        refused(USAGE, "get")
        refused(CORRUPT, *arguments(here, skep.DATA / "make.py"))


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
