// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* GGUF: its metadata and its table of tensors. All lengths are those of somebody else's file. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ipw/model_internal.h"
#include "userspace/util/str.h"

#define TEXT   256 /* kept of a text; longer ones are none of ours */
#define DIMS   4
#define NEST   4   /* arrays in arrays */
#define LAYERS 65536

/* Types of values in the metadata. */
enum { T_U8, T_I8, T_U16, T_I16, T_U32, T_I32, T_F32, T_BOOL, T_STR, T_ARRAY, T_U64, T_I64, T_F64, TYPES };

static const uint8_t type_size[TYPES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

/* Types of tensors: elements and bytes of a block. By number, as in ggml.h; the sizes as in ggml-common.h. */
static const struct quant {
	const char *name;
	uint16_t    elements, bytes;
} quants[] = {
	[0] = { "F32", 1, 4 }, [1] = { "F16", 1, 2 }, [2] = { "Q4_0", 32, 18 }, [3] = { "Q4_1", 32, 20 },
	[6] = { "Q5_0", 32, 22 }, [7] = { "Q5_1", 32, 24 }, [8] = { "Q8_0", 32, 34 },
	[10] = { "Q2_K", 256, 84 }, [11] = { "Q3_K", 256, 110 }, [12] = { "Q4_K", 256, 144 },
	[13] = { "Q5_K", 256, 176 }, [14] = { "Q6_K", 256, 210 }, [15] = { "Q8_K", 256, 292 },
	[16] = { "IQ2_XXS", 256, 66 }, [17] = { "IQ2_XS", 256, 74 }, [18] = { "IQ3_XXS", 256, 98 },
	[19] = { "IQ1_S", 256, 50 }, [20] = { "IQ4_NL", 32, 18 }, [21] = { "IQ3_S", 256, 110 },
	[22] = { "IQ2_S", 256, 82 }, [23] = { "IQ4_XS", 256, 136 }, [24] = { "I8", 1, 1 }, [25] = { "I16", 1, 2 },
	[26] = { "I32", 1, 4 }, [27] = { "I64", 1, 8 }, [28] = { "F64", 1, 8 }, [29] = { "IQ1_M", 256, 56 },
	[30] = { "BF16", 1, 2 }, [34] = { "TQ1_0", 256, 54 }, [35] = { "TQ2_0", 256, 66 },
	[39] = { "MXFP4", 32, 17 }, [40] = { "NVFP4", 64, 36 }, [41] = { "Q1_0", 128, 18 },
};

/* What the file as a whole is called: general.file_type, as in llama.h. */
static const char *const file_types[] = {
	[0] = "F32", [1] = "F16", [2] = "Q4_0", [3] = "Q4_1", [7] = "Q8_0", [8] = "Q5_0", [9] = "Q5_1", [10] = "Q2_K",
	[11] = "Q3_K_S", [12] = "Q3_K_M", [13] = "Q3_K_L", [14] = "Q4_K_S", [15] = "Q4_K_M", [16] = "Q5_K_S",
	[17] = "Q5_K_M", [18] = "Q6_K", [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S", [22] = "IQ3_XS",
	[23] = "IQ3_XXS", [24] = "IQ1_S", [25] = "IQ4_NL", [26] = "IQ3_S", [27] = "IQ3_M", [28] = "IQ2_S",
	[29] = "IQ2_M", [30] = "IQ4_XS", [31] = "IQ1_M", [32] = "BF16", [36] = "TQ1_0", [37] = "TQ2_0",
	[38] = "MXFP4_MOE", [39] = "NVFP4", [40] = "Q1_0",
};

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* The numbers that are wanted, by what follows the architecture in their key. */
enum { N_LAYERS, N_EMBD, N_HEADS, N_KV_HEADS, N_KEY, N_VALUE, N_EXPERTS, N_USED, N_WINDOW, N_LATENT, N_STATE, NUMS };

static const char *const num_keys[NUMS] = {
	[N_LAYERS] = "block_count", [N_EMBD] = "embedding_length", [N_HEADS] = "attention.head_count",
	[N_KV_HEADS] = "attention.head_count_kv", [N_KEY] = "attention.key_length",
	[N_VALUE] = "attention.value_length", [N_EXPERTS] = "expert_count", [N_USED] = "expert_used_count",
	[N_WINDOW] = "attention.sliding_window", [N_LATENT] = "attention.kv_lora_rank", [N_STATE] = "ssm.state_size",
};

struct gguf {
	struct model_src s;
	struct model_file *m;
	struct model_sum  *sum;
	struct {
		double first, total, n; /* the first that is not 0; sum and number of an array's, n 0: a single value */
		int    zeros;
	} num[NUMS];
	double   file_type, split_no, split_count, align;
	uint64_t tensors, keys;
};

static int get_u32(struct gguf *g, uint32_t *v)
{
	return model_src_get(&g->s, v, sizeof(*v));
}

static int get_u64(struct gguf *g, uint64_t *v)
{
	return model_src_get(&g->s, v, sizeof(*v));
}

/* The beginning of a text, fit for a terminal. */
static int get_text(struct gguf *g, char *to, size_t size)
{
	char buf[TEXT];
	uint64_t n, kept;

	if (get_u64(g, &n))
		return -EBADMSG;
	kept = n < sizeof(buf) ? n : sizeof(buf);
	if (model_src_get(&g->s, buf, kept) || model_src_skip(&g->s, n - kept))
		return -EBADMSG;
	str_clean(to, size, buf, (size_t)kept);
	return 0;
}

static int skip_value(struct gguf *g, uint32_t type, int depth)
{
	uint32_t of;
	uint64_t n, len;

	if (type >= TYPES)
		return model_src_bad(&g->s, "a value of unknown type");
	if (type_size[type])
		return model_src_skip(&g->s, type_size[type]);
	if (type == T_STR)
		return get_u64(g, &len) ? -EBADMSG : model_src_skip(&g->s, len);
	if (depth == NEST)
		return model_src_bad(&g->s, "arrays nested too deep");
	if (get_u32(g, &of) || get_u64(g, &n))
		return -EBADMSG;
	if (of >= TYPES || n > g->s.size - g->s.at)
		return model_src_bad(&g->s, "an array that is longer than the file");
	if (type_size[of])
		return n > (g->s.size - g->s.at) / type_size[of] ? model_src_bad(&g->s, "it ends too early") :
		       model_src_skip(&g->s, n * type_size[of]);
	while (n--)
		if (skip_value(g, of, depth + 1))
			return -EBADMSG;
	return 0;
}

static double decode(uint32_t type, const void *p)
{
	union {
		uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; uint64_t u64; int64_t i64;
		float f32; double f64;
	} v;

	memset(&v, 0, sizeof(v));
	memcpy(&v, p, type_size[type]);
	switch (type) {
	case T_U8: case T_BOOL: return v.u8;
	case T_I8: return v.i8;
	case T_U16: return v.u16;
	case T_I16: return v.i16;
	case T_U32: return v.u32;
	case T_I32: return v.i32;
	case T_U64: return (double)v.u64;
	case T_I64: return (double)v.i64;
	case T_F32: return (double)v.f32;
	case T_F64: return v.f64;
	}
	return NAN;
}

static int get_num(struct gguf *g, uint32_t type, double *ret)
{
	char raw[8];

	if (type >= TYPES || !type_size[type])
		return model_src_bad(&g->s, "a text where a number should be");
	if (model_src_get(&g->s, raw, type_size[type]))
		return -EBADMSG;
	*ret = decode(type, raw);
	return 0;
}

/* A number, or one for each layer. */
static int get_nums(struct gguf *g, uint32_t type, int at)
{
	uint32_t of = type;
	uint64_t n = 1, i;
	double v;

	if (type == T_ARRAY && (get_u32(g, &of) || get_u64(g, &n)))
		return -EBADMSG;
	if (n > LAYERS)
		return model_src_bad(&g->s, "an array of more layers than can be");
	g->num[at].first = g->num[at].total = g->num[at].zeros = 0;
	g->num[at].n = type == T_ARRAY ? (double)n : 0;
	for (i = 0; i < n; i++) {
		if (get_num(g, of, &v))
			return -EBADMSG;
		v = v >= 0 && isfinite(v) ? v : NAN;
		g->num[at].zeros += v == 0;
		g->num[at].total += v;
		if (g->num[at].first == 0)
			g->num[at].first = v;
	}
	return 0;
}

static int get_pair(struct gguf *g)
{
	const struct { const char *key; char *text; size_t size; } texts[] = {
		{ "general.architecture", g->m->arch, sizeof(g->m->arch) },
		{ "general.name", g->m->name, sizeof(g->m->name) },
	};
	const struct { const char *key; double *num; } nums[] = {
		{ "general.file_type", &g->file_type }, { "general.alignment", &g->align },
		{ "split.no", &g->split_no }, { "split.count", &g->split_count },
	};
	char key[TEXT], *tail;
	uint32_t type;
	size_t i;

	if (get_text(g, key, sizeof(key)) || get_u32(g, &type))
		return -EBADMSG;
	for (i = 0; i < COUNT(texts); i++)
		if (!strcmp(key, texts[i].key) && type == T_STR)
			return get_text(g, texts[i].text, texts[i].size);
	for (i = 0; i < COUNT(nums); i++)
		if (!strcmp(key, nums[i].key))
			return get_num(g, type, nums[i].num);
	tail = strchr(key, '.');
	for (i = 0; tail && i < NUMS; i++)
		if (!strcmp(tail + 1, num_keys[i]))
			return get_nums(g, type, (int)i);
	return skip_value(g, type, 0);
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

static enum model_part part_of(const char *name)
{
	static const struct { const char *name; enum model_part part; } parts[] = {
		{ "token_embd.weight", PART_INPUT }, { "output.weight", PART_OUTPUT },
		{ "per_layer_token_embd.weight", PART_LOOKUP }, { "position_embd.weight", PART_LOOKUP },
		{ "token_types.weight", PART_LOOKUP },
	};
	size_t i;

	for (i = 0; i < COUNT(parts); i++)
		if (!strcmp(name, parts[i].name))
			return parts[i].part;
	return strstr(name, "_exps.") ? PART_EXPERTS : PART_OTHER;
}

/* ret_end: where it ends in the data, as far as is known. */
static int get_tensor(struct gguf *g, uint64_t *ret_end)
{
	uint64_t dim[DIMS] = { 1, 1, 1, 1 }, n = 1, at, bytes = 0;
	const struct quant *q = NULL;
	char name[TEXT];
	uint32_t dims, i, type;

	if (get_text(g, name, sizeof(name)) || get_u32(g, &dims))
		return -EBADMSG;
	if (dims > DIMS)
		return model_src_bad(&g->s, "a tensor of more than four dimensions");
	for (i = 0; i < dims; i++)
		if (get_u64(g, &dim[i]))
			return -EBADMSG;
		else if (__builtin_mul_overflow(n, dim[i], &n))
			return model_src_bad(&g->s, "a tensor of more than 2^64 elements");
	if (get_u32(g, &type) || get_u64(g, &at))
		return -EBADMSG;
	if (type < COUNT(quants) && quants[type].name)
		q = &quants[type];
	if (q && (dim[0] % q->elements || __builtin_mul_overflow(n / q->elements, q->bytes, &bytes)))
		return model_src_bad(&g->s, "a tensor that is no whole number of blocks");
	if (__builtin_add_overflow(at, bytes, ret_end))
		return model_src_bad(&g->s, "a tensor behind the end of the file");
	model_sum_add(g->sum, part_of(name), q ? q->name : "", (double)n, q ? (double)bytes : NAN);
	return 0;
}

static int get_tensors(struct gguf *g)
{
	uint64_t end = 0, most = 0, i, align = (uint64_t)g->align, data;

	for (i = 0; i < g->tensors; i++) {
		if (get_tensor(g, &end))
			return -EBADMSG;
		most = end > most ? end : most;
	}
	data = (g->s.at + align - 1) / align * align;
	if (most && (data > g->s.size || most > g->s.size - data))
		return model_src_bad(&g->s, "it is cut short: its tensors end behind it");
	return 0;
}

/* --- a file ------------------------------------------------------------------------------------------------------- */

static int get_head(struct gguf *g)
{
	uint32_t magic, version;
	uint64_t i;

	if (get_u32(g, &magic) || memcmp(&magic, "GGUF", 4)) {
		g->s.why = "it is no GGUF file";
		return -EBADMSG;
	}
	if (get_u32(g, &version))
		return -EBADMSG;
	if (version != 2 && version != 3)
		return model_src_bad(&g->s, version >> 16 ? "it is a GGUF file of a big-endian machine" :
				     "it is of another version of GGUF than 2 and 3");
	if (get_u64(g, &g->tensors) || get_u64(g, &g->keys))
		return -EBADMSG;
	for (i = 0; i < g->keys; i++)
		if (get_pair(g))
			return -EBADMSG;
	if (!(g->align >= 1 && g->align <= 1 << 20))
		return model_src_bad(&g->s, "an alignment that cannot be");
	return get_tensors(g);
}

/* A number for all layers: one for each is added up; one for all is taken as often as there are layers. */
static double over_layers(const struct gguf *g, int at)
{
	if (g->num[at].n == 0)
		return g->num[at].first * g->num[N_LAYERS].first;
	return g->num[at].n == g->num[N_LAYERS].first ? g->num[at].total : NAN;
}

static void describe(const struct gguf *g, struct model_file *m)
{
	double key = g->num[N_KEY].first, value = g->num[N_VALUE].first, window = g->num[N_WINDOW].first;
	int same_kv = isnan(g->num[N_KV_HEADS].first), type = g->file_type >= 0 && g->file_type < COUNT(file_types);

	m->layers = g->num[N_LAYERS].first;
	m->heads = g->num[N_HEADS].first;
	m->kv_heads = g->num[same_kv ? N_HEADS : N_KV_HEADS].first;
	m->head_size = isnan(key) ? g->num[N_EMBD].first / m->heads : key;
	m->experts = g->num[N_EXPERTS].first;
	m->experts_used = g->num[N_USED].first;
	m->window = window > 0 ? window : NAN;
	value = isnan(value) ? m->head_size : value;
	/* What keeps a latent vector or a state is not of this form. */
	if (isnan(g->num[N_LATENT].first) && isnan(g->num[N_STATE].first)) {
		m->attn = over_layers(g, N_HEADS) * (m->head_size + value);
		if (g->num[N_HEADS].n == 0 && g->num[N_KV_HEADS].zeros)
			m->attn = NAN; /* some layers do without, and of how many heads is not said */
		m->kv = over_layers(g, same_kv ? N_HEADS : N_KV_HEADS) * (m->head_size + value);
	}
	if (type && file_types[(int)g->file_type])
		snprintf(m->quant, sizeof(m->quant), "%s", file_types[(int)g->file_type]);
}

/* One file of a model; the first describes it. ret_parts: how many files there are. */
static int read_one(const char *path, int no, struct model_file *m, struct model_sum *sum, int *ret_parts, char *why,
		    size_t size)
{
	struct model_file other = *m;
	struct gguf g = { .m = no ? &other : m, .sum = sum, .file_type = NAN, .split_no = 0, .split_count = 1,
			  .align = 32 };
	int err = model_src_open(&g.s, path), i;

	if (err) {
		snprintf(why, size, "%s: %s", path, strerror(-err));
		return err;
	}
	for (i = 0; i < NUMS; i++)
		g.num[i].first = NAN;
	err = get_head(&g);
	if (!err && !(g.split_count >= 0 && g.split_count <= MODEL_PARTS))
		err = model_src_bad(&g.s, "it is split into more files than can be");
	if (!err && g.split_no != no)
		err = model_src_bad(&g.s, "it is another part of the model than its name says");
	if (!err && !no)
		describe(&g, m);
	if (err)
		snprintf(why, size, "%s", g.s.why);
	else if (!no)
		*ret_parts = g.split_count > 1 ? (int)g.split_count : 1;
	model_src_close(&g.s);
	return err;
}

/* Where in a path the number of the part stands: "-00001-of-00003.gguf"; NULL: it is no part. */
static const char *part_at(const char *path)
{
	static const char like[] = "-ddddd-of-ddddd.gguf";
	size_t n = strlen(path), i;
	const char *p = path + n - (sizeof(like) - 1);

	if (n < sizeof(like) - 1)
		return NULL;
	for (i = 0; p[i]; i++)
		if (like[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != like[i])
			return NULL;
	return p + 1;
}

int model_gguf_read(const char *path, struct model_file *ret, char *why, size_t size)
{
	const char *at = part_at(path);
	struct model_sum sum = { .ntype = 0 };
	char *part = NULL;
	int parts = 1, i, err = 0;

	for (i = 0; i < parts && !err; i++) {
		if (at && asprintf(&part, "%.*s%05d%s", (int)(at - path), path, i + 1, at + 5) < 0)
			return -ENOMEM;
		err = read_one(at ? part : path, i, ret, &sum, &parts, why, size);
		if (!err && !at && parts > 1) {
			snprintf(why, size, "it is one of %d files, and its name is not such a one's", parts);
			err = -EBADMSG;
		}
		if (at)
			free(part);
	}
	if (!err)
		model_sum_finish(&sum, ret);
	return err;
}
