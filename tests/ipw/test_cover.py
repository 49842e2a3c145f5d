#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace cover against brute force on small matrices, and against the paper's table 4."""
import os
import random

from results import PAPER, SAN, check, done, lines, near, row, run, share, tempdir, write

SIZES = {"Qwen3-4B": 4, "Qwen3-8B": 8, "Qwen3-14B": 14, "GPT-OSS-20B": 20, "GPT-OSS-120B": 120, "Qwen3-235B": 235}
LOCAL = [m for m in SIZES if m != "Qwen3-235B"]


def level(right):
    """The smallest size that solves it, in words of the paper."""
    size = min((SIZES[m] for m in right if m in SIZES), default=None)
    if size is None:
        return "unknown" if right else "L5"
    return "L1" if size <= 4 else "L2" if size <= 8 else "L3" if size <= 20 else "L4"


def brute(d, seed):
    rng = random.Random(seed)
    models = rng.sample(sorted(SIZES), rng.randrange(1, len(SIZES) + 1)) + ["GPT-5"] * rng.randrange(2)
    rng.shuffle(models)
    queries = {q: {m: int(rng.random() < 0.3) for m in models} for q in range(rng.randrange(1, 60))}
    cat = {q: rng.choice("abc") for q in queries}
    rows = [row(q, m, category=cat[q], correct=c) for q, v in queries.items() for m, c in v.items()]
    some = [row(1000 + i, models[0], correct=1, category="z") for i in range(3)] if len(models) > 1 else []
    some += [row(2000, m, category="a", correct=None if m == models[0] else 1) for m in models] if len(models) > 1 \
        else []
    rows += some
    rng.shuffle(rows)
    order = sorted(models, key=lambda m: SIZES.get(m, 1e9))
    pools = {"best-of-local": [m for m in models if m in LOCAL],
             "best-of-cloud": [m for m in models if m not in LOCAL], "best-of-all": models}
    path, ok, before = write(os.path.join(d, "r"), rows), True, set()
    out = lines("cover", "--by", "category", path)
    whole = [s for s in out if s["by"] == "all"]
    check([s["model"] for s in whole if s["pool"] == "model"] == order, "%d: by size" % seed, (whole, order))
    for s in out:
        members = [s["model"]] if s["pool"] == "model" else pools[s["pool"]]
        mine = [q for q in queries if s["by"] == "all" or cat[q] == s["category"]]
        solved = {q for q in mine if any(queries[q][m] for m in members)}
        ok = ok and (s["n"], s["solved"]) == (len(mine), len(solved)) and near(s["coverage"], len(solved) / len(mine))
        if s["by"] == "all" and s["pool"] == "model":
            alone = [q for q in queries if [m for m in models if queries[q][m]] == [s["model"]]]
            ok = ok and near(s["gain"], len(solved - before) / len(mine)) and near(s["alone"], len(alone) / len(mine))
            before |= solved
    check(ok, "%d: coverage, gain, alone, of %d models and %d queries" % (seed, len(models), len(queries)), out)
    check(all(s["left_out"] == (4 if some else 0) for s in whole), "%d: what not all have is counted" % seed, whole)
    check({s["pool"] for s in whole} == {"model"} | {p for p in pools if pools[p]}, "%d: pools" % seed, whole)
    want = {}
    for v in queries.values():
        at = level([m for m in models if v[m]])
        want[at] = want.get(at, 0) + 1
    got = {s["level"]: s["n"] for s in lines("cover", "--by", "level", path) if s["by"] == "level"}
    check(got == want, "%d: levels" % seed, (got, want))


def table_4(d):
    """Domains of a tenth of their size: the shares by data set are the printed ones."""
    rows = []
    for name, *cells in PAPER["T4"]:
        for s, n, percent in zip(("WildChat", "NaturalReasoning"), cells[::2], cells[1::2]):
            rows += [row("%s %d" % (name, i), "Qwen3-4B", dataset=s, category=name, correct=c)
                     for i, c in enumerate(share(max(1, round(n / 10)), percent))]
    path, want = write(os.path.join(d, "r"), rows), PAPER["T4_means"]
    out = [s for s in lines("cover", "--by", "dataset", path) if s["pool"] == "model"]
    got = {s.get("dataset") or "both": 100 * s["coverage"] for s in out}
    check(set(got) == set(want) and all(abs(got[k] - want[k]) <= 0.05 for k in want), "T4: 98.4, 63.0, both 80.7", got)
    got = {s["category"]: s for s in lines("cover", "--by", "category", path) if s["by"] == "category"}
    for name, n, a, k, b in PAPER["T4"]:
        want = (n * a + k * b) / (n + k)
        s = got[name]
        check(abs(100 * s["coverage"] - want) <= 0.05 + 100 / s["n"], "T4: %s" % name, (s, want))


