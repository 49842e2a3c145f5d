# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What it costs to look at CPUs and meters where a query's phases begin and end."""
import os
import subprocess

from harness import BUILD
from measure import Row


def edges(o):
    out = subprocess.run([os.path.join(BUILD, "tests/bench/edge"), "20" if o.quick else "100"],
                         stdout=subprocess.PIPE, check=True, text=True).stdout
    added = [(float(a) - float(b)) / 1e3 for a, b in (line.split() for line in out.splitlines())]
    return [Row("added to a socket call by an edge", "", "us", added,
                "%d CPUs; two software clocks stand for RAPL; some six edges a query" % os.cpu_count())]
