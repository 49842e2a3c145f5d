#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tracer in a guest whose joules are known (tests/rig/README.md): runs the scenarios, and compares its books with
the module's ledger.

Usage: test_rig.py [--all] [-v] [--seed=S] [SCENARIO...]
--seed is for scenarios with an engine: its machine and load, drawn anew where there is none.
IPW_RIG_OUT is a folder to leave what came out in: NAME/ of each scenario.
"""
import bisect
import contextlib
import datetime
import json
import os
import struct
import subprocess
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(__file__), d) for d in ("../lib", "../split")]
import integrate  # noqa: E402
import queries  # noqa: E402
from truth import quantile  # noqa: E402
from harness import PYTHON, ROOT, check, done, skip, tempdir  # noqa: E402

HERE = os.path.join(ROOT, "tests/rig")
GPU_ZONE = "package-0"                  # what stands for the GPU, if there is one
ZONES = ("package-0", "dram-0", "package-1", "dram-1", "psys")
LOADS = 16                              # RIG_LOADS of module/rig.h, where struct snap is
SNAP = struct.Struct("<%dQ" % (1 + len(ZONES) + LOADS * 5))
HISTORY_MS = 2                          # between two snapshots: 30 s of them are kept
SERVER = ("server", "prefill", "decode")   # what the server is called, by what it does
START_UJ = 1000000000                   # where the counters begin
DEFAULTS = {"kernels": ["6.12"], "heavy": False, "module": {}, "sockets": 1, "at": [], "expect": {}, "joules": {},
            "known": {}, "flags": [], "factor": 1, "lag_s": 0, "lost_s": 0, "phases": {}}
TIMEOUT = 900
TICK_S = 0.011                          # of the tracer, with meters as quick as these


class Truth:
    """The ledger over time."""

    def __init__(self, data, loads):
        self.snaps = list(SNAP.iter_unpack(data))
        self.times = [s[0] for s in self.snaps]
        self.loads = loads

    def at(self, t_ns):
        """All sums then, in the order of struct snap. Between two snapshots in proportion."""
        i = min(max(bisect.bisect(self.times, t_ns), 1), len(self.snaps) - 1)
        a, b = self.snaps[i - 1], self.snaps[i]
        part = (t_ns - a[0]) / (b[0] - a[0])
        return [x + (y - x) * part for x, y in zip(a, b)]

    def joules(self, begin_ns, end_ns):
        """What each zone and each load took, and `measured`, `server`, `others` and `idle` as the books have them."""
        a, b = self.at(begin_ns), self.at(end_ns)
        d = [(y - x) / 1e12 for x, y in zip(a, b)]
        out = {z: d[1 + i] for i, z in enumerate(ZONES)}
        for i, name in enumerate(self.loads):
            at = 1 + len(ZONES) + i * 5
            out["load " + name] = sum(d[at + 1:at + 5])
            out["cpu_s " + name] = d[at] * 1e3
        out["server"] = sum(out.get("load " + n, 0.0) for n in SERVER)
        out["others"] = sum(out["load " + n] for n in self.loads if n not in SERVER + ("idle",))
        return out

    def load_j(self, name, t_ns):
        """What a load has taken up to then, all zones."""
        at = 1 + len(ZONES) + self.loads.index(name) * 5
        return sum(self.at(t_ns)[at + 1:at + 5]) / 1e12

    def floor(self, zone, spans):
        """The lowest mean power of a zone over a second that lies in one of the spans."""
        col, ns = 1 + ZONES.index(zone), 10 ** 9
        starts = (t for a, b in spans for t in self.times if a <= t <= b - ns)
        return min((self.at(t + ns)[col] - self.at(t)[col]) / 1e12 for t in starts)


def parse_ledger(text):
    rows = [line.split() for line in text.splitlines()]
    return {"zone": {r[1]: int(r[2]) for r in rows if r[0] == "zone"}, "load": [r[1] for r in rows if r[0] == "load"]}


def check_raw(name, s, run):
    """What the files show lies between two looks at the ledger, a few refreshes late at most; wraps are taken off."""
    span = s["module"].get("range_uj", 262143328850)
    late = 3 * s["base_w_max"] * s["module"].get("refresh_us", 1000)
    bad = []
    for r in run["raw"]:
        before, after = (parse_ledger(r[k])["zone"] for k in ("before", "after"))
        for zone, (what, uj) in r["shown"].items():
            what = "dram-" + zone.split(":")[1] if what == "dram" else what
            low, high = before[what] / 1e6 - late, after[what] / 1e6 + 1
            if (uj - START_UJ - low) % span > high - low:
                bad.append("%s shows %d uJ, the ledger has %.0f to %.0f" % (zone, uj - START_UJ, low, high))
    check(not bad, "%s: powercap and hwmon show what the ledger has" % name, "\n".join(bad))


def parse_out(folder):
    with open(folder + "/out") as f:
        objects = [json.loads(line) for line in f if line.startswith("{")]
    return [o for o in objects if o["type"] == "query"], next(o for o in objects if o["type"] == "summary")


def window(summary, run):
    wall = datetime.datetime.fromisoformat(summary["start_time"].replace("Z", "+00:00"))
    begin = int((wall - datetime.datetime.fromtimestamp(0, datetime.timezone.utc)) / datetime.timedelta(microseconds=1))
    begin = begin * 1000 - run["wall_less_monotonic_ns"]
    return begin, begin + int(summary["duration_s"] * 1e9)


def books(summary):
    out = {x["domain"]: x["measured_j"] for x in summary["sources"]}
    out.update(measured=summary["measured_j"], server=(summary["queries_j"] or 0) + summary["server_other_j"],
               others=summary["others_j"], idle=summary["idle_j"])
    return out


def truth_of(s, truth, run, folder, summary):
    """What the ledger has for the time between each meter's first reading and its last. When those were the recording
    says: a reading is late by however long the host kept the guest waiting, and then so is the truth."""
    with open(folder + "/recording", "rb") as f:
        meters = {m.name: m for m in integrate.Trace(f.read()).meters.values()}
    lag = int(s["lag_s"] * 1e9)
    true = {}
    for name, m in meters.items():
        of = truth.joules(m.t[0] - lag, m.t[-1] - lag)
        true[name] = of[GPU_ZONE if name == "gpu0" else name]
        if name in ("package-0", "gpu0"):
            true.update((k, v) for k, v in of.items() if k not in ZONES)
    true["measured"] = sum(true[x["domain"]] for x in summary["sources"] if x["summed"])
    true["idle"] = true["measured"] - true["server"] - true["others"]
    begin, end = window(summary, run)
    true["late_s"] = max(m.t[0] - begin for m in meters.values()) / 1e9
    true["early_s"] = max(end - m.t[-1] for m in meters.values()) / 1e9
    return true


def judge_alone(name, part, truth, rows):
    """A query that ran alone cost what the server took meanwhile; several that overlap cost that all together."""
    groups = []
    for r in sorted((r for r in rows if r["duration_ms"]), key=lambda r: r["start_ns"]):
        end = r["start_ns"] + r["duration_ms"] * 1e6
        if groups and r["start_ns"] < groups[-1][1]:
            groups[-1] = (groups[-1][0], max(end, groups[-1][1]), groups[-1][2] + [r])
        else:
            groups.append((r["start_ns"], end, [r]))
    for begin, end, of in groups:
        true, ours = truth.joules(begin, end)["server"], sum(r["energy_j"] for r in of)
        check(abs(ours / true - 1) <= part, "%s: %d at once cost what the server took, to %g %%" %
              (name, len(of), 100 * part), "%.4f J, should be %.4f" % (ours, true))
        if len(of) == 1:
            ttft = of[0]["ttft_ms"] / 1e3
            true, ours = truth.joules(begin, begin + ttft * 1e9)["server"], of[0]["prefill_j"]
            check(abs(ours / true - 1) <= part + 2 * TICK_S / ttft,
                  "%s: and its prefill, to %g %% and the ticks at its ends" % (name, 100 * part),
                  "%.4f J, should be %.4f" % (ours, true))


def judge(name, s, folder, verbose):
    with open(folder + "/run.json") as f:
        run = json.load(f)
    rows, summary = parse_out(folder)
    with open(folder + "/history", "rb") as f:
        truth = Truth(f.read(), parse_ledger(run["raw"][-1]["after"])["load"])
    true, ours = truth_of(s, truth, run, folder, summary), books(summary)
    if verbose:
        for k in sorted(ours):
            print("#   %-10s %12.6f J, true %12.6f, %+.4f %%" % (k, ours[k], true[k], 100 * (ours[k] / true[k] - 1)
                                                               if true[k] else 0))
        print("#   " + ", ".join("%s %.4g" % (k, true[k]) for k in sorted(true) if k.startswith("cpu_s")))
        print("#   flags %s" % " ".join(summary["flags"]))
    lost = true["measured"] / summary["duration_s"] * s["lost_s"]
    for what, part in s["expect"].items():
        want = true[what] * s["factor"]
        check(want - part * abs(want) - lost <= ours[what] <= want + part * abs(want),
              "%s: %s is the ledger's, to %g %%%s" % (name, what, part * 100, " and a gap" if lost else ""),
              "%.6f J, should be %.6f (%+.4f %%)" % (ours[what], want, 100 * (ours[what] / want - 1)))
    if summary["idle_source"] == "auto":
        # What the tracer itself takes in that second is in it.
        begin, end = window(summary, run)
        first, last = min(r["start_ns"] for r in rows), max(r["start_ns"] + r["duration_ms"] * 1e6 for r in rows)
        for x in summary["sources"]:
            low = truth.floor(x["domain"], ((begin, first), (last, end)))
            check(abs(x["idle_w"] / low - 1) <= 0.01, "%s: the floor of %s is its quietest second's, to 1 %%" %
                  (name, x["domain"]), "%.4f W, should be %.4f" % (x["idle_w"], low))
    for what, why in s["known"].items():
        skip("%s: %s is the ledger's" % (name, what), "%s: %+.1f %%" % (why, 100 * (ours[what] / true[what] - 1)))
    if not s["lost_s"]:
        check(true["late_s"] < 0.05 and true["early_s"] < 0.05, "%s: the meters cover the run" % name,
              "they begin %g s after it, and end %g s before" % (true["late_s"], true["early_s"]))
    for what, (want, part) in s["joules"].items():
        check(abs(ours[what] - want) <= part * want, "%s: %s is %g J, to %g %%" % (name, what, want, part * 100),
              "%.6f J" % ours[what])
    terms = sum(summary[k] or 0 for k in ("queries_j", "server_other_j", "others_j", "idle_j"))
    check(abs(terms - summary["measured_j"]) <= 1e-9 * abs(summary["measured_j"]), "%s: the books add up" % name)
    if "engine" in s:
        queries.judge(name, s, folder, rows, summary, window(summary, run)[0])
    else:
        asked = sum(n[0] if isinstance(n, list) else n for _, what, n in s["at"] if what == "ask")
        check(len(rows) == asked and all(r["end"] == "complete" for r in rows), "%s: %d queries" % (name, asked), rows)
    if "alone" in s:
        judge_alone(name, s["alone"], truth, rows)
    if s["phases"]:
        judge_phases(name, s, rows, truth)
    missing = [f for f in s["flags"] if f not in summary["flags"]]
    unasked = [f for f in ("meter_gap", "estimated", "idle_unknown", "lost_events")
               if f in summary["flags"] and f not in s["flags"]]
    check(not missing and not unasked, "%s: flags are %s" % (name, " ".join(s["flags"]) or "none"), summary["flags"])
    if not s["flags"] and s["factor"] == 1 and not s["lag_s"] and "engine" not in s:
        check_raw(name, s, run)


def judge_phases(name, s, rows, truth):
    """Each query's prefill and decode. The server has another name in each, so the ledger's sum for the one does not
    change in the middle of the other: what it has risen by between two such moments is one query's."""
    rows = sorted(rows, key=lambda r: r["start_ns"])
    prefill = [r["start_ns"] + r["ttft_ms"] * 5e5 for r in rows]
    decode = [r["start_ns"] + (r["ttft_ms"] + r["duration_ms"]) * 5e5 for r in rows]
    marks = {"prefill": [truth.times[0]] + decode, "decode": prefill + [truth.times[-1]]}
    for what, (median, p95) in s["phases"].items():
        sums = [truth.load_j(what, t) for t in marks[what]]
        true = [b - a for a, b in zip(sums, sums[1:])]
        errors = [abs(r[what + "_j"] / j - 1) for r, j in zip(rows, true)]
        said = "%.2f / %.2f %%" % (100 * quantile(errors, 0.5), 100 * quantile(errors, 0.95))
        print("#   %s of a query: %.3f to %.3f J; error, median / p95: %s" % (what, min(true), max(true), said))
        check(quantile(errors, 0.5) <= median and quantile(errors, 0.95) <= p95,
              "%s: %s of a query is the ledger's, to %g / %g %%" % (name, what, 100 * median, 100 * p95), said)


