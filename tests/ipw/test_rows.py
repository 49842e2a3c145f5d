#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The row reader: what JSON may look like, and what is said of a file that is not as it should be."""
import json
import os
import random
import subprocess

from results import SAN, TRACE, check, done, lines, near, row, run, tempdir, write

GOOD = row("good", correct=1, energy_j=2, duration_s=1)


def bad(d, rows, said, *args, status=1, command="score"):
    p = run(command, *args, write(os.path.join(d, "r"), rows), trace=SAN)
    check(p.returncode == status and all(x in p.stderr for x in said), "%s: %s" % (command, "; ".join(said)[:80]), p)
    return p


def malformed(d):
    """Each is named by its line; the good ones before and after stand."""
    g = json.dumps(GOOD)
    for text, why in (("{", "no key"), ("[]", "no JSON object"), ("x", "no JSON object"), ("{}", 'no "type"'),
                      (g[:-1], "no comma or end"), (g + "x", "something after the object"),
                      (g + "\0", "something after"),
                      (g.replace('"good"', '"goo'), "no comma or end"), (g.replace(": 2", ": 2.", 1), "no value"),
                      (g.replace(": 2", ": 02", 1), "no value"), (g.replace(": 2", ": 2e", 1), "no value"),
                      (g.replace(": 2", ": -", 1), "no value"), (g.replace(": 2", ': "2"', 1), "no value"),
                      (g.replace(": 2", ": ", 1), "no value"), (g.replace('"correct": 1', '"correct": 0.5'), "correct"),
                      (g.replace('"correct": 1', '"correct": "yes"'), "correct"),
                      (g.replace('": 2', '" 2', 1), "no colon"),
                      (g.replace("{", '{"correct":0,', 1), "given twice"), (g.replace('"good"', "null"), "query_id"),
                      (g.replace('"m"', '""'), 'no "model"'), (g.replace('"h"', "null"), 'no "hardware"'),
                      (g.replace('"h"', "true"), "no value"), (g.replace('"result"', "null"), 'no "type"'),
                      (g.replace("}", ',"x":%s1%s}' % ("[" * 70, "]" * 70)), "nested too deep"),
                      (g.replace("good", "\\x"), "a string without an end"), (g.replace("good", "\t"), "a string"),
                      ('{"type":"result","x":"%s"}' % ("y" * (1 << 20)), "longer than 1 MiB")):
        p = bad(d, [GOOD, text, dict(GOOD, query_id="b")], [":2: ", why, "1 malformed"], "--json", status=0)
        check(p.stdout and json.loads(p.stdout)["n"] == 2, "two rows stand beside %s" % text[:60], p.stdout)
    path = os.path.join(d, "cut")
    with open(path, "w") as f:
        f.write(g + "\n\n \r\n" + g[:50])
    p = run("score", "--json", path, trace=SAN)
    check(":4: " in p.stderr and json.loads(p.stdout)["n"] == 1, "a file that is cut off, with empty lines", p)
    bad(d, ["x"] * 100, ["100 malformed", "there are no results"])
    check(bad(d, ["x"] * 100, []).stderr.count(":") < 30, "of many the first are named")


def shapes(d):
    """The same values however they are written."""
    want = dict(row('q"ä\U0001f600', "m/é", "h", dataset="d\n1"), correct=1, energy_j=12.5, duration_s=0.25, ppl=3e-5)
    plain = json.dumps(want)
    shuffled = json.dumps(dict(sorted(want.items(), key=lambda x: x[0][::-1])))
    forms = [plain, json.dumps(want, ensure_ascii=False, separators=(",", ":")), shuffled,
             plain.replace(":", " :\t").replace(",", " ,  "), "  " + plain + " \r", plain.replace("12.5", "1.25e+1"),
             plain.replace("12.5", "0.00125E4"), plain.replace("12.5", "12.50000000000000000000000000"),
             plain.replace("12.5", "12500000000000000000000000e-24"), plain.replace('"correct": 1', '"correct": true'),
             plain.replace("}", ', "flags": ["a", {"b": [null, true, -1.5e3, "}"]}], "z": {}, "y": [], "x": ""}'),
             plain.replace("/", "\\/")]
    for form in forms:
        s, = lines("score", "--by", "dataset", "--draws", 0, write(os.path.join(d, "r"), [form]))[:1]
        check((s["model"], s["acc"]) == ("m/é", 1) and near(s["ipj"], 0.08) and near(s["ipw"], 0.02) and
              near(s["ppl_mean"], 3e-5), "read: %s" % form[:70], s)
    p = run("score", write(os.path.join(d, "r"), forms))
    check(p.returncode == 1 and "%d results" % (len(forms) - 1) in p.stderr, "and all are for the same query", p.stderr)
    two = [row("1", dataset="a", correct=1), row("1", dataset="b", correct=0), row(2, dataset="a", correct=1)]
    s, = lines("score", write(os.path.join(d, "r"), two))
    check(s["n"] == 3, "an id is one of its data set", s)


