"""A whole swarm of known truth, and the audit of it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from lab import namespaces
from lab.addresses import AUDITOR, TRACKER
from lab.client import wait_for
from lab.opentracker import Opentracker
from lab.torrents import Torrent

FOLDER = "/run/lab"  # gone with the private /run of the test
V4, V6, DUAL = "v4", "v6", "dual"


class Audit:
    """What one run of skep gave."""

    def __init__(self, code, report, errors, seconds):
        self.code, self.report, self.errors, self.seconds = code, report, errors, seconds

    def complaints(self):
        """What it said on stderr, but not pages of it."""
        return "\n".join(self.errors.splitlines()[:40])

    def save(self, folder, name):
        """Keep the report in a folder, where one is given."""
        if folder:
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, name + ".json"), "w") as out:
                json.dump(self.report, out, indent=1)


class Swarm:
    """The lab's network, its tracker, its clients and the auditor's place in it.

    Use it as a context manager: whatever happens inside, everything is stopped at the end.
    """

    def __init__(self):
        self.folder = FOLDER
        os.mkdir(self.folder)
        self.clients, self.tracker = [], None
        self.network = namespaces.Network()
        self.auditor = self.network.add_host("auditor", *AUDITOR)

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        return self

    def __exit__(self, *_):
        running = self.clients + ([self.tracker] if self.tracker else [])
        for one in running:  # all are told first, so that they end side by side
            with contextlib.suppress(OSError):
                one.process and one.process.terminate()
        for one in running:
            one.stop()

    def make_torrent(self, name, kind, files, piece_size):
        """The torrent of this swarm, with the tracker's addresses in it."""
        host = self.network.add_host("tracker", TRACKER)
        self.tracker = Opentracker(host, self.folder)
        self.torrent = Torrent(self.folder, name, kind, files, piece_size,
                               [self.tracker.http_url, self.tracker.udp_url])
        self.tracker.allow(self.torrent.info_hashes())

    def add(self, kind, name, family=V4, files=None, held=None, **options):
        """One more client. It holds files, or the pieces in held, or everything."""
        number = len(self.clients) + 1
        host = self.network.add_host(name, f"10.99.1.{number}" if family != V6 else None,
                                     f"fd99::1:{number}" if family != V4 else None)
        if held is None:
            held = self.torrent.pieces_of(*files) if files else self.torrent.all_pieces()
        client = kind(host, self.torrent, self.folder, held, files=files, **options)
        self.clients.append(client)
        return client

    def start(self, center):
        """Start all; center is then connected to all others, who hear of one another from it.

        center never gets a piece: it stays a leecher, with a reason to keep every connection.
        """
        others = [c for c in self.clients if c is not center]
        self.network.starve(center.host, [a for c in others for a in c.host.addresses()])
        self.tracker.start()
        for client in self.clients:
            client.start()
        for client in self.clients:
            client.settle()
        center.meet([c.endpoints()[0] for c in others])
        for client in others:
            wait_for(f"{center.name} meets {client.name}", lambda: self._met(center, client))
        center.calm()

    @staticmethod
    def _met(center, client):
        """Whether center is connected to client and has been told of all its pieces."""
        return any(peer["address"].rsplit(":", 1)[0].strip("[]") in client.host.addresses()
                   and set(peer["pieces"]) == client.held for peer in center.peers())

    def audit(self, *arguments, seconds=40):
        """Run skep audit on the auditor's host."""
        argv = [os.environ["SKEP"], "audit", *arguments, "--format=json", "--progress=none",
                f"--time={seconds}"]
        env = {"SKEP_NO_DHT": "yes", **os.environ}
        start = time.monotonic()
        done = subprocess.run(self.auditor.argv(argv), capture_output=True, env=env,
                              timeout=seconds + 20)
        spent = time.monotonic() - start
        try:
            report = json.loads(done.stdout)
        except ValueError:
            report = None
        return Audit(done.returncode, report, done.stderr.decode("utf-8", "replace"), spent)
