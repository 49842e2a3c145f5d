#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The oracle of the fitted split: what userspace/man/ipw-trace.8 says under "The fitted split", done slowly. The rest of
the books (ticks, meters, floors, the split by tokens, which is what is done until the fit is any good) is
integrate.py's.

It goes through a recording as it was written, as what is known of a step changes while the run goes on, and the fit
learns from what is known when a tick is settled. Nothing is kept in a form that was made for speed: each step has the
list of who did what in it, and each sum is made anew from those lists. Hops are not followed: their work is left out.

    fitted.py FILE          prints one JSON object: queries and books
"""
import bisect
import json
import math
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import integrate  # noqa: E402

MS, S = integrate.MS, integrate.S
STEP, POWER = 10, 1

KINDS = 5                              # steps, prompt tokens, sequences, context, prompt tokens x context
LAGS = 48
JITTER, LOOK_BACK, LOST_STEPS = 2 * MS, 8, 2 * S
USUAL_PART = 32
SAME_BATCH = 0.8
SILENT, HORIZON, HELD_MOST = 3 * S, 60 * S, 4096
MEAN, MEAN_PARTS = S, 8
LEARN = 90 * MS                                # windows are learnt together until they are so long
FORGET_NS, MIN_WINDOWS, MIN_NS = 120e9, 60, 10e9
SEARCH_FROM, SEARCH_EVERY, LAG_GAIN = 30, 25, 0.98
RIDGE = 1e-9
PACE_STEPS = 30
VOTES, VOTES_LEAST, CHAIN_MOST = 64, 8, 64
CROWDED, NEARLY, SLACK = 8, 0.5, 1.005
# What can be broken on purpose: no lag; context costs nothing; the prompt that came first is done last; a window is not
# scaled to what was measured; how long steps took says nothing of prompts; a step has any number of tokens.
MISTAKES = ("lag", "context", "line", "measured", "pace", "limit")


class Trace(integrate.Trace):
    """A recording; .stream: its records in order."""

    def __init__(self, data):
        self.stream = []
        super().__init__(data)

    def record(self, kind, n, body):
        super().record(kind, n, body)
        if kind == integrate.METER:
            self.meters[n].reading = struct.unpack_from("<I", body, 4)[0]
        elif kind == integrate.ACTIVITY:
            self.stream.append(("look", struct.unpack_from("<Q", body)[0]))
        elif kind == integrate.EDGE:
            self.stream.append(("cut", struct.unpack_from("<Q", body)[0]))
        elif kind == integrate.SAMPLE:
            self.stream.append(("sample", n & 0xFFFF) + struct.unpack_from("<Qd", body) +
                               (bool(n >> 16 & integrate.SAMPLE_GAP),))
        elif kind == STEP:
            self.stream.append(("step", n) + struct.unpack_from("<QQiI", body))
        elif kind > integrate.WIRE:
            ts, qid = struct.unpack_from("<QQ", body)
            self.stream.append(("wire", kind - integrate.WIRE, ts, qid, n, body))


# --- who was in a step ------------------------------------------------------------------------------------------------

class Did:
    """What one query did in one step, for its prompt (phase 0) or for its answer (1)."""

    def __init__(self, work, phase, step, prompt, sequences, context, is_one=True):
        self.work, self.phase, self.step, self.is_one = work, phase, step, is_one
        self.prompt, self.sequences, self.context = float(prompt), float(sequences), context
        step.who.append(self)
        step.known = None

    def kinds(self):
        return (1.0 / self.step.queries() if self.is_one else 0.0, self.prompt, self.sequences,
                self.sequences * self.context, self.prompt * self.context)


class Step:
    def __init__(self, begin, end, tokens=None, pid=None):
        self.begin, self.end, self.tokens, self.pid = begin, end, tokens, pid
        self.who, self.firsts, self.known, self.waited = [], 0, None, False

    def queries(self):
        return sum(d.is_one for d in self.who)

    def left(self):
        """Tokens that are nobody's."""
        return max(0.0, (self.tokens or 0) - sum(d.prompt + d.sequences for d in self.who))

    def all(self):
        if self.known is None:
            self.known = [1.0, sum(d.prompt for d in self.who) + self.left(), sum(d.sequences for d in self.who),
                          sum(d.sequences * d.context for d in self.who), sum(d.prompt * d.context for d in self.who)]
        return self.known


class Work:
    """What is known of a query while the run goes on."""

    def __init__(self, q):
        self.q, self.answer, self.prompts = q, [], []
        self.first, self.next, self.made, self.thought = None, 0, 0, 0.0   # numbers of steps: of F, of the next token
        self.settled = self.began = self.over = False
        self.usage_prompt, self.status, self.streamed = -1, 0, None

    def size(self):
        return self.usage_prompt if self.usage_prompt >= 0 else self.q.bytes / 4

    def todo(self):
        return max(0, self.size() - max(0, self.q.cached)) if self.q.start else 0


