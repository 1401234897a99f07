"""Web seeds (BEP 19): skep get from a real nginx, which is the only source, or one beside a peer."""

import contextlib
import filecmp
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import traceback

import jsonschema

from lab import namespaces
from lab.checks import Tap
from lab.nginx import Nginx

SKEP = os.environ.get("SKEP", "")
ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/schema/skep.get.1.json").read_text())
MIB = 1 << 20
PIECE = 256 << 10
KINDS = "v1", "v2", "hybrid"
# Nobody's addresses (RFC 5737), which count as public: what a torrent may name.
GOOD, MOVES, TARGET, WHOLE, BAD, MISSING, INWARD, BUSY, SHORT, SECURE, SEED, LEECH = (
    f"198.51.100.{i}" for i in range(1, 13))
LOOPBACK = "127.71.1.1:8080"
TREE = {"a b#%+ü.bin": 5 * MIB + 4321, "c.bin": 30 * MIB + 7, "empty": 0, "sub/one.txt": 1,
        "sub/two?.bin": 3 * MIB, "sub/z&.bin": 100_000}
SIZE = sum(TREE.values())


def write(path, size, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))


def spoil(good, bad):
    """A copy with one wrong byte in each MiB."""
    data = bytearray(good.read_bytes())
    for at in range(1000, len(data), MIB):
        data[at] ^= 1
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_bytes(data)


