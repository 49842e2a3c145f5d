# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the tracer itself takes while streams of tokens run: CPU, wake-ups, memory, disk; and how fast it reads."""
import contextlib
import os
import statistics
import struct
import subprocess
import time

from harness import TRACE, tempdir
from measure import CPU, PEER, Row, Tracer, Unmeasured, bpf, cpu_ns, fds_of, helper, number, say, status, stop, \
    tracing, wait_quiet

BATCH = 100    # streams that get a token in one step
WARM_S = 1.5   # until the streams run evenly
OUTSIDE = {"sched_switch", "tp_recv", "tp_recv_end"}  # programs that streamd, which only sends, hardly runs
MIB = 1 << 20


class Streams:
    """streamd and its clients. Nothing is sent before go()."""

    def __init__(self, streams, rate, seconds, idle=0):
        self.idle = idle
        self.streams, self.tokens = streams, max(1, round(rate * seconds / streams))
        self.d = subprocess.Popen([helper("streamd"), str(CPU), str(streams), str(self.tokens), str(rate),
                                   str(min(BATCH, streams))], stdout=subprocess.PIPE, text=True)
        self.port, self.c, self.late = self.d.stdout.readline().split()[1], None, None

    def go(self):
        self.c = subprocess.Popen([helper("streamc"), str(PEER), self.port, str(self.streams), str(self.idle)])
        if not self.d.stdout.readline().startswith("begin"):
            raise Unmeasured("streamd ended")
        return self

    def wait(self):
        """Until the last answer is complete."""
        said = dict(line.split() for line in self.d.stdout)
        self.late = int(said.get("late", -1))
        if self.c.wait(30) or self.d.wait(30):
            raise Unmeasured("the streams broke off")

    def close(self):
        for p in (self.c, self.d):
            if p:
                stop(p)
        self.d.stdout.close()


@contextlib.contextmanager
def streaming(*args):
    s = Streams(*args)
    try:
        yield s
    finally:
        s.close()


def fault(s, t):
    """What makes a run's figures worthless; empty if nothing does."""
    m, want = t.summary, s.streams * s.tokens
    if not m:
        return "the tracer failed: " + t.stderr().strip()
    if m["lost_events"]:
        return "%d events were LOST" % m["lost_events"]
    if m["completion_tokens"] != want or m["queries"] != s.streams:
        return "WRONG COUNT: %s tokens in %s queries, not %d in %d" % (
            m["completion_tokens"], m["queries"], want, s.streams)
    return "streamd was late %d times" % s.late if s.late > s.tokens * s.streams / BATCH / 50 else ""


def watch(pid, seconds):
    """CPU nanoseconds and wake-ups in each of so many seconds."""
    cpu, woken = [], []
    at, c, w = time.monotonic(), cpu_ns(pid), status(pid, "voluntary_ctxt_switches")
    for _ in range(seconds):
        time.sleep(1)
        now, c2, w2 = time.monotonic(), cpu_ns(pid), status(pid, "voluntary_ctxt_switches")
        cpu.append((c2 - c) / (now - at))
        woken.append((w2 - w) / (now - at))
        at, c, w = now, c2, w2
    return cpu, woken


def one_run(streams, rate, seconds, *args):
    """(CPU ns a second, wake-ups a second, summary, what went wrong)."""
    with streaming(streams, rate, seconds + 2 * WARM_S) as s, tracing("-p", s.d.pid, "--json", *args) as t:
        s.go()
        time.sleep(WARM_S)
        cpu, woken = watch(t.p.pid, seconds)
        s.wait()
        t.end()
        return cpu, woken, t, fault(s, t)


def bpf_outside(streams, rate, seconds):
    """Nanoseconds a second of our BPF programs, outside and inside the target, by the kernel's own count."""
    with streaming(streams, rate, seconds + 2 * WARM_S) as s, tracing("-p", s.d.pid, "--json") as t:
        s.go()
        time.sleep(WARM_S)
        fd = bpf.stats()
        try:
            a, at = bpf.programs(), time.monotonic()
            time.sleep(seconds)
            b, span = bpf.programs(), time.monotonic() - at
        finally:
            os.close(fd)
        ns = {True: 0, False: 0}
        for i, (_, name, run_ns, _) in b.items():
            ns[name in OUTSIDE] += run_ns - a[i][2] if i in a else run_ns
        s.wait()
        t.end()
        return ns[True] / span, ns[False] / span


