#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace score against printed tables, and against the formulas worked out slowly."""
import os
import random
import statistics

from results import PAPER, as_printed, bootstrap, check, done, lines, near, row, run, same_interval, share, tempdir, \
    write

mean = statistics.fmean


def paper_rows(d):
    """1,000 queries of which so many are right, all alike: the printed columns come out."""
    for table in ("T17_T18", "T17_A18"):
        for r in PAPER[table]:
            # where the paper divides by an energy it rounded, that one
            power = r["e"] / r["s"] if "e" in r else r["w"]
            rows = [row(i, correct=c, power_w=power, duration_s=r["s"]) for i, c in enumerate(share(1000, r["acc"]))]
            s, = lines("score", "--draws", 0, write(os.path.join(d, "r"), rows))
            ipw, ipj = s["ipw"] * 1e3, s["ipj"] * 1e5
            if "ipw" in r:
                check(as_printed(ipw, r["ipw"]) and as_printed(ipj, r["ipj"]), "%s: %s" % (table, r["row"]),
                      (ipw, ipj, r))
            else:
                check(near(ipj, r["ipj"], 1.2e-3), "%s: %s" % (table, r["row"]), (ipj, r))


def mean_power(d):
    """Two queries of 100 J in 1 s and 100 s: 50.5 W by queries, 1.98 W by the run."""
    path = write(os.path.join(d, "r"), [row(i, correct=1, energy_j=100, duration_s=s) for i, s in enumerate((1, 100))])
    s, = lines("score", "--variants", path)
    check(s["power_w_mean"] == 50.5, "mean of the queries' powers", s)
    check(near(s["variants"]["power_w_total"], 200 / 101), "power of the run", s)
    check(near(s["variants"]["ipw_total"], 101 / 200) and near(s["variants"]["ipj_total"], 1 / 200), "its IPW, IPJ", s)
    check(s["ipj"] == 0.01 and near(s["ipw"], 1 / 50.5) and s["apw"] == s["ipw"] and s["apj"] == s["ipj"],
          "IPW and IPJ are ratios of means", s)


def macro_means(d):
    """T11: a data set each; the mean over data sets is the printed one."""
    for m in PAPER["T11"]:
        rows = [row(i, m["model"], dataset=s, correct=c) for s, acc in zip(PAPER["T11_datasets"], m["acc"])
                if acc is not None for i, c in enumerate(share(1000, acc))]
        got = [s["acc"] for s in lines("score", "--by", "dataset", write(os.path.join(d, "r"), rows))
               if s["by"] == "dataset"]
        check(abs(100 * mean(got) - m["mean"]) <= 0.06, "T11: %s" % m["model"], (got, m))


def some_rows(rng, n):
    out = []
    for i in range(n):
        s = rng.expovariate(1) + 0.05
        out.append({"query_id": i, "dataset": "d%d" % (i % 3), "category": rng.choice("abc"), "correct":
                    int(rng.random() < 0.6), "power_w": rng.uniform(100, 300), "duration_s": s,
                    "ppl": rng.uniform(2, 9)})
    return out


def slowly(rows):
    acc, w = mean(r["correct"] for r in rows), mean(r["power_w"] for r in rows)
    e = mean(r["power_w"] * r["duration_s"] for r in rows)
    ppl = mean(r["ppl"] for r in rows)
    return {"acc": acc, "power_w_mean": w, "energy_j_mean": e, "ipw": acc / w, "ipj": acc / e, "ppw": 1 / (ppl * w),
            "ppj": 1 / (ppl * e), "apw": acc / w, "apj": acc / e}


def trimmed(rows):
    """Without the 5 % at each end, by wall time; one at least, from four queries on."""
    k = max(1, int(0.05 * len(rows))) if len(rows) >= 4 else 0
    return sorted(rows, key=lambda r: r["duration_s"])[k:len(rows) - k]


