#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Which processes are the server, whichever of them is named; those that come later; and those that come again."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import (PYTHON, ROOT, TRACE, ask, balanced, check, done, free_port, members, stop, tempdir,  # noqa: E402
                     tracer, wait_for)

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib")
SOCKETS = os.path.join(LIB, "../servers/sockets.py")


def script(d, delay=0.01):
    path = os.path.join(d, "script.json")
    with open(path, "w") as f:
        json.dump([{"deltas": ["a"] * 5, "delay": delay, "usage": {"prompt_tokens": 7, "completion_tokens": 5}}], f)
    return path


def is_up(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def server(port, *argv):
    """In a session of its own, so that all of it can be ended."""
    p = subprocess.Popen([str(a) for a in argv], start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_up(port), 60, "the server is not up")
        yield p
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
        stop(p)


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


def listening(port, pids):
    """Which of the processes hold a socket that listens there."""
    with open("/proc/net/tcp") as f:
        lines = [line.split() for line in f][1:]
    sockets = {"socket:[%s]" % x[9] for x in lines if x[3] == "0A" and x[1].endswith(":%04X" % port)}
    out = set()
    for pid in pids:
        for fd in os.listdir("/proc/%d/fd" % pid):
            with contextlib.suppress(OSError):
                if os.readlink("/proc/%d/fd/%s" % (pid, fd)) in sockets:
                    out.add(pid)
    return out


def seen_as(what, pids, roles, port, n, *args, top=None):
    """Each of the processes named: the same tree, the same roles, every query."""
    for pid in pids:
        with tracer("-p", pid, "--json", *args) as t:
            got = members(t)
            ask(port, n)
            t.stop()
        check(got == roles, "%s, by %s: the tree and its roles" % (what, roles.get(pid)), t.stderr())
        check(("belongs to the server of" in t.stderr()) == (pid != top), "%s, by %s: said when it was not the top" %
              (what, roles.get(pid)), t.stderr())
        check(len(t.rows) == n and all(r["end"] == "complete" and r["completion_tokens"] == 5 for r in t.rows),
              "%s, by %s: every query" % (what, roles.get(pid)), t.rows)


def shapes():
    with tempdir() as d:
        for how, below in (("prefork", ["front", "front"]), ("handed", ["helper"]), ("pair", ["helper"]),
                           ("reuseport", ["front", "front"])):
            port = free_port()
            with server(port, PYTHON, SOCKETS, how, script(d), port) as p:
                wait_for(lambda: len(children(p.pid)) == len(below), 10, "no children")
                roles = dict(zip(children(p.pid), below))
                roles[p.pid] = "supervisor" if how in ("prefork", "reuseport") else "front"
                hold = set(roles) if how == "prefork" else {q for q in roles if roles[q] == "front"}
                wait_for(lambda: listening(port, roles) == hold, 10, "they do not listen as they should")
                for net in ("tp", "sys"):
                    seen_as("%s, %s" % (how, net), sorted(roles), roles, port, 8, "--net", net, top=p.pid)
                # both named: one server
                with tracer("-p", ",".join(map(str, roles)), "--json") as t:
                    ask(port, 3)
                    t.stop()
                check(len(t.rows) == 3 and t.stderr().count("the server is") == 1, "%s, all named: one server" % how,
                      t.stderr())


def only():
    with tempdir() as d:
        port = free_port()
        with server(port, PYTHON, SOCKETS, "pair", script(d), port) as p:
            child = children(p.pid)[0]
            with tracer("-p", child, "--json", "--only") as t:
                ask(port, 2)
                t.stop()
            check(not t.rows and "belongs" not in t.stderr(), "--only: the process named and no more", t.stderr())


def not_above():
    """What starts a server is none of it: a shell, and we ourselves."""
    with tempdir() as d:
        port = free_port()
        with server(port, "bash", "-c", "%s %s prefork %s %d & wait" % (PYTHON, SOCKETS, script(d), port)) as p:
            top = children(p.pid)[0]
            wait_for(lambda: len(children(top)) == 2, 10, "no children")
            worker = children(top)[0]
            with tracer("-p", worker, "--json") as t:
                got = members(t)
                ask(port, 2)
                t.stop()
            check(p.pid not in got and got.get(top) == "supervisor" and len(t.rows) == 2,
                  "a shell above a server is none of it", t.stderr())


def engine():
    """A real one behind a process that is another program, as Ollama's runner is."""
    inner, port = free_port(), free_port()
    with server(port, PYTHON, LIB + "/proxy.py", "thread", port, inner, PYTHON, ROOT + "/scripts/llama-server",
                inner) as p:
        def loaded():
            with contextlib.suppress(OSError, http.client.HTTPException):
                c = http.client.HTTPConnection("127.0.0.1", inner, timeout=10)
                c.request("GET", "/health")
                return c.getresponse().status == 200
        wait_for(loaded, 120, "the model is not loaded")
        child = children(p.pid)[0]
        for pid in (p.pid, child):
            with tracer("-p", pid, "--json") as t:
                got = members(t)
                ask(port, 2)
                t.stop()
            what = "by the %s" % ("front" if pid == p.pid else "engine")
            check(got == {p.pid: "front", child: "engine"}, "a real engine behind a front, %s: its role" % what,
                  t.stderr())
            check(len(t.rows) == 2 and all(r["pid"] == p.pid and len(r["hops"]) == 1 and r["hops"][0]["pid"] == child
                                           for r in t.rows), "a real engine, %s: one row, one hop" % what, t.rows)


def upstream():
    """A server that is asked and was not started by the one who asks."""
    with tempdir() as d:
        for kind in ("tcp", "unix"):
            port = free_port()
            inner = str(free_port()) if kind == "tcp" else os.path.join(d, "inner.sock")
            back = subprocess.Popen([PYTHON, LIB + "/scripted.py", inner, script(d, 0.1)], start_new_session=True)
            with server(port, PYTHON, LIB + "/proxy.py", "thread", port, inner, "true") as p:
                args = ("--net", "sys") if kind == "unix" else ()
                with tracer("-p", p.pid, "--json", *args) as t:
                    n = 4
                    while "traced too" not in t.stderr() and n < 14:  # of a unix socket only while it is open
                        ask(port)
                        n += 1
                        time.sleep(2.2)
                    ask(port, 4)
                    t.stop()
                check("%d (" % back.pid in t.stderr(), "%s upstream: found and said" % kind, t.stderr())
                check(len(t.rows) == n and sum(len(r["hops"]) for r in t.rows) >= 4,
                      "%s upstream: a hop from then on" % kind, [(r["pid"], len(r["hops"])) for r in t.rows])
                with tracer("-p", p.pid, "--json", "--only", *args) as t:
                    ask(port, 2)
                    t.stop()
                check(len(t.rows) == 2 and not any(r["hops"] for r in t.rows) and "traced too" not in t.stderr(),
                      "%s upstream: not with --only" % kind, t.stderr())
            stop(back)


def again():
    """The server ends and its supervisor starts it anew."""
    with tempdir() as d:
        for by in ("pid", "port"):
            port = free_port()
            command = "while :; do %s %s prefork %s %d; done" % (PYTHON, SOCKETS, script(d), port)
            with server(port, "bash", "-c", command) as p:
                top = children(p.pid)[0]
                args = ("-p", top) if by == "pid" else ("--port", port)
                with tracer(*args, "--json", "--follow") as t:
                    ask(port)
                    for round in range(2):
                        top = children(p.pid)[0]
                        for pid in (*children(top), top):
                            os.kill(pid, signal.SIGKILL)
                        wait_for(lambda: t.stderr().count("it is back") == round + 1, 20, "it is not back")
                        wait_for(lambda: is_up(port), 20, "it is not up")
                        ask(port, 2)
                    t.stop()
                check(len(t.rows) == 5 and all(r["end"] == "complete" for r in t.rows),
                      "--follow, by %s: through two restarts" % by, (t.rows, t.stderr()))
        p = subprocess.run([TRACE, "--follow", "--", "true"], capture_output=True, text=True)
        check(p.returncode == 129 and "--follow" in p.stderr, "--follow and a command: refused", p.stderr)


def spinning():
    with tempdir() as d:
        port = free_port()
        with server(port, PYTHON, SOCKETS, "spin", script(d), port) as p:
            child = children(p.pid)[0]
            with tracer("-p", p.pid, "--json") as t:
                said = re.compile(r"^ipw-trace: %d \(\S+\) takes \d\.\d\d of a CPU while no query runs" % child, re.M)
                ask(port)
                with contextlib.suppress(TimeoutError):
                    wait_for(lambda: said.search(t.stderr()), 20, "")
                t.stop()
            check(len(said.findall(t.stderr())) == 1, "a member that spins is named once", t.stderr())
            check("%d (" % p.pid not in t.stderr().split("attached")[1], "and no other", t.stderr())


def storm():
    """Processes that come and go by the thousand, and those among them that serve."""
    with tempdir() as d:
        port = free_port()
        with server(port, PYTHON, SOCKETS, "pair", script(d), port) as p:
            with tracer("-p", p.pid, "--json", "--duration", 60) as t:
                code = "import os\nfor _ in range(3000):\n p = os.fork()\n if not p: os._exit(0)\n os.waitpid(p, 0)"
                storms = [subprocess.Popen([PYTHON, "-c", code]) for _ in range(2)]
                ask(port, 4)
                for s in storms:
                    s.wait()
                t.stop()
            check(len(t.rows) == 4 and t.summary["lost_events"] == 0, "fork storms beside it: nothing lost", t.summary)


def faked():
    """A process that looks like a part of the server, beside it: not traced, and traced as a target of its own."""
    with tempdir() as d:
        port, other = free_port(), free_port()
        command = "%s %s prefork %s %d & %s %s/fake.py %d %d %s/libllama.so & wait" % (
            PYTHON, SOCKETS, script(d), port, PYTHON, os.path.dirname(SOCKETS), other, port, d)
        with server(port, "bash", "-c", command) as p:
            wait_for(lambda: is_up(other), 10, "the fake is not up")
            real, fake = sorted(children(p.pid), key=lambda c: -len(children(c)))
            for pids in ([real], [real, fake]):
                with tracer("-p", ",".join(map(str, pids)), "--json") as t, socket.socket() as c:
                    got = members(t)
                    c.connect(("127.0.0.1", other))
                    c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
                    ask(port, 8)
                    t.stop()
                ours = [r for r in t.rows if r["pid"] != fake]
                what = "a fake beside it, %straced" % ("" if len(pids) > 1 else "not ")
                check(set(got) == {real, *children(real)}, "%s: none of the server" % what, t.stderr())
                check(len(ours) == 8 and all((r["end"], r["prompt_tokens"], r["completion_tokens"], r["hops"]) ==
                                             ("complete", 7, 5, []) for r in ours), "%s: its queries" % what, ours)
                check(len(t.rows) == 8 + len(pids) - 1 and balanced(t.summary), "%s: the books" % what, t.summary)


def main():
    shapes()
    only()
    not_above()
    faked()
    engine()
    upstream()
    again()
    spinning()
    storm()
    done()


if __name__ == "__main__":
    main()
