/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a model on disk is, by its own metadata and tensors: a GGUF file (versions 2 and 3, whole or split; format:
 * docs/gguf.md of ggml), or a folder as Hugging Face has them (config.json and safetensors). And from that, what a
 * query of it takes. What the file does not say is NAN or "".
 */
#ifndef IPW_IPW_MODEL_FILE_H
#define IPW_IPW_MODEL_FILE_H

#include <stddef.h>

#include "userspace/util/json_out.h"

struct model_file {
	char   name[128];    /* as its metadata call it, else its file or folder */
	char   file[128];    /* base name of what was read */
	char   arch[48];
	char   quant[32];    /* the file's type ("Q4_K_M"); else the type of most weights */
	double params;       /* elements of all tensors that are weights */
	double active;       /* of which compute a token: of experts those used; no embeddings by layer, no encoders */
	double bytes;        /* of all tensors */
	double decode_bytes; /* of which are read to decode a token: of active, but for embeddings that are looked up */
	double layers, heads, kv_heads, head_size; /* of the first layer that has them */
	double attn;         /* sum over layers of heads x (key size + value size) */
	double kv;           /* sum over layers of KV heads x (key size + value size): elements kept of a token */
	double experts, experts_used;
	double window;       /* of attention in some layers or all; NAN: none is said */
};

/* 0, or -errno with the reason: -EBADMSG where the file is not what it should be. */
int  model_file_read(const char *path, struct model_file *ret, char *why, size_t size);
/* An object; NULL writes null. */
void model_file_json(struct json_out *j, const char *key, const struct model_file *m);
/* "SmolLM2 135M Instruct, llama, Q4_1, 5.01 bits a weight, 0.135 B parameters (0.135 B active)". Returns buf. */
char *model_file_text(const struct model_file *m, char *buf, size_t size);

/* Bits of storage by weights: scales and zero points are in it. */
double model_file_bits(const struct model_file *m);

/*
 * FLOPs of a query: 2 for each active parameter and token that is computed, (prompt - cached) + completion. Embeddings
 * of tokens count, as in the model's size and in 2PT elsewhere. cached NAN: none are known to be.
 * With attention, also 2 attn context for each such token, where it sees `context` tokens, itself among them: the
 * 4 L H Q T of arXiv 2204.02311, appendix B, forward only, at the context that each token has. NAN beyond a window.
 */
double model_file_flops(const struct model_file *m, double prompt, double cached, double completion, int attention);

#define MODEL_ALONE 1.001 /* queries in flight, in the mean, up to which one was alone: clocks begin a little apart */

/*
 * Bytes that decoding one query alone reads: its first token comes of the prompt, each one behind it takes a step. A
 * step reads decode_bytes, and what is kept of all tokens before, at 16 bits. NAN beyond a window.
 */
double model_file_read_bytes(const struct model_file *m, double prompt, double completion);

#endif
