#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A process that asks another: one query, one row, whatever lies between. Each query has a path of its own, which the
tracer does not look at, so that it tells which hop is whose."""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import PYTHON, balanced, check, done, free_port, report, stop, tempdir, tracer, wait_for  # noqa: E402

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib")
N = 8
TOKENS = 20
USAGE = {"prompt_tokens": 7, "completion_tokens": TOKENS}


def script(d):
    path = os.path.join(d, "script.json")
    with open(path, "w") as f:
        json.dump([{"deltas": ["a"] * TOKENS, "delay": 0.02, "prefill": 0.1, "usage": USAGE, "model": "inner"}], f)
    return path


def is_up(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def ask(port, i, body):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request("POST", "/q%d/v1/chat/completions" % i, body, {"X-Session-Id": "of-q%d" % i})
    c.getresponse().read()
    c.close()


def ask_all(port, same):
    """N at a time, each begun a little after the one before it."""
    threads = []
    for i in range(N):
        body = json.dumps({"messages": [{"role": "user", "content": "hello" if same else "hello %d" % i}]})
        threads.append(threading.Thread(target=ask, args=(port, i, body)))
        threads[-1].start()
        time.sleep(0.02)
    for t in threads:
        t.join()


def one(kind, by, net="tp", unix=False, same=False, hops=1):
    what = "%s%s%s, %s" % (kind, " to a unix socket" if unix else "", ", all alike" if same else "", net)
    whole = "gather" in kind
    with tempdir() as d:
        port, upstream = free_port(), os.path.join(d, "inner.sock") if unix else str(free_port())
        p = subprocess.Popen([PYTHON, LIB + "/proxy.py", kind, str(port), upstream, PYTHON, LIB + "/scripted.py",
                              upstream, script(d)], start_new_session=True)
        data = os.path.join(d, "ipw.data")
        try:
            wait_for(lambda: is_up(port), 20, "the proxy is not up")
            with tracer("-p", p.pid, "--json", "--net", net, "-o", data, "--task", "auto") as t:
                ask_all(port, same)
                t.stop()
        finally:
            os.killpg(p.pid, signal.SIGKILL)
            stop(p)
        rows = {r["path"].split("/")[1]: r for r in t.rows}
        check(len(t.rows) == N and len(rows) == N, "%s: each query is one row" % what,
              [(r["pid"], r["path"]) for r in t.rows])
        check(all(r["pid"] == p.pid for r in t.rows), "%s: of the front" % what)
        check(all(r["task"] == "of-" + k for k, r in rows.items()), "%s: of the front's task" % what,
              [(k, r["task"]) for k, r in rows.items()])
        check(all(len(r["hops"]) == hops for r in t.rows), "%s: with %d hops" % (what, hops),
              [len(r["hops"]) for r in t.rows])
        wrong = [(k, h["path"]) for k, r in rows.items() for h in r["hops"] if h["path"].split("/")[1] != k]
        if not (same and "async" in kind):  # where only the order tells, a busy machine changes it
            check(not wrong, "%s: every hop is its own query's" % what, wrong)
        check({h["by"] for r in t.rows for h in r["hops"]} <= by, "%s: by %s" % (what, " or ".join(sorted(by))),
              [h["by"] for r in t.rows for h in r["hops"]])
        for r in t.rows:
            for h in r["hops"]:
                right = h["completion_tokens"] == r["completion_tokens"] == TOKENS and h["end"] == "complete"
                if not right or r["start_ns"] > h["start_ns"] or h["pid"] == p.pid:
                    check(False, "%s: hops lie in their queries" % what, (r, h))
        if whole:
            check(all(r["ttft_ms"] is None and r["decode_j"] is not None and r["prefill_j"] is not None
                      for r in t.rows), "%s: phases from the hop that streams" % what, t.rows[0])
            prefill, energy = (sum(r[k] for r in t.rows) for k in ("prefill_j", "energy_j"))
            check(0 < prefill < energy, "%s: both phases cost something" % what, (prefill, energy))
        s = t.summary
        check(s["queries"] == N and s["hops"] == N * hops and s["completion_tokens"] == N * TOKENS and balanced(s) and
              s["lost_events"] == 0, "%s: the summary counts them once" % what, s)
        again, s2 = report(data)
        check(sorted((r["path"], len(r["hops"])) for r in again) == sorted((r["path"], len(r["hops"])) for r in t.rows)
              and s2["queries_j"] == s["queries_j"] and s2["hops"] == s["hops"], "%s: the report says the same" % what)


def main():
    for net in ("tp", "sys"):
        one("thread", {"only", "body"}, net)
        one("thread+rewrite", {"only", "text"}, net)
        one("thread+rewrite", {"only", "thread"}, net, same=True)
        one("async", {"only", "body"}, net)
        one("thread", {"only", "body"}, net, unix=True)
    one("async+rewrite", {"only", "text"})
    one("async+rewrite", {"only", "order"}, same=True)
    one("async", {"only", "body"}, same=True)
    one("thread+gather", {"only", "text"})
    one("thread+twice", {"only", "body"}, hops=2)
    done()


if __name__ == "__main__":
    main()
