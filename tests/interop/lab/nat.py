"""Hosts behind a NAT that lets in nothing but answers to what was sent out, from there."""

from lab.namespaces import Host, _run, _run_in

RULES = """table ip nat {
    chain out {
        type nat hook postrouting priority 100;
        oifname "eth0" masquerade
    }
}
table ip filter {
    chain in {
        type filter hook input priority 0; policy accept;
        iifname "eth0" ct state new drop
    }
    chain through {
        type filter hook forward priority 0; policy drop;
        iifname "in0" accept
        ct state established,related accept
    }
}
"""


class Hidden:
    """A host, and the NAT before it, whose address (`public`) others see."""

    def __init__(self, network, name, public):
        box, number = name + "-nat", len(network.hosts)
        network.add_host(box, public)
        _run("ip", "netns", "add", name)
        _run_in(box, "ip", "link", "add", "in0", "type", "veth", "peer", "name", "eth0",
                "netns", name)
        net = f"192.168.{number}"
        _run_in(box, "ip", "-batch", "-", text=f"addr add {net}.1/24 dev in0\nlink set in0 up\n")
        _run_in(box, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        _run_in(box, "nft", "-f", "-", text=RULES)
        _run_in(name, "ip", "-batch", "-",
                text=f"link set lo up\nlink set eth0 up\naddr add {net}.2/24 dev eth0\n"
                     f"route add default via {net}.1\n")
        self.public = public
        self.host = Host(name, f"{net}.2")
