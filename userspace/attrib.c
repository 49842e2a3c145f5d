// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/attrib_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const method_names[] = { NULL, "tokens", "time", "gpu_unsplit" };
static const char *const idle_names[] = { NULL, "auto", "user", "model", "none" };

const char *attrib_method_name(enum attrib_method m)
{
	return method_names[m];
}

const char *idle_source_name(enum idle_source s)
{
	return idle_names[s];
}

int attrib_is_top(const struct attrib *a, int ch)
{
	return a->tl->meters[ch].parent == CHANNEL_NONE;
}

double attrib_joules(const struct attrib *a, int ch, const struct gross *g)
{
	return isnan(a->idle[ch].w) ? g->j : g->j - a->idle[ch].w * g->s;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int attrib_init(struct attrib *a, struct timeline *tl, const struct idle *idle, const struct attrib_ops *ops, void *ctx)
{
	int s;

	*a = (struct attrib){ .ops = ops, .ctx = ctx, .tl = tl };
	memcpy(a->idle, idle, (size_t)tl->nch * sizeof(*idle));
	for (s = 1; s <= tl->nslot; s++) {
		a->slot[s].weight.tl = tl;
		a->slot[s].apart.tl = tl;
		a->slot[s].weight.ring = calloc(TIMELINE_TICKS, sizeof(double));
		a->slot[s].apart.ring = calloc(TIMELINE_TICKS, sizeof(double));
		a->slot[s].active = calloc(TIMELINE_TICKS, sizeof(*a->slot[s].active));
		if (!a->slot[s].weight.ring || !a->slot[s].apart.ring || !a->slot[s].active)
			return -ENOMEM;
	}
	return floor_init(&a->floor, tl->nch);
}

static void share_free(struct query *q)
{
	if (q->share) {
		weight_release(&q->share->weight);
		free(q->share->part);
	}
	free(q->share);
	q->share = NULL;
}

void attrib_release(struct attrib *a)
{
	struct query *q;
	int s, running;
	size_t i;

	for (s = 1; s < EV_SLOTS; s++) {
		for (i = 0; i < a->slot[s].n; i++) {
			q = a->slot[s].held[i];
			running = q->share->running;
			share_free(q);
			if (!running) /* one that runs is still query.c's */
				query_free(q);
		}
		free(a->slot[s].held);
		free(a->slot[s].weight.ring);
		free(a->slot[s].apart.ring);
		free(a->slot[s].active);
	}
	floor_release(&a->floor);
}

static struct attrib_query *share_new(const struct attrib *a)
{
	struct attrib_query *aq = calloc(1, sizeof(*aq));

	if (!aq)
		return NULL;
	aq->part = calloc(1, sizeof(*aq->part) + (size_t)a->tl->nch * sizeof(*aq->part->ch));
	if (!aq->part) {
		free(aq);
		return NULL;
	}
	weight_init(&aq->weight);
	aq->running = 1;
	return aq;
}

/* --- queries come and go ------------------------------------------------------------------------------------------ */

void attrib_began(struct attrib *a, struct query *q)
{
	struct attrib_slot *s = &a->slot[q->open.slot < EV_SLOTS ? q->open.slot : 0];
	struct query **held;
	size_t i;

	if (!s->active)
		return;
	if (s->n == s->cap) {
		held = realloc(s->held, (s->cap ? 2 * s->cap : 64) * sizeof(struct query *));
		if (!held)
			return;
		s->held = held;
		s->cap = s->cap ? 2 * s->cap : 64;
	}
	q->share = share_new(a);
	if (!q->share)
		return;
	for (i = s->n; i && s->held[i - 1]->r_ns > q->r_ns; i--)
		s->held[i] = s->held[i - 1];
	s->held[i] = q;
	s->n++;
	a->held++;
}

/* What has to be spread, by what is known now. Of a stream it ends at F, of other answers at E; while unknown, now. */
static void spread_known(struct attrib *a, struct query *q, uint64_t now)
{
	uint64_t f = query_first_ns(q), to = f ? f : attrib_runs(q) ? now : q->e_ns;
	double tokens = query_prompt_work(q);

	if (q->stream != WIRE_STREAMED && !q->inner_f_ns && q->usage.completion > 0)
		tokens += (double)q->usage.completion;
	weight_spread(&q->share->weight, &a->slot[q->open.slot].weight, tokens, q->r_ns, to);
}

void attrib_first(struct attrib *a, struct query *q)
{
	if (q->share && !q->parent)
		spread_known(a, q, q->f_ns);
}

void attrib_tokens(struct attrib *a, struct query *q, uint64_t ts_ns, uint32_t n)
{
	struct attrib_slot *s = &a->slot[q->open.slot];

	if (q->share)
		(void)weight_event(&q->share->weight, q->parent ? &s->apart : &s->weight, ts_ns, n);
}

/* What a query was given before it was known to be a hop is that of its front. */
static void leave_part(const struct attrib *a, struct query *q, struct query *front)
{
	struct part *from = q->share->part, *to = front->share ? front->share->part : NULL;
	int ch;

	if (!to)
		return;
	to->flags |= from->flags;
	for (ch = 0; ch < a->tl->nch; ch++) {
		gross_add(&to->ch[ch].prefill, from->ch[ch].prefill.j, from->ch[ch].prefill.s, 1);
		gross_add(&to->ch[ch].decode, from->ch[ch].decode.j, from->ch[ch].decode.s, 1);
		gross_add(&to->ch[ch].time, from->ch[ch].time.j, from->ch[ch].time.s, 1);
		gross_add(&to->ch[ch].edge, from->ch[ch].edge.j, from->ch[ch].edge.s, 1);
		to->ch[ch].measured |= from->ch[ch].measured;
	}
}

void attrib_hop(struct attrib *a, struct query *q, struct query *front)
{
	struct attrib_slot *s = &a->slot[q->open.slot];
	size_t i = s->n;

	if (!q->share)
		return;
	while (i && s->held[i - 1] != q)
		i--;
	if (!i--)
		return;
	memmove(&s->held[i], &s->held[i + 1], (--s->n - i) * sizeof(struct query *));
	a->held--;
	weight_leave(&q->share->weight, &s->weight);
	leave_part(a, q, front);
}

void attrib_inner(struct attrib *a, struct query *q, struct query *hop)
{
	if (q->share && hop->share)
		weight_join(&q->share->weight, &a->slot[q->open.slot].weight, &hop->share->weight);
}

void attrib_hop_gone(struct attrib *a, struct query *hop)
{
	share_free(hop);
}

/* Tokens that were counted at events; 0: what they weigh is spread. */
static uint64_t counted(const struct query *q)
{
	return q->stream == WIRE_STREAMED ? q->tokens : q->inner_tokens;
}

void attrib_ended(struct attrib *a, struct query *q)
{
	if (!q->share) {
		query_free(q);
		return;
	}
	q->share->running = 0;
	spread_known(a, q, q->e_ns);
	if (counted(q) && q->usage.completion > (int64_t)counted(q))
		weight_scale(&q->share->weight, &a->slot[q->open.slot].weight,
			     (double)q->usage.completion / (double)counted(q));
}

/* --- one tick ----------------------------------------------------------------------------------------------------- */

/* Active time of the slot's queries in the tick; held[] is in the order of R, so one sweep finds the union. */
static struct active active_time(const struct attrib_slot *s, const struct tick *t)
{
	struct active ret = { 0 };
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

/* One slot's queries get their parts of tick k. */
static struct active settle_slot(struct attrib_slot *s, const struct attrib *a, const struct tick *t, uint64_t k)
{
	struct active act = active_time(s, t);
	struct attrib_query *aq;
	struct query *q;
	int early = 0;
	double sum = 0;
	size_t i;

	/* The sum anew, and not the one that is kept: parts of it must add up to it exactly. */
	for (i = 0; i < s->n && s->held[i]->r_ns <= t->t1; i++) {
		attrib_weigh(s->held[i], t, k);
		sum += s->held[i]->share->prefill + s->held[i]->share->decode;
		early |= s->held[i]->share->running;
	}
	for (i = 0; i < s->n && s->held[i]->r_ns <= t->t1; i++) {
		q = s->held[i];
		aq = q->share;
		if (aq->active > 0 || aq->prefill + aq->decode > 0) {
			attrib_charge(a, q, t, sum, &act, aq->part);
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

static void settle(struct attrib *a, uint64_t k)
{
	const struct tick *t = timeline_tick(a->tl, k);
	double len = (double)(t->t1 - t->t0), any[EV_SLOTS] = { 0 };
	struct active act;
	int s, ch, quiet = 1;

	for (s = 1; s <= a->tl->nslot; s++) {
		act = settle_slot(&a->slot[s], a, t, k);
		any[s] = act.any / len;
		a->busy_s += act.any * 1e-9;
		a->query_s += act.time * 1e-9;
		quiet &= !(act.any > 0);
	}
	for (ch = 0; ch < a->tl->nch; ch++)
		book_tick(&a->book[ch], t, ch, a->tl->nslot, any);
	find_floor(a, t, quiet);
	a->total_s += len * 1e-9;
	a->settled = k + 1;
	timeline_drop(a->tl, a->settled);
}

static void final(struct attrib *a, struct attrib_slot *s, uint64_t until_ns)
{
	struct result r;
	struct query *q;
	size_t i, n = 0;

	for (i = 0; i < s->n; i++) {
		q = s->held[i];
		if (q->share->running || q->e_ns > until_ns || q->l_ns > until_ns) {
			s->held[n++] = q;
			continue;
		}
		attrib_result(a, q, q->share->part, &r);
		r.final = 1;
		a->ops->final(a->ctx, &r);
		share_free(q);
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
	uint64_t k, last = timeline_find(a->tl, q->e_ns);
	const struct tick *t;
	struct result r;

	if (!p)
		return;
	memcpy(p, q->share->part, size);
	k = timeline_find(a->tl, q->r_ns);
	for (k = k > a->settled ? k : a->settled; k <= last && k < a->complete; k++) {
		t = timeline_tick(a->tl, k);
		attrib_weigh(q, t, k);
		attrib_charge(a, q, t, s->weight.ring[TICK_RING(k)], &s->active[TICK_RING(k)], p);
	}
	attrib_result(a, q, p, &r);
	a->ops->line(a->ctx, &r);
	free(p);
}

/* Of queries whose F is not known: now stands for it. */
static void spread_running(struct attrib *a, struct attrib_slot *s, uint64_t now)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->held[i]->share->running && !s->held[i]->f_ns)
			spread_known(a, s->held[i], now);
}

static void lines(struct attrib *a, struct attrib_slot *s, uint64_t until_ns, uint64_t now)
{
	int spread = 0;
	struct query *q;
	size_t i;

	for (i = 0; i < s->n; i++) {
		q = s->held[i];
		if (q->share->running || q->share->lined || q->e_ns > until_ns)
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

static int may_settle(struct attrib *a, uint64_t k, uint64_t now)
{
	const struct tick *t = timeline_tick(a->tl, k);
	int s;

	if (!is_open(a, t))
		return 1;
	if (t->t1 + ATTRIB_HORIZON_NS > now && a->held < ATTRIB_HELD_MAX && k + TIMELINE_TICKS / 2 > a->tl->closed)
		return 0;
	for (s = 1; s <= a->tl->nslot; s++)
		spread_running(a, &a->slot[s], now);
	a->early++;
	return 1;
}

void attrib_advance(struct attrib *a, int end)
{
	/* The events of a tick are all here when the next one has closed. */
	uint64_t ready = end ? a->tl->closed : a->tl->closed ? a->tl->closed - 1 : 0, resolved, now, until;
	int s;

	if (!a->tl->closed)
		return;
	resolved = timeline_resolved(a->tl);
	if (!end && resolved < ready)
		ready = resolved;
	now = timeline_tick(a->tl, a->tl->closed - 1)->t1;
	until = end ? UINT64_MAX : ready > a->tl->first ? timeline_tick(a->tl, ready - 1)->t1 : 0;
	for (; a->complete < ready; a->complete++)
		for (s = 1; s <= a->tl->nslot; s++)
			a->slot[s].active[TICK_RING(a->complete)] =
				active_time(&a->slot[s], timeline_tick(a->tl, a->complete));
	for (s = 1; s <= a->tl->nslot; s++)
		lines(a, &a->slot[s], until, now);
	for (; a->settled < ready && may_settle(a, a->settled, now); )
		settle(a, a->settled);
	for (s = 1; s <= a->tl->nslot; s++)
		final(a, &a->slot[s], end ? UINT64_MAX : a->tl->first ? timeline_tick(a->tl, a->tl->first)->t0 : 0);
}
