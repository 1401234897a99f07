"""aria2, driven through its JSON-RPC.

Only for v1 torrents: aria2 1.36 drops the empty key of a hybrid torrent's file tree when it works
out the info-hash, and so joins a swarm that nobody else is in.
"""

from lab.client import PORT, Client, post_json, wait_for
from lab.torrents import pieces_from_bits

RPC_PORT = 6800


class Aria2(Client):
    shows_as = "aria2"

    def start(self):
        argv = ["aria2c", "--no-conf=true", "--enable-rpc=true", f"--rpc-listen-port={RPC_PORT}",
                f"--listen-port={PORT}", "--dir=" + self.data, "--seed-ratio=0.0",
                "--check-integrity=true", "--file-allocation=none", "--allow-overwrite=true",
                "--enable-dht=false", "--enable-dht6=false",
                "--bt-enable-lpd=" + ("true" if self.lsd else "false"),
                "--enable-peer-exchange=true", "--summary-interval=0", "--quiet=true"]
        if self.encryption == "require":
            argv += ["--bt-require-crypto=true", "--bt-min-crypto-level=arc4",
                     "--bt-force-encryption=true"]
        if self.files is not None:
            argv.append("--select-file=" + ",".join(str(i + 1) for i in self._wanted()))
        if self.up_limit:
            argv.append(f"--max-upload-limit={self.up_limit}")
        self.launch(argv + [self.magnet or self.torrent.path])

    def _wanted(self):
        return [i for i, name in enumerate(self.torrent.file_names) if name in self.files]

    def _call(self, method, *params):
        body = {"jsonrpc": "2.0", "id": "lab", "method": "aria2." + method, "params": params}
        # It listens only on the loopback address of the families that the host has beside it.
        address = ("127.0.0.1" if self.host.ipv4 else "::1", RPC_PORT)
        answer = post_json(self.host, address, "/jsonrpc", body)[2]
        return answer and answer.get("result")

    def _status(self):
        active = self._call("tellActive")
        return active[0] if active else None

    def settle(self):
        wait_for(f"{self.name}: hash check", self._checked)

    def _checked(self):
        if not self.held:  # nothing to check; it may have begun to download
            return self._call("getVersion")
        status = self._status()
        busy = {"verifiedLength", "verifyIntegrityPending"}
        return status and not busy & status.keys() and self.pieces() == self.held

    def pieces(self):
        status = self._status()
        if not status or "bittorrent" not in status or "info" not in status["bittorrent"]:
            return set()  # what it has so far are pieces of the metadata, or nothing
        bits = bytes.fromhex(status.get("bitfield", ""))
        bits = bits.ljust((self.torrent.pieces + 7) // 8, b"\0")
        return pieces_from_bits(bits, self.torrent.pieces)

    def held_bytes(self):
        return int(self._status()["completedLength"])

    def given(self):
        return int(self._status()["uploadLength"])
