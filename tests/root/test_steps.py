#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Engine steps: of the real llama.cpp server, of Debian's with its child, and of a library made to be difficult."""
import bisect
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), os.path.join(HERE, "../servers")]
from harness import TRACE, check, done, free_port, get, llama, load, stop, tempdir, tracer, wait_for  # noqa: E402
from harness import PYTHON, ROOT  # noqa: E402
from llama_router import MODEL, router  # noqa: E402
from steps import STUB, TOKENS, driver, script, steps_of  # noqa: E402

AFTER = 0.5     # of a step, from its end to the send of its token, by the median; 0.5 ms on an idle machine
ATTACH = 2.5    # s, until a library that was mapped later is looked at
EDGE = 2e-6     # s: script prints microseconds


def read_of(rows):
    """Prompt tokens that were computed, not taken from the cache."""
    return sum(r["usage"]["prompt_tokens"] - (r["usage"].get("prompt_tokens_details") or {}).get("cached_tokens", 0)
               for r in rows)


def account(steps, rows, what):
    """
    Every token that is read goes through the engine once, and every token that is made but the last of each query, as
    that one is sampled from the step before and never read.
    """
    made = sum(r["usage"]["completion_tokens"] - 1 for r in rows)
    check(sum(s.tokens for s in steps) == read_of(rows) + made,
          "%s: tokens of the steps are those read and made" % what, (read_of(rows), made, steps))


def within(steps, rows, what):
    """Whatever the engine computes, it computes while a query runs."""
    active = [(r["send_ns"] / 1e9 - EDGE, r["end_ns"] / 1e9 + EDGE) for r in rows]
    strays = [s for s in steps if not any(a <= s.begin and s.end <= b for a, b in active)]
    check(not strays, "%s: steps lie within queries" % what, strays)
    check(all(a.end <= b.begin + EDGE for a, b in zip(steps, steps[1:])), "%s: one step after the other" % what)


def wire_after(steps, text, what):
    """Each part of the answer is sent shortly after the step that it was made in."""
    ends = [s.end for s in steps]
    late = []
    for t in sorted(float(m[0]) for m in TOKENS.findall(text)):
        i = bisect.bisect_right(ends, t + EDGE)
        late.append((t - ends[i - 1]) * 1e3 if i else float("inf"))
    median, step = statistics.median(late), statistics.median((s.end - s.begin) * 1e3 for s in steps)
    said = "%s: tokens are sent %.2f ms after the end of their step of %.1f ms, by the medians" % (what, median, step)
    check(median <= AFTER * step, said, late)


def traced(d, pid, ask, *args):
    """A recording of some queries: (what ask returned, what script says, the tracer)."""
    data = os.path.join(d, "ipw.data")
    with tracer("-p", pid, "--json", "-v", "-o", data, *args) as t:
        rows = ask()
        t.stop()
    return rows, script(data), t


def real():
    with llama() as (server, port), llama() as (stranger, other), tempdir() as d:
        rows, text, _ = traced(d, server.pid, lambda: load(port, "-n", 1, "--tokens", "12-12", "--words", "20-20",
                                                           "--ignore-eos", "--seed", 3))
        steps = steps_of(text)
        account(steps, rows, "a lone query")
        decode = [s for s in steps if s.tokens == 1]
        check(len(decode) == 11 and len(steps) == 12 and steps[0].tokens == read_of(rows),
              "a lone query: its prompt is one step, each token but the last another", steps)
        within(steps, rows, "a lone query")
        wire_after(steps, text, "a lone query")

        def four():
            load(other, "-n", 2, "-c", 2, "--tokens", "4-8")
            return load(port, "-n", 4, "-c", 4, "--tokens", "16-24", "--words", "10-60", "--ignore-eos", "--seed", 4)
        rows, text, t = traced(d, server.pid, four)
        steps = steps_of(text)
        account(steps, rows, "four at a time")
        within(steps, rows, "four at a time")
        wire_after(steps, text, "four at a time")
        check(max(r["send_ns"] for r in rows) < min(r["end_ns"] for r in rows), "four at a time: they overlap")
        check(any(s.tokens == 4 for s in steps), "four at a time: some steps have a token of each", steps)
        check({s.pid for s in steps} == {server.pid}, "no steps of a server that is not traced", steps)
        check(t.summary["lost_events"] == 0, "nothing lost")

        rows, text, t = traced(d, server.pid, lambda: load(port, "-n", 2, "--tokens", "4-8"), "--no-steps")
        check(len(t.rows) == 2 and not steps_of(text) and "engine steps" not in t.stderr(), "--no-steps: none", text)

        rows, text, t = traced(d, server.pid, lambda: load(port, "-n", 4, "-c", 2, "--tokens", "6-12", "--whole",
                                                           "--ignore-eos", "--seed", 5), "--net", "sys")
        account(steps_of(text), rows, "answers that are not streamed, tier sys")
        p = subprocess.run([TRACE, "check", "-p", str(server.pid)], stdout=subprocess.PIPE, text=True)
        check(re.search(r"ok .*engine steps .*%d .*llama\.cpp in .*ubatch" % server.pid, p.stdout), "check -p says so",
              p.stdout)
        p = subprocess.run([TRACE, "list"], stdout=subprocess.PIPE, text=True)
        check(re.search(r"uprobe ubatch +off .*until", p.stdout), "list has the probe", p.stdout)


