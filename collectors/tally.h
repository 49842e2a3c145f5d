/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The books of one channel: readings in, energy out. All the arithmetic of the sampler, and none of its I/O. */
#ifndef IPW_COLLECTOR_TALLY_H
#define IPW_COLLECTOR_TALLY_H

#include "collectors/refresh.h"
#include "collectors/sampler.h"

struct tally {
	double   energy_uj;
	uint64_t raw;        /* the last good reading, */
	uint64_t t_ns;       /* when it was taken, */
	uint64_t moved_ns;   /* when its value was first seen, */
	uint64_t true_ns;    /* and when, as far as is known, it was true */
	uint64_t sampled_ns; /* the last sample */
	unsigned flags;      /* of the sample to come */
	unsigned started : 1, lost : 1, due : 1;
	unsigned slept : 1;  /* the machine did, since it last moved */
	uint64_t step;       /* of the raw value, that all steps so far are a multiple of; 0: none seen */
	unsigned nstep;
	struct refresh refresh;
};

/* Takes in a reading of channel m; counts in m what went wrong with it. */
void tally_add(struct tally *t, struct meter *m, const struct raw *r, uint64_t t_ns);

/*
 * A reading that a BPF program took of the channel at an edge, t_ns: it comes late, and with less trust, so it changes
 * nothing in the books. 1: *ret is what they would have said then, but for its channel.
 */
int tally_edge(const struct tally *t, const struct meter *m, const struct raw *r, uint64_t t_ns, struct sample *ret);

/* 1 when the reading taken at t_ns makes a sample, which is then in all of *ret but its channel. */
int tally_sample(struct tally *t, uint64_t t_ns, struct sample *ret);

#endif
