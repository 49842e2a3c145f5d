/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Engine steps of the processes that are traced: finds the engines in them, attaches to each, says what is seen and
 * what not, and leaves off when it costs too much.
 *
 * Each process has its own breakpoints, though one file may be mapped by many: the kernel writes them into that
 * process's memory alone. One attachment for all of a file with a filter in the program would be less to keep, but
 * every other process on the machine that runs the same library would trap at each step of its own.
 */
#ifndef IPW_STEPS_H
#define IPW_STEPS_H

#include "userspace/engine.h"
#include "userspace/follow.h"
#include "userspace/live.h"

/* Of one CPU, over STEPS_BUDGET_NS: more than that, and steps are off for the rest of the run. */
#define STEPS_BUDGET    0.01
#define STEPS_BUDGET_NS 5000000000ull

struct steps {
	struct live *live;
	const struct follow *follow;
	struct hash  procs;      /* tgid -> struct step_proc */
	int          on, begun, verbose;
	double       hit_ns;     /* what a hit costs here; measured */
	uint64_t     next_ns;    /* somebody is to be looked at then */
	uint64_t     all_ns;     /* all processes were compared with those that are followed */
	uint64_t     hits, hits_ns; /* at the beginning of the window of the budget */
	struct { uint64_t dev, ino; } said[32]; /* files of which it was said that they are of no use */
	int          nsaid;
	int          attached;   /* to so many files of processes so far */
	uint64_t     off_ns;     /* off by the budget since then; 0: they are not */
	double       off_rate;   /* hits a second before that */
};

/* 0; or -errno if steps cannot be seen on this kernel, with the reason in `why`. */
int  steps_init(struct steps *s, struct live *live, const struct follow *f, int verbose, char *why, size_t size);
void steps_release(struct steps *s);

/* EV_EXEC, EV_FORK and EV_EXIT; others are ignored. */
void steps_event(struct steps *s, const struct ev_hdr *e);
/* At every look: attaches where that is due, and keeps the budget. */
void steps_check(struct steps *s, uint64_t now);

/* Says of one process, attached or not, what would be seen of its engine; into buf, a line. 1: steps are seen. */
int  steps_explain(uint32_t pid, char *buf, size_t size);

#endif
