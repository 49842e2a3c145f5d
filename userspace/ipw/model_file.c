// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/model_file.h"

#include <errno.h>
#include <unistd.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "userspace/ipw/model_internal.h"
#include "userspace/util/str.h"

#define KV_BYTES 2.0 /* of an element that is kept of a token */

/* --- a file ------------------------------------------------------------------------------------------------------- */

int model_src_open(struct model_src *s, const char *path)
{
	int err = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would be waited for */
	struct stat st;

	*s = (struct model_src){ .f = fd < 0 ? NULL : fdopen(fd, "r") };
	if (!s->f) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	if (fstat(fileno(s->f), &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP;
	else
		s->size = (uint64_t)st.st_size;
	if (err)
		model_src_close(s);
	return err;
}

void model_src_close(struct model_src *s)
{
	if (s->f)
		fclose(s->f);
	s->f = NULL;
}

int model_src_bad(struct model_src *s, const char *why)
{
	s->why = s->why ? s->why : why;
	return -EBADMSG;
}

int model_src_get(struct model_src *s, void *to, uint64_t n)
{
	if (n > s->size - s->at || fread(to, 1, n, s->f) != n)
		return model_src_bad(s, "it ends too early");
	s->at += n;
	return 0;
}

int model_src_skip(struct model_src *s, uint64_t n)
{
	char few[512]; /* a seek costs more than to read them */

	if (n <= sizeof(few))
		return model_src_get(s, few, n);
	if (n > s->size - s->at || fseeko(s->f, (off_t)n, SEEK_CUR))
		return model_src_bad(s, "it ends too early");
	s->at += n;
	return 0;
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

void model_sum_add(struct model_sum *s, enum model_part part, const char *type, double params, double bytes)
{
	int i;

	s->params[part] += params;
	s->bytes[part] += bytes;
	for (i = 0; i < s->ntype && strcmp(s->type[i].name, type); i++)
		;
	if (i == MODEL_TYPES)
		return;
	if (i == s->ntype)
		s->type[s->ntype++].name = type;
	s->type[i].params += params;
}

/* Of experts a token uses some. Where there are none, how many does not matter. */
static double of_experts(double all, const struct model_file *m)
{
	double used = m->experts_used / m->experts;

	return all == 0 ? 0 : used >= 0 && used <= 1 ? all * used : NAN;
}

void model_sum_finish(const struct model_sum *s, struct model_file *m)
{
	const double *p = s->params, *b = s->bytes;
	int i, most = 0;

	m->params = m->bytes = 0;
	for (i = 0; i < PARTS; i++) {
		m->params += p[i];
		m->bytes += b[i];
	}
	m->active = p[PART_OTHER] + of_experts(p[PART_EXPERTS], m) + p[PART_INPUT] + p[PART_OUTPUT];
	/* Embeddings of the input are looked up, too; but where there is no output of its own, they are the output. */
	m->decode_bytes = b[PART_OTHER] + of_experts(b[PART_EXPERTS], m) +
			  (b[PART_OUTPUT] == 0 ? b[PART_INPUT] : b[PART_OUTPUT]);
	for (i = 1; i < s->ntype; i++)
		most = s->type[i].params > s->type[most].params ? i : most;
	if (!m->quant[0] && s->ntype)
		snprintf(m->quant, sizeof(m->quant), "%s", s->type[most].name);
}

/* --- a model ------------------------------------------------------------------------------------------------------ */

void model_file_init(struct model_file *m, const char *path)
{
	const char *base;
	size_t n = strlen(path);

	*m = (struct model_file){ .params = NAN, .active = NAN, .bytes = NAN, .decode_bytes = NAN, .layers = NAN,
				  .heads = NAN, .kv_heads = NAN, .head_size = NAN, .attn = NAN, .kv = NAN,
				  .experts = NAN, .experts_used = NAN, .window = NAN };
	while (n > 1 && path[n - 1] == '/')
		n--;
	for (base = path + n; base > path && base[-1] != '/'; base--)
		;
	str_clean(m->file, sizeof(m->file), base, (size_t)(path + n - base));
	memcpy(m->name, m->file, sizeof(m->name));
}

int model_file_read(const char *path, struct model_file *ret, char *why, size_t size)
{
	struct model_file m;
	struct stat st;
	int err;

	*why = 0;
	if (stat(path, &st)) {
		err = -errno;
		snprintf(why, size, "%s", strerror(errno));
		return err;
	}
	model_file_init(&m, path);
	err = S_ISDIR(st.st_mode) ? model_hf_read(path, &m, why, size) : model_gguf_read(path, &m, why, size);
	if (!err)
		*ret = m;
	else if (!*why)
		snprintf(why, size, "%s", strerror(-err));
	return err;
}

double model_file_bits(const struct model_file *m)
{
	return m->params > 0 ? 8 * m->bytes / m->params : NAN;
}

static void json_count(struct json_out *j, const char *key, double v)
{
	if (v >= 0 && v < 0x1p63)
		json_int(j, key, (int64_t)(v + 0.5));
	else
		json_raw(j, key, "null");
}

void model_file_json(struct json_out *j, const char *key, const struct model_file *m)
{
	if (!m) {
		json_raw(j, key, "null");
		return;
	}
	json_open(j, key, '{');
	json_str(j, "name", m->name);
	json_str(j, "file", m->file);
	json_str(j, "architecture", m->arch);
	json_str(j, "quantization", m->quant);
	json_num(j, "bits_per_weight", model_file_bits(m));
	json_count(j, "parameters", m->params);
	json_count(j, "active_parameters", m->active);
	json_count(j, "weight_bytes", m->bytes);
	json_count(j, "decode_bytes", m->decode_bytes);
	json_count(j, "layers", m->layers);
	json_count(j, "heads", m->heads);
	json_count(j, "kv_heads", m->kv_heads);
	json_num(j, "head_size", m->head_size);
	json_count(j, "kv_bytes_per_token", KV_BYTES * m->kv);
	json_count(j, "experts", m->experts);
	json_count(j, "experts_used", m->experts_used);
	json_count(j, "window", m->window);
	json_close(j, '}');
}

char *model_file_text(const struct model_file *m, char *buf, size_t size)
{
	snprintf(buf, size, "%s, %s, %s, %.3g bits a weight, %.4g B parameters (%.4g B active)", m->name,
		 *m->arch ? m->arch : "unknown architecture", *m->quant ? m->quant : "unknown types",
		 model_file_bits(m), m->params / 1e9, m->active / 1e9);
	return buf;
}

/* --- what a query takes ------------------------------------------------------------------------------------------- */

double model_file_flops(const struct model_file *m, double prompt, double cached, double completion, int attention)
{
	double before = cached > 0 && cached <= prompt ? cached : 0, all = prompt + completion;
	double contexts = (all * (all + 1) - before * (before + 1)) / 2, flops = 2 * m->active * (all - before);

	if (!attention)
		return flops;
	return all > m->window ? NAN : flops + 2 * m->attn * contexts;
}

double model_file_read_bytes(const struct model_file *m, double prompt, double completion)
{
	double steps = completion - 1;

	if (!(steps >= 0) || prompt + completion > m->window)
		return NAN;
	return steps * m->decode_bytes + KV_BYTES * m->kv * (steps * prompt + steps * (steps + 1) / 2);
}
