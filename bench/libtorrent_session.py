"""What every libtorrent side of the benchmarks has in common: a session that is as quick as
libtorrent 2.0 can be made, and that stays on loopback."""

import json
import resource

import libtorrent as lt

LIFTED = {
    # Nothing but the peers that are given.
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_ip_notifier": False,
    # Plain TCP, as on the other side.
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "out_enc_policy": int(lt.enc_policy.pe_disabled),
    "in_enc_policy": int(lt.enc_policy.pe_disabled),
    # No limit on how many, and how fast.
    "connections_limit": 1000000,
    "connection_speed": 1000000,
    "torrent_connect_boost": 255,
    "smooth_connects": False,
    "tick_interval": 100,
    "max_peerlist_size": 0,
    "listen_queue_size": 65535,
    "allow_multiple_connections_per_ip": True,
    "close_redundant_connections": False,
    "peer_turnover": 0,
    "peer_connect_timeout": 120,
    "handshake_timeout": 120,
    "unchoke_slots_limit": -1,
    "ignore_limits_on_local_network": False,
    # No alerts that nobody reads.
    "alert_mask": 0,
}


# Other ways to talk, by the word that a script is given: what differs from LIFTED.
WAYS = {
    "rc4": {
        "out_enc_policy": int(lt.enc_policy.pe_forced),
        "in_enc_policy": int(lt.enc_policy.pe_forced),
        "allowed_enc_level": int(lt.enc_level.rc4),
        "prefer_rc4": True,
    },
    "utp": {
        "enable_outgoing_utp": True,
        "enable_incoming_utp": True,
        "enable_outgoing_tcp": False,
        "enable_incoming_tcp": False,
    },
    # Whatever the other side calls by.
    "any": {
        "enable_incoming_utp": True,
        "in_enc_policy": int(lt.enc_policy.pe_enabled),
        "allowed_enc_level": int(lt.enc_level.both),
    },
}


def words_to_settings(words):
    """`rc4`, `utp`, `any`, or NAME=VALUE to try other settings by hand."""
    settings = {}
    for word in words:
        name, _, value = word.partition("=")
        settings.update(WAYS[word] if not value else {name: int(value)})
    return settings


def session(listen, words=(), **extra):
    settings = dict(LIFTED, listen_interfaces=listen)
    settings.update(extra)
    settings.update(words_to_settings(words))
    return lt.session(settings, flags=0)


def raise_open_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def torrent_params(torrent_path, save_path, seed=False):
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent_path)
    params.save_path = save_path
    params.flags = lt.torrent_flags.seed_mode if seed else 0
    return params


def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used.ru_utime + used.ru_stime, "maxrss_kib": used.ru_maxrss}


def report(**figures):
    print(json.dumps(figures), flush=True)
