/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The idle floor that is found by itself: the lowest mean power over FLOOR_NS in which no query ran. A window is made
 * of whole ticks, at each look the shortest that is a second or more; it counts for the meters that cover it.
 */
#ifndef IPW_FLOOR_H
#define IPW_FLOOR_H

#include "userspace/timeline.h"

#define FLOOR_NS    1000000000ull
#define FLOOR_COVER 0.99 /* the part of a window that a meter has to have measured */
#define FLOOR_TICKS 256 /* ticks of that second; they are 10 ms or longer, shorter ones make the second shorter */

/* The latest second without a query: ends of its ticks, and up to there by channel the energy and the time measured. */
struct floor_finder {
	uint64_t *t_ns;
	double   *sum; /* uj and ns of each channel, one after the other */
	unsigned  n;
	int       nch;
};

/* 0 or -ENOMEM. */
int  floor_init(struct floor_finder *f, int nch);
void floor_release(struct floor_finder *f);
/* The next tick, in order. quiet: no query ran in it. Lowers w[ch] (NAN: none known) where a full second was lower. */
void floor_tick(struct floor_finder *f, const struct tick *t, int quiet, double *w);

#endif
