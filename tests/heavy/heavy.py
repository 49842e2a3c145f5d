# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real servers too heavy for every change: how they are started, and what must hold of queries to them."""
import contextlib
import math
import os
import re
import signal
import subprocess
import tempfile
import urllib.request

from harness import ROOT, balanced, check, load, members, stop, tracer, wait_for

QUERIES = 8        # that overlap


def python_of(name):
    """The Python that has the server; installs it the first time."""
    return subprocess.run([os.path.join(ROOT, "scripts/setup-heavy"), name], stdout=subprocess.PIPE, check=True,
                          text=True).stdout.strip()


def tree(pid):
    """A process and its descendants, parents first."""
    pids = [pid]
    for p in pids:
        for task in os.listdir("/proc/%d/task" % p):
            with contextlib.suppress(OSError), open("/proc/%d/task/%s/children" % (p, task)) as f:
                pids += map(int, f.read().split())
    return pids


def title(pid):
    """What a process calls itself; the kernel's name for it is cut."""
    with open("/proc/%d/cmdline" % pid) as f:
        words = f.read().split("\0")
    for w in words:
        if "multiprocessing" in w:
            return w.split(" import ")[0].replace("from ", "")
    return os.path.basename(words[0].strip())


def end(p):
    """Ends a server and whatever of it stays."""
    pids = tree(p.pid) if p.poll() is None else []
    stop(p, signal.SIGTERM, 60)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def server(cmd, url, env=None, cwd=None):
    """A server that is ready when url answers. Yields its process."""
    with tempfile.TemporaryFile() as log:
        p = subprocess.Popen(cmd, stdout=log, stderr=subprocess.STDOUT, cwd=cwd, env=dict(os.environ, **(env or {})))

        def ready():
            if p.poll() is not None:
                log.seek(0)
                raise RuntimeError("the server ended: " + log.read().decode(errors="replace")[-8000:])
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as r:
                return r.status == 200
        try:
            wait_for(ready, 300, "the server is not ready after 300 s")
            yield p
        finally:
            end(p)


def counters(url):
    """A page of Prometheus: each name's sum over all its labels."""
    out = {}
    with urllib.request.urlopen(url, timeout=30) as r:
        for line in r.read().decode().splitlines():
            m = re.match(r"([\w:]+)(?:\{.*\})? (\S+)$", line)
            if m and math.isfinite(float(m.group(2))):
                out[m.group(1)] = out.get(m.group(1), 0) + float(m.group(2))
    return out


class Case:
    """
    Queries of one kind. counted is what the tracer is to know of them: "usage", what the server said to the client;
    "events", how many events the client saw, marked as estimated; None, nothing, marked so.
    """

    def __init__(self, name, dialect, path, counted, *args):
        self.name, self.dialect, self.path, self.counted, self.args = name, dialect, path, counted, args
        self.whole = "--whole" in args

    def run(self, port, seed):
        rows = load(port, "-n", QUERIES, "-c", QUERIES, "--seed", seed, "--path", self.path, *self.args)
        for r in rows:
            r["id"] = "load-%d-%d" % (seed, r["query"])
        return rows

    def expected(self, row):
        """(prompt, completion) tokens of one query."""
        if self.counted == "usage":
            return row["usage"]["prompt_tokens"], row["usage"]["completion_tokens"]
        return None, row["events"] if self.counted == "events" else None


def in_order(ours, theirs):
    """Of the two clocks, which are one: sent, seen, first part written, seen by the client, over."""
    first = ours["start_ns"] / 1e6 + ours["ttft_ms"] if ours["ttft_ms"] is not None else None
    steps = [theirs["send_ns"] / 1e6, ours["start_ns"] / 1e6]
    if first is not None:
        steps += [first, theirs["first_ns"] / 1e6]
    return steps == sorted(steps) and 0 <= (ours["ttft_ms"] or 0) <= ours["duration_ms"] and \
        (ours["ttft_ms"] is not None) == ours["stream"]


def check_case(what, case, t, rows):
    what = "%s: %s" % (what, case.name)
    every = {r["request_id"]: [] for r in t.rows}
    for r in t.rows:
        every[r["request_id"]].append(r)
    missed = [r["id"] for r in rows if len(every.get(r["id"], [])) != 1]
    if not check(not missed and len(rows) == QUERIES, what + ": every query once", missed):
        return
    pairs = [(every[r["id"]][0], r) for r in rows]
    check(all(r["status"] == 200 for r in rows) and all(o["end"] == "complete" for o, _ in pairs),
          what + ": all complete", [(o["end"], r["status"], r.get("error")) for o, r in pairs])
    check(max(r["send_ns"] for r in rows) < min(r["end_ns"] for r in rows), what + ": they overlap")
    check(all(o["dialect"] == case.dialect and o["stream"] != case.whole for o, _ in pairs),
          what + ": dialect and streaming", [(o["dialect"], o["stream"]) for o, _ in pairs])
    wrong = [(o["prompt_tokens"], o["completion_tokens"], case.expected(r)) for o, r in pairs
             if (o["prompt_tokens"], o["completion_tokens"]) != case.expected(r)]
    check(not wrong, "%s: counts as %s" % (what, case.counted or "unknown"), wrong)
    check(all(("estimated_tokens" in o["flags"]) != (case.counted == "usage") for o, _ in pairs),
          what + ": what is estimated says so", [o["flags"] for o, _ in pairs])
    wrong = [(o, r) for o, r in pairs if not in_order(o, r)]
    check(not wrong, what + ": phases in order, by the client's clock too", wrong)


def check_books(what, t, queries):
    s = t.summary
    check(len(t.rows) == queries == s["queries"], what + ": no query besides", (len(t.rows), queries, s["queries"]))
    check(balanced(s), what + ": the books add up", s)
    check(s["lost_events"] == 0, what + ": nothing lost", s["lost_events"])
    check(all(o["energy_j"] > 0 for o in t.rows), what + ": each query has its joules")


def check_counters(what, case, ours, before, after):
    """(queries, prompt tokens, completion tokens) as far as the server counts them itself, and as the tracer did."""
    grown = tuple(a - b for a, b in zip(after, before))
    mine = (len(ours), sum(o["prompt_tokens"] or 0 for o in ours), sum(o["completion_tokens"] or 0 for o in ours))
    mine = mine[:len(grown) if case.counted == "usage" else 1]
    check(mine == grown[:len(mine)], "%s: %s: as the server's own counters" % (what, case.name), (mine, grown))


def check_server(what, p, port, cases, roles, snap=None):
    """
    All cases, with -p naming each process of the server in turn. roles: of its processes, parents first; none: it is
    one. snap() gives the server's own counters: queries and, if it has them, tokens in and out.
    """
    seed = 100
    for pid in tree(p.pid):
        name = "%s, -p %s" % (what, "root" if pid == p.pid else title(pid))
        done = []
        with tracer("-p", pid, "--json") as t:
            for case in cases:
                seed += 1
                before = snap() if snap else ()
                done.append((case, case.run(port, seed), before, snap() if snap else ()))
            t.stop()
        for case, rows, before, after in done:
            check_case(name, case, t, rows)
            if snap:
                ids = {r["id"] for r in rows}
                check_counters(name, case, [o for o in t.rows if o["request_id"] in ids], before, after)
        check(list(members(t).values()) == roles, name + ": the tree and its roles", t.stderr())
        check_books(name, t, QUERIES * len(cases))
