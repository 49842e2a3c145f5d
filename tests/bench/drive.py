# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What `ipw-trace bench` takes itself while it keeps many streams running."""
import json
import os
import subprocess
import time

from harness import TRACE, tempdir
from measure import CPU, PEER, Row, Unmeasured, helper, stop, wait_quiet
from streams import WARM_S, watch

STREAMS, RATE, BATCH = 256, 1000, 16


def drive(o):
    """A scripted server of tokens; its CPU is another one than the bench's."""
    wait_quiet()
    seconds = 5 if o.quick else 20
    tokens = round(RATE * (seconds + 2 * WARM_S) / STREAMS)
    d = subprocess.Popen([helper("streamd"), str(CPU), str(STREAMS), str(tokens), str(RATE), str(BATCH)],
                         stdout=subprocess.PIPE, text=True)
    port = d.stdout.readline().split()[1]
    with tempdir() as tmp:
        data, out = os.path.join(tmp, "data.jsonl"), os.path.join(tmp, "out")
        with open(data, "w") as f:
            for i in range(STREAMS):
                f.write(json.dumps({"prompt": "number %d" % i, "answer": "x"}) + "\n")
        p = subprocess.Popen(["taskset", "-c", str(PEER), TRACE, "bench", "-d", "jsonl:" + data, "--url",
                              "http://127.0.0.1:" + port, "-o", out, "-c", str(STREAMS), "--model", "m", "--no-trace"],
                             stdout=subprocess.DEVNULL)
        try:
            if not d.stdout.readline().startswith("begin"):
                raise Unmeasured("streamd ended")
            time.sleep(WARM_S)
            cpu, _ = watch(p.pid, seconds)
            p.wait(60)
            with open(out) as f:
                rows = [r for r in map(json.loads, f) if r["type"] == "result"]
        finally:
            stop(p)
            stop(d)
            d.stdout.close()
    got = [r["completion_tokens"] for r in rows]
    wrong = "" if got == [tokens] * STREAMS else "WRONG COUNT: %d tokens in %d streams, not %d in each" % (
        sum(filter(None, got)), len(got), tokens)
    return [Row("bench itself at %d streams and %d tokens/s in all, without the tracer" % (STREAMS, RATE), "<= 5",
                "% of a CPU", [c / 1e7 for c in cpu], wrong or "%d streams of %d tokens, all counted" %
                (STREAMS, tokens))]
