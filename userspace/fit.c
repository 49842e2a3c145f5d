// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/fit.h"

#include <math.h>
#include <string.h>

#define SEARCH_EVERY 25   /* windows between two looks for the lag */
#define LAG_GAIN     0.98 /* another lag has to leave so much less */
#define RIDGE        1e-9

/* Solves a x = b of the kinds in `set`; 0 when there is no solution to speak of. a is scaled to a unit diagonal. */
static int solve(const double a[WORK_KINDS][WORK_KINDS], const double *b, unsigned set, double *ret_x)
{
	double l[WORK_KINDS][WORK_KINDS], z[WORK_KINDS], s;
	int at[WORK_KINDS], n = 0, i, j, k;

	for (i = 0; i < WORK_KINDS; i++)
		if (set >> i & 1)
			at[n++] = i;
	for (i = 0; i < n; i++) {
		for (j = 0; j <= i; j++) {
			s = a[at[i]][at[j]] + (i == j ? RIDGE : 0);
			for (k = 0; k < j; k++)
				s -= l[i][k] * l[j][k];
			if (i == j && !(s > RIDGE / 2))
				return 0;
			l[i][j] = i == j ? sqrt(s) : s / l[j][j];
		}
		s = b[at[i]];
		for (k = 0; k < i; k++)
			s -= l[i][k] * z[k];
		z[i] = s / l[i][i];
	}
	memset(ret_x, 0, WORK_KINDS * sizeof(*ret_x));
	for (i = n; i-- > 0; ) {
		for (s = z[i], k = i + 1; k < n; k++)
			s -= l[k][i] * ret_x[at[k]];
		ret_x[at[i]] = s / l[i][i];
	}
	return 1;
}

/* The least squares with no negative cost: of all sets of so few kinds the best that has none. Returns what is left. */
static double costs(const struct fit_sums *f, double yy, double *ret_cost)
{
	double a[WORK_KINDS][WORK_KINDS], b[WORK_KINDS], d[WORK_KINDS], x[WORK_KINDS], best = yy, left;
	unsigned set, all = 0;
	int i, j, bad;

	for (i = 0; i < WORK_KINDS; i++) {
		d[i] = sqrt(f->xx[i][i]);
		all |= d[i] > 0 ? 1u << i : 0;
	}
	for (i = 0; i < WORK_KINDS; i++) {
		b[i] = d[i] > 0 ? f->xy[i] / d[i] : 0;
		for (j = 0; j < WORK_KINDS; j++)
			a[i][j] = d[i] > 0 && d[j] > 0 ? f->xx[i][j] / d[i] / d[j] : 0;
	}
	memset(ret_cost, 0, WORK_KINDS * sizeof(*ret_cost));
	for (set = 1; set < 1u << WORK_KINDS; set++) {
		if ((set & ~all) || !solve(a, b, set, x))
			continue;
		for (i = bad = 0, left = yy; i < WORK_KINDS; i++) {
			bad |= x[i] < 0;
			left -= x[i] * b[i]; /* at the minimum x'ax = x'b */
		}
		if (bad || left >= best)
			continue;
		best = left;
		for (i = 0; i < WORK_KINDS; i++)
			ret_cost[i] = d[i] > 0 ? x[i] / d[i] : 0;
	}
	return best;
}

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

static void sums_add(struct fit_sums *s, const struct fit_sums *from, double part)
{
	int i, j;

	for (i = 0; i < WORK_KINDS; i++) {
		s->xy[i] += part * from->xy[i];
		for (j = 0; j < WORK_KINDS; j++)
			s->xx[i][j] += part * from->xx[i][j];
	}
}

static void forget(struct fit *f, double keep)
{
	int i;

	for (i = 0; i < FIT_LAGS; i++)
		sums_add(&f->lag[i], &f->lag[i], keep - 1);
	for (i = 0; i < FIT_GROUPS; i++) {
		sums_add(&f->group[i], &f->group[i], keep - 1);
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
	struct fit_sums all = { 0 }, s;
	double yy = 0;
	int g, full = 1;

	for (g = 0; g < FIT_GROUPS; g++) {
		sums_add(&all, &f->group[g], 1);
		yy += f->group_yy[g];
		full &= f->group_yy[g] > 0;
	}
	for (g = 0; g < FIT_GROUPS && full; g++) {
		s = all;
		sums_add(&s, &f->group[g], -1);
		costs(&s, yy - f->group_yy[g], f->without[g]);
	}
	f->grouped = full;
}

static void find_lag(struct fit *f)
{
	double cost[WORK_KINDS], least = costs(&f->lag[f->best], f->yy, cost) * LAG_GAIN, left;
	uint32_t i;

	for (i = 0; i < FIT_LAGS; i++) {
		left = costs(&f->lag[i], f->yy, cost);
		if (i == f->best || left >= least)
			continue;
		least = left;
		f->best = i; /* the groups keep what they learnt: their scatter tells the worse for it, if at all */
	}
}

static void learn(struct fit_sums *s, const double *x, double y)
{
	int i, j;

	for (i = 0; i < WORK_KINDS; i++) {
		s->xy[i] += x[i] * y;
		for (j = 0; j < WORK_KINDS; j++)
			s->xx[i][j] += x[i] * x[j];
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
		learn(&f->lag[i], x[i], y);
	learn(&f->group[g], x[f->best], y);
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
	costs(&f->lag[f->best], f->yy, f->cost);
}
