// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who did what in which step, where test_work.c and the recordings of tests/split/test_fitted.py do not come to. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "userspace/work.h"

#define MS 1000000ull

static const struct work_prompt prompt = { .size = 20, .tokens = 20, .r_ns = 5 * MS, .e_ns = 900 * MS };

static int setup(void **state)
{
	static struct work_steps s;

	*state = &s;
	return work_steps_init(&s);
}

static int teardown(void **state)
{
	work_steps_release(*state);
	return 0;
}

static void step(struct work_steps *s, uint64_t begin_ns, uint64_t end_ns, int32_t tokens, uint32_t pid)
{
	struct step p = { .begin_ns = begin_ns, .end_ns = end_ns, .tokens = tokens, .pid = pid };

	work_step_seen(s, &p);
}

/* Steps of 10 ms, one after the other. */
static void steps(struct work_steps *s, uint64_t from, uint64_t to, int32_t tokens)
{
	for (; from < to; from++)
		step(s, from * 10 * MS, (from + 1) * 10 * MS, tokens, 1);
}

static double prompt_of(const struct work_steps *s, const struct work *w)
{
	double p[WORK_KINDS] = { 0 }, a[WORK_KINDS] = { 0 };

	work_of(s, w, 0, UINT64_MAX, p, a);
	return p[WORK_PREFILL];
}

/* One that is split early has its prompt settled, and is over later. */
static void test_settled(void **state)
{
	struct work_steps *s = *state;
	struct work w = { 0 };

	steps(s, 1, 2, 20);
	assert_int_equal(work_tokens(s, &w, 21 * MS, 1, 5 * MS, 20), 0);
	steps(s, 2, 4, 1);
	assert_int_equal(work_tokens(s, &w, 41 * MS, 2, 5 * MS, 20), 0);
	assert_int_equal(work_prompt(s, &w, &prompt, 1), 0);
	assert_float_equal(prompt_of(s, &w), 20, 1e-6);
	assert_int_equal(work_prompt(s, &w, &prompt, 0), 0);
	assert_float_equal(prompt_of(s, &w), 20, 1e-6);
	assert_int_equal(work_begin_ns(s, &w), 10 * MS);
	work_release(&w);
}

/* Steps of which it is not known how many tokens they had are no part of a prompt that is counted. */
static void test_uncounted(void **state)
{
	struct work_steps *s = *state;
	struct work w = { 0 };

	steps(s, 1, 4, -1);
	steps(s, 4, 5, 30);
	assert_int_equal(work_tokens(s, &w, 51 * MS, 1, 5 * MS, 20), 0);
	assert_int_equal(work_prompt(s, &w, &prompt, 1), 0);
	assert_float_equal(prompt_of(s, &w), 20, 1e-6);
	work_release(&w);
}

/* A token whose time is before that of the one before it. */
static void test_backwards(void **state)
{
	double p[WORK_KINDS] = { 0 }, a[WORK_KINDS] = { 0 };
	struct work_steps *s = *state;
	struct work w = { 0 };

	steps(s, 1, 10, 1);
	assert_int_equal(work_tokens(s, &w, 21 * MS, 1, 5 * MS, 20), 0);
	assert_int_equal(work_tokens(s, &w, 81 * MS, 6, 5 * MS, 20), 0);
	assert_int_equal(work_tokens(s, &w, 41 * MS, 3, 5 * MS, 20), 0);
	assert_int_equal(work_tokens(s, &w, 101 * MS, 2, 5 * MS, 20), 0);
	work_of(s, &w, 0, UINT64_MAX, p, a);
	assert_float_equal(a[WORK_DECODE], 11, 1e-6);
	work_of(s, &w, 45 * MS, 55 * MS, p, a);
	assert_float_equal(a[WORK_DECODE], 12, 1e-6);
	work_release(&w);
}

/* A long step that ends behind short ones and began before them. */
static void test_across(void **state)
{
	struct work_steps *s = *state;
	double x[WORK_KINDS] = { 0 };

	steps(s, 10, 14, 1);
	step(s, 20 * MS, 145 * MS, 50, 2);
	work_sum(s, 20 * MS, 45 * MS, x);
	assert_float_equal(x[WORK_STEP], 0.2, 1e-9);
	assert_float_equal(x[WORK_PREFILL], 10, 1e-9);
}

/* An answer without an end, of which a token is late now and then: what is forgotten is freed. */
static void test_endless(void **state)
{
	struct work_steps *s = *state;
	struct work w = { 0 };
	uint64_t i;

	for (i = 1; i < 20 * WORK_STEPS; i++) {
		steps(s, i, i + 1, 1);
		assert_int_equal(work_tokens(s, &w, (i + 1) * 10 * MS + 1, i % 3, 5 * MS, 20), 0);
	}
	assert_true(w.answer.cap <= 4 * WORK_STEPS);
	work_leave(s, &w);
	assert_float_equal(s->ring[5].sum[WORK_DECODE], 0, 1e-6);
	assert_int_equal(s->ring[5].queries, 0);
	work_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uncounted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backwards, setup, teardown),
		cmocka_unit_test_setup_teardown(test_across, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless, setup, teardown),
	};

	return cmocka_run_group_tests_name("work", tests, NULL, NULL);
}
