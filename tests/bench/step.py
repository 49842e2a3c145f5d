# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What it costs to see an engine's steps: the engine, and others that have the same library loaded."""
import os
import statistics

from harness import llama, load, tempdir
from measure import CPU, Row, bpf, tracing, wait_quiet
from steps import STUB, driver, script, steps_of

CALLS = 1000   # that do nothing, so what is added to them is all ours; fewer than the budget of 5 s allows
RUNS = 4       # of them, of which the best counts


def a_call(d):
    """Nanoseconds of a call of llama_decode, which comes back at once."""
    return min(d.time("call(%r, 'stub_many', ctypes.c_int(%d), batch(1))" % (STUB, CALLS)) for _ in range(RUNS)) / CALLS


def calls(o):
    added, beside, run = [], [], []
    with driver() as engine, driver() as stranger:
        for d in (engine, stranger):
            os.sched_setaffinity(d.pid, {CPU})
            d.load(STUB)
        wait_quiet()
        for _ in range(o.pairs):
            without = [a_call(d) for d in (engine, stranger)]
            with tracing("script", "--only", "-p", engine.pid):
                stats = bpf.stats()
                before = bpf.programs()
                beside.append((a_call(stranger) - without[1]) / 1e3)
                a_call(engine)
                after = bpf.programs()
                os.close(stats)
                added.append((a_call(engine) - without[0]) / 1e3)
            run.append(sum(after[i][2] - before[i][2] for i in after if after[i][1].startswith("engine_")) /
                       (RUNS * CALLS) / 1e3)
    return [
        Row("added to an engine's step", "", "us", added, "two hits and an event; a library that computes nothing"),
        Row("of that, in our programs", "", "us", run, "as the kernel counts; its own counting is in it"),
        Row("added to the step of a process that is not traced", "0, within noise", "us", beside, "the same library"),
    ]


def tokens(o):
    """On the real server, four queries at a time."""
    part, hits = [], []
    with llama() as (p, port), tempdir() as d:
        for seed in range(2 if o.quick else 5):
            data = os.path.join(d, "ipw.data")
            with tracing("-p", p.pid, "--json", "-o", data):
                rows = load(port, "-n", 4, "-c", 4, "--tokens", "24-24", "--words", "8-8", "--ignore-eos", "--seed",
                            seed)
            steps = steps_of(script(data))
            hits.append(2 * len(steps) / sum(r["usage"]["completion_tokens"] for r in rows))
            part.append(statistics.median(s.end - s.begin for s in steps) * 1e3)
    return [Row("hits for each token that llama.cpp makes", "", "", hits, "four queries at a time; a step of %.1f ms" %
                statistics.median(part))]


def steps(o):
    return calls(o) + tokens(o)
