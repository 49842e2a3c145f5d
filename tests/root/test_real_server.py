#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tracer on a real llama.cpp server, against what the server and the client say themselves."""
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import balanced, check, done, llama, load, metrics, report, tempdir, tracer  # noqa: E402

LONE = 24           # queries alone on the server
TIME_TOLERANCE = 3  # ms, between medians


def by_id(t, rows):
    """(ours, theirs) of the queries that both saw."""
    ours = {r["request_id"]: r for r in t.rows}
    return [(ours[i], r) for r in rows for i in [r["id"]] if i in ours]


def with_ids(rows, seed):
    for r in rows:
        r["id"] = "load-%d-%d" % (seed, r["query"])
    return rows


def unsaid(row):
    """The server left a count out: it does, in some dialects, when the first token ends the answer."""
    return not {"prompt_tokens", "completion_tokens"} <= set(row.get("usage", {}))


def counts(t, pairs, n, before, after, what):
    check(len(t.rows) == n and len(pairs) == n, "%s: every query once" % what, (len(t.rows), len(pairs), n))
    check(all(o["end"] == "complete" for o, _ in pairs), "%s: all complete" % what, [o["end"] for o, _ in pairs])
    for ours, key in (("prompt_tokens", "prompt_tokens"), ("completion_tokens", "completion_tokens")):
        wrong = [(o["id"], o[ours], c["usage"][key]) for o, c in pairs
                 if c.get("usage", {}).get(key, o[ours]) != o[ours]]
        check(not wrong, "%s: %s as the server's usage" % (what, ours), wrong)
    if before and not any(unsaid(c) for _, c in pairs):
        made = after["tokens_predicted_total"] - before["tokens_predicted_total"]
        check(sum(o["completion_tokens"] for o in t.rows) == made, "%s: completion tokens as /metrics" % what, made)
        read = after["prompt_tokens_total"] - before["prompt_tokens_total"]
        ours = sum(o["prompt_tokens"] - (o["cached_tokens"] or 0) for o in t.rows)
        check(ours == read, "%s: prompt tokens less cached ones as /metrics" % what, (ours, read))


def sane(t, what):
    s = t.summary
    check(balanced(s), "%s: the books add up" % what, s)
    check(abs(sum(o["energy_j"] for o in t.rows) - s["queries_j"]) <= 0.5 * abs(s["queries_j"]) + 0.1,
          "%s: lines and books are of one size" % what)
    check(s["lost_events"] == 0, "%s: nothing lost" % what, s["lost_events"])
    for o in t.rows:
        if o["stream"] and o["end"] == "complete" and not (0 <= o["ttft_ms"] <= o["duration_ms"]):
            check(False, "%s: phases in order" % what, o)
            return
    check(True, "%s: phases in order" % what)


def lone(net, streamed, path="/v1/chat/completions"):
    """One query at a time: its times are the server's own, and the client's."""
    what = "%s, lone, %s%s" % (net, "" if "chat" in path else "text, ", "streamed" if streamed else "whole")
    with llama() as (server, port), tempdir() as d:
        data = os.path.join(d, "ipw.data")
        with tracer("-p", server.pid, "--json", "--net", net, "-o", data) as t:
            before = metrics(port)
            rows = load(port, "-n", LONE, "-c", 1, "--seed", 7, "--tokens", "6-12", "--words", "2-30", "--ignore-eos",
                        "--path", path, *([] if streamed else ["--whole"]))
            after = metrics(port)
            t.stop()
        pairs = by_id(t, with_ids(rows, 7))
        counts(t, pairs, LONE, before, after, what)
        sane(t, what)
        if streamed:
            times(pairs, what, "chat" in path)
        same_as_report(t, data, what)


def times(pairs, what, chat):
    """
    Medians: TTFT against the server's prompt_ms and the client's clock, decode against predicted_ms. The server begins
    to count prompt_ms when it has applied the chat template, which takes some 3 ms: of a chat that is a lower end.
    """
    def median(name, f):
        d = statistics.median(f(o, c) for o, c in pairs)
        check(abs(d) <= TIME_TOLERANCE, "%s: %s, median difference %.2f ms" % (what, name, d))
    if chat:
        early = [(o["ttft_ms"], c["timings"]["prompt_ms"]) for o, c in pairs
                 if o["ttft_ms"] < c["timings"]["prompt_ms"]]
        check(not early, "%s: TTFT >= prompt_ms" % what, early)
    else:
        median("TTFT and prompt_ms", lambda o, c: o["ttft_ms"] - c["timings"]["prompt_ms"])
    median("TTFT and the client's clock", lambda o, c: o["ttft_ms"] - (c["first_ns"] - c["send_ns"]) / 1e6)
    median("first token to finish and predicted_ms",
           lambda o, c: o["tpot_ms"] * (o["completion_tokens"] - 1) - c["timings"]["predicted_ms"])
    median("duration and the client's clock", lambda o, c: o["duration_ms"] - (c["end_ns"] - c["send_ns"]) / 1e6)


