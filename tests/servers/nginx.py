# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""nginx before llama.cpp: a master and two workers, which are no relatives of the server that they hand queries to. To
a TCP port they speak HTTP/1.1 and keep their connections; to a unix socket, as nginx does where nothing else is said,
HTTP/1.0, each query on a connection of its own."""
import contextlib
import http.client
import os
import socket

from common import Served, View, here, running
from harness import PYTHON, ROOT, free_port, get, llama, metrics, tempdir

ROLES = ["supervisor", "front", "front"]
CONF = """
user root;
daemon off;
worker_processes 2;
pid %(dir)s/pid;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
    upstream llama { server %(upstream)s; %(pool)s }
    server {
        listen 127.0.0.1:%(port)d;
        location / {
            proxy_pass http://llama;
            proxy_buffering off;
            %(hop)s
        }
    }
}
"""


@contextlib.contextmanager
def before(upstream, pool="", hop=""):
    """nginx before what listens on upstream. Yields (process, port)."""
    with tempdir() as d:
        port = free_port()
        conf = os.path.join(d, "nginx.conf")
        with open(conf, "w") as f:
            f.write(CONF % {"dir": d, "upstream": upstream, "pool": pool, "hop": hop, "port": port})
        with running(["/usr/sbin/nginx", "-p", d, "-e", "stderr", "-c", conf], lambda: get(port, "/health")) as p:
            yield p, port


@contextlib.contextmanager
def nginx():
    hop = "proxy_http_version 1.1; proxy_set_header Connection \"\";"
    with llama() as (server, inner), before(here(inner), "keepalive 4;", hop) as (p, port):
        yield Served(port, [View([p.pid], here(port), "nginx alone"), View([server.pid], here(inner), "behind nginx"),
                            View([p.pid, server.pid], here(port), "both")], ROLES, metrics=lambda: metrics(inner))


def answers(path):
    c = http.client.HTTPConnection("localhost", timeout=10)
    c.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(c):
        c.sock.connect(path)
        c.request("GET", "/health")
        return c.getresponse().status == 200


@contextlib.contextmanager
def nginx_unix():
    with tempdir() as d:
        path = os.path.join(d, "llama.sock")
        argv = [PYTHON, os.path.join(ROOT, "scripts/llama-server"), "1", "--host", path]
        with running(argv, lambda: answers(path)) as server, before("unix:" + path) as (p, port):
            yield Served(port, [View([p.pid, server.pid], here(port), "both")], ROLES, metrics=lambda: metrics(port))