class Pace:
    """How long inferred steps take: those in which nobody waited for a first token; and how much longer others take."""

    def __init__(self, mistake):
        self.xx, self.xy, self.yy = [[0.0] * KINDS for _ in range(KINDS)], [0.0] * KINDS, 0.0
        self.cost, self.plain, self.others, self.over, self.tokens = [0.0] * KINDS, 0, 0, 0.0, 0.0
        self.mistake = mistake

    def known(self):
        return self.plain >= PACE_STEPS and self.others >= PACE_STEPS and self.mistake != "pace"

    def longer(self, step):
        x = step.all()
        return max(0.0, step.end - step.begin - energy(self.cost, [1.0, 0.0, x[2], x[3], 0.0]))

    def solve(self):
        self.cost = least_squares(self.xx, self.xy, self.yy)[0] if self.plain else self.cost

    def room(self, step):
        return max(0.0, self.longer(step) * self.tokens / self.over - step.all()[1]) if self.over else 0.0

    def learn(self, step):
        y, x = float(step.end - step.begin), step.all()
        keep = math.exp(-y / FORGET_NS)
        self.xx = [[n * keep for n in row] for row in self.xx]
        self.xy, self.yy = [n * keep for n in self.xy], self.yy * keep
        self.over, self.tokens = self.over * keep, self.tokens * keep
        if not step.waited:
            x = [1.0, 0.0, x[2], x[3], 0.0]
            self.xx = [[n + x[i] * x[j] for j, n in enumerate(row)] for i, row in enumerate(self.xx)]
            self.xy, self.yy = [n + x[i] * y for i, n in enumerate(self.xy)], self.yy + y * y
            self.plain += 1
        elif self.plain >= PACE_STEPS:
            self.over, self.tokens, self.others = self.over + self.longer(step), self.tokens + x[1], self.others + 1


class Limit:
    """How many tokens inferred steps have at most, by the latest prompts: of each two intervals of what it may be."""

    def __init__(self, steps):
        self.steps, self.votes, self.tokens, self.known, self.queries = steps, [], math.nan, False, 0
        self.chain = None                                      # steps of prompts without a pause: first, last, tokens,
                                                               # whether the first had another one

    def place(self, first, last):
        """The step from which on there was a place for a prompt that could begin in step `first`."""
        steps, pace = self.steps.v, self.steps.pace
        if not pace.known():
            return next((i for i in range(first, last) if not self.queries or steps[i].queries() < self.queries), last)
        low = max(first, last - CHAIN_MOST + 1)
        longer = {i: pace.longer(steps[i]) for i in range(low, last + 1)}
        return next(i for i in range(low, last + 1) if longer[i] >= NEARLY * max(longer[k] for k in range(i, last + 1)))

    def interval(self, first, last, tokens, shared):
        answers = [self.steps.v[i].all()[2] for i in range(first, last + 1)]
        if not all(answers):
            return None
        full = answers[1 if shared else 0:-1]
        return ((tokens + sum(answers)) / len(answers), (tokens + sum(full)) / len(full) if full else math.inf)

    def learn(self, first, last, tokens):
        if last - first >= CHAIN_MOST:
            return
        place, follows = self.place(first, last), bool(self.chain) and self.chain[1] == first
        begin, _, before, shared = self.chain if follows and last - self.chain[0] < CHAIN_MOST else \
            (first, None, 0.0, follows)
        both = [self.interval(begin, last, before + tokens, shared)]
        both += [self.interval(place, last, tokens, False)] if place > first else []
        self.chain = None
        if None in both:
            return
        beside = max([step.queries() for step in self.steps.v[first:last]], default=0)
        self.votes = (self.votes + [(both, beside)])[-VOTES:]
        self.elect()
        if place == first and any(a <= self.tokens < b for a, b in both):
            self.chain = (begin, last, before + tokens, shared)

    def elect(self):
        each = [both for both, _ in self.votes]
        agree = {low: sum(any(a <= low < b for a, b in both) for both in each) for both in each for low, _ in both}
        most = max(agree.values())
        low = max(n for n in agree if agree[n] == most)
        end = min(b for both in each for _, b in both if b > low)
        self.tokens = end if math.isinf(end) else (low + end) / 2
        self.known = len(each) >= VOTES_LEAST and most > len(each) / 2
        crowd = sorted((n for _, n in self.votes), reverse=True)
        self.queries = crowd[CROWDED - 1] if len(crowd) >= CROWDED else 0

    def room(self, i):
        _, prompts, sequences, _, _ = self.steps.v[i].all()
        return max(0.0, self.tokens - sequences - prompts) if sequences else math.inf

    def fits(self, first, last, tokens):
        room = sum(self.room(i) for i in range(first, last))
        return room < tokens * SLACK and (room + self.room(last)) * SLACK >= tokens

    def begin(self, r, first, last, tokens):
        """The step in which a prompt was begun; None where that cannot be said."""
        low = first - 1 if first and self.steps.v[first - 1].begin + JITTER > r else first
        return next((i for i in (first, self.place(first, last), low) if self.fits(i, last, tokens)), None) \
            if self.known else None