def formulas(d):
    rng = random.Random(1)
    for n in (1, 3, 4, 50, 999):
        rows = some_rows(rng, n)
        path = write(os.path.join(d, "r"), [dict(type="result", model="m", hardware="h", **r) for r in rows])
        out = lines("score", "--by", "category", "--variants", "--draws", 0, path)
        for s in out:
            mine = [r for r in rows if s["by"] == "all" or r["category"] == s["category"]]
            want, kept = slowly(mine), trimmed(mine)
            check(s["n"] == len(mine) and all(near(s[k], want[k]) for k in want),
                  "%d rows, %s %s" % (n, s["by"], s.get("category")), (s, want))
            v, energy = s["variants"], sum(r["power_w"] * r["duration_s"] for r in kept)
            check(near(v["ipw_normalized"], mean(r["correct"] for r in kept) / mean(r["power_w"] for r in kept)) and
                  near(v["ipj_normalized"], mean(r["correct"] for r in kept) / energy),
                  "normalized, of %d" % len(mine), v)
        check(len(out) == 1 + len({r["category"] for r in rows}), "a line for each category", out)


def any_two(d):
    """Of energy, power and duration any two give the third."""
    full = {"energy_j": 12.0, "power_w": 3.0, "duration_s": 4.0}
    for left in (None, *full):
        fields = {k: v for k, v in full.items() if k != left}
        s, = lines("score", write(os.path.join(d, "r"), [row(1, correct=1, **fields)]))
        check((s["energy_j_mean"], s["power_w_mean"], s["duration_s_mean"]) == (12, 3, 4), "without %s" % left, s)
    s, = lines("score", write(os.path.join(d, "r"), [row(1, correct=1, power_w=4)]))
    check(s["ipw"] == 0.25 and s["ipj"] is None, "power alone gives IPW, and no IPJ", s)
    s, = lines("score", write(os.path.join(d, "r"), [row(1, correct=1, energy_j=4)]))
    check(s["ipj"] == 0.25 and s["ipw"] is None, "energy alone gives IPJ, and no IPW", s)


def scopes(d):
    """Scopes are apart; gross joules are asked for; what the paper's figure is of."""
    rows = [row(1, scope=s, correct=1, energy_j=10, gross_j=20, duration_s=2, concurrency_mean=c)
            for s, c in (("accelerator", 1), ("package", 1), ("platform", 2))]
    path = write(os.path.join(d, "r"), rows)
    out = lines("score", path)
    check([(s["scope"], s["concurrency_mean"]) for s in out] ==
          [("accelerator", 1), ("package", 1), ("platform", 2)], "a line a scope, with its concurrency", out)
    check(all(s["ipj"] == 0.1 and s["joules"] == "share" and not s["as_paper"] for s in out), "the share", out)
    s, = lines("score", "--pair", "M@h:package", path)
    check(s["scope"] == "package", "a pair by its scope", s)
    p = run("score", "--pair", "m@h", path)
    check(p.returncode == 1 and "'m@h' may be m@h (accelerator) or m@h (package)" in p.stderr, "or none", p.stderr)
    out = lines("score", "--gross", path)
    check(all(s["ipj"] == 0.05 and s["ipw"] == 0.1 and s["joules"] == "gross" for s in out), "gross", out)
    check([s["as_paper"] for s in out] == [True, False, False], "the paper's: gross, accelerator, concurrency 1", out)
    rows[0]["concurrency_mean"] = 1.5
    s = lines("score", "--gross", write(os.path.join(d, "r"), rows))[0]
    check(not s["as_paper"], "and no other concurrency", s)


def intervals(d):
    rng = random.Random(7)
    for n in (30, 1500):
        rows = some_rows(rng, n)
        path = write(os.path.join(d, "r"), [dict(type="result", model="m", hardware="h", **r) for r in rows])
        s, = lines("score", "--draws", 4000, path)
        for k in ("acc", "power_w_mean", "energy_j_mean", "ipw", "ipj", "ppw", "ppj") if n < 100 else ("ipj",):
            want = bootstrap(rng, rows, lambda some: slowly(some)[k], 4000 if n < 100 else 1500)
            check(same_interval(s["ci95"][k], want, 0.06 if n < 100 else 0.09), "interval of %s, %d rows" % (k, n),
                  (s["ci95"][k], want))
    again, = lines("score", "--draws", 4000, path)
    other, = lines("score", "--draws", 4000, "--seed", 2, path)
    check(again == s and other["ci95"] != s["ci95"] and same_interval(other["ci95"]["ipw"], s["ci95"]["ipw"]),
          "the seed gives the draws")
    s, = lines("score", "--draws", 0, path)
    check(all(v is None for v in s["ci95"].values()), "no draws, no intervals", s)
    wide = write(os.path.join(d, "r"), [row(i, correct=int(i % 2 == 0), energy_j=5, duration_s=1)
                                        for i in range(20000)])
    s, = lines("score", "--draws", 2000, wide)
    want = 2 * 1.95996 * (0.25 / 20000) ** 0.5
    check(near(s["ci95"]["acc"][1] - s["ci95"]["acc"][0], want, 0.08), "of 20,000 rows as wide as theory has it",
          (s["ci95"], want))


