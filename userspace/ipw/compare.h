/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two configurations on the queries that both have:
 *
 *   IPW2 / IPW1 = (acc2 / acc1) (P1 / P2)       IPJ2 / IPJ1 = (acc2 / acc1) (E1 / E2)
 *
 * arXiv 2511.07885v4, table 2 and figure 3. Intervals are paired: a draw takes a query in both.
 */
#ifndef IPW_IPW_COMPARE_H
#define IPW_IPW_COMPARE_H

#include "userspace/ipw/score.h"

enum comparison_factor {
	F_ACC,    /* acc2 / acc1 */
	F_POWER,  /* P1 / P2 */
	F_ENERGY, /* E1 / E2 */
	F_IPW, F_IPJ,
	FACTORS
};

enum { COMPARED = M_IPJ + 1 }; /* metrics: those before perplexity */

struct comparison {
	uint32_t        n;                    /* queries that count */
	uint32_t        alone[2];             /* queries that only one has */
	uint32_t        lacking;              /* common ones of which one lacks what its configuration has */
	uint32_t        example[2];           /* one of alone[] */
	double          value[2][COMPARED];   /* on the n */
	double          duration_s[2], concurrency[2];
	double          diff[COMPARED];       /* the second less the first */
	double          factor[FACTORS];
	struct interval ci_diff[COMPARED], ci_factor[FACTORS];
};

/* 0 or -ENOMEM. */
int compare(const struct config *a, const struct config *b, unsigned draws, uint64_t seed, struct comparison *ret);

/* Concurrencies that differ by more than a twentieth, or of which one is not known. */
int unlike_concurrency(double a, double b);

#endif
