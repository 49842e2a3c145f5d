// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* In which steps the prompts were. */
#include "userspace/work_internal.h"

#include <math.h>

#define PACE_MIN    30    /* steps of each kind before they are asked */
#define PACE_FORGET 120e9 /* ns, as the fit does */

/* The prompt turned out to have another size than was thought: all of the answer looked back on so much more. */
static void set_prompt(struct work_steps *s, struct work *w, double prompt)
{
	float by = (float)(CONTEXT * (prompt - w->prompt_size));
	size_t i;

	if (by == 0)
		return;
	work_runs_sums(s, w, &w->answer, -1);
	for (i = 0; i < w->answer.n; i++)
		w->answer.v[i].context += by;
	work_runs_sums(s, w, &w->answer, 1);
	w->prompt_size = prompt;
}

/* Since when the engine may have worked on the prompt: the one before it in line was done. */
static uint64_t line_ns(const struct work_steps *s, uint64_t last, uint64_t r_ns)
{
	uint64_t i;

	for (i = last; i > s->first && work_step_at(s, i - 1)->end_ns > r_ns; i--)
		if (work_step_at(s, i - 1)->first)
			return work_step_at(s, i - 1)->end_ns;
	return r_ns;
}

/* The first step that begins at r_ns or later. */
static uint64_t step_from(const struct work_steps *s, uint64_t r_ns)
{
	uint64_t i = work_step_after(s, r_ns);

	while (i < s->next && work_step_at(s, i)->begin_ns < r_ns)
		i++;
	return i;
}

/* What of a prompt is not in a step yet, and what it looks back on then. */
struct rest {
	double todo, past;
};

static struct rest rest_of(const struct work_prompt *p)
{
	return (struct rest){ .todo = p->tokens, .past = p->size - p->tokens };
}

/* n tokens of it were in step i. 0 or -ENOMEM. */
static int put(struct work_steps *s, struct work *w, struct rest *r, uint64_t i, double n)
{
	struct work_run add = { .step = i, .n = 1, .shares = 1, .prefill = (float)n,
				.context = (float)(CONTEXT * (r->past + n / 2)) };

	r->todo -= n;
	r->past += n;
	return work_runs_add(s, w, &w->prompt, &add);
}

/*
 * Of each step up to `last` what of its tokens is left, until it is enough. Where there is more than that, those who
 * went away before they had a token were first. One that has no `last` went away itself.
 */
static int prompt_by_tokens(struct work_steps *s, struct work *w, uint64_t last, const struct work_prompt *p)
{
	struct rest r = rest_of(p);
	double before = 0, left;
	uint64_t i, from = step_from(s, p->r_ns);
	int err = 0;

	if (p->guess && s->pace.line > from)
		from = s->pace.line < last ? s->pace.line : last;
	for (i = from; i < last; i++)
		before += work_tokens_left(work_step_at(s, i));
	before = p->guess || !w->first_step ? 0 : before + 1 - r.todo;
	for (i = from; i <= last && !err; i++) {
		left = work_tokens_left(work_step_at(s, i));
		if (before > 0 && i < last) {
			before -= left;
			left = before < 0 ? -before : 0;
		}
		if (!(p->guess && i < last && w->first_step) && left > r.todo)
			left = i == last && r.todo < 1 ? 1 : r.todo;
		if (left > 0 || (i == last && w->first_step))
			err = put(s, w, &r, i, left);
	}
	return err;
}

/* What an inferred step with such answers takes when no prompt is worked on. */
static double plain_ns(const struct work_pace *p, const struct work_step *t)
{
	return p->cost[WORK_STEP] + p->cost[WORK_DECODE] * t->sum[WORK_DECODE] +
	       p->cost[WORK_CONTEXT] * t->sum[WORK_CONTEXT];
}

static double over_ns(const struct work_pace *p, const struct work_step *t)
{
	double over = (double)(t->end_ns - t->begin_ns) - plain_ns(p, t);

	return over > 0 ? over : 0;
}

static void learn_step(struct work_pace *p, const struct work_step *t)
{
	double x[WORK_KINDS] = { 1 }, y = (double)(t->end_ns - t->begin_ns), keep = exp(-y / PACE_FORGET);

	p->over_ns *= keep;
	p->tokens *= keep;
	least_add(&p->plain, &p->plain, keep - 1);
	p->yy *= keep;
	if (t->waited) {
		p->nover += p->nplain >= PACE_MIN;
		p->over_ns += p->nplain >= PACE_MIN ? over_ns(p, t) : 0;
		p->tokens += p->nplain >= PACE_MIN ? t->sum[WORK_PREFILL] : 0;
		return;
	}
	x[WORK_DECODE] = t->sum[WORK_DECODE];
	x[WORK_CONTEXT] = t->sum[WORK_CONTEXT];
	least_learn(&p->plain, x, y);
	p->yy += y * y;
	p->nplain++;
}

static int is_dark(const struct work_steps *s, uint64_t from, uint64_t last)
{
	return work_is_dark(s, work_step_at(s, from)->begin_ns, work_step_at(s, last)->end_ns);
}

void work_learn(struct work_steps *s, uint64_t t_ns)
{
	struct work_pace *p = &s->pace;
	uint64_t i = p->next > s->first ? p->next : s->first, n = p->nplain;

	for (; i < s->next && work_step_at(s, i)->end_ns <= t_ns; i++)
		if (!work_step_at(s, i)->pid && !is_dark(s, i, i))
			learn_step(p, work_step_at(s, i));
	p->next = i;
	if (p->nplain > n)
		least_costs(&p->plain, p->yy, p->cost);
}

