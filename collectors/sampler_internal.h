/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What sampler.c and sampler_open.c share, and what a test needs to run the sampler on a scripted collector and a
 * scripted clock. Nobody else includes it.
 */
#ifndef IPW_COLLECTOR_SAMPLER_INTERNAL_H
#define IPW_COLLECTOR_SAMPLER_INTERNAL_H

#include "collectors/sampler.h"
#include "collectors/tally.h"

#define SOURCE_MAX 16 /* collectors in the registry */

/* The clock of the sampler, and how it waits. */
struct sampler_env {
	uint64_t (*now_ns)(void);
	void (*sleep_ns)(uint64_t ns);
	uint64_t (*asleep_ns)(void); /* for how long the machine has been suspended in all, while that clock stood */
};

/* A collector of which channels are used. */
struct source {
	struct collector c;
	int      meter[CHANNEL_MAX]; /* index of each of its channels in the sampler's; CHANNEL_NONE when not used */
	int      twin[CHANNEL_MAX];  /* index of the sampler's that is a counter of the same, when it is not used */
	uint64_t usual_ns;           /* what reading it takes, as a running mean */
	uint64_t t_ns;               /* of its last reading */
	uint64_t asleep_ns;          /* the machine's sleep before that */
	int      ticked;             /* sampler_tick() has read it */
};

struct sampler {
	struct sampler_env   env;
	struct meter_opts    opts;
	struct source       *source[SOURCE_MAX];
	int                  nsource;
	struct source       *spare[SOURCE_MAX]; /* open, but all that they have is taken from others */
	int                  nspare;
	struct meter         meter[CHANNEL_MAX];
	struct tally         tally[CHANNEL_MAX];
	int                  nmeter;
	uint64_t             awake_ns, asleep_ns; /* the machine's sleep at the start, and as last noticed */
	struct source_status status[SOURCE_MAX];
	int                  nstatus;
};

/* sampler_new() on another list of collectors, and another clock. */
int sampler_new_from(const struct collector_ops *const *ops, const struct sampler_env *env,
		     const struct meter_opts *opts, const char *names, struct sampler **ret, const char **ret_bad);

/*
 * Reads all of a source into val[]. 0 or -errno; ret_t_ns is the middle of the reading. A reading that took much longer
 * than usual was interrupted, nobody knows where: it is taken once more, and the shorter one counts.
 */
int source_read(struct sampler *s, struct source *src, struct raw *val, uint64_t *ret_t_ns);

/* Writes a reading into the books; val is NULL when there is none. */
void source_tally(struct sampler *s, struct source *src, const struct raw *val, uint64_t t_ns);

#endif
