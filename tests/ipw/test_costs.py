#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace score --costs: FLOPs, utilisation, money and carbon, against printed prices and arithmetic done slowly."""
import os
import random
import statistics

from results import PAPER, check, done, lines, near, row, run, tempdir, write
from made import gguf, llama

mean = statistics.fmean


def costs(path, *args):
    return lines("score", "--costs", "--draws", 0, *args, path)[0]["costs"]


def one(d, *args, model="m", hardware="h", **fields):
    fields = {**dict(correct=1, prompt_tokens=100, completion_tokens=50), **fields}
    return costs(write(os.path.join(d, "one"), [row("q", model, hardware, **fields)]), *args)


def oracles(d):
    """Section 12 of what is known of the paper's harness: 2PT of 8.03e9 parameters; table 10's prices."""
    check(near(one(d, model="Llama-3.1-8B")["flops"]["mean"], 2.409e12), "2PT: 8.03 B, 150 tokens")
    check(near(one(d, model="Llama-3.1-8B", cached_tokens=60)["flops"]["mean"], 2 * 8.03e9 * 90),
          "tokens that the server had cached take none")
    path = os.path.join(d, "big.gguf")
    gguf(path, {"general.architecture": "x"}, [("blk.0.w.weight", [1000000, 8030], "F16")])
    check(near(one(d, "--model-file", "m=" + path)["flops"]["mean"], 2.409e12), "the same by a model's file of 16 GB")
    for name, (into, out) in PAPER["T10_usd_per_million"].items():
        got = one(d, model=name)["usd"]["mean"]
        check(near(got, (100 * into + 50 * out) / 1e6), "T10: %s" % name, got)


def money(d):
    rows = dict(energy_j=7.2e6, gross_j=10.8e6)
    check(near(one(d, "--kwh-price", 0.3, **rows)["usd"]["mean"], 0.9), "3 kWh at 0.3 USD: idle power is paid for")
    check(near(one(d, "--kwh-price", 0.3, energy_j=7.2e6)["usd"]["mean"], 0.6), "the share, where no more is known")
    check(near(one(d, "--kwh-price", 0.3, "--gross", **rows)["usd"]["mean"], 0.9), "--gross")
    check(one(d, "--kwh-price", 0.3)["usd"]["mean"] is None, "no joules, no price")
    check(one(d, "--kwh-price", 0, energy_j=1)["usd"]["mean"] == 0, "power that costs nothing")
    check(near(one(d, "--kwh-price", 0.3, model="Qwen3-235B", **rows)["usd"]["mean"], (22 + 44) / 1e6),
          "a cloud model costs its tokens")
    check(near(one(d, "--kwh-price", 0.3, model="Qwen3-8B", **rows)["usd"]["mean"], 0.9), "a local one its joules")
    check(one(d, "--kwh-price", 0.3, cost_usd=5, **rows)["usd"]["mean"] == 5, "what the row says stands")
    r = lines("route", "--kwh-price", 0.3, "--draws", 0, "--cloud", "Qwen3-235B", write(os.path.join(d, "r"), [
        row("q", "Qwen3-8B", correct=1, energy_j=3.6, prompt_tokens=100, completion_tokens=50),
        row("q", "Qwen3-235B", correct=1, energy_j=36, prompt_tokens=100, completion_tokens=50)]))[0]
    check(near(r["cost_saving"], 1 - 0.3e-6 / 66e-6), "route: a local answer is paid for by its joules", r)


def carbon(d):
    got = one(d, "--grid", 400, energy_j=1.8e6)["gco2e"]
    check(near(got["mean"], 200), "half a kWh at 400 g", got)
    check(near(one(d, "--grid", 400, "--embodied", 7, energy_j=1.8e6)["gco2e"]["mean"], 207), "and 7 g embodied")
    check(one(d, energy_j=1)["gco2e"]["mean"] is None, "no grid, no carbon")
    check(one(d, "--grid", 400)["gco2e"] == {"n": 0, "mean": None, "per_right": None}, "no joules, no carbon")


