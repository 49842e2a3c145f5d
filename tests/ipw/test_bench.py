#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace bench against servers that answer well, badly and not at all. Needs no root: nothing is traced here."""
import collections
import contextlib
import json
import math
import mmap
import os
import pty
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import ROOT, TRACE, check, done, free_port, tempdir, wait_for  # noqa: E402
from made import elements, folder, gguf, llama  # noqa: E402
from server import Reply, delta, event, serving, stream  # noqa: E402

SMALL = "jsonl:" + os.path.join(ROOT, "tests/ipw/small.jsonl")
CONTRACT = """type query_id model hardware dataset category difficulty correct ppl energy_j power_w duration_s ttft_s
prompt_tokens cached_tokens completion_tokens flops cost_usd source flags scope gross_j bound_j method concurrency_mean
end repetition tries retry_j retry_s""".split()
FIRST = ["type", "query_id", "model", "hardware"]


def bench(s, out, *args, dataset=SMALL, trace=False, **kw):
    return subprocess.run([TRACE, "bench", "-d", dataset, "--url", getattr(s, "url", s), "-o", out, "--model", "m",
                           *([] if trace else ["--no-trace"]), *map(str, args)],
                          capture_output=True, text=True, timeout=120, **kw)


def objects(path):
    with open(path) as f:
        return [json.loads(x) for x in f]


def rows(path):
    return [o for o in objects(path) if o["type"] == "result"]


def keys(path):
    return [(r["query_id"], r["repetition"]) for r in rows(path)]


def small():
    with open(SMALL.split(":", 1)[1]) as f:
        return {o["id"]: o for o in map(json.loads, f)}


def oracle(body):
    """Knows all answers."""
    q = body["messages"][0]["content"]
    o = next((o for o in small().values() if q.startswith(o["question"])), None)
    right = o["answer"] if o else "ten"
    return Reply(stream(["Let me", " think.\n", "Answer: %s" % (right[0] if isinstance(right, list) else right)]),
                 delay=0.002)


def good(d):
    out = os.path.join(d, "good.jsonl")
    with serving(oracle) as s:
        p = bench(s, out, "-c", 4, "--repetitions", 2, "--warmup", 3)
    r = rows(out)
    n = len(small())
    check(p.returncode == 0 and len(r) == 2 * n, "a good server: a row for each query and repetition", p.stderr)
    check(all(list(o)[:4] == FIRST and set(CONTRACT) <= set(o) for o in r), "rows are as the contract has them",
          set(CONTRACT) - set(r[0]))
    check(all(o["correct"] == 1 and o["end"] == "complete" and o["flags"] == [] for o in r), "all are right",
          [o for o in r if o["correct"] != 1][:2])
    check(collections.Counter(keys(out)) == {(i, k): 1 for i in small() for k in (0, 1)}, "each once")
    unknown = ("energy_j", "power_w", "gross_j", "bound_j", "source", "method", "scope", "ppl", "flops", "cost_usd")
    check(all(o[k] is None for o in r for k in unknown), "without a tracer energy is null, not 0")
    check(all((o["prompt_tokens"], o["cached_tokens"], o["completion_tokens"]) == (10, 4, 3) for o in r), "usage")
    check(all(0 < o["ttft_s"] <= o["duration_s"] < 5 and o["concurrency_mean"] >= 1 for o in r), "times")
    check(len(s.seen) == 2 * n + 3, "warm-up: three more were asked, and are in no row", len(s.seen))
    asked = {o["question"] for o in small().values()}
    warm = [q for q in s.seen[:3] if not any(q["body"]["messages"][0]["content"].startswith(x) for x in asked)]
    check(len(warm) == 3, "they are none of the data set's", s.seen[:3])
    check(s.most == 4, "four at a time", s.most)
    check(len({q["id"] for q in s.seen}) == len(s.seen) and all(q["id"].startswith("ipw-") for q in s.seen),
          "each request has an id of its own")
    check(all(q["body"]["stream"] is True and q["body"]["stream_options"] == {"include_usage": True} and
              q["body"]["temperature"] == 0 and q["body"]["max_tokens"] == 2048 for q in s.seen), "what is asked for")
    seg = objects(out)[-1]
    check(seg["type"] == "segment" and seg["rows"] == 2 * n and seg["warmup"] == 3 and seg["right"] == 2 * n and
          seg["completion_tokens"] == 6 * n and seg["measured_j"] is None, "the last line counts the rows", seg)
    p = bench("http://127.0.0.1:1", out, "-c", 4, "--repetitions", 2)
    check(p.returncode == 1 and "of another run: url" in p.stderr, "another url", p.stderr)


