#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The energy split of `ipw-trace report --split tokens` against integrate.py, an integration from the definitions in the
manual page. (That by the fit is compared by test_fitted.py.)

    test_split.py [options] build/ipw-trace

For each of N seeded fleets (fleet.py), one more with a fresh seed, and the small recordings in cases/: every query's
energy_j, each entry of its energy_by_domain, prefill_j and decode_j, and the books of the summary, to 0.1 %; that the
books and the lines add up to 1e-9; that a second report is the same byte for byte. Then that the comparison notices
what it must: two queries swapped, one figure off by 0.2 %, definitions broken on purpose.

An idle floor that the program found ("auto") is compared for itself; the split is compared with the floor that the
program says, so that one wrong floor does not drown everything else.

    --seed S        only this fleet (may be given more than once)
    -n N            this many fleets (default 120)
    --all           1000 fleets
    --reading K=V   take another reading of the page (integrate.READINGS); K=V,K=V or more than one option
    --explain       for what disagrees, say which other readings of the page would account for it
    --keep DIR      leave the recordings of fleets that disagree there
    -v              every figure that disagrees

Exit status: 0, 1 when something disagrees, 77 when nothing could be tested.
"""
import argparse
import json
import math
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile

import fleet
import integrate

HERE = os.path.dirname(os.path.abspath(__file__))
REL = 1e-3
# A figure is a sum of up to 1e5 terms, each of them at most what was measured in all and right to a few 1e-16 of that;
# the counters stand at up to 1e12 uJ, where a double is right to 1e-10 J; JSON has 12 digits. Queries that were given
# less than this have nothing that could be compared.
FLOOR = 1e-9                                   # of all joules measured, plus 1e-9 J
BOOKS = ("measured", "queries", "server_other", "others", "idle")
# Other readings of the page, for --explain.
OTHER = {"floor": "always", "gap": "tick", "nothing_ran": "idle", "unsplit": "first", "after_e": "out",
         "e_finished": "noticed"}


class Report:
    """What the program says of a recording."""

    def __init__(self, binary, path, split="tokens"):
        runs = [subprocess.run([binary, "report", "--json", "--split", split, "-i", path], capture_output=True)
                for _ in range(2)]
        if runs[0].returncode:
            raise RuntimeError("report exits with %d: %s" % (runs[0].returncode, runs[0].stderr.decode().strip()))
        self.same = runs[0].stdout == runs[1].stdout
        lines = [json.loads(line) for line in runs[0].stdout.decode().splitlines()]
        self.queries = {o["id"]: o for o in lines if o["type"] == "query"}
        self.summary = next(o for o in lines if o["type"] == "summary")
        self.idle_w = {s["domain"]: s["idle_w"] for s in self.summary["sources"] if s["summed"]}


def compare(report, oracle, keys=("energy_j", "gross_j", "prefill_j", "decode_j"), floor=FLOOR):
    """[(what, the program's, the oracle's)] that disagree, and how many figures were compared."""
    bad, count = [], 0
    slack = floor * abs(sum(oracle["measured_by"].values())) + 1e-9

    def check(what, got, want):
        nonlocal count
        count += 1
        if (got is None) != (want is None) or \
                got is not None and not abs(got - want) <= slack + REL * max(abs(got), abs(want)):
            bad.append((what, got, want))

    if set(report.queries) != set(oracle["queries"]):
        bad.append(("ids of queries", len(report.queries), len(oracle["queries"])))
    for qid in sorted(set(report.queries) & set(oracle["queries"])):
        got, want = report.queries[qid], oracle["queries"][qid]
        if "early_split" in got["flags"]:          # it says itself that it was split before all was known
            continue
        for key in keys:
            check("query %d %s" % (qid, key), got[key], want[key])
        if set(got["energy_by_domain"]) != set(want["energy"]):
            bad.append(("query %d domains" % qid, list(got["energy_by_domain"]), list(want["energy"])))
        for domain, joules in got["energy_by_domain"].items():
            check("query %d %s" % (qid, domain), joules, want["energy"].get(domain))
    for book in BOOKS:
        check("books %s_j" % book, report.summary[book + "_j"], oracle["books"][book])
    for domain, joules in report.summary["energy_by_domain"].items():
        check("measured %s" % domain, joules, oracle["measured_by"].get(domain))
    for domain, watts in report.idle_w.items():
        check("idle_w %s" % domain, watts, oracle["floors"].get(domain))
    return bad, count


def conservation(report):
    """What does not add up, to 1e-9."""
    bad, s = [], report.summary
    scale = abs(s["measured_j"]) + sum(abs(q["energy_j"] or 0) for q in report.queries.values()) + 1e-9

    def same(what, a, b):
        if not abs(a - b) <= 1e-9 * scale:
            bad.append((what, a, b))

    same("queries + server_other + others + idle = measured",
         s["queries_j"] + s["server_other_j"] + s["others_j"] + (s["idle_j"] or 0), s["measured_j"])
    same("energy_j of all lines = queries_j", math.fsum(q["energy_j"] or 0 for q in report.queries.values()),
         s["queries_j"])
    same("energy_by_domain of the summary = measured", math.fsum(s["energy_by_domain"].values()), s["measured_j"])
    for q in report.queries.values():
        if q["energy_j"] is None:
            continue
        same("query %d: queue + prefill + decode = energy_j" % q["id"],
             math.fsum(q[k] or 0 for k in ("queue_j", "prefill_j", "decode_j")), q["energy_j"])
        same("query %d: energy_by_domain = energy_j" % q["id"],
             math.fsum(j or 0 for j in q["energy_by_domain"].values()), q["energy_j"])
    return bad


def oracle_of(report, trace, readings, mistake=None):
    """As integrate(), with the idle floors that the program found."""
    return integrate.integrate(trace, readings, mistake, floors=report.idle_w)


def explain(report, data, readings):
    """Which of OTHER account for what disagrees, and what is left."""
    def left(names):
        other = dict(readings, **{n: OTHER[n] for n in names})
        return len(compare(report, oracle_of(report, integrate.Trace(data), other))[0])

    names = sorted(OTHER)
    rest = left(names)
    for n in list(names):
        without = [x for x in names if x != n]
        if left(without) <= rest:
            names = without
    return names, rest


def examine(job):
    """One recording: a dictionary that can cross a process."""
    binary, name, path, data, readings, why = job
    out = {"name": name, "bad": [], "sums": [], "count": 0, "error": None, "same": True}
    try:
        report = Report(binary, path)
        trace = integrate.Trace(data)
        out["same"] = report.same
        out["bad"], out["count"] = compare(report, oracle_of(report, trace, readings))
        out["sums"] = conservation(report)
        out["queries"] = len(report.queries)
        out["early"] = sum("early_split" in q["flags"] for q in report.queries.values())
        if out["bad"] and why:
            out["why"] = explain(report, data, readings)
    except Exception as e:
        out["error"] = "%s: %s" % (type(e).__name__, e)
    return out


def fleet_job(job):
    binary, seed, directory, readings, why, keep = job
    data, trait, kinds = fleet.fleet(seed)
    path = os.path.join(directory, "fleet-%s.data" % seed)
    with open(path, "wb") as f:
        f.write(data)
    out = examine((binary, "fleet %s" % seed, path, data, readings, why))
    out.update(trait=trait, kinds=kinds, seed=seed)
    if keep and (out["bad"] or out["sums"] or out["error"] or not out["same"]):
        os.replace(path, os.path.join(keep, os.path.basename(path)))
    else:
        os.unlink(path)
    return out


# --- the comparison itself --------------------------------------------------------------------------------------------

def negative(binary, directory, seeds, readings):
    """
    Does the comparison notice? Each trial breaks one thing and must raise the number of figures that disagree, on one
    fleet at least. Returns ([what was noticed], [what was not]).
    """
    todo = {"swap": None, "off": None, "cached": None, "scale": None, "close": None, "others": None, "sums": None}
    for seed in seeds:
        if all(todo.values()):
            break
        data = fleet.fleet(seed)[0]
        path = os.path.join(directory, "negative.data")
        with open(path, "wb") as f:
            f.write(data)
        report, trace = Report(binary, path), integrate.Trace(data)
        right = oracle_of(report, trace, readings)
        before = len(compare(report, right)[0])

        for mistake in ("cached", "scale", "close", "others"):
            n = len(compare(report, oracle_of(report, trace, readings, mistake))[0])
            if not todo[mistake] and n > before:
                todo[mistake] = "fleet %s: %d -> %d" % (seed, before, n)

        lines = [q for q in report.queries.values() if q["energy_j"]]
        big = sorted(lines, key=lambda q: -q["energy_j"])
        if len(big) < 2 or not big[0]["energy_j"] > 1.1 * big[-1]["energy_j"]:
            continue
        a, b = big[0], big[-1]
        keys = ("energy_j", "prefill_j", "decode_j", "energy_by_domain")
        swapped = {k: b[k] for k in keys}, {k: a[k] for k in keys}
        saved = {k: a[k] for k in keys}, {k: b[k] for k in keys}
        a.update(swapped[0]), b.update(swapped[1])
        n = len(compare(report, right)[0])
        a.update(saved[0]), b.update(saved[1])
        if not todo["swap"] and n > before:
            todo["swap"] = "fleet %s: %d -> %d" % (seed, before, n)

        sums = len(conservation(report))
        a["energy_j"] *= 1 + 2.5 * REL
        n = len(compare(report, right)[0])
        if not todo["off"] and n > before:
            todo["off"] = "fleet %s: %d -> %d" % (seed, before, n)
        a["energy_j"] = saved[0]["energy_j"] + 1e-7 * abs(report.summary["measured_j"])
        if not todo["sums"] and len(conservation(report)) > sums:
            todo["sums"] = "fleet %s" % seed
        a["energy_j"] = saved[0]["energy_j"]
    return todo


# --- all of it --------------------------------------------------------------------------------------------------------

def arguments(doc, n, *more):
    """What the command line says; None: there is no program. n: fleets or recordings; more: options beside these."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("binary", nargs="?", default=os.environ.get("IPW_TRACE", "build/ipw-trace"))
    p.add_argument("--seed", action="append")
    p.add_argument("-n", type=int, default=n)
    p.add_argument("--all", action="store_true")
    p.add_argument("--keep")
    p.add_argument("-v", "--verbose", action="store_true")
    for option, how in more:
        p.add_argument(option, **how)
    o = p.parse_args()
    if not os.access(o.binary, os.X_OK):
        print("skip: no program at '%s'" % o.binary)
        return None
    if o.keep:
        os.makedirs(o.keep, exist_ok=True)
    return o


