"""What the command-line tests share: running skep, a tracker that says what a test wants, TAP."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading

import jsonschema

from tap import main  # noqa: F401 (every script has it from here)

SKEP = os.environ["SKEP"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
SCHEMA = json.loads((ROOT / "docs/schema/skep.audit.1.json").read_text())
DONE, FAILED, USAGE, NOTHING, NETWORK, PARTIAL, CORRUPT, STORAGE = range(8)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def environment(**extra):
    """Without anything of the user's that skep reads. Audits do not ask the DHT of the world."""
    theirs = "NO_COLOR", "COLUMNS", "XDG_CONFIG_HOME", "XDG_STATE_HOME"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SKEP_") and k not in theirs}
    return {**kept, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "SKEP_NO_DHT": "yes", **extra}


def start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=None):
    return subprocess.Popen([SKEP, *map(str, arguments)], stdin=stdin, stdout=stdout,
                            stderr=subprocess.PIPE, env=environment(**(env or {})))


def run(*arguments, data=b"", stdout=subprocess.PIPE, env=None, seconds=60):
    """A CompletedProcess with texts."""
    done = subprocess.run([SKEP, *map(str, arguments)], input=data, stdout=stdout,
                          stderr=subprocess.PIPE, env=environment(**(env or {})), timeout=seconds)
    done.stdout = (done.stdout or b"").decode()
    done.stderr = done.stderr.decode()
    return done


def refused(code, *arguments, **how):
    """One clear line on stderr, nothing on stdout, this exit code. Returns the line."""
    done = run(*arguments, **how)
    lines = done.stderr.splitlines()
    assert done.returncode == code, (code, done)
    assert len(lines) == 1 and lines[0].startswith("skep: "), done
    assert not CONTROL.search(lines[0]) and not done.stdout, done
    return lines[0]


def report(text):
    """The JSON document, found valid."""
    document = json.loads(text)
    jsonschema.validate(document, SCHEMA)
    return document


@contextlib.contextmanager
def http_server(answer, content_type="application/octet-stream"):
    """Serves on 127.0.0.1: answer(path) gives the body, None: 404. Yields its address."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answer(self.path)
            self.send_response(404 if body is None else 200)
            body = body or b""
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):  # who asked has gone
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def silent_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 where somebody is and never says anything."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen(16)
        yield sock.getsockname()[1]


def closed_port():
    """A port of 127.0.0.1 where nobody is."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def lab(scenario, *options):
    """A lab that runs. Yields its folder, with torrent and truth in it, and at its end the truth
    is that of the end."""
    with folder() as here:
        (here / "lab.ini").write_text(scenario)
        process = start("lab", f"--torrent={here}/lab.torrent", f"--truth={here}/truth.json",
                        *options, here / "lab.ini")
        try:
            for line in process.stdout:  # the truth is the last that it names
                if line.startswith(b"truth"):
                    break
            assert (here / "truth.json").exists(), process.wait()
            yield here, process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


@contextlib.contextmanager
def tracker(*options, bind="127.0.0.1"):
    """Yields its port, the process, and what it said about itself."""
    where = [f"--bind={bind}"] if bind else []
    process = start("tracker", "--port=0", *where, *options)
    try:
        said = [process.stdout.readline().decode() for _ in range(2)]
        port = int(said[1].rsplit(":", 1)[1])
        yield port, process, said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="skep-cli-") as name:
        yield pathlib.Path(name)