def cpu(o):
    """Rows 3."""
    wait_quiet()
    seconds = 5 if o.quick else 15
    rest, woken0, _, wrong0 = one_run(1, 1, seconds)
    many, woken, t, wrong = one_run(100, 10000, seconds)
    slow, woken60, _, wrong60 = one_run(1, 60, seconds)
    out, inside = bpf_outside(100, 10000, 5)
    how = "every %s; by /proc/PID/schedstat, seconds of one run" % t.stderr().split("every ")[1].split(";")[0]
    total = [(c + out) / 10000 / 1000 for c in many]
    return [
        Row("tracer's CPU for one token event, at 10,000/s in 100 streams, with its BPF programs outside the target",
            "<= 1", "us", total, wrong or how),
        Row("of that its process alone", "", "us", [c / 1e7 for c in many], wrong or "%s wake-ups/s" %
            number(statistics.median(woken))),
        Row("of that its BPF programs outside the target (%s)" % ", ".join(sorted(OUTSIDE)), "", "us", [out / 1e7],
            "by BPF_ENABLE_STATS, in a run of its own; those inside: %s us" % number(inside / 1e7)),
        Row("tracer's CPU at 60 events/s", "", "ms/s", [c / 1e6 for c in slow], wrong60),
        Row("its wake-ups at 60 events/s", "", "1/s", woken60, wrong60),
        Row("tracer's CPU at 1 event/s", "", "ms/s", [c / 1e6 for c in rest], wrong0),
    ]


def dialects(o):
    """A row for each: parse.c writes their streams and reads them, in one process."""
    p = subprocess.run(["taskset", "-c", str(CPU), helper("parse"), "5" if o.quick else "15"], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    if p.returncode:
        raise Unmeasured(p.stderr.strip())
    rows = []
    for line in p.stdout.splitlines():
        name, size, *ns = line.split()
        rows.append(Row("%s: one token event, from the kernel's record to the query's counts" % name, "<= 0.5", "us",
                        [float(n) / 1000 for n in ns], "%s bytes, 100 streams in turn" % size))
    return rows


# --- memory ----------------------------------------------------------------------------------------------------------


def rss(pid):
    """VmHWM, and how much of it the ring is, which the process maps twice; (0, 0) once it has ended."""
    ring, own = 0, False
    with contextlib.suppress(OSError), open("/proc/%d/smaps" % pid) as f:
        for line in f:
            if "-" in line.split(" ", 1)[0]:
                own = "bpf-map" in line
            elif own and line.startswith("Rss:"):
                ring += int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, AttributeError):
        return status(pid, "VmHWM") * 1024, ring
    return 0, 0


def memory(o):
    """Rows 5, and those of many connections."""
    seconds = 8 if o.quick else 30
    return footprint(1000, 0, seconds, 16) + footprint(2000, 8000, seconds, 32)


def footprint(streams, idle, seconds, reach):
    """The tracer ends when its target does, so it is looked at until then."""
    wait_quiet()
    with streaming(streams, 10000, seconds, idle) as s, tracing("-p", s.d.pid, "--json") as t:
        s.go()
        time.sleep(1)
        maps = fds_of(t.p.pid, "map")
        peak = now = rss(t.p.pid)
        while now[0]:
            peak = now
            time.sleep(0.2)
            now = rss(t.p.pid)
        s.wait()
        t.end()
        wrong = fault(s, t)
    ring = sum(int(m["memlock"]) for m in maps.values() if m["map_type"] == "27")
    own, rest = peak[0] - peak[1], sum(int(m["memlock"]) for m in maps.values()) - ring
    return [
        Row("memory at %d streams%s and 10,000 events/s for %d s: the process's peak and its BPF maps, "
            "without the ring" % (streams, ", %d idle connections beside" % idle if idle else "", seconds),
            "<= %d" % reach, "MiB", [(own + rest) / MIB], wrong),
        Row("of that the process", "", "MiB", [own / MIB], "VmHWM %s, less %s: the ring, as it is mapped twice" %
            (number(peak[0] / MIB), number(peak[1] / MIB))),
        Row("of that BPF maps", "", "MiB", [rest / MIB], "memlock of %d maps" % (len(maps) - 1)),
        Row("the ring", "", "MiB", [ring / MIB], "by memlock"),
    ]


# --- many of all -----------------------------------------------------------------------------------------------------


def flood(o):
    """Five times the rate of the other rows, for a minute."""
    wait_quiet()
    seconds = 10 if o.quick else 60
    busy, _, _, wrong = one_run(100, 50000, seconds)
    return [Row("tracer's CPU at 50,000 token events/s in 100 streams for %d s, nothing lost" % seconds, "<= 0.5",
                "cores", [c / 1e9 for c in busy], wrong)]


