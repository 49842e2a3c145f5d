/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The books: whose energy it was.
 *
 * In each tick and for each top domain:
 *
 *   measured = idle floor + dynamic
 *   dynamic  = the server's part (on-CPU time of its processes; its share of a GPU) + other processes
 *   server's part = queries, for the part of the tick in which at least one is active, R to E
 *                 + the server without a query, for the rest
 *   queries' part = by weight: the tokens processed in the tick; if nobody has any there, by active time
 *
 * The weight of a query: the tokens of each event of its answer, at the event; its uncached prompt tokens evenly from
 * R to F; of an answer that is not streamed, both kinds evenly from R to E. Until the server says how many tokens the
 * prompt had, a quarter of the request's bytes stands for them; while F is not known, now stands for it. When usage
 * counts more tokens than events were seen, each event carries that many times more. All tokens weigh the same. A hop
 * weighs nothing; but when it streams and its query does not, the query's tokens are at the hop's events.
 *
 * Every figure is linear in the idle floor, so each is kept as two: joules with the idle power in, and the seconds of
 * idle floor to take off. The floor may then be learnt at any time. Nothing is clipped.
 *
 * A tick is settled when no query that overlaps it still runs, or when it is ATTRIB_HORIZON_NS old, or when
 * ATTRIB_HELD_MAX queries wait: then it is split by what is known, and all queries in it are marked QF_EARLY_SPLIT.
 * Until then queries hold what they need to be split again.
 */
#ifndef IPW_ATTRIB_H
#define IPW_ATTRIB_H

#include "userspace/books.h"
#include "userspace/fitted.h"
#include "userspace/floor.h"
#include "userspace/query.h"
#include "userspace/timeline.h"
#include "userspace/weight.h"
#include "userspace/work.h"

#define ATTRIB_HORIZON_NS  60000000000ull
#define ATTRIB_HELD_MAX    4096

enum attrib_method { METHOD_NONE = 0, METHOD_TOKENS, METHOD_TIME, METHOD_FITTED, METHOD_GPU_UNSPLIT };

/* One channel's part of a query. */
struct acc {
	struct gross prefill, decode; /* by weight */
	struct gross time;            /* as active time alone would split it; of what is fitted, that */
	struct gross fitted;          /* what the fit gave of both */
	struct gross shared;          /* of what is fitted: its share of what the steps cost whoever is in them */
	struct gross edge;            /* of the server's energy, what is not known at R and at E: see cut_at() */
	struct gross without[FIT_GROUPS]; /* of what is fitted: had the fit not known a part of the past */
	double       idle_s;          /* of idle floor: its part by time of that of the ticks it was active in */
	double       noise2;          /* of what is fitted: variance by the meter's deviations from the fit, J^2 */
	uint8_t      unsure;          /* of some of it that is not known */
	uint8_t      measured;        /* the meter said something in that time */
};

/* Where the idle floor of a channel comes from. */
enum idle_source { IDLE_UNKNOWN = 0, IDLE_AUTO, IDLE_USER, IDLE_MODEL, IDLE_NONE };

struct idle {
	enum idle_source source;
	double w;
};

/* What one query cost. NAN: not known. */
struct result {
	const struct query *q;
	int      final;             /* 0: as known when it ended (a live line); 1: with all usage */
	uint32_t flags;             /* those of the query, and of its energy */
	double   queue_ms;              /* R to the first step that worked on it; where steps are seen */
	double   energy_j, queue_j, prefill_j, decode_j;
	double   idle_j;                /* its part of the idle floor: divided by time among the server's queries */
	double   shared_j;              /* of energy_j: see struct acc; the rest is its own */
	double   domain_j[CHANNEL_MAX]; /* by channel, tops only; energy_j is the sum of those that are known */
	double   bound_j;               /* half-width of a 95 % interval, made of: */
	double   edge_j;                /* the power inside one refresh of the meter at R and at E is not known */
	double   split_j;               /* how sure the fit's costs are; else how far the split by tokens is from one by
					   active time */
	double   noise_j;               /* how far the meter was from the fit: noise, refreshes seen late */
	double   gain_j;                /* accuracy of the sources, of those that state one */
	int      gain_known;            /* all of them do */
	double   concurrency_mean;
	enum attrib_method method;
	const struct acc *acc;          /* by channel: what the joules are made of; they change with the idle floor */
};

struct attrib_ops {
	/* A query has ended and the meter has gone past it. NULL: nobody wants to know then. */
	void (*line)(void *ctx, const struct result *r);
	/* Its joules do not change any more. The query is freed after this. */
	void (*final)(void *ctx, const struct result *r);
	/* A tick is settled; it is gone after this. NULL: nobody wants to know. */
	void (*tick)(void *ctx, const struct tick *t);
};

/* One slot in one tick: ns of active time of all queries, and ns in which there was one at least. */
struct active {
	double time, any;
	int    dark; /* nobody knows in which steps one of them was */
};

struct attrib_slot {
	struct query **held;       /* from R until final, in the order of R */
	size_t n, cap;
	struct weight_sums weight; /* of all queries, kept up to date as they become known */
	struct weight_sums apart;  /* of their hops, which cost nothing of their own; nobody asks for it */
	uint64_t spread_ns;        /* up to then the prompts of those that wait are spread */
	struct active *active;     /* a ring beside the timeline's; filled when a tick is complete */
	struct work_steps steps;
	struct fitted *fitted;     /* by channel */
};

struct attrib {
	const struct attrib_ops *ops;
	void            *ctx;
	struct timeline *tl;
	struct attrib_slot slot[EV_SLOTS];
	struct book      book[CHANNEL_MAX];
	struct idle      idle[CHANNEL_MAX];
	uint64_t complete, settled;  /* ticks before these are */
	size_t   held;
	double   busy_s, query_s;    /* time with at least one query active; sum of the queries' active time */
	double   total_s;            /* length of the settled ticks */
	int      by_tokens;          /* no fit, whatever it proves */
	uint64_t early;              /* ticks settled before all was known */
	struct floor_finder floor;
};

/* idle[] by channel: what the user or the source says; IDLE_AUTO with w NAN where it is to be found. 0 or -ENOMEM. */
int  attrib_init(struct attrib *a, struct timeline *tl, const struct idle *idle, const struct attrib_ops *ops,
		 void *ctx);
void attrib_release(struct attrib *a);

/* As struct query_ops. */
void attrib_began(struct attrib *a, struct query *q);
void attrib_first(struct attrib *a, struct query *q);
void attrib_tokens(struct attrib *a, struct query *q, uint64_t ts_ns, uint32_t n);
void attrib_hop(struct attrib *a, struct query *q, struct query *front);
void attrib_inner(struct attrib *a, struct query *q, struct query *hop);
void attrib_hop_gone(struct attrib *a, struct query *hop);
void attrib_ended(struct attrib *a, struct query *q);
/* An engine's step, as its probe saw it. */
void attrib_step(struct attrib *a, const struct step *s);

/* After each tick's activity and samples: lines and final results that are due. end: the trace is over, settle all. */
void attrib_advance(struct attrib *a, int end);

/* Joules of a figure by what is known of the floor now. */
double attrib_joules(const struct attrib *a, int ch, const struct gross *g);
/* A channel that is summed: it has no parent. */
int    attrib_is_top(const struct attrib *a, int ch);

/* The part of a figure by which its source may be wrong, where that is known; 0 where it is not. */
double attrib_gain(const struct attrib *a, int ch);

const char *attrib_method_name(enum attrib_method m);
const char *idle_source_name(enum idle_source s);

#endif
