/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The books of one channel: measured = queries + server without a query + other processes + idle, to rounding. */
#ifndef IPW_BOOKS_H
#define IPW_BOOKS_H

#include "userspace/timeline.h"

/* Joules with idle power in, and the seconds of idle floor to take off: so the floor may be learnt at any time. */
struct gross {
	double j, s;
};

struct book {
	double       covered_s; /* time measured */
	struct gross measured, queries, server_other, others, idle;
};

static inline void gross_add(struct gross *g, double j, double s, double part)
{
	g->j += j * part;
	g->s += s * part;
}

/* Tick t enters. queries[]: by slot from 1, what its queries were given of it. */
void book_tick(struct book *b, const struct tick *t, int ch, int nslot, const struct gross *queries);

#endif
