// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/floor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int floor_init(struct floor_finder *f, int nch)
{
	*f = (struct floor_finder){ .nch = nch };
	f->t_ns = calloc(FLOOR_TICKS + 1, sizeof(*f->t_ns));
	f->sum = calloc((FLOOR_TICKS + 1) * (2 * (size_t)nch + 1), sizeof(*f->sum));
	return f->t_ns && f->sum ? 0 : -ENOMEM;
}

void floor_release(struct floor_finder *f)
{
	free(f->t_ns);
	free(f->sum);
}

/* Forgets what is before the latest start that is a full second back. */
static void forget(struct floor_finder *f, uint64_t now)
{
	size_t i, row = 2 * (size_t)f->nch;

	for (i = 0; i + 1 < f->n && f->t_ns[i + 1] + FLOOR_NS <= now; i++)
		;
	if (!i && f->n == FLOOR_TICKS)
		i = 1;
	memmove(f->t_ns, f->t_ns + i, (f->n - i) * sizeof(*f->t_ns));
	memmove(f->sum, f->sum + i * row, (f->n - i) * row * sizeof(*f->sum));
	f->n -= (unsigned)i;
}

void floor_tick(struct floor_finder *f, const struct tick *t, int quiet, double *w)
{
	size_t row = 2 * (size_t)f->nch;
	double *last, uj, ns, span;
	int ch;

	if (!quiet) {
		f->n = 0;
		return;
	}
	if (!f->n) {
		f->t_ns[0] = t->t0;
		memset(f->sum, 0, row * sizeof(*f->sum));
		f->n = 1;
	}
	forget(f, t->t1);
	f->t_ns[f->n] = t->t1;
	last = &f->sum[f->n * row];
	span = (double)(t->t1 - f->t_ns[0]);
	for (ch = 0; ch < f->nch; ch++) {
		last[2 * ch] = last[2 * ch - (int)row] + t->energy_uj[ch];
		last[2 * ch + 1] = last[2 * ch + 1 - (int)row] + t->covered_ns[ch];
		uj = last[2 * ch] - f->sum[2 * ch];
		ns = last[2 * ch + 1] - f->sum[2 * ch + 1];
		if (span < FLOOR_NS || ns < FLOOR_COVER * span)
			continue;
		if (!(uj / ns * 1e3 >= w[ch])) /* uJ by ns is kW */
			w[ch] = uj / ns * 1e3;
	}
	f->n++;
}