def order(d):
    """The order is the seed's; --queries takes a part, and each repetition has all of it."""
    seen = {}
    with serving(oracle) as s:
        for name, args in (("a", ["--seed", 5]), ("b", ["--seed", 5]), ("c", ["--seed", 6]),
                           ("n", ["--seed", 5, "-n", 7, "--repetitions", 3])):
            p = bench(s, os.path.join(d, "order-" + name), *args)
            seen[name] = keys(os.path.join(d, "order-" + name))
            check(p.returncode == 0, "order %s" % name, p.stderr)
    check(seen["a"] == seen["b"], "the same seed, the same order")
    check(seen["a"] != seen["c"] and sorted(seen["a"]) == sorted(seen["c"]), "another seed, another order")
    parts = [[i for i, k in seen["n"] if k == rep] for rep in range(3)]
    check(parts[0] == [i for i, _ in seen["a"][:7]], "a part is the beginning of all")
    check(sorted(parts[0]) == sorted(parts[1]) == sorted(parts[2]) and parts[0] != parts[1], "repetitions", parts)


def model_files(d):
    """FLOPs by the model's file: one that is named, and the one that the server has open, mapped or was told of."""
    path, n = os.path.join(d, "open.gguf"), len(small())
    pairs, tensors = llama()
    gguf(path, pairs, tensors)
    params = sum(elements(s) for _, s, _ in tensors)
    flops = 2 * params * (10 - 4 + 3)
    attn = 2 * 2 * 2 * 4 * 16 * sum(range(5, 14))
    with serving(oracle) as s:
        for name, args, want in (("named", ["--model-file", path], flops),
                                 ("attention", ["--model-file", path, "--attention"], flops + attn)):
            out = os.path.join(d, "file-" + name)
            p = bench(s, out, *args)
            r = rows(out)
            check(p.returncode == 0 and len(r) == n and all(o["flops"] == want for o in r), "FLOPs, %s" % name,
                  (p.stderr, want, r[0]["flops"]))
            check(objects(out)[0]["config"]["model_file"]["parameters"] == params and
                  "the model's file: made of zeros, llama, Q8_0" in p.stderr, "the first line says which", p.stderr)
        check(all(o["read_bytes"] > 0 for o in r), "one at a time: what decoding read")
        p = bench(s, out, "--model-file", path)
        check(p.returncode == 1 and "another run: attention" in p.stderr, "with and without are other runs", p.stderr)
        p = bench(s, os.path.join(d, "none"), "--model-file", os.path.join(d, "gone"))
        check(p.returncode == 1 and "gone': No such file" in p.stderr and not os.path.exists(os.path.join(d, "none")),
              "a file that is not there", p.stderr)
        with open(path) as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ):
            check_found(s, d, "open", flops)
        raw = os.open(path, os.O_RDONLY)
        m = mmap.mmap(raw, 0, access=mmap.ACCESS_READ)
        os.close(raw)
        check_found(s, d, "mapped", flops)
        with open(shutil.copy(path, os.path.join(d, "other.gguf"))) as f, mmap.mmap(f.fileno(), 0, access=1):
            p = bench(s, os.path.join(d, "file-two"))
            check("several models open" in p.stderr and rows(os.path.join(d, "file-two"))[0]["flops"] is None,
                  "two of them: not known", p.stderr)
        m.close()
        out = os.path.join(d, "file-batch")
        bench(s, out, "--model-file", path, "-c", 4)
        r = rows(out)
        check(all((o["read_bytes"] is None) == (o["concurrency_mean"] > 1.001) for o in r) and
              any(o["concurrency_mean"] > 1.001 for o in r), "in a batch, what one query read is not known")
        busy(r)


@contextlib.contextmanager
def told_server(d, words):
    """A process of its own, with these words in its command line."""
    here, port = os.path.dirname(os.path.abspath(__file__)), free_port()
    code = "import sys, time; sys.path.insert(0, %r); from server import *\n" \
           "with serving(lambda body: Reply(stream(['x'])), %d): time.sleep(60)" % (here, port)
    p = subprocess.Popen([sys.executable, "-c", code, *words], cwd=d,
                         env=dict(os.environ, HF_HUB_CACHE=os.path.join(d, "hub")))
    try:
        wait_for(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), 20, "the server")
        yield port
    finally:
        p.kill()
        p.wait()


def check_found(s, d, name, flops):
    out = os.path.join(d, "file-" + name)
    p = bench(s, out)
    r = rows(out)
    check(p.returncode == 0 and all(o["flops"] == flops for o in r), "the file that the server has %s" % name,
          (p.stderr, r[0]["flops"]))


