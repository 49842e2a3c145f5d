#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
ipw-trace bench on a real llama.cpp server with its model, traced: tokens against the server's usage and /metrics,
joules against the books and against the recording's report, the client's clock against the tracer's. Root.
"""
import collections
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PYTHON, ROOT, TRACE, check, done, free_port, get, llama, metrics, report, skip, tempdir, \
    wait_for  # noqa: E402
from made import gguf, llama as made  # noqa: E402
from server import Reply, serving, stream  # noqa: E402

SMALL = os.path.join(ROOT, "tests/ipw/small.jsonl")
MODEL = ["--power-model", "idle=2,max=10"]
TTFT_MS = 5  # between medians


def command(port, out, *args):
    return [TRACE, "bench", "-d", "jsonl:" + SMALL, "--url", "http://127.0.0.1:%d" % port, "-o", out,
            "--max-tokens", "24", *MODEL, *map(str, args)]


def objects(path):
    with open(path) as f:
        return [json.loads(x) for x in f]


def rows(path):
    return [o for o in objects(path) if o["type"] == "result"]


def small():
    with open(SMALL) as f:
        return {o["id"]: o for o in map(json.loads, f)}


def near(a, b, part=1e-9, of=1.0):
    return abs(a - b) <= part * max(abs(a), abs(b), abs(of))


def balanced(seg, mine, what):
    """The rows, what was no row, and other clients' queries are all that the tracer gave to queries; and so on up."""
    got = sum(r["energy_j"] for r in mine) + seg["retry_j"] + seg["warmup_j"] + seg["other_queries_j"]
    check(near(got, seg["queries_j"], 1e-9, seg["measured_j"]), "%s: rows and the rest are queries_j" % what,
          (got, seg["queries_j"]))
    terms = sum(seg[k] for k in ("queries_j", "server_other_j", "others_j", "idle_j"))
    check(near(terms, seg["measured_j"]), "%s: the books balance" % what, (terms, seg["measured_j"]))
    check(abs(seg["books_missing"]) < 1e-9 and seg["lost_events"] == 0, "%s: and say so themselves" % what, seg)


def whole(port, d):
    out, data, texts = (os.path.join(d, x) for x in ("out", "ipw.data", "texts"))
    before = metrics(port)
    p = subprocess.run(command(port, out, "-c", 3, "--warmup", 2, "--record", data, "--answers", texts,
                               "--require-energy"), capture_output=True, text=True)
    after = metrics(port)
    r, seg = rows(out), objects(out)[-1]
    check(p.returncode == 0 and sorted(o["query_id"] for o in r) == sorted(small()), "all queries", p.stderr)
    check("attached to" in p.stderr, "the server was found by the URL's port", p.stderr)
    check(all(o["energy_j"] is not None and not {"untraced", "tokens_differ"} & set(o["flags"]) for o in r),
          "each was traced, and both counted the same tokens", [o["flags"] for o in r])
    of_model(port, out, r)
    lines, summary = report(data)
    traced = {o["request_id"]: o for o in lines}
    warm = [o for i, o in traced.items() if i not in {x["request_id"] for x in r}]
    made = sum(o["completion_tokens"] for o in r) + sum(o["completion_tokens"] for o in warm)
    read = sum(o["prompt_tokens"] - o["cached_tokens"] for o in r) + \
        sum(o["prompt_tokens"] - (o["cached_tokens"] or 0) for o in warm)
    check(len(warm) == 2 and made == after["tokens_predicted_total"] - before["tokens_predicted_total"],
          "completion tokens, two to warm up among them, as /metrics", made)
    check(read == after["prompt_tokens_total"] - before["prompt_tokens_total"], "prompt tokens as /metrics", read)
    balanced(seg, r, "whole")

    def same(o, t):
        figures = all(near(o[k], t[k], 1e-9, summary["measured_j"]) for k in ("energy_j", "gross_j"))
        return figures and (o["bound_j"] is None) == (t["bound_j"] is None) and o["client"] == t["client"]
    wrong = [o for o in r if not same(o, traced[o["request_id"]])]
    check(not wrong, "joules are those of the recording's report, query by query", wrong)
    check(all(near(o["power_w"] * o["duration_s"], o["energy_j"]) and o["gross_j"] > o["energy_j"] for o in r),
          "power is energy by time; gross is more")
    idle = sum(o["gross_j"] - o["energy_j"] for o in r)
    check(0 < idle <= seg["idle_j"], "all parts of the floor are no more than the floor", (idle, seg["idle_j"]))
    off = statistics.median(o["ttft_s"] - o["ttft_traced_s"] for o in r) * 1e3
    check(0 <= off < TTFT_MS, "TTFT by the client's clock and by the tracer's: median difference %.2f ms" % off)
    off = statistics.median(o["duration_s"] - o["duration_traced_s"] for o in r) * 1e3
    check(0 <= off < TTFT_MS, "duration: median difference %.2f ms" % off)
    check(all(o["hardware"] == r[0]["hardware"] for o in r) and summary["hardware"] in r[0]["hardware"] and
          os.uname().release in r[0]["hardware"], "the machine, as the tracer describes it", r[0]["hardware"])
    graded(r, texts)
    with open(data, "rb") as f:
        raw = f.read()
    check(not any(o["text"] and len(o["text"]) > 12 and o["text"][:12].encode() in raw for o in objects(texts)),
          "the recording has no text")


