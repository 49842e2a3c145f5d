#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Writes the recordings of this folder, and README, anew."""
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from fleet import *  # noqa: E402

WHAT = """\
Recordings, as small as they get, that show where the program and the manual page (as integrate.py reads it) once
disagreed, or where the page did not say.

The same in all unless its line says otherwise: a look each 100 ms for 2 s; one package, a reading 10 us after each
look, 10 W; half of its CPU time is the server's. Query 1: R at 400 ms, F at 600, E at 1000, 100 prompt tokens, 8
tokens, one each 50 ms. Query 2 beside it: 250 to 1750 ms, a token each 50 ms."""

T0 = 1_000_000 * MS
LOOKS = list(range(0, 2001, 100))


def at(ms):
    return T0 + int(ms * MS)


def query(qid=1, slot=1, r=400, end=1000, first=600, tokens=8, prompt=100, cached=-1, completion=-1, streamed=1,
          midway=False, late=0, step=50):
    q = Events(qid, slot)
    q.open(at(first if midway else r), 0 if midway else at(r))
    if not midway:
        q.wire(W_REQUEST, at(r), 400)
        q.late = late
    q.response(at(max(r, first - 50)), 200, streamed)
    for i in range(tokens):
        q.wire(W_TOKENS, at(first + step * i), 1)
    q.usage(at(end), prompt, cached, completion)
    q.wire(W_FINISH, at(end))
    q.over(at(end), DONE, at(end))
    return q


def beside():
    return query(2, 1, 250, 1750, 275, 30, 10)


def hop_of(front, r, end, first, tokens, told, step):
    """A query that is said to be a hop of another at `told`."""
    q = query(2, 1, r, end, first, tokens, step=step)
    q.hop(at(told), front)
    q.list.insert(next(i for i, e in enumerate(q.list) if e[0] > at(told)), q.list.pop())
    return q


def readings(channel, watts, times, uj0=0.0):
    """watts: a number, or a function of the time in ms for the mean power since the time before."""
    out, uj, before = [], uj0, times[0]
    for t in times:
        uj += (watts(t) if callable(watts) else watts) * (t - before) * 1e3
        before = t
        out.append((channel, t + 0.01, uj, 0))
    return out


def recording(queries, samples, meters=((PACKAGE, 0, -1, NONE, 0.0, "package-0"),), looks=LOOKS, nslot=1, users=(),
              cpu=lambda t: (t, t / 2)):
    r = Recording()
    r.run(nslot, T0 - MS, 100, len(meters))
    for s in range(1, nslot + 1):
        r.target(s, 100 + s)
    for i, m in enumerate(meters):
        r.meter(i, *m)
    todo = []
    for q in queries:
        place = 0
        for n, (ts, write) in enumerate(q.list):
            place = max(place, ts + (int(getattr(q, "late", 0) * MS) if n else 0))
            todo.append((place, write))
    todo.sort(key=lambda e: e[0])
    for t in looks:
        busy, mine = cpu(t)
        r.activity(at(t), [(0, int(busy * MS), [int(mine * MS / nslot)] * nslot)])
        for c, when, uj, flags in samples:
            if t <= when < t + 50:
                r.sample(c, at(when), uj, flags)
        for c, known, when, shares in users:
            if when == t:
                r.gpu(c, known, at(when), shares)
        while todo and todo[0][0] <= at(t):
            todo.pop(0)[1](r)
    r.end(at(looks[-1]))
    return r.bytes()


P4 = (PACKAGE, 0, -1, USER, 4.0, "package-0")
PA = (PACKAGE, 0, -1, AUTO, math.nan, "package-0")
W10 = readings(0, 10, LOOKS)


def gap_at(samples, ms):
    """The reading at ms comes back from a gap, in which the counter stood still, as after a reset."""
    i = next(i for i, s in enumerate(samples) if s[1] >= ms)
    lost = samples[i][2] - samples[i - 1][2]
    return samples[:i] + [(c, t, uj - lost, GAP if k == 0 else 0) for k, (c, t, uj, _) in enumerate(samples[i:])]