class Steps:
    """Of one target, in the order of their ends."""

    def __init__(self, mistake):
        self.v, self.ends, self.seen, self.mistake = [], [], False, mistake
        self.dark = []                 # times of whole answers, nobody knows in which steps
        self.limit, self.usual = Limit(self), 0     # usual: ns that inferred steps took of late
        self.pace, self.learnt, self.done = Pace(mistake), 0, 0     # done: the step of the last F of a settled prompt
        self.least = []                # the earliest begin of a step and of all behind it

    def after(self, t):
        """Number of the first that ends after t."""
        return bisect.bisect_right(self.ends, t)

    def add(self, begin, end, tokens=None, pid=None):
        end = max([end] + self.ends[-1:])
        self.v.append(Step(min(begin, end - 1), end, tokens, pid))
        self.ends.append(end)
        self.least.append(end)
        self.begin(len(self.v) - 1, self.v[-1].begin)

    def begin(self, i, t):
        """Step i begins at t."""
        self.v[i].begin = t
        while i >= 0 and self.least[i] > t:
            self.least[i] = t
            i -= 1

    def is_dark(self, a, b):
        return any(r < b and e > a for r, e in self.dark)

    def see(self, begin, end, tokens, pid):
        last, self.seen = self.v[-1] if self.v else None, True
        tokens = tokens if tokens >= 0 else None
        if last and last.pid is not None and last.pid != pid:
            both = min(end, last.end) - max(begin, last.begin)
            if both > SAME_BATCH * (end - begin) and both > SAME_BATCH * (last.end - last.begin):
                last.end = max(end, last.end)
                self.begin(len(self.v) - 1, min(begin, last.begin))
                last.tokens = max((n for n in (tokens, last.tokens) if n is not None), default=None)
                last.known, self.ends[-1] = None, last.end
                return
        self.add(begin, end, tokens, pid)

    def infer(self, w, ts, r):
        """The step that made a token sent at ts."""
        for i in range(len(self.v) - 1, max(len(self.v) - LOOK_BACK, w.next, 0) - 1, -1):
            step = self.v[i]
            if ts > step.end + max(JITTER, self.usual // 2):
                break
            if ts + JITTER >= step.end:
                begin = self.v[i - 1].end if i else step.begin
                self.begin(i, min(step.begin, begin if w.made else max(r, begin)))
                return i
        before = self.ends[-1] if self.ends else 0
        if w.made and ts > before:
            part = self.usual // USUAL_PART
            self.usual = self.usual + (part if ts - before > self.usual else -part) if self.usual else ts - before
        self.add(before if w.made and before else max(r, before), ts)
        return len(self.v) - 1

    def tokens(self, w, ts, n, r):
        if self.seen and (not self.ends or self.ends[-1] + LOST_STEPS < ts):
            self.seen = False
        i = self.after(ts) - 1 if self.seen else self.infer(w, ts, r)
        if not n or i < 0:
            return
        if not w.made:
            w.first, w.thought, w.made, w.next, n = i, w.size(), 1, i + 1, n - 1
            self.v[i].firsts += 1
        i = max(i, w.next - 1)
        new = min(n, i + 1 - w.next)
        context = (w.thought + w.made) / 1e3
        for k in range(new):
            w.answer.append(Did(w, 1, self.v[i + 1 - new + k], 0, 1, context + k / 1e3))
        if n > new:
            w.answer.append(Did(w, 1, self.v[i], 0, n - new, context, False))
        w.next, w.made = i + 1, w.made + n

    def whole(self, w, completion, r, e):
        """An answer that was not streamed is over."""
        i = low = self.after(e)
        while low > 0 and i - low < completion and self.v[low - 1].begin >= r:
            low -= 1
        if not self.seen and not w.made and completion > 0:
            self.dark.append((r, e))
        if not self.seen or w.made or completion <= 0 or low == i:
            return
        w.first, w.thought, w.made, w.next = low, w.size(), completion, i
        self.v[low].firsts += 1
        for k in range(low + 1, i):
            w.answer.append(Did(w, 1, self.v[k], 0, 1, (w.thought + k - low) / 1e3))

    def resize(self, w):
        """The prompt has another size than was thought: all of the answer looked back on so much more."""
        if w.first is None or w.settled:
            return
        for d in w.answer:
            d.context += (w.size() - w.thought) / 1e3
            d.step.known = None
        w.thought = w.size()

    def settle_prompt(self, w):
        if w.settled or not self.v or w.status // 100 >= 4:
            return
        last = w.first if w.first is not None else min(self.after(w.q.E), len(self.v) - 1)
        self.resize(w)
        w.settled = True
        if self.v[last].tokens is not None:
            self.prompt_by_tokens(w, last)
        elif w.first is not None:
            self.prompt_inferred(w, last)
        else:
            self.prompt_gone(w, last)
        for step in self.v[self.after(w.q.R):last + 1]:
            step.waited = True
        if w.first is not None:
            self.done = max(self.done, last)

    def prompt_by_tokens(self, w, last):
        from_r = self.after(w.q.R)
        while from_r < len(self.v) and self.v[from_r].begin < w.q.R:
            from_r += 1
        if w.usage_prompt < 0:
            from_r = max(from_r, min(last, self.done))
        lefts = [(i, self.v[i].left()) for i in range(from_r, last + 1)]
        todo, past, answered, said = w.todo(), w.size() - w.todo(), w.first is not None, w.usage_prompt >= 0
        # One token at least is of the step of F; what there is beside it, and is too much, came first and is others'.
        others = sum(n for i, n in lefts if i < last) - (todo - 1) if answered and said else 0
        for i, n in lefts:
            if i < last and others > 0:
                n, others = max(0, n - others), others - n
            if i == last or said or not answered:
                n = n if n <= todo else 1 if i == last and todo < 1 else todo
            todo -= n
            if n > 0 or i == last and answered:
                w.prompts.append(Did(w, 0, self.v[i], n, 0, (past + n / 2) / 1e3))
            past += n

    def begin_of(self, w, last):
        """The step in which it may have been first: it begins after R."""
        return next((i for i in range(self.after(w.q.R), last) if self.v[i].begin >= w.q.R), last)

    def fill(self, w, rooms, last):
        """rooms: (step, tokens that it has room for). A prompt has one token at least in each step that it is in."""
        past, left = w.size() - w.todo(), w.todo()
        for i, n in rooms:
            n = left if i == last else min(n, left - (last is not None))
            if n >= 1 or i == last:
                w.prompts.append(Did(w, 0, self.v[i], n, 0, (past + n / 2) / 1e3))
                left, past = left - n, past + n

    def prompt_inferred(self, w, last):
        first = min(last, max(self.begin_of(w, last), self.done))
        if w.todo() >= 1 and w.usage_prompt >= 0 and self.mistake != "limit" and \
                not self.is_dark(self.v[first].begin, self.v[last].end):
            self.limit.learn(first, last, w.todo())
        begin = self.limit.begin(w.q.R, first, last, w.todo())
        if begin is None:
            self.prompt_by_time(w, last)
        else:
            self.fill(w, [(i, self.limit.room(i)) for i in range(begin, last + 1)], last)

    def prompt_gone(self, w, last):
        """It went away before it had a token: it was in the steps that it filled."""
        if not self.limit.known or math.isinf(self.limit.tokens):
            return
        left, rooms = w.todo(), []
        for i in range(max(self.begin_of(w, last), self.done), last + 1):
            n = min(left, self.limit.room(i))
            if n >= 1 and self.v[i].begin < w.q.E and self.pace.room(self.v[i]) >= n / 2:
                rooms.append((i, n))
                left -= n
        self.fill(w, rooms, None)

    def prompt_by_time(self, w, last):
        first = self.begin_of(w, last)
        if self.pace.known():
            first = min(last, max(first, self.done))
            times = [self.pace.room(self.v[i]) for i in range(first, last + 1)]
        else:
            begin = w.q.R
            for step in reversed(self.v[:last]):
                if step.end <= w.q.R:
                    break
                if step.firsts:
                    begin = step.end
                    break
            times = [max(0, self.v[i].end - max(self.v[i].begin, begin)) for i in range(first, last + 1)]
        total, past, left = sum(times), w.size() - w.todo(), w.todo()
        for i, t in zip(range(first, last + 1), times):
            # One token at least is of the step of F.
            n = left if i == last else min(w.todo() * t / total, left - 1) if total else 0
            if n > 0 or i == last:
                w.prompts.append(Did(w, 0, self.v[i], n, 0, (past + n / 2) / 1e3))
                left, past = left - n, past + n

    def learn(self, t):
        """All prompts that came before t are settled."""
        while self.learnt < len(self.v) and self.ends[self.learnt] <= t:
            step = self.v[self.learnt]
            if step.pid is None and not self.is_dark(step.begin, step.end):
                self.pace.learn(step)
            self.learnt += 1
        self.pace.solve()

    def within(self, a, b):
        """[(step, part of it that lies between two times)]."""
        out = []
        for i in range(self.after(a), len(self.v)):
            s = self.v[i]
            if self.least[i] >= b:
                break
            if s.begin < b:
                out.append((s, (min(b, s.end) - max(a, s.begin)) / (s.end - s.begin)))
        return out

    def between(self, a, b):
        """What they did between two times."""
        x = [0.0] * KINDS
        for s, part in self.within(a, b):
            for k, n in enumerate(s.all()):
                x[k] += part * n
        if self.mistake == "context":
            x[3] = x[4] = 0.0
        return x

    def parts(self, a, b):
        """{query's Work: [of its prompt, of its answer]} of the same."""
        out = {}
        for s, part in self.within(a, b):
            for d in s.who:
                x = out.setdefault(d.work, ([0.0] * KINDS, [0.0] * KINDS))[d.phase]
                for k, n in enumerate(d.kinds()):
                    x[k] += part * n
        return out


# --- the fit ----------------------------------------------------------------------------------------------------------

def solve(a, b):
    """a x = b, a symmetric and positive definite."""
    n = len(b)
    m = [list(a[i]) + [b[i]] for i in range(n)]
    for i in range(n):
        for r in range(i + 1, n):
            f = m[r][i] / m[i][i]
            for c in range(i, n + 1):
                m[r][c] -= f * m[i][c]
    x = [0.0] * n
    for i in range(n - 1, -1, -1):
        x[i] = (m[i][n] - sum(m[i][c] * x[c] for c in range(i + 1, n))) / m[i][i]
    return x


def least_squares(xx, xy, yy):
    """(costs >= 0, what is left), by the active set of Lawson and Hanson; each kind scaled to 1, RIDGE to be sure."""
    d = [math.sqrt(xx[i][i]) for i in range(KINDS)]
    some = [i for i in range(KINDS) if d[i] > 0]
    b = {i: xy[i] / d[i] for i in some}
    a = {i: {j: xx[i][j] / d[i] / d[j] + (RIDGE if i == j else 0) for j in some} for i in some}
    x, held, tiny = dict.fromkeys(some, 0.0), [], 1e-13 * max([abs(v) for v in b.values()] + [0])
    for _ in range(60):
        slope = {i: b[i] - sum(a[i][j] * x[j] for j in held) for i in some if i not in held}
        more = max(slope, key=slope.get, default=None)
        if more is None or slope[more] <= tiny:
            break
        held.append(more)
        while held:
            z = dict(zip(held, solve([[a[i][j] for j in held] for i in held], [b[i] for i in held])))
            if min(z.values()) > 0:
                x.update(z)
                break
            step = min(x[i] / (x[i] - z[i]) for i in held if z[i] <= 0)
            for i in held:
                x[i] += step * (z[i] - x[i])
            for i in [i for i in held if z[i] <= 0 and x[i] <= 1e-15 * max(1.0, max(x.values()))]:
                x[i] = 0.0
                held.remove(i)
    cost = [0.0] * KINDS
    for i in some:
        cost[i] = x[i] / d[i]
    return cost, yy - sum(x[i] * b[i] for i in some)


def energy(cost, x):
    return sum(c * n for c, n in zip(cost, x))


PAIRS = [(i, j) for i in range(KINDS) for j in range(i + 1)]


class Fit:
    def __init__(self, mistake):
        self.sums = [[0.0] * (KINDS + len(PAIRS)) for _ in range(LAGS)]        # of each lag: x y, then x x
        self.yy = self.tt = self.ty = self.wrong = self.wrong_tokens = self.ns = 0.0
        self.cost, self.windows, self.best, self.mistake = [0.0] * KINDS, 0, 0, mistake

    def window(self, x, y, ns):
        keep, tokens = math.exp(-ns / FORGET_NS), x[self.best][1] + x[self.best][2]
        self.wrong *= keep
        self.wrong_tokens *= keep
        if self.windows >= MIN_WINDOWS:
            by_tokens = self.ty / self.tt * tokens if self.tt > 0 else 0.0
            self.wrong += (y - energy(self.cost, x[self.best])) ** 2
            self.wrong_tokens += (y - by_tokens) ** 2
        for lag, v in enumerate(x):
            new = [n * y for n in v] + [v[i] * v[j] for i, j in PAIRS]
            self.sums[lag] = [s * keep + n for s, n in zip(self.sums[lag], new)]
        self.yy = self.yy * keep + y * y
        self.tt = self.tt * keep + tokens * tokens
        self.ty = self.ty * keep + tokens * y
        self.ns += ns
        self.windows += 1
        if self.windows >= SEARCH_FROM and self.windows % SEARCH_EVERY == 0 and self.mistake != "lag":
            self.search()
        self.cost = self.costs(self.best)[0]

    def costs(self, lag):
        xx = [[0.0] * KINDS for _ in range(KINDS)]
        for (i, j), n in zip(PAIRS, self.sums[lag][KINDS:]):
            xx[i][j] = xx[j][i] = n
        return least_squares(xx, self.sums[lag], self.yy)

    def search(self):
        least, at = self.costs(self.best)[1] * LAG_GAIN, self.best
        for lag in range(LAGS):
            left = self.costs(lag)[1] if lag != at else math.inf
            if left < least:
                least, self.best = left, lag

    def proves(self):
        return self.windows >= MIN_WINDOWS and self.ns >= MIN_NS and self.wrong < self.wrong_tokens


# --- windows and ticks ------------------------------------------------------------------------------------------------

class Split:
    """The fitted split of one target on one meter."""

    def __init__(self, run, slot, meter, mistake):
        self.run, self.slot, self.meter, self.mistake = run, slot, meter, mistake
        self.fit, self.holds, self.to, self.used = Fit(mistake), False, 0, 0
        self.left, self.unit, self.lengths, self.gauge = (0.0, 0.0), 0, [], meter.reading == POWER
        self.learn = (0, 0, 0.0)               # begin, end, dynamic joules of the windows that are learnt together

    def is_mean(self, lag):
        return self.gauge and lag >= LAGS // 2

    def lag_ns(self, lag):
        n = lag - LAGS // 2 if self.is_mean(lag) else lag
        return self.unit * (n if n < 16 else 16 + 2 * (n - 16) if n < 32 else 48 + 8 * (n - 32))

    def lag(self):
        if not self.holds:
            return 0
        return self.lag_ns(self.fit.best) + (MEAN // 2 if self.is_mean(self.fit.best) else 0)

    def wait(self):
        return MEAN if self.holds and self.is_mean(self.fit.best) else 0

    def shown(self, lag, a, b):
        steps, back = self.run.steps[self.slot], self.lag_ns(lag)
        if not self.is_mean(lag):
            return steps.between(a - back, b - back)
        each = [back + MEAN * (2 * k + 1) // (2 * MEAN_PARTS) for k in range(MEAN_PARTS)]
        return [sum(x) / MEAN_PARTS for x in zip(*(steps.between(a - u, b - u) for u in each))]

    def take(self, seen, since, b, uj):
        """The window from `since` to b, of which there is still what lies after `seen`; uj None: not measured."""
        a = max(seen, since)
        if uj is None or b <= a:
            return
        uj *= (b - a) / (b - since)
        mine = self.run.mean_share(self.slot, self.meter.channel, a, b)
        j, s = uj * 1e-6 * mine, (b - a) * 1e-9 * mine
        self.left = (self.left[0] + j, self.left[1] + s)
        if a > since:
            return
        if not self.unit:
            self.lengths.append(b - a)
            if len(self.lengths) == 9:
                self.unit = max(MS // 2, sorted(self.lengths)[4] // (4 if self.gauge else 8))
            return
        begin, end, dynamic = self.learn if self.learn[1] == a else (a, a, 0.0)
        dynamic += j - (self.run.floors[self.meter.name] or 0.0) * s
        if b - begin < LEARN:
            self.learn = (begin, b, dynamic)
            return
        self.learn = (b, b, 0.0)
        x = [self.shown(lag, begin, b) for lag in range(LAGS)]
        if any(v[0] > 0 for v in x) and not self.is_dark(begin, b):
            self.fit.window(x, dynamic, float(b - begin))

    def is_dark(self, a, b):
        lag, mean = self.lag_ns(self.fit.best), MEAN if self.is_mean(self.fit.best) else 0
        return self.run.steps[self.slot].is_dark(max(0, a - lag - mean), max(0, b - lag))

    def open(self, at, end):
        """The window that begins at `at`; without a reading nothing is handed out up to `end`."""
        self.left, seen = (0.0, 0.0), at
        while seen <= at or seen < at + self.wait():
            readings = self.run.readings[self.meter.channel]
            if self.used == len(readings):
                break
            t, uj, _, since = readings[self.used]
            self.used += 1
            self.take(seen, since, t, uj)
            seen = t
        self.to = seen if seen > at else end
        self.holds = self.fit.proves()

    def predicted(self, a, b):
        return energy(self.fit.cost, self.run.steps[self.slot].between(a - self.lag(), b - self.lag()))

    def settle(self, t0, t1):
        """{"j", "s", "parts": {Work: (prompt, answer, shared)}} of a tick, None where tokens split it."""
        j = s = 0.0
        at = t0
        while at < t1:
            if at >= self.to:
                self.open(at, t1)
            to = min(self.to, t1)
            part = 1.0
            if to < self.to:
                rest = self.predicted(at, self.to)
                part = min(1.0, self.predicted(at, to) / rest if rest > 0 else (to - at) / (self.to - at))
            j, s = j + self.left[0] * part, s + self.left[1] * part
            self.left = (self.left[0] * (1 - part), self.left[1] * (1 - part))
            at = to
        if not self.holds or self.is_dark(t0, t1):
            return None
        lag, cost = self.lag(), self.fit.cost
        whole, parts = self.predicted(t0, t1), {}
        if whole > 0:
            for w, (x, y) in self.run.steps[self.slot].parts(t0 - lag, t1 - lag).items():
                if self.mistake == "context":
                    x[3] = x[4] = y[3] = y[4] = 0.0
                parts[w] = (energy(cost, x) / whole, energy(cost, y) / whole, cost[0] * (x[0] + y[0]) / whole)
        if self.mistake == "measured":
            j, s = whole, 0.0
        return {"j": j, "s": s, "parts": parts}


class Run:
    """
    A recording, record by record. .ticks: {(tick, meter, slot): what Split.settle() says}, for integrate();
    .queue_ms: {query: ms}.
    """

    def __init__(self, trace, floors, mistake=None):
        self.trace, self.floors, self.mistake = trace, floors, mistake
        self.steps = {s: Steps(mistake) for s in range(1, trace.nslot + 1)}
        self.queries = {q.id: Work(q) for q in trace.queries.values() if not q.hop}
        self.held, self.looks, self.settled, self.ticks, self.queue_ms, self.firsts = [], [], 0, {}, {}, set()
        self.readings = {c: [] for c in trace.meters}
        self.last, self.resolved = {}, dict.fromkeys(trace.meters, 0)
        self.complete = self.looked = 0        # ticks of which all events are here; that will be so at the next look
        for q in trace.queries.values():
            integrate.define(q, trace, integrate.READINGS, None)
        self.splits = [Split(self, s, m, mistake) for s in self.steps for m in trace.meters.values() if m.parent < 0]
        self.shares = {}
        for record in trace.stream:
            getattr(self, record[0])(*record[1:])
        for w in list(self.queries.values()):
            if not w.over:
                self.end_of(w)
        self.advance(True)

    # Records.

    def sample(self, channel, t, uj, gap):
        m, before = self.trace.meters[channel], self.last.get(channel)
        if not self.looks:
            return
        if before and t > before[0]:
            if self.looks[self.resolved[channel]] > before[0]:
                m.late.append((before[0], self.looks[self.resolved[channel]]))
            self.reading(channel, before[0], t, None if gap else uj - before[1])
            while self.resolved[channel] + 1 < len(self.looks) and self.looks[self.resolved[channel] + 1] <= t:
                self.resolved[channel] += 1
        self.last[channel] = (t, uj)

    def reading(self, channel, since, t, uj):
        """Of those that came at one look the last ends a window."""
        readings = self.readings[channel]
        if readings and readings[-1][2] == len(self.looks):
            uj = None if uj is None or readings[-1][1] is None else uj + readings[-1][1]
            since = readings.pop()[3]
        readings.append((t, uj, len(self.looks), since))

    def step(self, slot, begin, end, tokens, pid):
        self.steps[slot].see(begin, end, tokens, pid)

    def wire(self, kind, ts, qid, n, body):
        w = self.queries.get(qid)
        if w is None or w.over or kind == integrate.OPEN - integrate.WIRE:
            return
        steps = self.steps[w.q.slot]
        if not w.began and kind in (integrate.W_REQUEST, integrate.W_RESPONSE, integrate.W_TOKENS,
                                    integrate.W_FINISH, integrate.W_OVER):
            w.began = True
            bisect.insort(self.held, w, key=lambda x: x.q.R)
        if kind == integrate.W_RESPONSE:
            w.status, w.streamed = n, struct.unpack_from("<q", body, 16)[0]
        elif kind == integrate.W_USAGE:
            w.usage_prompt = struct.unpack_from("<q", body, 16)[0]
        elif kind == integrate.W_TOKENS and w.streamed != 0:
            steps.tokens(w, ts, n, w.q.R)
        elif kind == integrate.W_OVER:
            self.end_of(w)

    def end_of(self, w):
        if not w.began:
            w.began = True
            bisect.insort(self.held, w, key=lambda x: x.q.R)
        self.steps[w.q.slot].whole(w, w.q.completion, w.q.R, w.q.E)
        if w.status // 100 < 4:
            self.steps[w.q.slot].resize(w)
        w.over = True

    def cut(self, t):
        """A tick ends, by a look or by an edge."""
        if self.looks and t <= self.looks[-1]:
            return
        self.looks.append(t)
        for c in self.resolved:
            while self.resolved[c] + 1 < len(self.looks) and self.looks[self.resolved[c] + 1] + SILENT <= t:
                self.resolved[c] += 1

    def look(self, t):
        self.cut(t)
        self.complete, self.looked = self.looked, len(self.looks) - 1
        self.advance(False)

    # The clock.

    def advance(self, is_end):
        closed = len(self.looks) - 1
        ready = closed if is_end else min([self.complete] + list(self.resolved.values()))
        while self.settled < ready and self.may_settle(self.settled, self.looks[ready], is_end):
            self.settle(self.settled)
            self.settled += 1
        first = self.looks[self.settled] if self.settled < len(self.looks) else math.inf
        for w in list(self.held):
            if w.over and (is_end or self.paid_until(w) <= first):
                self.held.remove(w)
                self.finish(w)

    def may_settle(self, k, until, is_end):
        t1, now = self.looks[k + 1], self.looks[-1]
        if not is_end and any(t1 + s.wait() > until for s in self.splits):
            return False
        if all(w.over for w in self.held if w.q.R < t1):
            return True
        return t1 + HORIZON <= now or len(self.held) >= HELD_MOST

    def paid_until(self, w):
        return w.q.E + max([s.lag() for s in self.splits if s.slot == w.q.slot] + [0])

    def finish(self, w):
        steps = self.steps[w.q.slot]
        begin = w.prompts[0].step.begin if w.prompts and w.settled and steps.seen else 0
        if w.first is not None:
            self.firsts.add(w.q.id)
        self.queue_ms[w.q.id] = (begin - w.q.R) / 1e6 if begin >= w.q.R else None

    def settle(self, k):
        t0, t1 = self.looks[k], self.looks[k + 1]
        for slot, steps in self.steps.items():
            here = [w for w in self.held if w.q.slot == slot and w.q.R <= t1 and not w.settled]
            done = [w for w in here if w.first is not None]
            until = max([w.first for w in done], default=-1)
            done += [w for w in self.held if w.q.slot == slot and w.q.R > t1 and w.over and not w.settled and
                     w.first is not None and w.first <= until]
            gone = [w for w in here if w.over and w.first is None]
            done.sort(key=lambda w: (w.first, w.usage_prompt < 0, w.q.R), reverse=self.mistake == "line")
            for w in done:
                while gone and gone[0].q.R < w.q.R:
                    steps.settle_prompt(gone.pop(0))
                steps.settle_prompt(w)
            for w in gone:
                steps.settle_prompt(w)
            steps.learn(t1)
        for s in self.splits:
            tick = s.settle(t0, t1)
            if tick:
                self.ticks[k, s.meter.channel, s.slot] = tick
        for s in self.splits:
            tick = self.ticks.get((k, s.meter.channel, s.slot))
            if tick:
                # Not who comes only after it, nor whose joules are final.
                mine = [w for w in self.held if w.q.slot == s.slot and w.q.R <= t1 and self.paid_until(w) >= t0]
                tick["parts"] = {w.q.id: tick["parts"].get(w, (0.0, 0.0, 0.0)) for w in mine}

    def mean_share(self, slot, channel, a, b):
        mine = whole = 0.0
        closed = len(self.looks) - 1
        k = max(0, bisect.bisect_right(self.looks, a) - 1)
        while k < closed and self.looks[k] < b:
            part = min(b, self.looks[k + 1]) - max(a, self.looks[k])
            mine += part * self.share(k, channel)[slot - 1]
            whole += part
            k += 1
        return mine / whole if whole else 0.0

    def share(self, k, channel):
        if (k, channel) not in self.shares:
            n = self.trace.nslot
            got = integrate.share_of_server(self.trace.meters[channel], k, self.trace, n)
            even = {"idle": [0.0] * n, "unsplit": [1.0 / n] * n}
            self.shares[k, channel] = even[got] if isinstance(got, str) else got
        return self.shares[k, channel]


def integrate_fitted(trace, mistake=None, floors=None):
    """As integrate.integrate()."""
    for c, m in trace.meters.items():
        m.channel = c
    if floors is None:
        queries = [q for q in trace.queries.values() if not q.hop]
        for q in queries:
            integrate.define(q, trace, integrate.READINGS, None)
        floors = {m.name: integrate.idle_floor(m, trace, queries) for m in trace.meters.values() if m.parent < 0}
    run = Run(trace, floors, mistake)
    out = integrate.integrate(trace, floors=floors, fitted=run.ticks)
    for qid, q in out["queries"].items():
        q["queue_ms"] = run.queue_ms.get(qid)
        if q["decode_j"] is None and q["by_fit"] > 0 and not q["by_tokens"] and qid in run.firsts:
            q["prefill_j"], q["decode_j"] = q["prefill"], q["decode"]
        if q["energy_j"] is None or q["by_tokens"]:
            q["shared_j"] = None
        q["marginal_j"] = None if q["shared_j"] is None else q["energy_j"] - q["shared_j"]
    out["splits"] = [dict(slot=s.slot, meter=s.meter.name, windows=s.fit.windows, holds=s.holds, lag_ms=s.lag() / 1e6,
                          cost=s.fit.cost) for s in run.splits]
    return out


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    result = integrate_fitted(Trace(open(sys.argv[1], "rb").read()))
    print(json.dumps(result, indent=1))
