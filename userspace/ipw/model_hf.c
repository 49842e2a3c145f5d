// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A model's folder as Hugging Face has them: config.json, and tensors in one or more safetensors files. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "userspace/ipw/model_internal.h"
#include "userspace/util/str.h"

#define JSON_MOST (32u << 20) /* bytes of config.json and of the index */

struct hf {
	const char *folder;
	char       *why;
	size_t      size;
	const cJSON *config; /* of the language model: text_config, where there is one */
};

static int bad(struct hf *h, const char *file, const char *why)
{
	snprintf(h->why, h->size, "%s%s%s", file, *file ? ": " : "", why);
	return -EBADMSG;
}

/* 0, -ENOENT, or an error that is said. */
static int read_json(struct hf *h, const char *file, cJSON **ret)
{
	struct model_src s;
	char path[PATH_MAX], *buf;
	int err;

	snprintf(path, sizeof(path), "%s/%s", h->folder, file);
	err = model_src_open(&s, path);
	if (err) {
		snprintf(h->why, h->size, "%s: %s", file, strerror(-err));
		return err;
	}
	buf = s.size <= JSON_MOST ? malloc(s.size + 1) : NULL;
	*ret = buf && !model_src_get(&s, buf, s.size) ? cJSON_ParseWithLength(buf, s.size) : NULL;
	free(buf);
	model_src_close(&s);
	if (cJSON_IsObject(*ret))
		return 0;
	cJSON_Delete(*ret);
	return bad(h, file, s.size > JSON_MOST ? "it is too long" : "it is no JSON object");
}

/* The first of some keys, with blanks between, that is there. */
static double num(const cJSON *o, const char *keys)
{
	char key[64];
	const cJSON *v;
	size_t n;

	for (; *keys; keys += n + strspn(keys + n, " ")) {
		n = strcspn(keys, " ");
		snprintf(key, sizeof(key), "%.*s", (int)n, keys);
		v = cJSON_GetObjectItemCaseSensitive(o, key);
		if (cJSON_IsNumber(v))
			return v->valuedouble >= 0 && isfinite(v->valuedouble) ? v->valuedouble : NAN;
	}
	return NAN;
}

static const char *text(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s ? s : "";
}

/* --- config.json -------------------------------------------------------------------------------------------------- */

/* "awq, 4 bits", and the bits of a packed weight. */
static int quantization(const cJSON *config, struct model_file *m)
{
	const cJSON *q = cJSON_GetObjectItemCaseSensitive(config, "quantization_config"), *group;
	double bits = num(q, "bits");
	const char *method = text(q, "quant_method");

	group = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(q, "config_groups"), "group_0");
	if (isnan(bits))
		bits = num(cJSON_GetObjectItemCaseSensitive(group, "weights"), "num_bits");
	if (isnan(bits) && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(q, "load_in_4bit")))
		bits = 4;
	if (isnan(bits) && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(q, "load_in_8bit")))
		bits = 8;
	if (!(bits >= 1 && bits <= 16))
		bits = 0;
	if (*method)
		str_clean(m->quant, sizeof(m->quant), method, strlen(method));
	if (bits > 0)
		snprintf(m->quant + strlen(m->quant), sizeof(m->quant) - strlen(m->quant), "%s%.0f bits",
			 *method ? ", " : "", bits);
	return (int)bits;
}

/* All layers are of attention over what came before, as far as the config says. */
static int all_attend(const cJSON *config)
{
	const cJSON *layer;
	const char *s;

	cJSON_ArrayForEach(layer, cJSON_GetObjectItemCaseSensitive(config, "layer_types")) {
		s = cJSON_GetStringValue(layer);
		if (!s || !strstr(s, "attention") || !strcmp(s, "linear_attention"))
			return 0;
	}
	return isnan(num(config, "kv_lora_rank")) && isnan(num(config, "ssm_state_size state_size mamba_d_state")) &&
	       isnan(num(config, "linear_num_value_heads"));
}

static void describe(struct hf *h, struct model_file *m)
{
	const cJSON *c = h->config, *off = cJSON_GetObjectItemCaseSensitive(c, "use_sliding_window");
	double window = num(c, "sliding_window"), kv;

	str_clean(m->arch, sizeof(m->arch), text(c, "model_type"), strlen(text(c, "model_type")));
	m->layers = num(c, "num_hidden_layers n_layer n_layers");
	m->heads = num(c, "num_attention_heads n_head n_heads");
	kv = num(c, "num_key_value_heads");
	m->kv_heads = isnan(kv) ? m->heads : kv;
	m->head_size = num(c, "head_dim");
	if (isnan(m->head_size))
		m->head_size = num(c, "hidden_size n_embd d_model") / m->heads;
	m->experts = num(c, "num_local_experts n_routed_experts num_experts");
	m->experts_used = num(c, "num_experts_per_tok num_experts_per_token moe_topk");
	m->window = window > 0 && !cJSON_IsFalse(off) ? window : NAN;
	/* What keeps a latent vector or a state is not of this form. */
	if (all_attend(c)) {
		m->attn = 2 * m->layers * m->heads * m->head_size;
		m->kv = 2 * m->layers * m->kv_heads * m->head_size;
	}
}

