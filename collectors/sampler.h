/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From readings to energy. The sampler opens the collectors, chooses one source per domain, and turns each reading into
 * a struct sample: cumulative microjoules of one channel since the sampler was opened, and when that was true.
 *
 *  - Time is CLOCK_MONOTONIC, the middle of the read; but of a counter that refreshes more slowly than it is read
 *    (REFRESH_LEAST_US and up) and has moved, when it is held to have refreshed: see collectors/refresh.h. That is
 *    after the reading before, which had not found it moved, so the samples of a channel are in order; energies are
 *    the same.
 *  - A counter that did not move since the last sample gives no sample (its hardware has not refreshed it); when it
 *    has stood still for SAMPLER_STALE_NS, it gives one all the same, marked SAMPLE_STALE.
 *  - A lower counter is a wrap only where the channel declares its range and the step is believable (SAMPLER_MAX_W);
 *    else it is a reset: the sample is marked SAMPLE_GAP and adds nothing.
 *    So is a step up that is beyond belief, and one after which the counter may have gone all the way round unseen.
 *  - A failed reading gives no sample; the first good one after it is marked SAMPLE_GAP when the channel's counter may
 *    have wrapped or been reset meanwhile, and for a gauge always.
 *  - While the machine is suspended CLOCK_MONOTONIC stands, and a meter may go on: the first sample in which it has
 *    moved after that is marked SAMPLE_GAP and adds nothing.
 *  - A gauge is integrated by trapezoids.
 */
#ifndef IPW_SAMPLER_H
#define IPW_SAMPLER_H

#include "collectors/collector.h"

#define SAMPLER_STALE_NS 2000000000ull
#define SAMPLER_MAX_W    20000.0 /* no single domain takes more: a step above it is a fault, not energy */

enum sample_flag {
	SAMPLE_GAP   = 1 << 0, /* energy between the sample before and this one is unknown */
	SAMPLE_STALE = 1 << 1, /* the counter stood still for long: idle, or stuck */
};

struct sample {
	uint64_t t_ns;      /* when that was true */
	double   energy_uj; /* since the sampler was opened; a gap adds 0 */
	uint16_t channel;   /* index into the sampler's channels */
	uint16_t flags;
};

/* A channel that was chosen. */
struct meter {
	struct channel ch;
	const char    *source;    /* name of its collector */
	int            parent;    /* index of what contains it, CHANNEL_NONE for a top: only tops are summed */
	uint32_t       period_us; /* measured refresh, else the documented one, else 0 */
	double         resolution; /* as documented, or coarser if all steps seen are; else theirs; 0: unknown */
	uint64_t       read_ns;   /* what one reading costs, mean of those at open: its share of its collector's */
	uint64_t       failed;    /* readings, counted since open */
	uint64_t       resets;    /* steps not to be believed: a reset, a jump, or time enough for a whole range */
	uint64_t       wraps;
};

/* One row of `list`: a collector, tried. Those that `names` leaves out have none. */
struct source_status {
	const char *name, *doc;
	int         err;  /* 0: open */
	int         used; /* channels taken from it */
	char        why[160];
};

struct sampler;

/*
 * Opens what is there. `names` is NULL, or a comma-separated list of collectors to try, in their registry order.
 * -ENOENT when a name is not in the registry (ret_bad points at it, inside `names`), -ENODEV when no channel at all
 * could be opened; the sampler is then still made, so that sampler_status() can say why.
 */
int  sampler_new(const struct meter_opts *opts, const char *names, struct sampler **ret, const char **ret_bad);
void sampler_free(struct sampler *s);

int  sampler_meters(const struct sampler *s, const struct meter **ret); /* number of channels */
int  sampler_status(const struct sampler *s, const struct source_status **ret);

/*
 * Measures how often each channel refreshes, for at most `budget_ns`, by reading until it changes often enough.
 * A counter that did not change twice in that time keeps its documented period.
 */
void sampler_measure(struct sampler *s, uint64_t budget_ns);
/* The interval that suits what was measured: somewhat more than half the shortest refresh; 11 to 1000 ms. */
unsigned sampler_interval_ms(const struct sampler *s);

/*
 * Reads all channels once; calls emit for each sample. 0, or the -errno of emit. The first tick gives a sample of each
 * channel that can be read, moved or not. A source that is dear to read (a GPU: milliseconds of the driver's lock) is
 * left out of a tick that comes before it has rested for 20 times its reading, or a quarter of its refresh.
 */
int  sampler_tick(struct sampler *s, int (*emit)(void *ctx, const struct sample *m), void *ctx);

/* For how long the machine has been suspended since the sampler was opened, as far as ticks have noticed. */
uint64_t sampler_asleep_ns(const struct sampler *s);

/* A counter that is used, and another source's of the same. */
struct comparison {
	int         meter;  /* index of the one that is used */
	const char *source; /* that has the other */
	double      ours_w, theirs_w;
	double      apart, allowed; /* parts of the greater: their difference; what refresh and steps explain */
};

/*
 * Reads all sources now and after `ns`, and compares the counters that two of them have of one domain. Returns how many
 * there are in ret[0 .. max), or -errno; one that failed meanwhile is left out.
 */
int  sampler_compare(struct sampler *s, uint64_t ns, struct comparison *ret, int max);

/* As collector_ops.edge_fd, by channel of the sampler. */
int  sampler_edge_fd(struct sampler *s, int channel);
/* What that perf event has counted at t_ns, lately, as a sample. 0, or -ERANGE where it is not to be believed. */
int  sampler_edge(struct sampler *s, int channel, uint64_t count, uint64_t t_ns, struct sample *ret);

/* As collector_ops.users, by channel of the sampler. */
int  sampler_users(struct sampler *s, int channel, struct gpu_user *u, int max);

#endif
