// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/timeline.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int timeline_init(struct timeline *tl, const struct meter *meters, int n, int nslot)
{
	size_t row = (size_t)n * (5 + (size_t)nslot + 1) * sizeof(double), i;
	char *p;

	*tl = (struct timeline){ .nch = n, .nslot = nslot, .meters = meters };
	tl->ticks = calloc(TIMELINE_TICKS, sizeof(*tl->ticks));
	tl->store = calloc(TIMELINE_TICKS, row ? row : 1);
	if (!tl->ticks || !tl->store) {
		timeline_release(tl);
		return -ENOMEM;
	}
	for (i = 0, p = tl->store; i < TIMELINE_TICKS; i++, p += row) {
		tl->ticks[i].energy_uj = (double *)p;
		tl->ticks[i].covered_ns = tl->ticks[i].energy_uj + n;
		tl->ticks[i].seen_uj = tl->ticks[i].covered_ns + n;
		tl->ticks[i].seen_ns = (uint64_t *)(tl->ticks[i].seen_uj + n);
		tl->ticks[i].since_ns = tl->ticks[i].seen_ns + n;
		tl->ticks[i].share = (double *)(tl->ticks[i].since_ns + n);
		tl->ticks[i].nobody = (uint8_t *)(tl->ticks[i].share + (size_t)n * (size_t)nslot);
		tl->ticks[i].unsplit = tl->ticks[i].nobody + n;
		tl->ticks[i].read = tl->ticks[i].unsplit + n;
	}
	return 0;
}

void timeline_release(struct timeline *tl)
{
	free(tl->ticks);
	free(tl->store);
	tl->ticks = NULL;
	tl->store = NULL;
}

static void tick_open(struct timeline *tl, uint64_t t0)
{
	struct tick *t = timeline_tick(tl, tl->closed);

	t->t0 = t0;
	t->t1 = 0;
	memset(t->energy_uj, 0, 2 * (size_t)tl->nch * sizeof(double)); /* and covered_ns, which follows it */
	memset(t->seen_ns, 0, (size_t)tl->nch * sizeof(*t->seen_ns));
	memset(t->read, 0, (size_t)tl->nch);
}

/* Shares of a CPU channel: on-CPU time of each slot by that of all, on the package that it measures. */
static void share_cpu(struct timeline *tl, struct tick *t, int ch, const struct activity *a)
{
	int unit = tl->meters[ch].ch.unit, s;
	uint64_t busy = 0, mine[EV_SLOTS] = { 0 };
	uint32_t g;

	for (g = 0; g < a->ngroup; g++) {
		if (unit >= 0 && a->group[g].unit != unit)
			continue;
		busy += a->group[g].busy_ns - tl->last.group[g].busy_ns;
		for (s = 1; s <= tl->nslot; s++)
			mine[s] += a->group[g].slot_ns[s] - tl->last.group[g].slot_ns[s];
	}
	t->nobody[ch] = busy == 0;
	t->unsplit[ch] = 0;
	for (s = 1; s <= tl->nslot; s++)
		t->share[ch * tl->nslot + s - 1] = busy ? (double)mine[s] / (double)busy : 0;
}

static void share_gpu(struct timeline *tl, struct tick *t, int ch)
{
	const struct gpu_share *g = &tl->gpu[ch];
	int s;

	t->nobody[ch] = 0;
	t->unsplit[ch] = !g->known;
	for (s = 1; s <= tl->nslot; s++)
		t->share[ch * tl->nslot + s - 1] = g->known ? g->slot[s] : 1.0 / tl->nslot;
}

/* A meter that says nothing for long must not hold up the others for ever. */
static void resolve_silent(struct timeline *tl, uint64_t now)
{
	int ch;

	for (ch = 0; ch < tl->nch; ch++)
		while (tl->ch[ch].resolved < tl->closed &&
		       timeline_tick(tl, tl->ch[ch].resolved)->t1 + TIMELINE_SILENT_NS <= now)
			tl->ch[ch].resolved++;
}