/* What people call it: "org/name" of the hub's cache, .../models--org--name/snapshots/COMMIT; else the folder. */
static void call(struct hf *h, struct model_file *m)
{
	char *real = realpath(h->folder, NULL), *at, *end, *dashes;

	at = real ? strstr(real, "/models--") : NULL;
	if (at) {
		at += 9;
		end = at + strcspn(at, "/");
		*end = 0;
		dashes = strstr(at, "--");
		if (dashes) {
			*dashes = '/';
			memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
		}
		str_clean(m->name, sizeof(m->name), at, strlen(at));
	} else if (real && (at = strrchr(real, '/')) && at[1]) {
		str_clean(m->name, sizeof(m->name), at + 1, strlen(at + 1));
	}
	free(real);
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

static int one_file(struct hf *h, const char *file, int bits, struct model_sum *sum)
{
	struct model_src s;
	char path[PATH_MAX];
	int err;

	if (!*file || strchr(file, '/'))
		return bad(h, "model.safetensors.index.json", "it names a file that is not in its folder");
	snprintf(path, sizeof(path), "%s/%s", h->folder, file);
	err = model_src_open(&s, path);
	if (err) {
		snprintf(h->why, h->size, "%s: %s", file, strerror(-err));
		return err;
	}
	err = model_safetensors(&s, bits, sum);
	if (err)
		snprintf(h->why, h->size, "%s: %s", file, s.why ? s.why : strerror(-err));
	model_src_close(&s);
	return err;
}

/* Each file that the index names, once. */
static int by_index(struct hf *h, const cJSON *index, int bits, struct model_sum *sum)
{
	const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map"), *v;
	const char *seen[MODEL_PARTS], *file;
	int n = 0, i, err = 0;

	if (!cJSON_IsObject(map) || !map->child)
		return bad(h, "model.safetensors.index.json", "it has no \"weight_map\"");
	cJSON_ArrayForEach(v, map) {
		file = cJSON_GetStringValue(v);
		for (i = 0; file && i < n && strcmp(seen[i], file); i++)
			;
		if (err || (file && i < n))
			continue;
		if (!file || n == MODEL_PARTS)
			err = bad(h, "model.safetensors.index.json", "it names no file, or too many");
		else
			err = one_file(h, seen[n++] = file, bits, sum);
	}
	return err;
}

/* The one .safetensors file that there is. */
static int the_only(struct hf *h, char *file, size_t size)
{
	DIR *d = opendir(h->folder);
	struct dirent *e;
	const char *dot;
	int n = 0;

	while (d && (e = readdir(d))) {
		dot = strrchr(e->d_name, '.');
		if (!dot || strcmp(dot, ".safetensors"))
			continue;
		n++;
		snprintf(file, size, "%s", e->d_name);
		if (!strcmp(file, "model.safetensors")) {
			n = 1;
			break;
		}
	}
	if (d)
		closedir(d);
	return n == 1 ? 0 : bad(h, "", n ? "it has several .safetensors files and no index" :
				"it has no .safetensors file");
}

static int tensors(struct hf *h, int bits, struct model_sum *sum)
{
	cJSON *index = NULL;
	char file[NAME_MAX + 1];
	int err = read_json(h, "model.safetensors.index.json", &index);

	if (err && err != -ENOENT)
		return err;
	if (!err)
		err = by_index(h, index, bits, sum);
	else if (!(err = the_only(h, file, sizeof(file))))
		err = one_file(h, file, bits, sum);
	cJSON_Delete(index);
	return err;
}

int model_hf_read(const char *folder, struct model_file *ret, char *why, size_t size)
{
	struct hf h = { .folder = folder, .why = why, .size = size };
	struct model_sum sum = { .ntype = 0 };
	cJSON *config = NULL;
	int err = read_json(&h, "config.json", &config);

	if (err)
		return err;
	h.config = cJSON_GetObjectItemCaseSensitive(config, "text_config");
	h.config = cJSON_IsObject(h.config) ? h.config : config;
	call(&h, ret);
	describe(&h, ret);
	err = tensors(&h, quantization(config, ret), &sum);
	if (!err)
		model_sum_finish(&sum, ret);
	else if (err == -ENOENT)
		err = -EBADMSG;
	cJSON_Delete(config);
	return err;
}
