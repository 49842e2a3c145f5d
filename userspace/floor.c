// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/floor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int floor_init(struct floor_finder *f, int nch)
{
	*f = (struct floor_finder){ .nch = nch };
	f->t_ns = calloc(FLOOR_TICKS + 1, sizeof(*f->t_ns));
	f->uj = calloc((FLOOR_TICKS + 1) * ((size_t)nch + 1), sizeof(*f->uj));
	return f->t_ns && f->uj ? 0 : -ENOMEM;
}

void floor_release(struct floor_finder *f)
{
	free(f->t_ns);
	free(f->uj);
}

/* Forgets what is before the latest start that is a full second back. */
static void forget(struct floor_finder *f, uint64_t now)
{
	size_t i, nch = (size_t)f->nch;

	for (i = 0; i + 1 < f->n && f->t_ns[i + 1] + FLOOR_NS <= now; i++)
		;
	if (!i && f->n == FLOOR_TICKS)
		i = 1;
	memmove(f->t_ns, f->t_ns + i, (f->n - i) * sizeof(*f->t_ns));
	memmove(f->uj, f->uj + i * nch, (f->n - i) * nch * sizeof(*f->uj));
	f->n -= (unsigned)i;
}

void floor_tick(struct floor_finder *f, const struct tick *t, int quiet, double *w)
{
	double *last, mean;
	uint64_t span;
	int ch;

	if (!quiet) {
		f->n = 0;
		return;
	}
	if (!f->n) {
		f->t_ns[0] = t->t0;
		memset(f->uj, 0, (size_t)f->nch * sizeof(*f->uj));
		f->n = 1;
	}
	forget(f, t->t1);
	f->t_ns[f->n] = t->t1;
	last = &f->uj[(size_t)f->n * (size_t)f->nch];
	span = t->t1 - f->t_ns[0];
	for (ch = 0; ch < f->nch; ch++) {
		last[ch] = last[ch - f->nch] + t->energy_uj[ch];
		mean = (last[ch] - f->uj[ch]) / (double)span * 1e3; /* uJ by ns is kW */
		if (span >= FLOOR_NS && !isnan(mean) && !(mean >= w[ch]))
			w[ch] = mean;
	}
	f->n++;
}
