# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""llama.cpp as Debian has it, in router mode: a router that starts a server as its child when a model is first asked
for, and hands each query to it over loopback. Both have the name llama-server."""
import contextlib
import os

from common import Served, View, children, folder, here, running
from harness import free_port, get, wait_for

MODEL = "SmolLM2-135M-Instruct.Q4_1"


def counters(port):
    out = {}
    for line in get(port, "/metrics?model=%s&autoload=false" % MODEL).splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            out[name.replace("llamacpp:", "")] = float(value)
    return out


@contextlib.contextmanager
def router(slots=4):
    port = free_port()
    argv = ["chroot", os.path.join(folder(), "forky"), "/usr/bin/llama-server", "--host", "127.0.0.1", "--port",
            str(port), "--models-dir", "/models", "-c", str(2048 * slots), "-np", str(slots), "-t", "1", "--metrics",
            "--no-webui"]
    with running(argv, lambda: get(port, "/health")) as p:
        yield Served(port, [View([p.pid], here(port))], ["front", "engine"], MODEL,
                     lambda: counters(port) if children(p.pid) else {})
        left = children(p.pid)
    wait_for(lambda: not any(os.path.exists("/proc/%d" % c) for c in left), 10, "the router left its child")