def same_as_report(t, path, what):
    rows, summary = report(path)
    check(summary == t.summary, "%s: the report's summary is the live one, figure by figure" % what,
          {k: (v, t.summary[k]) for k, v in summary.items() if v != t.summary[k]})
    check(len(rows) == len(t.rows), "%s: the report has every query" % what)
    check(abs(sum(r["energy_j"] for r in rows) - summary["queries_j"]) <= 1e-9 * abs(summary["queries_j"]),
          "%s: the report's queries add up to the books" % what)


def crowd(net):
    """More queries than slots: some wait, so TTFT is the server's prompt time or more."""
    what = "%s, 10 queries on 2 slots" % net
    with llama("--slots", "2") as (server, port):
        with tracer("-p", server.pid, "--json", "--net", net) as t:
            before = metrics(port)
            rows = load(port, "-n", 10, "-c", 10, "--seed", 8, "--tokens", "6-20", "--words", "2-30")
            after = metrics(port)
            t.stop()
        pairs = by_id(t, with_ids(rows, 8))
        counts(t, pairs, 10, before, after, what)
        sane(t, what)
        early = [(o["ttft_ms"], c["timings"]["prompt_ms"]) for o, c in pairs
                 if o["ttft_ms"] < c["timings"]["prompt_ms"] - TIME_TOLERANCE]
        check(not early, "%s: TTFT >= prompt_ms" % what, early)
        overlap = max(c["send_ns"] for _, c in pairs) < min(c["end_ns"] for _, c in pairs)
        check(overlap and max(o["concurrency_mean"] for o in t.rows) > 2, "%s: they did overlap" % what)


def dialects(net):
    """Each of the server's languages, streamed and not, several at a time."""
    with llama() as (server, port):
        for path, dialect in (("/completion", "llamacpp"), ("/v1/completions", "openai-completions"),
                              ("/v1/responses", "openai-responses"), ("/v1/messages", "anthropic")):
            what = "%s, %s" % (net, path)
            with tracer("-p", server.pid, "--json", "--net", net) as t:
                before = metrics(port)
                rows = load(port, "-n", 5, "-c", 3, "--seed", 9, "--tokens", "6-16", "--path", path)
                rows += load(port, "-n", 3, "-c", 3, "--seed", 10, "--tokens", "6-16", "--path", path, "--whole")
                after = metrics(port)
                t.stop()
            pairs = by_id(t, with_ids(rows[:5], 9) + with_ids(rows[5:], 10))
            counts(t, pairs, 8, before, after, what)
            sane(t, what)
            check(all(o["dialect"] == dialect for o in t.rows), "%s: its dialect" % what)
            check(sum(o["stream"] for o in t.rows) == 5, "%s: five are streamed" % what)
            check(all(("estimated_tokens" in o["flags"]) == unsaid(c) for o, c in pairs),
                  "%s: nothing is estimated that the server says" % what)
            check(max(o["concurrency_mean"] for o in t.rows) > 1.2, "%s: they did overlap" % what)


def embeddings():
    with llama("--embeddings") as (server, port):
        with tracer("-p", server.pid, "--json") as t:
            rows = load(port, "-n", 8, "-c", 4, "--seed", 11, "--path", "/v1/embeddings", "--whole")
            load(port, "-n", 1, "-c", 1, "--seed", 12, "--path", "/embedding", "--whole")
            t.stop()
        ours = {r["request_id"]: r for r in t.rows}
        wrong = [(ours.get(r["id"]), r["usage"]) for r in with_ids(rows, 11)
                 if not ours.get(r["id"]) or ours[r["id"]]["prompt_tokens"] != r["usage"]["prompt_tokens"]]
        check(not wrong, "embeddings: prompt_tokens as the server's usage", wrong)
        mine = [r for r in t.rows if r["dialect"] == "openai-embeddings"]
        check(len(mine) == 8 and all(r["completion_tokens"] == 0 and r["j_per_output_token"] is None and
                                     r["energy_j"] > 0 and not r["stream"] for r in mine),
              "embeddings: no tokens out", mine)
        other = [r for r in t.rows if r["dialect"] == "llamacpp-embedding"]
        check(len(other) == 1 and other[0]["prompt_tokens"] is None and "estimated_tokens" in other[0]["flags"],
              "/embedding: its tokens are not known", other)
        check(balanced(t.summary), "embeddings: the books add up", t.summary)


for tier in ("tp", "sys"):
    lone(tier, True)
    lone(tier, True, "/v1/completions")
    crowd(tier)
    dialects(tier)
lone("tp", False)
embeddings()
done()
