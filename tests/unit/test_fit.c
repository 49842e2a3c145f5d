// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Costs that are known are found again, by the lag that is the meter's, and it is known how sure they are. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/fit.h"

#define WINDOW_NS 100000000ull

static struct fit f;
static unsigned seed;

static double any(double lo, double hi)
{
	seed = seed * 1103515245u + 12345;
	return lo + (hi - lo) * (seed >> 8 & 0xffff) / 65536.0;
}

/* What was done in a window: of no use to know one from the other. */
static void work(double *x)
{
	x[WORK_STEP] = any(0.5, 3);
	x[WORK_PREFILL] = any(0, 1) < 0.3 ? any(50, 800) : 0;
	x[WORK_DECODE] = x[WORK_STEP] * any(1, 16);
	x[WORK_CONTEXT] = x[WORK_DECODE] * any(0.1, 2);
	x[WORK_ATTENTION] = x[WORK_PREFILL] * any(0.1, 1);
}

/* n windows of a meter that lags by `lag` windows, with noise in parts of a window's energy. */
static void run(const double *cost, int n, unsigned lag, double noise)
{
	static double past[FIT_LAGS + 1][WORK_KINDS];
	double x[FIT_LAGS][WORK_KINDS], y;
	int i;

	memset(&f, 0, sizeof(f));
	memset(past, 0, sizeof(past));
	for (i = 0; i < n; i++) {
		memmove(past[1], past[0], FIT_LAGS * sizeof(*past));
		work(past[0]);
		memcpy(x, past, sizeof(x));
		y = fit_energy(cost, past[lag]) * any(1 - noise, 1 + noise);
		fit_window(&f, x, y, i * WINDOW_NS, (i + 1) * WINDOW_NS);
	}
}

static void found(void **state)
{
	static const double cost[WORK_KINDS] = { 0.8, 0.004, 0.05, 0.02, 0.001 };
	int i;

	for (seed = 1; seed < 6; seed++) {
		run(cost, 1500, 0, 0);
		for (i = 0; i < WORK_KINDS; i++)
			assert_true(fabs(f.cost[i] - cost[i]) < 1e-4 * cost[i]);
		assert_true(f.best == 0 && fit_holds(&f) && f.grouped);
		assert_true(fit_residual(&f) < 1e-3);
	}
}

static void no_negative(void **state)
{
	static const double cost[WORK_KINDS] = { 0.8, 0, 0.05, -0.01, 0 };
	int i;

	seed = 7;
	run(cost, 1500, 0, 0.05);
	for (i = 0; i < WORK_KINDS; i++)
		assert_true(f.cost[i] >= 0);
	assert_true(f.cost[WORK_CONTEXT] == 0);
}

static void lag(void **state)
{
	static const double cost[WORK_KINDS] = { 0.8, 0.004, 0.05, 0.02, 0.001 };
	unsigned by;

	for (by = 0; by < FIT_LAGS; by += 9) {
		seed = by + 1;
		run(cost, 1500, by, 0.1);
		assert_true(f.best == by);
	}
}

/* Tokens that all cost the same: the fit may be used or not, there is nothing to be gained. One that is none is not. */
static void not_worse(void **state)
{
	static const double none[WORK_KINDS];
	double x[FIT_LAGS][WORK_KINDS] = { 0 }, y;
	int i, k;

	memset(&f, 0, sizeof(f));
	seed = 11;
	for (i = 0; i < 1500; i++) { /* energy has nothing to do with the work */
		work(x[0]);
		for (k = 1; k < FIT_LAGS; k++)
			memcpy(x[k], x[0], sizeof(x[0]));
		y = 5 * (x[0][WORK_PREFILL] + x[0][WORK_DECODE]);
		fit_window(&f, x, y, i * WINDOW_NS, (i + 1) * WINDOW_NS);
	}
	assert_true(fit_energy(none, x[0]) == 0);
	assert_true(fabs(fit_energy(f.cost, x[0]) - y) < 1e-3 * y);
	memset(&f, 0, sizeof(f));
	for (i = 0; i < 50; i++)
		fit_window(&f, x, y, i * WINDOW_NS, (i + 1) * WINDOW_NS);
	assert_true(!fit_holds(&f)); /* it knows too little */
}

/* Noise in the meter: the standard error by the jackknife is of the size of the error. */
static void sure(void **state)
{
	static const double cost[WORK_KINDS] = { 0.8, 0.004, 0.05, 0.02, 0.001 };
	static const double x[WORK_KINDS] = { 0, 100, 0, 0, 0 };
	double sum = 0, err = 0, var = 0, d;
	int i, g, n = 40;

	for (i = 0; i < n; i++) {
		seed = 100 + (unsigned)i;
		run(cost, 800, 0, 0.2);
		d = fit_energy(f.cost, x) - fit_energy(cost, x);
		err += d * d;
		for (g = 0, sum = 0; g < FIT_GROUPS; g++) {
			d = fit_energy(f.without[g], x) - fit_energy(f.cost, x);
			sum += d * d;
		}
		var += sum * (FIT_GROUPS - 1) / FIT_GROUPS;
	}
	assert_true(var > err / 3 && var < 3 * err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found), cmocka_unit_test(no_negative), cmocka_unit_test(lag),
		cmocka_unit_test(not_worse), cmocka_unit_test(sure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