CASES = {
    "plain": (
        "nothing special; agreed from the beginning",
        lambda: recording([query(), beside()], W10)),
    "floor-after-last-reading": (
        "floor 4 W given, last reading at 700 ms: the floor is taken off time that was never measured",
        lambda: recording([query()], readings(0, 10, LOOKS[:8]), [P4])),
    "floor-before-first-reading": (
        "floor 4 W given, first reading at 700 ms: the same at the other end",
        lambda: recording([query()], readings(0, 10, LOOKS[7:]), [P4])),
    "floor-slow-meter": (
        "floor 4 W given, readings at 0 and 1 s only: a second of floor without a joule measured",
        lambda: recording([query()], readings(0, 10, [0, 1000]), [P4])),
    "floor-never-read": (
        "floor 4 W given, a meter that was never read: a query of -1.2 J",
        lambda: recording([query()], [], [P4])),
    "auto-after-last-reading": (
        "20 W until 1 s, then 10 W, last reading at 2.4 s, last look at 2.5 s: 10 W is the lowest second; 9 W if 100 "
        "ms that were not measured count as 0 W",
        lambda: recording([query()], readings(0, lambda t: 20 if t <= 1000 else 10, list(range(0, 2401, 100))), [PA],
                          list(range(0, 2501, 100)))),
    "auto-second-between-looks": (
        "the machine is quiet from 460 to 1480 ms, longer than a second, but not for ten whole ticks",
        lambda: recording([query(1, 1, 100, 460, 200, 5), query(2, 1, 1480, 1900, 1600, 5)], W10, [PA])),
    "auto-gap-of-another": (
        "quiet from 1 s on; core-0, which is not summed, has a gap at 1.5 s: is the floor of package-0 known?",
        lambda: recording([query()], W10 + gap_at(readings(1, 5, LOOKS), 1500),
                          [PA, (CORE, 0, 0, AUTO, math.nan, "core-0")])),
    "one-floor-known": (
        "package-0 has a floor of 4 W, dram-0 none: idle_j is null although 8 J were taken off",
        lambda: recording([query(), query(2, 1, 10, 1990, 25, 39, 10)], W10 + readings(1, 2, LOOKS),
                          [P4, (DRAM, 0, -1, AUTO, math.nan, "dram-0")])),
    "nothing-ran-no-floor": (
        "no floor known; from 1 s on no CPU does anything: idle (the page), or other processes'?",
        lambda: recording([query(), query(2, 1, 10, 1990, 25, 39, 10)], W10, [PA],
                          cpu=lambda t: (min(t, 1000), min(t, 1000) / 2))),
    "gap-two-ticks": (
        "one reading is missing (gap from 700.01 to 800.01 ms): how much is not measured, 0.1 s or the two ticks that "
        "it touches?",
        lambda: recording([query()], gap_at(W10, 800))),
    "unsplit-two-targets": (
        "a GPU of which nobody says who uses it, two targets with a query each: whose is it?",
        lambda: recording([query(), query(2, 2)], W10, [(GPU_BOARD, 0, -1, NONE, 0.0, "gpu0")], nslot=2)),
    "midway": (
        "query 1 began before we looked: its events weigh, its prompt does not",
        lambda: recording([query(midway=True), beside()], W10)),
    "cached-without-prompt": (
        "usage says 50 cached tokens and not how many the prompt had; 400 bytes of request stand for them: 100 tokens "
        "or 50?",
        lambda: recording([query(prompt=-1, cached=50), beside()], W10)),
    "whole-with-tokens": (
        "an answer that is not streamed with a WIRE_TOKENS (no dialect was seen to write that): F is not known",
        lambda: recording([query(streamed=0, first=999, tokens=1, completion=50), beside()], W10)),
    "early-split": (
        "a look and a token each second for 70 s, 10 W; the usage at its end counts twice as many tokens; query 1 at "
        "4 s is split before that is known, and both have the flag early_split",
        lambda: recording([query(2, 1, 500, 70000, 1500, 68, 50, 0, 136, step=1000),
                           query(1, 1, 4000, 8000, 5200, 3, step=1000)],
                          readings(0, 10, list(range(0, 75001, 1000))), looks=list(range(0, 75001, 1000)))),
    "hop-told-late": (
        "as early-split; query 2 is known to be a hop of query 1 only when both were split: its joules are query 1's",
        lambda: recording([query(1, 1, 500, 70000, 70000, 0, streamed=0),
                           hop_of(1, 1000, 69900, 2000, 66, 69500, 1000)],
                          readings(0, 10, list(range(0, 75001, 1000))), looks=list(range(0, 75001, 1000)))),
}


def main():
    readme = ["SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause", "", "Written by make.py.", "", WHAT, ""]
    for name, (line, build) in CASES.items():
        with open(os.path.join(HERE, name + ".data"), "wb") as f:
            f.write(build())
        readme.append("%s.data: %s%s" % (name, line, "" if line.endswith("?") else "."))
    with open(os.path.join(HERE, "README"), "w") as f:
        f.write("\n".join(readme) + "\n")


if __name__ == "__main__":
    main()
