// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Quantiles against the sorted values: within 0.8 %, as the header says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "userspace/util/histo.h"

#define N 4001

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Nearest rank: the smallest value that at least q of all are not above. */
static uint64_t exact(const uint64_t *v, size_t n, double q)
{
	size_t rank = (size_t)ceil(q * (double)n);

	return v[rank ? rank - 1 : 0];
}

static void near(double got, uint64_t want)
{
	if (!(fabs(got - (double)want) <= 0.0079 * (double)want))
		fail_msg("%g is not within 0.8 %% of %g", got, (double)want);
}

static void quantiles(void **state)
{
	static const double qs[] = { 0, 1e-9, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1 };
	static uint64_t v[N];
	struct histo *h;
	size_t i, n, k;
	int turn;

	srand(1);
	for (turn = 0; turn < 60; turn++) {
		h = histo_new();
		n = turn < 20 ? (size_t)turn + 1 : N;
		for (i = 0; i < n; i++) {
			/* log-uniform from 1 us to 70 min; or many equal ones; or all in one octave */
			v[i] = turn % 3 == 0 ? (uint64_t)(1024 * exp2(rand() / (double)RAND_MAX * 31.99)) :
			       turn % 3 == 1 ? 1000000 * (uint64_t)(1 + rand() % 5) :
			       50000000 + (uint64_t)rand() % 10000000;
			assert_int_equal(histo_add(h, v[i], 1), 0);
		}
		qsort(v, n, sizeof(*v), by_size);
		for (k = 0; k < sizeof(qs) / sizeof(*qs); k++)
			near(histo_quantile_ns(h, qs[k]), exact(v, n, qs[k]));
		assert_int_equal(histo_n(h), n);
		histo_free(h);
	}
}

/* Every power of two, what is just below and above it. */
static void edges_of_buckets(void **state)
{
	struct histo *h;
	uint64_t v;
	int bit, d;

	for (bit = 10; bit < 42; bit++)
		for (d = -1; d <= 1; d++) {
			v = (1ull << bit) + (uint64_t)(int64_t)d;
			if (v < 1024)
				continue;
			h = histo_new();
			assert_int_equal(histo_add(h, v, 3), 0);
			near(histo_quantile_ns(h, 0.5), v);
			histo_free(h);
		}
}

static void outside(void **state)
{
	struct histo *h = histo_new();

	assert_true(isnan(histo_quantile_ns(h, 0.5)));
	assert_true(isnan(histo_quantile_ns(NULL, 0.5)));
	assert_int_equal(histo_add(h, 0, 1), 0);
	assert_int_equal(histo_add(h, 1, 1), 0);
	assert_int_equal(histo_add(h, UINT64_MAX, 1), 0);
	near(histo_quantile_ns(h, 0.5), 1024);
	near(histo_quantile_ns(h, 1), 1ull << 42);
	histo_free(h);
	histo_free(NULL);
}

static void merging(void **state)
{
	struct histo *a = histo_new(), *b = histo_new(), *both = histo_new();
	uint64_t v;
	int i;

	for (i = 0; i < 1000; i++) {
		v = (uint64_t)(i * i) * 1000 + 2000;
		assert_int_equal(histo_add(i % 3 ? a : b, v, (uint64_t)i), 0);
		assert_int_equal(histo_add(both, v, (uint64_t)i), 0);
	}
	assert_int_equal(histo_merge(a, b), 0);
	assert_int_equal(histo_n(a), histo_n(both));
	for (i = 0; i <= 100; i++)
		assert_true(histo_quantile_ns(a, i / 100.0) == histo_quantile_ns(both, i / 100.0));
	histo_free(a);
	histo_free(b);
	histo_free(both);
}

/* A count that is full stays full, and there is still a quantile. */
static void full_buckets(void **state)
{
	struct histo *h = histo_new();

	assert_int_equal(histo_add(h, 5000, UINT32_MAX), 0);
	assert_int_equal(histo_add(h, 5000, UINT64_MAX), 0);
	assert_int_equal(histo_add(h, 5000, 7), 0);
	near(histo_quantile_ns(h, 1), 5000);
	assert_int_equal(histo_add(h, 9000, 1), 0);
	near(histo_quantile_ns(h, 1), 9000);
	near(histo_quantile_ns(h, 0.5), 5000);
	histo_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantiles),
		cmocka_unit_test(edges_of_buckets),
		cmocka_unit_test(outside),
		cmocka_unit_test(merging),
		cmocka_unit_test(full_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
