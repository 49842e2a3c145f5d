#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Each fuzzer on its corpus, and on from there for a short while (--all: longer)."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import BUILD, ROOT, check, done, tempdir  # noqa: E402

FOUND = os.path.join(BUILD, "tests/fuzz/found")  # an input that a fuzzer stumbled over is left there
SECONDS = 300 if "--all" in sys.argv else 15
TARGETS = sorted(f[5:-2] for f in os.listdir(os.path.dirname(os.path.abspath(__file__)))
                 if f.startswith("fuzz_") and f.endswith(".c"))


def fuzz(target, *args):
    p = subprocess.run([os.path.join(BUILD, "tests/fuzz/fuzz_" + target), "-max_len=8192", "-timeout=20",
                        "-artifact_prefix=%s/" % FOUND, *args], capture_output=True, text=True, errors="replace")
    return p.returncode == 0, p.stderr[-4000:]


os.makedirs(FOUND, exist_ok=True)
check(len(TARGETS) >= 4, "there are fuzzers", TARGETS)
for name in TARGETS:
    corpus = os.path.join(ROOT, "tests/fuzz/corpus", name)
    known = os.listdir(corpus)
    ok, err = fuzz(name, "-runs=0", corpus)
    check(known and ok, "%s: %d known inputs" % (name, len(known)), err)
    with tempdir() as d:
        ok, err = fuzz(name, "-max_total_time=%d" % SECONDS, d, corpus)
        check(ok, "%s: %d s of new ones" % (name, SECONDS), err)
done()
