"""skep get, or skep seed for one that holds all."""

import json
import os
import signal
import subprocess

from lab.client import PORT, Client, wait_for


class Skep(Client):
    shows_as = "skep"

    def __init__(self, *args, options=(), transport="tcp,utp", **more):
        """options: more of the command line."""
        super().__init__(*args, transport=transport, **more)
        self.options = options

    def start(self):
        seeds = self.held == self.torrent.all_pieces()
        argv = [os.environ["SKEP"], "seed" if seeds else "get", self.magnet or self.torrent.path,
                *([self.data] if seeds else ["--output=" + self.data]), "--no-dht", "--no-lsd",
                f"--port={PORT}", f"--state-dir={self.folder}/state", "--format=json",
                "--progress=json", "--encryption=" + self.encryption,
                "--transport=" + self.transport, *self.options]
        self.report = self.code = None
        if self.up_limit:
            argv.append(f"--up-limit={self.up_limit}")
        self.launch(argv, stdout=subprocess.PIPE, text=True)

    def settle(self):
        """Until it says anything, a seed that it gives."""
        wait_for(f"{self.name}: start", lambda: self._progress() and self.share() >= bool(self.held))

    def _progress(self):
        """What it said last of how far it is."""
        with open(os.path.join(self.folder, "log")) as log:
            lines = [line for line in log.read().split("\n")[:-1] if line.startswith("{")]
        return json.loads(lines[-1]) if lines else None

    def share(self):
        said = self._progress()
        return said["share"] if said else 0

    def given(self):
        return self.told()["given"]

    def told(self):
        """Its report on the torrent; ends it."""
        if self.report is None:
            self.stop()
        return self.report["torrents"][0]

    def complaints(self):
        """What it said on stderr but its progress."""
        with open(os.path.join(self.folder, "log")) as log:
            return "".join(line for line in log if not line.startswith("{"))

    def wait(self, seconds):
        """Until it ends by itself."""
        self._end(seconds)

    def stop(self):
        if self.process and self.code is None:
            self.process.send_signal(signal.SIGINT)
            self._end(20)

    def _end(self, seconds):
        try:
            said = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            said = self.process.communicate()[0]
        self.code = self.process.returncode
        self.report = json.loads(said) if said else {"torrents": [{}]}
