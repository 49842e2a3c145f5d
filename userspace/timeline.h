/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Energy and activity over time, cut into ticks.
 *
 * A tick is the time between two looks at the CPUs; all that is split is split per tick. An edge cuts it in two: the
 * CPUs were looked at where a phase of a query may begin or end, and mostly the meters too (bpf/edge.bpf.h).
 *
 * A meter that refreshes more slowly than that is interpolated: its energy between two samples is spread evenly over
 * the time between them (the power inside one refresh is not known). Time that no reading covers, before the first,
 * after the last, in a gap, has no energy and no idle floor: covered_ns says how much of a tick has. A tick is resolved
 * for a meter once a sample at or after its end has come, or once the meter has been silent for TIMELINE_SILENT_NS.
 *
 * Ticks are numbered from 0. Those from `first` to `closed` - 1 have an end; tick `closed` is the open one.
 */
#ifndef IPW_TIMELINE_H
#define IPW_TIMELINE_H

#include "bpf/event.h"
#include "collectors/sampler.h"

#define GROUP_MAX          EV_GROUPS /* CPU packages */
#define TIMELINE_TICKS     8192 /* kept at most: a power of two */
#define TIMELINE_SILENT_NS 3000000000ull

/* On-CPU time since attach, by CPU package. */
struct activity {
	uint64_t t_ns;
	uint32_t ngroup;
	struct {
		int32_t  unit; /* physical_package_id */
		uint64_t busy_ns;           /* all but idle */
		uint64_t slot_ns[EV_SLOTS]; /* of that, each -p and its children */
	} group[GROUP_MAX];
};

/* Whose a GPU's work is, from t_ns on. */
struct gpu_share {
	uint64_t t_ns;
	uint32_t channel;
	int      known;           /* 0: nobody says who computes there */
	double   slot[EV_SLOTS];  /* parts of the whole; what is missing to 1 is other processes' */
};

/* The engine computed one batch. */
struct step {
	uint64_t begin_ns, end_ns;
	uint32_t slot, pid;
	int32_t  tokens; /* in the batch; -1: not known */
	uint32_t batch;  /* as ev_step.batch */
};

enum tick_read { TICK_READ_BEGIN = 1, TICK_READ_END = 2 };

struct tick {
	uint64_t t0, t1;    /* t1 0: open */
	double  *energy_uj; /* by channel */
	double  *covered_ns;
	double  *share;     /* by channel and slot: part of the dynamic energy that is the slot's */
	uint8_t *nobody;    /* by channel: nothing ran at all, what was used was idle */
	uint8_t *unsplit;   /* by channel: see gpu_share.known */
	uint8_t *read;      /* by channel, enum tick_read: the meter was read at that very moment */
	/* The last sample that came while the tick was open, by channel: when it was true, 0 none; since when, that is
	 * the last one of the ticks before; uj in between, NAN where that is not known. */
	uint64_t *seen_ns, *since_ns;
	double   *seen_uj;
};

struct timeline {
	int      nch, nslot; /* slots 1 .. nslot */
	const struct meter *meters;
	uint64_t first, closed;
	uint64_t looked, ready; /* ticks that the last look has closed; the one before it: all their events are here */
	struct tick *ticks;  /* a ring of TIMELINE_TICKS */
	void        *store;
	struct activity last;
	struct {
		uint64_t t_ns;     /* of the last sample; 0 none */
		double   energy_uj;
		uint64_t resolved; /* ticks before this one are */
	} ch[CHANNEL_MAX];
	struct gpu_share gpu[CHANNEL_MAX];
	uint64_t gaps; /* samples marked so */
};

/* meters[0 .. n) outlives it. 0 or -ENOMEM. */
int  timeline_init(struct timeline *tl, const struct meter *meters, int n, int nslot);
void timeline_release(struct timeline *tl);

/*
 * In this order at each look: activity, then the samples read just after it. The first activity opens tick 0. The same
 * for an edge, where it belongs by its time.
 * When the ring is full the oldest tick goes (the caller keeps up, or it is lost).
 */
void timeline_activity(struct timeline *tl, const struct activity *a);
void timeline_edge(struct timeline *tl, const struct activity *a);
void timeline_sample(struct timeline *tl, const struct sample *m);
void timeline_gpu(struct timeline *tl, const struct gpu_share *g);

static inline struct tick *timeline_tick(const struct timeline *tl, uint64_t k)
{
	return &tl->ticks[k & (TIMELINE_TICKS - 1)];
}

/* The tick that t_ns lies in: t0 < t_ns <= t1; clipped to [first, closed]. */
uint64_t timeline_find(const struct timeline *tl, uint64_t t_ns);
/* All ticks before it are resolved, for all channels. */
uint64_t timeline_resolved(const struct timeline *tl);
void     timeline_drop(struct timeline *tl, uint64_t before);

#endif
