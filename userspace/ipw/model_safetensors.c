// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * safetensors: 8 bytes, little-endian, say how long the JSON is that follows: {"name": {"dtype", "shape",
 * "data_offsets"}, ...}; then the data. The format's own limit on that JSON is 100 MB. It is read a tensor at a time.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ipw/model_internal.h"
#include "userspace/util/json_scan.h"

#define HEADER 100000000u
#define NAME   512
#define DIMS   32

static const struct type {
	const char *name, *called; /* called: as people do */
	int         bits, whole;   /* whole numbers: weights only if packed */
} types[] = {
	{ "BF16", "BF16", 16, 0 }, { "F16", "F16", 16, 0 }, { "F32", "F32", 32, 0 }, { "F64", "F64", 64, 0 },
	{ "F8_E4M3", "FP8", 8, 0 }, { "F8_E5M2", "FP8", 8, 0 }, { "F8_E8M0", "scales", 8, 1 }, { "F4", "FP4", 4, 0 },
	{ "I8", "INT8", 8, 0 }, { "U8", "U8", 8, 1 }, { "BOOL", "BOOL", 8, 1 }, { "I16", "I16", 16, 1 },
	{ "U16", "U16", 16, 1 }, { "I32", "I32", 32, 1 }, { "U32", "U32", 32, 1 }, { "I64", "I64", 64, 1 },
	{ "U64", "U64", 64, 1 },
};

struct header {
	struct model_src *s;
	uint64_t  left;     /* bytes of it */
	char      c;        /* the byte before */
	struct json_tree  tree;
	/* of the tensor that is read */
	char      name[NAME];
	char      dtype[16];
	double    dim[DIMS], offset[2];
	int       shaped, dims, offsets;
};

static int next(struct header *h)
{
	if (!h->left)
		return model_src_bad(h->s, "its header is no JSON");
	h->left--;
	return model_src_get(h->s, &h->c, 1);
}

/* To the next byte that is no space. */
static int token(struct header *h)
{
	do {
		if (next(h))
			return -EBADMSG;
	} while (h->c && strchr(" \t\r\n", h->c));
	return 0;
}

/* Behind a quote. Escapes stay as they are: names that matter have none. */
static int name(struct header *h)
{
	size_t n = 0;

	for (;;) {
		if (next(h))
			return -EBADMSG;
		if (h->c == '"')
			break;
		if (n < NAME - 2)
			h->name[n++] = h->c;
		if (h->c != '\\')
			continue;
		if (next(h))
			return -EBADMSG;
		if (n < NAME - 2)
			h->name[n++] = h->c;
	}
	h->name[n] = 0;
	return 0;
}

enum { V_DTYPE, V_SHAPE, V_DIM, V_OFFSET };

static void value(void *ctx, int id, const struct json_val *v)
{
	struct header *h = ctx;

	if (id == V_DTYPE && v->type == JSON_STRING)
		snprintf(h->dtype, sizeof(h->dtype), "%.*s", (int)v->len, v->str);
	else if (id == V_SHAPE)
		h->shaped = v->type == JSON_ARRAY;
	else if (id == V_DIM && h->dims++ < DIMS)
		h->dim[h->dims - 1] = v->type == JSON_NUM ? v->num : NAN;
	else if (id == V_OFFSET && h->offsets++ < 2)
		h->offset[h->offsets - 1] = v->type == JSON_NUM ? v->num : NAN;
}

