/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fitted split of one target's energy on one channel.
 *
 * The meter's windows, each the time between two of its samples, are taken one after the other. What a window measured
 * above idle is learnt from first (fit.h), then handed out to its ticks by the energy that their work is predicted to
 * take: each piece gets its part of what is left, the last one all of it, so that nothing is lost to rounding. In a
 * tick each query gets its part of the prediction. A tick without work leaves what it has to the server.
 *
 * Where the meter lags, all of this is about the work of so much earlier. A gauge may show the mean of the last second
 * (GPUs' do): such work is what was done in the second before, on the mean; its windows are handed out a second's
 * worth at a time, as of half a second earlier.
 */
#ifndef IPW_FITTED_H
#define IPW_FITTED_H

#include "userspace/books.h"
#include "userspace/fit.h"
#include "userspace/timeline.h"
#include "userspace/work.h"

#define FITTED_MEAN_NS 1000000000ull /* of a gauge that shows a mean */
#define FITTED_FIRST   9 /* windows that tell how long one is: any of them may be an odd one */

struct fitted {
	struct fit   fit;
	uint64_t     to_ns;          /* of this window, or of several that are handed out together */
	uint64_t     seen_ns;        /* up to there the meter's samples were taken */
	uint64_t     scan;           /* the tick in which that sample came */
	uint64_t     first_ns[FITTED_FIRST]; /* lengths of the first ones, in order */
	unsigned     nfirst;
	uint64_t     lag_step_ns;    /* 0: not known yet, and nothing is learnt */
	uint64_t     learn_ns, learn_to_ns; /* windows that are learnt together */
	struct gross learn;          /* of those */
	double       window_ns;      /* how long the latest that was learnt is */
	double       alike;          /* windows that deviate from the fit together: readings of one mean do */
	struct gross left;           /* of this window */
	int          gauge, holds;
};

/* A tick, as it is handed out. */
struct fitted_tick {
	const struct fitted *f; /* NULL: not by the fit */
	uint64_t from_ns, to_ns; /* of the work that it is about */
	double   predicted, without[FIT_GROUPS];
	struct gross g;
};

/* The parts of a tick that are one query's. */
struct fitted_parts {
	double prompt, answer, shared; /* shared: of both */
	double without[FIT_GROUPS];    /* both, had the fit not known a part of the past */
};

/* A tick can be settled when the meter has gone so far beyond its end. */
uint64_t fitted_wait_ns(const struct fitted *f);

/* Tick k is settled: it is resolved for the channel, or the trace ends. */
struct fitted_tick fitted_settle(struct fitted *f, const struct timeline *tl, const struct work_steps *w, int ch,
				 int slot, uint64_t k, double idle_w);
/* The same as it looks now, of a tick that is not settled. */
struct fitted_tick fitted_guess(const struct fitted *f, const struct timeline *tl, const struct work_steps *w, int ch,
				int slot, uint64_t k);

struct fitted_parts fitted_parts(const struct fitted_tick *t, const struct work_steps *s, const struct work *w);

/* How long after its end a query's energy is still to come. */
uint64_t fitted_lag_ns(const struct fitted *f);

#endif
