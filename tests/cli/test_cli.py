#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The command line, and recordings that are not what they should be. Needs no root."""
import json
import os
import random
import struct
import subprocess
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import ROOT, TRACE, check, done, tempdir  # noqa: E402

GOLDEN = os.path.join(ROOT, "tests/golden/llama/in.data")

QUERY = """type schema id pid client server request_id trace_id task dialect path model stream status start_ns
start_time queue_ms ttft_ms tpot_ms itl_p50_ms itl_p95_ms duration_ms prompt_tokens cached_tokens
completion_tokens end energy_j bound_j queue_j prefill_j decode_j j_per_output_token energy_by_domain source
method concurrency_mean flags""".split()
SUMMARY = """type schema version hardware kernel start_time duration_s queries errors cancels prompt_tokens
completion_tokens tokens_per_s concurrency_mean measured_j queries_j server_other_j others_j idle_j energy_by_domain
bound_j mean_w idle_source method sources lost_events evicted unread_connections tracer_cpu_s""".split()
FLAGS = {"estimated", "estimated_tokens", "queue_in_prefill", "truncated", "lost_events", "idle_unknown", "meter_gap",
         "gpu_unsplit", "early_split", "steps_unknown"}
ENDS = {"complete", "cancel", "error", "lost", "attached_midway", "running"}


def run(*args, **kw):
    return subprocess.run([TRACE, *args], capture_output=True, text=True, errors="surrogateescape", **kw)


def usage():
    for args, said in (([], "usage: ipw-trace"), (["-x"], "unknown option '-x'"), (["-p"], "needs an argument"),
                       (["-p", "abc"], "bad value for --pid: 'abc'"), (["-p", "0"], "bad value"),
                       (["-p", "-1"], "bad value"), (["-p", "1,"], "bad value"), (["-p", "1" * 30], "bad value"),
                       (["-p", ",".join(map(str, range(1, 40)))], "too many values for --pid"),
                       (["-p", "1", "-I", "5"], "bad value"), (["-p", "1", "-I", "nan"], "bad value"),
                       (["-p", "1", "--duration", "0"], "bad value"), (["-p", "1", "--duration", "inf"], "bad value"),
                       (["-p", "1", "--net", "x"], "bad value"),
                       (["-p", "1", "--task", ""], "bad value"), (["-p", "1", "--by", "x"], "bad value"),
                       (["-p", "1", "--by", "task"], "--by task needs --task"),
                       (["-p", "1", "--task", "user"], "'user' is not header:NAME, json:PATH, trace or auto"),
                       (["-p", "1", "--task", "trace,"], "'' is not header:NAME"),
                       (["-p", "1", "--task", "header:"], "is no name of a header"),
                       (["-p", "1", "--task", "header:x y"], "is no name of a header"),
                       (["-p", "1", "--task", "header:" + "x" * 65], "is no name of a header"),
                       (["-p", "1", "--task", "header:Authorization"], "may hold a secret"),
                       (["-p", "1", "--task", "header:X-Api-Key"], "may hold a secret"),
                       (["-p", "1", "--task", "trace,header:cookie"], "'header:cookie' may hold a secret"),
                       (["-p", "1", "--task", "json:messages"], "may hold a text"),
                       (["-p", "1", "--task", "json:metadata.prompt.id"], "may hold a text"),
                       (["-p", "1", "--task", "json:messages[].content"], "is no path to one member"),
                       (["-p", "1", "--task", "json:a..b"], "is no path to one member"),
                       (["-p", "1", "--task", "json:" + "x" * 32], "is no path to one member"),
                       (["-p", "1", "--task", "json:model"], "says something else"),
                       (["-p", "1", "--task", ",".join(["trace"] * 17)], "is one too many"),
                       (["-p", "1", "--task", "header:x-run,auto,auto"], "'header:x-session-affinity' is one too many"),
                       (["-p", "1", "--task", "header:x-run,auto,trace", "extra"], "unexpected argument 'extra'"),
                       (["-p", "1", "--task", ",trace"], "'' is not header:NAME"),
                       (["-p", "1", "--task", "json:" + "a.b." * 300 + "c"], "it is too long"),
                       (["-p", "1", "--task", "json:" + "a.b." * 30 + "c"], "too many parts"),
                       (["-p", "1", "--power-model", "idle=5"], "bad value"),
                       (["-p", "1", "--power-model", "idle=5,max=4"], "bad value"),
                       (["-p", "1", "--", "true"], "exclude each other"),
                       (["-p", "1", "extra"], "unexpected argument 'extra'"), (["--", ], "nothing to trace"),
                       (["--json"], "nothing to trace"), (["record"], "nothing to trace"),
                       (["report", "x"], "unexpected argument"), (["report", "-p", "1"], "unknown option"),
                       (["script", "-i", "x", "-p", "1"], "exclude each other"),
                       (["script", "-o", "x"], "unknown option"),
                       (["nonsense"], "unexpected argument 'nonsense'"), (["-p", "1", "--meter", ""], "bad value"),
                       (["list", "--meter", "nope"], "no energy source is called 'nope'")):
        p = run(*args)
        check(p.returncode == 129 and said in p.stderr and not p.stdout, "usage error: %s" % " ".join(args)[:60],
              (p.returncode, p.stdout, p.stderr))
    for args in (["--help"], ["-h"], ["bench", "-h"], ["grade", "-h"], ["record", "--help"],
                 ["report", "-h"], ["list", "-h"], ["check", "-h"],
                 ["script", "-h"]):
        p = run(*args)
        check(p.returncode == 0 and p.stdout.startswith("usage: ipw-trace") and not p.stderr, " ".join(args), p)
    with open(os.path.join(ROOT, "VERSION")) as f:
        check(run("--version").stdout == "ipw-trace %s\n" % f.read().strip(), "--version")


