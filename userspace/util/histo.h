/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A histogram of durations: 64 buckets to each doubling, so that a quantile is right to 0.8 %; a doubling that holds
 * nothing costs nothing. From 1 us to 70 minutes; what lies outside is counted at the nearest end.
 */
#ifndef IPW_UTIL_HISTO_H
#define IPW_UTIL_HISTO_H

#include <stdint.h>

#define HISTO_OCTAVES 32
#define HISTO_SUB     64

struct histo {
	uint32_t *octave[HISTO_OCTAVES];
};

struct histo *histo_new(void);
void histo_free(struct histo *h);
/* n values of ns each. 0 or -ENOMEM. */
int  histo_add(struct histo *h, uint64_t ns, uint64_t n);
/* How many there are. */
uint64_t histo_n(const struct histo *h);
/* Adds all of b to a. 0 or -ENOMEM. */
int  histo_merge(struct histo *a, const struct histo *b);
/* NAN when empty. The nearest-rank quantile, q in [0, 1], at the middle of its bucket. */
double histo_quantile_ns(const struct histo *h, double q);

#endif