void timeline_edge(struct timeline *tl, const struct activity *a)
{
	struct tick *t;
	int ch;

	if (!tl->last.t_ns) {
		tl->last = *a;
		tick_open(tl, a->t_ns);
		return;
	}
	if (a->t_ns <= tl->last.t_ns)
		return;
	t = timeline_tick(tl, tl->closed);
	t->t1 = a->t_ns;
	for (ch = 0; ch < tl->nch; ch++)
		if (tl->meters[ch].ch.domain == DOMAIN_GPU)
			share_gpu(tl, t, ch);
		else
			share_cpu(tl, t, ch, a);
	tl->last = *a;
	tl->closed++;
	if (tl->closed - tl->first >= TIMELINE_TICKS)
		timeline_drop(tl, tl->first + 1);
	tick_open(tl, a->t_ns);
	resolve_silent(tl, a->t_ns);
}

void timeline_activity(struct timeline *tl, const struct activity *a)
{
	timeline_edge(tl, a);
	tl->ready = tl->looked;
	tl->looked = tl->closed;
}

/* uj were measured from `from` to `to`, or, for a gap, nothing was. */
static void spread_sample(struct timeline *tl, int ch, uint64_t from, uint64_t to, double uj, int gap)
{
	uint64_t a, b, k;
	struct tick *t;

	for (k = tl->ch[ch].resolved; k <= tl->closed; k++) {
		t = timeline_tick(tl, k);
		a = t->t0 > from ? t->t0 : from;
		b = t->t1 && t->t1 < to ? t->t1 : to;
		if (b > a && !gap) {
			t->energy_uj[ch] += uj * ((double)(b - a) / (double)(to - from));
			t->covered_ns[ch] += (double)(b - a);
		}
		if (!t->t1 || t->t1 > to)
			break;
		tl->ch[ch].resolved = k + 1;
	}
}

void timeline_sample(struct timeline *tl, const struct sample *m)
{
	struct tick *t = timeline_tick(tl, tl->closed);
	int ch = m->channel, gap = !!(m->flags & SAMPLE_GAP);
	uint64_t from;

	if (ch >= tl->nch || !tl->last.t_ns)
		return;
	from = tl->ch[ch].t_ns;
	if (from && m->t_ns <= from && !gap)
		return; /* an edge has read it since: the next one says the rest */
	if (m->t_ns == t->t0) {
		t->read[ch] |= TICK_READ_BEGIN;
		timeline_tick(tl, tl->closed - 1)->read[ch] |= TICK_READ_END; /* before the first it is nobody's */
	}
	tl->gaps += (uint64_t)(from && gap); /* before the first there is nothing to miss */
	if (from && m->t_ns > from) {
		spread_sample(tl, ch, from, m->t_ns, m->energy_uj - tl->ch[ch].energy_uj, gap);
		if (!t->seen_ns[ch]) {
			t->seen_uj[ch] = 0;
			t->since_ns[ch] = from;
		}
		t->seen_uj[ch] += gap ? NAN : m->energy_uj - tl->ch[ch].energy_uj;
		t->seen_ns[ch] = m->t_ns;
	}
	tl->ch[ch].t_ns = m->t_ns;
	tl->ch[ch].energy_uj = m->energy_uj;
}

void timeline_gpu(struct timeline *tl, const struct gpu_share *g)
{
	if (g->channel < (uint32_t)tl->nch)
		tl->gpu[g->channel] = *g;
}

uint64_t timeline_find(const struct timeline *tl, uint64_t t_ns)
{
	uint64_t lo = tl->first, hi = tl->closed, mid;

	if (hi > lo && t_ns > timeline_tick(tl, hi - 1)->t1)
		return hi;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (timeline_tick(tl, mid)->t1 < t_ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint64_t timeline_resolved(const struct timeline *tl)
{
	uint64_t k = tl->closed;
	int ch;

	for (ch = 0; ch < tl->nch; ch++)
		if (tl->ch[ch].resolved < k)
			k = tl->ch[ch].resolved;
	return k;
}

void timeline_drop(struct timeline *tl, uint64_t before)
{
	int ch;

	if (before > tl->first)
		tl->first = before < tl->closed ? before : tl->closed;
	for (ch = 0; ch < tl->nch; ch++)
		if (tl->ch[ch].resolved < tl->first)
			tl->ch[ch].resolved = tl->first;
}
