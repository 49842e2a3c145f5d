#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace route against brute force, and S(a) = a S against the paper's table; its joules are not published."""
import os
import random
import statistics

from results import PAPER, SAN, check, done, lines, near, quantile, row, run, same_interval, tempdir, write

POOL = ["Qwen3-4B", "Qwen3-8B", "Qwen3-14B", "GPT-OSS-20B"]
CLOUD = "Qwen3-235B"
KEYS = {"energy_saving": "energy_j", "compute_saving": "flops", "cost_saving": "cost_usd"}


def matrix(rng, n):
    """{query: {model: row}}: what a model costs and whether it is right, at random."""
    return {q: {m: {"correct": int(rng.random() < 0.4), "energy_j": rng.uniform(1, 30) * (20 if m == CLOUD else 1),
                    "flops": rng.uniform(1e9, 9e9), "cost_usd": rng.uniform(0, 1e-4)} for m in POOL + [CLOUD]}
            for q in range(n)}


def sent(v, pool, key, right, pay):
    """What a query comes to: (if all went to the cloud, as it is routed)."""
    cloud = v[CLOUD][key]
    solves, fails = [m for m in pool if v[m]["correct"]], [m for m in pool if not v[m]["correct"]]
    if right:
        return cloud, v[solves[0]][key] if solves else cloud
    return cloud, cloud + (v[fails[0]][key] if pay and fails else 0)


def expected(queries, pool, key, a, pay):
    both = [(sent(v, pool, key, True, pay), sent(v, pool, key, False, pay)) for v in queries.values()]
    return 1 - sum(a * r[1] + (1 - a) * w[1] for r, w in both) / sum(r[0] for r, w in both)


def as_rows(queries, rng):
    rows = [row(q, m, **fields) for q, v in queries.items() for m, fields in v.items()]
    rng.shuffle(rows)
    return rows


def brute(d, seed):
    rng = random.Random(seed)
    queries = matrix(rng, rng.randrange(1, 80))
    path = write(os.path.join(d, "r"), as_rows(queries, rng))
    for pay in ("free", "pay"):
        out = lines("route", "--pools", "--router", "1,0.8,0.35,0", "--fallback", pay, "--draws", 0, path)
        ok = len(out) == 16
        for s in out:
            n, a = len(s["pool"]), s["router_accuracy"]
            solved = [q for q, v in queries.items() if any(v[m]["correct"] for m in POOL[:n])]
            ok = ok and s["pool"] == POOL[:n] and near(s["coverage"], len(solved) / len(queries)) and \
                s["fallback"] == pay and s["cloud"] == CLOUD and s["n"] == len(queries)
            for name, key in KEYS.items():
                want = expected(queries, POOL[:n], key, a, pay == "pay")
                ok = ok and abs(s[name] - want) < 1e-6
        check(ok, "%d: %d queries, each pool, %s" % (seed, len(queries), pay), out)


def by_luck(d):
    """Other queries, and other luck of the router: as a loop does it."""
    rng = random.Random(4)
    queries = matrix(rng, 70)
    path = write(os.path.join(d, "r"), as_rows(queries, rng))
    for a, pay in ((0.8, False), (0.6, True), (1, False)):
        s, = lines("route", "--router", a, "--fallback", "pay" if pay else "free", "--draws", 4000, path)
        for name, key in KEYS.items():
            prepared = [[sent(v, POOL, key, right, pay) for right in (True, False)] for v in queries.values()]
            got = []
            for _ in range(4000):
                some = [v[rng.random() >= a] for v in rng.choices(prepared, k=len(prepared))]
                got.append(1 - sum(x[1] for x in some) / sum(x[0] for x in some))
            want = quantile(got, 0.025), quantile(got, 0.975)
            sigma = statistics.stdev(got)
            check(same_interval(s["ci95"][name], want) and abs(s["simulated"][name] - statistics.fmean(got)) <
                  0.1 * sigma, "simulated: a = %g, %s, %s" % (a, "pay" if pay else "free", name), (s, want))


def paper(d):
    """An oracle that saves what the paper's does, put together; what a router of 80 and 60 % saves is the printed."""
    share, oracle = 0.807, PAPER["routing"]["oracle"]
    rho = {k: 1 - oracle[k] / 100 / share for k in oracle}
    rows = [row(q, CLOUD, energy_j=1000, flops=1e12, cost_usd=1) for q in range(1000)]
    rows += [row(q, "Qwen3-8B", correct=int(q < 1000 * share), energy_j=1000 * rho["energy"],
                 flops=1e12 * rho["compute"], cost_usd=rho["cost"]) for q in range(1000)]
    for s in lines("route", "--draws", 0, write(os.path.join(d, "r"), rows)):
        a = s["router_accuracy"]
        if a == 1:
            check(near(s["coverage"], share) and near(s["energy_saving"], 0.804, 1e-5), "what went in", s)
            continue
        want, tolerance = PAPER["routing"][str(a)], 0.05 if a == 0.8 else 0.5
        check(all(abs(100 * s[k + "_saving"] - want[k]) <= tolerance + 1e-4 for k in oracle),
              "E.4: a router that is right %g" % a, (s, want))


