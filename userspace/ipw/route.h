/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is saved against sending every query to the cloud, when the smallest local model that answers it gets it, and
 * the cloud what none answers: arXiv 2511.07885v4, section 4.3 and appendix E.4.
 *
 *   S_oracle = 1 - sum C(q) / sum C_cloud(q)       C(q): of the model that the query goes to
 *   S(a)     = a S_oracle - (1 - a) M              a router that is right with probability a
 *   M        = sum C_miss(q) / sum C_cloud(q)      0 if a try that fails is free, as the paper has it
 *
 * A query that is sent wrong is answered by the cloud, so quality is that of the oracle. Where tries are paid for, it
 * was tried before on the smallest model of the pool that fails it; if none of the pool fails it, it went to the cloud
 * at once.
 */
#ifndef IPW_IPW_ROUTE_H
#define IPW_IPW_ROUTE_H

#include "userspace/ipw/boot.h"
#include "userspace/ipw/results.h"

#define ROUTE_POOL 64

enum route_cost { ROUTE_ENERGY, ROUTE_COMPUTE, ROUTE_MONEY, ROUTE_COSTS };

struct route {
	const struct config *model[ROUTE_POOL + 1]; /* smallest first; the cloud is the last */
	int                  pool;                  /* models but for the cloud */
	int                  known[ROUTE_COSTS];    /* each model has it in some of its rows */
	uint32_t             n;
	uint32_t             lacking;               /* common queries that lack a verdict or a cost */
	uint32_t             common;
	uint8_t             *right, *wrong;         /* [n] the first model that solves, that fails it; pool: none */
	uint32_t            *row;                   /* [n][pool + 1], NULL where row i is query i for all */
	uint32_t            *query;                 /* [n] */
};

/* Of all queries, if the router is always right, and if it is always wrong; NAN: not known. */
struct route_sums {
	uint32_t local; /* queries that the pool answers */
	double   cloud[ROUTE_COSTS], right[ROUTE_COSTS], wrong[ROUTE_COSTS];
};

struct saving {
	double          closed[ROUTE_COSTS];
	double          simulated[ROUTE_COSTS]; /* mean of the draws; NAN without */
	struct interval ci[ROUTE_COSTS];        /* of other queries and other luck of the router */
};

struct route_opts {
	double   accuracy;
	int      pay;
	unsigned draws;
	uint64_t seed;
};

/* The column that a cost is in. */
enum column route_column(enum route_cost k);

/* model[] and pool are set. 0 or -ENOMEM. */
int  route_init(struct route *r);
void route_release(struct route *r);
/* With the first `pool` models of the pool. */
void route_sum(const struct route *r, int pool, int pay, struct route_sums *ret);
/* sums: of the same pool and pay. 0 or -ENOMEM. */
int  route_saving(const struct route *r, int pool, const struct route_sums *sums, const struct route_opts *o,
		  struct saving *ret);

#endif
