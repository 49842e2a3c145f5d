#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The oracle of the energy split: reads a recording and integrates, slowly, what userspace/man/ipw-trace.8 defines under
DEFINITIONS and HOW JOULES ARE SPLIT. It was written from that page and from the headers that describe the recording,
without a look at the C code that does the same.

Time is walked through in steps of at most 1 ms. A step also ends wherever something changes: at a look at the CPUs
(tick), at a reading of a meter, at R, F and E of every query. So within one step every integrand (power by linear
interpolation, who is active, tokens per second of a spread prompt) is constant, and steps are exact, also for a query
of a few microseconds: no tolerance is needed for the width of a step. Token events are points; they count in the tick
whose half-open interval (t0, t1] they lie in.

Where the page leaves a choice, READINGS names it, with what was chosen here; `integrate(..., readings={...})` takes
another one.

    integrate.py FILE       prints one JSON object: queries and books
"""
import bisect
import json
import math
import struct
import sys
import zlib

MS = 1_000_000
S = 1000 * MS
PLATFORM, PACKAGE, CORE, UNCORE, DRAM, GPU_BOARD = range(6)
RUN, TARGET, METER, ACTIVITY, SAMPLE, GPU, END, OPEN, EDGE, WIRE = 1, 2, 3, 4, 5, 6, 7, 8, 11, 32
W_REQUEST, W_RESPONSE, W_MODEL, W_TOKENS, W_USAGE, W_FINISH, W_ERROR, W_TROUBLE, W_OVER = range(2, 11)
W_HOP = 12
DONE, CANCEL, CUT, LOST = 1, 2, 3, 4
IDLE_AUTO = 1
SAMPLE_GAP = 1

# Choices that the page did not settle when this was written. It does now, and these are its; the others are kept to
# find out what a program that disagrees does.
READINGS = {
    # What of a tick in which a meter was silent for a part? part: what the meter did measure; tick: nothing of it.
    "gap": "part",
    # The idle floor of a tick that is measured in part, at the ends of a meter's readings. part: of the time measured;
    # tick: of the whole tick; always: also of ticks that no reading reached.
    "floor": "part",
    # Tokens after E (before it was noticed that a query is over). in: they weigh in their tick; out: they do not.
    "after_e": "in",
    # E of a query that said it was finished and was then cancelled, cut off or lost. finish: when it was finished;
    # noticed: when the other was noticed.
    "e_finished": "finish",
    # Energy of a tick in which nothing ran, while no floor is known. idle: in the idle row; others: other processes'.
    "nothing_ran": "others",
    # A GPU of which nobody says who uses it, with several targets. pool: as if all targets were one server; equal:
    # every target has an equal share; first: the first target has all.
    "unsplit": "equal",
}


# --- the recording ----------------------------------------------------------------------------------------------------

def cstr(b):
    return b.split(b"\0", 1)[0].decode()


class Meter:
    def __init__(self, body):
        (self.domain, _, _, _, self.unit, self.parent, self.idle_source, _, self.idle_w) = \
            struct.unpack_from("<IIIIiiIId", body)
        self.name = cstr(body[40:72])
        self.t, self.uj, self.gap = [], [], []
        self.late = []                         # [(from, to)] that were settled before a reading came (fitted.py)


class Query:
    def __init__(self, qid, slot, start):
        self.id, self.slot, self.start = qid, slot, start
        self.R = self.finish = self.over = self.how = None
        self.bytes, self.streamed, self.hop = 0, None, False
        self.events = []                       # (time, tokens)
        self.prompt = self.cached = self.completion = -1


class Trace:
    def __init__(self, data):
        self.meters, self.looks, self.gpu, self.queries = {}, [], {}, {}
        self.end = None
        magic, version, endian = struct.unpack_from("<8sII", data)
        if magic != b"IPWDATA\0" or version != 1 or endian != 0x01020304:
            raise ValueError("not a recording")
        at, expected = 16, 0
        while at < len(data):
            magic, length, crc, seq = struct.unpack_from("<IIII", data, at)
            block = data[at + 16:at + 16 + length]
            if magic != 0x42575049 or seq != expected or zlib.crc32(block, seq) != crc:
                raise ValueError("damaged block %d" % expected)
            at, expected = at + 16 + length, expected + 1
            o = 0
            while o < length:
                kind, size, n = struct.unpack_from("<HHI", block, o)
                self.record(kind, n, block[o + 8:o + size])
                o += size
        if self.end is None:
            raise ValueError("the recording has no end")

    def record(self, kind, n, body):
        if kind == RUN:
            self.nslot = n
        elif kind == METER:
            self.meters[n] = Meter(body)
        elif kind in (ACTIVITY, EDGE):         # a tick ends at both
            v = struct.unpack("<Q%dq" % (len(body) // 8 - 1), body)
            width = 2 + self.nslot
            groups = {v[1 + g * width]: (v[2 + g * width], v[3 + g * width:1 + (g + 1) * width]) for g in range(n)}
            self.looks.append((v[0], groups))
        elif kind == SAMPLE:
            m = self.meters[n & 0xFFFF]
            t, uj = struct.unpack_from("<Qd", body)
            m.t.append(t)
            m.uj.append(uj)
            m.gap.append(bool(n >> 16 & SAMPLE_GAP))
        elif kind == GPU:
            v = struct.unpack("<Q%dd" % (len(body) // 8 - 1), body)
            self.gpu.setdefault(n & 0xFFFF, []).append((v[0], list(v[1:]) if n >> 16 else None))
        elif kind == END:
            self.end = struct.unpack_from("<Q", body)[0]
        elif kind == OPEN:
            qid, start = struct.unpack_from("<QQ", body, 8)
            self.queries[qid] = Query(qid, n, start)
        elif kind > WIRE:
            self.wire(kind - WIRE, n, body)

    def wire(self, kind, n, body):
        ts, qid = struct.unpack_from("<QQ", body)
        q = self.queries[qid]
        if q.over is not None:                 # the first WIRE_OVER counts; what comes later is not this query's
            return
        if q.R is None and kind in (W_REQUEST, W_RESPONSE, W_TOKENS, W_FINISH):
            q.R = ts                           # "if that was not seen, the moment when the query was first seen"
        if kind == W_REQUEST:
            q.bytes = n
        elif kind == W_RESPONSE:
            q.streamed = {-1: None, 0: False, 1: True}[struct.unpack_from("<q", body, 16)[0]]
        elif kind == W_TOKENS:
            q.events.append((ts, n))
        elif kind == W_USAGE:
            q.prompt, q.cached, q.completion = struct.unpack_from("<qqq", body, 16)
        elif kind == W_FINISH:
            q.finish = ts
        elif kind == W_HOP:
            q.hop = True                       # its work is another's
        elif kind == W_OVER:
            q.over, q.how = ts, n


# --- the definitions --------------------------------------------------------------------------------------------------

def define(q, trace, readings, mistake):
    """R, F, E, and what weighs when."""
    cut_off = q.how in (CANCEL, CUT, LOST)
    if q.over is None:
        q.E = q.finish if q.finish is not None else trace.end         # running at the end of the trace
    elif q.finish is not None and (not cut_off or readings["e_finished"] == "finish"):
        q.E = q.finish
    else:
        q.E = q.over
    q.F = q.events[0][0] if q.streamed is not False and q.events else None  # "not streamed: F is not known"

    if q.R is None:
        q.R = q.E
    q.E = max(q.E, q.R)
    prompt = q.prompt if q.prompt >= 0 else q.bytes / 4
    if q.cached > 0 and mistake != "cached":
        prompt = max(0, prompt - q.cached)
    if not q.start:
        prompt = 0                             # processed before we looked
    seen = sum(n for _, n in q.events)
    q.points, q.spread_prompt, q.spread_all = [], (0.0, q.R, q.R), (0.0, q.R, q.R)
    if q.streamed is False:
        q.spread_all = (prompt + max(0, q.completion), q.R, q.E)
        return
    scale = q.completion / seen if seen and q.completion > seen and mistake != "scale" else 1.0
    q.points = [(t, n * scale) for t, n in q.events if readings["after_e"] == "in" or t <= q.E]
    q.spread_prompt = (prompt, q.R, q.F if q.F is not None else q.E)


def power(m, a, b):
    """Microjoules per ns of a meter between a and b, which no reading separates; None where it was silent."""
    i = bisect.bisect_right(m.t, a)
    if i == 0 or i == len(m.t) or m.gap[i] or any(lo <= a < hi for lo, hi in m.late):
        return None
    return (m.uj[i] - m.uj[i - 1]) / (m.t[i] - m.t[i - 1])


def measured(m, a, b):
    """Microjoules and ns that a meter measured between a and b."""
    uj = ns = 0.0
    for i in range(1, len(m.t)):
        lo, hi = max(a, m.t[i - 1]), min(b, m.t[i])
        if hi > lo and not m.gap[i]:
            uj += (m.uj[i] - m.uj[i - 1]) * (hi - lo) / (m.t[i] - m.t[i - 1])
            ns += hi - lo
    return uj, ns


def idle_floor(m, trace, queries):
    """Watts, or None: not known."""
    if not math.isnan(m.idle_w):
        return m.idle_w
    if m.idle_source != IDLE_AUTO or len(m.t) < 2:
        return None
    # Of every look, the shortest window of whole ticks that ends there and is a second long or more.
    looks = [t for t, _ in trace.looks]
    quiet = [not any(min(q.E, t1) > max(q.R, t0) for q in queries) for t0, t1 in zip(looks, looks[1:])]
    lowest = None
    for j in range(1, len(looks)):
        i = bisect.bisect_right(looks, looks[j] - S) - 1
        if i < 0 or not all(quiet[i:j]):
            continue
        uj, ns = measured(m, looks[i], looks[j])
        if ns >= 0.99 * (looks[j] - looks[i]):
            lowest = uj / ns * 1e3 if lowest is None else min(lowest, uj / ns * 1e3)
    return lowest


def share_of_server(m, tick, trace, nslot):
    """
    Of one meter in the tick that begins with look `tick`: the fraction of each slot, or "idle" when nothing at all ran.
    """
    (t0, was), (_, now) = trace.looks[tick], trace.looks[tick + 1]
    if m.domain == GPU_BOARD:
        # The driver's list as it was last read when the tick began.
        shares = None
        for t, s in trace.gpu.get(m.channel, []):
            if t <= t0:
                shares = s
        return shares if shares is not None else "unsplit"
    units = [m.unit] if m.unit in now else list(now)
    busy = sum(now[u][0] - was[u][0] for u in units)
    if busy == 0:
        return "idle"
    return [sum(now[u][1][s] - was[u][1][s] for u in units) / busy for s in range(nslot)]


def first_of(q):
    """When a query may begin to weigh."""
    return min([q.R] + [t for t, _ in q.points[:1]])


def integrate(trace, readings=None, mistake=None, floors=None, fitted=None):
    """
    {"queries": {id: {...}}, "books": {...}}, in joules. fitted: {(tick, meter, slot): {"j", "s", "parts": {query:
    (prompt, answer, shared)}}} of ticks that are not split by tokens (fitted.py). `mistake` breaks one definition on
    purpose (for the test of the comparison): cached, scale, close (ticks closed on the left), others (CPU of other
    processes ignored). `floors`: {meter: watts or None} to take instead of what is found here.
    """
    readings = dict(READINGS, **(readings or {}))
    queries = [q for q in trace.queries.values() if not q.hop]
    for q in queries:
        define(q, trace, readings, mistake)
    nslot, looks = trace.nslot, [t for t, _ in trace.looks]
    for c, m in trace.meters.items():
        m.channel = c
    tops = [m for m in trace.meters.values() if m.parent < 0]
    own_floors = {m.name: idle_floor(m, trace, queries) for m in tops}
    floors = own_floors if floors is None else floors

    # Steps: 1 ms, and every edge.
    edges = set(looks) | set(range(looks[0], looks[-1], MS))
    for m in tops:
        edges.update(m.t)
    for q in queries:
        edges.update(x for x in (q.R, q.F, q.E) if x is not None)
    edges = sorted(e for e in edges if looks[0] <= e <= looks[-1])

    out = {q.id: {"energy": {m.name: 0.0 for m in tops}, "prefill": 0.0, "decode": 0.0, "shared_j": 0.0, "idle": 0.0,
                  "by_tokens": 0.0, "by_fit": 0.0} for q in queries}
    covered = {q.id: set() for q in queries}       # meters that measured while the query was active
    books = {"measured": 0.0, "queries": 0.0, "server_other": 0.0, "others": 0.0, "idle": 0.0}
    measured_by = {m.name: 0.0 for m in tops}
    idle_known = any(f is not None for f in floors.values())

    pools_of_slots = {(s,) for s in range(1, nslot + 1)} | {tuple(range(1, nslot + 1))}
    by_start = sorted(queries, key=first_of)
    running, nxt, step = [], 0, 0
    for tick in range(len(looks) - 1):
        t0, t1 = looks[tick], looks[tick + 1]
        if t1 == t0:
            continue
        # Who may do something in this tick. An event can lie after E, so those are looked up by all their times.
        while nxt < len(by_start) and first_of(by_start[nxt]) <= t1:
            running.append(by_start[nxt])
            nxt += 1
        running = [q for q in running if max([q.E] + [t for t, _ in q.points[-1:]]) >= t0]

        joules = {m.name: 0.0 for m in tops}   # measured in this tick
        seen = {m.name: 0 for m in tops}       # ns of it
        any_active = {p: 0 for p in pools_of_slots}                  # ns in which a query of these slots is active
        time_before = {q.id: 0 for q in running}
        time_after = {q.id: 0 for q in running}
        prompt = {q.id: 0.0 for q in running}
        event = {q.id: 0.0 for q in running}

        while step + 1 < len(edges) and edges[step + 1] <= t1:
            a, b = edges[step], edges[step + 1]
            step += 1
            for m in tops:
                p = power(m, a, b)
                if p is not None:
                    joules[m.name] += p * (b - a) / 1e6
                    seen[m.name] += b - a
            active = set()
            for q in running:
                if q.R <= a and b <= q.E:
                    active.add(q.slot)
                    if q.F is not None and a >= q.F:
                        time_after[q.id] += b - a
                    else:
                        time_before[q.id] += b - a
                for tokens, lo, hi in (q.spread_prompt, q.spread_all):
                    if tokens and lo <= a and b <= hi:
                        prompt[q.id] += tokens * (b - a) / (hi - lo)
            for p in any_active:
                if active & set(p):
                    any_active[p] += b - a
        for q in running:
            for tokens, lo, hi in (q.spread_prompt, q.spread_all):
                if hi <= lo and t0 < lo <= t1:     # no time to spread them over: at R
                    prompt[q.id] += tokens
            for t, n in q.points:
                if (t0 <= t < t1) if mistake == "close" else (t0 < t <= t1):
                    event[q.id] += n
            if time_before[q.id] + time_after[q.id] + prompt[q.id] + event[q.id]:
                covered[q.id].update(m.name for m in tops if seen[m.name])

        for m in tops:
            # What the fit hands out of a window may be of a tick in which the meter was silent.
            handed = {}
            for s in range(1, nslot + 1):
                if fitted and (tick, m.channel, s) in fitted:
                    handed[s] = hand_out(fitted[tick, m.channel, s], m, floors[m.name], seen[m.name], out, covered,
                                         books)
            if readings["gap"] == "tick" and 0 < seen[m.name] < t1 - t0 and touches_gap(m, t0, t1):
                continue
            if not seen[m.name] and (readings["floor"] != "always" or touches_gap(m, t0, t1)):
                books["server_other"] -= sum(handed.values())
                continue
            e = joules[m.name]
            books["measured"] += e
            measured_by[m.name] += e
            floor = floors[m.name]
            idle = (floor or 0.0) * (seen[m.name] if readings["floor"] == "part" else t1 - t0) / 1e9
            books["idle"] += idle
            for q in running:  # its part by time of the floor, of the time in which one of its server's is active
                times = {p.id: time_before[p.id] + time_after[p.id] for p in running if p.slot == q.slot}
                if times[q.id]:
                    out[q.id]["idle"] += idle * any_active[(q.slot,)] / (t1 - t0) * times[q.id] / sum(times.values())
            dynamic = e - idle
            shares = share_of_server(m, tick, trace, nslot)
            if shares == "idle":
                books["server_other"] -= sum(handed.values())
                if floor is None and readings["nothing_ran"] == "others":
                    books["others"] += dynamic
                else:
                    books["idle"] += dynamic
                    idle_known = True
                continue
            pools = [[s] for s in range(1, nslot + 1)]          # queries of a target share what is the target's
            if shares == "unsplit":
                if readings["unsplit"] == "pool":
                    shares, pools = [1.0], [list(range(1, nslot + 1))]
                elif readings["unsplit"] == "equal":
                    shares = [1.0 / nslot] * nslot
                else:
                    shares = [1.0] + [0.0] * (nslot - 1)
            if mistake == "others":
                shares = [s / sum(shares) if sum(shares) else 0.0 for s in shares]
            books["others"] += dynamic * (1 - sum(shares))
            for share, pool in zip(shares, pools):
                part = dynamic * share
                if pool[0] in handed:
                    books["server_other"] += part - handed[pool[0]]
                    continue
                busy = any_active[tuple(pool)]
                of_queries = part * busy / (t1 - t0)
                books["server_other"] += part - of_queries
                if not busy:
                    continue
                books["queries"] += of_queries
                mine = [q for q in running if q.slot in pool]
                before = {q.id: prompt[q.id] for q in mine}
                after = {q.id: event[q.id] for q in mine}
                total = math.fsum(before.values()) + math.fsum(after.values())
                if total == 0:
                    before = {q.id: time_before[q.id] for q in mine}
                    after = {q.id: time_after[q.id] for q in mine}
                    total = sum(before.values()) + sum(after.values())
                for q in mine:
                    x = of_queries * before[q.id] / total
                    y = of_queries * after[q.id] / total
                    out[q.id]["energy"][m.name] += x + y
                    out[q.id]["prefill"] += x
                    out[q.id]["decode"] += y
                    out[q.id]["by_tokens"] += abs(x + y)

    for q in queries:
        o = out[q.id]
        o["energy_j"] = math.fsum(o["energy"].values())
        o["prefill_j"] = o["prefill"]
        o["decode_j"] = o["decode"]
        if q.F is None:                        # a part that is null is counted in prefill
            o["prefill_j"], o["decode_j"] = o["prefill"] + o["decode"], None
        o["energy"] = {m: j if m in covered[q.id] else None for m, j in o["energy"].items()}
        if not covered[q.id]:
            o["energy_j"] = o["prefill_j"] = o["decode_j"] = None
        unknown = not covered[q.id] or any(floors[m] is None for m in covered[q.id])
        o["gross_j"] = None if unknown else o["energy_j"] + o["idle"]
    if not idle_known:
        books["idle"] = None
    return {"queries": out, "books": books, "measured_by": measured_by, "floors": own_floors}


def hand_out(tick, m, floor, seen, out, covered, books):
    """A tick that the fit splits: what its queries get in all."""
    joules, total = tick["j"] - (floor or 0.0) * tick["s"], 0.0
    for qid, (x, y, shared) in tick["parts"].items():
        o = out[qid]
        o["energy"][m.name] += joules * (x + y)
        o["prefill"] += joules * x
        o["decode"] += joules * y
        o["shared_j"] += joules * shared
        o["by_fit"] += abs(joules * (x + y))
        if seen and x + y > 0:
            covered[qid].add(m.name)
        total += joules * (x + y)
    books["queries"] += total
    return total


def touches_gap(m, t0, t1):
    return any(m.gap[i] and i and m.t[i - 1] < t1 and m.t[i] > t0 for i in range(len(m.t)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    result = integrate(Trace(open(sys.argv[1], "rb").read()))
    print(json.dumps(result, indent=1))