def manual():
    """Every option is in the man page, and no other."""
    with open(os.path.join(ROOT, "userspace/man/ipw-trace.8")) as f:
        page = f.read().replace("\\-", "-")
    for command in ([], ["record"], ["report"], ["script"], ["list"], ["check"], ["bench"], ["grade"]):
        for line in run(*command, "--help").stdout.splitlines():
            words = line.split()
            if words and words[0].startswith("-"):
                name = next(w for w in words if w.startswith("--"))
                check(name in page, "the man page has %s" % name)
    p = subprocess.run(["man", "--warnings", "-l", "userspace/man/ipw-trace.8"], cwd=ROOT,
                       capture_output=True, text=True, env=dict(os.environ, MANPAGER="cat"))
    check(p.returncode == 0 and not p.stderr, "the man page has no warnings", p.stderr)
    for word in QUERY + SUMMARY + list(FLAGS) + list(ENDS):
        check(word in page, "the man page has %s" % word)


def contract():
    p = run("report", "-i", GOLDEN, "--json")
    objects = [json.loads(x) for x in p.stdout.splitlines()]
    rows, summary = objects[:-1], objects[-1]
    check(p.returncode == 0 and rows and summary["type"] == "summary", "JSON lines, the summary last", p.stderr)
    for key in QUERY:
        check(all(key in r for r in rows), "a query has %s" % key)
    for key in SUMMARY:
        check(key in summary, "the summary has %s" % key)
    check(all(set(r["flags"]) <= FLAGS and r["end"] in ENDS and r["schema"] == 1
              for r in objects if r["type"] == "query"), "flags and ends are of the closed lists")
    check("estimated" in summary["flags"] and all("estimated" in r["flags"] and r["source"] == "model" for r in rows),
          "what rests on a model says so")
    text = run("report", "-i", GOLDEN).stdout.splitlines()
    lines = [x for x in text if x[:2].isdigit() or x.startswith("START")]
    check(len(lines) == len(rows) + 1 and max(map(len, lines)) <= 100, "lines of 100 columns", max(map(len, lines)))
    check(all("estimated" in x for x in text if x[:2].isdigit()), "each line says that it is estimated")


def script():
    """The event log of a recording has what the report counts, and no other strings than the contract's."""
    p = run("script", "-i", GOLDEN)
    rows = [json.loads(x) for x in run("report", "-i", GOLDEN, "--json").stdout.splitlines()][:-1]
    events = [x.split(None, 2)[1:] for x in p.stdout.splitlines()]
    check(p.returncode == 0 and not p.stderr and events, "script reads a recording", p.stderr)
    for r in rows:
        mine = [x for q, x in events if q == "q%d" % r["id"]]
        opened, usage = mine[0], [x.split() for x in mine if x.startswith("usage ")]
        said = "open %s %s pid %d from %s to %s" % (r["dialect"], r["path"], r["pid"], r["client"], r["server"])
        check(opened.startswith(said), "script: open of %d" % r["id"], mine)
        check(usage and usage[-1][2] == str(r["prompt_tokens"]) and usage[-1][-1] == str(r["completion_tokens"]),
              "script: usage of %d" % r["id"], usage)
        check(mine[-1].startswith("over "), "script: %d ends last" % r["id"], mine[-1])


def steps(d):
    """Steps of the engine in a recording: printed, and whatever cannot be one is left out; the report is the same."""
    with open(GOLDEN, "rb") as f:
        whole = f.read()
    blocks, at = 0, 16
    while at < len(whole):
        blocks, at = blocks + 1, at + 16 + struct.unpack_from("<I", whole, at + 4)[0]

    def rec(slot, begin, end, tokens, size=32):
        return struct.pack("<HHIQQiI", 10, size, slot, begin, end, tokens, 4711)[:size]
    second = 1000000000
    good = rec(1, 5 * second, 6 * second, 17) + rec(1, 6 * second, 6 * second + 1500000, -1)
    bad = [rec(0, second, second, 1), rec(2, second, second, 1), rec(1, second, second - 1, 1), rec(1, 0, second, 1),
           rec(1, second, second, -2), rec(1, second, second, 1, 24)]
    for name, recs, n in (("good", good, 0), ("bad", good + b"".join(bad), len(bad))):
        path = os.path.join(d, name)
        with open(path, "wb") as f:
            f.write(whole + struct.pack("<IIII", 0x42575049, len(recs), zlib.crc32(recs, blocks), blocks) + recs)
        lines = [x.strip() for x in run("script", "-i", path).stdout.splitlines() if " step " in x]
        check(lines == ["6.000000 - step pid 4711 since 5.000000 tokens 17",
                        "6.001500 - step pid 4711 since 6.000000 tokens -"], "script: steps, %d bad ones" % n, lines)
        p = run("report", "-i", path, "--json")
        check(p.stdout == run("report", "-i", GOLDEN, "--json").stdout and (str(n) in p.stderr) == (n > 0),
              "report: %d bad steps" % n, p.stderr)


