# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Models on disk, written plainly: GGUF as ggml's docs/gguf.md has it, and safetensors with their config.json. All of
their weights are zeros, and files are sparse.
"""
import json
import os
import struct

# Elements and bytes of a block, by number and name: GGML_QUANT_SIZES of gguf-py 0.17 (ggml-org, constants.py).
QUANTS = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
          "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110),
          "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "Q8_K": (15, 256, 292),
          "IQ2_XXS": (16, 256, 66), "IQ2_XS": (17, 256, 74), "IQ3_XXS": (18, 256, 98), "IQ1_S": (19, 256, 50),
          "IQ4_NL": (20, 32, 18), "IQ3_S": (21, 256, 110), "IQ2_S": (22, 256, 82), "IQ4_XS": (23, 256, 136),
          "I8": (24, 1, 1), "I16": (25, 1, 2), "I32": (26, 1, 4), "I64": (27, 1, 8), "F64": (28, 1, 8),
          "IQ1_M": (29, 256, 56), "BF16": (30, 1, 2), "TQ1_0": (34, 256, 54), "TQ2_0": (35, 256, 66),
          "MXFP4": (39, 32, 17), "NVFP4": (40, 64, 36), "Q1_0": (41, 128, 18)}

FLOATS = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1, "I8": 1, "I32": 4, "U32": 4, "I64": 8}


def text(s):
    s = s.encode()
    return struct.pack("<Q", len(s)) + s


def value(v):
    """With its type before it."""
    if isinstance(v, str):
        return struct.pack("<I", 8) + text(v)
    if isinstance(v, bool):
        return struct.pack("<I?", 7, v)
    if isinstance(v, float):
        return struct.pack("<If", 6, v)
    if isinstance(v, list):
        inner = [value(x) for x in v]
        return struct.pack("<I", 9) + inner[0][:4] + struct.pack("<Q", len(v)) + b"".join(x[4:] for x in inner)
    return struct.pack("<II", 4, v)


def elements(shape):
    n = 1
    for d in shape:
        n *= d
    return n


def gguf_bytes(shape, kind):
    _, block, size = QUANTS[kind]
    return elements(shape) // block * size


def gguf(path, pairs, tensors, version=3, align=32):
    """pairs: {key: value}; tensors: [(name, shape, type)]. Returns the bytes before the data."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for k, v in pairs.items():
        head += text(k) + value(v)
    at = 0
    for name, shape, kind in tensors:
        head += text(name) + struct.pack("<I%dQIQ" % len(shape), len(shape), *shape, QUANTS[kind][0], at)
        at += -(-gguf_bytes(shape, kind) // align) * align
    head += b"\0" * (-len(head) % align)
    with open(path, "wb") as f:
        f.write(head)
        f.truncate(len(head) + at)
    return head


def llama(layers=2, embd=64, heads=4, kv=2, ff=128, vocab=320, kind="Q8_0", experts=0, used=0, tied=False, arch="llama",
          **more):
    """The pairs and tensors of a model of that shape."""
    pairs = {"general.architecture": arch, "general.name": "made of zeros", "general.file_type": 7,
             "tokenizer.ggml.tokens": ["<%d>" % i for i in range(9)], "tokenizer.ggml.scores": [0.5, 1.5],
             "some.flag": True, arch + ".block_count": layers, arch + ".embedding_length": embd,
             arch + ".attention.head_count": heads, arch + ".attention.head_count_kv": kv}
    if experts:
        pairs[arch + ".expert_count"], pairs[arch + ".expert_used_count"] = experts, used
    pairs.update({k.replace("A.", arch + "."): v for k, v in more.items()})
    out = [("token_embd.weight", [embd, vocab], kind), ("output_norm.weight", [embd], "F32")]
    if not tied:
        out.append(("output.weight", [embd, vocab], "F16"))
    for i in range(layers):
        b = "blk.%d." % i
        out += [(b + "attn_q.weight", [embd, embd], kind), (b + "attn_k.weight", [embd, embd * kv // heads], kind),
                (b + "attn_v.weight", [embd, embd * kv // heads], kind), (b + "attn_norm.weight", [embd], "F32")]
        if experts:
            out += [(b + "ffn_gate_inp.weight", [embd, experts], "F32"),
                    (b + "ffn_up_exps.weight", [embd, ff, experts], kind),
                    (b + "ffn_down_exps.weight", [ff, embd, experts], kind),
                    (b + "ffn_up_shexp.weight", [embd, ff], kind)]
        else:
            out += [(b + "ffn_up.weight", [embd, ff], kind), (b + "ffn_down.weight", [ff, embd], kind)]
    return pairs, out


def safetensors(path, tensors, **metadata):
    """tensors: {name: (dtype, shape)}."""
    head, at = {"__metadata__": dict({"format": "pt"}, **metadata)}, 0
    for name, (dtype, shape) in tensors.items():
        n = elements(shape) * FLOATS[dtype]
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    raw = json.dumps(head).encode()
    raw += b" " * (-len(raw) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(raw)) + raw)
        f.truncate(8 + len(raw) + at)


def folder(path, config, *files):
    """config.json, and a file of tensors each; several get an index."""
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f)
    names = ["model.safetensors"] if len(files) == 1 else \
        ["model-%05d-of-%05d.safetensors" % (i + 1, len(files)) for i in range(len(files))]
    for name, tensors in zip(names, files):
        safetensors(os.path.join(path, name), tensors)
    if len(files) > 1:
        with open(os.path.join(path, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {}, "weight_map": {t: n for n, ts in zip(names, files) for t in ts}}, f)
    return path
