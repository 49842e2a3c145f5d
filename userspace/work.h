/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who did what in which step of the engine.
 *
 * A step is one batch that an engine computed. Where its probe tells of it, it is seen: begin, end, tokens. Else it is
 * inferred from the wire: tokens of different queries that come within WORK_JITTER_NS, or half of what steps took of
 * late, were made by one step, which began when the one before it ended, or, after a rest, when the first of its
 * queries was complete.
 *
 * What a query did in a step is known from two sides. A token that the wire shows was made by the latest step that had
 * ended then; every token but the first of an answer is the work of a sequence that was decoded. The prompt is the work
 * of the steps up to the one that made the first token: where the number of their tokens is known, of each what is
 * nobody else's, prompts that were done earlier coming first; else of the steps since the query was complete and the
 * prompt before it in line was done, as many tokens as a step may have, which is found from earlier prompts; or, if
 * that does not explain it, by how much longer these took than steps in which nobody waited. Of an answer that is not
 * streamed the tokens are those of the last steps before its end, one each.
 *
 * Nothing here knows of energy.
 */
#ifndef IPW_WORK_H
#define IPW_WORK_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/least.h"
#include "userspace/timeline.h"

#define WORK_STEPS     16384 /* kept at most: a power of two; older ones are forgotten */
#define WORK_VOTES     64
#define WORK_DARK      256
#define WORK_JITTER_NS 2000000ull
#define WORK_LOST_NS   2000000000ull /* tokens without a step for so long: steps are not seen any more */

/* What the energy of a step is made of. */
enum work_kind {
	WORK_STEP = 0, /* that there is one: of each of its queries an equal share */
	WORK_PREFILL,  /* tokens of prompts that were computed */
	WORK_DECODE,   /* sequences that were decoded */
	WORK_CONTEXT,  /* tokens that these looked back on, in thousands */
	WORK_ATTENTION, /* tokens of prompts times those that they looked back on, in thousands */
	WORK_KINDS,
};

struct work_step {
	uint64_t begin_ns, end_ns;
	uint64_t least_ns; /* the earliest begin of it and of those behind it: steps of two processes may overlap */
	int32_t  tokens;  /* in the batch; -1: not known */
	uint32_t pid;     /* of the process that computed it; 0: inferred */
	uint32_t batch;   /* as struct step */
	uint32_t queries; /* that are known to be in it */
	uint32_t first;   /* of these, whose prompt it completed */
	uint32_t waited;  /* a query had no token yet in it, or before its end */
	double   sum[WORK_KINDS]; /* of its queries; WORK_STEP is not used */
};

/* What inferred steps take: ns. Steps in which nobody waited are plain; what others take more is for prompts. */
struct work_pace {
	struct least plain;
	double   yy, cost[WORK_KINDS];
	double   over_ns, tokens; /* of those that are not plain: time beyond that, prompt tokens */
	uint64_t nplain, nover;
	uint64_t next;            /* steps before it are learnt */
	uint64_t line;            /* the step that completed the latest prompt that is settled */
};

/*
 * What one prompt says of how many tokens a step has at most: low <= limit < high, if it was begun when the one before
 * it in line was done, and if it was when there was place for it (where that was later).
 */
struct work_vote {
	double   low[2], high[2];
	uint32_t beside; /* the most queries in a step that it waited for */
};

/* What inferred steps have at most. */
struct work_limit {
	struct work_vote vote[WORK_VOTES]; /* of the latest prompts */
	uint64_t n;
	int      known;   /* most of them agree with `tokens` */
	double   tokens;  /* INFINITY: none was too long for a step yet */
	uint32_t queries; /* 0: not known */
	uint64_t chain, chain_last; /* of prompts that came one right after the other: the first step; the last, or 0 */
	double   chain_tokens;
	int      shared;            /* the first of these steps had another prompt too */
};

/* Times in which a query had a whole answer, of which nobody knows in which steps it was: the latest of them. */
struct work_dark {
	uint64_t from_ns[WORK_DARK], to_ns[WORK_DARK];
	uint64_t n;
};

