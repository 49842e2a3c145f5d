/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Edges, from the kernel to the pipeline: where a phase of a query may begin or end, the CPUs and the meters of that
 * package were read in the probe (bpf/edge.bpf.h). They come through the ring, later than looks and samples of a later
 * time, so those wait here until all that is older has been handed on.
 *
 * What the event before an edge was is known by now: where no phase has begun or ended it is of no use. Each other one
 * is a tick more, of which a timeline keeps a bounded number: no more than one for EDGES_LOOKS looks, in bursts of
 * EDGES_BURST. One that a look follows within EDGES_APART_NS adds nothing; one that follows a look so soon does, as a
 * few prompt tokens behind the cut would weigh more there than all that is decoded.
 */
#ifndef IPW_EDGES_H
#define IPW_EDGES_H

#include "userspace/live.h"
#include "userspace/pipeline.h"

#define EDGES_LOOKS    3
#define EDGES_BURST    32
#define EDGES_APART_NS 200000

struct edges {
	struct pipeline *pipeline;
	struct sampler  *sampler;
	int      channel[EV_GROUPS * EV_EDGE_METERS]; /* by place of the meter; CHANNEL_NONE */
	int      n;                       /* meters that are read */
	char     why[200];                /* none is, or some are not */
	struct activity look;             /* the last one; t_ns 0: it has been handed on */
	struct sample   sample[CHANNEL_MAX]; /* that came with it */
	int      nsample, given;
	int      room;                    /* edges that may still come, times EDGES_LOOKS */
	uint64_t used;                    /* edges that cut a tick */
	uint64_t read, refused;           /* meters at them: read; not, as the kernel refuses or it is not believed */
	uint64_t phases;                  /* of the pipeline's, that have had their edge */
	/* Of no use: no phase; older than what was handed on, or spoilt; too many; just before a look. */
	uint64_t idle, late, many, near;
};

/* Finds the meters that have something to read. 0, or -ENODEV if none has: see why. */
int  edges_find(struct edges *e, struct sampler *sampler, const struct meter *meters, int nmeter);
/* Gives them to the kernel's side. Before any event. */
void edges_attach(struct edges *e, struct live *live, const struct meter *meters, int nmeter);

/* Says at the end what came of them. */
void edges_say(const struct edges *e, const struct live *live);

/* A look, and then its samples, which wait until edges_event() or edges_flush() has handed on what is older. */
void edges_look(struct edges *e, const struct activity *a);
void edges_sample(struct edges *e, const struct sample *m);
/* Before each event is handed on: what is older, and, if it is an EV_EDGE, that. */
void edges_event(struct edges *e, const struct ev_hdr *ev);
/* All that waits. */
void edges_flush(struct edges *e);

#endif
