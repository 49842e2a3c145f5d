# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the tests that run the tracer on real processes share."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("IPW_BUILD", os.path.join(ROOT, "build"))
TRACE = os.environ.get("IPW_TRACE", os.path.join(BUILD, "ipw-trace"))
PYTHON = os.environ.get("IPW_PYTHON", sys.executable)

_n = 0
_failed = 0


def check(ok, name, detail=""):
    """One test: prints its TAP line."""
    global _n, _failed
    _n += 1
    _failed += not ok
    print("%sok %d - %s" % ("" if ok else "not ", _n, name), flush=True)
    if not ok and detail != "":
        for line in str(detail).splitlines():
            print("#   " + line, flush=True)
    return ok


def skip(name, reason):
    global _n
    _n += 1
    print("ok %d - %s # SKIP %s" % (_n, name, reason), flush=True)


def done():
    sys.exit(1 if _failed else 0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, seconds, message):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise TimeoutError(message)


def stop(p, sig=signal.SIGTERM, seconds=20):
    """Ends a process that we started; returns its status."""
    if p.poll() is None:
        p.send_signal(sig)
    try:
        return p.wait(seconds)
    except subprocess.TimeoutExpired:
        p.kill()
        return p.wait()


@contextlib.contextmanager
def tempdir():
    d = tempfile.mkdtemp(prefix="ipw-test-")
    try:
        yield d
    finally:
        shutil.rmtree(d)


@contextlib.contextmanager
def llama(*args):
    """The real server. Yields (process, port)."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        p = subprocess.Popen([PYTHON, os.path.join(ROOT, "scripts/llama-server"), str(port), *args], stdout=log,
                             stderr=subprocess.STDOUT)
        try:
            def ready():
                if p.poll() is not None:
                    log.seek(0)
                    raise RuntimeError("the server ended: " + log.read().decode(errors="replace"))
                with contextlib.suppress(OSError):
                    return get(port, "/health")
            wait_for(ready, 120, "the server is not ready after 120 s")
            yield p, port
        finally:
            stop(p)


def get(port, path):
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=10) as r:
        return r.read().decode()


def metrics(port):
    """llama.cpp's counters by name."""
    out = {}
    for line in get(port, "/metrics").splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            out[name.replace("llamacpp:", "")] = float(value)
    return out


def load(port, *args):
    """Runs scripts/load; returns its rows."""
    p = subprocess.run([PYTHON, os.path.join(ROOT, "scripts/load"), "http://127.0.0.1:%d" % port, *map(str, args)],
                       stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in p.stdout.splitlines()]


def ask(port, n=1):
    """n short streamed queries at a time, to a server of which no more is to be known than that it answered."""
    def one():
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        c.request("POST", "/v1/chat/completions", json.dumps(
            {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "stream": True}))
        c.getresponse().read()
        c.close()
    threads = [threading.Thread(target=one) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


class Tracer:
    """ipw-trace at work. rows and summary are what it said, once it has ended."""

    def __init__(self, *args, env=None):
        self.err = tempfile.NamedTemporaryFile("w+", prefix="ipw-err-")
        self.out = tempfile.NamedTemporaryFile("w+", prefix="ipw-out-")
        self.p = subprocess.Popen([TRACE, *map(str, args)], stdout=self.out, stderr=self.err,
                                  env=dict(os.environ, **(env or {})))

    def attached(self):
        def ready():
            if "attached" in self.stderr():
                return True
            if self.p.poll() is not None:
                raise RuntimeError("the tracer ended with %s: %s" % (self.p.returncode, self.stderr()))
        wait_for(ready, 60, "the tracer is not attached after 60 s")
        return self

    def stderr(self):
        with open(self.err.name) as f:
            return f.read()

    def stdout(self):
        with open(self.out.name) as f:
            return f.read()

    def stop(self, sig=signal.SIGINT):
        time.sleep(0.3)  # the last line waits for the meter
        self.status = stop(self.p, sig)
        self.read()
        return self

    def read(self):
        text = self.stdout()
        objects = [json.loads(x) for x in text.splitlines() if x.startswith("{")]
        self.rows = [o for o in objects if o["type"] == "query"]
        self.summary = next((o for o in objects if o["type"] == "summary"), None)
        return self


@contextlib.contextmanager
def tracer(*args, **kw):
    t = Tracer(*args, **kw).attached()
    try:
        yield t
    finally:
        if t.p.poll() is None:
            t.stop()


MEMBER = re.compile(r"^  +(\d+) +(\S.*?) +(server|front|engine|supervisor|helper)  +(.*)$", re.M)


def members(t):
    """What the tracer said of the server's processes: PID -> role. Of a single one it says nothing."""
    return {int(m[0]): m[2] for m in MEMBER.findall(t.stderr())}


def report(path, *args):
    """ipw-trace report --json: (rows, summary)."""
    p = subprocess.run([TRACE, "report", "-i", path, "--json", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True)
    if p.returncode:
        raise RuntimeError("report: %d: %s" % (p.returncode, p.stderr))
    objects = [json.loads(x) for x in p.stdout.splitlines()]
    return [o for o in objects if o["type"] == "query"], next(o for o in objects if o["type"] == "summary")


def balanced(summary, tolerance=1e-9):
    """The books' terms add up to what was measured."""
    terms = sum(summary[k] or 0 for k in ("queries_j", "server_other_j", "others_j", "idle_j"))
    return abs(terms - summary["measured_j"]) <= tolerance * abs(summary["measured_j"])
