/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From final results and the books to the summary of a run. */
#ifndef IPW_TOTALS_H
#define IPW_TOTALS_H

#include "userspace/tasks.h"
#include "userspace/util/histo.h"

#define TOTALS_ROWS 64 /* (model, dialect) pairs; what comes after is summed in the last row, named "(others)" */

/* What a run is, known when it begins. Recorded. */
struct run {
	char     version[32];
	char     hardware[256]; /* CPU model x sockets, GPUs */
	char     kernel[128];
	char     net[16];       /* network tier */
	uint64_t start_ns;      /* CLOCK_MONOTONIC */
	int64_t  wall_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC, at the start */
	uint32_t interval_ms;
	uint32_t nslot;
	struct {
		uint32_t pid;
		char     comm[16];
	} target[EV_SLOTS];     /* by slot, from 1 */
};

#define UNREAD_MAX 8

/* What is known when it ends. Recorded. */
struct run_end {
	uint64_t end_ns;
	uint64_t lost_events;   /* ring, kernel side */
	uint64_t evicted;       /* connections, queries and calls that found no room */
	double   tracer_cpu_s;  /* user + sys of the tracer; what its BPF programs cost the traced is not in it */
	uint64_t steps_off_ns;  /* since then engine steps are off, as they cost too much; 0: they are not */
	double   steps_rate, steps_hit_ns; /* hits a second before that, and what each cost */
	struct {
		const char *why; /* "TLS"; NULL or n 0: none */
		uint64_t    n;
	} unread[UNREAD_MAX]; /* connections that are none we read */
};

struct totals_row {
	char model[128], dialect[24];
	uint64_t queries, errors, cancels, unknown_tokens;
	int64_t  prompt, cached, completion; /* sums of what is known */
	struct totals_energy {
		struct gross prefill, decode;
		struct gross counted; /* of the queries whose tokens are in `completion` */
		double jj, js, ss;    /* squares and products of the edges' parts: their variance at any floor */
	} energy[CHANNEL_MAX];        /* by channel, tops only */
	uint32_t flags;
	struct histo *ttft, *tpot, *itl, *duration;
};

struct totals {
	struct totals_row row[TOTALS_ROWS];
	int      nrow;
	uint64_t running, lost;
	uint64_t hops;         /* of all queries */
	uint32_t flags;
	uint64_t methods[METHOD_GPU_UNSPLIT + 1]; /* queries by enum attrib_method */
	struct tasks tasks;
};

/* One channel in the summary. */
struct summary_domain {
	const struct meter *meter;
	int    top;
	double measured_j, idle_w;
	enum idle_source idle;
};

struct summary {
	const struct run     *run;
	const struct run_end *end;
	const struct totals   *totals;
	const struct attrib  *books;
	double   duration_s;
	uint64_t queries, errors, cancels;
	int64_t  prompt_tokens, completion_tokens; /* -1: none is known */
	double   tokens_per_s, concurrency_mean;
	double   measured_j, queries_j, server_other_j, others_j, idle_j, bound_j, mean_w;
	double   imbalance;  /* (terms - measured) / measured: rounding */
	uint32_t flags;      /* of all queries together */
	struct summary_domain domain[CHANNEL_MAX];
	int      ndomain;
	enum idle_source idle_source; /* of the tops: IDLE_UNKNOWN when one of them is */
	int      estimated;
	uint64_t gaps;       /* samples that follow a hole in a meter's readings */
	uint64_t early;      /* ticks split before all was known */
};

/* What a row cost, by the idle floor as it is known at the end. NAN without a meter. */
struct row_joules {
	double prefill_j, decode_j, counted_j, bound_j;
};

struct row_joules totals_row_joules(const struct attrib *a, const struct totals_row *r);

/* How most queries were split; METHOD_NONE without any. */
enum attrib_method summary_method(const struct summary *m);

void totals_add(struct totals *t, const struct result *r, int nch);
void totals_release(struct totals *t);
void totals_summary(const struct totals *t, const struct attrib *a, const struct run *run, const struct run_end *end,
		   struct summary *ret);

#endif
