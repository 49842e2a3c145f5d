// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/fit.h"

#include <math.h>
#include <string.h>

#define SEARCH_EVERY 25   /* windows between two looks for the lag */
#define LAG_GAIN     0.98 /* another lag has to leave so much less */

double fit_energy(const double *cost, const double *x)
{
	double e = 0;
	int i;

	for (i = 0; i < WORK_KINDS; i++)
		e += cost[i] * x[i];
	return e;
}

double fit_residual(const struct fit *f)
{
	return f->weight > 0 ? sqrt(f->err_fit / f->weight) : NAN;
}

int fit_holds(const struct fit *f)
{
	return f->windows >= FIT_MIN && f->span_ns >= FIT_STEADY_NS && f->err_fit < f->err_tokens;
}

static void forget(struct fit *f, double keep)
{
	int i;

	for (i = 0; i < FIT_LAGS; i++)
		least_add(&f->lag[i], &f->lag[i], keep - 1);
	for (i = 0; i < FIT_GROUPS; i++) {
		least_add(&f->group[i], &f->group[i], keep - 1);
		f->group_yy[i] *= keep;
	}
	f->yy *= keep;
	f->tt *= keep;
	f->ty *= keep;
	f->err_fit *= keep;
	f->err_tokens *= keep;
	f->weight *= keep;
}

/* The costs without each of the groups, once all of them have something. */
static void leave_out(struct fit *f)
{
	struct least all = { 0 }, s;
	double yy = 0;
	int g, full = 1;

	for (g = 0; g < FIT_GROUPS; g++) {
		least_add(&all, &f->group[g], 1);
		yy += f->group_yy[g];
		full &= f->group_yy[g] > 0;
	}
	for (g = 0; g < FIT_GROUPS && full; g++) {
		s = all;
		least_add(&s, &f->group[g], -1);
		least_costs(&s, yy - f->group_yy[g], f->without[g]);
	}
	f->grouped = full;
}

static void find_lag(struct fit *f)
{
	double cost[WORK_KINDS], least = least_costs(&f->lag[f->best], f->yy, cost) * LAG_GAIN, left;
	uint32_t i;

	for (i = 0; i < FIT_LAGS; i++) {
		left = least_costs(&f->lag[i], f->yy, cost);
		if (i == f->best || left >= least)
			continue;
		least = left;
		f->best = i; /* the groups keep what they learnt: their scatter tells the worse for it, if at all */
	}
}

void fit_window(struct fit *f, const double x[FIT_LAGS][WORK_KINDS], double y, uint64_t from_ns, uint64_t to_ns)
{
	double tokens = x[f->best][WORK_PREFILL] + x[f->best][WORK_DECODE], len_ns = (double)(to_ns - from_ns), err;
	uint32_t i, g = (uint32_t)(from_ns / FIT_GROUP_NS % FIT_GROUPS);

	forget(f, exp(-len_ns / FIT_FORGET_NS));
	if (f->windows >= FIT_MIN) {
		err = y - fit_energy(f->cost, x[f->best]);
		f->err_fit += err * err;
		err = y - (f->tt > 0 ? f->ty / f->tt * tokens : 0);
		f->err_tokens += err * err;
		f->weight++;
	}
	for (i = 0; i < FIT_LAGS; i++)
		least_learn(&f->lag[i], x[i], y);
	least_learn(&f->group[g], x[f->best], y);
	f->group_yy[g] += y * y;
	f->yy += y * y;
	f->tt += tokens * tokens;
	f->ty += tokens * y;
	f->span_ns += len_ns;
	f->windows++;
	if (f->windows >= FIT_MIN / 2 && f->windows % SEARCH_EVERY == 0) {
		find_lag(f);
		leave_out(f);
	}
	least_costs(&f->lag[f->best], f->yy, f->cost);
}