def best_of(d):
    """T11's columns by any-of: nothing but an OR."""
    rows = [row(q, m, correct=int(i == q % 4)) for i, m in enumerate(LOCAL[:4]) for q in range(100)]
    out = {s["pool"]: s for s in lines("cover", write(os.path.join(d, "r"), rows))}
    check(out["best-of-local"]["coverage"] == 1 and out["model"]["coverage"] == 0.25, "any of four", out)


def wilson(d):
    """Where the interval ends, a share as far off as the data are is as unlikely as it says."""
    for k, n in ((0, 10), (7, 10), (300, 1000), (10, 10)):
        s = lines("cover", write(os.path.join(d, "r"), [row(i, correct=int(i < k)) for i in range(n)]))[0]
        low, high = s["ci95"]
        for p in (low, high):
            if 0 < p < 1:
                z = abs(k / n - p) / (p * (1 - p) / n) ** 0.5
                check(near(z, 1.959964, 1e-4), "interval of %d in %d" % (k, n), (s, z))
        check(0 <= low <= k / n <= high <= 1, "%d in %d" % (k, n), s)


def gdp(d):
    cats = {"a": (0.5, 2.0), "b": (0.25, 6.0), "c": (1.0, None), "d": (None, 9.0)}
    rows = [row("%s%d" % (c, i), category=c, correct=int(i < 8 * acc)) for c, (acc, _) in cats.items()
            if acc is not None for i in range(8)]
    path, w = write(os.path.join(d, "r"), rows), os.path.join(d, "w")
    with open(w, "w") as f:
        f.write("# weights\n" + "".join("%s\t%g\n" % (c, v[1]) for c, v in cats.items() if v[1]) + "\n")
    p = run("cover", "--gdp", w, path, trace=SAN)
    check("8 queries are of categories" in p.stderr and p.returncode == 0, "categories without a weight are said", p)
    s = lines("cover", "--gdp", w, path)[0]
    check(near(s["gdp_sum"], 0.5 * 2 + 0.25 * 6) and near(s["gdp_weighted_acc"], 2.5 / 8), "by weight", s)
    s = lines("cover", path)[0]
    check(s["gdp_sum"] is None and s["gdp_weighted_acc"] is None, "no weights are built in", s)
    with open(w, "w") as f:
        f.write("a 3\n")
    p = run("cover", "--gdp", w, path, trace=SAN)
    check(p.returncode == 1 and "line 1 is not" in p.stderr, "weights that are none", p)


def models(d):
    path, t = write(os.path.join(d, "r"), [row(1, m, correct=1) for m in ("x", "org/Y", "z")]), os.path.join(d, "t")
    with open(t, "w") as f:
        f.write("# model\tsize\tactive\tin\tout\tkind\nx\t7\t7\t-\t-\tlocal\ny\t3\t3\t0.1\t0.2\tcloud # small\n")
    p = run("cover", "--json", "--models", t, path, trace=SAN)
    check('"model":"org/Y","hardware":"h","by":"all","n":1,"solved":1' in p.stdout.splitlines()[0] and
          "z@h: not known to be local or cloud" in p.stderr and p.stderr.count("not known") == 1,
          "a table in place of the built-in one", p)
    for bad in ("x\t7\t7\t-\t-\n", "x\t7\t7\t-\t-\tnear\n", "x\tseven\t7\t-\t-\tlocal\n", "x\t-1\t7\t-\t-\tlocal\n",
                "x\t7\t7\t-\t-\tlocal\tmore\n", "x\tnan\t7\t-\t-\tlocal\n"):
        with open(t, "w") as f:
            f.write("\n" + bad)
        p = run("cover", "--models", t, path, trace=SAN)
        check(p.returncode == 1 and "line 2 is not" in p.stderr, "no row of models: %s" % bad.strip(), p)
    p = run("cover", write(os.path.join(d, "r"), [row(1, "a", correct=1), row(2, "b", correct=1)]), trace=SAN)
    check(p.returncode == 1 and "no query that all have a verdict of" in p.stderr, "nothing in common", p)
    p = run("cover", write(os.path.join(d, "r"), [row(1, "m%d" % i, correct=1) for i in range(65)]), trace=SAN)
    check(p.returncode == 1 and "more than 64" in p.stderr, "too many models", p)


with tempdir() as tmp:
    for n in range(12):
        brute(tmp, n)
    table_4(tmp)
    best_of(tmp)
    wilson(tmp)
    gdp(tmp)
    models(tmp)
done()
