# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A Go front that starts a runner as its child on the first query and asks it for each, by a connection of its own."""
import contextlib
import os
import subprocess

from common import HERE, Served, View, children, folder, here, running
from harness import BUILD, free_port, get, wait_for

SOURCE = os.path.join(HERE, "ollama_shape.go")
PROGRAM = os.path.join(BUILD, "tests/servers/ollama_shape")


def build():
    """Once; what Go compiled of its library is kept beside the servers."""
    if os.path.exists(PROGRAM) and os.path.getmtime(PROGRAM) > os.path.getmtime(SOURCE):
        return
    os.makedirs(os.path.dirname(PROGRAM), exist_ok=True)
    subprocess.run(["go", "build", "-p", "2", "-o", PROGRAM, SOURCE], check=True,
                   env=dict(os.environ, GO111MODULE="off", CGO_ENABLED="0", GOCACHE=os.path.join(folder(), "go-cache")))


@contextlib.contextmanager
def ollama_shape():
    build()
    port = free_port()
    with running([PROGRAM, "serve", str(port)], lambda: get(port, "/")) as p:
        yield Served(port, [View([p.pid], here(port))], ["front", "helper"], "tiny:latest")
        left = children(p.pid)
    wait_for(lambda: not any(os.path.exists("/proc/%d" % c) for c in left), 10, "the front left its runner")
