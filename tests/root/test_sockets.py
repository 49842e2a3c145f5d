#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Connections that come to a server by other ways than one process's accept: every query once, of who served it."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import PYTHON, ROOT, balanced, check, done, free_port, stop, tempdir, tracer  # noqa: E402

USAGE = {"prompt_tokens": 7, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 2}}
SCRIPT = [
    {"path": "/v1/chat/completions", "deltas": ["a"] * 10, "delay": 0.03, "usage": USAGE},
    {"path": "/whole/v1/chat/completions", "deltas": ["a"] * 10, "prefill": 0.3, "usage": USAGE, "whole": True},
    {"path": "/fast/v1/chat/completions", "deltas": ["a"] * 10, "usage": USAGE, "whole": True},
]


@contextlib.contextmanager
def server(d, way, *addresses):
    """Yields (PID, PIDs of its children)."""
    script = os.path.join(d, "script.json")
    with open(script, "w") as f:
        json.dump(SCRIPT, f)
    p = subprocess.Popen([PYTHON, os.path.join(ROOT, "tests/servers/sockets.py"), way, script, *addresses],
                         stdout=subprocess.PIPE, text=True)
    try:
        ready, *pids = p.stdout.readline().split()
        yield p.pid, list(map(int, pids))
    finally:
        stop(p)
        p.stdout.close()


def connect(address):
    if address.startswith("/"):
        s = socket.socket(socket.AF_UNIX)
        s.connect(address)
        return s
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), 10)


def ask(address, ident, path):
    c = http.client.HTTPConnection("localhost", timeout=30)
    c.sock = connect(address)
    with contextlib.closing(c):
        c.request("POST", path, json.dumps({"messages": [{"role": "user", "content": "hello"}],
                                            "stream": "/whole" not in path and "/fast" not in path}),
                  {"X-Request-Id": ident})
        return c.getresponse().read()


def leave(address, ident):
    """Asks, and is gone before the answer: the server's first send is taken, and resets the connection at once."""
    with contextlib.closing(connect(address)) as s:
        s.sendall(b"POST /whole/v1/chat/completions HTTP/1.1\r\nX-Request-Id: %s\r\nContent-Length: 15\r\n\r\n"
                  b'{"messages":[]}' % ident.encode())


def eight(addresses):
    """Eight at a time, to the addresses in turn, streamed and not; their ids."""
    ids = ["q%d" % i for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ask(addresses[i % len(addresses)], ids[i],
                                    "/v1/chat/completions" if i // 2 % 2 else "/whole/v1/chat/completions"), range(8)))
    return ids


def verify(t, ids, what, pids, left=()):
    check(sorted(r["request_id"] for r in t.rows) == sorted(ids + list(left)), "%s: every query once" % what,
          [(r["request_id"], r["server"], r["end"]) for r in t.rows])
    rows = [r for r in t.rows if r["request_id"] not in left]
    wrong = [r for r in rows if (r["prompt_tokens"], r["completion_tokens"], r["cached_tokens"]) != (7, 10, 2) or
             r["end"] != "complete" or r["flags"].count("truncated") or r["pid"] not in pids]
    wrong += [r for r in t.rows if r["request_id"] in left and r["end"] != "cancel"]
    check(not wrong, "%s: complete, its tokens, of the process that served it" % what, (pids, wrong))
    check(balanced(t.summary) and t.summary["lost_events"] == 0, "%s: balanced, nothing lost" % what, t.summary)


def many(net):
    """One process that listens on two ports of IPv4, one of IPv6, one of both, and a unix socket."""
    ports = [free_port() for _ in range(4)]
    addresses = [str(ports[0]), str(ports[1]), "[::1]:%d" % ports[2], "[::]:%d" % ports[3], "%(dir)s/s.sock"]
    with tempdir() as d:
        addresses = [a % {"dir": d} for a in addresses]
        with server(d, "many", *addresses) as (pid, _), tracer("-p", pid, "--json", "--net", net) as t:
            ids = eight(["127.0.0.1:%d" % ports[0], "127.0.0.1:%d" % ports[1], addresses[2],
                         "127.0.0.1:%d" % ports[3], "[::1]:%d" % ports[3], addresses[4]])
            t.stop()
        verify(t, ids, "many, %s" % net, [pid])
        check({r["server"] for r in t.rows} == {"127.0.0.1:%d" % ports[0], "127.0.0.1:%d" % ports[1], addresses[2],
                                                "127.0.0.1:%d" % ports[3], "[::1]:%d" % ports[3], "unix"},
              "many, %s: the addresses that the queries came to" % net, {r["server"] for r in t.rows})


def shared(way, net):
    """Two children of the process that is traced serve one port."""
    port = free_port()
    with tempdir() as d, server(d, way, str(port)) as (pid, kids), tracer("-p", pid, "--json", "--net", net) as t:
        ids = eight(["127.0.0.1:%d" % port])
        t.stop()
        verify(t, ids, "%s, %s" % (way, net), kids)


def handed(net):
    """Who serves has accepted nothing. With its parent traced too, and alone, where its connections just appear."""
    port = free_port()
    with tempdir() as d, server(d, "handed", str(port)) as (pid, kids):
        with tracer("-p", pid, "--json", "--net", net) as t, tracer("-p", kids[0], "--json", "--net", net) as u:
            ids = eight(["127.0.0.1:%d" % port])
            left = ["l%d" % i for i in range(10)]
            for i in left:
                leave("127.0.0.1:%d" % port, i)
            time.sleep(1)
            for i in range(40):  # one after the other: the kernel uses a socket's memory again
                ask("127.0.0.1:%d" % port, "f%d" % i, "/fast/v1/chat/completions")
                ids.append("f%d" % i)
            t.stop()
            u.stop()
        verify(t, ids, "handed, %s" % net, kids, left)
        verify(u, ids, "handed, %s, the heir alone" % net, kids, left)


for net in ("tp", "sys"):
    many(net)
    shared("prefork", net)
    shared("reuseport", net)
    handed(net)
done()
