/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From final results to tasks: queries that say they are of one (struct query, task) are its turns, as those of an
 * agent's run are. Between them it calls its tools.
 *
 * A turn lasts from its request's first byte to the last of its answer; until it was noticed to be over, where that
 * came later. Turns may overlap. A gap is the time between two turns in which none lasted: the server does nothing for
 * the task then, and no energy is the task's. What a gap has is named and is in no turn's joules and no task's:
 *
 *   idle        what the idle floor took meanwhile, whatever else ran: of use for one gap, not to be added up
 *   idle share  of the floor in the time in which no query at all was active (R to E), which is in nobody's gross_j, an
 *               equal part to each task that was in a gap then. These and all gross_j may be added up.
 */
#ifndef IPW_TASKS_H
#define IPW_TASKS_H

#include "userspace/attrib.h"
#include "userspace/util/spans.h"

#define TASKS_MAX       4096
#define TASKS_TURNS_MAX 65536 /* of all together */

/* What one query or several cost. */
struct task_cost {
	int64_t  prompt, cached, completion; /* sums of what is known; -1: nothing is */
	double   bound_j;                    /* sum; NAN when one is */
	uint32_t flags;
	uint8_t  measured;                   /* something was */
	uint8_t  phased;                     /* of one at least it is known what was before F and after */
	struct task_channel {
		struct gross prefill, decode;
		double idle_s;               /* see struct acc */
	} *channel;                          /* tops only */
};

/* By the idle floor as it is known at the end. NAN: not known. */
struct task_joules {
	double energy_j, gross_j, prefill_j, decode_j;
};

struct turn {
	struct task *task;
	uint64_t id;                 /* of the query */
	uint64_t start_ns;           /* 0: it began before we looked */
	uint64_t from_ns, to_ns;     /* while it lasted */
	enum query_end end;
	double   ttft_ms, duration_ms;
	/*
	 * Tokens of its prompt that were computed again, if it begins as the prompt of the turn before it does, which
	 * was over then: as many as the shorter of the two has, less the cached ones. -1: not known.
	 */
	int64_t  repeated;
	struct task_cost cost;
};

struct task_gap {
	const struct turn *after, *before;
	uint64_t from_ns, to_ns;
	double   quiet_s;            /* of it no query was active */
	double   share_s;            /* of that its part */
	double   idle_j, idle_share_j; /* NAN: the floor is not known, or a meter was silent for some of the gap */
};

struct task {
	char     name[STR_IDENT + 1];
	uint64_t queries, errors, cancels;
	struct task_cost cost;
	struct turn *turn;           /* in the order of their beginnings */
	size_t   nturn;
	struct task_gap *gap;        /* the same */
	size_t   ngap;
	uint64_t active_ns, gap_ns;  /* one turn at least lasted; none did */
};

struct tasks {
	int      off;                /* nobody says what tasks there are: not even the queries are counted */
	int      nch;
	struct task **task;          /* in the order in which they were met */
	size_t   ntask;
	struct task rest;            /* queries of no task, and those that found no room; it has no turns */
	uint64_t no_room;            /* of these, the latter */
	struct hash by_name;
	struct turn *turn;
	size_t   nturn, cap;
	struct task_gap *gap;
	size_t   ngap;
	struct spans active, silent; /* a query was active; a meter did not measure all of it */
};

void tasks_release(struct tasks *t);
/* A final result, of nch channels. */
void tasks_add(struct tasks *t, const struct result *r, int nch);
/* A tick was settled. */
void tasks_tick(struct tasks *t, const struct attrib *a, const struct tick *k);
/* All results are here: turns in order, and their gaps. 0 or -ENOMEM, then there are none. */
int  tasks_settle(struct tasks *t, const struct attrib *a);

struct task_joules task_joules(const struct attrib *a, const struct task_cost *c);

#endif
