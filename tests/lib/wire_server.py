#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The server's side of a scenario, on real sockets: does what each line on stdin says, and answers with a line.

Usage: wire_server.py UNIX_PATH
Prints the ports of 127.0.0.1 and [::1], then for "accept NAME KIND": ok; "recv NAME N", "peek NAME N": ok, or what went
wrong; "send NAME HEX"; "shut NAME"; "close NAME".
"""
import contextlib
import socket
import struct
import sys


def listen(family, address):
    s = socket.socket(family)
    s.bind(address)
    s.listen(16)
    return s


def receive(s, n):
    left = n
    while True:
        got = s.recv(left if left else 1)
        left -= len(got)
        if not got or left <= 0:
            return "ok" if left == 0 else "short by %d" % left


def do(listeners, conns, line):
    op, name, *rest = line.split()
    if op == "accept":
        conns[name] = listeners[rest[0]].accept()[0]
        for what in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conns[name].setsockopt(socket.SOL_SOCKET, what, struct.pack("ll", 5, 0))
    elif op == "recv":
        return receive(conns[name], int(rest[0]))
    elif op == "peek":
        conns[name].recv(int(rest[0]) or 1, socket.MSG_PEEK)
    elif op == "send":
        conns[name].sendall(bytes.fromhex(rest[0]))
    elif op == "shut":
        conns[name].shutdown(socket.SHUT_WR)
    elif op == "close":
        conns.pop(name).close()
    return "ok"


def main():
    listeners = {"ip4": listen(socket.AF_INET, ("127.0.0.1", 0)), "ip6": listen(socket.AF_INET6, ("::1", 0)),
                 "unix": listen(socket.AF_UNIX, sys.argv[1])}
    conns = {}
    print(listeners["ip4"].getsockname()[1], listeners["ip6"].getsockname()[1], flush=True)
    for line in sys.stdin:
        try:
            said = do(listeners, conns, line)
        except OSError as e:
            said = "error %s" % (e.strerror or e)
        with contextlib.suppress(BrokenPipeError):
            print(said, flush=True)


if __name__ == "__main__":
    main()
