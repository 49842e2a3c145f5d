# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Profiling records of HazyResearch/intelligence-per-watt, and results (RESULTS of the man page): one into the other.

A record is of a query: problem, answer, subject, dataset_metadata, model_answers {model: text} and model_metrics
{model: metrics}; or {model: {hardware: metrics}}. Of its first generation (commit 11ba0dc, 2025-11) metrics have
compute_, energy_, latency_, memory_, power_, temperature_ and token_metrics, gpu_info, system_info, lm_correctness;
later ones add CPU and ANE joules, phase_metrics, hardware_utilization, cost and evaluation. Names without "_metrics"
are read too.

What is read, and what is not (of what is written, problem and answer are null: results do not have them):

  gross_j         per_query_joules: nothing there takes idle power off, so energy_j stays unknown (score --gross)
  flags           energy_since_last_query: (first generation) the joules begin where those of the query before end, with
                    all that lay between them
                  energy_edges_lost: (the first query of a run; later generation) from the first to the last sample
                    inside the query: what lies outside these, up to 50 ms at each end, is not in it
                  energy_30s: these, of a query of more than the 30 s that samples are kept for
                  ttft_visible: ttft_s is to the first text that is shown, after any thoughts
  correct         evaluation.is_correct, or null: lm_correctness is never filled
  concurrency     1 in the first generation, which sends one query at a time; else not known
  0 and below     is how unknown joules, seconds, FLOPs, prices and (beside an answer) tokens are written: null
  hardware        the GPU's name, else the folder's label, in which cards of one series look alike
  query_id        of our own records theirs; else a sum of the problem, "#2" where it was there before
