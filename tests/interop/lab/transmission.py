"""transmission-daemon, driven through its RPC.

Only for v1 torrents: Transmission 3.00 takes the empty key of a hybrid torrent's file tree for an
error.
"""

import base64
import json
import os

from lab.client import PORT, Client, post_json, wait_for
from lab.torrents import pieces_from_bits

RPC_PORT = 9091
STOPPED, CHECKING = 0, 2  # a torrent's states; those above are downloading and seeding


class Transmission(Client):
    shows_as = "Transmission 3.00"

    def settings(self):
        return {
            "peer-port": PORT, "rpc-port": RPC_PORT, "rpc-bind-address": "127.0.0.1",
            "rpc-authentication-required": False, "rpc-whitelist-enabled": False,
            "bind-address-ipv4": self.host.ipv4 or "127.0.0.1",
            "bind-address-ipv6": self.host.ipv6 or "::1",
            "download-dir": self.data, "incomplete-dir-enabled": False,
            "rename-partial-files": False, "preallocation": 0,
            "encryption": {"off": 0, "prefer": 1, "require": 2}[self.encryption],
            "dht-enabled": False, "lpd-enabled": self.lsd, "pex-enabled": True,
            "utp-enabled": self.transport == "utp", "port-forwarding-enabled": False,
            "upload-slots-per-torrent": 50, "ratio-limit-enabled": False,
            "idle-seeding-limit-enabled": False, "seed-queue-enabled": False,
            "download-queue-enabled": False, "speed-limit-up-enabled": self.up_limit is not None,
            "speed-limit-up": (self.up_limit or 0) // 1000,
        }

    def start(self):
        with open(os.path.join(self.folder, "settings.json"), "w") as out:
            json.dump(self.settings(), out)
        self._session = ""
        self.launch(["transmission-daemon", "--foreground", "--config-dir", self.folder])

    def _call(self, method, **arguments):
        body = {"method": method, "arguments": arguments}
        while True:
            status, headers, answer = post_json(self.host, ("127.0.0.1", RPC_PORT),
                                                "/transmission/rpc", body,
                                                {"X-Transmission-Session-Id": self._session})
            if status != 409:
                break
            self._session = headers["X-Transmission-Session-Id"]
        if not answer or answer["result"] != "success":
            raise RuntimeError(f"{self.name}: {method}: {status} {answer}")
        return answer["arguments"]

    def _status(self):
        return self._call("torrent-get", fields=["status", "pieces"])["torrents"][0]

    def settle(self):
        wait_for(f"{self.name}: RPC", lambda: self._call("session-get"))
        if self.magnet:
            self._call("torrent-add", **{"filename": self.magnet, "download-dir": self.data})
            return
        add = {"filename": self.torrent.path, "paused": True, "download-dir": self.data}
        if self.files is not None:
            add["files-unwanted"] = self._unwanted()
        self._call("torrent-add", **add)
        self._call("torrent-verify")
        wait_for(f"{self.name}: verification", lambda: self._status()["status"] == STOPPED and
                 self.pieces() == self.held)
        self._call("torrent-start-now")
        wait_for(f"{self.name}: start", lambda: self._status()["status"] > CHECKING)

    def _unwanted(self):
        return [i for i, name in enumerate(self.torrent.file_names) if name not in self.files]

    def pieces(self):
        bits = base64.b64decode(self._status()["pieces"])
        bits = bits.ljust((self.torrent.pieces + 7) // 8, b"\0")  # a link without metadata: none
        return pieces_from_bits(bits, self.torrent.pieces)

    def held_bytes(self):
        has = self._call("torrent-get", fields=["haveValid", "haveUnchecked"])["torrents"][0]
        return has["haveValid"] + has["haveUnchecked"]

    def given(self):
        return self._call("torrent-get", fields=["uploadedEver"])["torrents"][0]["uploadedEver"]