def read_scenario(name):
    """As its file has it; what the file leaves out is as in that which it is like."""
    with open("%s/scenarios/%s.json" % (HERE, name)) as f:
        s = json.load(f)
    return dict(read_scenario(s.pop("like")), **s) if "like" in s else dict(DEFAULTS, **s)


def scenario(name, seed):
    s = read_scenario(name)
    s["module"] = {"history_ms": HISTORY_MS, **s["module"]}
    if "engine" in s:
        s["engine"].update(seed)
        s["plan"], idle_w = queries.plan(s)
        s["base_mw"] = {GPU_ZONE: round(1000 * idle_w), "dram-0": 0}
        s["tracer"] = s["tracer"] + ["--idle", "gpu=%g" % idle_w]
    # The most that all of it can take at once: how late a refresh can make a reading.
    s["base_w_max"] = (sum(s["base_mw"].values()) + 2 * sum(max(s["loads_mw"].values(), key=sum))) / 1000
    return s


@contextlib.contextmanager
def results(kernel):
    """A folder for what a guest leaves."""
    if "IPW_RIG_OUT" in os.environ:
        d = os.path.join(os.environ["IPW_RIG_OUT"], kernel)
        os.makedirs(d, exist_ok=True)
        yield d
    else:
        with tempdir() as d:
            yield d