/* Of one target. */
struct work_steps {
	struct work_step *ring;
	uint64_t first, next;  /* numbers of those kept: first .. next - 1 */
	int      seen;         /* steps come from a probe: none are inferred */
	uint64_t usual_ns;     /* an inferred step took, of late */
	struct work_pace pace;
	struct work_limit limit;
	struct work_dark dark;
};

/* A query in n consecutive steps: the same in each, but for the context, which grows by what is decoded. */
struct work_run {
	uint64_t step;
	uint32_t n;
	uint32_t shares;  /* it is one of the step's queries by this; 0: by another run */
	float    prefill, decode, context; /* the context: of the first step, in thousands; of a prompt, on the mean */
};

struct work_runs {
	struct work_run *v; /* by step, in order */
	size_t   n, cap;
};

/* Of one query. */
struct work {
	struct work_runs prompt, answer;
	uint64_t last_ns;     /* of its latest token; 0: none */
	uint64_t first_step;  /* the one that made its first token, + 1; 0: not known */
	double   prompt_size; /* tokens to look back on before the answer, as was last said */
	double   made;        /* tokens of the answer */
	int      settled;     /* the prompt is */
	int      apart;       /* a hop: the steps do not count it, its query may take it over */
};

/* 0 or -ENOMEM. */
int  work_steps_init(struct work_steps *s);
void work_steps_release(struct work_steps *s);
void work_release(struct work *w);

/*
 * A probe saw a step. Several processes that compute the same one are one; and so are parts of one batch, as its tokens
 * are sent when all of it is computed.
 */
void work_step_seen(struct work_steps *s, const struct step *p);

/*
 * n tokens of a query came at ts_ns; r_ns: since when it waits. prompt: tokens to look back on, as well as it is known.
 * 0 or -ENOMEM.
 */
int  work_tokens(struct work_steps *s, struct work *w, uint64_t ts_ns, uint32_t n, uint64_t r_ns, double prompt);

/* What is known of a prompt. */
struct work_prompt {
	double   size;    /* tokens, those that were not computed too */
	double   tokens;  /* that were computed */
	int      guess;   /* `tokens` is one: what the steps say is better */
	uint64_t r_ns, e_ns;
};

/*
 * The query is over. settle 0: as it seems now, and the steps do not count it; may be called again. 1: for good;
 * queries come here in the order in which the engine was done with their prompts. 0 or -ENOMEM.
 */
int  work_prompt(struct work_steps *s, struct work *w, const struct work_prompt *p, int settle);

/* An answer that was not streamed is over; work_prompt() follows. Where steps are not seen it is dark. 0 or -ENOMEM. */
int  work_whole(struct work_steps *s, struct work *w, double prompt, uint64_t completion, uint64_t r_ns, uint64_t e_ns);

/* Between two times there was work of which is not known in which steps it was: what they did is not all. */
int  work_is_dark(const struct work_steps *s, uint64_t from_ns, uint64_t to_ns);

/* All prompts that came before t_ns are settled: learns what steps take that ended by then. */
void work_learn(struct work_steps *s, uint64_t t_ns);

/* Takes all of it out of the steps, for good. */
void work_leave(struct work_steps *s, struct work *w);
/* What was left is another query's, which has no tokens of its own. 0 or -ENOMEM. */
int  work_join(struct work_steps *s, struct work *w, const struct work *from);

/*
 * What the steps did between two times, whoever asked for it, and what one query did for its prompt and for its answer.
 * Added to x[].
 */
void work_sum(const struct work_steps *s, uint64_t from_ns, uint64_t to_ns, double *x);
void work_of(const struct work_steps *s, const struct work *w, uint64_t from_ns, uint64_t to_ns, double *prompt,
	     double *answer);

/* When the step ended that made its first token; 0: not known. */
uint64_t work_first_ns(const struct work_steps *s, const struct work *w);
/* When the first step began that worked on its prompt; 0: not known. */
uint64_t work_begin_ns(const struct work_steps *s, const struct work *w);

#endif
