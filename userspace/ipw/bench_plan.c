// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/bench.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t plan_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

double plan_gap_s(uint64_t *state, double rate)
{
	return -log1p(-(double)(plan_random(state) >> 11) * 0x1p-53) / rate;
}

/* Fisher and Yates. The bias of the remainder is 2^-32 and less. */
static void shuffle(uint32_t *v, size_t n, uint64_t state)
{
	uint32_t one;
	size_t i, k;

	for (i = n; i > 1; i--) {
		k = plan_random(&state) % i;
		one = v[i - 1];
		v[i - 1] = v[k];
		v[k] = one;
	}
}

int plan_init(struct plan *p, size_t n, size_t queries, int repetitions, uint64_t seed)
{
	size_t some = queries && queries < n ? queries : n, i;
	uint32_t *all = calloc(n ? n : 1, sizeof(*all));
	int r;

	*p = (struct plan){ .item = calloc(some * (size_t)repetitions, sizeof(*p->item)), .n = some };
	p->total = some * (size_t)repetitions;
	if (!all || !p->item) {
		free(all);
		plan_release(p);
		return -ENOMEM;
	}
	for (i = 0; i < n; i++)
		all[i] = (uint32_t)i;
	shuffle(all, n, seed);
	for (r = 0; r < repetitions; r++) {
		memcpy(p->item + (size_t)r * some, all, some * sizeof(*all));
		if (r)
			shuffle(p->item + (size_t)r * some, some, seed + (uint64_t)r * 0x632be59bd9b4e019ull);
	}
	free(all);
	return 0;
}

void plan_release(struct plan *p)
{
	free(p->item);
	*p = (struct plan){ 0 };
}
