# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""uvicorn, the web server of vLLM, SGLang and many more, with an application of ours: in pure Python (asyncio and h11),
as those have it (uvloop and httptools), and with two workers that accept from the socket of their parent."""
import contextlib
import os

from common import HERE, Served, View, folder, here, running
from harness import free_port, get


@contextlib.contextmanager
def uvicorn(roles, *args):
    port = free_port()
    argv = [os.path.join(folder(), "venv/bin/python"), "-m", "uvicorn", "--app-dir", HERE, "asgi_app:app", "--port",
            str(port), "--no-access-log", "--lifespan", "off", *args]
    with running(argv, lambda: get(port, "/health"), env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1")) as p:
        yield Served(port, [View([p.pid], here(port))], roles)


def plain():
    return uvicorn([], "--loop", "asyncio", "--http", "h11")


def fast():
    return uvicorn([], "--loop", "uvloop", "--http", "httptools")


def workers():
    roles = ["supervisor", "helper", "front", "front"]  # the helper is Python's resource tracker
    return uvicorn(roles, "--loop", "uvloop", "--http", "httptools", "--workers", "2")
