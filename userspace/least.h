/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Least squares with no negative cost: y = cost . x, of sums that grow as observations come. The kinds are so few that
 * all sets of them are tried, and the best without a negative cost is taken. Each kind is scaled to a square sum of 1,
 * to which 1e-9 is added.
 */
#ifndef IPW_LEAST_H
#define IPW_LEAST_H

#define LEAST_KINDS 5

struct least {
	double xx[LEAST_KINDS][LEAST_KINDS], xy[LEAST_KINDS];
};

void   least_learn(struct least *s, const double *x, double y);
/* So many times the other is added; -1 takes it out. */
void   least_add(struct least *s, const struct least *from, double part);
/* yy: sum of the squares of y. Returns what is left of it. */
double least_costs(const struct least *s, double yy, double *ret_cost);

#endif
