// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who did what in which step: as scripted engines did it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/work.h"

#define MS 1000000ull
#define T0 (1000000 * MS)
#define AT(ms) (T0 + (uint64_t)((ms) * (double)MS))

static struct work_steps steps;
static struct work a, b, c;

static int up(void **state)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
	return work_steps_init(&steps);
}

static int down(void **state)
{
	work_release(&a);
	work_release(&b);
	work_release(&c);
	work_steps_release(&steps);
	return 0;
}

static void near(double got, double want)
{
	if (!(fabs(got - want) <= 1e-4 * (fabs(want) + 1e-3)))
		fail_msg("%.9g, not %.9g", got, want);
}

static void all_of(double from_ms, double to_ms, double *x)
{
	memset(x, 0, WORK_KINDS * sizeof(*x));
	work_sum(&steps, AT(from_ms), AT(to_ms), x);
}

static void step(uint64_t begin_ns, uint64_t end_ns, int32_t tokens, uint32_t pid)
{
	struct step s = { .begin_ns = begin_ns, .end_ns = end_ns, .tokens = tokens, .pid = pid };

	work_step_seen(&steps, &s);
}

/* What one did in all, for its prompt and for its answer. */
static void parts(const struct work *w, double *prompt, double *answer)
{
	memset(prompt, 0, WORK_KINDS * sizeof(*prompt));
	memset(answer, 0, WORK_KINDS * sizeof(*answer));
	work_of(&steps, w, AT(0), AT(100000), prompt, answer);
}

static void settle(struct work *w, double size, double tokens, double r_ms)
{
	struct work_prompt p = { .size = size, .tokens = tokens, .r_ns = AT(r_ms), .e_ns = AT(r_ms + 10000) };

	assert_int_equal(work_prompt(&steps, w, &p, 1), 0);
}

/*
 * Chunks of 100 tokens, steps of 10 ms from 10 ms on: query a has a prompt of 150, b, which came with it, one of 80.
 * a's first token is of the second step, b's of the third, where a is decoded already.
 */
static void chunked(void **state)
{
	double p[WORK_KINDS], d[WORK_KINDS], x[WORK_KINDS];

	step(AT(10), AT(20), 100, 1);
	step(AT(20), AT(30), 100, 1);
	work_tokens(&steps, &a, AT(30.2), 1, AT(5), 999);
	step(AT(30), AT(40), 31, 1);
	work_tokens(&steps, &b, AT(40.2), 1, AT(5), 80);
	work_tokens(&steps, &a, AT(40.3), 1, AT(5), 999);
	step(AT(40), AT(50), 2, 1);
	work_tokens(&steps, &a, AT(50.2), 1, AT(5), 999);
	work_tokens(&steps, &b, AT(50.2), 1, AT(5), 80);
	settle(&a, 150, 150, 5);
	settle(&b, 80, 80, 5);

	parts(&a, p, d);
	near(p[WORK_PREFILL], 150);
	near(p[WORK_STEP], 1 + 0.5);
	near(p[WORK_ATTENTION], 100 * 0.050 + 50 * 0.125);
	near(d[WORK_DECODE], 2);
	near(d[WORK_CONTEXT], 0.151 + 0.152);
	near(d[WORK_STEP], 0.5 + 0.5);
	parts(&b, p, d);
	near(p[WORK_PREFILL], 80);
	near(p[WORK_STEP], 0.5 + 0.5);
	near(d[WORK_DECODE], 1);
	near(d[WORK_CONTEXT], 0.081);
	assert_int_equal(work_begin_ns(&steps, &a), AT(10));
	assert_int_equal(work_begin_ns(&steps, &b), AT(20));

	all_of(0, 1000, x);
	near(x[WORK_STEP], 4);
	near(x[WORK_PREFILL], 230);
	near(x[WORK_DECODE], 3);
	all_of(25, 35, x); /* halves of two steps */
	near(x[WORK_STEP], 1);
	near(x[WORK_PREFILL], 50 + 15);
}

/* A query that went away in its prefill had its tokens before the next in line. */
static void gone(void **state)
{
	double p[WORK_KINDS], d[WORK_KINDS];

	step(AT(10), AT(20), 100, 1);
	step(AT(20), AT(30), 100, 1);
	step(AT(30), AT(40), 40, 1);
	work_tokens(&steps, &b, AT(40.1), 1, AT(6), 110);
	settle(&a, 500, 500, 5); /* no token */
	settle(&b, 110, 110, 6);
	parts(&b, p, d);
	near(p[WORK_PREFILL], 0); /* all was taken: a had no end */
	memset(&c, 0, sizeof(c));
	work_tokens(&steps, &c, AT(40.1), 1, AT(6), 110);
	settle(&c, 110, 110, 6);
	parts(&a, p, d);
	near(p[WORK_PREFILL], 240);
}

