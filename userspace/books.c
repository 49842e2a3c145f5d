// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/books.h"

void book_tick(struct book *b, const struct tick *t, int ch, int nslot, const struct gross *queries)
{
	double j = t->energy_uj[ch] * 1e-6, s = t->covered_ns[ch] * 1e-9, left = !t->nobody[ch], mine;
	int slot;

	b->covered_s += s;
	gross_add(&b->measured, j, 0, 1);
	/* The floor itself is idle's: less than no seconds of it are taken off there. */
	gross_add(&b->idle, 0, -s, 1);
	gross_add(&b->idle, j, s, t->nobody[ch]);
	for (slot = 1; slot <= nslot; slot++) {
		mine = t->share[ch * nslot + slot - 1];
		gross_add(&b->queries, queries[slot].j, queries[slot].s, 1);
		gross_add(&b->server_other, j * mine - queries[slot].j, s * mine - queries[slot].s, 1);
		left -= mine;
	}
	gross_add(&b->others, j, s, left);
}
