#!/usr/bin/python3
"""skep create: info-hashes equal to mktorrent's and libtorrent's, and what goes wrong (TAP)."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import jsonschema
import libtorrent as lt

import skep
from skep import DONE, FAILED, NOTHING, PARTIAL, STORAGE, USAGE, folder, refused, run, start

SCHEMA = json.loads((skep.ROOT / "docs/schema/skep.create.1.json").read_text())
KIB = 1024
PIECE = 32 * KIB
# Empty files, odd sizes, whole pieces, deep folders, names of all kinds; no name is another's
# beginning, where mktorrent's order is another.
TREE = {
    ".hidden": 7,
    "Big": 5 * PIECE + 12345,
    "a/deep/er/down/file.bin": 100_001,
    "a/deep/none": 0,
    "a/exact": 2 * PIECE,
    "a/one": 1,
    "block": 16 * KIB,
    "none": 0,
    "piece": PIECE,
    "with space & more": PIECE - 1,
    "\u00e4\u4e2d\U0001f41d": PIECE + 1,
    "\u00e4nde": 0,
}
KINDS = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}


def content(number, size):
    return bytes((number * 31 + i * 7 + i // 251) & 255 for i in range(size))


def write_tree(root, tree=None):
    for number, (path, size) in enumerate((tree or TREE).items()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content(number, size))
    return root


def create(*arguments, code=DONE, **how):
    """The JSON document, found valid."""
    done = run("create", "--format=json", *arguments, **how)
    assert done.returncode == code, done
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    return document


def read(path):
    return lt.bdecode(pathlib.Path(path).read_bytes())


def hashes(info):
    """(v1, v2) of a torrent, as libtorrent reads it."""
    both = lt.torrent_info(info).info_hashes()
    return (str(both.v1) if both.has_v1() else None, str(both.v2) if both.has_v2() else None)


def by_libtorrent(path, kind, files=None, piece=PIECE):
    """The torrent that libtorrent makes. Its v1 has the files in the order in which it is told of
    them."""
    storage = lt.file_storage()
    if files is None:
        lt.add_files(storage, str(path))
    for name in files or []:
        about = (path / name).stat()
        flags = lt.file_storage.flag_executable if about.st_mode & stat.S_IXUSR else 0
        storage.add_file(f"{path.name}/{name}", about.st_size, flags)
    creator = lt.create_torrent(storage, piece, KINDS[kind])
    lt.set_piece_hashes(creator, str(path.parent))
    return creator.generate()


def compare(here, path, files=None, piece=PIECE):
    for kind in KINDS:
        got = create(f"--kind={kind}", f"--piece-size={piece}", f"-o{here}/{kind}.torrent", path)
        other = by_libtorrent(path, kind, files if kind == "v1" else None, piece)
        ours = read(here / f"{kind}.torrent")
        assert ours[b"info"] == other[b"info"], (kind, ours[b"info"], other[b"info"])
        assert ours.get(b"piece layers") == other.get(b"piece layers"), kind
        assert (got["info_hash"], got["info_hash_v2"]) == hashes(other), kind
        assert hashes(ours) == hashes(other)
        (here / f"{kind}.torrent").unlink()


def test_a_folder_as_libtorrent_makes_it():
    with folder() as here:
        write_tree(here / "top")
        (here / "top/block").chmod(0o755)
        compare(here, here / "top", sorted(TREE, key=lambda path: path.encode().split(b"/")))


def test_names_that_begin_alike():
    with folder() as here:
        tree = {"a.txt": 5, "a/b": 20_000, "a-b/c": 3, "ab": 40_000}
        write_tree(here / "top", tree)
        compare(here, here / "top", ["a/b", "a-b/c", "a.txt", "ab"])


def test_single_files_as_libtorrent_makes_them():
    with folder() as here:
        for size in 1, 16 * KIB, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 300_000:
            path = here / f"file{size}"
            path.write_bytes(content(size, size))
            path.chmod(0o755 if size % 2 else 0o644)
            compare(here, path)


def test_a_folder_of_one_file():
    with folder() as here:
        write_tree(here / "top", {"a/only": 100_000})
        compare(here, here / "top", ["a/only"])


def test_many_piece_sizes():
    with folder() as here:
        write_tree(here / "top", {"a": 700_001, "b": 1_100_000, "c": 16 * KIB})
        for piece in 16 * KIB, 64 * KIB, 1 << 20, 4 << 20:
            compare(here, here / "top", ["a", "b", "c"], piece)


def test_v1_as_mktorrent_makes_it():
    with folder() as here:
        write_tree(here / "top")
        for path in here / "top", here / "top/Big", here / "top/block":
            for power in 15, 18:
                subprocess.run(["mktorrent", "-d", "-a", "http://t.example/a", "-l", str(power),
                                "-o", here / "m.torrent", path], check=True,
                               stdout=subprocess.DEVNULL)
                got = create("--kind=v1", f"--piece-size={1 << power}", "--no-date",
                             "--tracker=http://t.example/a", f"-o{here}/s.torrent", path)
                theirs, ours = read(here / "m.torrent"), read(here / "s.torrent")
                assert ours[b"info"] == theirs[b"info"], path
                assert ours[b"announce"] == theirs[b"announce"]
                assert got["info_hash"] == hashes(theirs)[0]
                for name in "m.torrent", "s.torrent":
                    (here / name).unlink()


def test_what_is_said_in_it():
    with folder() as here:
        write_tree(here / "top", {"x": 100})
        create("--tracker=http://a/1,udp://b:2", "--tracker=https://c/3", "--private",
               "--web-seed=http://w/", "--comment=\u00e4 b", "--source=SRC", "--name=other",
               "--date=1600000000", f"-o{here}/t", here / "top/x")
        torrent = read(here / "t")
        assert torrent[b"announce"] == b"http://a/1"
        assert torrent[b"announce-list"] == [[b"http://a/1", b"udp://b:2"], [b"https://c/3"]]
        assert torrent[b"url-list"] == [b"http://w/"]
        assert torrent[b"comment"] == "\u00e4 b".encode()
        assert torrent[b"creation date"] == 1600000000
        assert torrent[b"created by"].startswith(b"skep ")
        info = torrent[b"info"]
        assert info[b"private"] == 1 and info[b"source"] == b"SRC" and info[b"name"] == b"other"
        assert list(info[b"file tree"]) == [b"other"]
        shown = json.loads(run("show", "--format=json", here / "t").stdout)
        assert shown["trackers"] == [["http://a/1", "udp://b:2"], ["https://c/3"]]
        create("--no-date", f"-o{here}/u", here / "top/x")
        assert b"creation date" not in read(here / "u") and b"announce" not in read(here / "u")
        create(f"-o{here}/v", here / "top/x")
        assert abs(read(here / "v")[b"creation date"] - time.time()) < 60


def test_magnet_and_text():
    with folder() as here:
        write_tree(here / "top", {"x y": 100})
        done = run("create", f"-o{here}/t", "--tracker=udp://t.example:1/a", here / "top")
        lines = dict(line.split(maxsplit=2)[::2] if line.startswith("info") else line.split()
                     for line in done.stdout.splitlines())
        assert done.returncode == DONE and set(lines) == {"info-hash", "magnet"}, done
        shown = json.loads(run("show", "--format=json", lines["magnet"]).stdout)
        assert shown["name"] == "top" and shown["trackers"] == [["udp://t.example:1/a"]]
        assert (shown["info_hash"], shown["info_hash_v2"]) == hashes(read(here / "t"))
        assert done.stderr.count("\n") == 1 and "1 file, 100 B in 1 piece of 16 KiB" in done.stderr
        assert run("create", "--quiet", "--force", f"-o{here}/t", here / "top").stderr == ""


def test_standard_output():
    with folder() as here:
        write_tree(here / "top", {"x": 100})
        done = subprocess.run([skep.SKEP, "create", "--format=json", "--quiet", "-o-",
                               here / "top"], capture_output=True, env=skep.environment())
        assert done.returncode == DONE
        document = json.loads(done.stderr)
        jsonschema.validate(document, SCHEMA)
        assert document["torrent"] is None
        assert document["info_hash"] == hashes(lt.bdecode(done.stdout))[0]
        with open("/dev/full", "wb") as full:
            done = run("create", "-o-", here / "top", stdout=full)
            assert done.returncode == STORAGE and "No space" in done.stderr
            done = run("create", f"-o{here}/t", here / "top", stdout=full)
            assert done.returncode == STORAGE and "No space" in done.stderr


def test_default_name_and_names_of_paths():
    with folder() as here:
        write_tree(here / "top/sub", {"x": 100})
        for path, name in (("top/sub/x", "x"), ("top/sub/", "sub"), ("top/sub/.", "sub"),
                           ("top/sub/..", "top")):
            done = subprocess.run([skep.SKEP, "create", "--format=json", path], cwd=here,
                                  capture_output=True, env=skep.environment())
            assert done.returncode == DONE, done
            assert json.loads(done.stdout)["torrent"] == f"{name}.torrent"
            assert read(here / f"{name}.torrent")[b"info"][b"name"] == name.encode()
            (here / f"{name}.torrent").unlink()


def test_nothing_is_replaced_unless_told():
    with folder() as here:
        write_tree(here / "top", {"x": 100, "t.torrent": 50})
        output = here / "top/t.torrent"
        assert "there already" in refused(STORAGE, "create", f"-o{output}", here / "top")
        assert output.read_bytes() == content(1, 50)
        got = create("--force", f"-o{output}", here / "top")  # no part of itself
        assert (got["files"], got["skipped"]) == (1, 1)
        again = create("--force", f"-o{output}", here / "top")
        assert again["info_hash"] == got["info_hash"]
        assert sorted(p.name for p in (here / "top").iterdir()) == ["t.torrent", "x"]
        refused(USAGE, "create", "--force", f"-o{here}/top/x", here / "top/x")
        os.symlink("nowhere", here / "link")
        refused(STORAGE, "create", f"-o{here}/link", here / "top")
        (here / "is").mkdir()
        refused(STORAGE, "create", "--force", f"-o{here}/is", here / "top")


def test_links_and_special_files_are_left_out():
    with folder() as here:
        write_tree(here / "top", {"x": 100})
        os.symlink("/etc", here / "top/etc")
        os.symlink("x", here / "top/y\x1b[31m")
        os.mkfifo(here / "top/pipe")
        done = run("create", "--format=json", f"-o{here}/t", here / "top")
        document = json.loads(done.stdout)
        assert (document["files"], document["skipped"]) == (1, 3)
        assert done.stderr.count("left out: ") == 3 and "(a symbolic link)" in done.stderr
        assert "\x1b" not in done.stderr
        os.symlink("top", here / "named")  # what the user names is followed
        assert create(f"-o{here}/u", here / "named")["name"] == "named"


def test_names_that_others_cannot_have():
    with folder() as here:
        write_tree(here / "top", {"Readme": 1, "README": 2, "fine": 3})
        (here / "top" / os.fsdecode(b"latin\xe4")).write_bytes(b"x")
        done = run("create", f"-o{here}/t", here / "top")
        assert done.returncode == DONE and "2 names are not safe on every system" in done.stderr


def test_what_cannot_be_made():
    with folder() as here:
        (here / "empty/er").mkdir(parents=True)
        (here / "none").write_bytes(b"")
        assert "holds no data" in refused(NOTHING, "create", f"-o{here}/t", here / "empty")
        assert "holds no data" in refused(NOTHING, "create", f"-o{here}/t", here / "none")
        assert "No such file" in refused(FAILED, "create", f"-o{here}/t", here / "absent")
        refused(FAILED, "create", f"-o{here}/t", "/dev/null")
        write_tree(here / "same", {"same": 5})
        assert "--name" in refused(FAILED, "create", f"-o{here}/t", here / "same")
        create("--kind=v1", f"-o{here}/t", here / "same")
        refused(STORAGE, "create", f"-o{here}/absent/t", here / "same/same")
        deep = here / "deep" / "/".join("d" * 70)
        deep.mkdir(parents=True)
        (deep / "x").write_bytes(b"x")
        assert "too deep" in refused(FAILED, "create", f"-o{here}/u", here / "deep")
        sparse = here / "sparse"
        with sparse.open("wb") as file:
            file.truncate(1 << 40)
        assert "--piece-size" in refused(FAILED, "create", "--piece-size=16K", f"-o{here}/u", sparse)


def test_wrong_use():
    refused(USAGE, "create")
    refused(USAGE, "create", "a", "b")
    for option in ("--kind=v3", "--piece-size=20000", "--piece-size=8K", "--piece-size=2G",
                   "--tracker=x", "--tracker=http://a/,,", "--web-seed=udp://x", "--web-seed=http://", "--name=a/b",
                   "--name=..", "--date=never", "--threads=0", "--threads=1000", "--format=csv",
                   "--progress=loud"):
        refused(USAGE, "create", option, "x")
    assert run("create", "--nonsense", "x").returncode == USAGE


def as_nobody():
    os.setgid(65534)
    os.setuid(65534)


def test_a_file_that_cannot_be_read():
    with folder() as here:
        write_tree(here / "top", {"a": 10, "b/closed": 10})
        (here / "top/b/closed").chmod(0)
        here.chmod(0o777)
        who = {"preexec_fn": as_nobody} if os.geteuid() == 0 else {}
        done = subprocess.run([skep.SKEP, "create", f"-o{here}/t", here / "top"], **who,
                              capture_output=True, text=True, env=skep.environment())
        if "error while loading" in done.stderr:  # the build is not for everybody
            return
        assert done.returncode == FAILED and "b/closed: Permission denied" in done.stderr, done
        assert not (here / "t").exists()


def slow(here, *options, size=1 << 40):
    """A process that hashes something that takes long."""
    with (here / "top/huge").open("wb") as file:
        file.truncate(size)
    process = start("create", "--kind=v1", "--piece-size=1M", "--progress=json",
                    f"-o{here}/t.torrent", *options, here / "top")
    line = json.loads(process.stderr.readline())
    assert line["type"] == "progress" and line["bytes_total"] > size, line
    return process


def leaves_nothing(here):
    assert [p.name for p in here.iterdir()] == ["top"], list(here.iterdir())


def test_interrupted():
    for kill in signal.SIGINT, signal.SIGTERM:
        with folder() as here:
            write_tree(here / "top", {"a": 10})
            process = slow(here)
            process.send_signal(kill)
            out, err = process.communicate(timeout=30)
            assert process.returncode == PARTIAL and not out, (process.returncode, err)
            assert b"interrupted" in err.splitlines()[-1]
            leaves_nothing(here)


def test_progress():
    with folder() as here:
        write_tree(here / "top", {"a": 10})
        (here / "top/huge").touch()
        os.truncate(here / "top/huge", 1 << 40)
        for how, shown in ("tty", b"% of 1.0 TiB, "), ("json", b'"type":"progress"'):
            process = start("create", "--kind=v1", "--piece-size=1M", f"--progress={how}",
                            f"-o{here}/t.torrent", here / "top", env={"COLUMNS": "100"})
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert process.returncode == PARTIAL and shown in err, err
            assert (b"\x1b[" in err) == (how == "tty"), err
        leaves_nothing(here)


def test_a_file_that_changes_meanwhile():
    with folder() as here:
        write_tree(here / "top", {"a": 10})
        process = slow(here)
        os.truncate(here / "top/huge", 1 << 20)
        out, err = process.communicate(timeout=30)
        assert process.returncode == FAILED and b"huge: became shorter" in err, err
        leaves_nothing(here)


def test_a_file_that_vanishes_meanwhile():
    with folder() as here:
        write_tree(here / "top", {"zz": 10})
        process = slow(here, "--threads=1", size=4 << 30)
        (here / "top/zz").unlink()
        out, err = process.communicate(timeout=120)
        assert process.returncode == FAILED and b"zz: No such file" in err, err
        leaves_nothing(here)


def test_a_disk_that_is_full():
    with folder() as here:
        write_tree(here / "top", {"a": 10})
        os.truncate(here / "top/a", 32 << 20)
        (here / "small").mkdir()
        script = ('mount -t tmpfs -o size=16k none small && '
                  '"$0" create --piece-size=16K -o small/t top; code=$?; ls small; exit $code')
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script, skep.SKEP], cwd=here,
                              capture_output=True, text=True, env=skep.environment())
        if "unshare" in done.stderr or "mount" in done.stderr:
            return  # no namespaces here
        assert done.returncode == STORAGE and "No space left" in done.stderr, done
        assert done.stdout == "", done


def test_threads_make_no_difference():
    with folder() as here:
        write_tree(here / "top")
        seen = {create("--force", f"--threads={n}", "--piece-size=16K", f"-o{here}/t",
                       here / "top")["info_hash"] for n in (1, 2, 7, 256)}
        assert len(seen) == 1


if __name__ == "__main__":
    sys.exit(skep.main(globals()))