def cases():
    """[(name, path)] of the small recordings."""
    where = os.path.join(HERE, "cases")
    return [("case " + f[:-5], os.path.join(where, f)) for f in sorted(os.listdir(where)) if f.endswith(".data")]


def passed(r, verbose, how=""):
    """Says of one recording what disagrees; false if something does."""
    good = not (r["bad"] or r["sums"] or r["error"]) and r["same"]
    if good:
        print("ok - %s%s" % (r["name"], how), flush=True)
        return True
    print("not ok - %s: %d of %d figures" % (r["name"], len(r["bad"]), r["count"]) + how +
          (", %d sums" % len(r["sums"]) if r["sums"] else "") + ("" if r["same"] else ", second report differs") +
          (", " + r["error"] if r["error"] else ""))
    for what, got, want in (r["bad"] if verbose else r["bad"][:3]) + r["sums"][:2]:
        print("    %s: program %s, definitions %s" % (what, got, want), flush=True)
    return False


def main():
    o = arguments(__doc__, 120, ("--reading", dict(action="append", default=[])),
                  ("--explain", dict(action="store_true")))
    if o is None:
        return 77
    readings = {}
    for item in ",".join(o.reading).split(","):
        if item:
            key, _, value = item.partition("=")
            if key not in integrate.READINGS:
                sys.exit("no such reading: %s; there are %s" % (key, ", ".join(integrate.READINGS)))
            readings[key] = value

    fresh = str(random.SystemRandom().randrange(10**6, 10**9))
    seeds = o.seed or [str(i) for i in range(1, (1000 if o.all else o.n) + 1)] + [fresh]
    print("fleets: %s%s" % ("%d, seeds 1 to %d" % (len(seeds) - 1, len(seeds) - 1) if not o.seed else
                            ", ".join(seeds), "" if o.seed else ", and --seed %s" % fresh), flush=True)
    with tempfile.TemporaryDirectory(prefix="ipw-split.") as directory:
        with multiprocessing.Pool() as pool:
            results = list(pool.imap(fleet_job, [(o.binary, s, directory, readings, o.explain, o.keep)
                                                 for s in seeds]))
            jobs = []
            for name, path in [] if o.seed else cases():
                with open(path, "rb") as f:
                    jobs.append((o.binary, name, path, f.read(), readings, o.explain))
            results += list(pool.imap(examine, jobs))
        noticed = {} if o.seed else negative(o.binary, directory, seeds[:40], readings)

    failed, kinds, figures = 0, {}, 0
    for r in results:
        figures += r["count"]
        for kind, n in r.get("kinds", {}).items():
            kinds[kind] = kinds.get(kind, 0) + n
        failed += not passed(r, o.verbose)
        if "why" in r:
            names, rest = r["why"]
            print("    accounted for by %s%s" % (" ".join("%s=%s" % (n, OTHER[n]) for n in names) or "nothing",
                                                 ", %d figures left" % rest if rest else ""))
    early = [r.get("early") for r in results if r["name"] == "case early-split"]
    if early and early != [2]:
        failed += 1
        print("not ok - case early-split: both queries have the flag (%s)" % early)
    if not o.seed:
        for trial, where in noticed.items():
            if not where:
                failed += 1
            print("%sok - the comparison notices: %s (%s)" % ("" if where else "not ", trial, where))
        missing = [k for k in list(dict.fromkeys(fleet.KINDS)) + ["running_stream", "running_whole", "midway"]
                   if not kinds.get(k)]
        if missing:
            failed += 1
            print("not ok - no fleet has: %s" % ", ".join(missing))
    print("%d recordings, %d queries, %d figures compared, %d failed" %
          (len(results), sum(r.get("queries", 0) for r in results), figures, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
