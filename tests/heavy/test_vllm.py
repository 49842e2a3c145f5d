#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tracer on a real vLLM on CPU: a tiny model with made-up weights, in several set-ups."""
import contextlib
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))
from harness import check, done, free_port, load, tempdir, tracer  # noqa: E402
from heavy import Case, check_server, counters, python_of, server  # noqa: E402
from steps import script, steps_of  # noqa: E402

LONE = 15            # queries alone on the server
TIME_TOLERANCE = 15  # ms, between medians; they are 1 to 3 apart on an idle machine
TOKENS = ("--model", "tiny", "--ignore-eos", "--tokens", "40-60")
ENV = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}

CHAT, TEXT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
CASES = (
    Case("chat, streamed", "openai-chat", CHAT, "usage", *TOKENS),
    Case("chat, whole", "openai-chat", CHAT, "usage", "--whole", *TOKENS),
    Case("text, streamed", "openai-completions", TEXT, "usage", *TOKENS),
    Case("text, whole", "openai-completions", TEXT, "usage", "--whole", *TOKENS),
    Case("chat without usage", "openai-chat", CHAT, "events", "--no-usage", *TOKENS),
)
MORE = (
    Case("responses, streamed", "openai-responses", RESPONSES, "usage", *TOKENS),
    Case("responses, whole", "openai-responses", RESPONSES, "usage", "--whole", *TOKENS),
    Case("messages, streamed", "anthropic", MESSAGES, "usage", *TOKENS),
    Case("messages, whole", "anthropic", MESSAGES, "usage", "--whole", *TOKENS),
)
MERGED = (
    Case("chat, streamed", "openai-chat", CHAT, "usage", *TOKENS),
    Case("text, streamed", "openai-completions", TEXT, "usage", *TOKENS),
    Case("text without usage", "openai-completions", TEXT, "events", "--no-usage", *TOKENS),
)
# API server, Python's resource tracker, EngineCore, Worker
ROLES = ["front", "helper", "engine", "engine"]
# name, arguments, environment, queries, roles
SETUPS = (
    ("vLLM", (), {}, CASES + MORE, ROLES),
    ("vLLM, 2 API servers", ("--api-server-count", "2"), {}, CASES,
     ["supervisor", "helper", "engine", "front", "front", "engine"]),
    ("vLLM, TP 2", ("-tp", "2"), {"VLLM_CPU_OMP_THREADS_BIND": "0|1"}, CASES, ROLES + ["engine"]),
    ("vLLM, 5 tokens an event", ("--stream-interval", "5"), {}, MERGED, ROLES),
)


@contextlib.contextmanager
def vllm(python, model, args, env):
    """Yields its process and port."""
    port = free_port()
    with server([python, "-m", "vllm.entrypoints.cli.main", "serve", model, "--load-format", "dummy",
                 "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048",
                 "--enforce-eager", *args], "http://127.0.0.1:%d/health" % port, {**ENV, **env}, model) as p:
        yield p, port


def metrics(port):
    return counters("http://127.0.0.1:%d/metrics" % port)


def snap(port):
    now = metrics(port)
    return [now["vllm:" + k] for k in ("request_success_total", "prompt_tokens_total", "generation_tokens_total")]


def lone_times(what, p, port):
    """
    One query at a time: its times against the server's histograms, whose sums' growth is that query's. The engine's
    times lie within ours, whatever else the machine does; medians are near.
    """
    rows, said = [], []
    with tracer("-p", p.pid, "--json") as t:
        last = metrics(port)
        for i in range(LONE):
            rows += load(port, "-n", 1, "-c", 1, "--seed", 1000 + i, "--model", "tiny", "--ignore-eos", "--tokens",
                         "10-20", "--words", "2-30")
            now = metrics(port)
            said.append({k: (now["vllm:%s_seconds_sum" % k] - last["vllm:%s_seconds_sum" % k]) * 1e3
                         for k in ("time_to_first_token", "request_queue_time", "request_prefill_time",
                                   "request_decode_time", "e2e_request_latency")})
            last = now
        t.stop()
    if not check(len(t.rows) == LONE, what + ", lone: every query", len(t.rows)):
        return
    ours = sorted(t.rows, key=lambda r: r["start_ns"])
    early = [(o["ttft_ms"], s) for o, s in zip(ours, said)
             if o["ttft_ms"] < s["request_queue_time"] + s["request_prefill_time"]]
    check(not early, what + ", lone: TTFT >= the engine's queue and prefill time", early)
    late = [(o["ttft_ms"], r) for o, r in zip(ours, rows) if o["ttft_ms"] > (r["first_ns"] - r["send_ns"]) / 1e6]
    check(not late, what + ", lone: TTFT <= by the client's clock", late)
    for name, f in (("TTFT and its histogram", lambda o, s: o["ttft_ms"] - s["time_to_first_token"]),
                    ("first to last token and decode time",
                     lambda o, s: o["tpot_ms"] * (o["completion_tokens"] - 1) - s["request_decode_time"]),
                    ("duration and e2e latency", lambda o, s: o["duration_ms"] - s["e2e_request_latency"])):
        d = statistics.median(f(o, s) for o, s in zip(ours, said))
        check(abs(d) <= TIME_TOLERANCE, "%s, lone: %s, median difference %.2f ms" % (what, name, d))


def steps(what, p, port):
    """As many as the engine counts; every token goes through it, but the last of each query, which is not read."""
    with tempdir() as d:
        data = os.path.join(d, "ipw.data")
        with tracer("-p", p.pid, "--json", "-o", data) as t:
            before = metrics(port)["vllm:iteration_tokens_total_count"]
            rows = load(port, "-n", 4, "-c", 4, "--seed", 60, *TOKENS)
            time.sleep(0.5)
            counted = metrics(port)["vllm:iteration_tokens_total_count"] - before
            t.stop()
        seen = steps_of(script(data))
    check(len(seen) == counted and len({s.pid for s in seen}) == 1, "%s: %d steps, as it counts" % (what, counted),
          seen)
    tokens = sum(r["usage"]["total_tokens"] - 1 for r in rows)
    check(sum(s.tokens for s in seen) == tokens, "%s: %d tokens in its steps" % (what, tokens), seen)
    strays = [s for s in seen if not any(r["send_ns"] / 1e9 <= s.begin and s.end <= r["end_ns"] / 1e9 for r in rows)]
    check(not strays, what + ": its steps lie within queries", strays)


def merged(what, p, port):
    """That it is as the set-up says: fewer events than tokens."""
    rows = load(port, "-n", 4, "-c", 4, "--seed", 50, *TOKENS)
    events, tokens = sum(r["events"] for r in rows), sum(r["usage"]["completion_tokens"] for r in rows)
    check(events < tokens / 3, "%s: %d tokens in %d events" % (what, tokens, events))


def main():
    python = python_of("vllm")
    only = [a for a in sys.argv[1:] if not a.startswith("-")]
    with tempdir() as model:
        subprocess.run([python, os.path.join(HERE, "tiny_model.py"), model], check=True)
        for what, args, env, cases, roles in SETUPS:
            if only and what not in only:
                continue
            with vllm(python, model, args, env) as (p, port):
                if cases is MERGED:
                    merged(what, p, port)
                check_server(what, p, port, cases, roles, lambda: snap(port))
                steps(what, p, port)
                if not args:
                    lone_times(what, p, port)
    done()


main()
