# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the rules of other tools give on the same recording: {rule: {query id: (joules, joules of prefill)}}, of the first
meter. The rules, and who has them, are our own words and code.

  harness   first to last sample of 50 ms inside the query's window, the whole device, idle power in
  whole     the whole device from R to E, edges interpolated, idle power in
  ratio     the run's dynamic joules by the time of each query
  equal     dynamic power divided evenly among the queries that run
  tokens    the run's dynamic joules by output tokens
"""
import bisect
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "split"))
import integrate  # noqa: E402

MS = 1_000_000


class Sight:
    """A recording as such a tool would have seen it."""

    def __init__(self, data, idle_w):
        trace = integrate.Trace(data)
        self.queries = list(trace.queries.values())
        for q in self.queries:
            integrate.define(q, trace, integrate.READINGS, None)
            q.out = q.completion if q.completion >= 0 else sum(n for _, n in q.events)
        self.t, self.uj = trace.meters[0].t, trace.meters[0].uj
        self.idle_w = idle_w
        self.dynamic = self.above_idle(self.t[0], self.t[-1])

    def at(self, t):
        """Joules of the counter at t, interpolated."""
        i = min(max(bisect.bisect_right(self.t, t), 1), len(self.t) - 1)
        a, b = self.t[i - 1], self.t[i]
        return (self.uj[i - 1] + (self.uj[i] - self.uj[i - 1]) * (min(max(t, a), b) - a) / (b - a)) / 1e6

    def shown(self, t):
        """Joules of the counter as it stands at t."""
        return self.uj[max(0, bisect.bisect_right(self.t, t) - 1)] / 1e6

    def above_idle(self, a, b):
        return self.at(b) - self.at(a) - self.idle_w * (b - a) / 1e9


def harness(s):
    def window(a, b):
        first, last = math.ceil((a - s.t[0]) / (50 * MS)), (b - s.t[0]) // (50 * MS)
        return s.shown(s.t[0] + last * 50 * MS) - s.shown(s.t[0] + first * 50 * MS) if last > first else 0.0

    return {q.id: (window(q.R, q.E), window(q.R, q.F or q.E)) for q in s.queries}


def whole(s):
    return {q.id: (s.at(q.E) - s.at(q.R), s.at(q.F or q.E) - s.at(q.R)) for q in s.queries}


def ratio(s):
    rate = s.dynamic / max(1, sum(q.E - q.R for q in s.queries))
    return {q.id: (rate * (q.E - q.R), rate * ((q.F or q.E) - q.R)) for q in s.queries}


def equal(s):
    """Joules of one share, summed from the first edge on: a query's part is the difference between its edges."""
    edges = sorted({t for q in s.queries for t in (q.R, q.F or q.E, q.E)})
    change = dict.fromkeys(edges, 0)
    for q in s.queries:
        change[q.R] += 1
        change[q.E] -= 1
    share, total, n = {}, 0.0, 0
    for t, after in zip(edges, edges[1:] + edges[-1:]):
        share[t] = total
        n += change[t]
        total += s.above_idle(t, after) / n if n else 0.0
    return {q.id: (share[q.E] - share[q.R], share[q.F or q.E] - share[q.R]) for q in s.queries}


def tokens(s):
    rate = s.dynamic / max(1, sum(q.out for q in s.queries))
    return {q.id: (rate * q.out, 0.0) for q in s.queries}


RULES = (harness, whole, ratio, equal, tokens)


def peers(data, idle_w):
    s = Sight(data, idle_w)
    return {rule.__name__: rule(s) for rule in RULES}
