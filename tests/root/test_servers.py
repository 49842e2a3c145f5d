#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers of several processes, real ones and one in Ollama's shape: every query once, with the counts of its usage."""
import contextlib
import json
import os
import socket
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), os.path.join(HERE, "../servers")]
from harness import balanced, check, done, load, members, tracer  # noqa: E402
from llama_router import router  # noqa: E402
from nginx import nginx, nginx_unix  # noqa: E402
from ollama_shape import ollama_shape  # noqa: E402
from uvicorn_asgi import fast, plain, workers  # noqa: E402

CLOCK = 30  # ms, between the medians of the client's clock and ours, on a machine that is busy

CHAT, TEXT, OLLAMA_CHAT, OLLAMA = "/v1/chat/completions", "/v1/completions", "/api/chat", "/api/generate"

# Each round is eight queries at a time, four of them streamed: of which server, in which tier, in which language.
ROUNDS = [
    ("llama.cpp's router", router, [("tp", CHAT), ("sys", TEXT)]),
    ("nginx before llama.cpp", nginx, [("tp", CHAT)]),
    ("nginx before llama.cpp's unix socket", nginx_unix, [("sys", CHAT)]),
    ("a Go front in Ollama's shape", ollama_shape, [("tp", OLLAMA_CHAT), ("tp", OLLAMA), ("sys", OLLAMA_CHAT)]),
    ("uvicorn, asyncio and h11", plain, [("tp", CHAT), ("sys", CHAT)]),
    ("uvicorn, uvloop and httptools", fast, [("tp", CHAT), ("sys", CHAT)]),
    ("uvicorn, two workers", workers, [("tp", CHAT), ("sys", CHAT)]),
]


def front_rows(t, view):
    """The rows of what came to the front itself, not of what it asks of others."""
    return [r for r in t.rows if r["server"] == view.server]


def ask(s, path, seed):
    """Eight at a time, every second not streamed; what the client saw of each."""
    rows = load(s.port, "-n", 8, "--together", "--mixed", "--seed", seed, "--tokens", "12-24", "--words", "2-30",
                "--ignore-eos", "--model", s.model, "--path", path)
    return [dict(r, request_id="load-%d-%d" % (seed, r["query"])) for r in rows]


def once(t, view, rows, what):
    """Every query once among the front's rows; returns (ours, theirs) of each."""
    front = front_rows(t, view)
    ours = {r[view.key]: r for r in front}
    pairs = [(ours[c[view.key]], c) for c in rows if c[view.key] in ours]
    check(len(front) == len(pairs) == len(rows), "%s: every query once" % what,
          [(r["server"], r["client"], r["request_id"], r["path"]) for r in t.rows])
    if view.folds:
        check(len(t.rows) == len(rows), "%s: %d queries are as many rows" % (what, len(rows)), len(t.rows))
        check(t.summary["queries"] == len(rows), "%s: and as many in the summary" % what, t.summary)
        folded_right(pairs, what)
    return pairs


def folded_right(pairs, what):
    """A hop has the counts of the query it is with. Where only the order says whose it is, it is a guess, and told."""
    hops = [(h["by"], h["prompt_tokens"], h["completion_tokens"], o["prompt_tokens"], o["completion_tokens"])
            for o, _ in pairs for h in o.get("hops", [])]
    wrong = [h for h in hops if h[1:3] != h[3:5]]
    check(not [h for h in wrong if h[0] != "order"], "%s: each hop is with its query" % what, wrong)
    if wrong or len(hops) < len(pairs):
        print("# %s: %d hops of %d queries, %d with another's" % (what, len(hops), len(pairs), len(wrong)), flush=True)


def counts(pairs, what):
    wrong = [(o, c) for o, c in pairs if (o["end"], o["status"], o["stream"]) != ("complete", 200, c["stream"])]
    check(not wrong, "%s: complete, streamed as asked" % what, wrong)
    for key in ("prompt_tokens", "completion_tokens"):
        wrong = [(o["id"], o[key], c["usage"][key]) for o, c in pairs if o[key] != c["usage"][key]]
        check(not wrong, "%s: %s as the server's usage" % (what, key), wrong)
    check(not any("estimated_tokens" in o["flags"] for o, _ in pairs), "%s: nothing is estimated" % what)


def phases(pairs, what):
    wrong = [o for o, c in pairs if c["stream"] and not 0 <= o["ttft_ms"] <= o["duration_ms"]]
    check(not wrong, "%s: phases in order" % what, wrong)
    longer = statistics.median(o["duration_ms"] - (c["end_ns"] - c["send_ns"]) / 1e6 for o, c in pairs)
    check(longer < CLOCK, "%s: as long as the client waited, by the median" % what, longer)
    late = [(o["ttft_ms"], (c["first_ns"] - c["send_ns"]) / 1e6) for o, c in pairs
             if c["stream"] and o["ttft_ms"] > (c["first_ns"] - c["send_ns"]) / 1e6]
    check(not late, "%s: no first token later than the client had it" % what, late)


