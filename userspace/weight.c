// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/weight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void weight_init(struct weight *w)
{
	*w = (struct weight){ .scale = 1 };
}

void weight_release(struct weight *w)
{
	free(w->log);
}

double tick_overlap(const struct tick *t, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t a = from_ns > t->t0 ? from_ns : t->t0, b = t->t1 && to_ns > t->t1 ? t->t1 : to_ns;

	return b > a ? (double)(b - a) : 0;
}

/* The tick of a time, or the first that is not settled. */
static uint64_t tick_at(const struct weight_sums *s, uint64_t t_ns)
{
	uint64_t k = timeline_find(s->tl, t_ns);

	return k > s->from ? k : s->from;
}

double weight_of_spread(const struct weight *w, const struct tick *t)
{
	return w->spread > 0 ? w->spread * tick_overlap(t, w->from_ns, w->to_ns) / (double)(w->to_ns - w->from_ns) : 0;
}

static void spread_add(const struct weight *w, struct weight_sums *s, double sign)
{
	uint64_t k, last;

	if (!(w->spread > 0))
		return;
	last = timeline_find(s->tl, w->to_ns);
	for (k = tick_at(s, w->from_ns); k <= last; k++)
		s->ring[TICK_RING(k)] += sign * weight_of_spread(w, timeline_tick(s->tl, k));
}

void weight_spread(struct weight *w, struct weight_sums *s, double tokens, uint64_t from_ns, uint64_t to_ns)
{
	spread_add(w, s, -1);
	w->spread = tokens;
	w->from_ns = from_ns;
	w->to_ns = to_ns > from_ns ? to_ns : from_ns + 1;
	spread_add(w, s, 1);
}

void weight_scale(struct weight *w, struct weight_sums *s, double scale)
{
	size_t i;

	for (i = w->at; i < w->n; i++)
		s->ring[TICK_RING(w->log[i].tick)] += w->log[i].n * (scale - w->scale);
	w->scale = scale;
}

/* Room for one more: settled entries go first. */
static int log_room(struct weight *w)
{
	size_t cap = w->cap ? 2 * w->cap : 8;
	struct tick_tokens *log;

	if (w->n < w->cap)
		return 0;
	if (w->at) {
		memmove(w->log, w->log + w->at, (w->n - w->at) * sizeof(*log));
		w->n -= w->at;
		w->at = 0;
		return 0;
	}
	log = realloc(w->log, cap * sizeof(*log));
	if (!log)
		return -ENOMEM;
	w->log = log;
	w->cap = cap;
	return 0;
}

/* The entry of tick k, made if need be. They are in order, and one that comes late is not far from the end. */
static struct tick_tokens *log_entry(struct weight *w, uint32_t k)
{
	size_t i;

	if (w->n > w->at && w->log[w->n - 1].tick == k)
		return &w->log[w->n - 1];
	if (log_room(w))
		return NULL;
	for (i = w->n; i > w->at && w->log[i - 1].tick >= k; i--)
		if (w->log[i - 1].tick == k)
			return &w->log[i - 1];
	memmove(&w->log[i + 1], &w->log[i], (w->n - i) * sizeof(*w->log));
	w->log[i] = (struct tick_tokens){ k, 0 };
	w->n++;
	return &w->log[i];
}

int weight_event(struct weight *w, struct weight_sums *s, uint64_t ts_ns, uint32_t n)
{
	uint64_t k = tick_at(s, ts_ns);
	struct tick_tokens *e = log_entry(w, (uint32_t)k);

	if (!e)
		return -ENOMEM;
	e->n += n;
	s->ring[TICK_RING(k)] += n * w->scale;
	return 0;
}

void weight_leave(struct weight *w, struct weight_sums *s)
{
	double scale = w->scale;

	spread_add(w, s, -1);
	weight_scale(w, s, 0);
	w->scale = scale;
}

void weight_join(struct weight *w, struct weight_sums *s, const struct weight *from)
{
	struct tick_tokens *e;
	size_t i;

	for (i = from->at; i < from->n; i++) {
		e = from->log[i].tick >= (uint32_t)s->from ? log_entry(w, from->log[i].tick) : NULL;
		if (!e)
			continue; /* settled, or no memory */
		e->n += from->log[i].n;
		s->ring[TICK_RING(from->log[i].tick)] += from->log[i].n * w->scale;
	}
}

double weight_of_events(const struct weight *w, uint64_t k)
{
	size_t lo = w->at, hi = w->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (w->log[mid].tick < (uint32_t)k)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n && w->log[lo].tick == (uint32_t)k ? w->log[lo].n * w->scale : 0;
}

void weight_settle(struct weight *w, uint64_t k)
{
	while (w->at < w->n && w->log[w->at].tick <= (uint32_t)k)
		w->at++;
}
