/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which queries which models solve: arXiv 2511.07885v4, sections 2 and 4. A pool solves a query if any of its models
 * does. All is counted on the queries of which each model has a verdict.
 */
#ifndef IPW_IPW_COVER_H
#define IPW_IPW_COVER_H

#include "userspace/ipw/boot.h"
#include "userspace/ipw/results.h"

#define COVER_MODELS 64
#define COVER_LEVELS 6

struct cover {
	uint32_t  n;
	uint32_t  left_out; /* queries of which some have a verdict, not all */
	uint64_t *solvers;  /* [n] bit k: model k solves it */
	uint32_t *query;    /* [n] */
};

/* n: at most COVER_MODELS. 0 or -ENOMEM. */
int  cover_init(struct cover *v, const struct config *const *c, int n, uint32_t nquery);
void cover_release(struct cover *v);

/*
 * For each group how many queries there are, and how many any model of mask solves: group NULL: all are in group 0.
 * ret_* are zeroed by the caller, one for each group that group[] names.
 */
void cover_count(const struct cover *v, uint64_t mask, const uint32_t *group, uint32_t *ret_n, uint32_t *ret_solved);
/* Queries that only model k solves. */
uint32_t cover_alone(const struct cover *v, int k);

/*
 * A query's level by the smallest model that solves it: 0: up to 4 B, 1: 8 B, 2: 20 B, 3: 235 B, 4: none of these
 * (appendix E.2); 5: only models solve it whose size is not known (NAN).
 */
void cover_levels(const struct cover *v, const double *size_b, int n, uint32_t *ret_level);

/* Wilson's interval of a share, 95 %. E. B. Wilson, Probable inference, 1927. */
struct interval share_interval(uint32_t k, uint32_t n);

#endif
