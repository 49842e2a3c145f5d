# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What tracing adds to one call: of the traced process, of others; and what other tracers add."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

from measure import PEER, Op, Row, Tracer, Unmeasured, Variant, bpf, pair_row, run_pairs, stop

TRACED = ["tcp_send", "tcp_recv", "tcp_send_4k", "tcp_send_64k"]
OTHERS = ["getppid", "tcp_send", "tcp_recv", "unix_send", "udp_send", "switch"]
TITLES = {"tcp_send": "TCP send of 250 bytes", "tcp_recv": "TCP receive of 250 bytes",
          "tcp_send_4k": "TCP send of 4 kB", "tcp_send_64k": "TCP send of 64 kB",
          "unix_send": "unix-socket send", "udp_send": "UDP send",
          "getppid": "a call that is no send or receive (getppid)", "switch": "context switch"}
COUNT = "tracepoint:syscalls:sys_enter_sendto /pid == {0}/ {{ @s = count(); }} " \
        "tracepoint:syscalls:sys_enter_recvfrom /pid == {0}/ {{ @r = count(); }}"
PRINT = "tracepoint:syscalls:sys_enter_sendto /pid == {0}/ " \
        "{{ printf(\"%d %s\\n\", args->len, str(args->buff, 200)); }} " \
        "tracepoint:syscalls:sys_enter_recvfrom /pid == {0}/ {{ @b[tid] = args->ubuf; }} " \
        "tracepoint:syscalls:sys_exit_recvfrom /pid == {0}/ {{ printf(\"%d %s\\n\", args->ret, str(@b[tid], 200)); }}"


class Ipw:
    """Our tracer. What it says at its end has to be right, else the pair does not count."""

    def __init__(self, pid, tier, seen):
        self.t, self.seen = Tracer("-p", pid, "--json", "--net", tier), seen

    def end(self, runs):
        self.t.end()
        if self.t.status or not self.t.summary:
            return "the tracer failed: " + self.t.stderr().strip()
        if self.t.summary["lost_events"]:
            return "events were lost"
        counted = sorted(q["completion_tokens"] for q in self.t.rows if q["stream"] and "truncated" not in q["flags"])
        if self.seen and counted != sorted(r[2] for r in runs.values() if r[2] >= 0):
            return "the tracer miscounted"
        return None


class Other:
    """Another tracer: a command that goes on until SIGINT."""

    def __init__(self, cmd, probes=0):
        if not shutil.which(cmd[0]):
            raise Unmeasured("not installed")
        self.err = tempfile.TemporaryFile("w+")
        self.p = subprocess.Popen(["taskset", "-c", str(PEER)] + cmd, stdout=subprocess.DEVNULL, stderr=self.err,
                                  env=dict(os.environ, BPFTRACE_STRLEN="200"))
        end = time.monotonic() + 15
        while probes and len(bpf.programs()) < probes and self.p.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.7)
        if self.p.poll() is not None:
            self.err.seek(0)
            said = self.err.read().strip().splitlines()
            raise Unmeasured("does not run here: " + (said[0] if said else "it ends at once"))

    def end(self, runs):
        stop(self.p, signal.SIGINT)
        return None


def others(pid):
    trace = ["-f", "-o", "/dev/null", "-p", str(pid)]
    return [Variant("strace -c", lambda: Other(["strace", "-c"] + trace)),
            Variant("strace -e network", lambda: Other(["strace", "-e", "trace=network"] + trace)),
            Variant("perf trace", lambda: Other(["perf", "trace", "-o", "/dev/null", "-p", str(pid)])),
            Variant("bpftrace, counting", lambda: Other(["bpftrace", "-e", COUNT.format(pid)], 2)),
            Variant("bpftrace, printing 200 bytes", lambda: Other(["bpftrace", "-e", PRINT.format(pid)], 3))]


def ours(pid, seen):
    return [Variant("tier " + tier, lambda tier=tier: Ipw(pid, tier, seen)) for tier in ("tp", "sys")]


def traced(o):
    op = Op()
    try:
        us = ours(op.pid, True)
        run_pairs(op, us, TRACED, o.ms, o.pairs)
    finally:
        op.close()
    rows = []
    for name in TRACED:
        reach = "<= 0.60" if name == "tcp_send" else ""
        for v in us:
            rows.append(pair_row("added to a traced process's %s, %s" % (TITLES[name], v.name),
                                 reach if v is us[0] else "", v, name, o.pairs))
    return rows


def beside(o):
    """Other tracers, interleaved with ours."""
    op = Op()
    try:
        us = ours(op.pid, True)[:1] + others(op.pid)
        run_pairs(op, us, TRACED[:2], o.ms, o.pairs)
    finally:
        op.close()
    return [pair_row("beside: %s, %s" % (v.name, TITLES[name]), "", v, name, o.pairs)
            for v in us for name in TRACED[:2]]


def untraced(o):
    """The tracer traces a process that sleeps, and the operations are another's."""
    asleep = subprocess.Popen(["sleep", "1000000"])
    op = Op()
    try:
        us = ours(asleep.pid, False)
        run_pairs(op, us, OTHERS, o.ms, o.pairs)
    finally:
        op.close()
        stop(asleep)
    rows = []
    for v in us:
        for name in OTHERS:
            reach = "" if v is not us[0] else "0, within noise" if name == "getppid" else "<= 0.20"
            rows.append(pair_row("added to another process's %s, %s" % (TITLES[name], v.name), reach, v, name, o.pairs))
    return rows
