"""opentracker, as Debian builds it: IPv4 only, and only torrents on its list."""

import os
import time

PORT = 6969


def can_change_user():
    """Whether this process may become someone else: not so with only one user mapped."""
    with open("/proc/self/uid_map") as lines:
        return sum(int(line.split()[2]) for line in lines) > 1


class Opentracker:
    def __init__(self, host, folder):
        self.host = host
        self.folder = os.path.join(folder, "opentracker")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        self.process = None

    def allow(self, info_hashes):
        """Name the torrents that it serves; before it starts."""
        with open(os.path.join(self.folder, "whitelist"), "w") as out:
            out.write("".join(h + "\n" for h in info_hashes))

    @property
    def http_url(self):
        return f"http://{self.host.ipv4}:{PORT}/announce"

    @property
    def udp_url(self):
        return f"udp://{self.host.ipv4}:{PORT}/announce"

    def start(self):
        # It refuses to stay root. As true root it changes root to the folder (the list is named as
        # seen from there) and becomes nobody. In a user namespace there is no nobody: there it is
        # started as a plain user, which also means that it cannot change root.
        if can_change_user():
            argv, whitelist = [], "/whitelist"
        else:
            argv = ["unshare", "--user", "--map-user=1000"]
            whitelist = os.path.join(self.folder, "whitelist")
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = self.host.popen(
                argv + ["opentracker", "-i", self.host.ipv4, "-p", PORT, "-P", PORT,
                        "-d", self.folder, "-w", whitelist], stdout=log, stderr=log)
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
