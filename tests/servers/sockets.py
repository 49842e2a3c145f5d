#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The scripted server with its sockets had in other ways than one process's accept.

Usage: sockets.py WAY SCRIPT.json ADDRESS...
many: one process, all addresses, "[::]:port" being of both families. prefork: two children accept from the sockets of
their parent. reuseport: two children have sockets of their own on one port. handed: the parent accepts, and hands each
connection to its child, over a unix socket. pair: beside the one that answers another program, on a socket pair, as an
engine is behind its front. spin: the same, and it polls without sleeping.
Prints "ready", and the PIDs of its children.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from scripted import Server, listener  # noqa: E402


WORKER = "import sys, time; s = open(int(sys.argv[1]), 'rb', 0)\nwhile True: %s"


def listen(address, shared=False):
    if not shared and not address.startswith("[::]"):
        return listener(address)
    s = socket.socket(socket.AF_INET6 if address[0] == "[" else socket.AF_INET)
    if shared:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    else:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::" if address[0] == "[" else "127.0.0.1", int(address.rpartition(":")[2])))
    s.listen(64)
    return s


def background(f, *args):
    threading.Thread(target=f, args=args, daemon=True).start()


def accept(server, s):
    while True:
        background(server.serve, s.accept()[0])


def serve(server, sockets):
    for s in sockets:
        background(accept, server, s)
    while True:
        signal.pause()


def child(f, *args):
    pid = os.fork()
    if not pid:
        f(*args)
        os._exit(0)
    return pid


def receive(server, channel, sockets):
    for s in sockets:
        s.close()
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 65536, 1)
        if not data:
            break
        conn = socket.socket(fileno=fds[0])
        background(server.serve, conn)


def hand(s, channel):
    while True:
        conn, _ = s.accept()
        socket.send_fds(channel, [b"x"], [conn.fileno()])
        conn.close()


def beside(channel, do):
    argv = [sys.executable, "-c", WORKER % do, str(channel.fileno())]
    return subprocess.Popen(argv, pass_fds=[channel.fileno()]).pid


def end(pids):
    for p in pids:
        os.kill(p, signal.SIGKILL)
    os._exit(0)


def main():
    way, script, *addresses = sys.argv[1:]
    with open(script) as f:
        server = Server(json.load(f))
    pids, then = [], signal.pause
    ours, theirs = socket.socketpair()
    if way != "reuseport":
        sockets = [listen(a) for a in addresses]
    if way in ("many", "pair", "spin"):
        then = lambda: serve(server, sockets)  # noqa: E731
    if way in ("pair", "spin"):
        pids = [beside(theirs, "pass" if way == "spin" else "time.sleep(1)")]
    elif way == "prefork":
        pids = [child(serve, server, sockets) for _ in range(2)]
    elif way == "reuseport":
        pids = [child(serve, server, [listen(a, True) for a in addresses]) for _ in range(2)]
    elif way == "handed":
        pids = [child(receive, server, theirs, sockets)]
        background(hand, sockets[0], ours)
    signal.signal(signal.SIGTERM, lambda *_: end(pids))
    print("ready", *pids, flush=True)
    then()


if __name__ == "__main__":
    main()
