# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What can be reached on a simulated run by who sees its true steps: who was in each, with how many tokens and how much
context. Non-negative least squares of the meter's windows on [steps, prefill tokens, sequences, context], the lag that
leaves the least residual, then each window's split scaled to the joules measured in it.

  fitted(run)               forgetting, as the run goes, by the readings that were recorded
  fitted(run, exact=True)   the same by the true times of the meter's refreshes
  even(run)                 of the whole run, with a slow drift of the joules taken out before the fit, and with one
                            more kind of work: prefill tokens x context
  by_tokens(run)            no fit: all tokens of a step alike

each {query id: (joules, joules before its first token)}.
"""
import bisect
import itertools

FORGET_S = 120.0
SOLVE_S = 1.0
GAUGE_S = 1.0          # window of an averaged gauge, and the time of which it is the mean
GAUGE_PARTS = 10
DRIFT_S = 5.0          # a drift is seen in as much time before and after
DRIFT_MOST = 0.1


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
    """Cumulative [steps, prefill tokens, sequences, context] by time, and if asked for, prefill tokens x context."""

    def __init__(self, run, attention=False):
        steps = run.steps
        self.begin = [s.begin for s in steps]
        self.end = [s.end for s in steps]
        self.spread = [GAUGE_S * (i + 0.5) / GAUGE_PARTS for i in range(GAUGE_PARTS)] \
            if run.opt["meter"] == "gauge" else [0.0]
        self.parts = []                # of each step, of each query in it
        for s in steps:
            one = 1.0 / len(s.parts)
            self.parts.append([(one, n, d, k, n * (k + n / 2)) if attention else (one, n, d, k)
                               for _, n, d, k in s.parts])
        self.each = [tuple(map(sum, zip(*p))) for p in self.parts]
        self.sum = [(0.0,) * (5 if attention else 4)]
        for f in self.each:
            self.sum.append(tuple(a + b for a, b in zip(self.sum[-1], f)))

    def at(self, t):
        i = bisect.bisect_right(self.begin, t) - 1
        if i < 0:
            return self.sum[0]
        if t >= self.end[i]:
            return self.sum[i + 1]
        part = (t - self.begin[i]) / (self.end[i] - self.begin[i])
        return tuple(s + part * f for s, f in zip(self.sum[i], self.each[i]))

    def seen(self, t):
        """As a meter sees it that shows a mean of what was before."""
        if len(self.spread) == 1:
            return self.at(t)
        return tuple(sum(x) / GAUGE_PARTS for x in zip(*(self.at(t - u) for u in self.spread)))

    def between(self, windows, lag):
        sums = [self.seen(windows[0][0] - lag)] + [self.seen(w[1] - lag) for w in windows]
        return [tuple(b - a for a, b in zip(before, after)) for before, after in zip(sums, sums[1:])]


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

    def __init__(self, width):
        self.width = range(width)
        self.a = [[0.0] * width for _ in self.width]
        self.b, self.yy = [0.0] * width, 0.0

    def add(self, f, y, keep):
        for i in self.width:
            row, fi = self.a[i], f[i]
            for j in self.width:
                row[j] = row[j] * keep + fi * f[j]
            self.b[i] = self.b[i] * keep + fi * y
        self.yy = self.yy * keep + y * y

    def best(self):
        """(coefficients >= 0 of least residual, residual): of all sets of unknowns, as they are so few."""
        scale = [self.a[i][i] ** 0.5 or 1.0 for i in self.width]
        a = [[self.a[i][j] / scale[i] / scale[j] + (1e-9 if i == j else 0) for j in self.width] for i in self.width]
        b = [self.b[i] / scale[i] for i in self.width]
        best, least = [0.0] * len(b), self.yy
        for n in range(1, len(b) + 1):
            for keep in itertools.combinations(self.width, n):
                x = solve(a, b, keep)
                if x is None or min(x) < 0:
                    continue
                residual = self.yy - sum(v * b[i] for v, i in zip(x, keep))
                if residual < least:
                    best, least = [0.0] * len(b), residual
                    for v, i in zip(x, keep):
                        best[i] = v / scale[i]
        return best, least


def dot(c, f):
    return sum(a * b for a, b in zip(c, f))


def fit_all(width, work_of, windows, keep=1.0):
    fit = Fit(width)
    for f, w in zip(work_of, windows):
        fit.add(f, w[2], keep)
    return fit.best()


def lag_of(windows, work):
    """The lag that leaves the least residual, of a grid; of the first 60 s."""
    some = [w for w in windows if w[1] < windows[0][0] + 60]
    width = max(windows[len(windows) // 2][1] - windows[len(windows) // 2][0], 0.01)
    return min((fit_all(len(work.sum[0]), work.between(some, i * width / 16), some)[1], i * width / 16)
               for i in range(-2, 41))[1]


def coefficients(windows, work, lag):
    """[(time, coefficients)] every SOLVE_S."""
    fit, out, due = Fit(len(work.sum[0])), [], windows[0][0] + SOLVE_S
    for f, (a, b, y) in zip(work.between(windows, lag), windows):
        fit.add(f, y, 2.718281828 ** (-(b - a) / FORGET_S))
        if b >= due:
            out.append((b - lag, fit.best()[0]))
            due = b + SOLVE_S
    return out


def drift(windows, predicted):
    """How many times what is predicted was measured, around each window."""
    said, saw = [0.0], [0.0]
    for w, p in zip(windows, predicted):
        said.append(said[-1] + p)
        saw.append(saw[-1] + w[2])
    n = max(1, int(DRIFT_S * len(windows) / (windows[-1][1] - windows[0][0])))
    out = []
    for i in range(len(windows)):
        a, b = max(0, i - n), min(len(windows), i + n + 1)
        ratio = (saw[b] - saw[a]) / (said[b] - said[a]) if said[b] > said[a] else 1.0
        out.append(min(1 + DRIFT_MOST, max(1 - DRIFT_MOST, ratio)))
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


def split(run, work, windows, lag, by_step):
    """by_step(step number): coefficients."""
    predicted = [dot(by_step(i), f) for i, f in enumerate(work.each)]
    joules = scaled(windows, lag + (GAUGE_S / 2 if len(work.spread) > 1 else 0.0), run.steps, predicted)
    first = {q.id: q.tokens_at[0] if q.tokens_at else float("inf") for q in run.queries}
    out = {q.id: [0.0, 0.0] for q in run.queries}
    for i, step in enumerate(run.steps):
        if not predicted[i]:
            continue
        c, factor = by_step(i), joules[i] / predicted[i]
        for part, f in zip(step.parts, work.parts[i]):
            j = factor * dot(c, f)
            out[part[0]][0] += j
            if step.end <= first[part[0]]:
                out[part[0]][1] += j
    return out


def fitted(run, exact=False):
    windows, work = windows_of(run, exact), Work(run)
    lag = lag_of(windows, work)
    known = coefficients(windows, work, lag)
    times = [t for t, _ in known]
    return split(run, work, windows, lag,
                 lambda i: known[min(len(known) - 1, bisect.bisect_left(times, run.steps[i].end))][1])


def even(run, exact=False):
    windows, work = windows_of(run, exact), Work(run, attention=True)
    lag = lag_of(windows, work)
    seen, ratio = work.between(windows, lag), [1.0] * len(windows)
    for _ in range(3):
        steady = [(a, b, y / r) for (a, b, y), r in zip(windows, ratio)]
        best = fit_all(len(work.sum[0]), seen, steady)[0]
        ratio = drift(windows, [dot(best, f) for f in seen])
    return split(run, work, windows, lag, lambda i: best)


def by_tokens(run):
    return split(run, Work(run), windows_of(run, False), run.opt["lag_ms"] / 1e3, lambda i: (0.0, 1.0, 1.0, 0.0))