def busy(r):
    """Each second of the run is given to the queries in flight: together, the time in which there were any."""
    edges = sorted((o["start_ns"] + int(k * o["duration_s"] * 1e9), 1 - 2 * k) for o in r for k in (0, 1))
    n = whole = 0
    for (t, d), (t2, _) in zip(edges, edges[1:]):
        n += d
        whole += (t2 - t) * 1e-9 if n else 0
    got = sum(o["busy_s"] for o in r)
    check(abs(got - whole) < 0.02 * whole and all(o["busy_s"] < o["duration_s"] * 1.02 + 1e-3 for o in r),
          "busy seconds are the time in which any was in flight", (got, whole))


def told(d):
    """A server that has its model's file closed again: by its command line, also by an id of the hub's cache."""
    pairs, tensors = llama()
    gguf(os.path.join(d, "told.gguf"), pairs, tensors)
    commit = os.path.join(d, "hub/models--org--name/snapshots/c0ffee")
    folder(commit, {"model_type": "llama"}, {"a.weight": ("BF16", [7, 3])})
    os.makedirs(os.path.join(d, "hub/models--org--name/refs"))
    with open(os.path.join(d, "hub/models--org--name/refs/main"), "w") as f:
        f.write("c0ffee")
    for name, words, want in (("a path", ["-m", os.path.join(d, "told.gguf")], "made of zeros"),
                              ("a name in its folder", ["--model", "told.gguf"], "made of zeros"),
                              ("a folder", ["--model=" + commit], "org/name"),
                              ("a folder, the last word", ["--x", commit], "org/name"),
                              ("an id of the hub", ["serve", "org/name"], "org/name")):
        with told_server(d, words) as port:
            out = os.path.join(d, "told-" + name.replace(" ", "-"))
            p = bench("http://127.0.0.1:%d" % port, out, "-n", 2)
            check(p.returncode == 0 and "the model's file: %s" % want in p.stderr, "told: %s" % name, p.stderr)


def splitmix(state):
    state = (state + 0x9E3779B97F4A7C15) & (1 << 64) - 1
    z = state
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
    return state, z ^ z >> 31


def rate(d):
    out = os.path.join(d, "rate")
    with serving(oracle) as s:
        p = bench(s, out, "--rate", 20, "--seed", 9, "--repetitions", 3)
    n = 3 * len(small())
    state, due, at = 9, [], 0.0
    for _ in range(n):
        due.append(at)
        state, z = splitmix(state)
        at += -math.log(1 - (z >> 11) / 2**53) / 20
    start = sorted(r["start_ns"] for r in rows(out))
    off = [(b - start[0]) / 1e9 - a for a, b in zip(due, start)]
    check(p.returncode == 0 and len(start) == n, "a rate: all are sent", p.stderr)
    check(min(off) > -0.002 and statistics.median(off) < 0.1, "they arrive when the seed says, and none before",
          sorted(off))
    check(abs(due[-1] / (n - 1) * 20 - 1) < 0.4, "the mean gap is that of the rate", due[-1])


BAD = {
    "429": (lambda b: Reply([b'{"error":{"message":"slow down"}}'], 429, kind="application/json"), "error", 429),
    "500": (lambda b: Reply([b"oops"], 500, kind="text/plain"), "error", 500),
    "an error in the stream": (lambda b: Reply(stream(["A"], finish=None, done=False) +
                                               [b'data: {"error":{"message":"out of memory"}}\n\n']), "error", 200),
    "an error as the whole": (lambda b: Reply([b'{"error":"no"}'], kind="application/json"), "error", 200),
    "garbage": (lambda b: Reply([b"\x00\xff\xfe garbage \r\n\r\n" * 50]), "garbage", 200),
    "a page": (lambda b: Reply([b"<html>Welcome</html>"], kind="text/html"), "garbage", 200),
    "garbage in events": (lambda b: Reply([b"data: {\"choices\": [}\n\n", b"data: [DONE]\n\n"]), "garbage", 200),
    "nothing": (lambda b: Reply([]), "garbage", 200),
    "half a stream": (lambda b: Reply(stream(["half"], finish=None, usage=None, done=False), cut=True), "cut", 200),
    "a stream without an end": (lambda b: Reply(stream(["half"], finish=None, usage=None, done=False)), "cut", 200),
    "half an event": (lambda b: Reply([b'data: {"choices":[{"delta":{"content":"Answer: C"}}]}\n\n', b'data: {"cho'],
                                      cut=True), "cut", 200),
    "no answer at all": (lambda b: Reply([], first=30), "timeout", 200),
    "a stop in the middle": (lambda b: Reply(stream(["a"], finish=None, usage=None, done=False) + [delta("b")],
                                             delay=1.5), "timeout", 200),
    "a closed connection": (lambda b: None, "closed", None),
    "a line without end": (lambda b: Reply([b"data: " + b"x" * 65536] * 100), "garbage", 200),
    "a JSON bomb": (lambda b: Reply([b"data: " + b"[" * 100000 + b"\n\n"]), "garbage", 200),
}


