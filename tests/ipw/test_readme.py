#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the README shows of the commands on results is what they print (--write: is made so); options and fields of these
commands are in the man page.
"""
import json
import os
import re
import subprocess
import sys

from results import TRACE, check, done, run
from harness import ROOT

EXAMPLE = "tests/ipw/example.jsonl"
BLOCK = re.compile(r"^```\n\$ ipw-trace ((?:\S+ )*%s)\n(.*?)```$" % re.escape(EXAMPLE), re.M | re.S)


def output(m):
    p = subprocess.run([TRACE, *m.group(1).split()], cwd=ROOT, capture_output=True, text=True)
    return "```\n$ ipw-trace %s\n%s%s```" % (m.group(1), p.stderr, p.stdout)


def keys(value):
    if isinstance(value, dict):
        for k, v in value.items():
            yield k
            yield from keys(v)


def manual():
    with open(os.path.join(ROOT, "userspace/man/ipw-trace.8")) as f:
        page = f.read().replace("\\-", "-")
    for command in ("score", "compare", "cover", "route", "fit", "csv"):
        p = run(command, "--help")
        options = set(re.findall(r"--[a-z-]+", "\n".join(p.stdout.splitlines()[1:])))
        check(p.returncode == 0 and options and all(o in page for o in options), "options of %s are in the man page" %
              command, [o for o in options if o not in page])
        extra = {"score": ["--variants", "--by", "category", "--costs"], "cover": ["--by", "level"]}.get(command, [])
        if command == "csv":
            continue
        p = run(command, "--json", *extra, os.path.join(ROOT, EXAMPLE))
        fields = {k for line in p.stdout.splitlines() for k in keys(json.loads(line))}
        lacking = [k for k in fields if not re.search(r"\b%s\b" % k, page)]
        check(fields and not lacking, "fields of %s are in the man page" % command, lacking)


readme = os.path.join(ROOT, "README.md")
with open(readme) as f:
    text = f.read()
now = BLOCK.sub(output, text)
if "--write" in sys.argv:
    with open(readme, "w") as f:
        f.write(now)
for old, new in zip(BLOCK.finditer(text), BLOCK.finditer(now)):
    check(old.group() == new.group(), "README: ipw-trace %s" % old.group(1), new.group())
check(len(BLOCK.findall(text)) == 6, "README: an example of each command, and of costs")
piped = re.findall(r"^\$ ipw-trace (csv .*) \| head -3\n((?:.*\n){3})", text, re.M)
for args, shown in piped:
    p = subprocess.run([TRACE, *args.split()], cwd=ROOT, capture_output=True, text=True)
    check("".join(p.stdout.splitlines(True)[:3]) == shown, "README: ipw-trace %s" % args, p.stdout[:500])
check(len(piped) == 1, "README: an example of CSV")
made = subprocess.run([sys.executable, os.path.join(ROOT, "tests/ipw/example")], capture_output=True, text=True).stdout
with open(os.path.join(ROOT, EXAMPLE)) as f:
    check(f.read() == made, "the example is what makes it")
manual()
done()
