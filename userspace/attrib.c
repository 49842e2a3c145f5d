// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/attrib_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const method_names[] = { NULL, "tokens", "time", "fitted", "gpu_unsplit" };
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
		a->slot[s].fitted = calloc((size_t)tl->nch + 1, sizeof(*a->slot[s].fitted));
		if (work_steps_init(&a->slot[s].steps) || !a->slot[s].weight.ring || !a->slot[s].apart.ring ||
		    !a->slot[s].active || !a->slot[s].fitted)
			return -ENOMEM;
	}
	return floor_init(&a->floor, tl->nch);
}

void attrib_share_free(struct query *q)
{
	if (q->share) {
		weight_release(&q->share->weight);
		work_release(&q->share->work);
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
			attrib_share_free(q);
			if (!running) /* one that runs is still query.c's */
				query_free(q);
		}
		free(a->slot[s].held);
		free(a->slot[s].weight.ring);
		free(a->slot[s].apart.ring);
		free(a->slot[s].active);
		free(a->slot[s].fitted);
		work_steps_release(&a->slot[s].steps);
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
	q->share->slot = s;
	for (i = s->n; i && s->held[i - 1]->r_ns > q->r_ns; i--)
		s->held[i] = s->held[i - 1];
	s->held[i] = q;
	s->n++;
	a->held++;
}

void attrib_spread(struct attrib *a, struct query *q, uint64_t now)
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
		attrib_spread(a, q, q->f_ns);
}

void attrib_tokens(struct attrib *a, struct query *q, uint64_t ts_ns, uint32_t n)
{
	struct attrib_slot *s = &a->slot[q->open.slot];

	if (!q->share)
		return;
	(void)weight_event(&q->share->weight, q->parent ? &s->apart : &s->weight, ts_ns, n);
	(void)work_tokens(&s->steps, &q->share->work, ts_ns, n, q->r_ns, query_prompt_size(q));
}

void attrib_step(struct attrib *a, const struct step *s)
{
	if (s->slot < EV_SLOTS && a->slot[s->slot].active)
		work_step_seen(&a->slot[s->slot].steps, s);
}

/* What a query was given before it was known to be a hop is that of its front. */
static void leave_part(const struct attrib *a, struct query *q, struct query *front)
{
	struct part *from = q->share->part, *to = front->share ? front->share->part : NULL;
	int ch, i;

	if (!to)
		return;
	to->flags |= from->flags;
	to->fitted_j += from->fitted_j;
	to->all_j += from->all_j;
	for (ch = 0; ch < a->tl->nch; ch++) {
		gross_add(&to->ch[ch].prefill, from->ch[ch].prefill.j, from->ch[ch].prefill.s, 1);
		gross_add(&to->ch[ch].decode, from->ch[ch].decode.j, from->ch[ch].decode.s, 1);
		gross_add(&to->ch[ch].time, from->ch[ch].time.j, from->ch[ch].time.s, 1);
		gross_add(&to->ch[ch].edge, from->ch[ch].edge.j, from->ch[ch].edge.s, 1);
		gross_add(&to->ch[ch].fitted, from->ch[ch].fitted.j, from->ch[ch].fitted.s, 1);
		gross_add(&to->ch[ch].shared, from->ch[ch].shared.j, from->ch[ch].shared.s, 1);
		for (i = 0; i < FIT_GROUPS; i++)
			gross_add(&to->ch[ch].without[i], from->ch[ch].without[i].j, from->ch[ch].without[i].s, 1);
		to->ch[ch].idle_s += from->ch[ch].idle_s;
		to->ch[ch].noise2 += from->ch[ch].noise2;
		to->ch[ch].unsure |= from->ch[ch].unsure;
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
	work_leave(&s->steps, &q->share->work);
	leave_part(a, q, front);
}

void attrib_inner(struct attrib *a, struct query *q, struct query *hop)
{
	struct attrib_slot *s = &a->slot[q->open.slot];

	if (!q->share || !hop->share)
		return;
	weight_join(&q->share->weight, &s->weight, &hop->share->weight);
	(void)work_join(&s->steps, &q->share->work, &hop->share->work);
}

void attrib_hop_gone(struct attrib *a, struct query *hop)
{
	attrib_share_free(hop);
}

/* Tokens that were counted at events; 0: what they weigh is spread. */
static uint64_t counted(const struct query *q)
{
	return q->stream == WIRE_STREAMED ? q->tokens : q->inner_tokens;
}

void attrib_prompt(struct query *q, int settle)
{
	struct work_prompt p = {
		.size = query_prompt_size(q), .tokens = query_prompt_work(q), .guess = q->usage.prompt < 0,
		.r_ns = q->r_ns, .e_ns = q->e_ns,
	};

	if (q->status / 100 < 4) /* it was not refused */
		(void)work_prompt(&q->share->slot->steps, &q->share->work, &p, settle);
}

void attrib_ended(struct attrib *a, struct query *q)
{
	if (!q->share) {
		query_free(q);
		return;
	}
	if (q->usage.completion > 0)
		(void)work_whole(&q->share->slot->steps, &q->share->work, query_prompt_size(q),
				 (uint64_t)q->usage.completion, q->r_ns, q->e_ns);
	attrib_prompt(q, 0);
	q->share->running = 0;
	attrib_spread(a, q, q->e_ns);
	if (counted(q) && q->usage.completion > (int64_t)counted(q))
		weight_scale(&q->share->weight, &a->slot[q->open.slot].weight,
			     (double)q->usage.completion / (double)counted(q));
}
