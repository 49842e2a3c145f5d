// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/histo.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define NS_MIN 1024 /* the first bucket */

struct histo *histo_new(void)
{
	return calloc(1, sizeof(struct histo));
}

void histo_free(struct histo *h)
{
	int i;

	for (i = 0; h && i < HISTO_OCTAVES; i++)
		free(h->octave[i]);
	free(h);
}

static int add_at(struct histo *h, int octave, int sub, uint64_t n)
{
	uint32_t *b = h->octave[octave];

	if (!b) {
		b = h->octave[octave] = calloc(HISTO_SUB, sizeof(*b));
		if (!b)
			return -ENOMEM;
	}
	b[sub] += n < UINT32_MAX - b[sub] ? (uint32_t)n : UINT32_MAX - b[sub]; /* a full bucket stays full */
	return 0;
}

int histo_add(struct histo *h, uint64_t ns, uint64_t n)
{
	int octave, sub;

	if (ns < NS_MIN)
		return add_at(h, 0, 0, n);
	octave = 63 - __builtin_clzll(ns) - 10;
	if (octave >= HISTO_OCTAVES)
		return add_at(h, HISTO_OCTAVES - 1, HISTO_SUB - 1, n);
	sub = (int)((ns >> (octave + 10 - 6)) & (HISTO_SUB - 1));
	return add_at(h, octave, sub, n);
}

int histo_merge(struct histo *a, const struct histo *b)
{
	int o, s;

	for (o = 0; o < HISTO_OCTAVES; o++)
		for (s = 0; b->octave[o] && s < HISTO_SUB; s++)
			if (b->octave[o][s] && add_at(a, o, s, b->octave[o][s]))
				return -ENOMEM;
	return 0;
}

uint64_t histo_n(const struct histo *h)
{
	uint64_t n = 0;
	int o, s;

	for (o = 0; o < HISTO_OCTAVES; o++)
		for (s = 0; h->octave[o] && s < HISTO_SUB; s++)
			n += h->octave[o][s];
	return n;
}

double histo_quantile_ns(const struct histo *h, double q)
{
	uint64_t n = h ? histo_n(h) : 0, rank, sum = 0;
	int o, s;

	if (!n)
		return NAN;
	rank = (uint64_t)ceil(q * (double)n);
	for (o = 0; o < HISTO_OCTAVES; o++)
		for (s = 0; h->octave[o] && s < HISTO_SUB; s++) {
			sum += h->octave[o][s];
			if (sum >= rank && h->octave[o][s])
				return ldexp(HISTO_SUB + s + 0.5, o + 10 - 6);
		}
	return NAN;
}