def bad(d):
    for name, (answer, end, status) in BAD.items():
        out = os.path.join(d, "bad")
        with serving(answer) as s:
            p = bench(s, out, "-n", 2, "-c", 2, "--timeout", 2, "--retries", 0)
        r = rows(out)
        os.unlink(out)
        check(p.returncode == 1 and len(r) == 2 and all(o["end"] == end and o["status"] == status for o in r),
              "%s: %s" % (name, end), (p.returncode, p.stderr, [(o["end"], o["status"], o["why"]) for o in r]))
        check(all(o["correct"] == 0 and "failed" in o["flags"] and o["why"] for o in r),
              "%s: it counts as wrong" % name)
        check("  failed    2 %s; the first is '%s': %s\n" % (end, r[0]["query_id"], r[0]["why"]) in p.stdout,
              "%s: and is said" % name, p.stdout)
    with serving(lambda b: busy(429, "60")) as s:
        bench(s, os.path.join(d, "why"), "-n", 1, "--timeout", 2)
    check(rows(os.path.join(d, "why"))[0]["why"] == "HTTP 429, to be tried again in 60 s: slow down",
          "with what the server said", rows(os.path.join(d, "why")))
    mixed = iter(range(1000))
    with serving(lambda b: Reply([b"x"], 503) if next(mixed) % 3 == 0 else oracle(b)) as s:
        p = bench(s, os.path.join(d, "mixed"), "--retries", 0)
    r = rows(os.path.join(d, "mixed"))
    check(p.returncode == 0 and len(r) == len(small()) and sum(o["correct"] for o in r) == 16 and
          "16 right of 24" in p.stdout, "who fails sometimes stays in the denominator", p.stdout)


def busy(status=429, after=None):
    return Reply([b'{"error":{"message":"slow down"}}'], status, kind="application/json",
                 headers=[("Retry-After", after)] if after else [])


def tries_at(s):
    """When each query was asked, by what it asks."""
    out = collections.defaultdict(list)
    for q in s.seen:
        out[q["body"]["messages"][0]["content"]].append(q["at"])
    return out


def refusing(times, reply):
    """So many times each query is put off, then answered."""
    seen = collections.Counter()

    def answer(body):
        q = body["messages"][0]["content"]
        seen[q] += 1
        return reply() if seen[q] <= times else oracle(body)
    return answer


LATE = 1.5  # on a busy machine, of what has a time


