/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What attrib.c (who is there), attrib_settle.c (when) and attrib_result.c (who pays what) share. */
#ifndef IPW_ATTRIB_INTERNAL_H
#define IPW_ATTRIB_INTERNAL_H

#include "userspace/attrib.h"

/* What a query has got so far. */
struct part {
	double     concurrency_ns; /* active time, times the queries active then */
	double     weighed_ns;     /* active time that was split by weight */
	double     fitted_j, all_j; /* sizes of what it was given by the fit, and in all */
	uint32_t   flags;
	struct acc ch[];
};

struct attrib_query {
	uint8_t  running, lined;
	struct attrib_slot *slot;
	struct weight weight;
	struct work work;
	double   active, prefill, decode; /* of the tick at hand: ns; weights */
	struct part *part;
};

/* Its E is not known yet. One that waits for its hops is over. */
static inline int attrib_runs(const struct query *q)
{
	return q->share->running && !q->over_ns;
}

void   attrib_share_free(struct query *q);
/* What has to be spread, by what is known now. Of a stream it ends at F, of other answers at E; while unknown, now. */
void   attrib_spread(struct attrib *a, struct query *q, uint64_t now);
/* In which steps its prompt was, see work_prompt(). */
void   attrib_prompt(struct query *q, int settle);
/* ns of the tick in which the query is active. */
double attrib_active_in(const struct query *q, const struct tick *t);
/* The query's own numbers for the tick, which is the k-th. */
void   attrib_weigh(struct query *q, const struct tick *t, uint64_t k);
/*
 * Charges query q with its part of tick t, in which all queries weigh `weight` and are active as `act` says; by
 * channel, fitted[] has the tick where it is split so. given[], which may be NULL: what it got is added, of those.
 */
void   attrib_charge(const struct attrib *a, const struct query *q, const struct tick *t, double weight,
		     const struct active *act, const struct fitted_tick *fitted, struct part *p, struct gross *given);
void   attrib_result(const struct attrib *a, const struct query *q, const struct part *p, struct result *r);

#endif
