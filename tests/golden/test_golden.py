#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Recordings in this folder, and what report says of them, to the letter."""
import difflib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import TRACE, check, done  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))

for name in sorted(os.listdir(HERE)):
    for out, args in (("out.txt", []), ("out-v.txt", ["-v"]), ("out.jsonl", ["--json"]),
                      ("out-task.txt", ["--by", "task"])):
        want = os.path.join(HERE, name, out)
        if not os.path.exists(want):
            continue
        p = subprocess.run([TRACE, "report", "-i", os.path.join(HERE, name, "in.data"), *args], capture_output=True,
                           text=True)
        with open(want) as f:
            expected = f.read()
        diff = "".join(difflib.unified_diff(expected.splitlines(1), p.stdout.splitlines(1), "expected", "found"))
        check(p.returncode == 0 and not diff, "%s/%s" % (name, out), diff or p.stderr)
done()