def boot(kernel, sockets, names, all_of, verbose):
    with results(kernel) as d:
        begin = time.time()
        for n in names:
            with open("%s/%s.json" % (d, n), "w") as f:
                json.dump(all_of[n], f)
        python = os.path.dirname(os.path.dirname(PYTHON))
        also = ["--share", python] if any("llama" in all_of[n] for n in names) else []
        p = subprocess.run([ROOT + "/scripts/vm-run", "--rig", "--out", d, *also, "--timeout", str(TIMEOUT),
                            "--sockets", str(sockets), kernel, "--", "/usr/bin/python3", "-I",
                            "/src/tests/rig/guest.py", *["/out/%s.json" % n for n in names]],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print("# %s, %d sockets: %d scenarios in %.0f s" % (kernel, sockets, len(names), time.time() - begin))
        for n in names:
            label = "%s on %s" % (n, kernel)
            if check(os.path.exists("%s/%s/run.json" % (d, n)), label + " ran", p.stdout):
                judge(label, all_of[n], "%s/%s" % (d, n), verbose)


def main():
    everything, verbose = "--all" in sys.argv, "-v" in sys.argv
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    named = names or sorted(f[:-5] for f in os.listdir(HERE + "/scenarios") if f.endswith(".json"))
    seed = {"seed": a.split("=", 1)[1] for a in sys.argv[1:] if a.startswith("--seed=")}
    all_of = {n: scenario(n, seed) for n in named}
    guests = {}
    for n, s in all_of.items():
        for kernel in s["kernels"]:
            if s["heavy"] and not everything and not names:
                skip("%s on %s" % (n, kernel), "only with --all")
            else:
                guests.setdefault((kernel, s["sockets"]), []).append(n)
    for (kernel, sockets), ns in sorted(guests.items()):
        if os.environ.get("IPW_VM") == "none":
            skip("%s, %d sockets: %s" % (kernel, sockets, ", ".join(ns)), "scripts/setup-vm failed, see above")
            continue
        boot(kernel, sockets, ns, all_of, verbose)
    done()


main()