def forks(o):
    """A large tree, and one that is new at every query."""
    wait_quiet()
    took, queries = [], 10000
    tree = subprocess.Popen([helper("forkd"), str(CPU), "64", "32"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)
    tree.stdout.readline()
    try:
        for _ in range(3 if o.quick else 9):
            t = Tracer("-p", tree.pid, "--json")
            took.append(t.attach_s)
            t.end()
    finally:
        tree.stdin.close()
        tree.wait()
    how = t.stderr().split("attached to ")[1].split(";")[0]
    d = subprocess.Popen([helper("forkd"), str(CPU), str(queries)], stdout=subprocess.PIPE, text=True)
    port = d.stdout.readline().split()[1]
    with tracing("-p", d.pid, "--json") as t:
        subprocess.run([helper("streamc"), str(PEER), port, str(queries)], check=True)
        span = float(d.stdout.readline().split()[1])
        d.wait()
        t.end()
    m = t.summary
    wrong = "" if m and not m["lost_events"] else "events were LOST: %s" % m
    return [Row("from the start of ipw-trace to \"attached\", of 64 processes with 2,048 threads", "<= 1", "s", took,
                how),
            Row("queries found of %d, each answered by a process just forked" % queries, "= %d" % queries, "",
                [m["queries"] if m else 0], wrong or "%d forks and exits a second" % (queries / span))]


# --- recordings ------------------------------------------------------------------------------------------------------

TOKENS = 32 + 5  # REC_WIRE + WIRE_TOKENS


def records(path):
    """Records by type in a recording."""
    out = {}
    with open(path, "rb") as f:
        data = f.read()
    at = 16
    while at < len(data):
        end = at + 16 + struct.unpack_from("<I", data, at + 4)[0]
        at += 16
        while at < end:
            kind, size = struct.unpack_from("<HH", data, at)
            out[kind] = out.get(kind, 0) + 1
            at += size
    return out


def recorded(path, events, rate):
    """A recording of so many token events, by the tracer at work."""
    with streaming(100, rate, events / rate) as s, tracing("record", "-p", s.d.pid, "-o", path) as t:
        s.go()
        s.wait()
        t.end()
        if t.status:
            raise Unmeasured("record: " + t.stderr().strip())
        return s.tokens * s.streams


def summary_of(path):
    import json
    p = subprocess.run([TRACE, "report", "-i", path, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(p.stdout.splitlines()[-1])


def recording(o):
    """Rows 6: bytes, and how fast it is read."""
    wait_quiet()
    events = 200000 if o.quick else 1020000
    with tempdir() as d:
        path = os.path.join(d, "ipw.data")
        sent = recorded(path, events, 20000)
        kinds, size = records(path), os.path.getsize(path)
        m = summary_of(path)
        wrong = "" if not m["lost_events"] and m["completion_tokens"] == kinds.get(TOKENS) == sent else \
            "%s token events, %s tokens, %d sent, %s lost" % (kinds.get(TOKENS), m["completion_tokens"], sent,
                                                              m["lost_events"])
        speed = []
        for _ in range(5 if o.quick else 15):
            begin = time.monotonic()
            subprocess.run(["taskset", "-c", str(CPU), TRACE, "report", "-i", path, "--json"],
                           stdout=subprocess.DEVNULL, check=True)
            speed.append(sent / (time.monotonic() - begin) / 1e6)
    return [
        Row("recording: bytes for one token event", "<= 40", "bytes", [size / sent], wrong or
            "%d token events, %d records in all" % (sent, sum(kinds.values()))),
        Row("report --json: token events read in a second", ">= 2", "million", speed, wrong or
            "of that recording, from the page cache"),
    ]


# --- start and end ---------------------------------------------------------------------------------------------------


def start(o):
    attach, leave = [], []
    asleep = subprocess.Popen(["sleep", "1000000"])
    try:
        for _ in range(5 if o.quick else 15):
            t = Tracer("-p", asleep.pid, "--json")
            attach.append(t.attach_s)
            time.sleep(0.5)
            leave.append(t.end().exit_s)
    finally:
        stop(asleep)
    how = t.stderr().split("attached to ")[1].split("; tier")[0]
    return [Row("from the start of ipw-trace to \"attached\"", "<= 0.5", "s", attach, how),
            Row("from Ctrl-C to its exit", "<= 1", "s", leave)]