def totals(pairs, before, after, what):
    """llama.cpp's own counters: what was computed, whoever asked."""
    made = after["tokens_predicted_total"] - before.get("tokens_predicted_total", 0)
    check(sum(o["completion_tokens"] for o, _ in pairs) == made, "%s: completion tokens as /metrics" % what, made)
    read = after["prompt_tokens_total"] - before.get("prompt_tokens_total", 0)
    ours = sum(o["prompt_tokens"] - (o["cached_tokens"] or 0) for o, _ in pairs)
    check(ours == read, "%s: prompt tokens less cached ones as /metrics" % what, (ours, read))


def books(t, what):
    s = t.summary
    check(balanced(s), "%s: the books add up" % what, s)
    check(s["lost_events"] == 0 and s["evicted"] == 0, "%s: nothing lost" % what, s)


def one_round(name, s, net, path, seed):
    with contextlib.ExitStack() as stack:
        traces = [stack.enter_context(tracer("-p", ",".join(map(str, v.pids)), "--json", "--net", net))
                  for v in s.views]
        before = s.metrics() if s.metrics else None
        rows = ask(s, path, seed)
        after = s.metrics() if s.metrics else None
        for t in traces:
            t.stop()
    what = "%s, %s, %s" % (name, net, path)
    check(max(c["send_ns"] for c in rows) < min(c["end_ns"] for c in rows), "%s: all eight at a time" % what,
          [(c["send_ns"], c["end_ns"]) for c in rows])
    for t, v in zip(traces, s.views):
        said = what + (", " + v.name if v.name else "")
        pairs = once(t, v, rows, said)
        counts(pairs, said)
        phases(pairs, said)
        if before is not None:
            totals(pairs, before, after, said)
        books(t, said)
    return traces


def leave(s, path, ident, streamed):
    """Asks and goes away: from a stream in its middle, else before the answer."""
    body = {"model": s.model, "stream": streamed, "ignore_eos": True, "max_tokens": 60, "options": {"num_predict": 60},
            "messages": [{"role": "user", "content": "Tell me about rivers"}]}
    data = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", s.port), 10) as c:
        c.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % (path.encode(), ident.encode(), len(data)) + data)
        got = 0
        while streamed and got < 1500:
            got += len(c.recv(4096))
        time.sleep(0.1)


def cancels(name, s, net, path):
    """Two clients that go away, one that asks after them."""
    view, what = s.views[-1], "%s, %s, cancels" % (name, net)
    with tracer("-p", ",".join(map(str, view.pids)), "--json", "--net", net) as t:
        leave(s, path, "streamed", True)
        leave(s, path, "whole", False)
        time.sleep(1.5)  # llama.cpp looks once a second
        load(s.port, "-n", 1, "--seed", 5, "--tokens", "2-4", "--model", s.model, "--path", path)
        time.sleep(3 if s.metrics else 0)  # a router has what nobody waits for computed to its end
        t.stop()
    ends = {r["request_id"]: r["end"] for r in front_rows(t, view)}
    check(ends == {"streamed": "cancel", "whole": "cancel", "load-5-0": "complete"}, what, ends)
    if view.folds:
        check(len(t.rows) == 3 and t.summary["cancels"] == 2, "%s: three rows" % what, t.rows)
    books(t, what)


def tree(name, s):
    """The processes of the server and their roles, whichever of them is named."""
    top = s.views[-1].pids[0]
    pids, seen = [top], {}
    while pids:
        with tracer("-p", pids[0], "--json") as t:
            seen[pids.pop(0)] = got = members(t)
            t.stop()
        pids += [p for p in got if p not in seen and p not in pids]
        check(list(got.values()) == s.roles and got == seen[top],
              "%s, by %d of %d: the tree and its roles" % (name, len(seen), len(got) or 1), t.stderr())


def main():
    for seed, (name, server, rounds) in enumerate(ROUNDS):
        if sys.argv[1:] and not any(a in name for a in sys.argv[1:] if a != "--all"):
            continue
        begin = time.monotonic()
        with server() as s:
            for i, (net, path) in enumerate(rounds):
                one_round(name, s, net, path, 100 * (seed + 1) + 10 * i)
            cancels(name, s, *rounds[0])
            tree(name, s)
        print("# %s: %.1f s" % (name, time.monotonic() - begin), flush=True)


main()
done()
