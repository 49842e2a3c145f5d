// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The clock of the attribution: which ticks are split, which queries get a line or are done. */
#include <stdlib.h>
#include <string.h>

#include "userspace/attrib_internal.h"

#define SPREAD_NS 100000000ull
#define DUE_MAX 1024 /* prompts settled in one tick; more wait for the next */

/* --- one tick ----------------------------------------------------------------------------------------------------- */

/* Active time of the slot's queries in the tick; held[] is in the order of R, so one sweep finds the union. */
static struct active active_time(const struct attrib_slot *s, const struct tick *t)
{
	struct active ret = { .dark = work_is_dark(&s->steps, t->t0, t->t1) };
	uint64_t covered = t->t0, from, to;
	const struct query *q;
	size_t i;

	for (i = 0; i < s->n && s->held[i]->r_ns < t->t1; i++) {
		q = s->held[i];
		ret.time += attrib_active_in(q, t);
		from = q->r_ns > covered ? q->r_ns : covered;
		to = attrib_runs(q) || q->e_ns > t->t1 ? t->t1 : q->e_ns;
		if (to > from) {
			ret.any += (double)(to - from);
			covered = to;
		}
	}
	return ret;
}

/* --- settling ----------------------------------------------------------------------------------------------------- */

/* How long after its E a query is still given something. */
static uint64_t paid_ns(const struct attrib *a, const struct attrib_slot *s)
{
	uint64_t lag = 0, l;
	int ch;

	for (ch = 0; ch < a->tl->nch; ch++) {
		l = fitted_lag_ns(&s->fitted[ch]);
		lag = l > lag ? l : lag;
	}
	return lag;
}

static int by_first(const void *a, const void *b)
{
	const struct query *p = *(struct query *const *)a, *q = *(struct query *const *)b;
	uint64_t x = p->share->work.first_step, y = q->share->work.first_step;
	int guess = (p->usage.prompt < 0) - (q->usage.prompt < 0);

	return x != y ? (x < y ? -1 : 1) : guess ? guess : p->r_ns < q->r_ns ? -1 : p->r_ns > q->r_ns;
}

/* Behind those n that are due: what came later and is over, but was done with its prompt no later than they. */
static size_t due_with(const struct attrib_slot *s, size_t from, struct query **due, size_t n)
{
	uint64_t last = 0, until = 0;
	size_t i;

	for (i = 0; i < n; i++)
		if (due[i]->share->work.first_step > last) {
			last = due[i]->share->work.first_step;
			until = work_first_ns(&s->steps, &due[i]->share->work);
		}
	for (i = from; i < s->n && s->held[i]->r_ns < until && n < DUE_MAX; i++)
		if (!s->held[i]->share->running && !s->held[i]->share->work.settled &&
		    s->held[i]->share->work.first_step && s->held[i]->share->work.first_step <= last)
			due[n++] = s->held[i];
	return n;
}

/*
 * The prompts of queries that came before t_ns, in the order in which they were done. One that went away before it had
 * a token was done before those that came after it. What runs and has its first token is there when it is split early.
 */
static void settle_prompts(struct attrib_slot *s, uint64_t t_ns)
{
	struct query *due[DUE_MAX], *gone[DUE_MAX], *q;
	size_t i, k, n = 0, ngone = 0;

	for (i = 0; i < s->n && s->held[i]->r_ns <= t_ns; i++) {
		q = s->held[i];
		if (q->share->work.settled || n == DUE_MAX || ngone == DUE_MAX)
			continue;
		if (q->share->work.first_step)
			due[n++] = q;
		else if (!q->share->running)
			gone[ngone++] = q;
	}
	n = due_with(s, i, due, n);
	qsort(due, n, sizeof(struct query *), by_first);
	for (i = k = 0; i < n; i++) {
		for (; k < ngone && gone[k]->r_ns < due[i]->r_ns; k++)
			attrib_prompt(gone[k], 1);
		attrib_prompt(due[i], 1);
	}
	for (; k < ngone; k++)
		attrib_prompt(gone[k], 1);
}

/* It was in steps, nobody will know in how many: the trace ended before its answer had come, which is not streamed. */
static int is_unknown(const struct query *q)
{
	return q->end == QUERY_RUNNING && !q->share->running && q->stream != WIRE_STREAMED &&
	       !q->share->work.first_step && q->share->work.prompt.n;
}

