#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace fit against normal equations in exact fractions, and against what went in."""
import math
import os
import random
from fractions import Fraction

from results import SAN, check, done, lines, near, row, run, tempdir, write


def solve(a, b):
    """Gauss, in fractions: exact."""
    n = len(a)
    m = [list(map(Fraction, r)) + [Fraction(v)] for r, v in zip(a, b)]
    for i in range(n):
        k = next(k for k in range(i, n) if m[k][i])
        m[i], m[k] = m[k], m[i]
        m[i] = [v / m[i][i] for v in m[i]]
        for k in range(n):
            if k != i:
                m[k] = [x - m[k][i] * y for x, y in zip(m[k], m[i])]
    return [r[n] for r in m]


def least_squares(xs, y):
    """(coefficients, standard errors, R2): the constant first."""
    rows = [[1, *x] for x in xs]
    n, p = len(rows), len(rows[0])
    xtx = [[sum(Fraction(r[i]) * Fraction(r[k]) for r in rows) for k in range(p)] for i in range(p)]
    coef = solve(xtx, [sum(Fraction(r[i]) * Fraction(v) for r, v in zip(rows, y)) for i in range(p)])
    res = sum((Fraction(v) - sum(c * Fraction(x) for c, x in zip(coef, r))) ** 2 for r, v in zip(rows, y))
    mean = Fraction(sum(map(Fraction, y)), n)
    tot = sum((Fraction(v) - mean) ** 2 for v in y)
    diagonal = [solve(xtx, [int(k == i) for k in range(p)])[i] for i in range(p)]
    se = [math.sqrt(res / (n - p) * v) if n > p else None for v in diagonal]
    return [float(c) for c in coef], se, float(1 - res / tot) if tot else 1.0


def some(rng, n, cached):
    out = []
    for i in range(n):
        tin, tout = rng.randrange(10, 3000), rng.randrange(1, 800)
        tc = rng.randrange(0, tin) if cached else 0
        # eighths: what is kept of them is exact
        joules = round(8 * (5 + 0.02 * tin + 0.7 * tout - 0.015 * tc + rng.gauss(0, 8)) + 400) / 8
        out.append({"prompt_tokens": tin, "completion_tokens": tout, "cached_tokens": tc, "energy_j": joules,
                    "duration_s": rng.randrange(1, 200) / 8, "ttft_s": rng.randrange(1, 50) / 64})
    return out


def joules(d):
    rng = random.Random(2)
    for n, cached in ((3, False), (5, True), (40, False), (200, True)):
        rows = some(rng, n, cached)
        s = lines("fit", write(os.path.join(d, "r"), [row(i, **r) for i, r in enumerate(rows)]))[0]
        keys = ["prompt_tokens", "completion_tokens"] + ["cached_tokens"] * cached
        coef, se, r2 = least_squares([[r[k] for k in keys] for r in rows], [r["energy_j"] for r in rows])
        names = ["constant", "input", "output"] + ["cached"] * cached
        check(list(s["coefficients"]) == names and s["n"] == n and near(s["r2"], r2, 1e-6), "%d rows: R2" % n, (s, r2))
        check(all(near(s["coefficients"][k], v, 1e-5) for k, v in zip(names, coef)), "%d rows: coefficients" % n,
              (s, coef))
        check(all(near(s["standard_errors"][k], v, 1e-5) for k, v in zip(names, se)), "%d rows: standard errors" % n,
              (s, se))
    check(abs(s["coefficients"]["output"] - 0.7) < 5 * s["standard_errors"]["output"], "what went in", s)


def harness(d):
    rng = random.Random(3)
    rows = some(rng, 60, False)
    out = {s["name"]: s for s in lines("fit", write(os.path.join(d, "r"), [row(i, **r) for i, r in enumerate(rows)]))}

    def total(r):
        return r["prompt_tokens"] + r["completion_tokens"]

    def watts(r):
        return r["energy_j"] / r["duration_s"]
    for name, x, y in (("input_tokens_vs_ttft", lambda r: r["prompt_tokens"], lambda r: r["ttft_s"]),
                       ("total_tokens_vs_energy", total, lambda r: r["energy_j"]),
                       ("total_tokens_vs_latency", total, lambda r: r["duration_s"]),
                       ("total_tokens_vs_power", total, watts),
                       ("total_tokens_vs_power_log", lambda r: math.log(total(r)), watts)):
        coef, _, r2 = least_squares([[x(r)] for r in rows], [y(r) for r in rows])
        s = out.pop(name)
        check(near(s["intercept"], coef[0], 1e-5) and near(s["slope"], coef[1], 1e-5) and near(s["r2"], r2, 1e-5) and
              s["n"] == 60 and near(s["avg_y"], sum(map(y, rows)) / 60), name, (s, coef, r2))
    check(list(out) == ["joules"], "these five, and joules", out)


def edges(d):
    rows = [row(i, prompt_tokens=10 * i, completion_tokens=5 * i, energy_j=i + 1) for i in range(9)]
    p = run("fit", "--json", write(os.path.join(d, "r"), rows), trace=SAN)
    check(p.returncode == 0 and "cannot be told apart" in p.stderr and '"input":null' in p.stdout, "collinear", p)
    p = run("fit", "--json", write(os.path.join(d, "r"), rows[:1]), trace=SAN)
    check("too few" in p.stderr and '"r2":null' in p.stdout, "one row", p)
    rows = [row(i, prompt_tokens=i * i, completion_tokens=i, energy_j=4) for i in range(1, 9)]
    s = lines("fit", write(os.path.join(d, "r"), rows + [row(99, prompt_tokens=1), row(98, energy_j=1)]))
    check(s[0]["n"] == 8 and s[0]["r2"] == 1 and near(s[0]["coefficients"]["constant"], 4) and s[1]["slope"] is None,
          "joules that do not vary; rows that lack something are not used", s[:2])
    p = run("fit", os.path.join(d, "r"), trace=SAN)
    check(p.returncode == 0 and "J a token of the answer" in p.stdout, "the table", p)


with tempdir() as tmp:
    joules(tmp)
    harness(tmp)
    edges(tmp)
done()
