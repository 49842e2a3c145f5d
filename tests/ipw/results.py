# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the tests of score, compare, cover, route and fit share: rows, running, and arithmetic done slowly."""
import json
import math
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import BUILD, TRACE, check, done, skip, tempdir  # noqa: E402,F401

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "paper.json")) as _f:
    PAPER = json.load(_f)

SAN = os.path.join(BUILD, "san/ipw-trace")
SAN = SAN if os.path.exists(SAN) else TRACE  # what bad input goes to


def row(query, model="m", hardware="h", **fields):
    return dict({"type": "result", "query_id": query, "model": model, "hardware": hardware}, **fields)


def write(path, rows):
    with open(path, "w") as f:
        for r in rows:
            f.write((r if isinstance(r, str) else json.dumps(r)) + "\n")
    return path


def run(command, *args, trace=TRACE, **kw):
    return subprocess.run([trace, command, *map(str, args)], capture_output=True, text=True, **kw)


def lines(command, *args):
    p = run(command, "--json", *args)
    if p.returncode:
        raise RuntimeError("%s: %d: %s" % (command, p.returncode, p.stderr))
    return [json.loads(x) for x in p.stdout.splitlines()]


def near(a, b, tolerance=1e-6):
    """Values are kept to seven digits."""
    if a is None or b is None:
        return a is None and (b is None or not math.isfinite(b))
    return abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-300)


def as_printed(value, printed):
    """value is within the last digit of what is printed."""
    digits = len(printed.split(".")[1]) if "." in printed else 0
    return abs(value - float(printed)) <= 1.0000001 * 10 ** -digits


def quantile(v, q):
    v = sorted(v)
    at = q * (len(v) - 1)
    i = int(at)
    return v[i] + (at - i) * (v[i + 1] - v[i]) if i + 1 < len(v) else v[-1]


def bootstrap(rng, rows, statistic, draws):
    """The interval, as the textbook has it: draw, compute, sort."""
    got = [statistic(rng.choices(rows, k=len(rows))) for _ in range(draws)]
    return quantile(got, 0.025), quantile(got, 0.975)


def same_interval(a, b, tolerance=0.06):
    """Two bootstraps of 4,000 draws: ends differ by some 0.04 of a standard deviation, the width is four of them."""
    width = b[1] - b[0]
    return a is not None and abs(a[0] - b[0]) <= tolerance * width and abs(a[1] - b[1]) <= tolerance * width


def share(n, percent):
    """n verdicts of which a share is right, as near as n allows."""
    right = round(n * percent / 100)
    return [1] * right + [0] * (n - right)
