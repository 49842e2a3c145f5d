// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* In which steps prompts were, where only the wire is seen: a small engine that knows it, first come first served. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/work.h"

#define MS     1000000ull
#define T0     (1000000 * MS)
#define LINE   400  /* queries */
#define CHUNKS 16   /* steps of a prompt */

struct asked {
	struct work w;
	double r_ms, first_ms;
	int    prompt, answer, todo, made;
	double end_ms[CHUNKS];  /* of the steps that its prompt was in */
	int    part[CHUNKS], n; /* and how many of its tokens */
	int    leaves;          /* after so many steps in which it was */
	double late_ms;         /* its next token */
};

/* What the engine is like. */
struct engine {
	int      tokens, queries; /* in a step at most */
	double   plain_ms, token_ms;
	double   late_ms;         /* that a token is on the wire at most */
	uint32_t rest;            /* of the random numbers */
};

static struct work_steps steps;
static struct asked line[LINE];

static uint64_t at(double ms)
{
	return T0 + (uint64_t)(ms * (double)MS);
}

static int draw(struct engine *e, int low, int high)
{
	e->rest = e->rest * 1664525u + 1013904223u;
	return low + (int)((uint64_t)(e->rest >> 8) * (uint64_t)(high - low + 1) >> 24);
}

/* Queries that come every few steps; no two at once. */
static void fill_line(struct engine *e, int gap_ms)
{
	double t = 100;
	int i;

	memset(line, 0, sizeof(line));
	for (i = 0; i < LINE; i++) {
		t += draw(e, 1, 2 * gap_ms) + 0.37;
		line[i].r_ms = t;
		line[i].todo = line[i].prompt = draw(e, 5, 500);
		line[i].answer = draw(e, 3, 60);
	}
}

/* It has its part of a step that ends at t_ms; 1: all of the prompt is done. */
static int prefill(struct asked *q, int *room, double t_ms)
{
	int n = q->todo < *room ? q->todo : *room;

	q->end_ms[q->n] = t_ms;
	q->part[q->n++] = n;
	assert_true(q->n < CHUNKS);
	*room -= n;
	q->todo -= n;
	return !q->todo;
}

static int by_late(const void *a, const void *b)
{
	const struct asked *p = *(struct asked *const *)a, *q = *(struct asked *const *)b;

	return p->late_ms < q->late_ms ? -1 : p->late_ms > q->late_ms;
}

/* The tokens of a step, as they come. */
static void tokens(struct asked **of, int n, double t_ms)
{
	struct asked *q;
	int i;

	qsort(of, (size_t)n, sizeof(*of), by_late);
	for (i = 0; i < n; i++) {
		q = of[i];
		assert_int_equal(work_tokens(&steps, &q->w, at(t_ms + q->late_ms), 1, at(q->r_ms), q->prompt), 0);
		q->first_ms = q->made++ ? q->first_ms : t_ms;
	}
}

static int is_over(const struct asked *q)
{
	return q->made >= q->answer || (q->leaves && q->n >= q->leaves);
}

/* One step: those that are decoded, then prompts, as many as there is room for. When it ends. */
static double compute(struct engine *e, double t_ms)
{
	int room = e->tokens, places = e->queries, computed, i, n = 0;
	struct asked *of[LINE];
	double end_ms;

	for (i = 0; i < LINE; i++)
		if (line[i].made && !is_over(&line[i]))
			room--, places--;
	computed = room;
	for (i = 0; i < LINE && line[i].r_ms < t_ms; i++)
		if (!line[i].made && !is_over(&line[i]) && places-- > 0)
			computed -= line[i].todo < computed ? line[i].todo : computed;
	end_ms = t_ms + e->plain_ms + e->token_ms * (room - computed);
	for (i = 0, places = e->queries; i < LINE; i++) {
		line[i].late_ms = e->late_ms * draw(e, 0, 100) / 100;
		if (line[i].made && !is_over(&line[i])) {
			of[n++] = &line[i];
			places--;
		} else if (!is_over(&line[i]) && line[i].r_ms < t_ms && places > 0 && room > 0) {
			places--;
			if (prefill(&line[i], &room, end_ms))
				of[n++] = &line[i];
		}
	}
	tokens(of, n, end_ms);
	return end_ms;
}