def numbers(d):
    """Against Python's reading, to the seven digits that are kept."""
    rng, worst = random.Random(3), 0
    texts = ["%.*g" % (rng.randrange(1, 25), 10 ** rng.uniform(-30, 30)) for _ in range(2000)]
    texts += ["%.*f" % (rng.randrange(0, 30), rng.random() * 10 ** rng.randrange(0, 20)) for _ in range(2000)]
    texts = [t for t in texts if float(t) > 0]
    rows = ['{"type":"result","query_id":1,"model":"m%d","hardware":"h","energy_j":%s}' % x for x in enumerate(texts)]
    for s, t in zip(lines("score", "--draws", 0, write(os.path.join(d, "r"), rows)), texts):
        worst = max(worst, abs(s["energy_j_mean"] - float(t)) / float(t))
    check(0 < worst < 6e-7, "%d numbers" % len(texts), worst)


def odd(d):
    """What cannot be is unknown, and unknown is never 0."""
    for field, values in (("energy_j", ("0", "-1", "NaN", "1e999", "-Infinity")), ("power_w", ("0", "-3")),
                          ("duration_s", ("0", "-0.0"))):
        for v in values:
            text = json.dumps(dict(row("x", correct=1, power_w=1, duration_s=1), **{field: "?"})).replace('"?"', v)
            p = bad(d, [GOOD, text], [":2: %s" % field, "1 values", "taken as unknown"],
                    status=0 if field == "energy_j" else 1)
            check("malformed" not in p.stderr, "%s %s is no malformed row" % (field, v), p.stderr)
    rows = [GOOD, row("b", correct=1), row("c", energy_j=2, duration_s=1)]
    bad(d, rows, ["1 of 3 results have no verdict", "1 of 3 results have no energy", "--allow-missing"])
    p = bad(d, rows, ["1 of 3 results have no energy: they are left out"], "--allow-missing", "--json", status=0)
    s = json.loads(p.stdout)
    check((s["rows"], s["n"], s["acc"], s["ipj"]) == (3, 1, 1, 0.5), "one population for all means", s)
    s, = lines("score", write(os.path.join(d, "r"), [row(1, correct=1), row(2, correct=0)]))
    check(s["acc"] == 0.5 and s["ipw"] is None and s["ipj"] is None, "no energy at all: accuracy, and no IPW", s)


def repeats(d):
    rows = [dict(GOOD, query_id=i, correct=i % 2) for i in range(5)] + [dict(GOOD, query_id=1, correct=0, energy_j=4)]
    bad(d, rows, ["1 results are for a query", "'1' of m@h", "--repeats"])
    for which, acc, joules in (("first", 0.4, 2), ("last", 0.2, 2.4)):
        s, = lines("score", "--repeats", which, write(os.path.join(d, "r"), rows))
        check((s["n"], s["acc"]) == (5, acc) and near(s["energy_j_mean"], joules), "--repeats %s" % which, s)
    rng = random.Random(5)
    rows = [dict(GOOD, query_id=q, model=m, correct=(q * 7 + len(m)) % 2, energy_j=q + 1) for q in range(300)
            for m in ("a", "bb")]
    want = lines("score", "--draws", 50, write(os.path.join(d, "r"), rows))
    rng.shuffle(rows)
    got = sorted(lines("score", "--draws", 0, write(os.path.join(d, "r"), rows)), key=lambda s: s["model"])
    check([s["ipj"] for s in got] == [s["ipj"] for s in want], "the order of rows does not matter", (got, want))


def files(d):
    a = write(os.path.join(d, "a"), [GOOD])
    b = write(os.path.join(d, "b"), ["x", dict(GOOD, query_id=2, correct=0)])
    p = run("score", "--json", a, b, trace=SAN)
    check(json.loads(p.stdout)["acc"] == 0.5 and "%s:1: " % b in p.stderr, "several files; lines begin anew", p)
    with open(a) as f:
        p = subprocess.run([TRACE, "score", "--json", "-"], stdin=f, capture_output=True, text=True)
    check(p.returncode == 0 and json.loads(p.stdout)["acc"] == 1, "standard input", p)
    for args, said in ((["/no/such"], "cannot read '/no/such': No such file"), ([d], "Is a directory"),
                       (["/dev/null"], "there are no results"), (["--pair", "zz", a], "no results of 'zz'"),
                       (["--models", "/no/such", a], "cannot read '/no/such'"),
                       (["--models", b, a], "line 1 is not")):
        p = run("score", *args, trace=SAN)
        check(p.returncode == 1 and said in p.stderr and not p.stdout, "score %s" % args[0][:20], p)
    for args, said in (([], "no file of results"), (["--by", "x", a], "bad value for --by"),
                       (["--draws", "-1", a], "bad value"), (["--draws", "x", a], "bad value"),
                       (["--by", "level", a], "levels"), (["--nope", a], "unknown option"),
                       (["--repeats", "x", a], "bad value"), (["--seed", "1.5", a], "bad value")):
        p = run("score", *args, trace=SAN)
        check(p.returncode == 129 and said in p.stderr and not p.stdout, "usage: score %s" % " ".join(args)[:40], p)
    with open("/dev/full", "w") as full:
        p = subprocess.run([TRACE, "score", a], stdout=full, stderr=subprocess.PIPE, text=True)
    check(p.returncode == 1 and "cannot write" in p.stderr, "a full disk under stdout", p)


with tempdir() as tmp:
    malformed(tmp)
    shapes(tmp)
    numbers(tmp)
    odd(tmp)
    repeats(tmp)
    files(tmp)
done()
