#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A process before a server, which it starts itself: for hops of all kinds.

Usage: proxy.py KIND PORT UPSTREAM COMMAND...
KIND is words joined by '+':
  thread    a thread for each connection           async     one thread for all
  rewrite   the body goes on written differently   twice     the server is asked twice, once for nothing
  gather    it asks for a stream and answers with the whole
UPSTREAM is a port of 127.0.0.1 or the path of a unix socket.
"""
import asyncio
import json
import socket
import subprocess
import sys
import threading
import time


def body_for(kind, body):
    """What goes on to the server."""
    data = json.loads(body)
    if "gather" in kind:
        data["stream"] = True
    return json.dumps(data, indent=3).encode() if "rewrite" in kind or "gather" in kind else body


def request(path, body):
    return (b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (path, len(body))) + body


def length_of(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def gathered(stream):
    """One answer out of the events of a stream."""
    text, usage = "", None
    for line in stream.split(b"\n"):
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            for c in event["choices"]:
                text += c["delta"].get("content", "")
    body = json.dumps({"object": "chat.completion", "model": "gathered", "usage": usage, "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}).encode()
    return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)) + body


def connect(upstream):
    s = socket.socket(socket.AF_INET if upstream.isdigit() else socket.AF_UNIX)
    s.connect(("127.0.0.1", int(upstream)) if upstream.isdigit() else upstream)
    return s


def await_upstream(upstream):
    while True:
        try:
            return connect(upstream).close()
        except OSError:
            time.sleep(0.02)


def ask(upstream, data, to):
    """Sends it and hands on what comes, until the server is done with the answer."""
    with connect(upstream) as s:
        s.sendall(data)
        seen = b""
        while not seen.endswith(b"0\r\n\r\n"):
            got = s.recv(65536)
            if not got:
                break
            seen = (seen + got)[-64:]
            to(got)


def in_thread(kind, conn, upstream):
    data = b""
    while b"\r\n\r\n" not in data:
        got = conn.recv(65536)
        if not got:
            return conn.close()
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    while len(body) < length_of(head):
        body += conn.recv(65536)
    path, body = head.split(b" ")[1], body_for(kind, body)
    if "twice" in kind:
        ask(upstream, request(path, body), lambda got: None)
    if "gather" in kind:
        parts = []
        ask(upstream, request(path, body), parts.append)
        conn.sendall(gathered(b"".join(parts)))
    else:
        ask(upstream, request(path, body), conn.sendall)
    return conn.close()


async def in_loop(kind, upstream, reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return writer.close()
    body = body_for(kind, await reader.readexactly(length_of(head)))
    r, w = await (asyncio.open_connection("127.0.0.1", int(upstream)) if upstream.isdigit() else
                  asyncio.open_unix_connection(upstream))
    w.write(request(head.split(b" ")[1], body))
    seen = b""
    while not seen.endswith(b"0\r\n\r\n"):
        got = await r.read(65536)
        if not got:
            break
        seen = (seen + got)[-64:]
        writer.write(got)
        await writer.drain()
    w.close()
    return writer.close()


async def loop(kind, port, upstream):
    server = await asyncio.start_server(lambda r, w: in_loop(kind, upstream, r, w), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main():
    kind, port, upstream = sys.argv[1].split("+"), int(sys.argv[2]), sys.argv[3]
    subprocess.Popen(sys.argv[4:])
    await_upstream(upstream)
    if "async" in kind:
        asyncio.run(loop(kind, port, upstream))
    s = socket.create_server(("127.0.0.1", port), backlog=1024)
    while True:
        conn, _ = s.accept()
        threading.Thread(target=in_thread, args=(kind, conn, upstream), daemon=True).start()


if __name__ == "__main__":
    main()