def text(d):
    path = write(os.path.join(d, "r"), [row(i, correct=1, energy_j=2, duration_s=1, category="c") for i in range(3)])
    p = run("score", "--by", "category", path)
    check(p.returncode == 0 and "m@h" in p.stdout and "0.5 [0.5, 0.5]" in p.stdout and not p.stderr, "the table", p)


def repeats(d):
    """The mean of a query's repeats is one row: queries are what is drawn."""
    rng = random.Random(11)
    rows = [dict(r, query_id=r["query_id"] % 40, repetition=r["query_id"] // 40) for r in some_rows(rng, 160)]
    rows = rows[:150]  # the last ten queries have a repeat less
    rng.shuffle(rows)
    mine = {}
    for r in rows:
        mine.setdefault((r["dataset"], r["query_id"]), []).append(r)
    means = [{"correct": mean(r["correct"] for r in rs), "power_w": mean(r["power_w"] for r in rs), "duration_s": 1,
              "energy": mean(r["power_w"] * r["duration_s"] for r in rs), "ppl": mean(r["ppl"] for r in rs)}
             for rs in mine.values()]

    def of(some):
        acc, w = mean(r["correct"] for r in some), mean(r["power_w"] for r in some)
        e, ppl = mean(r["energy"] for r in some), mean(r["ppl"] for r in some)
        return {"acc": acc, "power_w_mean": w, "energy_j_mean": e, "ipw": acc / w, "ipj": acc / e,
                "ppw": 1 / (ppl * w), "ppj": 1 / (ppl * e)}
    whole = [dict(type="result", model="m", hardware="h", **r) for r in rows]
    path = write(os.path.join(d, "r"), whole)
    s, = lines("score", "--repeats", "mean", "--draws", 4000, path)
    want = of(means)
    check(s["n"] == len(mine) and s["repeats"] == "mean" and all(near(s[k], want[k]) for k in want),
          "means of repeats first", (s, want))
    for k in ("acc", "ipj"):
        check(same_interval(s["ci95"][k], bootstrap(rng, means, lambda some: of(some)[k], 4000)),
              "interval of %s over queries, not over repeats" % k, s["ci95"])
    check("each the mean of its repeats" in run("score", "--repeats", "mean", path).stdout, "the table says it")
    other = [dict(r, model="n", correct=1 - r["correct"]) for r in whole]
    c, = lines("compare", "--repeats", "mean", write(os.path.join(d, "r"), whole + other))
    check(c["n"] == len(mine) and near(c["a"]["ipj"], want["ipj"]) and near(c["b"]["acc"], 1 - want["acc"]),
          "compared by means", c)
    del whole[3]["power_w"], whole[4]["correct"]
    p = run("score", "--repeats", "mean", write(os.path.join(d, "r"), whole))
    check(p.returncode == 1 and "1 of %d results have no power" % len(mine) in p.stderr and
          "1 of %d results have no verdict" % len(mine) in p.stderr, "what one repeat lacks its query lacks", p.stderr)
    s, = lines("score", "--repeats", "mean", "--allow-missing", path)
    check(s["n"] == len(mine) - 2, "and is left out whole", s)
    p = run("cover", "--repeats", "mean", path)
    check(p.returncode == 129 and "mean of repeats" in p.stderr, "a pool has no half verdicts", p.stderr)


def cancelled(d):
    """One population on both sides: neither the verdict nor the joules of what nobody waited for."""
    rows = [row(i, correct=i % 2, energy_j=10, duration_s=1, end="complete") for i in range(4)]
    rows += [row(9, correct=0, energy_j=1000, duration_s=9, end="cancel"), row(10, correct=0, energy_j=30, duration_s=1,
                                                                              end="timeout")]
    path = write(os.path.join(d, "r"), rows)
    s, = lines("score", path)
    check(s["n"] == 5 and s["cancelled"] == 1 and near(s["acc"], 0.4) and near(s["energy_j_mean"], 14),
          "cancelled: out of both; timed out: wrong, and in both", s)
    check("1 results are of queries that were cancelled" in run("score", path).stderr, "and said")
    p = run("score", write(os.path.join(d, "r"), rows[4:5]))
    check(p.returncode == 0 and "h " not in p.stdout.split("\n", 1)[1].split("means")[0], "nothing but cancelled", p)
    c, = lines("compare", write(os.path.join(d, "r"), rows + [dict(r, model="n", end="complete") for r in rows]))
    check(c["n"] == 5 and c["b"]["unpaired"] == 1, "so it has no pair", c)


def estimated(d):
    """What rests on a model says so wherever it stands."""
    rows = [row(i, m, correct=1, energy_j=2, duration_s=1, concurrency_mean=1,
                flags=(["cut_text", "estimated"] if m == "e" and i == 2 else ["estimated_tokens"]))
            for m in "em" for i in range(3)]
    path = write(os.path.join(d, "r"), rows)
    out = lines("score", path)
    check([s["estimated"] for s in out] == [True, False], "of one row at least", out)
    p = run("score", path)
    check("e@h (estimated)" in p.stdout and "m@h  " in p.stdout, "in the table", p.stdout)
    c, = lines("compare", path)
    check((c["a"]["estimated"], c["b"]["estimated"]) == (True, False), "in compare", c)
    check("e@h (estimated)" in run("fit", path).stdout and "e@h (estimated)" in run("compare", path).stdout, "in text")
    check("estimated" not in run("cover", path).stdout, "where there are no joules nothing is estimated")


def other_joules(d):
    """Joules of the other kind are not taken for these, and it is said that they are there."""
    rows = [row(i, correct=1, gross_j=3, duration_s=1) for i in range(2)]
    p = run("score", "--json", write(os.path.join(d, "r"), rows))
    check('"ipj":null' in p.stdout and "2 results have no share of the joules, but gross ones (--gross)" in p.stderr,
          "gross alone", p)
    rows = [row(i, correct=1, energy_j=3, duration_s=1) for i in range(2)]
    path = write(os.path.join(d, "r"), rows)
    p = run("score", "--json", "--gross", path)
    check('"ipj":null' in p.stdout and "2 results have no gross joules" in p.stderr, "shares alone", p)
    check(not run("cover", path).stderr.count("joules"), "who does not ask is not told")


def columns(d):
    """However long a name is, numbers stand under their heads."""
    rows = [row(1, m, correct=1, energy_j=2, duration_s=1) for m in ("m", "a-name-of-a-model-that-is-far-too-long")]
    out = run("score", write(os.path.join(d, "r"), rows)).stdout.split("\n")
    ends = [x.index(" %s " % n) + 2 for x, n in zip(out, ("N", "1", "1"))]
    check(len(set(ends)) == 1, "columns", out)


def pairs(d):
    rows = [row(1, m, correct=1, energy_j=2, duration_s=1) for m in "mn"]
    path = write(os.path.join(d, "r"), rows)
    for command in ("score", "compare"):
        p = run(command, "--pair", "m", "--pair", "M@h", path)
        check(p.returncode == 1 and "'M@h' is 'm' once more" in p.stderr and not p.stdout, "%s: a pair twice" % command,
              p)


with tempdir() as tmp:
    paper_rows(tmp)
    mean_power(tmp)
    macro_means(tmp)
    formulas(tmp)
    any_two(tmp)
    scopes(tmp)
    intervals(tmp)
    text(tmp)
    repeats(tmp)
    cancelled(tmp)
    estimated(tmp)
    other_joules(tmp)
    columns(tmp)
    pairs(tmp)
done()
