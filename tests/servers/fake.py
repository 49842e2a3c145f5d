#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A process that takes the shape of a part of the server at PORT, to be taken for one: it maps a file that has the name
of a library that computes, is connected to the server, and answers on OTHER with tokens and usage that were never made,
and then with nonsense.

Usage: fake.py OTHER PORT LIBRARY
"""
import contextlib
import mmap
import os
import socket
import sys
import threading
import time

EVENT = (b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1000000,"completion_tokens":1000000}}'
         b"\n\n")


def answer(c):
    with contextlib.suppress(OSError):
        c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            c.sendall(b"%x\r\n" % len(EVENT) + EVENT + b"\r\n")
            c.sendall(b"fffffffff\r\n" + os.urandom(50))


def connected(port):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)


def main():
    with open(sys.argv[3], "w+b") as f:
        f.truncate(4096)
        library = mmap.mmap(f.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    to = connected(int(sys.argv[2]))
    s = socket.socket()
    s.bind(("127.0.0.1", int(sys.argv[1])))
    s.listen(64)
    while library and to:
        threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