def some_rows(rng, n):
    out = []
    for i in range(n):
        r = dict(correct=rng.choice((0, 1, 1, None)), energy_j=rng.uniform(1, 9), duration_s=rng.uniform(1, 3),
                 prompt_tokens=rng.randint(1, 99), completion_tokens=rng.randint(1, 99), category=rng.choice("ab"))
        if rng.random() < 0.5:
            r["gross_j"] = r["energy_j"] * 1.5
        if rng.random() < 0.8:
            r.update(flops=rng.uniform(1e9, 9e9), busy_s=rng.uniform(0.1, 1))
        if rng.random() < 0.7:
            r.update(read_bytes=rng.uniform(1e8, 9e8), ttft_s=rng.uniform(0.1, 0.9))
        out.append(r)
    return out


def slowly(rows):
    """kWh at 0.25 USD, 300 g a kWh, 0.01 g embodied; a device of 2 TFLOP/s and 50 GB/s, three of it."""
    kwh = [(r.get("gross_j", r["energy_j"])) / 3.6e6 for r in rows]
    judged = [(r["correct"], k) for r, k in zip(rows, kwh) if r["correct"] is not None]
    right = sum(c for c, _ in judged)
    f = [r for r in rows if "flops" in r]
    b = [r for r in rows if "read_bytes" in r]
    return {"usd": mean(kwh) * 0.25, "gco2e": mean(kwh) * 300 + 0.01, "flops": mean(r["flops"] for r in f),
            "usd_right": sum(k for _, k in judged) * 0.25 / right,
            "gco2e_right": sum(k * 300 + 0.01 for _, k in judged) / right,
            "mfu": sum(r["flops"] for r in f) / sum(r["busy_s"] for r in f) / 6e12, "nf": len(f), "nb": len(b),
            "mbu": sum(r["read_bytes"] for r in b) / sum(r["duration_s"] - r["ttft_s"] for r in b) / 150e9,
            "per_j": sum(r["flops"] for r in f) / sum(r["energy_j"] for r in f)}


def by_group(d):
    rows = some_rows(random.Random(3), 400)
    table = os.path.join(d, "devices")
    with open(table, "w") as f:
        f.write("# NAME\tTFLOPS\tGB_S\nSome GPU\t2\t50\n")
    path = write(os.path.join(d, "r"), [row(i, hardware="CPU, 3 x Some GPU (cap 99 W), Linux 6", **r)
                                        for i, r in enumerate(rows)])
    args = ["--by", "category", "--devices", table, "--kwh-price", 0.25, "--grid", 300, "--embodied", 0.01]
    for s in lines("score", "--allow-missing", "--draws", 0, *args, path):
        k, want = s["costs"], slowly([r for r in rows if s["by"] == "all" or r["category"] == s["category"]])
        got = {"usd": k["usd"]["mean"], "gco2e": k["gco2e"]["mean"], "flops": k["flops"]["mean"],
               "usd_right": k["usd"]["per_right"], "gco2e_right": k["gco2e"]["per_right"], "mfu": k["mfu"],
               "nf": k["flops"]["n"], "nb": k["mbu_n"], "mbu": k["mbu"], "per_j": k["flops_per_j"]}
        check(all(near(got[x], want[x], 3e-6) for x in want), "as worked out slowly: %s" % (s.get("category") or "all"),
              (got, want))


