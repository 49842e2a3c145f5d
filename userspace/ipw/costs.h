/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What queries take beside joules: arithmetic, a part of what the devices can do, money, carbon.
 *
 *   MFU = sum of FLOPs / (sum of busy seconds x peak FLOP/s)
 *   MBU = sum of bytes read to decode / (sum of decode seconds x peak bytes/s)
 *   SCI = ((E I) + M) per R (Software Carbon Intensity specification, ISO/IEC 21031:2024); R is a query
 *
 * Busy seconds: while n queries of a run are in flight, each has 1/n of every second; they add up to the time in which
 * the server was at work on any. MBU is of queries that were alone: in a batch several share what a step reads, and how
 * many steps there were is not in results. Decode seconds: from a query's first token to its end.
 */
#ifndef IPW_IPW_COSTS_H
#define IPW_IPW_COSTS_H

#include "userspace/ipw/devices.h"
#include "userspace/ipw/results.h"

struct costs_opts {
	struct peak peak;
	double grid_g;     /* gCO2e a kWh; NAN: not given */
	double embodied_g; /* gCO2e a query, of making the hardware; 0: not counted */
};

/* A mean over the n rows that have it. */
struct cost {
	uint32_t n;
	double   mean;
	double   per_right; /* the sum by the right answers, of rows that also have a verdict */
};

struct costs {
	struct cost flops, usd, gco2e;
	double      flops_per_j;
	uint32_t    nmfu, nmbu;  /* rows that they are of */
	double      mfu, mbu;
};

/* Of the rows whose query is in a group, as score_of(). */
void costs_of(const struct config *c, const uint32_t *group, uint32_t which, const struct costs_opts *o,
	      struct costs *ret);

#endif
