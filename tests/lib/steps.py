# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Engine steps, as script prints them, and a process with a library that looks like an engine's."""
import contextlib
import os
import re
import subprocess
import sys

from harness import BUILD, TRACE, stop

STUB = os.path.join(BUILD, "tests/lib/llama_stub.so")
STEP = re.compile(r"^ *(\d+\.\d+) - step pid (\d+) since (\d+\.\d+) tokens (\S+)$", re.M)
TOKENS = re.compile(r"^ *(\d+\.\d+) q(\d+) tokens (\d+)$", re.M)


class Step:
    """Times in seconds; tokens None where they are not known."""

    def __init__(self, end, pid, begin, tokens):
        self.begin, self.end, self.pid = float(begin), float(end), int(pid)
        self.tokens = None if tokens == "-" else int(tokens)

    def __repr__(self):
        return "%.6f-%.6f of %d: %s" % (self.begin, self.end, self.pid, self.tokens)


def steps_of(text):
    return [Step(*m) for m in STEP.findall(text)]


def script(data):
    """What ipw-trace script says of a recording."""
    return subprocess.run([TRACE, "script", "-i", data], stdout=subprocess.PIPE, check=True, text=True).stdout


DRIVER = """
import ctypes, sys, time
class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("more", ctypes.c_void_p * 6)]
def batch(n):
    return Batch(n_tokens=n)
libs = {}
def load(path):
    libs[path] = ctypes.CDLL(path)
def call(path, function, *args):
    args = [ctypes.c_long(a) if type(a) is int else a for a in args]
    getattr(libs[path], function)(*args)
for line in sys.stdin:
    begin = time.perf_counter_ns()
    exec(line)
    print("ok", time.perf_counter_ns() - begin, flush=True)
"""


class Driver:
    """A process that loads libraries and calls their functions when told to."""

    def __init__(self):
        self.p = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True)
        self.pid = self.p.pid

    def time(self, line):
        """Does it; nanoseconds that it took."""
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        said = self.p.stdout.readline().split()
        if said[:1] != ["ok"]:
            raise RuntimeError("the driver failed at: " + line)
        return int(said[1])

    do = time

    def load(self, path):
        self.do("load(%r)" % path)

    def decode(self, path, n, us=2000):
        self.do("call(%r, 'llama_decode', %d, batch(%d))" % (path, us, n))


@contextlib.contextmanager
def driver():
    d = Driver()
    try:
        yield d
    finally:
        d.p.stdin.close()
        stop(d.p)
