#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Makes a tiny Llama that answers nonsense: to be run by the Python that scripts/setup-heavy prints for vllm.

Usage: tiny_model.py DIR [--weights]     without weights, for a server that makes up its own (--load-format dummy)
"""
import json
import os
import sys

VOCABULARY = 2048
SPECIAL = ["<|begin|>", "<|end|>", "<|pad|>"]
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64,
    "vocab_size": VOCABULARY, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
    "dtype": "float32",
}
TEMPLATE = ("{% for m in messages %}<|begin|>{{ m['role'] }}: {{ m['content'] }}<|end|>{% endfor %}"
            "{% if add_generation_prompt %}<|begin|>assistant: {% endif %}")


def words():
    """What the tokenizer learns from: made-up words, so many that the vocabulary is full."""
    a, b, c = "b d f g k l m n p r s t v z".split(), "a e i o u".split(), "l n r s t x".split()
    pairs = [x + y for x in a for y in b]
    return [p + q + z for p in pairs for q in pairs for z in c]


def tokenizer(where):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=sorted("abcdefghijklmnopqrstuvwxyz ,.:;!?0123456789\u0120"))
    tok.train_from_iterator([" ".join(words())], trainer)
    assert tok.get_vocab_size() == VOCABULARY, tok.get_vocab_size()
    tok.save(os.path.join(where, "tokenizer.json"))
    with open(os.path.join(where, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0], "eos_token": SPECIAL[1],
                   "pad_token": SPECIAL[2], "model_max_length": 4096, "chat_template": TEMPLATE}, f)


def weights(where):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    endless = {**CONFIG, "eos_token_id": None}  # of answers whose client cannot ask to ignore the end
    LlamaForCausalLM(LlamaConfig(**endless)).save_pretrained(where)


def main():
    where = sys.argv[1]
    os.makedirs(where, exist_ok=True)
    if "--weights" in sys.argv:
        weights(where)
    else:
        with open(os.path.join(where, "config.json"), "w") as f:
            json.dump(CONFIG, f)
    tokenizer(where)


if __name__ == "__main__":
    main()
