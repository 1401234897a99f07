"""A host whose only way out is a SOCKS5 proxy, and the proxies: dante (CONNECT and UDP ASSOCIATE)
and microsocks (CONNECT, with an account)."""

import os
import re
import subprocess

from lab.client import wait_for
from lab.namespaces import Host, _propagation, _run, _run_in

INNER, OUTER = "192.168.77.2", "192.168.77.1"
DANTE, MICROSOCKS = 1080, 1081
USER, PASSWORD = "skep", "p@ss:word"

DANTE_CONF = f"""logoutput: stderr
internal: {OUTER} port = {DANTE}
external: {{external}}
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: root
client pass {{{{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}}}
socks pass {{{{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: {{commands}} }}}}
socks pass {{{{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: bindreply udpreply }}}}
"""

# Whatever leaves the inner host, or is said on it to itself, and is not for a proxy.
LEAKS = f"""table inet leaks {{
    chain out {{
        type filter hook output priority 0; policy accept;
        ip daddr {OUTER} tcp dport {{ {DANTE}, {MICROSOCKS} }} counter name proxied accept
        ip daddr {OUTER} udp dport != 53 counter name relayed accept
        meta l4proto {{ tcp, udp, igmp }} counter name leaked drop
    }}
    counter proxied {{ }}
    counter relayed {{ }}
    counter leaked {{ }}
}}
"""


class Enclave:
    """The inner host and the proxy's, which stands on the network as well."""

    def __init__(self, network, folder, names):
        """names: what the proxy's host can look up, and nobody else: a dictionary of addresses."""
        self.folder, self.processes = folder, []
        self.outer = network.add_host("proxy", "10.99.0.2")
        _run("ip", "netns", "add", "inner")
        _run_in("proxy", "ip", "link", "add", "in0", "type", "veth", "peer", "name", "eth0",
                "netns", "inner")
        _run_in("proxy", "ip", "-batch", "-",
                text=f"addr add {OUTER}/24 dev in0\nlink set in0 up\n")
        _run_in("inner", "ip", "-batch", "-",
                text=f"link set lo up\nlink set eth0 up\naddr add {INNER}/24 dev eth0\n"
                     f"route add default via {OUTER}\n")
        _run_in("inner", "nft", "-f", "-", text=LEAKS)
        self.inner = Host("inner", INNER)
        self.hosts = self._file("hosts", "".join(f"{a} {n}\n" for n, a in names.items()))
        # A name server that would be asked over the way that is forbidden.
        self.resolv = self._file("resolv.conf", f"nameserver {OUTER}\n")

    def _file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as out:
            out.write(text)
        return path

    def _popen(self, host, argv, files, **options):
        """With these files in place of the machine's in /etc."""
        mounts = "".join(f"mount --bind {path} /etc/{name} && " for name, path in files.items())
        return host.popen(["unshare", "--mount", *_propagation(), "sh", "-c",
                           mounts + 'exec "$@"', "sh", *argv], **options)

    def _start(self, name, argv, port):
        with open(os.path.join(self.folder, name + ".log"), "wb") as log:
            process = self._popen(self.outer, argv, {"hosts": self.hosts}, stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log)
        self.processes.append(process)
        wait_for(name, lambda: self.outer.connect((OUTER, port)).close() or True, 10)

    def start_dante(self, udp=True):
        commands = "bind connect udpassociate" if udp else "bind connect"
        conf = self._file("danted.conf",
                          DANTE_CONF.format(external=self.outer.ipv4, commands=commands))
        self._start("dante", ["danted", "-f", conf], DANTE)

    def start_microsocks(self):
        self._start("microsocks", ["microsocks", "-i", OUTER, "-p", str(MICROSOCKS), "-u", USER,
                                   "-P", PASSWORD], MICROSOCKS)

    def skep(self, *argv, **options):
        """skep on the inner host, which knows no name."""
        return self._popen(self.inner, [os.environ["SKEP"], *argv],
                           {"hosts": "/dev/null", "resolv.conf": self.resolv},
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, **options)

    def counter(self, name):
        """How many packets it has counted."""
        said = subprocess.run(self.inner.argv(["nft", "list", "counter", "inet", "leaks", name]),
                              capture_output=True, text=True, check=True).stdout
        return int(re.search(r"packets (\d+)", said)[1])

    def listeners(self):
        """The TCP sockets of the inner host that wait for connections."""
        said = subprocess.run(self.inner.argv(["cat", "/proc/thread-self/net/tcp",
                                               "/proc/thread-self/net/tcp6"]),
                              capture_output=True, text=True, check=True).stdout
        return [line.split()[1] for line in said.splitlines() if line.split()[3] == "0A"]

    def stop_proxies(self):
        for process in self.processes:
            process.terminate()
            process.wait(10)
        self.processes = []
