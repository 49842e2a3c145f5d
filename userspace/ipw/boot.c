// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/boot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Rows are drawn by blocks, each for all draws while it stands in the first cache: first how often each draw takes of
 * each block, by drawing all rows and looking at their blocks only, then that many rows of it. It is the same
 * distribution.
 */
#define BLOCK_SHIFT 9

/* G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom number generators, 2014 (SplitMix64). */
static inline uint64_t random64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 32 random bits to 0 .. n - 1 */
static inline uint32_t below(uint32_t bits, uint32_t n)
{
	return (uint32_t)((uint64_t)bits * n >> 32);
}

static void draw_blocks(uint32_t *count, size_t n, size_t nblock, uint64_t *state)
{
	uint64_t bits = 0;
	size_t i;

	memset(count, 0, nblock * sizeof(*count));
	for (i = 0; i < n; i++) {
		bits = i & 1 ? bits >> 32 : random64(state);
		count[below((uint32_t)bits, (uint32_t)n) >> BLOCK_SHIFT]++;
	}
}

typedef float  floats __attribute__((vector_size(8)));
typedef double doubles __attribute__((vector_size(16)));

static inline doubles load(const float *at)
{
	floats f;

	memcpy(&f, at, sizeof(f));
	return __builtin_convertvector(f, doubles);
}

static inline void store(double *sum, doubles s)
{
	sum[0] += s[0];
	sum[1] += s[1];
}

/* count rows of the n that begin at row. wide: of six columns; known when this is compiled. */
static inline __attribute__((always_inline)) void draw_rows(const struct boot *b, const float *row, uint32_t n,
							    uint32_t count, int wide, uint64_t *state, double *sum)
{
	uint64_t bits, tails = b->coin ? 4294967296 - (uint64_t)(b->p * 4294967296.0) : 0, s = *state;
	size_t width = wide ? 6 : 4, step = width * (b->coin ? 2 : 1);
	doubles s0 = { 0 }, s2 = { 0 }, s4 = { 0 };
	const float *at;

	while (count--) {
		bits = random64(&s);
		at = row + below((uint32_t)bits, n) * step + (bits >> 32 < tails ? width : 0);
		s0 += load(at);
		s2 += load(at + 2);
		if (wide)
			s4 += load(at + 4);
	}
	*state = s;
	store(sum, s0);
	store(sum + 2, s2);
	if (wide)
		store(sum + 4, s4);
}

static void draw(const struct boot *b, const float *row, uint32_t n, uint32_t count, uint64_t *state, double *sum)
{
	if (b->width == 6)
		draw_rows(b, row, n, count, 1, state, sum);
	else
		draw_rows(b, row, n, count, 0, state, sum);
}

int boot_sums(const struct boot *b, double *ret_sums)
{
	size_t nblock = (b->n >> BLOCK_SHIFT) + 1, step = (size_t)b->width * (b->coin ? 2 : 1), from, i;
	uint32_t *count = malloc(b->draws * nblock * sizeof(*count)), here;
	uint64_t state = b->seed;
	unsigned d;

	if (!count)
		return -ENOMEM;
	memset(ret_sums, 0, (size_t)b->draws * (size_t)b->width * sizeof(*ret_sums));
	for (d = 0; d < b->draws; d++)
		draw_blocks(count + d * nblock, b->n, nblock, &state);
	for (i = 0; i < nblock; i++) {
		from = i << BLOCK_SHIFT;
		here = b->n - from < 1u << BLOCK_SHIFT ? (uint32_t)(b->n - from) : 1u << BLOCK_SHIFT;
		for (d = 0; d < b->draws; d++)
			draw(b, b->row + from * step, here, count[d * nblock + i], &state,
			     ret_sums + (size_t)d * (size_t)b->width);
	}
	free(count);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* v is sorted; between two of them, what is between them. */
static double quantile(const double *v, unsigned n, double q)
{
	double at = q * (n - 1);
	unsigned i = (unsigned)at;

	return i + 1 < n ? v[i] + (at - i) * (v[i + 1] - v[i]) : v[n - 1];
}

struct interval boot_interval(double *v, unsigned n)
{
	struct interval ret = { NAN, NAN };
	unsigned i, kept = 0;

	for (i = 0; i < n; i++)
		if (isfinite(v[i]))
			v[kept++] = v[i];
	if (kept < 2 || 2 * kept < n)
		return ret;
	qsort(v, kept, sizeof(*v), by_value);
	ret.low = quantile(v, kept, (1 - BOOT_LEVEL) / 2);
	ret.high = quantile(v, kept, (1 + BOOT_LEVEL) / 2);
	return ret;
}
