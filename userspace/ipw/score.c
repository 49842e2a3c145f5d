// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/score.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { S_ACC, S_POWER, S_ENERGY, S_PPL, SUMS };

#define TRIM 20 /* one in so many is left out at each end: 5 % */

unsigned score_row_has(const struct config *c, uint32_t row)
{
	return (c->verdict[row] != VERDICT_NONE ? HAS_VERDICT : 0) | (isnan(config_power(c, row)) ? 0 : HAS_POWER) |
	       (isnan(config_num(c, COL_ENERGY, row)) ? 0 : HAS_ENERGY) |
	       (isnan(config_num(c, COL_PPL, row)) ? 0 : HAS_PPL);
}

unsigned score_has(const struct config *c)
{
	unsigned has = 0;
	uint32_t i;

	for (i = 0; i < c->n && has != 15; i++)
		has |= score_row_has(c, i);
	return has;
}

void score_metrics(double acc, double power, double energy, double ppl, double *ret)
{
	ret[M_ACC] = acc;
	ret[M_POWER] = power;
	ret[M_ENERGY] = energy;
	ret[M_IPW] = acc / power;
	ret[M_IPJ] = acc / energy;
	ret[M_PPW] = 1 / (ppl * power);
	ret[M_PPJ] = 1 / (ppl * energy);
}

/* --- the rows ----------------------------------------------------------------------------------------------------- */

/* Which rows count; what the others lack is counted. */
static uint32_t population(const struct config *c, const uint32_t *group, uint32_t which, uint32_t *rows,
			   struct score *ret)
{
	unsigned has = score_has(c), got, bit;
	uint32_t i, n = 0;

	for (i = 0; i < c->n; i++) {
		if (group && group[config_query(c, i)] != which)
			continue;
		ret->rows++;
		got = score_row_has(c, i);
		for (bit = 0; bit < 4; bit++)
			ret->lacking[bit] += has >> bit & ~got >> bit & 1;
		if (got == has)
			rows[n++] = i;
	}
	return n;
}

/* NAN where any lacks it. */
static double mean_of(const struct config *c, enum column k, const uint32_t *rows, uint32_t n)
{
	double sum = 0;
	uint32_t i;

	for (i = 0; i < n; i++)
		sum += config_num(c, k, rows[i]);
	return sum / n;
}

static void means(const struct config *c, const uint32_t *rows, struct score *s)
{
	double sum[SUMS] = { 0 }, concurrency = 0;
	uint32_t i, known = 0;

	for (i = 0; i < s->n; i++) {
		double conc = config_num(c, COL_CONCURRENCY, rows[i]);

		sum[S_ACC] += config_acc(c, rows[i]);
		sum[S_POWER] += config_power(c, rows[i]);
		sum[S_ENERGY] += config_num(c, COL_ENERGY, rows[i]);
		sum[S_PPL] += config_num(c, COL_PPL, rows[i]);
		if (!isnan(conc))
			concurrency += conc, known++;
	}
	score_metrics(sum[S_ACC] / s->n, sum[S_POWER] / s->n, sum[S_ENERGY] / s->n, sum[S_PPL] / s->n, s->value);
	s->ppl = sum[S_PPL] / s->n;
	s->duration_s = mean_of(c, COL_DURATION, rows, s->n);
	s->ttft_s = mean_of(c, COL_TTFT, rows, s->n);
	s->prompt = mean_of(c, COL_PROMPT, rows, s->n);
	s->completion = mean_of(c, COL_COMPLETION, rows, s->n);
	s->concurrency = concurrency / known;
}

/* --- variants ----------------------------------------------------------------------------------------------------- */

struct timed {
	double   s;
	uint32_t row;
};

static int by_time(const void *a, const void *b)
{
	const struct timed *x = a, *y = b;

	return x->s < y->s ? -1 : x->s > y->s ? 1 : x->row < y->row ? -1 : x->row > y->row;
}

