/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The weight of a query in each tick: tokens at their events, and tokens spread evenly over a time. Both change as more
 * becomes known, and each change goes into the sums of all queries' weights, so that a tick's sum is right at any time.
 */
#ifndef IPW_WEIGHT_H
#define IPW_WEIGHT_H

#include "userspace/timeline.h"

/* Sums over the queries of a slot, by tick: a ring beside the timeline's. Ticks before `from` are settled and stay. */
struct weight_sums {
	const struct timeline *tl;
	double  *ring;
	uint64_t from;
};

struct weight {
	double   scale;          /* tokens for each one counted at an event */
	struct tick_tokens {
		uint32_t tick, n;
	} *log;                  /* by tick, in order; those before `at` are settled */
	size_t   n, at, cap;
	double   spread;         /* tokens spread */
	uint64_t from_ns, to_ns; /* over this time */
};

void   weight_init(struct weight *w);
void   weight_release(struct weight *w);

/* Instead of what was spread before. */
void   weight_spread(struct weight *w, struct weight_sums *s, double tokens, uint64_t from_ns, uint64_t to_ns);
/* 0 or -ENOMEM. */
int    weight_event(struct weight *w, struct weight_sums *s, uint64_t ts_ns, uint32_t n);
void   weight_scale(struct weight *w, struct weight_sums *s, double scale);

/* Takes all out of the sums; the weight itself is left as it was. */
void   weight_leave(struct weight *w, struct weight_sums *s);
/* Adds the events of another, which leaves its own sums as they are. */
void   weight_join(struct weight *w, struct weight_sums *s, const struct weight *from);

/* In tick t, which is the k-th. */
double weight_of_spread(const struct weight *w, const struct tick *t);
double weight_of_events(const struct weight *w, uint64_t k);

/* Tick k is settled: what lies in it and before is not needed any more. */
void   weight_settle(struct weight *w, uint64_t k);

/* ns of [from, to] that lie in the tick; an open tick has no end. */
double tick_overlap(const struct tick *t, uint64_t from_ns, uint64_t to_ns);

#define TICK_RING(k) ((k) & (TIMELINE_TICKS - 1))

#endif
