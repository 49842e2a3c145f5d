// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/route.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define WIDTH (2 * ROUTE_COSTS) /* of a row for the bootstrap: of each cost the cloud's, and what it came to */

enum column route_column(enum route_cost k)
{
	static const enum column col[ROUTE_COSTS] = { COL_ENERGY, COL_FLOPS, COL_COST };

	return col[k];
}

/* --- the queries -------------------------------------------------------------------------------------------------- */

static double cost(const struct route *r, uint32_t i, int model, enum route_cost k)
{
	const struct config *c = r->model[model];
	uint32_t row = r->row ? r->row[(size_t)i * (size_t)(r->pool + 1) + (size_t)model] : r->query[i];

	return config_num(c, route_column(k), row);
}

static int complete(const struct route *r, const uint32_t *at)
{
	int m, k;

	for (m = 0; m <= r->pool; m++) {
		if (m < r->pool && r->model[m]->verdict[at[m]] == VERDICT_NONE)
			return 0;
		for (k = 0; k < ROUTE_COSTS; k++)
			if (r->known[k] && isnan(config_num(r->model[m], route_column((enum route_cost)k), at[m])))
				return 0;
	}
	return 1;
}

static uint8_t first(const struct route *r, const uint32_t *at, uint8_t verdict)
{
	int m;

	for (m = 0; m < r->pool && r->model[m]->verdict[at[m]] != verdict; m++)
		;
	return (uint8_t)m;
}

static void take(struct route *r)
{
	uint32_t at[ROUTE_POOL + 1] = { 0 };
	struct join j = { .config = r->model, .n = r->pool + 1, .at = at };
	int m;

	while (join_next(&j)) {
		r->common++;
		if (!complete(r, at)) {
			r->lacking++;
			continue;
		}
		r->right[r->n] = first(r, at, VERDICT_RIGHT);
		r->wrong[r->n] = first(r, at, VERDICT_WRONG);
		for (m = 0; r->row && m <= r->pool; m++)
			r->row[(size_t)r->n * (size_t)(r->pool + 1) + (size_t)m] = at[m];
		r->query[r->n++] = j.query;
	}
}

int route_init(struct route *r)
{
	uint32_t least = UINT32_MAX;
	int m, k, sparse = 0;

	for (k = 0; k < ROUTE_COSTS; k++)
		r->known[k] = 1;
	for (m = 0; m <= r->pool; m++) {
		least = r->model[m]->n < least ? r->model[m]->n : least;
		sparse |= r->model[m]->query != NULL;
		for (k = 0; k < ROUTE_COSTS; k++)
			r->known[k] &= r->model[m]->col[route_column((enum route_cost)k)] != NULL;
	}
	r->right = malloc(least + 1u);
	r->wrong = malloc(least + 1u);
	r->query = malloc((least + 1u) * sizeof(*r->query));
	r->row = sparse ? malloc((least + 1u) * (size_t)(r->pool + 1) * sizeof(*r->row)) : NULL;
	if (!r->right || !r->wrong || !r->query || (sparse && !r->row)) {
		route_release(r);
		return -ENOMEM;
	}
	take(r);
	return 0;
}

void route_release(struct route *r)
{
	free(r->right);
	free(r->wrong);
	free(r->query);
	free(r->row);
	r->right = r->wrong = NULL;
	r->query = r->row = NULL;
}

/* --- savings ------------------------------------------------------------------------------------------------------ */

/* A query's costs: cloud, if the router is right, if it is wrong. */
static void costs(const struct route *r, uint32_t i, int pool, int pay, enum route_cost k, double *ret)
{
	if (!r->known[k]) {
		ret[0] = ret[1] = ret[2] = NAN;
		return;
	}
	ret[0] = cost(r, i, r->pool, k);
	ret[1] = r->right[i] < pool ? cost(r, i, r->right[i], k) : ret[0];
	ret[2] = ret[0] + (pay && r->wrong[i] < pool ? cost(r, i, r->wrong[i], k) : 0);
}

void route_sum(const struct route *r, int pool, int pay, struct route_sums *ret)
{
	struct route_sums s = { 0 };
	uint32_t i;
	double c[3];
	int k;

	for (i = 0; i < r->n; i++)
		s.local += r->right[i] < pool;
	for (k = 0; k < ROUTE_COSTS; k++)
		for (i = 0; i < r->n; i++) {
			costs(r, i, pool, pay, (enum route_cost)k, c);
			s.cloud[k] += c[0];
			s.right[k] += c[1];
			s.wrong[k] += c[2];
		}
	*ret = s;
}

/* Each query twice: as the router sends it when it is right, and when it is wrong. */
static float *matrix(const struct route *r, int pool, int pay)
{
	float *m = malloc((size_t)r->n * 2 * WIDTH * sizeof(*m) + 1), *at = m;
	double c[3];
	uint32_t i;
	int k;

	for (i = 0; m && i < r->n; i++, at += 2 * WIDTH)
		for (k = 0; k < ROUTE_COSTS; k++) {
			costs(r, i, pool, pay, (enum route_cost)k, c);
			at[2 * k] = at[2 * k + WIDTH] = (float)c[0];
			at[2 * k + 1] = (float)c[1];
			at[2 * k + 1 + WIDTH] = (float)c[2];
		}
	return m;
}

static int simulate(const struct route *r, int pool, const struct route_opts *o, struct saving *s)
{
	struct boot b = { matrix(r, pool, o->pay), r->n, WIDTH, 1, o->accuracy, o->draws, o->seed };
	double *sums = malloc((size_t)o->draws * WIDTH * sizeof(*sums)), *v = malloc(o->draws * sizeof(*v));
	int err = b.row && sums && v ? boot_sums(&b, sums) : -ENOMEM, k;
	unsigned d;

	for (k = 0; k < ROUTE_COSTS && !err; k++) {
		s->simulated[k] = 0;
		for (d = 0; d < o->draws; d++) {
			v[d] = 1 - sums[d * WIDTH + 2 * k + 1] / sums[d * WIDTH + 2 * k];
			s->simulated[k] += v[d] / o->draws;
		}
		s->ci[k] = boot_interval(v, o->draws);
	}
	free((void *)b.row);
	free(sums);
	free(v);
	return err;
}

int route_saving(const struct route *r, int pool, const struct route_sums *sums, const struct route_opts *o,
		 struct saving *ret)
{
	struct saving s;
	double a = o->accuracy;
	int k;

	for (k = 0; k < ROUTE_COSTS; k++) {
		s.closed[k] = 1 - (a * sums->right[k] + (1 - a) * sums->wrong[k]) / sums->cloud[k];
		s.simulated[k] = NAN;
		s.ci[k] = (struct interval){ NAN, NAN };
	}
	if (o->draws && r->n > 1 && simulate(r, pool, o, &s))
		return -ENOMEM;
	*ret = s;
	return 0;
}
