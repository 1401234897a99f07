"""opentracker, as Debian builds it: IPv4 only, and only torrents on its list."""

import os
import time

PORT = 6969


class Opentracker:
    def __init__(self, host, folder, info_hashes):
        self.host = host
        self.folder = os.path.join(folder, "opentracker")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        with open(os.path.join(self.folder, "whitelist"), "w") as out:
            out.write("".join(h + "\n" for h in info_hashes))
        self.process = None

    @property
    def http_url(self):
        return f"http://{self.host.ipv4}:{PORT}/announce"

    @property
    def udp_url(self):
        return f"udp://{self.host.ipv4}:{PORT}/announce"

    def start(self):
        # It changes root to the folder first, so the list is named as seen from there. The user
        # stays root: a user namespace has no other.
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = self.host.popen(
                ["opentracker", "-i", self.host.ipv4, "-p", PORT, "-P", PORT, "-u", "root",
                 "-d", self.folder, "-w", "/whitelist"], stdout=log, stderr=log)
        end = time.monotonic() + 5
        while True:
            try:
                self.host.connect((self.host.ipv4, PORT)).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(5)