def retries(d):
    out = os.path.join(d, "retries")
    with serving(refusing(2, busy)) as s:
        p = bench(s, out, "-n", 4, "-c", 4)
    r, at = rows(out), tries_at(s)
    check(p.returncode == 0 and len(r) == 4 and all(o["end"] == "complete" and o["correct"] == 1 for o in r) and
          all(len(x) == 3 for x in at.values()), "put off twice, then answered", p)
    gaps = [(x[1] - x[0], x[2] - x[1]) for x in at.values()]
    spread = len({round(a, 3) for a, _ in gaps})
    check(all(0.24 < a < 0.5 + LATE and 0.49 < b < 1 + LATE for a, b in gaps) and spread > 1,
          "after half of 0.5 s to all of it, then twice that; not all at once", gaps)
    check(all(o["tries"] == 3 and abs(o["retry_s"] - a - b) < LATE and o["duration_s"] < LATE and o["retry_j"] is None
              for o, (a, b) in zip(sorted(r, key=lambda o: o["retry_s"]), sorted(gaps, key=sum))),
          "rows say how often, and how long before the last try", [(o["tries"], o["retry_s"]) for o in r])
    check(len({q["id"] for q in s.seen}) == 12 and objects(out)[-1]["retries"] == 8 and "8 times" in p.stdout,
          "each try has an id of its own; they are counted", p.stdout)

    def soon():
        return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))
    for name, after, low, high in (("seconds", lambda: "1", 0.99, 1.1 + LATE), ("a date", soon, 1.5, 3.3 + LATE),
                                   ("a date that is over", lambda: "Fri, 31 Dec 1999 23:59:59 GMT", 0.24,
                                    0.5 + LATE),
                                   ("nonsense", lambda: "soon", 0.24, 0.5 + LATE)):
        os.unlink(out)
        with serving(refusing(1, lambda: busy(503, after()))) as s:
            p = bench(s, out, "-n", 1)
        gap = [x[1] - x[0] for x in tries_at(s).values()]
        check(p.returncode == 0 and low < gap[0] < high, "Retry-After: %s" % name, (gap, p.stderr))
    for name, args, reply, asked, why in (
            ("no end of it", ["--retries", 2], busy, 3, "HTTP 429"),
            ("none wanted", ["--retries", 0], busy, 1, "HTTP 429"),
            ("another day", ["--timeout", 60], lambda: busy(429, "86400"), 1, "tried again in 86400 s"),
            ("an error of another kind", [], lambda: Reply([b"no"], 500, kind="text/plain"), 1, "HTTP 500")):
        os.unlink(out)
        with serving(lambda b: reply()) as s:
            p = bench(s, out, "-n", 1, *args)
        o, = rows(out)
        check(p.returncode == 1 and len(s.seen) == asked == o["tries"] and o["end"] == "error" and
              why in o["why"] and o["correct"] == 0, name, (len(s.seen), o))
    os.unlink(out)
    port = free_port()
    with serving(lambda b: busy(429, "30"), port) as s:
        p = subprocess.Popen([TRACE, "bench", "-d", SMALL, "--url", s.url, "-o", out, "--model", "m", "--no-trace",
                              "-c", "3"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(s.seen) == 24, 10, "all are put off")
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=10)[1]
    check(p.returncode == 1 and not rows(out) and "24 queries are left" in err, "Ctrl-C while all wait", err)
    with serving(oracle, port) as s:
        p = bench(s, out, "-c", 3)
    check(p.returncode == 0 and len(rows(out)) == 24, "and it goes on", p.stderr)


def put_off_beside(d):
    """One that waits keeps nobody: neither those who come by a rate, nor the one place that there is."""
    first = []

    def answer(body):
        q = body["messages"][0]["content"]
        if not first:
            first.append(q)
        return busy(429, "2") if q == first[0] and first.count(q) < 2 and not first.append(q) else oracle(body)
    for name, args, most in (("-c 1", ["-c", 1], 1), ("--rate", ["--rate", 40, "--seed", 9], 24)):
        first.clear()
        out = os.path.join(d, "beside" + args[0])
        with serving(answer) as s:
            p = bench(s, out, *args)
        at = tries_at(s)
        again = at[first[0]][1]
        others = [x[0] for q, x in at.items() if q != first[0]]
        went = sum(x < again for x in others)
        check(p.returncode == 0 and len(rows(out)) == 24 and went >= 2 and s.most <= most,
              "%s: others go first" % name, (went, s.most, p.stderr))
        check(sorted(o["tries"] for o in rows(out)) == [1] * 23 + [2], "%s: tries" % name)


def forms_of_answers(d):
    """What a good answer may look like beside the usual: all are complete, with C found in them."""
    whole = json.dumps({"model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": "Answer: C"}}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}).encode()
    thought = [event([{"index": 0, "delta": {"reasoning_content": "hm"}}])] * 3
    usual = b"".join(stream(["Ans", "wer: C"]))
    cases = {
        "whole, though a stream was asked for": Reply([whole[:7], whole[7:]], kind="application/json"),
        "CRLF and comments": Reply([b": hello\r\n\r\nevent: x\r\nid: 7\r\n" + usual.replace(b"\n", b"\r\n")]),
        "byte by byte": Reply([usual[i:i + 1] for i in range(len(usual))]),
        "no space behind data:": Reply([usual.replace(b"data: ", b"data:")]),
        "no usage": Reply(stream(["Answer:", " C"], usage=None)),
        "thoughts apart": Reply(thought + stream(["Answer: C"]), delay=0.05),
        "thoughts inside": Reply(stream(["<think>Answer: A</think>", "Answer: C"])),
        "no [DONE]": Reply(stream(["Answer: C"], done=False)),
        "no finish_reason": Reply(stream(["Answer: C"], finish=None)),
        "broken UTF-8": Reply([usual.replace(b"Ans", b"\xff\xfeAns")]),
    }
    data = os.path.join(d, "one.jsonl")
    with open(data, "w") as f:
        f.write(json.dumps({"question": "?", "options": ["a", "b", "c"], "answer": "C"}))
    got = {}
    for name, reply in cases.items():
        out, texts = os.path.join(d, "form"), os.path.join(d, "form-answers")
        with serving(lambda b: reply) as s:
            bench(s, out, "--answers", texts, dataset="jsonl:" + data)
        got[name] = rows(out)[0], objects(texts)[0]
        os.unlink(out)
        os.unlink(texts)
        check(got[name][0]["end"] == "complete" and got[name][0]["correct"] == 1, "an answer: %s" % name, got[name])
    r = got["no usage"][0]
    check(r["prompt_tokens"] is None and r["completion_tokens"] == 2 and "estimated_tokens" in r["flags"],
          "without usage parts are counted, and that is said", r)
    r = got["thoughts apart"][0]
    check(r["ttft_s"] + 0.1 < r["ttft_visible_s"], "the first token of any kind, and the first that is no thought", r)
    check(got["whole, though a stream was asked for"][0]["ttft_s"] is None, "no first token where nothing is streamed")


