#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A server that says what its script says, on a real socket: for the wires and words that no real model would give.

Usage: scripted.py ADDRESS SCRIPT.json [ignored arguments]
ADDRESS is a port of 127.0.0.1, [::1]:port, or the path of a unix socket. The script is a list of answers; the query's
path picks one: of those whose "path" it ends with the longest; of several of these one after the other. An answer:
{"path", "deltas": [text...], "delay": seconds between them, "prefill": seconds, "model", "usage": {...} or null,
 "whole": true, "status": 200, "raw": "bytes as latin-1", "close": true, "one_write": true, "iov": true}
"""
import json
import os
import socket
import sys
import threading
import time


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(a, choices, **more):
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "model": a.get("model", "scripted"),
                                   "choices": choices, **more}).encode() + b"\n\n"


def stream(send, a):
    send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    time.sleep(a.get("prefill", 0))
    send(chunk(event(a, [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])))
    for d in a["deltas"]:
        send(chunk(event(a, [{"index": 0, "delta": {"content": d}, "finish_reason": None}])))
        time.sleep(a.get("delay", 0))
    send(chunk(event(a, [{"index": 0, "delta": {}, "finish_reason": "stop"}])))
    if a.get("usage"):
        send(chunk(event(a, [], usage=a["usage"])))
    send(chunk(b"data: [DONE]\n\n"))
    send(b"0\r\n\r\n")


def whole(send, a):
    time.sleep(a.get("prefill", 0))
    body = json.dumps({"id": "x", "object": "chat.completion", "model": a.get("model", "scripted"),
                       "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(a["deltas"])},
                                    "finish_reason": "stop"}], "usage": a.get("usage")}).encode()
    send(b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (a.get("status", 200),
                                                                                             len(body)) + body)


class Server:
    def __init__(self, script):
        self.script = script
        self.turn = {}
        self.lock = threading.Lock()

    def pick(self, path):
        with self.lock:
            fits = [a for a in self.script if path.endswith(a.get("path", "/v1/chat/completions"))]
            if not fits:
                return None
            best = max(len(a.get("path", "")) for a in fits)
            fits = [a for a in fits if len(a.get("path", "")) == best]
            n = self.turn[path] = self.turn.get(path, -1) + 1
            return fits[n % len(fits)]

    def request(self, conn, data):
        """One request off the connection: its path, and the bytes that follow it; None at the end."""
        while b"\r\n\r\n" not in data:
            got = conn.recv(65536)
            if not got:
                return None, b""
            data += got
        head, _, rest = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(rest) < length:
            got = conn.recv(65536)
            if not got:
                return None, b""
            rest += got
        return head.split(b" ")[1].decode().split("?")[0], rest[length:]

    def serve(self, conn):
        data = b""
        try:
            while True:
                path, data = self.request(conn, data)
                if path is None:
                    break
                a = self.pick(path)
                if a is None:
                    conn.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                self.answer(conn, a)
                if a.get("close"):
                    break
        except OSError:
            pass
        conn.close()

    def answer(self, conn, a):
        parts = []
        send = parts.append if a.get("one_write") or a.get("iov") else conn.sendall
        if "raw" in a:
            send(a["raw"].encode("latin-1"))
        elif a.get("whole"):
            whole(send, a)
        else:
            stream(send, a)
        if a.get("iov"):
            conn.sendmsg(parts)
        elif parts:
            conn.sendall(b"".join(parts))


def listener(address):
    if address.isdigit():
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", int(address)))
    elif address.startswith("["):
        s = socket.socket(socket.AF_INET6)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::1", int(address.rpartition(":")[2])))
    else:
        s = socket.socket(socket.AF_UNIX)
        if os.path.exists(address):
            os.unlink(address)
        s.bind(address)
    s.listen(1024)
    return s


def main():
    with open(sys.argv[2]) as f:
        server = Server(json.load(f))
    s = listener(sys.argv[1])
    while True:
        conn, _ = s.accept()
        threading.Thread(target=server.serve, args=(conn,), daemon=True).start()


if __name__ == "__main__":
    main()
