# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A server of chat completions for tests: each answer is what a function makes of the request, byte by byte."""
import contextlib
import http.server
import json
import threading
import time


def event(choices, **more):
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "model": "m", "choices": choices,
                                   **more}).encode() + b"\n\n"


def delta(text, **more):
    return event([{"index": 0, "delta": {"content": text}, "finish_reason": None, **more}])


def stream(parts, usage=(10, 4, 3), finish="stop", done=True):
    """The events of an answer. usage: prompt, cached, completion tokens; None: the server does not say."""
    out = [event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])]
    out += [delta(p) for p in parts]
    if finish:
        out.append(event([{"index": 0, "delta": {}, "finish_reason": finish}]))
    if usage:
        out.append(event([], usage={"prompt_tokens": usage[0], "completion_tokens": usage[2],
                                    "prompt_tokens_details": {"cached_tokens": usage[1]}}))
    return out + ([b"data: [DONE]\n\n"] if done else [])


class Reply:
    """body: pieces, each its own chunk and write; cut: the connection ends without the last chunk."""

    def __init__(self, body, status=200, delay=0, first=0, cut=False, kind="text/event-stream",
                 headers=()):
        self.body, self.status, self.delay, self.first, self.cut, self.kind = body, status, delay, first, cut, kind
        self.headers = headers


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        data = json.dumps({"object": "list", "data": [{"id": "first"}, {"id": "second"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        s = self.server
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        with s.lock:
            s.seen.append({"at": time.monotonic(), "id": self.headers.get("X-Request-Id"), "body": body,
                           "auth": self.headers.get("Authorization"), "path": self.path})
            s.now += 1
            s.most = max(s.most, s.now)
        try:
            self.reply(s.answer(body))
        except OSError:
            self.close_connection = True
        finally:
            with s.lock:
                s.now -= 1

    def reply(self, r):
        if r is None:
            self.close_connection = True
            return
        self.send_response(r.status)
        self.send_header("Content-Type", r.kind)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in r.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        time.sleep(r.first)
        for piece in r.body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            time.sleep(r.delay)
        if r.cut:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")


class Threads(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


@contextlib.contextmanager
def serving(answer, port=0):
    """answer(body): a Reply, or None to close. Yields the server: .url, .seen, .most at a time."""
    s = Threads(("127.0.0.1", port), Handler)
    s.answer, s.seen, s.now, s.most, s.lock = answer, [], 0, 0, threading.Lock()
    s.port = s.server_address[1]
    s.url = "http://127.0.0.1:%d" % s.port
    t = threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    t.start()
    try:
        yield s
    finally:
        s.shutdown()
        s.server_close()
