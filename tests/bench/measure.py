# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the rows share: helpers and tracers as processes, pairs of runs, and what is known of the machine."""
import contextlib
import ctypes
import os
import platform
import re
import signal
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import harness  # noqa: E402
from harness import BUILD, stop  # noqa: E402

CPU, PEER = 0, (os.cpu_count() or 1) - 1  # where what is measured runs, and the rest
VAIN = 8                    # turns without a clean pair after which a row takes what it has
BATCHES = 10                # undisturbed ones in a run that counts
ALIKE, SPREAD = 0.06, 1.4   # a pair is clean if A before and A after agree so well, and no run spreads more (p75 / p25)


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


class Unmeasured(Exception):
    """Why a row has no figure."""


class Row:
    """A line of the table. values: one per clean pair or repetition; else `note` says why there is none."""

    def __init__(self, name, reach, unit, values=(), note=""):
        self.name, self.reach, self.unit, self.values, self.note = name, reach, unit, list(values), note

    def figure(self):
        if not self.values:
            return "not measured"
        if len(self.values) == 1:
            return number(self.values[0])
        low, mid, high = quartiles(self.values)
        return "%s [%s, %s]" % (number(mid), number(low), number(high))

    def markdown(self):
        return "| %s | %s | %s | %s | %s |" % (self.name, self.reach or "given", self.figure(), self.unit, self.note)


def number(v):
    return "0" if not v else "%.0f" % v if abs(v) >= 100 else "%.1f" % v if abs(v) >= 10 else "%.2f" % v \
        if abs(v) >= 0.1 else "%.3f" % v


def quartiles(values):
    if len(values) < 2:
        return (values * 3)[:3]
    low, mid, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, mid, high


# --- the machine -----------------------------------------------------------------------------------------------------


def machine():
    cpu = "unknown CPU"
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), cpu)
    u = platform.uname()
    return "%s, %d CPUs, Linux %s %s, %s, load %.2f" % (cpu, os.cpu_count(), u.release, u.machine,
                                                        time.strftime("%Y-%m-%d"), os.getloadavg()[0])


class Bpf:
    """The few bpf(2) calls that are needed here; all that they look at is read."""
    NEXT_ID, FD_BY_ID, INFO_BY_FD, ENABLE_STATS = 11, 13, 15, 32
    TRACING = {2, 5, 7, 17, 24, 26}  # kprobe, tracepoint, perf_event, raw_tracepoint(_writable), tracing

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.number = {"x86_64": 321, "aarch64": 280}[platform.machine()]

    def call(self, cmd, attr):
        buf = ctypes.create_string_buffer(attr.ljust(144, b"\0"), 144)
        return self.libc.syscall(self.number, cmd, buf, 144), buf

    def info(self, fd):
        info = ctypes.create_string_buffer(256)
        if self.call(self.INFO_BY_FD, struct.pack("<IIQ", fd, 232, ctypes.addressof(info)))[0]:
            return None
        return info.raw

    def programs(self):
        """Programs by id that may run in anybody's way: (type, name, run_time_ns, run_cnt)."""
        out, at = {}, 0
        while True:
            err, buf = self.call(self.NEXT_ID, struct.pack("<II", at, 0))
            if err:
                return out
            at = struct.unpack_from("<I", buf.raw, 4)[0]
            fd = self.call(self.FD_BY_ID, struct.pack("<I", at))[0]
            if fd < 0:
                continue
            raw = self.info(fd)
            os.close(fd)
            kind = struct.unpack_from("<I", raw)[0] if raw else 0
            if kind in self.TRACING:
                name = raw[64:80].split(b"\0")[0].decode()
                run_ns, runs = struct.unpack_from("<QQ", raw, 192)
                out[at] = (kind, name, run_ns, runs)

    def stats(self):
        """While the fd is open the kernel counts the programs' run time."""
        fd = self.call(self.ENABLE_STATS, struct.pack("<I", 0))[0]
        if fd < 0:
            raise Unmeasured("BPF statistics cannot be enabled: " + os.strerror(ctypes.get_errno()))
        return fd


bpf = Bpf()


def wait_quiet(seconds=1800):
    """Nothing else traces on this machine: its probes would be in every figure."""
    begin, said = time.monotonic(), False
    while time.monotonic() < begin + seconds:
        others = sorted({p[1] for p in bpf.programs().values()})
        if not others:
            return
        if not said and time.monotonic() > begin + 2:  # what ended just now takes a moment to go
            say("waiting for another tracer to end: " + " ".join(others))
            said = True
        time.sleep(0.05)
    raise Unmeasured("another tracer is at work on this machine")


def fds_of(pid, kind):
    """What /proc/PID/fdinfo says of a process's BPF maps or programs: one dict each, by id."""
    out = {}
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(OSError), open("/proc/%d/fdinfo/%s" % (pid, fd)) as f:
            d = dict(re.findall(r"^(\w+):\s*(\S+)", f.read(), re.M))
            if kind + "_id" in d and "link_id" not in d:
                out[int(d[kind + "_id"])] = d
    return out


def status(pid, key):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"^%s:\s*(\d+)" % key, f.read(), re.M).group(1))


def cpu_ns(pid):
    """CPU time of a process of one thread, as the scheduler counts it, to the nanosecond."""
    with open("/proc/%d/schedstat" % pid) as f:
        return int(f.read().split()[0])


