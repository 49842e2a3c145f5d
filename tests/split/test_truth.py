#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The joules of queries against the truth, on simulated engines whose joules are known (tests/rig/engine_model.py): a few
cells of what tests/rig/truth.py makes tables of, with powers and loads of one seed; with --all of a fresh one. What is
asserted leaves room for a load that is hard to tell apart; the table is where the figures are.
"""
import os
import random
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), os.path.join(HERE, "../rig")]
from harness import TRACE, check, done  # noqa: E402
import engine_model  # noqa: E402
import truth  # noqa: E402

# row of truth.py, batch: most that the median and the p95 of the errors may be in %
CELLS = [
    ("gpu 20 ms, steps", 4, 2, 8),
    ("gpu 20 ms, steps", 16, 3, 16),
    ("cpu 10 ms, steps", 4, 2, 8),
    ("gpu 20 ms, steps, lag 20 ms", 4, 2, 8),
    ("gpu 20 ms, steps, half not streamed", 4, 3, 30),
    ("gpu gauge of 1 s, steps", 4, 4, 15),
    ("gpu 20 ms, wire only", 1, 3, 25),
]


def errors(said, run, ids):
    return [abs(said[i]["energy_j"] / run.truth[i]["energy_j"] - 1) for i in ids]


def phases(said, run, ids, what):
    """Queue times are exact where steps are seen; the parts of a query are its whole."""
    late = sorted(abs(said[i]["queue_ms"] - run.truth[i]["queue_ms"]) for i in ids if said[i]["queue_ms"] is not None)
    if run.opt["steps"]:
        check(len(late) == len(ids) and truth.quantile(late, 0.95) < 0.001, "%s: time in the queue" % what, late[-3:])
    else:
        check(not late, "%s: no time in a queue that is not seen" % what, late[:3])
    bad = [i for i in ids if abs((said[i]["marginal_j"] or 0) + (said[i]["shared_j"] or 0) - said[i]["energy_j"]) >
           1e-9 * said[i]["energy_j"] and said[i]["marginal_j"] is not None]
    check(not bad, "%s: marginal and shared part are the whole" % what, bad[:3])


def no_claims(said, run, ids, what):
    """Beside answers that are not streamed and had not come when the trace ended nobody knows who was in the steps."""
    unknown = [q["R"] + q["queue_ms"] * 1e6 for q in run.truth.values()
               if q["whole"] and q["end"] == "running" and q["queue_ms"] is not None]
    late = [i for i in ids if unknown and run.truth[i]["E"] > min(unknown) + 1e8]
    bad = [i for i in late if said[i]["bound_j"] is not None or "early_split" not in said[i]["flags"]]
    check(not bad, "%s: %d queries without a bound beside %d unknown ones" % (what, len(late), len(unknown)), bad[:3])


def cell(row, batch, median, p95, seed, path):
    profile, refresh, options = truth.ROWS[row]
    run = engine_model.Run(seed, profile, batch, refresh, seconds=90, **options)
    what = "%s, batch %d, seed %s" % (row, batch, seed)
    said, summary = truth.report(TRACE, run.data, path)
    tokens, _ = truth.report(TRACE, run.data, path, "--split", "tokens")
    ids = truth.counted(run)
    check(len(ids) >= 10, "%s: %d queries to judge by" % (what, len(ids)))
    ours, before = errors(said, run, ids), errors(tokens, run, ids)
    print("# %s: %.1f / %.1f %%, by tokens %.1f / %.1f %%" % (
        what, *(100 * truth.quantile(e, q) for e in (ours, before) for q in (0.5, 0.95))), flush=True)
    check(truth.quantile(ours, 0.5) * 100 <= median, "%s: median of the errors under %g %%" % (what, median))
    check(truth.quantile(ours, 0.95) * 100 <= p95, "%s: p95 of them under %g %%" % (what, p95))
    total = sum(summary[k] for k in ("queries_j", "server_other_j", "others_j", "idle_j"))
    check(abs(total / summary["measured_j"] - 1) < 1e-9, "%s: the books add up" % what, summary)
    known = [(said[i]["bound_j"], abs(said[i]["energy_j"] - run.truth[i]["energy_j"])) for i in ids
             if said[i]["bound_j"] is not None]
    check(len(known) >= 3, "%s: bounds are known" % what, len(known))
    if run.opt["steps"]:
        hold = sum(e <= b for b, e in known)
        check(hold >= 0.85 * len(known), "%s: %d of %d bounds hold" % (what, hold, len(known)))
    phases(said, run, ids, what)
    if run.opt["whole"]:
        no_claims(said, run, ids, what)


def main():
    fresh = "%08x" % random.SystemRandom().randrange(2**32)
    seed = next((a for a in sys.argv[1:] if not a.startswith("-")), fresh if "--all" in sys.argv else "a00adf6a")
    with tempfile.TemporaryDirectory(prefix="ipw-truth.") as d:
        for c in CELLS:
            cell(*c, seed, os.path.join(d, "run.data"))
    done()


main()