/* One slot's queries get their parts of tick k; given[]: by channel, all of them together where it was fitted. */
static struct active settle_slot(struct attrib_slot *s, const struct attrib *a, const struct tick *t, uint64_t k,
				 const struct fitted_tick *fitted, struct gross *given)
{
	struct active act = active_time(s, t);
	uint64_t paid = paid_ns(a, s);
	struct attrib_query *aq;
	struct query *q;
	int early = 0, steps = 0, ch;
	double sum = 0;
	size_t i;

	for (ch = 0; ch < a->tl->nch; ch++)
		steps |= fitted[ch].f != NULL;
	/* The sum anew, and not the one that is kept: parts of it must add up to it exactly. */
	for (i = 0; i < s->n && s->held[i]->r_ns <= t->t1; i++) {
		attrib_weigh(s->held[i], t, k);
		sum += s->held[i]->share->prefill + s->held[i]->share->decode;
		early |= s->held[i]->share->running || (steps && is_unknown(s->held[i]));
	}
	for (i = 0; i < s->n && s->held[i]->r_ns <= t->t1; i++) {
		q = s->held[i];
		aq = q->share;
		if (aq->active > 0 || aq->prefill + aq->decode > 0 || (q->e_ns + paid > t->t0 && q->e_ns <= t->t0)) {
			attrib_charge(a, q, t, sum, &act, fitted, aq->part, given);
			q->flags |= early ? QF_EARLY_SPLIT : 0;
		}
		weight_settle(&aq->weight, k);
	}
	s->weight.ring[TICK_RING(k)] = 0;
	s->weight.from = s->apart.from = k + 1;
	return act;
}

/* Where the floor is to be found, what was found so far. */
static void find_floor(struct attrib *a, const struct tick *t, int quiet)
{
	double w[CHANNEL_MAX];
	int ch;

	for (ch = 0; ch < a->tl->nch; ch++)
		w[ch] = a->idle[ch].w;
	floor_tick(&a->floor, t, quiet, w);
	for (ch = 0; ch < a->tl->nch; ch++)
		if (a->idle[ch].source == IDLE_AUTO)
			a->idle[ch].w = w[ch];
}

/* By channel: what the fit hands out of tick k to a slot, if it does. */
static void hand_out(struct attrib *a, int slot, uint64_t k, struct fitted_tick *ret)
{
	struct attrib_slot *s = &a->slot[slot];
	int ch;

	for (ch = 0; ch < a->tl->nch; ch++)
		if (attrib_is_top(a, ch) && !a->by_tokens)
			ret[ch] = fitted_settle(&s->fitted[ch], a->tl, &s->steps, ch, slot, k,
						a->idle[ch].w);
}

static void settle(struct attrib *a, uint64_t k)
{
	const struct tick *t = timeline_tick(a->tl, k);
	struct gross given[EV_SLOTS][CHANNEL_MAX] = { 0 }, of[EV_SLOTS];
	struct fitted_tick fitted[CHANNEL_MAX];
	double len = (double)(t->t1 - t->t0), part;
	struct active act;
	int s, ch, quiet = 1;

	for (s = 1; s <= a->tl->nslot; s++) {
		settle_prompts(&a->slot[s], t->t1);
		work_learn(&a->slot[s].steps, t->t1);
		memset(fitted, 0, sizeof(fitted));
		hand_out(a, s, k, fitted);
		act = settle_slot(&a->slot[s], a, t, k, fitted, given[s]);
		for (ch = 0; ch < a->tl->nch; ch++) {
			part = fitted[ch].f ? 0 : act.any / len * t->share[ch * a->tl->nslot + s - 1];
			gross_add(&given[s][ch], t->energy_uj[ch] * 1e-6, t->covered_ns[ch] * 1e-9, part);
		}
		a->busy_s += act.any * 1e-9;
		a->query_s += act.time * 1e-9;
		quiet &= !(act.any > 0);
	}
	for (ch = 0; ch < a->tl->nch; ch++) {
		for (s = 1; s <= a->tl->nslot; s++)
			of[s] = given[s][ch];
		book_tick(&a->book[ch], t, ch, a->tl->nslot, of);
	}
	find_floor(a, t, quiet);
	a->total_s += len * 1e-9;
	a->settled = k + 1;
	if (a->ops->tick)
		a->ops->tick(a->ctx, t);
	timeline_drop(a->tl, a->settled);
}

static void final(struct attrib *a, struct attrib_slot *s, uint64_t until_ns)
{
	uint64_t paid = paid_ns(a, s);
	struct result r;
	struct query *q;
	size_t i, n = 0;

	for (i = 0; i < s->n; i++) {
		q = s->held[i];
		if (q->share->running || q->e_ns + paid > until_ns || q->l_ns > until_ns) {
			s->held[n++] = q;
			continue;
		}
		attrib_result(a, q, q->share->part, &r);
		r.final = 1;
		a->ops->final(a->ctx, &r);
		attrib_share_free(q);
		query_free(q);
		a->held--;
	}
	s->n = n;
}

/* --- live lines --------------------------------------------------------------------------------------------------- */

