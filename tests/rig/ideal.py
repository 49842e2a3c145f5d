# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What can be reached on a simulated run by who sees its true steps: who was in each, with how many tokens and how much
context. Non-negative least squares of the meter's windows on [steps, prefill tokens, sequences, context], forgetting,
the lag that leaves the least residual, then each window's split scaled to the joules measured in it.

  fitted(run)               by the readings that were recorded
  fitted(run, exact=True)   by the true times of the meter's refreshes
  by_tokens(run)            no fit: all tokens of a step alike

each {query id: (joules, joules before its first token)}.
"""
import bisect
import itertools

FORGET_S = 120.0
SOLVE_S = 1.0
GAUGE_S = 1.0          # window of an averaged gauge
WORK = 4


def windows_of(run, exact):
    """[(begin, end, dynamic J)] in s."""
    record, opt = run.record, run.opt
    gauge = opt["meter"] == "gauge"
    if exact and not gauge:
        points = [(t, uj / 1e6) for t, uj in record.meter.refreshes if t > 0]
    else:
        points = [((t - record.t0) / 1e9, uj / 1e6) for t, uj in record.samples]
    idle = run.profile.w_idle * opt["gain"] * (1 + opt["idle_error"])
    out, (a, ja) = [], points[0]
    for b, jb in points[1:]:
        if gauge and b - a < GAUGE_S - 0.001:
            continue
        out.append((a, b, jb - ja - idle * (b - a)))
        a, ja = b, jb
    return out


class Work:
    """Cumulative [steps, prefill tokens, sequences, context] by time."""

    def __init__(self, steps):
        self.begin = [s.begin for s in steps]
        self.end = [s.end for s in steps]
        self.each = [(1.0, float(sum(n for _, n, _, _ in s.parts)), float(sum(d for _, _, d, _ in s.parts)),
                      float(sum(k for _, _, _, k in s.parts))) for s in steps]
        self.sum = [(0.0,) * WORK]
        for f in self.each:
            self.sum.append(tuple(map(float.__add__, self.sum[-1], f)))

    def at(self, t):
        i = bisect.bisect_right(self.begin, t) - 1
        if i < 0:
            return self.sum[0]
        if t >= self.end[i]:
            return self.sum[i + 1]
        part = (t - self.begin[i]) / (self.end[i] - self.begin[i])
        return tuple(s + part * f for s, f in zip(self.sum[i], self.each[i]))

    def between(self, windows, lag):
        sums = [self.at(windows[0][0] - lag)] + [self.at(w[1] - lag) for w in windows]
        return [tuple(map(float.__sub__, b, a)) for a, b in zip(sums, sums[1:])]


def solve(a, b, keep):
    """a x = b in the unknowns `keep`; None where it is singular."""
    m = [[a[i][j] for j in keep] + [b[i]] for i in keep]
    n = len(keep)
    for i in range(n):
        p = max(range(i, n), key=lambda r: abs(m[r][i]))
        if abs(m[p][i]) < 1e-12:
            return None
        m[i], m[p] = m[p], m[i]
        for r in range(n):
            if r != i and m[r][i]:
                f = m[r][i] / m[i][i]
                m[r] = [x - f * y for x, y in zip(m[r], m[i])]
    return [m[i][n] / m[i][i] for i in range(n)]


class Fit:
    """Normal equations with forgetting."""

    def __init__(self):
        self.a = [[0.0] * WORK for _ in range(WORK)]
        self.b, self.yy = [0.0] * WORK, 0.0

    def add(self, f, y, keep):
        for i in range(WORK):
            row, fi = self.a[i], f[i]
            for j in range(WORK):
                row[j] = row[j] * keep + fi * f[j]
            self.b[i] = self.b[i] * keep + fi * y
        self.yy = self.yy * keep + y * y

    def best(self):
        """(coefficients >= 0 of least residual, residual): all sets of unknowns, as there are 15."""
        scale = [self.a[i][i] ** 0.5 or 1.0 for i in range(WORK)]
        a = [[self.a[i][j] / scale[i] / scale[j] + (1e-9 if i == j else 0) for j in range(WORK)] for i in range(WORK)]
        b = [self.b[i] / scale[i] for i in range(WORK)]
        best, least = [0.0] * WORK, self.yy
        for n in range(1, WORK + 1):
            for keep in itertools.combinations(range(WORK), n):
                x = solve(a, b, keep)
                if x is None or min(x) < 0:
                    continue
                residual = self.yy - sum(v * b[i] for v, i in zip(x, keep))
                if residual < least:
                    best, least = [0.0] * WORK, residual
                    for v, i in zip(x, keep):
                        best[i] = v / scale[i]
        return best, least


def lag_of(windows, work):
    """The lag that leaves the least residual, of a grid; of the first 60 s."""
    some = [w for w in windows if w[1] < windows[0][0] + 60]
    width = max(windows[len(windows) // 2][1] - windows[len(windows) // 2][0], 0.01)
    best = (float("inf"), 0.0)
    for i in range(-2, 41):
        fit = Fit()
        for f, w in zip(work.between(some, i * width / 16), some):
            fit.add(f, w[2], 1.0)
        best = min(best, (fit.best()[1], i * width / 16))
    return best[1]


def coefficients(windows, work, lag):
    """[(time, coefficients)] every SOLVE_S."""
    fit, out, due = Fit(), [], windows[0][0] + SOLVE_S
    for f, (a, b, y) in zip(work.between(windows, lag), windows):
        fit.add(f, y, 2.718281828 ** (-(b - a) / FORGET_S))
        if b >= due:
            out.append((b - lag, fit.best()[0]))
            due = b + SOLVE_S
    return out


def scaled(windows, lag, steps, predicted):
    """Joules of each step: what is predicted, scaled in each window to what was measured in it."""
    def overlaps():
        i = 0
        for s, step in enumerate(steps):
            while i < len(windows) and windows[i][1] - lag <= step.begin:
                i += 1
            j = i
            while j < len(windows) and windows[j][0] - lag < step.end:
                lo, hi = max(step.begin, windows[j][0] - lag), min(step.end, windows[j][1] - lag)
                yield s, j, predicted[s] * (hi - lo) / (step.end - step.begin)
                j += 1

    total = [0.0] * len(windows)
    for _, w, x in overlaps():
        total[w] += x
    out = [0.0] * len(steps)
    for s, w, x in overlaps():
        if total[w] > 0:
            out[s] += windows[w][2] * x / total[w]
    return out


def split(run, windows, lag, by_step):
    """by_step(step number): coefficients."""
    work = Work(run.steps)
    predicted = [sum(c * f for c, f in zip(by_step(i), work.each[i])) for i in range(len(run.steps))]
    joules = scaled(windows, lag, run.steps, predicted)
    first = {q.id: q.tokens_at[0] if q.tokens_at else float("inf") for q in run.queries}
    out = {q.id: [0.0, 0.0] for q in run.queries}
    for i, step in enumerate(run.steps):
        if not predicted[i]:
            continue
        c0, cp, cd, ck = by_step(i)
        c0, factor = c0 / len(step.parts), joules[i] / predicted[i]
        for q, n, d, k in step.parts:
            j = factor * (c0 + cp * n + cd * d + ck * k)
            out[q][0] += j
            if step.end <= first[q]:
                out[q][1] += j
    return out


def fitted(run, exact=False):
    windows = windows_of(run, exact)
    work = Work(run.steps)
    lag = lag_of(windows, work)
    known = coefficients(windows, work, lag)
    times = [t for t, _ in known]
    return split(run, windows, lag,
                 lambda i: known[min(len(known) - 1, bisect.bisect_left(times, run.steps[i].end))][1])


def by_tokens(run):
    windows = windows_of(run, False)
    return split(run, windows, run.opt["lag_ms"] / 1e3, lambda i: (0.0, 1.0, 1.0, 0.0))
