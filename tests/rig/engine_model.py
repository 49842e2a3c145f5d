#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A simulated inference engine whose joules are known, query by query.

Continuous batching with chunked prefill, first come first served, prefix hits, cancels, refused requests, preemption.
A step's time is an overlap of memory and compute; its energy has a part for the weights, one for each prefill token
(with its context), one for each sequence and one for each token of context read, and a part that goes with the time:
no linear model of [steps, prefill tokens, sequences, context] is exact. All constants, loads and lengths come from the
seed.

The truth of a query: in each step that holds it its leave-one-out marginal energy (the model with and without the
query's work), plus an equal share of the remainder. Queued queries get none. Idle power is apart: truth is above idle.

    data, truth = simulate(seed, "gpu", 16, 20)     # bytes of a recording; {query: {energy_j, prefill_j, ...}}
    engine_model.py [-o FILE] SEED PROFILE BATCH REFRESH_MS [KEY=VALUE ...]
"""
import argparse
import collections
import json
import math
import random
import sys

import meter_model

MS = 1_000_000
S = 1_000_000_000

# What simulate() takes beside seed, profile, batch and refresh_ms; times in ms.
OPTIONS = dict(meter="counter", steps=True, jitter_ms=0.2, cached_known=True, seconds=120, lag_ms=0.0,
               refresh_jitter=0.02, gain=1.0, meter_noise=0.02, sense_ms=25.0, interval_ms=None, stamps="refresh",
               idle="user", idle_error=0.0, quiet_s=3.0, cancels=0.03, refused=0.02, preempt=0.0, whole=0.0, hits=0.4,
               step_noise=0.03, drift=0.03)


class Profile:
    """Constants of one machine and one model, and the load on it, drawn from the seed."""

    RANGES = {  # step times in s, powers in W, lengths in tokens
        "gpu": dict(t_weights=(0.004, 0.025), ridge=(60, 250), kv_ridge=(8e4, 4e5), attn_ridge=(1e4, 6e4),
                    t_fixed=(0.0003, 0.002), t_seq=(5e-6, 3e-5), gap=(1e-4, 1e-3), w_idle=(40, 130),
                    w_memory=(80, 250), w_compute=(150, 400), w_active=(20, 80), chunk=(256, 2048),
                    prompt=(200, 1500), output=(80, 300)),
        "cpu": dict(t_weights=(0.015, 0.06), ridge=(8, 30), kv_ridge=(2e4, 1e5), attn_ridge=(5e3, 3e4),
                    t_fixed=(0.0002, 0.001), t_seq=(2e-5, 1e-4), gap=(5e-5, 3e-4), w_idle=(8, 60),
                    w_memory=(20, 60), w_compute=(40, 140), w_active=(10, 40), chunk=(128, 512),
                    prompt=(30, 150), output=(40, 120)),
    }

    FULL = dict(gpu=0.9, cpu=4.0)      # compute time of a mean step at most this times its memory time

    def __init__(self, rng, name):
        for key, (lo, hi) in self.RANGES[name].items():
            setattr(self, key, math.exp(rng.uniform(math.log(lo), math.log(hi))))
        self.name = name
        self.chunk = int(self.chunk)
        self.overlap = rng.uniform(2.5, 8.0)       # of memory and compute: 1 one after the other, much: the longer
        self.bend = rng.uniform(0.93, 1.0)         # joules per token fall with the tokens in a step
        self.prompt_sigma, self.output_sigma = rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.8)
        self.hit_part = rng.uniform(0.3, 0.9)      # of the prompt, where there is a hit
        self.drift_s, self.drift_at = rng.uniform(60, 300), rng.uniform(0, 2 * math.pi)

    @classmethod
    def draw(cls, rng, name, batch, opt):
        """One that can carry the load: of 200 the first whose prefill leaves room, else the one with the most."""
        best = None
        for _ in range(200):
            p = cls(rng, name)
            compute, memory = p.mean_step(batch, opt)
            p.fullness = compute / memory
            if best is None or p.fullness < best.fullness:
                best = p
            if p.fullness < cls.FULL[name]:
                return p
        return best

    def mean_lengths(self, opt):
        """Of prompts, of what of them is computed, of answers."""
        prompt = self.prompt * math.exp(self.prompt_sigma ** 2 / 2)
        return (prompt, prompt * (1 - opt["hits"] * 0.8 * self.hit_part),
                self.output * math.exp(self.output_sigma ** 2 / 2))

    def mean_step(self, batch, opt):
        """Compute and memory time of a step at this batch."""
        prompt, new, out = self.mean_lengths(opt)
        t_tok = self.t_weights / self.ridge
        context = batch * (prompt + out / 2)
        return (t_tok * (batch + new * batch / out) + t_tok / self.attn_ridge * context,
                self.t_weights * (1 + context / self.kv_ridge))

    def step_model(self):
        """f(tokens, attention, sequences, context) -> (s, J): attention is tokens x context, context in tokens read."""
        t_w, t_tok, t_kv = self.t_weights, self.t_weights / self.ridge, self.t_weights / self.kv_ridge
        t_attn, t_fixed, t_seq = t_tok / self.attn_ridge, self.t_fixed, self.t_seq
        p, inv, bend = self.overlap, 1 / self.overlap, self.bend
        w_m, w_c, w_a = self.w_memory, self.w_compute, self.w_active
        scale = t_tok * 64 ** (1 - bend)           # so that the bend turns around 64 tokens

        def model(tokens, attention, sequences, context):
            memory = t_w + t_kv * context
            compute = t_tok * tokens + t_attn * attention
            t = t_fixed + t_seq * sequences + (memory ** p + compute ** p) ** inv
            return t, w_m * memory + w_c * (scale * tokens ** bend + t_attn * attention) + w_a * t
        return model

    def lengths(self, rng):
        prompt = int(rng.lognormvariate(math.log(self.prompt), self.prompt_sigma))
        output = int(rng.lognormvariate(math.log(self.output), self.output_sigma))
        return min(max(prompt, 8), 12 * int(self.prompt)), min(max(output, 4), 6 * int(self.output))


class Query:
    """One query, as its client and the engine see it. Times in s since the run began."""

    __slots__ = ("id", "at", "prompt", "cached", "output", "todo", "past", "made", "cancel_at", "refused", "whole",
                 "first_step", "tokens_at", "marginal", "shared", "prefill", "end", "ended")

    def __init__(self, qid, at, prompt, cached, output):
        self.id, self.at, self.prompt, self.cached, self.output = qid, at, prompt, cached, output
        self.todo, self.past, self.made = prompt - cached, cached, 0    # tokens to prefill; in the cache; generated
        self.cancel_at, self.refused, self.whole = math.inf, False, False
        self.first_step, self.tokens_at = None, []                      # ends of the steps that made its tokens
        self.marginal = self.shared = self.prefill = 0.0
        self.end, self.ended = "running", None


def arrivals(rng, profile, rate, opt):
    """Queries of a Poisson process, from quiet_s on."""
    out, t = [], opt["quiet_s"]
    while True:
        t += rng.expovariate(rate)
        if t > opt["seconds"] - 0.05:
            return out
        prompt, output = profile.lengths(rng)
        hit = rng.random() < opt["hits"] and rng.random() < 0.8
        cached = min(prompt - 1, int(prompt * profile.hit_part * rng.uniform(0.5, 1.1)) // 16 * 16) if hit else 0
        q = Query(len(out) + 1, t, prompt, max(0, cached), output)
        kind = rng.random()
        if kind < opt["cancels"]:
            q.cancel_at = t + rng.expovariate(1 / (profile.t_weights * output))
        elif kind < opt["cancels"] + opt["refused"]:
            q.refused = True
        q.whole = rng.random() < opt["whole"]
        out.append(q)


Step = collections.namedtuple("Step", "begin end joules tokens parts")  # parts: (query, prefill, sequences, context)


class Engine:
    """Steps over queries; steps and the queries' joules are what is left of it."""

    def __init__(self, rng, profile, batch, opt):
        self.rng, self.profile, self.opt = rng, profile, opt
        self.model = profile.step_model()
        self.most = max(8, int(batch * 1.6) + 4)                        # sequences in a batch
        self.running, self.waiting, self.steps = [], collections.deque(), []
        self.in_flight_s = 0.0

    def run(self, queries, truth=True):
        coming = collections.deque(q for q in queries if not q.refused)
        for q in queries:
            if q.refused:
                q.end, q.ended = "error", q.at + 0.001
        now, end = 0.0, self.opt["seconds"]
        while now < end:
            while coming and coming[0].at + 0.0003 <= now:
                self.waiting.append(coming.popleft())
            self.drop_cancelled(now)
            work = self.schedule()
            if not work:
                if not coming:
                    break
                now = coming[0].at + 0.0003 + self.rng.uniform(0, 0.0003)
                continue
            now = self.step(now, work, truth) + self.profile.gap * self.rng.uniform(0.5, 1.5)

    def drop_cancelled(self, now):
        for held in (self.running, self.waiting):
            for q in [q for q in held if q.cancel_at <= now]:
                held.remove(q)
                q.end, q.ended = "cancel", q.cancel_at

    def schedule(self):
        """[(query, prefill tokens, attention, sequences, context read)] of the next step."""
        opt, work = self.opt, []
        if opt["preempt"] and len(self.running) > 1 and self.rng.random() < opt["preempt"]:
            q = self.running.pop()                                      # it will do its whole context again
            q.todo, q.past = q.todo + q.past, 0
            self.waiting.appendleft(q)
        budget = self.profile.chunk
        for q in self.running:
            if not q.todo:
                work.append((q, 0, q.past, 1, q.past))
        budget = max(16, budget - len(work))
        for q in self.running:
            if q.todo and budget > 0:
                budget -= self.chunk(q, budget, work)
        while self.waiting and budget > 0 and len(self.running) < self.most:
            q = self.waiting.popleft()
            self.running.append(q)
            budget -= self.chunk(q, budget, work)
        return work

    @staticmethod
    def chunk(q, budget, work):
        n = min(q.todo, budget)
        work.append((q, n, n * (q.past + n / 2), 0, q.past))
        return n

    def step(self, now, work, truth):
        tokens = attention = context = 0
        for _, n, a, d, k in work:
            tokens += n + d
            attention += a
            context += k
        held = len(work)
        t, joules = self.model(tokens, attention, held, context)
        t *= max(0.9, self.rng.gauss(1, 0.01))
        end = now + t
        self.in_flight_s += (held + len(self.waiting)) * (t + self.profile.gap)
        if truth:
            p = self.profile
            wander = 1 + self.opt["drift"] * math.sin(2 * math.pi * now / p.drift_s + p.drift_at)
            factor = wander * max(0.5, self.rng.gauss(1, self.opt["step_noise"]))
            self.charge(now, end, work, (tokens, attention, held, context), joules, factor)
        for q, n, _, d, _ in work:
            q.past += n + d
            q.todo -= n
            if q.todo == 0 and q.cancel_at > end:
                q.made += 1
                q.tokens_at.append(end)
                if q.made >= q.output:
                    q.end, q.ended = "complete", end
        if any(q.ended for q, *_ in work):
            self.running = [q for q in self.running if not q.ended]
        return end

    def charge(self, now, end, work, sums, joules, factor):
        """The step's joules to the queries in it."""
        model = self.model
        tokens, attention, held, context = sums
        marginal = [factor * (joules - model(tokens - n - d, attention - a, held - 1, context - k)[1])
                    for _, n, a, d, k in work]
        joules *= factor
        if held == 1:                                                   # without it there is no step
            marginal[0] = joules
        share = (joules - sum(marginal)) / held
        for (q, n, _, _, _), m in zip(work, marginal):
            if q.first_step is None:
                q.first_step = now
            part = 1.0 if q.cancel_at >= end else max(0.0, (q.cancel_at - now) / (end - now))
            q.marginal += m * part
            q.shared += share * part
            if not q.made:
                q.prefill += (m + share) * part
        self.steps.append(Step(now, end, joules, int(tokens), [(q.id, n, d, k) for q, n, _, d, k in work]))


def tuned(seed, profile, batch, opt):
    """Queries of which `batch` are in flight in the mean: a guess, then two trials with other queries."""
    rng = random.Random("ipw-rig-tune-%s" % seed)
    prompt, new, out = profile.mean_lengths(opt)
    context, n = batch * (prompt + out / 2), new * batch / out          # n: prefill tokens in a step
    t = profile.step_model()(batch + n, context, batch, context)[0] + profile.gap
    rate = batch / (out * t + new / profile.chunk * t)
    for trial in range(2):
        engine = Engine(rng, profile, batch, dict(opt, preempt=0))
        engine.run(arrivals(rng, profile, rate, opt), truth=False)
        mean = max(0.1 * batch, engine.in_flight_s / (opt["seconds"] - opt["quiet_s"]))
        rate *= min(2.0, max(0.5, batch / mean)) ** (0.8 if trial == 0 else 0.5)
    return arrivals(random.Random("ipw-rig-load-%s" % seed), profile, rate, opt)


class Run:
    """Everything of one run: .data (recording), .truth, .steps (as Step), .queries, .profile, .engine, .opt."""

    def __init__(self, seed, profile, batch, refresh_ms, **options):
        unknown = set(options) - set(OPTIONS)
        if unknown:
            raise TypeError("simulate() knows no %s" % ", ".join(sorted(unknown)))
        self.opt = opt = dict(OPTIONS, **options, refresh_ms=refresh_ms)
        self.batch = batch
        key = "%s-%s-%s" % (seed, profile, batch)
        self.profile = Profile.draw(random.Random("ipw-rig-profile-" + key), profile, batch, opt)
        self.queries = tuned(key, self.profile, batch, opt)
        self.engine = Engine(random.Random("ipw-rig-engine-" + key), self.profile, batch, opt)
        self.engine.run(self.queries)
        self.steps = self.engine.steps
        for q in self.queries:
            if q.end == "running" and q.cancel_at <= opt["seconds"]:
                q.end, q.ended = "cancel", q.cancel_at
        self.record = meter_model.Record(random.Random("ipw-rig-meter-" + key), self)
        self.data = self.record.bytes()
        self.truth = {q.id: self.truth_of(q) for q in self.queries}

    def truth_of(self, q):
        ns = lambda t: None if t is None else self.record.t0 + int(t * S)
        energy = q.marginal + q.shared
        return dict(energy_j=energy, marginal_j=q.marginal, shared_j=q.shared, prefill_j=q.prefill,
                    decode_j=energy - q.prefill, end=q.end, R=ns(q.at), E=ns(q.ended),
                    F=ns(q.tokens_at[0] if q.tokens_at else None), prompt=q.prompt, cached=q.cached, tokens=q.made,
                    queue_ms=None if q.first_step is None else (q.first_step - q.at) * 1e3, whole=q.whole)


def simulate(seed, profile, batch, refresh_ms, **options):
    """(bytes of a recording, {query id: truth}); options: see OPTIONS."""
    run = Run(seed, profile, batch, refresh_ms, **options)
    return run.data, run.truth


def value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def main():
    ap = argparse.ArgumentParser(description="Writes one recording; prints the truth.")
    ap.add_argument("-o", default="ipw.data")
    ap.add_argument("seed")
    ap.add_argument("profile", choices=sorted(Profile.RANGES))
    ap.add_argument("batch", type=int)
    ap.add_argument("refresh_ms", type=float)
    ap.add_argument("option", nargs="*", help="of " + ", ".join(OPTIONS))
    a = ap.parse_args()
    data, truth = simulate(a.seed, a.profile, a.batch, a.refresh_ms,
                           **{k: value(v) for k, v in (o.split("=", 1) for o in a.option)})
    with open(a.o, "wb") as f:
        f.write(data)
    json.dump(truth, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
