// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How many tokens, and how many queries, an engine puts in a step at most, where its steps are only inferred.
 *
 * A prompt that was begun as soon as it could be, and was done in step `last`, filled the steps between: these have
 * room for less than its tokens, and `last` with them for as many. That is an interval of what the limit can be; for
 * prompts that follow one another without a pause, taken together, a narrow one. One that waited for something else
 * gives an interval that is wrong, but each of these is wrong in its own way and the others agree.
 *
 * What they wait for otherwise is that a query ends, as there are as many in a step as there may be.
 */
#include "userspace/work_internal.h"

#include <math.h>

#define VOTES_MIN 8
#define AGREE     0.5   /* of the votes */
#define NEARLY    0.5
#define CROWDED   8     /* so many prompts found as many queries there, or more */
#define CHAIN_MAX 64    /* steps that are looked through for one prompt */
#define SLACK     1.005 /* the limit is known to so much */

static int is_in(const struct work_vote *v, double tokens)
{
	return (v->low[0] <= tokens && tokens < v->high[0]) || (v->low[1] <= tokens && tokens < v->high[1]);
}

/* How many votes have it. Above it the first end of one of theirs. */
static unsigned count(const struct work_limit *l, unsigned n, double tokens, double *ret_end)
{
	unsigned i, k, sum = 0;

	*ret_end = INFINITY;
	for (i = 0; i < n; i++) {
		sum += (unsigned)is_in(&l->vote[i], tokens);
		for (k = 0; k < 2; k++)
			if (l->vote[i].high[k] > tokens && l->vote[i].high[k] < *ret_end)
				*ret_end = l->vote[i].high[k];
	}
	return sum;
}

/* The most queries that were in a step while prompts waited: not that of a few. */
static uint32_t crowd(const struct work_limit *l, unsigned n)
{
	uint32_t most = 0;
	unsigned i, k, more;

	for (i = 0; i < n; i++) {
		for (k = more = 0; k < n; k++)
			more += l->vote[k].beside >= l->vote[i].beside;
		if (more >= CROWDED && l->vote[i].beside > most)
			most = l->vote[i].beside;
	}
	return most;
}

/* The limit that is in the most intervals, the middle of where it can be; of two that are in as many, the higher. */
static void elect(struct work_limit *l)
{
	unsigned n = l->n < WORK_VOTES ? l->n : WORK_VOTES, i, best = 0, sum;
	double end, at = NAN;

	for (i = 0; i < 2 * n; i++) {
		sum = count(l, n, l->vote[i / 2].low[i % 2], &end);
		if (sum < best || (sum == best && l->vote[i / 2].low[i % 2] < at))
			continue;
		best = sum;
		at = l->vote[i / 2].low[i % 2];
		l->tokens = isinf(end) ? end : (at + end) / 2;
	}
	l->queries = crowd(l, n);
	l->known = n >= VOTES_MIN && best > AGREE * n;
}

/* Tokens of answers in steps a to b - 1; NAN if one of them may be many steps, of prompts alone. */
static double answers(const struct work_steps *s, uint64_t a, uint64_t b)
{
	double sum = 0, n;

	for (; a < b; a++) {
		n = work_step_at(s, a)->sum[WORK_DECODE];
		sum += n > 0 ? n : NAN;
	}
	return sum;
}

/* shared: the first step had another prompt too. */
static void interval(const struct work_steps *s, uint64_t from, uint64_t last, double tokens, int shared, double *low,
		     double *high)
{
	uint64_t full = last - from > (uint64_t)shared ? last - from - (uint64_t)shared : 0;

	*low = (tokens + answers(s, from, last + 1)) / (double)(last - from + 1);
	*high = full ? (tokens + answers(s, last - full, last)) / (double)full : INFINITY;
}

/*
 * The first step from there on that took nearly as much longer than plain ones as any behind it. Where none are plain,
 * as always somebody waits, the first that was not full of queries.
 */
static uint64_t place_from(const struct work_steps *s, uint64_t from, uint64_t last)
{
	uint64_t i = last, place = last;
	double most = 0, over;

	if (!work_is_paced(&s->pace)) {
		while (from < last && s->limit.queries && work_step_at(s, from)->queries >= s->limit.queries)
			from++;
		return from;
	}
	for (i = last + 1; i-- > from && last - i < CHAIN_MAX; ) {
		over = work_over_ns(s, i);
		most = over > most ? over : most;
		if (over >= NEARLY * most)
			place = i;
	}
	return place;
}

void work_limit_learn(struct work_steps *s, uint64_t from, uint64_t last, double tokens)
{
	struct work_limit *l = &s->limit;
	int follows = l->chain_last && l->chain_last == from && l->chain >= s->first;
	uint64_t i, place = place_from(s, from, last);
	struct work_vote v = { 0 };

	if (last - from >= CHAIN_MAX)
		return;
	if (!follows || last - l->chain >= CHAIN_MAX) {
		l->chain = from;
		l->chain_tokens = 0;
		l->shared = follows;
	}
	l->chain_tokens += tokens;
	interval(s, l->chain, last, l->chain_tokens, l->shared, &v.low[0], &v.high[0]);
	interval(s, place, last, tokens, 0, &v.low[1], &v.high[1]);
	if (place == from) {
		v.low[1] = v.low[0];
		v.high[1] = v.high[0];
	}
	l->chain_last = 0;
	if (isnan(v.low[0]) || isnan(v.low[1]))
		return;
	for (i = from; i < last; i++)
		v.beside = work_step_at(s, i)->queries > v.beside ? work_step_at(s, i)->queries : v.beside;
	l->vote[l->n++ % WORK_VOTES] = v;
	elect(l);
	if (place == from && is_in(&v, l->tokens))
		l->chain_last = last;
}

double work_limit_room(const struct work_steps *s, uint64_t i)
{
	const struct work_step *t = work_step_at(s, i);
	double left = s->limit.tokens - t->sum[WORK_DECODE] - t->sum[WORK_PREFILL];

	return !(t->sum[WORK_DECODE] > 0) ? INFINITY : left > 0 ? left : 0;
}

/* So many tokens fill the steps from there on, but not the last one. */
static int fits(const struct work_steps *s, uint64_t from, uint64_t last, double tokens)
{
	double room = 0;
	uint64_t i;

	for (i = from; i < last && room < tokens * SLACK; i++)
		room += work_limit_room(s, i);
	return i == last && room < tokens * SLACK && (room + work_limit_room(s, last)) * SLACK >= tokens;
}

uint64_t work_limit_begin(const struct work_steps *s, uint64_t r_ns, uint64_t from, uint64_t last, double tokens)
{
	uint64_t low = from > s->first && work_step_at(s, from - 1)->begin_ns + WORK_JITTER_NS > r_ns ? from - 1 : from;
	uint64_t place = place_from(s, from, last);

	if (!s->limit.known)
		return last + 1;
	if (fits(s, from, last, tokens))
		return from;
	if (fits(s, place, last, tokens))
		return place;
	return low < from && fits(s, low, last, tokens) ? low : last + 1;
}
