"""libtorrent in a process of its own, driven by lines of JSON.

The module is both sides: the class is used by the tests, and main() runs in the peer's process.
"""

import json
import subprocess
import sys

import libtorrent as lt

from lab.client import PORT, Client

POLICY = {"require": lt.enc_policy.forced, "prefer": lt.enc_policy.enabled,
          "off": lt.enc_policy.disabled}
RECONNECT_S = 60  # libtorrent's own default


class LibtorrentPeer(Client):
    shows_as = "libtorrent"
    one_identity = False  # a new peer id for each connection

    def __init__(self, *args, wants_rest=False, **options):
        """wants_rest: ask for the pieces that are not held, instead of being content."""
        super().__init__(*args, **options)
        self.wants_rest = wants_rest

    def start(self):
        order = {"torrent": self.torrent.path, "magnet": self.magnet, "data": self.data, "held": sorted(self.held),
                 "wants_rest": self.wants_rest, "encryption": self.encryption,
                 "unchokes": self.unchokes, "lsd": self.lsd, "addresses": self.host.addresses(),
                 "transport": self.transport, "up_limit": self.up_limit}
        self.launch([sys.executable, "-m", "lab.libtorrent_peer"],
                    env={"PYTHONPATH": ":".join(sys.path)},
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._say(order)

    def _say(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def _ask(self, order):
        self._say(order)
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended")
        return json.loads(line)

    def settle(self):
        answer = self._answer()
        has = set(answer["pieces"])
        if has != self.held and not (self.wants_rest and has > self.held):
            raise RuntimeError(f"{self.name} has {answer} and should have {sorted(self.held)}")

    def pieces(self):
        return set(self._ask({"do": "status"})["pieces"])

    def held_bytes(self):
        return self._ask({"do": "status"})["held_bytes"]

    def given(self):
        return self._ask({"do": "status"})["given"]

    def peers(self):
        """What the client sees: a list of {"address": str, "pieces": [number]}."""
        return self._ask({"do": "status"})["peers"]

    def meet(self, endpoints):
        """Connect to these "address:port", trying again every second until calm()."""
        self._ask({"do": "meet", "endpoints": endpoints})

    def calm(self):
        self._ask({"do": "calm"})


def open_session(addresses, encryption, unchokes, lsd, transport, up_limit):
    """A session that keeps to the lab, unchokes all or nobody and keeps every connection."""
    utp = transport == "utp"
    forced = POLICY[encryption]
    level = lt.enc_level.rc4 if encryption == "require" else lt.enc_level.both
    session = lt.session({
        "listen_interfaces": ",".join(f"[{a}]:{PORT}" if ":" in a else f"{a}:{PORT}"
                                      for a in addresses),
        "enable_dht": False, "enable_lsd": lsd, "enable_upnp": False, "enable_natpmp": False,
        "enable_outgoing_utp": utp, "enable_incoming_utp": utp,
        "enable_outgoing_tcp": not utp, "enable_incoming_tcp": not utp,
        "in_enc_policy": int(forced), "out_enc_policy": int(forced),
        "allowed_enc_level": int(level),
        "upload_rate_limit": up_limit or 0,
        "unchoke_slots_limit": -1 if unchokes else 0, "allowed_fast_set_size": 0,
        "close_redundant_connections": False,
        "allow_multiple_connections_per_ip": False, "tracker_backoff": 0,
        "connection_speed": 200, "torrent_connect_boost": 100,
        "alert_mask": int(lt.alert.category_t.error_notification),
    })
    # All are in the global class; else those of private networks are all unchoked, at any rate.
    one_class = lt.ip_filter()
    one_class.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    one_class.add_rule("::", "ffff:" * 7 + "ffff", 1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(one_class)
    return session


def bits_to_pieces(bits):
    return [i for i, there in enumerate(bits) if there]


def describe(handle):
    peers = [{"address": "[%s]:%d" % p.ip if ":" in p.ip[0] else "%s:%d" % p.ip,
              "pieces": bits_to_pieces(p.pieces)}
             for p in handle.get_peer_info()]
    status = handle.status()
    return {"pieces": bits_to_pieces(status.pieces), "given": status.total_payload_upload,
            "held_bytes": status.total_done,
            "peers": peers}


def wait_checked(session, handle):
    while handle.status().state in (lt.torrent_status.checking_files,
                                    lt.torrent_status.checking_resume_data):
        session.wait_for_alert(50)
        session.pop_alerts()


def main():
    order = json.loads(sys.stdin.readline())
    session = open_session(order["addresses"], order["encryption"], order["unchokes"],
                           order["lsd"], order["transport"], order["up_limit"])
    params = lt.parse_magnet_uri(order["magnet"]) if order["magnet"] else lt.add_torrent_params()
    if not order["magnet"]:
        params.ti = lt.torrent_info(order["torrent"])
    params.save_path = order["data"]
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    held = set(order["held"])
    if not order["wants_rest"]:
        params.piece_priorities = [4 if i in held else 0 for i in range(params.ti.num_pieces())]
    handle = session.add_torrent(params)
    wait_checked(session, handle)
    print(json.dumps(describe(handle)), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "meet":
            session.apply_settings({"min_reconnect_time": 1})
            for endpoint in order["endpoints"]:
                address, port = endpoint.rsplit(":", 1)
                handle.connect_peer((address.strip("[]"), int(port)))
        elif order["do"] == "calm":
            session.apply_settings({"min_reconnect_time": RECONNECT_S})
        print(json.dumps(describe(handle)), flush=True)


if __name__ == "__main__":
    main()
