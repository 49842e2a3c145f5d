/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bootstrap: how far a figure would move had other queries been drawn. Rows are drawn with replacement, as many as
 * there are; a figure is made from the sums of the drawn rows; the interval is that of its percentiles.
 *
 * B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13.
 */
#ifndef IPW_IPW_BOOT_H
#define IPW_IPW_BOOT_H

#include <stddef.h>
#include <stdint.h>

#define BOOT_LEVEL 0.95 /* of the intervals */

struct interval {
	double low, high; /* NAN: not known */
};

struct boot {
	const float *row;   /* [n][variants][width] */
	size_t       n;     /* below 2^32 */
	int          width; /* 4 or 6 */
	int          coin;  /* a row has two variants: each time it is drawn it is the first with probability p */
	double       p;
	unsigned     draws;
	uint64_t     seed;  /* the same gives the same */
};

/* ret_sums[draws][width]. 0 or -ENOMEM. */
int boot_sums(const struct boot *b, double *ret_sums);

/* The middle BOOT_LEVEL of v, which is sorted; what is not finite is left out. NAN if fewer than half are finite. */
struct interval boot_interval(double *v, unsigned n);

#endif
