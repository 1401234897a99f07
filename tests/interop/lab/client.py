"""What all clients of the lab have in common."""

import http.client
import json
import os
import subprocess
import time

PORT = 6881


class Client:
    """One real client with one torrent. A subclass knows how to run and to question it.

    held are the pieces that it starts with, files those that it wants (None: all). encryption is
    "require", "off" or "prefer". unchokes is False for one that serves nobody (libtorrent only),
    lsd is True for one that takes part in local service discovery. transport is "tcp", or "utp" for
    one that takes that alone, or (Transmission, WebTorrent) that first. up_limit is in bytes a second. magnet is
    what it is given in place of the torrent file.
    """

    shows_as = None  # what the client calls itself to others
    one_identity = True  # whether its peer id shows that two addresses are the same peer

    def __init__(self, host, torrent, folder, held, files=None, encryption="prefer",
                 unchokes=True, lsd=False, transport="tcp", up_limit=None, magnet=None):
        self.host, self.torrent, self.held, self.files = host, torrent, held, files
        self.encryption, self.unchokes, self.lsd = encryption, unchokes, lsd
        self.transport, self.up_limit, self.magnet = transport, up_limit, magnet
        self.folder = os.path.join(folder, host.name)
        self.data = os.path.join(self.folder, "data")
        os.makedirs(self.data)
        torrent.place(self.data, held)
        self.process = None

    @property
    def name(self):
        return self.host.name

    def endpoints(self):
        return [f"[{a}]:{PORT}" if ":" in a else f"{a}:{PORT}" for a in self.host.addresses()]

    def launch(self, argv, env=None, **options):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            options.setdefault("stdin", subprocess.DEVNULL)
            options.setdefault("stdout", log)
            self.process = self.host.popen(
                argv, stderr=log, cwd=self.folder, env=dict(os.environ, **(env or {})), **options)

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def start(self):
        """Run the client; comes back before it is ready."""
        raise NotImplementedError

    def settle(self):
        """Wait until the client has checked its pieces and takes connections."""
        raise NotImplementedError

    def pieces(self):
        """The set of pieces that the client itself says it has."""
        raise NotImplementedError

    def share(self):
        """How much of the torrent the client itself says it has; 1 is all."""
        return len(self.pieces()) / self.torrent.pieces

    def held_bytes(self):
        """What it has, blocks of pieces under way included."""
        raise NotImplementedError

    def given(self):
        """The bytes of blocks that the client says it gave to others."""
        raise NotImplementedError


def wait_for(what, test, seconds=20):
    """Wait until test() is true; a refused or reset connection counts as not yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            if test():
                return
        except (OSError, http.client.HTTPException) as e:
            last = e
        else:
            last = None
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds} s ({last})")
        time.sleep(0.05)


def post_json(host, address, path, body, headers=None):
    """POST to a server on the host itself: (status, headers, answer or None)."""
    link = http.client.HTTPConnection(*address)
    link.sock = host.connect(address)
    try:
        link.request("POST", path, json.dumps(body), headers or {})
        answer = link.getresponse()
        data = answer.read()
        return answer.status, answer.headers, json.loads(data) if answer.status == 200 else None
    finally:
        link.close()