class World:
    def __init__(self, here):
        self.here, self.runs = here, 0
        for name in ("www", "bad", "short", "none"):
            (here / name).mkdir()
        self.www = here / "www"
        for number, (name, size) in enumerate(TREE.items()):
            write(self.www / "orchard" / name, size, number)
            spoil(self.www / "orchard" / name, here / "bad/orchard" / name)
            (here / "short/orchard" / name).parent.mkdir(parents=True, exist_ok=True)
            (here / "short/orchard" / name).write_bytes(b"x" * (size // 2))
        write(self.www / "one file.iso", 20 * MIB + 12345, 99)
        key = ["-keyout", here / "key.pem", "-out", here / "cert.pem"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=" + SECURE, *key], check=True, capture_output=True)
        files = f"root {self.www};"
        self.nginx = Nginx(here / "nginx", [
            (f"{GOOD}:80", files), (f"{TARGET}:80", files), (LOOPBACK, files),
            (f"{WHOLE}:80", files + " max_ranges 0;"),
            (f"{MOVES}:80", f"location / {{ return 302 http://{TARGET}$request_uri; }}"),
            (f"{INWARD}:80", f"location / {{ return 302 http://{LOOPBACK}$request_uri; }}"),
            (f"{BAD}:80", f"root {here}/bad;"), (f"{SHORT}:80", f"root {here}/short;"),
            (f"{MISSING}:80", f"root {here}/none;"),
            (f"{BUSY}:80", "location / { add_header Retry-After 60 always; return 503; }"),
            (f"{SECURE}:443 ssl",
             f"ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem; {files}"),
        ])

    def torrent(self, name, *seeds, kind="hybrid", options=()):
        self.runs += 1
        path = self.here / f"{self.runs}.torrent"
        subprocess.run([SKEP, "create", f"--kind={kind}", f"--piece-size={PIECE}", "--quiet",
                        *(f"--web-seed={s}" for s in seeds), *options, "-o", path,
                        self.www / name], check=True, stdout=subprocess.DEVNULL)
        return path

    def get(self, target, *options, time_s=40):
        """(exit code, its torrent in the document, where it went, stderr)."""
        self.runs += 1
        self.nginx.clear()
        out = self.here / f"out{self.runs}"
        out.mkdir()
        done = subprocess.run(
            [SKEP, "get", target, "-o", out, f"--bind={LEECH}", "--no-dht", "--no-lsd",
             "--format=json", "--progress=none", f"--time={time_s}", f"--state-dir={out}.state",
             *options], capture_output=True, text=True, timeout=90)
        document = json.loads(done.stdout)
        jsonschema.validate(document, SCHEMA)
        return done.returncode, document["torrents"][0], out, done.stderr

    @contextlib.contextmanager
    def seed(self, torrent, *options):
        """A peer that has all of it."""
        process = subprocess.Popen(
            [SKEP, "seed", torrent, self.www, f"--bind={SEED}", "--port=7000", "--no-dht",
             "--no-lsd", "--progress=none", f"--state-dir={self.here}/seed.state", *options],
            stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            yield f"--peer={SEED}:7000"
        finally:
            process.kill()
            process.wait()

    def same(self, out, name="orchard"):
        if (self.www / name).is_file():
            return filecmp.cmp(out / name, self.www / name, shallow=False)
        return all(filecmp.cmp(out / name / f, self.www / name / f, shallow=False) for f in TREE)


def seed_of(torrent, host):
    return next(s for s in torrent["web_seeds"] if host in s["url"])


def test_single_file(w):
    for kind in KINDS:
        for url in f"http://{GOOD}/one%20file.iso", f"http://{GOOD}/":
            code, t, out, said = w.get(w.torrent("one file.iso", url, kind=kind))
            assert code == 0 and t["complete"] and w.same(out, "one file.iso"), (kind, url, said)
            assert t["wasted"] == 0 and seed_of(t, GOOD)["reason"] is None, t
            assert {r.client for r in w.nginx.requests()} == {LEECH}
            assert {r.status for r in w.nginx.requests()} == {206}


def test_folder(w):
    for kind in KINDS:
        for url in f"http://{GOOD}/", f"http://{GOOD}":
            code, t, out, said = w.get(w.torrent("orchard", url, kind=kind))
            requests = w.nginx.requests()
            assert code == 0 and w.same(out), (kind, url, said, requests)
            assert t["wasted"] == 0, t
            assert {r.path for r in requests} == {f"/orchard/{n}" for n, s in TREE.items() if s}
            assert sum(r.bytes for r in requests) == SIZE, requests  # no padding, nothing twice
            assert len(requests) < 20, requests  # not one for each of 150 pieces


def test_private(w):
    torrent = w.torrent("orchard", f"http://{GOOD}/", options=["--private"])
    assert w.get(torrent)[0] == 0


def test_redirect_by_file(w):
    code, _, out, said = w.get(w.torrent("orchard", f"http://{MOVES}/"))
    assert code == 0 and w.same(out), said
    asked = [r.path for r in w.nginx.requests(MOVES)]
    assert sorted(asked) == sorted(set(asked)), asked  # each once: it is remembered
    assert len(w.nginx.requests(TARGET)) > len(asked)


def test_redirect_inward(w):
    code, t, _, _ = w.get(w.torrent("orchard", f"http://{INWARD}/"), time_s=3)
    assert code == 4 and "may not name" in seed_of(t, INWARD)["reason"], t
    assert not w.nginx.requests("127.71.1.1")


def test_named_inward(w):
    torrent = w.torrent("orchard", f"http://{LOOPBACK}/", "http://localhost:8080/",
                        f"http://{GOOD}:22/")
    code, t, _, _ = w.get(torrent, time_s=2)
    assert code == 3 and not w.nginx.requests(), (code, t)
    assert all(s["state"] == "dropped" and s["reason"] for s in t["web_seeds"]), t
    assert "--webseed" in t["reason"] or "port" in t["reason"], t
    code, t, out, said = w.get(torrent, f"--webseed=http://{GOOD}/")
    assert code == 0 and w.same(out), said


def test_without_ranges(w):
    for kind in KINDS:
        code, t, out, said = w.get(w.torrent("orchard", f"http://{WHOLE}/", kind=kind))
        assert code == 0 and w.same(out), (kind, said)
        assert {r.status for r in w.nginx.requests()} == {200}
        assert sum(r.bytes for r in w.nginx.requests()) < 2 * SIZE, w.nginx.requests()


def test_corrupt_beside_peer(w):
    for kind in KINDS:
        torrent = w.torrent("orchard", f"http://{BAD}/", kind=kind)
        with w.seed(torrent) as peer:
            code, t, out, said = w.get(torrent, peer)
        bad = seed_of(t, BAD)
        assert code == 0 and w.same(out), (kind, said, t)
        assert bad["state"] == "dropped" and "wrong data" in bad["reason"], bad
        assert "was dropped" in said, said
        assert t["received"] - bad["received"] >= t["wasted"] > 0, t  # the peer was kept


def test_corrupt_beside_good(w):
    for kind in KINDS:
        torrent = w.torrent("orchard", f"http://{BAD}/", f"http://{GOOD}/", kind=kind)
        code, t, out, said = w.get(torrent)
        assert code == 0 and w.same(out), (kind, said, t)
        assert seed_of(t, BAD)["state"] == "dropped", t
        assert seed_of(t, GOOD)["state"] != "dropped", t


def test_missing_then_peer(w):
    torrent = w.torrent("orchard", f"http://{MISSING}/")
    with w.seed(torrent) as peer:
        code, t, out, said = w.get(torrent, peer)
    assert code == 0 and w.same(out), said
    assert len(w.nginx.requests()) <= len(TREE), w.nginx.requests()
    code, t, _, said = w.get(torrent, time_s=2)
    assert code == 3 and "404" in t["reason"] and "404" in said, (code, t, said)
    assert seed_of(t, MISSING)["state"] == "dropped"


def test_one_file_missing(w):
    """What one web seed lacks comes from the other."""
    (w.here / "none/orchard").mkdir()
    os.symlink(w.www / "orchard/c.bin", w.here / "none/orchard/c.bin")
    code, t, out, said = w.get(w.torrent("orchard", f"http://{MISSING}/", f"http://{GOOD}/"))
    assert code == 0 and w.same(out), (said, t)
    assert seed_of(t, MISSING)["state"] != "dropped", t


def test_wrong_length(w):
    code, t, _, said = w.get(w.torrent("orchard", f"http://{SHORT}/"), time_s=3)
    assert code == 3 and seed_of(t, SHORT)["state"] == "dropped", (t, said)
    assert "short" in t["reason"] or "bytes there" in t["reason"], t


def test_busy(w):
    code, t, _, _ = w.get(w.torrent("orchard", f"http://{BUSY}/"), time_s=8)
    assert code == 5 and seed_of(t, BUSY)["state"] == "waiting", (code, t)
    assert "503" in t["reason"] and len(w.nginx.requests()) == 1, (t, w.nginx.requests())


def test_certificate(w):
    code, t, _, _ = w.get(w.torrent("orchard", f"https://{SECURE}/"), time_s=3)
    assert code == 4 and "ertificate" in t["reason"], t
    assert not w.nginx.requests(), w.nginx.requests()


def test_limit(w):
    torrent = w.torrent("one file.iso", f"http://{GOOD}/")
    code, t, out, _ = w.get(torrent, "--limit=8M")
    assert code == 0 and w.same(out, "one file.iso")
    assert 2.2 < t["seconds"] < 6, t["seconds"]  # 20 MiB


def test_magnet(w):
    """The metadata is a peer's, who is slow; the rest comes from the link's web seed."""
    for kind in KINDS:
        torrent = w.torrent("orchard", kind=kind)
        magnet = subprocess.run([SKEP, "create", f"--kind={kind}", f"--piece-size={PIECE}",
                                 f"--web-seed=http://{GOOD}/", "--quiet", "-o",
                                 w.here / f"magnet-{kind}.torrent", w.www / "orchard"],
                                check=True, capture_output=True, text=True).stdout
        magnet = next(word for word in magnet.split() if word.startswith("magnet:"))
        with w.seed(torrent, "--up-limit=100k") as peer:
            code, t, out, said = w.get(magnet, peer)
        assert code == 0 and w.same(out), (kind, said, t)
        assert seed_of(t, GOOD)["received"] > SIZE * 9 // 10, t


def test_none(w):
    code, t, _, _ = w.get(w.torrent("orchard", f"http://{GOOD}/"), "--no-webseeds", time_s=2)
    assert code == 3 and t["web_seeds"] == [] and not w.nginx.requests(), (code, t)


def test_bind(w):
    """An address that is not ours: nothing is asked from another one."""
    w.nginx.clear()
    done = subprocess.run([SKEP, "get", w.torrent("orchard", f"http://{GOOD}/"), "-o", w.here,
                           "--bind=198.51.100.99", "--no-dht", "--no-lsd", "--time=3"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 4 and not w.nginx.requests(), done


def test_stream(w):
    torrent = w.torrent("one file.iso", f"http://{GOOD}/")
    done = subprocess.run([SKEP, "get", torrent, "-o", "-", f"--bind={LEECH}", "--no-dht",
                           "--no-lsd", "--quiet", "--time=30"], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (w.www / "one file.iso").read_bytes()


def test_selected(w):
    torrent = w.torrent("orchard", f"http://{GOOD}/", kind="v2")
    code, _, out, said = w.get(torrent, "--select=1")
    assert code == 0, said
    assert len({r.path for r in w.nginx.requests()}) == 1, w.nginx.requests()


def main(only):
    namespaces.enter_world()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for i in range(1, 13):
        subprocess.run(["ip", "addr", "add", f"198.51.100.{i}/32", "dev", "lo"], check=True)
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="skep-webseed-") as here:
        world = World(pathlib.Path(here))
        for name, test in list(globals().items()):
            if not name.startswith("test_") or (only and name not in only):
                continue
            try:
                begun = time.monotonic()
                test(world)
                tap.check(True, f"{name} ({time.monotonic() - begun:.1f} s)")
            except Exception:
                tap.check(False, name, traceback.format_exc(-3)[-3000:])
        world.nginx.stop()
    return tap.end()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except namespaces.Unavailable as why:
        print(f"1..0 # SKIP {why}")
