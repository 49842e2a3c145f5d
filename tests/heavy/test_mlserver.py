#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tracer on a real MLServer: KServe's v2 protocol, in its own process and with worker processes."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))
from harness import done, free_port, tempdir  # noqa: E402
from heavy import Case, check_server, counters, python_of, server  # noqa: E402

MODEL = "/v2/models/scripted"
STEPS = ("--tokens", "20-40")
CASES = (
    Case("infer", "kserve", MODEL + "/infer", None, "--whole", *STEPS),
    Case("infer_stream", "kserve", MODEL + "/infer_stream", "events", *STEPS),
    Case("generate", "kserve", MODEL + "/generate", None, "--whole", *STEPS),
    Case("generate_stream", "kserve", MODEL + "/generate_stream", "events", *STEPS),
)


def settings(where, workers):
    """Writes them; returns the ports of the server and of its metrics."""
    port, metrics = free_port(), free_port()
    s = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": metrics, "debug": False,
         "parallel_workers": workers, "gzip_enabled": False}
    with open(os.path.join(where, "settings.json"), "w") as f:
        json.dump(s, f)
    with open(os.path.join(where, "model-settings.json"), "w") as f:
        json.dump({"name": "scripted", "implementation": "mlserver_model.Scripted"}, f)
    return port, metrics


def run(python, workers):
    with tempdir() as d:
        port, metrics = settings(d, workers)

        def snap():
            now = counters("http://127.0.0.1:%d/metrics" % metrics)
            return [now.get("model_infer_request_success_total", 0)]
        with server([os.path.join(os.path.dirname(python), "mlserver"), "start", d],
                    "http://127.0.0.1:%d%s/ready" % (port, MODEL), {"PYTHONPATH": HERE}, d) as p:
            roles = ["front"] + 3 * ["helper"] if workers else []  # Python's resource tracker, the workers
            check_server("MLServer, %d workers" % workers, p, port, CASES, roles, snap)


def main():
    python = python_of("mlserver")
    run(python, 0)
    run(python, 2)
    done()


main()