# --- processes -------------------------------------------------------------------------------------------------------


def helper(name):
    path = os.path.join(BUILD, "tests/bench", name)
    if not os.access(path, os.X_OK):
        raise Unmeasured("there is no %s: `make bench` builds it" % path)
    return path


class Op:
    """tests/bench/op.c at work."""

    def __init__(self):
        self.p = subprocess.Popen([helper("op"), str(CPU), str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, bufsize=1)
        self.pid = int(self.p.stdout.readline().split()[1])

    def run(self, name, ms):
        """(median, p75 / p25, tokens): nanoseconds; the median is None when too few batches were undisturbed."""
        self.p.stdin.write("%s %d\n" % (name, ms))
        self.p.stdin.flush()
        got = self.p.stdout.readline().split()
        if len(got) != 6:
            raise Unmeasured("op cannot do %s" % name)
        low, mid, high = map(float, got[2:5])
        return (mid, high / low, int(got[5])) if int(got[1]) >= BATCHES else (None, 0, int(got[5]))

    def close(self):
        self.p.stdin.close()
        stop(self.p)


class Tracer(harness.Tracer):
    """ipw-trace on the CPU that is not measured; attach_s and exit_s are how long it took."""

    def __init__(self, *args):
        begin = time.monotonic()
        super().__init__(*args)
        os.sched_setaffinity(self.p.pid, {PEER})
        while "attached" not in self.stderr():
            if self.p.poll() is not None:
                raise Unmeasured("the tracer ended: " + self.stderr().strip())
            time.sleep(0.002)
        self.attach_s = time.monotonic() - begin

    def end(self):
        begin = time.monotonic()
        self.status = stop(self.p, signal.SIGINT)
        self.exit_s = time.monotonic() - begin
        return self.read()


@contextlib.contextmanager
def tracing(*args):
    t = Tracer(*args)
    try:
        yield t
    finally:
        if t.p.poll() is None:
            t.end()


# --- pairs -----------------------------------------------------------------------------------------------------------


class Variant:
    """
    What is switched on for B. start() gives an object whose end(runs) switches it off and returns what went wrong, or
    None; runs are what look() returned meanwhile.
    """

    def __init__(self, name, start):
        self.name, self.start = name, start
        self.why = ""                   # why it cannot be had
        self.delta, self.base = {}, {}  # by operation: one for each clean pair, nanoseconds
        self.faults = {}                # what went wrong: how often

    def enough(self, ops, pairs):
        return bool(self.why) or all(len(self.delta.get(name, ())) >= pairs for name in ops)


def look(op, ops, ms):
    """One run of each operation: {name: (median, spread, tokens)}."""
    return {name: op.run(name, ms) for name in ops}


def take(v, ops, before, runs, after):
    for name in ops:
        a, b, c = before[name], runs[name], after[name]
        if a[0] and b[0] and c[0] and abs(a[0] - c[0]) <= ALIKE * min(a[0], c[0]) and max(a[1], b[1], c[1]) <= SPREAD:
            v.delta.setdefault(name, []).append(b[0] - (a[0] + c[0]) / 2)
            v.base.setdefault(name, []).append((a[0] + c[0]) / 2)


def one_pair(op, v, ops, ms, before):
    """A B A; returns the second A, which is the first of the next pair."""
    try:
        on = v.start()
    except (Unmeasured, OSError, TimeoutError) as e:
        v.why = str(e).splitlines()[0]
        return before
    runs, ids = {}, set(bpf.programs())
    try:
        runs = look(op, ops, ms)
        fault = None if set(bpf.programs()) == ids else "another tracer came"
    finally:
        wrong = on.end(runs)
    wait_quiet()
    after = look(op, ops, ms)
    fault = fault or wrong or ("another tracer came" if bpf.programs() else None)
    if fault:
        v.faults[fault] = v.faults.get(fault, 0) + 1
    else:
        take(v, ops, before, runs, after)
    return after


def run_pairs(op, variants, ops, ms, pairs):
    """Interleaved: A, first variant, A, second, ... and again, until there are enough clean pairs, or come no more."""
    wait_quiet()
    look(op, ops, ms)
    before = look(op, ops, ms)
    got, idle = 0, 0
    for turn in range(3 * pairs):
        for v in variants:
            if not v.enough(ops, pairs):
                before = one_pair(op, v, ops, ms, before)
        if all(v.enough(ops, pairs) for v in variants):
            return
        say("turn %d: %s" % (turn + 1, ", ".join("%s %d" % (v.name, min(len(v.delta.get(o, ())) for o in ops))
                                                 for v in variants if not v.why)))
        had, got = got, sum(len(d) for v in variants for d in v.delta.values())
        idle = idle + 1 if got == had else 0
        if idle == VAIN:
            return


def pair_row(name, reach, v, op, wanted):
    """The row of one operation, in microseconds."""
    values = [d / 1000 for d in v.delta.get(op, ())]
    note = "%s without; %d pairs" % (us(statistics.median(v.base[op])), len(values)) if values else ""
    if len(values) < wanted:
        why = v.why or ", ".join("%s (%d)" % f for f in v.faults.items()) or \
            "the machine was too busy for more clean pairs"
        note += ("; " if note else "") + why
    return Row(name, reach, "us", values, note)


def us(ns):
    return number(ns / 1000) + " us"