def of_model(port, out, r):
    """The file that the server has mapped, as the server itself describes it; and FLOPs by that."""
    meta = json.loads(get(port, "/v1/models"))["data"][0]["meta"]
    m = objects(out)[0]["config"]["model_file"]
    check((m["parameters"], m["weight_bytes"], m["quantization"]) == (meta["n_params"], meta["size"], meta["ftype"]),
          "the model's file was found, and is what the server says: %d parameters, %s" %
          (meta["n_params"], meta["ftype"]), (m, meta))
    check(all(o["flops"] == 2 * meta["n_params"] * (o["prompt_tokens"] - o["cached_tokens"] + o["completion_tokens"])
              for o in r), "FLOPs by its parameters and the tokens that were computed")


def graded(r, texts):
    """What is plain to see is judged as anyone would."""
    say, seen, wrong = {o["query_id"]: o["text"] or "" for o in objects(texts)}, 0, []
    for o in r:
        item, text = small()[o["query_id"]], say[o["query_id"]]
        first = re.match(r"^([A-Z])\. [^\n]*$", text)
        if "options" in item and first:
            want = first[1] == item["answer"]
        elif isinstance(item["answer"], (int, float)) and "nswer" not in text and re.search(r"\d\.?$", text):
            want = abs(float(re.findall(r"-?\d+(?:\.\d+)?", text)[-1]) / item["answer"] - 1) < 1e-3
        else:
            continue
        seen += 1
        if o["correct"] != want:
            wrong.append((o["query_id"], text, o["correct"]))
    check(seen >= 3 and not wrong, "%d plain answers are graded as anyone would" % seen, wrong)


def with_others(port, d):
    """Another client at the same time: its queries are no rows of ours, and the books have them."""
    out = os.path.join(d, "others")
    p = subprocess.Popen(command(port, out, "-c", 2, "-n", 8), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True)
    wait_for(lambda: os.path.exists(out) and '"type":"result"' in open(out).read(), 60, "rows")
    subprocess.run([PYTHON, os.path.join(ROOT, "scripts/load"), "http://127.0.0.1:%d" % port, "-n", "4", "-c", "2",
                    "--tokens", "4-8"], stdout=subprocess.DEVNULL, check=True)
    err = p.communicate()[1]
    r, seg = rows(out), objects(out)[-1]
    check(p.returncode == 0 and len(r) == 8 and seg["other_queries"] == 4, "another client's queries are counted apart",
          (err, seg))
    balanced(seg, r, "with another client")


