#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""score --leaderboard: the form that the harness's submissions have, and plain means in it."""
import json
import os
import random
import statistics

from results import SAN, check, done, near, row, run, tempdir, write

# submissions/README.md of HazyResearch/intelligence-per-watt at 36c1fbc (2025-11)
REQUIRED = ["organization", "contact_email", "model_name", "hardware_type", "task_type", "categoryMetrics"]
OPTIONAL = ["unverified_submission_id", "paper_link", "code_link", "notes"]
METRICS = ["accuracy", "avg_energy", "avg_compute", "avg_latency", "avg_ttft", "avg_power", "avg_memory_bandwidth",
           "avg_memory_bandwidth_peak", "avg_input_tokens", "avg_output_tokens"]


def means(rows):
    def mean(f):
        v = [f(r) for r in rows]
        return None if None in v else statistics.fmean(v)
    return {"accuracy": 100 * mean(lambda r: r["correct"]), "avg_energy": mean(lambda r: r["gross_j"]),
            "avg_compute": None, "avg_latency": 1e3 * mean(lambda r: r["duration_s"]),
            "avg_ttft": mean(lambda r: r["ttft_s"] and 1e3 * r["ttft_s"]),
            "avg_power": mean(lambda r: r["gross_j"] / r["duration_s"]), "avg_memory_bandwidth": None,
            "avg_memory_bandwidth_peak": None, "avg_input_tokens": mean(lambda r: r["prompt_tokens"]),
            "avg_output_tokens": mean(lambda r: r["completion_tokens"])}


def board(*args):
    p = run("score", "--leaderboard", *args, trace=SAN)
    return p, json.loads(p.stdout) if p.stdout else None


with tempdir() as d:
    rng = random.Random(2)
    rows = [row(i, category=("Legal services", "Sales and related", "None", None)[i % 4], correct=i * 7 % 3 % 2,
                gross_j=rng.uniform(50, 500), energy_j=1, duration_s=rng.uniform(1, 9), prompt_tokens=i,
                completion_tokens=2 * i, ttft_s=None if i == 5 else rng.random(), concurrency_mean=1,
                scope="accelerator") for i in range(50)]
    path = write(os.path.join(d, "r"), rows)
    p, got = board("--gross", path)
    check(p.returncode == 0 and not p.stderr and set(REQUIRED) <= set(got) <= set(REQUIRED + OPTIONAL),
          "the fields that there are", (p.stderr, got))
    check((got["model_name"], got["hardware_type"], got["organization"], got["contact_email"], got["task_type"]) ==
          ("m", "h", None, None, None) and len(got["notes"]) <= 500 and "accelerator" in got["notes"],
          "what we know, and null", got)
    groups = {}
    for r in rows:
        groups.setdefault(r["category"] or "None", []).append(r)
    m = got["categoryMetrics"]
    check(set(m) == set(groups), "a category each", set(m))
    for name, rs in groups.items():
        want = means(rs)
        check(list(m[name]) == METRICS and all(near(m[name][k], want[k]) for k in METRICS), "means of %s" % name,
              (m[name], want))
    check(m["Sales and related"]["avg_ttft"] is None and m["Legal services"]["avg_ttft"], "what one lacks is null")
    p, got = board("--fill", "organization=L=b", "--fill", "task_type=both", "--fill", "notes=mine", "--fill",
                   "model_name=M", "--fill", "model_name=N", path)
    check((got["organization"], got["task_type"], got["notes"], got["model_name"]) == ("L=b", "both", "mine", "N"),
          "--fill", got)
    check("not figures as the paper's" in p.stderr, "shares are said not to be the paper's", p.stderr)
    for text in ("organization", "x=y", "=y", "task_type=maths", "categoryMetrics=1", ""):
        p, got = board("--fill", text, path)
        check(p.returncode == 129 and "bad value for --fill" in p.stderr, "--fill '%s'" % text, p)
    p, got = board("--json", path)
    check(p.returncode == 129, "one form at a time", p)
    p, got = board(write(os.path.join(d, "two"), rows + [row(1, "n", correct=1)]))
    check(p.returncode == 1 and got is None and "--pair" in p.stderr, "one configuration", p)
    p, got = board(write(os.path.join(d, "none"), [row(1, energy_j=1)]))
    check(p.returncode == 1 and got is None and "no verdicts" in p.stderr, "no verdicts, no file", p)
    p, got = board(write(os.path.join(d, "est"), [row(1, correct=1, energy_j=1, flags=["estimated"])]))
    check("estimated" in got["notes"] and got["categoryMetrics"]["None"]["avg_power"] is None, "estimated, in notes",
          got)
done()
