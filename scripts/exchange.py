# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What scripts/to-jsonl and scripts/from-jsonl run, by the Python that has pyarrow."""
import argparse
import csv
import json
import math
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq

import harness_record as harness

TABLES = (".arrow", ".parquet", ".jsonl", ".csv")
NEEDED = ("query_id", "model", "hardware")
TEXTS = set(NEEDED) | {"type", "dataset", "category", "difficulty", "scope", "source", "method", "end", "why", "run",
                       "finish_reason", "segment", "request_id", "client"}
LISTS = {"flags"}


class Said:
    """Complaints: some by one, all by number."""
    MOST = 8

    def __init__(self, name):
        self.name, self.n = name, 0

    def bad(self, where, why):
        self.n += 1
        if self.n <= self.MOST:
            self.say("%s: %s" % (where, why))

    def say(self, text):
        print("%s: %s" % (self.name, text), file=sys.stderr)

    def end(self):
        if self.n:
            self.say("%d rows are left out" % self.n)
        return 1 if self.n else 0


# --- reading: (line or row, object) ---------------------------------------------------------------------------------

def plain(v):
    """As JSON can have it."""
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    if isinstance(v, float) and not math.isfinite(v):
        return None
    if isinstance(v, bytes):
        return v.decode("utf-8", "replace")
    if v is None or isinstance(v, (str, int, float, bool)):
        return v
    return v.isoformat() if hasattr(v, "isoformat") else str(v)


def batches(path, head):
    if head[:4] == b"PAR1":
        yield from pq.ParquetFile(path).iter_batches()
    elif head == b"ARROW1":
        with pa.ipc.open_file(path) as r:
            for i in range(r.num_record_batches):
                yield r.get_batch(i)
    else:
        with pa.ipc.open_stream(path) as r:
            yield from r


def json_lines(path, said):
    with open(path, encoding="utf-8", errors="replace") as f:
        for n, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                o = json.loads(line)
            except ValueError as e:
                if n == 1 and line.strip() == "{":  # one object over many lines
                    o = json.loads("{" + f.read())
                    yield 1, o
                    return
                said.bad("%s:%d" % (path, n), "no JSON: %s" % e)
                continue
            if isinstance(o, dict):
                yield n, o
            else:
                said.bad("%s:%d" % (path, n), "no JSON object")


def cell(name, text):
    """A cell of a results file; texts stay texts, whatever they look like."""
    if name in LISTS:
        return text.split(";") if text else []
    if text == "":
        return None
    if name in TEXTS:
        return text
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            v = kind(text)
            return v if math.isfinite(v) else None
        except ValueError:
            pass
    return text


def deep(names, cells):
    """ "a.b" is a member of "a"."""
    out = {}
    for name, text in zip(names, cells):
        path = name.split(".")
        v = cell(name, text)
        if len(path) > 1 and v is None:
            continue
        at = out
        for p in path[:-1]:
            at = at.setdefault(p, {})
            if not isinstance(at, dict):
                raise ValueError("'%s' is a value, and has members" % p)
        at[path[-1]] = v
    return out


def csv_rows(path, said):
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as f:
        r = csv.reader(f, strict=True)
        names = next(r, [])
        results = all(n in names for n in NEEDED)
        try:
            for cells in r:
                if len(cells) != len(names):
                    said.bad("%s:%d" % (path, r.line_num), "%d cells under %d names" % (len(cells), len(names)))
                else:
                    row = deep(names, cells) if results else dict(zip(names, cells))
                    yield r.line_num, dict({"type": "result"}, **row) if results else row
        except (csv.Error, ValueError) as e:
            said.bad("%s:%d" % (path, r.line_num), str(e))


def rows_of(path, said):
    with open(path, "rb") as f:
        head = f.read(6)
    if path.endswith(".csv"):
        yield from csv_rows(path, said)
    elif head.lstrip()[:1] == b"{":
        yield from json_lines(path, said)
    else:
        n = 0
        for batch in batches(path, head):
            for row in batch.to_pylist():
                n += 1
                yield n, plain(row)


# --- to-jsonl ---------------------------------------------------------------------------------------------------------