def killed(server, port, d):
    out = os.path.join(d, "killed")
    cmd = command(port, out, "-c", 2, "-p", server.pid, "--seed", 2)
    p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(out) and open(out).read().count('"type":"result"') >= 8, 120, "eight rows")
    p.kill()
    p.wait()
    before = len(rows(out)) if open(out).read().endswith("\n") else None
    wait_for(lambda: not tracers(server.pid), 20, "the tracer outlives who was killed")
    check(True, "the tracer ends with the bench")
    p = subprocess.run(cmd, capture_output=True, text=True)
    r = rows(out)
    check(p.returncode == 0 and sorted(o["query_id"] for o in r) == sorted(small()) and before and before >= 8,
          "killed halfway and gone on: each query once", (p.stderr, before, len(r)))
    check(all(o["energy_j"] is not None for o in r), "and each has joules")
    seg = objects(out)[-1]
    balanced(seg, [o for o in r if o["segment"] == seg["segment"]], "gone on")


def in_namespace(d):
    """A server whose files are on a mount that only it has: what it has open is read through its root."""
    model, mount, port = os.path.join(d, "made.gguf"), os.path.join(d, "mount"), free_port()
    gguf(model, *made())
    os.mkdir(mount)
    serve = "import time; from server import *\nf = open('%s/x.gguf')\n" \
            "with serving(lambda b: Reply(stream(['x'])), %d): time.sleep(60)" % (mount, port)
    p = subprocess.Popen(["unshare", "-m", "sh", "-c", 'mount -t tmpfs ipw-test "$1" && cp "$2" "$1/x.gguf" && '
                          'exec "$3" -c "$4"', "sh", mount, model, sys.executable, serve],
                         env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.abspath(__file__))))
    try:
        wait_for(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), 20, "the server")
        got = subprocess.run(command(port, os.path.join(d, "ns"), "-n", 1, "--no-trace"), capture_output=True,
                             text=True)
        check(not os.listdir(mount) and "the model's file: made of zeros" in got.stderr, "a file on a mount of its own",
              got.stderr)
    finally:
        p.kill()
        p.wait()


def busy_server(port):
    """Puts each query off once, with work, and then answers. In a process of its own: its work is its alone."""
    seen = collections.Counter()

    def answer(body):
        question = body["messages"][0]["content"]
        seen[question] += 1
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        if seen[question] == 1:
            return Reply([b'{"error":{"message":"busy"}}'], 429, kind="application/json")
        return Reply(stream(["Answer: C"]))
    with serving(answer, port):
        time.sleep(120)


def put_off(d):
    """What the tries before the last took is beside a row's own joules, and in the books."""
    out, port = os.path.join(d, "busy"), free_port()
    pid = os.fork()
    if not pid:
        busy_server(port)
        os._exit(0)
    try:
        wait_for(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), 10, "the server")
        p = subprocess.run(command(port, out, "-n", 6, "-c", 2, "--model", "m"), capture_output=True, text=True)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    r, seg = rows(out), objects(out)[-1]
    check(p.returncode == 0 and len(r) == 6 and all(o["tries"] == 2 and o["energy_j"] > 0 and o["retry_j"] > 0
                                                    for o in r), "put off, and answered", (p.stderr, r))
    check(near(sum(o["retry_j"] for o in r), seg["retry_j"]) and seg["retries"] == 6, "their joules are in the rows",
          seg)
    balanced(seg, r, "put off")


def tracers(pid):
    found = []
    for p in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if b"--json" in words and str(pid).encode() in words:
            found.append(p)
    return found


def main():
    if os.geteuid():
        skip("bench on a real server", "tracing needs root")
        return
    with tempdir() as d, llama("--slots", "4") as (server, port):
        whole(port, d)
        with_others(port, d)
        killed(server, port, d)
        in_namespace(d)
        put_off(d)


main()
done()
