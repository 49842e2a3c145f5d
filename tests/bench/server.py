# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Tokens a second of the real llama.cpp with and without the tracer."""
import os
import statistics

from harness import llama, load
from measure import CPU, PEER, Row, Unmeasured, tracing, wait_quiet

AT_ONCE, TOKENS = 4, 48


def rate(port, seed):
    """Tokens a second of one load: as many queries at once as there are slots, all alike."""
    rows = load(port, "-n", AT_ONCE, "-c", AT_ONCE, "--tokens", "%d-%d" % (TOKENS, TOKENS), "--words", "8-8",
                "--ignore-eos", "--no-cache", "--seed", seed)
    tokens = sum(r["usage"]["completion_tokens"] for r in rows)
    if tokens != AT_ONCE * TOKENS:
        raise Unmeasured("the server made %d tokens, not %d" % (tokens, AT_ONCE * TOKENS))
    return tokens / (max(r["end_ns"] for r in rows) - min(r["send_ns"] for r in rows)) * 1e9


def pair(p, port, seed):
    """A, B, A with the same seeds, so the same prompts."""
    a = rate(port, seed)
    with tracing("-p", p.pid, "--json") as t:
        b = rate(port, seed)
        t.end()
    c = rate(port, seed)
    m = t.summary
    if not m or m["lost_events"] or m["completion_tokens"] != AT_ONCE * TOKENS:
        raise Unmeasured("the tracer saw %s tokens, not %d" % (m and m["completion_tokens"], AT_ONCE * TOKENS))
    return a, b, c


def throughput(o):
    """Row 4. The server's one computing thread has a CPU of its own."""
    n = 4 if o.quick else 15
    with llama("--threads", "1", "--slots", str(AT_ONCE)) as (p, port):
        for tid in os.listdir("/proc/%d/task" % p.pid):
            os.sched_setaffinity(int(tid), {CPU})
        os.sched_setaffinity(0, {PEER})
        try:
            wait_quiet()
            rate(port, 0)
            got = [pair(p, port, seed + 1) for seed in range(n)]
        finally:
            os.sched_setaffinity(0, set(range(os.cpu_count())))
    loss = [100 * (1 - 2 * b / (a + c)) for a, b, c in got]
    noise = [100 * (1 - a / c) for a, _, c in got]
    return [
        Row("llama.cpp's tokens/s lost to the tracer", "within noise", "%", loss,
            "%.1f tokens/s without, %d streams; %d pairs" % (statistics.median(a for a, _, _ in got), AT_ONCE, n)),
        Row("the noise: without against without", "", "%", noise, "the same runs"),
    ]
