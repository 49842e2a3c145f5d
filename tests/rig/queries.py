# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Query truth: what the scripted engine (engine.c) is told to do in a scenario that has an "engine", and how near the
tracer came to what it says that each query cost. The machine, the load and the lengths are drawn by engine_model.py.
"""
import json
import math
import os
import random

import engine_model
import truth
from harness import check

WARM_UP_S = 30
PORT = 8001
KEYS = ("chunk t_weights t_fixed t_seq overlap bend w_memory w_compute w_active drift_s drift_at").split()


def plan(s):
    """(PLAN of engine.c, watts of the idle GPU). Where the scenario has no seed one is drawn."""
    e = s["engine"]
    e.setdefault("seed", "%08x" % random.SystemRandom().getrandbits(32))
    opt = dict(engine_model.OPTIONS, **e.get("options", {}), seconds=s["seconds"] - 5)
    key = "%s-vm-%s-%s" % (e["seed"], e["profile"], e["batch"])
    p = engine_model.Profile.draw(random.Random("ipw-rig-profile-" + key), e["profile"], e["batch"], opt)
    t_tok = p.t_weights / p.ridge
    values = dict({k: getattr(p, k) for k in KEYS}, port=PORT, idle_w=p.w_idle, most=max(8, int(e["batch"] * 1.6) + 4),
                  preempt=opt["preempt"], drift=opt["drift"], t_tok=t_tok, t_kv=p.t_weights / p.kv_ridge,
                  t_attn=t_tok / p.attn_ridge, scale=t_tok * 64 ** (1 - p.bend))
    lines = ["%s %.9g" % kv for kv in values.items()]
    for q in engine_model.tuned(key, p, e["batch"], opt):
        if not q.refused:
            cancel = 0 if q.cancel_at == float("inf") else 1e3 * (q.cancel_at - q.at)
            lines.append("query %.3f %d %d %d %.3f %d" % (1e3 * q.at, q.prompt, q.cached, q.output, cancel, q.whole))
    return "\n".join(lines) + "\n", p.w_idle


def read(path):
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    return {o["id"]: o for o in lines if o["type"] == "query"}, next(o for o in lines if o["type"] == "engine")


def milliseconds(values):
    return "%.2f / %.2f ms" % (1e3 * truth.quantile(values, 0.5), 1e3 * truth.quantile(values, 0.95))


def check_times(name, ours, true):
    """Our clock against the engine's: when it had a request, when it began on it, when it had sent the first token."""
    late = {"first token": [], "queue": []}
    for i, q in true.items():
        if i in ours and q["end"] == "complete" and not q["whole"] and ours[i]["ttft_ms"] is not None:
            late["first token"].append(ours[i]["ttft_ms"] / 1e3 - (q["F"] - q["R"]) / 1e9)
            if ours[i]["queue_ms"] is not None:
                late["queue"].append(ours[i]["queue_ms"] / 1e3 - (q["first_step"] - q["R"]) / 1e9)
    for what, values in late.items():
        print("#   %s: ours less the engine's, %d queries: median / p95 %s" % (what, len(values), milliseconds(values)))
        check(not values or abs(truth.quantile(values, 0.5)) < 0.002, "%s: %s is when the engine says" % (name, what),
              milliseconds(values))


def bound(row, accuracy):
    """Its bound; what its meter is stated to be accurate to only where the meter is off."""
    parts = row["bound_parts"]
    return math.hypot(parts["edges"], parts["noise"], parts["accuracy"] if accuracy else 0) + parts["split"]


def judge(name, s, folder, rows, summary, begin_ns):
    """Every query once; its joules; its bound; the sum; its times."""
    e = s["engine"]
    true, engine = read(os.path.join(folder, "truth"))
    true = {i: q for i, q in true.items() if q["R"]}
    ours = {r["request_id"]: r for r in rows}
    check(len(ours) == len(rows) and set(ours) == set(true), "%s: %d queries, each once" % (name, len(true)),
          sorted(set(ours) ^ set(true))[:10])
    for what, count in (("tokens", "completion_tokens"), ("prompt", "prompt_tokens"), ("cached", "cached_tokens")):
        bad = [i for i, q in true.items() if i in ours and q["end"] == "complete" and ours[i][count] != q[what]]
        check(not bad, "%s: %s are the engine's" % (name, count), bad[:10])
    least = 2 if e.get("meter") == "gauge" else 10e-6 * s["module"]["refresh_us"]
    ids = [i for i, q in true.items() if i in ours and q["end"] == "complete" and
           q["R"] > begin_ns + WARM_UP_S * 10**9 and (q["E"] - q["R"]) / 1e9 > least]
    errors = [abs(ours[i]["energy_j"] / true[i]["energy_j"] - 1) for i in ids]
    gain = any("gain_ppm" in line for line in s.get("meters", []))
    both = [(bound(ours[i], gain) / true[i]["energy_j"], x) for i, x in zip(ids, errors) if ours[i]["bound_j"]]
    median, p95 = truth.quantile(errors, 0.5), truth.quantile(errors, 0.95)
    print("#   seed %s: %d steps, %d of %d queries counted; error of a query's joules, median / p95: %.2f / %.2f %%; "
          "%d of %d bounds hold; methods %s; tracer %.1f s of CPU" % (
              e["seed"], engine["steps"], len(ids), len(true), 100 * median, 100 * p95,
              sum(x <= b for b, x in both), len(both), sorted({ours[i]["method"] for i in ids}),
              summary["tracer_cpu_s"]))
    check(len(ids) >= e["least"], "%s: at least %d queries to judge by" % (name, e["least"]), len(ids))
    check(len(both) >= e["bounds"] * len(ids), "%s: %g of them have a bound" % (name, e["bounds"]), len(both))
    for what, value, most in (("median", median, e["error"][0]), ("p95", p95, e["error"][1])):
        check(value <= most, "%s: %s error of a query's joules is %g %% at most" % (name, what, 100 * most),
              "%.2f %%" % (100 * value))
    check(sum(x <= b for b, x in both) >= 0.95 * len(both), "%s: 95 %% of the bounds hold" % name,
          [(i, b, x) for i, (b, x) in zip(ids, both) if x > b][:10])
    mine, all_j = sum(r["energy_j"] or 0 for r in rows), sum(q["energy_j"] for q in true.values())
    check(abs(mine / all_j - s["factor"]) < 0.02, "%s: all queries together, to 2 %%" % name,
          "%.3f J of %.3f" % (mine, all_j))
    check_times(name, ours, true)
