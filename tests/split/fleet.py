#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Fleets: seeded random runs of a simulated server, written as recordings.

`Recording` writes the format of userspace/sink/recording.h. `fleet(seed)` makes one run: targets, meters, activity,
GPU shares and queries of every kind, in the order in which a live run writes them:

  - at each look: activity, then the samples (each with its own, slightly later time), then who computes on the GPUs;
  - then the events that were drained since. An event may be older than the activity before it, by up to a tick or two.

Which numbers stand for what where recording.h does not say was seen in recordings of live runs, not in the source:
sample flag 1 = the time since the sample before is a gap (the first sample of a counter has it, and a counter that was
reset, which stands still over the gap); flag 2 = a counter that stands still, noted every 2 s; energy_uj is cumulative;
activity is cumulative; idle_source 1 auto, 2 user, 3 model, 4 none (with idle_w 0); REC_GPU has the time of its look.

    fleet.py SEED FILE      write one
"""
import bisect
import math
import random
import struct
import sys
import zlib

MS = 1_000_000
S = 1_000_000_000

RUN, TARGET, METER, ACTIVITY, SAMPLE, GPU, END, OPEN, EDGE, WIRE = 1, 2, 3, 4, 5, 6, 7, 8, 11, 32
W_REQUEST, W_RESPONSE, W_MODEL, W_TOKENS, W_USAGE, W_FINISH, W_ERROR, W_TROUBLE, W_OVER = range(2, 11)
W_HOP = 12
DONE, CANCEL, CUT, LOST = 1, 2, 3, 4
PLATFORM, PACKAGE, CORE, UNCORE, DRAM, GPU_BOARD = range(6)
AUTO, USER, MODEL, NONE = 1, 2, 3, 4
GAP, STILL = 1, 2
BLOCK_MAX = 65536


class Recording:
    """Records in, bytes out."""

    def __init__(self):
        self.records = []

    def add(self, kind, n, body):
        body += b"\0" * (-len(body) % 8)
        self.records.append(struct.pack("<HHI", kind, 8 + len(body), n & 0xFFFFFFFF) + body)

    def run(self, nslot, start_ns, interval_ms, nmeter):
        self.add(RUN, nslot, struct.pack("<QqII32s256s128s16s", start_ns, 1_700_000_000 * S, interval_ms, nmeter,
                                         b"0.1.0", b"simulated", b"simulated", b"tp"))

    def target(self, slot, pid):
        self.add(TARGET, slot, struct.pack("<I20s", pid, b"server"))

    def meter(self, index, domain, unit, parent, idle_source, idle_w, name, source=b"rapl_powercap", period_us=1000,
              estimated=0):
        self.add(METER, index, struct.pack("<IIIIiiIId32s96s32s", domain, 0, estimated, period_us, unit, parent,
                                           idle_source, 0, idle_w, name.encode(), b"simulated", source))

    def activity(self, t_ns, groups, kind=ACTIVITY):
        """groups: (unit, busy_ns, [slot_ns of slots 1..n]), cumulative."""
        body = struct.pack("<Q", t_ns)
        for unit, busy, slots in groups:
            body += struct.pack("<q%dQ" % (1 + len(slots)), unit, busy, *slots)
        self.add(kind, len(groups), body)

    def sample(self, channel, t_ns, energy_uj, flags=0):
        self.add(SAMPLE, channel | flags << 16, struct.pack("<Qd", t_ns, energy_uj))

    def gpu(self, channel, known, t_ns, shares):
        self.add(GPU, channel | known << 16, struct.pack("<Q%dd" % len(shares), t_ns, *shares))

    def open(self, slot, ts_ns, query, start_ns):
        self.add(OPEN, slot, struct.pack("<QQQII24s128s64s64s64s40s", ts_ns, query, start_ns, 100 + slot, 0,
                                         b"openai-chat", b"/v1/chat/completions", b"127.0.0.1:40000",
                                         b"127.0.0.1:8000", b"", b""))

    def wire(self, kind, ts_ns, query, n=0, tail=b""):
        self.add(WIRE + kind, n, struct.pack("<QQ", ts_ns, query) + tail)

    def end(self, end_ns, lost=0):
        self.add(END, 0, struct.pack("<QQQd", end_ns, lost, 0, 0.125))

    def bytes(self):
        out = [struct.pack("<8sII", b"IPWDATA", 1, 0x01020304)]
        block, size, seq = [], 0, 0
        for r in self.records + [None]:
            if block and (r is None or size + len(r) > BLOCK_MAX):
                data = b"".join(block)
                out.append(struct.pack("<IIII", 0x42575049, len(data), zlib.crc32(data, seq), seq) + data)
                block, size, seq = [], 0, seq + 1
            if r is not None:
                block.append(r)
                size += len(r)
        return b"".join(out)


# --- queries ----------------------------------------------------------------------------------------------------------

class Events:
    """What the wire says of one query: (time, record writer) in the order in which it says it."""

    def __init__(self, query, slot):
        self.query, self.slot, self.list = query, slot, []

    def open(self, ts, start):
        self.list.append((ts, lambda r, s=self: r.open(s.slot, ts, s.query, start)))

    def wire(self, kind, ts, n=0, tail=b""):
        self.list.append((ts, lambda r, s=self: r.wire(kind, ts, s.query, n, tail)))

    def usage(self, ts, prompt, cached, completion):
        self.wire(W_USAGE, ts, 0, struct.pack("<qqq", prompt, cached, completion))

    def response(self, ts, status, stream):
        self.wire(W_RESPONSE, ts, status, struct.pack("<q", stream))

    def hop(self, ts, of, by=6):
        self.wire(W_HOP, ts, by, struct.pack("<Q", of))

    def over(self, ts, how, end_ns=0):
        self.wire(W_OVER, ts, how, struct.pack("<Q", end_ns))


KINDS = ["stream", "stream", "stream", "stream", "whole", "whole", "cancel_prefill", "cancel_decode", "error", "cut",
         "short_stream", "short_whole", "stream_error", "cancel_whole", "cancel_goes_on", "empty_stream"]


def one_query(rng, ev, kind, start, r_ns, steps, end_ns, many):
    """
    One query from `start`, request complete at r_ns, tokens at the engine's steps (times after r_ns). Nothing after
    end_ns is written: what would come later runs at the end of the trace.
    """
    bytes_ = rng.choice([64, 200, 1001, 4000, 20003])
    prompt = rng.choice([-1, 1, 17, bytes_ // 4, 500, 2000])
    cached = rng.choice([-1, -1, 0, prompt // 2, prompt]) if prompt > 0 else -1
    usage = rng.random() < 0.75
    if kind == "midway":  # it began before we looked: no start, no request
        ev.open(steps[0], 0)
    else:
        ev.open(rng.choice([start, r_ns]), start)
        ev.wire(W_MODEL, r_ns, 0, b"sim".ljust(128, b"\0"))
    if kind == "never_complete":
        ev.over(steps[-1], CANCEL)
        return
    if kind != "midway":
        ev.wire(W_REQUEST, r_ns, bytes_)
    us = lambda lo, hi: rng.randrange(lo * 1000, hi * 1000)

    if kind in ("whole", "short_whole", "cancel_whole", "error"):
        fin = r_ns + us(50, 4000) if kind == "short_whole" else steps[-1]
        if kind == "cancel_whole":
            ev.over(rng.choice([r_ns + (steps[-1] - r_ns) // 3 + 1, steps[0]]), CANCEL)
        else:
            ret = fin + us(2, 200)
            ev.response(fin - min(us(1, 40), (fin - r_ns) // 2), 400 if kind == "error" else 200, 0)
            if kind == "error":
                ev.wire(W_ERROR, fin)
            elif usage:
                ev.usage(ret, prompt, cached, rng.choice([-1, 1, len(steps), 3 * len(steps)]))
            ev.wire(W_FINISH, fin)
            ev.over(ret, DONE, ret)
        return

    if kind == "short_stream":
        steps, t = [], r_ns
        for _ in range(rng.randint(1, 5)):
            t += us(20, 900)
            steps.append(t)
    head = kind != "cancel_prefill" or rng.random() < 0.5
    if head:
        ev.response(steps[0] if kind == "midway" else max(r_ns, steps[0] - us(1, 3000)), 200, 1)
    if kind == "cancel_prefill":
        ev.over(max(steps[0], r_ns + us(1000, 300000)), CANCEL)
        return
    if kind == "empty_stream":
        fin = steps[-1]
        if usage:
            ev.usage(fin + us(1, 30), prompt, cached, 0)
        ev.wire(W_FINISH, fin)
        ev.over(fin + us(30, 300), DONE, fin + us(30, 300))
        return

    cut_at = None
    if kind in ("cancel_decode", "cut", "stream_error", "cancel_goes_on"):
        cut_at = rng.randint(1, len(steps))
    running_usage = usage and rng.random() < 0.2
    offset = us(0, 200) if many == "spread" else 0
    ntok, last = 0, r_ns
    for i, t in enumerate(steps[:cut_at]):
        n = rng.choice([1, 1, 1, 1, 2, 5, 8]) if many != "one" else 1
        last = t + offset
        ev.wire(W_TOKENS, last, n)
        ntok += n
        if running_usage:
            ev.usage(last + 1000, prompt, cached, ntok * 2)
    if kind in ("stream", "short_stream", "midway"):
        fin = last + rng.choice([0, us(1, 100), us(100, 2000)])
        ret = fin + us(5, 300)
        order = [lambda: ev.wire(W_FINISH, fin)]
        if usage and not running_usage:
            completion = rng.choice([-1, ntok, ntok + 1, 2 * ntok, max(1, ntok // 2), ntok * 3 + 1])
            order.insert(rng.randint(0, 1), lambda: ev.usage(ret, prompt, cached, completion))
        for f in order:
            f()
        if rng.random() < 0.05:
            ev.over(ret + us(100, 5000), CANCEL, ret)  # the client left after the end, before [DONE]
        else:
            ev.over(ret, DONE, ret)
    elif kind == "stream_error":
        ev.wire(W_ERROR, last + us(5, 50))
        ev.wire(W_FINISH, last + us(50, 60))
        ev.over(last + us(60, 300), DONE, last + us(60, 300))
    else:
        noticed = last + us(10, 60000)
        ev.over(noticed, CUT if kind == "cut" else rng.choice([CANCEL, CANCEL, LOST]), last + 1000)
        if kind == "cancel_goes_on":  # some servers finish an answer that nobody reads
            for t in steps[cut_at:]:
                if t > noticed:
                    ev.wire(W_TOKENS, t, 1)


def queries(rng, trait, t0, t1, ts):
    """All events of all queries: [[(ts, writer), ...], ...], and how many of each kind."""
    def snap(t):
        """To the look after t, sometimes."""
        return ts[bisect.bisect_left(ts, t)] if trait["on_looks"] and t <= ts[-1] and rng.random() < 0.3 else t

    nslot = trait["nslot"]
    out, kinds, busy_from, busy_to = [], {}, t0, t1
    if trait["quiet"]:  # seconds without any query, where the idle floor can be found
        busy_to = t1 - rng.randrange(1300 * MS, 3000 * MS)
    t, n = t0 + rng.randrange(20 * MS, 400 * MS), 0
    while t < busy_to - 50 * MS and n < trait["max_queries"]:
        batch = rng.randint(1, trait["batch"])
        step_ms = rng.uniform(*trait["step_ms"])
        grid, g = [], t + int(rng.uniform(5, 250) * MS)
        length = rng.randint(1, trait["tokens"])
        while len(grid) < length:
            grid.append(g)
            g += int(step_ms * rng.uniform(0.7, 1.3) * MS)
        grid = sorted(snap(g) for g in grid)
        if trait["quiet"]:
            grid = [g for g in grid if g < busy_to] or [t + 10 * MS]
        shared = rng.random() < 0.4  # they start, get their first token and end together
        for _ in range(batch):
            if n >= trait["max_queries"]:
                break
            n += 1
            kind = rng.choice(KINDS + ["midway", "never_complete"] if trait["midway"] else KINDS)
            slot = rng.randint(1, nslot)
            r = t if shared else snap(t + rng.randrange(0, max(1, (grid[0] - t) * 3 // 2)))
            start = r - rng.choice([0, 0, 1000, rng.randrange(1, 30 * MS)])
            steps = [g for g in grid if g > r] or [r + 5 * MS]
            if not shared and len(steps) > 2:
                steps = steps[rng.randrange(0, len(steps) // 2):][:rng.randint(1, len(steps))]
            ev = Events(n, slot)
            one_query(rng, ev, kind, start, r, steps, t1, rng.choice(["one", "spread", "several"]))
            kept = [(ts, w) for ts, w in ev.list if ts <= t1]
            if not kept or start < t0 or r > t1:
                n -= 1
                continue
            if trait["quiet"] and any(ts > busy_to + 50 * MS for ts, _ in kept):
                n -= 1
                continue
            kinds[kind if len(kept) == len(ev.list) else "running_" + kind] = \
                kinds.get(kind if len(kept) == len(ev.list) else "running_" + kind, 0) + 1
            out.append(kept)
        t += rng.choice([rng.randrange(1, 30 * MS), int(step_ms * MS) * rng.randint(0, 20) + 1,
                         rng.randrange(1, int(trait["gap_ms"]) * MS)])
    return out, kinds


# --- the machine ------------------------------------------------------------------------------------------------------

def meters(rng, trait):
    """[dict] in the order of their channels; a parent stands before its children."""
    out = []

    def add(domain, unit, parent, name, base_w, dyn_w, period_us):
        source = rng.choice(trait["idle"])
        idle_w = math.nan if source == AUTO else 0.0 if source == NONE else round(base_w * rng.uniform(0.5, 1.1), 2)
        out.append(dict(domain=domain, unit=unit, parent=parent, name=name, base_w=base_w, dyn_w=dyn_w,
                        period_ns=period_us * 1000, idle_source=source, idle_w=idle_w))
        return len(out) - 1

    period = lambda: rng.choice(trait["period_us"])
    top = -1
    if trait["cpu"] == "platform":
        top = add(PLATFORM, -1, -1, "psys", rng.uniform(20, 80), rng.uniform(50, 200), period())
    if trait["cpu"] == "model":
        add(PACKAGE, -1, -1, "package_estimated", rng.uniform(2, 30), rng.uniform(20, 100), 100_000)
    elif trait["cpu"] != "none":
        for p in range(trait["npkg"]):
            pkg = add(PACKAGE, p, top, "package-%d" % p, rng.uniform(5, 50), rng.uniform(20, 200), period())
            if rng.random() < 0.3:
                add(CORE, p, pkg, "core-%d" % p, 2, rng.uniform(10, 50), period())
            if trait["dram"]:
                add(DRAM, p, top, "dram-%d" % p, rng.uniform(1, 8), rng.uniform(2, 20), period())
    for g in range(trait["ngpu"]):
        add(GPU_BOARD, g, -1, "gpu%d" % g, rng.uniform(40, 120), rng.uniform(100, 600), rng.choice([20_000, 100_000]))
    return out


def traits(rng):
    quiet = rng.random() < 0.35
    t = dict(
        nslot=rng.choice([1, 1, 1, 2, 3]),
        npkg=rng.choice([1, 1, 2]),
        cpu=rng.choice(["package", "package", "package", "platform", "platform", "model", "none"]),
        dram=rng.random() < 0.5,
        ngpu=rng.choice([0, 0, 0, 1, 1, 2]),
        tick_ms=rng.choice([10, 20, 33, 50, 50, 100, 100]),
        period_us=rng.choice([[1000], [1000, 1000, 100_000], [100_000], [1000, 1_000_000]]),
        idle=rng.choice([[USER], [USER], [MODEL], [NONE], [AUTO], [AUTO], [USER, AUTO]]),
        gaps=rng.random() < 0.25,
        quiet=quiet,
        still=rng.random() < 0.3,      # stretches in which no CPU does anything
        others=rng.choice([0.0, 0.1, 0.5]),
        drain=rng.choice(["looks", "looks", "early"]),
        batch=rng.choice([1, 2, 4, 8, 16, 64]),
        step_ms=rng.choice([(6, 12), (15, 30), (40, 120)]),
        tokens=rng.choice([3, 20, 60]),
        gap_ms=rng.choice([30, 300, 1500]),
        max_queries=150,
        length_ms=rng.randint(2500, 9000),
        spike=rng.random() < 0.3,      # a look that comes late
        midway=rng.random() < 0.15,    # queries that began before we looked, requests that never became complete
        on_looks=rng.random() < 0.4,   # some of what happens does so at the very time of a look
    )
    if t["cpu"] == "none":
        t["ngpu"] = max(1, t["ngpu"])
    if quiet:
        t["length_ms"] += 2500
    return t


def looks(rng, trait, t0, t1):
    out, t = [t0], t0
    while t < t1:
        dt = trait["tick_ms"] * MS * rng.uniform(0.97, 1.03)
        if trait["spike"] and rng.random() < 0.02:
            dt *= rng.uniform(2, 6)
        t += int(dt)
        out.append(t)
    out.append(t + rng.randrange(200_000, 500_000))  # a live run looks once more when it stops
    return out


def machine(rng, trait, ts, ms):
    """For each look: activity groups, samples and GPU records."""
    nslot, npkg = trait["nslot"], 1 if trait["cpu"] in ("model", "none") else trait["npkg"]
    ncpu = rng.choice([2, 8, 48])
    busy = [0] * npkg
    slots = [[0] * nslot for _ in range(npkg)]
    now = [rng.uniform(0, 1e12) for _ in ms]             # true counters, uJ
    shown = list(now)                                    # as the meter last refreshed them
    next_refresh = [ts[0] + rng.randrange(1, m["period_ns"] + 1) for m in ms]
    hidden = [0.0] * len(ms)                             # energy that a reset swallowed
    silent = [0] * len(ms)                               # looks for which it still says nothing
    first = [True] * len(ms)
    gpu_next, out = ts[0], []
    still_until = 0
    first_flag = rng.choice([0, GAP])
    quiet_from = ts[-1] - 1_200 * MS
    lag = rng.randrange(5_000, 60_000)
    walk = 0.5
    for k, t in enumerate(ts):
        dt = t - ts[k - 1] if k else 0
        if trait["still"] and t > still_until and rng.random() < 0.02:
            still_until = t + rng.randrange(100 * MS, 600 * MS)
        idle = t < still_until
        walk = min(1.0, max(0.0, walk + rng.uniform(-0.2, 0.2)))
        use = []
        for p in range(npkg):
            mine = [0.0 if idle else rng.uniform(0, 0.9) * walk / nslot for _ in range(nslot)]
            if rng.random() < 0.05:
                mine = [0.0] * nslot
            other = 0.0 if idle else rng.uniform(0, trait["others"])
            for s in range(nslot):
                slots[p][s] += int(mine[s] * dt * ncpu * 0.6)
            busy[p] = busy[p] + sum(int(m * dt * ncpu * 0.6) for m in mine) + int(other * dt * ncpu * 0.3)
            use.append(min(1.0, sum(mine) + other))
        samples = []
        for c, m in enumerate(ms):
            u = use[m["unit"]] if 0 <= m["unit"] < npkg and m["domain"] != GPU_BOARD else sum(use) / npkg
            w = m["base_w"] * rng.uniform(0.8, 1.2) + m["dyn_w"] * u
            now[c] += w * dt / 1e3                       # W * ns = 1e-3 uJ
            if t < next_refresh[c] and not first[c]:
                continue
            while next_refresh[c] <= t:
                next_refresh[c] += m["period_ns"]
            if silent[c]:
                silent[c] -= 1
                if silent[c] == 0 and rng.random() < 0.3:  # it was only late
                    shown[c] = now[c] - hidden[c]
                    samples.append((c, t + lag + 7_000 * c, shown[c], 0))
                elif silent[c] == 0:                     # it is back, and counts from there
                    hidden[c] += now[c] - hidden[c] - shown[c]
                    samples.append((c, t + lag + 7_000 * c, shown[c], GAP))
                continue
            if trait["gaps"] and not first[c] and rng.random() < 0.02:
                silent[c] = rng.randint(1, 6)
                continue
            shown[c] = now[c] - hidden[c]
            samples.append((c, t + lag + 7_000 * c, shown[c], first_flag if first[c] else 0))
            first[c] = False
        users = []
        if t >= gpu_next:
            gpu_next += S
            for c, m in enumerate(ms):
                if m["domain"] == GPU_BOARD:
                    known = 0 if rng.random() < 0.15 else 1
                    share = [rng.choice([0.0, 1.0, rng.random()]) for _ in range(nslot)]
                    total = max(1.0, sum(share))
                    users.append((c, known, t, [x / total for x in share]))
        groups = [(p, busy[p], list(slots[p])) for p in range(npkg)]
        out.append((groups, samples, users))
    return out


def fleet(seed):
    """bytes of a recording, and what is in it: {trait: value}, {kind of query: how many}."""
    rng = random.Random("ipw-split-%s" % seed)
    trait = traits(rng)
    t0 = rng.randrange(10**12, 10**14)
    t1 = t0 + trait["length_ms"] * MS
    ms = meters(rng, trait)
    ts = looks(rng, trait, t0, t1)
    qs, kinds = queries(rng, trait, t0 + 1, ts[-1], ts)
    mach = machine(rng, trait, ts, ms)

    # When is an event drained? With the look after it; where the ring is read between looks, before that look, or just
    # behind it when it is late. In the order of its query.
    drained = [[] for _ in range(2 * len(ts) + 1)]  # 2k: before look k, 2k + 1: after it
    for q in qs:
        place = seen = 0
        for order, (at, write) in enumerate(q):
            k = bisect.bisect_left(ts, at)
            late = rng.choice([0, 0, rng.randrange(1, 2 * MS), rng.randrange(1, 5 * MS)])
            early = trait["drain"] == "early" and k < len(ts) and at + late < ts[k]
            place = max(place, min(2 * k + (not early), 2 * len(ts) - 1))
            seen = max(seen, at + late)
            drained[place].append((seen, order, write))

    r = Recording()
    r.run(trait["nslot"], t0 - 3 * MS, trait["tick_ms"], len(ms))
    for s in range(1, trait["nslot"] + 1):
        r.target(s, 100 + s)
    for i, m in enumerate(ms):
        r.meter(i, m["domain"], m["unit"], m["parent"], m["idle_source"], m["idle_w"], m["name"],
                period_us=m["period_ns"] // 1000, estimated=int(trait["cpu"] == "model" and m["domain"] == PACKAGE))
    def drain(events):
        for _, _, write in sorted(events, key=lambda e: e[:2]):
            write(r)

    # Of some fleets every third look or so is an edge, and what meters say there is of that very time.
    edges = random.Random("ipw-split-edges-%s" % seed)
    trait["edges"] = edges.random() < 0.4
    for k, t in enumerate(ts):
        groups, samples, users = mach[k]
        drain(drained[2 * k])
        edge = trait["edges"] and 0 < k < len(ts) - 1 and edges.random() < 0.3
        r.activity(t, groups, EDGE if edge else ACTIVITY)
        for c, at, uj, flags in samples:
            r.sample(c, t if edge else at, uj, flags)
        for c, known, at, shares in users:
            r.gpu(c, known, at, shares)
        drain(drained[2 * k + 1])
    r.end(ts[-1])
    return r.bytes(), trait, kinds


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data, trait, kinds = fleet(sys.argv[1])
    open(sys.argv[2], "wb").write(data)
    print(trait, kinds, len(data))
