// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/costs.h"

#include <math.h>

struct sums {
	double all, of_verdicts, right;
	uint32_t n;
};

/* acc: 0 or 1, of repeats their mean; NAN: there is no verdict. */
static void add(struct sums *s, double v, double acc)
{
	if (isnan(v))
		return;
	s->all += v;
	s->n++;
	if (isnan(acc))
		return;
	s->of_verdicts += v;
	s->right += acc;
}

static struct cost cost_of(const struct sums *s)
{
	return (struct cost){ s->n, s->n ? s->all / s->n : NAN, s->right > 0 ? s->of_verdicts / s->right : NAN };
}

/* Adds a pair that are both known. */
static uint32_t add_pair(double *sum, double a, double b)
{
	if (isnan(a) || isnan(b))
		return 0;
	sum[0] += a;
	sum[1] += b;
	return 1;
}

static double by(const double *sum, uint32_t n)
{
	return n && sum[1] > 0 ? sum[0] / sum[1] : NAN;
}

void costs_of(const struct config *c, const uint32_t *group, uint32_t which, const struct costs_opts *o,
	      struct costs *ret)
{
	double busy[2] = { 0 }, decode[2] = { 0 }, energy[2] = { 0 }, flops, v;
	struct sums f = { 0 }, usd = { 0 }, g = { 0 };
	uint32_t i, ne = 0;

	*ret = (struct costs){ .nmfu = 0 };
	for (i = 0; i < c->n; i++) {
		double acc = config_acc(c, i);

		if (group && group[config_query(c, i)] != which)
			continue;
		flops = config_num(c, COL_FLOPS, i);
		add(&f, flops, acc);
		add(&usd, config_num(c, COL_COST, i), acc);
		add(&g, config_num(c, COL_PAID, i) / JOULES_KWH * o->grid_g + o->embodied_g, acc);
		ne += add_pair(energy, flops, config_num(c, COL_ENERGY, i));
		ret->nmfu += add_pair(busy, flops, config_num(c, COL_BUSY, i));
		v = config_num(c, COL_DURATION, i) - config_num(c, COL_TTFT, i);
		ret->nmbu += add_pair(decode, config_num(c, COL_BYTES, i), v);
	}
	ret->flops = cost_of(&f);
	ret->usd = cost_of(&usd);
	ret->gco2e = cost_of(&g);
	ret->flops_per_j = by(energy, ne);
	ret->mfu = by(busy, ret->nmfu) / o->peak.flops;
	ret->mbu = by(decode, ret->nmbu) / o->peak.bytes;
}
