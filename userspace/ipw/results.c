// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rows into columns. */
#include "userspace/ipw/results_internal.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/str.h"

/* Multiply and fold: 64 bits that depend on all of both. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xd1b54a32d192ed03ull);

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash_bytes(const char *p, size_t n, uint64_t seed)
{
	uint64_t h = mix(seed, n), w;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		h = mix(h, w);
	}
	w = 0;
	memcpy(&w, p, n);
	return mix(h, w);
}

/* *p has room for n more than used, of size bytes each. */
static int reserve(void *p, size_t used, size_t n, size_t *cap, size_t size)
{
	void **at = p, *more;
	size_t want = *cap;

	if (used + n <= *cap)
		return 0;
	while (want < used + n)
		want = want ? want + want / 2 + 1 : 64;
	more = realloc(*at, want * size);
	if (!more)
		return -ENOMEM;
	*at = more;
	*cap = want;
	return 0;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static int name_new(struct names *s, const char *clean, uint64_t key, uint32_t *ret)
{
	char **more = realloc(s->name, (s->n + 1) * sizeof(*more));
	uint32_t *len = more ? realloc(s->len, (s->n + 1) * sizeof(*len)) : NULL;
	char *copy = len ? strdup(clean) : NULL;

	if (more)
		s->name = more;
	if (len)
		s->len = len;
	if (!copy || hash_put(&s->by_hash, key, (void *)(s->n + 1ul))) {
		free(copy);
		return -ENOMEM;
	}
	s->name[s->n] = copy;
	s->len[s->n] = (uint32_t)strlen(copy);
	*ret = s->n++;
	return 0;
}

/* Names are one if they look the same. */
static int name_of(struct names *s, const char *p, size_t n, uint32_t *ret)
{
	uintptr_t known;
	uint64_t key;

	if (reserve(&s->clean, 0, n + 1, &s->clean_cap, 1))
		return -ENOMEM;
	str_clean(s->clean, n + 1, p, n);
	key = hash_bytes(s->clean, strlen(s->clean), 0);
	known = (uintptr_t)hash_get(&s->by_hash, key);
	if (known) {
		*ret = (uint32_t)(known - 1);
		return 0;
	}
	return s->n == UINT32_MAX ? -EOVERFLOW : name_new(s, s->clean, key, ret);
}

/* Mostly it is the name that the last row had. */
static int text_of(struct results *r, enum row_text at, uint32_t *ret)
{
	uint32_t last = r->last_name[at];
	int err = 0;

	if (r->names.len[last] != r->row.len[at] || memcmp(r->names.name[last], r->row.text[at], r->row.len[at]))
		err = name_of(&r->names, r->row.text[at], r->row.len[at], &r->last_name[at]);
	*ret = r->last_name[at];
	return err;
}

/* --- configurations and queries ----------------------------------------------------------------------------------- */

static int config_new(struct results *r, uint64_t key, struct config *like, struct config **ret)
{
	struct config **more = realloc(r->config, (size_t)(r->nconfig + 1) * sizeof(*more));
	struct config *c = more ? calloc(1, sizeof(*c)) : NULL;

	if (more)
		r->config = more;
	if (!c)
		return -ENOMEM;
	c->model = like->model;
	c->hardware = like->hardware;
	c->scope = like->scope;
	c->known = r->models ? models_find(r->models, results_name(r, c->model)) : NULL;
	c->file = r->files ? model_files_find(r->files, results_name(r, c->model)) : NULL;
	if (hash_put(&r->by_config, key, c)) {
		free(c);
		return -ENOMEM;
	}
	r->config[r->nconfig++] = c;
	*ret = c;
	return 0;
}

static int config_of(struct results *r, struct config **ret)
{
	struct config want = { 0 }, *c = r->last;
	uint64_t key;
	int err;

	err = text_of(r, ROW_MODEL, &want.model);
	if (!err)
		err = text_of(r, ROW_HARDWARE, &want.hardware);
	if (!err)
		err = text_of(r, ROW_SCOPE, &want.scope);
	if (err)
		return err;
	if (!c || c->model != want.model || c->hardware != want.hardware || c->scope != want.scope) {
		key = mix(mix(want.model, want.hardware), want.scope);
		c = hash_get(&r->by_config, key);
		if (!c)
			err = config_new(r, key, &want, &c);
	}
	if (!err)
		*ret = r->last = c;
	return err;
}

static int query_new(struct results *r, uint64_t key, uint32_t *ret)
{
	size_t len = (size_t)r->row.len[ROW_QUERY] + 1, cap = r->query_cap, want = cap;
	int err;

	if (r->nquery == UINT32_MAX - 1)
		return -EOVERFLOW;
	err = reserve(&r->query, r->nquery, 1, &want, sizeof(*r->query));
	want = cap;
	if (!err)
		err = reserve(&r->key, r->nquery, 1, &want, sizeof(*r->key));
	want = cap;
	if (!err)
		err = reserve(&r->id_at, r->nquery, 1, &want, sizeof(*r->id_at));
	if (!err)
		err = reserve(&r->ids, r->ids_len, len, &r->ids_cap, 1);
	if (!err)
		err = hash_put(&r->by_key, key, (void *)(r->nquery + 1ul));
	if (err)
		return err;
	r->query_cap = (uint32_t)(want < UINT32_MAX ? want : UINT32_MAX);
	str_clean(r->ids + r->ids_len, len, r->row.text[ROW_QUERY], r->row.len[ROW_QUERY]);
	r->id_at[r->nquery] = r->ids_len;
	r->ids_len += strlen(r->ids + r->ids_len) + 1;
	r->key[r->nquery] = key;
	r->query[r->nquery] = (struct query_info){ 0 };
	*ret = r->nquery++;
	return 0;
}

/* Files have their queries in the same order, mostly: the one after the last of this configuration is tried first. */
static int query_of(struct results *r, struct config *c, uint32_t *ret)
{
	uint32_t dataset, q = c->expect;
	uintptr_t known;
	uint64_t key;
	int err = text_of(r, ROW_DATASET, &dataset);

	if (err)
		return err;
	key = hash_bytes(r->row.text[ROW_QUERY], r->row.len[ROW_QUERY], dataset + 1ull);
	if (q >= r->nquery || r->key[q] != key) {
		known = (uintptr_t)hash_get(&r->by_key, key);
		q = (uint32_t)(known - 1);
		err = known ? 0 : query_new(r, key, &q);
	}
	if (err)
		return err;
	r->query[q].dataset = dataset;
	c->expect = q + 1;
	*ret = q;
	return 0;
}

static int describe(struct results *r, enum row_text at, uint32_t *has)
{
	uint32_t name;
	int err;

	if (!r->row.len[at])
		return 0;
	err = text_of(r, at, &name);
	if (err)
		return err;
	if (*has && *has != name)
		results_problem(r, &r->disagree, at == ROW_CATEGORY ? "category" : "difficulty");
	else
		*has = name;
	return 0;
}

/* --- columns ------------------------------------------------------------------------------------------------------ */

/* v, or NAN where a float would have 0 or infinity for it. */
static double kept(double v)
{
	return v >= FLT_MIN && v <= FLT_MAX ? v : NAN;
}

/* Of joules, watts and seconds, two give the third. Watts are of the share: gross joules have their own. */
static void complete_energy(const struct results *r, const double *num, double *v)
{
	double e = num[r->gross ? ROW_GROSS : ROW_ENERGY], w = r->gross ? NAN : num[ROW_POWER], s = num[ROW_DURATION];

	if (isnan(e))
		e = kept(w * s);
	else if (isnan(s))
		s = kept(e / w);
	v[COL_ENERGY] = e;
	v[COL_DURATION] = s;
	v[COL_POWER] = isnan(e) || isnan(s) ? w : NAN;
}

/*
 * FLOPs: by the model's file, if one is named; else as the row says; else by the table of models, 2 for each active
 * parameter and token that was computed.
 */
static void complete_flops(const struct results *r, const struct config *c, double *v)
{
	double in = v[COL_PROMPT], cached = v[COL_CACHED], out = v[COL_COMPLETION];

	if (c->file) {
		v[COL_FLOPS] = model_file_flops(c->file, in, cached, out, r->attention);
		v[COL_BYTES] = v[COL_CONCURRENCY] <= MODEL_ALONE ? model_file_read_bytes(c->file, in, out) : NAN;
	} else if (c->known && isnan(v[COL_FLOPS])) {
		v[COL_FLOPS] = 2e9 * c->known->active_b * (in - (cached <= in ? cached : 0) + out);
	}
}

/* What the row does not say: by joules, or by the price of tokens. */
static void complete_cost(const struct results *r, const struct config *c, double *v)
{
	int cloud = c->known && c->known->kind == MODEL_CLOUD;

	if (!isnan(v[COL_COST]))
		return;
	if (r->by_kwh && !cloud)
		v[COL_COST] = v[COL_PAID] / JOULES_KWH * r->kwh_usd;
	else if (c->known)
		v[COL_COST] = v[COL_PROMPT] / 1e6 * c->known->in_usd + v[COL_COMPLETION] / 1e6 * c->known->out_usd;
}

/* A query that was alone had all its seconds for itself. */
static void complete_time(double *v)
{
	if (isnan(v[COL_BUSY]) && v[COL_CONCURRENCY] <= MODEL_ALONE)
		v[COL_BUSY] = v[COL_DURATION];
}

static int grow(struct config *c)
{
	uint32_t cap = c->cap < 64 ? 64 : c->cap > UINT32_MAX / 2 ? UINT32_MAX - 1 : c->cap + c->cap / 2;
	void *more;
	int k;

	if (c->n == UINT32_MAX - 1)
		return -EOVERFLOW;
	more = realloc(c->query, cap * sizeof(*c->query));
	if (!more)
		return -ENOMEM;
	c->query = more;
	more = realloc(c->verdict, cap);
	if (!more)
		return -ENOMEM;
	c->verdict = more;
	for (k = 0; k < COLS; k++) {
		if (!c->col[k])
			continue;
		more = realloc(c->col[k], cap * sizeof(float));
		if (!more)
			return -ENOMEM;
		c->col[k] = more;
	}
	c->cap = cap;
	return 0;
}

static int set_col(struct config *c, int k, double v)
{
	uint32_t i;

	if (!c->col[k]) {
		if (!(v <= FLT_MAX))
			return 0;
		c->col[k] = malloc(c->cap * sizeof(float));
		if (!c->col[k])
			return -ENOMEM;
		for (i = 0; i < c->n; i++)
			c->col[k][i] = NAN;
	}
	c->col[k][c->n] = v <= FLT_MAX ? (float)v : NAN;
	return 0;
}

static int append(struct results *r, struct config *c, uint32_t query)
{
	const double *num = r->row.num;
	double v[COLS] = {
		[COL_PPL] = num[ROW_PPL], [COL_CONCURRENCY] = num[ROW_CONCURRENCY], [COL_FLOPS] = num[ROW_FLOPS],
		[COL_COST] = num[ROW_COST], [COL_PROMPT] = num[ROW_PROMPT], [COL_CACHED] = num[ROW_CACHED],
		[COL_COMPLETION] = num[ROW_COMPLETION], [COL_TTFT] = num[ROW_TTFT], [COL_BUSY] = num[ROW_BUSY],
		[COL_BYTES] = num[ROW_BYTES],
	};
	int err = c->n == c->cap ? grow(c) : 0, k;

	complete_energy(r, num, v);
	r->other_joules += isnan(v[COL_ENERGY]) && !isnan(num[r->gross ? ROW_ENERGY : ROW_GROSS]);
	v[COL_PAID] = r->gross || isnan(num[ROW_GROSS]) ? v[COL_ENERGY] : num[ROW_GROSS];
	complete_flops(r, c, v);
	complete_cost(r, c, v);
	complete_time(v);
	for (k = 0; k < COLS && !err; k++)
		if (r->want & WANT(k))
			err = set_col(c, k, v[k]);
	if (err)
		return err;
	if (!isnan(num[ROW_CONCURRENCY])) {
		c->concurrency.sum += num[ROW_CONCURRENCY];
		c->concurrency.n++;
	}
	c->estimated += r->row.estimated;
	c->query[c->n] = query;
	c->verdict[c->n++] = isnan(num[ROW_CORRECT]) ? VERDICT_NONE : (uint8_t)num[ROW_CORRECT];
	return 0;
}

/* As bench and the tracer say it: neither right nor wrong, and its joules are not those of an answer. */
static int is_cancelled(const struct row *row)
{
	return row->len[ROW_END] == 6 && !memcmp(row->text[ROW_END], "cancel", 6);
}

int results_add(struct results *r)
{
	struct config *c;
	uint32_t q;
	int err = 0;

	if (!r->names.n)
		err = name_of(&r->names, "", 0, &q);
	if (!err)
		err = config_of(r, &c);
	if (!err && is_cancelled(&r->row)) {
		r->cancelled++;
		c->cancelled++;
		return 0;
	}
	if (!err)
		err = query_of(r, c, &q);
	if (!err)
		err = describe(r, ROW_CATEGORY, &r->query[q].category);
	if (!err)
		err = describe(r, ROW_DIFFICULTY, &r->query[q].difficulty);
	if (!err)
		err = append(r, c, q);
	r->rows += !err;
	return err;
}

void results_release(struct results *r)
{
	uint32_t i;
	int c, k;

	for (c = 0; c < r->nconfig; c++) {
		for (k = 0; k < COLS; k++)
			free(r->config[c]->col[k]);
		free(r->config[c]->query);
		free(r->config[c]->verdict);
		free(r->config[c]);
	}
	for (i = 0; i < r->names.n; i++)
		free(r->names.name[i]);
	free(r->config);
	free(r->names.name);
	free(r->names.len);
	free(r->query);
	free(r->key);
	free(r->id_at);
	free(r->ids);
	free(r->carry);
	free(r->names.clean);
	hash_release(&r->names.by_hash);
	hash_release(&r->by_key);
	hash_release(&r->by_config);
	*r = (struct results){ 0 };
}
