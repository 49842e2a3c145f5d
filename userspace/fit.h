/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the work of an engine's steps costs, fitted to a meter.
 *
 * Of each window of the meter (the time between two of its refreshes) the server's dynamic energy y is known, and what
 * the steps in it did, x[] (enum work_kind). The costs are those >= 0 that leave the least sum of squares (y - cost .
 * x)^2 over the past windows, each forgotten with a time constant of FIT_FORGET_NS. They are there to split a window,
 * which is then scaled to what was measured; by themselves they mean little, as x[] go together in most loads.
 *
 * A meter that lags says now what was used before. x[] are taken for FIT_LAGS lags, and the one that leaves the least
 * is the meter's.
 *
 * Whether the fit is better than tokens alone is found on windows that neither has seen yet: each is predicted first,
 * and learnt then.
 *
 * How sure the costs are is found by leaving out: the past is cut into FIT_GROUPS groups, FIT_GROUP_NS of each in turn,
 * and fitted as often without one of them (the delete-a-group jackknife). What is alike in all of the past, such as a
 * model that is wrong, does not show in it.
 */
#ifndef IPW_FIT_H
#define IPW_FIT_H

#include <stdint.h>

#include "userspace/least.h"
#include "userspace/work.h"

_Static_assert(LEAST_KINDS == WORK_KINDS, "the kinds of work are what is fitted");

#define FIT_LAGS      48
#define FIT_FORGET_NS 120e9
#define FIT_MIN       60    /* windows with work before anything is said */
#define FIT_STEADY_NS 10e9  /* and so much time of them */
#define FIT_GROUPS    8
#define FIT_GROUP_NS  5000000000ull /* longer than a load stays alike by chance */

struct fit {
	struct least lag[FIT_LAGS];
	double   yy;
	double   tt, ty;            /* the same for tokens alone */
	double   err_fit, err_tokens; /* squares, of windows that were predicted */
	double   weight;            /* windows, with those forgotten in part */
	double   cost[WORK_KINDS];  /* of the lag that is `best` */
	double   span_ns;           /* of windows with work */
	uint64_t windows;
	uint32_t best;              /* lag */
	struct least group[FIT_GROUPS]; /* each window with the lag that was the best then */
	double   group_yy[FIT_GROUPS];
	double   without[FIT_GROUPS][WORK_KINDS]; /* costs by all groups but one */
	int      grouped;           /* they are known */
};

/* One more window: what it took, and what was done in it as each lag has it. */
void fit_window(struct fit *f, const double x[FIT_LAGS][WORK_KINDS], double y, uint64_t from_ns, uint64_t to_ns);
/* It knows enough, and proves better than tokens alone. */
int  fit_holds(const struct fit *f);
/* What such work is predicted to take. */
double fit_energy(const double *cost, const double *x);
/* Standard deviation of a window from its prediction, in the unit of y. */
double fit_residual(const struct fit *f);

#endif
