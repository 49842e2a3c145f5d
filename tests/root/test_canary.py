#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""No word of a prompt or an answer, and no key, in anything the tracer writes: not whole, not escaped, not in base64.

Distinctive words go through a scripted server; every file and output is then searched for each of them.
"""
import base64
import http.client
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import PYTHON, TRACE, check, done, free_port, tempdir, tracer, wait_for  # noqa: E402

rng = random.Random()
SCRIPTED = os.path.join(os.path.dirname(__file__), "../lib/scripted.py")


def word(mark):
    return mark + "".join(rng.choice("bcdfghjklmnpqrstvwxz") for _ in range(14))


def forms(text):
    """The ways in which text could stand in a file."""
    raw = text.encode()
    yield raw
    yield json.dumps(text)[1:-1].encode()
    yield "".join("\\u%04x" % ord(c) for c in text).encode()
    yield "".join("\\u%04X" % ord(c) for c in text).encode()
    yield "".join("%%%02x" % b for b in raw).encode()
    yield raw.hex().encode()
    yield raw[::-1]
    for shift in range(3):  # base64 wherever the text begins in its groups of three
        enc = base64.b64encode(b"\0" * shift + raw)
        yield enc[4 if shift else 0: len(enc) // 4 * 4 - 4]


def queries(port, prompt, keys):
    for path in ("/v1/chat/completions", "/v1/chat/completions?api_key=" + keys[0], "/whole/v1/chat/completions",
                 "/long/v1/chat/completions", "/error/v1/chat/completions"):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        c.request("POST", path, json.dumps({"messages": [{"role": "user", "content": prompt}], "stream": True,
                                             "user": prompt}),
                  {"Authorization": "Bearer " + keys[1], "X-Api-Key": keys[1], "Content-Type": "application/json",
                   "Cookie": "session=" + keys[1]})
        c.getresponse().read()
        c.close()


def script(deltas, error):
    usage = {"prompt_tokens": 5, "completion_tokens": len(deltas)}
    return [
        {"path": "/v1/chat/completions", "deltas": deltas, "usage": usage},
    ], [
        {"path": "/whole/v1/chat/completions", "deltas": deltas, "usage": usage, "whole": True},
        {"path": "/long/v1/chat/completions", "deltas": deltas * 500, "usage": usage, "whole": True},
        {"path": "/error/v1/chat/completions", "raw": "HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s" % (
            len(error), error)},
    ]


def run(args, port, prompt, keys, out):
    with tracer(*args) as t:
        queries(port, prompt, keys)
        t.stop()
    for name, text in (("stdout", t.stdout()), ("stderr", t.stderr())):
        out.append(("%s of %s" % (name, " ".join(map(str, args[2:]))), text.encode()))


def search(out, secrets, what):
    found = [(where, s) for where, data in out for s in secrets for f in forms(s) if f and f in data]
    check(not found, "%s is nowhere" % what, found[:5])


def main():
    prompt, deltas = " ".join(word("P") for _ in range(12)), [word("D") + " " for _ in range(30)] + ["Ä" + word("U")]
    keys = [word("K"), word("K"), word("K")]
    error = json.dumps({"error": {"message": "bad " + word("E")}})
    stream, rest = script(deltas, error)
    out = []
    with tempdir() as d:
        with open(os.path.join(d, "script.json"), "w") as f:
            json.dump(rest + stream, f)
        port = free_port()
        server = subprocess.Popen([PYTHON, SCRIPTED, str(port), f.name, "--api-key", keys[2]])
        try:
            wait_for(lambda: listening(port), 10, "the scripted server does not listen")
            run(["-p", server.pid], port, prompt, keys, out)
            run(["-p", server.pid, "-v", "--net", "sys"], port, prompt, keys, out)
            run(["-p", server.pid, "--json", "-o", os.path.join(d, "a.data"), "--task", "json:user"], port,
                prompt, keys, out)
            run(["record", "-p", server.pid, "-o", os.path.join(d, "b.data")], port, prompt, keys, out)
        finally:
            server.kill()
            server.wait()
        port2 = free_port()
        with tracer("-o", os.path.join(d, "c.data"), "--duration", 30, "--", PYTHON, SCRIPTED, port2, f.name,
                    "--api-key", keys[2]) as t:
            wait_for(lambda: listening(port2), 10, "the scripted server does not listen")
            queries(port2, prompt, keys)
            subprocess.run(["pkill", "-f", "scripted.py %d" % port2], check=True)
            t.p.wait(20)
        out.append(("stdout with a command", t.stdout().encode()))
        out.append(("stderr with a command", t.stderr().encode()))
        for name in ("a.data", "b.data", "c.data"):
            path = os.path.join(d, name)
            with open(path, "rb") as f:
                out.append((name, f.read()))
            check(os.stat(path).st_mode & 0o777 == 0o600, "%s has mode 0600" % name)
            for more in ([], ["--json"], ["-v"]):
                p = subprocess.run([TRACE, "report", "-i", path, *more], capture_output=True)
                out.append(("report " + " ".join(more), p.stdout + p.stderr))
                check(p.returncode == 0 and p.stdout.count(b"\n") > 5, "report %s of %s says something" % (more, name))
    check(sum(b"/v1/chat/completions" in data for _, data in out) >= 4, "the queries were seen")
    check(sum(data.count(b'"task":"#') for _, data in out) > 1, "a prompt that is said to be a task's id is a sum")
    search(out, prompt.split(), "the prompt")
    search(out, [x.strip() for x in deltas], "each delta of the answer")
    search(out, [error[22:-3]], "the error's text")
    search(out, keys[:1], "a key in the URL")
    search(out, keys[1:2], "a key in a header")
    search(out, keys[2:], "a key in a command's arguments")
    check(any(f in b"xx" + base64.b64encode(b"yy" + prompt.encode()) for f in forms(prompt)), "the search finds base64")
    check(any(f in json.dumps("Ä" + prompt).encode() for f in forms(prompt)), "the search finds what is there")


def listening(port):
    import socket
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


main()
done()