def resume(d):
    """SIGKILL halfway, a torn line, and on: the same rows as in one go, none twice."""
    out = os.path.join(d, "resume")
    args = ["-c", 3, "--repetitions", 4, "--seed", 3]
    slow = lambda b: Reply(oracle(b).body, delay=0.03)  # noqa: E731
    with serving(slow) as s:
        kills = 0
        while kills < 3:
            p = subprocess.Popen([TRACE, "bench", "-d", SMALL, "--url", s.url, "-o", out, "--model", "m", "--no-trace",
                                  *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            want = 12 * (kills + 1)
            wait_for(lambda: os.path.exists(out) and open(out).read().count('"type":"result"') >= want, 60, "rows")
            p.kill()
            p.wait()
            kills += 1
            with open(out, "a") as f:
                f.write('{"type":"result","query_id":"let')
        before = keys_of_whole(out)
        p = bench(s, out, *args)
        again = bench(s, out, *args)
        other = {a: bench(s, out, *args, *b) for a, b in (
            ("seed", ["--seed", 4]), ("repetitions", ["--repetitions", 5]), ("concurrency", ["-c", 2]),
            ("queries", ["-n", 3]), ("request", ["--max-tokens", 9]), ("model", ["--model", "other"]))}
        first, *rest = open(out).read().splitlines(True)
        first = json.loads(first)
        first["config"]["model_file"] = {"name": "seen then, and not now"}
        del first["config"]["attention"]
        with open(out + "-old", "w") as f:
            f.write(json.dumps(first) + "\n" + "".join(rest))
        old = bench(s, out + "-old", *args)
    n = 4 * len(small())
    check(p.returncode == 0 and sorted(keys(out)) == sorted((i, k) for i in small() for k in range(4)),
          "killed three times and gone on: all %d rows, none twice" % n, (p.stderr, len(keys(out))))
    check(keys(out)[:len(before)] == before, "what was there is there")
    check(len({o["run"] for o in objects(out)}) == 1 and "torn" in p.stderr, "one run, and the torn line is said",
          p.stderr)
    check(len({o["segment"] for o in rows(out)}) == 4, "in four parts")
    check(again.returncode == 0 and "all %d queries are in" % n in again.stdout and len(rows(out)) == n,
          "and nothing is left to do", again)
    check(old.returncode == 0 and "all %d queries are in" % n in old.stdout,
          "nor of one that had seen the model's file", old)
    for name, p in other.items():
        check(p.returncode == 1 and "of another run: %s is" % name in p.stderr and len(rows(out)) == n,
              "another %s is another run" % name, p.stderr)


def keys_of_whole(path):
    with open(path) as f:
        lines = [x for x in f.read().split("\n")[:-1]]
    got = [json.loads(x) for x in lines if x]
    return [(o["query_id"], o["repetition"]) for o in got if o["type"] == "result"]


def gone(d):
    """The server goes away, comes back; Ctrl-C."""
    out, port = os.path.join(d, "gone"), free_port()
    left = iter(range(10))

    def some(body):
        if next(left, None) is None:
            os._exit(0)
        return oracle(body)
    pid = os.fork()
    if not pid:
        with serving(some, port):
            time.sleep(60)
        os._exit(0)
    url = "http://127.0.0.1:%d" % port
    wait_for(lambda: subprocess.run(["curl", "-s", url + "/v1/models"], capture_output=True).returncode == 0, 10, "up")
    p = bench(url, out)
    os.waitpid(pid, 0)
    n = len(rows(out))
    check(p.returncode == 1 and 10 <= n <= 11 and "does not answer" in p.stderr and "left" in p.stderr,
          "the server ends: what was answered is there, the rest is left", (p.returncode, n, p.stderr))
    with serving(oracle, port):
        p = bench(url, out)
    check(p.returncode == 0 and sorted(k for k, _ in keys(out)) == sorted(small()), "and it goes on", p.stderr)
    out = os.path.join(d, "int")
    with serving(lambda b: Reply(oracle(b).body, delay=0.05)) as s:
        p = subprocess.Popen([TRACE, "bench", "-d", SMALL, "--url", s.url, "-o", out, "--model", "m", "--no-trace"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: os.path.exists(out) and len(keys_of_whole(out)) >= 3, 30, "rows")
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=10)[1]
        n = len(rows(out))
        check(p.returncode == 1 and "stopped by a signal" in err and 3 <= n < 24, "Ctrl-C", (p.returncode, n, err))
        check(objects(out)[-1]["type"] == "segment" and all(o["end"] == "complete" for o in rows(out)),
              "what ran then is in no row")
        p = bench(s, out)
        check(p.returncode == 0 and sorted(k for k, _ in keys(out)) == sorted(small()), "and on", p.stderr)


def shut_in_reuse(d):
    """A server that closes a connection when it is used again: every query is answered all the same."""
    body = b"".join(stream(["Answer: C"]))
    at, seen = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        while True:
            c, _ = at.accept()
            data = b""
            while b'"messages"' not in data or not data.endswith(b"}"):
                data += c.recv(65536)
            seen.append(data)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            select.select([c], [], [], 1)
            c.close()  # unread: a reset
    threading.Thread(target=serve, daemon=True).start()
    p = bench("http://127.0.0.1:%d" % at.getsockname()[1], os.path.join(d, "reuse"))
    r = rows(os.path.join(d, "reuse"))
    check(p.returncode == 0 and len(seen) == len(r) == len(small()) and all(o["end"] == "complete" for o in r),
          "a connection that is closed when it is used again", (len(seen), [o["why"] for o in r if o["why"]]))


def files(d):
    """Files that cannot be written, and those that are somebody else's."""
    with serving(oracle) as s:
        for path, said in (("/no/such/dir/x", "No such file"), (d, "Is a directory"), ("/dev/full", "No space left")):
            p = bench(s, path, "-n", 1)
            check(p.returncode == 1 and "cannot write '%s'" % path in p.stderr and said in p.stderr,
                  "-o %s" % (path if path != d else "a directory"), p.stderr)
        asked = len(s.seen)
        for data in (b"", b"not ours\n", b'{"type":"result"}\n', b'{"type":"run"', b'{"type":"run","run":"x"}\n',
                     b"\n"):
            path = os.path.join(d, "other")
            with open(path, "wb") as f:
                f.write(data)
            p = bench(s, path, "-n", 1)
            kept = open(path, "rb").read()
            check((p.returncode == 0) == (not data) and kept.startswith(data) and (not data or kept == data) and
                  (not data or "cannot" in p.stderr), "a file that is %r" % data[:20], p.stderr)
        check(len(s.seen) == asked + 1, "nothing is asked when nothing can be written", len(s.seen))
        path = os.path.join(d, "twice")
        slow = subprocess.Popen([TRACE, "bench", "-d", SMALL, "--url", s.url, "-o", path, "--model", "m", "--no-trace",
                                 "--rate", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(path) and os.path.getsize(path), 10, "its first line")
        p = bench(s, path, "--rate", 2)
        check(p.returncode == 1 and "another bench does" in p.stderr, "two at one file", p.stderr)
        slow.kill()
        slow.wait()


def private(d):
    """Answers are in the file that the user names, and nowhere else."""
    canary = "zebra-canary-4711"
    out, texts = os.path.join(d, "private"), os.path.join(d, "texts")
    with serving(lambda b: Reply(stream([canary, " Answer: C"]))) as s:
        p = bench(s, out, "-n", 3)
        check(canary not in open(out).read() + p.stdout + p.stderr, "without --answers no text is kept")
        os.unlink(out)
        p = bench(s, out, "-n", 3, "--answers", texts)
    check(canary not in open(out).read() + p.stdout + p.stderr, "with it not in the results")
    got = objects(texts)
    check(len(got) == 3 and all(o["text"] == canary + " Answer: C" for o in got) and os.stat(texts).st_mode & 0o77 == 0,
          "but in that file, which is the user's alone", got)


def options(d):
    out = os.path.join(d, "options")
    with serving(oracle) as s:
        p = bench(s, out, "-n", 2, "--param", "top_p=0.9", "--param", "max_tokens=7", "--param", 'stop=["x"]',
                  "--temperature", "0.6", "--logprobs", "--key-env", "IPW_TEST_KEY", "--seed", 8, "--repetitions", 2,
                  "--hardware", "a box", env=dict(os.environ, IPW_TEST_KEY="sesame"))
        b = s.seen[0]["body"]
        check(p.returncode == 0 and (b["top_p"], b["max_tokens"], b["stop"], b["temperature"], b["logprobs"]) ==
              (0.9, 7, ["x"], 0.6, True), "--param and the like", (p.stderr, b))
        check({q["body"]["seed"] for q in s.seen} == {8, 9}, "a seed for each repetition")
        check(all(q["auth"] == "Bearer sesame" for q in s.seen) and "sesame" not in open(out).read(), "the key")
        check(all(r["hardware"] == "a box" for r in rows(out)), "--hardware")
        for url in (s.url + "/", s.url + "/v1", s.url + "/v1/", s.url + "/v1/chat/completions"):
            os.unlink(out)
            p = bench(url, out, "-n", 1)
            check(p.returncode == 0 and s.seen[-1]["path"] == "/v1/chat/completions", "--url %s" % url[len(s.url):],
                  (s.seen[-1]["path"], p.stderr))
        os.unlink(out)
        p = subprocess.run([TRACE, "bench", "-d", SMALL, "--url", s.url, "-o", out, "--no-trace", "-n", "1"],
                           capture_output=True, text=True)
        check(rows(out)[0]["model"] == "first", "the model is asked for", p.stderr)
        p = bench(s, os.path.join(d, "req"), "-n", 1, "--require-energy", "-p", 999999999, trace=True)
        check(p.returncode == 1 and "joules will not be known" in p.stderr and not rows(os.path.join(d, "req")),
              "--require-energy: nothing is sent", p.stderr)
        p = bench(s, os.path.join(d, "noreq"), "-n", 1, "-p", 999999999, trace=True)
        check(p.returncode == 0 and p.stderr.count("joules will not be known") == 1 and
              rows(os.path.join(d, "noreq"))[0]["energy_j"] is None, "else it is said once", p.stderr)
    for args in (["--concurrency", "0"], ["--rate", "-1"], ["--rate", "nan"], ["--queries", "1.5"], ["--seed", "x"],
                 ["--no-trace", "--require-energy"], ["extra"], ["--nonsense"], ["--timeout", "0"]):
        p = bench("http://127.0.0.1:1", out, *args, trace=True)
        check(p.returncode == 129, "usage: %s" % " ".join(args), p.stderr)
    for args, said in ((["--param", "x"], "bad value for --param"), (["--param", "x={"], "bad value for --param")):
        p = bench("http://127.0.0.1:1", os.path.join(d, "u"), *args)
        check(p.returncode == 1 and said in p.stderr, "usage: %s" % " ".join(args), p.stderr)
    p = bench("ftp://x", os.path.join(d, "u"))
    check(p.returncode == 1 and "bad value for --url" in p.stderr, "a URL that is none", p.stderr)
    p = subprocess.run([TRACE, "bench", "-d", SMALL, "--url", "http://127.0.0.1:1", "-o", os.path.join(d, "u")],
                       capture_output=True, text=True)
    check(p.returncode == 1 and "cannot ask" in p.stderr, "nobody there", p.stderr)


def perplexity(d):
    parts = [-0.1, -0.7, -2.3]
    body = [event([{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": p}]}}])
            for p in parts] + stream([])
    with serving(lambda b: Reply(body)) as s:
        bench(s, os.path.join(d, "ppl"), "-n", 1, "--logprobs")
    got, want = rows(os.path.join(d, "ppl"))[0]["ppl"], math.exp(-sum(parts) / 3)
    check(got and abs(got - want) < 1e-9, "ppl", (got, want))


def progress(d):
    main, side = pty.openpty()
    with serving(lambda b: Reply(oracle(b).body, delay=0.02)) as s:
        p = subprocess.Popen([TRACE, "bench", "-d", SMALL, "--url", s.url, "-o", os.path.join(d, "bar"), "--model", "m",
                              "--no-trace"], stdout=subprocess.DEVNULL, stderr=side)
        os.close(side)
        text = b""
        while True:
            try:
                text += os.read(main, 4096)
            except OSError:
                break
        p.wait()
    os.close(main)
    lines = text.decode().split("\r\033[K")
    check(any("/24, 0:0" in x and "tokens/s" in x and "J/token" in x and "#" in x for x in lines),
          "a progress bar at a terminal", lines[-3:])
    check(lines[-1].strip() == "", "which is gone at the end", lines[-1:])


with tempdir() as tmp:
    for f in (good, order, rate, bad, retries, put_off_beside, forms_of_answers, model_files, told, resume, gone,
              shut_in_reuse, files, private, options, perplexity, progress):
        f(tmp)
done()
