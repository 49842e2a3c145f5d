/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What attrib.c (who is when) and attrib_result.c (who pays what) share. */
#ifndef IPW_ATTRIB_INTERNAL_H
#define IPW_ATTRIB_INTERNAL_H

#include "userspace/attrib.h"

/* What a query has got so far. */
struct part {
	double     concurrency_ns; /* active time, times the queries active then */
	double     weighed_ns;     /* active time that was split by weight */
	uint32_t   flags;
	struct acc ch[];
};

struct attrib_query {
	uint8_t  running, lined;
	struct weight weight;
	double   active, prefill, decode; /* of the tick at hand: ns; weights */
	struct part *part;
};

/* Its E is not known yet. One that waits for its hops is over. */
static inline int attrib_runs(const struct query *q)
{
	return q->share->running && !q->over_ns;
}

/* ns of the tick in which the query is active. */
double attrib_active_in(const struct query *q, const struct tick *t);
/* The query's own numbers for the tick, which is the k-th. */
void   attrib_weigh(struct query *q, const struct tick *t, uint64_t k);
/* Charges query q with its part of tick t, in which all queries weigh `weight` and are active as `act` says. */
void   attrib_charge(const struct attrib *a, const struct query *q, const struct tick *t, double weight,
		     const struct active *act, struct part *p);
void   attrib_result(const struct attrib *a, const struct query *q, const struct part *p, struct result *r);

#endif
