#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace compare against the paper's ratios, and against a paired bootstrap done slowly."""
import os
import random
import statistics

from results import PAPER, SAN, bootstrap, check, done, lines, near, row, run, same_interval, share, tempdir, write

mean = statistics.fmean


def alike(model, hardware, acc, **fields):
    """1,000 queries of which so many are right, with the power or energy that the printed figure implies."""
    return [row(i, model, hardware, correct=c, **fields) for i, c in enumerate(share(1000, acc))]


def ratio(d, a, b):
    r, = lines("compare", "--draws", 0, write(os.path.join(d, "r"), a + b))
    return r


def paper(d):
    years = [alike(t["row"], "h", t["acc"], power_w=t["acc"] / 100 / (t["ipw"] * 1e-3)) for t in PAPER["T2"]]
    for a, b, want in zip(years, years[1:], PAPER["T2_steps"]):
        r = ratio(d, a, b)
        check(abs(r["ipw_ratio"] - want) <= 0.01, "T2: a year: %.2f" % want, r)
    r, want = ratio(d, years[0], years[2]), PAPER["T2_decomposition"]
    check(near(r["accuracy_factor"], want["accuracy"], 5e-3) and near(r["power_factor"], want["power"], 5e-3) and
          near(r["ipw_ratio"], want["ipw"], 5e-3), "T2: 3.07 x 1.72 = 5.28", r)
    for table, unit, key in (("T13", 1e-3, "power_w"), ("T14", 1e-5, "energy_j")):
        for t in PAPER[table]:
            for h in (h for h in ("B200", "SN40L") if h in t):
                a, b = (alike("m", x, t["acc"], **{key: t["acc"] / 100 / (t[x] * unit)}) for x in ("M4", h))
                r = ratio(d, a, b)["ipw_ratio" if table == "T13" else "ipj_ratio"]
                check(abs(r - t[h + "_M4"]) <= 0.01, "%s: %s, %s / M4" % (table, t["model"], h), (r, t))
    for t in PAPER["T15_ipj_batch"]:
        a, b = (alike(t["model"], x, t["acc"], energy_j=t["acc"] / 100 / (t[x] * 1e-5)) for x in ("bs1", "bs64"))
        r = ratio(d, a, b)
        check(abs(r["ipj_ratio"] - t["gain"]) <= 0.1 and near(r["ipj_ratio"], r["energy_factor"]),
              "T15: %s, batch 64" % t["model"], r)
    spread = {}
    for t in PAPER["T16_ipw_M4"]:
        for x in ("SGLang", "llama.cpp"):
            a, b = (alike(t["model"], f, t["acc"], power_w=t["acc"] / 100 / (t[f] * 1e-3)) for f in ("vLLM", x))
            spread.setdefault(x, []).append(100 * (ratio(d, a, b)["ipw_ratio"] - 1))
    for x, (low, high) in PAPER["T16_spread_percent"].items():
        check(abs(min(spread[x]) - low) <= 0.05 and abs(max(spread[x]) - high) <= 0.05, "T16: %s" % x, spread[x])


def some(rng, n):
    """Two configurations whose queries are alike: what is hard for one is for the other."""
    out = []
    for i in range(n):
        hard, s = rng.random(), rng.expovariate(1) + 0.1
        out.append([{"correct": int(rng.random() > hard * k), "power_w": rng.uniform(90, 110) * k, "duration_s": s * k}
                    for k in (0.8, 1.1)])
    return out


def figures(pairs):
    m = [[mean(p[i]["correct"] for p in pairs), mean(p[i]["power_w"] for p in pairs),
          mean(p[i]["power_w"] * p[i]["duration_s"] for p in pairs)] for i in (0, 1)]
    diff = {k: m[1][i] - m[0][i] for i, k in enumerate(("acc", "power_w_mean", "energy_j_mean"))}
    diff["ipw"] = m[1][0] / m[1][1] - m[0][0] / m[0][1]
    diff["ipj"] = m[1][0] / m[1][2] - m[0][0] / m[0][2]
    return diff, {"accuracy_factor": m[1][0] / m[0][0], "power_factor": m[0][1] / m[1][1],
                  "energy_factor": m[0][2] / m[1][2], "ipw_ratio": m[1][0] / m[0][0] * m[0][1] / m[1][1],
                  "ipj_ratio": m[1][0] / m[0][0] * m[0][2] / m[1][2]}


