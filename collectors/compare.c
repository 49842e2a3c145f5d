// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Two sources of one domain, read side by side. */
#include "collectors/sampler_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define ASSUMED_US 100000u

/* One that is not used, with books of its own, as the sampler has none for it. */
struct spare {
	struct source *src;
	int            ch, twin;
	struct meter   meter;
	struct tally   tally;
	double         ours0_uj;
	uint64_t       ours0_ns, t0_ns;
};

static int find_spares(struct source *const *src, int nsrc, struct spare *sp, int n)
{
	int i, ch;

	for (i = 0; i < nsrc; i++) {
		for (ch = 0; ch < src[i]->c.nch && n < CHANNEL_MAX; ch++) {
			if (src[i]->twin[ch] == CHANNEL_NONE)
				continue;
			sp[n].src = src[i];
			sp[n].ch = ch;
			sp[n].twin = src[i]->twin[ch];
			sp[n].meter = (struct meter){ .ch = src[i]->c.ch[ch], .source = src[i]->c.ops->name,
						      .period_us = src[i]->c.ch[ch].period_us,
						      .resolution = src[i]->c.ch[ch].resolution };
			n++;
		}
	}
	return n;
}

/* Reads all of a source into the sampler's books and those of its spares. */
static void take(struct sampler *s, struct source *src, struct spare *sp, int n)
{
	struct raw val[CHANNEL_MAX];
	uint64_t t_ns;
	int i, err = source_read(s, src, val, &t_ns);

	source_tally(s, src, err ? NULL : val, t_ns);
	for (i = 0; i < n; i++)
		if (sp[i].src == src)
			tally_add(&sp[i].tally, &sp[i].meter, &(struct raw){ val[sp[i].ch].value,
				  !err && val[sp[i].ch].valid }, t_ns);
}

static void take_all(struct sampler *s, struct spare *sp, int n)
{
	int i;

	for (i = 0; i < s->nsource; i++)
		take(s, s->source[i], sp, n);
	for (i = 0; i < s->nspare; i++)
		take(s, s->spare[i], sp, n);
}

/*
 * What is seen of some time is that of as long a time, but it began and ended up to a refresh earlier, when the power
 * may have been twice as much; and at each end up to a step is missing.
 */
static double allowed(const struct meter *m, uint64_t dt_ns, double uj)
{
	double period_ns = (m->period_us ? m->period_us : ASSUMED_US) * 1e3;

	return 2 * period_ns / (double)dt_ns + (uj > 0 ? 2 * m->resolution / uj : 0);
}

/* 0 when one of them could not be read all the time. */
static int judge(const struct sampler *s, const struct spare *sp, struct comparison *ret)
{
	const struct tally *ours = &s->tally[sp->twin], *theirs = &sp->tally;
	uint64_t dt_ours = ours->t_ns - sp->ours0_ns, dt_theirs = theirs->t_ns - sp->t0_ns;
	double uj = ours->energy_uj - sp->ours0_uj, more;

	if (!sp->ours0_ns || !sp->t0_ns || !dt_ours || !dt_theirs || ours->lost || theirs->lost ||
	    theirs->flags & SAMPLE_GAP)
		return 0;
	ret->meter = sp->twin;
	ret->source = sp->meter.source;
	ret->ours_w = uj * 1e3 / (double)dt_ours;
	ret->theirs_w = theirs->energy_uj * 1e3 / (double)dt_theirs;
	more = fmax(ret->ours_w, ret->theirs_w);
	ret->apart = more > 0 ? fabs(ret->ours_w - ret->theirs_w) / more : 0;
	ret->allowed = allowed(&s->meter[sp->twin], dt_ours, uj) + allowed(&sp->meter, dt_theirs, theirs->energy_uj);
	return 1;
}

int sampler_compare(struct sampler *s, uint64_t ns, struct comparison *ret, int max)
{
	struct spare *sp = calloc(CHANNEL_MAX, sizeof(*sp));
	int i, n, len = 0;

	if (!sp)
		return -ENOMEM;
	n = find_spares(s->source, s->nsource, sp, 0);
	n = find_spares(s->spare, s->nspare, sp, n);
	if (n) {
		take_all(s, sp, n);
		for (i = 0; i < n; i++) {
			sp[i].ours0_uj = s->tally[sp[i].twin].energy_uj;
			sp[i].ours0_ns = s->tally[sp[i].twin].lost ? 0 : s->tally[sp[i].twin].t_ns;
			sp[i].t0_ns = sp[i].tally.t_ns;
		}
		s->env.sleep_ns(ns);
		take_all(s, sp, n);
	}
	for (i = 0; i < n && len < max; i++)
		len += judge(s, &sp[i], &ret[len]);
	free(sp);
	return len;
}
