/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What work.c (steps, answers, sums) and work_prompt.c share. */
#ifndef IPW_WORK_INTERNAL_H
#define IPW_WORK_INTERNAL_H

#include "userspace/work.h"

#define CONTEXT 1e-3 /* of a token */

static inline struct work_step *work_step_at(const struct work_steps *s, uint64_t i)
{
	return &s->ring[i & (WORK_STEPS - 1)];
}

/* What of a step's tokens is nobody's, as far as it is known how many it has. */
static inline double work_tokens_left(const struct work_step *t)
{
	double left = t->tokens - t->sum[WORK_DECODE] - t->sum[WORK_PREFILL];

	return left > 0 ? left : 0;
}

/* ns of a step that lie between two times. */
double   work_overlap(const struct work_step *t, uint64_t from_ns, uint64_t to_ns);
/* The first step that ends after t_ns. */
uint64_t work_step_after(const struct work_steps *s, uint64_t t_ns);
/* Behind the others, or as a part of the last one. 0 or -ENOMEM. */
int      work_runs_add(struct work_steps *s, const struct work *w, struct work_runs *r, const struct work_run *add);
/* A prompt of so many tokens was done in step `last`; the one before it in line, or none, when `from` began. */
void     work_limit_learn(struct work_steps *s, uint64_t from, uint64_t last, double tokens);
/* The step in which it was begun, by what steps have at most; last + 1: by that it cannot be. */
uint64_t work_limit_begin(const struct work_steps *s, uint64_t r_ns, uint64_t from, uint64_t last, double tokens);
/* For how many more tokens a step has room; INFINITY where it may be many steps, as no answer is in it. */
double   work_limit_room(const struct work_steps *s, uint64_t i);
/* It is known how long plain steps take. */
int      work_is_paced(const struct work_pace *p);
/* How much longer an inferred step took than it had without prompts; 0 where that is not known. */
double   work_over_ns(const struct work_steps *s, uint64_t i);
/* Adds them to what their steps did, or takes them out. */
void     work_runs_sums(struct work_steps *s, const struct work *w, const struct work_runs *r, double sign);

#endif