def utilisation(d):
    table = os.path.join(d, "devices")
    with open(table, "w") as f:
        f.write("Some GPU\t100\t1000\nOther GPU\t-\t10\nSome CPU\t1\t20\n")
    use = ["--devices", table]
    rows = dict(flops=3e13, duration_s=2, concurrency_mean=1, ttft_s=1, read_bytes=5e11)
    for hardware, mfu, mbu in (("Some GPU", 0.15, 0.5),
                               ("CPU, 2 sockets, 8 threads, 2 x Some GPU, Linux 6", 0.075, 0.25),
                               ("1 x some gpu, 1 x Some GPU (cap 50 W)", 0.075, 0.25), ("1 x Other GPU", None, 50),
                               ("1 x Some GPU, 1 x Unknown GPU", None, None), ("Some GPU X", None, None),
                               ("Some CPU, 2 sockets, 8 threads, Linux", 7.5, 12.5), ("nothing", None, None),
                               ("Some CPU, 1 socket, 1 x Some GPU", 0.15, 0.5), ("0 x Some GPU", None, None)):
        k = one(d, *use, hardware=hardware, **rows)
        check(near(k["mfu"], mfu) and near(k["mbu"], mbu), "peaks of '%s'" % hardware, (k, mfu, mbu))
    k = one(d, *use, "--device", "2 x Some GPU", hardware="nothing", **rows)
    check(near(k["mfu"], 0.075) and near(k["mbu"], 0.25), "--device", k)
    k = one(d, hardware="8 x NVIDIA H100 80GB HBM3, Linux", **rows)
    check(near(k["mfu"], 1.5e13 / (8 * 989.4e12)) and near(k["mbu"], 5e11 / (8 * 3.35e12)), "built in: H100", k)
    k = one(d, hardware="H200", **rows)
    check(near(k["mfu"], 1.5e13 / 989.4e12) and near(k["mbu"], 5e11 / 4.8e12), "built in: H200, as people say", k)
    k = one(d, hardware="1 x NVIDIA H100 PCIe", **rows)
    check(near(k["mfu"], 1.5e13 / 756e12), "H100 PCIe is another one", k)
    k = one(d, *use, hardware="Some GPU", **dict(rows, concurrency_mean=2))
    check(k["mfu"] is None and k["mfu_n"] == 0, "in a batch, without its part of the time: not known", k)
    k = one(d, *use, hardware="Some GPU", **dict(rows, concurrency_mean=2, busy_s=1))
    check(near(k["mfu"], 0.3), "with it, it is", k)
    pairs, tensors = llama()
    gguf(os.path.join(d, "m.gguf"), pairs, tensors)
    f = ["--model-file", "M=" + os.path.join(d, "m.gguf")]
    k = one(d, *use, *f, hardware="Some GPU", **rows)
    steps, kept = 49, 2 * 2 * 2 * 2 * 16
    size = k["model_file"]["decode_bytes"]
    want = sum(size + kept * (100 + i + 1) for i in range(steps))
    check(near(k["mbu"], want / 1 / 1e12), "bytes of the weights, and of all tokens before, step by step", (k, want))
    k = one(d, *use, *f, hardware="Some GPU", **dict(rows, concurrency_mean=2))
    check(k["mbu"] is None, "in a batch steps are shared: not known", k)


def repeats(d):
    """Verdicts of repeats are shares: three results of one query, two right."""
    path = write(os.path.join(d, "repeats"), [row("q", correct=c, flops=3e9, energy_j=1.8e6) for c in (1, 0, 1)])
    k = costs(path, "--repeats", "mean", "--grid", 400)
    check(near(k["flops"]["per_right"], 3e9 * 3 / 2) and near(k["gco2e"]["per_right"], 300), "by right answers", k)


def refused(d):
    path = write(os.path.join(d, "r"), [row(1)])
    for args, status, said in ((["--kwh-price", "-1"], 129, "bad value"), (["--grid", "x"], 129, "bad value"),
                               (["--embodied", 5], 129, "needs --grid"), (["--attention"], 129, "needs --model-file"),
                               (["--devices", "/nothing"], 1, "cannot read '/nothing'"),
                               (["--model-file", "=x"], 1, "it is MODEL=PATH")):
        p = run("score", *args, path)
        check(p.returncode == status and said in p.stderr, "refused: %s" % args, p)
    for text, line in (("a\t1\n", 1), ("# x\n\na\t1\t2\t3\n", 3), ("a\t1\t2\nb\t-1\t2\n", 2), ("a\tx\t2\n", 1)):
        table = os.path.join(d, "bad")
        with open(table, "w") as f:
            f.write(text)
        p = run("score", "--devices", table, path)
        check(p.returncode == 1 and "line %d is not" % line in p.stderr, "devices: %r" % text, p.stderr)


with tempdir() as tmp:
    oracles(tmp)
    money(tmp)
    carbon(tmp)
    by_group(tmp)
    utilisation(tmp)
    repeats(tmp)
    refused(tmp)
done()
