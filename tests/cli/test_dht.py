#!/usr/bin/python3
"""skep dht against a network of skep dht node on 127.0.0.1 (TAP)."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import pty
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time

import jsonschema

import skep
from skep import (CORRUPT, DATA, DONE, FAILED, NETWORK, NOTHING, PARTIAL, STORAGE, USAGE, refused,
                  run)

NODES = 12
FOLDER = tempfile.TemporaryDirectory(prefix="skep-cli-")
HASH = "c3088c236ba01f5f9760bee91b53082e184db542"
LOCAL = "--bind=127.0.0.1"


# ---- the network ----

class Node:
    """A skep dht node, at the port that it names. Everybody who asks it has the same address: no
    limits."""

    def __init__(self, place, *options):
        self.log = open(place.with_suffix(".log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [skep.SKEP, "dht", "node", LOCAL, f"--state-dir={place}", "--rate=unlimited", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
            env=skep.environment())
        STARTED.append(self)
        self.port = int(self.wait_for(r"on UDP port (\d+)")[1])
        self.address = f"127.0.0.1:{self.port}"

    def said(self):
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")

    def wait_for(self, pattern, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.said())
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError((pattern, self.said()))

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out.decode()


class Network:
    """Nodes that know each other, and a state directory for those who ask them."""
    tried = False

    def __init__(self, folder):
        assert not Network.tried, "the network could not be made"
        Network.tried = True
        self.folder = folder
        self.nodes = [Node(folder / "node0")]
        first = f"--bootstrap={self.nodes[0].address}"
        self.nodes += [Node(folder / f"node{i}", first) for i in range(1, NODES)]
        for node in self.nodes:
            node.wait_for("ready: part of the network")
        self.options = [LOCAL, first, f"--state-dir={folder}/state"]

    def dht(self, command, *arguments, code=DONE, **how):
        done = run("dht", command, *self.options, *arguments, **how)
        assert done.returncode == code, (code, done)
        return done

    def document(self, command, *arguments, code=DONE, **how):
        done = self.dht(command, "--format=json", *arguments, code=code, **how)
        return valid(command, json.loads(done.stdout))

    def bytes(self, *arguments, code=DONE):
        """Of a get: exactly what it wrote."""
        done = subprocess.run([skep.SKEP, "dht", "get", *self.options, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              env=skep.environment())
        assert done.returncode == code, (code, done)
        return done.stdout

    def put(self, *arguments, data=b"", code=DONE):
        done = subprocess.run([skep.SKEP, "dht", "put", *self.options, *arguments], input=data,
                              capture_output=True, timeout=60, env=skep.environment())
        assert done.returncode == code, (code, done)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done


@functools.cache
def schema(command):
    path = skep.ROOT / f"docs/schema/skep.dht.{command}.1.json"
    return json.loads(path.read_text(encoding="utf-8"))


def valid(command, document):
    jsonschema.validate(document, schema(command))
    return document


@contextlib.contextmanager
def stub(answer):
    """A node for which a test speaks: answer(query) is the bencode that joins the id in its answer,
    the code of an error, or None for silence. Yields its port and the queries that came."""
    queries = []

    def serve():
        while True:
            query, sender = sock.recvfrom(4096)
            if not query:
                return
            queries.append(query)
            said = answer(query)
            if said is None:
                continue
            at = query.rindex(b"1:t4:")
            kind = b"e" if isinstance(said, int) else b"r"
            body = b"li%de4:whate" % said if kind == b"e" else b"d2:id20:%b%be" % (b"s" * 20, said)
            sock.sendto(b"d1:%b%b%b1:y1:%be" % (kind, body, query[at:at + 9], kind), sender)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1], queries
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()


STARTED = []  # nodes


@functools.cache
def network():
    """Made once, for all tests."""
    return Network(pathlib.Path(FOLDER.name))


def end_network():
    for node in STARTED:
        if node.process.poll() is None:
            node.process.kill()
            node.process.communicate()
        node.log.close()
    FOLDER.cleanup()


# ---- bytes under a key ----

def test_bytes_come_back_exactly():
    net = network()
    for size in 0, 11, 995, 996, 1000, 5000:
        data = bytes(i * 7 % 256 for i in range(size))
        done = net.put(f"--key=text {size}", data=data)
        assert not done.stdout, done  # the text is all that a reader needs
        assert "8 of the 8 closest nodes hold" in done.stderr, done
        assert net.bytes(f"--key=text {size}") == data


def test_files_and_replacing():
    net = network()
    with skep.folder() as here:
        (here / "one").write_bytes(b"first")
        (here / "two").write_bytes(b"second\n\0")
        net.put("--key=replaced", here / "one")
        net.put("--key=replaced", here / "two")
        net.dht("get", "--key=replaced", f"--output={here}/got")
        assert (here / "got").read_bytes() == b"second\n\0"
        line = refused(STORAGE, "dht", "get", *net.options, "--key=replaced", "-o", here / "no/x")
        assert "no/x" in line
        assert (here / "got").read_bytes() == b"second\n\0"
        (here / "got").chmod(0o640)
        net.dht("get", "--key=replaced", "-o", here / "got")
        assert stat.S_IMODE((here / "got").stat().st_mode) == 0o640
        net.dht("get", "--key=replaced", "-o", "/dev/null")
        assert sorted(os.listdir(here)) == ["got", "one", "two"]
        missing = net.dht("get", "--key=never stored", f"--output={here}/none", code=NOTHING)
        assert "nothing" in missing.stderr and not (here / "none").exists()


def test_terminals_get_no_commands():
    net = network()
    net.put("--key=harmless", data="grün\n".encode())
    net.put("--key=commands", data=b"\x1b]0;title\x07")
    shown = {}
    for key in "harmless", "commands", "forced":
        parent, child = pty.openpty()
        force = ["--output=-"] if key == "forced" else []
        done = subprocess.run([skep.SKEP, "dht", "get", *net.options, *force,
                               f"--key={'commands' if force else key}"], stdout=child,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60,
                              env=skep.environment(), check=False)
        os.close(child)
        shown[key] = done.returncode, b""
        with contextlib.suppress(OSError):
            shown[key] = done.returncode, os.read(parent, 4096)
        os.close(parent)
    assert shown["harmless"] == (DONE, "grün\r\n".encode()), shown
    assert shown["commands"] == (FAILED, b""), shown
    assert shown["forced"] == (DONE, b"\x1b]0;title\x07"), shown


def test_what_cannot_be_written():
    net = network()
    target = hashlib.sha1(b"full").hexdigest()
    net.dht("announce", "--port=5000", target)
    net.put("--key=full", data=b"x")
    commands = [("get", "--key=full"), ("get", "--key=full", "--format=json"),
                ("lookup", HASH), ("lookup", HASH, "--format=json"), ("scrape", target),
                ("scrape", target, "--format=json"), ("peers", target), ("crawl",),
                ("peers", target, "--format=jsonl"), ("ping", net.nodes[0].address),
                ("put", "--immutable")]
    for command, *more in commands:
        with open("/dev/full", "wb") as full:
            done = run("dht", command, *net.options, *more, stdout=full)
        assert done.returncode == STORAGE, (command, done)
        assert done.stderr.count("standard output: No space left") == 1, (command, done)


def test_closed_descriptors():
    net = network()
    quoted = " ".join(map(str, net.options))
    for closed, code in ("<&-", DONE), (">&-", STORAGE), ("2>&-", DONE), ("<&- 2>&-", DONE):
        line = f"exec {skep.SKEP} dht lookup {quoted} {HASH} {closed}"
        done = subprocess.run(["/bin/sh", "-c", line], stdout=subprocess.PIPE, timeout=60,
                              stderr=subprocess.PIPE, env=skep.environment(), check=False)
        assert done.returncode == code, (closed, done)


def test_immutable():
    net = network()
    done = net.put("--immutable", data=b"Hello World!")
    # the test vector of BEP 44
    assert done.stdout == "e5f96f6f38320f0f33959cb4d3d656452117aadb\n"
    assert net.bytes("--hash=" + done.stdout.strip()) == b"Hello World!"
    net.dht("get", "--hash=" + "00" * 20, code=NOTHING)
    document = net.document("get", "--hash=" + done.stdout.strip())
    assert document["value"] == "Hello World!" and document["public_key"] is None


def test_own_key_pairs():
    net = network()
    with skep.folder() as here:
        secret = here / "secret"
        done = net.put(f"--secret={secret}", "--new-secret", "--salt=page", data=b"mine")
        key = done.stdout.strip()
        assert re.fullmatch("[0-9a-f]{64}", key), done
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert net.bytes(f"--public-key={key}", "--salt=page") == b"mine"
        net.dht("get", f"--public-key={key}", code=NOTHING)  # another place
        seed = bytes.fromhex(secret.read_text())
        raw = here / "raw"
        raw.write_bytes(seed)
        raw.chmod(0o600)
        document = net.document("put", f"--secret={raw}", "--salt=page", data=b"changed")
        assert document["public_key"] == key and document["seq"] == 2
        assert document["target"] == hashlib.sha1(bytes.fromhex(key) + b"page").hexdigest()
        pem = here / "pem"
        der = bytes.fromhex("302e020100300506032b657004220420") + seed
        written = subprocess.run(["openssl", "pkey", "-inform", "DER", "-out", pem], input=der,
                                 stderr=subprocess.DEVNULL, check=False)
        if written.returncode == 0:
            assert net.put(f"--secret={pem}", "--salt=page", data=b"3").stdout.strip() == key


def test_seq_and_cas():
    net = network()
    with skep.folder() as here:
        own = [f"--secret={here}/secret", "--new-secret"]
        assert net.document("put", *own, "--seq=7", data=b"a")["seq"] == 7
        assert net.document("put", *own, "--cas=7", data=b"b")["seq"] == 8
        for wrong in "--cas=7", "--seq=3":
            line = refused(FAILED, "dht", "put", *net.options, *own, wrong)
            assert line
        key = net.document("put", *own, "--seq=20", data=b"c")["public_key"]
        assert net.bytes(f"--public-key={key}") == b"c"


def test_raw_values():
    net = network()
    raw = b"d1:a3:\xff\xfe\xfd1:bli-7e3:abc0:e5:e\xff\xffe\xffi1ee"
    name = net.put("--immutable", "--raw", data=raw).stdout.strip()
    assert net.bytes(f"--hash={name}") == raw
    document = net.document("get", f"--hash={name}")
    assert document["is_bytes"] is False
    value = document["value"]
    assert value["a"] == {"hex": "fffefd"} and value["b"] == [-7, "abc", ""], value
    assert list(value) == ["a", "b", r"e\xff\xffe\xff"], value
    name = net.put("--immutable", data=b"\xff").stdout.strip()
    assert net.document("get", f"--hash={name}")["value"] == {"hex": "ff"}
    for wrong in b"", b"5:abc", b"i1ei2e", b"i01e", b"d1:b0:1:a0:e":
        assert "--raw" in refused(FAILED, "dht", "put", "--immutable", "--raw", data=wrong)
    assert "1000" in refused(FAILED, "dht", "put", "--key=x", "--raw", data=b"1001:" + b"x" * 1001)


def test_pointers_to_torrents():
    net = network()
    with skep.folder() as here:
        own = [f"--secret={here}/secret", "--new-secret"]
        key = net.put(*own, f"--torrent={HASH}").stdout.strip()
        expected = b"d2:ih20:" + bytes.fromhex(HASH) + b"e"
        assert net.bytes(f"--public-key={key}") == expected


def test_too_much():
    line = refused(FAILED, "dht", "put", "--key=x", data=bytes((1 << 20) + 1))
    assert "1 MiB" in line
    line = refused(FAILED, "dht", "put", "--key=x", "--via=announce", data=bytes(1025))
    assert "1024" in line


# ---- torrents ----

def test_announce_peers_scrape():
    net = network()
    target = hashlib.sha1(b"announced").hexdigest()
    done = net.dht("announce", "--port=5000", target)
    assert re.match(f"announced port 5000 under {target} at 8 nodes$", done.stdout.strip())
    document = net.document("announce", "--port=5001", "--seed", target)
    assert document["stored"] == 8 and document["seed"] is True
    addresses = {"127.0.0.1:5000", "127.0.0.1:5001"}
    done = net.dht("peers", target)
    assert set(done.stdout.splitlines()) == addresses and len(done.stdout.splitlines()) == 2
    document = net.document("peers", target)
    assert set(document["peers"]) == addresses and document["complete"] is True
    lines = [json.loads(line) for line in net.dht("peers", "--format=jsonl", target).stdout.splitlines()]
    assert {x["address"] for x in lines[:-1]} == addresses and lines[-1]["type"] == "end"
    rows = net.dht("peers", "--format=csv", target).stdout.splitlines()
    assert rows[0] == "address" and set(rows[1:]) == addresses
    document = net.document("scrape", target)
    for what in "seeds", "leechers":
        assert document[what]["low"] <= 1 <= document[what]["high"], document
    text = net.dht("scrape", target)
    assert re.search(r"seeds +1, give or take", text.stdout) and "estimate" in text.stderr


def test_nobody_has_it():
    net = network()
    none = hashlib.sha1(b"nobody has this").hexdigest()
    assert not net.dht("peers", none, code=NOTHING).stdout
    document = net.document("scrape", none, code=NOTHING)
    assert document["seeds"] is None or document["seeds"]["estimate"] == 0


def test_targets():
    net = network()
    torrent = DATA / "v1-single.torrent"
    of_torrent = json.loads(run("show", "--format=json", torrent).stdout)["info_hash"]
    link = f"magnet:?xt=urn:btih:{HASH}"
    for target, name in (torrent, of_torrent), (link, HASH):
        assert net.document("peers", target, code=NOTHING)["target"] == name
    assert refused(FAILED, "dht", "peers", *net.options, "/nonexistent")
    assert refused(CORRUPT, "dht", "peers", *net.options, "-", data=b"no torrent")
    private = b"d4:infod6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:" + bytes(20) + \
        b"7:privatei1eee"
    for command, *more in ("peers",), ("scrape",), ("announce", "--port=1"):
        line = refused(FAILED, "dht", command, *net.options, *more, "-", data=private)
        assert "private" in line
    with skep.folder() as here:
        line = refused(FAILED, "dht", "put", *net.options, f"--secret={here}/secret",
                       "--new-secret", "--torrent=-", data=private)
        assert "private" in line


# ---- nodes ----

def test_ping():
    net = network()
    node = net.nodes[3]
    done = run("dht", "ping", LOCAL, node.address)
    assert done.returncode == DONE and done.stdout.startswith(node.address), done
    assert "BEP 42" in done.stdout and "skep" in done.stdout and "127.0.0.1" in done.stdout
    done = run("dht", "ping", LOCAL, "--format=json", node.address)
    document = valid("ping", json.loads(done.stdout))
    assert document["address"] == node.address and document["id_fits"] is True
    with skep.silent_port(socket.SOCK_DGRAM) as port:
        line = refused(NETWORK, "dht", "ping", LOCAL, f"127.0.0.1:{port}")
        assert "no answer" in line
    for wrong in "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", ":1", "":
        assert "HOST:PORT" in refused(USAGE, "dht", "ping", LOCAL, wrong)


def test_lookup():
    net = network()
    document = net.document("lookup", HASH)
    assert len(document["closest"]) == 8 and document["search"]["silent"] == 0
    distances = [int(x["id"], 16) ^ int(HASH, 16) for x in document["closest"]]
    assert distances == sorted(distances)
    assert [d.bit_length() for d in distances] == [x["distance"] for x in document["closest"]]
    everybody = sorted(int(json.loads(run("dht", "ping", LOCAL, "--format=json", node.address)
                                      .stdout)["id"], 16) ^ int(HASH, 16) for node in net.nodes)
    assert distances == everybody[:8]
    text = net.dht("lookup", HASH).stdout
    assert len(text.splitlines()) == 9 and document["closest"][0]["address"] in text


def test_trace():
    net = network()
    done = net.dht("lookup", "--trace", HASH, env={"COLUMNS": "80"})
    lines = done.stderr.splitlines()
    assert not skep.CONTROL.search(done.stderr.replace("\n", ""))
    assert all(len(line) <= 80 for line in lines), done.stderr
    assert lines[0].startswith("Looking for the nodes closest to") and HASH in " ".join(lines[:3])
    assert sum("127.0.0.1:" in line for line in lines) >= 8
    assert re.search(r"Asked \d+ nodes in \d+ steps? and .*answered", done.stderr)
    put = net.put("--key=traced", "--trace", data=b"x")
    assert "took what was to be stored" in put.stderr, put.stderr
    get = net.dht("get", "--key=traced", "--trace")
    assert "Looking for the item under" in get.stderr and get.stdout == "x", get.stderr
    assert re.search(r"asked \d+ answered and \d+ did not", get.stderr), get.stderr


def test_trace_of_announced_ports():
    net = network()
    words = ["--key=by announces", "--via=announce", "--trace"]
    env = {"COLUMNS": "80"}
    put = net.dht("put", "--rate=500", *words, data=b"x", env=env)
    get = net.dht("get", *words, env=env)
    for done, steps in (put, ("looking for the nodes closest", "announcing each port",
                              "2 of 2       15  all read back, from 8 nodes")), \
            (get, ("head     15  all there; 1 info-hash missing",
                   "2 of 2       31  all there; nothing is missing")):
        assert all(len(line) <= 80 for line in done.stderr.splitlines()), done.stderr
        assert all(step in done.stderr for step in steps), done.stderr
        assert "2 of 2 info-hashes have all their ports." in done.stderr, done.stderr
    assert get.stdout == "x"


def test_sample():
    net = network()
    target = hashlib.sha1(b"sampled").hexdigest()
    net.dht("announce", "--port=5000", target)
    near = net.document("lookup", target)["closest"][0]["address"]
    done = run("dht", "sample", LOCAL, near)
    assert done.returncode == DONE and target in done.stdout.split(), done
    assert target in net.document("sample")["info_hashes"]
    assert len(net.dht("sample", "--limit=1").stdout.splitlines()) == 1
    with skep.silent_port(socket.SOCK_DGRAM) as port:
        assert "no answer" in refused(NETWORK, "dht", "sample", LOCAL, f"127.0.0.1:{port}")


def test_crawl():
    net = network()
    addresses = {node.address for node in net.nodes}
    done = net.dht("crawl")
    lines = [valid("crawl", json.loads(line)) for line in done.stdout.splitlines()]
    assert {x["address"] for x in lines[:-1] if x["state"] == "alive"} == addresses, done
    assert lines[-1]["type"] == "end" and lines[-1]["alive"] == NODES
    assert "12 nodes found" in done.stderr and "clients: skep" in done.stderr
    with skep.folder() as here:
        for count in 1, 2:
            assert not net.dht("crawl", f"--db={here}/db").stdout
            with contextlib.closing(sqlite3.connect(here / "db")) as db:
                rows = db.execute("SELECT count(*), count(seconds), sum(alive) FROM crawls")
                assert rows.fetchone() == (count, count, count * NODES)
                rows = db.execute("SELECT DISTINCT address FROM nodes WHERE state = 'alive'")
                assert {row[0] for row in rows} == addresses
        (here / "other").write_bytes(b"no database, but some bytes of text" * 40)
        assert refused(STORAGE, "dht", "crawl", *net.options, f"--db={here}/other")


def test_size():
    net = network()
    document = net.document("size")
    assert document["low"] <= NODES <= document["high"] and document["family"] == 4, document
    assert document["id_fits"] == document["nodes_seen"] == NODES, document
    assert 0 <= document["unseen"] < 0.2, document
    lines = net.dht("size").stdout.splitlines()
    assert re.match("about 1[123] nodes", lines[0]), lines
    assert re.match(r"[\d.]+% of them were not met", lines[1]), lines
    assert lines[2].startswith("100% of the 12 nodes met have an id that follows from"), lines


def test_anonymize():
    net = network()
    for command, *more in ("lookup", HASH), ("crawl",), ("ping", net.nodes[1].address):
        done = run("dht", command, *net.options, "--anonymize", "--quiet", "--trace"
                   if command == "lookup" else "--quiet", *more)
        assert done.returncode == DONE, done
        text = done.stdout + done.stderr
        assert "127.0.0.1" not in text and not re.search("[0-9a-f]{40}", text.replace(HASH, ""))


# ---- from run to run ----

def test_saved_nodes_are_enough():
    net = network()
    with skep.folder() as here:
        options = [LOCAL, f"--state-dir={here}/a/b"]
        first = [*options, f"--bootstrap={net.nodes[0].address}"]
        assert run("dht", "lookup", *first, HASH).returncode == DONE
        assert (here / "a/b/dht.nodes").exists()
        start = time.monotonic()
        assert run("dht", "lookup", *options, HASH).returncode == DONE
        assert time.monotonic() - start < 5
        for wrong in b"", b"garbage", b"d2:id20:short", b"d5:nodes3:abce", bytes(100000):
            (here / "a/b/dht.nodes").write_bytes(wrong)
            done = run("dht", "lookup", *first, HASH)
            assert done.returncode == DONE, (wrong, done)
            assert ("dht.nodes" in done.stderr) == (wrong != b"d5:nodes3:abce"), (wrong, done)


def test_two_at_once_leave_a_whole_file():
    net = network()
    with skep.folder() as here:
        options = [LOCAL, f"--bootstrap={net.nodes[0].address}", f"--state-dir={here}"]
        several = [skep.start("dht", "lookup", *options, HASH) for _ in range(4)]
        for process in several:
            process.communicate(timeout=30)
            assert process.returncode == DONE
        assert os.listdir(here) == ["dht.nodes"]
        assert run("dht", "lookup", LOCAL, f"--state-dir={here}", HASH).returncode == DONE


def test_state_that_cannot_be_written_is_a_warning():
    net = network()
    done = run("dht", "lookup", *net.options[:2], "--state-dir=/proc/skep", HASH)
    assert done.returncode == DONE and "/proc/skep" in done.stderr and done.stdout


# ---- nobody, and the end ----

def test_nobody_to_ask():
    with skep.silent_port(socket.SOCK_DGRAM) as port, skep.folder() as here:
        options = [LOCAL, f"--state-dir={here}"]
        line = refused(NETWORK, "dht", "lookup", *options, HASH)
        assert "--bootstrap" in line
        silent = [*options, f"--bootstrap=127.0.0.1:{port}", "--time=4"]
        done = run("dht", "lookup", *silent, HASH)
        assert done.returncode == NETWORK and not done.stdout, done
        assert "nobody to ask" in done.stderr.splitlines()[-1], done
        assert done.stderr.count("offline") <= 1, done


def test_hosts_that_are_of_no_use():
    with skep.silent_port(socket.SOCK_DGRAM) as port, skep.folder() as here:
        silent, options = f"127.0.0.1:{port}", [f"--state-dir={here}", "--time=4"]
        reasons = {
            ("nowhere.invalid:6881", silent): "nowhere.invalid:6881: there is no such host; "
                                              f"{silent}: no answer",
            (LOCAL, "nowhere.invalid:6881"): "nowhere.invalid:6881: cannot be reached",
            (LOCAL, "192.0.2.1:6881"): "192.0.2.1:6881: cannot be reached",
            ("--family=6", silent): f"{silent}: not in the network",
            (LOCAL,): "no node of the DHT is known",
        }
        for words, reason in reasons.items():
            told = [word if word.startswith("--") else f"--bootstrap={word}" for word in words]
            done = run("dht", "lookup", *options, *told, HASH)
            last = done.stderr.splitlines()[-1]
            assert done.returncode == NETWORK and not done.stdout, done
            assert f"nobody to ask: {reason}" in last and "--bootstrap" in last, done
        started = time.monotonic()
        refused(NETWORK, "dht", "lookup", LOCAL, f"--state-dir={here}",
                "--bootstrap=192.0.2.1:6881", HASH)
        assert time.monotonic() - started < 5  # nothing to wait for


def cut_short(process, seconds):
    """Interrupts it after a while; what it wrote."""
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == PARTIAL and b"interrupted before" in err, (out, err)
    return out


def test_interrupted():
    with skep.silent_port(socket.SOCK_DGRAM) as port, skep.folder() as here:
        options = [LOCAL, f"--state-dir={here}", f"--bootstrap=127.0.0.1:{port}"]
        assert not cut_short(skep.start("dht", "get", *options, "--key=x"), 0.5)
        commands = [("put", "--key=x"), ("put", "--key=x", "--keep"), ("get", "--key=x"),
                    ("peers", HASH), ("announce", "--port=5000", HASH), ("scrape", HASH),
                    ("announce", "--port=5000", "--keep", HASH), ("lookup", HASH), ("sample",),
                    ("size",), ("put", "--key=x", "--via=announce"),
                    ("get", "--key=x", "--via=announce")]
        several = {words: skep.start("dht", words[0], *options, "--format=json", *words[1:])
                   for words in commands}
        silent = "ping", f"127.0.0.1:{port}"
        several[silent] = skep.start("dht", "ping", LOCAL, "--format=json", silent[1])
        jsonl = skep.start("dht", "crawl", *options)
        time.sleep(3)  # so many take their time to begin
        for words, process in several.items():
            document = valid(words[0], json.loads(cut_short(process, 0)))
            assert document["stopped"] == "interrupted", document
            assert document.get("complete", False) is False, document
        assert valid("crawl", json.loads(cut_short(jsonl, 0)))["stopped"] == "interrupted"


def test_time_runs_out():
    """In the middle of a search: a node of the network is there, and others that are silent."""
    net = network()
    assert net.document("lookup", HASH)["stopped"] == "done"
    with skep.silent_port(socket.SOCK_DGRAM) as port, skep.folder() as here:
        for command, *more in ("lookup", HASH), ("peers", HASH), ("scrape", HASH), ("size",), \
                ("announce", "--port=5000", HASH), ("get", "--key=nothing"), \
                ("put", "--key=late", "--via=announce"):
            done = run("dht", command, *net.options, "--format=json", "--rate=4", "--time=3",
                       "--progress=none", *more, data=b"x" * 100 if command == "put" else b"")
            document = valid(command, json.loads(done.stdout))
            assert done.returncode == PARTIAL and document["stopped"] == "time", done
            assert "time ran out before" in done.stderr, done
        process = run("dht", "ping", LOCAL, "--time=0.3", f"127.0.0.1:{port}")
        assert process.returncode == NETWORK and "no answer in 300 ms" in process.stderr, process
        assert "no answer" in refused(NETWORK, "dht", "sample", LOCAL, "--time=0.3",
                                      f"127.0.0.1:{port}")


def test_the_end_comes_once():
    """A search ends in the same moment as the time that it had: one of the two is told."""
    target = bytes.fromhex(HASH)
    commands = ("lookup", HASH), ("scrape", HASH), ("announce", "--port=5000", HASH)
    with skep.folder() as here, contextlib.ExitStack() as stack:
        several = []
        for i, (command, *more) in enumerate(commands):
            port, queries = stack.enter_context(
                stub(lambda query: None if target in query else b"5:nodes0:"))
            process = skep.start("dht", command, LOCAL, f"--bootstrap=127.0.0.1:{port}",
                                 f"--state-dir={here}/{i}", "--format=json", "--time=3", *more)
            while sum(target in query for query in queries) < 2:  # it is asked once more
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.send_signal(signal.SIGSTOP)
            several.append((command, process))
        time.sleep(5)
        for command, process in several:
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate(timeout=20)
            codes = {"time": PARTIAL, "done": NETWORK}  # whichever came first
            assert process.returncode == codes[valid(command, json.loads(out))["stopped"]], out
            assert err.count(b"skep: ") == 1, err


def test_nodes_that_are_of_no_use():
    """They answer, and not what is asked."""
    def answer(query):
        return None if b"find_node" in query else 204 if b"sample" in query else b""
    link = f"magnet:?xs=urn:btpk:{'42' * 32}"
    with skep.folder() as here:
        alone = [LOCAL, f"--state-dir={here}"]
        line = refused(NETWORK, "dht", "lookup", *alone, "--bootstrap=[::1]:6881", HASH)
        assert "[::1]:6881: not an address in our networks" in line
        with stub(answer) as (port, _), \
                stub(lambda query: 202 if b"4:ping" in query else None) as (other, _):
            line = run("dht", "lookup", *alone, f"--bootstrap=localhost:{port}", "--time=5",
                       f"--bootstrap=localhost:{other}", HASH).stderr.splitlines()[-1]
            assert f"localhost:{port}: is there, and tells of no node; " in line, line
            assert f"localhost:{other}: answers with errors" in line, line
        with stub(lambda query: 202 if b"find_node" in query else 201) as (port, _):
            line = refused(NETWORK, "dht", "sample", LOCAL, f"127.0.0.1:{port}")
            assert "error 201" in line
        with stub(lambda query: b"5:nodes0:" if b"find_node" in query else 204) as (port, queries):
            options = [LOCAL, f"--state-dir={here}/another", f"--bootstrap=127.0.0.1:{port}"]
            assert "no node answered (1 asked)" in refused(NETWORK, "dht", "sample", *options)
            assert "refuse" in refused(NETWORK, "dht", "peers", *options, link)
            line = refused(NETWORK, "dht", "announce", "--port=5000", *options, HASH)
            assert "(1 asked, 0 answered, 1 refused)" in line
            assert sum(b"1:q3:get" in query for query in queries) == 1, queries


def test_sample_says_null_where_nothing_was_said():
    with skep.silent_port(socket.SOCK_DGRAM) as port:
        done = run("dht", "sample", LOCAL, "--format=json", "--time=0.3", f"127.0.0.1:{port}")
        document = valid("sample", json.loads(done.stdout))
        assert document["known"] is None and document["interval_s"] is None, document
    host = os.fsdecode(b"\xff.invalid:1")
    done = run("dht", "sample", LOCAL, "--format=json", host)
    document = valid("sample", json.loads(done.stdout))
    assert done.returncode == NETWORK and document["node"] == r"\xff.invalid:1", done
    assert "no such host" in done.stderr, done


# ---- wrong use ----

def test_commands():
    done = run("dht")
    assert done.returncode == USAGE and not done.stdout and "peers" in done.stderr
    assert "no command 'dht pears'" in refused(USAGE, "dht", "pears")
    done = run("dht", "--help")
    assert done.returncode == DONE and not done.stderr and done.stdout.count("  skep dht ") == 2
    for command in re.findall(r"^  ([a-z]+) ", done.stdout, re.M):
        if command not in ("skep", "echo"):
            one = run("dht", command, "--help")
            assert one.returncode == DONE and f"Usage: skep dht {command}" in one.stdout, one
            assert "Exit codes: 0" in one.stdout and not one.stderr, one


def test_each_wrong_value_is_named():
    wrong = {
        "put": {"--key": [""], "--secret": [""], "--salt": ["x" * 65], "--via": ["", "pigeon"],
                "--seq": ["", "-1", "x", "9223372036854775808"], "--cas": ["-1", "1x"]},
        "get": {"--key": [""], "--public-key": ["", "00", "g" * 64], "--hash": ["", "0" * 39],
                "--salt": ["x" * 65], "--via": ["mail"], "--output": [""], "--format": ["csv"]},
        "announce": {"--port": ["", "0", "65536", "x"]},
        "lookup": {"--family": ["5", ""], "--rate": ["0", "-1", "x", ""], "--time": ["0", "x"],
                   "--bootstrap": ["", "host", "host:0", ":1", "host:x"], "--state-dir": [""],
                   "--bind": ["nonsense"], "--port": ["65536"], "--format": ["jsonl", "xml"],
                   "--progress": ["some"]},
        "sample": {"--limit": ["0", "x", "1000001"]},
        "crawl": {"--limit": ["0"], "--db": [""], "--format": ["json"]},
        "size": {"--precision": ["0", "51", "x"]},
    }
    needed = {"lookup": [HASH], "announce": [HASH], "get": ["--key=a"]}
    for command, options in wrong.items():
        for option, values in options.items():
            for value in values:
                line = refused(USAGE, "dht", command, *needed.get(command, []),
                               f"{option}={value}")
                assert option in line and "expected" in line, line


def test_options_that_do_not_go_together():
    wrong = [
        ("put", []), ("put", ["--key=a", "--immutable"]), ("put", ["--key=a", "--secret=b"]),
        ("put", ["--key=a", "--new-secret"]), ("put", ["--key=a", "--salt=b"]),
        ("put", ["--key=a", f"--torrent={HASH}"]), ("put", ["--immutable", "--seq=1"]),
        ("put", ["--immutable", "--cas=1"]), ("put", ["--immutable", "--via=announce"]),
        ("put", ["--key=a", "--via=announce", "--raw"]), ("put", ["--key=a", "file", "another"]),
        ("put", ["--secret=a", f"--torrent={HASH}", "file"]),
        ("get", []), ("get", ["--key=a", f"--hash={HASH}"]), ("get", ["--key=a", "--salt=b"]),
        ("get", [f"--hash={HASH}", "--via=announce"]), ("get", ["--key=a", "argument"]),
        ("get", ["--key=a", "--output=x", "--format=json"]),
        ("peers", []), ("peers", [HASH, HASH]), ("scrape", []), ("announce", ["--port=1"]),
        ("announce", [HASH]), ("lookup", []), ("lookup", ["short"]), ("lookup", [HASH, HASH]),
        ("ping", []), ("ping", ["a:1", "b:2"]), ("sample", ["a:1", "b:2"]),
        ("lookup", [LOCAL, "--family=6", HASH]), ("size", ["--bind=::1", "--family=4"]),
        ("node", ["argument"]), ("crawl", ["argument"]), ("size", ["argument"]),
    ]
    for command, arguments in wrong:
        assert refused(USAGE, "dht", command, *arguments)


def test_secrets_that_are_none():
    with skep.folder() as here:
        line = refused(FAILED, "dht", "put", f"--secret={here}/none")
        assert "--new-secret" in line
        secret = here / "secret"
        for wrong in b"", b"short", bytes(31), bytes(33), bytes(64), b"0" * 63, bytes(5000), \
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n":
            secret.write_bytes(wrong)
            assert "secret" in refused(FAILED, "dht", "put", f"--secret={secret}")
        secret.write_bytes(bytes(64))
        assert "64 bytes" in refused(FAILED, "dht", "put", f"--secret={secret}")


# ---- nodes that join and leave: last, because the others then know of dead ones ----

def test_node_ends_with_a_document_and_keeps_its_id():
    net = network()
    with skep.folder() as here:
        ids = []
        for _ in range(2):
            node = Node(here / "node", f"--bootstrap={net.nodes[0].address}", "--format=json")
            node.wait_for("ready")
            code, out = node.stop()
            document = valid("node", json.loads(out))
            assert code == DONE and document["port"] == node.port, document
            assert document["ipv4"]["standing"] == "ready" and document["ipv4"]["good"] > 3
            ids.append(document["ipv4"]["id"])
        assert ids[0] == ids[1]
        saved = here / "node/dht.nodes"
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        assert os.listdir(here / "node") == ["dht.nodes"]


def test_live_table():
    net = network()
    parent, child = pty.openpty()
    with skep.folder() as here:
        process = subprocess.Popen(
            [skep.SKEP, "dht", "node", LOCAL, f"--bootstrap={net.nodes[0].address}", "--time=2",
             f"--state-dir={here}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=child, env=skep.environment(TERM="xterm", COLUMNS="80"))
        os.close(child)
        text = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(parent, 65536):
                text += chunk
        process.communicate(timeout=20)
        assert process.returncode == DONE
    for expected in b"BITS SHARED", b"TRAFFIC", b"find_node", b"IPv4", b"\x1b[":
        assert expected in text, (expected, text[-3000:])


def test_keep():
    net = network()
    process = skep.start("dht", "put", *net.options, "--key=kept", "--keep",
                         stdin=subprocess.PIPE)
    process.stdin.write(b"alive")
    process.stdin.close()
    for line in process.stderr:
        if b"kept alive" in line:
            break
    assert net.bytes("--key=kept") == b"alive"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == DONE
    process.stdout.close()
    process.stderr.close()


# ---- links that name a public key (BEP 46) ----

def pointer(net, here, torrent, *options):
    """A link that points to it, by the secret in this folder."""
    key = net.put(f"--secret={here}/secret", "--new-secret", f"--torrent={torrent}",
                  *options).stdout.strip()
    return f"magnet:?xs=urn:btpk:{key}"


def test_pointers_are_followed():
    net = network()
    with skep.folder() as here:
        for number, name in enumerate((b"pointed to", b"and then to this")):  # the second replaces
            torrent = hashlib.sha1(name).hexdigest()
            link = pointer(net, here, torrent)
            document = net.document("announce", f"--port={5100 + number}", link)
            assert document["target"] == torrent
            for document in net.document("peers", link), net.document("peers", torrent), \
                    net.document("peers", "-", data=f"{link}\n".encode()):
                assert document["target"] == torrent, document
                assert document["peers"] == [f"127.0.0.1:{5100 + number}"], document
            assert net.document("scrape", link)["target"] == torrent
        done = net.put(f"--secret={here}/other", "--new-secret", f"--torrent={link}")
        assert net.bytes(f"--public-key={done.stdout.strip()}") == \
            b"d2:ih20:" + bytes.fromhex(torrent) + b"e"


def test_pointers_with_salts():
    net = network()
    with skep.folder() as here:
        salts = "", "a page", "x" * 64
        for salt in salts:
            options = [f"--salt={salt}"] if salt else []
            link = pointer(net, here, hashlib.sha1(salt.encode()).hexdigest(), *options)
        for salt in salts:
            document = net.document("peers", f"{link}&s={salt.encode().hex()}", code=NOTHING)
            assert document["target"] == hashlib.sha1(salt.encode()).hexdigest()
        line = refused(NOTHING, "dht", "peers", *net.options, f"{link}&s=00")
        assert "nothing is stored" in line and "salt" in line
        assert "salt" in refused(CORRUPT, "dht", "peers", *net.options, f"{link}&s=0")
        link = f"{link}&xt=urn:btih:{HASH}"  # that is the torrent: nobody is asked for another
        assert net.document("peers", link, code=NOTHING)["target"] == HASH


def test_pointers_to_no_torrent():
    net = network()
    values = {b"d2:ih32:" + bytes(32) + b"e": "32 bytes", b"20:" + bytes(20): "20 bytes",
              b"d2:ih19:" + bytes(19) + b"e": "20 bytes", b"d2:ihi1ee": "20 bytes"}
    with skep.folder() as here:
        for value, why in values.items():
            key = net.put(f"--secret={here}/secret", "--new-secret", "--raw",
                          data=value).stdout.strip()
            link = f"magnet:?xs=urn:btpk:{key}"
            line = refused(CORRUPT, "dht", "peers", *net.options, link)
            assert "no torrent" in line and why in line, line
        net.put(f"--secret={here}/secret", "--raw",
                data=b"d2:ih20:" + bytes.fromhex(HASH) + b"5:other959:" + bytes(959) + b"e")
        assert net.document("peers", link, code=NOTHING)["target"] == HASH


def test_pointers_audited():
    net = network()
    audit = ["audit", *net.options, "--no-lsd", "--no-trackers", "--no-pex", "--format=json",
             "--progress=none", "--time=6"]  # by then it has seen what is looked for, ended or not
    dht = {"SKEP_NO_DHT": "no"}
    with skep.folder() as here, skep.lab("[peers a]\nkind = seed\n") as (lab, _):
        truth = json.loads((lab / "truth.json").read_text(encoding="utf-8"))
        name, [peer] = truth["torrent"]["info_hash"], truth["peers"]
        host, _, port = peer["address"].rpartition(":")
        link = pointer(net, here, lab / "lab.torrent")
        assert "--no-dht" in refused(NETWORK, *audit, link)  # as the environment says
        # What else the link says is still said.
        done = run(*audit, f"{link}&x.pe={peer['address']}", env=dht)
        document = skep.report(done.stdout)
        assert done.returncode in (DONE, PARTIAL) and not done.stderr, done
        assert document["swarm"]["info_hash"] == name, document["swarm"]
        [found] = document["peers"]
        assert found["address"] == peer["address"] and found["state"] == "served", found
        net.dht("announce", f"--bind={host}", f"--port={port}", link)
        done = run(*audit, link, env=dht)
        [found] = skep.report(done.stdout)["peers"]
        assert found["address"] == peer["address"] and found["sources"] == ["dht"], found


def test_pointers_without_anybody():
    link = f"magnet:?xs=urn:btpk:{'42' * 32}"
    env = {"SKEP_NO_DHT": "no"}
    with skep.silent_port(socket.SOCK_DGRAM) as port, skep.folder() as here:
        alone = [LOCAL, f"--state-dir={here}"]
        silent = [*alone, f"--bootstrap=127.0.0.1:{port}"]
        for command in ("audit",), ("dht", "peers"):
            assert "--bootstrap" in refused(NETWORK, *command, *alone, link, env=env)
            line = refused(NETWORK, *command, *silent, "--time=1", link, env=env)
            assert "nobody there answers" in line
            process = skep.start(*command, *silent, "--progress=json", link, env=env)
            first = json.loads(process.stderr.readline())
            assert first["type"] == "progress" and "link" in first["what"], first
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            assert process.returncode == PARTIAL and not out and b"it ended before" in err, err


def test_keep_announcing():
    net = network()
    target = hashlib.sha1(b"kept").hexdigest()
    kept = {("announce", "--port=5000", "--keep", target): b"announced again every",
            ("put", "--key=kept by ports", "--via=announce", "--keep"): b"kept alive"}
    for words, said in kept.items():
        process = skep.start("dht", words[0], *net.options, "--format=json", *words[1:])
        line = next((line for line in process.stderr if said in line), None)
        assert line, words
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == DONE and not err, (out, err)
        assert valid(words[0], json.loads(out))["stopped"] == "done"
    assert net.dht("peers", target).stdout == "127.0.0.1:5000\n"
    with open("/dev/full", "wb") as full:
        done = run("dht", "announce", *net.options, "--port=5000", "--keep", target, stdout=full)
    assert done.returncode == STORAGE and "No space left" in done.stderr, done
    assert "again" not in done.stderr, done


if __name__ == "__main__":
    try:
        CODE = skep.main(globals())
    finally:
        end_network()
    sys.exit(CODE)