"""
import hashlib
import json
import math

LATER = ("phase_metrics", "hardware_utilization", "cost", "evaluation", "cost_metrics")
GROUPS = ("compute", "energy", "latency", "power", "tokens", "token")
BUFFER_S = 30

# Of ours, what a record has no place for.
OURS = ("energy_j", "gross_j", "bound_j", "power_w", "scope", "source", "method", "flags", "concurrency_mean", "ppl",
        "cached_tokens", "ttft_visible_s", "end", "status", "why", "finish_reason", "tries", "retry_j", "retry_s",
        "start_ns", "run", "segment", "request_id", "client", "energy_by_domain", "ttft_traced_s", "duration_traced_s",
        "busy_s", "read_bytes", "prompt_tokens", "completion_tokens", "flops", "cost_usd")
META = ("query_id", "dataset", "category", "difficulty", "repetition")


class BadRecord(ValueError):
    pass


def is_record(row):
    return isinstance(row, dict) and "model_metrics" in row


def is_leaderboard(row):
    return isinstance(row, dict) and "categoryMetrics" in row


def as_map(v, what):
    """A map, of which Arrow may have made pairs, or somebody a text."""
    if isinstance(v, str):
        try:
            v = json.loads(v)
        except ValueError:
            raise BadRecord("%s is no map" % what) from None
    if isinstance(v, (list, tuple)) and all(isinstance(x, (list, tuple)) and len(x) == 2 for x in v):
        v = dict(v)
    if v is None:
        return {}
    if not isinstance(v, dict):
        raise BadRecord("%s is no map" % what)
    return v


def group(metrics, *names):
    for n in names:
        if metrics.get(n) is not None:
            return as_map(metrics[n], n)
    return {}


def above_0(v):
    """A number, or None for what is written where nothing is known."""
    good = isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) and v > 0
    return v if good else None


def is_metrics(v):
    return any(k in v for g in GROUPS for k in (g, g + "_metrics"))


def text(v):
    return v if isinstance(v, str) and v else None


class Reader:
    """The records of one run, in order. label: what its folder says of the hardware; hardware: what the user says."""

    def __init__(self, hardware=None, label=None, dataset=None):
        self.hardware, self.label, self.dataset = hardware, label, dataset
        self.seen, self.first, self.flags = {}, set(), {}

    def query_id(self, record, meta, config):
        known = meta.get("query_id")
        if known is not None:
            return str(known)
        problem = record.get("problem")
        if not isinstance(problem, str):
            raise BadRecord("it has neither a problem nor a query_id")
        query = hashlib.sha256(problem.encode()).hexdigest()[:16]
        n = self.seen[config, query] = self.seen.get((config, query), 0) + 1
        return query if n == 1 else "%s#%d" % (query, n)

    def results(self, record):
        """A result for each model, and hardware, that the record has metrics of."""
        meta = as_map(record.get("dataset_metadata"), "dataset_metadata")
        answers = as_map(record.get("model_answers"), "model_answers")
        for model, m in as_map(record["model_metrics"], "model_metrics").items():
            if m is None:
                continue  # Arrow: of another record
            m = as_map(m, "model_metrics of '%s'" % model)
            if is_metrics(m):
                yield self.result(record, meta, model, None, m, answers.get(model))
                continue
            if not m or not all(v is None or (isinstance(v, dict) and is_metrics(v)) for v in m.values()):
                raise BadRecord("model_metrics of '%s' are none" % model)
            for hardware, one in m.items():
                if one is not None:
                    yield self.result(record, meta, model, hardware, one, answers.get(model))

    def result(self, record, meta, model, hardware, m, answer):
        ours = group(m, "ipw_trace")
        gpu = group(m, "gpu_info")
        hardware = self.hardware or hardware or text(gpu.get("name")) or self.label or "unknown"
        row = {"type": "result", "query_id": self.query_id(record, meta, (model, hardware)), "model": model,
               "hardware": hardware, "dataset": text(meta.get("dataset")) or self.dataset,
               "category": text(meta.get("anthropic_index_category")) or text(meta.get("category")) or
               text(record.get("subject")), "difficulty": text(meta.get("difficulty")), "correct": self.verdict(m)}
        if meta.get("repetition") is not None:
            row["repetition"] = meta["repetition"]
        row.update(self.latency(m), **self.counts(m, answer))
        if ours:
            domains = ours.get("energy_by_domain") or {}
            ours["energy_by_domain"] = {k: v for k, v in domains.items() if v is not None} or None
            row.update((k, ours.get(k)) for k in OURS)
            return row
        row.update(self.energy(m, row["duration_s"], (model, hardware)))
        row["flags"] += ["ttft_visible"] if row["ttft_s"] is not None else []
        for f in row["flags"]:
            self.flags[f] = self.flags.get(f, 0) + 1
        return row

    @staticmethod
    def verdict(m):
        right = group(m, "evaluation").get("is_correct")
        return int(right) if isinstance(right, bool) else None

    @staticmethod
    def latency(m):
        t = group(m, "latency_metrics", "latency")
        return {"duration_s": above_0(t.get("total_query_seconds")),
                "ttft_s": above_0(t.get("time_to_first_token_seconds"))}

    @staticmethod
    def counts(m, answer):
        t = group(m, "token_metrics", "tokens")
        made = t.get("output")
        return {"prompt_tokens": above_0(t.get("input")),
                "completion_tokens": 0 if made == 0 and answer == "" else above_0(made),
                "flops": above_0(group(m, "compute_metrics", "compute").get("flops_per_request")),
                "cost_usd": above_0(group(m, "cost", "cost_metrics").get("total_cost_usd"))}

    def energy(self, m, duration, config):
        e = group(m, "energy_metrics", "energy")
        rails = {"gpu": "per_query_joules", "cpu": "cpu_per_query_joules", "ane": "ane_per_query_joules"}
        domains = {k: above_0(e.get(f)) for k, f in rails.items()}
        joules = domains["gpu"]
        later = any(k in m for k in LATER) or "cpu_per_query_joules" in e
        since = not later and config in self.first
        self.first.add(config)
        flags = []
        if joules is not None:
            flags.append("energy_since_last_query" if since else "energy_edges_lost")
            flags += ["energy_30s"] if not since and duration is not None and duration > BUFFER_S else []
        return {"energy_j": None, "gross_j": joules, "scope": "soc" if e.get("basis") == "soc" else "accelerator",
                "energy_by_domain": {k: v for k, v in domains.items() if v is not None}, "source": "harness",
                "concurrency_mean": None if later else 1, "flags": flags}


# --- the other way ----------------------------------------------------------------------------------------------------

def rail(scope):
    """Whose joules these are by the harness's names; None: of more than one."""
    parts = [p for p in (scope or "").split("+") if p]
    for name, starts in (("per_query", ("accelerator", "gpu")), ("cpu_per_query", ("package", "dram", "core", "cpu"))):
        if parts and all(p.startswith(starts) for p in parts):
            return name
    return None