def paired(d):
    rng = random.Random(11)
    pairs = some(rng, 60)
    rows = [row(i, "m%d" % k, **p[k]) for i, p in enumerate(pairs) for k in (0, 1)]
    rows += [row("only a%d" % i, "m0", correct=1, power_w=1, duration_s=1) for i in range(3)]
    rows += [row("only b", "m1", correct=0, power_w=1e6, duration_s=1)]
    r, = lines("compare", "--draws", 4000, write(os.path.join(d, "r"), rows))
    diff, factors = figures(pairs)
    check(r["n"] == 60 and r["a"]["unpaired"] == 3 and r["b"]["unpaired"] == 1, "the paired set is counted", r)
    check(all(near(r["difference"][k], v, 2e-6) for k, v in diff.items()), "differences on the paired set", (r, diff))
    check(all(near(r[k], v) for k, v in factors.items()), "factors", (r, factors))
    for k in diff:
        want = bootstrap(rng, pairs, lambda s: figures(s)[0][k], 4000)
        check(same_interval(r["ci95"]["difference"][k], want), "paired interval of the difference of %s" % k,
              (r["ci95"]["difference"][k], want))
    for k in factors:
        want = bootstrap(rng, pairs, lambda s: figures(s)[1][k], 4000)
        check(same_interval(r["ci95"][k], want), "paired interval of %s" % k, (r["ci95"][k], want))
    p = run("compare", os.path.join(d, "r"))
    check("60 queries in both, 3 in A only ('only a0'), 1 in B only ('only b')" in p.stdout, "the table says so", p)


def several(d):
    rows = [row(q, m, correct=1, energy_j=e, duration_s=1) for q in (1, 2) for m, e in (("a", 1), ("b", 2), ("c", 4))]
    path = write(os.path.join(d, "r"), rows)
    out = lines("compare", path)
    check([(r["a"]["model"], r["b"]["model"], r["ipj_ratio"]) for r in out] == [("a", "b", 0.5), ("a", "c", 0.25)],
          "all with the first", out)
    out = lines("compare", "--pair", "c", "--pair", "A@H", path)
    check([(r["a"]["model"], r["b"]["model"], r["ipj_ratio"]) for r in out] == [("c", "a", 4)], "--pair", out)


def refused(d):
    def pair(**b):
        return write(os.path.join(d, "r"), [row(1, "a", correct=1, energy_j=1, duration_s=1, scope="package",
                                                concurrency_mean=1),
                                            dict(row(1, "b", correct=1, energy_j=1, duration_s=1, scope="package",
                                                     concurrency_mean=1), **b)])
    for b, said in (({"scope": "accelerator"}, "differ in scope"), ({"concurrency_mean": 1.2}, "differ in concurrency"),
                    ({"concurrency_mean": None}, "differ in concurrency"), ({"scope": None}, "differ in scope"),
                    ({"query_id": 2}, "no query in common")):
        p = run("compare", pair(**b), trace=SAN)
        check(p.returncode == 1 and said in p.stderr and not p.stdout, "refused: %s" % said, p)
        p = run("compare", "--allow-unlike", pair(**b), trace=SAN)
        check(p.returncode == (0 if "differ" in said else 1), "--allow-unlike: %s" % said, p)
    check(run("compare", pair(concurrency_mean=1.03)).returncode == 0, "almost the same concurrency is the same")
    p = run("compare", write(os.path.join(d, "r"), [row(1, correct=1)]), trace=SAN)
    check(p.returncode == 1 and "nothing to compare" in p.stderr, "one alone", p)
    p = run("compare", pair(energy_j=None), trace=SAN)
    check(p.returncode == 0 and "IPJ" not in p.stdout.split("\n\n")[2], "what one has not is not compared", p)
    rows = [row(q, m, correct=1, energy_j=None if (q, m) == (1, "b") else 3, duration_s=1) for q in (1, 2, 3)
            for m in "ab"]
    p = run("compare", write(os.path.join(d, "r"), rows), trace=SAN)
    check(p.returncode == 1 and "b@h: 1 of 3 results have no energy" in p.stderr, "energy of a part", p)
    r, = lines("compare", "--allow-missing", os.path.join(d, "r"))
    check(r["n"] == 2 and r["lacking"] == 1 and r["ipj_ratio"] == 1, "--allow-missing", r)


with tempdir() as tmp:
    paper(tmp)
    paired(tmp)
    several(tmp)
    refused(tmp)
done()
