#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The scripted server in several processes, as servers are built of them.

Usage: prefork.py HOW PORT SCRIPT.json
HOW: fork      workers that are forked and accept on the one socket (gunicorn, nginx)
     pair      a worker that is another program, on a socket pair, beside a front that answers (an engine behind ZMQ)
     spin      the same, and the worker polls without sleeping
     pass      a front that accepts and hands each connection to a worker by SCM_RIGHTS
     reuse     two workers, each with a socket of its own on the one port (SO_REUSEPORT)
"""
import json
import os
import socket
import subprocess
import sys
import threading

from scripted import Server, listener

WORKER = "import sys, time; s = open(int(sys.argv[1]), 'rb', 0)\nwhile True: %s"
WORKERS = 2


def serve(server, s):
    while True:
        conn, _ = s.accept()
        threading.Thread(target=server.serve, args=(conn,), daemon=True).start()


def forked(n, work):
    for _ in range(n):
        if not os.fork():
            work()
            os._exit(0)


def taken(server, listening, channel):
    """Connections that come over the channel."""
    listening.close()
    while True:
        _, fds, _, _ = socket.recv_fds(channel, 1, 1)
        if not fds:
            return
        threading.Thread(target=server.serve, args=(socket.socket(fileno=fds[0]),), daemon=True).start()


def reuse(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", port))
    s.listen(1024)
    return s


def main():
    how, port = sys.argv[1], sys.argv[2]
    with open(sys.argv[3]) as f:
        server = Server(json.load(f))
    if how == "reuse":
        forked(WORKERS, lambda: serve(server, reuse(int(port))))
        while True:
            os.wait()
    s = listener(port)
    if how == "fork":
        forked(WORKERS, lambda: serve(server, s))
        while True:
            os.wait()
    ours, theirs = socket.socketpair()
    if how == "pass":
        forked(1, lambda: taken(server, s, theirs))
        while True:
            conn, _ = s.accept()
            socket.send_fds(ours, [b"x"], [conn.fileno()])
            conn.close()
    do = "pass" if how == "spin" else "time.sleep(1)"
    subprocess.Popen([sys.executable, "-c", WORKER % do, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    serve(server, s)


if __name__ == "__main__":
    main()
