// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define WIDTH 6 /* acc, P, E of the first; of the second */

/* What a draw is made into. */
struct made {
	double metric[2][METRICS], diff[COMPARED], factor[FACTORS];
};

static void make(const double *sum, double n, struct made *m)
{
	int i, k;

	for (i = 0; i < 2; i++)
		score_metrics(sum[3 * i] / n, sum[3 * i + 1] / n, sum[3 * i + 2] / n, NAN, m->metric[i]);
	for (k = 0; k < COMPARED; k++)
		m->diff[k] = m->metric[1][k] - m->metric[0][k];
	m->factor[F_ACC] = m->metric[1][M_ACC] / m->metric[0][M_ACC];
	m->factor[F_POWER] = m->metric[0][M_POWER] / m->metric[1][M_POWER];
	m->factor[F_ENERGY] = m->metric[0][M_ENERGY] / m->metric[1][M_ENERGY];
	m->factor[F_IPW] = m->metric[1][M_IPW] / m->metric[0][M_IPW];
	m->factor[F_IPJ] = m->metric[1][M_IPJ] / m->metric[0][M_IPJ];
}

static void put(const struct config *c, uint32_t row, float *to)
{
	to[0] = (float)config_acc(c, row);
	to[1] = (float)config_power(c, row);
	to[2] = (float)config_num(c, COL_ENERGY, row);
}

/* Perplexity is not compared, and may lack. */
static int whole(const struct config *c, uint32_t row, unsigned has)
{
	return !(has & ~score_row_has(c, row) & ~(unsigned)HAS_PPL);
}

struct mean {
	double   sum;
	uint32_t n;
};

static void add(struct mean *m, double v)
{
	if (isnan(v))
		return;
	m->sum += v;
	m->n++;
}

/* The common queries as rows for the bootstrap; means of what has no interval. */
static void common(const struct config *const *c, float *m, struct comparison *ret)
{
	struct mean dur[2] = { { 0 } }, conc[2] = { { 0 } };
	uint32_t at[2] = { 0, 0 }, both = 0;
	struct join j = { .config = c, .n = 2, .at = at };
	unsigned has[2] = { score_has(c[0]), score_has(c[1]) };
	float *row;
	int i;

	while (join_next(&j)) {
		both++;
		if (!whole(c[0], at[0], has[0]) || !whole(c[1], at[1], has[1])) {
			ret->lacking++;
			continue;
		}
		row = m + (size_t)ret->n * WIDTH;
		for (i = 0; i < 2; i++) {
			put(c[i], at[i], row + 3 * i);
			add(&dur[i], config_num(c[i], COL_DURATION, at[i]));
			add(&conc[i], config_num(c[i], COL_CONCURRENCY, at[i]));
		}
		ret->n++;
	}
	for (i = 0; i < 2; i++) {
		ret->alone[i] = c[i]->n - both;
		ret->duration_s[i] = dur[i].n == ret->n ? dur[i].sum / dur[i].n : NAN;
		ret->concurrency[i] = conc[i].sum / conc[i].n;
	}
}

/* A query of a that b has not; there is one. */
static uint32_t only_in(const struct config *a, const struct config *b)
{
	uint32_t i, k = 0;

	for (i = 0; i < a->n; i++) {
		while (k < b->n && config_query(b, k) < config_query(a, i))
			k++;
		if (k == b->n || config_query(b, k) != config_query(a, i))
			break;
	}
	return config_query(a, i);
}

static void all(const float *m, struct comparison *ret)
{
	double sum[WIDTH] = { 0 };
	struct made made;
	uint32_t i;
	int k;

	for (i = 0; i < ret->n; i++)
		for (k = 0; k < WIDTH; k++)
			sum[k] += (double)m[(size_t)i * WIDTH + k];
	make(sum, ret->n, &made);
	for (k = 0; k < COMPARED; k++) {
		ret->value[0][k] = made.metric[0][k];
		ret->value[1][k] = made.metric[1][k];
		ret->diff[k] = made.diff[k];
		ret->ci_diff[k] = (struct interval){ NAN, NAN };
	}
	for (k = 0; k < FACTORS; k++) {
		ret->factor[k] = made.factor[k];
		ret->ci_factor[k] = (struct interval){ NAN, NAN };
	}
}

static int intervals(const float *m, unsigned draws, uint64_t seed, struct comparison *ret)
{
	struct boot b = { .row = m, .n = ret->n, .width = WIDTH, .draws = draws, .seed = seed };
	double *sums = malloc((size_t)draws * WIDTH * sizeof(*sums));
	double *v = malloc((size_t)draws * (COMPARED + FACTORS) * sizeof(*v));
	int err = sums && v ? boot_sums(&b, sums) : -ENOMEM, k;
	struct made made;
	unsigned d;

	for (d = 0; d < draws && !err; d++) {
		make(sums + (size_t)d * WIDTH, ret->n, &made);
		for (k = 0; k < COMPARED; k++)
			v[(size_t)k * draws + d] = made.diff[k];
		for (k = 0; k < FACTORS; k++)
			v[(size_t)(COMPARED + k) * draws + d] = made.factor[k];
	}
	for (k = 0; k < COMPARED && !err; k++)
		ret->ci_diff[k] = boot_interval(v + (size_t)k * draws, draws);
	for (k = 0; k < FACTORS && !err; k++)
		ret->ci_factor[k] = boot_interval(v + (size_t)(COMPARED + k) * draws, draws);
	free(sums);
	free(v);
	return err;
}

int compare(const struct config *a, const struct config *b, unsigned draws, uint64_t seed, struct comparison *ret)
{
	const struct config *c[2] = { a, b };
	float *m = malloc(((size_t)(a->n < b->n ? a->n : b->n) + 1) * WIDTH * sizeof(*m));
	struct comparison r = { 0 };
	int err = 0, i;

	if (!m)
		return -ENOMEM;
	common(c, m, &r);
	for (i = 0; i < 2; i++)
		r.example[i] = r.alone[i] ? only_in(c[i], c[!i]) : 0;
	all(m, &r);
	if (draws && r.n > 1)
		err = intervals(m, draws, seed, &r);
	free(m);
	if (!err)
		*ret = r;
	return err;
}

int unlike_concurrency(double a, double b)
{
	return isnan(a) != isnan(b) || fabs(a - b) > 0.05 * fmax(a, b);
}
