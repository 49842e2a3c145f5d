#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""CSV, of the commands and of files: what Python's own reader makes of it is what the JSON says."""
import csv
import io
import json
import os
import random
import resource
import subprocess

from results import SAN, check, done, run, tempdir, write
from harness import ROOT

EXAMPLE = os.path.join(ROOT, "tests/ipw/example.jsonl")


def flat(value, name=""):
    """(column, text) of each value. Independent of the program's: recursive, on Python's objects."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from flat(v, name + "." + k if name else k)
    elif isinstance(value, list):
        texts = [v for v in value if isinstance(v, str)]
        if texts or not value:
            yield name, ";".join(t for t in texts if t)
        for i, v in enumerate(value):
            if not isinstance(v, str):
                yield from flat(v, "%s.%d" % (name, i))
    else:
        yield name, value


def same(cell, value):
    if value is None or value == "":
        return cell == ""
    if isinstance(value, bool):
        return cell == str(value).lower()
    if isinstance(value, (int, float)):
        return (int if isinstance(value, int) else float)(cell) == value
    return cell == value


def compare(name, objects, text):
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    head, body = rows[0], rows[1:]
    flats = [dict(flat(o)) for o in objects]
    bad = [(o, dict(zip(head, r))) for o, r in zip(flats, body)
           if len(r) != len(head) or not all(same(dict(zip(head, r)).get(k, ""), v) for k, v in o.items()) or
           any(c and k not in o for k, c in zip(head, r))]
    check(len(body) == len(flats) and not bad and len(set(head)) == len(head), "%s: %d lines of %d columns" % (
        name, len(body), len(head)), bad[:1] or rows[:2])
    return head


def commands():
    for command, args in (("score", []), ("score", ["--by", "category", "--variants"]), ("compare", []),
                          ("cover", ["--by", "level"]), ("route", ["--pools"]), ("fit", [])):
        a, b = run(command, "--json", *args, EXAMPLE), run(command, "--csv", *args, EXAMPLE, trace=SAN)
        check(b.returncode == 0 and a.stderr == b.stderr, "%s --csv" % command, b.stderr)
        head = compare(command, [json.loads(x) for x in a.stdout.splitlines()], b.stdout)
        check(head[0] == "type" and not any(x in head for x in ("simulated", "coefficients")), "names, and no holes",
              head)
    p = run("score", "--csv", "--json", EXAMPLE)
    check(p.returncode == 129 and "exclude each other" in p.stderr, "one of them", p.stderr)
    for command in ("score", "csv"):
        with open("/dev/full", "w") as full:
            p = subprocess.run([SAN, command, *(["--csv"] if command == "score" else []), EXAMPLE], stdout=full,
                               stderr=subprocess.PIPE, text=True)
        check(p.returncode == 1 and "No space left" in p.stderr, "%s on a full disk" % command, p)
    p = run("score", "--csv", "/no/such")
    check(p.returncode == 1 and not p.stdout, "nothing is written of nothing", p)


def anything(rng, depth=0):
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -5, 1e-30, 12345678901234567890, rng.random()])
    if kind < 6:
        return "".join(rng.choice('ab,;"\n\r \t\\\u00e9\u2028\U0001f600=') for _ in range(rng.randrange(6)))
    if kind == 6:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice(["k", "l,m", 'q"', "n n", "\u00fc"]): anything(rng, depth + 1) for _ in range(rng.randrange(3))}


def files(d):
    rng = random.Random(5)
    for k in range(60):
        objects = [dict(type="result", a=anything(rng), b=anything(rng), c=anything(rng)) for _ in range(5)]
        path = write(os.path.join(d, "r"), [json.dumps(o, ensure_ascii=bool(k % 2)) for o in objects])
        p = subprocess.run([SAN, "csv", path], capture_output=True)  # bytes: no newline is to be translated
        if check(p.returncode == 0 and not p.stderr, "a file of anything", p):
            compare("file %d" % k, objects, p.stdout.decode())
    lines = ['{"type":"run","x":1}', '{"type":"result","n":1700000000123456789,"f":[]}', "garbage", "[1]", "",
             '{"type":"result","n":null,"f":["a","b"]}', '{"type":"result"']
    path = write(os.path.join(d, "r"), lines)
    want = "type,n,f\nresult,1700000000123456789,\nresult,,a;b\n"
    p = run("csv", path, trace=SAN)
    check(p.returncode == 0 and p.stdout == want and "3 lines" in p.stderr and "is line 3" in p.stderr,
          "of one type, digits as they are, bad lines said", p)
    with open(path) as f:
        p = run("csv", "-", stdin=f)
    check(p.stdout == want, "from standard input", p)
    p = run("csv", "-", input="\n".join(lines))
    check(p.stdout == want, "and from a pipe", p)
    p = run("csv", "--type", "run", path)
    check(p.stdout == "type,x\nrun,1\n", "--type", p)
    for args, said, status in ((["--type", "no", path], "no object of type 'no'", 1), (["/no/such"], "No such file", 1),
                               ([d], "Is a directory", 1), ([], "one file is to be named", 129),
                               ([path, path], "one file", 129)):
        p = run("csv", *args)
        check(p.returncode == status and said in p.stderr and not p.stdout, said, p)
    long = write(os.path.join(d, "r"), [{"type": "result", "f": ["flag number %d" % i for i in range(30000)]}])
    p = run("csv", long, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28)))
    check(p.returncode == 0 and p.stdout.count(";") == 29999, "a long array, in little memory", p.stderr)
    wide = write(os.path.join(d, "r"), [{"type": "result", **{"k%d" % i: 1 for i in range(5000)}}])
    p = run("csv", wide, trace=SAN)
    check(p.returncode == 1 and "Argument list too long" in p.stderr, "a bound on columns", p.stderr)
    deep = write(os.path.join(d, "r"), ['{"type":"result","a":%s1%s}' % ("[" * 40, "]" * 40), {"type": "result"}])
    p = run("csv", deep, trace=SAN)
    check(p.returncode == 0 and "1 lines" in p.stderr and p.stdout == "type\nresult\n", "and on depth", p)


commands()
with tempdir() as tmp:
    files(tmp)
done()
