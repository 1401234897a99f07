#!/usr/bin/python3
"""Makes the torrents in this folder and expected.json, which says what libtorrent reads in them.

    make.py            (needs python3-libtorrent and mktorrent; run by hand, its output is committed)

Byte i of file number f holds (f * 31 + i * 7 + i // 251) mod 256, so that the tests can make the
content again. Nothing depends on the date or on chance.
"""

import json
import pathlib
import subprocess
import tempfile

import libtorrent as lt

HERE = pathlib.Path(__file__).parent
KIB = 1024
FILES = [
    ("alpha/one.bin", 100_000),
    ("alpha/two.bin", 16_384),
    ("beta/deep/er/three.bin", 70_001),
    ("beta/empty", 0),
    ("beta/four \u00e4\u4e2d.txt", 5),
    ("zeta.bin", 131_072),
]
SINGLE = [("", 150_000)]
TRACKERS = [
    ("http://tracker.example/announce", 0),
    ("udp://tracker.example:6969/announce", 0),
    ("https://[2001:db8::1]/announce?key=1", 1),
]


def content(number, size):
    return bytes((number * 31 + i * 7 + i // 251) & 255 for i in range(size))


def write_content(root, files):
    for number, (path, size) in enumerate(files):
        file = root / path if path else root
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content(number, size))


def make(directory, name, files, flags, piece_size, decorate=None):
    root = directory / "content.bin" if files is SINGLE else directory / "content"
    storage = lt.file_storage()
    lt.add_files(storage, str(root))
    creator = lt.create_torrent(storage, piece_size, flags=flags)
    creator.set_creator("make.py")
    if decorate:
        decorate(creator)
    lt.set_piece_hashes(creator, str(directory))
    torrent = creator.generate()
    torrent.pop(b"creation date", None)
    if decorate:
        torrent[b"creation date"] = 1_600_000_000
    (HERE / name).write_bytes(lt.bencode(torrent))


def decorate(creator):
    for url, tier in TRACKERS:
        creator.add_tracker(url, tier)
    creator.add_url_seed("http://seed.example/files/")
    creator.add_node("router.example", 6881)
    creator.set_comment("a comment \u2603")
    creator.set_priv(True)


def mktorrent(directory, name, root, arguments):
    path = HERE / name
    path.unlink(missing_ok=True)
    command = ["mktorrent", "-d", "-l", "15", "-o", str(path), *arguments, str(directory / root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def expected(path):
    info = lt.torrent_info(path.read_bytes())
    files = info.files()
    hashes = info.info_hashes()
    listed = []
    for i in range(files.num_files()):
        flags = int(files.file_flags(i))
        root = str(files.root(i))
        listed.append(
            {
                "path": files.file_path(i),
                "size": files.file_size(i),
                "offset": files.file_offset(i),
                "padding": bool(flags & int(lt.file_storage.flag_pad_file)),
                "root": None if set(root) == {"0"} else root,
            }
        )
    return {
        "name": info.name(),
        "hash_v1": str(hashes.v1) if hashes.has_v1() else None,
        "hash_v2": str(hashes.v2) if hashes.has_v2() else None,
        "info_hash": str(info.info_hash()),
        "pieces": info.num_pieces(),
        "piece_size": info.piece_length(),
        # For v2 alone the binding does not say where it cuts the last piece.
        "last_piece_size": info.piece_size(info.num_pieces() - 1) if hashes.has_v1() else None,
        "files": listed,
        # libtorrent shuffles each tier.
        "trackers": sorted([t.url, t.tier] for t in info.trackers()),
        "private": info.priv(),
        "comment": info.comment(),
        "creator": info.creator(),
    }


def main():
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        write_content(directory / "content", FILES)
        write_content(directory / "content.bin", SINGLE)
        v1 = lt.create_torrent.v1_only
        v2 = lt.create_torrent.v2_only
        make(directory, "v1-single.torrent", SINGLE, v1, 32 * KIB)
        make(directory, "v1-multi.torrent", FILES, v1, 32 * KIB, decorate)
        make(directory, "v2-single.torrent", SINGLE, v2, 32 * KIB)
        make(directory, "v2-multi.torrent", FILES, v2, 16 * KIB, decorate)
        make(directory, "hybrid-single.torrent", SINGLE, 0, 64 * KIB)
        make(directory, "hybrid-multi.torrent", FILES, 0, 32 * KIB, decorate)
        mktorrent(directory, "mktorrent-multi.torrent", "content", ["-a", TRACKERS[0][0]])
        mktorrent(directory, "mktorrent-single.torrent", "content.bin", ["-p", "-w", "http://x/y"])
    all_expected = {path.name: expected(path) for path in sorted(HERE.glob("*.torrent"))}
    text = json.dumps(all_expected, indent=1, ensure_ascii=True)
    (HERE / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