/* Prompt tokens of an inferred step that are nobody's yet, by how long it took. */
static double room(const struct work_steps *s, uint64_t i)
{
	const struct work_pace *p = &s->pace;
	const struct work_step *t = work_step_at(s, i);
	double left = p->over_ns > 0 ? over_ns(p, t) * p->tokens / p->over_ns - t->sum[WORK_PREFILL] : 0;

	return left > 0 ? left : 0;
}

int work_is_paced(const struct work_pace *p)
{
	return p->nplain >= PACE_MIN && p->nover >= PACE_MIN;
}

double work_over_ns(const struct work_steps *s, uint64_t i)
{
	return work_is_paced(&s->pace) ? over_ns(&s->pace, work_step_at(s, i)) : 0;
}

/* Which part of a prompt a step gets, beside other steps; before the pace is known, by its time from a time on. */
static double part_in(const struct work_steps *s, uint64_t i, int paced, uint64_t from_ns)
{
	return paced ? room(s, i) : work_overlap(work_step_at(s, i), from_ns, UINT64_MAX);
}

/*
 * In each step a part as long as it seems to have worked on prompts that were not placed yet; the last one worked on
 * this one for sure. It does not begin before the one before it in line was done.
 */
static int prompt_by_time(struct work_steps *s, struct work *w, uint64_t from, uint64_t last,
			  const struct work_prompt *p)
{
	int paced = work_is_paced(&s->pace), err = 0;
	uint64_t i, line = paced ? 0 : line_ns(s, last, p->r_ns);
	struct rest r = rest_of(p);
	double all = 0, n;

	for (i = from; i <= last; i++)
		all += part_in(s, i, paced, line);
	for (i = from; i <= last && !err; i++) {
		n = !(all > 0) ? 0 : p->tokens * part_in(s, i, paced, line) / all;
		n = i == last ? r.todo : n < r.todo - 1 ? n : r.todo - 1;
		if (i == last || n > 0)
			err = put(s, w, &r, i, n);
	}
	return err;
}

/* From the step on in which it was begun: all that they have room for. */
static int prompt_by_limit(struct work_steps *s, struct work *w, uint64_t from, uint64_t last,
			   const struct work_prompt *p)
{
	struct rest r = rest_of(p);
	uint64_t i;
	double n;
	int err = 0;

	for (i = from; i <= last && !err; i++) {
		n = work_limit_room(s, i);
		n = i == last ? r.todo : n < r.todo - 1 ? n : r.todo - 1;
		if (i == last || n >= 1)
			err = put(s, w, &r, i, n);
	}
	return err;
}

/* One that went away before it had a token: the steps that it had filled took longer than plain ones. */
static int prompt_gone(struct work_steps *s, struct work *w, uint64_t last, const struct work_prompt *p)
{
	uint64_t i = step_from(s, p->r_ns);
	struct rest r = rest_of(p);
	double n;
	int err = 0;

	if (!s->limit.known || isinf(s->limit.tokens))
		return 0;
	for (i = s->pace.line > i ? s->pace.line : i; i <= last && r.todo > 0 && !err; i++) {
		if (work_step_at(s, i)->begin_ns >= p->e_ns)
			break;
		n = work_limit_room(s, i);
		n = n < r.todo ? n : r.todo;
		if (n >= 1 && room(s, i) >= n / 2)
			err = put(s, w, &r, i, n);
	}
	return err;
}

/* In inferred steps, up to the one that made its first token; not before the one before it in line was done. */
static int prompt_inferred(struct work_steps *s, struct work *w, uint64_t last, const struct work_prompt *p, int settle)
{
	int paced = work_is_paced(&s->pace);
	uint64_t from = step_from(s, p->r_ns), line, begin;

	line = s->pace.line > from ? s->pace.line : from;
	line = line < last ? line : last;
	if (settle && p->tokens >= 1 && !p->guess && !is_dark(s, line, last))
		work_limit_learn(s, line, last, p->tokens);
	begin = work_limit_begin(s, p->r_ns, line, last, p->tokens);
	if (begin <= last)
		return prompt_by_limit(s, w, begin, last, p);
	return prompt_by_time(s, w, paced ? line : from < last ? from : last, last, p);
}

/* It waited in these steps: what they took says nothing of how long others take. */
static void set_waited(struct work_steps *s, const struct work *w, uint64_t last, uint64_t r_ns)
{
	uint64_t i;

	for (i = work_step_after(s, r_ns); i <= last; i++)
		work_step_at(s, i)->waited = 1;
	if (w->first_step && last > s->pace.line)
		s->pace.line = last;
}

int work_prompt(struct work_steps *s, struct work *w, const struct work_prompt *p, int settle)
{
	uint64_t last = w->first_step ? w->first_step - 1 : work_step_after(s, p->e_ns);
	int apart = w->apart, err = 0;

	if (w->settled || s->first == s->next || last < s->first)
		return 0;
	w->prompt.n = 0; /* it was not counted */
	last = last < s->next ? last : s->next - 1;
	w->settled = settle;
	if (w->first_step)
		set_prompt(s, w, p->size);
	w->apart |= !settle;
	if (settle && work_step_at(s, last)->tokens >= 0)
		err = prompt_by_tokens(s, w, last, p);
	else if (w->first_step)
		err = prompt_inferred(s, w, last, p, settle);
	else if (settle)
		err = prompt_gone(s, w, last, p);
	w->apart = apart;
	if (settle)
		set_waited(s, w, last, p->r_ns);
	return err;
}

uint64_t work_begin_ns(const struct work_steps *s, const struct work *w)
{
	return w->prompt.n && w->prompt.v[0].step >= s->first ? work_step_at(s, w->prompt.v[0].step)->begin_ns : 0;
}