/* The object behind a name; it begins with h->c. */
static int object(struct header *h)
{
	struct json_scan scan;
	int depth = 0, text = 0, escaped = 0;

	*h->dtype = 0;
	h->shaped = h->dims = h->offsets = 0;
	if (h->c != '{')
		return model_src_bad(h->s, "its header has something else than tensors");
	json_init(&scan, &h->tree, value, h);
	for (;;) {
		json_feed(&scan, &h->c, 1);
		if (text)
			text = escaped || h->c != '"';
		else if (h->c == '"')
			text = 1;
		else
			depth += (h->c == '{' || h->c == '[') - (h->c == '}' || h->c == ']');
		escaped = text && !escaped && h->c == '\\';
		if (!depth)
			return json_end(&scan) ? model_src_bad(h->s, "its header is no JSON") : 0;
		if (next(h))
			return -EBADMSG;
	}
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

static int ends(const char *s, const char *with)
{
	size_t n = strlen(s), k = strlen(with);

	return n >= k && !strcmp(s + n - k, with);
}

static int any(const char *s, const char *const *list, int (*fits)(const char *s, const char *one))
{
	for (; *list; list++)
		if (fits(s, *list))
			return 1;
	return 0;
}

static int has(const char *s, const char *part)
{
	return strstr(s, part) != NULL;
}

static enum model_part part_of(const char *s)
{
	static const char *const encoders[] = { "vision_", "visual.", "audio_", "multi_modal_projector", "mm_projector",
						NULL };
	static const char *const rows[] = { "embed_tokens_per_layer.weight", "wpe.weight", NULL };
	static const char *const in[] = { "embed_tokens.weight", "wte.weight", "tok_embeddings.weight",
					  "word_embeddings.weight", "embed_in.weight", NULL };
	static const char *const out[] = { "lm_head.weight", "embed_out.weight", NULL };

	if (any(s, encoders, has))
		return PART_ENCODER;
	if (any(s, rows, ends))
		return PART_LOOKUP;
	return any(s, in, ends) ? PART_INPUT : any(s, out, ends) || !strcmp(s, "output.weight") ? PART_OUTPUT :
	       has(s, ".experts.") ? PART_EXPERTS : PART_OTHER;
}

/* Weights in a tensor of n elements. Those of packed ones are more; what only scales them is none. NAN: not known. */
static double weights(const struct header *h, const struct type *t, int bits, double n)
{
	static const char *const scales[] = { "scales", "_scale", "_scale_inv", "qzeros", "zero_point", "g_idx",
					      ".absmax", ".biases", "quant_map", "weight_shape", NULL };

	if (any(h->name, scales, ends) || has(h->name, "quant_state"))
		return 0;
	if (!t->whole)
		return n;
	if (ends(h->name, ".qweight") || ends(h->name, "weight_packed"))
		return bits > 0 ? n * t->bits / bits : NAN;
	if (ends(h->name, "_blocks")) /* of MXFP4: two in a byte */
		return 2 * n;
	if (ends(h->name, ".weight"))
		return bits > 0 ? n * t->bits / bits : NAN;
	return 0;
}

static int tensor(struct header *h, int bits, double data, struct model_sum *sum)
{
	double n = 1, bytes = h->offset[1] - h->offset[0];
	const struct type *t = NULL;
	size_t i;
	int k;

	for (i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(types[i].name, h->dtype))
			t = &types[i];
	if (!h->shaped || h->dims > DIMS || h->offsets != 2 || !(h->offset[0] >= 0 && bytes >= 0))
		return model_src_bad(h->s, "a tensor without its place or shape");
	if (h->offset[1] > data)
		return model_src_bad(h->s, "it is cut short: its tensors end behind it");
	for (k = 0; k < h->dims; k++)
		n *= h->dim[k] >= 0 ? h->dim[k] : NAN;
	if (isnan(n) || (t && n * t->bits / 8 != bytes))
		return model_src_bad(h->s, "a tensor whose shape is not that of its data");
	model_sum_add(sum, part_of(h->name), t ? t->called : "", t ? weights(h, t, bits, n) : NAN, bytes);
	return 0;
}

static int tensors(struct header *h, int bits, double data, struct model_sum *sum)
{
	if (token(h) || h->c != '{' || token(h))
		return model_src_bad(h->s, "its header is no JSON");
	while (h->c != '}') {
		if (h->c != '"' || name(h) || token(h) || h->c != ':' || token(h) || object(h))
			return model_src_bad(h->s, "its header is no JSON");
		if (strcmp(h->name, "__metadata__") && tensor(h, bits, data, sum))
			return -EBADMSG;
		if (token(h) || (h->c == ',' && (token(h) || h->c != '"')))
			return model_src_bad(h->s, "its header is no JSON");
	}
	return 0;
}

int model_safetensors(struct model_src *s, int bits, struct model_sum *sum)
{
	static const struct json_path paths[] = { { "dtype", V_DTYPE }, { "shape", V_SHAPE },
						  { "shape[]", V_DIM }, { "data_offsets[]", V_OFFSET } };
	struct header h = { .s = s };

	if (model_src_get(s, &h.left, sizeof(h.left)))
		return -EBADMSG;
	if (h.left > HEADER || h.left > s->size - s->at)
		return model_src_bad(s, "it is no safetensors file: its header would be longer than it is");
	if (json_tree_init(&h.tree, paths, 4))
		return -E2BIG;
	return tensors(&h, bits, (double)(s->size - s->at - h.left), sum);
}