def prices(d):
    """Cost by table 10, FLOPs as 2 for each parameter and token; what the row says goes before."""
    tokens = {"prompt_tokens": 123456, "completion_tokens": 7890}
    cloud = row(1, CLOUD, energy_j=1, **tokens)
    p_cloud = PAPER["T10_usd_per_million"][CLOUD]

    def usd(p):
        return tokens["prompt_tokens"] / 1e6 * p[0] + tokens["completion_tokens"] / 1e6 * p[1]
    for m, p in PAPER["T10_usd_per_million"].items():
        if m == CLOUD:
            continue
        s, = lines("route", "--router", 1, write(os.path.join(d, "r"), [cloud, row(1, m, correct=1, energy_j=1,
                                                                                    **tokens)]))
        check(near(s["cost_saving"], 1 - usd(p) / usd(p_cloud), 1e-5), "T10: %s" % m, s)
    f = PAPER["flops"]
    rows = [row(1, f["model"], correct=1, **{k: f[k] for k in ("prompt_tokens", "completion_tokens")}),
            row(1, CLOUD, flops=2 * f["flops"])]
    s, = lines("route", "--router", 1, write(os.path.join(d, "r"), rows))
    check(near(s["compute_saving"], 0.5), "2 P T: 8.03e9, 150 tokens, 2.409e12", s)
    check(s["energy_saving"] is None and s["cost_saving"] is None, "what is not known of a model is not saved", s)
    p = run("route", os.path.join(d, "r"), trace=SAN)
    check("has no energy" in p.stderr and "has no cost" in p.stderr and p.returncode == 0, "and said", p)


def sweep(d):
    rng = random.Random(9)
    queries = matrix(rng, 50)
    path = write(os.path.join(d, "r"), as_rows(queries, rng))
    out = lines("route", "--sweep", "--router", 1, "--draws", 0, "--fallback", "pay", path)[1:]
    check([round(s["router_accuracy"], 2) for s in out] == [round(i / 20, 2) for i in range(21)], "a sweep", out)
    check(all(abs(s["energy_saving"] - expected(queries, POOL, "energy_j", s["router_accuracy"], True)) < 1e-6
              for s in out), "each of it", out)
    p = run("route", "--sweep", "--draws", 0, path)
    bars = [x for x in p.stdout.splitlines() if "|" in x]
    check(len(bars) == 21 and bars[-1].count("#") == round(50 * out[-1]["energy_saving"]), "the plot", p.stdout)


def refused(d):
    base = [row(1, CLOUD, "H200", energy_j=9, concurrency_mean=16, scope="accelerator"),
            row(1, "Qwen3-4B", "M4", correct=1, energy_j=1, concurrency_mean=1, scope="accelerator")]
    path = write(os.path.join(d, "r"), base)
    p = run("route", path, trace=SAN)
    check(p.returncode == 1 and "another concurrency" in p.stderr and not p.stdout, "batch 16 against one", p)
    check(run("route", "--allow-unlike", path, trace=SAN).returncode == 0, "--allow-unlike")
    for rows, args, said in (
            ([base[1]], [], "there are 0 models"), ([base[0], dict(base[0], model="GPT-5")], [], "there are 2 models"),
            ([base[0]], [], "no local model"), ([base[0], row(1, "x", correct=1)], [], "left out (--pool, --models)"),
            (base, ["--pool", "zz"], "no results of 'zz'"), (base, ["--pool", "Qwen3-4B,Qwen3-4B"], "there twice"),
            (base, ["--pool", CLOUD], "it is the cloud"),
            ([base[0], dict(base[1], query_id=2, concurrency_mean=16)], [], "no query that all have"),
            ([base[0], dict(base[1], scope="package")], [], "another scope"),
            ([dict(base[0], concurrency_mean=1), base[1], dict(base[1], query_id=2, energy_j=None),
              dict(base[0], query_id=2, concurrency_mean=1)], [], "1 of 2 queries lack")):
        p = run("route", *args, write(os.path.join(d, "r"), rows), trace=SAN)
        check(p.returncode == 1 and said in p.stderr and not p.stdout, "refused: %s" % said, p)
    s, = lines("route", "--router", 1, "--allow-missing", os.path.join(d, "r"))
    check((s["n"], s["lacking"]) == (1, 1) and near(s["energy_saving"], 8 / 9), "--allow-missing", s)
    rows = [dict(base[0], concurrency_mean=1), base[1], dict(base[1], query_id="only local")]
    p = run("route", write(os.path.join(d, "r"), rows), trace=SAN)
    check(p.returncode == 0 and "1 results of Qwen3-4B@M4 are for queries that not all have" in p.stderr,
          "what not all have is counted", p)
    for args in (["--router", "1.1"], ["--router", ""], ["--fallback", "x"], ["--router", "0.5;1"]):
        check(run("route", *args, path).returncode == 129, "usage: %s" % " ".join(args))


with tempdir() as tmp:
    for n in range(8):
        brute(tmp, n)
    by_luck(tmp)
    paper(tmp)
    prices(tmp)
    sweep(tmp)
    refused(tmp)
done()
