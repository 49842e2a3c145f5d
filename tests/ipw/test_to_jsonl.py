#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""scripts/to-jsonl: a table written as Parquet and as both forms of Arrow reads back as it was."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import ROOT, TRACE, check, done, tempdir  # noqa: E402

SCRIPT = os.path.join(ROOT, "scripts/to-jsonl")
WRITE = """
import datetime, math, sys
import pyarrow as pa, pyarrow.parquet as pq
t = pa.table({"question_id": [70, 71], "question": ["Q\\u00e9?", "a\\nb"], "options": [["a", "b"], ["c", "d"]],
              "answer": ["B", "A"], "answer_index": [1, 0], "category": ["x", None],
              "deep": [[{"k": 1, "v": b"raw"}], []], "t": [datetime.datetime(2024, 1, 2, 3), None],
              "f": [math.nan, 1.5]})
pq.write_table(t, sys.argv[1] + "/parquet")
with pa.OSFile(sys.argv[1] + "/file", "wb") as f, pa.ipc.new_file(f, t.schema) as w:
    w.write_table(t)
with pa.OSFile(sys.argv[1] + "/stream", "wb") as f, pa.ipc.new_stream(f, t.schema) as w:
    w.write_table(t)
"""
WANT = [
    {"question_id": 70, "question": "Q\u00e9?", "options": ["a", "b"], "answer": "B", "answer_index": 1,
     "category": "x", "deep": [{"k": 1, "v": "raw"}], "t": "2024-01-02T03:00:00", "f": None},
    {"question_id": 71, "question": "a\nb", "options": ["c", "d"], "answer": "A", "answer_index": 0, "category": None,
     "deep": [], "t": None, "f": 1.5},
]


def run(*args):
    return subprocess.run([SCRIPT, *args], capture_output=True, text=True)


with tempdir() as d:
    p = run("/dev/null")  # makes the environment, if it is not there
    check(p.returncode == 1 and "cannot read '/dev/null'" in p.stderr, "what is no table", p.stderr)
    python = subprocess.run([os.path.join(ROOT, "scripts/setup-arrow")], capture_output=True, text=True).stdout.strip()
    subprocess.run([python, "-c", WRITE, d], check=True)
    for form in ("parquet", "file", "stream"):
        p = run(os.path.join(d, form))
        check(p.returncode == 0 and [json.loads(x) for x in p.stdout.splitlines()] == WANT, form, p)
    with open(os.path.join(d, "rows"), "w") as f:
        f.write(p.stdout)
    p = subprocess.run([TRACE, "bench", "-d", "mmlu-pro:" + os.path.join(d, "rows"), "--url", "http://127.0.0.1:1",
                        "-o", os.path.join(d, "out"), "--model", "m", "--no-trace"], capture_output=True, text=True)
    check("left out" not in p.stderr and "2 queries are left" in p.stderr, "and bench reads it", p.stderr)
    check(run().returncode == 129 and run("/no/such").returncode == 1, "usage, and a file that is not there")
done()
