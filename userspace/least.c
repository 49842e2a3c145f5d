// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/least.h"

#include <math.h>
#include <string.h>

#define RIDGE 1e-9

void least_learn(struct least *s, const double *x, double y)
{
	int i, j;

	for (i = 0; i < LEAST_KINDS; i++) {
		s->xy[i] += x[i] * y;
		for (j = 0; j < LEAST_KINDS; j++)
			s->xx[i][j] += x[i] * x[j];
	}
}

void least_add(struct least *s, const struct least *from, double part)
{
	int i, j;

	for (i = 0; i < LEAST_KINDS; i++) {
		s->xy[i] += part * from->xy[i];
		for (j = 0; j < LEAST_KINDS; j++)
			s->xx[i][j] += part * from->xx[i][j];
	}
}

/* Solves a x = b of the kinds in `set`; 0 when there is no solution to speak of. a is scaled to a unit diagonal. */
static int solve(const double a[LEAST_KINDS][LEAST_KINDS], const double *b, unsigned set, double *ret_x)
{
	double l[LEAST_KINDS][LEAST_KINDS], z[LEAST_KINDS], s;
	int at[LEAST_KINDS], n = 0, i, j, k;

	for (i = 0; i < LEAST_KINDS; i++)
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
	memset(ret_x, 0, LEAST_KINDS * sizeof(*ret_x));
	for (i = n; i-- > 0; ) {
		for (s = z[i], k = i + 1; k < n; k++)
			s -= l[k][i] * ret_x[at[k]];
		ret_x[at[i]] = s / l[i][i];
	}
	return 1;
}

double least_costs(const struct least *f, double yy, double *ret_cost)
{
	double a[LEAST_KINDS][LEAST_KINDS], b[LEAST_KINDS], d[LEAST_KINDS], x[LEAST_KINDS], best = yy, left;
	unsigned set, all = 0;
	int i, j, bad;

	for (i = 0; i < LEAST_KINDS; i++) {
		d[i] = sqrt(f->xx[i][i]);
		all |= d[i] > 0 ? 1u << i : 0;
	}
	for (i = 0; i < LEAST_KINDS; i++) {
		b[i] = d[i] > 0 ? f->xy[i] / d[i] : 0;
		for (j = 0; j < LEAST_KINDS; j++)
			a[i][j] = d[i] > 0 && d[j] > 0 ? f->xx[i][j] / d[i] / d[j] : 0;
	}
	memset(ret_cost, 0, LEAST_KINDS * sizeof(*ret_cost));
	for (set = 1; set < 1u << LEAST_KINDS; set++) {
		if ((set & ~all) || !solve(a, b, set, x))
			continue;
		for (i = bad = 0, left = yy; i < LEAST_KINDS; i++) {
			bad |= x[i] < 0;
			left -= x[i] * b[i]; /* at the minimum x'ax = x'b */
		}
		if (bad || left >= best)
			continue;
		best = left;
		for (i = 0; i < LEAST_KINDS; i++)
			ret_cost[i] = d[i] > 0 ? x[i] / d[i] : 0;
	}
	return best;
}
