"""DHT nodes of libtorrent, many in one process, driven by lines of JSON (see lab/dht_nodes.py)."""

import hashlib
import json
import sys
import time

import libtorrent as lt

LIFTED = {"dht_upload_rate_limit": 10_000_000, "dht_block_ratelimit": 100_000}
QUIET = {"enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
         "enable_outgoing_tcp": False, "enable_incoming_utp": False, "enable_outgoing_utp": False}


def start(address, bootstrap):
    return lt.session(dict(QUIET, **LIFTED, **{
        "listen_interfaces": address, "enable_dht": True, "dht_bootstrap_nodes": ",".join(bootstrap),
        "dht_search_branching": 10, "alert_mask": int(lt.alert.category_t.dht_notification) |
        int(lt.alert.category_t.dht_operation_notification) |
        int(lt.alert.category_t.error_notification)}))


def expand(seed):
    """The 64-byte form of a secret key that libtorrent signs with."""
    h = bytearray(hashlib.sha512(seed).digest())
    h[0] &= 248
    h[31] = (h[31] & 63) | 64
    return bytes(h)


def wait(session, kinds, match, seconds):
    """The alerts of these kinds until one of them matches; that one or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, kinds) and match(alert):
                return alert
    return None


def plain(entry):
    """A bencoded value as JSON can carry it: byte strings as hex."""
    if isinstance(entry, bytes):
        return {"hex": entry.hex()}
    if isinstance(entry, list):
        return [plain(e) for e in entry]
    if isinstance(entry, dict):
        return {(k.decode() if isinstance(k, bytes) else k): plain(v) for k, v in entry.items()}
    return entry


class Nodes:
    def __init__(self):
        self.sessions = []

    def do_start(self, order):
        for address in order["addresses"]:
            self.sessions.append(start(address, order["bootstrap"]))
        for session in self.sessions:
            for address in order.get("known", []):
                host, port = address.rsplit(":", 1)
                session.add_dht_node((host, int(port)))
        return {}

    def do_count(self, order):
        counts = []
        for session in self.sessions:
            session.post_dht_stats()
            alert = wait(session, lt.dht_stats_alert, lambda a: True, 5)
            counts.append(sum(b["num_nodes"] for b in alert.routing_table) if alert else 0)
        return {"counts": counts}

    def do_put(self, order):
        session = self.sessions[order["node"]]
        value = bytes.fromhex(order["value"])
        if "seed" in order:
            salt = bytes.fromhex(order["salt"])
            session.dht_put_mutable_item(expand(bytes.fromhex(order["seed"])),
                                         bytes.fromhex(order["key"]), value, salt)
        else:
            session.dht_put_immutable_item(value)
        alert = wait(session, lt.dht_put_alert, lambda a: True, 30)
        return {"stored": alert.num_success if alert else 0}

    def do_get(self, order):
        session = self.sessions[order["node"]]
        if "key" in order:
            session.dht_get_mutable_item(bytes.fromhex(order["key"]), bytes.fromhex(order["salt"]))
            alert = wait(session, lt.dht_mutable_item_alert, lambda a: a.authoritative, 30)
        else:
            session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(order["target"])))
            alert = wait(session, lt.dht_immutable_item_alert, lambda a: True, 30)
        item = alert.item if alert else None
        item = item.get("value") if isinstance(item, dict) and "value" in item else item
        return {"value": plain(item), "seq": getattr(alert, "seq", 0)}

    def do_announce(self, order):
        session = self.sessions[order["node"]]
        params = lt.parse_magnet_uri("magnet:?xt=urn:btih:" + order["target"])
        params.save_path = "/nonexistent"  # nothing will come
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        session.add_torrent(params)
        return {}

    def do_peers(self, order):
        session = self.sessions[order["node"]]
        session.dht_get_peers(lt.sha1_hash(bytes.fromhex(order["target"])))
        peers, end = set(), time.monotonic() + order.get("seconds", 5)
        while time.monotonic() < end:
            session.wait_for_alert(100)
            for alert in session.pop_alerts():
                if isinstance(alert, lt.dht_get_peers_reply_alert):
                    peers |= {"%s:%d" % p for p in alert.peers()}
        return {"peers": sorted(peers)}


def main():
    nodes = Nodes()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(nodes, "do_" + order["do"])(order)), flush=True)


if __name__ == "__main__":
    main()
