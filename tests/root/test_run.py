#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How a run begins and ends, and what it sees: commands, forks, unix sockets, IPv6, cancels, bad luck."""
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import (PYTHON, TRACE, Tracer, balanced, check, done, free_port, llama, report, stop,  # noqa: E402
                     tempdir, tracer, wait_for)

SCRIPTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib/scripted.py")
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}}
EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"ab"}}]}\n\n'
SCRIPT = [
    {"path": "/big/v1/chat/completions", "deltas": ["x" * 40] * 5000, "usage": USAGE, "whole": True},
    {"path": "/slow/v1/chat/completions", "deltas": ["a"] * 200, "delay": 0.05, "usage": USAGE},
    {"path": "/flood/v1/chat/completions", "deltas": ["a"] * 60000, "usage": dict(USAGE, completion_tokens=60000)},
    {"path": "/think/v1/chat/completions", "deltas": ["a"], "prefill": 1.0, "usage": USAGE},
    {"path": "/iov/v1/chat/completions", "deltas": ["a", "b", "c", "d", "e"], "usage": USAGE, "iov": True},
    {"path": "/half/v1/chat/completions", "close": True, "raw": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
     "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(EVENT), EVENT)},
    {"path": "/evil/v1/chat/completions", "deltas": ["a"], "usage": USAGE, "model": "m\x1b[31m\x07\u202e\x9b2J\xff"},
    {"path": "/v1/chat/completions", "deltas": ["a", "b", "c", "d", "e"], "delay": 0.01, "usage": USAGE},
]
BODY = json.dumps({"messages": [{"role": "user", "content": "hello there"}], "stream": True})


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def listening(address):
    family, to = ((socket.AF_INET, ("127.0.0.1", int(address))) if address.isdigit() else
                  (socket.AF_INET6, ("::1", int(address.rpartition(":")[2]))) if address[0] == "[" else
                  (socket.AF_UNIX, address))
    with socket.socket(family) as s:
        return s.connect_ex(to) == 0


class Scripted:
    """The scripted server on an address."""

    def __init__(self, d, address=None, python=None):
        self.python = PYTHON
        if python:
            self.python = os.path.join(d, python)  # its name is what it was called by
            os.symlink(sys.executable, self.python)
        self.address = address or str(free_port())
        self.file = os.path.join(d, "script.json")
        with open(self.file, "w") as f:
            json.dump(SCRIPT, f)

    def argv(self):
        return [self.python, SCRIPTED, self.address, self.file]

    def __enter__(self):
        self.p = subprocess.Popen(self.argv())
        wait_for(lambda: listening(self.address), 10, "the scripted server does not listen")
        return self

    def __exit__(self, *a):
        stop(self.p, signal.SIGKILL)

    def connection(self):
        if self.address.isdigit():
            return http.client.HTTPConnection("127.0.0.1", int(self.address), timeout=60)
        if self.address[0] == "[":
            return http.client.HTTPConnection("::1", int(self.address.rpartition(":")[2]), timeout=60)
        return UnixConnection(self.address)

    def ask(self, path="/v1/chat/completions", n=1):
        c = self.connection()
        for _ in range(n):
            c.request("POST", path, BODY)
            c.getresponse().read()
        c.close()

    def hang_up(self, path, after, reset=False):
        """Asks, and goes away in the middle."""
        c = self.connection()
        c.request("POST", path, BODY)
        if after:
            c.getresponse().read(after)
        if reset:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.sock.shutdown(socket.SHUT_RDWR) if not reset else None
        c.sock.close()
        c.close()


def one_each(t, name, n=1, **want):
    """n queries, all alike."""
    check(len(t.rows) == n, "%s: seen %d times" % (name, n), t.rows)
    for key, value in want.items():
        check(all(r[key] == value for r in t.rows), "%s: %s is %r" % (name, key, value), [r[key] for r in t.rows])


def wires():
    with tempdir() as d:
        for net in ("tp", "sys"):
            for address, name in ((None, "IPv4"), ("[::1]:%d" % free_port(), "IPv6"), (d + "/s.sock", "unix")):
                with Scripted(d, address) as s, tracer("-p", s.p.pid, "--json", "--net", net) as t:
                    s.ask(n=2)
                    s.ask("/iov/v1/chat/completions")
                    s.ask("/big/v1/chat/completions")
                    t.stop()
                    what = "%s by %s" % (name, net)
                    one_each(t, what, 4, end="complete", prompt_tokens=7, completion_tokens=5, cached_tokens=2)
                    check([r["stream"] for r in t.rows] == [True, True, True, False], "%s: streamed and not" % what)
                    check(not any("truncated" in r["flags"] for r in t.rows), "%s: nothing truncated" % what)


def cancels():
    with tempdir() as d:
        for net in ("tp", "sys"):
            with Scripted(d) as s, tracer("-p", s.p.pid, "--json", "--net", net) as t:
                s.hang_up("/slow/v1/chat/completions", 400)
                s.hang_up("/slow/v1/chat/completions", 400, reset=True)
                s.hang_up("/think/v1/chat/completions", 0)
                time.sleep(1.5)
                half(s)
                time.sleep(0.5)
                t.stop()
                ends = [r["end"] for r in sorted(t.rows, key=lambda r: r["id"])]
                check(ends == ["cancel", "cancel", "cancel", "error"], "%s: cancels and a cut answer" % net, t.rows)
                check(all(r["completion_tokens"] < 60 for r in t.rows if r["completion_tokens"]),
                      "%s: they ended early" % net)
                check(balanced(t.summary), "%s: the books add up" % net)


def half(s):
    try:
        s.ask("/half/v1/chat/completions")
    except http.client.IncompleteRead:
        pass


def evil():
    with tempdir() as d, Scripted(d) as s:
        for args in ([], ["-v"], ["--json"]):
            with tracer("-p", s.p.pid, *args) as t:
                s.ask("/evil/v1/chat/completions")
                t.stop()
            text = t.stdout()
            bad = [c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0 or ord(c) == 0x202e]
            check("m?[31m" in text and not bad, "a hostile model name is printed clean %s" % args, (bad, text))


def commands():
    p = subprocess.run([TRACE, "--", "sh", "-c", "exit 7"], capture_output=True, text=True)
    check(p.returncode == 7, "the status of a command", p)
    p = subprocess.run([TRACE, "--", "sh", "-c", "kill -9 $$"], capture_output=True, text=True)
    check(p.returncode == 137, "a command that was killed", p)
    p = subprocess.run([TRACE, "--", "/no/such/program"], capture_output=True, text=True)
    check(p.returncode == 127 and "cannot run '/no/such/program': No such file" in p.stderr,
          "a command that is not there", p)
    with tempdir() as d:
        s = Scripted(d)
        # the server is a grandchild, and its first instruction is traced
        t = Tracer("--json", "--", "sh", "-c", "(%s & echo $! >%s/pid; wait); :" % (" ".join(s.argv()), d)).attached()
        wait_for(lambda: listening(s.address), 10, "the scripted server does not listen")
        s.ask()
        with open(d + "/pid") as f:
            os.kill(int(f.read()), signal.SIGTERM)
        status = t.p.wait(20)
        t.read()
        check(status == 0, "a command that ends, ends the run", status)
        one_each(t, "a grandchild of the command", 1, end="complete", completion_tokens=5)


def forks():
    """A child that is forked after attach, and one that was there, serve too."""
    code = ("import os,sys,time\n"
            "if os.fork() == 0: os.execv(sys.argv[1], [sys.argv[1]] + sys.argv[2:])\n"
            "time.sleep(1000)\n")
    with tempdir() as d:
        s = Scripted(d)
        parent = subprocess.Popen([PYTHON, "-c", code, *s.argv()])
        wait_for(lambda: listening(s.address), 10, "the scripted server does not listen")
        with tracer("-p", parent.pid, "--json") as t:
            check("attached to 2 processes" in t.stderr(), "the child that was there is found", t.stderr())
            s.ask()
            t.stop()
        one_each(t, "a child that was there", 1, end="complete")
        subprocess.run(["pkill", "-P", str(parent.pid)])
        stop(parent)


def two_targets():
    with tempdir() as d, Scripted(d) as a, Scripted(d) as b:
        with tracer("-p", "%d,%d" % (a.p.pid, b.p.pid), "--json") as t:
            a.ask()
            b.ask(n=2)
            t.stop()
        one_each(t, "two servers", 3, end="complete")
        check(sorted(r["pid"] for r in t.rows) == sorted([a.p.pid, b.p.pid, b.p.pid]),
              "each query has its server's PID")


def endings():
    with tempdir() as d, Scripted(d) as s:
        t = Tracer("-p", s.p.pid, "--json", "--duration", "1").attached()
        check(t.p.wait(10) == 0 and t.read().summary["duration_s"] >= 1, "--duration", t.stdout())
        with tracer("-p", s.p.pid, "--json") as t:
            begin = time.monotonic()
            t.p.send_signal(signal.SIGTERM)
            check(t.p.wait(5) == 0 and t.read().summary, "SIGTERM ends in order")
            check(time.monotonic() - begin < 1, "and within a second")
        with tracer("-p", s.p.pid) as t:
            t.p.send_signal(signal.SIGINT)
            t.p.send_signal(signal.SIGINT)
            check(t.p.wait(5) in (0, -signal.SIGINT), "Ctrl-C twice")
        with tracer("-p", s.p.pid, "--json") as t, tracer("-p", s.p.pid, "--json") as u:
            s.ask()
            t.stop()
            u.stop()
        one_each(t, "two tracers, the first", 1, completion_tokens=5)
        one_each(u, "two tracers, the second", 1, completion_tokens=5)
        p = subprocess.Popen([TRACE, "-p", str(s.p.pid), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(1)
        s.ask()
        p.stdout.readline()
        p.stdout.close()
        s.ask()
        check(p.wait(5) == -signal.SIGPIPE, "a reader that goes away (| head)", p.returncode)
        s.ask()
        check(s.p.poll() is None, "the server goes on")


def killed():
    with tempdir() as d, Scripted(d) as s:
        path = d + "/k.data"
        t = Tracer("record", "-p", s.p.pid, "-o", path).attached()
        s.ask(n=3)
        time.sleep(2.5)
        t.p.kill()
        t.p.wait()
        s.ask()
        rows, summary = report(path)
        check(len(rows) == 3 and summary["queries"] == 3, "killed: readable to the last flush", rows)
        p = subprocess.run([TRACE, "report", "-i", path], capture_output=True, text=True)
        check("has no end" in p.stderr, "killed: the report says that it was cut off", p.stderr)


def exits():
    with tempdir() as d:
        with Scripted(d) as s:
            t = Tracer("-p", s.p.pid, "--json").attached()
            s.ask()
            th = threading.Thread(target=quiet, args=(lambda: s.ask("/slow/v1/chat/completions"),))
            th.start()
            time.sleep(0.5)
            s.p.kill()
            check(t.p.wait(5) == 0, "the run ends when the server exits")
            th.join()
            t.read()
            check([r["end"] for r in t.rows] == ["complete", "error"], "a server that dies leaves an error", t.rows)
        p = subprocess.Popen(["sleep", "0.4"])
        t = Tracer("-p", p.pid, "--json")
        check(t.p.wait(10) in (0, 1), "a PID that exits at once", t.stderr())
        p.wait()
        p = subprocess.run([TRACE, "-p", "4194303"], capture_output=True, text=True)
        check(p.returncode == 1 and p.stderr == "ipw-trace: cannot trace 4194303: no such process\n", "no such PID", p)
        p = subprocess.run([TRACE, "-p", "2"], capture_output=True, text=True)
        check(p.returncode == 1 and "kernel thread" in p.stderr, "a kernel thread", p)


def quiet(f):
    try:
        f()
    except (OSError, http.client.HTTPException):
        pass


def midway():
    """Attached in the middle of an answer, and on a connection that was open before."""
    with tempdir() as d:
        for net in ("tp", "sys"):
            with Scripted(d) as s:
                c = s.connection()
                c.request("POST", "/v1/chat/completions", BODY)
                c.getresponse().read()
                th = threading.Thread(target=quiet, args=(lambda: s.ask("/slow/v1/chat/completions"),))
                th.start()
                time.sleep(1)
                with tracer("-p", s.p.pid, "--json", "--net", net) as t:
                    c.request("POST", "/v1/chat/completions", BODY)
                    c.getresponse().read()
                    th.join()
                    t.stop()
                c.close()
                ends = sorted(r["end"] for r in t.rows)
                check(ends == ["attached_midway", "complete"], "%s: attached in the middle" % net, t.rows)
                mid = next((r for r in t.rows if r["end"] == "attached_midway"), {})
                check(mid.get("ttft_ms", 0) is None and mid.get("start_ns", 0) is None and
                      mid.get("completion_tokens") == 5,
                      "%s: what cannot be known of it is null" % net, mid)


def overflow():
    """A tracer that does not get to run: the ring fills, what is lost is counted, and the query says so."""
    with tempdir() as d, Scripted(d) as s:
        with tracer("-p", s.p.pid, "--json") as t:
            t.p.send_signal(signal.SIGSTOP)
            s.ask("/flood/v1/chat/completions")
            t.p.send_signal(signal.SIGCONT)
            time.sleep(0.5)
            s.ask()
            t.stop()
        flood = next((r for r in t.rows if r["path"].startswith("/flood")), None)
        check(t.summary["lost_events"] > 0, "lost events are counted", t.summary)
        check(flood and ("lost_events" in flood["flags"] or "truncated" in flood["flags"]), "the query says so", flood)
        check("lost_events" in t.summary["flags"] and t.summary["bound_j"] is None, "and the summary", t.summary)
        after = [r for r in t.rows if r["path"] == "/v1/chat/completions"]
        check(len(after) == 1 and after[0]["completion_tokens"] == 5 and "lost_events" not in after[0]["flags"],
              "the next query is whole", after)


def powerless():
    """Without root: said in one line."""
    with tempdir() as d:
        os.chmod(d, 0o755)
        binary = d + "/ipw-trace"
        subprocess.run(["cp", TRACE, binary], check=True)
        p = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", binary, "-p", "1"],
                           capture_output=True, text=True, cwd="/")
        check(p.returncode == 1 and "it takes root, or CAP_BPF and CAP_PERFMON" in p.stderr.splitlines()[-1],
              "without root", p.stderr)
        p = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", binary, "check"],
                           capture_output=True, text=True, cwd="/")
        check(p.returncode == 1 and "[FAIL] capabilities" in p.stdout and "would not work" in p.stdout,
              "check without root", p.stdout)
    p = subprocess.run([TRACE, "check"], capture_output=True, text=True)
    check(p.returncode == 0 and "works here" in p.stdout, "check with root", p.stdout)
    p = subprocess.run([TRACE, "list"], capture_output=True, text=True)
    check(p.returncode == 0 and all(w in p.stdout for w in ("nvml", "tcp_sendmsg_locked", "openai-chat", "recording")),
          "list", p.stdout)


def names():
    """A server by its port, its name and its cgroup; and all that run here, on a terminal."""
    with tempdir() as d, Scripted(d, python="ipw-scripted") as s:
        for args in (["--port", s.address], ["--comm", "ipw-scripted"]):
            with tracer(*args, "--json") as t:
                s.ask()
                t.stop()
            check(len(t.rows) == 1 and t.rows[0]["pid"] == s.p.pid and "found %d (" % s.p.pid in t.stderr(),
                  "found by %s" % args[0], t.stderr())
        with open("/proc/%d/cgroup" % s.p.pid) as f:
            path = max((line.rstrip("\n").split(":", 2)[2] for line in f), key=len)
        p = subprocess.run([TRACE, "--cgroup", path, "--duration", "0.2"], capture_output=True, text=True)
        many = "too many processes fit" in p.stderr
        check(many or "found " in p.stderr, "found by --cgroup %s" % path, p.stderr)
    for args, said in ((["--port", "1"], "cannot find a process that fits '1'"),
                       (["--unit", "no-such-unit"], "cannot find a process that fits 'no-such-unit'")):
        p = subprocess.run([TRACE, *args], capture_output=True, text=True)
        check(p.returncode == 1 and said in p.stderr, " ".join(args), p)
    with llama() as (server, port):
        p = subprocess.run(["script", "-qec", TRACE, "/dev/null"], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL)
        check(p.returncode == 0 and "ipw-trace -p %d" % server.pid in p.stdout and "127.0.0.1:%d" % port in p.stdout,
              "the servers that run here", p.stdout)


def unread():
    """Connections that are none we read: said once, counted, and the same in the report."""
    first = {"TLS": b"\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03" + b"k" * 60,
             "HTTP/2": b"PRI * HTTP/2.0\r\nSM: " + b"\0" * 30}
    with tempdir() as d, Scripted(d) as s:
        path = os.path.join(d, "ipw.data")
        with tracer("-p", s.p.pid, "--json", "-o", path) as t:
            stays = socket.create_connection(("127.0.0.1", int(s.address)))
            stays.sendall(first["TLS"])
            for data in first.values():
                with socket.create_connection(("127.0.0.1", int(s.address))) as c:
                    for _ in range(3):
                        c.sendall(data)
                        time.sleep(0.1)
            s.ask()
            t.stop()
        check(t.summary["unread_connections"] == {"TLS": 2, "HTTP/2": 1} and len(t.rows) == 1,
              "connections that are not read", t.summary)
        check(t.stderr().count("encrypted (TLS): queries on it are not seen") == 1, "said once", t.stderr())
        check(report(path)[1]["unread_connections"] == t.summary["unread_connections"], "and in the report")
        for out in (t.stdout(), subprocess.run([TRACE, "report", "-i", path, "--json"], capture_output=True,
                                               text=True).stdout):
            seen = [json.loads(x) for x in out.splitlines()]
            seen = [(c["unread"], c["bytes_in"], c["bytes_out"]) for c in seen if c["type"] == "connection"]
            check(seen[-1] == ("TLS", None, None) and
                  sorted(seen[:-1]) == sorted((k, 3 * len(first[k]), 0) for k in first), "each with its bytes", seen)
        stays.close()


def silent():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        t = Tracer("-p", os.getpid(), "--json", "--duration", "11").attached()
        t.p.wait(20)
        check("no query seen in 10 s" in t.stderr() and "listens on 127.0.0.1:%d" % s.getsockname()[1] in t.stderr(),
              "a PID that serves nothing is told so", t.stderr())
        t.read()
        check(t.summary["queries"] == 0 and t.summary["queries_j"] == 0 and t.summary["tokens_per_s"] == 0,
              "no queries cost nothing", t.summary)


for f in (wires, cancels, evil, commands, forks, two_targets, endings, killed, exits, midway, overflow, powerless,
          names, unread, silent):
    f()
done()