def on_demand():
    """The child with the model is not there yet when we attach, and runs another program than we attached to."""
    what = "Debian's router"
    with router() as s, tempdir() as d:
        ours = s.views[0].pids[0]

        def ask():
            load(s.port, "-n", 1, "--tokens", "2-2", "--model", s.model, "--seed", 6)
            begin = time.monotonic()
            rows = load(s.port, "-n", 4, "-c", 4, "--tokens", "8-12", "--words", "5-20", "--ignore-eos", "--model",
                        s.model, "--seed", 7)
            return begin, rows
        (begin, rows), text, t = traced(d, ours, ask)
        steps = [p for p in steps_of(text) if p.begin > begin]
        account(steps, rows, what)
        check(len({p.pid for p in steps}) == 1 and ours not in {p.pid for p in steps}, "%s: of its child" % what, steps)
        check(t.stderr().count("engine steps of ") == 2, "%s: both processes are attached to" % what, t.stderr())
        within(steps, rows, what)


def replaced():
    """The library's file was replaced by an update while the server runs what it has loaded."""
    where = subprocess.run([PYTHON, "-c", "import importlib.util as u; print(u.find_spec('xllamacpp').origin)"],
                           stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with tempdir() as d:
        home = os.path.dirname(where)
        shutil.copytree(home, os.path.join(d, "xllamacpp"))
        for f in os.listdir(os.path.dirname(home)):
            if f.startswith("xllamacpp") and f != "xllamacpp":
                os.symlink(os.path.join(os.path.dirname(home), f), os.path.join(d, f))
        lib = next(f for f in os.listdir(os.path.join(d, "xllamacpp")) if f.endswith(".so"))
        port = free_port()
        p = subprocess.Popen([PYTHON, os.path.join(ROOT, "scripts/llama-server"), str(port)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.STDOUT, env=dict(os.environ, PYTHONPATH=d))

        def ready():
            try:
                return get(port, "/health")
            except OSError:
                return None
        try:
            wait_for(ready, 120, "the server is not ready")
            with open(os.path.join(d, "new.so"), "wb") as f:
                f.write(b"\x7fELF, but not really")
            os.rename(os.path.join(d, "new.so"), os.path.join(d, "xllamacpp", lib))
            rows, text, t = traced(d, p.pid, lambda: load(port, "-n", 1, "--tokens", "4-4", "--seed", 8))
            account(steps_of(text), rows, "a library replaced on disk")
            check("(replaced on disk since)" in t.stderr(), "a library replaced on disk: said", t.stderr())
        finally:
            stop(p)


def stub_steps(t):
    return [s.tokens for s in steps_of(t.stdout())]


def difficult():
    """Libraries that come late, twice, under another name; calls inside calls, and calls that never return."""
    with driver() as p, driver() as stranger, tempdir() as d:
        stranger.load(STUB)
        again = shutil.copy(STUB, os.path.join(d, "libllama.so.9"))
        with tracer("script", "-v", "--only", "-p", p.pid) as t:
            check("no engine that is known is loaded yet" in t.stderr(), "nothing is loaded: said", t.stderr())
            p.load(STUB)
            time.sleep(ATTACH)
            p.decode(STUB, 5)
            stranger.decode(STUB, 99)
            p.do("call(%r, 'stub_jump', batch(6))" % STUB)
            p.decode(STUB, 7)
            p.do("call(%r, 'stub_jump', batch(6))" % STUB)
            p.do("call(%r, 'stub_deeper', 1000, batch(8), 50)" % STUB)
            p.do("call(%r, 'stub_thread', batch(6))" % STUB)
            p.decode(STUB, 9)
            p.do("call(%r, 'llama_encode', 1000, batch(10))" % STUB)
            p.decode(STUB, 11, -3)  # with a call inside it, of 12
            p.decode(STUB, 0)
            p.decode(STUB, -7)
            p.load(again)
            time.sleep(ATTACH)
            p.decode(again, 13)
            p.decode(STUB, 14)
            t.stop()
        got = stub_steps(t)
        check(got == [5, 7, 8, 9, 10, 12, None, None, 13, 14], "a library mapped later, and its double", got)
        said = re.findall(r"engine steps of %d: llama\.cpp in (\S+), each a decode call" % p.pid, t.stderr())
        check(said == [STUB, STUB, again] or said == [STUB, again, STUB], "both are named", t.stderr())


def of_no_use():
    """Libraries with the name of an engine's in which nothing is to be found."""
    with tempdir() as d, driver() as p:
        with open(os.path.join(d, "x.c"), "w") as f:
            f.write("int x(void) { return 0; }\n")
        path = os.path.join(d, "libllama.so.1")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", path, f.name], check=True)
        p.load(path)
        with tracer("script", "--only", "-p", p.pid) as t:
            p.load(STUB)
            time.sleep(ATTACH)
            p.decode(STUB, 5)
            t.stop()
        check("engine steps of %d are not seen in libllama.so.1: it has none of the functions" % p.pid in t.stderr(),
              "a library without the functions: said", t.stderr())
        check(stub_steps(t) == [5], "and another one beside it is taken", t.stdout())


def dear():
    """More steps than the budget allows: off, said, and the run goes on."""
    with driver() as p:
        p.load(STUB)
        with tracer("script", "--only", "-p", p.pid) as t:
            end = time.monotonic() + 12
            while time.monotonic() < end and "off from now on" not in t.stderr():
                p.do("call(%r, 'stub_many', 3000, batch(3))" % STUB)
                time.sleep(0.1)
            check("engine steps are off from now on: " in t.stderr(), "too many steps: off", t.stderr())
            p.decode(STUB, 4)
            time.sleep(0.3)
            running = t.p.poll() is None
            t.stop()
        got = stub_steps(t)
        check(running and t.status == 0, "too many steps: the run goes on", t.status)
        check(3 in got and 4 not in got, "too many steps: none after that", got[-3:])


named = [a for a in sys.argv[1:] if not a.startswith("-")]
for part in (real, on_demand, replaced, difficult, of_no_use, dear):
    if not named or part.__name__ in named:
        part()
done()
