#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The tracer on a real `transformers serve`, one query after the other and with continuous batching."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))
from harness import ROOT, TRACE, check, done, free_port, tempdir  # noqa: E402
from heavy import Case, check_server, python_of, server  # noqa: E402

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
BATCHING = ("--continuous-batching", "--cb-num-blocks", "256", "--cb-max-batch-tokens", "512")


def cases(model):
    """It says its usage whether it is asked or not."""
    a = ("--model", model, "--tokens", "15-25", "--words", "2-30")
    return (
        Case("chat, streamed", "openai-chat", CHAT, "usage", *a),
        Case("chat, whole", "openai-chat", CHAT, "usage", "--whole", *a),
        Case("text, streamed", "openai-completions", TEXT, "usage", *a),
        Case("text, whole", "openai-completions", TEXT, "usage", "--whole", *a),
        Case("responses, streamed", "openai-responses", RESPONSES, "usage", *a),
        Case("responses, whole", "openai-responses", RESPONSES, "usage", "--whole", *a),
        Case("chat, usage not asked for", "openai-chat", CHAT, "usage", "--no-usage", *a),
    )


def of_model(python, port, model):
    """bench finds the folder in the server's command line; it is what transformers makes of it."""
    code = "import sys; from transformers import AutoModelForCausalLM as A; m = A.from_pretrained(sys.argv[1]); " \
           "print(m.num_parameters(), sum(p.numel() * p.element_size() for p in m.parameters()))"
    p = subprocess.run([python, "-c", code, model], capture_output=True, text=True, check=True)
    want = [int(x) for x in p.stdout.split()]
    out = os.path.join(model, "results.jsonl")
    p = subprocess.run([TRACE, "bench", "-d", "jsonl:" + os.path.join(ROOT, "tests/ipw/small.jsonl"), "-n", "2",
                        "--url", "http://127.0.0.1:%d" % port, "--model", model, "--max-tokens", "5", "--no-trace",
                        "-o", out], capture_output=True, text=True)
    with open(out) as f:
        lines = [json.loads(x) for x in f]
    m = lines[0]["config"]["model_file"]
    check(p.returncode == 0 and m and [m["parameters"], m["weight_bytes"]] == want and m["architecture"] == "llama" and
          m["quantization"] == "F32", "the model's folder is what transformers makes of it: %d parameters" % want[0],
          (m, want, p.stderr))
    rows = [x for x in lines if x["type"] == "result"]
    check(rows and all(r["flops"] == 2 * want[0] * (r["prompt_tokens"] - (r["cached_tokens"] or 0) +
                                                    r["completion_tokens"]) for r in rows), "and so are FLOPs", rows)


def main():
    python = python_of("vllm")
    with tempdir() as model:
        subprocess.run([python, os.path.join(HERE, "tiny_model.py"), model, "--weights"], check=True,
                       stderr=subprocess.DEVNULL)
        for what, args in (("transformers serve", ()), ("transformers serve, batching", BATCHING)):
            port = free_port()
            with server([python, os.path.join(os.path.dirname(python), "transformers"), "serve", "--host", "127.0.0.1",
                         "--port", str(port), *args, model], "http://127.0.0.1:%d/health" % port,
                        {"HF_HUB_OFFLINE": "1"}, model) as p:
                check_server(what, p, port, cases(model), [])
                if not args:
                    of_model(python, port, model)
    done()


main()