/* The rows but for the fastest and the slowest. 0, -ENOMEM, or -ENODATA: of one the time is not known. */
static int trimmed(const struct config *c, const uint32_t *rows, uint32_t n, uint32_t *ret, uint32_t *ret_n)
{
	struct timed *t = malloc((n + 1u) * sizeof(*t));
	uint32_t i, off = n < 4 ? 0 : n / TRIM ? n / TRIM : 1;
	int err = 0;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < n && !err; i++) {
		t[i] = (struct timed){ config_num(c, COL_DURATION, rows[i]), rows[i] };
		err = isnan(t[i].s) ? -ENODATA : 0;
	}
	if (!err) {
		qsort(t, n, sizeof(*t), by_time);
		for (i = off; i < n - off; i++)
			ret[i - off] = t[i].row;
		*ret_n = n - 2 * off;
	}
	free(t);
	return err;
}

static int variants(const struct config *c, const uint32_t *rows, struct score *s)
{
	uint32_t *kept = malloc((s->n + 1u) * sizeof(*kept)), i, n = 0;
	double acc = 0, power = 0, energy = 0;
	int err = kept ? trimmed(c, rows, s->n, kept, &n) : -ENOMEM;

	s->v.power_w_total = s->value[M_ENERGY] / s->duration_s;
	s->v.ipw_total = s->value[M_ACC] / s->v.power_w_total;
	s->v.ipj_total = s->value[M_ACC] / (s->value[M_ENERGY] * s->n);
	s->v.ipw_normalized = s->v.ipj_normalized = NAN;
	for (i = 0; i < n; i++) {
		acc += config_acc(c, kept[i]) / n;
		power += config_power(c, kept[i]) / n;
		energy += config_num(c, COL_ENERGY, kept[i]);
	}
	if (n) {
		s->v.ipw_normalized = acc / power;
		s->v.ipj_normalized = acc / energy;
	}
	free(kept);
	return err == -ENOMEM ? err : 0;
}

/* --- intervals ---------------------------------------------------------------------------------------------------- */

static float *matrix(const struct config *c, const uint32_t *rows, uint32_t n)
{
	float *m = malloc((size_t)n * SUMS * sizeof(*m)), *at = m;
	uint32_t i;

	for (i = 0; m && i < n; i++, at += SUMS) {
		at[S_ACC] = (float)config_acc(c, rows[i]);
		at[S_POWER] = (float)config_power(c, rows[i]);
		at[S_ENERGY] = (float)config_num(c, COL_ENERGY, rows[i]);
		at[S_PPL] = (float)config_num(c, COL_PPL, rows[i]);
	}
	return m;
}

static int intervals(const struct config *c, const uint32_t *rows, const struct score_opts *o, struct score *s)
{
	struct boot b = { .row = matrix(c, rows, s->n), .n = s->n, .width = SUMS, .draws = o->draws, .seed = o->seed };
	double *sums = malloc((size_t)o->draws * SUMS * sizeof(*sums));
	double *v = malloc((size_t)o->draws * METRICS * sizeof(*v)), m[METRICS];
	int err = b.row && sums && v ? boot_sums(&b, sums) : -ENOMEM, k;
	unsigned d;

	for (d = 0; d < o->draws && !err; d++) {
		const double *x = sums + d * SUMS;

		score_metrics(x[S_ACC] / s->n, x[S_POWER] / s->n, x[S_ENERGY] / s->n, x[S_PPL] / s->n, m);
		for (k = 0; k < METRICS; k++)
			v[(size_t)k * o->draws + d] = m[k];
	}
	for (k = 0; k < METRICS && !err; k++)
		s->ci[k] = boot_interval(v + (size_t)k * o->draws, o->draws);
	free((void *)b.row);
	free(sums);
	free(v);
	return err;
}

int score_of(const struct config *c, const uint32_t *group, uint32_t which, const struct score_opts *o,
	     struct score *ret)
{
	uint32_t *rows = malloc((c->n + 1u) * sizeof(*rows));
	struct score s = { 0 };
	int err = 0, k;

	if (!rows)
		return -ENOMEM;
	s.n = population(c, group, which, rows, &s);
	means(c, rows, &s);
	for (k = 0; k < METRICS; k++)
		s.ci[k] = (struct interval){ NAN, NAN };
	if (o->variants)
		err = variants(c, rows, &s);
	if (!err && o->draws && s.n > 1)
		err = intervals(c, rows, o, &s);
	free(rows);
	if (!err)
		*ret = s;
	return err;
}