def summary_of(folder):
    try:
        with open(os.path.join(folder, "summary.json"), encoding="utf-8") as f:
            s = json.load(f)
        return s if isinstance(s, dict) else {}
    except (OSError, ValueError):
        return {}


def files_of(path):
    if not os.path.isdir(path):
        return [path]
    found = sorted(os.path.join(path, n) for n in os.listdir(path) if n.endswith(TABLES))
    if not found:
        raise OSError("no table in it: %s" % ", ".join(TABLES))
    return found


def convert(path, reader, said, write):
    for n, row in rows_of(path, said):
        if harness.is_leaderboard(row):
            said.bad("%s:%d" % (path, n), "a leaderboard's file: it has means of categories, and no queries")
        elif harness.is_record(row):
            try:
                for result in list(reader.results(row)):
                    write(result)
            except harness.BadRecord as e:
                said.bad("%s:%d" % (path, n), str(e))
        else:
            write(row)


def to_jsonl(args):
    said = Said("to-jsonl")

    def write(row):
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    for path in args.paths:
        try:
            folder = summary_of(path if os.path.isdir(path) else os.path.dirname(path) or ".")
            reader = harness.Reader(args.hardware, folder.get("hardware_label"), folder.get("dataset_name"))
            for name in files_of(path):
                convert(name, reader, said, write)
            sys.stdout.flush()
            for flag, n in sorted(reader.flags.items()):
                said.say("%s: %d results have the flag %s" % (path, n, flag))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 1
        except (OSError, ValueError, pa.ArrowException) as e:
            said.say("cannot read '%s': %s" % (path, e))
            return 1
    return said.end()


# --- from-jsonl -------------------------------------------------------------------------------------------------------

def read_answers(path, said):
    out = {}
    for _, o in rows_of(path, said) if path else ():
        if o.get("type") == "answer":
            out[o.get("run"), str(o.get("query_id")), o.get("repetition")] = o.get("text")
    return out


def read_results(paths, said):
    out = []
    for path in paths:
        for n, o in rows_of(path, said):
            if o.get("type") != "result":
                continue
            lacks = [k for k in NEEDED if o.get(k) in (None, "")]
            if lacks:
                said.bad("%s:%d" % (path, n), "no \"%s\"" % lacks[0])
            else:
                out.append(o)
    return out


def from_jsonl(args):
    said = Said("from-jsonl")
    path = args.out
    try:
        rows = read_results(args.paths, said)
        if not rows:
            raise ValueError("there are no results")
        made, nested = harness.records(rows, read_answers(args.answers, said))
        table = pa.Table.from_pylist(made)
        if path.endswith(".parquet"):
            pq.write_table(table, path)
        else:
            with pa.OSFile(path, "wb") as f, pa.ipc.new_stream(f, table.schema) as w:
                w.write_table(table)
    except (OSError, ValueError, pa.ArrowException) as e:
        said.say("cannot write '%s': %s" % (path, e))
        return 1
    for model in nested:
        said.say("'%s' has several hardwares: model_metrics are by model and hardware, which the harness does not read"
                 % model)
    return said.end()


def main():
    p = argparse.ArgumentParser(prog="exchange.py")
    sub = p.add_subparsers(dest="command", required=True)
    a = sub.add_parser("to-jsonl", prog="to-jsonl")
    a.add_argument("--hardware")
    a.add_argument("paths", nargs="+", metavar="PATH")
    a = sub.add_parser("from-jsonl", prog="from-jsonl")
    a.add_argument("--answers")
    a.add_argument("paths", nargs="+", metavar="RESULTS")
    a.add_argument("out", metavar="OUT.parquet|OUT.arrow")
    try:
        args = p.parse_args()
    except SystemExit as e:
        return 129 if e.code else 0
    if args.command == "from-jsonl" and not args.out.endswith((".parquet", ".arrow")):
        print("from-jsonl: '%s' ends neither in .parquet nor in .arrow" % args.out, file=sys.stderr)
        return 129
    return {"to-jsonl": to_jsonl, "from-jsonl": from_jsonl}[args.command](args)


if __name__ == "__main__":
    sys.exit(main())
