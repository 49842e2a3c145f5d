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

/*
 * Of each step up to `last` what of its tokens is left, until it is enough. Where there is more than that, those who
 * went away before they had a token were first. One that has no `last` went away itself.
 */
static int prompt_by_tokens(struct work_steps *s, struct work *w, uint64_t last, const struct work_prompt *p)
{
	struct work_run add = { .n = 1, .shares = 1 };
	double tokens = p->tokens, before = 0, left, past = p->size - p->tokens;
	uint64_t i, from = step_from(s, p->r_ns);
	int err = 0;

	if (p->guess && s->pace.line > from)
		from = s->pace.line < last ? s->pace.line : last;
	for (i = from; i < last; i++)
		before += work_tokens_left(work_step_at(s, i));
	before = p->guess || !w->first_step ? 0 : before + 1 - tokens;
	for (i = from; i <= last && !err; i++) {
		left = work_tokens_left(work_step_at(s, i));
		if (before > 0 && i < last) {
			before -= left;
			left = before < 0 ? -before : 0;
		}
		if (!(p->guess && i < last && w->first_step) && left > tokens)
			left = i == last && tokens < 1 ? 1 : tokens;
		tokens -= left;
		add.step = i;
		add.prefill = (float)left;
		add.context = (float)(CONTEXT * (past + left / 2));
		past += left;
		if (left > 0 || (i == last && w->first_step))
			err = work_runs_add(s, w, &w->prompt, &add);
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

void work_learn(struct work_steps *s, uint64_t t_ns)
{
	struct work_pace *p = &s->pace;
	uint64_t i = p->next > s->first ? p->next : s->first, n = p->nplain;

	for (; i < s->next && work_step_at(s, i)->end_ns <= t_ns; i++)
		if (!work_step_at(s, i)->pid)
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

/* Which part of a prompt a step gets, beside other steps; before the pace is known, by its time from a time on. */
static double part_in(const struct work_steps *s, uint64_t i, int paced, uint64_t from_ns)
{
	return paced ? room(s, i) : work_overlap(work_step_at(s, i), from_ns, UINT64_MAX);
}

/*
 * In each step a part as long as it seems to have worked on prompts that were not placed yet; the last one worked on
 * this one for sure. It does not begin before the one before it in line was done.
 */
static int prompt_by_time(struct work_steps *s, struct work *w, uint64_t last, const struct work_prompt *p)
{
	int paced = s->pace.nplain >= PACE_MIN && s->pace.nover >= PACE_MIN, err = 0;
	uint64_t i = step_from(s, p->r_ns), from, line = paced ? 0 : line_ns(s, last, p->r_ns);
	double todo = p->tokens, past = p->size - p->tokens, all = 0, n;
	struct work_run add = { .n = 1, .shares = 1 };

	from = paced && s->pace.line > i ? s->pace.line : i;
	from = from < last ? from : last;
	for (i = from; i <= last; i++)
		all += part_in(s, i, paced, line);
	for (i = from; i <= last && !err; i++) {
		n = !(all > 0) ? 0 : p->tokens * part_in(s, i, paced, line) / all;
		n = i == last ? todo : n < todo - 1 ? n : todo - 1;
		if (i < last && !(n > 0))
			continue;
		todo -= n;
		add.step = i;
		add.prefill = (float)n;
		add.context = (float)(CONTEXT * (past + n / 2));
		past += n;
		err = work_runs_add(s, w, &w->prompt, &add);
	}
	return err;
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
		err = prompt_by_time(s, w, last, p);
	w->apart = apart;
	if (settle)
		set_waited(s, w, last, p->r_ns);
	return err;
}

uint64_t work_begin_ns(const struct work_steps *s, const struct work *w)
{
	return w->prompt.n && w->prompt.v[0].step >= s->first ? work_step_at(s, w->prompt.v[0].step)->begin_ns : 0;
}
