#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Agents at a real llama.cpp server: each task with its turns, and its gaps as the agents' own clock has them."""
import json
import math
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import PYTHON, ROOT, TRACE, check, done, llama, load, tempdir, tracer  # noqa: E402

TASKS = 2
TOLERANCE = 5  # ms, median of all gaps and of all turns
gaps_off, turns_off = [], []


def agents(port, n, *args):
    """What they saw: {task: [turn...]}."""
    p = subprocess.run([PYTHON, os.path.join(ROOT, "scripts/agent"), "http://127.0.0.1:%d" % port, "--tasks",
                        str(TASKS), "--turns", str(n), *args], stdout=subprocess.PIPE, check=True, text=True)
    out = {}
    for row in map(json.loads, p.stdout.splitlines()):
        out.setdefault(row["task"], []).append(row)
    return out


def tasks_in(text):
    """(tasks by name, the queries of no task)."""
    objects = [o for o in map(json.loads, text.splitlines()) if o["type"] == "task"]
    return {o["task"]: o for o in objects if o["task"]}, [o for o in objects if not o["task"]]


def close(a, b, scale):
    return abs(a - b) <= 1e-9 * scale


def turns(what, n, theirs, tasks, rows):
    for name, seen in theirs.items():
        t = tasks[name]
        check(len(t["turns"]) == n == t["queries"] and len(t["gaps"]) == n - 1, "%s, %s: turns and gaps" % (
            what, name), t)
        for key in ("prompt_tokens", "completion_tokens"):
            check([u[key] for u in t["turns"]] == [x["usage"][key] for x in seen],
                  "%s, %s: %s as the server's usage" % (what, name, key), t["turns"])
        cached = [x["usage"]["prompt_tokens_details"]["cached_tokens"] for x in seen]
        check([u["cached_tokens"] for u in t["turns"]] == cached, "%s, %s: cached tokens" % (what, name), t["turns"])
        check(t["turns"][0]["repeated_tokens"] is None and [u["repeated_tokens"] for u in t["turns"][1:]] == [
            max(0, a["usage"]["prompt_tokens"] - c) for a, c in zip(seen, cached[1:])],
            "%s, %s: repeated tokens" % (what, name), t["turns"])
        check(close(sum(u["energy_j"] for u in t["turns"]), t["energy_j"], t["energy_j"]),
              "%s, %s: its joules are its turns'" % (what, name), t)
        wrong = [u for u in t["turns"] if not close(u["energy_j"], rows[u["id"]]["energy_j"], 1) or
                 rows[u["id"]]["task"] != name]
        check(not wrong, "%s, %s: turns are the rows" % (what, name), wrong)


def times(theirs, tasks):
    for name, seen in theirs.items():
        t = tasks[name]
        gaps_off.extend(g["duration_ms"] - (b["send_ns"] - a["end_ns"]) / 1e6
                        for g, a, b in zip(t["gaps"], seen, seen[1:]))
        turns_off.extend(u["duration_ms"] - (x["end_ns"] - x["send_ns"]) / 1e6 for u, x in zip(t["turns"], seen))


def medians():
    for what, off in (("gaps", gaps_off), ("turns", turns_off)):
        check(len(off) > 8 and abs(statistics.median(off)) <= TOLERANCE,
              "%d %s as the agents' clock, median %.2f ms off" % (len(off), what, statistics.median(off)), off)


def books(what, tasks, rest, s):
    every = [t["energy_j"] for t in tasks.values()] + [o["energy_j"] or 0 for o in rest]
    check(close(math.fsum(every), s["queries_j"], s["measured_j"]), "%s: tasks and the rest are the queries" % what,
          every)
    terms = math.fsum(every + [s["server_other_j"], s["others_j"], s["idle_j"]])
    check(close(terms, s["measured_j"], s["measured_j"]), "%s: the books add up by task" % what, (terms, s))
    gaps = [g for t in tasks.values() for g in t["gaps"]]
    watts = next(x["idle_w"] for x in s["sources"] if x["summed"])
    check(all(close(g["idle_j"], watts * g["duration_ms"] / 1e3, 1) for g in gaps), "%s: idle floor in gaps" % what,
          gaps)
    check(all(0 <= g["idle_share_j"] <= g["idle_j"] for g in gaps) and any(g["idle_share_j"] > 0 for g in gaps),
          "%s: shares of it" % what, gaps)


def run(what, n, task, *args):
    with llama("--slots", "2") as (server, port), tempdir() as d:
        data = os.path.join(d, "ipw.data")
        with tracer("-p", server.pid, "--json", "--task", task, "-o", data) as t:
            theirs = agents(port, n, *args)
            load(port, "-n", 2, "-c", 2, "--tokens", "4-8")
            t.stop()
        tasks, rest = tasks_in(t.stdout())
        if not check(sorted(tasks) == sorted(theirs) and len(rest) == 1 and rest[0]["queries"] == 2,
                     "%s: the tasks, and two queries of none" % what, (list(tasks), rest)):
            return
        turns(what, n, theirs, tasks, {r["id"]: r for r in t.rows})
        times(theirs, tasks)
        books(what, tasks, rest, t.summary)
        p = subprocess.run([TRACE, "report", "-i", data, "--json"], capture_output=True, text=True)
        check(tasks_in(p.stdout) == (tasks, rest), "%s: the report has the same tasks" % what)
        p = subprocess.run([TRACE, "report", "-i", data, "--by", "task"], capture_output=True, text=True)
        check(p.returncode == 0 and all("\n%s\n" % n in p.stdout for n in theirs) and p.stdout.count(" gap of ") ==
              TASKS * (n - 1), "%s: --by task" % what, p.stdout)


run("header", 3, "auto")
run("body", 6, "header:x-run,json:metadata.session_id", "--member", "metadata.session_id", "--seed", "2", "--gap",
    "0.3-0.8", "--tokens", "4-8")
medians()
done()