/* No probe: steps from the wire. Two queries in lockstep, and one whose prompt makes a step longer. */
static void inferred(void **state)
{
	double p[WORK_KINDS], d[WORK_KINDS], x[WORK_KINDS];
	int i;

	work_tokens(&steps, &a, AT(100), 1, AT(50), 10);
	for (i = 1; i <= 10; i++) {
		work_tokens(&steps, &a, AT(100 + 20 * i), 1, AT(50), 10);
		if (i >= 5)
			work_tokens(&steps, &b, AT(100.3 + 20 * i), 1, AT(190), 30);
	}
	assert_int_equal(steps.next - steps.first, 11);
	settle(&a, 10, 10, 50);
	settle(&b, 30, 30, 190);
	parts(&a, p, d);
	near(p[WORK_STEP] + d[WORK_STEP], 5 + 6 * 0.5);
	near(d[WORK_DECODE], 10);
	parts(&b, p, d);
	near(p[WORK_PREFILL], 30);
	near(d[WORK_DECODE], 5);
	all_of(50, 100, x);
	near(x[WORK_STEP], 1);
	near(x[WORK_PREFILL], 10);
}

/* A step that ends at t_ms of query a, which is decoded all the time, and the first token of w if there is one. */
static void paced_step(double t_ms, struct work *w, double r_ms)
{
	work_tokens(&steps, &a, AT(t_ms), 1, AT(0), 10);
	if (w)
		work_tokens(&steps, w, AT(t_ms + 0.1), 1, AT(r_ms), 100);
}

/*
 * No probe: plain steps take 10 ms, and 0.1 ms more for each prompt token. Once that is known, a prompt of 200 tokens
 * that made one step 15 ms longer and the next one 5 ms was 150 and 50 tokens in them. One that came with it, and had
 * its first token in the second step too, was in that one only: nothing is left of it, but what is known for sure.
 */
static void paced(void **state)
{
	double t = 100, x[WORK_KINDS] = { 0 };
	struct work w = { 0 };
	int i, k;

	paced_step(t, NULL, 0);
	settle(&a, 10, 10, 0);
	for (i = 0; i < 70; i++) {
		for (k = 0; k < 2; k++)
			paced_step(t += 10, NULL, 0);
		paced_step(t + 20, &w, t - 1);
		settle(&w, 100, 100, t - 1);
		t += 20;
		work_learn(&steps, AT(t));
		work_leave(&steps, &w); /* one after the other of the same kind */
		work_release(&w);
		memset(&w, 0, sizeof(w));
	}
	paced_step(t + 25, NULL, 0);
	paced_step(t + 40, &b, t - 1);
	work_tokens(&steps, &c, AT(t + 40.2), 1, AT(t - 0.5), 40);
	settle(&b, 200, 200, t - 1);
	settle(&c, 40, 40, t - 0.5);
	work_of(&steps, &b, AT(t), AT(t + 25), x, x);
	near(x[WORK_PREFILL], 150);
	memset(x, 0, sizeof(x));
	work_of(&steps, &b, AT(t + 25), AT(t + 40), x, x);
	near(x[WORK_PREFILL], 50);
	memset(x, 0, sizeof(x));
	work_of(&steps, &c, AT(t), AT(t + 25), x, x);
	near(x[WORK_PREFILL], 0);
}

/* An answer that is not streamed: its tokens are those of the last steps. */
static void whole(void **state)
{
	double p[WORK_KINDS], d[WORK_KINDS];
	int i;

	step(AT(10), AT(50), 64, 1);
	for (i = 0; i < 7; i++)
		step(AT(50 + 10 * i), AT(60 + 10 * i), 1, 1);
	assert_int_equal(work_whole(&steps, &a, 64, 8, AT(9), AT(121)), 0);
	settle(&a, 64, 64, 9);
	parts(&a, p, d);
	near(p[WORK_PREFILL], 64);
	near(d[WORK_DECODE], 7);
	near(p[WORK_STEP] + d[WORK_STEP], 8);
}

