#!/usr/bin/python3
"""skep show: text, JSON against its schema, and what each wrong input is answered with (TAP)."""

import http.server
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading

import jsonschema

import tap

SKEP = os.environ["SKEP"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
SCHEMA = json.loads((ROOT / "docs" / "schema" / "skep.show.1.json").read_text())
EXPECTED = json.loads((DATA / "expected.json").read_text())
V1 = "c3088c236ba01f5f9760bee91b53082e184db542"
V2 = "eef36a9531c695b412bb52fe8b3732f5f1268ff430a772cb6e6f137265071cca"


def show(*arguments, data=b"", stdout=subprocess.PIPE):
    command = [SKEP, "show", *map(str, arguments)]
    return subprocess.run(command, input=data, stdout=stdout, stderr=subprocess.PIPE, timeout=60)


def document(target, data=b""):
    done = show("--format=json", target, data=data)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    jsonschema.validate(result, SCHEMA)
    return result


def text(*arguments, data=b""):
    done = show(*arguments, data=data)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.decode()


def refused(code, *arguments, data=b""):
    """One clear line on stderr, nothing on stdout, and this exit code."""
    done = show(*arguments, data=data)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == code, (done.returncode, lines)
    assert len(lines) == 1 and lines[0].startswith("skep: "), lines
    assert not done.stdout
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", lines[0]), lines
    return lines[0]


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"


def torrent(paths, **outside):
    info = {
        b"name": outside.pop("name", b"t"),
        b"piece length": 1 << 20,
        b"pieces": bytes(20),
        b"files": [{b"length": 1, b"path": path} for path in paths],
    }
    return bencode({b"info": info, **{k.encode(): v for k, v in outside.items()}})


def test_json_of_torrents_says_what_libtorrent_reads():
    for name, expected in EXPECTED.items():
        got = document(DATA / name)
        assert got["kind"] == "torrent" and got["magnet"] is None
        assert got["info_hash"] == expected["hash_v1"]
        assert got["info_hash_v2"] == expected["hash_v2"]
        for key in "name", "pieces", "piece_size", "private":
            assert got[key] == expected[key], (name, key)
        urls = [[url, tier] for tier, urls in enumerate(got["trackers"]) for url in urls]
        assert sorted(urls) == expected["trackers"]
        files = {(f["size"], f["root"]) for f in got["files"] if "padding" not in f["attributes"]}
        assert files == {(f["size"], f["root"]) for f in expected["files"] if not f["padding"]}


def test_magnet_link_of_a_torrent():
    data = torrent([[b"a"], [b"b"], [b"c"], [b"d"], [b"e"]], announce=b"http://t/a")
    for select, so in (None, None), ("1", "0"), ("2-3,5", "1-2,4"), ("4-", "3-4"), ("3,1,2", "0-2"):
        options = ["--magnet", *([f"--select={select}"] if select else [])]
        link, = text(*options, "-", data=data).splitlines()
        assert link.startswith("magnet:?xt=urn:btih:") and "tr=http%3A%2F%2Ft%2Fa" in link, link
        assert link.partition("&so=")[2] == (so or ""), link
    refused(2, "--magnet", "--select=6", "-", data=data)
    refused(2, "--select=1", "-", data=data)
    refused(2, "--magnet", "--select=0", "-", data=data)
    refused(2, "--magnet", V1)


def test_json_of_magnets():
    link = f"magnet:?xt=urn:btih:{V1}&dn=a%20b&tr=http://t/&tr=udp://u:1&x.pe=1.2.3.4:5&so=0,2-4"
    got = document(link)
    assert got["kind"] == "magnet" and got["info_hash"] == V1 and got["name"] == "a b"
    assert got["trackers"] == [["http://t/", "udp://u:1"]]
    assert got["magnet"] == {"sources": [], "peers": ["1.2.3.4:5"], "select": [[0, 0], [2, 4]],
                             "public_key": None, "salt": None}
    assert got["size"] is None and got["files"] is None
    assert document(f"magnet:?xt=urn:btmh:1220{V2}")["info_hash_v2"] == V2


def test_links_to_a_public_key():
    link = f"magnet:?xs=urn:btpk:{V2}&tr=http://t/&dn=named"
    got = document(link)
    assert got["kind"] == "magnet" and got["name"] == "named" and got["trackers"] == [["http://t/"]]
    assert got["info_hash"] is None and got["info_hash_v2"] is None
    assert got["magnet"]["public_key"] == V2 and got["magnet"]["salt"] is None
    assert document("-", f"{link}&s=\n".encode())["magnet"] == got["magnet"]
    assert document(f"{link}&s=61FF")["magnet"]["salt"] == "61ff"
    both = document(f"{link}&xt=urn:btih:{V1}")
    assert both["info_hash"] == V1 and both["magnet"]["public_key"] == V2
    shown = text(f"{link}&s=611b5b")
    for part in f"public key    {V2}\n", "a\\x1b[ (611b5b)", "BEP 46", "http://t/":
        assert part in shown, (part, shown)
    assert "salt" not in text(link) and "info-hash" not in text(link)
    longest = "ff" * 64
    assert longest in text(f"{link}&s={longest}") and "salt" in refused(6, f"{link}&s=f{longest}")


def test_hashes_alone():
    assert document(V1)["info_hash"] == V1
    assert document(V1.upper())["info_hash"] == V1
    assert document(V2)["info_hash_v2"] == V2 and document(V2)["info_hash"] is None


def test_standard_input():
    data = (DATA / "hybrid-multi.torrent").read_bytes()
    assert document("-", data)["info_hash"] == V1
    assert document("-", f"magnet:?xt=urn:btih:{V1}\n".encode())["info_hash"] == V1


def test_text_for_people():
    shown = text(DATA / "hybrid-multi.torrent")
    for part in V1, V2, "310 KiB", "13 of 32 KiB", "alpha/", "three.bin", "router.example:6881":
        assert part in shown, part
    assert ".pad" not in shown
    assert "1. http://tracker.example/announce\n" in shown
    assert "2. https://[2001:db8::1]/announce?key=1\n" in shown


def test_long_lists_of_files_are_cut():
    data = torrent([b"dir", b"%03d" % i] for i in range(50))
    shown = text("-", data=data)
    assert "019\n" in shown and "020\n" not in shown and "... and 30 more" in shown
    assert "049\n" in text("--files", "-", data=data)


def test_terminal_escapes_and_bidi_are_shown_as_such():
    evil = b"\x1b]0;x\x07\xe2\x80\xae\xff"
    data = torrent([[evil, b"a\nb"]], name=evil, comment=evil, announce=b"http://h/\xe2\x80\xae")
    for shown in text("-", data=data), json.dumps(document("-", data)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown), shown
    assert "\\u{202e}" in text("-", data=data)
    assert "\\x1b" in text(f"magnet:?xt=urn:btih:{V1}&dn=%1b[2J")


def test_names_that_lead_elsewhere():
    got = document("-", torrent([[b"..", b"..", b"etc"], [b"/abs"], [b"CON"]]))
    assert [f["path"] for f in got["files"]] == ["__/__/etc", "_abs", "_CON"]


def test_broken_torrents():
    good = (DATA / "v1-single.torrent").read_bytes()
    for data in b"", b"<html>", good[:-1], good + b"x", b"l" * 10000, torrent([]):
        assert "not a valid torrent" in refused(6, "-", data=data)
    layers = (DATA / "v2-multi.torrent").read_bytes()
    at = layers.index(b"piece layers") + 80
    damaged = layers[:at] + bytes([layers[at] ^ 1]) + layers[at + 1 :]
    assert "piece layer" in refused(6, "-", data=damaged)
    with tempfile.NamedTemporaryFile() as file:
        file.write(good[:100])
        file.flush()
        assert file.name in refused(6, file.name)


def test_broken_magnets():
    for link in "magnet:", "magnet:?dn=x", "magnet:?xt=urn:btih:xyz", f"magnet:?xt=urn:btmh:{V2}":
        assert "not a valid magnet link" in refused(6, link)


def test_missing_files():
    assert "No such file" in refused(1, "/nonexistent/x.torrent")
    refused(1, "/")
    refused(1, "evil\x1b[31m\u202e")


def test_wrong_use():
    refused(2)
    refused(2, V1, V2)
    refused(2, "--format=csv", V1)
    assert show("--nonsense", V1).returncode == 2


class Files(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=str(DATA))

    def log_message(self, *_):
        pass


def test_addresses():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        fetched = show("--format=json", f"{base}/v1-multi.torrent")
        assert fetched.returncode == 0
        assert fetched.stdout == show("--format=json", DATA / "v1-multi.torrent").stdout
        assert "404" in refused(4, f"{base}/none.torrent")
        assert "not a valid torrent" in refused(6, f"{base}/make.py")
        server.shutdown()
    refused(4, f"{base}/v1-multi.torrent")


def test_output_that_cannot_be_written():
    with open("/dev/full", "wb") as full:
        for arguments in [], ["--format=json"]:
            done = show(*arguments, DATA / "v1-multi.torrent", stdout=full)
            assert done.returncode == 7 and b"No space" in done.stderr


if __name__ == "__main__":
    raise SystemExit(tap.main(globals()))
