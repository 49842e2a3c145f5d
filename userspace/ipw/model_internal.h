/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the readers of models on disk share. */
#ifndef IPW_IPW_MODEL_INTERNAL_H
#define IPW_IPW_MODEL_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include "userspace/ipw/model_file.h"

#define MODEL_PARTS 1000 /* files of one model */
#define MODEL_TYPES 64

/* A file that is read from its beginning, never past its end. */
struct model_src {
	FILE       *f;
	uint64_t    size, at;
	const char *why;
};

int  model_src_open(struct model_src *s, const char *path);
void model_src_close(struct model_src *s);
/* 0, or -EBADMSG: there are not as many; s->why. */
int  model_src_get(struct model_src *s, void *to, uint64_t n);
int  model_src_skip(struct model_src *s, uint64_t n);
/* -EBADMSG, and the first reason stays. */
int  model_src_bad(struct model_src *s, const char *why);

enum model_part {
	PART_OTHER, PART_EXPERTS,
	PART_INPUT, PART_OUTPUT, /* embeddings of tokens; where there are none of the output, the input's are */
	PART_LOOKUP,             /* embeddings by layer or position: a token adds its row */
	PART_ENCODER,            /* of images or sound */
	PARTS
};

/* Sums over tensors. */
struct model_sum {
	double params[PARTS], bytes[PARTS];
	struct {
		const char *name;
		double      params;
	} type[MODEL_TYPES];
	int    ntype;
};

/* type is a constant; bytes NAN: not known. params 0: it is storage and no weight. */
void model_sum_add(struct model_sum *s, enum model_part part, const char *type, double params, double bytes);
/* params, active, bytes, decode_bytes, by experts and experts_used; and quant, if it is not said. */
void model_sum_finish(const struct model_sum *s, struct model_file *m);

/* All unknown. */
void model_file_init(struct model_file *m, const char *path);

int  model_gguf_read(const char *path, struct model_file *ret, char *why, size_t size);
int  model_hf_read(const char *folder, struct model_file *ret, char *why, size_t size);
/* The tensors of one safetensors file. bits: of a packed weight; 0: it is not said. */
int  model_safetensors(struct model_src *s, int bits, struct model_sum *sum);

#endif