/* Without a probe nobody knows in which steps such an answer was: only when. Times that overlap are one. */
static void dark(void **state)
{
	int i;

	assert_int_equal(work_whole(&steps, &a, 64, 8, AT(100), AT(200)), 0);
	assert_int_equal(work_whole(&steps, &b, 64, 8, AT(300), AT(400)), 0);
	assert_int_equal(work_whole(&steps, &c, 64, 8, AT(350), AT(500)), 0);
	assert_true(work_is_dark(&steps, AT(150), AT(160)));
	assert_false(work_is_dark(&steps, AT(200), AT(300)));
	assert_true(work_is_dark(&steps, AT(290), AT(301)));
	assert_true(work_is_dark(&steps, AT(450), AT(600)));
	assert_false(work_is_dark(&steps, AT(500), AT(600)));
	assert_int_equal(steps.dark.n, 2);
	assert_int_equal(work_whole(&steps, &c, 64, 8, AT(150), AT(510)), 0);
	assert_true(work_is_dark(&steps, AT(250), AT(260)));
	assert_int_equal(steps.dark.n, 1);
	for (i = 1; i < 3 * WORK_DARK; i++)
		assert_int_equal(work_whole(&steps, &c, 64, 8, AT(1000 * i), AT(1000 * i + 1)), 0);
	assert_true(work_is_dark(&steps, AT(1000 * (i - WORK_DARK)), AT(1000 * (i - WORK_DARK) + 1)));
	assert_false(work_is_dark(&steps, AT(1000 * (i - WORK_DARK - 1)), AT(1000 * (i - WORK_DARK - 1) + 1)));
}

/* A hop is taken out, and its query takes it over. Nothing is left of what is taken out. */
static void hop(void **state)
{
	double p[WORK_KINDS], d[WORK_KINDS], x[WORK_KINDS];
	int i;

	for (i = 0; i < 5; i++)
		work_tokens(&steps, &a, AT(100 + 20 * i), 1, AT(50), 10);
	work_leave(&steps, &a);
	all_of(0, 1000, x);
	near(x[WORK_DECODE], 0);
	near(x[WORK_CONTEXT], 0);
	for (i = 5; i < 8; i++)
		work_tokens(&steps, &a, AT(100 + 20 * i), 1, AT(50), 10);
	assert_int_equal(work_join(&steps, &b, &a), 0);
	settle(&b, 20, 20, 45);
	parts(&b, p, d);
	near(d[WORK_DECODE], 7);
	near(p[WORK_PREFILL], 20);
	all_of(0, 1000, x);
	near(x[WORK_DECODE], 7);
}

/* Both ranks of an engine compute one batch; two engines do not. More steps than are kept: old ones are forgotten. */
static void many(void **state)
{
	uint64_t i;

	step(AT(10), AT(20), -1, 1);
	step(AT(10.1), AT(20.2), 8, 2);
	assert_int_equal(steps.next - steps.first, 1);
	step(AT(19), AT(29), 8, 2);
	assert_int_equal(steps.next - steps.first, 2);
	work_tokens(&steps, &a, AT(30), 1, AT(1), 10);
	for (i = 0; i < 2 * WORK_STEPS; i++) {
		step(AT(30 + i), AT(31 + i), 1, 1);
		work_tokens(&steps, &a, AT(31.1 + i), 1, AT(1), 10);
	}
	assert_int_equal(steps.next - steps.first, WORK_STEPS);
	settle(&a, 10, 10, 1);
	work_leave(&steps, &a);
}

/* A batch in two parts: both have ended before its tokens are sent. */
static void parted(void **state)
{
	struct step s = { .begin_ns = AT(10), .end_ns = AT(20), .tokens = 30, .pid = 1, .batch = 7 };
	double p[WORK_KINDS], d[WORK_KINDS];

	work_step_seen(&steps, &s);
	s = (struct step){ .begin_ns = AT(20.1), .end_ns = AT(25), .tokens = 4, .pid = 1, .batch = 7 };
	work_step_seen(&steps, &s);
	assert_int_equal(steps.next - steps.first, 1);
	work_tokens(&steps, &a, AT(25.1), 1, AT(1), 34);
	settle(&a, 34, 34, 1);
	parts(&a, p, d);
	near(p[WORK_PREFILL], 34);
	near(p[WORK_STEP], 1);
	s = (struct step){ .begin_ns = AT(26), .end_ns = AT(30), .tokens = 1, .pid = 1, .batch = 8 };
	work_step_seen(&steps, &s);
	assert_int_equal(steps.next - steps.first, 2);
}

/* The probe is taken out: from then on they are inferred. */
static void lost(void **state)
{
	step(AT(10), AT(20), 5, 1);
	work_tokens(&steps, &a, AT(21), 1, AT(1), 10);
	work_tokens(&steps, &a, AT(3000), 1, AT(1), 10);
	assert_int_equal(steps.next - steps.first, 2);
	assert_false(steps.seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(chunked, up, down), cmocka_unit_test_setup_teardown(gone, up, down),
		cmocka_unit_test_setup_teardown(inferred, up, down),
		cmocka_unit_test_setup_teardown(paced, up, down), cmocka_unit_test_setup_teardown(whole, up, down),
		cmocka_unit_test_setup_teardown(dark, up, down),
		cmocka_unit_test_setup_teardown(hop, up, down), cmocka_unit_test_setup_teardown(many, up, down),
		cmocka_unit_test_setup_teardown(lost, up, down), cmocka_unit_test_setup_teardown(parted, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