def steps_off(d):
    """That steps went off in the run is said again by the report: 2,500 hits a second of 8 us each are 2 % of a CPU."""
    with open(GOLDEN, "rb") as f:
        whole = f.read()
    blocks, at, start, end = 0, 16, 0, b""
    while at < len(whole):
        size = struct.unpack_from("<I", whole, at + 4)[0]
        o, stop = at + 16, at + 16 + size
        while o < stop:
            kind, n = struct.unpack_from("<HH", whole, o)
            start = struct.unpack_from("<Q", whole, o + 8)[0] if kind == 1 else start
            end = whole[o + 8:o + n] if kind == 7 else end
            o += n
        blocks, at = blocks + 1, stop
    path = os.path.join(d, "off")
    for rate, said in ((2500.0, "off from 3.5 s on: 2500 hits a second at 8.00 us each took 2.0 % of a CPU"),
                       (float("nan"), None)):
        rec = struct.pack("<HHI", 7, 128, 0) + end[:32] + bytes(64) + \
            struct.pack("<Qdd", start + 3500000000, rate, 8000.0)
        with open(path, "wb") as f:
            f.write(whole + struct.pack("<IIII", 0x42575049, len(rec), zlib.crc32(rec, blocks), blocks) + rec)
        p = run("report", "-i", path, "--json")
        check(p.returncode == 0 and ("engine steps were " + said in p.stderr if said else "steps" not in p.stderr),
              "report: steps that went off, %g hits" % rate, p.stderr)


def damage(d):
    with open(GOLDEN, "rb") as f:
        whole = f.read()
    path = os.path.join(d, "bad.data")

    def report_of(data):
        with open(path, "wb") as f:
            f.write(data)
        return run("report", "-i", path, "--json")

    full = len(report_of(whole).stdout.splitlines())
    steps, worst = list(range(0, len(whole), 211)), None
    for n in steps:
        p = report_of(whole[:n])
        if p.returncode not in (0, 1) or (p.returncode and not p.stderr.startswith("ipw-trace: cannot read")):
            worst = (n, p)
    check(worst is None, "cut off at %d places: reported, or refused in words" % len(steps), worst)
    p = report_of(whole[:len(whole) * 2 // 3])
    check(p.returncode == 0 and 1 <= len(p.stdout.splitlines()) <= full and "has no end" in p.stderr,
          "what is whole of it is reported", p.stderr)
    rng, worst, told = random.Random(5), None, 0
    for _ in range(200):
        data = bytearray(whole)
        data[rng.randrange(16, len(data))] ^= 1 << rng.randrange(8)
        p = report_of(bytes(data))
        told += "is damaged" in p.stderr or "has no end" in p.stderr or p.returncode == 1
        if p.returncode not in (0, 1):
            worst = p
    check(worst is None, "a flipped bit does no harm", worst)
    check(told == 200, "and is always noticed", told)
    for data, said in ((b"", "no recording"), (b"PERFILE2" + bytes(100), "no recording"),
                       (whole[:8] + struct.pack("<I", 99) + whole[12:], "later version"),
                       (whole[:12] + struct.pack(">I", 0x01020304) + whole[16:], "byte order"),
                       (whole[:16], "nothing in it")):
        p = report_of(data)
        check(p.returncode == 1 and said in p.stderr and p.stderr.startswith("ipw-trace: cannot read '%s': " % path),
              "a file that is none: %s" % said, p.stderr)
    for where, said in (("/no/such/file", "No such file"), (d, "no recording"), ("/dev/null", "no recording")):
        p = run("report", "-i", where)
        check(p.returncode == 1 and said in p.stderr, "report -i %s" % where, p.stderr)


def output():
    for args in (["report", "-i", GOLDEN], ["report", "-i", GOLDEN, "--json"]):
        with open("/dev/full", "w") as full:
            p = subprocess.run([TRACE, *args], stdout=full, stderr=subprocess.PIPE, text=True)
        check(p.returncode == 1 and "cannot write" in p.stderr, "a full disk under stdout %s" % args[3:], p)
    p = run("report", "-i", GOLDEN, env=dict(os.environ, NO_COLOR="1"))
    check("\033" not in p.stdout, "no colour into a pipe")


usage()
manual()
contract()
script()
with tempdir() as tmp:
    steps(tmp)
    steps_off(tmp)
    damage(tmp)
output()
done()
