# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What starting a server of a test takes. Each server is a context manager that yields a Served."""
import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import ROOT, stop, wait_for  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclasses.dataclass
class View:
    """What a tracer is told to look at, and which of its rows are the clients' queries."""
    pids: list
    server: str               # the address that they come to
    name: str = ""
    key: str = "request_id"   # what a row and a client's query have in common

    @property
    def folds(self):
        """Processes that -p names apart are targets of their own: what one asks of another stays a row."""
        return len(self.pids) == 1


@dataclasses.dataclass
class Served:
    """A server that is up."""
    port: int                 # of the front
    views: list
    roles: list               # of its processes once it was asked something, parents first; none: it is one process
    model: str = "default"
    metrics: object = None    # llama.cpp's counters now, where the server has them


def here(port):
    return "127.0.0.1:%d" % port


def folder():
    """Where scripts/setup-servers has put the servers."""
    if "IPW_SERVERS" not in os.environ:
        p = subprocess.run([os.path.join(ROOT, "scripts/setup-servers")], stdout=subprocess.PIPE, text=True, check=True)
        os.environ["IPW_SERVERS"] = p.stdout.strip()
    return os.environ["IPW_SERVERS"]


@contextlib.contextmanager
def running(argv, ready, **more):
    """A process from when ready() is true to the end of the block; what it said is shown if it does not get there."""
    with tempfile.TemporaryFile() as log:
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **more)

        def said():
            log.seek(0)
            return "%s: %s" % (argv[0], log.read().decode(errors="replace")[-2000:])

        def up():
            if p.poll() is not None:
                raise RuntimeError("ended: " + said())
            with contextlib.suppress(OSError):
                return ready()
        try:
            try:
                wait_for(up, 60, "not ready")
            except TimeoutError:
                raise RuntimeError("not ready after 60 s: " + said()) from None
            yield p
        finally:
            stop(p)


def children(pid):
    out = []
    for t in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, t)) as f:
            out += map(int, f.read().split())
    return out