def metrics(row):
    """The later generation's, as far as is known; what it has no place for is in ipw_trace."""
    gross, seconds = row.get("gross_j"), row.get("duration_s")
    made, whose = row.get("completion_tokens"), rail(row.get("scope"))
    energy = dict.fromkeys(("per_query_joules", "total_joules", "cpu_per_query_joules", "cpu_total_joules"))
    watts = gross / seconds if gross is not None and seconds else None
    if whose:
        energy[whose + "_joules"] = energy[whose.replace("per_query", "total") + "_joules"] = gross
    inside, right = row.get("prompt_tokens"), row.get("correct")
    return {
        "compute_metrics": {"flops_per_request": row.get("flops"), "macs_per_request": None},
        "energy_metrics": energy,
        "latency_metrics": {
            "per_token_ms": 1e3 * seconds / made if seconds is not None and made else None,
            "throughput_tokens_per_sec": made / seconds if seconds and made is not None else None,
            "time_to_first_token_seconds": row.get("ttft_s"), "total_query_seconds": seconds},
        "power_metrics": {n: {"per_query_watts": {"avg": watts if whose == w else None, "max": None, "median": None,
                                                  "min": None}} for n, w in (("gpu", "per_query"),
                                                                             ("cpu", "cpu_per_query"))},
        "token_metrics": {"input": inside, "output": made,
                          "total": inside + made if inside is not None and made is not None else None},
        "cost": {"total_cost_usd": row.get("cost_usd")},
        "evaluation": {"is_correct": None if right is None else bool(right)},
        "gpu_info": {"name": row["hardware"]},
        "lm_correctness": bool(right), "lm_response": "",
        "ipw_trace": {k: None if row.get(k) == {} else row.get(k) for k in OURS},  # Parquet has no empty struct
    }


def records(rows, answers):
    """A record a query and repetition, of all models; the hardware is a level of its own where a model has several."""
    hardwares, out = {}, {}
    for r in rows:
        hardwares.setdefault(r["model"], set()).add(r["hardware"])
    for r in rows:
        key = r.get("dataset"), str(r["query_id"]), r.get("repetition")
        record = out.setdefault(key, {
            "problem": None, "answer": None, "subject": r.get("category"),
            "dataset_metadata": {k: str(r[k]) if k == "query_id" else r.get(k) for k in META},
            "model_answers": {}, "model_metrics": {}})
        model, m = r["model"], metrics(r)
        answer = answers.get((r.get("run"), str(r["query_id"]), r.get("repetition")))
        if answer is not None or model not in record["model_answers"]:
            record["model_answers"][model] = answer
        several = len(hardwares[model]) > 1
        there = record["model_metrics"].setdefault(model, {}) if several else record["model_metrics"]
        if (r["hardware"] if several else model) in there:
            raise BadRecord("there are two results of '%s' for query '%s'" % (model, r["query_id"]))
        there[r["hardware"] if several else model] = m
    return list(out.values()), sorted(m for m, h in hardwares.items() if len(h) > 1)