static void run(struct engine *e, int gap_ms)
{
	double t = 100;
	int i, left = 1;

	assert_int_equal(work_steps_init(&steps), 0);
	fill_line(e, gap_ms);
	for (i = 5; i < LINE; i += 40)
		line[i].leaves = line[i].prompt > e->tokens * 2 ? 1 : 0;
	while (left) {
		t = compute(e, t);
		for (i = left = 0; i < LINE; i++)
			left += !is_over(&line[i]);
	}
}

/* In line, as the engine had them. */
static void settle(struct asked *q)
{
	struct work_prompt p = { .size = q->prompt, .tokens = q->prompt, .r_ns = at(q->r_ms), .e_ns = at(q->r_ms) };

	if (q->n)
		p.e_ns = at(q->end_ms[q->n - 1] - 0.01);
	assert_int_equal(work_prompt(&steps, &q->w, &p, 1), 0);
	work_learn(&steps, at(q->end_ms[q->n - 1] + 1));
}

/* The part of its tokens that is in the wrong step. */
static double wrong(const struct asked *q)
{
	double off = 0, x[WORK_KINDS], none[WORK_KINDS];
	int i;

	for (i = 0; i < q->n; i++) {
		memset(x, 0, sizeof(x));
		work_of(&steps, &q->w, at(q->end_ms[i] - 0.9), at(q->end_ms[i] - 0.5), x, none);
		memset(none, 0, sizeof(none));
		work_sum(&steps, at(q->end_ms[i] - 0.9), at(q->end_ms[i] - 0.5), none);
		off += fabs(x[WORK_PREFILL] / none[WORK_STEP] - q->part[i]);
	}
	return off / q->prompt;
}

/* Settles all, and looks at those after the first few. */
static void judge(double most)
{
	int i, n = 0, bad = 0;

	for (i = 0; i < LINE; i++)
		settle(&line[i]);
	for (i = 60; i < LINE; i++) {
		n++;
		bad += wrong(&line[i]) > 0.1;
	}
	for (i = 0; i < LINE; i++)
		work_release(&line[i].w);
	work_steps_release(&steps);
	if (bad > most * n)
		fail_msg("%d of %d prompts are in wrong steps", bad, n);
}

/* Time says little of prompts, as where they hide behind memory; the limit says it all. */
static void test_budget(void **state)
{
	struct engine e = { .tokens = 100, .queries = 50, .plain_ms = 10, .token_ms = 0.01, .rest = 7 };

	run(&e, 60);
	judge(0.03);
}

/* Somebody always waits for a place, so no step is plain. Who found a place before it was used up is not known. */
static void test_crowd(void **state)
{
	struct engine e = { .tokens = 120, .queries = 6, .plain_ms = 10, .token_ms = 0.1, .rest = 9 };

	run(&e, 20);
	judge(0.2);
	assert_int_equal(steps.pace.nplain, 0);
}

/* No limit is ever met: each prompt is in one step, and nothing else is believed. */
static void test_none(void **state)
{
	struct engine e = { .tokens = 100000, .queries = 50, .plain_ms = 10, .token_ms = 0.05, .rest = 11 };

	run(&e, 60);
	judge(0.01);
}

/* Tokens come late, by more than two ms, but by little of a step. */
static void test_late(void **state)
{
	struct engine e = { .tokens = 100, .queries = 50, .plain_ms = 40, .token_ms = 0.01, .late_ms = 6, .rest = 3 };

	run(&e, 240);
	judge(0.1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_budget), cmocka_unit_test(test_crowd), cmocka_unit_test(test_none),
		cmocka_unit_test(test_late),
	};

	return cmocka_run_group_tests_name("work_limit", tests, NULL, NULL);
}
