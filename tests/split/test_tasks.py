#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Tasks against their definition in the manual page (TASKS), slowly: recordings of fleet.py, in which some queries are
given tasks, through `ipw-trace report --json --split tokens`. Turns are the rows; gaps, the idle floor in them and
their shares of it are integrated piece by piece between all times at which anything changes; all joules add up to 1e-9.

    test_tasks.py [--seed S]... [-n N] [--all] [-v] [build/ipw-trace]
"""
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

import fleet
import integrate
from test_split import Report, arguments

W_TASK = 13
REL = 1e-9
COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens")


def records(data):
    at = 16
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        block, o = data[at + 16:at + 16 + length], 0
        while o < length:
            size = struct.unpack_from("<H", block, o + 2)[0]
            yield block[o:o + size]
            o += size
        at += 16 + length


def with_tasks(data, rng):
    """The recording with a task for some of its queries: (bytes, {query: task})."""
    out, names = [], {}
    kinds = ["t%d" % i for i in range(rng.choice([1, 2, 5, 12]))] + [None]
    for r in records(data):
        kind = struct.unpack_from("<H", r)[0]
        out.append(r)
        if kind != integrate.OPEN:
            continue
        ts, query = struct.unpack_from("<QQ", r, 8)
        name = rng.choice(kinds)
        if name:
            names[query] = name
            body = struct.pack("<QQ128s", ts, query, name.encode())
            out.append(struct.pack("<HHI", integrate.WIRE + W_TASK, 8 + len(body), 0) + body)
    blocks, block = [data[:16]], b""
    for i, r in enumerate(out + [b""]):
        if block and (not r or len(block) + len(r) > 60000):
            seq = len(blocks) - 1
            blocks.append(struct.pack("<IIII", 0x42575049, len(block), zlib.crc32(block, seq), seq) + block)
            block = b""
        block += r
    return b"".join(blocks), names


class Trace(integrate.Trace):
    """And what ended when."""

    def __init__(self, data):
        self.last = {}
        super().__init__(data)

    def wire(self, kind, n, body):
        query = struct.unpack_from("<QQ", body)[1]
        if kind == integrate.W_OVER and self.queries[query].over is None:
            self.last[query] = struct.unpack_from("<Q", body, 16)[0]
        super().wire(kind, n, body)


def inside(t, spans):
    return any(a <= t < b for a, b in spans)


def silent_ticks(trace):
    """Ticks of which a meter that is summed did not measure 99 %."""
    looks = [t for t, _ in trace.looks]
    tops = [m for m in trace.meters.values() if m.parent < 0]
    return [(a, b) for a, b in zip(looks, looks[1:])
            if b > a and any(integrate.measured(m, a, b)[1] < 0.99 * (b - a) for m in tops)]


def gaps_of(turns):
    """[(from, to)] of [(begin, end)]: what lies between the first and the last and in none."""
    out, end = [], turns[0][1]
    for a, b in sorted(turns):
        if a > end:
            out.append((end, a))
        end = max(end, b)
    return out


def oracle(trace, names, idle_w):
    """{task: {"gaps": {(from, to): (quiet s, idle J, share J)}, "turns": [...], ...}}"""
    for q in trace.queries.values():
        integrate.define(q, trace, integrate.READINGS, None)
    queries = [q for q in trace.queries.values() if not q.hop]
    lasted, active = {}, [(q.R, q.E) for q in queries if q.E > q.R]
    for q in queries:
        lasted.setdefault(names.get(q.id), []).append((q.start or q.R, max(q.E, trace.last.get(q.id, 0)), q.id))
    silent = silent_ticks(trace)
    watts = math.nan if not idle_w or None in idle_w.values() else sum(idle_w.values())
    tasks = {k: {"turns": [i for _, _, i in sorted(v, key=lambda x: (x[0], x[2]))], "lasted": v,
                 "gaps": {g: [0.0, 0.0] for g in gaps_of([(a, b) for a, b, _ in v])}}
             for k, v in lasted.items() if k}
    all_gaps = [(g, x) for k in tasks.values() for g, x in k["gaps"].items()]
    edges = sorted({t for s in active + [g for g, _ in all_gaps] for t in s})
    for a, b in zip(edges, edges[1:]):
        here = [x for g, x in all_gaps if g[0] <= a < g[1]]
        if not here or inside(a, active):
            continue
        for x in here:
            x[0] += (b - a) * 1e-9
            x[1] += (b - a) * 1e-9 / len(here)
    for (a, b), x in all_gaps:
        w = math.nan if any(s < b and e > a for s, e in silent) else watts
        x[:] = [x[0], w * (b - a) * 1e-9, w * x[1]]
    return tasks


def near(got, want):
    if got is None or want is None or math.isnan(want):
        return got is None and (want is None or math.isnan(want))
    return abs(got - want) <= 1e-9 * max(1, abs(want))


def compare(tasks, rows, want):
    """What disagrees."""
    bad = []

    def check(ok, *what):
        if not ok:
            bad.append(what)

    check(sorted(tasks) == sorted(want), "tasks", sorted(tasks), sorted(want))
    for name in set(tasks) & set(want):
        t, w = tasks[name], want[name]
        check([u["id"] for u in t["turns"]] == w["turns"], name, "turns", t["turns"], w["turns"])
        for u in t["turns"]:
            row = rows[u["id"]]
            for key in COUNTS + ("start_ns", "end", "ttft_ms", "duration_ms", "bound_j", "flags"):
                check(u[key] == row[key], name, u["id"], key, u[key], row[key])
            for key in ("energy_j", "gross_j", "prefill_j", "decode_j"):
                check(near(u[key], row[key]), name, u["id"], key, u[key], row[key])
        for key in COUNTS:
            known = [rows[i][key] for i in w["turns"] if rows[i][key] is not None]
            check(t[key] == (sum(known) if known else None), name, key, t[key], known)
        check(t["gaps_ms"] is not None and near(t["gaps_ms"], sum(b - a for a, b in w["gaps"]) / 1e6), name, "gaps_ms")
        begin, end = min(a for a, _, _ in w["lasted"]), max(b for _, b, _ in w["lasted"])
        check(near(t["active_ms"] + t["gaps_ms"], (end - begin) / 1e6), name, "active_ms", t["active_ms"])
        check(len(t["gaps"]) == len(w["gaps"]), name, "gaps", t["gaps"], w["gaps"])
        for g, ((a, b), (quiet, idle, share)) in zip(t["gaps"], sorted(w["gaps"].items())):
            check(g["start_ns"] == a and near(g["duration_ms"], (b - a) / 1e6), name, "gap", g, a, b)
            check(near(g["quiet_ms"], quiet * 1e3), name, "quiet", g, quiet)
            check(near(g["idle_j"], idle) and near(g["idle_share_j"], share), name, "idle", g, idle, share)
            ends = {i: e for _, e, i in w["lasted"]}
            begins = {i: s for s, _, i in w["lasted"]}
            check(ends.get(g["after"]) == a and begins.get(g["before"]) == b, name, "whose", g)
        repeated(check, name, t, rows, {i: (s, e) for s, e, i in w["lasted"]})
    return bad


def repeated(check, name, t, rows, lasted):
    ids = [u["id"] for u in t["turns"]]
    for k, u in enumerate(t["turns"]):
        want = None
        if k and lasted[ids[k - 1]][1] <= lasted[ids[k]][0]:
            now, was = rows[ids[k]], rows[ids[k - 1]]
            if None not in (now["prompt_tokens"], now["cached_tokens"], was["prompt_tokens"]):
                want = max(0, min(now["prompt_tokens"], was["prompt_tokens"]) - now["cached_tokens"])
        check(u["repeated_tokens"] == want, name, u["id"], "repeated", u["repeated_tokens"], want)


def sums(objects, rows, s):
    """Conservation: what does not add up."""
    bad = []
    every = [o["energy_j"] or 0 for o in objects]
    scale = abs(s["measured_j"]) + sum(abs(r["energy_j"] or 0) for r in rows.values()) + 1e-9

    def same(what, a, b):
        if not abs(a - b) <= REL * scale:
            bad.append((what, a, b))

    same("tasks = queries", math.fsum(every), s["queries_j"])
    same("tasks + server + others + idle = measured", math.fsum(
        every + [s["server_other_j"], s["others_j"], s["idle_j"] or 0]), s["measured_j"])
    for o in objects[:-1]:
        same("turns of " + o["task"], math.fsum(u["energy_j"] or 0 for u in o["turns"]), o["energy_j"] or 0)
    if sum(o["queries"] for o in objects) != len(rows) or objects[-1]["task"] is not None:
        bad.append(("queries", [o["queries"] for o in objects], len(rows)))
    shares = [g["idle_share_j"] for o in objects for g in o["gaps"]]
    if shares and None not in shares:
        # Of several targets each one's queries have the whole floor among them, so only one adds up.
        gross = math.fsum(r["gross_j"] - r["energy_j"] for r in rows.values() if r["gross_j"] is not None)
        if s["idle_j"] is not None and len({r["pid"] for r in rows.values()}) == 1 and \
                gross + math.fsum(shares) > s["idle_j"] + 1e-6 * scale:
            bad.append(("shares", gross, math.fsum(shares), s["idle_j"]))
    return bad


def one(binary, seed, directory):
    """(what disagrees, gaps, those with a known share, whether any gap is shared)"""
    rng = random.Random("tasks %s" % seed)
    data, names = with_tasks(fleet.fleet(seed)[0], rng)
    path = os.path.join(directory, "tasks.data")
    with open(path, "wb") as f:
        f.write(data)
    report = Report(binary, path)
    p = subprocess.run([binary, "report", "--json", "--split", "tokens", "-i", path], capture_output=True, text=True)
    objects = [o for o in map(json.loads, p.stdout.splitlines()) if o["type"] == "task"]
    trace = Trace(data)
    names = {i: n for i, n in names.items() if not trace.queries[i].hop}
    if not names:
        return [("no tasks", objects)] if objects else [], 0, 0, 0
    want = oracle(trace, names, report.idle_w)
    tasks = {o["task"]: o for o in objects if o["task"]}
    gaps = [g for o in objects for g in o["gaps"]]
    bad = compare(tasks, report.queries, want) + sums(objects, report.queries, report.summary)
    wrong = [r["id"] for r in report.queries.values() if r["task"] != names.get(r["id"])]
    if wrong:
        bad.append(("rows of another task", wrong))
    return bad, len(gaps), sum(g["idle_share_j"] is not None for g in gaps), \
        sum(bool(g["idle_share_j"]) and g["idle_share_j"] < 0.999 * g["idle_j"] * g["quiet_ms"] / g["duration_ms"]
            for g in gaps)


def main():
    o = arguments(__doc__, 60)
    if o is None:
        return 77
    seeds = o.seed or [str(i) for i in range(1, (600 if o.all else o.n) + 1)] + \
        [str(random.SystemRandom().randrange(10**6, 10**9))]
    failed, gaps, known, shared = 0, 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="ipw-tasks.") as directory:
        for seed in seeds:
            bad, n, k, s = one(o.binary, seed, directory)
            gaps, known, shared = gaps + n, known + k, shared + s
            failed += bool(bad)
            print("%sok - tasks of fleet %s" % ("not " if bad else "", seed), flush=True)
            for what in bad if o.verbose else bad[:3]:
                print("    " + " ".join(map(str, what))[:400], flush=True)
    if not o.seed:
        some = known and known < gaps and shared
        failed += not some
        print("%sok - %d gaps, the idle floor known in %d, shared with others in %d" % ("" if some else "not ", gaps,
                                                                                         known, shared))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
