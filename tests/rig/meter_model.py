# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What a tracer would have recorded of a simulated run (engine_model.Run): looks at the CPUs, readings of a meter, what
crossed the wire, and, if asked for, the engine's steps; in the order in which a live run writes them.

The meter sees the true energy (idle power plus the steps') some lag ago, refreshes every so often with a jitter, and is
noisy, wrong by a gain, and coarse:

  counter   joules since it began; noise is of each refresh
  partial   the same, but it senses the power for sense_ms of each refresh only
  gauge     mean watts of the last second; the sampler makes joules of it as collectors/tally.c does

The samples of a counter have the time at which it is held to have refreshed, as collectors/refresh.c finds it, or,
with stamps="read", that of the reading.
"""
import bisect
import math
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "split"))
import fleet  # noqa: E402

MS = 1_000_000
S = 1_000_000_000
STEP = 10
ENERGY, POWER = 0, 1
NCPU = {"gpu": 1, "cpu": 8}            # CPUs that are busy during a step
RESOLUTION_UJ = {"gpu": 1000.0, "cpu": 61.0}


class Recording(fleet.Recording):
    def step(self, slot, begin_ns, end_ns, tokens, pid):
        self.add(STEP, slot, struct.pack("<QQiI", begin_ns, end_ns, tokens, pid))

    def reads(self, index, domain, reading, idle_source, idle_w, name, source, period_us):
        """As meter(), with the kind of reading."""
        self.add(fleet.METER, index, struct.pack("<IIIIiiIId32s96s32s", domain, reading, 0, period_us, 0, -1,
                                                 idle_source, 0, idle_w, name, b"simulated", source))


class Curve:
    """A sum that grows evenly between points: (time, value), both rising."""

    def __init__(self, slope):
        self.t, self.v, self.slope = [0.0], [0.0], slope    # the slope outside of what is added

    def add(self, begin, end, rise):
        if begin > self.t[-1]:
            self.v.append(self.v[-1] + self.slope * (begin - self.t[-1]))
            self.t.append(begin)
        self.v.append(self.v[-1] + rise)
        self.t.append(end)

    def at(self, x):
        i = bisect.bisect_right(self.t, x) - 1
        if i < 0:
            return self.slope * x
        if i + 1 == len(self.t):
            return self.v[i] + self.slope * (x - self.t[i])
        return self.v[i] + (self.v[i + 1] - self.v[i]) * (x - self.t[i]) / (self.t[i + 1] - self.t[i])


class Meter:
    """.refreshes: (time it is seen from, value): uJ of a counter, W of a gauge."""

    def __init__(self, rng, energy, opt, resolution_uj, end):
        period, lag, noise = opt["refresh_ms"] / 1e3, opt["lag_ms"] / 1e3, opt["meter_noise"]
        self.refreshes, total = [], 0.0
        t = -rng.uniform(0, period) - period
        k, before = 0, energy.at(t - lag)
        while t < end:
            k += 1
            t_next = max(t + period * 0.2, t + period * (1 + rng.gauss(0, opt["refresh_jitter"])))
            now = energy.at(t_next - lag)
            wrong = opt["gain"] * (1 + rng.gauss(0, noise))
            if opt["meter"] == "gauge":
                watts = wrong * (now - energy.at(t_next - lag - 1.0))
                self.refreshes.append((t_next, round(watts, 3)))
            else:
                rise = now - before
                if opt["meter"] == "partial":
                    sense = min(opt["sense_ms"] / 1e3, t_next - t)
                    rise = (now - energy.at(t_next - lag - sense)) * (t_next - t) / sense
                total += wrong * rise * 1e6
                self.refreshes.append((t_next, total // resolution_uj * resolution_uj))
            t, before = t_next, now


class Refresh:
    """collectors/refresh.c, in its words; times in any unit."""

    def __init__(self, period):
        self.period, self.slack, self.span = period, 0.02 * period, None

    def begin(self, lo, hi):
        self.span, self.n, self.old, self.newer = (lo, hi), 0, (0, (lo + hi) / 2), (0, (lo + hi) / 2)

    def set_slack(self, slack):
        self.slack = min(max(slack, 0.001 * self.period), 0.5 * self.period)

    def periods_to(self, lo, hi):
        k = max(1, math.ceil((lo - self.span[1]) / (self.period + self.slack)))
        early = lo - self.span[1] - (k - 1) * (self.period + self.slack)
        late = self.span[0] + k * (self.period - self.slack) - hi
        return k - 1 if k > 1 and late >= 0 and early < late else k

    def follow(self, lo, hi):
        k = self.periods_to(lo, hi)
        if k > 1 and 2 * k * self.slack >= self.period:
            return self.begin(lo, hi)
        a, b = self.span[0] + k * (self.period - self.slack), self.span[1] + k * (self.period + self.slack)
        apart, at = a >= hi or b <= lo, hi if a >= hi else lo
        self.set_slack(self.slack * (1.5 if apart else 0.99))
        self.span = (max(lo, at - self.slack), min(hi, at + self.slack)) if apart else (max(lo, a), min(hi, b))
        self.n += k
        now = (self.n, sum(self.span) / 2)
        if self.n - self.old[0] >= 16:
            self.period = (now[1] - self.old[1]) / (self.n - self.old[0])
            self.set_slack(self.slack if self.n - k >= 16 else 0.02 * self.period)
        if self.n - self.newer[0] >= 256:
            self.old, self.newer = self.newer, now

    def moved(self, lo, hi):
        lo = max(lo, hi - self.period)
        if self.span and lo > hi - self.period:
            self.follow(lo, hi)
        else:
            self.begin(lo, hi)
        return sum(self.span) / 2


class Record:
    """The recording of a run."""

    def __init__(self, rng, run):
        self.rng, self.run, self.opt = rng, run, run.opt
        self.t0 = rng.randrange(10**12, 10**14)
        self.energy, self.cpu = Curve(run.profile.w_idle), Curve(0.0)
        for s in run.steps:
            self.energy.add(s.begin, s.end, s.joules + run.profile.w_idle * (s.end - s.begin))
            self.cpu.add(s.begin, s.end, (s.end - s.begin) * NCPU[run.profile.name])
        self.end = max(self.opt["seconds"], run.steps[-1].end if run.steps else 0) + 0.3
        self.meter = Meter(rng, self.energy, self.opt, RESOLUTION_UJ[run.profile.name], self.end)
        self.interval_ms = self.opt["interval_ms"] or min(1000, max(11, int(self.opt["refresh_ms"] * 11 / 20)))
        self.samples = []              # (ns, uJ) as they were recorded

    def ns(self, t):
        return self.t0 + int(t * S)

    def looks(self):
        out, t = [], 0.0
        while t < self.end:
            out.append(t)
            t = max(t + 0.001, len(out) * self.interval_ms / 1e3 + abs(self.rng.gauss(0, 0.0001)))
        return out + [t]

    def measured(self):
        """The refresh as sampler_measure() finds it: the middle of five."""
        at = [t for t, _ in self.meter.refreshes[:6]]
        return sorted(b - a for a, b in zip(at, at[1:]))[2]

    def read(self, looks):
        """self.samples: None where a look finds what it knew."""
        gauge, refreshes = self.opt["meter"] == "gauge", self.meter.refreshes
        tracker = Refresh(self.measured()) if self.opt["stamps"] == "refresh" and self.measured() >= 0.01 else None
        k = shown = joules = 0
        first = last = None
        for t in looks:
            t += self.rng.uniform(3e-5, 9e-5)
            while k + 1 < len(refreshes) and refreshes[k + 1][0] <= t:
                k += 1
            new = refreshes[k][1]
            if first is None:
                first = new
            if gauge and last is not None:
                joules += (shown + new) / 2 * (t - last) * 1e6
            if gauge or last is None or new != shown:
                at = tracker.moved(last, t) if tracker and not gauge and last is not None else t
                self.samples.append((self.ns(at), joules if gauge else new - first))
            else:
                self.samples.append(None)
            shown, last = new, t

    def events(self):
        """[(s, order, writer)] of all queries and steps, by time."""
        out = []
        for q in self.run.queries:
            self.wire(q, out)
        if self.opt["steps"]:
            for s in self.run.steps:
                out.append((s.end, 0, lambda r, s=s: r.step(1, self.ns(s.begin), self.ns(s.end), s.tokens, 101)))
        out.sort(key=lambda e: e[:2])
        return out

    def wire(self, q, out):
        rng, opt, n = self.rng, self.opt, 0

        def say(t, kind, count=0, tail=b""):
            nonlocal n
            n += 1
            ts = self.ns(t)
            out.append((t, q.id * 100000 + n, lambda r: r.wire(kind, ts, q.id, count, tail)))

        out.append((q.at, q.id * 100000, lambda r: r.open(1, self.ns(q.at), q.id, self.ns(q.at - 5e-5))))
        say(q.at, fleet.W_MODEL, 0, b"simulated".ljust(128, b"\0"))
        say(q.at, fleet.W_REQUEST, int(q.prompt * rng.uniform(3.5, 5)) + 200)
        if q.refused:
            say(q.ended, fleet.W_RESPONSE, 400, struct.pack("<q", 0))
            say(q.ended, fleet.W_ERROR)
            say(q.ended, fleet.W_FINISH)
            say(q.ended + 5e-5, fleet.W_OVER, fleet.DONE, struct.pack("<Q", self.ns(q.ended + 5e-5)))
            return
        t = q.at
        if not q.whole:
            for i, made in enumerate(q.tokens_at):
                t = max(t + 2e-6, made + 5e-5 + abs(rng.gauss(0, opt["jitter_ms"] / 1e3)))
                if i == 0:
                    say(t, fleet.W_RESPONSE, 200, struct.pack("<q", 1))
                say(t, fleet.W_TOKENS, 1)
        elif q.tokens_at:
            t = q.tokens_at[-1] + 5e-5 + abs(rng.gauss(0, opt["jitter_ms"] / 1e3))
        if q.end == "cancel":
            t = max(t, q.cancel_at)
            say(t, fleet.W_OVER, fleet.CANCEL, struct.pack("<Q", self.ns(t)))
        elif q.end == "complete":
            if q.whole:
                say(t, fleet.W_RESPONSE, 200, struct.pack("<q", 0))
            cached = q.cached if opt["cached_known"] else -1
            say(t + 1e-5, fleet.W_USAGE, 0, struct.pack("<qqq", q.prompt, cached, q.output))
            say(t + 1e-5, fleet.W_FINISH)
            say(t + 6e-5, fleet.W_OVER, fleet.DONE, struct.pack("<Q", self.ns(t + 6e-5)))

    def describe(self, r):
        opt, profile = self.opt, self.run.profile
        r.run(1, self.t0 - 3 * MS, self.interval_ms, 1)
        r.target(1, 101)
        source = dict(user=fleet.USER, auto=fleet.AUTO, none=fleet.NONE)[opt["idle"]]
        idle_w = dict(user=profile.w_idle * opt["gain"] * (1 + opt["idle_error"]), auto=float("nan"),
                      none=0.0)[opt["idle"]]
        domain, name, by = (fleet.GPU_BOARD, b"gpu0", b"nvml") if profile.name == "gpu" else \
            (fleet.PACKAGE, b"package-0", b"rapl_powercap")
        r.reads(0, domain, POWER if opt["meter"] == "gauge" else ENERGY, source, idle_w, name, by,
                int(opt["refresh_ms"] * 1000))

    def bytes(self):
        r = Recording()
        self.describe(r)
        looks = self.looks()
        self.read(looks)
        events, at, gpu_next = self.events(), 0, 0.0
        for t, sample in zip(looks, self.samples):
            ns, cpu = self.ns(t), int(self.cpu.at(t) * S)
            r.activity(ns, [(0, cpu, [cpu])])
            if sample:
                r.sample(0, *sample)
            if t >= gpu_next and self.run.profile.name == "gpu":
                r.gpu(0, 1, ns, [1.0])
                gpu_next = t + 1
            while at < len(events) and events[at][0] <= t:
                events[at][2](r)
                at += 1
        r.end(self.ns(looks[-1]))
        self.samples = [s for s in self.samples if s]
        return r.bytes()
