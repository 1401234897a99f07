"""DHT nodes of several implementations, side by side on loopback, and what one can ask of them.

Each node has an address in a /24 of its own: libtorrent keeps one node of such a network. The
implementations that are libraries run many nodes in one process that is driven by lines of JSON;
skep's nodes are processes of `skep dht node`, and each question is a `skep dht` command of its own
that starts from one of them.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys

from lab.npm import npm_module
from lab.orders import give_order

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 6881
DER = {"secret": bytes.fromhex("302e020100300506032b657004220420")}


def addresses(network, count):
    """So many addresses, each in another /24."""
    return [f"127.{network}.{i}.1:{PORT}" for i in range(1, count + 1)]


class KeyPair:
    """An Ed25519 key pair; the public key is asked of openssl."""

    def __init__(self, label):
        self.seed = hashlib.sha256(label.encode()).digest()
        done = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"],
                              input=DER["secret"] + self.seed, capture_output=True, check=True)
        self.public = done.stdout[-32:]


class Library:
    """Many nodes in one process."""

    def __init__(self, name, argv, **environment):
        self.name = name
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1, env=dict(os.environ, **environment))

    def ask(self, do, **order):
        return give_order(self.process, self.name, do, **order)

    def start(self, where, known):
        self.count = len(where)
        self.ask("start", addresses=where, bootstrap=known[:3], known=known)

    def put(self, node, value, pair=None, salt=b"", seq=1):
        mutable = {"seed": pair.seed.hex(), "key": pair.public.hex(), "salt": salt.hex(),
                   "seq": seq} if pair else {}
        return self.ask("put", node=node, value=value.hex(), **mutable)["stored"]

    def get(self, node, target=None, pair=None, salt=b""):
        """The bytes of a stored byte string, or None."""
        what = ({"key": pair.public.hex(), "salt": salt.hex()} if pair else
                {"target": target.hex()})
        value = self.ask("get", node=node, **what)["value"]
        return bytes.fromhex(value["hex"]) if isinstance(value, dict) and "hex" in value else None

    def announce(self, node, target, port):
        self.ask("announce", node=node, target=target.hex(), port=port)

    def peers(self, node, target):
        return self.ask("peers", node=node, target=target.hex())["peers"]

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def libtorrent():
    return Library("libtorrent", [sys.executable, os.path.join(HERE, "dht_libtorrent.py")])


def npm():
    return Library("bittorrent-dht", ["node", os.path.join(HERE, "dht_npm.js")],
                   DHT_MODULE=npm_module("bittorrent-dht"))


class Skep:
    """Nodes of skep."""

    name = "skep"

    def __init__(self, folder, network):
        self.folder, self.network, self.asked = folder, network, 0
        self.processes = []

    def start(self, where, known):
        self.where = where
        for number, address in enumerate(where):
            host, port = address.rsplit(":", 1)
            bootstrap = [f"--bootstrap={a}" for a in (known + where)[:4] if a != address]
            log = open(os.path.join(self.folder, f"node{number}.log"), "wb")
            self.processes.append(subprocess.Popen(
                [os.environ["SKEP"], "dht", "node", f"--bind={host}", f"--port={port}",
                 "--progress=none", "--rate=unlimited",
                 f"--state-dir={self.folder}/node{number}", *bootstrap],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def run(self, node, *argv, text=None):
        """One command, from an address of its own, that knows only that node."""
        self.asked = self.asked % 250 + 1
        argv = [os.environ["SKEP"], "dht", *argv, f"--bootstrap={self.where[node]}",
                f"--bind=127.{self.network}.{self.asked}.1", "--progress=none", "--time=30",
                f"--state-dir={self.folder}/asker"]
        return subprocess.run(argv, input=text, capture_output=True, timeout=60)

    def put(self, node, value, pair=None, salt=b"", seq=1):
        """1 where it was stored, else 0."""
        what = ["--immutable"]
        if pair:
            path = os.path.join(self.folder, pair.public.hex())
            with open(path, "w") as out:
                out.write(pair.seed.hex() + "\n")
            os.chmod(path, 0o600)
            what = [f"--secret={path}", f"--seq={seq}"] + ([f"--salt={salt.decode()}"] if salt else [])
        return int(self.run(node, "put", *what, text=value).returncode == 0)

    def get(self, node, target=None, pair=None, salt=b""):
        what = [f"--public-key={pair.public.hex()}"] if pair else [f"--hash={target.hex()}"]
        done = self.run(node, "get", *what, *([f"--salt={salt.decode()}"] if salt else []))
        return done.stdout if done.returncode == 0 else None

    def announce(self, node, target, port):
        self.run(node, "announce", target.hex(), f"--port={port}")

    def peers(self, node, target):
        return self.run(node, "peers", target.hex()).stdout.decode().split()

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