/* The query's part as far as it is known now: of the ticks not settled yet, what their weights say. */
static void line(struct attrib *a, struct attrib_slot *s, struct query *q)
{
	size_t size = sizeof(*q->share->part) + (size_t)a->tl->nch * sizeof(*q->share->part->ch);
	struct part *p = malloc(size);
	uint64_t k, last = timeline_find(a->tl, q->e_ns + paid_ns(a, s));
	struct fitted_tick fitted[CHANNEL_MAX] = { 0 };
	const struct tick *t;
	struct result r;
	int ch;

	if (!p)
		return;
	memcpy(p, q->share->part, size);
	k = timeline_find(a->tl, q->r_ns);
	for (k = k > a->settled ? k : a->settled; k <= last && k < a->complete; k++) {
		t = timeline_tick(a->tl, k);
		attrib_weigh(q, t, k);
		for (ch = 0; ch < a->tl->nch; ch++)
			fitted[ch] = fitted_guess(&s->fitted[ch], a->tl, &s->steps, ch, (int)q->open.slot, k);
		attrib_charge(a, q, t, s->weight.ring[TICK_RING(k)], &s->active[TICK_RING(k)], fitted, p, NULL);
	}
	attrib_result(a, q, p, &r);
	a->ops->line(a->ctx, &r);
	free(p);
}

/*
 * Of queries whose F is not known: now stands for it, or a time shortly before, as where many wait for long it is much
 * to do. That is the same time whether or not lines are wanted, so that a report says what the run did.
 */
static void spread_running(struct attrib *a, struct attrib_slot *s, uint64_t now)
{
	size_t i;

	now -= now % SPREAD_NS;
	if (now <= s->spread_ns)
		return;
	s->spread_ns = now;
	for (i = 0; i < s->n && s->held[i]->r_ns < now; i++)
		if (s->held[i]->share->running && !s->held[i]->f_ns)
			attrib_spread(a, s->held[i], now);
}

static void lines(struct attrib *a, struct attrib_slot *s, uint64_t until_ns, uint64_t now)
{
	uint64_t paid = paid_ns(a, s);
	int spread = 0;
	struct query *q;
	size_t i;

	for (i = 0; i < s->n; i++) {
		q = s->held[i];
		if (q->share->running || q->share->lined || q->e_ns + paid > until_ns)
			continue;
		if (!spread++)
			spread_running(a, s, now);
		q->share->lined = 1;
		line(a, s, q);
	}
}

/* --- the clock ---------------------------------------------------------------------------------------------------- */

/* A query that overlaps the tick still runs. */
static int is_open(const struct attrib *a, const struct tick *t)
{
	size_t i;
	int s;

	for (s = 1; s <= a->tl->nslot; s++)
		for (i = 0; i < a->slot[s].n && a->slot[s].held[i]->r_ns < t->t1; i++)
			if (a->slot[s].held[i]->share->running)
				return 1;
	return 0;
}

/* A meter that shows means has to go on for a while, to say what was used before. */
static int must_wait(const struct attrib *a, const struct tick *t, uint64_t until_ns)
{
	int s, ch;

	for (s = 1; s <= a->tl->nslot; s++)
		for (ch = 0; ch < a->tl->nch; ch++)
			if (t->t1 + fitted_wait_ns(&a->slot[s].fitted[ch]) > until_ns)
				return 1;
	return 0;
}

static int may_settle(struct attrib *a, uint64_t k, uint64_t now, uint64_t until_ns)
{
	const struct tick *t = timeline_tick(a->tl, k);
	int s;

	if (must_wait(a, t, until_ns))
		return 0;
	if (!is_open(a, t))
		return 1;
	if (t->t1 + ATTRIB_HORIZON_NS > now && a->held < ATTRIB_HELD_MAX && k + TIMELINE_TICKS / 2 > a->tl->closed)
		return 0;
	for (s = 1; s <= a->tl->nslot; s++)
		spread_running(a, &a->slot[s], now);
	a->early++;
	return 1;
}

/* What lines are made of, and those that are due. */
static void all_lines(struct attrib *a, uint64_t ready, uint64_t until_ns, uint64_t now)
{
	int s;

	for (; a->complete < ready; a->complete++)
		for (s = 1; s <= a->tl->nslot; s++)
			a->slot[s].active[TICK_RING(a->complete)] =
				active_time(&a->slot[s], timeline_tick(a->tl, a->complete));
	for (s = 1; s <= a->tl->nslot; s++)
		lines(a, &a->slot[s], until_ns, now);
}

void attrib_advance(struct attrib *a, int end)
{
	uint64_t ready = end ? a->tl->closed : a->tl->ready, resolved, now, until;
	uint64_t settled = a->settled;
	int s;

	if (!a->tl->closed)
		return;
	resolved = timeline_resolved(a->tl);
	if (!end && resolved < ready)
		ready = resolved;
	now = timeline_tick(a->tl, a->tl->closed - 1)->t1;
	until = end ? UINT64_MAX : ready > a->tl->first ? timeline_tick(a->tl, ready - 1)->t1 : 0;
	if (a->ops->line)
		all_lines(a, ready, until, now);
	for (; a->settled < ready && may_settle(a, a->settled, now, until); )
		settle(a, a->settled);
	for (s = 1; s <= a->tl->nslot && (end || a->settled > settled); s++)
		final(a, &a->slot[s], end ? UINT64_MAX : a->tl->first ? timeline_tick(a->tl, a->tl->first)->t0 : 0);
}
