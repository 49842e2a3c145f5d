// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/cover.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.959963984540054

static uint32_t least(const struct config *const *c, int n)
{
	uint32_t min = UINT32_MAX;
	int k;

	for (k = 0; k < n; k++)
		min = c[k]->n < min ? c[k]->n : min;
	return min;
}

/* Queries of which any has a verdict. 0 or -ENOMEM. */
static int count_any(const struct config *const *c, int n, uint32_t nquery, uint32_t *ret)
{
	uint8_t *any = calloc(nquery + 1u, 1);
	uint32_t i;
	int k;

	if (!any)
		return -ENOMEM;
	for (k = 0; k < n; k++)
		for (i = 0; i < c[k]->n; i++)
			any[config_query(c[k], i)] |= c[k]->verdict[i] != VERDICT_NONE;
	for (*ret = 0, i = 0; i < nquery; i++)
		*ret += any[i];
	free(any);
	return 0;
}

int cover_init(struct cover *v, const struct config *const *c, int n, uint32_t nquery)
{
	uint32_t at[COVER_MODELS] = { 0 }, any;
	struct join j = { .config = c, .n = n, .at = at };
	size_t room = (size_t)least(c, n) + 1;
	uint64_t solvers;
	int k;

	*v = (struct cover){ 0, 0, malloc(room * sizeof(*v->solvers)), malloc(room * sizeof(*v->query)) };
	if (!v->solvers || !v->query || count_any(c, n, nquery, &any)) {
		cover_release(v);
		return -ENOMEM;
	}
	while (join_next(&j)) {
		for (solvers = 0, k = 0; k < n && c[k]->verdict[at[k]] != VERDICT_NONE; k++)
			solvers |= (uint64_t)c[k]->verdict[at[k]] << k;
		if (k < n)
			continue;
		v->solvers[v->n] = solvers;
		v->query[v->n++] = j.query;
	}
	v->left_out = any - v->n;
	return 0;
}

void cover_release(struct cover *v)
{
	free(v->solvers);
	free(v->query);
	*v = (struct cover){ 0 };
}

void cover_count(const struct cover *v, uint64_t mask, const uint32_t *group, uint32_t *ret_n, uint32_t *ret_solved)
{
	uint32_t i, g;

	for (i = 0; i < v->n; i++) {
		g = group ? group[i] : 0;
		ret_n[g]++;
		ret_solved[g] += (v->solvers[i] & mask) != 0;
	}
}

uint32_t cover_alone(const struct cover *v, int k)
{
	uint32_t i, n = 0;

	for (i = 0; i < v->n; i++)
		n += v->solvers[i] == 1ull << k;
	return n;
}

void cover_levels(const struct cover *v, const double *size_b, int n, uint32_t *ret_level)
{
	static const double up_to[] = { 4, 8, 20, 235, INFINITY };
	const uint32_t none = sizeof(up_to) / sizeof(*up_to) - 1;
	uint64_t mask[sizeof(up_to) / sizeof(*up_to)] = { 0 };
	uint32_t i, l;
	int k;

	for (k = 0; k < n; k++)
		for (l = 0; l <= none; l++)
			mask[l] |= (uint64_t)(size_b[k] <= up_to[l]) << k;
	for (i = 0; i < v->n; i++) {
		for (l = 0; l < none && !(v->solvers[i] & mask[l]); l++)
			;
		ret_level[i] = l == none && v->solvers[i] && !(v->solvers[i] & mask[none]) ? none + 1 : l;
	}
}

struct interval share_interval(uint32_t k, uint32_t n)
{
	double p = (double)k / n, zz = Z95 * Z95 / n, half;
	struct interval ret = { NAN, NAN };

	if (!n)
		return ret;
	half = Z95 * sqrt(p * (1 - p) / n + zz / (4.0 * n));
	ret.low = fmax(0, (p + zz / 2 - half) / (1 + zz));
	ret.high = fmin(1, (p + zz / 2 + half) / (1 + zz));
	return ret;
}
