/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When a counter was refreshed. A reading that finds it moved says only that this was after the reading before, which
 * is up to half a refresh ago, and an error of that size in the time of each refresh is the largest there is in joules
 * that are fitted to work. But most meters refresh at a steady period: of each refresh
 *
 *   - its neighbours say that it was a period after the last one, give or take a tolerance, and
 *   - the readings say that it was after `lo` and not after `hi`.
 *
 * Kept is the span of time in which both can be true; the middle of it is the estimate. Where looks and refreshes
 * wander against each other the span soon is short; where they do not, it is what the readings say, and so is the
 * estimate: never worse than the middle of the two readings. (The method is that of clocks which are set by messages of
 * unknown delay: intervals are cut with each other, K. Marzullo, Stanford 1984.)
 *
 *   - The tolerance is learnt: half as much again whenever there is no time at which both can be true, a percent less
 *     whenever there is. So a meter without a steady period ends where it is half a period and nothing is
 *     predicted any more.
 *   - The period is learnt from spans of REFRESH_SPAN refreshes and more: what is documented is some percent off.
 *   - Refreshes that did not change the counter, as nothing was used, are whole periods. After so many of them that the
 *     tolerance is as much as a period it begins anew, and so it does when nobody read the counter for a period: then
 *     the refresh was in the last one.
 */
#ifndef IPW_COLLECTOR_REFRESH_H
#define IPW_COLLECTOR_REFRESH_H

#include <stdint.h>

#define REFRESH_LEAST_US 10000u /* no counter is read more often than this: of one that is quicker nothing is asked */
#define REFRESH_LEARN    16     /* refreshes before the period is learnt, */
#define REFRESH_SPAN     256    /* and after which the oldest are forgotten */

/* All zero: nothing is known. Times in ns. */
struct refresh {
	uint32_t given_us;       /* period as it was given */
	double   period, slack;  /* as learnt; how far from it the next one may be */
	double   from, to;       /* when the last refresh may have been */
	uint64_t n;              /* refreshes since the first */
	struct {
		uint64_t n;
		double   t;
	} old, newer; /* the period is that since `old` */
	int      known;
};

/*
 * The counter had not moved at lo_ns and had at hi_ns; it refreshes every period_us or so. Returns when that was, after
 * lo_ns and not after hi_ns: hi_ns if the period is not known or below REFRESH_LEAST_US.
 */
uint64_t refresh_moved(struct refresh *r, uint32_t period_us, uint64_t lo_ns, uint64_t hi_ns);

/* What comes next has nothing to do with what was: a reset. */
void refresh_forget(struct refresh *r);

#endif
