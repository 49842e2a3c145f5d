# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What score, compare, cover and route take for a million queries of twenty models."""
import os
import subprocess

from harness import BUILD
from measure import Row

DRAWS = 1000


def results(o):
    queries, models = (100000, 20) if o.quick else (1000000, 20)
    out = subprocess.run([os.path.join(BUILD, "tests/bench/results"), str(queries), str(models), str(DRAWS)],
                         stdout=subprocess.PIPE, check=True, text=True).stdout
    got = {name: [float(value)] for name, value in map(str.split, out.splitlines())}
    of = "%s queries x %d models" % (format(queries, ","), models)
    return [
        Row("reading results", ">= 200", "MB/s", got["read_mb_s"],
            "CPU time here and below; rows of %.0f bytes" % got["row_b"][0]),
        Row("memory of a row: score", "<= 16", "bytes", got["score_b"], of),
        Row("memory of a row: cover, route", "<= 16", "bytes", got["route_b"], of),
        Row("score, after reading", "<= 2", "s", got["score_s"], of + ", no draws"),
        Row("cover, after reading", "<= 2", "s", got["cover_s"], of),
        Row("route, after reading", "<= 2", "s", got["route_s"], of + ", no draws"),
        Row("compare a pair by %d draws" % DRAWS, "<= 10", "s", got["pair_s"], "%s queries" % format(queries, ",")),
    ]
