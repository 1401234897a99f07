"""WebTorrent, the npm package, in a process of its own, driven by lines of JSON.

Version 1.9.7 knows v1 alone. It prefers encrypted streams over TCP but cannot insist on them, and
over uTP it has none.
"""

import os
import subprocess

from lab.client import PORT, Client, wait_for
from lab.npm import npm_module
from lab.orders import give_order

HERE = os.path.dirname(os.path.abspath(__file__))


class WebTorrent(Client):
    shows_as = "WebTorrent"

    def start(self):
        self.launch(["node", os.path.join(HERE, "webtorrent_peer.js")],
                    env={"WEBTORRENT_MODULE": npm_module("webtorrent")},
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._ask("start", port=PORT, torrent=self.magnet or self.torrent.path, data=self.data,
                  encryption=self.encryption, transport=self.transport, up_limit=self.up_limit)

    def _ask(self, do, **order):
        return give_order(self.process, self.name, do, **order)

    def settle(self):
        if not self.magnet:
            wait_for(f"{self.name}: hash check", lambda: self._ask("status")["ready"])

    def pieces(self):
        return set(self._ask("status")["pieces"])

    def given(self):
        return self._ask("status")["given"]
