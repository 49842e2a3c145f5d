#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who may include whom, licences, lengths, and words that a tracer's log must not have."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import ROOT, check, done  # noqa: E402

LINES = 500    # of a file
FUNCTION = 60  # of a function
WIDTH = 120    # of a line

# Without a licence line.
BARE = ("LICENSE", "VERSION", ".gitignore", ".editorconfig", ".clang-format")
DATA = ("tests/sysfs/", "tests/golden/", "tests/fuzz/corpus/", "tests/split/cases/", "tests/wire/",
        "tests/rig/scenarios/", "tests/ipw/")

# The stages, each of which knows those on its left only.
ORDER = ["userspace/conn.h", "userspace/http.h", "userspace/wire/wire.h", "userspace/query.h", "userspace/attrib.h",
         "userspace/totals.h", "userspace/sink/sink.h"]
BESIDE = {"userspace/attrib.h": {"userspace/timeline.h", "userspace/weight.h", "userspace/floor.h",
                                   "userspace/books.h", "userspace/fitted.h", "userspace/work.h"},
          "userspace/fitted.h": {"userspace/timeline.h", "userspace/books.h", "userspace/fit.h", "userspace/work.h"},
          "userspace/fit.h": {"userspace/work.h", "userspace/least.h"},
          "userspace/work.h": {"userspace/timeline.h", "userspace/least.h"},
          "userspace/timeline.h": {"collectors/sampler.h", "bpf/event.h"},
          "userspace/weight.h": {"userspace/timeline.h"}, "userspace/floor.h": {"userspace/timeline.h"},
          "userspace/books.h": {"userspace/timeline.h"},
          "userspace/tasks.h": {"userspace/attrib.h"}, "userspace/totals.h": {"userspace/tasks.h"},
          "userspace/conn.h": {"bpf/event.h"}}


def files():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    return [f for f in out.stdout.split("\n") if f and os.path.isfile(os.path.join(ROOT, f))]


def text(name):
    with open(os.path.join(ROOT, name), errors="replace") as f:
        return f.read()


def includes(name):
    return re.findall(r'^#include "([^"]+)"', text(name), re.M)


def allowed(name, inc):
    folder = os.path.dirname(name)
    if name.startswith("tests/"):
        return True
    if name == "bpf/event.h":
        return False
    if folder == "bpf":
        return "/" not in inc
    if folder == "collectors":
        return inc.startswith("collectors/")
    if inc.startswith("userspace/util/"):
        return True
    if folder == "userspace/util":
        return False
    if name in ORDER or name in BESIDE:
        left = set(ORDER[:ORDER.index(name)][-1:]) if name in ORDER else set()
        return inc in left | BESIDE.get(name, set())
    if folder == "userspace/wire":
        return inc in ("userspace/wire/wire.h", "userspace/wire/internal.h")
    if folder == "userspace/sink":
        return inc in ("userspace/sink/sink.h", name[:-1] + "h")
    if folder == "userspace/ipw":
        return inc.startswith("userspace/ipw/")
    if inc == "ipw.skel.h":
        return name == "userspace/live.c"
    return inc.startswith(("userspace/", "collectors/", "bpf/event.h"))


def check_includes(names):
    bad = ["%s includes %s" % (n, i) for n in names if n.endswith((".c", ".h"))
           for i in includes(n) if not allowed(n, i)]
    check(not bad, "who includes whom", "\n".join(bad))
    bpf = [n for n in names if n.endswith((".c", ".h")) and n.startswith(("userspace/", "collectors/")) and
           n != "userspace/live.c" and re.search(r"#include <bpf/", text(n))]
    check(not bpf, "live.c alone knows libbpf", bpf)


def check_licences(names):
    both, gpl = "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause", "SPDX-License-Identifier: GPL-2.0-only\n"
    bad = []
    for n in names:
        head = "".join(text(n).splitlines(True)[:3])
        if n in BARE or n.endswith(".md") or (n.startswith(DATA) and not n.endswith((".py", "/run"))):
            continue
        want = gpl if n.endswith(".bpf.c") else both
        if want not in head:
            bad.append(n)
    check(not bad, "each file names its licence", bad)


def functions(source):
    """(name, lines) of each function of a C file in our style."""
    name, begin = None, 0
    lines = source.split("\n")
    for i, line in enumerate(lines):
        if line == "{" and i:
            back = i - 1
            while back and not re.match(r"^\w", lines[back]):
                back -= 1
            name, begin = lines[back], i
        elif line == "}" and name:
            yield name, i - begin - 1
            name = None


def check_lengths(names):
    ours = [n for n in names if n.startswith(("userspace/", "collectors/", "bpf/")) and n.endswith((".c", ".h"))]
    long = ["%s: %d lines" % (n, text(n).count("\n")) for n in ours if text(n).count("\n") > LINES]
    check(not long, "files of %d lines" % LINES, "\n".join(long))
    long = ["%s: %s: %d lines" % (n, f, k) for n in ours for f, k in functions(text(n)) if k > FUNCTION]
    check(not long, "functions of %d lines" % FUNCTION, "\n".join(long))
    wide = ["%s:%d" % (n, i + 1) for n in names if n.endswith((".c", ".h", ".py"))
            for i, line in enumerate(text(n).split("\n")) if len(line.expandtabs(8)) > WIDTH]
    check(not wide, "lines of %d columns" % WIDTH, "\n".join(wide))
    dirty = [n for n in ours if re.search(r"[ \t]+$", text(n), re.M)]
    check(not dirty, "no blanks at line ends", dirty)


def check_tables():
    """A file that is a back end has its row."""
    for folder, table, suffix in (("userspace/wire", "registry.c", "struct wire_ops wire_"),
                                  ("userspace/sink", "registry.c", "struct sink_ops sink_"),
                                  ("collectors", "registry.c", "struct collector_ops ")):
        rows = text(os.path.join(folder, table))
        for n in sorted(os.listdir(os.path.join(ROOT, folder))):
            for op in re.findall(r"^const %s(\w+) = " % re.escape(suffix), text(os.path.join(folder, n)), re.M):
                check(op in rows, "%s/%s has a row for %s" % (folder, table, op))


names = files()
check_includes(names)
check_licences(names)
check_lengths(names)
check_tables()
done()
