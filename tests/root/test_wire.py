#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The conversations of tests/wire on real sockets, under the tracer, in both network tiers: the same logs."""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import BUILD, ROOT, TRACE, Tracer, check, done, stop, tempdir  # noqa: E402

PLAY = os.path.join(BUILD, "tests/lib/wire_play")
WIRE = os.path.join(ROOT, "tests/wire")
# A socket cannot be made to do these: what an event's loss, a second copy, or a tracer that comes later looks like.
UNREAL = {"unseen", "broken"}


class Client:
    """One connection; what the server sends is read and thrown away."""

    def __init__(self, kind, where):
        self.s = socket.socket({"ip4": socket.AF_INET, "ip6": socket.AF_INET6, "unix": socket.AF_UNIX}[kind])
        self.s.connect(where)
        self.name = "unix" if kind == "unix" else ("[%s]:%d" if kind == "ip6" else "%s:%d") % self.s.getsockname()[:2]
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.writers = []

    def read(self):
        try:
            while self.s.recv(1 << 16):
                pass
        except OSError:
            pass

    def send(self, data):
        t = threading.Thread(target=self.write, args=(data,), daemon=True)
        t.start()
        self.writers.append(t)
        return t

    def write(self, data):
        try:
            self.s.sendall(data)
        except OSError:
            pass

    def finish(self):
        """No more will come from here; once."""
        try:
            self.s.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self):
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            self.s.shutdown(socket.SHUT_RD)  # or the reader would hold the socket
        except OSError:
            pass
        self.reader.join()
        self.s.close()

    def close(self):
        try:
            self.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.s.close()


class Rig:
    """The server in a process of its own, so that it alone is traced."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "s.sock")
        self.p = subprocess.Popen([sys.executable, os.path.join(ROOT, "tests/lib/wire_server.py"), self.path],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        ip4, ip6 = self.p.stdout.readline().split()
        self.where = {"ip4": ("127.0.0.1", int(ip4)), "ip6": ("::1", int(ip6)), "unix": self.path}

    def tell(self, *words):
        self.p.stdin.write(" ".join(map(str, words)) + "\n")
        said = self.p.stdout.readline().strip()
        if os.environ.get("WIRE_DEBUG"):
            print("#", " ".join(map(str, words))[:80], "->", said, flush=True)

    def play(self, calls):
        """Returns the clients' addresses."""
        open_, seen, names = {}, {}, []
        for what, conn, gen, kind, _, data in calls:
            name = "%s.%s" % (conn, gen)
            if name not in seen:
                seen[name] = set()
                open_[name] = Client(kind, self.where[kind])
                names.append(open_[name].name)
                self.tell("accept", name, kind)
            self.call(open_.get(name), name, what, bytes.fromhex(data), seen[name])
            seen[name].add(what)
        for name, c in open_.items():
            c.close()
            if "close" not in seen[name]:
                self.tell("close", name)
        return names

    def call(self, c, name, what, data, before):
        if what == "in":
            c.send(data)
            self.tell("recv", name, len(data))
        elif what == "peek":
            if data:
                c.send(data).join()
            else:
                c.finish()
            self.tell("peek", name, len(data))
        elif what == "out":
            self.tell("send", name, data.hex())
        elif what == "eof":
            c.finish()
            self.tell("recv", name, 0)
        elif what == "reset":
            c.reset()
            self.tell("recv", name, 1)
        elif what in ("shut", "shut-peer"):
            self.tell("shut", name)
        elif what == "close":
            if not before & {"eof", "shut", "shut-peer", "peek", "reset"}:
                c.reset()
            time.sleep(0.01)
            self.tell("close", name)


def calls_of(path):
    p = subprocess.run([PLAY, "--calls", path], capture_output=True, text=True, check=True)
    return [(line + " ").split(" ")[:6] for line in p.stdout.splitlines()]


def plain(line):
    """A line of a log without times, addresses and the query's number."""
    line = re.sub(r" (@|end=|start=)\S+", "", line)
    line = re.sub(r" (from|to|pid|id|trace|last send) \S+", "", line)
    return re.sub(r"^q\d+ ", "", line)


def task_of(path):
    """What the file asks for with --task."""
    with open(path) as f:
        m = re.search(r"^task (.*)", f.read(), re.M)
    return m.group(1) if m else ""


def expected(path):
    """{query: [lines]} of the file's log, and which queries still run at its end."""
    out, running = {}, set()
    with open(path) as f:
        text = f.read()
    for line in re.split(r"^---.*\n", text, flags=re.M)[1].splitlines():
        m = re.match(r"(q\d+) (.*)", line)
        if m and m.group(2).startswith("still runs"):
            running.add(m.group(1))
        elif m:
            out.setdefault(m.group(1), []).append(plain(line))
    return out, running


def script(path):
    """{client: [[lines] of each query]} of a recording."""
    p = subprocess.run([TRACE, "script", "-i", path], capture_output=True, text=True)
    lines, client, out = {}, {}, {}
    for line in p.stdout.splitlines():
        _, q, rest = line.split(None, 2)
        if rest.startswith("open "):
            client[q] = re.search(r" from (\S+)", rest).group(1)
            out.setdefault(client[q], []).append(lines.setdefault(q, []))
        if q != "-":  # of a connection, not of a query
            lines[q].append(plain(rest))
    return out


def same(want, running, got):
    """Whether the queries are alike, in the order in which they began."""
    if len(want) != len(got):
        return False
    for (q, lines), ours in zip(want.items(), got):
        if q in running:
            ours = ours[:len(lines)]  # it ends when the sockets are closed after the play
        if lines != ours:
            return False
    return True


def tier(net, task, files):
    with tempdir() as d:
        rig = Rig(d)
        data = os.path.join(d, "ipw.data")
        t = Tracer("record", "-p", rig.p.pid, "-o", data, "--net", net, *(["--task", task] if task else [])).attached()
        names = {f: rig.play(calls) for f, calls in files.items()}
        time.sleep(0.5)
        status = stop(t.p, signal.SIGINT)
        stop(rig.p)
        got = script(data)
    check(status == 0, "%s: the tracer ends well%s" % (net, ", --task " + task if task else ""), t.stderr())
    for f in files:
        want, running = expected(os.path.join(WIRE, f))
        ours = [q for name in names[f] for q in (got.get(name, []) if name != "unix" else got.pop(name, []))]
        check(same(want, running, ours), "%s: %s" % (net, f[:-5]),
              "expected\n%s\ngot\n%s" % ("\n".join(map(str, want.values())), "\n".join(map(str, ours))))


files = {}
for name in sorted(os.listdir(WIRE)):
    if name.endswith(".wire"):
        files[name] = calls_of(os.path.join(WIRE, name))
unreal = [f for f, calls in files.items() if any(w in UNREAL for c in calls for w in (c[0], c[4]))]
files = {f: c for f, c in files.items() if f not in unreal}
check(len(files) > 100, "%d conversations can be had on a socket; these cannot: %s" % (len(files), " ".join(unreal)))
for net in ("tp", "sys"):
    for task in sorted({task_of(os.path.join(WIRE, f)) for f in files}):
        tier(net, task, {f: c for f, c in files.items() if task_of(os.path.join(WIRE, f)) == task and
                         (net == "sys" or all(k[3] != "unix" for k in c))})
done()
