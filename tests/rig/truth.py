#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
How far the joules that `ipw-trace report` gives to a query are from the true ones, on simulated engines whose joules
are known (engine_model.py), beside what other rules give on the same recordings (peers.py) and what could be reached
(ideal.py).

    truth.py [options] build/ipw-trace

    --quick         a few cells, one seed
    --seeds N       seeds of each cell (default 3), drawn anew; --seed S takes this one (may be repeated)
    --row WORDS     only the row of this name, else rows whose name contains it (may be repeated)
    --batch N,N     only these (default 1,4,16,64)
    --only NAME,..  estimators to print (ours is always there)
    --keep DIR      leave each recording and its truth there
    --list          the rows
    -j N            processes (default 2)
    --json          one object a line instead of a table

Cells: median / p95 of |joules - truth| / truth of a query in %, error of all prefill joules in %; of ours also how
many of its bounds hold, and the median bound over the p95 of the errors. Queries that ended by themselves, began 30 s
after the run did and took longer than ten refreshes of the meter (two seconds with a gauge).
"""
import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time

import engine_model
import ideal
import peers

WARM_UP_NS = 30 * 10**9
BATCHES = (1, 4, 16, 64)

# name: (profile, refresh in ms, options)
ROWS = {
    "gpu 20 ms, steps": ("gpu", 20, {}),
    "gpu 100 ms, steps": ("gpu", 100, {}),
    "gpu 10 ms, steps": ("gpu", 10, {}),
    "cpu 10 ms, steps": ("cpu", 10, {}),
    "gpu 20 ms, wire only": ("gpu", 20, dict(steps=False)),
    "gpu 100 ms, wire only": ("gpu", 100, dict(steps=False)),
    "cpu 10 ms, wire only": ("cpu", 10, dict(steps=False)),
    "gpu 20 ms, wire only, jitter 1 ms": ("gpu", 20, dict(steps=False, jitter_ms=1.0)),
    "gpu 20 ms, wire only, jitter 3 ms": ("gpu", 20, dict(steps=False, jitter_ms=3.0)),
    "gpu 20 ms, wire only, cached unknown": ("gpu", 20, dict(steps=False, cached_known=False)),
    "gpu 20 ms, steps, cached unknown": ("gpu", 20, dict(cached_known=False)),
    "gpu 20 ms, steps, lag 20 ms": ("gpu", 20, dict(lag_ms=20.0)),
    "gpu 100 ms, steps, lag 100 ms": ("gpu", 100, dict(lag_ms=100.0)),
    "gpu gauge of 1 s, steps": ("gpu", 100, dict(meter="gauge")),
    "gpu 25 of 100 ms, steps": ("gpu", 100, dict(meter="partial")),
    "gpu 20 ms, steps, gain +3 %": ("gpu", 20, dict(gain=1.03)),
    "gpu 20 ms, steps, idle +5 %": ("gpu", 20, dict(idle_error=0.05)),
    "gpu 20 ms, steps, idle to be found": ("gpu", 20, dict(idle="auto")),
    "gpu 20 ms, steps, preemption": ("gpu", 20, dict(preempt=0.01)),
    "gpu 20 ms, wire only, half not streamed": ("gpu", 20, dict(steps=False, whole=0.5)),
    "gpu 20 ms, steps, half not streamed": ("gpu", 20, dict(whole=0.5)),
}
QUICK = [("gpu 20 ms, steps", 4), ("gpu 20 ms, steps", 16), ("cpu 10 ms, steps", 16), ("gpu gauge of 1 s, steps", 4)]
IDEAL = {"E": ideal.fitted, "E exact": lambda run: ideal.fitted(run, exact=True), "E even": ideal.even,
         "D": ideal.by_tokens}
NAMES = ["ours"] + list(IDEAL) + [rule.__name__ for rule in peers.RULES]


def report(binary, data, path, *args):
    """What the program says: {query id: object}, and the summary."""
    with open(path, "wb") as f:
        f.write(data)
    out = subprocess.run([binary, "report", "--json", "-i", path, *args], stdout=subprocess.PIPE, check=True).stdout
    lines = [json.loads(line) for line in out.decode().splitlines()]
    return {o["id"]: o for o in lines if o["type"] == "query"}, next(o for o in lines if o["type"] == "summary")


def counted(run):
    """Ids of the queries that count."""
    least = 2e9 if run.opt["meter"] == "gauge" else 10e6 * run.opt["refresh_ms"]
    return [i for i, q in run.truth.items()
            if q["end"] == "complete" and q["R"] > run.record.t0 + WARM_UP_NS and q["E"] - q["R"] > least]


def cell(job):
    """One run: errors by estimator, as plain data."""
    binary, row, batch, seed, names, keep = job
    profile, refresh, options = ROWS[row]
    began = time.monotonic()
    run = engine_model.Run(seed, profile, batch, refresh, **options)
    name = "%s, batch %d, seed %s" % (row, batch, seed)
    out = dict(row=row, batch=batch, seed=seed, simulated_s=time.monotonic() - began, errors={}, prefill={},
               running=sum(len(s.parts) * (s.end - s.begin) for s in run.steps) / (run.opt["seconds"] - 3))
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(keep or d, name.replace(" ", "_").replace(",", "") + ".data")
        began = time.monotonic()
        said, summary = report(binary, run.data, path)
        out["report_s"] = time.monotonic() - began
        if keep:
            with open(path[:-5] + ".json", "w") as f:
                json.dump(run.truth, f)
    ids = counted(run)
    # A query whose answer is not streamed has its prefill in the true figure only.
    phased = [i for i in ids if not run.truth[i]["whole"]]
    by = {"ours": {i: (q["energy_j"] or 0.0, (q["queue_j"] or 0.0) + (q["prefill_j"] or 0.0))
                   for i, q in said.items()}}
    by.update((n, f(run)) for n, f in IDEAL.items() if n in names)
    idle_w = run.profile.w_idle * run.opt["gain"] * (1 + run.opt["idle_error"])
    if any(rule.__name__ in names for rule in peers.RULES):
        by.update(peers.peers(run.data, idle_w))
    for n, joules in by.items():
        out["errors"][n] = [joules[i][0] / run.truth[i]["energy_j"] - 1 for i in ids]
        out["prefill"][n] = (sum(joules[i][1] for i in phased), sum(run.truth[i]["prefill_j"] for i in phased))
    out["bounds"] = [None if said[i]["bound_j"] is None else said[i]["bound_j"] / run.truth[i]["energy_j"] for i in ids]
    out["methods"] = sorted({said[i]["method"] or "none" for i in ids})
    out["measured"] = summary["measured_j"]
    return out


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


def figures(cells, name):
    """Of all seeds of a cell: what is printed of one estimator."""
    errors = [abs(e) for c in cells for e in c["errors"].get(name, [])]
    pairs = [c["prefill"][name] for c in cells if name in c["prefill"]]
    true = sum(t for _, t in pairs)
    out = dict(n=len(errors), median=100 * quantile(errors, 0.5), p95=100 * quantile(errors, 0.95),
               prefill=100 * (sum(j for j, _ in pairs) / true - 1) if true else float("nan"))
    if name == "ours":
        both = [(b, abs(e)) for c in cells for b, e in zip(c["bounds"], c["errors"]["ours"]) if b is not None]
        out.update(bounds=len(both), methods=sorted({m for c in cells for m in c["methods"]}),
                   covered=100 * sum(e <= b for b, e in both) / len(both) if both else float("nan"),
                   bound_over_p95=quantile([b for b, _ in both], 0.5) / (quantile([e for _, e in both], 0.95) or 1))
    return out


def show(row, batch, cells, names):
    ours = figures(cells, "ours")
    print("%s, batch %d: %d queries of %d runs, %.1f sequences in a step; method %s; simulated in %.1f s, "
          "report %.1f s" % (row, batch, ours["n"], len(cells), sum(c["running"] for c in cells) / len(cells),
                             ",".join(ours["methods"]), max(c["simulated_s"] for c in cells),
                             max(c["report_s"] for c in cells)))
    for n in names:
        f = figures(cells, n)
        line = "    %-8s %7.1f / %6.1f   prefill %+7.1f" % (n, f["median"], f["p95"], f["prefill"])
        if n == "ours":
            line += "   bounds: %.0f %% hold (%d of %d known), median %.1f x p95" % (
                ours["covered"], ours["bounds"], ours["n"], ours["bound_over_p95"])
        print(line)
    sys.stdout.flush()


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("binary")
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--seeds", type=int, default=3)
    ap.add_argument("--seed", action="append")
    ap.add_argument("--row", action="append")
    ap.add_argument("--batch")
    ap.add_argument("--only")
    ap.add_argument("--keep")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("-j", type=int, default=2)
    ap.add_argument("--json", action="store_true")
    return ap.parse_args()


def main():
    a = arguments()
    if a.list:
        print("\n".join(ROWS))
        return 0
    batches = [int(b) for b in a.batch.split(",")] if a.batch else BATCHES
    todo = [(r, b) for r in ROWS for b in batches if not a.row or any(w == r if w in ROWS else w in r for w in a.row)]
    if a.quick:
        todo = QUICK
    seeds = a.seed or ["%08x" % random.SystemRandom().getrandbits(32) for _ in range(1 if a.quick else a.seeds)]
    names = [n for n in NAMES if n == "ours" or not a.only or n in a.only.split(",")]
    if a.keep:
        os.makedirs(a.keep, exist_ok=True)
    print("seeds: %s" % " ".join(seeds), file=sys.stderr)
    jobs = [(a.binary, r, b, s, names, a.keep) for r, b in todo for s in seeds]
    with multiprocessing.Pool(a.j) as pool:
        done = pool.imap(cell, jobs)
        for row, batch in todo:
            cells = [next(done) for _ in seeds]
            if a.json:
                print(json.dumps(dict(row=row, batch=batch, seeds=seeds, **{n: figures(cells, n) for n in names})))
            else:
                show(row, batch, cells, names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
