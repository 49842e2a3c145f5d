// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/work_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SAME_STEP 0.8  /* of each of two processes' steps, that lies in the other: they compute one batch together */
#define USUAL_PART 32
#define LOOK_BACK 8    /* inferred steps that a late token may be of */

int work_steps_init(struct work_steps *s)
{
	*s = (struct work_steps){ .ring = calloc(WORK_STEPS, sizeof(*s->ring)) };
	return s->ring ? 0 : -ENOMEM;
}

void work_steps_release(struct work_steps *s)
{
	free(s->ring);
	s->ring = NULL;
}

void work_release(struct work *w)
{
	free(w->prompt.v);
	free(w->answer.v);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

double work_overlap(const struct work_step *t, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t a = from_ns > t->begin_ns ? from_ns : t->begin_ns, b = to_ns < t->end_ns ? to_ns : t->end_ns;

	return b > a ? (double)(b - a) : 0;
}

/* Step i begins at t_ns, or before. Those in front of it are asked for it too, as far as it reaches back. */
static void begin_by(struct work_steps *s, uint64_t i, uint64_t t_ns)
{
	struct work_step *t = work_step_at(s, i);

	t->begin_ns = t_ns < t->begin_ns ? t_ns : t->begin_ns;
	for (; i >= s->first && work_step_at(s, i)->least_ns > t_ns; i--) {
		work_step_at(s, i)->least_ns = t_ns;
		if (!i)
			break;
	}
}

static uint64_t step_new(struct work_steps *s, uint64_t begin_ns, uint64_t end_ns, int32_t tokens, uint32_t pid)
{
	struct work_step *last = s->next > s->first ? work_step_at(s, s->next - 1) : NULL;

	if (s->next - s->first == WORK_STEPS)
		s->first++;
	if (last && end_ns < last->end_ns)
		end_ns = last->end_ns; /* they are in order of their ends */
	*work_step_at(s, s->next) = (struct work_step){
		.begin_ns = end_ns - 1, .end_ns = end_ns, .least_ns = end_ns, .tokens = tokens, .pid = pid,
	};
	begin_by(s, s->next, begin_ns < end_ns ? begin_ns : end_ns - 1);
	return s->next++;
}

/* The same batch by another process, or another part of it by the same one. */
static int is_same(const struct work_step *last, const struct step *p)
{
	double same = work_overlap(last, p->begin_ns, p->end_ns) / SAME_STEP;

	if (last->pid == p->pid)
		return p->batch && last->batch == p->batch;
	return last->pid && same > (double)(p->end_ns - p->begin_ns) &&
	       same > (double)(last->end_ns - last->begin_ns);
}

void work_step_seen(struct work_steps *s, const struct step *p)
{
	struct work_step *last = s->next > s->first ? work_step_at(s, s->next - 1) : NULL;
	int part;

	s->seen = 1;
	if (!last || !is_same(last, p)) {
		work_step_at(s, step_new(s, p->begin_ns, p->end_ns, p->tokens, p->pid))->batch = p->batch;
		return;
	}
	part = last->pid == p->pid;
	begin_by(s, s->next - 1, p->begin_ns);
	last->end_ns = p->end_ns > last->end_ns ? p->end_ns : last->end_ns;
	if (part && last->tokens >= 0 && p->tokens >= 0)
		last->tokens += p->tokens;
	else
		last->tokens = part ? -1 : p->tokens > last->tokens ? p->tokens : last->tokens;
}

uint64_t work_step_after(const struct work_steps *s, uint64_t t_ns)
{
	uint64_t lo = s->first, hi = s->next, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (work_step_at(s, mid)->end_ns <= t_ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* --- runs --------------------------------------------------------------------------------------------------------- */

static void run_sums(struct work_steps *s, const struct work_run *r, double sign)
{
	struct work_step *t;
	uint32_t k;

	for (k = 0; k < r->n; k++) {
		if (r->step + k < s->first)
			continue; /* forgotten */
		t = work_step_at(s, r->step + k);
		t->queries += sign > 0 ? r->shares : -r->shares;
		t->sum[WORK_PREFILL] += sign * r->prefill;
		t->sum[WORK_DECODE] += sign * r->decode;
		t->sum[WORK_CONTEXT] += sign * r->decode * (r->context + CONTEXT * r->decode * k);
		t->sum[WORK_ATTENTION] += sign * r->prefill * r->context;
	}
}

/* Room for one more. What is of forgotten steps only goes first: an answer may go on for hours. */
static int runs_room(const struct work_steps *s, struct work_runs *r)
{
	size_t cap = r->cap ? 2 * r->cap : 2, old = 0;
	struct work_run *v;

	if (r->n < r->cap)
		return 0;
	while (old < r->n && r->v[old].step + r->v[old].n <= s->first)
		old++;
	if (old > r->n / 2) {
		memmove(r->v, r->v + old, (r->n - old) * sizeof(*v));
		r->n -= old;
		return 0;
	}
	v = realloc(r->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	r->v = v;
	r->cap = cap;
	return 0;
}

int work_runs_add(struct work_steps *s, const struct work *w, struct work_runs *r, const struct work_run *add)
{
	struct work_run *last = r->n ? &r->v[r->n - 1] : NULL;

	if (last && last->step + last->n == add->step && last->decode == 1 && add->decode == 1 && last->shares &&
	    add->shares)
		last->n += add->n;
	else if (runs_room(s, r))
		return -ENOMEM;
	else
		r->v[r->n++] = *add;
	if (!w->apart)
		run_sums(s, add, 1);
	return 0;
}

void work_runs_sums(struct work_steps *s, const struct work *w, const struct work_runs *r, double sign)
{
	size_t i;

	for (i = 0; i < r->n && !w->apart; i++)
		run_sums(s, &r->v[i], sign);
}

/* It did, or did not after all, get its first token by the step. */
static void count_first(struct work_steps *s, const struct work *w, int more)
{
	struct work_step *t = work_step_at(s, w->first_step - 1);

	if (w->first_step > s->first && !w->apart && (more > 0 || t->first))
		t->first += (uint32_t)more;
}

void work_leave(struct work_steps *s, struct work *w)
{
	work_runs_sums(s, w, &w->prompt, -1);
	work_runs_sums(s, w, &w->answer, -1);
	count_first(s, w, -1);
	w->apart = 1;
}

int work_join(struct work_steps *s, struct work *w, const struct work *from)
{
	size_t i;
	int err = 0;

	if (w->last_ns)
		return 0; /* it has tokens of its own */
	for (i = 0; i < from->answer.n && !err; i++)
		err = work_runs_add(s, w, &w->answer, &from->answer.v[i]);
	w->last_ns = from->last_ns;
	w->first_step = from->first_step;
	w->prompt_size = from->prompt_size;
	w->made = from->made;
	count_first(s, w, 1);
	return err;
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

/* The step after those that the query's tokens are of already. */
static uint64_t next_of(const struct work *w)
{
	const struct work_run *last = w->answer.n ? &w->answer.v[w->answer.n - 1] : NULL;

	return last ? last->step + last->n : w->first_step;
}

/* Tokens that come so long after a step has ended may be its: nearer than the next one is, as long as steps are. */
static uint64_t jitter_ns(const struct work_steps *s)
{
	return s->usual_ns / 2 > WORK_JITTER_NS ? s->usual_ns / 2 : WORK_JITTER_NS;
}

/* The median of what inferred steps took of late, followed by a part of it each time. */
static void learn_usual(struct work_steps *s, uint64_t took_ns)
{
	if (!s->usual_ns)
		s->usual_ns = took_ns;
	else if (took_ns > s->usual_ns)
		s->usual_ns += s->usual_ns / USUAL_PART;
	else
		s->usual_ns -= s->usual_ns / USUAL_PART;
}

/* An inferred step begins where the last one ended; but if all its queries are new, when the first of them came. */
static uint64_t infer_step(struct work_steps *s, const struct work *w, uint64_t ts_ns, uint64_t r_ns)
{
	uint64_t low = s->next > s->first + LOOK_BACK ? s->next - LOOK_BACK : s->first, i, from;
	uint64_t late = jitter_ns(s);
	struct work_step *t;

	for (i = s->next; i > low && i > next_of(w); i--) {
		t = work_step_at(s, i - 1);
		if (ts_ns > t->end_ns + late)
			break;
		if (ts_ns + WORK_JITTER_NS < t->end_ns)
			continue;
		from = i - 1 > s->first ? work_step_at(s, i - 2)->end_ns : t->begin_ns;
		from = w->last_ns || r_ns < from ? from : r_ns;
		begin_by(s, i - 1, from);
		return i - 1;
	}
	from = s->next > s->first ? work_step_at(s, s->next - 1)->end_ns : 0;
	if (w->last_ns && ts_ns > from)
		learn_usual(s, ts_ns - from);
	return step_new(s, !w->last_ns && r_ns > from ? r_ns : from ? from : r_ns, ts_ns, -1, 0);
}

int work_tokens(struct work_steps *s, struct work *w, uint64_t ts_ns, uint32_t n, uint64_t r_ns, double prompt)
{
	struct work_run add = { .shares = 1, .decode = 1 };
	uint64_t i, from;
	int err = 0;

	if (s->seen && (s->next == s->first || work_step_at(s, s->next - 1)->end_ns + WORK_LOST_NS < ts_ns))
		s->seen = 0;
	i = s->seen ? work_step_after(s, ts_ns) : infer_step(s, w, ts_ns, r_ns) + 1;
	if (!n || i == s->first)
		return 0;
	if (!w->last_ns) {
		w->first_step = i;
		w->prompt_size = prompt;
		w->made = 1;
		count_first(s, w, 1);
		n--;
	}
	w->last_ns = ts_ns;
	from = next_of(w);
	i = i > from ? i : from; /* they are in order, whatever the time is */
	add.n = (uint32_t)(i - from < n ? i - from : n);
	add.step = i - add.n;
	add.context = (float)(CONTEXT * (w->prompt_size + w->made));
	if (add.n)
		err = work_runs_add(s, w, &w->answer, &add);
	w->made += n;
	n -= add.n;
	if (!n || err)
		return err;
	add = (struct work_run){ .step = i - 1, .n = 1, .decode = (float)n, .context = add.context };
	return work_runs_add(s, w, &w->answer, &add);
}

/* One that overlaps the latest ones is one with them. */
static void add_dark(struct work_dark *d, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t i;

	for (; d->n && d->to_ns[(d->n - 1) % WORK_DARK] >= from_ns; d->n--) {
		i = (d->n - 1) % WORK_DARK;
		from_ns = d->from_ns[i] < from_ns ? d->from_ns[i] : from_ns;
		to_ns = d->to_ns[i] > to_ns ? d->to_ns[i] : to_ns;
	}
	d->from_ns[d->n % WORK_DARK] = from_ns;
	d->to_ns[d->n++ % WORK_DARK] = to_ns;
}

int work_is_dark(const struct work_steps *s, uint64_t from_ns, uint64_t to_ns)
{
	const struct work_dark *d = &s->dark;
	uint64_t i;

	for (i = d->n; i-- > 0 && d->n - i <= WORK_DARK && d->to_ns[i % WORK_DARK] > from_ns; )
		if (d->from_ns[i % WORK_DARK] < to_ns)
			return 1;
	return 0;
}

int work_whole(struct work_steps *s, struct work *w, double prompt, uint64_t completion, uint64_t r_ns, uint64_t e_ns)
{
	uint64_t i = work_step_after(s, e_ns), low = i;
	struct work_run add = { .shares = 1, .decode = 1, .context = (float)(CONTEXT * (prompt + 1)) };

	if (!s->seen && !w->last_ns && completion)
		add_dark(&s->dark, r_ns, e_ns);
	if (!s->seen || w->last_ns || !completion)
		return 0;
	while (low > s->first && i - low < completion && work_step_at(s, low - 1)->begin_ns >= r_ns)
		low--;
	if (low == i)
		return 0;
	w->first_step = low + 1;
	w->last_ns = work_step_at(s, i - 1)->end_ns;
	w->prompt_size = prompt;
	w->made = (double)completion;
	count_first(s, w, 1);
	add.step = low + 1;
	add.n = (uint32_t)(i - low - 1);
	return add.n ? work_runs_add(s, w, &w->answer, &add) : 0;
}

uint64_t work_first_ns(const struct work_steps *s, const struct work *w)
{
	return w->first_step > s->first ? work_step_at(s, w->first_step - 1)->end_ns : 0;
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

void work_sum(const struct work_steps *s, uint64_t from_ns, uint64_t to_ns, double *x)
{
	const struct work_step *t;
	uint64_t i;
	double part;
	int k;

	for (i = work_step_after(s, from_ns); i < s->next && work_step_at(s, i)->least_ns < to_ns; i++) {
		t = work_step_at(s, i);
		part = work_overlap(t, from_ns, to_ns) / (double)(t->end_ns - t->begin_ns);
		x[WORK_STEP] += part;
		for (k = WORK_PREFILL; k < WORK_KINDS; k++)
			x[k] += part * t->sum[k];
		x[WORK_PREFILL] += part * work_tokens_left(t);
	}
}

/* more: queries of the steps that they do not count, this one if its prompt is not settled. */
static void runs_of(const struct work_steps *s, const struct work_runs *r, uint32_t more, uint64_t from_ns,
		    uint64_t to_ns, double *x)
{
	uint64_t low = work_step_after(s, from_ns), i;
	const struct work_step *t;
	const struct work_run *u;
	double part;
	size_t lo = 0, hi = r->n, mid;

	while (lo < hi) { /* the first run that reaches step `low` */
		mid = lo + (hi - lo) / 2;
		if (r->v[mid].step + r->v[mid].n <= low)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (u = r->v + lo; u < r->v + r->n; u++) {
		for (i = u->step > low ? u->step : low; i < u->step + u->n; i++) {
			t = work_step_at(s, i);
			if (i >= s->next || t->least_ns >= to_ns)
				return;
			part = work_overlap(t, from_ns, to_ns) / (double)(t->end_ns - t->begin_ns);
			x[WORK_STEP] += u->shares && t->queries + more ? part / (t->queries + more) : 0;
			x[WORK_PREFILL] += part * u->prefill;
			x[WORK_DECODE] += part * u->decode;
			x[WORK_CONTEXT] += part * u->decode *
				(u->context + CONTEXT * u->decode * (double)(i - u->step));
			x[WORK_ATTENTION] += part * u->prefill * u->context;
		}
	}
}

void work_of(const struct work_steps *s, const struct work *w, uint64_t from_ns, uint64_t to_ns, double *prompt,
	     double *answer)
{
	runs_of(s, &w->prompt, !w->settled, from_ns, to_ns, prompt);
	runs_of(s, &w->answer, 0, from_ns, to_ns, answer);
}
