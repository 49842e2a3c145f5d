// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table against a plain array, with keys that meet. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/hash.h"

#define KEYS 600

static uint64_t key[KEYS];
static void *model[KEYS];
static char vals[KEYS][2];

static void compare(struct hash *h)
{
	size_t i, at = 0, n = 0, seen = 0;
	void *v;

	for (i = 0; i < KEYS; i++) {
		assert_ptr_equal(hash_get(h, key[i]), model[i]);
		n += model[i] != NULL;
	}
	assert_int_equal(h->used, n);
	for (seen = 0; (v = hash_next(h, &at)); seen++) {
		for (i = 0; i < KEYS && model[i] != v; i++)
			;
		assert_true(i < KEYS);
	}
	assert_int_equal(seen, n);
	assert_true(h->cap == 0 || 2 * h->used <= h->cap);
}

/* kind 0: small numbers; 1: multiples of 2^32; 2: random; 3: 0 and ~0 and around. */
static void run(int kind, unsigned seed)
{
	struct hash h = { 0 };
	size_t i, k;
	int turn;

	srand(seed);
	for (i = 0; i < KEYS; i++) {
		key[i] = kind == 0 ? i : kind == 1 ? (uint64_t)i << 32 :
			 kind == 2 ? (uint64_t)rand() << 33 ^ (uint64_t)i : i - KEYS / 2;
		model[i] = NULL;
	}
	compare(&h);
	for (turn = 0; turn < 20000; turn++) {
		k = (size_t)rand() % KEYS;
		/* fills up, then empties, then fills again */
		if (rand() % 10 < (turn / 5000 % 2 ? 3 : 7)) {
			model[k] = vals[k] + (rand() & 1);
			assert_int_equal(hash_put(&h, key[k], model[k]), 0);
		} else {
			assert_ptr_equal(hash_del(&h, key[k]), model[k]);
			model[k] = NULL;
		}
		if (turn % 97 == 0)
			compare(&h);
	}
	for (i = 0; i < KEYS; i++) {
		assert_ptr_equal(hash_del(&h, key[i]), model[i]);
		model[i] = NULL;
		if (i % 50 == 0)
			compare(&h);
	}
	compare(&h);
	hash_release(&h);
	assert_null(hash_get(&h, key[0]));
	assert_null(hash_del(&h, key[0]));
	compare(&h);
}

static void as_the_model(void **state)
{
	int kind;
	unsigned seed;

	for (kind = 0; kind < 4; kind++)
		for (seed = 1; seed < 5; seed++)
			run(kind, seed);
}

/* All in one run of slots that goes round the end of the table: holes have to be closed over the edge. */
static void holes_over_the_edge(void **state)
{
	struct hash h = { 0 };
	uint64_t k, chain[24];
	size_t n = 0, i, gone;

	assert_int_equal(hash_put(&h, 1, vals[0]), 0);
	hash_del(&h, 1);
	assert_int_equal(h.cap, 64);
	/* keys whose home is one of the last three slots, found by putting each into the empty table */
	for (k = 1; n < 24; k++) {
		assert_int_equal(hash_put(&h, k, vals[0]), 0);
		for (i = 61; i < 64; i++)
			if (h.slots[i].val)
				chain[n++] = k;
		hash_del(&h, k);
	}
	for (gone = 0; gone < n; gone++) {
		for (i = 0; i < n; i++)
			assert_int_equal(hash_put(&h, chain[i], vals[i]), 0);
		assert_ptr_equal(hash_del(&h, chain[gone]), vals[gone]);
		for (i = 0; i < n; i++)
			assert_ptr_equal(hash_get(&h, chain[i]), i == gone ? NULL : vals[i]);
	}
	hash_release(&h);
}

static void many(void **state)
{
	struct hash h = { 0 };
	uint64_t i;

	for (i = 0; i < 200000; i++)
		assert_int_equal(hash_put(&h, i * 64, vals[i % KEYS]), 0);
	assert_int_equal(h.used, 200000);
	for (i = 0; i < 200000; i++)
		assert_ptr_equal(hash_del(&h, i * 64), vals[i % KEYS]);
	assert_int_equal(h.used, 0);
	hash_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_model),
		cmocka_unit_test(holes_over_the_edge),
		cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
