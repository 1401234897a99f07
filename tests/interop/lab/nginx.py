"""Web servers: one nginx that serves several addresses, each in its own way."""

import collections
import re
import subprocess
import time

Request = collections.namedtuple("Request", "host client path status bytes range")

HEAD = """daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/error.log; user root;
events {{ worker_connections 512; }}
http {{
    log_format lab escape=none '$server_addr $remote_addr $status $body_bytes_sent "$http_range" $uri';
    access_log {here}/access.log lab;
    client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fcgi;
    uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi; sendfile on; default_type text/plain;
"""


class Nginx:
    """sites: (address:port [and ssl], what stands in its server block)."""

    def __init__(self, here, sites):
        self.here = here
        here.mkdir()
        config = HEAD.format(here=here)
        for listen, body in sites:
            config += f"    server {{ listen {listen}; {body} }}\n"
        (here / "nginx.conf").write_text(config + "}\n")
        self.process = subprocess.Popen(["nginx", "-p", here, "-c", here / "nginx.conf"],
                                        stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        while not (here / "nginx.pid").exists() or not (here / "nginx.pid").read_text():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.process.communicate()[1].decode())
            time.sleep(0.05)

    def requests(self, host=None):
        """What was asked since the last call of clear(), as far as answers have ended."""
        found = []
        for line in (self.here / "access.log").read_text().splitlines():
            host_of, client, status, size, wanted, path = re.match(
                r'(\S+) (\S+) (\d+) (\d+) "([^"]*)" (.*)', line).groups()
            found.append(Request(host_of, client, path, int(status), int(size), wanted))
        return [r for r in found if host in (None, r.host)]

    def clear(self):
        with open(self.here / "access.log", "w"):
            pass

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
