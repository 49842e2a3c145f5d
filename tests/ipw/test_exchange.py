#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Profiling records of HazyResearch/intelligence-per-watt into results, results into such records and back. The records
are made here by pyarrow, to the dataclasses of its execution/types.py: none that it wrote itself is at hand.
"""
import copy
import json
import os
import subprocess

from results import check, done, lines, near, row, tempdir, write
from harness import ROOT

TO, FROM = (os.path.join(ROOT, "scripts", n) for n in ("to-jsonl", "from-jsonl"))
STATS = {"avg": None, "max": None, "median": None, "min": None}
MAKE = """
import json, sys
import pyarrow as pa, pyarrow.parquet as pq
rows, path = json.load(sys.stdin), sys.argv[1]
t = pa.Table.from_pylist(rows)
if path.endswith(".parquet"):
    pq.write_table(t, path)
else:
    with pa.OSFile(path, "wb") as f, pa.ipc.new_stream(f, t.schema) as w:
        w.write_table(t)
"""


def run(*args, **kw):
    return subprocess.run(list(map(str, args)), capture_output=True, text=True, **kw)


PYTHON = run(os.path.join(ROOT, "scripts/setup-arrow")).stdout.strip()


def table(path, rows):
    if path.endswith(".jsonl"):
        return write(path, rows)
    subprocess.run([PYTHON, "-c", MAKE, path], input=json.dumps(rows), text=True, check=True)
    return path


def first_metrics(joules, seconds, ttft=0.2, inside=10, out=20, gpu="NVIDIA H200"):
    """ModelMetrics at 11ba0dc."""
    return {"compute_metrics": {"flops_per_request": None, "macs_per_request": None},
            "energy_metrics": {"per_query_joules": joules, "total_joules": joules},
            "latency_metrics": {"per_token_ms": 1.0, "throughput_tokens_per_sec": 1.0,
                                "time_to_first_token_seconds": ttft, "total_query_seconds": seconds},
            "memory_metrics": {"cpu_mb": STATS, "gpu_mb": STATS},
            "power_metrics": {"gpu": {"per_query_watts": dict(STATS, avg=300.0), "total_watts": STATS}},
            "temperature_metrics": STATS, "token_metrics": {"input": inside, "output": out, "total": inside + out},
            "gpu_info": {"name": gpu, "vendor": "nvidia", "device_id": 0, "device_type": "gpu", "backend": "nvml"},
            "system_info": {"os_name": "Linux", "cpu_count": 8, "cpu_brand": "Unknown CPU"},
            "lm_correctness": False, "lm_response": "text"}


def later_metrics(joules, seconds, right=None, cpu=None, cost=0.0, flops=0.0, **kw):
    """The same from 0431d11 on."""
    m = first_metrics(joules, seconds, **kw)
    m["energy_metrics"].update(cpu_per_query_joules=cpu, cpu_total_joules=cpu, ane_per_query_joules=None,
                               ane_total_joules=None)
    m["compute_metrics"].update(flops_per_request=flops, total_flops=None, flops_per_token=None)
    m["power_metrics"]["cpu"] = {"per_query_watts": STATS, "total_watts": STATS}
    m.update(phase_metrics={"prefill_energy_j": None, "decode_energy_j": None},
             cost={"input_cost_usd": cost, "output_cost_usd": cost, "tool_cost_usd": None, "total_cost_usd": cost},
             evaluation={"is_correct": right, "metadata": {"judge": "x"}})
    return m


def record(problem, metrics, subject="Law", answer="secret text", **meta):
    return {"problem": problem, "answer": "A", "dataset_metadata": dict({"anthropic_index_category": None}, **meta),
            "subject": subject, "model_answers": {k: answer for k in metrics}, "model_metrics": metrics}


def read(*args):
    p = run(TO, *args)
    return p, [json.loads(x) for x in p.stdout.splitlines()]


def first_generation(d):
    rows = [record("p1", {"m:4b": first_metrics(100.5, 2.0)}),
            record("p2", {"m:4b": first_metrics(None, 3.0, ttft=0, inside=0, out=0)}, anthropic_index_category="Legal"),
            record("p3", {"m:4b": first_metrics(-1, 45.0)}), record("p1", {"m:4b": first_metrics(900.0, 60.0)})]
    for form in ("x.parquet", "x.arrow", "x.jsonl"):
        p, got = read(table(os.path.join(d, form), rows))
        check(p.returncode == 0 and len(got) == 4 and all(list(r)[:4] == ["type", "query_id", "model", "hardware"] and
              r["type"] == "result" and (r["model"], r["hardware"]) == ("m:4b", "NVIDIA H200") for r in got),
              "%s: a result each" % form, (p.stderr, got))
        check([r["gross_j"] for r in got] == [100.5, None, None, 900.0] and all(r["energy_j"] is None for r in got),
              "joules are gross; -1 and null are not known", got)
        check([r["flags"] for r in got] == [["energy_edges_lost", "ttft_visible"], [], ["ttft_visible"],
                                            ["energy_since_last_query", "ttft_visible"]], "flags", got)
        check(all(r["correct"] is None for r in got), "lm_correctness is no verdict")
        check((got[1]["ttft_s"], got[1]["prompt_tokens"], got[1]["completion_tokens"]) == (None, None, None) and
              (got[0]["ttft_s"], got[0]["prompt_tokens"], got[0]["completion_tokens"]) == (0.2, 10, 20),
              "0 is how what is not known is written there", got[:2])
        check([r["category"] for r in got] == ["Law", "Legal", "Law", "Law"] and
              all(r["concurrency_mean"] == 1 and r["scope"] == "accelerator" for r in got), "category, scope", got)
        ids = [r["query_id"] for r in got]
        check(len(set(ids)) == 4 and ids[3] == ids[0] + "#2", "an id for each problem, one that is there twice", ids)
        check("secret" not in p.stdout and "p1" not in p.stdout and "1 results have the flag energy_since" in p.stderr,
              "no text of queries and answers; flags are said", p.stderr)
    s, = lines("score", "--gross", "--allow-missing", write(os.path.join(d, "got"), got))
    check(s["n"] == 2 and near(s["energy_j_mean"], 500.25) and near(s["power_w_mean"], (50.25 + 15) / 2) and
          s["acc"] is None, "score takes them", s)


def later_generation(d):
    rows = [record("q%d" % i, {"a/m": later_metrics(50.0 + i, 31.0 if i == 3 else 1.0, (True, False, None, True)[i],
                                                    cpu=7.0 if i == 1 else None, cost=0.25 if i == 2 else 0.0,
                                                    flops=1e12 if i else 0.0),
                                  "b": later_metrics(9.0, 0.5, True) if i == 0 else None}) for i in range(4)]
    p, got = read(table(os.path.join(d, "l.parquet"), rows))
    mine = [r for r in got if r["model"] == "a/m"]
    check(p.returncode == 0 and len(got) == 5 and len(mine) == 4, "a result for each model that has metrics", got)
    check([r["correct"] for r in mine] == [1, 0, None, 1], "verdicts; unscorable is null", mine)
    check([r["gross_j"] for r in mine] == [50, 51, 52, 53] and mine[1]["energy_by_domain"] == {"gpu": 51, "cpu": 7},
          "joules of the GPU, others by domain", mine)
    check([r["flags"][0] for r in mine] == ["energy_edges_lost"] * 4 and "energy_30s" in mine[3]["flags"] and
          all("energy_30s" not in r["flags"] for r in mine[:3]), "flags", mine)
    check([r["cost_usd"] for r in mine] == [None, None, 0.25, None] and [r["flops"] for r in mine] == [None, 1e12, 1e12,
                                                                                                   1e12],
          "a price of 0 is none, nor are 0 FLOPs", mine)
    check(all(r["concurrency_mean"] is None for r in got), "how many at a time is not known")
    c, = lines("compare", "--gross", "--allow-unlike", "--allow-missing", write(os.path.join(d, "got"), got))
    check(c["n"] == 1 and near(c["ipj_ratio"], 50 / 9), "models meet on a problem", c)


def shapes(d):
    """Maps of model and hardware, short names, texts, folders, labels."""
    short = {k.replace("_metrics", "").replace("token", "tokens"): v for k, v in first_metrics(5.0, 1.0).items()}
    rows = [record("p", {"m": {"H200": later_metrics(5.0, 1.0, True), "A100": later_metrics(8.0, 2.0, True)}}),
            record("q", {"m": {"H200": later_metrics(6.0, 1.0, False), "A100": None}})]
    p, got = read(table(os.path.join(d, "n.arrow"), rows))
    check(sorted((r["hardware"], r["gross_j"]) for r in got) == [("A100", 8), ("H200", 5), ("H200", 6)], "by hardware",
          got)
    text = [dict(record("p", {}), model_metrics=json.dumps({"m": short}), dataset_metadata="{}",
                 model_answers=[["m", "x"]])]
    p, got = read(table(os.path.join(d, "t.jsonl"), text))
    check(p.returncode == 0 and got[0]["gross_j"] == 5 and got[0]["duration_s"] == 1, "short names, maps as text", p)
    folder = os.path.join(d, "profile_x")
    os.mkdir(folder)
    none = first_metrics(5.0, 1.0)
    none["gpu_info"] = None
    for i in range(2):
        table(os.path.join(folder, "data-0000%d-of-00002.arrow" % i), [record("p%d" % i, {"m": none})])
    write(os.path.join(folder, "summary.json"), [{"hardware_label": "RTX6000", "dataset_name": "mix", "model": "m"}])
    p, got = read(folder)
    check([(r["hardware"], r["dataset"], r["flags"][0]) for r in got] ==
          [("RTX6000", "mix", "energy_edges_lost"), ("RTX6000", "mix", "energy_since_last_query")],
          "a folder in parts, with its label", (p.stderr, got))
    p, got = read("--hardware", "my box", folder)
    check([r["hardware"] for r in got] == ["my box"] * 2, "--hardware", got)
    bad = [record("p", {"m": later_metrics(5.0, 1.0)}), dict(record("p", {}), model_metrics=3), "{", "[1]",
           dict(record("p", {"m": {"x": 3}})), dict(record(None, {"m": later_metrics(1.0, 1.0)})),
           record("z", {"m": later_metrics(6.0, 1.0)})]
    path = table(os.path.join(d, "bad.jsonl"), bad)
    p, got = read(path)
    check(p.returncode == 1 and [r["gross_j"] for r in got] == [5, 6] and "5 rows are left out" in p.stderr and
          all("%s:%d: " % (path, n) in p.stderr for n in (2, 3, 4, 5, 6)), "bad records by their lines",
          p.stderr)
    board = write(os.path.join(d, "b.json"), [json.dumps({"organization": "x", "categoryMetrics": {}}, indent=1)])
    p, got = read(board)
    check(p.returncode == 1 and not got and "means of categories, and no queries" in p.stderr, "a leaderboard", p)


FULL = dict(dataset="ds", category="c", difficulty="hard", repetition=0, correct=1, ppl=1.5, energy_j=2.5, power_w=1.25,
            gross_j=4.0, bound_j=0.5, energy_by_domain={"package-0": 2.0, "dram-0": 0.5}, scope="package-0+dram-0",
            source="rapl", method="tokens", concurrency_mean=1.5, duration_s=2.0, ttft_s=0.25, ttft_visible_s=0.5,
            prompt_tokens=10, cached_tokens=4, completion_tokens=20, flops=1e9, cost_usd=0.125, end="complete",
            status=200, why=None, finish_reason="stop", tries=2, retry_j=0.5, retry_s=1.0, start_ns=123456789012345,
            run="r1", segment="s1", request_id="i1", client="127.0.0.1:5", flags=["estimated", "tokens_differ"],
            ttft_traced_s=0.2, duration_traced_s=1.9, busy_s=1.5, read_bytes=3e9)


def there_and_back(d):
    rows = [row("q1", "m1", "h", **FULL), row("q2", "m1", "h", **dict(FULL, correct=0, gross_j=None, energy_j=None,
            flags=[], energy_by_domain=None, end="timeout", completion_tokens=None)),
            row("q1", "m2", "g", **dict(FULL, scope="gpu0", energy_by_domain={"gpu0": 2.5}, correct=None)),
            row("q1", "m1", "h", **dict(FULL, repetition=1, completion_tokens=0, cost_usd=0, flops=0))]
    src = write(os.path.join(d, "src.jsonl"), rows + [{"type": "run"}])
    texts = write(os.path.join(d, "texts.jsonl"), [{"type": "answer", "run": "r1", "query_id": "q2", "repetition": 0,
                                                   "text": "yes"}])
    for form in ("o.parquet", "o.arrow"):
        out = os.path.join(d, form)
        p = run(FROM, "--answers", texts, src, out)
        q, got = read(out)
        check(p.returncode == 0 and q.returncode == 0 and not p.stderr + q.stderr, "%s: made, and read" % form, (p, q))
        key = lambda r: (r["query_id"], r["model"], r["repetition"])  # noqa: E731
        diff = [(k, a.get(k), b.get(k)) for a, b in zip(sorted(rows, key=key), sorted(got, key=key))
                for k in set(a) | set(b) if a.get(k) != b.get(k)]
        check(len(got) == 4 and not diff, "%s: nothing is lost or made up" % form, diff)
    show = "import pyarrow.parquet as p, json, sys; print(json.dumps(p.read_table(sys.argv[1]).to_pylist()))"
    made = json.loads(run(PYTHON, "-c", show, os.path.join(d, "o.parquet")).stdout)
    m = made[0]["model_metrics"]
    want = {"energy_metrics": {"per_query_joules": None, "total_joules": None, "cpu_per_query_joules": 4.0,
                               "cpu_total_joules": 4.0}, "evaluation": {"is_correct": True}, "lm_correctness": True,
            "latency_metrics": {"per_token_ms": 100, "throughput_tokens_per_sec": 10,
                                "time_to_first_token_seconds": 0.25, "total_query_seconds": 2},
            "token_metrics": {"input": 10, "output": 20, "total": 30}, "cost": {"total_cost_usd": 0.125}}
    check(len(made) == 3 and all(m["m1"][k] == v for k, v in want.items()), "as the harness calls it", m["m1"])
    check(m["m2"]["energy_metrics"]["per_query_joules"] == 4 and m["m2"]["evaluation"]["is_correct"] is None and
          m["m2"]["power_metrics"]["gpu"]["per_query_watts"]["avg"] == 2, "joules of a GPU are the GPU's", m["m2"])
    check(made[1]["model_answers"]["m1"] == "yes" and made[1]["model_metrics"]["m2"] is None, "answers", made[1])
    two = write(os.path.join(d, "two"), [row("q", "m", h, gross_j=3.0) for h in ("h1", "h2")])
    p = run(FROM, two, os.path.join(d, "two.arrow"))
    q, got = read(os.path.join(d, "two.arrow"))
    check("several hardwares" in p.stderr and [r["hardware"] for r in got] == ["h1", "h2"], "a level of hardwares", p)
    again = [row("q", "m", "h1"), row("q", "m", "h1", correct=0), row("q", "m", "h2")]
    twice = "two results of 'm' for query 'q'"
    for rows, said in (([row("q"), row("q")], twice), (again, twice), ([{"type": "run"}], "no results"),
                       ([row("q"), row(None)], 'no "query_id"')):
        p = run(FROM, write(os.path.join(d, "w"), rows), os.path.join(d, "w.parquet"))
        check(p.returncode == 1 and said in p.stderr, said, p.stderr)
    check(run(FROM, src, os.path.join(d, "x.txt")).returncode == 129 and run(FROM, src).returncode == 129, "usage")


def by_csv(d):
    """ipw-trace csv, and to-jsonl of it."""
    from results import run as tool
    rows = [row("1", "m", "h", **copy.deepcopy(FULL)), row("2,\n\"x\"", "m", "h", correct=None, flags=[]),
            row("3", "true", "007", **dict(copy.deepcopy(FULL), correct=0, flags=["a"]))]
    out = os.path.join(d, "r.csv")
    with open(out, "w", newline="") as f:
        f.write(tool("csv", write(os.path.join(d, "r.jsonl"), rows)).stdout)
    p, got = read(out)
    diff = [(k, a.get(k), b.get(k)) for a, b in zip(rows, got) for k in set(a) | set(b) if a.get(k) != b.get(k)]
    check(p.returncode == 0 and len(got) == 3 and not diff, "CSV and back", (p.stderr, diff))
    with open(out, "w") as f:
        f.write("query_id,model,hardware,energy_j\n1,m,h,2\n2,m,h\n3,m,h,x\n")
    p, got = read(out)
    check(p.returncode == 1 and "r.csv:3: 3 cells under 4 names" in p.stderr and len(got) == 2 and
          got[0] == row("1", energy_j=2), "a row that is short", (p.stderr, got))
    with open(out, "w") as f:
        f.write("question,answer\nwhy,007\n")
    check(read(out)[1] == [{"question": "why", "answer": "007"}], "a data set as CSV stays as it is")


with tempdir() as tmp:
    for part in (first_generation, later_generation, shapes, there_and_back, by_csv):
        part(tmp)
done()
