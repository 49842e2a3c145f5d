/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The order of the stages, and nothing else:
 *
 *   ev -> conn -> http -> wire -> query -> attrib -> totals -> sinks
 *            +----> hops ----^
 *   activity, sample ----> timeline ----^
 *   ev, recording: steps of the engine -> sinks
 *
 * From the kernel everything enters at pipeline_ev(); from a recording it enters at pipeline_wire(), and what is right
 * of there is the same.
 */
#ifndef IPW_PIPELINE_H
#define IPW_PIPELINE_H

#include "userspace/attrib.h"
#include "userspace/conn.h"
#include "userspace/hops.h"
#include "userspace/query.h"
#include "userspace/sink/sink.h"
#include "userspace/totals.h"

#define PIPELINE_SINKS 4

struct pipeline {
	const struct run *run;
	struct conns    conns;
	struct hops     hops;
	struct queries  queries;
	struct timeline timeline;
	struct attrib   attrib;
	struct totals    totals;
	struct sink     sink[PIPELINE_SINKS];
	int             nsink;
	uint64_t        next_id;
	uint64_t        opaque[8];    /* connections that are not read, by enum http_opaque */
	uint64_t        requests;     /* HTTP requests, queries or not */
	uint64_t        phases;       /* of queries, that began or ended */
	/* A connection turned out to be none that we read: its bytes need not be copied any more. May be NULL. */
	void          (*mute)(void *ctx, uint64_t cookie);
	/* The process at this end asks a query of whoever is at the other. May be NULL. */
	void          (*asks)(void *ctx, const struct conn *c);
	void           *live_ctx;     /* of both */
};

/* 0 or -errno. run, meters, idle outlive it; sinks are copied, and closed by pipeline_close() once this returned 0. */
int  pipeline_init(struct pipeline *p, const struct run *run, const struct meter *meters, int nmeter,
		   const struct idle *idle, const struct sink *sink, int nsink);
void pipeline_release(struct pipeline *p);

void pipeline_ev(struct pipeline *p, const struct ev_hdr *e);
void pipeline_wire(struct pipeline *p, const struct wire_ev *e);
void pipeline_activity(struct pipeline *p, const struct activity *a);
/* The CPUs at an edge; then what its meters said, as samples. */
void pipeline_edge(struct pipeline *p, const struct activity *a);
void pipeline_sample(struct pipeline *p, const struct sample *m);
void pipeline_step(struct pipeline *p, const struct step *s);
void pipeline_unread(struct pipeline *p, const struct wire_unread *u);
void pipeline_gpu(struct pipeline *p, const struct gpu_share *g);
/* Events were lost: the queries that run now may miss something. */
void pipeline_lost(struct pipeline *p, uint64_t ts_ns);

/* The error that a sink met, 0 if none. */
int  pipeline_err(const struct pipeline *p);
/* Ends what runs, settles the books, gives the summary to the sinks and closes them. Returns the first sink's error. */
int  pipeline_close(struct pipeline *p, const struct run_end *end);

#endif
